//! The manifest: what an archive is, where it came from, and what it must hold. `docs/manifest.md` describes it for readers.
//!
//! Additions keep the schema number; a reader ignores fields that it does not know. Whatever changes the meaning of a field raises it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::destination::Proof;
use crate::digest::Content;
use crate::error::{Error, Result};
use crate::meter::Reading;
use crate::source::{Format, Phase, SourceInfo};
use crate::transform::TransformReport;

/// The schema that this version writes, and the newest that it reads.
pub const SCHEMA: u32 = 1;

/// The ending of a manifest beside a single-stream archive.
pub const ENDING: &str = ".manifest.json";

/// The name of the manifest in an archive of many parts.
pub const IN_DIRECTORY: &str = "manifest.json";

/// The ending of the record of a later check, beside a single-stream archive.
pub const RECORD_ENDING: &str = ".verified.json";

/// The name of that record in an archive of many parts.
pub const RECORD_IN_DIRECTORY: &str = "verified.json";

/// What some file systems have at their root, for their own use; on a volume only the superuser may look into it.
pub const LOST_AND_FOUND: &str = "lost+found";

/// The fact of a source that tells what else its dump program was asked: it may have left tables out.
pub const ARGUMENTS: &str = "arguments";

/// Says why `path` cannot be the path of a part: it must stay below the root of its archive, and be no manifest's name. An ending of compression belongs
/// to it.
pub fn check_part_path(path: &str) -> std::result::Result<(), &'static str> {
    if path.contains('\0') {
        return Err("it holds a NUL");
    }
    for component in path.split('/') {
        match component {
            "" => return Err("it is absolute, or has an empty component"),
            "." | ".." => return Err("it has a component `.` or `..`, which leads outside the archive"),
            _ if component.len() > 255 => return Err("a component is longer than 255 bytes"),
            _ => {}
        }
    }
    if path == IN_DIRECTORY {
        return Err("it is the name of the manifest");
    }
    Ok(())
}

/// An archive's description.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Name and version of the writer.
    pub tool: String,
    /// Unique per run.
    pub id: String,
    /// When the run began, RFC 3339, UTC.
    pub started: String,
    /// When the last part was committed, RFC 3339, UTC.
    pub finished: String,
    /// Where the bytes came from.
    pub source: SourceInfo,
    /// Where this archive was written to, without secrets.
    pub destination: String,
    /// The streams, in the order in which they began.
    pub parts: Vec<PartManifest>,
    /// What was said to the user on the way.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// What each stage carried and waited for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stages: Vec<Reading>,
}

/// One stream of an archive.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PartManifest {
    /// File name of the part relative to the manifest.
    pub path: String,
    /// When a restore may load it.
    pub phase: Phase,
    /// What it carries when decompressed.
    pub format: Format,
    /// `none`, `gzip`, `zstd` or `lz4`.
    pub compression: String,
    /// The stream as the source gave it.
    pub source: Content,
    /// The stream after rewriting, before compression: what a restore feeds to the database client.
    pub raw: Content,
    /// The bytes in the archive.
    pub stored: Content,
    /// What happened on the way, in order.
    pub transforms: Vec<TransformReport>,
    /// What proves that the destination holds it.
    pub verified: Proof,
    /// Rows or keys per object, where known.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub objects: BTreeMap<String, u64>,
}

impl Manifest {
    /// Reads a manifest; refuses one from a newer schema.
    pub fn parse(json: &[u8]) -> Result<Self> {
        #[derive(Deserialize)]
        struct Version {
            schema: u32,
        }
        let version: Version = serde_json::from_slice(json)
            .map_err(|e| Error::mismatch("this is no dbferry manifest").caused_by(e))?;
        if version.schema > SCHEMA {
            return Err(Error::mismatch(format!(
                "the manifest has schema {}, this version reads up to {SCHEMA}",
                version.schema
            ))
            .hint("use the dbferry version that wrote the archive, or a newer one"));
        }
        serde_json::from_slice(json).map_err(|e| Error::mismatch("the manifest is damaged").caused_by(e))
    }

    /// Pretty JSON with a final newline.
    pub fn to_json(&self) -> Result<Vec<u8>> {
        let mut json = serde_json::to_vec_pretty(self)
            .map_err(|e| Error::bug("the manifest has no JSON form").caused_by(e))?;
        json.push(b'\n');
        Ok(json)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn part_paths_stay_below_the_root() {
        for path in ["", "/a", "a/", "a//b", ".", "..", "a/../b", "./a", "a\0b", "manifest.json"] {
            assert!(check_part_path(path).is_err(), "{path:?}");
        }
        for path in ["a", "a/b", "a b/ü\n", "...", "a/manifest.json", "\\", "a/..b"] {
            assert!(check_part_path(path).is_ok(), "{path:?}");
        }
        assert!(check_part_path(&"x".repeat(256)).is_err());
    }
}
