//! What became of a run of jobs, for people and programs.

use pipeline::Error;
use serde_json::{Value, json};

use crate::cli::{render, size};

/// What became of one job.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) job: String,
    pub(super) seconds: f64,
    /// The summary of the copy, if there is one: an archive exists.
    pub(super) summary: Option<Value>,
    /// What retention did.
    pub(super) pruned: Option<Value>,
    /// Why the job failed.
    pub(super) error: Option<Error>,
    pub(super) code: u8,
    /// The last lines of what it said.
    pub(super) tail: Vec<String>,
}

impl Outcome {
    pub(super) fn failed(job: &str, error: Error) -> Self {
        let code = error.exit_code();
        let job = job.to_owned();
        Self { job, seconds: 0.0, summary: None, pruned: None, error: Some(error), code, tail: Vec::new() }
    }

    /// A number of the copy's summary.
    pub(super) fn bytes(&self, what: &str) -> u64 {
        self.summary.as_ref().and_then(|summary| summary[what].as_u64()).unwrap_or(0)
    }

    /// Bytes of the archive in its first destination.
    pub(super) fn stored(&self) -> u64 {
        let Some(summary) = &self.summary else { return 0 };
        let parts = summary["deliveries"][0]["manifest"]["parts"].as_array();
        parts.into_iter().flatten().filter_map(|part| part["stored"]["bytes"].as_u64()).sum()
    }

    /// Whether there is an archive, and every part of it is proven in every destination.
    pub(super) fn is_verified(&self) -> bool {
        let Some(summary) = &self.summary else { return false };
        let deliveries = summary["deliveries"].as_array().into_iter().flatten();
        let mut parts = deliveries.filter_map(|one| one["manifest"]["parts"].as_array()).flatten().peekable();
        parts.peek().is_some() && parts.all(|part| part["verified"]["proof"] != "unverified")
    }

    /// The id of the archive.
    pub(super) fn id(&self) -> Option<&str> {
        self.summary.as_ref()?["id"].as_str()
    }

    /// The archive in its first destination.
    pub(super) fn archive(&self) -> &str {
        self.summary
            .as_ref()
            .and_then(|summary| summary["deliveries"][0]["endpoint"].as_str())
            .unwrap_or_default()
    }

    /// Notes what went wrong after the archive was made; the first such thing counts.
    pub(super) fn note(&mut self, error: Error) {
        if self.error.is_none() {
            self.code = error.exit_code();
            self.error = Some(error);
        }
    }

    fn json(&self) -> Value {
        json!({
            "job": self.job,
            "exit_code": self.code,
            "seconds": self.seconds,
            "source_bytes": self.bytes("source_bytes"),
            "raw_bytes": self.bytes("raw_bytes"),
            "stored_bytes": self.stored(),
            "archives": self.summary.as_ref().map(|summary| {
                let all = summary["deliveries"].as_array().into_iter().flatten();
                all.filter_map(|delivery| delivery["endpoint"].as_str()).map(str::to_owned).collect::<Vec<_>>()
            }),
            "id": self.id(),
            "warnings": self.summary.as_ref().map(|summary| summary["warnings"].clone()),
            "pruned": self.pruned,
            "error": self.error.as_ref().map(render::error_json),
            "log_tail": if self.code == 0 { &[][..] } else { &self.tail[..] },
        })
    }

    /// A line for a person.
    pub(super) fn line(&self) -> String {
        let seconds = size::show_seconds(self.seconds);
        match &self.error {
            None => format!(
                "{}: done in {seconds}, {} stored of {}",
                self.job,
                size::show(self.stored()),
                size::show(self.bytes("raw_bytes")),
            ),
            Some(error) if self.summary.is_some() => {
                format!("{}: the archive is whole, and then: {error} (exit code {})", self.job, self.code)
            }
            Some(error) => format!("{}: FAILED in {seconds}: {error} (exit code {})", self.job, self.code),
        }
    }
}

/// The exit code of a run: 0; or the one code that is worth another try, when all failures have it; else the first that is not.
pub(super) fn exit_code(outcomes: &[Outcome]) -> u8 {
    let failed: Vec<u8> = outcomes.iter().map(|outcome| outcome.code).filter(|code| *code != 0).collect();
    failed.iter().copied().find(|code| *code != 75).or(failed.first().copied()).unwrap_or(0)
}

/// The summary of a run.
pub(super) fn document(outcomes: &[Outcome], began: jiff::Timestamp, seconds: f64) -> Value {
    json!({
        "type": "jobs",
        "exit_code": exit_code(outcomes),
        "began": began.strftime("%FT%TZ").to_string(),
        "seconds": seconds,
        "jobs": outcomes.iter().map(Outcome::json).collect::<Vec<_>>(),
    })
}
