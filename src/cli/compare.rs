//! `dbferry compare`: two databases side by side.

use std::path::Path;

use audit::{Comparison, Difference, RowFault};
use pipeline::endpoint::DatabaseUrl;
use pipeline::{Context, Error, Result};
use serde_json::json;

use super::args::{CompareArgs, OutputArgs};
use super::endpoint::From;
use super::{passwords, render};

/// Objects that are listed one by one; a database that has nothing in common with the other would fill the screen.
const LISTED: usize = 40;
/// Characters of a definition that are shown.
const SHOWN: usize = 160;

/// Runs the command; answers whether the two are the same.
pub(crate) async fn run(args: CompareArgs, cx: &Context) -> Result<bool> {
    let source = database("compare", &args.source, args.source_password_file.as_deref())?;
    let dest = database("compare", &args.dest, args.dest_password_file.as_deref())?;
    let options = audit::Options { jobs: args.jobs, show: args.show, databases: Vec::new() };
    let comparison = audit::compare(&source, &dest, &options, cx).await?;
    if args.output.json {
        let mut document = json!(comparison);
        document["type"] = json!("comparison");
        document["exit_code"] = json!(if comparison.equal { 0 } else { 6 });
        render::print(&format!("{document}\n"))?;
        return Ok(comparison.equal);
    }
    tell(&comparison, &args.output);
    Ok(comparison.equal)
}

/// The database that was meant, with its password.
pub(crate) fn database(command: &str, typed: &str, password_file: Option<&Path>) -> Result<DatabaseUrl> {
    let From::Database(mut url) = From::parse(typed)? else {
        return Err(Error::usage(format!("{command} takes the URLs of two databases"))
            .hint(format!("dbferry {command} mysql://user@host/db mysql://user@other/db")));
    };
    passwords::complete(&mut url, password_file)?;
    Ok(*url)
}

/// What a comparison that found differences ends with.
fn verdict(comparison: &Comparison) -> Error {
    let tables = comparison.tables.iter().filter(|table| !table.equal).count();
    Error::mismatch("the two databases are not the same")
        .with("objects that differ", comparison.differences.len())
        .with("tables whose rows differ", tables)
}

/// Tells people what was found; those who want errors only, whether it is one.
pub(crate) fn tell(comparison: &Comparison, output: &OutputArgs) {
    if output.talks() {
        say(comparison, output.verbose);
    }
    if !comparison.equal {
        render::error(&verdict(comparison));
    }
}

fn say(comparison: &Comparison, verbose: bool) {
    render::say(&format!("source: {} ({})", comparison.source.endpoint, comparison.source.server));
    render::say(&format!("dest: {} ({})", comparison.dest.endpoint, comparison.dest.server));
    for difference in comparison.differences.iter().take(LISTED) {
        render::say(&format!("differs: {}", described(difference)));
    }
    if let Some(more) = comparison.differences.len().checked_sub(LISTED).filter(|more| *more > 0) {
        render::say(&format!("differs: {more} more, see --json"));
    }
    for table in &comparison.tables {
        if table.equal {
            if verbose {
                let rows = table.source_rows;
                render::say(&format!("same: {}: {rows} rows, digest {}", table.table, table.source_digest));
            }
            continue;
        }
        let least = if table.narrowed { "" } else { "at least " };
        render::say(&format!(
            "differs: rows of {}: {} at the source, {} at the destination, {least}{} not the same",
            table.table, table.source_rows, table.dest_rows, table.differing_rows
        ));
        for example in &table.examples {
            let fault = match example.fault {
                RowFault::Missing => "missing at the destination",
                RowFault::Extra => "only at the destination",
                RowFault::Changed => "changed",
            };
            render::say(&format!("  {fault}: {}", example.row));
            for column in &example.columns {
                render::say(&format!("    {column}"));
            }
        }
    }
    if verbose {
        for note in &comparison.notes {
            render::say(&format!("note: {}", described(note)));
        }
    } else if !comparison.notes.is_empty() {
        render::say(&format!(
            "notes: {} properties that a target sets itself are not the same (collations, engines, definers): -v shows them",
            comparison.notes.len()
        ));
    }
    render::say(&format!("not compared: {}", comparison.not_compared.join("; ")));
    if comparison.equal {
        render::say(&format!(
            "equal: {} objects, {} tables, {} rows",
            comparison.objects,
            comparison.tables.len(),
            comparison.rows
        ));
    }
}

fn described(difference: &Difference) -> String {
    let name = format!("{} {}", difference.kind, difference.object);
    let name = name.trim_end();
    let shown = |value: &Option<String>| {
        let text = value.as_deref().unwrap_or("nothing");
        let cut: String = text.chars().take(SHOWN).collect();
        if cut.len() < text.len() { format!("{cut}…") } else { cut }
    };
    if difference.what.is_empty() {
        let where_missing =
            if difference.dest.as_deref() == Some("missing") { "destination" } else { "source" };
        return format!("{name}: missing at the {where_missing}");
    }
    format!("{name}: {}: {} → {}", difference.what, shown(&difference.source), shown(&difference.dest))
}
