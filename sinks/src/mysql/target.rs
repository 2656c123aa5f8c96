//! What the target holds, and the sessions that load into it.

use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use pipeline::endpoint::DatabaseUrl;
use pipeline::{Context, Error, Result, Stage};

use super::explain;
use super::worker::Failure;
use crate::Occupied;

/// Marks a load that has not ended, and remembers which statements and units of it are there.
pub(super) const JOURNAL: &str = "dbferry_load";

/// No timeout may end a long statement or a wait for the source; every warning is kept, because every one is looked at.
const SESSION: &str = "SET SESSION wait_timeout = 86400, net_read_timeout = 3600, net_write_timeout = 3600, max_error_count = 65535";

/// A session in the database of the URL.
pub(super) async fn connect(url: &DatabaseUrl) -> Result<Conn> {
    let mut conn = connections::mysql::connect(url).await.map_err(|error| error.at(Stage::Sink))?;
    let name = url.databases.first().map(String::as_str).unwrap_or_default();
    conn.query_drop(format!("USE {}", quote(name))).await.map_err(|error| match &error {
        mysql_async::Error::Server(server) if matches!(server.code, 1049 | 1044) => Error::sink(format!(
            "the database {name} does not exist at the target, or the account may not use it"
        ))
        .with("destination", url.place())
        .hint(format!("CREATE DATABASE {} CHARACTER SET … COLLATE … as the source has it", quote(name))),
        _ => explain::refused(error, "the database"),
    })?;
    for setting in ["SET NAMES utf8mb4", SESSION] {
        conn.query_drop(setting).await.map_err(|error| explain::refused(error, "the session"))?;
    }
    // Only where they are on; not everyone may turn them off, and then a table without a key fails by itself.
    for setting in ["sql_require_primary_key", "sql_generate_invisible_primary_key"] {
        if let Ok(Some(1)) = conn.query_first::<u8, _>(format!("SELECT @@{setting}")).await {
            conn.query_drop(format!("SET SESSION {setting} = OFF")).await.ok();
        }
    }
    Ok(conn)
}

pub(super) fn quote(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// Kinds and names of what the database holds, in an order in which it can be dropped.
async fn contents(conn: &mut Conn) -> Result<Vec<(String, String)>> {
    let sql = "SELECT kind, name FROM (
        SELECT 1 AS place, 'EVENT' AS kind, event_name AS name FROM information_schema.events WHERE event_schema = DATABASE()
        UNION ALL SELECT 2, routine_type, routine_name FROM information_schema.routines WHERE routine_schema = DATABASE()
        UNION ALL SELECT 3, 'VIEW', table_name FROM information_schema.tables WHERE table_schema = DATABASE() AND table_type = 'VIEW'
        UNION ALL SELECT 4, if(table_type = 'SEQUENCE', 'SEQUENCE', 'TABLE'), table_name FROM information_schema.tables
            WHERE table_schema = DATABASE() AND table_type <> 'VIEW') found ORDER BY place, name";
    conn.query(sql).await.map_err(|error| explain::refused(error, "looking at what it holds"))
}

/// Refuses what can be refused beforehand; answers whether an earlier load is gone on with.
pub(super) async fn check(conn: &mut Conn, url: &DatabaseUrl, occupied: Occupied) -> Result<bool> {
    let read_only: Option<String> = conn
        .query_first("SELECT CAST(@@read_only AS CHAR)")
        .await
        .map_err(|error| explain::refused(error, "looking at it"))?;
    if !matches!(read_only.as_deref(), Some("0" | "OFF")) {
        return Err(Error::sink("the target is read-only")
            .with("destination", url.place())
            .hint("is it a replica?"));
    }
    if occupied == Occupied::Replace {
        return Ok(false);
    }
    let found = contents(conn).await?;
    if found.iter().any(|(_, name)| name == JOURNAL) {
        if occupied == Occupied::Resume {
            return Ok(true);
        }
        return Err(Error::usage(format!("the target holds a load that did not end: {url}"))
            .with("marked by", JOURNAL)
            .hint("`--resume` goes on with it, from the same archive")
            .hint("`--overwrite` removes it and starts over"));
    }
    if occupied != Occupied::Join && !found.is_empty() {
        let some: Vec<_> =
            found.iter().take(3).map(|(kind, name)| format!("{} {name}", kind.to_lowercase())).collect();
        return Err(Error::usage(format!("the target is not empty: {url}"))
            .with("holds", some.join(", "))
            .hint("`--overwrite` removes everything in the database first")
            .hint("`--into-existing` loads beside what is there"));
    }
    Ok(false)
}

/// Removes everything that the database holds.
pub(super) async fn clear(conn: &mut Conn) -> Result<()> {
    let run = async |conn: &mut Conn, sql: &str| {
        conn.query_drop(sql).await.map_err(|error| explain::refused(error, &format!("`{sql}`")))
    };
    run(conn, "SET SESSION foreign_key_checks = 0, lock_wait_timeout = 20, sql_mode = ''").await?;
    let found = contents(conn).await?;
    // The mark goes last: a removal that is interrupted leaves no database that seems whole.
    let (mark, others): (Vec<_>, Vec<_>) = found.into_iter().partition(|(_, name)| name == JOURNAL);
    for (kind, name) in others.into_iter().chain(mark) {
        run(conn, &format!("DROP {kind} IF EXISTS {}", quote(&name))).await?;
    }
    Ok(())
}

/// Waits until nobody else loads into the database. A run that was killed may still have a statement under way, which would meet those of the next run.
pub(super) async fn alone(conn: &mut Conn) -> Result<()> {
    let sql = "SELECT GET_LOCK(CONCAT('dbferry_load:', CRC32(DATABASE())), 60)";
    let got: Option<Option<u8>> = conn
        .query_first(sql)
        .await
        .map_err(|error| explain::refused(error, "asking whether another load is at work"))?;
    if got.flatten() == Some(1) {
        return Ok(());
    }
    Err(Error::sink("another load of this database is at work")
        .of_kind(pipeline::Kind::Temporary)
        .hint("wait until it has ended; the statement of a run that was killed ends by itself"))
}

/// Marks the target as incomplete.
pub(super) async fn mark(conn: &mut Conn, cx: &Context) -> Result<()> {
    let sql = format!(
        "CREATE TABLE {JOURNAL} (unit bigint unsigned NOT NULL PRIMARY KEY, digest bigint unsigned NOT NULL, done timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP) \
         ENGINE=InnoDB COMMENT='A load by dbferry has not ended: this database is incomplete'"
    );
    conn.query_drop(sql).await.map_err(|error| explain::refused(error, "creating a table"))?;
    cx.info(format!("the target is marked as incomplete by the table {JOURNAL}"));
    Ok(())
}

/// What the journal says of a unit: whether it is there. A unit of this number and another content is of another dump.
pub(super) async fn is_done(conn: &mut Conn, number: u64, digest: u64) -> std::result::Result<bool, Failure> {
    let found: Option<u64> =
        conn.query_first(format!("SELECT digest FROM {JOURNAL} WHERE unit = {number}")).await?;
    match found {
        None => Ok(false),
        Some(found) if found == digest => Ok(true),
        Some(_) => Err(Failure::Other(
            Error::usage("this is not the dump that the load began with")
                .hint("give the same archive and the same options, or start over with `--overwrite`"),
        )),
    }
}

/// Writes a unit into the journal.
pub(super) async fn done(
    conn: &mut Conn,
    number: u64,
    digest: u64,
) -> std::result::Result<(), mysql_async::Error> {
    conn.query_drop(format!("INSERT INTO {JOURNAL} (unit, digest) VALUES ({number}, {digest})")).await
}

/// What a statement is known by.
pub(super) fn digest(sql: &[u8]) -> u64 {
    formats::rdb::Crc64::of(sql)
}
