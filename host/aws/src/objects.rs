//! Objects in S3. A retry writes to the same path, so it overwrites what the first try may have left.

mod multipart;
mod read;

use crate::client::Clients;
use crate::fault;
use crate::retry::RetryBudget;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::primitives::ByteStream;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use esclusa_flow::BoxFuture;
use esclusa_flow::bounds::PATH_BYTES;
use esclusa_flow::effect::PutObject;
use esclusa_flow::engine::CommitError;
use esclusa_flow::fault::Fault;
use esclusa_flow::object_path;
use esclusa_flow::settings::ServiceLocation;
use futures_util::stream::{self, StreamExt};
use std::collections::BTreeMap;
use std::error::Error;
use std::time::Duration;

/// Largest object that is put with one request; larger ones go in parts.
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/mpuoverview.html> allows 5 GB and advises parts from 100 MB on
/// (November 2026); a smaller request loses less to a broken connection.
const SINGLE: usize = 16 << 20;
/// Longest that one request may take.
const ATTEMPT: Duration = Duration::from_secs(60);
/// Objects in flight for one commit.
const IN_FLIGHT: usize = 4;

/// An object store of routes.toml that is in S3.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3Store {
    /// Bucket.
    pub bucket: String,
    /// Prefix of every path; may be empty.
    pub prefix: String,
    /// Where it is.
    pub place: ServiceLocation,
    /// The bucket is part of the path, not of the host name.
    pub path_style: bool,
}

/// The object stores of a route, by their name in routes.toml.
#[derive(Debug)]
pub(crate) struct S3Stores {
    stores: BTreeMap<String, (S3Store, Client)>,
}

/// An object on its way.
struct Upload<'a> {
    /// Index of its action in the commit.
    index: usize,
    client: &'a Client,
    bucket: &'a str,
    key: String,
    content_type: &'a str,
    doing: String,
}

impl S3Stores {
    /// The stores; nothing is sent before they are used.
    #[must_use]
    pub(crate) fn new(stores: BTreeMap<String, S3Store>, clients: &Clients) -> Self {
        let open = |(name, store): (String, S3Store)| {
            let timeouts = TimeoutConfig::builder().operation_attempt_timeout(ATTEMPT).build();
            let config = clients.s3(&store.place, store.path_style).config().to_builder();
            let config = config.retry_config(RetryConfig::disabled()).timeout_config(timeouts).build();
            (name, (store, Client::from_conf(config)))
        };
        S3Stores { stores: stores.into_iter().map(open).collect() }
    }

    /// True if the store is in S3.
    #[must_use]
    pub(crate) fn contains(&self, name: &str) -> bool {
        self.stores.contains_key(name)
    }

    /// Checks paths. Each object has the index of its action.
    ///
    /// # Errors
    /// [`CommitError::Refused`] with the paths that can never work.
    pub(crate) fn check(&self, objects: &[(usize, PutObject)]) -> Result<(), CommitError> {
        let wrong = |(index, object): &(usize, PutObject)| {
            let prefix = self.stores.get(&object.store).map_or("", |(store, _)| store.prefix.as_str());
            // In this order: the text of the second has the path, which is short then.
            let fits =
                || check_path(prefix, &object.path).map_err(|why| format!("object path {:?}: {why}", object.path));
            Some((*index, object_path::check_object(object).and_then(|()| fits()).err()?))
        };
        let refused: Vec<_> = objects.iter().filter_map(wrong).collect();
        if refused.is_empty() { Ok(()) } else { Err(CommitError::Refused(refused)) }
    }

    /// Puts objects. Of two with one path the last one stays.
    ///
    /// # Errors
    /// [`CommitError::Refused`] with an object that the service never takes. A [`Fault`] otherwise, a missing permission
    /// included: nothing is given up (failures.md E7). Some objects may be written; putting them again overwrites them.
    pub(crate) async fn put(&self, objects: &[(usize, PutObject)]) -> Result<(), CommitError> {
        let mut last: BTreeMap<(&str, &str), (usize, &PutObject)> = BTreeMap::new();
        for (index, object) in objects {
            last.insert((&object.store, &object.path), (*index, object));
        }
        let put = |(index, object)| -> BoxFuture<'_, Result<(), CommitError>> { Box::pin(self.put_one(index, object)) };
        let puts: Vec<_> = last.into_values().map(put).collect();
        stream::iter(puts).buffer_unordered(IN_FLIGHT).collect::<Vec<_>>().await.into_iter().collect()
    }

    async fn put_one(&self, index: usize, object: &PutObject) -> Result<(), CommitError> {
        let (store, client) = self
            .stores
            .get(&object.store)
            .ok_or_else(|| Fault::Bug(format!("store {:?} is not in S3", object.store)))?;
        let key = format!("{}{}", store.prefix, object.path);
        let doing = format!("put s3://{}/{key}", store.bucket);
        let content_type = &object.content_type;
        let upload = Upload { index, client, bucket: &store.bucket, key, content_type, doing };
        if object.bytes.len() <= SINGLE {
            upload.single(&object.bytes).await
        } else {
            upload.multipart(&object.bytes).await
        }
    }
}

impl Upload<'_> {
    async fn single(&self, bytes: &[u8]) -> Result<(), CommitError> {
        let mut budget = RetryBudget::for_write();
        let body = aws_sdk_s3::primitives::SdkBody::from(bytes);
        loop {
            let body = ByteStream::new(body.try_clone().unwrap_or_else(|| bytes.into()));
            let request = self.client.put_object().bucket(self.bucket).key(&self.key).content_type(self.content_type);
            match request.body(body).send().await {
                Ok(_) => return Ok(()),
                Err(error) => budget.wait(self.judge(&error)?).await?,
            }
        }
    }

    /// The fault of a failed request.
    ///
    /// # Errors
    /// See [`judge`].
    fn judge<E: ProvideErrorMetadata + Error + 'static>(
        &self,
        error: &SdkError<E, HttpResponse>,
    ) -> Result<Fault, CommitError> {
        judge(self.index, fault::of(&self.doing, error), error.code())
    }
}

/// The fault of a request with this code.
///
/// # Errors
/// [`CommitError::Refused`] if the object of this action is to blame.
fn judge(action: usize, fault: Fault, code: Option<&str>) -> Result<Fault, CommitError> {
    match code {
        Some(code) if UNFIT.contains(&code) => Err(CommitError::Refused(vec![(action, fault.to_string())])),
        _ => Ok(fault),
    }
}

/// Codes of objects that this service never takes, from S3 itself and from servers that keep objects as files.
/// <https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html>, <https://github.com/minio/minio> (cmd/api-errors.go), November 2026.
const UNFIT: &[&str] = &[
    "KeyTooLongError",
    "EntityTooLarge",
    "InvalidURI",
    "XMinioInvalidObjectName",
    "XMinioObjectExistsAsDirectory",
    "XMinioParentIsObject",
];

/// Refuses a path that can never work with the prefix of its store.
///
/// # Errors
/// Why.
fn check_path(prefix: &str, path: &str) -> Result<(), String> {
    object_path::check(path)?;
    if prefix.len().saturating_add(path.len()) > PATH_BYTES {
        return Err(format!("with the prefix of its store it is longer than {PATH_BYTES} bytes"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_stays_below_its_prefix() {
        assert_eq!(check_path("lake/", "dt=2026-11-22/a.parquet"), Ok(()));
        for bad in ["", "/a", "a//b", "../a", "a/./b", "a\\b", "a\nb"] {
            assert!(check_path("lake/", bad).is_err(), "{bad:?}");
        }
        assert!(check_path(&"p".repeat(1000), &"x".repeat(24)).is_ok());
        assert!(check_path(&"p".repeat(1000), &"x".repeat(25)).is_err());
    }

    #[test]
    fn an_object_that_is_never_taken_is_refused_and_a_missing_permission_waits() {
        let fault = || Fault::Permanent("put s3://lake/a".to_owned());
        for code in ["KeyTooLongError", "XMinioInvalidObjectName"] {
            let expected = Err(CommitError::Refused(vec![(3, "put s3://lake/a".to_owned())]));
            assert_eq!(judge(3, fault(), Some(code)), expected, "{code}");
        }
        for code in [Some("AccessDenied"), Some("NoSuchBucket"), None] {
            assert_eq!(judge(3, fault(), code), Ok(fault()), "{code:?}");
        }
    }
}
