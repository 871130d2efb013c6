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
