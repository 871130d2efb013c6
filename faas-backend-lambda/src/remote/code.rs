//! The code of functions: a zip that is sent along, or that lies in a bucket.

use aws_sdk_lambda::primitives::Blob;
use faas_core::{Error, ErrorKind};

use super::config::Config;
use crate::artifact::Artifact;

/// The largest zip that is sent along, in bytes. Source: Lambda's quota for direct uploads.
const LARGEST_SENT: u64 = 50 << 20;

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
        bucket: String,
        key: String,
    },
}

impl Code {
    /// Reads the code of an artifact, and puts it into the bucket if it is too large to be sent.
    ///
    /// # Errors
    /// As from [`Artifact::bytes`]; `InvalidArgument` when it is too large and there is no bucket.
    pub(super) async fn of(
        artifact: &Artifact,
        config: &Config,
        aws: &aws_config::SdkConfig,
    ) -> Result<Self, Error> {
        let zip = artifact.bytes()?;
        let sha256 = base64_of_hex(&artifact.manifest.digest);
        let is_arm64 = artifact.manifest.architecture.as_deref() == Some("arm64");
        let size = zip.len() as u64;
        if size <= LARGEST_SENT {
            return Ok(Self { sha256, is_arm64, place: Place::Here(zip) });
        }
        let path = artifact.path.display();
        let Some(bucket) = &config.bucket else {
            let text = format!(
                "{path} has {size} bytes, and AWS Lambda takes {LARGEST_SENT} along with a call: name a bucket by \
                 `bucket` in the URL, FAAS_LAMBDA_BUCKET or LambdaBuilder::bucket"
            );
            return Err(Error::new(ErrorKind::InvalidArgument, text));
        };
        let place = put(aws, bucket, &artifact.manifest.digest, zip).await?;
        Ok(Self { sha256, is_arm64, place })
    }

    /// The zip, or the bucket and the key in it.
    pub(super) fn parts(&self) -> (Option<Blob>, Option<String>, Option<String>) {
        match &self.place {
            Place::Here(zip) => (Some(Blob::new(zip.clone())), None, None),
            #[cfg(feature = "s3")]
            Place::Bucket { bucket, key } => (None, Some(bucket.clone()), Some(key.clone())),
        }
    }
}

/// Puts the zip into the bucket, unless it is there: its name is its digest.
#[cfg(feature = "s3")]
async fn put(aws: &aws_config::SdkConfig, bucket: &str, digest: &str, zip: Vec<u8>) -> Result<Place, Error> {
    let client = aws_sdk_s3::Client::new(aws);
    let key = format!("faas/{digest}.zip");
    let place = Place::Bucket { bucket: bucket.to_owned(), key: key.clone() };
    if client.head_object().bucket(bucket).key(&key).send().await.is_ok() {
        return Ok(place);
    }
    let what = format!("put {key} into bucket '{bucket}'");
    let sent = client.put_object().bucket(bucket).key(&key).body(zip.into()).send().await;
    sent.map(|_| place).map_err(|error| super::error::of_call(&what, &error))
}

#[cfg(not(feature = "s3"))]
async fn put(_: &aws_config::SdkConfig, bucket: &str, _: &str, _: Vec<u8>) -> Result<Place, Error> {
    let text = format!("putting a zip into bucket '{bucket}' needs the feature `s3` of faas-backend-lambda");
    Err(Error::new(ErrorKind::Unsupported, text))
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
    #[test]
    fn a_digest_is_told_as_lambda_tells_it() {
        assert_eq!(super::base64_of_hex("00ff10"), "AP8Q");
    }
}
