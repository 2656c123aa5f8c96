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

/// How an archive was checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Check {
    /// It was read back: digests, compression, grammar, trailer.
    Verify,
    /// It was restored into a server and counted there.
    Drill,
}

impl Check {
    /// The word of the record.
    pub fn as_str(self) -> &'static str {
        match self {
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

    /// Puts it beside the manifest of that name.
    pub async fn store(&self, place: &Place, manifest: &str) -> Result<()> {
        let mut json = serde_json::to_vec_pretty(self)
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

    #[test]
    fn names() {
        assert_eq!(name_for("a/b.sql.manifest.json"), "a/b.sql.verified.json");
        assert_eq!(name_for("a/dir/manifest.json"), "a/dir/verified.json");
        assert_eq!(name_for("manifest.json"), "verified.json");
    }
}
