//! Several connections that see the same state of the data.
//!
//! A transaction's snapshot belongs to its connection, so the snapshots have to be taken while nothing is committed, or it has to be
//! proved afterwards that nothing was.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use connections::mysql::wire::{Failure, Wire};
use pipeline::endpoint::DatabaseUrl;
use pipeline::{Context, Error, Kind, Result};

use super::identifier;

/// Attempts to take all snapshots between two commits, before the next way is tried.
const ATTEMPTS: usize = 10;

/// A commit that was written to the log and is not yet visible becomes visible within this time.
const SETTLE: Duration = Duration::from_millis(20);

/// How the connections come to see the same data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Without any lock: every snapshot tells the position in the binary log to which it belongs (MariaDB, Percona Server).
    Position,
    /// All tables of the server are locked against writing while the snapshots are taken, for milliseconds.
    Global,
    /// The tables that are read are locked against writing while the snapshots are taken.
    Tables,
    /// Without any lock: the server's position before and after is the same, so nothing was committed in between.
    Unmoved,
    /// One connection needs nothing.
    Single,
}

impl Way {
    /// What the command line and the manifest call it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Position => "position",
            Self::Global => "global-lock",
            Self::Tables => "table-locks",
            Self::Unmoved => "unmoved",
            Self::Single => "single",
        }
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Way {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        [Self::Position, Self::Global, Self::Tables, Self::Unmoved, Self::Single]
            .into_iter()
            .find(|way| way.as_str() == text)
            .ok_or_else(|| {
                Error::usage(format!("`{text}` is no way to take a snapshot")).hint(
                    "position, global-lock, table-locks, unmoved or single; by default the first that works",
                )
            })
    }
}

/// Connections with one snapshot.
#[derive(Debug)]
pub(super) struct Snapshot {
    /// At least one.
    pub(super) wires: Vec<Wire>,
    pub(super) way: Way,
    /// Position in the binary log, or the set of transactions, that the snapshot holds; where the server tells it exactly.
    pub(super) position: Option<String>,
    /// How long writers had to wait, at most.
    pub(super) locked: Option<Duration>,
}

/// What is asked.
pub(super) struct Wanted<'a> {
    pub(super) url: &'a DatabaseUrl,
    pub(super) mariadb: bool,
    pub(super) connections: usize,
    /// Database and name of every table that will be read.
    pub(super) tables: &'a [(String, String)],
    /// Only this one.
    pub(super) way: Option<Way>,
    /// How long a lock may be waited for, and with it how long it may make others wait.
    pub(super) patience: Duration,
}

/// Opens a connection whose session neither changes data nor breaks off when the destination is slow.
pub(super) async fn open(url: &DatabaseUrl, mariadb: bool) -> Result<Wire> {
    let mut wire = Wire::connect(url).await?;
    let year = 365 * 24 * 3600;
    let limit = if mariadb { "max_statement_time" } else { "max_execution_time" };
    for statement in [
        "SET NAMES utf8mb4".to_owned(),
        format!(
            "SET SESSION sql_mode = '', time_zone = '+00:00', sql_quote_show_create = 1, \
             net_write_timeout = {year}, net_read_timeout = {year}, wait_timeout = {year}"
        ),
        "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ".to_owned(),
    ] {
        wire.execute(&statement).await.map_err(|failure| failure.explain(url))?;
    }
    // Servers before these variables do without them.
    for statement in
        [format!("SET SESSION {limit} = 0"), "SET SESSION information_schema_stats_expiry = 0".to_owned()]
    {
        match wire.execute(&statement).await {
            Ok(()) | Err(Failure::Server { code: 1193, .. }) => {}
            Err(failure) => return Err(failure.explain(url)),
        }
    }
    Ok(wire)
}

/// Opens the connections and takes their snapshot by the first way that works.
pub(super) async fn take(wanted: &Wanted<'_>, cx: &Context) -> Result<Snapshot> {
    let count = if wanted.way == Some(Way::Single) { 1 } else { wanted.connections };
    let mut wires = Vec::new();
    while wires.len() < count {
        match open(wanted.url, wanted.mariadb).await {
            Ok(wire) => wires.push(wire),
            // A server may allow fewer than are wanted.
            Err(error) if !wires.is_empty() && error.kind() == Kind::Temporary => {
                cx.warn(format!("reading over {} instead of {count} connections: {error}", wires.len()));
                break;
            }
            Err(error) => return Err(error),
        }
    }
    let ways = match wanted.way {
        Some(way) => vec![way],
        None if wires.len() == 1 => vec![Way::Single],
        None => vec![Way::Position, Way::Global, Way::Tables, Way::Unmoved, Way::Single],
    };
    let mut reasons = Vec::new();
    for way in ways {
        if way == Way::Single {
            wires.truncate(1);
        }
        match attempt(way, &mut wires, wanted).await {
            Ok(taken) => {
                if way == Way::Single && !reasons.is_empty() {
                    cx.warn(format!("reading over one connection: {}", reasons.join("; ")));
                }
                let (position, locked) = taken;
                return Ok(Snapshot { wires, way, position, locked });
            }
            Err(Refused::No(reason)) => {
                reasons.push(format!("{way}: {reason}"));
                for wire in &mut wires {
                    wire.execute("ROLLBACK").await.map_err(|failure| failure.explain(wanted.url))?;
                }
            }
            Err(Refused::Failed(error)) => return Err(error),
        }
    }
    Err(Error::source(format!("no common snapshot could be taken ({})", reasons.join("; ")))
        .hint("leave the way to choose away, or read over one connection with `--jobs 1`"))
}

enum Refused {
    /// This way does not work here.
    No(String),
    Failed(Error),
}

type Taken = (Option<String>, Option<Duration>);

async fn attempt(way: Way, wires: &mut [Wire], wanted: &Wanted<'_>) -> std::result::Result<Taken, Refused> {
    match way {
        Way::Position => by_position(wires, wanted).await,
        Way::Global => locked(wires, wanted, &["FLUSH TABLES WITH READ LOCK".to_owned()]).await,
        Way::Tables => {
            if wanted.tables.is_empty() {
                return Err(Refused::No("there are no tables".to_owned()));
            }
            let list: Vec<String> = wanted
                .tables
                .iter()
                .map(|(schema, table)| format!("{}.{} READ", identifier(schema), identifier(table)))
                .collect();
            locked(wires, wanted, &[format!("LOCK TABLES {}", list.join(", "))]).await
        }
        Way::Unmoved => unmoved(wires, wanted).await,
        Way::Single => {
            begin(wires, wanted).await?;
            Ok((snapshot_position(&mut wires[0]).await, None))
        }
    }
}

async fn begin(wires: &mut [Wire], wanted: &Wanted<'_>) -> std::result::Result<(), Refused> {
    for wire in wires {
        wire.execute("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
            .await
            .map_err(|failure| Refused::Failed(failure.explain(wanted.url)))?;
    }
    Ok(())
}

/// The position to which a connection's open snapshot belongs, from servers that keep it.
async fn snapshot_position(wire: &mut Wire) -> Option<String> {
    let rows = wire.rows("SHOW STATUS LIKE 'binlog_snapshot_%'").await.ok()?;
    let value = |name: &str| {
        rows.iter().find_map(|row| match row.as_slice() {
            [Some(key), Some(value)] if key.eq_ignore_ascii_case(name.as_bytes()) => {
                Some(String::from_utf8_lossy(value).into_owned())
            }
            _ => None,
        })
    };
    let (file, position) = (value("binlog_snapshot_file")?, value("binlog_snapshot_position")?);
    (!file.is_empty()).then(|| format!("{file}:{position}"))
}

async fn by_position(wires: &mut [Wire], wanted: &Wanted<'_>) -> std::result::Result<Taken, Refused> {
    for _ in 0..ATTEMPTS {
        begin(wires, wanted).await?;
        let mut positions = Vec::new();
        for wire in wires.iter_mut() {
            let Some(position) = snapshot_position(wire).await else {
                return Err(Refused::No(
                    "the server keeps no binary log, or does not tell a snapshot's position".to_owned(),
                ));
            };
            positions.push(position);
        }
        if positions.windows(2).all(|pair| pair[0] == pair[1]) {
            return Ok((positions.pop(), None));
        }
        for wire in wires.iter_mut() {
            wire.execute("ROLLBACK").await.map_err(|failure| Refused::Failed(failure.explain(wanted.url)))?;
        }
    }
    Err(Refused::No(format!("transactions were committed between the snapshots, {ATTEMPTS} times")))
}

async fn locked(
    wires: &mut [Wire],
    wanted: &Wanted<'_>,
    statements: &[String],
) -> std::result::Result<Taken, Refused> {
    // On a connection of its own: starting a transaction would release its locks.
    let mut locker = open(wanted.url, wanted.mariadb).await.map_err(Refused::Failed)?;
    let seconds = wanted.patience.as_secs().max(1);
    let limit = format!("SET SESSION lock_wait_timeout = {seconds}");
    let began = std::time::Instant::now();
    for statement in std::iter::once(&limit).chain(statements) {
        match locker.execute(statement).await {
            Ok(()) => {}
            Err(Failure::Server { code, message }) => return Err(Refused::No(format!("{message} ({code})"))),
            Err(failure) => return Err(Refused::Failed(failure.explain(wanted.url))),
        }
    }
    let begun = begin(wires, wanted).await;
    let position = match snapshot_position(&mut wires[0]).await {
        Some(position) => Some(position),
        None => server_position(&mut locker).await,
    };
    // The server releases the lock with the connection also when this is not reached.
    let unlocked = locker.execute("UNLOCK TABLES").await;
    begun?;
    unlocked.map_err(|failure| Refused::Failed(failure.explain(wanted.url)))?;
    Ok((position, Some(began.elapsed())))
}

/// What the server has committed: the position in its log, or the set of its transactions.
async fn server_position(wire: &mut Wire) -> Option<String> {
    // The statement got another name in MySQL 8.2; both need a privilege.
    for statement in ["SHOW BINARY LOG STATUS", "SHOW MASTER STATUS"] {
        if let Ok(rows) = wire.rows(statement).await {
            let row = rows.into_iter().next()?;
            let cell = |index: usize| {
                row.get(index)
                    .cloned()
                    .flatten()
                    .map(|bytes: Vec<u8>| String::from_utf8_lossy(&bytes).replace('\n', ""))
            };
            let gtid =
                cell(4).filter(|text| !text.is_empty()).map(|text| format!(" {text}")).unwrap_or_default();
            return Some(format!("{}:{}{gtid}", cell(0)?, cell(1)?));
        }
    }
    for variable in ["@@GLOBAL.gtid_executed", "@@GLOBAL.gtid_current_pos"] {
        if let Ok(rows) = wire.rows(&format!("SELECT {variable}")).await {
            let text = rows.into_iter().next()?.into_iter().next()??;
            return (!text.is_empty()).then(|| String::from_utf8_lossy(&text).replace('\n', ""));
        }
    }
    None
}

async fn unmoved(wires: &mut [Wire], wanted: &Wanted<'_>) -> std::result::Result<Taken, Refused> {
    let mut watcher = open(wanted.url, wanted.mariadb).await.map_err(Refused::Failed)?;
    for _ in 0..ATTEMPTS {
        let Some(before) = server_position(&mut watcher).await else {
            return Err(Refused::No("the server does not tell its position (REPLICATION CLIENT)".to_owned()));
        };
        // What is in the log and not yet visible becomes visible before the first snapshot; and what became visible between the
        // snapshots without being in the position yet is in it after the last.
        tokio::time::sleep(SETTLE).await;
        begin(wires, wanted).await?;
        tokio::time::sleep(SETTLE).await;
        if server_position(&mut watcher).await.as_ref() == Some(&before) {
            return Ok((Some(before), None));
        }
        for wire in wires.iter_mut() {
            wire.execute("ROLLBACK").await.map_err(|failure| Refused::Failed(failure.explain(wanted.url)))?;
        }
    }
    Err(Refused::No(format!("transactions were committed between the snapshots, {ATTEMPTS} times")))
}
