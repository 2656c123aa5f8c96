//! The names of an archive and of what a run keeps beside it until it is published.
//!
//! For the target `NAME` and the run `ID`, all in the target's own directory, so that publishing is a rename:
//!
//! | name | what |
//! | --- | --- |
//! | `NAME` | the stream, or the directory of an archive of many parts |
//! | `NAME.manifest.json` | the manifest of a stream |
//! | `.NAME.ID.partial` | the staged stream or directory |
//! | `.NAME.ID.manifest.partial` | the staged manifest |
//! | `.NAME.publish.partial` | the lock that lets one run publish at a time |
//! | `.NAME.ID.old`, `.NAME.ID.manifest.old` | what was there before, for the moment of replacing it |

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use pipeline::manifest::ENDING;
use pipeline::{Error, Result};

/// Names relative to the directory of the target.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    pub(crate) data: PathBuf,
    pub(crate) manifest: PathBuf,
    pub(crate) staged: PathBuf,
    pub(crate) staged_manifest: PathBuf,
    pub(crate) replaced: PathBuf,
    pub(crate) replaced_manifest: PathBuf,
    pub(crate) publishing: PathBuf,
}

pub(crate) const PARTIAL: &str = ".partial";
pub(crate) const REPLACED: &str = ".old";
const MANIFEST: &str = ".manifest";
const PUBLISHING: &str = "publish";

impl Names {
    pub(crate) fn new(name: &OsStr, id: &str) -> Result<Self> {
        // No dots: `.a.b.ID.partial` must belong to `a.b` and never to `a`.
        let plain = |c: u8| c.is_ascii_alphanumeric() || c == b'-' || c == b'_';
        if id.is_empty() || id == PUBLISHING || !id.bytes().all(plain) {
            return Err(Error::bug("a run's id must be letters, digits, `-` and `_`").with("id", id));
        }
        let join = |pieces: &[&[u8]]| PathBuf::from(OsString::from_vec(pieces.concat()));
        let (name, id) = (name.as_bytes(), id.as_bytes());
        let staged = |ending: &str| join(&[b".", name, b".", id, ending.as_bytes()]);
        Ok(Self {
            data: join(&[name]),
            manifest: join(&[name, ENDING.as_bytes()]),
            staged: staged(PARTIAL),
            staged_manifest: staged(&format!("{MANIFEST}{PARTIAL}")),
            replaced: staged(REPLACED),
            replaced_manifest: staged(&format!("{MANIFEST}{REPLACED}")),
            publishing: join(&[b".", name, b".", PUBLISHING.as_bytes(), PARTIAL.as_bytes()]),
        })
    }

    /// What `name` is, when a run to the same target left it.
    pub(crate) fn leftover(&self, name: &OsStr) -> Option<Leftover> {
        let rest = name.as_bytes().strip_prefix(b".")?.strip_prefix(self.data.as_os_str().as_bytes())?;
        let rest = rest.strip_prefix(b".")?;
        let (rest, kind) = if let Some(rest) = rest.strip_suffix(PARTIAL.as_bytes()) {
            (rest, Leftover::Partial)
        } else {
            (rest.strip_suffix(REPLACED.as_bytes())?, Leftover::Replaced)
        };
        let id = rest.strip_suffix(MANIFEST.as_bytes()).unwrap_or(rest);
        (!id.is_empty() && !id.contains(&b'.')).then_some(kind)
    }
}

/// What an earlier run, if it was killed, may have left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leftover {
    /// Staged data: never seen by anyone, worth nothing.
    Partial,
    /// An archive that was being replaced: perhaps the only whole one.
    Replaced,
}

/// A path for a person: no control characters, and no doubt about where it ends.
#[allow(clippy::unnecessary_debug_formatting, reason = "a name with a newline must not look like two lines")]
pub(crate) fn shown(path: &Path) -> String {
    format!("{path:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leftovers_belong_to_their_target_alone() {
        let names = Names::new(OsStr::new("a"), "id-1").expect("a good id");
        let leftover = |name: &str| names.leftover(OsStr::new(name));
        assert_eq!(leftover(".a.id-2.partial"), Some(Leftover::Partial));
        assert_eq!(leftover(".a.id-2.manifest.partial"), Some(Leftover::Partial));
        assert_eq!(leftover(".a.publish.partial"), Some(Leftover::Partial));
        assert_eq!(leftover(".a.id-2.old"), Some(Leftover::Replaced));
        assert_eq!(leftover(".a.id-2.manifest.old"), Some(Leftover::Replaced));
        for other in [
            "a",
            "a.partial",
            ".a.partial",
            ".a..partial",
            ".a.b.id-2.partial",
            ".b.id-2.partial",
            "a.manifest.json",
            "a.old",
            ".ab.x.partial",
        ] {
            assert_eq!(leftover(other), None, "{other}");
        }
    }

    #[test]
    fn ids_with_dots_are_refused() {
        for id in ["", "a.b", "a/b", "publish", "ü", "a b"] {
            assert!(Names::new(OsStr::new("a"), id).is_err(), "{id}");
        }
    }
}
