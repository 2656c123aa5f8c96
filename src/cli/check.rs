//! `dbferry check`: what a copy would meet, before it begins.

use audit::check::{Checked, Level, Wishes, check};
use pipeline::{Context, Error, Result};
use serde_json::json;

use super::args::CheckArgs;
use super::compare::database;
use super::{redis, render, size, store};

/// Runs the command; answers whether a copy would go through.
pub(crate) async fn run(args: CheckArgs, cx: &Context) -> Result<bool> {
    let (source, dest) = match args.endpoints.as_slice() {
        [endpoint] => return store::check(&args, endpoint, cx).await.map(|()| true),
        [source, dest] => (
            database("check", source, args.source_password_file.as_deref())?,
            database("check", dest, args.dest_password_file.as_deref())?,
        ),
        _ => return Err(Error::bug("an odd number of endpoints")),
    };
    let renumber =
        args.redis_map.iter().map(|text| redis::renumber(text)).collect::<Result<Vec<(u64, u64)>>>()?;
    let databases = args
        .redis_db
        .iter()
        .map(|db| (*db, renumber.iter().find(|(from, _)| from == db).map_or(*db, |(_, to)| *to)))
        .collect();
    let node_memory =
        args.node_memory.as_deref().map(|text| size::parse("--node-memory", text)).transpose()?;
    let wishes = Wishes {
        rewrites: args.profile.is_some(),
        may_hold: args.overwrite || args.into_existing,
        node_memory: node_memory.map(|bytes| bytes as u64),
        databases,
        ..Wishes::default()
    };
    let checked = check(&source, &dest, &wishes, cx).await?;
    let blockers = checked.findings.iter().filter(|finding| finding.level == Level::Blocker).count();
    if args.output.json {
        let mut document = json!(checked);
        document["type"] = json!("check");
        document["exit_code"] = json!(if blockers == 0 { 0 } else { 5 });
        render::print(&format!("{document}\n"))?;
        return Ok(blockers == 0);
    }
    if args.output.talks() {
        say(&checked);
    }
    if blockers > 0 {
        render::error(&verdict(blockers));
    }
    Ok(blockers == 0)
}

fn verdict(blockers: usize) -> Error {
    Error::sink("a copy would fail").with("blockers", blockers).hint("each line above says what to do")
}

fn say(checked: &Checked) {
    render::say(&format!("source: {} ({})", checked.source.endpoint, checked.source.server));
    render::say(&format!("dest: {} ({})", checked.dest.endpoint, checked.dest.server));
    for finding in &checked.findings {
        let level = match finding.level {
            Level::Ok => "ok",
            Level::Rewritten => "rewritten",
            Level::Warning => "warning",
            Level::Blocker => "blocker",
        };
        render::say(&format!("{level:9}  {:20} {}", finding.subject, finding.text));
        if let Some(fix) = &finding.fix {
            render::say(&format!("{:9}  {:20} fix: {fix}", "", ""));
        }
    }
}
