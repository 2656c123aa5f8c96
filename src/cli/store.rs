//! `dbferry check` of an object store.

use jiff::Timestamp;
use pipeline::{Context, Error, Result};
use serde_json::json;
use stores::s3::check::State;
use stores::s3::{Bucket, S3Url, check};

use super::args::CheckArgs;
use super::endpoint::To;
use super::names::Names;
use super::render;

fn address(typed: &str) -> Result<S3Url> {
    match To::parse(typed)? {
        To::S3(url) => Ok(*url),
        _ => Err(Error::usage(format!("`check` takes an s3:// address, and `{typed}` is none"))
            .hint("dbferry check s3://BUCKET/PREFIX")),
    }
}

/// Probes what a store can and an account may.
pub(crate) async fn check(args: &CheckArgs, endpoint: &str, cx: &Context) -> Result<()> {
    let url = address(endpoint)?;
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
        Some(row) => {
            Err(Error::sink(format!("{} cannot be written to: {}: {}", bucket.url(), row.what, row.note))
                .hint("docs/s3.md has the policy that a run needs"))
        }
    }
}
