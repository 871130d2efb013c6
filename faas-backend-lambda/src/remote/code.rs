//! The code of functions: a zip that is sent along, or that lies in a bucket.

use aws_config::SdkConfig;
use aws_sdk_lambda::primitives::Blob;
use faas_core::{Error, ErrorKind};

use super::config::Config;
use crate::artifact::Artifact;

/// The largest zip that is sent along, in bytes. Source: Lambda's quota for direct uploads.
pub(super) const LARGEST_SENT: u64 = 50 << 20;

/// The code of a function.
pub(super) struct Code {
    /// The SHA-256 of the zip in base64, as Lambda tells it.
    pub(super) sha256: String,
    pub(super) is_arm64: bool,
    place: Place,
}

enum Place {
    Here(Vec<u8>),
    #[cfg(feature = "s3")]
    Bucket {
        zip: bytes::Bytes,
        bucket: String,
        key: String,
    },
}

impl Code {
    /// Reads the code of an artifact.
    ///
    /// # Errors
    /// As from [`Artifact::bytes`]; `InvalidArgument` when it is too large to be sent and there is no bucket;
    /// `Unsupported` when there is one, and the feature `s3` is off.
    pub(super) fn of(artifact: &Artifact, config: &Config) -> Result<Self, Error> {
        let zip = artifact.bytes()?;
        let digest = &artifact.manifest.digest;
        let place = match zip.len() as u64 {
            size if size <= config.largest_sent => Place::Here(zip),
            size => {
                let Some(bucket) = &config.bucket else {
                    let text = format!(
                        "{} has {size} bytes, and AWS Lambda takes {} along with a call: name a bucket by `bucket` in \
                         the URL, FAAS_LAMBDA_BUCKET or LambdaBuilder::bucket",
                        artifact.path.display(),
                        config.largest_sent
                    );
                    return Err(Error::new(ErrorKind::InvalidArgument, text));
                };
                in_bucket(bucket, digest, zip)?
            }
        };
        let is_arm64 = artifact.manifest.architecture.as_deref() == Some("arm64");
        Ok(Self { sha256: base64_of_hex(digest), is_arm64, place })
    }

    /// The zip, or the bucket and the key in it, once it is there.
    ///
    /// # Errors
    /// As S3 tells.
    #[cfg_attr(not(feature = "s3"), expect(unused_variables, reason = "what is not in a bucket is here"))]
    pub(super) async fn parts(
        &self,
        aws: &SdkConfig,
    ) -> Result<(Option<Blob>, Option<String>, Option<String>), Error> {
        match &self.place {
            Place::Here(zip) => Ok((Some(Blob::new(zip.clone())), None, None)),
            #[cfg(feature = "s3")]
            Place::Bucket { zip, bucket, key } => {
                put(aws, bucket, key, zip.clone()).await?;
                Ok((None, Some(bucket.clone()), Some(key.clone())))
            }
        }
    }
}

/// Where in the bucket the zip belongs: its name is its digest.
#[cfg(feature = "s3")]
fn in_bucket(bucket: &str, digest: &str, zip: Vec<u8>) -> Result<Place, Error> {
    let key = format!("faas/{digest}.zip");
    Ok(Place::Bucket { zip: zip.into(), bucket: bucket.to_owned(), key })
}

#[cfg(not(feature = "s3"))]
fn in_bucket(bucket: &str, _: &str, _: Vec<u8>) -> Result<Place, Error> {
    Err(without_s3(bucket))
}

#[cfg(any(test, not(feature = "s3")))]
fn without_s3(bucket: &str) -> Error {
    let text = format!("putting a zip into bucket '{bucket}' needs the feature `s3` of faas-backend-lambda");
    Error::new(ErrorKind::Unsupported, text)
}

/// Puts the zip into the bucket, unless it is there.
#[cfg(feature = "s3")]
async fn put(aws: &SdkConfig, bucket: &str, key: &str, zip: bytes::Bytes) -> Result<(), Error> {
    let client = aws_sdk_s3::Client::new(aws);
    if client.head_object().bucket(bucket).key(key).send().await.is_ok() {
        return Ok(());
    }
    let sent = client.put_object().bucket(bucket).key(key).body(zip.into()).send().await;
    sent.map(drop)
        .map_err(|error| super::error::of_call(&format!("put {key} into bucket '{bucket}'"), &error))
}

/// The same digest in base64.
fn base64_of_hex(digest: &str) -> String {
    use base64::Engine as _;
    let digits = digest.as_bytes().chunks(2);
    let byte =
        |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap_or_default(), 16).unwrap_or(0);
    base64::engine::general_purpose::STANDARD.encode(digits.map(byte).collect::<Vec<u8>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_needs_its_feature() {
        let error = without_s3("zips");
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.message().contains("bucket 'zips' needs the feature `s3`"), "{error}");
    }

    #[test]
    fn a_digest_is_told_as_lambda_tells_it() {
        assert_eq!(base64_of_hex("00ff10"), "AP8Q");
    }
}
