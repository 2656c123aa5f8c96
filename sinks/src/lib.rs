//! Where bytes go: [`file`](mod@file) systems, mounted volumes ([`pvc`]), [`s3`], [`stdout`], [`null`], and databases ([`mysql`], [`postgres`], [`redis`]).

use pipeline::{Error, Result, manifest};

mod crew;
pub mod file;
pub mod mysql;
pub mod null;
mod occupied;
pub mod postgres;
pub mod pvc;
pub mod redis;
pub mod s3;
pub mod stdout;
mod writer;

pub use file::{FileDestination, FileOptions};
pub use mysql::{MysqlDestination, MysqlLoad};
pub use null::NullDestination;
pub use occupied::Occupied;
pub use postgres::{PostgresDestination, PostgresLoad};
pub use pvc::PvcDestination;
pub use redis::{Conflict, RedisDestination, RedisLoad};
pub use s3::{S3Destination, S3Options};
pub use stdout::StdoutDestination;

/// The path of a part, checked.
fn part_path(path: &str) -> Result<&std::path::Path> {
    match manifest::check_part_path(path) {
        Ok(()) => Ok(std::path::Path::new(path)),
        Err(why) => Err(Error::sink("a part's path cannot be used")
            .with("path", format!("{path:?}"))
            .with("why", why)),
    }
}
