//! Several connections that see the same state of the data, and tables that nobody changes meanwhile.
//!
//! The tables are locked before the snapshot is taken. The other way round, as `pg_dump` has it, a table that is truncated or rewritten in
//! between looks empty to the snapshot, and nobody is told.

use std::time::Duration;

use connections::postgres::wire::{Failure, Wire};
use pipeline::endpoint::DatabaseUrl;
use pipeline::{Context, Error, Kind, Result};
use tokio_postgres::error::SqlState;

use super::broken;
use super::chosen::{self, Chosen};
use super::look::{self, Relation, Shape};
use crate::Selection;

/// Attempts to lock the tables while others create and drop some.
const ATTEMPTS: usize = 5;

/// Tables that one statement locks.
const BATCH: usize = 500;

/// Connections with one snapshot.
#[derive(Debug)]
pub(super) struct Snapshot {
    /// Took the snapshot, and holds the locks until all is read.
    pub(super) leader: Wire,
    /// At least one.
    pub(super) readers: Vec<Wire>,
    /// By which other connections find it.
    pub(super) name: String,
    /// Position in the log that the server had written when the snapshot was taken; everything that it holds is before it.
    pub(super) position: String,
    pub(super) relations: Vec<Relation>,
    pub(super) chosen: Chosen,
    /// Whether the readers hold the locks as well. Otherwise they lock each table while they read it.
    pub(super) locked: bool,
}

/// What is asked.
pub(super) struct Wanted<'a> {
    pub(super) url: &'a DatabaseUrl,
    pub(super) major: u32,
    pub(super) standby: bool,
    /// The character set of the database, in which everything is read.
    pub(super) encoding: &'a str,
    pub(super) readers: usize,
    /// Sessions of `pg_dump` that will lock the same tables.
    pub(super) beside: usize,
    /// How long a lock may be waited for, and with it how long it may make others wait.
    pub(super) patience: Duration,
    pub(super) selection: &'a Selection,
}

/// What the sessions of `pg_dump` set, so that values read the same everywhere; nothing that makes the server break off when the destination is
/// slow. For the transaction only: the next user of a pooled connection finds nothing of it.
fn settings(wanted: &Wanted<'_>) -> String {
    let mut settings = vec![
        ("client_encoding", wanted.encoding.to_owned()),
        ("search_path", String::new()),
        ("datestyle", "ISO".to_owned()),
        ("intervalstyle", "postgres".to_owned()),
        ("extra_float_digits", "3".to_owned()),
        ("bytea_output", "hex".to_owned()),
        ("standard_conforming_strings", "on".to_owned()),
        ("quote_all_identifiers", "off".to_owned()),
        ("synchronize_seqscans", "off".to_owned()),
        ("row_security", "off".to_owned()),
        ("statement_timeout", "0".to_owned()),
        ("idle_in_transaction_session_timeout", "0".to_owned()),
        ("lock_timeout", format!("{}ms", wanted.patience.as_millis().max(1))),
        ("max_parallel_workers_per_gather", "0".to_owned()),
        ("jit", "off".to_owned()),
    ];
    if wanted.major >= 17 {
        settings.push(("transaction_timeout", "0".to_owned()));
    }
    let statement = |(name, value): &(&str, String)| format!("SET LOCAL {name} = '{value}';");
    settings.iter().map(statement).collect::<Vec<_>>().concat()
}

/// A range of a table is found by its place, whatever the planner believes of the table.
const BY_PLACE: &str =
    "SET LOCAL enable_seqscan = off; SET LOCAL enable_indexscan = off; SET LOCAL enable_bitmapscan = off;";

const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY;";

/// Locks the tables, takes the snapshot, and gives it to as many connections as are wanted.
pub(super) async fn take(wanted: &Wanted<'_>, cx: &Context) -> Result<Snapshot> {
    let url = wanted.url;
    let lost = |failure: Failure| broken(failure, url);
    let mut leader = Wire::connect(url).await?;
    let settings = settings(wanted);
    let mut attempt = 0;
    let (relations, chosen) = loop {
        attempt += 1;
        leader.execute(format!("{BEGIN}{settings}")).await.map_err(lost)?;
        let (before, _) = chosen_relations(&mut leader, wanted, false).await?;
        // What was looked up took a snapshot, which has to be newer than the locks.
        leader.execute(format!("COMMIT;{BEGIN}{settings}")).await.map_err(lost)?;
        match lock(&mut leader, &before).await {
            Ok(()) => {}
            Err(failure) if failure.code() == Some(&SqlState::UNDEFINED_TABLE) && attempt < ATTEMPTS => {
                leader.execute("ROLLBACK").await.map_err(lost)?;
                continue;
            }
            Err(failure) => return Err(not_locked(failure, wanted)),
        }
        let (after, chosen) = chosen_relations(&mut leader, wanted, true).await?;
        if before.len() == after.len() && before.iter().zip(&after).all(|(a, b)| a.is(b)) {
            break (after, chosen);
        }
        if attempt == ATTEMPTS {
            return Err(Error::source("tables were created or dropped while they were being locked")
                .of_kind(Kind::Temporary)
                .hint("run it again when nobody alters the schema"));
        }
        leader.execute("ROLLBACK").await.map_err(lost)?;
    };
    let name = look::ask(&mut leader, url, "SELECT pg_catalog.pg_export_snapshot()").await?;
    let position = if wanted.standby { "pg_last_wal_replay_lsn" } else { "pg_current_wal_lsn" };
    let position = look::ask(&mut leader, url, &format!("SELECT pg_catalog.{position}()")).await?;
    let identity = look::ask(&mut leader, url, IDENTITY).await?;
    let locks = look::ask(&mut leader, url, LOCKS).await?.parse().unwrap_or(0);
    let tables = relations.iter().filter(|relation| relation.shape != Shape::Sequence).count();
    // The server's table of locks is everybody's: no more than half of it, which is made for this number, is taken.
    let locked = tables.saturating_mul(wanted.readers + wanted.beside + 1) <= locks;
    let mut readers = Vec::new();
    while readers.len() < wanted.readers {
        match join(wanted, &settings, &name, &identity).await {
            Ok(mut wire) => {
                if locked {
                    lock(&mut wire, &relations).await.map_err(|failure| not_locked(failure, wanted))?;
                }
                readers.push(wire);
            }
            // A server may allow fewer than are wanted.
            Err(error) if !readers.is_empty() && error.kind() == Kind::Temporary => {
                cx.warn(format!(
                    "reading over {} instead of {} connections: {error}",
                    readers.len(),
                    wanted.readers
                ));
                break;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(Snapshot { leader, readers, name, position, relations, chosen, locked })
}

async fn chosen_relations(
    wire: &mut Wire,
    wanted: &Wanted<'_>,
    sized: bool,
) -> Result<(Vec<Relation>, Chosen)> {
    let mut relations = look::relations(wire, wanted.url, wanted.standby, sized).await?;
    let selection = wanted.selection;
    if selection.is_default() {
        return Ok((relations, Chosen::default()));
    }
    let chosen = chosen::choose(wire, wanted.url, selection).await?;
    relations.retain(|relation| chosen.takes(relation.oid));
    for relation in &mut relations {
        let condition = selection.condition(&relation.schema, &relation.name);
        relation.wanted = condition.unwrap_or_default().into_bytes();
    }
    Ok((relations, chosen))
}

/// Tells one running server from another, and from itself after a restart.
const IDENTITY: &str = "SELECT extract(epoch FROM pg_catalog.pg_postmaster_start_time()) || ' ' || pg_catalog.pg_is_in_recovery()";

/// Half the entries of the server's table of locks.
const LOCKS: &str = "SELECT pg_catalog.current_setting('max_locks_per_transaction')::int8
    * (pg_catalog.current_setting('max_connections')::int8 + pg_catalog.current_setting('max_prepared_transactions')::int8)";

/// Opens a connection that sees the snapshot.
async fn join(wanted: &Wanted<'_>, settings: &str, name: &str, identity: &str) -> Result<Wire> {
    let url = wanted.url;
    let mut wire = Wire::connect(url).await?;
    let taken = wire.execute(format!("{BEGIN}{settings}{BY_PLACE}SET TRANSACTION SNAPSHOT '{name}'")).await;
    if taken.is_err() {
        wire.execute("ROLLBACK").await.map_err(|failure| broken(failure, url))?;
    }
    if look::ask(&mut wire, url, IDENTITY).await? != *identity {
        return Err(Error::source(format!(
            "{} leads to several servers: two connections reached different ones, which cannot share a snapshot",
            url.place()
        ))
        .hint("give the address of one server instead of a load balancer's or a reader endpoint's, or use `--engine client`"));
    }
    taken.map_err(|failure| {
        broken(failure, url)
            .hint("a second connection must see the first one's snapshot; `--engine client` needs none")
    })?;
    Ok(wire)
}

async fn lock(wire: &mut Wire, relations: &[Relation]) -> std::result::Result<(), Failure> {
    let tables: Vec<&Relation> =
        relations.iter().filter(|relation| relation.shape != Shape::Sequence).collect();
    for batch in tables.chunks(BATCH) {
        let names: Vec<Vec<u8>> =
            batch.iter().map(|table| [b"ONLY ", table.quoted.as_slice()].concat()).collect();
        let sql = [b"LOCK TABLE ", names.join(&b", "[..]).as_slice(), b" IN ACCESS SHARE MODE"].concat();
        wire.execute(sql).await?;
    }
    Ok(())
}

fn not_locked(failure: Failure, wanted: &Wanted<'_>) -> Error {
    match failure {
        Failure::Server { code, message } if code == SqlState::LOCK_NOT_AVAILABLE => Error::source(format!(
            "a table could not be locked within {} s: {message}",
            wanted.patience.as_secs_f32()
        ))
        .of_kind(Kind::Temporary)
        .with("error", code.code())
        .hint("somebody alters a table, or waits to do so; run it again, or raise --max-lock-time"),
        Failure::Server { code, message } => super::refused(&code, &message, "the tables cannot be locked"),
        failure @ Failure::Lost(_) => broken(failure, wanted.url),
    }
}
