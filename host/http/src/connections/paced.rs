//! A stream whose peer has to read the answer at a minimum pace, else the stream breaks off.

use super::stage::ConnectionStage;
use std::io::{Error, ErrorKind, IoSlice, Result};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// The least that a peer has to read while there is something to read.
#[derive(Debug, Clone, Copy)]
pub(super) struct WritePace {
    /// So many bytes, or all that were written.
    pub bytes: usize,
    /// Within this time.
    pub within: Duration,
}

/// A stream with a pace for its writes.
pub(super) struct PacedStream<S> {
    stream: S,
    pace: WritePace,
    stage: Arc<ConnectionStage>,
    /// Breaks the stream off when it ends, unless the peer has read enough before; `None`: nothing waits to be read.
    blocked: Option<Pin<Box<Sleep>>>,
    /// Bytes that the peer has read since `blocked` was set.
    taken: usize,
}

impl<S> PacedStream<S> {
    /// A stream with this pace; `stage` is notified when everything is flushed.
    pub(super) fn new(stream: S, pace: WritePace, stage: Arc<ConnectionStage>) -> Self {
        PacedStream { stream, pace, stage, blocked: None, taken: 0 }
    }

    /// The result of a write with the pace applied to the result of the stream.
    fn written(&mut self, result: Poll<Result<usize>>, context: &mut Context<'_>) -> Poll<Result<usize>> {
        if let Poll::Ready(result) = result {
            self.taken = self.taken.saturating_add(*result.as_ref().unwrap_or(&0));
            if self.taken >= self.pace.bytes {
                self.blocked = None;
            }
            return Poll::Ready(result);
        }
        // The clock starts at the first write that blocks: a client that keeps up is never timed.
        if self.blocked.is_none() {
            self.taken = 0;
        }
        let within = self.pace.within;
        let blocked = self.blocked.get_or_insert_with(|| Box::pin(sleep(within)));
        ready!(blocked.as_mut().poll(context));
        Poll::Ready(Err(Error::new(ErrorKind::TimedOut, "the client does not read the answer")))
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
        // hyper flushes after it has written everything: nothing waits to be read any more.
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

    /// Writes to a stream whose peer reads a byte at a time; gives the result and how many bytes were read.
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
