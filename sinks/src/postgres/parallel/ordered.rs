//! The connection that executes what keeps its place, in transactions of some statements each.

use std::time::{Duration, Instant};

use bytes::Bytes;
use formats::rdb::Crc64;
use pipeline::endpoint::DatabaseUrl;
use pipeline::{Context, Error, Kind, Result, Stage};
use tokio_postgres::Client;

use super::journal::{self, Journal, ORDERED};
use crate::postgres::explain;
use crate::postgres::script::Statement;
use crate::postgres::whole::Session;

/// Statements of one transaction: each may hold locks, of which a server has some thousands.
const MOST: u32 = 256;
/// A transaction that lasts longer ends with the statement.
const LONGEST: Duration = Duration::from_secs(5);

pub(super) struct Ordered {
    session: Session,
    url: DatabaseUrl,
    cx: Context,
    /// Everything that a new connection must set.
    settings: String,
    open: Option<Instant>,
    /// Statements in the transaction that is open.
    waiting: u32,
    /// The dump has begun a block of its own.
    block: bool,
    /// The last statement, and the digest of all so far.
    number: u64,
    digest: i64,
    /// The same of an earlier load, until it is reached.
    earlier: Option<(u64, i64)>,
    /// The rows that arrive are there already.
    skips: bool,
}

impl Ordered {
    /// `client` is a session as `settings` makes it.
    pub(super) async fn new(
        client: Client,
        url: DatabaseUrl,
        settings: String,
        journal: &Journal,
        cx: Context,
    ) -> Result<Self> {
        journal::alone(&client).await?;
        let earlier = Some(journal::ordered(journal)).filter(|(number, _)| *number > 0);
        Ok(Self {
            session: Session::new(client, cx.clone()),
            url,
            cx,
            settings,
            open: None,
            waiting: 0,
            block: false,
            number: 0,
            digest: 0,
            earlier,
            skips: false,
        })
    }

    /// What the dump has set so far.
    pub(super) fn settings(&self) -> &str {
        &self.settings
    }

    /// Whether an earlier load came to a statement behind this one: it had then brought every unit before it.
    pub(super) fn was_passed(&self, statement: u64) -> bool {
        self.earlier.is_some_and(|(last, _)| statement < last)
    }

    /// Rows that the server took.
    pub(super) fn rows(&self) -> u64 {
        self.session.rows
    }

    pub(super) fn block(&mut self, begins: bool) {
        self.block = begins;
    }

    /// A statement that sets something for every connection.
    pub(super) async fn set(&mut self, statement: Statement<'_>) -> Result<()> {
        self.begin().await?;
        self.session.statement(statement).await?;
        self.settings.push_str(statement.sql);
        self.settings.push_str(if statement.sql.ends_with(';') { "\n" } else { ";\n" });
        Ok(())
    }

    /// Executes a statement, unless an earlier load has.
    pub(super) async fn execute(&mut self, statement: Statement<'_>) -> Result<()> {
        if self.is_there(&statement)? {
            return Ok(());
        }
        self.begin().await?;
        self.session.statement(statement).await?;
        self.executed().await
    }

    async fn executed(&mut self) -> Result<()> {
        self.waiting += 1;
        let long = self.open.is_some_and(|begun| begun.elapsed() > LONGEST);
        if (self.waiting >= MOST || long) && !self.block { self.commit().await } else { Ok(()) }
    }

    pub(super) async fn begin_rows(&mut self, statement: Statement<'_>) -> Result<()> {
        self.skips = self.is_there(&statement)?;
        if self.skips {
            return Ok(());
        }
        self.begin().await?;
        self.session.begin_rows(statement).await
    }

    pub(super) async fn rows_of_copy(&mut self, data: Bytes) -> Result<()> {
        if self.skips { Ok(()) } else { self.session.rows(data).await }
    }

    pub(super) async fn end_rows(&mut self) -> Result<()> {
        if std::mem::take(&mut self.skips) {
            return Ok(());
        }
        self.session.end_rows().await?;
        self.executed().await
    }

    /// Makes what was executed visible to the other connections, and lasting.
    pub(super) async fn commit(&mut self) -> Result<()> {
        if self.open.take().is_none() {
            return Ok(());
        }
        let line = journal::line(journal::number(self.number, ORDERED), self.digest);
        let waiting = std::mem::take(&mut self.waiting);
        let sql = if waiting > 0 { format!("{line}; COMMIT") } else { "COMMIT".to_owned() };
        let client = &self.session.client;
        client.batch_execute(&sql).await.map_err(|error| explain::refused(&error, "COMMIT"))
    }

    /// The dump has ended.
    pub(super) async fn finish(&mut self) -> Result<()> {
        self.commit().await?;
        if self.earlier.is_some() { Err(journal::another_dump()) } else { Ok(()) }
    }

    /// Whether an earlier load has executed this; then everything up to there must be of the same dump.
    fn is_there(&mut self, statement: &Statement<'_>) -> Result<bool> {
        let mut crc = Crc64::new();
        crc.update(&self.digest.to_be_bytes());
        crc.update(statement.sql.as_bytes());
        self.digest = crc.value().cast_signed();
        self.number = statement.number;
        let Some((last, digest)) = self.earlier else { return Ok(false) };
        if statement.number > last || statement.number == last && self.digest != digest {
            return Err(journal::another_dump());
        }
        if statement.number == last {
            self.earlier = None;
        }
        Ok(true)
    }

    async fn begin(&mut self) -> Result<()> {
        if self.open.is_some() {
            return Ok(());
        }
        let mut result = self.try_begin().await;
        // A failover takes about a minute. Nothing was begun, so nothing is done twice.
        for wait in [0, 1, 2, 4, 8, 15, 30] {
            match &result {
                Err(error) if error.kind() == Kind::Temporary => {
                    tokio::time::sleep(Duration::from_secs(wait)).await;
                    result = self.try_begin().await;
                }
                _ => break,
            }
        }
        self.open = Some(Instant::now());
        result
    }

    async fn try_begin(&mut self) -> Result<()> {
        if self.session.client.is_closed() {
            let again = |error: Error| error.at(Stage::Sink).of_kind(Kind::Temporary);
            let client = connections::postgres::connect(&self.url).await.map_err(again)?;
            client
                .batch_execute(&self.settings)
                .await
                .map_err(|error| explain::refused(&error, "preparing the session"))?;
            journal::alone(&client).await?;
            let rows = self.session.rows;
            self.session = Session::new(client, self.cx.clone());
            self.session.rows = rows;
        }
        let begun = self.session.client.batch_execute("BEGIN").await;
        begun.map_err(|error| explain::refused(&error, "BEGIN"))
    }
}
