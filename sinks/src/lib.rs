//! Where bytes go: [`file`](mod@file) systems, mounted volumes ([`pvc`]), [`stdout`], [`null`], and databases ([`mysql`], [`postgres`]).

pub mod file;
pub mod mysql;
pub mod null;
pub mod postgres;
pub mod pvc;
pub mod stdout;
mod writer;

pub use file::{FileDestination, FileOptions};
pub use mysql::{MysqlDestination, MysqlLoad};
pub use null::NullDestination;
pub use postgres::{Occupied, PostgresDestination};
pub use pvc::PvcDestination;
pub use stdout::StdoutDestination;
