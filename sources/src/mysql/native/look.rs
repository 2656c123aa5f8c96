//! What is in the databases: tables with their columns and keys, and the text that makes every object again.

use connections::mysql::wire::{Failure, Wire};
use pipeline::endpoint::DatabaseUrl;
use pipeline::{Context, Error, Kind, Result};

use super::rows::Cell;
use super::{identifier, literal};
use crate::Selection;

type Row = Vec<Option<Vec<u8>>>;

/// A connection that asks for definitions, outside the snapshot: definitions have no versions.
#[derive(Debug)]
pub(super) struct Look {
    wire: Wire,
    url: DatabaseUrl,
    mariadb: bool,
    database: String,
}

/// What a row of `information_schema.TABLES` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Table,
    Sequence,
    View,
}

/// A table, sequence or view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Relation {
    pub(super) schema: String,
    pub(super) name: String,
    pub(super) shape: Shape,
    /// Reads in the snapshot, and in the order of its key.
    pub(super) innodb: bool,
    /// Has rows of its own: a `MERGE` table shows those of others.
    pub(super) holds_rows: bool,
    /// Rows and bytes as the server estimates them.
    pub(super) rows: u64,
    pub(super) bytes: u64,
}

/// A column that is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) name: String,
    /// How its value is asked for.
    pub(super) expression: String,
    pub(super) cell: Cell,
}

/// How a boundary in a key's column is asked for and written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Boundary {
    /// An integer.
    Integer,
    /// A decimal.
    Decimal,
    /// Written in quotes: dates, times, addresses.
    Quoted,
    /// Characters, compared by the column's own collation; the character set's name.
    Characters(String),
    /// Bytes.
    Bytes,
}

/// A column of the key by which a table is split.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KeyColumn {
    pub(super) name: String,
    pub(super) boundary: Boundary,
}

/// The key by which a table is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) index: String,
    pub(super) columns: Vec<KeyColumn>,
}

/// A stored program, trigger or event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Program {
    Trigger,
    Function,
    Procedure,
    Package,
    PackageBody,
    Event,
}

impl Program {
    /// In the order in which they are made.
    pub(super) const BEFORE_VIEWS: [Self; 5] =
        [Self::Function, Self::Procedure, Self::Package, Self::PackageBody, Self::Trigger];

    fn keyword(self) -> &'static str {
        match self {
            Self::Trigger => "TRIGGER",
            Self::Function => "FUNCTION",
            Self::Procedure => "PROCEDURE",
            Self::Package => "PACKAGE",
            Self::PackageBody => "PACKAGE BODY",
            Self::Event => "EVENT",
        }
    }
}

impl Look {
    pub(super) async fn open(url: &DatabaseUrl, mariadb: bool) -> Result<Self> {
        let mut wire = super::snapshot::open(url, mariadb).await?;
        // Definitions are stored in their own character sets, and are wanted as they are.
        wire.execute("SET SESSION character_set_results = binary").await.map_err(|f| f.explain(url))?;
        Ok(Self { wire, url: url.clone(), mariadb, database: String::new() })
    }

    async fn rows(&mut self, sql: &str) -> Result<Vec<Row>> {
        match self.wire.rows(sql).await {
            Ok(rows) => Ok(rows),
            Err(failure) => Err(failure.explain(&self.url)),
        }
    }

    /// What `SHOW CREATE` says. An object that is gone by now was dropped while the dump ran.
    async fn show(&mut self, what: &str, schema: &str, name: &str) -> Result<Row> {
        let statement = format!("SHOW CREATE {what} {}.{}", identifier(schema), identifier(name));
        let gone = || {
            Error::source(format!(
                "the {} {schema}.{name} was dropped while the dump ran",
                what.to_lowercase()
            ))
            .of_kind(Kind::Temporary)
            .hint("run it again when nobody alters the schema")
        };
        match self.wire.rows(&statement).await {
            Ok(rows) => rows.into_iter().next().ok_or_else(gone),
            Err(Failure::Server { code: 1146 | 1305 | 1360 | 1539 | 4091, .. }) => Err(gone()),
            Err(Failure::Server { code, message }) => Err(Error::source(format!(
                "the definition of the {} {schema}.{name} cannot be read: {message}",
                what.to_lowercase()
            ))
            .with("error", code)),
            Err(failure) => Err(failure.explain(&self.url)),
        }
    }

    /// The database whose names need no prefix in what follows.
    pub(super) async fn enter(&mut self, schema: &str) -> Result<()> {
        if self.database != schema {
            self.rows(&format!("USE {}", identifier(schema))).await?;
            schema.clone_into(&mut self.database);
        }
        Ok(())
    }

    pub(super) async fn relations(
        &mut self,
        schemas: &[String],
        selection: &Selection,
    ) -> Result<Vec<Relation>> {
        let mut relations = Vec::new();
        for schema in schemas {
            let rows = self
                .rows(&format!(
                    "SELECT TABLE_NAME, TABLE_TYPE, COALESCE(ENGINE, ''), COALESCE(TABLE_ROWS, 0), COALESCE(DATA_LENGTH, 0) \
                     FROM information_schema.TABLES WHERE TABLE_SCHEMA = {} ORDER BY TABLE_NAME",
                    literal(schema)
                ))
                .await?;
            for row in &rows {
                if !selection.takes(schema.as_bytes(), text(row, 0)?.as_bytes()) {
                    continue;
                }
                let kind = text(row, 1)?;
                let engine = text(row, 2)?;
                relations.push(Relation {
                    schema: schema.clone(),
                    name: text(row, 0)?,
                    shape: match kind.as_str() {
                        "VIEW" | "SYSTEM VIEW" => Shape::View,
                        "SEQUENCE" => Shape::Sequence,
                        _ => Shape::Table,
                    },
                    innodb: engine.eq_ignore_ascii_case("InnoDB"),
                    holds_rows: !engine.to_ascii_uppercase().starts_with("MRG_"),
                    rows: text(row, 3)?.parse().unwrap_or(0),
                    bytes: text(row, 4)?.parse().unwrap_or(0),
                });
            }
        }
        Ok(relations)
    }

    /// The columns that are written: not those that the server computes.
    pub(super) async fn columns(&mut self, table: &Relation) -> Result<Vec<Column>> {
        let rows = self
            .rows(&format!(
                "SELECT COLUMN_NAME, DATA_TYPE, COALESCE(CHARACTER_SET_NAME, ''), COALESCE(GENERATION_EXPRESSION, ''), COLUMN_TYPE \
                 FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = {} AND TABLE_NAME = {} ORDER BY ORDINAL_POSITION",
                literal(&table.schema),
                literal(&table.name)
            ))
            .await?;
        let mut columns = Vec::new();
        for row in &rows {
            if !text(row, 3)?.is_empty() {
                continue;
            }
            let name = text(row, 0)?;
            let quoted = identifier(&name);
            let kind = text(row, 1)?.to_ascii_lowercase();
            let (expression, cell) = match kind.as_str() {
                // As text, a FLOAT loses digits; as a double, it has all of them.
                "float" => (format!("({quoted} + 0e0)"), Cell::Real),
                // As text, the value that no member has looks like the member that is empty; their numbers differ.
                "enum" if has_empty_member(&text(row, 4)?) => (format!("({quoted} + 0)"), Cell::Number),
                _ => (quoted, cell(&kind, &text(row, 2)?)),
            };
            columns.push(Column { name, expression, cell });
        }
        Ok(columns)
    }

    /// The primary key, or the unique key that the engine uses in its place; nothing when it cannot be split by.
    pub(super) async fn key(&mut self, table: &Relation) -> Result<Option<Key>> {
        let rows = self
            .rows(&format!(
                "SELECT s.INDEX_NAME, s.COLUMN_NAME, c.DATA_TYPE, COALESCE(c.CHARACTER_SET_NAME, ''), \
                 s.SUB_PART IS NOT NULL, s.NULLABLE <> '', s.COLUMN_NAME IS NULL \
                 FROM information_schema.STATISTICS s LEFT JOIN information_schema.COLUMNS c \
                 ON c.TABLE_SCHEMA = s.TABLE_SCHEMA AND c.TABLE_NAME = s.TABLE_NAME AND c.COLUMN_NAME = s.COLUMN_NAME \
                 WHERE s.TABLE_SCHEMA = {} AND s.TABLE_NAME = {} AND s.NON_UNIQUE = 0 AND s.INDEX_NAME = 'PRIMARY' \
                 ORDER BY s.SEQ_IN_INDEX",
                literal(&table.schema),
                literal(&table.name)
            ))
            .await?;
        let mut key: Option<Key> = None;
        for row in &rows {
            let flags = [text(row, 4)?, text(row, 5)?, text(row, 6)?];
            let boundary = if row[1].is_some() { boundary(&text(row, 2)?, &text(row, 3)?) } else { None };
            let (Some(boundary), true) = (boundary, flags.iter().all(|flag| flag == "0")) else {
                return Ok(None);
            };
            let index = text(row, 0)?;
            let column = KeyColumn { name: text(row, 1)?, boundary };
            key.get_or_insert_with(|| Key { index, columns: Vec::new() }).columns.push(column);
        }
        Ok(key)
    }

    /// The statement that makes a table, and when the server says that it was made: both change with the definition.
    pub(super) async fn table(&mut self, table: &Relation) -> Result<(Vec<u8>, Vec<u8>)> {
        let row = self.show("TABLE", &table.schema, &table.name).await?;
        let definition = bytes(row, 1)?;
        let made = self
            .rows(&format!(
                "SELECT CREATE_TIME FROM information_schema.TABLES WHERE TABLE_SCHEMA = {} AND TABLE_NAME = {}",
                literal(&table.schema),
                literal(&table.name)
            ))
            .await?;
        let mut signature = without_counter(&definition);
        signature.extend(made.into_iter().next().and_then(|mut row| row.pop().flatten()).unwrap_or_default());
        Ok((definition, signature))
    }

    /// The statement that makes a database, if it is not there.
    pub(super) async fn database(&mut self, schema: &str) -> Result<Vec<u8>> {
        let rows = self.rows(&format!("SHOW CREATE DATABASE IF NOT EXISTS {}", identifier(schema))).await?;
        let row =
            rows.into_iter().next().ok_or_else(|| Error::source(format!("the database {schema} is gone")))?;
        bytes(row, 1)
    }

    /// The statement that makes a sequence.
    pub(super) async fn sequence(&mut self, sequence: &Relation) -> Result<Vec<u8>> {
        let row = self.show("SEQUENCE", &sequence.schema, &sequence.name).await?;
        bytes(row, 1)
    }

    /// The statement that sets a sequence to where it stands.
    pub(super) async fn sequence_value(&mut self, sequence: &Relation) -> Result<Vec<u8>> {
        let name = identifier(&sequence.name);
        let rows = self
            .rows(&format!("SELECT next_not_cached_value FROM {}.{name}", identifier(&sequence.schema)))
            .await?;
        let next = text(rows.first().ok_or_else(|| Error::source("a sequence has no value"))?, 0)?;
        Ok(format!("DO SETVAL({name}, {next}, 0)").into_bytes())
    }

    /// A view of the same columns that needs nothing else, so that others may refer to it before it is there. Nothing for a view that
    /// is broken at the source.
    pub(super) async fn placeholder(&mut self, view: &Relation) -> Result<Option<String>> {
        let rows = self
            .rows(&format!(
                "SELECT COLUMN_NAME FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = {} AND TABLE_NAME = {} ORDER BY ORDINAL_POSITION",
                literal(&view.schema),
                literal(&view.name)
            ))
            .await?;
        let columns = rows
            .iter()
            .map(|row| Ok(format!("1 AS {}", identifier(&text(row, 0)?))))
            .collect::<Result<Vec<_>>>()?;
        // The server lists the columns of a broken view too, as far as it remembers them; only asking tells.
        let probe = format!("SELECT 1 FROM {}.{} LIMIT 0", identifier(&view.schema), identifier(&view.name));
        match self.wire.rows(&format!("EXPLAIN {probe}")).await {
            Err(Failure::Server { code: 1356 | 1449 | 1146 | 1054 | 1305, .. }) => return Ok(None),
            // What the account may not explain, it may still be able to define.
            Ok(_) | Err(Failure::Server { .. }) => {}
            Err(failure) => return Err(failure.explain(&self.url)),
        }
        Ok((!columns.is_empty())
            .then(|| format!("CREATE VIEW {} AS SELECT {}", identifier(&view.name), columns.join(", "))))
    }

    /// The statements that make a view, in the session that it was made in.
    pub(super) async fn view(&mut self, view: &Relation) -> Result<Vec<u8>> {
        let row = self.show("VIEW", &view.schema, &view.name).await?;
        let session = [("character_set_client", text(&row, 2)?), ("collation_connection", text(&row, 3)?)];
        Ok(in_session(&session, "", &bytes(row, 1)?, false))
    }

    /// Names of the stored programs of a kind, in the order in which they have to be made; of triggers with the table that they belong to.
    pub(super) async fn programs(&mut self, schema: &str, kind: Program) -> Result<Vec<(String, String)>> {
        if matches!(kind, Program::Package | Program::PackageBody) && !self.mariadb {
            return Ok(Vec::new());
        }
        let schema = literal(schema);
        let query = match kind {
            // Triggers of one event fire in the order in which they were made.
            Program::Trigger => format!(
                "SELECT TRIGGER_NAME, EVENT_OBJECT_TABLE FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = {schema} \
                 ORDER BY EVENT_OBJECT_TABLE, ACTION_TIMING, EVENT_MANIPULATION, ACTION_ORDER"
            ),
            Program::Event => format!(
                "SELECT EVENT_NAME, '' FROM information_schema.EVENTS WHERE EVENT_SCHEMA = {schema} ORDER BY EVENT_NAME"
            ),
            _ => format!(
                "SELECT ROUTINE_NAME, '' FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = {schema} \
                 AND ROUTINE_TYPE = '{}' ORDER BY ROUTINE_NAME",
                kind.keyword()
            ),
        };
        self.rows(&query).await?.iter().map(|row| Ok((text(row, 0)?, text(row, 1)?))).collect()
    }

    /// The statements that make a stored program, in the session that it was made in.
    pub(super) async fn program(&mut self, schema: &str, name: &str, kind: Program) -> Result<Vec<u8>> {
        let row = self.show(kind.keyword(), schema, name).await?;
        // Name, sql_mode, [time_zone,] text, client's character set, connection's collation, database's collation.
        let at = if kind == Program::Event { 3 } else { 2 };
        let mut session = vec![
            ("character_set_client", text(&row, at + 1)?),
            ("character_set_results", text(&row, at + 1)?),
            ("collation_connection", text(&row, at + 2)?),
            ("sql_mode", format!("'{}'", text(&row, 1)?)),
        ];
        if kind == Program::Event {
            session.push(("time_zone", format!("'{}'", text(&row, 2)?.replace('\'', "''"))));
        }
        let collation = text(&row, at + 3)?;
        let Some(made) = row.into_iter().nth(at).flatten() else {
            return Err(Error::source(format!(
                "the account may not read the body of the {} {schema}.{name}",
                kind.keyword().to_lowercase()
            )));
        };
        let database = self
            .rows(&format!(
                "SELECT DEFAULT_CHARACTER_SET_NAME, DEFAULT_COLLATION_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = {}",
                literal(schema)
            ))
            .await?;
        let database =
            database.first().ok_or_else(|| Error::source(format!("the database {schema} is gone")))?;
        let mut statements = Vec::new();
        let other = text(database, 1)? != collation && !matches!(kind, Program::Trigger);
        if other {
            let charset = collation.split('_').next().unwrap_or_default();
            statements.extend_from_slice(
                format!("ALTER DATABASE CHARACTER SET {charset} COLLATE {collation};\n").as_bytes(),
            );
        }
        let drop = match kind {
            // A trigger goes with its table.
            Program::Trigger => String::new(),
            kind => format!("DROP {} IF EXISTS {};\n", kind.keyword(), identifier(name)),
        };
        statements.extend_from_slice(&in_session(&session, &drop, &made, true));
        if other {
            statements.extend_from_slice(
                format!(
                    "ALTER DATABASE CHARACTER SET {} COLLATE {};\n",
                    text(database, 0)?,
                    text(database, 1)?
                )
                .as_bytes(),
            );
        }
        Ok(statements)
    }
}

/// Statements between lines that set the session and set it back. `body` says that the last one may hold semicolons. The first needs the
/// session too: packages are known in Oracle's mode only.
fn in_session(session: &[(&str, String)], first: &str, statement: &[u8], body: bool) -> Vec<u8> {
    let mut lines: Vec<String> = session
        .iter()
        .map(|(name, value)| format!("SET @saved_{name} = @@{name};\nSET {name} = {value};\n"))
        .collect();
    // `myloader` does not know the client's command for it, so it stands only where it has to.
    let body = body && statement.contains(&b';');
    lines.push(first.to_owned());
    if body {
        lines.push("DELIMITER ;;\n".to_owned());
    }
    let mut bytes = lines.concat().into_bytes();
    bytes.extend_from_slice(statement);
    bytes.extend_from_slice(if body { b" ;;\nDELIMITER ;\n" } else { b";\n" });
    for (name, _) in session {
        bytes.extend_from_slice(format!("SET {name} = @saved_{name};\n").as_bytes());
    }
    bytes
}

/// A definition without the counter that every insert moves.
fn without_counter(definition: &[u8]) -> Vec<u8> {
    const WORD: &[u8] = b" AUTO_INCREMENT=";
    // The last one: behind the columns, where no comment or default of a column can be mistaken for it.
    let Some(at) = definition.windows(WORD.len()).rposition(|window| window == WORD) else {
        return definition.to_vec();
    };
    let digits = definition[at + WORD.len()..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    [&definition[..at], &definition[at + WORD.len() + digits..]].concat()
}

fn cell(kind: &str, charset: &str) -> Cell {
    match kind {
        "tinyint" | "smallint" | "mediumint" | "int" | "integer" | "bigint" | "decimal" | "numeric" => {
            Cell::Number
        }
        "float" | "double" | "real" => Cell::Real,
        "bit" => Cell::Bits,
        "binary" | "varbinary" | "tinyblob" | "blob" | "mediumblob" | "longblob" | "geometry" | "point"
        | "linestring" | "polygon" | "multipoint" | "multilinestring" | "multipolygon"
        | "geometrycollection" | "geomcollection" | "vector" => Cell::Binary,
        _ if charset == "binary" => Cell::Binary,
        _ => Cell::Text,
    }
}

/// Whether `enum('a','')` has a member of no characters. One that only looks so is taken for one, which does no harm.
fn has_empty_member(kind: &str) -> bool {
    ["(''", ",''"].iter().any(|start| {
        kind.match_indices(start).any(|(at, _)| matches!(kind.as_bytes().get(at + 3), Some(b',' | b')')))
    })
}

fn boundary(kind: &str, charset: &str) -> Option<Boundary> {
    Some(match kind.to_ascii_lowercase().as_str() {
        "tinyint" | "smallint" | "mediumint" | "int" | "integer" | "bigint" => Boundary::Integer,
        "decimal" | "numeric" => Boundary::Decimal,
        "date" | "datetime" | "timestamp" | "time" | "uuid" | "inet4" | "inet6" => Boundary::Quoted,
        "char" | "varchar" if !charset.is_empty() && charset != "binary" => {
            Boundary::Characters(charset.to_owned())
        }
        "binary" | "varbinary" => Boundary::Bytes,
        _ => return None,
    })
}

/// A cell that is text in every server; names are UTF-8 everywhere.
fn text(row: &Row, column: usize) -> Result<String> {
    match row.get(column) {
        Some(Some(bytes)) => Ok(String::from_utf8_lossy(bytes).into_owned()),
        _ => Err(Error::source("the server's answer has another shape than expected")),
    }
}

fn bytes(row: Row, column: usize) -> Result<Vec<u8>> {
    row.into_iter()
        .nth(column)
        .flatten()
        .ok_or_else(|| Error::source("the server does not show a definition: the account lacks a privilege"))
}

/// A table is not what it was when its definition was read.
pub(super) fn altered(table: &Relation) -> Error {
    Error::source(format!("{}.{} was altered while it was read", table.schema, table.name))
        .of_kind(Kind::Temporary)
        .hint("run it again when nobody alters the schema")
}

/// Tells of a view that the source itself cannot use.
pub(super) fn broken_view(view: &Relation, definition: &[u8], cx: &Context) -> Vec<u8> {
    cx.warn(format!(
        "the view {}.{} refers to something that does not exist or may not be used; it stands in the dump as a comment",
        view.schema, view.name
    ));
    let mut comment = Vec::new();
    for line in definition.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        comment.extend_from_slice(b"-- ");
        comment.extend_from_slice(line);
        comment.push(b'\n');
    }
    comment
}
