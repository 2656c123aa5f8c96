//! MySQL and MariaDB, by connections of our own.
//!
//! Several connections read ranges of the tables' keys from one snapshot, and what they read is put together in order: one stream, the same
//! for the same data however many connections made it, as far as the ranges go. The dump clients spend a processor on making text of rows
//! and cannot use a second one; here a row's bytes are copied once, from the receive buffer into the statement.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use connections::mysql::wire::{self, Failure, Piece, Wire};
use pipeline::endpoint::{DatabaseUrl, Engine};
use pipeline::{Context, Error, Format, FrameSender, Kind, Part, Reader, Result, Source, SourceInfo};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::{MysqlOptions, inspect};
use crate::planned::Planned;
use crate::window::{self, Fetched, Joiner, Outlet};
use crate::{Selection, asked, whole};

mod chunks;
mod directory;
mod look;
mod rows;
mod script;
mod snapshot;

use rows::Inserts;
pub use snapshot::Way;

/// How the native reader goes about it.
#[derive(Debug, Clone)]
pub struct NativeOptions {
    /// Connections that read rows.
    pub readers: usize,
    /// How they come to see the same data; by default the first way that works.
    pub way: Option<Way>,
    /// How long a lock is waited for.
    pub patience: Duration,
    /// Many parts instead of one stream.
    pub directory: bool,
}

/// Bytes that the reader of one part of many holds, with its share of what all of them have in common.
fn part_memory() -> usize {
    window::PART + 3 * wire::MEMORY
}

impl NativeOptions {
    /// Bytes that a reader with these options holds.
    pub fn memory(&self) -> usize {
        if self.directory {
            return part_memory();
        }
        let working = self.readers * (window::PIECE + wire::MEMORY);
        window::memory(self.readers) + working + 2 * wire::MEMORY
    }
}

/// A MySQL or MariaDB server as a source.
#[derive(Debug)]
pub struct MysqlNative {
    url: DatabaseUrl,
    options: MysqlOptions,
    native: NativeOptions,
    plan: Option<Plan>,
    /// The parts, when there are many.
    directory: Option<Planned>,
    facts: Arc<Mutex<BTreeMap<String, String>>>,
}

/// What `probe` found out and the reader needs.
#[derive(Debug)]
struct Plan {
    mariadb: bool,
    version: String,
    databases: Vec<String>,
    expected: Option<u64>,
}

impl MysqlNative {
    /// The server at `url`; its databases are what is dumped.
    pub fn new(url: DatabaseUrl, options: MysqlOptions, native: NativeOptions) -> Result<Self> {
        if url.engine != Engine::Mysql {
            return Err(Error::bug("a URL of another kind was given to the MySQL source"));
        }
        Ok(Self { url, options, native, plan: None, directory: None, facts: Arc::default() })
    }
}

#[async_trait]
impl Source for MysqlNative {
    fn endpoint(&self) -> String {
        self.url.to_string()
    }

    async fn probe(&mut self, cx: &Context) -> Result<SourceInfo> {
        let server = inspect::inspect(&self.url, &self.options, cx).await?;
        let info = SourceInfo {
            endpoint: self.endpoint(),
            kind: "mysql".to_owned(),
            server: Some(server.version.clone()),
            client: Some(concat!("dbferry ", env!("CARGO_PKG_VERSION")).to_owned()),
            expected_bytes: server.bytes,
            facts: asked(server.facts, &self.options.asked()),
        };
        self.plan = Some(Plan {
            mariadb: server.mariadb,
            version: server.version,
            databases: server.databases,
            expected: server.bytes,
        });
        Ok(info)
    }

    async fn next_part(&mut self, cx: &Context) -> Result<Option<Part>> {
        if let Some(directory) = &mut self.directory {
            return directory.next().await;
        }
        let Some(plan) = self.plan.take() else { return Ok(None) };
        let expected = plan.expected;
        let reader = NativeReader {
            url: self.url.clone(),
            plan,
            options: self.native.clone(),
            selection: self.options.selection.clone(),
            facts: Arc::clone(&self.facts),
        };
        if self.native.directory {
            let cx = cx.clone();
            let parts = Planned::start(|to| directory::plan(reader, to, cx));
            return self.directory.insert(parts).next().await;
        }
        Ok(Some(whole(Some(Format::Mysql), expected, Box::new(reader))))
    }

    async fn finish(self: Box<Self>, _: &Context) -> Result<BTreeMap<String, String>> {
        let facts = self.facts.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(facts.clone())
    }
}

struct NativeReader {
    url: DatabaseUrl,
    plan: Plan,
    options: NativeOptions,
    selection: Selection,
    facts: Arc<Mutex<BTreeMap<String, String>>>,
}

#[async_trait]
impl Reader for NativeReader {
    fn memory(&self) -> usize {
        self.options.memory()
    }

    async fn read(self: Box<Self>, out: &mut FrameSender, cx: &Context) -> Result<()> {
        tokio::select! {
            result = self.dump(out, cx) => result,
            () = cx.cancellation().cancelled() => Err(Error::cancelled()),
        }
    }
}

impl NativeReader {
    /// Takes the snapshot.
    async fn begin(&self, cx: &Context) -> Result<Opened> {
        let mut look = look::Look::open(&self.url, self.plan.mariadb).await?;
        let relations = look.relations(&self.plan.databases, &self.selection).await?;
        let tables: Vec<(String, String)> = relations
            .iter()
            .filter(|relation| relation.shape == look::Shape::Table)
            .map(|table| (table.schema.clone(), table.name.clone()))
            .collect();
        // One connection more than read looks up the boundaries of the ranges, in the same snapshot.
        let connections = if self.options.readers > 1 { self.options.readers + 1 } else { 1 };
        let taken = snapshot::take(
            &snapshot::Wanted {
                url: &self.url,
                mariadb: self.plan.mariadb,
                connections,
                tables: &tables,
                way: self.options.way,
                patience: self.options.patience,
            },
            cx,
        )
        .await?;
        let after = look.relations(&self.plan.databases, &self.selection).await?;
        let same = |a: &look::Relation, b: &look::Relation| {
            (&a.schema, &a.name, a.shape) == (&b.schema, &b.name, b.shape)
        };
        if relations.len() != after.len() || !relations.iter().zip(&after).all(|(a, b)| same(a, b)) {
            return Err(Error::source("tables were created or dropped while the snapshot was taken")
                .of_kind(Kind::Temporary)
                .hint("run it again when nobody alters the schema"));
        }
        let mut wires = taken.wires;
        let walker = if wires.len() > 1 { wires.pop() } else { None };
        self.note("engine", "native".to_owned());
        self.note("snapshot", taken.way.to_string());
        self.note("readers", wires.len().to_string());
        if let Some(position) = &taken.position {
            self.note("snapshot_position", position.clone());
        }
        if let Some(locked) = taken.locked {
            self.note("locked_ms", locked.as_millis().to_string());
        }
        Ok(Opened { look, relations, wires, walker, position: taken.position })
    }

    async fn dump(&self, out: &mut FrameSender, cx: &Context) -> Result<()> {
        let Opened { look, relations, wires, walker, .. } = self.begin(cx).await?;
        let ranges = window::places(self.options.readers);
        let (jobs, queue) = mpsc::channel(ranges);
        let queue = Arc::new(tokio::sync::Mutex::new(queue));
        let mut readers = JoinSet::new();
        for wire in wires {
            let (queue, url) = (Arc::clone(&queue), self.url.clone());
            readers.spawn(async move { work(wire, &url, &queue).await });
        }
        drop(queue);
        let (segments, emitted) = mpsc::channel(ranges);
        let look = tokio::sync::Mutex::new(look);
        let script = script::Script {
            url: &self.url,
            version: &self.plan.version,
            databases: &self.plan.databases,
            named: self.url.databases.len() != 1,
            relations: &relations,
            selection: &self.selection,
            look: &look,
        };
        let (written, delivered) =
            tokio::join!(script.write(walker, jobs, segments, cx), deliver(emitted, &look, out, &self.url));
        // What the destination says comes first: without it the script's queue just closed.
        delivered?;
        written
    }

    fn note(&self, name: &str, value: String) {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), value);
    }
}

/// A server whose snapshot was taken.
struct Opened {
    look: look::Look,
    relations: Vec<look::Relation>,
    /// Connections that read rows, at least one.
    wires: Vec<Wire>,
    /// One more, that looks up where tables are cut.
    walker: Option<Wire>,
    position: Option<String>,
}

/// Rows that one connection fetches.
struct Job {
    /// For messages.
    table: String,
    query: String,
    inserts: Inserts,
    /// Closed without [`Fetched::End`] when the connection failed.
    to: mpsc::Sender<Fetched>,
    seen: Arc<chunks::Seen>,
}

/// What is delivered, in order.
enum Segment {
    Text(Vec<u8>),
    Rows(mpsc::Receiver<Fetched>),
    /// Every row of a table was delivered before this: its definition must still be the one in the dump.
    Unchanged {
        table: look::Relation,
        signature: Vec<u8>,
    },
}

/// Fetches ranges until there are no more.
async fn work(mut wire: Wire, url: &DatabaseUrl, queue: &tokio::sync::Mutex<mpsc::Receiver<Job>>) {
    loop {
        let job = queue.lock().await.recv().await;
        let Some(mut job) = job else { return };
        let Job { query, inserts, to, seen, .. } = &mut job;
        let failed = match fetch(&mut wire, query, inserts, seen, Outlet::Piece(to)).await {
            Ok(()) => Fetched::End,
            Err(Broken::Unwanted) => return,
            Err(Broken::Failure(failure)) => Fetched::Failed(explain(failure, url, &job.table)),
            Err(Broken::Error(error)) => Fetched::Failed(error.with("table", &job.table)),
        };
        let ended = matches!(failed, Fetched::Failed(_));
        if job.to.send(failed).await.is_err() || ended {
            return;
        }
    }
}

enum Broken {
    Failure(Failure),
    Error(Error),
    /// Nobody takes the rows any more.
    Unwanted,
}

impl From<Failure> for Broken {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

async fn send(to: &mut Outlet<'_>, data: bytes::Bytes) -> std::result::Result<(), Broken> {
    if to.send(data).await.map_err(Broken::Error)? { Ok(()) } else { Err(Broken::Unwanted) }
}

async fn fetch(
    wire: &mut Wire,
    query: &str,
    inserts: &mut Inserts,
    seen: &chunks::Seen,
    mut to: Outlet<'_>,
) -> std::result::Result<(), Broken> {
    // Without it the transaction would keep every table that was read from being altered, until the dump ends.
    wire.execute("SAVEPOINT dbferry").await?;
    if wire.query(query).await? == 0 {
        return Err(Broken::Error(Error::source("the server answers a question for rows with none")));
    }
    let mut sent = 0;
    loop {
        match wire.piece().await? {
            Piece::Row { bytes, last } => inserts.push(bytes, last).map_err(Broken::Error)?,
            Piece::End => break,
        }
        if let Some(piece) = inserts.piece() {
            sent += piece.len() as u64;
            send(&mut to, piece).await?;
        }
    }
    inserts.end();
    let rest = inserts.take();
    sent += rest.len() as u64;
    seen.add(inserts.rows(), sent);
    if !rest.is_empty() {
        send(&mut to, rest).await?;
    }
    wire.execute("ROLLBACK TO SAVEPOINT dbferry").await?;
    Ok(())
}

fn explain(failure: Failure, url: &DatabaseUrl, table: &str) -> Error {
    match failure {
        Failure::Server { code: code @ (1412 | 1146 | 1054), message } => {
            Error::source(format!("{table} was altered while the dump ran: {message}"))
                .of_kind(Kind::Temporary)
                .with("error", code)
                .hint("run it again when nobody alters the schema")
        }
        Failure::Server { code: code @ (1053 | 1205 | 1213 | 1317 | 1927 | 1969 | 3024 | 4031), message } => {
            Error::source(format!("the server broke off reading {table}: {message}"))
                .of_kind(Kind::Temporary)
                .with("error", code)
        }
        Failure::Server { code, message } => {
            Error::source(format!("{table} cannot be read: {message}")).with("error", code)
        }
        Failure::Lost(error) => {
            Error::source(format!("the connection to {} was lost while reading {table}", url.place()))
                .of_kind(Kind::Temporary)
                .caused_by(error)
        }
    }
}

/// Puts the segments together, each whole before the next.
async fn deliver(
    mut segments: mpsc::Receiver<Segment>,
    look: &tokio::sync::Mutex<look::Look>,
    out: &mut FrameSender,
    url: &DatabaseUrl,
) -> Result<()> {
    let place = url.place();
    let mut joiner = Joiner::new(out);
    while let Some(segment) = segments.recv().await {
        match segment {
            Segment::Text(text) => joiner.text(&text).await?,
            Segment::Rows(rows) => joiner.rows(rows, &place).await?,
            Segment::Unchanged { table, signature } => {
                let (_, now) = look.lock().await.table(&table).await?;
                if now != signature {
                    return Err(look::altered(&table));
                }
            }
        }
    }
    joiner.flush().await
}

/// A quoted name.
fn identifier(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// A string that means the same in every mode of the server.
fn literal(text: &str) -> String {
    inspect::literals(&[text.to_owned()])
}
