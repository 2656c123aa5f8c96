//! From an address to a client: connections, credentials, region.

use std::path::PathBuf;
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::sts::AssumeRoleProvider;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::RuntimeComponents;
use aws_sdk_s3::config::{
    BehaviorVersion, Credentials, Region, RequestChecksumCalculation, ResponseChecksumValidation,
    SharedHttpClient, StalledStreamProtectionConfig,
};
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use aws_smithy_http_client::{Builder, Connector};
use pipeline::{Error, Result};

use super::url::S3Url;

const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// Signatures want a region; stores that have none take this one.
const ANY_REGION: &str = "us-east-1";

/// A client for this address. Reads configuration and opens no connection to the store.
pub(crate) async fn client(url: &S3Url) -> Result<Client> {
    let http = http_client(url)?;
    let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
        .http_client(http)
        .timeout_config(TimeoutConfig::builder().connect_timeout(CONNECT_WITHIN).build());
    if let Some(profile) = &url.profile {
        loader = loader.profile_name(profile);
    }
    if let Some(region) = &url.region {
        loader = loader.region(Region::new(region.clone()));
    }
    if let Some(keys) = &url.keys {
        loader = loader.credentials_provider(Credentials::new(
            &keys.id,
            keys.secret.expose(),
            None,
            None,
            "given",
        ));
    }
    if url.anonymous {
        loader = loader.no_credentials();
    }
    let shared = loader.load().await;
    let region = shared.region().cloned().unwrap_or_else(|| Region::new(ANY_REGION));
    let mut config = aws_sdk_s3::config::Builder::from(&shared)
        .region(region.clone())
        // What is in flight is retried as a whole part, with a patience of our own; a dump that is silent for minutes is no stall.
        .retry_config(RetryConfig::disabled())
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        // Our own checksums go as headers. The SDK's would go as trailers, which many stores refuse.
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
        // Host names that carry the bucket need a wildcard in DNS and certificate, which few stores but AWS have.
        .force_path_style(url.path_style.unwrap_or(!url.is_aws()))
        .use_arn_region(true)
        .use_dual_stack(url.dual_stack);
    if let Some(endpoint) = &url.endpoint {
        config = config.endpoint_url(endpoint);
    }
    if let Some(role) = &url.role_arn {
        let mut provider =
            AssumeRoleProvider::builder(role).session_name("dbferry").region(region).configure(&shared);
        if let Some(id) = &url.external_id {
            provider = provider.external_id(id);
        }
        config = config.credentials_provider(provider.build().await);
    }
    Ok(Client::from_conf(config.build()))
}

fn http_client(url: &S3Url) -> Result<SharedHttpClient> {
    let mut trust = TrustStore::default().with_native_roots(true);
    // The variable is the one of the other AWS tools.
    if let Some(path) = url.ca.clone().or_else(|| std::env::var_os("AWS_CA_BUNDLE").map(PathBuf::from)) {
        let pem = std::fs::read(&path).map_err(|error| {
            Error::usage("cannot read the file of authorities for S3")
                .with("file", path.display())
                .hint("ca= in the S3 address, or AWS_CA_BUNDLE, names a PEM file")
                .caused_by(error)
        })?;
        if !pem.windows(11).any(|window| window == b"-----BEGIN ") {
            return Err(Error::usage("the file of authorities for S3 holds no certificate")
                .with("file", path.display())
                .hint("ca= in the S3 address, or AWS_CA_BUNDLE, names a PEM file"));
        }
        trust = trust.with_pem_certificate(pem);
    }
    let tls = TlsContext::builder()
        .with_trust_store(trust)
        .build()
        .map_err(|error| Error::usage("the authorities for S3 cannot be used").caused_by(error))?;
    Ok(Builder::new().build_with_connector_fn(move |settings, components| {
        let mut builder = Connector::builder()
            .tls_provider(Provider::Rustls(CryptoMode::Ring))
            .tls_context(tls.clone())
            .proxy_config(ProxyConfig::from_env());
        if let Some(settings) = settings {
            builder.set_connector_settings(Some(settings.clone()));
        }
        if let Some(sleep) = components.and_then(RuntimeComponents::sleep_impl) {
            builder.set_sleep_impl(Some(sleep));
        }
        builder.build()
    }))
}
