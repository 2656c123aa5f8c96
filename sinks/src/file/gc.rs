//! What killed runs left in a tree of folders: staged files and directories whose run is gone.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use pipeline::manifest::LOST_AND_FOUND;
use pipeline::{Error, Result};

use super::names::{PARTIAL, REPLACED, shown};
use super::staged::{Claim, claim};
use super::sys::{Dir, Sys};

/// Staged work that nobody is at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftover {
    /// Where.
    pub path: PathBuf,
    /// Bytes of a file, or of all files in a directory.
    pub bytes: u64,
    /// When it was last written to.
    pub modified: SystemTime,
}

/// What a look found.
#[derive(Debug, Default)]
pub struct Leftovers {
    /// What may be removed.
    pub staged: Vec<Leftover>,
    /// What a killed run was about to replace. It may be the only whole archive, so a person decides.
    pub replaced: Vec<PathBuf>,
}

/// Looks below a folder for what was not written to for `age`. Changes nothing.
///
/// Where locks work, a name whose run lives is left out whatever its age. On a network file system the age is all there is.
pub fn find(root: &Path, age: Duration) -> Result<Leftovers> {
    let mut found = Leftovers::default();
    let mut open = vec![root.to_owned()];
    while let Some(folder) = open.pop() {
        let cannot = |error: std::io::Error| {
            Error::sink(format!("cannot look into {}", shown(&folder))).caused_by(error)
        };
        let dir = Dir::open(&folder, &Sys::default()).map_err(cannot)?;
        for entry in fs::read_dir(&folder).map_err(cannot)? {
            let entry = entry.map_err(cannot)?;
            let (name, path) = (entry.file_name(), entry.path());
            // What vanishes meanwhile is somebody's finished work.
            let Ok(meta) = entry.metadata() else { continue };
            match kind(&name) {
                Some(Kind::Replaced) => found.replaced.push(path),
                Some(Kind::Staged) => {
                    let (bytes, modified) = weigh(&path, &meta);
                    let old = SystemTime::now().duration_since(modified).unwrap_or_default() >= age;
                    if old && !matches!(claim(&dir, Path::new(&name)), Claim::Alive | Claim::Gone) {
                        found.staged.push(Leftover { path, bytes, modified });
                    }
                }
                None if meta.is_dir() && !name.as_bytes().starts_with(b".") && name != LOST_AND_FOUND => {
                    open.push(path);
                }
                None => {}
            }
        }
    }
    found.staged.sort_by(|a, b| a.path.cmp(&b.path));
    found.replaced.sort();
    Ok(found)
}

/// Removes what was found, unless a run has taken it meanwhile.
pub fn remove(leftover: &Leftover) -> Result<()> {
    let cannot = |error: std::io::Error| {
        Error::sink(format!("cannot remove {}", shown(&leftover.path))).caused_by(error)
    };
    let (Some(folder), Some(name)) = (leftover.path.parent(), leftover.path.file_name()) else {
        return Ok(());
    };
    let dir = Dir::open(folder, &Sys::default()).map_err(cannot)?;
    match claim(&dir, Path::new(name)) {
        Claim::Gone => Ok(()),
        Claim::Alive => Err(Error::sink(format!("{} is in use again", shown(&leftover.path)))),
        // The lock is held until the name is gone.
        Claim::Dead(_lock) => dir.remove(Path::new(name)).map_err(cannot),
        Claim::Unknown => dir.remove(Path::new(name)).map_err(cannot),
    }
}

enum Kind {
    Staged,
    Replaced,
}

/// `.NAME.ID.partial`, `.NAME.ID.old` and their manifests; `names.rs` lists them.
fn kind(name: &OsStr) -> Option<Kind> {
    let inner = name.as_bytes().strip_prefix(b".")?;
    let (inner, kind) = match inner.strip_suffix(PARTIAL.as_bytes()) {
        Some(inner) => (inner, Kind::Staged),
        None => (inner.strip_suffix(REPLACED.as_bytes())?, Kind::Replaced),
    };
    let inner = inner.strip_suffix(b".manifest").unwrap_or(inner);
    let dot = inner.iter().rposition(|&c| c == b'.')?;
    let (target, id) = (&inner[..dot], &inner[dot + 1..]);
    let plain = !id.is_empty() && id.iter().all(|c| c.is_ascii_alphanumeric() || b"-_".contains(c));
    (plain && !target.is_empty()).then_some(kind)
}

/// Bytes, and the last time that anything in it was written.
fn weigh(path: &Path, meta: &fs::Metadata) -> (u64, SystemTime) {
    let own = meta.modified().unwrap_or_else(|_| SystemTime::now());
    if !meta.is_dir() {
        return (meta.len(), own);
    }
    let inside = fs::read_dir(path).into_iter().flatten().flatten();
    let weighed = inside.filter_map(|entry| Some(weigh(&entry.path(), &entry.metadata().ok()?)));
    weighed.fold((0, own), |(bytes, at), (more, later)| (bytes + more, at.max(later)))
}
