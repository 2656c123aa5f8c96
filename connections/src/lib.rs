//! Connections to database servers, for whoever reads from them, writes to them or looks at them.
//!
//! A URL means the same everywhere: the same encryption, the same trust, the same words when it does not work. Errors are those of the
//! source; who connects to a destination moves them there with [`pipeline::Error::at`].

use std::time::Duration;

use pipeline::endpoint::DatabaseUrl;

pub mod mysql;
pub mod postgres;
pub mod redis;
pub mod tls;
pub mod trust;

/// How long a server may take to answer a connection: `connect_timeout=` in seconds, else 15.
fn connect_timeout(url: &DatabaseUrl) -> Duration {
    url.parameters
        .get("connect_timeout")
        .and_then(|text| text.parse().ok())
        .filter(|seconds| *seconds > 0)
        .map_or(Duration::from_secs(15), Duration::from_secs)
}
