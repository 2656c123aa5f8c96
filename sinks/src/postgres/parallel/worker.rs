//! A connection that brings units of rows and builds indexes, each once, whatever happens to the connection.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes};
use futures_util::SinkExt;
use pipeline::endpoint::DatabaseUrl;
use pipeline::{Error, Kind, Result, Stage};
use tokio_postgres::{Client, SimpleQueryMessage};

use super::journal;
use crate::postgres::explain;

/// How long a unit is tried again: a failover takes about a minute.
const WAITS: [u64; 8] = [0, 1, 2, 4, 8, 15, 20, 30];
/// Rows are handed to the client library in pieces of this size.
const PIECE: usize = 256 << 10;

/// Something to bring.
#[derive(Debug)]
pub(super) struct Unit {
    /// In the journal.
    pub(super) number: i64,
    pub(super) digest: i64,
    /// What is executed: a COPY, or what builds an index.
    pub(super) sql: Arc<str>,
    pub(super) rows: Option<Rows>,
    /// What the dump has set at this place.
    pub(super) session: Arc<str>,
    /// The statement's place in the dump.
    pub(super) statement: u64,
    pub(super) offset: u64,
}

/// Rows of a COPY.
#[derive(Debug)]
pub(super) struct Rows {
    pub(super) table: Arc<str>,
    pub(super) data: Bytes,
    pub(super) count: u64,
    /// Rows of the same COPY in units before this one.
    pub(super) before: u64,
}

impl Unit {
    fn located(&self, error: Error) -> Error {
        let error = match &self.rows {
            // The server counts the lines of a COPY from the unit's first.
            Some(rows) if rows.before > 0 => {
                error.with("table", &rows.table).with("rows before line 1", rows.before)
            }
            Some(rows) => error.with("table", &rows.table),
            None => error,
        };
        error.with("statement", self.statement).with("offset", self.offset)
    }

    fn what(&self) -> String {
        if let Some(rows) = &self.rows {
            return format!("rows of {}", rows.table);
        }
        let head: Vec<&str> = self.sql.split_whitespace().take(6).collect();
        format!("`{}…`", head.join(" ").chars().take(100).collect::<String>())
    }
}

pub(super) struct Worker {
    url: DatabaseUrl,
    client: Option<Client>,
    session: Option<Arc<str>>,
}

/// How one try ended.
enum Failure {
    Cause(tokio_postgres::Error),
    /// No connection, in the middle of a load: the server has taken this account before, so it may again.
    Connect(Error),
    Other(Error),
}

impl From<tokio_postgres::Error> for Failure {
    fn from(cause: tokio_postgres::Error) -> Self {
        Self::Cause(cause)
    }
}

impl Worker {
    pub(super) fn new(url: DatabaseUrl) -> Self {
        Self { url, client: None, session: None }
    }

    async fn attempt(&mut self, unit: &Unit) -> std::result::Result<u64, Failure> {
        let client = match &mut self.client {
            Some(client) => client,
            slot => {
                let client = connections::postgres::connect(&self.url).await;
                slot.insert(client.map_err(|error| Failure::Connect(error.at(Stage::Sink)))?)
            }
        };
        if self.session.as_ref() != Some(&unit.session) {
            client.batch_execute(&unit.session).await?;
            self.session = Some(Arc::clone(&unit.session));
        }
        let count = unit.rows.as_ref().map_or(0, |rows| rows.count);
        // The line comes first: it waits for whoever else is bringing the same unit, and says when they have.
        let begin = format!("BEGIN; {}", journal::line(unit.number, unit.digest));
        if !added(&client.simple_query(&begin).await?) {
            let found = journal::written(client, unit.number).await?;
            client.batch_execute("ROLLBACK").await?;
            return match found {
                Some(found) if found == unit.digest => Ok(count),
                _ => Err(Failure::Other(journal::another_dump())),
            };
        }
        match &unit.rows {
            None => client.batch_execute(&unit.sql).await?,
            Some(rows) => {
                let mut sink = Box::pin(client.copy_in::<_, Bytes>(&*unit.sql).await?);
                let mut data = rows.data.clone();
                while data.has_remaining() {
                    sink.send(data.split_to(data.len().min(PIECE))).await?;
                }
                let taken = sink.as_mut().finish().await?;
                if taken != rows.count {
                    return Err(Failure::Other(
                        Error::sink("the target took another number of rows than were sent")
                            .with("sent", rows.count)
                            .with("taken", taken),
                    ));
                }
            }
        }
        client.batch_execute("COMMIT").await?;
        Ok(count)
    }
}

/// Whether an INSERT added its row.
fn added(messages: &[SimpleQueryMessage]) -> bool {
    messages.iter().any(|message| matches!(message, SimpleQueryMessage::CommandComplete(1)))
}

impl crate::crew::Worker for Worker {
    type Unit = Unit;
    /// How many rows the server took.
    type Done = u64;

    fn size(unit: &Unit) -> usize {
        unit.sql.len() + unit.rows.as_ref().map_or(0, |rows| rows.data.len())
    }

    async fn run(&mut self, unit: &Unit) -> Result<u64> {
        let mut waits = WAITS.iter();
        loop {
            let failure = match self.attempt(unit).await {
                Ok(rows) => return Ok(rows),
                Err(failure) => failure,
            };
            // Ends the transaction where there is one.
            self.client = None;
            self.session = None;
            let (error, passes) = match failure {
                Failure::Cause(cause) => (explain::refused(&cause, &unit.what()), explain::passes(&cause)),
                Failure::Connect(error) => (error.of_kind(Kind::Temporary), true),
                Failure::Other(error) => (error, false),
            };
            match waits.next() {
                Some(wait) if passes => tokio::time::sleep(Duration::from_secs(*wait)).await,
                _ => return Err(unit.located(error)),
            }
        }
    }
}
