//! Reads of objects in S3, and lists of them.

use super::{S3Store, S3Stores, check_path};
use crate::fault;
use crate::retry::RetryBudget;
use aws_sdk_s3::Client;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::operation::list_objects_v2::ListObjectsV2Output;
use aws_sdk_s3::primitives::ByteStream;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use esclusa_flow::fault::Fault;
use esclusa_flow::page_token;
use esclusa_flow::reads::{ObjectBytes, ObjectList, ObjectPage, ObjectRead, PAGE, READ_BYTES, ReadError};

/// Codes for an object that is not there; `HeadObject` has no body and so no code but that of its status.
const ABSENT: &[&str] = &["NoSuchKey", "NotFound", "404"];

/// One object.
struct Target<'a> {
    client: &'a Client,
    bucket: &'a str,
    key: String,
    doing: String,
}

/// What an answer says.
enum Answer {
    Object(ObjectBytes),
    Absent,
    /// The part begins after the end of the object.
    PastEnd,
    /// It has more bytes than a read may have.
    TooLarge,
}

impl S3Stores {
    /// An object, or a part of it.
    ///
    /// # Errors
    /// [`ReadError`].
    pub(crate) async fn read(&self, read: &ObjectRead) -> Result<Option<ObjectBytes>, ReadError> {
        let (store, client) = self.open(&read.store)?;
        let invalid =
            |why: &str| ReadError::Invalid(format!("object {:?} of store {:?}: {why}", read.path, read.store));
        check_path(&store.prefix, &read.path).map_err(|why| invalid(&why))?;
        let key = format!("{}{}", store.prefix, read.path);
        let doing = format!("get s3://{}/{key}", store.bucket);
        let target = Target { client, bucket: &store.bucket, key, doing };
        let answer = match read.range {
            // No range of HTTP is empty.
            Some((_, 0)) => Answer::PastEnd,
            range => target.get(range).await?,
        };
        match answer {
            Answer::Object(object) => Ok(Some(object)),
            Answer::Absent => Ok(None),
            Answer::PastEnd => Ok(target.size().await?.map(|size| ObjectBytes { size, bytes: Vec::new() })),
            Answer::TooLarge => Err(invalid(&format!("it has more than {} MiB: read a part", READ_BYTES >> 20))),
        }
    }

    /// A page of objects. Left out are those whose path no route could write.
    ///
    /// # Errors
    /// [`ReadError`].
    pub(crate) async fn list(&self, list: &ObjectList) -> Result<ObjectPage, ReadError> {
        let (store, client) = self.open(&list.store)?;
        let invalid = |why: String| ReadError::Invalid(format!("a list of store {:?}: {why}", list.store));
        if let Some((directory, _)) = list.prefix.rsplit_once('/') {
            check_path(&store.prefix, directory).map_err(|why| invalid(format!("prefix {:?}: {why}", list.prefix)))?;
        }
        let scope = format!("s3 {}/{}{}", store.bucket, store.prefix, list.prefix);
        let after = match &list.token {
            Some(token) => Some(place(&scope, token).map_err(|error| invalid(error.to_string()))?),
            None => None,
        };
        let prefix = format!("{}{}", store.prefix, list.prefix);
        let answer = page(client, &store.bucket, &prefix, after).await?;
        let last = answer.contents().last().and_then(|object| object.key());
        let next = last.filter(|_| answer.is_truncated() == Some(true));
        let next = next.map(|last| page_token::seal(&scope, last.as_bytes()));
        let entry = |object: &aws_sdk_s3::types::Object| {
            let path = object.key()?.strip_prefix(&store.prefix)?;
            check_path(&store.prefix, path).ok()?;
            Some((path.to_owned(), u64::try_from(object.size()?).ok()?))
        };
        Ok(ObjectPage { entries: answer.contents().iter().filter_map(entry).collect(), next })
    }

    fn open(&self, store: &str) -> Result<(&S3Store, &Client), ReadError> {
        let found = self.stores.get(store).map(|(store, client)| (store, client));
        found.ok_or_else(|| ReadError::Invalid(format!("object store {store:?} is not in S3")))
    }
}

/// The key that a token has.
fn place(scope: &str, token: &str) -> Result<String, page_token::UnknownToken> {
    String::from_utf8(page_token::open(scope, token)?).map_err(|_| page_token::UnknownToken)
}

/// The objects after a key. Listing by key needs no token of the service, which may become invalid.
async fn page(
    client: &Client,
    bucket: &str,
    prefix: &str,
    after: Option<String>,
) -> Result<ListObjectsV2Output, ReadError> {
    let doing = format!("list s3://{bucket}/{prefix}");
    let mut budget = RetryBudget::for_read();
    loop {
        let request = client.list_objects_v2().bucket(bucket).prefix(prefix).set_start_after(after.clone());
        match request.max_keys(i32::try_from(PAGE).unwrap_or(i32::MAX)).send().await {
            Ok(answer) => return Ok(answer),
            Err(error) => again(&mut budget, fault::of(&doing, &error)).await?,
        }
    }
}

async fn again(budget: &mut RetryBudget, fault: Fault) -> Result<(), ReadError> {
    budget.wait(fault).await.map_err(|fault| ReadError::Unavailable(fault.to_string()))
}

impl Target<'_> {
    async fn get(&self, range: Option<(u64, u32)>) -> Result<Answer, ReadError> {
        let header = range.map(|(offset, length)| {
            format!("bytes={offset}-{}", offset.saturating_add(u64::from(length).saturating_sub(1)))
        });
        let mut budget = RetryBudget::for_read();
        loop {
            let request = self.client.get_object().bucket(self.bucket).key(&self.key).set_range(header.clone());
            let fault = match request.send().await {
                Ok(answer) => match take(answer, range).await {
                    Ok(answer) => return Ok(answer),
                    Err(why) => Fault::Transient(format!("{}: {why}", self.doing)),
                },
                Err(error) if is_absent(&error) => return Ok(Answer::Absent),
                Err(error) if status(&error) == Some(416) => return Ok(Answer::PastEnd),
                Err(error) => fault::of(&self.doing, &error),
            };
            again(&mut budget, fault).await?;
        }
    }

    /// Bytes of the object; `None` if there is none.
    async fn size(&self) -> Result<Option<u64>, ReadError> {
        let mut budget = RetryBudget::for_read();
        loop {
            match self.client.head_object().bucket(self.bucket).key(&self.key).send().await {
                Ok(answer) => {
                    return Ok(Some(answer.content_length().and_then(|n| u64::try_from(n).ok()).unwrap_or(0)));
                }
                Err(error) if is_absent(&error) => return Ok(None),
                Err(error) => again(&mut budget, fault::of(&self.doing, &error)).await?,
            }
        }
    }
}

fn is_absent<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> bool {
    match error {
        SdkError::ServiceError(service) => {
            let code = service.err().code();
            code.is_some_and(|code| ABSENT.contains(&code)) || (code.is_none() && status(error) == Some(404))
        }
        _ => false,
    }
}

fn status<E>(error: &SdkError<E, HttpResponse>) -> Option<u16> {
    error.raw_response().map(|answer| answer.status().as_u16())
}

/// The bytes of an answer. Its size is looked at before its body.
async fn take(answer: GetObjectOutput, range: Option<(u64, u32)>) -> Result<Answer, String> {
    let length = answer.content_length().and_then(|n| u64::try_from(n).ok());
    let length = length.ok_or("the answer does not say how many bytes it has")?;
    if length > READ_BYTES as u64 {
        return Ok(Answer::TooLarge);
    }
    let mut bytes = collect(answer.body).await?;
    let size = match answer.content_range.as_deref() {
        // `bytes 0-9/100`
        Some(part) => part.rsplit_once('/').and_then(|(_, size)| size.parse().ok()).ok_or("it has no Content-Range")?,
        // A server that knows no ranges gives the whole object.
        None => {
            if let Some((offset, length)) = range {
                bytes.drain(..bytes.len().min(usize::try_from(offset).unwrap_or(usize::MAX)));
                bytes.truncate(length as usize);
            }
            length
        }
    };
    Ok(Answer::Object(ObjectBytes { size, bytes }))
}

/// All bytes of a body, unless they become more than a read may have.
async fn collect(mut body: ByteStream) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    while let Some(piece) = body.next().await {
        bytes.extend_from_slice(&piece.map_err(|error| format!("its body: {error}"))?);
        if bytes.len() > READ_BYTES {
            return Err(format!("its body has more bytes than the answer said, more than {} MiB", READ_BYTES >> 20));
        }
    }
    Ok(bytes)
}
