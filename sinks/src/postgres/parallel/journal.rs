//! What is there of a load that is no transaction: the mark of a database that is not whole, and which units it has.

use std::collections::HashMap;

use formats::rdb::Crc64;
use pipeline::{Context, Error, Result};
use tokio_postgres::{Client, SimpleQueryMessage};

use crate::postgres::explain;

/// The schema that marks a load which has not ended.
pub(in crate::postgres) const MARK: &str = "dbferry_load";
/// Held by whoever loads, so that one who goes on does not meet a connection of the load before.
const LOCK: i64 = i64::from_be_bytes(*b"dbferry\0");

/// Whether the database holds a load that did not end.
pub(in crate::postgres) async fn is_marked(client: &Client) -> Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM pg_namespace WHERE nspname = $1)";
    let row = client
        .query_one(sql, &[&MARK])
        .await
        .map_err(|error| explain::refused(&error, "looking at the target"))?;
    Ok(row.get(0))
}

/// Marks the target as incomplete, in the transaction that is open.
pub(in crate::postgres) async fn mark(client: &Client, cx: &Context) -> Result<()> {
    let sql = format!(
        "CREATE SCHEMA {MARK}; COMMENT ON SCHEMA {MARK} IS 'A load by dbferry has not ended: this database is incomplete'; \
         CREATE TABLE {MARK}.journal (unit bigint PRIMARY KEY, digest bigint NOT NULL, done timestamptz NOT NULL DEFAULT clock_timestamp())"
    );
    client.batch_execute(&sql).await.map_err(|error| explain::refused(&error, "creating a schema"))?;
    cx.info(format!("the target is marked as incomplete by the schema {MARK}"));
    Ok(())
}

/// Takes the mark away, and makes unlogged what shall be: from here on a crash may empty it.
pub(in crate::postgres) async fn unmark(client: &Client, unlogged: &[String], cx: &Context) -> Result<()> {
    let run = async |sql: &str| {
        client.batch_execute(sql).await.map_err(|error| explain::refused(&error, &format!("`{sql}`")))
    };
    run("BEGIN").await?;
    let mut waiting: Vec<&String> = unlogged.iter().collect();
    loop {
        let before = waiting.len();
        let mut refused = Vec::new();
        for sql in waiting {
            run("SAVEPOINT unlogged").await?;
            match client.batch_execute(sql).await {
                Ok(()) => run("RELEASE unlogged").await?,
                // One whose foreign key leads to another goes first.
                Err(error) if error.as_db_error().is_some() => {
                    run("ROLLBACK TO unlogged").await?;
                    refused.push((sql, error));
                }
                Err(error) => return Err(explain::refused(&error, &format!("`{sql}`"))),
            }
        }
        if refused.is_empty() || refused.len() == before {
            for (sql, error) in &refused {
                cx.warn(format!("left logged: `{sql}`: {}", explain::refused(error, "it")));
            }
            break;
        }
        waiting = refused.into_iter().map(|(sql, _)| sql).collect();
    }
    run(&format!("DROP SCHEMA IF EXISTS {MARK} CASCADE; COMMIT")).await
}

/// Waits a little for the lock of those who load.
pub(super) async fn alone(client: &Client) -> Result<()> {
    for _ in 0..60 {
        let row = client
            .query_one("SELECT pg_try_advisory_lock($1)", &[&LOCK])
            .await
            .map_err(|error| explain::refused(&error, "asking whether another load is at work"))?;
        if row.get(0) {
            return Ok(());
        }
        tokio::time::sleep(std::time::Duration::from_millis(250)).await;
    }
    Err(Error::sink("another load of this database is at work")
        .of_kind(pipeline::Kind::Temporary)
        .hint("wait until it has ended; a connection that was left behind ends within seconds"))
}

/// What a journal holds: digests of units, by their numbers.
pub(super) type Journal = HashMap<i64, i64>;

/// Reads what an earlier load has brought.
pub(super) async fn read(client: &Client) -> Result<Journal> {
    let rows = client
        .query(&format!("SELECT unit, digest FROM {MARK}.journal"), &[])
        .await
        .map_err(|error| explain::refused(&error, "reading the journal"))?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

/// The statement that writes a unit down, unless it is written down.
pub(super) fn line(number: i64, digest: i64) -> String {
    format!("INSERT INTO {MARK}.journal (unit, digest) VALUES ({number}, {digest}) ON CONFLICT DO NOTHING")
}

/// The digest that is written down of a unit.
pub(super) async fn written(
    client: &Client,
    number: i64,
) -> std::result::Result<Option<i64>, tokio_postgres::Error> {
    let sql = format!("SELECT digest FROM {MARK}.journal WHERE unit = {number}");
    let messages = client.simple_query(&sql).await?;
    Ok(messages.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0).and_then(|text| text.parse().ok()),
        _ => None,
    }))
}

/// Two dumps under one journal.
pub(super) fn another_dump() -> Error {
    Error::usage("this is not the dump that the load began with")
        .hint("give the same archive and the same options, or start over with `--overwrite`")
}

/// What a unit is known by.
pub(super) fn digest(bytes: &[u8]) -> i64 {
    Crc64::of(bytes).cast_signed()
}

/// Statement and part in one number. A statement of its own has the last part.
pub(super) fn number(statement: u64, part: u64) -> i64 {
    (statement << PART | part.min(ORDERED)).cast_signed()
}

/// Bits of the part.
const PART: u32 = 20;
/// Statements up to here were executed in their order.
pub(super) const ORDERED: u64 = (1 << PART) - 1;

/// The last statement up to which all were executed that were in their order, with the digest of them all.
pub(super) fn ordered(journal: &Journal) -> (u64, i64) {
    journal
        .iter()
        .filter(|(number, _)| number.cast_unsigned() & ORDERED == ORDERED)
        .map(|(number, digest)| (number.cast_unsigned() >> PART, *digest))
        .max()
        .unwrap_or_default()
}
