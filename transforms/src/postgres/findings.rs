//! Findings, bounded per code.

use pipeline::{Finding, Severity, TransformReport};

/// After so many findings of one code only its count grows.
const PER_CODE: u64 = 100;
/// An object's name in a finding is cut after so many bytes.
const OBJECT_LIMIT: usize = 200;

/// Something to tell, before it has an offset.
#[derive(Debug)]
pub(super) struct Note {
    pub(super) severity: Severity,
    pub(super) code: &'static str,
    pub(super) object: Vec<u8>,
    pub(super) message: String,
}

/// Adds `note` to the report.
pub(super) fn record(report: &mut TransformReport, note: Note, offset: u64) {
    let count = report.counts.entry(note.code.to_owned()).or_default();
    *count += 1;
    if *count > PER_CODE {
        return;
    }
    let object = &note.object[..note.object.len().min(OBJECT_LIMIT)];
    report.findings.push(Finding {
        severity: note.severity,
        code: note.code.to_owned(),
        object: String::from_utf8_lossy(object).into_owned(),
        message: note.message,
        offset,
    });
}
