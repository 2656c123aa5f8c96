//! Metrics in the text format of Prometheus (<https://prometheus.io/docs/instrumenting/exposition_formats/>).

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use pipeline::{Error, Result};

use super::outcome::Outcome;

const SUCCESS: &str = "dbferry_last_success_timestamp_seconds";

/// Name, help, and the value of one outcome; `None` leaves it out.
type Metric = (&'static str, &'static str, fn(&Outcome) -> Vec<(&'static str, f64)>);

const METRICS: [Metric; 6] = [
    ("dbferry_last_exit_code", "Exit code of the job's last run.", |o| vec![("", f64::from(o.code))]),
    ("dbferry_duration_seconds", "Length of the job's last run, and what its stages were busy.", |o| {
        let mut all = vec![("stage=\"all\"", o.seconds)];
        let stages = o.summary.as_ref().and_then(|summary| summary["stages"].as_array());
        let busy = |which: &str| -> f64 {
            let named =
                |stage: &&serde_json::Value| stage["stage"].as_str().is_some_and(|name| name.contains(which));
            stages
                .into_iter()
                .flatten()
                .filter(named)
                .filter_map(|stage| stage["busy_seconds"].as_f64())
                .sum()
        };
        if stages.is_some() {
            all.extend([("stage=\"source\"", busy("source")), ("stage=\"sink\"", busy("sink"))]);
        }
        all
    }),
    ("dbferry_bytes", "Bytes of the job's last archive.", |o| {
        if o.summary.is_none() {
            return Vec::new();
        }
        let (source, raw) = (o.bytes("source_bytes"), o.bytes("raw_bytes"));
        vec![
            ("stage=\"source\"", source as f64),
            ("stage=\"raw\"", raw as f64),
            ("stage=\"stored\"", o.stored() as f64),
        ]
    }),
    ("dbferry_rows", "Rows or keys of the job's last archive, where they were counted.", |o| {
        let Some(summary) = &o.summary else { return Vec::new() };
        let parts = summary["deliveries"][0]["manifest"]["parts"].as_array().into_iter().flatten();
        let counts =
            parts.filter_map(|part| part["objects"].as_object()).flat_map(|objects| objects.values());
        let rows: u64 = counts.filter_map(serde_json::Value::as_u64).sum();
        if rows > 0 { vec![("", rows as f64)] } else { Vec::new() }
    }),
    ("dbferry_removed_archives", "Archives that retention removed in the job's last run.", |o| {
        let Some(pruned) = &o.pruned else { return Vec::new() };
        let groups = pruned["groups"].as_array().into_iter().flatten();
        let archives = groups.filter_map(|group| group["archives"].as_array()).flatten();
        vec![("", archives.filter(|archive| archive["outcome"] == "removed").count() as f64)]
    }),
    ("dbferry_verify_status", "1 when the job's last run made an archive and proved it, else 0.", |o| {
        vec![("", f64::from(u8::from(o.is_verified())))]
    }),
];

fn labels(job: &str, more: &str) -> String {
    let comma = if more.is_empty() { "" } else { "," };
    format!("{{job_name=\"{job}\"{comma}{more}}}")
}

/// The text for these outcomes. `successes` are the times of earlier ones, for jobs that failed now.
pub(super) fn text(outcomes: &[Outcome], successes: &BTreeMap<String, f64>, now: f64) -> String {
    let mut text = String::new();
    let mut lines: Vec<String> = Vec::new();
    let mut told = successes.clone();
    told.extend(outcomes.iter().filter(|o| o.code == 0).map(|o| (o.job.clone(), now)));
    for (job, at) in &told {
        lines.push(format!("{SUCCESS}{} {at}\n", labels(job, "")));
    }
    section(&mut text, SUCCESS, "When the job last succeeded.", &lines);
    for (name, help, values) in METRICS {
        let mut lines = Vec::new();
        for outcome in outcomes {
            for (label, value) in values(outcome) {
                lines.push(format!("{name}{} {value}\n", labels(&outcome.job, label)));
            }
        }
        section(&mut text, name, help, &lines);
    }
    text
}

fn section(text: &mut String, name: &str, help: &str, lines: &[String]) {
    if !lines.is_empty() {
        write!(text, "# HELP {name} {help}\n# TYPE {name} gauge\n{}", lines.concat())
            .expect("a string takes everything");
    }
}

/// The times of success in a file of an earlier run: a job that failed now keeps its own.
fn successes(text: &str) -> BTreeMap<String, f64> {
    let line = |line: &str| {
        let rest = line.strip_prefix(SUCCESS)?.strip_prefix("{job_name=\"")?;
        let (job, value) = rest.split_once("\"} ")?;
        Some((job.to_owned(), value.parse().ok()?))
    };
    text.lines().filter_map(line).collect()
}

/// Writes the file in one step: a collector never reads half of it.
pub(super) fn write(path: &Path, outcomes: &[Outcome], now: f64) -> Result<()> {
    let before = fs::read_to_string(path).unwrap_or_default();
    let staged = path.with_extension(format!("{}.partial", std::process::id()));
    let text = text(outcomes, &successes(&before), now);
    fs::write(&staged, text)
        .and_then(|()| fs::rename(&staged, path))
        .map_err(|e| Error::sink("cannot write the metrics").with("file", path.display()).caused_by(e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_that_fails_keeps_the_time_of_its_last_success() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("dbferry.prom");
        let good = Outcome { error: None, code: 0, ..Outcome::failed("a", Error::source("x")) };
        write(&path, &[good], 100.0).unwrap();
        write(&path, &[Outcome::failed("a", Error::source("x"))], 200.0).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains("dbferry_last_success_timestamp_seconds{job_name=\"a\"} 100\n"), "{text}");
        assert!(text.contains("dbferry_last_exit_code{job_name=\"a\"} 3\n"), "{text}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
