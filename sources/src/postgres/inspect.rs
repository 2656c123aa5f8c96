//! Looks at a server before it is dumped.

use std::collections::BTreeMap;

use connections::postgres::{connect, explain};
use pipeline::Result;
use pipeline::endpoint::DatabaseUrl;

/// What the plan needs to know.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) major: u32,
    /// Product and version.
    pub(super) version: String,
    /// Bytes that the databases occupy, indexes included: an upper bound for most.
    pub(super) bytes: Option<u64>,
    pub(super) facts: BTreeMap<String, String>,
}

pub(super) async fn inspect(url: &DatabaseUrl) -> Result<Server> {
    let client = connect(url).await?;
    let lost = |error: tokio_postgres::Error| explain(url, error);
    let row = client
        .query_one(
            "SELECT current_setting('server_version'), current_setting('server_version_num')::int4, \
             current_setting('server_encoding'), current_user::text, pg_is_in_recovery()",
            &[],
        )
        .await
        .map_err(lost)?;
    let version: String = row.get(0);
    let number: i32 = row.get(1);
    let standby: bool = row.get(4);
    let mut facts = BTreeMap::new();
    facts.insert("encoding".to_owned(), row.get::<_, String>(2));
    facts.insert("user".to_owned(), row.get::<_, String>(3));
    facts.insert("standby".to_owned(), standby.to_string());
    // Before the dump began: what it holds is at least this. Not everyone may ask, and that is no reason to stop.
    let position =
        if standby { "SELECT pg_last_wal_replay_lsn()::text" } else { "SELECT pg_current_wal_lsn()::text" };
    if let Ok(row) = client.query_one(position, &[]).await
        && let Ok(Some(lsn)) = row.try_get::<_, Option<String>>(0)
    {
        facts.insert("lsn_before".to_owned(), lsn);
    }
    let size = if url.databases.is_empty() {
        "SELECT sum(pg_database_size(oid))::int8 FROM pg_database WHERE datallowconn AND has_database_privilege(oid, 'CONNECT')"
    } else {
        "SELECT pg_database_size(current_database())"
    };
    let bytes = match client.query_one(size, &[]).await {
        Ok(row) => {
            row.try_get::<_, Option<i64>>(0).ok().flatten().and_then(|bytes| u64::try_from(bytes).ok())
        }
        Err(_) => None,
    };
    // Before version 10 the second number was part of the major version, and no client of today is older than those.
    let major = u32::try_from(number / 10_000).unwrap_or(0);
    Ok(Server { major, version: format!("PostgreSQL {version}"), bytes, facts })
}
