//! Objects in parts. An upload that fails is aborted, after its parts have settled: one that arrives later would stay,
//! unseen and paid for (failures.md E6). A lifecycle rule `AbortIncompleteMultipartUpload` covers a router that died.

use super::Upload;
use crate::fault;
use crate::retry::RetryBudget;
use aws_sdk_s3::primitives::{ByteStream, SdkBody};
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use esclusa_flow::BoxFuture;
use esclusa_flow::engine::CommitError;
use esclusa_flow::fault::Fault;
use futures_util::stream::{self, StreamExt};

/// Bytes of a part; S3 wants at least 5 MiB and at most 10,000 parts, which is far above the limit of a plugin's
/// output.
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html>, November 2026.
const PART: usize = 8 << 20;
/// Parts in flight.
const IN_FLIGHT: usize = 4;

impl Upload<'_> {
    /// Puts an object in parts.
    pub(super) async fn multipart(&self, bytes: &[u8]) -> Result<(), CommitError> {
        let id = self.begin().await?;
        let part = |(part, number)| -> BoxFuture<'_, Result<CompletedPart, CommitError>> {
            Box::pin(self.part(&id, number, part))
        };
        let parts: Vec<_> = bytes.chunks(PART).zip(1i32..).map(part).collect();
        // All of them, not only up to the first error: a part that arrives after the abort would stay, unseen and paid
        // for.
        let parts: Vec<_> = stream::iter(parts).buffered(IN_FLIGHT).collect().await;
        let done = match parts.into_iter().collect::<Result<Vec<_>, CommitError>>() {
            Ok(parts) => self.complete(&id, parts).await,
            Err(why) => Err(why),
        };
        if done.is_err() {
            self.abort(&id).await;
        }
        done
    }

    async fn begin(&self) -> Result<String, CommitError> {
        let mut budget = RetryBudget::for_write();
        loop {
            let request = self.client.create_multipart_upload().bucket(self.bucket).key(&self.key);
            match request.content_type(self.content_type).send().await {
                Ok(answer) => {
                    return answer
                        .upload_id
                        .ok_or_else(|| Fault::Transient(format!("{}: no upload id in the answer", self.doing)).into());
                }
                Err(error) => budget.wait(self.judge(&error)?).await?,
            }
        }
    }

    async fn part(&self, id: &str, number: i32, bytes: &[u8]) -> Result<CompletedPart, CommitError> {
        let mut budget = RetryBudget::for_write();
        let body = SdkBody::from(bytes);
        loop {
            let body = ByteStream::new(body.try_clone().unwrap_or_else(|| bytes.into()));
            let request =
                self.client.upload_part().bucket(self.bucket).key(&self.key).upload_id(id).part_number(number);
            match request.body(body).send().await {
                Ok(answer) => {
                    let part = CompletedPart::builder().part_number(number).set_e_tag(answer.e_tag);
                    return Ok(part.set_checksum_crc32(answer.checksum_crc32).build());
                }
                Err(error) => budget.wait(self.judge(&error)?).await?,
            }
        }
    }

    async fn complete(&self, id: &str, parts: Vec<CompletedPart>) -> Result<(), CommitError> {
        let mut budget = RetryBudget::for_write();
        let upload = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
        loop {
            let request = self.client.complete_multipart_upload().bucket(self.bucket).key(&self.key).upload_id(id);
            match request.multipart_upload(upload.clone()).send().await {
                Ok(_) => return Ok(()),
                Err(error) => budget.wait(self.judge(&error)?).await?,
            }
        }
    }

    async fn abort(&self, id: &str) {
        let request = self.client.abort_multipart_upload().bucket(self.bucket).key(&self.key).upload_id(id);
        if let Err(error) = request.send().await {
            let fault = fault::of(&self.doing, &error);
            tracing::warn!(error = %fault, "cannot abort an upload: a lifecycle rule has to remove its parts");
        }
    }
}
