//! A dump as many parts: `pre-data.sql`, ranges of the tables' rows in files of their own, `post-data.sql`, and `restore.sql`, with which `psql`
//! puts them together. Rows go from a connection to a compressor and a file without having been put in order.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use connections::postgres::wire::Wire;
use pipeline::endpoint::DatabaseUrl;
use pipeline::{Context, Counted, Error, Format, FrameSender, Part, Phase, Reader, Result};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::look::{Relation, Shape};
use super::ranges::{Ranges, Seen};
use super::script::Script;
use super::section::{self, Section};
use super::{NativeReader, Opened, Outlet, broken, fetch, part_memory};
use crate::planned::{Planner, Text, target};
use crate::window::Joiner;

/// Names are made of at most this many bytes of what they name.
const NAME: usize = 90;

/// How the parts with rows are stored.
#[derive(Debug, Clone, Default)]
pub struct Stored {
    /// What compression adds to their names.
    pub ending: &'static str,
    /// The program that a restore runs to read them.
    pub reader: Option<&'static str>,
}

/// A section whose `pg_dump` runs.
struct Running {
    section: Section,
    task: JoinSet<Result<()>>,
}

impl Running {
    fn start(
        reader: &Arc<NativeReader>,
        opened: &Arc<Opened>,
        only: &'static [&'static str],
        tables: bool,
        cx: &Context,
    ) -> Self {
        let (to, section) = section::section(true);
        let mut task = JoinSet::new();
        let (reader, opened, cx) = (Arc::clone(reader), Arc::clone(opened), cx.clone());
        task.spawn(async move {
            let tables = if tables { opened.chosen.arguments.as_slice() } else { &[] };
            reader.sections(&opened.name).run(only, tables, to, &cx).await
        });
        Self { section, task }
    }
}

/// What the parts share.
struct Shared {
    reader: Arc<NativeReader>,
    opened: Arc<Opened>,
    idle: tokio::sync::Mutex<mpsc::UnboundedReceiver<Wire>>,
    back: mpsc::UnboundedSender<Wire>,
    /// The section in front of the rows, whose privileges come behind them.
    before: Mutex<Option<Running>>,
}

impl Shared {
    fn url(&self) -> &DatabaseUrl {
        &self.reader.url
    }
}

pub(super) async fn plan(reader: NativeReader, stored: Stored, to: Planner, cx: Context) -> Result<()> {
    let reader = Arc::new(reader);
    let (opened, mut leader, wires) = reader.begin(&cx).await?;
    let (opened, split) = (Arc::new(opened), wires.len() > 1);
    let (back, idle) = mpsc::unbounded_channel();
    for wire in wires {
        // The other end is beside this one.
        back.send(wire).ok();
    }
    // All at once, so that each has its locks before somebody queues up for one.
    let before = Running::start(&reader, &opened, &["--section=pre-data"], true, &cx);
    let after = Running::start(&reader, &opened, &["--section=post-data"], true, &cx);
    // Of a schema that holds nothing pg_dump would dump, and the large objects, which belong to no schema.
    let large: &[&str] = &["--section=data", "--blobs", "--schema=pg_toast"];
    let objects = reader.has_objects(&mut leader).await?;
    let objects = objects.then(|| Running::start(&reader, &opened, large, false, &cx));
    let shared = Arc::new(Shared {
        reader: Arc::clone(&reader),
        opened: Arc::clone(&opened),
        idle: tokio::sync::Mutex::new(idle),
        back,
        before: Mutex::new(None),
    });
    let sql = |path: &str, phase, reader: Box<dyn Reader>| Part {
        phase,
        compressed: false,
        ..Part::new(Some(path.to_owned()), Some(Format::Postgres), reader)
    };
    let first = Before { shared: Arc::clone(&shared), running: before };
    to.send(sql("pre-data.sql", Phase::Schema, Box::new(first))).await?;

    let mut restore =
        b"-- In this directory: psql -f restore.sql DATABASE\n\\set ON_ERROR_STOP on\n\\ir pre-data.sql\n"
            .to_vec();
    let script = reader.script(&opened, split);
    let mut tables: Vec<&Relation> =
        opened.relations.iter().filter(|relation| relation.shape == Shape::Table && script.fills).collect();
    let bytes = |table: &Relation| table.blocks * opened.block + table.toast;
    if reader.selection.content() != crate::Content::Data {
        // The largest first: what is read last should be small. Rows alone stay in the order of their references.
        tables.sort_by_key(|table| std::cmp::Reverse(bytes(table)));
    }
    for table in tables {
        let into = table.root.as_ref().unwrap_or(&table.quoted);
        // No command of psql can have a line break in it, and a statement can.
        let inline = [into, &table.columns].iter().any(|text| text.contains(&b'\n'));
        let stem = format!("{}.{}", file_name(&table.schema), file_name(&table.name));
        let seen = Arc::new(Seen::default());
        let mut ranges = Ranges::plan(table, split, opened.block, target(bytes(table)));
        let mut number = 0;
        while let Some(range) = ranges.next(&seen) {
            let path = format!("data/{stem}.{number:05}.{}", if inline { "sql" } else { "copy" });
            number += 1;
            let name = if inline { path.clone() } else { format!("{path}{}", stored.ending) };
            let statement = [into.as_slice(), b" ", &table.columns].concat();
            let line = match stored.reader {
                _ if inline => format!("\\ir {name}\n").into_bytes(),
                Some(program) => [
                    b"\\copy ",
                    statement.as_slice(),
                    format!(" from program '{program} {name}'\n").as_bytes(),
                ]
                .concat(),
                None => [b"\\copy ", statement.as_slice(), format!(" from '{name}'\n").as_bytes()].concat(),
            };
            restore.extend(line);
            let counted = Counted::default();
            let rows = Rows {
                shared: Arc::clone(&shared),
                table: table.shown(),
                copy: script.copy(table, &range.condition),
                blocks: range.blocks,
                seen: Arc::clone(&seen),
                inline: inline.then_some(statement),
                counted: Arc::clone(&counted),
            };
            to.send(Part {
                rewritten: false,
                compressed: !inline,
                counted,
                ..Part::new(
                    Some(path),
                    Some(if inline { Format::Opaque } else { Format::PostgresRows }),
                    Box::new(rows),
                )
            })
            .await?;
        }
    }
    if let Some(objects) = objects {
        restore.extend(b"\\ir data/large-objects.sql\n");
        let whole = Whole { running: objects };
        to.send(sql("data/large-objects.sql", Phase::Data, Box::new(whole))).await?;
    }
    restore.extend(b"\\ir post-data.sql\n");
    to.send(Part {
        phase: Phase::Finish,
        rewritten: false,
        compressed: false,
        ..Part::new(Some("restore.sql".to_owned()), Some(Format::Opaque), Box::new(Text(restore.into())))
    })
    .await?;
    let last = After { shared, running: after, leader, split };
    to.send(sql("post-data.sql", Phase::Finish, Box::new(last))).await
}

/// A name as a part of a file's name that neither a shell nor `psql` nor who takes it apart reads anything into.
fn file_name(name: &[u8]) -> String {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let escaped = |byte: &u8| {
        if byte.is_ascii_alphanumeric() || b"_-".contains(byte) {
            char::from(*byte).to_string()
        } else {
            format!("%{byte:02X}")
        }
    };
    let mut text: String = name.iter().map(escaped).collect();
    if text.len() <= NAME {
        return text;
    }
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    text.truncate(NAME);
    format!("{text}-{:016x}", hasher.finish())
}

/// Ends a section's file as `pg_dump` ends a dump.
fn complete(section: &Section) -> Vec<u8> {
    let mut text = b"--\n-- PostgreSQL database dump complete\n--\n\n".to_vec();
    if let Some(key) = section.key() {
        text.extend([b"\\unrestrict ", key, b"\n\n"].concat());
    }
    text
}

/// What stands in front of the rows; privileges, which come behind them, wait.
struct Before {
    shared: Arc<Shared>,
    running: Running,
}

#[async_trait]
impl Reader for Before {
    fn memory(&self) -> usize {
        part_memory()
    }

    async fn read(self: Box<Self>, out: &mut FrameSender, cx: &Context) -> Result<()> {
        let work = async {
            let Self { shared, running: Running { mut section, mut task } } = *self;
            let mut joiner = Joiner::new(out);
            ended(section.early(&mut joiner), &mut task).await?;
            joiner.text(&complete(&section)).await?;
            joiner.flush().await?;
            *shared.before.lock().unwrap_or_else(PoisonError::into_inner) = Some(Running { section, task });
            Ok(())
        };
        tokio::select! {
            result = work => result,
            () = cx.cancellation().cancelled() => Err(Error::cancelled()),
        }
    }
}

/// A section that is a file of its own.
struct Whole {
    running: Running,
}

#[async_trait]
impl Reader for Whole {
    fn memory(&self) -> usize {
        part_memory()
    }

    async fn read(self: Box<Self>, out: &mut FrameSender, cx: &Context) -> Result<()> {
        let Running { mut section, mut task } = self.running;
        let work = async {
            let mut joiner = Joiner::new(out);
            section.early(&mut joiner).await?;
            let tail = section.late(&mut joiner).await?;
            joiner.text(&tail).await?;
            joiner.flush().await
        };
        tokio::select! {
            result = ended(work, &mut task) => result,
            () = cx.cancellation().cancelled() => Err(Error::cancelled()),
        }
    }
}

/// Reads to the end of a section, and tells of an error of its `pg_dump` before the one that followed from it.
async fn ended(work: impl Future<Output = Result<()>>, task: &mut JoinSet<Result<()>>) -> Result<()> {
    match work.await {
        Ok(()) => Ok(()),
        Err(error) if error.is_consequence() => match task.join_next().await {
            Some(Ok(Err(own))) => Err(own),
            _ => Err(error),
        },
        Err(error) => Err(error),
    }
}

/// What stands behind the rows.
struct After {
    shared: Arc<Shared>,
    running: Running,
    leader: Wire,
    split: bool,
}

#[async_trait]
impl Reader for After {
    fn memory(&self) -> usize {
        part_memory()
    }

    async fn read(self: Box<Self>, out: &mut FrameSender, cx: &Context) -> Result<()> {
        let Self { shared, running, mut leader, split } = *self;
        let before = shared.before.lock().unwrap_or_else(PoisonError::into_inner).take();
        let before = before.ok_or_else(|| Error::bug("the end of a dump is read before its beginning"))?;
        let Running { mut section, mut task } = running;
        let work = async {
            let mut joiner = Joiner::new(out);
            section.early(&mut joiner).await?;
            let script: Script<'_> = shared.reader.script(&shared.opened, split);
            script.sequences(&mut leader, &mut joiner).await?;
            let Running { section: before, task: mut first } = before;
            ended(async { before.late(&mut joiner).await.map(|_| ()) }, &mut first).await?;
            let tail = section.late(&mut joiner).await?;
            // With its transaction went the locks, and with them what kept the tables as they were.
            leader.execute("COMMIT").await.map_err(|failure| {
                broken(failure, shared.url())
                    .hint("the connection that held the tables' locks was lost before all was read")
            })?;
            joiner.text(&tail).await?;
            joiner.flush().await
        };
        tokio::select! {
            result = ended(work, &mut task) => result,
            () = cx.cancellation().cancelled() => Err(Error::cancelled()),
        }
    }
}

/// A range of a table.
struct Rows {
    shared: Arc<Shared>,
    table: String,
    copy: Vec<u8>,
    blocks: u64,
    seen: Arc<Seen>,
    /// Table and columns, when the rows stand in a statement of their own.
    inline: Option<Vec<u8>>,
    counted: Counted,
}

#[async_trait]
impl Reader for Rows {
    fn memory(&self) -> usize {
        part_memory()
    }

    async fn read(self: Box<Self>, out: &mut FrameSender, cx: &Context) -> Result<()> {
        let work = async {
            let wire = self.shared.idle.lock().await.recv().await;
            let mut wire = wire.ok_or_else(|| Error::bug("no connection is left to read over"))?;
            if let Some(into) = &self.inline {
                out.send([b"COPY ", into.as_slice(), b" FROM stdin;\n"].concat().into()).await?;
            }
            let mut to = Outlet::Part(out);
            let fetched = fetch(&mut wire, &self.copy, &self.table, self.shared.url(), &mut to).await?;
            let (rows, bytes) = fetched.ok_or_else(Error::closed)?;
            self.seen.add(self.blocks, bytes);
            if self.inline.is_some() {
                out.send(b"\\.\n"[..].into()).await?;
            }
            // Nobody reads after the last part.
            self.shared.back.send(wire).ok();
            self.counted.lock().unwrap_or_else(PoisonError::into_inner).insert(self.table.clone(), rows);
            Ok(())
        };
        tokio::select! {
            result = work => result,
            () = cx.cancellation().cancelled() => Err(Error::cancelled()),
        }
    }
}
