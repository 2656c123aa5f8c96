//! Real servers for tests and the demo, their sample data, and fingerprints of what they hold.
//!
//! A dump tool that was only ever run against mocks carries what its author believed. This crate starts
//! MariaDB, MySQL, PostgreSQL, Redis and Valkey themselves: as child processes on free ports, in throw-away directories,
//! under an unprivileged account, gone when the value is dropped, when the test panics and when the test
//! process is killed. [`Needs`] says what is installed; `tests/servers/install` installs it; [`Trials`]
//! turns a missing server into an ignored trial, or a failed one where `DBFERRY_REQUIRE_SERVERS=1`.
//!
//! ```no_run
//! # fn main() -> test_servers::Result<()> {
//! let source = test_servers::mariadb()?;
//! test_servers::sample::load_shop(&source, "shop")?;
//! let before = test_servers::fingerprint::mysql(&source, "shop", &Default::default())?;
//! # Ok(()) }
//! ```

mod client;
mod cluster;
mod daemon;
mod error;
pub mod fingerprint;
mod mysql;
mod place;
mod postgres;
mod redis;
pub mod s3;
pub mod sample;
mod stores;
mod trials;

pub use cluster::RedisCluster;
pub use error::{Error, Result};
pub use mysql::{Flavour, MySqlOptions, MySqlServer, mariadb, mysql, mysql_like_rds};
pub use place::{Needs, cache_dir};
pub use postgres::{PostgresOptions, PostgresServer, postgres, postgres_like_rds, postgres_unstable};
pub use redis::{RedisFlavour, RedisOptions, RedisServer, redis};
pub use stores::{StoreServer, garage, moto};
pub use trials::{TestResult, Trials};
