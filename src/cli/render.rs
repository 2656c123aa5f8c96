//! What a person or a program reads: errors, summaries, JSON.
//!
//! Standard output carries data or JSON only; everything else goes to standard error. All of it reads well without colour, so there is none.

use std::io::Write;

use pipeline::meter::bottleneck;
use pipeline::{Error, Finding, Plan, Report, Severity, TransformReport};
use serde_json::json;

use super::size;

/// Writes a line to standard error. When that is gone there is nobody left to tell.
pub(crate) fn say(line: &str) {
    drop(writeln!(std::io::stderr().lock(), "{line}"));
}

/// Writes to standard output; a reader that went away is an error of the destination.
pub(crate) fn print(text: &str) -> Result<(), Error> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|e| Error::sink("cannot write to standard output").caused_by(e))
}

/// Prints an error with its causes and hints.
pub(crate) fn error(error: &Error) {
    say(&format!("error: {}", chain(error)));
    for also in error.afterwards() {
        say(&format!("also: {also}"));
    }
    for hint in error.hints() {
        say(&format!("hint: {hint}"));
    }
}

/// An error and its causes in one line; a cause that only repeats what was said is left out.
fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        let said = inner.to_string();
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = inner.source();
    }
    text
}

/// The JSON form of an error.
pub(crate) fn error_json(error: &Error) -> serde_json::Value {
    json!({
        "type": "error",
        "exit_code": error.exit_code(),
        "stage": format!("{:?}", error.stage()).to_lowercase(),
        "message": chain(error),
        "context": error.context().iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect::<std::collections::BTreeMap<_, _>>(),
        "hints": error.hints(),
        "also": error.afterwards(),
    })
}

/// The JSON form of a copy that succeeded.
pub(crate) fn report_json(report: &Report) -> serde_json::Value {
    json!({
        "type": "summary",
        "exit_code": 0,
        "id": report.id,
        "elapsed_seconds": report.elapsed.as_secs_f64(),
        "source": report.source,
        "source_bytes": report.source_bytes(),
        "raw_bytes": report.raw_bytes(),
        "changes": report.changes(),
        "warnings": report.warnings,
        "stages": report.stages,
        "bottleneck": bottleneck(&report.stages).map(|stage| &stage.stage),
        "deliveries": report.deliveries.iter().map(|delivery| match &delivery.outcome {
            Ok(manifest) => json!({ "endpoint": delivery.endpoint, "manifest": manifest }),
            Err(error) => json!({ "endpoint": delivery.endpoint, "error": error_json(error) }),
        }).collect::<Vec<_>>(),
    })
}

/// The summary of a copy that succeeded.
pub(crate) fn report(report: &Report) {
    let seconds = report.elapsed.as_secs_f64();
    for line in changes(report.parts.iter().flat_map(|part| &part.transforms)) {
        say(&line);
    }
    for finding in report.parts.iter().flat_map(|part| &part.transforms).flat_map(|t| &t.findings) {
        say(&self::finding(finding));
    }
    for (at, delivery) in report.deliveries.iter().enumerate() {
        let shares = report.parts.iter().filter_map(|part| part.stored.get(at)?.as_ref());
        let own =
            || shares.clone().filter(|stored| stored.share.is_some()).flat_map(|stored| &stored.transforms);
        for line in changes(own()) {
            say(&format!("{}: {line}", delivery.endpoint));
        }
        for finding in own().flat_map(|transform| &transform.findings) {
            say(&format!("{}: {}", delivery.endpoint, self::finding(finding)));
        }
        match &delivery.outcome {
            Ok(manifest) => {
                let stored: u64 = manifest.parts.iter().map(|part| part.stored.bytes).sum();
                let ratio = if stored > 0 { report.raw_bytes() as f64 / stored as f64 } else { 1.0 };
                let proof = manifest.parts.first().map_or_else(String::new, |part| part.verified.to_string());
                say(&format!(
                    "{}: {} stored, ratio {ratio:.2}, {} part{}, {proof}",
                    delivery.endpoint,
                    size::show(stored),
                    manifest.parts.len(),
                    if manifest.parts.len() == 1 { "" } else { "s" },
                ));
            }
            Err(error) => say(&format!("{}: left out: {}", delivery.endpoint, chain(error))),
        }
    }
    stages(report);
    say(&format!(
        "done: {} from {} in {}, {}",
        size::show(report.source_bytes()),
        report.source.endpoint,
        size::show_seconds(seconds),
        size::show_rate(report.source_bytes(), seconds),
    ));
}

fn stages(report: &Report) {
    let widest = report.stages.iter().map(|s| s.stage.chars().count()).max().unwrap_or(5).max(5);
    say(&format!(
        "{:widest$}  {:>10}  {:>10}  {:>6}  {:>9}  {:>9}",
        "stage", "in", "out", "busy", "wait in", "wait out"
    ));
    for stage in &report.stages {
        say(&format!(
            "{:widest$}  {:>10}  {:>10}  {:>5.0}%  {:>8.1}s  {:>8.1}s",
            stage.stage,
            size::show(stage.bytes_in),
            size::show(stage.bytes_out),
            stage.utilisation() * 100.0,
            stage.wait_input_seconds,
            stage.wait_output_seconds,
        ));
    }
    if let Some(slowest) = bottleneck(&report.stages) {
        say(&format!("bottleneck: {} ({:.0} % busy)", slowest.stage, slowest.utilisation() * 100.0));
    }
}

/// One line per kind of rewriting: `stripped 14 definers: 9 views, 3 triggers, 2 functions`, `postgres-rewrite: owner-dropped 14`.
fn changes<'a>(reports: impl Iterator<Item = &'a TransformReport>) -> Vec<String> {
    const DEFINERS: [(&str, &str); 2] = [("definer-stripped-", "stripped"), ("definer-set-", "set")];
    let mut lines = Vec::new();
    for report in reports {
        let mut others: Vec<String> = Vec::new();
        let mut grouped = [const { Vec::new() }; DEFINERS.len()];
        for (kind, count) in &report.changes {
            let group = DEFINERS.iter().position(|(prefix, _)| kind.starts_with(prefix));
            match group {
                Some(at) => {
                    grouped[at].push((*count, kind.trim_start_matches(DEFINERS[at].0).replace('-', " ")));
                }
                None => others.push(format!("{kind} {count}")),
            }
        }
        for ((_, verb), objects) in DEFINERS.iter().zip(&grouped) {
            let total: u64 = objects.iter().map(|(count, _)| count).sum();
            if total > 0 {
                let each: Vec<String> = objects.iter().map(|(count, what)| plural(*count, what)).collect();
                lines.push(format!("{verb} {}: {}", plural(total, "definer"), each.join(", ")));
            }
        }
        if !others.is_empty() {
            lines.push(format!("{}: {}", report.name, others.join(", ")));
        }
    }
    lines
}

/// `1 view`, `2 views`, `3 package bodies`.
fn plural(count: u64, what: &str) -> String {
    match (count, what.strip_suffix('y')) {
        (1, _) => format!("1 {what}"),
        (_, Some(stem)) => format!("{count} {stem}ies"),
        _ => format!("{count} {what}s"),
    }
}

/// One line for something that a transform noticed.
pub(crate) fn finding(finding: &Finding) -> String {
    let severity = match finding.severity {
        Severity::Info => "note",
        Severity::Warning => "warning",
        Severity::Blocker => "blocker",
    };
    if finding.object.is_empty() {
        format!("{severity}: {} (offset {})", finding.message, finding.offset)
    } else {
        format!("{severity}: {}: {} (offset {})", finding.object, finding.message, finding.offset)
    }
}

/// What a dry run shows.
pub(crate) fn plan(plan: &Plan, json: bool) -> Result<(), Error> {
    let mib = |bytes: usize| bytes.div_ceil(1 << 20);
    let memory = &plan.memory;
    if json {
        let document = serde_json::json!({
            "type": "plan",
            "source": plan.source,
            "destinations": plan.destinations.iter().map(|(endpoint, room)| serde_json::json!({
                "endpoint": endpoint, "room_bytes": room,
            })).collect::<Vec<_>>(),
            "memory": {
                "budget_bytes": memory.budget,
                "ceiling_bytes": memory.ceiling(),
                "overhead_bytes": memory.overhead,
                "lanes": memory.lanes,
                "stages_bytes": memory.stages,
                "edges": memory.edges,
                "edge_bytes": memory.edge,
            },
        });
        return print(&format!("{document}\n"));
    }
    let source = &plan.source;
    say(&format!("source: {} ({})", source.endpoint, source.kind));
    for (what, value) in [("server", &source.server), ("client", &source.client)] {
        if let Some(value) = value {
            say(&format!("{what}: {value}"));
        }
    }
    if let Some(bytes) = source.expected_bytes {
        say(&format!("size: about {}", size::show(bytes)));
    }
    for (fact, value) in &source.facts {
        say(&format!("{fact}: {value}"));
    }
    for (endpoint, room) in &plan.destinations {
        let room = room.map_or_else(String::new, |bytes| format!(", {} free", size::show(bytes)));
        say(&format!("destination: {endpoint}{room}"));
    }
    say(&format!(
        "memory: at most {} of {} MiB: {} overhead + {} lane{} × ({} for stages + {} edges × {})",
        mib(memory.ceiling()),
        mib(memory.budget),
        mib(memory.overhead),
        memory.lanes,
        if memory.lanes == 1 { "" } else { "s" },
        mib(memory.stages),
        memory.edges,
        mib(memory.edge),
    ));
    say("dry run: both ends answered, nothing was read or written");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_read_like_a_sentence() {
        let mut report = TransformReport::new("mysql-rewrite");
        for (kind, count) in [
            ("definer-stripped-view", 9),
            ("definer-stripped-trigger", 1),
            ("definer-stripped-package-body", 2),
            ("sandbox-line-dropped", 1),
        ] {
            report.changed(kind, count);
        }
        assert_eq!(
            changes([&report, &TransformReport::new("zstd")].into_iter()),
            [
                "stripped 12 definers: 2 package bodies, 1 trigger, 9 views",
                "mysql-rewrite: sandbox-line-dropped 1"
            ]
        );
    }
}
