//! A connection that executes units of data, each once, whatever happens to the connection.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error as Cause};
use pipeline::endpoint::DatabaseUrl;
use pipeline::{Error, Kind, Result};

use super::explain;
use super::target::{connect, digest, done, is_done};

/// How long a unit is tried again: a failover takes about a minute.
const WAITS: [u64; 8] = [0, 1, 2, 4, 8, 15, 20, 30];

/// What the dump has set at the place of a unit: text that runs elsewhere must be read in the same way.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Session(String);

impl Session {
    /// Reads it off the connection that executes the dump's SET statements.
    pub(super) async fn of(conn: &mut Conn) -> std::result::Result<Self, Cause> {
        let row: Option<(String, String, String, String, u8, u8)> = conn
            .query_first("SELECT @@sql_mode, @@time_zone, @@character_set_client, @@collation_connection, @@foreign_key_checks, @@unique_checks")
            .await?;
        let (mode, zone, charset, collation, foreign, unique) = row.unwrap_or_default();
        // A source may hold the 31st of February, which dumps do not ask to be let in.
        let dates = if mode.is_empty() { "ALLOW_INVALID_DATES" } else { ",ALLOW_INVALID_DATES" };
        Ok(Self(format!(
            "SET sql_mode = '{mode}{dates}', time_zone = '{zone}', character_set_client = {charset}, collation_connection = {collation}, \
             foreign_key_checks = {foreign}, unique_checks = {unique}"
        )))
    }
}

/// Something to execute.
#[derive(Debug)]
pub(super) struct Unit {
    /// The statement's place in the dump, and the unit's in the statement.
    pub(super) statement: u64,
    pub(super) part: u64,
    pub(super) table: String,
    pub(super) sql: Bytes,
    pub(super) session: Arc<Session>,
    /// Rows that an INSERT brings; `None` for anything else.
    pub(super) rows: Option<u64>,
    /// Where the statement begins in the dump.
    pub(super) offset: u64,
    /// Changes the schema: cannot be undone, and is not tried twice.
    pub(super) schema: bool,
    /// An earlier load may have brought it.
    pub(super) resumes: bool,
}

impl Unit {
    fn located(&self, error: Error) -> Error {
        error.with("table", &self.table).with("statement", self.statement).with("offset", self.offset)
    }
}

pub(super) struct Worker {
    url: DatabaseUrl,
    conn: Option<Conn>,
    session: Option<Arc<Session>>,
    /// The connection was lost, and made again.
    pub(super) broke: bool,
}

/// How one try ended.
pub(super) enum Failure {
    Cause(Cause),
    /// No connection, in the middle of a load: the server has taken this account before, so it may again.
    Connect(Error),
    Other(Error),
}

impl From<Cause> for Failure {
    fn from(cause: Cause) -> Self {
        Self::Cause(cause)
    }
}

impl Worker {
    pub(super) fn new(url: DatabaseUrl) -> Self {
        Self { url, conn: None, session: None, broke: false }
    }
}

impl crate::crew::Worker for Worker {
    type Unit = Unit;
    /// How many rows the server took.
    type Done = u64;

    fn size(unit: &Unit) -> usize {
        unit.sql.len()
    }

    async fn run(&mut self, unit: &Unit) -> Result<u64> {
        let mut unsure = unit.resumes;
        let mut waits = WAITS.iter();
        loop {
            let failure = match self.attempt(unit, unsure).await {
                Ok(rows) => return Ok(rows),
                Err(failure) => failure,
            };
            // Ends the transaction where there is one; a connection that is gone has none.
            self.conn = None;
            self.session = None;
            let (error, passes) = match failure {
                Failure::Cause(cause) => {
                    let passes = explain::passes(&cause) && !unit.schema;
                    (explain::refused(cause, "a statement"), passes)
                }
                Failure::Connect(error) => (error.of_kind(Kind::Temporary), !unit.schema),
                Failure::Other(error) => (error, false),
            };
            match waits.next() {
                Some(wait) if passes => {
                    unsure = true;
                    self.broke = true;
                    tokio::time::sleep(Duration::from_secs(*wait)).await;
                }
                _ => return Err(unit.located(error)),
            }
        }
    }
}

impl Worker {
    async fn attempt(&mut self, unit: &Unit, unsure: bool) -> std::result::Result<u64, Failure> {
        let conn = match &mut self.conn {
            Some(conn) => conn,
            slot => slot.insert(connect(&self.url).await.map_err(Failure::Connect)?),
        };
        if self.session.as_ref() != Some(&unit.session) {
            conn.query_drop(&unit.session.0).await?;
            self.session = Some(Arc::clone(&unit.session));
        }
        let number = unit.statement << 20 | unit.part;
        let digest = digest(&unit.sql);
        if unsure && is_done(conn, number, digest).await? {
            return Ok(unit.rows.unwrap_or(0));
        }
        if unit.schema {
            match conn.query_drop(&unit.sql[..]).await {
                // It was made, and the server went away before that was written down.
                Err(error) if unit.resumes && explain::is_there(&error) => {}
                other => other?,
            }
            done(conn, number, digest).await?;
            return Ok(0);
        }
        match bring(conn, unit, number, digest).await {
            // A connection that was left behind may have brought the same unit meanwhile.
            Err(Failure::Cause(error)) if explain::is_twice(&error) => {
                conn.query_drop("ROLLBACK").await?;
                let there = is_done(conn, number, digest).await?;
                if there { Ok(unit.rows.unwrap_or(0)) } else { Err(Failure::Cause(error)) }
            }
            result => result,
        }
    }
}

/// Rows and their line in the journal, in one transaction. The rows come first: what no transaction takes back may not come behind what one does.
async fn bring(conn: &mut Conn, unit: &Unit, number: u64, digest: u64) -> std::result::Result<u64, Failure> {
    conn.query_drop("START TRANSACTION").await?;
    conn.query_drop(&unit.sql[..]).await?;
    let taken = conn.affected_rows();
    if conn.get_warnings() > 0 {
        check_warnings(conn).await?;
    }
    if let Some(sent) = unit.rows.filter(|sent| *sent != taken) {
        return Err(Failure::Other(
            Error::sink("the target took another number of rows than were sent")
                .with("sent", sent)
                .with("taken", taken),
        ));
    }
    done(conn, number, digest).await?;
    conn.query_drop("COMMIT").await?;
    Ok(taken)
}

/// In the modes that dumps set, a value that does not fit is clamped with a warning. That is a failure here.
async fn check_warnings(conn: &mut Conn) -> std::result::Result<(), Failure> {
    let announced = usize::from(conn.get_warnings());
    let warnings: Vec<(String, u16, String)> = conn.query("SHOW WARNINGS").await?;
    // 1300 speaks of a literal's bytes, which are stored as they are in a binary column; in any other 1366 comes as well. 1906 is MariaDB's word for a
    // value of a generated column, which it computes itself.
    let grave = warnings.iter().find(|(level, code, _)| level != "Note" && !matches!(code, 1300 | 1906));
    if let Some((_, code, message)) = grave {
        return Err(Failure::Other(
            Error::sink(format!("the target would change a value: {message}")).with("error", code).hint(
                "the column at the target is not the one that the rows come from, or the dump was edited",
            ),
        ));
    }
    if warnings.len() < announced {
        return Err(Failure::Other(
            Error::sink("the target warns more often than it shows").with("warnings", announced),
        ));
    }
    Ok(())
}
