//! A dump over several connections: rows in units, indexes when the rows are there, everything else in its place.
//!
//! What is done is no transaction, so the database is marked first, and the mark holds a journal. A unit of rows, an index, some statements in their order are a
//! transaction each, together with their line in the journal: whatever was interrupted, everything is there once.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use pipeline::endpoint::DatabaseUrl;
use pipeline::{Content, Context, Error, Proof, Receipt, Result, Sink};
use tokio::sync::Mutex;
use tokio_postgres::Client;

mod journal;
mod kind;
mod ordered;
mod worker;

use self::journal::Journal;
pub(super) use self::journal::{MARK, is_marked, mark, unmark};
use self::kind::{Kind, Name, kind};
use self::ordered::Ordered;
use self::worker::{Rows, Unit, Worker};
use super::PostgresLoad;
use super::lines::Lines;
use super::script::{Script, Statement, Target};
use crate::crew::{Begun, Crew, noted};

/// Bytes after which a unit of rows ends with the row. Always the same: another run must cut at the same places.
const UNIT: usize = 4 << 20;
/// Statements about indexes that wait for them may have this many bytes.
const PATIENCE: usize = 1 << 20;

/// What a row may have, with the unit that it ends.
pub(super) fn longest_row(room: usize) -> usize {
    (room / 2).max(2 * UNIT)
}

/// The sink of the one stream.
pub(super) struct ParallelSink {
    pub(super) script: Script<Parallel>,
    pub(super) begun: Arc<Mutex<Begun>>,
}

#[async_trait]
impl Sink for ParallelSink {
    async fn write(&mut self, data: Bytes) -> Result<()> {
        let result = self.script.push(data).await;
        noted(&self.begun, result).await
    }

    async fn commit(mut self: Box<Self>, content: &Content) -> Result<Receipt> {
        let result = self.script.finish().await;
        let rows = noted(&self.begun, result).await?;
        Ok(Receipt { bytes: content.bytes, proof: Proof::RowsAccepted { rows } })
    }

    async fn abort(mut self: Box<Self>) -> Result<()> {
        self.script.target.crew.stop().await;
        Ok(())
    }
}

/// A load over several connections.
pub(super) struct Parallel {
    url: DatabaseUrl,
    cx: Context,
    longest_row: usize,
    ordered: Ordered,
    crew: Crew<Worker>,
    /// What earlier loads have brought.
    journal: Journal,
    /// Rows of these in units that were there already.
    found: u64,
    /// Tables of this dump in which no row needs another.
    free: BTreeSet<Name>,
    settings: Arc<str>,
    /// What makes tables unlogged, in the end.
    unlogged: Arc<Mutex<Vec<String>>>,
    copy: Option<Copy>,
    /// Indexes are being built, and this is said of them.
    building: bool,
    later: Vec<Later>,
}

/// A COPY whose rows go out in units.
struct Copy {
    table: Arc<str>,
    sql: Arc<str>,
    statement: u64,
    offset: u64,
    part: u64,
    data: BytesMut,
    lines: Lines,
    /// Rows in the units before.
    before: u64,
}

/// A statement that waits.
struct Later {
    sql: String,
    number: u64,
    offset: u64,
    standard_strings: bool,
}

impl Parallel {
    /// `client` is a session as `settings` makes it.
    pub(super) async fn new(
        client: Client,
        url: DatabaseUrl,
        settings: String,
        load: &PostgresLoad,
        unlogged: Arc<Mutex<Vec<String>>>,
        cx: Context,
    ) -> Result<Self> {
        let journal = journal::read(&client).await?;
        let ordered = Ordered::new(client, url.clone(), settings, &journal, cx.clone()).await?;
        Ok(Self {
            settings: ordered.settings().into(),
            ordered,
            url,
            cx,
            longest_row: longest_row(load.room),
            crew: Crew::new(load.jobs, load.room),
            journal,
            found: 0,
            free: BTreeSet::new(),
            unlogged,
            copy: None,
            building: false,
            later: Vec::new(),
        })
    }

    /// Everything before this place is there.
    async fn settle(&mut self) -> Result<()> {
        self.crew.all_done().await?;
        self.building = false;
        for later in std::mem::take(&mut self.later) {
            let Later { sql, number, offset, standard_strings } = &later;
            let (number, offset, standard_strings) = (*number, *offset, *standard_strings);
            self.ordered.execute(Statement { sql, first: b"", number, offset, standard_strings }).await?;
        }
        Ok(())
    }

    async fn dispatch(&mut self, unit: Unit) -> Result<()> {
        match self.journal.get(&unit.number) {
            Some(digest) if *digest == unit.digest => {
                self.found += unit.rows.map_or(0, |rows| rows.count);
                return Ok(());
            }
            None if !self.ordered.was_passed(unit.statement) => {}
            _ => return Err(journal::another_dump()),
        }
        self.ordered.commit().await?;
        self.crew.dispatch(unit, || Worker::new(self.url.clone())).await
    }

    /// The rows so far, as a unit.
    async fn cut(&mut self) -> Result<()> {
        let Some(copy) = &mut self.copy else { return Ok(()) };
        let data = std::mem::take(&mut copy.data).freeze();
        let count = copy.lines.rows() - copy.before;
        let unit = Unit {
            number: journal::number(copy.statement, copy.part),
            digest: journal::digest(&data),
            sql: Arc::clone(&copy.sql),
            rows: Some(Rows { table: Arc::clone(&copy.table), data, count, before: copy.before }),
            session: Arc::clone(&self.settings),
            statement: copy.statement,
            offset: copy.offset,
        };
        copy.before += count;
        copy.part += 1;
        if copy.part >= journal::ORDERED {
            return Err(Error::sink("a table has more rows than this way of loading can number")
                .with("table", &copy.table)
                .hint("load without --jobs"));
        }
        self.dispatch(unit).await
    }
}

impl Target for Parallel {
    async fn statement(&mut self, mut statement: Statement<'_>) -> Result<()> {
        // The journal would say that rows are there which a crash has taken away.
        let logged = kind::logged(&statement);
        if let Some((sql, again)) = &logged {
            let Some(again) = again else {
                return Err(statement.located(
                    Error::sink("an unlogged table whose schema is not named cannot be loaded over several connections")
                        .hint("leave --jobs out, or dump with pg_dump 10.3 or newer"),
                ));
            };
            statement.sql = sql;
            self.unlogged.lock().await.push(again.clone());
        }
        match kind(&statement) {
            Kind::Session => {
                self.ordered.set(statement).await?;
                self.settings = self.ordered.settings().into();
                return Ok(());
            }
            Kind::Index => {
                if !self.building {
                    self.settle().await?;
                    self.building = true;
                }
                let unit = Unit {
                    number: journal::number(statement.number, 0),
                    digest: journal::digest(statement.sql.as_bytes()),
                    sql: statement.sql.into(),
                    rows: None,
                    session: Arc::clone(&self.settings),
                    statement: statement.number,
                    offset: statement.offset,
                };
                return self.dispatch(unit).await;
            }
            Kind::OfIndex if self.building => {
                let Statement { sql, number, offset, standard_strings, .. } = statement;
                self.later.push(Later { sql: sql.to_owned(), number, offset, standard_strings });
                let held: usize = self.later.iter().map(|later| later.sql.len()).sum();
                return if held > PATIENCE { self.settle().await } else { Ok(()) };
            }
            Kind::Table(name) => {
                self.free.insert(name);
            }
            Kind::Entangles => self.free.clear(),
            Kind::OfIndex | Kind::Other => {}
        }
        self.settle().await?;
        self.ordered.execute(statement).await
    }

    fn block(&mut self, begins: bool) {
        self.ordered.block(begins);
    }

    async fn begin_rows(&mut self, statement: Statement<'_>) -> Result<()> {
        let free = kind::copied(&statement).is_some_and(|name| self.free.contains(&name));
        if !free || !statement.lines_are_rows() || self.building {
            // Nobody knows here what these rows meet.
            self.settle().await?;
            return self.ordered.begin_rows(statement).await;
        }
        self.copy = Some(Copy {
            table: statement.copied().into(),
            sql: statement.sql.into(),
            statement: statement.number,
            offset: statement.offset,
            part: 0,
            data: BytesMut::new(),
            lines: Lines::default(),
            before: 0,
        });
        Ok(())
    }

    async fn rows(&mut self, mut data: Bytes) -> Result<()> {
        while let Some(copy) = &mut self.copy {
            if copy.data.capacity() == 0 {
                copy.data.reserve(UNIT + UNIT / 8);
            }
            let least = UNIT.saturating_sub(copy.data.len());
            let Some(len) = copy.lines.push_to_row(&data, least) else {
                if copy.data.len() + data.len() > self.longest_row {
                    return Err(Error::usage("a row of the dump is longer than the memory for it")
                        .with("table", &copy.table)
                        .with("rows before it", copy.lines.rows().saturating_sub(1))
                        .hint("load without --jobs: rows may be of any length there"));
                }
                copy.data.extend_from_slice(&data);
                return Ok(());
            };
            copy.data.extend_from_slice(&data.split_to(len));
            self.cut().await?;
        }
        self.ordered.rows_of_copy(data).await
    }

    async fn end_rows(&mut self) -> Result<()> {
        let Some(copy) = &self.copy else { return self.ordered.end_rows().await };
        let (table, rows) = (Arc::clone(&copy.table), copy.lines.rows());
        if !copy.data.is_empty() {
            self.cut().await?;
        }
        self.copy = None;
        self.cx.info(format!("{table}: {rows} rows"));
        Ok(())
    }

    async fn finish(&mut self) -> Result<u64> {
        self.settle().await?;
        self.ordered.finish().await?;
        Ok(*self.crew.done() + self.ordered.rows() + self.found)
    }
}
