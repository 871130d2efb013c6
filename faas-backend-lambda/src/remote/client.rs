//! The clients of AWS's services.

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_sdk_lambda::Client;
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use std::time::Duration;

use super::config::Config;

/// How long connecting may take. Arbitrary.
const CONNECT: Duration = Duration::from_secs(5);

/// How long AWS may take to answer a call of its control plane. Arbitrary.
const ANSWER: Duration = Duration::from_secs(30);

/// A client for calls that carry nothing and run nothing.
pub(super) fn control(config: &SdkConfig) -> Client {
    let timeouts = TimeoutConfig::builder().connect_timeout(CONNECT).operation_timeout(ANSWER).build();
    let config = aws_sdk_lambda::config::Builder::from(config).timeout_config(timeouts).build();
    Client::from_conf(config)
}

/// Finds region and credentials as AWS's tools do, where they are not told.
///
/// Nothing is ever tried again by the client: it does not know what may be.
pub(super) async fn connect(config: &Config) -> SdkConfig {
    let tls = Provider::Rustls(CryptoMode::Ring);
    let timeouts = TimeoutConfig::builder().connect_timeout(CONNECT).build();
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .http_client(Builder::new().tls_provider(tls).build_https())
        .retry_config(RetryConfig::disabled())
        .timeout_config(timeouts);
    if let Some(region) = &config.region {
        loader = loader.region(Region::new(region.clone()));
    }
    if let Some(profile) = &config.profile {
        loader = loader.profile_name(profile);
    }
    if let Some(endpoint) = &config.endpoint {
        loader = loader.endpoint_url(endpoint);
    }
    if let Some(key) = &config.credentials {
        loader = loader.credentials_provider(Credentials::new(
            &key.id,
            &key.secret,
            key.token.clone(),
            None,
            "faas",
        ));
    }
    loader.load().await
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, Mutex};
    use std::time::SystemTime;

    use aws_config::meta::credentials::CredentialsProviderChain;
    use aws_credential_types::provider::error::CredentialsError;
    use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider, future};
    use faas_core::{ActionSpec, ActivationId, Completion, Entropy, Error, ErrorKind, Invocation, Payload};
    use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::remote::invoke::{Target, invoke};

    /// Keys, each valid for so long; none is one that cannot be had. The last one stays.
    #[derive(Debug)]
    struct Keys {
        valid: Vec<Option<Duration>>,
        asked: AtomicUsize,
    }

    impl Keys {
        fn new(valid: &[Option<Duration>]) -> Self {
            Self { valid: valid.to_vec(), asked: AtomicUsize::new(0) }
        }
    }

    impl ProvideCredentials for Keys {
        fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
        where
            Self: 'a,
        {
            let number = self.asked.fetch_add(1, Ordering::Relaxed).min(self.valid.len() - 1);
            let key = self.valid[number].map(|valid| {
                let id = format!("AKID{number}");
                Credentials::new(id, "a-secret", None, Some(SystemTime::now() + valid), "test")
            });
            future::ProvideCredentials::ready(key.ok_or_else(|| CredentialsError::not_loaded("no keys left")))
        }
    }

    async fn config(endpoint: String, keys: Keys) -> SdkConfig {
        let credentials = super::super::config::Credentials {
            id: "AKIDEXAMPLE".to_owned(),
            secret: "a-secret".to_owned(),
            token: None,
        };
        let config = Config {
            endpoint: Some(endpoint),
            region: Some("eu-west-1".to_owned()),
            credentials: Some(credentials),
            ..Config::default()
        };
        let chain = CredentialsProviderChain::first_try("keys", keys);
        let provider = SharedCredentialsProvider::new(chain);
        connect(&config).await.into_builder().credentials_provider(provider).build()
    }

    /// Invokes a function of somebody else's, which need not know this library's events.
    async fn invoked(client: &Client) -> Result<Completion, Error> {
        let timeout = Duration::from_secs(1);
        let target = Target { name: "f".to_owned(), qualifier: None, is_own: false, memory: 128, timeout };
        let mut invocation = Invocation::detached(ActivationId::from_u128(7), Payload::empty());
        invocation.start_by = tokio::time::Instant::now() + Duration::from_millis(200);
        invoke(client, &target, &ActionSpec::new("f").unwrap(), &invocation, &Entropy::default()).await
    }

    /// A service that answers every call with nothing, and notes by which key it was signed.
    async fn serve(listener: TcpListener, signed: Arc<Mutex<Vec<String>>>) {
        while let Ok((stream, _)) = listener.accept().await {
            let signed = Arc::clone(&signed);
            tokio::spawn(async move { answer(BufReader::new(stream), &signed).await });
        }
    }

    async fn answer(mut stream: BufReader<TcpStream>, signed: &Mutex<Vec<String>>) {
        let (mut line, mut length) = (String::new(), 0);
        while stream.read_line(&mut line).await.unwrap() > 0 {
            if let Some((_, key)) = line.split_once("Credential=") {
                signed.lock().unwrap().push(key.split('/').next().unwrap().to_owned());
            } else if let Some(told) = line.strip_prefix("content-length: ") {
                length = told.trim().parse().unwrap();
            } else if line == "\r\n" {
                stream.read_exact(&mut vec![0; length]).await.unwrap();
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nnull").await.unwrap();
            }
            line.clear();
        }
    }

    #[tokio::test]
    async fn without_credentials_nothing_is_asked_and_that_is_said() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let client = Client::new(&config(endpoint, Keys::new(&[None])).await);
        let error = invoked(&client).await.unwrap_err();
        assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::PermissionDenied, false), "{error}");
        let text = "there are no AWS credentials to invoke function 'f': no credentials found in chain";
        assert_eq!(error.message(), text);
        let asked = tokio::time::timeout(Duration::from_millis(50), listener.accept()).await;
        assert!(asked.is_err(), "AWS was asked");
    }

    #[tokio::test]
    async fn without_a_region_no_call_can_be_made_and_that_is_said() {
        let with_keys = config(String::new(), Keys::new(&[Some(Duration::from_secs(3600))])).await;
        let mut config = with_keys.into_builder().region(None);
        config.set_endpoint_url(None);
        let error = invoked(&Client::new(&config.build())).await.unwrap_err();
        assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::InvalidArgument, false), "{error}");
        let text = "no call can be made to invoke function 'f': ";
        assert!(error.message().starts_with(text) && error.message().contains("egion"), "{error}");
    }

    #[tokio::test]
    async fn a_key_that_expires_is_renewed_and_calls_go_on() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let signed = Arc::new(Mutex::new(Vec::new()));
        let serving = tokio::spawn(serve(listener, Arc::clone(&signed)));
        let (short, long) = (Some(Duration::from_secs(1)), Some(Duration::from_secs(3600)));
        let client = Client::new(&config(endpoint, Keys::new(&[short, short, None, long])).await);
        for is_there in [true, true, false, true, true] {
            match invoked(&client).await {
                Ok(completion) => assert!(is_there && completion.outcome.is_success()),
                Err(error) => {
                    assert!(!is_there, "{error}");
                    assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::PermissionDenied, false));
                }
            }
        }
        assert_eq!(*signed.lock().unwrap(), ["AKID0", "AKID1", "AKID3", "AKID3"]);
        serving.abort();
    }
}
