//! What the target holds, and the session that loads into it.

use std::collections::BTreeSet;

use pipeline::endpoint::DatabaseUrl;
use pipeline::{Error, Result};
use tokio_postgres::Client;

use super::{column, explain, parallel};
use crate::Occupied;

/// What belongs to nobody's extension and to no system schema.
const OWN: &str = "n.nspname <> 'information_schema' AND n.nspname !~ '^pg_' AND NOT EXISTS \
    (SELECT 1 FROM pg_depend e WHERE e.deptype = 'e' AND e.classid = '{catalogue}'::regclass AND e.objid = o.oid)";

/// Names of what the database holds: schemas beside `public`, and in it relations, routines, types; and large objects.
async fn contents(client: &Client, limit: u32) -> Result<Vec<String>> {
    let own = |catalogue: &str| OWN.replace("{catalogue}", catalogue);
    let sql = format!(
        "(SELECT 'schema ' || quote_ident(n.nspname) FROM pg_namespace n, LATERAL (SELECT n.oid) o WHERE n.nspname <> 'public' AND {} LIMIT {limit}) \
         UNION ALL (SELECT CASE o.relkind WHEN 'S' THEN 'sequence ' WHEN 'v' THEN 'view ' WHEN 'm' THEN 'materialized view ' WHEN 'f' THEN 'foreign table ' ELSE 'table ' END \
         || quote_ident(n.nspname) || '.' || quote_ident(o.relname) FROM pg_class o JOIN pg_namespace n ON n.oid = o.relnamespace \
         WHERE o.relkind IN ('r', 'p', 'v', 'm', 'S', 'f') AND {} ORDER BY o.relkind NOT IN ('v', 'm') LIMIT {limit}) \
         UNION ALL (SELECT 'routine ' || o.oid::regprocedure FROM pg_proc o JOIN pg_namespace n ON n.oid = o.pronamespace WHERE {} LIMIT {limit}) \
         UNION ALL (SELECT CASE o.typtype WHEN 'd' THEN 'domain ' ELSE 'type ' END || quote_ident(n.nspname) || '.' || quote_ident(o.typname) \
         FROM pg_type o JOIN pg_namespace n ON n.oid = o.typnamespace LEFT JOIN pg_class c ON c.oid = o.typrelid \
         WHERE o.typtype IN ('e', 'd', 'c', 'r') AND (c.oid IS NULL OR c.relkind = 'c') AND {} LIMIT {limit}) \
         UNION ALL (SELECT 'large object ' || oid FROM pg_largeobject_metadata LIMIT {limit})",
        own("pg_namespace"),
        own("pg_class"),
        own("pg_proc"),
        own("pg_type"),
    );
    column(client, &sql).await.map_err(|error| explain::refused(&error, "looking at what the target holds"))
}

/// Refuses what can be refused beforehand; answers whether an earlier load over several connections is gone on with.
pub(super) async fn check(client: &Client, url: &DatabaseUrl, occupied: Occupied) -> Result<bool> {
    let sql = "SELECT pg_is_in_recovery(), current_setting('default_transaction_read_only') = 'on', \
               has_database_privilege(current_database(), 'CREATE'), current_user::text";
    let row = client
        .query_one(sql, &[])
        .await
        .map_err(|error| explain::refused(&error, "looking at the target"))?;
    if row.get::<_, bool>(0) || row.get::<_, bool>(1) {
        return Err(Error::sink("the target is read-only")
            .with("destination", url.place())
            .hint("is it a replica?"));
    }
    if !row.get::<_, bool>(2) {
        return Err(Error::sink(format!(
            "the account {} may create nothing in the target",
            row.get::<_, String>(3)
        ))
        .with("destination", url.place())
        .hint("make it the owner of the database, or grant it CREATE on it"));
    }
    if occupied == Occupied::Replace {
        return Ok(false);
    }
    if parallel::is_marked(client).await? {
        if occupied == Occupied::Resume {
            return Ok(true);
        }
        return Err(Error::usage(format!("the target holds a load that did not end: {url}"))
            .with("marked by", format!("the schema {}", parallel::MARK))
            .hint("`--resume` goes on with it, from the same archive")
            .hint("`--overwrite` removes it and starts over"));
    }
    if occupied != Occupied::Join {
        let found = contents(client, 3).await?;
        if !found.is_empty() {
            return Err(Error::usage(format!("the target is not empty: {url}"))
                .with("holds", found.iter().take(3).cloned().collect::<Vec<_>>().join(", "))
                .hint("`--overwrite` replaces everything in the database, once the load is whole")
                .hint("`--into-existing` loads beside what is there"));
        }
    }
    Ok(false)
}

/// What one of `jobs` sessions that load sets: no timeout may end a long statement, or a wait for the source.
pub(super) fn session(known: &BTreeSet<String>, jobs: usize) -> String {
    let indexes = format!("{}MB", (256 / jobs.max(1)).max(64));
    let settings = [
        ("statement_timeout", "0"),
        ("lock_timeout", "0"),
        ("idle_in_transaction_session_timeout", "0"),
        ("idle_session_timeout", "0"),
        ("transaction_timeout", "0"),
        ("client_min_messages", "warning"),
        // The server notices within seconds when we are gone in the middle of a long statement.
        ("client_connection_check_interval", "5s"),
        // For indexes; each session builds one after the other.
        ("maintenance_work_mem", &indexes),
    ];
    let mut sql = String::new();
    for (name, value) in settings.iter().filter(|(name, _)| known.contains(*name)) {
        sql.extend(["SET ", name, " = '", value, "'; "]);
    }
    // What the server calls committed must be there after its crash: this side has forgotten the bytes.
    sql.push_str("SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off';");
    sql
}

/// What goes with no schema of its own, of those that the account owns: a dump makes it, and could not make it again. Event triggers first, since they see the rest go.
const BESIDE: &str = "SELECT replace(f.type, '-', ' ') || ' IF EXISTS ' || f.identity FROM (
    SELECT 1 AS place, 'pg_event_trigger'::regclass AS class, oid, evtowner AS owner FROM pg_event_trigger
    UNION ALL SELECT 2, 'pg_publication'::regclass, oid, pubowner FROM pg_publication
    UNION ALL SELECT 3, 'pg_foreign_server'::regclass, oid, srvowner FROM pg_foreign_server
    UNION ALL SELECT 4, 'pg_foreign_data_wrapper'::regclass, oid, fdwowner FROM pg_foreign_data_wrapper
    UNION ALL SELECT 5, 'pg_operator'::regclass, oid, oprowner FROM pg_operator WHERE oprnamespace = to_regnamespace('public')
    UNION ALL SELECT 6, 'pg_opfamily'::regclass, oid, opfowner FROM pg_opfamily WHERE opfnamespace = to_regnamespace('public')
    UNION ALL SELECT 7, 'pg_ts_config'::regclass, oid, cfgowner FROM pg_ts_config WHERE cfgnamespace = to_regnamespace('public')
    UNION ALL SELECT 8, 'pg_ts_dict'::regclass, oid, dictowner FROM pg_ts_dict WHERE dictnamespace = to_regnamespace('public')
    UNION ALL SELECT 9, 'pg_conversion'::regclass, oid, conowner FROM pg_conversion WHERE connamespace = to_regnamespace('public')
    UNION ALL SELECT 10, 'pg_collation'::regclass, oid, collowner FROM pg_collation WHERE collnamespace = to_regnamespace('public')
    ) o, LATERAL pg_identify_object(o.class, o.oid, 0) f WHERE pg_has_role(o.owner, 'USAGE')
    AND NOT EXISTS (SELECT 1 FROM pg_depend e WHERE e.deptype = 'e' AND e.classid = o.class AND e.objid = o.oid) ORDER BY o.place";

/// Removes everything that [`contents`] finds and what goes with it, in the transaction that is open.
pub(super) async fn clear(client: &Client) -> Result<()> {
    let beside = column(client, BESIDE).await;
    for object in beside.map_err(|error| explain::refused(&error, "looking at what the target holds"))? {
        let sql = format!("DROP {object} CASCADE");
        client.batch_execute(&sql).await.map_err(|error| explain::refused(&error, &format!("`{sql}`")))?;
    }
    let mut last = usize::MAX;
    loop {
        let found = contents(client, 100_000).await?;
        if found.is_empty() {
            return Ok(());
        }
        // What one DROP takes along another need not find any more; as long as it gets less, it goes on.
        if found.len() >= last {
            return Err(Error::sink("the target could not be emptied")
                .with("remains", found[0].clone())
                .hint("empty the database yourself"));
        }
        last = found.len();
        for object in found {
            let sql = match object.strip_prefix("large object ") {
                Some(oid) => format!("SELECT lo_unlink({oid})"),
                None => format!("DROP {} CASCADE", object.replacen("schema ", "SCHEMA IF EXISTS ", 1)),
            };
            let sql = if_exists(&sql);
            client
                .batch_execute(&sql)
                .await
                .map_err(|error| explain::refused(&error, &format!("`{sql}`")))?;
        }
    }
}

/// `DROP TABLE x` as `DROP TABLE IF EXISTS x`: an earlier one may have taken it along.
fn if_exists(sql: &str) -> String {
    for kind in [
        "MATERIALIZED VIEW ",
        "FOREIGN TABLE ",
        "TABLE ",
        "VIEW ",
        "SEQUENCE ",
        "ROUTINE ",
        "DOMAIN ",
        "TYPE ",
    ] {
        let (lower, rest) = (format!("DROP {}", kind.to_lowercase()), format!("DROP {kind}IF EXISTS "));
        if let Some(name) = sql.strip_prefix(&lower) {
            return format!("{rest}{name}");
        }
    }
    sql.to_owned()
}
