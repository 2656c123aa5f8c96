//! From an address to a client: connections, credentials, region.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

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
const RENEWED_AT_MOST_EVERY: Duration = Duration::from_millis(500);
/// Signatures want a region; stores that have none take this one.
const ANY_REGION: &str = "us-east-1";

/// The client of a bucket, which can be made anew when its credentials are no good any more.
#[derive(Debug)]
pub(crate) struct Clients {
    url: S3Url,
    http: SharedHttpClient,
    now: Mutex<(Client, Instant)>,
    renewing: tokio::sync::Mutex<()>,
}

impl Clients {
    pub(crate) async fn new(url: &S3Url) -> Result<Self> {
        let http = http_client(url)?;
        let now = Mutex::new((client(url, http.clone()).await, Instant::now()));
        Ok(Self { url: url.clone(), http, now, renewing: tokio::sync::Mutex::default() })
    }

    pub(crate) fn now(&self) -> Client {
        self.now.lock().unwrap_or_else(PoisonError::into_inner).0.clone()
    }

    /// Reads the credentials again from where they come from. Connections stay.
    pub(crate) async fn renew(&self) {
        // Parts in flight meet the end of their credentials together.
        let _one_at_a_time = self.renewing.lock().await;
        let made = self.now.lock().unwrap_or_else(PoisonError::into_inner).1;
        if made.elapsed() < RENEWED_AT_MOST_EVERY {
            return;
        }
        let fresh = client(&self.url, self.http.clone()).await;
        *self.now.lock().unwrap_or_else(PoisonError::into_inner) = (fresh, Instant::now());
    }
}

/// A client for this address. Reads configuration and opens no connection to the store.
async fn client(url: &S3Url, http: SharedHttpClient) -> Client {
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
    Client::from_conf(config.build())
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

#[cfg(test)]
mod tests {
    use aws_sdk_s3::presigning::PresigningConfig;
    use pipeline::endpoint::Secret;

    use super::super::url::Keys;
    use super::*;

    /// Where a request for an object goes. Nothing is sent.
    async fn request(address: &str) -> String {
        let mut url = S3Url::parse(address).unwrap();
        url.keys = Some(Keys { id: "AKIAX".to_owned(), secret: Secret::new("x") });
        let config = PresigningConfig::expires_in(Duration::from_secs(60)).unwrap();
        let get = Clients::new(&url).await.unwrap().now().get_object().bucket(&url.bucket).key(&url.key);
        let uri = get.presigned(config).await.unwrap().uri().to_owned();
        uri.split('?').next().unwrap_or_default().to_owned()
    }

    #[tokio::test]
    async fn buckets_access_points_and_dual_stack_have_their_hosts() {
        let arn = "arn:aws:s3:eu-west-1:123456789012:accesspoint/ap";
        let alias = "ap-7hf3kq8znb4rexample2d5cuse1a-s3alias";
        for (address, at) in [
            ("s3://b-1/a/k?region=eu-west-1", "https://b-1.s3.eu-west-1.amazonaws.com/a/k"),
            ("s3://b-1/k?region=eu-west-1&dual_stack", "https://b-1.s3.dualstack.eu-west-1.amazonaws.com/k"),
            ("s3://b-1/k?region=eu-west-1&path_style", "https://s3.eu-west-1.amazonaws.com/b-1/k"),
            ("s3://b-1/k?region=cn-north-1", "https://b-1.s3.cn-north-1.amazonaws.com.cn/k"),
            // A dot would not fit the certificate's wildcard.
            ("s3://b.1/k?region=eu-west-1", "https://s3.eu-west-1.amazonaws.com/b.1/k"),
            // The region is the ARN's own.
            (
                &format!("s3://{arn}/a/k?region=us-east-1"),
                "https://ap-123456789012.s3-accesspoint.eu-west-1.amazonaws.com/a/k",
            ),
            (
                &format!("s3://{arn}/k?dual_stack"),
                "https://ap-123456789012.s3-accesspoint.dualstack.eu-west-1.amazonaws.com/k",
            ),
            (
                &format!("s3://{alias}/k?region=eu-west-1"),
                &format!("https://{alias}.s3.eu-west-1.amazonaws.com/k"),
            ),
            ("s3://b-1/k?endpoint=http://[::1]:9000", "http://[::1]:9000/b-1/k"),
            ("s3://b-1/k?endpoint=https://s3.example.com&path_style=0", "https://b-1.s3.example.com/k"),
        ] {
            assert_eq!(request(address).await, at, "{address}");
        }
    }
}
