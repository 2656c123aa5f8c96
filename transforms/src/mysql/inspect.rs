//! What a dump holds, found out in passing.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use formats::mysql::session::next_plain;
use formats::mysql::token::{Cursor, Kind};
use formats::mysql::{HEAD, Mode, RowCounter, Step, Verb};
use pipeline::{Output, Result, Transform, TransformReport};
use serde::{Deserialize, Serialize};

use super::feed::{Feed, Piece, Visitor};
use super::head::{Head, Object, qualified_name};
use super::notes::shown;
use super::trailer::Trailer;

/// Objects that are listed by name; a dump with more has the others counted only.
const LISTED: usize = 100_000;

/// Header text that is looked at.
const HEADER: usize = 4096;

/// A table and its data.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableSummary {
    /// Schema, as far as `USE` or the name says it; otherwise empty.
    pub schema: String,
    /// Name, lossy if it is not UTF-8.
    pub name: String,
    /// Storage engine as written; empty if the definition is not in the dump.
    pub engine: String,
    /// Rows in `INSERT` and `REPLACE` statements.
    pub rows: u64,
    /// Bytes of those statements.
    pub bytes: u64,
}

/// A view, trigger, event, routine or package.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectSummary {
    /// `view`, `trigger`, `event`, `procedure`, `function`, `package`, `package-body` or `sequence`.
    pub kind: String,
    /// Schema, as for tables.
    pub schema: String,
    /// Name.
    pub name: String,
    /// Account as `user@host`, or a role's name; empty without a `DEFINER` clause.
    pub definer: String,
}

/// What a dump holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// The dump client and its version, from the header, such as `MySQL dump 10.13  Distrib 8.0.36, for Linux (x86_64)`.
    pub client: String,
    /// The server's version, from the header.
    pub server_version: String,
    /// The host line of the header, such as `localhost    Database: shop`.
    pub host: String,
    /// Bytes of text.
    pub bytes: u64,
    /// Statements.
    pub statements: u64,
    /// The text ends as mysqldump ends one.
    pub complete: bool,
    /// Schemas that the dump creates or uses.
    pub schemas: Vec<String>,
    /// Tables, in order.
    pub tables: Vec<TableSummary>,
    /// All other objects, in order.
    pub objects: Vec<ObjectSummary>,
    /// Objects beyond those listed.
    pub unlisted: u64,
    /// For each account or role, how many objects of each kind it defines.
    pub definers: BTreeMap<String, BTreeMap<String, u64>>,
    /// Tables per storage engine.
    pub engines: BTreeMap<String, u64>,
    /// Character sets named in definitions of tables and schemas, with how often.
    pub charsets: BTreeMap<String, u64>,
    /// Collations, likewise.
    pub collations: BTreeMap<String, u64>,
}

/// Summarises a dump of the MySQL family; the bytes pass through unchanged, or end here.
#[derive(Debug)]
pub struct MysqlInspect {
    feed: Feed,
    scanner: Scanner,
    passes: bool,
    result: Arc<Mutex<Summary>>,
}

#[derive(Debug, Default)]
struct Scanner {
    summary: Summary,
    /// Where each table is in the summary.
    tables: HashMap<(String, String), usize>,
    /// Places of tables that stood in for views. They are taken out at the end, for moving the others up each time took
    /// minutes with as many views as are listed.
    gone: HashSet<usize>,
    schemas: HashSet<String>,
    schema: String,
    header: Vec<u8>,
    in_header: bool,
    trailer: Trailer,
    rows: Option<(RowCounter, Option<usize>)>,
}

impl MysqlInspect {
    /// A scanner, and where its result will be when it has finished. With `passes`, it hands its input on.
    pub fn new(passes: bool) -> (Self, Arc<Mutex<Summary>>) {
        let result = Arc::new(Mutex::new(Summary::default()));
        let scanner = Scanner { in_header: true, ..Scanner::default() };
        (Self { feed: Feed::default(), scanner, passes, result: Arc::clone(&result) }, result)
    }
}

impl Transform for MysqlInspect {
    fn name(&self) -> &'static str {
        "mysql-inspect"
    }

    fn memory(&self) -> usize {
        // A held statement in a buffer that grows by doubling; names of objects, which data does not add to.
        2 * formats::mysql::MAX_HELD
    }

    fn push(&mut self, input: Bytes, out: &mut dyn Output) -> Result<()> {
        if self.passes {
            out.emit(input.clone())?;
        }
        self.feed.push(input, false, &mut self.scanner, out)
    }

    fn finish(mut self: Box<Self>, out: &mut dyn Output) -> Result<TransformReport> {
        self.feed.push(Bytes::new(), true, &mut self.scanner, out)?;
        let mut scanner = self.scanner;
        scanner.end_of_header();
        let mut summary = scanner.summary;
        let mut place = 0..;
        summary.tables.retain(|_| !place.next().is_some_and(|place| scanner.gone.contains(&place)));
        summary.bytes = self.feed.offset();
        summary.complete = scanner.trailer.check(self.feed.is_between(), summary.bytes).is_ok();
        let mut report = TransformReport::new("mysql-inspect");
        report.counts.insert("statements".to_owned(), summary.statements);
        report.counts.insert("tables".to_owned(), summary.tables.len() as u64);
        report.counts.insert("rows".to_owned(), summary.tables.iter().map(|table| table.rows).sum());
        *self.result.lock().unwrap_or_else(PoisonError::into_inner) = summary;
        Ok(report)
    }
}

impl Visitor for Scanner {
    fn step(&mut self, piece: &Piece<'_>, _out: &mut dyn Output) -> Result<()> {
        let bytes = piece.bytes();
        match piece.step {
            Step::Between { .. } => {
                self.trailer.between(bytes);
                if self.in_header {
                    let room = HEADER.saturating_sub(self.header.len());
                    self.header.extend_from_slice(&bytes[..bytes.len().min(room)]);
                }
                return Ok(());
            }
            Step::Statement { verb, body, .. } => {
                self.summary.statements += 1;
                self.statement(verb, &bytes[..body], piece.mode);
            }
            Step::Data { verb, first, last, .. } => self.data(verb, bytes, piece.mode, first, last),
            Step::Delimiter { .. } | Step::Sandbox { .. } | Step::More => {}
        }
        if !matches!(piece.step, Step::Sandbox { .. }) {
            self.end_of_header();
        }
        let is_set = matches!(piece.step, Step::Statement { verb: Verb::Set, .. });
        self.trailer.statement(is_set.then_some(bytes));
        Ok(())
    }

    fn pause(&mut self, _text: &Bytes, _end: usize, _out: &mut dyn Output) -> Result<()> {
        Ok(())
    }
}

impl Scanner {
    /// The comments before the first statement are all there: reads them.
    fn end_of_header(&mut self) {
        if !std::mem::take(&mut self.in_header) {
            return;
        }
        for line in std::mem::take(&mut self.header).split(|byte| *byte == b'\n') {
            let line = String::from_utf8_lossy(line);
            let Some(line) = line.strip_prefix("-- ").map(str::trim) else { continue };
            if line.contains(" dump ") && self.summary.client.is_empty() {
                line.clone_into(&mut self.summary.client);
            } else if let Some(version) = line.strip_prefix("Server version") {
                version.trim().clone_into(&mut self.summary.server_version);
            } else if let Some(host) = line.strip_prefix("Host:") {
                host.trim().clone_into(&mut self.summary.host);
            }
        }
    }

    fn statement(&mut self, verb: Verb, body: &[u8], mode: Mode) {
        if verb == Verb::Use {
            let mut cursor = Cursor::new(body, mode);
            next_plain(&mut cursor);
            self.enter(&qualified_name(&mut cursor).1);
            return;
        }
        if verb != Verb::Create {
            return;
        }
        let Some(head) = Head::read(Cursor::new(body, mode)) else { return };
        let name = shown(&head.name);
        let schema = head.schema.as_ref().map_or_else(|| self.schema.clone(), |schema| shown(schema));
        match head.object {
            Object::Database => {
                self.seen_schema(&name);
                self.definition(head.rest, None);
            }
            Object::Table => {
                let index = self.table(schema, name);
                self.definition(head.rest, index);
            }
            object if (object.has_definer() || object == Object::Sequence) && !head.stand_in => {
                if object == Object::View {
                    self.replace_stand_in(&schema, &name);
                }
                let definer = head.definer.map(|definer| shown(&definer.name));
                self.object(object, schema, name, definer.unwrap_or_default());
            }
            _ => {}
        }
    }

    fn enter(&mut self, schema: &[u8]) {
        self.schema = shown(schema);
        let schema = self.schema.clone();
        self.seen_schema(&schema);
    }

    fn seen_schema(&mut self, schema: &str) {
        if self.schemas.len() < LISTED && self.schemas.insert(schema.to_owned()) {
            self.summary.schemas.push(schema.to_owned());
        }
    }

    /// The table's place in the summary; a new one if it is not there yet.
    fn table(&mut self, schema: String, name: String) -> Option<usize> {
        let key = (schema, name);
        if let Some(index) = self.tables.get(&key) {
            return Some(*index);
        }
        if self.tables.len() >= LISTED {
            self.summary.unlisted += 1;
            return None;
        }
        let index = self.summary.tables.len();
        let (schema, name) = key.clone();
        self.summary.tables.push(TableSummary { schema, name, ..TableSummary::default() });
        self.tables.insert(key, index);
        Some(index)
    }

    /// Older clients let a table stand in for a view until all tables are there.
    fn replace_stand_in(&mut self, schema: &str, name: &str) {
        let key = (schema.to_owned(), name.to_owned());
        let Some(index) =
            self.tables.get(&key).copied().filter(|index| self.summary.tables[*index].rows == 0)
        else {
            return;
        };
        self.tables.remove(&key);
        self.gone.insert(index);
    }

    fn object(&mut self, object: Object, schema: String, name: String, definer: String) {
        let kind = object.slug().to_owned();
        if !definer.is_empty()
            && (self.summary.definers.len() < LISTED || self.summary.definers.contains_key(&definer))
        {
            *self.summary.definers.entry(definer.clone()).or_default().entry(kind.clone()).or_default() += 1;
        }
        if self.summary.objects.len() < LISTED {
            self.summary.objects.push(ObjectSummary { kind, schema, name, definer });
        } else {
            self.summary.unlisted += 1;
        }
    }

    /// Engine, character sets and collations of a definition.
    fn definition(&mut self, mut cursor: Cursor<'_>, table: Option<usize>) {
        let (text, mode) = (cursor.text(), cursor.mode());
        let mut engine = None;
        while let Some(token) = cursor.next() {
            let is = |keyword| token.is(text, keyword);
            let is_engine = is("ENGINE");
            let is_charset = is("CHARSET") || (is("CHARACTER") && cursor.accept("SET").is_some());
            if !(is_engine || is_charset || is("COLLATE")) {
                continue;
            }
            cursor.accept_byte(b'=');
            let Some(value) = cursor.accept_if(|token, _| matches!(token.kind, Kind::Word | Kind::Quoted(_)))
            else {
                continue;
            };
            let value = shown(&value.value(text, mode));
            if is_engine {
                engine.get_or_insert(value);
            } else {
                let map = if is_charset { &mut self.summary.charsets } else { &mut self.summary.collations };
                // There are a few hundred of them; the bound is for texts that are not dumps.
                if map.len() < 1000 || map.contains_key(&value) {
                    *map.entry(value).or_default() += 1;
                }
            }
        }
        let (Some(engine), Some(table)) = (engine, table) else { return };
        if self.summary.engines.len() < 1000 || self.summary.engines.contains_key(&engine) {
            *self.summary.engines.entry(engine.clone()).or_default() += 1;
        }
        self.summary.tables[table].engine = engine;
    }

    fn data(&mut self, verb: Verb, bytes: &[u8], mode: Mode, first: bool, last: bool) {
        if first {
            self.summary.statements += 1;
            self.rows = None;
            if matches!(verb, Verb::Insert | Verb::Replace) {
                let mut cursor = Cursor::new(&bytes[..bytes.len().min(HEAD)], mode);
                let (schema, name) = super::target::insert_target(&mut cursor);
                let schema = schema.map_or_else(|| self.schema.clone(), |schema| shown(&schema));
                let index = self.table(schema, shown(&name));
                self.rows = Some((RowCounter::new(mode), index));
            }
        }
        let Some((counter, index)) = &mut self.rows else { return };
        let before = counter.rows();
        counter.push(bytes);
        if let Some(table) = index.and_then(|index| self.summary.tables.get_mut(index)) {
            table.rows += counter.rows() - before;
            table.bytes += bytes.len() as u64;
        }
        if last {
            self.rows = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DUMP: &str = "/*M!999999\\- enable the sandbox mode */ \n-- MariaDB dump 10.19  Distrib 10.11.19-MariaDB, for debian-linux-gnu (x86_64)\n--\n\
        -- Host: localhost    Database: shop\n-- ------------------------------------------------------\n-- Server version\t10.11.19-MariaDB\n\n\
        CREATE DATABASE /*!32312 IF NOT EXISTS*/ `shop` /*!40100 DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin */;\nUSE `shop`;\n\
        CREATE TABLE `a``b` (`x` varchar(9) COLLATE latin1_bin COMMENT 'ENGINE=x') ENGINE=Aria DEFAULT CHARSET=latin1;\n\
        INSERT INTO `a``b` VALUES ('(1),(2)'),('x');\nINSERT INTO `a``b` VALUES ('y');\n\
        /*!50001 CREATE TABLE `v` (`x` tinyint NOT NULL) ENGINE=MyISAM */;\n/*!50001 CREATE VIEW `w` AS SELECT 1 AS `x`*/;\n\
        DELIMITER ;;\n/*!50003 CREATE*/ /*!50017 DEFINER=`root`@`localhost`*/ /*!50003 TRIGGER t BEFORE INSERT ON x FOR EACH ROW SET @a=1 */;;\n\
        CREATE DEFINER=`role` PROCEDURE p() BEGIN SELECT 1; END ;;\nDELIMITER ;\n/*!50001 DROP TABLE IF EXISTS `v`*/;\n\
        /*!50001 CREATE ALGORITHM=UNDEFINED */\n/*!50013 DEFINER=`root`@`localhost` SQL SECURITY DEFINER */\n/*!50001 VIEW `v` AS select 1 AS `x` */;\n\n\
        -- Dump completed on 2024-05-05 12:00:00\n";

    fn inspect(text: &str, size: usize) -> Summary {
        let (inspect, result) = MysqlInspect::new(true);
        let mut inspect = Box::new(inspect);
        let mut out = Vec::new();
        for piece in text.as_bytes().chunks(size) {
            inspect.push(Bytes::copy_from_slice(piece), &mut out).expect("scans");
        }
        inspect.finish(&mut out).expect("ends");
        assert_eq!(out, text.as_bytes());
        let mut result = result.lock().expect("not poisoned");
        std::mem::take(&mut *result)
    }

    #[test]
    fn finds_what_is_in_a_dump() {
        let summary = inspect(DUMP, 1000);
        assert_eq!(summary, inspect(DUMP, 1));
        assert_eq!(
            summary.client,
            "MariaDB dump 10.19  Distrib 10.11.19-MariaDB, for debian-linux-gnu (x86_64)"
        );
        assert_eq!(summary.server_version, "10.11.19-MariaDB");
        assert_eq!(summary.host, "localhost    Database: shop");
        assert!(summary.complete);
        assert!(!inspect(&DUMP[..DUMP.len() - 1], 100).complete);
        assert_eq!(summary.schemas, ["shop"]);
        let [table] = &summary.tables[..] else { panic!("one table: {:?}", summary.tables) };
        assert_eq!(
            (table.schema.as_str(), table.name.as_str(), table.engine.as_str()),
            ("shop", "a`b", "Aria")
        );
        assert_eq!((table.rows, table.bytes), (3, 44 + 32));
        let objects: Vec<_> = summary
            .objects
            .iter()
            .map(|object| (object.kind.as_str(), object.name.as_str(), object.definer.as_str()))
            .collect();
        assert_eq!(
            objects,
            [("trigger", "t", "root@localhost"), ("procedure", "p", "role"), ("view", "v", "root@localhost")]
        );
        assert_eq!(summary.definers["root@localhost"]["view"], 1);
        assert_eq!(summary.collations["latin1_bin"], 1);
        assert_eq!(summary.charsets["utf8mb4"], 1);
        assert_eq!(summary.bytes, DUMP.len() as u64);
    }
}
