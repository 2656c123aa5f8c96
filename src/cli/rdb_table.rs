//! The contents of a Redis snapshot as tables for people.

use std::fmt::{Result, Write as _};

use transforms::rdb::{Share, Summary};

use super::size;

/// Lists that look like queues of jobs must be empty before a migration: what is in them is work that runs twice, or never.
const QUEUE_WARNING: &str = "jobs are waiting: a copy of them runs again at the target; let the workers finish first, or leave them out with --drop-keys";

pub(crate) fn write(text: &mut String, summary: &Summary) -> Result {
    write!(text, "snapshot: {}", summary.version)?;
    if let Some(server) = &summary.server {
        write!(text, ", written by {server}")?;
    }
    writeln!(text)?;
    writeln!(
        text,
        "keys: {}, of which {} expire; {} in the snapshot, about {} in memory",
        summary.total.keys,
        summary.total.expiring,
        size::show(summary.total.bytes),
        size::show(summary.total.memory)
    )?;
    shares(text, "database", summary.databases.iter().map(|(db, share)| (db.to_string(), *share)))?;
    shares(text, "type", summary.types.iter().map(|(name, share)| ((*name).to_owned(), *share)))?;
    shares(text, "encoding", summary.encodings.iter().map(|(name, share)| (name.clone(), *share)))?;
    if !summary.expiry.is_empty() {
        let expiry: Vec<String> =
            summary.expiry.iter().map(|(name, count)| format!("{name} {count}")).collect();
        writeln!(text, "\nexpiry: {}", expiry.join(", "))?;
    }
    if !summary.prefixes.is_empty() {
        let widest = width(summary.prefixes.iter().map(|prefix| prefix.prefix.as_str()), "prefix");
        writeln!(text, "\n{:widest$}  {:>12}  {:>12}", "prefix", "keys", "bytes")?;
        for prefix in &summary.prefixes {
            let most = if prefix.over > 0 { "≤ " } else { "" };
            let bytes = format!("{most}{}", size::show(prefix.bytes));
            writeln!(text, "{:widest$}  {:>12}  {bytes:>12}", prefix.prefix, prefix.keys)?;
        }
    }
    if !summary.largest.is_empty() {
        let widest = width(summary.largest.iter().map(|key| key.name.as_str()), "largest keys");
        writeln!(text, "\n{:widest$}  {:>4}  {:>8}  {:>12}", "largest keys", "db", "type", "bytes")?;
        for key in &summary.largest {
            writeln!(
                text,
                "{:widest$}  {:>4}  {:>8}  {:>12}",
                key.name,
                key.db,
                key.r#type,
                size::show(key.bytes)
            )?;
        }
    }
    if !summary.functions.is_empty() {
        writeln!(text, "\nfunctions: {}", summary.functions.join(", "))?;
    }
    if !summary.modules.is_empty() {
        let modules: Vec<String> =
            summary.modules.iter().map(|(name, count)| format!("{name} ({count})")).collect();
        writeln!(text, "\nmodules: {}", modules.join(", "))?;
    }
    for queue in &summary.queues {
        writeln!(text, "queue: {} in database {}: {} jobs", queue.name, queue.db, queue.length)?;
    }
    if summary.queues.iter().any(|queue| queue.length > 0) {
        writeln!(text, "warning: {QUEUE_WARNING}")?;
    }
    if summary.unlisted > 0 {
        writeln!(text, "… and {} more that are counted but not listed", summary.unlisted)?;
    }
    Ok(())
}

fn width<'a>(names: impl Iterator<Item = &'a str>, title: &str) -> usize {
    names.map(|name| name.chars().count()).max().unwrap_or(0).clamp(title.chars().count(), 60)
}

fn shares(text: &mut String, title: &str, rows: impl Iterator<Item = (String, Share)>) -> Result {
    let rows: Vec<_> = rows.collect();
    if rows.is_empty() {
        return Ok(());
    }
    let widest = width(rows.iter().map(|(name, _)| name.as_str()), title);
    writeln!(
        text,
        "\n{title:widest$}  {:>12}  {:>12}  {:>12}  {:>12}",
        "keys", "expiring", "bytes", "memory ≈"
    )?;
    for (name, share) in rows {
        writeln!(
            text,
            "{name:widest$}  {:>12}  {:>12}  {:>12}  {:>12}",
            share.keys,
            share.expiring,
            size::show(share.bytes),
            size::show(share.memory)
        )?;
    }
    Ok(())
}
