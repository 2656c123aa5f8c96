//! A dump as many parts, in the layout of mydumper: every definition, ranges of the tables' rows, and what comes behind them, in files that each
//! load by themselves. Nothing has to be put in order here, so what a connection reads goes to a compressor and a file of its own.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError};

use async_trait::async_trait;
use connections::mysql::wire::Wire;
use jiff::Timestamp;
use pipeline::endpoint::DatabaseUrl;
use pipeline::{Context, Counted, Error, Format, FrameSender, Part, Phase, Reader, Result};
use tokio::sync::{Mutex, mpsc};

use super::chunks::{Chunks, Seen};
use super::look::{self, Look, Program, Relation, Shape, broken_view};
use super::rows::Inserts;
use super::script::rows_of;
use super::{Broken, NativeReader, Opened, explain, fetch, identifier};
use crate::Content;
use crate::planned::{Planner, Text, target};
use crate::window::Outlet;

/// Names are made of at most this many bytes of what they name: two of them and an ending are the name of a file.
const NAME: usize = 90;

/// What a client's session needs for a file, which it may read in any order.
const HEAD: &str = "SET NAMES utf8mb4;\nSET TIME_ZONE='+00:00', UNIQUE_CHECKS=0, FOREIGN_KEY_CHECKS=0, SQL_MODE='NO_AUTO_VALUE_ON_ZERO';\n";

/// Tells a whole file from a cut one.
const TAIL: &[u8] = b"\n-- Dump completed\n";

/// What the parts' readers share.
struct Shared {
    url: DatabaseUrl,
    look: Mutex<Look>,
    /// Connections that nobody reads over.
    idle: Mutex<mpsc::UnboundedReceiver<Wire>>,
    back: mpsc::UnboundedSender<Wire>,
}

/// A table while it is read.
struct Table {
    relation: Relation,
    signature: u64,
    /// Ranges that are not read yet, and one more until all are planned.
    left: AtomicUsize,
    seen: Seen,
}

impl Shared {
    /// One range was read, or the last was planned. Behind the last row the table must still be the one of the definition.
    async fn done(&self, table: &Table) -> Result<()> {
        if table.left.fetch_sub(1, Ordering::AcqRel) > 1 {
            return Ok(());
        }
        let (_, now) = self.look.lock().await.table(&table.relation).await?;
        if hash(&now) == table.signature { Ok(()) } else { Err(look::altered(&table.relation)) }
    }
}

fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}

struct Layout<'a> {
    reader: &'a NativeReader,
    relations: &'a [Relation],
    shared: Arc<Shared>,
    named: bool,
    to: Planner,
}

/// Takes the snapshot and plans the parts.
pub(super) async fn plan(reader: NativeReader, to: Planner, cx: Context) -> Result<()> {
    let (reader, cx) = (&reader, &cx);
    let began = Timestamp::now();
    let Opened { look, relations, wires, mut walker, position } = reader.begin(cx).await?;
    let (back, idle) = mpsc::unbounded_channel();
    for wire in wires {
        // The other end is beside this one.
        back.send(wire).ok();
    }
    let shared = Shared { url: reader.url.clone(), look: Mutex::new(look), idle: Mutex::new(idle), back };
    let layout = Layout {
        reader,
        relations: &relations,
        shared: Arc::new(shared),
        named: reader.url.databases.len() != 1,
        to,
    };
    let tables = layout.definitions().await?;
    let broken = layout.placeholders().await?;
    if layout.fills() {
        layout.rows(&tables, &mut walker).await?;
    }
    drop(tables);
    if layout.defines() {
        layout.behind(&broken, cx).await?;
    }
    layout.metadata(began, position.as_deref()).await
}

impl Layout<'_> {
    fn defines(&self) -> bool {
        self.reader.selection.content() != Content::Data
    }

    fn fills(&self) -> bool {
        self.reader.selection.content() != Content::Schema
    }

    fn of<'s>(&'s self, schema: &'s str, shape: Shape) -> impl Iterator<Item = &'s Relation> {
        self.relations.iter().filter(move |relation| relation.schema == schema && relation.shape == shape)
    }

    async fn send(&self, part: Part) -> Result<()> {
        self.to.send(part).await
    }

    /// What stands in front of a file's statements.
    fn head(&self, schema: &str) -> Vec<u8> {
        let into = if self.named { format!("USE {};\n", identifier(schema)) } else { String::new() };
        format!("-- dbferry {}, native dump\n{HEAD}{into}", env!("CARGO_PKG_VERSION")).into_bytes()
    }

    async fn text(&self, path: String, phase: Phase, schema: &str, statements: &[u8]) -> Result<()> {
        let text = [&self.head(schema), statements, TAIL].concat();
        self.send(Part { phase, ..Part::new(Some(path), Some(Format::Mysql), Box::new(Text(text.into()))) })
            .await
    }

    /// What has to be there before rows.
    async fn definitions(&self) -> Result<Vec<Arc<Table>>> {
        let mut tables = Vec::new();
        for schema in &self.reader.plan.databases {
            let database = file_name(schema);
            self.shared.look.lock().await.enter(schema).await?;
            if self.named && self.defines() {
                let made =
                    [&self.shared.look.lock().await.database(schema).await?, b";\n".as_slice()].concat();
                let text =
                    [format!("-- dbferry {}\n", env!("CARGO_PKG_VERSION")).as_bytes(), &made, TAIL].concat();
                let path = format!("{database}-schema-create.sql");
                let reader = Box::new(Text(text.into()));
                self.send(Part {
                    phase: Phase::Schema,
                    ..Part::new(Some(path), Some(Format::Mysql), reader)
                })
                .await?;
            }
            for sequence in self.of(schema, Shape::Sequence) {
                let name = identifier(&sequence.name);
                let mut text = Vec::new();
                let mut look = self.shared.look.lock().await;
                if self.defines() {
                    text.extend(format!("DROP SEQUENCE IF EXISTS {name};\n").as_bytes());
                    text.extend([&look.sequence(sequence).await?, b";\n".as_slice()].concat());
                }
                if self.fills() {
                    text.extend([&look.sequence_value(sequence).await?, b";\n".as_slice()].concat());
                }
                drop(look);
                let path = format!("{database}.{}-schema.sql", file_name(&sequence.name));
                self.text(path, Phase::Schema, schema, &text).await?;
            }
            for table in self.of(schema, Shape::Table) {
                let (definition, signature) = self.shared.look.lock().await.table(table).await?;
                tables.push(Arc::new(Table {
                    relation: table.clone(),
                    signature: hash(&signature),
                    left: AtomicUsize::new(1),
                    seen: Seen::default(),
                }));
                if self.defines() {
                    let drop = format!("DROP TABLE IF EXISTS {};\n", identifier(&table.name));
                    let text = [drop.as_bytes(), &definition, b";\n"].concat();
                    let path = format!("{database}.{}-schema.sql", file_name(&table.name));
                    self.text(path, Phase::Schema, schema, &text).await?;
                }
            }
        }
        Ok(tables)
    }

    /// Views of the right columns that need nothing, so that a view may refer to one whose file comes later. Answers those that are
    /// broken at the source.
    async fn placeholders(&self) -> Result<Vec<&Relation>> {
        let mut broken = Vec::new();
        for schema in self.reader.plan.databases.iter().filter(|_| self.defines()) {
            self.shared.look.lock().await.enter(schema).await?;
            for view in self.of(schema, Shape::View) {
                let Some(made) = self.shared.look.lock().await.placeholder(view).await? else {
                    broken.push(view);
                    continue;
                };
                let text = format!("DROP VIEW IF EXISTS {};\n{made};\n", identifier(&view.name));
                let path = format!("{}.{}-schema.sql", file_name(schema), file_name(&view.name));
                self.text(path, Phase::Schema, schema, text.as_bytes()).await?;
            }
        }
        Ok(broken)
    }

    /// Ranges of all tables, the largest table first: what is read last should be small.
    async fn rows(&self, tables: &[Arc<Table>], walker: &mut Option<Wire>) -> Result<()> {
        let mut sorted: Vec<&Arc<Table>> = tables.iter().filter(|table| table.relation.holds_rows).collect();
        sorted.sort_by_key(|table| std::cmp::Reverse(table.relation.bytes));
        for table in sorted {
            let relation = &table.relation;
            let target = target(relation.bytes);
            let mut look = self.shared.look.lock().await;
            let columns = look.columns(relation).await?;
            let large = relation.innodb && relation.bytes > target && walker.is_some();
            let key = if large { look.key(relation).await? } else { None };
            drop(look);
            let stem = format!("{}.{}", file_name(&relation.schema), file_name(&relation.name));
            let mut chunks = match walker {
                Some(walker) if key.is_some() => {
                    Some(Chunks::plan(relation, key, target, walker, &self.shared.url).await?)
                }
                _ => None,
            };
            for number in 0_u64.. {
                let (range, last) = match (&mut chunks, &mut *walker) {
                    (Some(chunks), Some(walker)) => {
                        chunks.next(&table.seen, walker, &self.shared.url).await?
                    }
                    _ => (String::new(), true),
                };
                let (query, inserts) = rows_of(relation, &columns, &range, &self.reader.selection);
                table.left.fetch_add(1, Ordering::AcqRel);
                let counted = Counted::default();
                let reader = Rows {
                    shared: Arc::clone(&self.shared),
                    table: Arc::clone(table),
                    query,
                    inserts: inserts.behind(self.head(&relation.schema)),
                    counted: Arc::clone(&counted),
                };
                let path = Some(format!("{stem}.{number:05}.sql"));
                self.send(Part {
                    rewritten: false,
                    counted,
                    ..Part::new(path, Some(Format::Mysql), Box::new(reader))
                })
                .await?;
                if last {
                    break;
                }
            }
            self.shared.done(table).await?;
        }
        Ok(())
    }

    /// What may need all of the above: stored programs, then triggers, then views, which may call programs.
    async fn behind(&self, broken: &[&Relation], cx: &Context) -> Result<()> {
        for schema in &self.reader.plan.databases {
            let database = file_name(schema);
            self.shared.look.lock().await.enter(schema).await?;
            let kinds = [
                Program::Function,
                Program::Procedure,
                Program::Package,
                Program::PackageBody,
                Program::Event,
            ];
            let mut text = Vec::new();
            for kind in kinds.into_iter().filter(|_| !self.reader.selection.names_tables()) {
                let mut look = self.shared.look.lock().await;
                for (name, _) in look.programs(schema, kind).await? {
                    text.extend(look.program(schema, &name, kind).await?);
                }
            }
            if !text.is_empty() {
                self.text(format!("{database}-schema-post.sql"), Phase::Finish, schema, &text).await?;
            }
            let mut triggers: Vec<(String, Vec<u8>)> = Vec::new();
            let named = self.shared.look.lock().await.programs(schema, Program::Trigger).await?;
            for (name, table) in named {
                if !self.reader.selection.takes(schema.as_bytes(), table.as_bytes()) {
                    continue;
                }
                let made = self.shared.look.lock().await.program(schema, &name, Program::Trigger).await?;
                match triggers.last_mut() {
                    Some((last, text)) if *last == table => text.extend(made),
                    _ => triggers.push((table, made)),
                }
            }
            for (table, text) in triggers {
                let path = format!("{database}.{}-schema-triggers.sql", file_name(&table));
                self.text(path, Phase::Finish, schema, &text).await?;
            }
        }
        for schema in &self.reader.plan.databases {
            self.shared.look.lock().await.enter(schema).await?;
            for view in self.of(schema, Shape::View) {
                let made = self.shared.look.lock().await.view(view).await?;
                let text = if broken.contains(&view) {
                    broken_view(view, &made, cx)
                } else {
                    [format!("DROP VIEW IF EXISTS {};\n", identifier(&view.name)).as_bytes(), &made].concat()
                };
                let path = format!("{}.{}-schema-view.sql", file_name(schema), file_name(&view.name));
                self.text(path, Phase::Finish, schema, &text).await?;
            }
        }
        Ok(())
    }

    /// What `myloader` knows a dump by.
    async fn metadata(&self, began: Timestamp, position: Option<&str>) -> Result<()> {
        let shown = |at: Timestamp| at.strftime("%Y-%m-%d %H:%M:%S").to_string();
        let mut lines = vec![format!("Started dump at: {}\n", shown(began))];
        if let Some((log, rest)) = position.and_then(|text| text.split_once(':')) {
            let (position, gtid) = rest.split_once(' ').unwrap_or((rest, ""));
            lines.push(format!("SHOW MASTER STATUS:\n\tLog: {log}\n\tPos: {position}\n\tGTID:{gtid}\n\n"));
        }
        lines.push(format!("Finished dump at: {}\n", shown(Timestamp::now())));
        let text = lines.concat();
        let reader = Box::new(Text(text.into()));
        self.send(Part {
            phase: Phase::Finish,
            rewritten: false,
            compressed: false,
            ..Part::new(Some("metadata".to_owned()), Some(Format::Opaque), reader)
        })
        .await
    }
}

/// A name as a part of a file's name: whatever means something there, or to who takes the name apart, is escaped.
fn file_name(name: &str) -> String {
    let mut text = String::new();
    for character in name.chars() {
        if character.is_control() || "./\\%".contains(character) {
            let mut bytes = [0; 4];
            text.extend(character.encode_utf8(&mut bytes).bytes().map(|byte| format!("%{byte:02X}")));
        } else {
            text.push(character);
        }
    }
    if text.len() <= NAME {
        return text;
    }
    let cut = (0..=NAME).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    format!("{}~{:016x}", &text[..cut], hash(name.as_bytes()))
}

/// A range of a table.
struct Rows {
    shared: Arc<Shared>,
    table: Arc<Table>,
    query: String,
    inserts: Inserts,
    counted: Counted,
}

#[async_trait]
impl Reader for Rows {
    fn memory(&self) -> usize {
        super::part_memory()
    }

    async fn read(self: Box<Self>, out: &mut FrameSender, cx: &Context) -> Result<()> {
        tokio::select! {
            result = self.carry(out) => result,
            () = cx.cancellation().cancelled() => Err(Error::cancelled()),
        }
    }
}

impl Rows {
    async fn carry(mut self: Box<Self>, out: &mut FrameSender) -> Result<()> {
        let wire = self.shared.idle.lock().await.recv().await;
        let mut wire = wire.ok_or_else(|| Error::bug("no connection is left to read over"))?;
        let name = format!("{}.{}", self.table.relation.schema, self.table.relation.name);
        let read =
            fetch(&mut wire, &self.query, &mut self.inserts, &self.table.seen, Outlet::Part(out)).await;
        match read {
            Ok(()) => {}
            Err(Broken::Unwanted) => return Err(Error::closed()),
            Err(Broken::Failure(failure)) => return Err(explain(failure, &self.shared.url, &name)),
            Err(Broken::Error(error)) => return Err(error.with("table", name)),
        }
        out.send(TAIL.into()).await?;
        // Nobody reads after the last part.
        self.shared.back.send(wire).ok();
        self.counted.lock().unwrap_or_else(PoisonError::into_inner).insert(name, self.inserts.rows());
        self.shared.done(&self.table).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files_are_plain_and_differ() {
        assert_eq!(file_name("orders"), "orders");
        assert_eq!(file_name("a.b/c%\n"), "a%2Eb%2Fc%25%0A");
        assert_eq!(file_name("日本"), "日本");
        let long = "x".repeat(200);
        assert!(file_name(&long).len() < 120);
        assert_ne!(file_name(&long), file_name(&format!("{long}y")));
    }
}
