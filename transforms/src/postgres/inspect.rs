//! What is in a dump, learnt while it flows by.
//!
//! Works on plain dumps and on the custom format, in bounded memory: names are counted without end but listed only
//! up to a limit. Nothing is changed, and a dump that was cut off is reported as incomplete rather than refused.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use formats::postgres::custom::{Entry, Event, Parser};
use formats::postgres::plain::{Kind, Lexer, Standing};
use pipeline::{Output, Result, Transform, TransformReport};
use serde::Serialize;

use super::custom_check::format_error;
use super::rewrite::lex_error;
use super::statement::Statement;
use super::trailer::Trailer;

/// So much of a statement is looked at; names stand at its beginning, and an owner at the end of a short one.
const HEAD_LIMIT: usize = 64 << 10;
/// So many tables are listed with their rows; of 300 bytes each, 6 MB.
const TABLE_LIMIT: usize = 20_000;
/// So many names of each kind are listed, and so many roles and kinds.
const NAME_LIMIT: usize = 1_000;
/// Names are cut after so many bytes.
const NAME_BYTES: usize = 256;
/// How a custom-format archive begins.
const MAGIC: &[u8] = b"PGDMP";

/// What a dump contains.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct PostgresSummary {
    /// `plain` or `custom`.
    pub format: String,
    /// True when the dump ends as its maker ends it.
    pub complete: bool,
    /// Version of the server that was dumped, as the dump says.
    pub server_version: Option<String>,
    /// Version of the client that made the dump, as it says.
    pub client_version: Option<String>,
    /// Databases that the dump connects to or was made of.
    pub databases: BTreeSet<String>,
    /// Tables by name, qualified as in the dump.
    pub tables: BTreeMap<String, TableSummary>,
    /// Tables that are not listed, for there are too many.
    pub tables_unlisted: u64,
    /// Other objects by kind, such as `view`, `function` or `trigger`.
    pub objects: BTreeMap<String, ObjectSummary>,
    /// Extensions that the target must have.
    pub extensions: BTreeSet<String>,
    /// Roles that own objects, and how many.
    pub owners: BTreeMap<String, u64>,
    /// Roles that the dump creates.
    pub roles: BTreeSet<String>,
}

/// The rows of one table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct TableSummary {
    /// Rows in COPY data. Unknown for a custom archive, whose data is not unpacked.
    pub rows: Option<u64>,
    /// `INSERT` statements, each of one row or many.
    pub inserts: u64,
    /// Bytes of COPY data, of `INSERT` statements, or stored in the archive.
    pub bytes: u64,
}

/// The objects of one kind.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ObjectSummary {
    /// How many.
    pub count: u64,
    /// The names of the first thousand.
    pub names: Vec<String>,
}

/// Finds out what a dump contains, and hands every byte on unchanged.
#[derive(Debug)]
pub struct PostgresInspect {
    reader: Reader,
    found: Found,
    summary: Arc<Mutex<PostgresSummary>>,
}

#[derive(Debug)]
enum Reader {
    /// The first bytes, until they tell the format.
    Unknown(Vec<u8>),
    Plain(Box<Plain>),
    Custom(Box<Parser>),
}

#[derive(Debug, Default)]
struct Plain {
    lexer: Lexer,
    trailer: Trailer,
    head: Vec<u8>,
    bytes: u64,
    standard_strings: bool,
    inside: bool,
    copy_table: Vec<u8>,
    copy_rows: u64,
}

/// The summary in the making: names are bytes.
#[derive(Debug, Default)]
struct Found {
    summary: PostgresSummary,
    tables: BTreeMap<Vec<u8>, TableSummary>,
    /// Custom format: the table that an entry's data belongs to.
    data: HashMap<i32, Vec<u8>>,
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(NAME_BYTES)]).into_owned()
}

fn add(names: &mut BTreeSet<String>, name: &[u8]) {
    if names.len() < NAME_LIMIT {
        names.insert(text(name));
    }
}

impl Found {
    fn table(&mut self, name: &[u8]) -> Option<&mut TableSummary> {
        let name = &name[..name.len().min(NAME_BYTES)];
        if !self.tables.contains_key(name) {
            if self.tables.len() >= TABLE_LIMIT {
                self.summary.tables_unlisted += 1;
                return None;
            }
            self.tables.insert(name.to_vec(), TableSummary::default());
        }
        self.tables.get_mut(name)
    }

    fn object(&mut self, kind: &str, name: &[u8]) {
        let objects = &mut self.summary.objects;
        if !objects.contains_key(kind) && objects.len() >= NAME_LIMIT {
            return;
        }
        let objects = objects.entry(kind.to_owned()).or_default();
        objects.count += 1;
        if objects.names.len() < NAME_LIMIT {
            objects.names.push(text(name));
        }
    }

    fn owner(&mut self, role: &[u8]) {
        let role = text(role);
        let owners = &mut self.summary.owners;
        if owners.len() < NAME_LIMIT || owners.contains_key(&role) {
            *owners.entry(role).or_default() += 1;
        }
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::Header(header) => {
                self.summary.server_version = Some(text(&header.server_version));
                self.summary.client_version = Some(text(&header.dump_version));
                add(&mut self.summary.databases, &header.database);
            }
            Event::Entry(entry) => self.entry(&entry),
            Event::Block { id, bytes, objects } => {
                if let Some(table) = self.data.remove(&id).and_then(|name| self.table(&name)) {
                    table.bytes += bytes;
                }
                for _ in 0..objects.min(NAME_LIMIT as u64) {
                    self.object("large object", b"");
                }
            }
        }
    }

    fn entry(&mut self, entry: &Entry) {
        let mut name = entry.namespace.clone();
        if !name.is_empty() {
            name.push(b'.');
        }
        name.extend_from_slice(&entry.tag);
        match entry.kind.as_slice() {
            b"TABLE" => {
                self.table(&name);
            }
            b"TABLE DATA" => {
                if self.data.len() < TABLE_LIMIT {
                    self.data.insert(entry.id, name);
                }
                return;
            }
            b"EXTENSION" => return add(&mut self.summary.extensions, &entry.tag),
            // Properties of other entries, and of the session.
            b"ACL"
            | b"DEFAULT ACL"
            | b"COMMENT"
            | b"SECURITY LABEL"
            | b"ENCODING"
            | b"STDSTRINGS"
            | b"SEARCHPATH"
            | b"SEQUENCE SET"
            | b"SEQUENCE OWNED BY"
            | b"DEFAULT"
            | b"TABLE ATTACH"
            | b"INDEX ATTACH"
            | b"BLOBS"
            | b"BLOB"
            | b"BLOB METADATA"
            | b"DATABASE PROPERTIES"
            | b"MATERIALIZED VIEW DATA"
            | b"STATISTICS DATA" => return,
            kind => self.object(&text(kind).to_lowercase(), &name),
        }
        if !entry.owner.is_empty() {
            self.owner(&entry.owner);
        }
    }
}

impl Plain {
    fn push(&mut self, input: &[u8], found: &mut Found) -> Result<()> {
        let mut at = 0;
        loop {
            if !self.inside {
                self.head.clear();
                self.bytes = 0;
                self.standard_strings = self.lexer.standard_strings();
            }
            let Some(piece) = self.lexer.next(&input[at..]).map_err(|error| lex_error(&error))? else {
                return Ok(());
            };
            let bytes = &input[at..at + piece.len];
            at += piece.len;
            self.inside = !piece.end;
            self.bytes += bytes.len() as u64;
            match piece.kind {
                Kind::Space => self.trailer.gap(bytes),
                Kind::CopyData => {
                    self.copy_rows += memchr::memchr_iter(b'\n', bytes).count() as u64;
                    if piece.end {
                        self.trailer.interrupted();
                        self.end_copy(found);
                    }
                }
                Kind::Comment | Kind::Command | Kind::Statement => {
                    let room = HEAD_LIMIT.saturating_sub(self.head.len()).min(bytes.len());
                    self.head.extend_from_slice(&bytes[..room]);
                    if piece.kind == Kind::Statement {
                        self.trailer.interrupted();
                    } else {
                        self.trailer.gap(bytes);
                    }
                    if piece.end {
                        self.end(piece.kind, found);
                    }
                }
            }
        }
    }

    fn end_copy(&mut self, found: &mut Found) {
        // The line that ends the rows is none.
        let rows = std::mem::take(&mut self.copy_rows).saturating_sub(1);
        let name = std::mem::take(&mut self.copy_table);
        if let Some(table) = found.table(&name) {
            *table.rows.get_or_insert(0) += rows;
            table.bytes += self.bytes - self.lexer.copy_terminator() as u64;
        }
    }

    fn end(&mut self, kind: Kind, found: &mut Found) {
        let head = std::mem::take(&mut self.head);
        match kind {
            Kind::Comment => comment(&head, &mut found.summary),
            Kind::Command => self.command(&head, found),
            _ => self.statement(&head, found),
        }
        self.head = head;
    }

    fn command(&mut self, line: &[u8], found: &mut Found) {
        if let Some(key) = line.strip_prefix(b"\\restrict ") {
            self.trailer.restricted(key.trim_ascii());
        } else if let Some(database) = line.strip_prefix(b"\\connect ") {
            add(&mut found.summary.databases, database.trim_ascii());
        }
    }

    fn statement(&mut self, sql: &[u8], found: &mut Found) {
        let first = self.lexer.first_word().unwrap_or_default();
        match first {
            b"insert" | b"copy" => {
                let s = Statement::first(sql, self.standard_strings, 8);
                let (name, _) = s.object(if first == b"copy" { 1 } else { 2 });
                if first == b"copy" {
                    self.copy_table = name;
                } else if let Some(table) = found.table(&name) {
                    table.inserts += 1;
                    table.bytes += self.bytes;
                }
            }
            b"create" => created(&Statement::new(sql, self.standard_strings), found),
            b"alter" => {
                if let Some(role) = super::rules::owner_of(&Statement::new(sql, self.standard_strings)) {
                    found.owner(&role);
                }
            }
            _ => {}
        }
    }
}

fn comment(line: &[u8], summary: &mut PostgresSummary) {
    let after = |prefix: &[u8]| line.strip_prefix(prefix).map(|version| text(version.trim_ascii()));
    if summary.server_version.is_none() {
        summary.server_version = after(b"-- Dumped from database version ");
    }
    if summary.client_version.is_none() {
        summary.client_version = after(b"-- Dumped by pg_dump version ");
    }
}

/// Kinds of objects whose names have more than one word.
const LONG_KINDS: [&str; 14] = [
    "materialized view",
    "foreign table",
    "foreign data wrapper",
    "event trigger",
    "user mapping",
    "operator class",
    "operator family",
    "access method",
    "text search configuration",
    "text search dictionary",
    "text search parser",
    "text search template",
    "default conversion",
    "procedural language",
];

fn created(s: &Statement<'_>, found: &mut Found) {
    let mut at = s.skip(1, "or replace");
    while ["global", "local", "temp", "temporary", "unlogged", "unique", "trusted", "constraint", "recursive"]
        .iter()
        .any(|word| s.is(at, word))
    {
        at += 1;
    }
    let kind = match LONG_KINDS.iter().find(|kind| s.says(at, kind)) {
        Some(kind) => (*kind).to_owned(),
        None => String::from_utf8_lossy(&s.name(at)).into_owned(),
    };
    let (name, _) = s.object(s.skip_if(at + kind.split(' ').count()));
    match kind.as_str() {
        "" => {}
        "table" => {
            found.table(&name);
        }
        "extension" => add(&mut found.summary.extensions, &s.name(s.skip_if(at + 1))),
        "role" | "user" | "group" => add(&mut found.summary.roles, &s.name(at + 1)),
        kind => found.object(kind, &name),
    }
}

impl PostgresInspect {
    /// Name of the transform.
    pub const NAME: &'static str = "pg-inspect";

    /// An inspector at the beginning of a dump, and where its summary will be once it has finished.
    pub fn new() -> (Self, Arc<Mutex<PostgresSummary>>) {
        let summary = Arc::new(Mutex::new(PostgresSummary::default()));
        (
            Self {
                reader: Reader::Unknown(Vec::new()),
                found: Found::default(),
                summary: Arc::clone(&summary),
            },
            summary,
        )
    }

    fn read(&mut self, input: &[u8]) -> Result<()> {
        match &mut self.reader {
            Reader::Plain(plain) => plain.push(input, &mut self.found),
            Reader::Custom(parser) => {
                let found = &mut self.found;
                parser.push(input, &mut |event| found.event(event)).map_err(|error| format_error(&error))
            }
            Reader::Unknown(start) => {
                let before = start.len();
                start.extend_from_slice(&input[..input.len().min(MAGIC.len() - before)]);
                let begun = std::mem::take(start);
                if begun.len() < MAGIC.len() && MAGIC.starts_with(&begun) {
                    self.reader = Reader::Unknown(begun);
                    return Ok(());
                }
                self.settle(begun == MAGIC);
                self.read(&begun[..before])?;
                self.read(input)
            }
        }
    }

    fn settle(&mut self, custom: bool) {
        self.found.summary.format = String::from(if custom { "custom" } else { "plain" });
        self.reader = if custom { Reader::Custom(Box::default()) } else { Reader::Plain(Box::default()) };
    }
}

impl Transform for PostgresInspect {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn memory(&self) -> usize {
        // The limits above: tables, ids of custom entries with data, names of a few dozen kinds.
        64 << 20
    }

    fn push(&mut self, input: Bytes, out: &mut dyn Output) -> Result<()> {
        self.read(&input)?;
        out.emit(input)
    }

    fn finish(mut self: Box<Self>, _out: &mut dyn Output) -> Result<TransformReport> {
        if let Reader::Unknown(start) = &mut self.reader {
            let start = std::mem::take(start);
            self.settle(false);
            self.read(&start)?;
        }
        let complete = match &self.reader {
            Reader::Plain(plain) => {
                plain.lexer.standing() == Standing::Ground
                    && plain.trailer.check(plain.lexer.offset()).is_ok()
            }
            Reader::Custom(parser) => parser.finish().is_ok(),
            Reader::Unknown(_) => false,
        };
        let mut summary = self.found.summary;
        summary.complete = complete;
        summary.tables = self.found.tables.into_iter().map(|(name, table)| (text(&name), table)).collect();
        let mut report = TransformReport::new(Self::NAME);
        let mut count = |what: &str, by: u64| report.counts.insert(what.to_owned(), by);
        count("tables", summary.tables.len() as u64 + summary.tables_unlisted);
        count("rows", summary.tables.values().filter_map(|table| table.rows).sum());
        count("data-bytes", summary.tables.values().map(|table| table.bytes).sum());
        *self.summary.lock().unwrap_or_else(PoisonError::into_inner) = summary;
        Ok(report)
    }
}

#[cfg(test)]
mod tests;
