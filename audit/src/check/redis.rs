//! Redis and Valkey.

use std::time::Instant;

use connections::redis::{Reply, Role};
use pipeline::endpoint::DatabaseUrl;
use pipeline::{Context, Result};

use super::{Checked, Findings, Wishes, mib, some};
use crate::compare::at_dest;
use crate::redis::Side;
use crate::report::SideInfo;

/// Of a node's memory, what data may take: the rest is for replication and for the fork of a backup.
const USED: f64 = 0.75;
/// Rounds of SCAN in which queues are looked for.
const ROUNDS: usize = 200;

pub(super) async fn check(
    source: &DatabaseUrl,
    dest: &DatabaseUrl,
    wishes: &Wishes,
    cx: &Context,
) -> Result<Checked> {
    let (from, to) = tokio::join!(Side::open(source, Role::Replica, cx), Side::open(dest, Role::Primary, cx));
    let (from, to) = (from?, at_dest(to)?);
    let mut found = Findings::default();
    versions(&mut found, &from, &to);
    let databases = from.databases().await?;
    let pairs: Vec<(u64, u64)> = if wishes.databases.is_empty() {
        databases.keys().map(|db| (*db, *db)).collect()
    } else {
        wishes.databases.clone()
    };
    target(&mut found, &to, wishes, &pairs).await?;
    if !wishes.some_keys {
        memory(&mut found, &from, &to, wishes);
    }
    if !wishes.brief {
        queues(&mut found, &from, &pairs).await?;
    }
    readable(&mut found, &from, wishes).await?;
    let begun = Instant::now();
    let (a, b) = (time(&from).await?, time(&to).await?);
    if let (Some(a), Some(b)) = (a, b) {
        found.clocks(b - a - begun.elapsed().as_secs_f64() / 2.0);
    }
    let keys: u64 = pairs.iter().filter_map(|(db, _)| databases.get(db)).sum();
    found.ok("size", format!("{keys} keys in {} databases", pairs.len()));
    let info =
        |url: &DatabaseUrl, side: &Side| SideInfo { endpoint: url.to_string(), server: side.product.clone() };
    Ok(Checked { source: info(source, &from), dest: info(dest, &to), findings: found.0 })
}

fn versions(found: &mut Findings, from: &Side, to: &Side) {
    let (old, new) = (to.version, from.version);
    if !to.exact {
        found.warn(
            "version",
            format!("the target is {}", to.product),
            "3scale's next release wants Redis 7.0 or newer",
        );
    }
    if old.dialect != new.dialect || old.number < new.number {
        found.warn(
            "version",
            format!("{} into {}: forms of values that the target does not know are made by commands, and refused by name where there are none", from.product, to.product),
            "hashes with expiring fields need Redis 7.4 or Valkey 9; modules' values need the module",
        );
    } else {
        found.ok("version", format!("{} into {}", from.product, to.product));
    }
}

async fn target(found: &mut Findings, to: &Side, wishes: &Wishes, pairs: &[(u64, u64)]) -> Result<()> {
    let field = |name: &str| to.info.field(name);
    if !to.is_cluster() && field("role").is_some_and(|role| role != "master") {
        found.block("read-only", "the target is a replica", "connect to its primary");
    }
    let mut refused = Vec::new();
    for &(_, db) in pairs {
        if let Err(error) = at_dest(to.question(db, &[b"DBSIZE"]).await) {
            refused.push(format!("{db} ({error})"));
        }
    }
    if refused.is_empty() {
        found.ok("databases", "the target has every database that is carried");
    } else if to.is_cluster() {
        found.block(
            "databases",
            format!("in cluster mode there is one: {}", some(&refused)),
            "--redis-db N --redis-map N=0",
        );
    } else {
        found.block(
            "databases",
            format!("the target has not: {}", some(&refused)),
            "--redis-map FROM=TO gives one another number",
        );
    }
    let there = at_dest(to.databases().await)?;
    let held: Vec<String> = there
        .iter()
        .filter(|(db, _)| pairs.iter().any(|(_, to)| to == *db))
        .map(|(db, keys)| format!("{keys} keys in database {db}"))
        .collect();
    if held.is_empty() {
        found.ok("contents", "the databases that will be written are empty");
    } else if wishes.may_hold {
        found.warn(
            "contents",
            format!("the target holds {}", some(&held)),
            "`--overwrite` removes them, `--into-existing` loads beside them",
        );
    } else {
        found.block(
            "contents",
            format!("the target holds {}", some(&held)),
            "`--overwrite` removes them, `--into-existing` loads beside them",
        );
    }
    // No payload: whoever may restore is told so, and nothing is written.
    if let Reply::Error(text) = to.question(0, &[b"RESTORE", b"dbferry:load", b"0", b"x"]).await?
        && text.starts_with("NOPERM")
    {
        found.block(
            "rights",
            text,
            "ACL SETUSER … +restore +select +set +get +del +exists +dbsize +flushdb +info +function|load ~*",
        );
    } else {
        found.ok("rights", "the account may restore keys");
    }
    Ok(())
}

fn memory(found: &mut Findings, from: &Side, to: &Side, wishes: &Wishes) {
    let Some(used) = from.info.number("used_memory") else { return };
    let limit = wishes.node_memory.or_else(|| to.info.number("maxmemory").filter(|limit| *limit > 0));
    match limit {
        None => found.warn(
            "memory",
            format!("the source uses {}; the target tells no limit", mib(used)),
            "--node-memory SIZE holds it against a node's",
        ),
        Some(limit) if used as f64 > limit as f64 * USED && !to.is_cluster() => found.block(
            "memory",
            format!(
                "the source uses {} and the target has {}, of which three quarters are for data",
                mib(used),
                mib(limit)
            ),
            "take a larger node, or carry less: --redis-db, --keys, --drop-keys",
        ),
        Some(limit) => found.ok("memory", format!("{} of {}", mib(used), mib(limit))),
    }
    if let Some(policy) = to.info.field("maxmemory_policy").filter(|policy| *policy != "noeviction") {
        found.warn(
            "eviction",
            format!("the target throws keys out when its memory is full ({policy})"),
            "maxmemory-policy noeviction, at least while it is loaded",
        );
    }
}

/// A copy of a queue runs its jobs twice.
async fn queues(found: &mut Findings, from: &Side, pairs: &[(u64, u64)]) -> Result<()> {
    let mut full = Vec::new();
    for &(db, _) in pairs {
        let mut cursor = b"0".to_vec();
        for _ in 0..ROUNDS {
            let words: &[&[u8]] =
                &[b"SCAN", &cursor, b"MATCH", b"*queue*", b"COUNT", b"1000", b"TYPE", b"list"];
            let Reply::Array(mut answer) = from.question(db, words).await? else { break };
            let (Some(Reply::Array(keys)), Some(Reply::Bulk(next))) = (answer.pop(), answer.pop()) else {
                break;
            };
            for key in keys {
                let Reply::Bulk(name) = key else { continue };
                if full.len() < 20
                    && let Reply::Integer(length) = from.question(db, &[b"LLEN", &name]).await?
                    && length > 0
                {
                    full.push(format!("{} ({length} in database {db})", name.escape_ascii()));
                }
            }
            if next == b"0" {
                break;
            }
            cursor = next;
        }
    }
    if full.is_empty() {
        found.ok("job queues", "none hold jobs");
    } else {
        found.warn("job queues", format!("not empty: {}", some(&full)), "stop the workers and let them drain, or leave the database out with --redis-db: a copied job runs twice");
    }
    Ok(())
}

async fn readable(found: &mut Findings, from: &Side, wishes: &Wishes) -> Result<()> {
    // Says of this connection only that it wants no changes.
    match from.question(0, &[b"REPLCONF", b"rdb-only", b"0"]).await? {
        Reply::Error(text)
            if !wishes.scans
                && (text.starts_with("NOPERM") || text.to_ascii_lowercase().contains("unknown command")) =>
        {
            found.block(
                "source's rights",
                format!("the source lets nobody replicate: {text}"),
                "--redis-scan reads key by key, or ACL SETUSER … +psync +sync +replconf",
            );
        }
        _ => found.ok("source's rights", "the account may speak as a replica"),
    }
    if let Reply::Array(modules) = from.question(0, &[b"MODULE", b"LIST"]).await?
        && !modules.is_empty()
    {
        found.warn(
            "modules",
            format!("the source has {} loaded", modules.len()),
            "the target needs them for keys of their types, or leave those out with --redis-drop modules",
        );
    }
    Ok(())
}

async fn time(side: &Side) -> Result<Option<f64>> {
    let words = side.question(0, &[b"TIME"]).await?.texts();
    Ok(match words.as_slice() {
        [seconds, micros] => match (seconds.parse::<f64>(), micros.parse::<f64>()) {
            (Ok(seconds), Ok(micros)) => Some(seconds + micros / 1e6),
            _ => None,
        },
        _ => None,
    })
}
