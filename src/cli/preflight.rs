//! What `dbferry check` finds in a moment, before `copy` writes the first byte into a database.

use std::time::Duration;

use audit::check::{Finding, Level, Wishes, check};
use pipeline::endpoint::{DatabaseUrl, Engine};
use pipeline::{Context, Error, Result};

use super::args::{CopyArgs, ProfileArg};
use super::{engine, redis, size};

/// A look that takes longer is no quick one: the copy goes on without it.
const PATIENCE: Duration = Duration::from_secs(20);

/// Fails for what would end the copy half-way, and tells what deserves a look.
pub(crate) async fn look(args: &CopyArgs, pairs: &[(DatabaseUrl, DatabaseUrl)], cx: &Context) -> Result<()> {
    for (source, dest) in pairs {
        // Several databases at once, or none that is named: the loader says what it thinks of that.
        if source.engine != Engine::Redis && source.databases.len() != 1 {
            continue;
        }
        let wishes = wishes(args)?;
        let findings = match tokio::time::timeout(PATIENCE, check(source, dest, &wishes, cx)).await {
            Ok(Ok(checked)) => checked.findings,
            Ok(Err(error)) if cx.cancellation().is_cancelled() => return Err(error),
            Ok(Err(error)) => {
                cx.warn(format!("what would end the copy half-way could not be looked for: {error}"));
                continue;
            }
            Err(_) => {
                cx.warn("what would end the copy half-way was not found out in time");
                continue;
            }
        };
        judge(&findings, engine::chooses(&args.source)?, cx)?;
    }
    Ok(())
}

fn wishes(args: &CopyArgs) -> Result<Wishes> {
    let renumber =
        args.redis.redis_map.iter().map(|text| redis::renumber(text)).collect::<Result<Vec<_>>>()?;
    let number = |db: u64| renumber.iter().find(|(from, _)| *from == db).map_or(db, |(_, to)| *to);
    let node_memory =
        args.redis.node_memory.as_deref().map(|text| size::parse("--node-memory", text)).transpose()?;
    Ok(Wishes {
        rewrites: args.profile.is_some_and(|profile| profile != ProfileArg::Elasticache),
        definers: args.definer.as_deref().is_some_and(|policy| policy != "keep"),
        may_hold: args.overwrite || args.into_existing || args.resume,
        node_memory: node_memory.map(|bytes| bytes as u64),
        databases: args.redis.redis_db.iter().map(|db| (*db, number(*db))).collect(),
        scans: args.source.redis_scan,
        some_keys: args.redis.keeps_some(),
        brief: true,
    })
}

/// What would end a copy of everything may be no `part` of this one, and is a warning then.
fn judge(findings: &[Finding], part: bool, cx: &Context) -> Result<()> {
    let mut error = Error::sink("this copy would fail half-way, and was not begun");
    let mut blocked = false;
    for finding in findings {
        match finding.level {
            Level::Blocker if !part => {
                blocked = true;
                error = error.with(finding.subject, &finding.text);
                if let Some(fix) = &finding.fix {
                    error = error.hint(format!("{}: {fix}", finding.subject));
                }
            }
            // What is there may be, since that was asked for.
            Level::Warning if finding.subject == "contents" => {}
            Level::Warning | Level::Blocker => {
                let fix = finding.fix.as_ref().map_or_else(String::new, |fix| format!(" ({fix})"));
                cx.warn(format!("{}: {}{fix}", finding.subject, finding.text));
            }
            Level::Ok | Level::Rewritten => {}
        }
    }
    if blocked { Err(error.hint("`--no-check` begins all the same")) } else { Ok(()) }
}
