//! PostgreSQL, with rows read over connections of our own.
//!
//! `pg_dump` reads a table over one connection and a stream over one at a time. Here several connections read ranges of the tables' blocks
//! from one snapshot, and what they read is put together in order, between what `pg_dump` itself writes about the schema from the same
//! snapshot: the stream is the one that it would have written. Rows are copied as they come, from the receive buffer into the stream's.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use connections::postgres::wire::{self, Failure, Wire};
use pipeline::endpoint::{DatabaseUrl, Engine};
use pipeline::{Context, Error, Format, FrameSender, Kind, Part, Reader, Result, Source, SourceInfo};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_postgres::error::SqlState;

use super::{PgDump, PgOptions, chosen, client, inspect};
use crate::planned::Planned;
use crate::window::{self, Fetched, Outlet};
use crate::{Content, Selection, asked, whole};

mod directory;
mod look;
mod ranges;
mod script;
mod section;
mod snapshot;
mod splice;

pub use directory::Stored;
use ranges::Seen;

/// The first version whose tables can be read by ranges of their blocks.
const OLDEST: u32 = 14;

/// How the native reader goes about it.
#[derive(Debug, Clone)]
pub struct PgNativeOptions {
    /// Connections that read rows.
    pub readers: usize,
    /// How long a lock is waited for.
    pub patience: Duration,
    /// Fails with a server that is too old, instead of leaving it to `pg_dump`.
    pub insist: bool,
    /// Many parts instead of one stream, and how those with rows are stored.
    pub directory: Option<Stored>,
}

/// Bytes that the reader of one part of many holds, with its share of what all of them have in common.
fn part_memory() -> usize {
    window::PART + 2 * wire::MEMORY + section::MEMORY / 2
}

impl PgNativeOptions {
    /// Bytes that a reader with these options holds.
    pub fn memory(&self) -> usize {
        if self.directory.is_some() {
            return part_memory();
        }
        let working = self.readers * (window::PIECE + wire::MEMORY) + wire::MEMORY;
        window::memory(self.readers) + working + section::MEMORY
    }
}

/// A PostgreSQL database as a source.
#[derive(Debug)]
pub struct PgNative {
    url: DatabaseUrl,
    options: PgOptions,
    native: PgNativeOptions,
    plan: Option<Plan>,
    /// Does it all, when the server is too old.
    instead: Option<PgDump>,
    /// The parts, when there are many.
    directory: Option<Planned>,
    facts: Arc<Mutex<BTreeMap<String, String>>>,
}

/// What `probe` found out and the reader needs.
#[derive(Debug)]
struct Plan {
    major: u32,
    standby: bool,
    encoding: String,
    client: client::Client,
    arguments: Vec<String>,
    without_owners: bool,
    expected: Option<u64>,
}

impl PgNative {
    /// The database that `url` names.
    pub fn new(url: DatabaseUrl, options: PgOptions, native: PgNativeOptions) -> Result<Self> {
        if url.engine != Engine::Postgres || url.databases.is_empty() || options.custom {
            return Err(Error::bug("the native PostgreSQL reader was asked for what it does not do"));
        }
        // It also checks the options.
        let instead = PgDump::new(url.clone(), options.clone())?;
        Ok(Self {
            url,
            options,
            native,
            plan: None,
            instead: Some(instead),
            directory: None,
            facts: Arc::default(),
        })
    }
}

#[async_trait]
impl Source for PgNative {
    fn endpoint(&self) -> String {
        self.url.to_string()
    }

    async fn probe(&mut self, cx: &Context) -> Result<SourceInfo> {
        let server = inspect::inspect(&self.url).await?;
        if server.major < OLDEST {
            if self.native.insist || self.native.directory.is_some() {
                return Err(Error::source(format!("{} is too old for `--engine native`", server.version))
                    .hint(format!(
                        "PostgreSQL {OLDEST} or newer is read natively; `--engine client` reads all"
                    )));
            }
            cx.info(format!("{} is read by pg_dump: it is older than {OLDEST}", server.version));
            if let Some(instead) = &mut self.instead {
                return instead.probe(cx).await;
            }
        }
        self.instead = None;
        let fact = |name: &str| server.facts.get(name).cloned().unwrap_or_default();
        if self.url.user.is_none() {
            self.url.user = Some(fact("user"));
        }
        let client = client::find("pg_dump", self.options.client.as_deref(), &server).await?;
        let arguments = super::whole_arguments(&self.url, &self.options, &client, cx);
        if !self.options.selection.is_default() {
            // Refuses names that fit nothing before anything is read.
            let mut wire = Wire::connect(&self.url).await?;
            chosen::choose(&mut wire, &self.url, &self.options.selection).await?;
        }
        let info = SourceInfo {
            endpoint: self.endpoint(),
            kind: "postgres".to_owned(),
            server: Some(server.version.clone()),
            client: Some(format!("dbferry {} with {}", env!("CARGO_PKG_VERSION"), client.version)),
            expected_bytes: server.bytes,
            facts: asked(server.facts.clone(), &self.options.asked()),
        };
        self.plan = Some(Plan {
            major: server.major,
            standby: fact("standby") == "true",
            encoding: fact("encoding"),
            without_owners: arguments.iter().any(|argument| argument == "--no-owner"),
            client,
            arguments,
            expected: server.bytes,
        });
        Ok(info)
    }

    async fn next_part(&mut self, cx: &Context) -> Result<Option<Part>> {
        if let Some(instead) = &mut self.instead {
            return instead.next_part(cx).await;
        }
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
        if let Some(stored) = self.native.directory.clone() {
            let cx = cx.clone();
            let parts = Planned::start(|to| directory::plan(reader, stored, to, cx));
            return self.directory.insert(parts).next().await;
        }
        Ok(Some(whole(Some(Format::Postgres), expected, Box::new(reader))))
    }

    async fn finish(self: Box<Self>, _: &Context) -> Result<BTreeMap<String, String>> {
        let facts = self.facts.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(facts.clone())
    }
}

struct NativeReader {
    url: DatabaseUrl,
    plan: Plan,
    options: PgNativeOptions,
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
    /// Takes the snapshot: what it shows, the connection that holds it, and those that read.
    async fn begin(&self, cx: &Context) -> Result<(Opened, Wire, Vec<Wire>)> {
        let taken = snapshot::take(
            &snapshot::Wanted {
                url: &self.url,
                major: self.plan.major,
                standby: self.plan.standby,
                encoding: &self.plan.encoding,
                readers: self.options.readers,
                beside: section::SESSIONS,
                patience: self.options.patience,
                selection: &self.selection,
            },
            cx,
        )
        .await?;
        let snapshot::Snapshot { mut leader, readers: wires, name, position, mut relations, chosen, locked } =
            taken;
        let content = self.selection.content();
        chosen.warn(content, cx);
        if content == Content::Data
            && let Some(oid) = chosen.sort(&mut relations, |relation| relation.oid)
        {
            let table = relations.iter().find(|relation| relation.oid == oid);
            cx.warn(format!(
                "tables refer to each other in a circle ({} is one): their rows load only where the foreign keys are not checked meanwhile",
                table.map(look::Relation::shown).unwrap_or_default()
            ));
        }
        self.note("engine", "native".to_owned());
        self.note("snapshot", name.clone());
        self.note("snapshot_position", position);
        self.note("readers", wires.len().to_string());
        let block =
            look::ask(&mut leader, &self.url, "SELECT pg_catalog.current_setting('block_size')").await?;
        let block = block.parse().unwrap_or(8192);
        Ok((Opened { name, relations, chosen, locked, block }, leader, wires))
    }

    /// Whether large objects belong to the dump. With tables that were named goes what belongs to them, and large objects belong to none.
    async fn has_objects(&self, leader: &mut Wire) -> Result<bool> {
        let objects = "SELECT EXISTS (SELECT FROM pg_catalog.pg_largeobject_metadata)";
        Ok(self.selection.content() != Content::Schema
            && !self.selection.names_tables()
            && look::ask(leader, &self.url, objects).await? == "t")
    }

    fn sections<'a>(&'a self, snapshot: &'a str) -> section::Sections<'a> {
        section::Sections {
            url: &self.url,
            client: &self.plan.client,
            arguments: &self.plan.arguments,
            snapshot,
            encoding: &self.plan.encoding,
            patience: self.options.patience,
        }
    }

    fn script<'a>(&'a self, opened: &'a Opened, split: bool) -> script::Script<'a> {
        script::Script {
            url: &self.url,
            relations: &opened.relations,
            without_owners: self.plan.without_owners,
            split,
            block: opened.block,
            locked: opened.locked,
            fills: self.selection.content() != Content::Schema,
        }
    }

    async fn dump(&self, out: &mut FrameSender, cx: &Context) -> Result<()> {
        let (opened, mut leader, wires) = self.begin(cx).await?;
        let objects = self.has_objects(&mut leader).await?;
        let sections = self.sections(&opened.name);
        let script = self.script(&opened, wires.len() > 1);
        let tables = opened.chosen.arguments.as_slice();
        let places = window::places(wires.len());
        let (jobs, queue) = mpsc::channel(places);
        let queue = Arc::new(tokio::sync::Mutex::new(queue));
        let mut readers = JoinSet::new();
        for wire in wires {
            let (queue, url) = (Arc::clone(&queue), self.url.clone());
            readers.spawn(async move { work(wire, &url, &queue).await });
        }
        drop(queue);
        let (segments, emitted) = mpsc::channel(places);
        let (pre, before) = section::section(true);
        let (post, after) = section::section(false);
        let (large, middle) = section::section(false);
        // Of a schema that holds nothing pg_dump would dump, and the large objects, which belong to no schema.
        let only_large = ["--section=data", "--blobs", "--schema=pg_toast"];
        // The first that fails ends the others. A channel that one of them closed is told after what closed it.
        tokio::try_join!(
            sections.run(&["--section=pre-data"], tables, pre, cx),
            sections.run(&["--section=post-data"], tables, post, cx),
            async { if objects { sections.run(&only_large, &[], large, cx).await } else { Ok(()) } },
            async {
                script.hand_out(jobs, segments).await;
                Ok(())
            },
            script.deliver(emitted, before, objects.then_some(middle), after, &mut leader, out),
        )?;
        Ok(())
    }

    fn note(&self, name: &str, value: String) {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), value);
    }
}

/// A database whose snapshot was taken.
struct Opened {
    /// The snapshot's name.
    name: String,
    relations: Vec<look::Relation>,
    chosen: chosen::Chosen,
    /// The readers hold locks on all tables.
    locked: bool,
    /// Bytes of a block.
    block: u64,
}

/// Rows that one connection fetches.
struct Job {
    /// For messages.
    table: String,
    copy: Vec<u8>,
    blocks: u64,
    to: mpsc::Sender<Fetched>,
    seen: Arc<Seen>,
}

/// Fetches ranges until there are no more.
async fn work(mut wire: Wire, url: &DatabaseUrl, queue: &tokio::sync::Mutex<mpsc::Receiver<Job>>) {
    loop {
        let job = queue.lock().await.recv().await;
        let Some(job) = job else { return };
        let last = match fetch(&mut wire, &job.copy, &job.table, url, &mut Outlet::Piece(&job.to)).await {
            Ok(Some((_, bytes))) => {
                job.seen.add(job.blocks, bytes);
                Fetched::End
            }
            // Nobody takes the rows any more.
            Ok(None) => return,
            Err(error) => Fetched::Failed(error),
        };
        let ended = matches!(last, Fetched::Failed(_));
        if job.to.send(last).await.is_err() || ended {
            return;
        }
    }
}

/// Fetches a range. Answers how many rows and bytes it has, or nothing when nobody takes the rows any more.
async fn fetch(
    wire: &mut Wire,
    copy: &[u8],
    table: &str,
    url: &DatabaseUrl,
    to: &mut Outlet<'_>,
) -> Result<Option<(u64, u64)>> {
    let failed = |failure: Failure| match failure {
        Failure::Server { code, message } => refused(&code, &message, &format!("{table} cannot be read")),
        Failure::Lost(error) => {
            Error::source(format!("the connection to {} was lost while reading {table}", url.place()))
                .of_kind(Kind::Temporary)
                .caused_by(error)
        }
    };
    wire.copy(copy).await.map_err(failed)?;
    let (mut rows, mut bytes) = (0, 0);
    loop {
        let mut piece = Vec::with_capacity(window::PIECE);
        let ended = wire.fill(&mut piece, window::PIECE).await.map_err(failed)?;
        rows += memchr::memchr_iter(b'\n', &piece).count() as u64;
        bytes += piece.len() as u64;
        if !piece.is_empty() && !to.send(piece.into()).await? {
            return Ok(None);
        }
        if let Some(counted) = ended {
            if counted != rows {
                return Err(Error::truncated(format!(
                    "the server says that it sent {counted} rows of {table}, and {rows} came"
                )));
            }
            return Ok(Some((rows, bytes)));
        }
    }
}

/// Why a statement has no answer that should have one.
fn broken(failure: Failure, url: &DatabaseUrl) -> Error {
    match failure {
        Failure::Server { code, message } => refused(&code, &message, "the server ends the dump"),
        failure @ Failure::Lost(_) => failure.explain(url),
    }
}

/// What the server's refusal means, behind the words that say what it refused.
fn refused(code: &SqlState, message: &str, what: &str) -> Error {
    let error = Error::source(format!("{what}: {message}")).with("error", code.code());
    let temporary = |error: Error| error.of_kind(Kind::Temporary);
    match code.code() {
        // Both a snapshot that the standby gave up and a deadlock begin with 40.
        "40001" if message.contains("recovery") => temporary(error).hint(
            "set hot_standby_feedback or max_standby_streaming_delay at the standby, or dump the primary",
        ),
        // The connection that held the snapshot was lost before this one had joined it.
        "22023" if message.contains("invalid snapshot identifier") => temporary(error),
        "55P03" => temporary(error).hint(
            "somebody waits to alter the table, and whoever wants to read it waits behind; run it again when nobody alters the schema",
        ),
        "42P01" | "42703" => {
            temporary(error).hint("it was altered while the dump ran; run it again when nobody alters the schema")
        }
        "42501" if message.contains("row-level security") => error.hint(
            "use a role with BYPASSRLS or the owner of the table; `--engine client --dump-arg=--enable-row-security` would dump a part only",
        ),
        "42501" => error.hint(
            "the role needs SELECT on all tables and sequences and USAGE on their schemas; pg_read_all_data has both",
        ),
        "53200" if message.contains("shared memory") => error
            .hint("raise max_locks_per_transaction at the server: every table of a dump is locked at once"),
        code if ["08", "40", "53", "57"].iter().any(|class| code.starts_with(class)) => temporary(error),
        _ => error,
    }
}
