//! `dbferry bench`: how fast this source can leave, with which setting, and what holds it up.
//!
//! Every run is one of `copy`'s, made from the same arguments and carried by the same engine; only its two ends differ (`ends.rs`). First each stage
//! alone, so that it is known what it could do, then everything at once, because stages that share processors with each other and with the server do less.

mod choose;
mod document;
mod ends;
mod html;
mod measure;
mod plot;
mod sample;
mod setting;
mod sweep;
mod system;
mod text;

use std::time::Duration;

use pipeline::{Context, Error, Result};

use super::args::BenchArgs;
use super::{render, time};

/// Nothing can be told of a source in less.
const LEAST: Duration = Duration::from_secs(3);

/// In less than this not every setting has its time.
const FULL: Duration = Duration::from_secs(30);

/// Runs the command.
pub(crate) async fn run(args: BenchArgs, cx: &Context) -> Result<()> {
    let limit = time::parse("--time", &args.time)?;
    if limit < LEAST {
        return Err(Error::usage(format!("`--time {}` is too short to measure anything", args.time))
            .hint("give it 30s or more: every setting gets its share"));
    }
    let asked = setting::Asked::new(&args, limit < FULL)?;
    if let Some(file) = &args.html {
        // Not after a minute of work.
        page_can_be_written(file)?;
    }
    let say = args.output.talks();
    let document = Box::pin(sweep::Sweep::new(asked, limit, say, cx).run()).await?;
    if let Some(file) = &args.html {
        std::fs::write(file, html::page(&document)).map_err(|error| {
            Error::sink("the page cannot be written").with("file", file.display()).caused_by(error)
        })?;
    }
    if args.output.json {
        let json = serde_json::to_string(&document)
            .map_err(|error| Error::bug("the outcome has no JSON form").caused_by(error))?;
        return render::print(&format!("{json}\n"));
    }
    if args.output.talks() {
        let text = text::table(&document)
            .map_err(|error| Error::bug("the outcome has no text form").caused_by(error))?;
        render::print(&text)?;
        if let Some(file) = &args.html {
            render::say(&format!("page: {}", file.display()));
        }
    }
    Ok(())
}

fn page_can_be_written(file: &std::path::Path) -> Result<()> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    let there = folder.is_none_or(std::path::Path::is_dir);
    if there && !file.is_dir() {
        return Ok(());
    }
    Err(Error::usage("the page has no place to be written to")
        .with("--html", file.display())
        .hint("give a file in a folder that exists"))
}
