//! The contract of everything that bytes come from.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::context::Context;
use crate::error::Result;
use crate::frame::FrameSender;

/// What kind of content a stream carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Format {
    /// SQL text as `mysqldump` and `mariadb-dump` write it.
    Mysql,
    /// SQL text as `pg_dump` and `pg_dumpall` write it.
    Postgres,
    /// The custom format of `pg_dump`.
    PostgresCustom,
    /// Rows of one PostgreSQL table in the text form of `COPY`, and nothing else.
    PostgresRows,
    /// A tar stream.
    Tar,
    /// A Redis or Valkey snapshot.
    Rdb,
    /// Commands for a Redis or Valkey server.
    Resp,
    /// A JSON object on every line.
    JsonLines,
    /// Anything else: carried as it is.
    Opaque,
}

impl Format {
    /// The word that the command line and the manifest use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mysql => "mysql",
            Self::Postgres => "postgres",
            Self::PostgresCustom => "postgres-custom",
            Self::PostgresRows => "postgres-rows",
            Self::Tar => "tar",
            Self::Rdb => "rdb",
            Self::Resp => "resp",
            Self::JsonLines => "json-lines",
            Self::Opaque => "opaque",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// When a part may be delivered. A phase begins when every part of the one before it is delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// What must be there before data: tables without their indexes.
    Schema,
    /// Rows; also the only phase of a stream that carries everything in its own order.
    Data,
    /// What comes after the data: indexes, constraints, triggers.
    Finish,
}

/// What is known of a source before it is read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceInfo {
    /// The endpoint as a user would write it, without its secrets.
    pub endpoint: String,
    /// `mysql`, `postgres`, `file`, `directory`, `command`, `stdin`.
    pub kind: String,
    /// Product and version of the server, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// Product and version of the client program that reads it, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// Expected length in bytes of all parts together. An estimate, for progress only: nothing is refused for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_bytes: Option<u64>,
    /// Whatever else is worth keeping: databases, snapshot coordinates, character sets.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub facts: BTreeMap<String, String>,
}

/// Rows or keys per object, where the reader counts them; complete when it has ended.
pub type Counted = Arc<Mutex<BTreeMap<String, u64>>>;

/// One stream of a job.
pub struct Part {
    /// Path below the archive's root with `/` between names, without an ending for compression; `None` when the archive is
    /// this one stream.
    pub path: Option<String>,
    /// When it may be delivered.
    pub phase: Phase,
    /// What it carries, where the source knows. `None` means: look at the content.
    pub format: Option<Format>,
    /// Expected length in bytes; an estimate.
    pub expected_bytes: Option<u64>,
    /// The steps before the fork are for it. Rows that our own reader has written need none.
    pub rewritten: bool,
    /// Deliveries may compress it. What a stock tool looks for by its name stays as it is.
    pub compressed: bool,
    /// What the reader counts.
    pub counted: Counted,
    /// Reads it.
    pub reader: Box<dyn Reader>,
}

impl Part {
    /// A part that goes all of the way, of the phase for data and of unknown length.
    pub fn new(path: Option<String>, format: Option<Format>, reader: Box<dyn Reader>) -> Self {
        Self {
            path,
            phase: Phase::Data,
            format,
            expected_bytes: None,
            rewritten: true,
            compressed: true,
            counted: Counted::default(),
            reader,
        }
    }
}

impl fmt::Debug for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Part")
            .field("path", &self.path)
            .field("phase", &self.phase)
            .field("format", &self.format)
            .finish_non_exhaustive()
    }
}

/// Something that bytes come from.
///
/// # Contract
///
/// - `probe` comes first. It changes nothing at the source, and finds out whatever can be found out before reading: that the server answers, that
///   the password is right, that the client program fits. What it cannot find out it leaves to the readers.
/// - The engine then asks for parts until there are no more; it holds several at once when the job allows, so the source need not know
///   all of them beforehand. Phases never go back.
/// - `finish` comes after every part was delivered whole, and is the last chance to say that they do not belong together (a table altered in
///   between). It is not called when the run failed: dropping a source lets go of all that it holds.
#[async_trait]
pub trait Source: Send {
    /// The endpoint without its secrets, for messages before `probe`.
    fn endpoint(&self) -> String;

    /// Looks, without side effects.
    async fn probe(&mut self, cx: &Context) -> Result<SourceInfo>;

    /// The next part, or `None` after the last. Cancel safe.
    async fn next_part(&mut self, cx: &Context) -> Result<Option<Part>>;

    /// Confirms that the parts delivered are one consistent whole, and adds what only now is known.
    async fn finish(self: Box<Self>, cx: &Context) -> Result<BTreeMap<String, String>>;
}

/// Reads one part.
///
/// # Contract
///
/// - `Ok` means that the source itself said that the part is complete: exit status 0, the protocol's final packet, the file's own length. Anything else
///   is an error. The engine sends the explicit end only after `Ok`.
/// - The reader holds at most [`Reader::memory`] bytes of its own besides what the channel holds.
/// - A stalled channel must not break the source: raise the server's timeouts first.
/// - When the context is cancelled the reader lets go of children and connections and returns within a few seconds; whatever it returns then is
///   not reported. It must also let go when it is dropped at any await.
#[async_trait]
pub trait Reader: Send {
    /// Upper bound in bytes of what the reader buffers.
    fn memory(&self) -> usize;

    /// Sends the part.
    async fn read(self: Box<Self>, out: &mut FrameSender, cx: &Context) -> Result<()>;
}
