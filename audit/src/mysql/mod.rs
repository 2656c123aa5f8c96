//! MySQL and MariaDB.

use std::sync::{Mutex, PoisonError};

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Row, Value};
use pipeline::endpoint::DatabaseUrl;
use pipeline::{Error, Kind, Result};

use crate::catalogue::{Catalogue, Column, Table};
use crate::compare::Pair;
use crate::report::SideInfo;
use crate::tally::Cells;

mod json;
mod look;
mod normal;

/// Values are shown in the session's zone and character set; a mode could pad or refuse them; a slow reader and a long query must not be cut off.
const SESSION: &str = "SET SESSION time_zone = '+00:00', sql_mode = '', net_write_timeout = 3600, net_read_timeout = 3600, wait_timeout = 86400";

/// One database.
pub(crate) struct Side {
    url: DatabaseUrl,
    database: String,
    version: String,
    mariadb: bool,
    /// Whether the other side is of the other maker, whose texts differ.
    across: bool,
    idle: Mutex<Vec<Conn>>,
}

/// Connects to both.
pub(crate) async fn pair(source: &DatabaseUrl, dest: &DatabaseUrl) -> Result<(Side, Side)> {
    let (left, right) = tokio::join!(Side::open(source), Side::open(dest));
    let (mut left, mut right) = (left?, right.map_err(|error| error.at(pipeline::Stage::Sink))?);
    let across = left.mariadb != right.mariadb;
    (left.across, right.across) = (across, across);
    Ok((left, right))
}

impl Side {
    async fn open(url: &DatabaseUrl) -> Result<Self> {
        let mut side = Self {
            url: url.clone(),
            database: url.databases.first().cloned().unwrap_or_default(),
            version: String::new(),
            mariadb: false,
            across: false,
            idle: Mutex::new(Vec::new()),
        };
        let mut conn = connections::mysql::connect(url).await?;
        let version: Option<(String, String)> = conn
            .query_first("SELECT VERSION(), @@version_comment")
            .await
            .map_err(|error| side.failed("the version", error))?;
        let (version, comment) = version.unwrap_or_default();
        side.mariadb = version.contains("MariaDB") || comment.contains("MariaDB");
        side.version = format!("{} {version}", if side.mariadb { "MariaDB" } else { "MySQL" });
        // Before 8.0 there are no statistics that expire, and nothing expires them.
        for setting in ["SET NAMES utf8mb4", SESSION] {
            conn.query_drop(setting).await.map_err(|error| side.failed("the session", error))?;
        }
        let database = side.database.replace('`', "``");
        conn.query_drop(format!("USE `{database}`")).await.map_err(|error| match &error {
            mysql_async::Error::Server(server) if server.code == 1049 => {
                Error::source(format!("the database {} does not exist", side.database))
                    .with("server", url.place())
                    .hint("look at the database's name and its case")
            }
            _ => side.failed("the database", error),
        })?;
        side.release(conn);
        Ok(side)
    }

    pub(crate) fn info(&self) -> SideInfo {
        SideInfo { endpoint: self.url.to_string(), server: self.version.clone() }
    }

    fn failed(&self, what: &str, error: mysql_async::Error) -> Error {
        let place = self.url.place();
        match &error {
            mysql_async::Error::Server(server) => {
                Error::source(format!("{place} refuses to show {what}: {}", server.message))
                    .with("error", server.code)
            }
            _ => Error::source(format!("the connection to {place} broke while reading {what}"))
                .of_kind(Kind::Temporary),
        }
        .caused_by(error)
    }

    async fn acquire(&self) -> Result<Conn> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        if let Some(conn) = idle {
            return Ok(conn);
        }
        let mut conn = connections::mysql::connect(&self.url).await?;
        let database = self.database.replace('`', "``");
        for setting in ["SET NAMES utf8mb4", SESSION, &format!("USE `{database}`")] {
            conn.query_drop(setting).await.map_err(|error| self.failed("the session", error))?;
        }
        Ok(conn)
    }

    fn release(&self, conn: Conn) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(conn);
    }

    pub(crate) async fn catalogue(&self) -> Result<Catalogue> {
        let mut conn = self.acquire().await?;
        let look = look::Look { side: self, conn: &mut conn };
        let catalogue = look.all().await?;
        self.release(conn);
        Ok(catalogue)
    }

    /// Reads every row of `table`, which is one of the pair.
    pub(crate) async fn scan(
        &self,
        table: &Table,
        pair: &Pair,
        each: &mut (dyn FnMut(Cells<'_>) + Send),
    ) -> Result<()> {
        let mut select = Vec::new();
        let mut json = Vec::new();
        for (at, name) in pair.columns.iter().enumerate() {
            let of = |table: &Table| table.columns.iter().find(|column| column.name == *name).cloned();
            let (Some(left), Some(right)) = (of(&pair.left), of(&pair.right)) else {
                return Err(Error::bug("a column is compared that one side lacks"));
            };
            if self.across && left.kind == "json" && right.kind == "json" {
                json.push(at);
            }
            select.push(expression(name, &left, &right));
        }
        if select.is_empty() {
            // Only generated columns: rows can still be counted.
            select.push("1".to_owned());
        }
        let query = match &table.query {
            Some(query) => query.clone(),
            None => format!("SELECT {} FROM {}", select.join(", "), table.sql),
        };
        let mut conn = self.acquire().await?;
        let mut rows = conn.query_iter(query).await.map_err(|error| self.failed(&table.sql, error))?;
        let mut canonical: Vec<Vec<u8>> = vec![Vec::new(); json.len()];
        loop {
            let row = rows.next().await.map_err(|error| self.failed(&table.sql, error))?;
            let Some(row) = row else { break };
            let values = bytes(row);
            for (text, &at) in canonical.iter_mut().zip(&json) {
                *text = values[at].as_deref().map(json::canonical).unwrap_or_default();
            }
            let mut cells: Vec<Option<&[u8]>> = values.iter().map(Option::as_deref).collect();
            for (text, &at) in canonical.iter().zip(&json) {
                cells[at] = cells[at].map(|_| text.as_slice());
            }
            each(&cells);
        }
        drop(rows);
        self.release(conn);
        Ok(())
    }
}

/// What to select so that equal values look the same on both sides, and different ones do not.
fn expression(name: &str, left: &Column, right: &Column) -> String {
    let quoted = quote(name);
    if left.kind.starts_with("float") || right.kind.starts_with("float") {
        // As text a FLOAT has six digits, and two different values look the same; as DOUBLE it has all.
        return format!("{quoted} + 0e0");
    }
    match (&left.charset, &right.charset) {
        // The bytes as they are stored: a conversion would make one question mark of all bytes that are not valid.
        (Some(a), Some(b)) if a == b => format!("CAST({quoted} AS BINARY)"),
        _ => quoted,
    }
}

fn bytes(row: Row) -> Vec<Option<Vec<u8>>> {
    row.unwrap()
        .into_iter()
        .map(|value| match value {
            Value::NULL => None,
            Value::Bytes(bytes) => Some(bytes),
            // The text protocol has no others.
            other => Some(other.as_sql(true).into_bytes()),
        })
        .collect()
}

pub(crate) fn quote(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}
