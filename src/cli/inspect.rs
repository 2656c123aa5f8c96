//! `dbferry inspect`: reads an archive or a source once, as a stream, and shows what is inside.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use pipeline::{Context, Error, Finding, Job, Report, Result, Settings};
use serde_json::json;
use transforms::interpret::{Contents, Interpretation};
use transforms::mysql::Summary;
use transforms::postgres::PostgresSummary;

use super::args::{InspectArgs, LayoutArg};
use super::endpoint::From;
use super::{copy, passwords, rdb_table, redis, render, size};

/// Runs the command.
pub(crate) async fn run(args: InspectArgs, cx: &Context) -> Result<()> {
    let memory = size::parse("--memory", &args.memory)?;
    let from = From::parse(&args.endpoint)?;
    if args.source.layout == LayoutArg::Directory {
        return Err(Error::usage("`--layout` is for what is written, and inspect writes nothing")
            .hint("leave it out"));
    }
    let inspection = Arc::new(Mutex::new(Contents::default()));
    let wanted = Interpretation {
        format: args.format.map(copy::format).or_else(|| redis::carried(&from)),
        inspection: Some(Arc::clone(&inspection)),
        rdb: redis::inspected(&from, &args.source, memory)?,
        ..Interpretation::default()
    };
    let job = Job {
        id: "inspect".to_owned(),
        steps: copy::steps(&from, wanted, passwords::identities(&args.key)?, memory),
        settings: Settings {
            memory,
            reader: copy::reader(&from, &args.source, memory)?,
            ..Settings::default()
        },
        source: copy::source(
            from,
            &args.source,
            args.format,
            None,
            sources::RedisOptions::default(),
            memory,
        )?,
        deliveries: Vec::new(),
    };
    let report = pipeline::run(job, cx).await?;
    let contents = std::mem::take(&mut *inspection.lock().unwrap_or_else(PoisonError::into_inner));
    if args.output.json {
        return render::print(&format!("{}\n", as_json(&report, &contents)));
    }
    let text =
        as_text(&report, &contents).map_err(|e| Error::bug("the contents have no text form").caused_by(e))?;
    render::print(&text)
}

fn findings(report: &Report) -> Vec<&Finding> {
    report.parts.iter().flat_map(|part| &part.transforms).flat_map(|t| &t.findings).collect()
}

fn as_json(report: &Report, contents: &Contents) -> serde_json::Value {
    let part = &report.parts[0];
    json!({
        "type": "contents",
        "source": report.source,
        "format": part.format,
        "stored_bytes": part.source.bytes,
        "raw_bytes": part.raw.bytes,
        "digests": part.raw.digests,
        "counts": part.transforms.iter().map(|t| (t.name.clone(), t.counts.clone())).collect::<std::collections::BTreeMap<_, _>>(),
        "contents": contents,
        "findings": findings(report),
    })
}

fn as_text(report: &Report, contents: &Contents) -> std::result::Result<String, std::fmt::Error> {
    let part = &report.parts[0];
    let mut text = String::new();
    writeln!(text, "source: {}", report.source.endpoint)?;
    if let Some(server) = &report.source.server {
        writeln!(text, "server: {server}")?;
    }
    write!(text, "content: {}, {}", part.format, size::show(part.raw.bytes))?;
    if part.source.bytes == part.raw.bytes {
        writeln!(text)?;
    } else {
        writeln!(text, " ({} as stored)", size::show(part.source.bytes))?;
    }
    match contents {
        Contents::Unknown => {
            for (kind, count) in part.transforms.iter().flat_map(|t| &t.counts) {
                writeln!(text, "{kind}: {count}")?;
            }
        }
        Contents::Mysql(summary) => mysql(&mut text, summary)?,
        Contents::Postgres(summary) => postgres(&mut text, summary)?,
        Contents::Rdb(summary) => rdb_table::write(&mut text, summary)?,
    }
    for finding in findings(report) {
        writeln!(text, "{}", render::finding(finding))?;
    }
    Ok(text)
}

/// A table of names with rows and bytes, widest name first decided.
fn table(text: &mut String, rows: &[(String, Option<u64>, u64)], unlisted: u64) -> std::fmt::Result {
    let widest = rows.iter().map(|(name, ..)| name.chars().count()).max().unwrap_or(5).clamp(5, 60);
    writeln!(text, "\n{:widest$}  {:>14}  {:>12}", "table", "rows", "data")?;
    for (name, count, bytes) in rows {
        let count = count.map_or_else(|| "?".to_owned(), |count| count.to_string());
        writeln!(text, "{name:widest$}  {count:>14}  {:>12}", size::show(*bytes))?;
    }
    if unlisted > 0 {
        writeln!(text, "… and {unlisted} more tables")?;
    }
    writeln!(text)
}

fn list(text: &mut String, what: &str, names: impl IntoIterator<Item = impl AsRef<str>>) -> std::fmt::Result {
    let names: Vec<String> = names.into_iter().map(|name| name.as_ref().to_owned()).collect();
    if names.is_empty() { Ok(()) } else { writeln!(text, "{what}: {}", names.join(", ")) }
}

fn postgres(text: &mut String, summary: &PostgresSummary) -> std::fmt::Result {
    for (what, value) in [("dumped from", &summary.server_version), ("dumped by", &summary.client_version)] {
        if let Some(value) = value {
            writeln!(text, "{what}: {value}")?;
        }
    }
    list(text, "databases", &summary.databases)?;
    list(text, "extensions", &summary.extensions)?;
    list(text, "roles", &summary.roles)?;
    list(text, "owners", summary.owners.iter().map(|(owner, count)| format!("{owner} ({count})")))?;
    let rows: Vec<_> = summary.tables.iter().map(|(name, t)| (name.clone(), t.rows, t.bytes)).collect();
    table(text, &rows, summary.tables_unlisted)?;
    for (kind, objects) in &summary.objects {
        let more = objects.count.saturating_sub(objects.names.len() as u64);
        let more = if more > 0 { format!(", and {more} more") } else { String::new() };
        writeln!(text, "{kind} ({}): {}{more}", objects.count, objects.names.join(", "))?;
    }
    Ok(())
}

fn mysql(text: &mut String, summary: &Summary) -> std::fmt::Result {
    for (what, value) in [("dumped from", &summary.server_version), ("dumped by", &summary.client)] {
        if !value.is_empty() {
            writeln!(text, "{what}: {value}")?;
        }
    }
    let counted = |counts: &BTreeMap<String, u64>| -> Vec<String> {
        counts.iter().map(|(name, count)| format!("{name} ({count})")).collect()
    };
    list(text, "databases", &summary.schemas)?;
    list(text, "engines", counted(&summary.engines))?;
    list(text, "character sets", counted(&summary.charsets))?;
    list(text, "collations", counted(&summary.collations))?;
    let full = |schema: &str, name: &str| {
        let quoted = format!("`{}`", name.replace('`', "``"));
        if schema.is_empty() { quoted } else { format!("`{}`.{quoted}", schema.replace('`', "``")) }
    };
    let rows: Vec<_> =
        summary.tables.iter().map(|t| (full(&t.schema, &t.name), Some(t.rows), t.bytes)).collect();
    table(text, &rows, 0)?;
    let mut kinds: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for object in &summary.objects {
        kinds.entry(&object.kind).or_default().push(full(&object.schema, &object.name));
    }
    for (kind, names) in kinds {
        writeln!(text, "{kind} ({}): {}", names.len(), names.join(", "))?;
    }
    if summary.unlisted > 0 {
        writeln!(text, "… and {} more objects", summary.unlisted)?;
    }
    list(
        text,
        "definers",
        summary.definers.iter().map(|(account, kinds)| format!("{account}: {}", counted(kinds).join(" "))),
    )
}
