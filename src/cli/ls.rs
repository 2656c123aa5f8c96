//! `dbferry ls` and `dbferry show`: what archives there are, and all that is known of one.

use std::path::PathBuf;

use archives::catalogue::Strange;
use archives::{Archive, Catalogue, Place, Standing};
use jiff::Timestamp;
use pipeline::{Context, Error, Result};
use serde_json::{Value, json};

use super::args::{LsArgs, ShowArgs};
use super::endpoint::To;
use super::{archive, render, size, time};

/// The folder or prefix that was typed.
pub(crate) async fn place(typed: &str) -> Result<Place> {
    match To::parse(typed)? {
        To::Path(path) => Ok(Place::Folder(PathBuf::from(path))),
        To::Volume(path) => {
            let path = PathBuf::from(path);
            sinks::pvc::require_volume(&path)?;
            Ok(Place::Folder(path))
        }
        To::S3(url) => Place::of_address(&url).await,
        To::Stdout | To::Database(_) => Err(Error::usage(format!("`{typed}` holds no archives"))
            .hint("name a folder, pvc:///MOUNT/PATH or s3://BUCKET/PREFIX")),
    }
}

/// Lists.
pub(crate) async fn list(args: LsArgs, _: &Context) -> Result<()> {
    let catalogue = Catalogue::read(place(&args.endpoint).await?).await?;
    if args.output.json {
        let strange: Vec<_> =
            catalogue.strange.iter().map(|odd| json!({ "name": odd.name, "why": odd.why })).collect();
        let document = json!({
            "type": "archives",
            "place": catalogue.place.to_string(),
            "archives": catalogue.archives.iter().map(archive_json).collect::<Vec<_>>(),
            "strange": strange,
            "stored_bytes": catalogue.archives.iter().map(|archive| archive.stored_bytes).sum::<u64>(),
        });
        return render::print(&format!("{document}\n"));
    }
    render::print(&table(&catalogue, Timestamp::now()))
}

pub(crate) fn archive_json(archive: &Archive) -> Value {
    let standing = match &archive.standing {
        Standing::Verified { at, by } => json!({ "state": "verified", "at": at.to_string(), "by": by }),
        Standing::Unverified => json!({ "state": "unverified" }),
        Standing::Failed { why } => json!({ "state": "failed", "why": why }),
    };
    json!({
        "name": archive.name,
        "manifest": archive.manifest,
        "id": archive.id,
        "started": archive.started.to_string(),
        "source": archive.source,
        "server": archive.server,
        "databases": archive.databases,
        "format": archive.format,
        "parts": archive.pieces.len(),
        "raw_bytes": archive.raw_bytes,
        "stored_bytes": archive.stored_bytes,
        "encrypted": archive.encrypted,
        "standing": standing,
    })
}

fn standing(archive: &Archive, now: Timestamp) -> String {
    match &archive.standing {
        Standing::Verified { at, by } => format!("{} ago: {by}", time::ago(*at, now)),
        Standing::Unverified => "no".to_owned(),
        Standing::Failed { why } => format!("FAILED: {why}"),
    }
}

/// What a file's name may hold must not move the cursor.
pub(crate) fn plain(name: &str) -> String {
    if name.is_empty() {
        return ".".to_owned();
    }
    name.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

fn table(catalogue: &Catalogue, now: Timestamp) -> String {
    let head = ["ARCHIVE", "AGE", "STORED", "RAW", "SOURCE", "ENCRYPTED", "VERIFIED"].map(str::to_owned);
    let rows = catalogue.archives.iter().map(|archive| {
        [
            plain(&archive.name),
            time::ago(archive.started, now),
            size::show(archive.stored_bytes),
            size::show(archive.raw_bytes),
            plain(&archive.source),
            if archive.encrypted.is_some() { "age" } else { "no" }.to_owned(),
            standing(archive, now),
        ]
    });
    let mut lines = vec![columns(&std::iter::once(head).chain(rows).collect::<Vec<_>>())];
    lines.extend(catalogue.strange.iter().map(strange));
    let stored: u64 = catalogue.archives.iter().map(|archive| archive.stored_bytes).sum();
    let total = catalogue.archives.len();
    let verified = catalogue.archives.iter().filter(|archive| archive.standing.is_verified()).count();
    lines.push(format!("total: {total} archives, {} stored, {verified} verified\n", size::show(stored)));
    lines.concat()
}

/// What was found beside the archives, and why it is none.
pub(crate) fn strange(odd: &Strange) -> String {
    format!("kept, no archive of this version: {}: {}\n", plain(&odd.name), odd.why)
}

/// Lines of columns, each as wide as its widest entry; the last is not filled up.
pub(crate) fn columns<const N: usize>(rows: &[[String; N]]) -> String {
    let widths: Vec<usize> =
        (0..N).map(|c| rows.iter().map(|row| row[c].chars().count()).max().unwrap_or(0)).collect();
    let mut text = String::new();
    for row in rows {
        let cells: Vec<_> =
            row.iter().zip(&widths).map(|(entry, &width)| format!("{entry:width$}  ")).collect();
        text.push_str(cells.concat().trim_end());
        text.push('\n');
    }
    text
}

/// Shows one.
pub(crate) async fn show(args: ShowArgs, _: &Context) -> Result<()> {
    let found = archive::Archive::find(&archive::Place::of(&args.archive)?, None).await?;
    let record = found.record().await?;
    let manifest = &found.manifest;
    if args.output.json {
        let document = json!({ "type": "archive", "manifest": manifest, "record": record });
        return render::print(&format!("{document}\n"));
    }
    let now = Timestamp::now();
    let mut lines = vec![
        ("archive", args.archive.clone()),
        ("made by", manifest.tool.clone()),
        ("run", manifest.id.clone()),
        ("source", manifest.source.endpoint.clone()),
    ];
    lines.extend(manifest.source.server.clone().map(|server| ("server", server)));
    lines.extend(manifest.source.client.clone().map(|client| ("client", client)));
    let age = manifest.started.parse().map_or_else(|_| "?".to_owned(), |at| time::ago(at, now));
    lines.push(("begun", format!("{} ({age} ago)", manifest.started)));
    lines.push(("finished", manifest.finished.clone()));
    for part in &manifest.parts {
        let encrypted = archives::catalogue::encrypted(part);
        let encrypted = encrypted.map_or_else(String::new, |to| format!(", encrypted for {to}"));
        lines.push((
            "part",
            format!(
                "{}: {}, {} stored, {} raw, {}{encrypted}",
                plain(&part.path),
                part.format,
                size::show(part.stored.bytes),
                size::show(part.raw.bytes),
                part.compression,
            ),
        ));
        for (name, value) in &part.stored.digests {
            lines.push(("", format!("{name} {value}")));
        }
        for step in &part.transforms {
            let changes: Vec<_> =
                step.changes.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
            if !changes.is_empty() {
                lines.push(("changed", format!("{}: {}", step.name, changes.join(", "))));
            }
        }
        lines.push(("proof", part.verified.to_string()));
    }
    if let Some(record) = record {
        let verdict = if record.passed { "passed" } else { "FAILED" };
        let line = format!("{verdict}, {} on {}: {}", record.check.as_str(), record.at, record.found);
        lines.push(("last check", line));
    }
    lines.extend(manifest.warnings.iter().map(|warning| ("warning", warning.clone())));
    let lines: Vec<_> = lines.iter().map(|(what, value)| format!("{what:11} {value}\n")).collect();
    render::print(&lines.concat())
}
