//! The order of a dump: what has to stand before what, so that it loads from top to bottom.

use std::sync::Arc;

use connections::mysql::wire::Wire;
use pipeline::endpoint::DatabaseUrl;
use pipeline::{Context, Result};
use tokio::sync::{Mutex, mpsc};

use crate::window::{self, TARGET};
use crate::{Content, Selection};

use super::chunks::{Chunks, Seen};
use super::look::{Column, Look, Program, Relation, Shape, broken_view};
use super::rows::{Cell, Inserts};
use super::{Job, Segment, identifier};

/// Settings of the session that loads the dump, and what they were before.
const SETTINGS: &[(&str, &str)] = &[
    ("TIME_ZONE", "'+00:00'"),
    ("UNIQUE_CHECKS", "0"),
    ("FOREIGN_KEY_CHECKS", "0"),
    ("SQL_MODE", "'NO_AUTO_VALUE_ON_ZERO'"),
    // The last that is set back: mysqldump ends so too, and whoever looks for a dump's end looks for this.
    ("SQL_NOTES", "0"),
];

/// What `SET NAMES` sets.
const CHARACTERS: &[&str] = &["CHARACTER_SET_CLIENT", "CHARACTER_SET_RESULTS", "COLLATION_CONNECTION"];

/// Everything that the dump is made of.
pub(super) struct Script<'a> {
    pub(super) url: &'a DatabaseUrl,
    pub(super) version: &'a str,
    pub(super) databases: &'a [String],
    /// Whether the dump makes its databases; otherwise it goes into whichever is in use.
    pub(super) named: bool,
    pub(super) relations: &'a [Relation],
    pub(super) selection: &'a Selection,
    pub(super) look: &'a Mutex<Look>,
}

/// Where the segments go. That nobody takes them any more is told by whoever stopped taking them.
struct Ended;

impl Script<'_> {
    /// Writes the dump's segments, and hands its ranges to the connections.
    pub(super) async fn write(
        &self,
        walker: Option<Wire>,
        jobs: mpsc::Sender<Job>,
        segments: mpsc::Sender<Segment>,
        cx: &Context,
    ) -> Result<()> {
        let mut to = To { walker, jobs, segments };
        match self.all(&mut to, cx).await {
            Err(Stop::Error(error)) => {
                // Told to the side that delivers, so that nothing behind this is taken for the end.
                drop(to);
                Err(error)
            }
            Ok(()) | Err(Stop::Ended(Ended)) => Ok(()),
        }
    }

    async fn all(&self, to: &mut To, cx: &Context) -> std::result::Result<(), Stop> {
        to.text(self.header()).await?;
        for schema in self.databases {
            self.enter(schema, true, to).await?;
            for relation in self.of(schema, Shape::Sequence) {
                if self.defines() {
                    let made = self.look.lock().await.sequence(relation).await?;
                    let drop = format!("DROP SEQUENCE IF EXISTS {};\n", identifier(&relation.name));
                    to.statements(drop, &made).await?;
                }
                if self.fills() {
                    let set = self.look.lock().await.sequence_value(relation).await?;
                    to.statements(String::new(), &set).await?;
                }
            }
            for table in self.of(schema, Shape::Table) {
                self.table(table, to).await?;
            }
            for kind in Program::BEFORE_VIEWS {
                self.programs(schema, kind, to).await?;
            }
        }
        if !self.defines() {
            return to.text(Self::footer()).await;
        }
        // A view may need any table, view or function of any database.
        let mut broken = Vec::new();
        for schema in self.databases {
            self.enter(schema, false, to).await?;
            for view in self.of(schema, Shape::View) {
                match self.look.lock().await.placeholder(view).await? {
                    None => broken.push(view),
                    Some(made) => {
                        let drop = format!("DROP VIEW IF EXISTS {};\n", identifier(&view.name));
                        to.statements(drop, made.as_bytes()).await?;
                    }
                }
            }
        }
        for schema in self.databases {
            self.enter(schema, false, to).await?;
            for view in self.of(schema, Shape::View) {
                let made = self.look.lock().await.view(view).await?;
                if broken.contains(&view) {
                    to.text(broken_view(view, &made, cx)).await?;
                    continue;
                }
                to.text(format!("DROP VIEW IF EXISTS {};\n", identifier(&view.name)).into_bytes()).await?;
                to.text(made).await?;
            }
            self.programs(schema, Program::Event, to).await?;
        }
        to.text(Self::footer()).await
    }

    fn defines(&self) -> bool {
        self.selection.content() != Content::Data
    }

    fn fills(&self) -> bool {
        self.selection.content() != Content::Schema
    }

    fn of<'s>(&'s self, schema: &'s str, shape: Shape) -> impl Iterator<Item = &'s Relation> {
        self.relations.iter().filter(move |relation| relation.schema == schema && relation.shape == shape)
    }

    fn header(&self) -> Vec<u8> {
        let mut lines = vec![format!(
            "-- dbferry {}, native dump\n--\n-- Host: {}\n-- Server version\t{}\n\n",
            env!("CARGO_PKG_VERSION"),
            self.url.host().unwrap_or("localhost").replace(['\n', '\r'], " "),
            self.version.replace(['\n', '\r'], " ")
        )];
        lines.extend(CHARACTERS.iter().map(|name| format!("SET @OLD_{name}=@@{name};\n")));
        lines.push("SET NAMES utf8mb4;\n".to_owned());
        let set = |(name, value): &(&str, &str)| format!("SET @OLD_{name}=@@{name}, {name}={value};\n");
        lines.extend(SETTINGS.iter().map(set));
        lines.push("\n".to_owned());
        lines.concat().into_bytes()
    }

    fn footer() -> Vec<u8> {
        let mut lines = vec!["\n".to_owned()];
        let names = CHARACTERS.iter().chain(SETTINGS.iter().map(|(name, _)| name));
        lines.extend(names.map(|name| format!("SET {name}=@OLD_{name};\n")));
        lines.push("\n-- Dump completed\n".to_owned());
        lines.concat().into_bytes()
    }

    async fn enter(&self, schema: &str, make: bool, to: &To) -> std::result::Result<(), Stop> {
        let mut look = self.look.lock().await;
        look.enter(schema).await?;
        if !self.named {
            return Ok(());
        }
        let make = make && self.defines();
        let made = if make { look.database(schema).await? } else { Vec::new() };
        drop(look);
        if make {
            to.statements(String::new(), &made).await?;
        }
        to.text(format!("USE {};\n", identifier(schema)).into_bytes()).await
    }

    async fn programs(&self, schema: &str, kind: Program, to: &To) -> std::result::Result<(), Stop> {
        // Those that belong to no table go with everything, or not at all.
        if !self.defines() || (self.selection.names_tables() && kind != Program::Trigger) {
            return Ok(());
        }
        let names = self.look.lock().await.programs(schema, kind).await?;
        for (name, table) in names {
            if kind == Program::Trigger && !self.selection.takes(schema.as_bytes(), table.as_bytes()) {
                continue;
            }
            let made = self.look.lock().await.program(schema, &name, kind).await?;
            to.text(made).await?;
        }
        Ok(())
    }

    async fn table(&self, table: &Relation, to: &mut To) -> std::result::Result<(), Stop> {
        let mut look = self.look.lock().await;
        let (definition, signature) = look.table(table).await?;
        let columns = look.columns(table).await?;
        let large = table.innodb && table.bytes > TARGET && to.walker.is_some();
        let key = if large { look.key(table).await? } else { None };
        drop(look);
        if self.defines() {
            to.statements(format!("DROP TABLE IF EXISTS {};\n", identifier(&table.name)), &definition)
                .await?;
        }
        if !table.holds_rows || !self.fills() {
            return Ok(());
        }
        let seen = Arc::new(Seen::default());
        match &mut to.walker {
            Some(walker) if key.is_some() => {
                let mut chunks = Chunks::plan(table, key, TARGET, walker, self.url).await?;
                while let Some(walker) = &mut to.walker {
                    let (condition, last) = chunks.next(&seen, walker, self.url).await?;
                    self.rows(table, &columns, &condition, &seen, to).await?;
                    if last {
                        break;
                    }
                }
            }
            _ => self.rows(table, &columns, "", &seen, to).await?,
        }
        to.send(Segment::Unchanged { table: table.clone(), signature }).await
    }

    async fn rows(
        &self,
        table: &Relation,
        columns: &[Column],
        range: &str,
        seen: &Arc<Seen>,
        to: &To,
    ) -> std::result::Result<(), Stop> {
        let (query, inserts) = rows_of(table, columns, range, self.selection);
        let (sender, receiver) = window::piece();
        let job = Job {
            table: format!("{}.{}", table.schema, table.name),
            query,
            inserts,
            to: sender,
            seen: Arc::clone(seen),
        };
        // In this order: a range that waits for a connection already has its place.
        to.send(Segment::Rows(receiver)).await?;
        to.jobs.send(job).await.map_err(|_| Stop::Ended(Ended))
    }
}

/// The question for a range of a table's rows, and what makes statements of the answer.
pub(super) fn rows_of(
    table: &Relation,
    columns: &[Column],
    range: &str,
    selection: &Selection,
) -> (String, Inserts) {
    let names: Vec<String> = columns.iter().map(|column| identifier(&column.name)).collect();
    let head = format!("INSERT INTO {} ({}) VALUES", identifier(&table.name), names.join(","));
    let expressions: Vec<&str> = columns.iter().map(|column| column.expression.as_str()).collect();
    let asked = if expressions.is_empty() { "NULL".to_owned() } else { expressions.join(",") };
    let mut query = format!("SELECT {asked} FROM {}.{}", identifier(&table.schema), identifier(&table.name));
    let wanted = selection.condition(table.schema.as_bytes(), table.name.as_bytes());
    if !range.is_empty() {
        query.push_str(" FORCE INDEX (PRIMARY)");
    }
    let conditions: Vec<&str> =
        [range, wanted.as_deref().unwrap_or_default()].into_iter().filter(|text| !text.is_empty()).collect();
    if !conditions.is_empty() {
        query.push_str(" WHERE ");
        query.push_str(&conditions.join(" AND "));
    }
    let cells: Vec<Cell> = columns.iter().map(|column| column.cell).collect();
    (query, Inserts::new(head.into_bytes(), cells))
}

enum Stop {
    Error(pipeline::Error),
    Ended(Ended),
}

impl From<pipeline::Error> for Stop {
    fn from(error: pipeline::Error) -> Self {
        Self::Error(error)
    }
}

struct To {
    /// Looks up boundaries of ranges; absent when there is one connection, which needs no ranges.
    walker: Option<Wire>,
    jobs: mpsc::Sender<Job>,
    segments: mpsc::Sender<Segment>,
}

impl To {
    async fn send(&self, segment: Segment) -> std::result::Result<(), Stop> {
        self.segments.send(segment).await.map_err(|_| Stop::Ended(Ended))
    }

    async fn text(&self, text: Vec<u8>) -> std::result::Result<(), Stop> {
        self.send(Segment::Text(text)).await
    }

    async fn statements(&self, first: String, last: &[u8]) -> std::result::Result<(), Stop> {
        let mut text = first.into_bytes();
        text.extend_from_slice(last);
        text.extend_from_slice(b";\n");
        self.text(text).await
    }
}
