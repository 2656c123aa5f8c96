//! A dump as one transaction, over one connection.

use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Buf, Bytes};
use futures_util::SinkExt;
use pipeline::{Content, Context, Error, Proof, Receipt, Result, Sink};
use tokio::sync::Mutex;
use tokio_postgres::{Client, CopyInSink, SimpleQueryMessage};

use super::explain;
use super::lines::Lines;
use super::script::{Script, Statement, Target};

/// Rows are handed to the client library in pieces of this size.
const PIECE: usize = 256 << 10;

/// A transaction that holds a whole dump, not committed.
pub(super) struct Loaded {
    pub(super) client: Client,
    pub(super) transaction: i64,
}

/// The sink of the one stream.
pub(super) struct WholeSink {
    pub(super) script: Script<Whole>,
    pub(super) loaded: Arc<Mutex<Option<Loaded>>>,
}

#[async_trait]
impl Sink for WholeSink {
    async fn write(&mut self, data: Bytes) -> Result<()> {
        self.script.push(data).await.map_err(explain::nothing_applied)
    }

    async fn commit(mut self: Box<Self>, content: &Content) -> Result<Receipt> {
        let rows = self.script.finish().await.map_err(explain::nothing_applied)?;
        let loaded = self.script.target.close().await.map_err(explain::nothing_applied)?;
        *self.loaded.lock().await = Some(loaded);
        Ok(Receipt { bytes: content.bytes, proof: Proof::RowsAccepted { rows } })
    }

    async fn abort(self: Box<Self>) -> Result<()> {
        // The connection goes with the sink, and the transaction with the connection.
        Ok(())
    }
}

/// The open transaction.
pub(super) struct Whole {
    session: Session,
}

/// A connection that takes statements, and rows as they pass.
pub(super) struct Session {
    pub(super) client: Client,
    cx: Context,
    copy: Option<Copy>,
    /// Rows that the server took.
    pub(super) rows: u64,
}

/// A COPY whose rows are being sent.
struct Copy {
    table: String,
    sink: Pin<Box<CopyInSink<Bytes>>>,
    lines: Lines,
    counted: bool,
    number: u64,
    offset: u64,
}

impl Session {
    pub(super) fn new(client: Client, cx: Context) -> Self {
        Self { client, cx, copy: None, rows: 0 }
    }

    pub(super) async fn statement(&mut self, statement: Statement<'_>) -> Result<()> {
        let messages =
            self.client.simple_query(statement.sql).await.map_err(|error| statement.refused(&error))?;
        if statement.first == b"insert" {
            for message in messages {
                if let SimpleQueryMessage::CommandComplete(rows) = message {
                    self.rows += rows;
                }
            }
        }
        Ok(())
    }

    pub(super) async fn begin_rows(&mut self, statement: Statement<'_>) -> Result<()> {
        let sink = self.client.copy_in(statement.sql).await.map_err(|error| statement.refused(&error))?;
        self.copy = Some(Copy {
            table: statement.copied(),
            sink: Box::pin(sink),
            lines: Lines::default(),
            counted: statement.lines_are_rows(),
            number: statement.number,
            offset: statement.offset,
        });
        Ok(())
    }

    pub(super) async fn rows(&mut self, mut data: Bytes) -> Result<()> {
        let Some(copy) = &mut self.copy else { return Err(Error::bug("rows without a COPY")) };
        copy.lines.push(&data);
        while data.has_remaining() {
            let part = data.split_to(data.len().min(PIECE));
            if let Err(error) = copy.sink.send(part).await {
                return Err(copy.refused(&error));
            }
        }
        Ok(())
    }

    pub(super) async fn end_rows(&mut self) -> Result<()> {
        let Some(mut copy) = self.copy.take() else { return Ok(()) };
        let taken = copy.sink.as_mut().finish().await.map_err(|error| copy.refused(&error))?;
        let sent = copy.lines.rows();
        if copy.counted && taken != sent {
            return Err(Error::sink(format!(
                "the target took another number of rows than were sent: COPY {}",
                copy.table
            ))
            .with("sent", sent)
            .with("taken", taken)
            .with("offset", copy.offset));
        }
        self.rows += taken;
        self.cx.info(format!("{}: {taken} rows", copy.table));
        Ok(())
    }
}

impl Copy {
    fn refused(&self, error: &tokio_postgres::Error) -> Error {
        explain::refused(error, &format!("rows of {}", self.table))
            .with("table", &self.table)
            .with("statement", self.number)
            .with("offset", self.offset)
    }
}

impl Whole {
    /// `client` has begun the transaction.
    pub(super) fn new(client: Client, cx: Context) -> Self {
        Self { session: Session::new(client, cx) }
    }

    async fn close(self) -> Result<Loaded> {
        let client = self.session.client;
        let row = client
            .query_one("SELECT txid_current()", &[])
            .await
            .map_err(|error| explain::refused(&error, "asking for the transaction"))?;
        Ok(Loaded { transaction: row.get(0), client })
    }
}

impl Target for Whole {
    async fn statement(&mut self, statement: Statement<'_>) -> Result<()> {
        self.session.statement(statement).await
    }

    fn block(&mut self, _: bool) {}

    async fn begin_rows(&mut self, statement: Statement<'_>) -> Result<()> {
        self.session.begin_rows(statement).await
    }

    async fn rows(&mut self, data: Bytes) -> Result<()> {
        self.session.rows(data).await
    }

    async fn end_rows(&mut self) -> Result<()> {
        self.session.end_rows().await
    }

    async fn finish(&mut self) -> Result<u64> {
        // What is checked at COMMIT is checked now, while a refusal can still be told from a lost answer.
        self.session
            .client
            .batch_execute("SET CONSTRAINTS ALL IMMEDIATE")
            .await
            .map_err(|error| explain::refused(&error, "a deferred constraint"))?;
        Ok(self.session.rows)
    }
}
