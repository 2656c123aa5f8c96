//! The record of a later check of an archive, beside its manifest.
//!
//! A manifest is written once; what is found out about its archive afterwards stands in a file of its own, `NAME.verified.json`, or `verified.json` in a
//! directory. It names the run that made the archive, so that a record which outlived a replaced archive means nothing.

use jiff::Timestamp;
use pipeline::manifest::{RECORD_ENDING, RECORD_IN_DIRECTORY};
use pipeline::{Error, Manifest, Result};
use serde::{Deserialize, Serialize};

use crate::place::{self, Place};

/// The schema that this version writes, and the newest that it reads.
pub const SCHEMA: u32 = 1;

/// How an archive was checked; each looks at more than the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Check {
    /// The stored bytes were read back: it is encrypted, and there was no key.
    Stored,
    /// It was read back: digests, compression, grammar, trailer.
    Verify,
    /// It was restored into a server and counted there.
    Drill,
}

impl Check {
    /// The word of the record.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stored => "verify of the stored bytes",
            Self::Verify => "verify",
            Self::Drill => "drill",
        }
    }
}

/// The last check of an archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The id of the run that made the archive.
    pub archive: String,
    /// When, RFC 3339, UTC.
    pub at: String,
    /// How.
    pub check: Check,
    /// Whether it passed.
    pub passed: bool,
    /// What was found.
    pub found: String,
    /// A person said that the archive's size is right, then or at an earlier check.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub accepted: bool,
    /// Name and version of the checker.
    pub tool: String,
}

impl Record {
    /// A record of this moment.
    pub fn new(manifest: &Manifest, check: Check, passed: bool, found: impl Into<String>) -> Self {
        let now = Timestamp::now();
        Self {
            schema: SCHEMA,
            archive: manifest.id.clone(),
            at: Timestamp::from_second(now.as_second()).unwrap_or(now).to_string(),
            check,
            passed,
            found: found.into(),
            accepted: false,
            tool: format!("dbferry {}", env!("CARGO_PKG_VERSION")),
        }
    }

    /// Reads a record; `None` when it is none of ours, or from a newer schema. It only adds to what the manifest says, so it is no error.
    pub fn parse(json: &[u8]) -> Option<Self> {
        serde_json::from_slice::<Self>(json).ok().filter(|record| record.schema <= SCHEMA)
    }

    /// The record beside the manifest of that name, if there is one that this version understands.
    pub async fn of(place: &Place, manifest: &str) -> Result<Option<Self>> {
        Ok(place.read(&name_for(manifest)).await?.and_then(|json| Self::parse(&json)))
    }

    /// Whether it may take the place of an earlier record of the same archive: a check that looks at less takes no fault back.
    pub fn replaces(&self, before: &Self) -> bool {
        before.passed || !self.passed || self.check >= before.check
    }

    /// Puts it beside the manifest of that name. What a person said of this archive stays said.
    pub async fn store(mut self, place: &Place, manifest: &str) -> Result<()> {
        let before = Self::of(place, manifest).await?.filter(|before| before.archive == self.archive);
        if let Some(before) = before {
            if !self.replaces(&before) {
                self = Self { accepted: self.accepted, ..before.clone() };
            }
            self.accepted |= before.accepted;
        }
        let mut json = serde_json::to_vec_pretty(&self)
            .map_err(|e| Error::bug("the record has no JSON form").caused_by(e))?;
        json.push(b'\n');
        place.write(&name_for(manifest), json, &self.archive).await
    }
}

/// The name of the record beside this manifest.
pub fn name_for(manifest: &str) -> String {
    match place::stream_of(manifest) {
        Some(stream) => format!("{stream}{RECORD_ENDING}"),
        None => match manifest.rsplit_once('/') {
            Some((folder, _)) => format!("{folder}/{RECORD_IN_DIRECTORY}"),
            None => RECORD_IN_DIRECTORY.to_owned(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_lesser_check_takes_no_fault_back() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::Folder(dir.path().to_owned());
        let record = |check, passed| Record {
            schema: SCHEMA,
            archive: "r1".to_owned(),
            at: "2026-11-20T01:00:00Z".to_owned(),
            check,
            passed,
            found: String::new(),
            accepted: false,
            tool: String::new(),
        };
        let now = async || Record::of(&place, "a.manifest.json").await.unwrap().unwrap();
        for (check, passed, then) in [
            (Check::Verify, true, (Check::Verify, true)),
            (Check::Drill, false, (Check::Drill, false)),
            (Check::Stored, true, (Check::Drill, false)),
            (Check::Verify, true, (Check::Drill, false)),
            (Check::Verify, false, (Check::Verify, false)),
            (Check::Stored, true, (Check::Verify, false)),
            (Check::Drill, true, (Check::Drill, true)),
            (Check::Stored, true, (Check::Stored, true)),
        ] {
            record(check, passed).store(&place, "a.manifest.json").await.unwrap();
            assert_eq!((now().await.check, now().await.passed), then);
        }
        // What a person said outlives later checks, and not the archive.
        Record { accepted: true, ..record(Check::Verify, true) }
            .store(&place, "a.manifest.json")
            .await
            .unwrap();
        record(Check::Drill, true).store(&place, "a.manifest.json").await.unwrap();
        assert!(now().await.accepted);
        let other = Record { archive: "r2".to_owned(), ..record(Check::Verify, true) };
        other.store(&place, "a.manifest.json").await.unwrap();
        assert!(!now().await.accepted);
    }

    #[test]
    fn names() {
        assert_eq!(name_for("a/b.sql.manifest.json"), "a/b.sql.verified.json");
        assert_eq!(name_for("a/dir/manifest.json"), "a/dir/verified.json");
        assert_eq!(name_for("manifest.json"), "verified.json");
    }
}
