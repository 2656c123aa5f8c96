//! What the report will say, bounded.

use std::collections::BTreeMap;

use pipeline::{Finding, Severity, TransformReport};

/// Findings of one code that are listed; the others are only counted.
const LISTED: u64 = 100;

/// Bytes of a name that are shown and compared. Servers take 64 characters; a text can have a name of megabytes, and
/// hundreds of findings about it.
const SHOWN: usize = 256;

/// A name for people: lossy if it is not UTF-8, and cut.
pub(super) fn shown(name: &[u8]) -> String {
    String::from_utf8_lossy(&name[..name.len().min(SHOWN)]).into_owned()
}

/// Collects changes, counts and findings.
#[derive(Debug)]
pub(super) struct Notes {
    pub(super) report: TransformReport,
    counts: BTreeMap<&'static str, u64>,
    changes: BTreeMap<String, u64>,
    findings: BTreeMap<&'static str, u64>,
}

impl Notes {
    pub(super) fn new(name: &str) -> Self {
        Self {
            report: TransformReport::new(name),
            counts: BTreeMap::new(),
            changes: BTreeMap::new(),
            findings: BTreeMap::new(),
        }
    }

    /// One more of what was seen and left alone.
    pub(super) fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    /// How many of these were seen.
    pub(super) fn counted(&self, what: &str) -> u64 {
        self.counts.get(what).copied().unwrap_or_default()
    }

    /// One more change.
    pub(super) fn changed(&mut self, kind: &str) {
        if let Some(count) = self.changes.get_mut(kind) {
            *count += 1;
        } else {
            self.changes.insert(kind.to_owned(), 1);
        }
    }

    /// Something that was noticed.
    pub(super) fn find(
        &mut self,
        severity: Severity,
        code: &'static str,
        object: impl Into<String>,
        offset: u64,
        message: impl Into<String>,
    ) {
        let seen = self.findings.entry(code).or_default();
        *seen += 1;
        if *seen <= LISTED {
            self.report.findings.push(Finding {
                severity,
                code: code.to_owned(),
                object: object.into(),
                message: message.into(),
                offset,
            });
        }
    }

    /// The report. Codes of which not all findings are listed appear among the counts.
    pub(super) fn finish(mut self) -> TransformReport {
        for (kind, by) in self.changes {
            self.report.changed(&kind, by);
        }
        for (what, number) in self.counts {
            self.report.counts.insert(what.to_owned(), number);
        }
        for (code, number) in self.findings {
            if number > LISTED {
                self.report.counts.insert(code.to_owned(), number);
            }
        }
        self.report
    }
}
