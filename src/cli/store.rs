//! `dbferry check` and `dbferry gc` of an object store.

use std::time::Duration;

use jiff::Timestamp;
use pipeline::{Context, Error, Result, Stage};
use serde_json::json;
use stores::s3::check::State;
use stores::s3::{Bucket, S3Url, check, gc};

use super::args::{CheckArgs, GcArgs};
use super::endpoint::To;
use super::names::Names;
use super::{render, size};

fn address(typed: &str, command: &str) -> Result<S3Url> {
    match To::parse(typed)? {
        To::S3(url) => Ok(*url),
        _ => Err(Error::usage(format!("`{command}` takes an s3:// address, and `{typed}` is none"))
            .hint(format!("dbferry {command} s3://BUCKET/PREFIX"))),
    }
}

/// Probes what a store can and an account may.
pub(crate) async fn check(args: &CheckArgs, endpoint: &str, cx: &Context) -> Result<()> {
    let url = address(endpoint, "check")?;
    let bucket = Bucket::connect(&url).await?;
    let names = Names::new(Timestamp::now(), None, None);
    let rows = check::check(&bucket, names.id(), cx).await;
    let word = |state| match state {
        State::Yes => "ok",
        State::No => "no",
        State::Needed => "missing",
    };
    let policy = check::policy(bucket.url(), &rows);
    if args.output.json {
        let rows: Vec<_> = rows
            .iter()
            .map(|row| json!({ "what": row.what, "state": word(row.state), "note": row.note }))
            .collect();
        let document = json!({
            "type": "checked", "endpoint": bucket.url().to_string(), "rows": rows, "missing_policy": policy,
        });
        render::print(&format!("{document}\n"))?;
    } else if args.output.talks() {
        for row in &rows {
            render::say(&format!("{:8} {:28} {}", word(row.state), row.what, row.note));
        }
        if let Some(policy) = &policy {
            render::say(&format!("policy that gives what is missing: {policy}"));
        }
    }
    match rows.iter().find(|row| row.state == State::Needed) {
        None => Ok(()),
        Some(row) => Err(Error::sink(format!("{} cannot be written to: {}", bucket.url(), row.note))
            .with("missing", row.what)
            .hint("docs/s3.md has the policy that a run needs")),
    }
}

/// Shows, and with `--yes` removes, what killed runs left.
pub(crate) async fn collect(args: GcArgs, _: &Context) -> Result<()> {
    let url = address(&args.endpoint, "gc")?;
    let age = age(&args.older_than)?;
    let bucket = Bucket::connect(&url).await?;
    let garbage = gc::find(&bucket, age).await?;
    let at =
        |seconds: i64| Timestamp::from_second(seconds).map_or_else(|_| "?".to_owned(), |at| at.to_string());
    let left = if args.yes { gc::remove(&bucket, &garbage).await } else { Vec::new() };
    if args.output.json {
        let uploads: Vec<_> = garbage
            .uploads
            .iter()
            .map(|(upload, begun)| json!({ "key": upload.key, "upload_id": upload.id, "begun": at(*begun) }))
            .collect();
        let objects: Vec<_> = garbage
            .objects
            .iter()
            .map(|object| json!({ "key": object.key, "bytes": object.bytes, "modified": at(object.at) }))
            .collect();
        let left: Vec<_> =
            left.iter().map(|(what, why)| json!({ "what": what, "why": why.to_string() })).collect();
        let document = json!({
            "type": "garbage", "removed": args.yes, "uploads": uploads, "objects": objects, "left": left,
        });
        render::print(&format!("{document}\n"))?;
    } else if args.output.talks() {
        for (upload, begun) in &garbage.uploads {
            render::say(&format!("incomplete upload since {}: {} ({})", at(*begun), upload.key, upload.id));
        }
        for object in &garbage.objects {
            let (bytes, modified) = (size::show(object.bytes), at(object.at));
            render::say(&format!("object without a manifest since {modified}: {} ({bytes})", object.key));
        }
        let (uploads, objects) = (garbage.uploads.len(), garbage.objects.len());
        let done = if args.yes { "removed" } else { "found" };
        render::say(&format!("{done}: {uploads} incomplete uploads, {objects} objects without a manifest"));
        if !args.yes && uploads + objects > 0 {
            render::say("nothing was removed: `--yes` does");
        }
    }
    match left.into_iter().next() {
        None => Ok(()),
        Some((what, why)) => {
            Err(why.into_error(Stage::Sink, &format!("not everything could be removed: {what}")))
        }
    }
}

/// `90s`, `30m`, `24h`, `7d`.
fn age(text: &str) -> Result<Duration> {
    let (number, unit) = text.split_at(text.len() - usize::from(text.ends_with(['s', 'm', 'h', 'd'])));
    let seconds = match unit {
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => 1,
    };
    let number: Option<u64> = if unit.is_empty() { None } else { number.parse().ok() };
    number.and_then(|number| number.checked_mul(seconds)).map(Duration::from_secs).ok_or_else(|| {
        Error::usage(format!("`--older-than {text}` is no time")).hint("such as 90s, 30m, 24h or 7d")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages() {
        assert_eq!(age("24h").unwrap(), Duration::from_secs(86_400));
        assert_eq!(age("7d").unwrap(), Duration::from_secs(604_800));
        assert_eq!(age("0s").unwrap(), Duration::ZERO);
        for bad in ["", "24", "h", "1w", "-1h", "99999999999999999999d", "ü"] {
            assert_eq!(age(bad).unwrap_err().exit_code(), 2, "{bad}");
        }
    }
}
