//! Where bytes come from: database clients, files, directories, objects, commands.
//!
//! Every source keeps the contract of [`pipeline::Source`]: its `Ok` means that the origin itself said that the stream is complete.

use std::collections::BTreeMap;

use pipeline::manifest::ARGUMENTS;
use pipeline::{Format, Part, Reader};

mod archive;
mod child;
mod command;
mod directory;
mod file;
mod mysql;
mod planned;
mod postgres;
mod programs;
mod redis;
mod s3;
mod selection;
#[cfg(test)]
mod testing;
mod thread;
mod window;

pub use child::kill_children;
pub use command::CommandSource;
pub use directory::{DirectoryOptions, DirectorySource};
pub use file::{FileSource, path_source};
pub use mysql::{MysqlDump, MysqlNative, MysqlOptions, NativeOptions, SnapshotWay};
pub use postgres::{PartsStored, PgDump, PgNative, PgNativeOptions, PgOptions, pg_restore};
pub use redis::{READER_MEMORY as REDIS_READER_MEMORY, RedisDump, RedisOptions, RedisSync};
pub use s3::S3Source;
pub use selection::{Content, Selection};

/// The only part of a source that is one stream.
fn whole(format: Option<Format>, expected_bytes: Option<u64>, reader: Box<dyn Reader>) -> Part {
    Part { expected_bytes, ..Part::new(None, format, reader) }
}

/// What a dump program was asked beside what every dump asks: a dump without some tables does not replace one that has them.
fn asked(mut facts: BTreeMap<String, String>, arguments: &[String]) -> BTreeMap<String, String> {
    if !arguments.is_empty() {
        facts.insert(ARGUMENTS.to_owned(), arguments.join(" "));
    }
    facts
}
