//! `dbferry gc`: what killed runs left, in an object store or in a folder.

use std::path::Path;
use std::time::{Duration, SystemTime};

use archives::prune::{self, Tombstone};
use jiff::Timestamp;
use pipeline::{Context, Error, Result, Stage};
use serde_json::{Value, json};
use sinks::file::gc as files;
use stores::s3::{Bucket, S3Url, gc as objects};

use super::args::GcArgs;
use super::endpoint::To;
use super::{render, size, time};

/// Shows, and with `--yes` removes, what killed runs left.
pub(crate) async fn run(args: GcArgs, _: &Context) -> Result<()> {
    let age = time::parse("--older-than", &args.older_than)?;
    match To::parse(&args.endpoint)? {
        To::S3(url) => bucket(&args, &url, age).await,
        To::Path(path) => folder(&args, Path::new(&path), age),
        To::Volume(path) => {
            sinks::pvc::require_volume(Path::new(&path))?;
            folder(&args, Path::new(&path), age)
        }
        _ => Err(Error::usage(format!(
            "`gc` takes a folder, pvc:// or s3://, and `{}` is none",
            args.endpoint
        ))
        .hint("dbferry gc s3://BUCKET/PREFIX, or dbferry gc /BACKUPS")),
    }
}

fn told(
    args: &GcArgs,
    document: &Value,
    lines: impl Iterator<Item = String>,
    sum: &str,
    any: bool,
) -> Result<()> {
    if args.output.json {
        return render::print(&format!("{document}\n"));
    }
    if args.output.talks() {
        lines.for_each(|line| render::say(&line));
        render::say(&format!("{}: {sum}", if args.yes { "removed" } else { "found" }));
        if !args.yes && any {
            render::say("nothing was removed: `--yes` does");
        }
    }
    Ok(())
}

async fn bucket(args: &GcArgs, url: &S3Url, age: Duration) -> Result<()> {
    let bucket = Bucket::connect(url).await?;
    let garbage = objects::find(&bucket, age).await?;
    let at =
        |seconds: i64| Timestamp::from_second(seconds).map_or_else(|_| "?".to_owned(), |at| at.to_string());
    let left = if args.yes { objects::remove(&bucket, &garbage).await } else { Vec::new() };
    let uploads = garbage
        .uploads
        .iter()
        .map(|(upload, begun)| json!({ "key": upload.key, "upload_id": upload.id, "begun": at(*begun) }));
    let found = garbage
        .objects
        .iter()
        .map(|object| json!({ "key": object.key, "bytes": object.bytes, "modified": at(object.at) }));
    let document = json!({
        "type": "garbage",
        "removed": args.yes,
        "uploads": uploads.collect::<Vec<_>>(),
        "objects": found.collect::<Vec<_>>(),
        "left": left.iter().map(|(what, why)| json!({ "what": what, "why": why.to_string() })).collect::<Vec<_>>(),
    });
    let uploads = garbage.uploads.iter().map(|(upload, begun)| {
        format!("incomplete upload since {}: {} ({})", at(*begun), upload.key, upload.id)
    });
    let objects = garbage.objects.iter().map(|object| {
        let (bytes, modified) = (size::show(object.bytes), at(object.at));
        format!("object without a manifest since {modified}: {} ({bytes})", object.key)
    });
    let counts = (garbage.uploads.len(), garbage.objects.len());
    let sum = format!("{} incomplete uploads, {} objects without a manifest", counts.0, counts.1);
    told(args, &document, uploads.chain(objects), &sum, counts.0 + counts.1 > 0)?;
    match left.into_iter().next() {
        None => Ok(()),
        Some((what, why)) => {
            Err(why.into_error(Stage::Sink, &format!("not everything could be removed: {what}")))
        }
    }
}

fn folder(args: &GcArgs, root: &Path, age: Duration) -> Result<()> {
    let found = files::find(root, age)?;
    let tombstones = prune::tombstones(root, age)?;
    let mut left: Vec<Error> = Vec::new();
    if args.yes {
        left.extend(found.staged.iter().filter_map(|leftover| files::remove(leftover).err()));
        left.extend(tombstones.iter().filter_map(|tombstone| tombstone.finish().err()));
    }
    let at = |modified: SystemTime| {
        Timestamp::try_from(modified).map_or_else(|_| "?".to_owned(), |at| at.strftime("%FT%TZ").to_string())
    };
    let staged = found
        .staged
        .iter()
        .map(|one| json!({ "path": one.path.display().to_string(), "bytes": one.bytes, "modified": at(one.modified) }));
    let document = json!({
        "type": "garbage",
        "removed": args.yes,
        "staged": staged.collect::<Vec<_>>(),
        "unfinished_removals": tombstones.iter().map(|one| one.path.display().to_string()).collect::<Vec<_>>(),
        "replaced": found.replaced.iter().map(|path| path.display().to_string()).collect::<Vec<_>>(),
        "left": left.iter().map(ToString::to_string).collect::<Vec<_>>(),
    });
    let staged = found.staged.iter().map(|one| {
        let (path, bytes) = (one.path.display(), size::show(one.bytes));
        format!("staged by a run that is gone, since {}: {path} ({bytes})", at(one.modified))
    });
    let unfinished = tombstones
        .iter()
        .flat_map(|Tombstone { left, .. }| left)
        .map(|path| format!("left of a removal: {}", path.display()));
    let replaced = found.replaced.iter().map(|path| {
        format!(
            "kept: an interrupted run was about to replace {}: rename it back or delete it",
            path.display()
        )
    });
    let counts = (found.staged.len(), tombstones.len());
    let sum = format!("{} staged files or directories, {} unfinished removals", counts.0, counts.1);
    told(args, &document, staged.chain(unfinished).chain(replaced), &sum, counts.0 + counts.1 > 0)?;
    match left.into_iter().next() {
        None => Ok(()),
        Some(error) => Err(error),
    }
}
