//! A connection whose other end has to take what is written: one that takes too little is broken off.

use super::stage::ConnectionStage;
use std::io::{Error, ErrorKind, IoSlice, Result};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// How much the other end has to take in which time, while there is something to take.
#[derive(Debug, Clone, Copy)]
pub(super) struct WritePace {
    /// Bytes, or all that there are.
    pub bytes: usize,
    /// In this time.
    pub within: Duration,
}

/// A stream with a pace for what is written to it.
pub(super) struct PacedStream<S> {
    stream: S,
    pace: WritePace,
    stage: Arc<ConnectionStage>,
    /// Ends the connection, unless enough is taken before; `None`: nothing waits to be taken.
    blocked: Option<Pin<Box<Sleep>>>,
    /// Bytes that were taken since then.
    taken: usize,
}

impl<S> PacedStream<S> {
    /// A stream whose other end keeps this pace; `stage` hears when it has taken everything.
    pub(super) fn new(stream: S, pace: WritePace, stage: Arc<ConnectionStage>) -> Self {
        PacedStream { stream, pace, stage, blocked: None, taken: 0 }
    }

    /// What comes of a write, given what the stream says.
    fn written(&mut self, result: Poll<Result<usize>>, context: &mut Context<'_>) -> Poll<Result<usize>> {
        if let Poll::Ready(result) = result {
            self.taken = self.taken.saturating_add(*result.as_ref().unwrap_or(&0));
            if self.taken >= self.pace.bytes {
                self.blocked = None;
            }
            return Poll::Ready(result);
        }
        if self.blocked.is_none() {
            self.taken = 0;
        }
        let within = self.pace.within;
        let blocked = self.blocked.get_or_insert_with(|| Box::pin(sleep(within)));
        ready!(blocked.as_mut().poll(context));
        Poll::Ready(Err(Error::new(ErrorKind::TimedOut, "the answer is not taken")))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for PacedStream<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for PacedStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, data: &[u8]) -> Poll<Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(context, data);
        self.written(result, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(context, data);
        self.written(result, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        // It is asked for once everything was written.
        let flushed = ready!(Pin::new(&mut self.stream).poll_flush(context));
        self.blocked = None;
        self.stage.flushed();
        Poll::Ready(flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::{ConnectionStage, PacedStream, WritePace};
    use std::time::Duration;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    /// Writes to an end that is read a byte at a time, and says how many bytes were read.
    async fn read_by_bytes(pace: WritePace, pause: Duration) -> (std::io::Result<()>, usize) {
        let (near, mut far): (_, DuplexStream) = duplex(16);
        let mut near = PacedStream::new(near, pace, ConnectionStage::new());
        let writes = tokio::spawn(async move {
            near.write_all(&[0; 1000]).await?;
            near.flush().await
        });
        let mut read = 0;
        while let Ok(1) = far.read(&mut [0]).await {
            read += 1;
            tokio::time::sleep(pause).await;
        }
        (writes.await.unwrap(), read)
    }

    #[tokio::test]
    async fn a_byte_now_and_then_is_not_enough() {
        let pace = WritePace { bytes: 500, within: Duration::from_millis(100) };
        let (result, read) = read_by_bytes(pace, Duration::from_millis(10)).await;
        assert_eq!(result.unwrap_err().kind(), std::io::ErrorKind::TimedOut);
        assert!(read < 500, "{read} bytes were taken");
    }

    #[tokio::test]
    async fn a_reader_that_keeps_the_pace_gets_everything() {
        let pace = WritePace { bytes: 500, within: Duration::from_secs(60) };
        let (result, read) = read_by_bytes(pace, Duration::ZERO).await;
        assert!(result.is_ok(), "{result:?}");
        assert_eq!(read, 1000);
    }
}
