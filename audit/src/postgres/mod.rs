//! PostgreSQL.

use std::pin::pin;
use std::sync::{Mutex, PoisonError};

use futures_util::TryStreamExt;
use pipeline::endpoint::DatabaseUrl;
use pipeline::{Error, Kind, Result};
use tokio_postgres::Client;

use crate::catalogue::{Catalogue, Table};
use crate::compare::Pair;
use crate::report::SideInfo;
use crate::tally::Cells;

mod look;
mod normal;

/// Values must not look different because of who asks: their text follows these. With an empty path every name is qualified, and with
/// `row_security` off what a policy would hide is an error instead of missing.
const SESSION: &str = "SET search_path = ''; SET DateStyle = 'ISO, YMD'; SET IntervalStyle = 'postgres'; SET TimeZone = 'UTC'; \
    SET extra_float_digits = 3; SET bytea_output = 'hex'; SET lc_monetary = 'C'; SET xmloption = 'content'; SET row_security = off; \
    SET statement_timeout = 0; SET lock_timeout = 0; SET idle_in_transaction_session_timeout = 0; \
    SET default_transaction_isolation = 'repeatable read'; SET default_transaction_read_only = on; SET quote_all_identifiers = off";

/// One database.
pub(crate) struct Side {
    url: DatabaseUrl,
    version: String,
    major: u32,
    /// Whether the other side is another major version, which prints some definitions in other words.
    across: bool,
    idle: Mutex<Vec<Client>>,
}

/// Connects to both.
pub(crate) async fn pair(source: &DatabaseUrl, dest: &DatabaseUrl) -> Result<(Side, Side)> {
    let (left, right) = tokio::join!(Side::open(source), Side::open(dest));
    let (mut left, mut right) = (left?, right.map_err(|error| error.at(pipeline::Stage::Sink))?);
    let across = left.major != right.major;
    (left.across, right.across) = (across, across);
    Ok((left, right))
}

impl Side {
    async fn open(url: &DatabaseUrl) -> Result<Self> {
        let mut side = Self {
            url: url.clone(),
            version: String::new(),
            major: 0,
            across: false,
            idle: Mutex::new(Vec::new()),
        };
        let client = side.acquire().await?;
        let row = client
            .query_one(
                "SELECT current_setting('server_version'), current_setting('server_version_num')::int4",
                &[],
            )
            .await
            .map_err(|error| side.failed("its version", error))?;
        side.version = format!("PostgreSQL {}", row.get::<_, String>(0));
        side.major = u32::try_from(row.get::<_, i32>(1) / 10_000).unwrap_or(0);
        side.release(client);
        Ok(side)
    }

    pub(crate) fn info(&self) -> SideInfo {
        SideInfo { endpoint: self.url.to_string(), server: self.version.clone() }
    }

    fn failed(&self, what: &str, error: tokio_postgres::Error) -> Error {
        let place = self.url.place();
        match error.as_db_error() {
            Some(server) => Error::source(format!("{place} refuses to show {what}: {}", server.message()))
                .with("error", server.code().code()),
            None => Error::source(format!("the connection to {place} broke while reading {what}"))
                .of_kind(Kind::Temporary),
        }
        .caused_by(error)
    }

    async fn acquire(&self) -> Result<Client> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        if let Some(client) = idle {
            return Ok(client);
        }
        let client = connections::postgres::connect(&self.url).await?;
        client.batch_execute(SESSION).await.map_err(|error| self.failed("the session", error))?;
        Ok(client)
    }

    fn release(&self, client: Client) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(client);
    }

    pub(crate) async fn catalogue(&self) -> Result<Catalogue> {
        let client = self.acquire().await?;
        let catalogue = look::Look { side: self, client: &client }.all().await?;
        self.release(client);
        Ok(catalogue)
    }

    /// Reads every row of `table`, which is one of the pair.
    pub(crate) async fn scan(
        &self,
        table: &Table,
        pair: &Pair,
        each: &mut (dyn FnMut(Cells<'_>) + Send),
    ) -> Result<()> {
        let kinds = |table: &Table, name: &str| {
            table.columns.iter().find(|column| column.name == name).map(|column| column.kind.clone())
        };
        let select: Vec<String> = pair
            .columns
            .iter()
            .map(|name| {
                let quoted = quote(name);
                match (kinds(&pair.left, name).as_deref(), kinds(&pair.right, name).as_deref()) {
                    // Servers before 12 print other digits than those since; the bytes are the same.
                    (Some("real"), Some("real")) => format!("pg_catalog.float4send({quoted})"),
                    (Some("double precision"), Some("double precision")) => {
                        format!("pg_catalog.float8send({quoted})")
                    }
                    _ => quoted,
                }
            })
            .collect();
        let query = match &table.query {
            Some(query) => query.clone(),
            None => format!("SELECT {} FROM {}", select.join(", "), table.sql),
        };
        let lost = |error| self.failed(&table.sql, error);
        let client = self.acquire().await?;
        let stream = client.copy_out(&format!("COPY ({query}) TO STDOUT")).await.map_err(lost)?;
        let mut stream = pin!(stream);
        while let Some(message) = stream.try_next().await.map_err(lost)? {
            // The server sends a row a message; its line ends are its own, those in values are escaped.
            let Some(line) = message.strip_suffix(b"\n") else {
                return Err(Error::bug("a message of COPY is no row"));
            };
            let mut cells = Vec::with_capacity(pair.columns.len());
            if !pair.columns.is_empty() {
                let mut rest = line;
                loop {
                    let end = memchr::memchr(b'\t', rest);
                    let cell = &rest[..end.unwrap_or(rest.len())];
                    cells.push((cell != b"\\N").then_some(cell));
                    match end {
                        Some(end) => rest = &rest[end + 1..],
                        None => break,
                    }
                }
            }
            each(&cells);
        }
        self.release(client);
        Ok(())
    }
}

pub(crate) fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
