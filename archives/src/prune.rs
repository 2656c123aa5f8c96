//! Removing an archive so that it is whole or gone at any moment: the manifest goes first, then the data.
//!
//! In a folder, the manifest of a stream (or the whole directory of many parts) is renamed to `.NAME.ID.pruned`, a *tombstone* that still says what belongs to the
//! archive. When a run is killed behind that, `gc` finishes the work. In a bucket the data that is left carries the mark of its run and
//! has no manifest, which is what `gc` looks for.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use pipeline::manifest::{ENDING, LOST_AND_FOUND};
use pipeline::{Error, Manifest, Result, Stage};

use crate::catalogue::Archive;
use crate::place::{Place, blocking, stream_of};
use crate::record;

const PRUNED: &str = ".pruned";

impl Place {
    /// Removes an archive. When it fails the archive is whole, or is gone and leaves data for `gc`.
    pub async fn remove(&self, archive: &Archive) -> Result<()> {
        match self {
            Self::Folder(root) => {
                let (root, archive) = (root.clone(), archive.clone());
                blocking(move || remove_files(&root, &archive)).await
            }
            Self::Bucket(bucket) => {
                let prefix = &bucket.url().key;
                let key = |name: &str| format!("{prefix}{name}");
                // What was listed may be another's by now: names without a date are taken again.
                if !self.read(&archive.manifest).await?.is_some_and(|json| is_of(&json, archive)) {
                    return Err(replaced(&self.shown(&archive.name)));
                }
                let refused = |failure: stores::s3::Failure, name: &str, doing: &str| {
                    let error = failure.into_error(Stage::Sink, &format!("{doing} {}", self.shown(name)));
                    error.hint("the permission is s3:DeleteObject")
                };
                bucket.delete(&key(&archive.manifest), None).await.map_err(|f| {
                    refused(f, &archive.manifest, "cannot remove the archive: nothing of it was touched:")
                })?;
                let record = record::name_for(&archive.manifest);
                let mut first = None;
                for name in archive.pieces.iter().map(|(name, _)| name).chain([&record]) {
                    let deleted = match bucket.head(&key(name)).await {
                        // A run that began meanwhile has put its own there. A mark that is not there tells nothing.
                        Ok(Some(head)) if head.run.as_ref().is_some_and(|run| *run != archive.id) => continue,
                        Ok(None) => continue,
                        Ok(Some(_)) => bucket.delete(&key(name), None).await,
                        Err(failure) => Err(failure),
                    };
                    if let Err(failure) = deleted {
                        first.get_or_insert_with(|| {
                            refused(failure, name, "the archive is gone, and its data is left:")
                                .hint("`dbferry gc` removes it")
                        });
                    }
                }
                first.map_or(Ok(()), Err)
            }
        }
    }
}

/// Whether this is the manifest of that archive.
fn is_of(json: &[u8], archive: &Archive) -> bool {
    Manifest::parse(json).is_ok_and(|manifest| manifest.id == archive.id)
}

fn replaced(name: &str) -> Error {
    Error::sink(format!("{name} is another archive by now: nothing of it was touched"))
        .hint("a run has replaced it meanwhile; names with {date} or {id} are never taken twice")
}

fn sync(folder: &Path) -> io::Result<()> {
    fs::File::open(folder)?.sync_all()
}

fn remove_files(root: &Path, archive: &Archive) -> Result<()> {
    let manifest = root.join(&archive.manifest);
    let refused = |path: &Path, error: io::Error| {
        Error::sink("cannot remove an archive").with("path", path.display()).caused_by(error)
    };
    if stream_of(&archive.manifest).is_none() {
        if archive.name.is_empty() {
            return Err(Error::usage("the folder itself is an archive")
                .with("folder", root.display())
                .hint("name the folder that it lies in"));
        }
        let directory = root.join(&archive.name);
        let tomb = tombstone(&directory, &archive.id);
        if !fs::read(&manifest).is_ok_and(|json| is_of(&json, archive)) {
            return Err(replaced(&archive.name));
        }
        // All of it goes in one step, so nothing else may lie there.
        if let Some(other) = foreign(root, archive).map_err(|e| refused(&directory, e))? {
            return Err(Error::sink(
                "the directory of an archive holds what is not its own: nothing was touched",
            )
            .with("directory", directory.display())
            .with("holds", other)
            .hint("move it elsewhere"));
        }
        fs::rename(&directory, &tomb).map_err(|e| refused(&directory, e))?;
        return fs::remove_dir_all(&tomb).map_err(|e| refused(&tomb, e));
    }
    let data = root.join(&archive.name);
    let tomb = tombstone(&data, &archive.id);
    let before = identity(&data);
    fs::rename(&manifest, &tomb).map_err(|e| refused(&manifest, e))?;
    if !fs::read(&tomb).is_ok_and(|json| is_of(&json, archive)) {
        // It was replaced since it was listed. What takes its place again is not overwritten.
        fs::hard_link(&tomb, &manifest)
            .or_else(|_| rename_back(&tomb, &manifest))
            .map_err(|e| refused(&manifest, e))?;
        remove_if_there(&tomb).map_err(|e| refused(&tomb, e))?;
        return Err(replaced(&archive.name));
    }
    let folder = data.parent().unwrap_or(root);
    sync(folder).map_err(|e| refused(folder, e))?;
    let record = root.join(record::name_for(&archive.manifest));
    remove_if_there(&record).map_err(|e| refused(&record, e))?;
    // Data that has come meanwhile is that of a run whose manifest follows.
    if identity(&data) == before {
        remove_if_there(&data).map_err(|e| refused(&data, e))?;
    }
    remove_if_there(&tomb).map_err(|e| refused(&tomb, e))
}

/// Where there are no links, or a newer manifest has come, which then stays.
fn rename_back(tomb: &Path, manifest: &Path) -> io::Result<()> {
    if manifest.exists() { Ok(()) } else { fs::rename(tomb, manifest) }
}

/// Which file this is, whatever its name.
fn identity(path: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt as _;
    fs::symlink_metadata(path).ok().map(|meta| (meta.dev(), meta.ino()))
}

/// Something in the directory of an archive that its manifest does not name.
fn foreign(root: &Path, archive: &Archive) -> io::Result<Option<String>> {
    let record = record::name_for(&archive.manifest);
    let mut own: BTreeSet<&str> = archive.pieces.iter().map(|(piece, _)| piece.as_str()).collect();
    own.extend([archive.manifest.as_str(), &record]);
    let mut open = vec![archive.name.clone()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(root.join(&folder))? {
            let entry = entry?;
            let name = format!("{folder}/{}", entry.file_name().to_string_lossy());
            if entry.file_type()?.is_dir() {
                open.push(name);
            } else if !own.contains(name.as_str()) {
                return Ok(Some(name));
            }
        }
    }
    Ok(None)
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

fn tombstone(data: &Path, id: &str) -> PathBuf {
    let name = data.file_name().unwrap_or_default().to_string_lossy();
    data.with_file_name(format!(".{name}.{id}{PRUNED}"))
}

/// A removal that was not finished.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tombstone {
    /// Where it is.
    pub path: PathBuf,
    /// What still belongs to it, itself included.
    pub left: Vec<PathBuf>,
}

impl Tombstone {
    /// What a hidden name is, when it is a removal that was begun at least `age` ago and not finished.
    pub fn of(path: &Path, age: Duration) -> Option<Self> {
        let name = path.file_name().and_then(OsStr::to_str)?;
        let inner = name.strip_prefix('.')?.strip_suffix(PRUNED)?;
        let (stream, id) = inner.rsplit_once('.')?;
        let meta = fs::symlink_metadata(path).ok()?;
        // A rename does not change the time of the contents.
        let begun = {
            use std::os::unix::fs::MetadataExt as _;
            let seconds = u64::try_from(meta.ctime()).ok()?;
            SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
        };
        if SystemTime::now().duration_since(begun).unwrap_or_default() < age {
            return None;
        }
        let itself = || Self { path: path.to_owned(), left: vec![path.to_owned()] };
        if meta.is_dir() {
            return Some(itself());
        }
        let manifest = Manifest::parse(&fs::read(path).ok()?).ok().filter(|manifest| manifest.id == id)?;
        let data = path.with_file_name(stream);
        let mut found = itself();
        // A new archive may have taken the name; or data that is newer than this removal.
        let renewed = path.with_file_name(format!("{stream}{ENDING}")).exists();
        let same = fs::symlink_metadata(&data).is_ok_and(|data| {
            let older = data.modified().is_ok_and(|at| at <= begun + Duration::from_secs(1));
            data.is_file()
                && older
                && manifest.parts.iter().map(|p| p.stored.bytes).sum::<u64>() == data.len()
        });
        if same && !renewed {
            found.left.insert(0, data);
        }
        Some(found)
    }

    /// Finishes the removal.
    pub fn finish(&self) -> Result<()> {
        for path in &self.left {
            let removed = if path.is_dir() { fs::remove_dir_all(path) } else { remove_if_there(path) };
            removed.map_err(|error| {
                Error::sink("cannot finish a removal").with("path", path.display()).caused_by(error)
            })?;
        }
        Ok(())
    }
}

/// Every removal below a folder that was begun at least `age` ago and not finished.
pub fn tombstones(root: &Path, age: Duration) -> Result<Vec<Tombstone>> {
    let mut found = Vec::new();
    let mut open = vec![root.to_owned()];
    while let Some(folder) = open.pop() {
        let cannot = |error: io::Error| {
            Error::sink("cannot look into a folder").with("folder", folder.display()).caused_by(error)
        };
        for entry in fs::read_dir(&folder).map_err(cannot)? {
            let entry = entry.map_err(cannot)?;
            let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
            if entry.file_name() == LOST_AND_FOUND {
                continue;
            }
            if hidden {
                found.extend(Tombstone::of(&entry.path(), age));
            } else if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                open.push(entry.path());
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

#[cfg(test)]
mod tests {
    use crate::Catalogue;

    use super::*;

    fn plant(folder: &Path, id: &str, data: &str) {
        let content = serde_json::json!({ "bytes": data.len(), "digests": {} });
        let manifest = serde_json::json!({
            "schema": 1, "tool": "dbferry 0.1.0", "id": id, "started": "2026-01-01T00:00:00Z", "finished": "2026-01-01T00:00:00Z",
            "source": { "endpoint": "mysql://u@h/shop", "kind": "mysql" }, "destination": "",
            "parts": [{ "path": "", "phase": "data", "format": "opaque", "compression": "none", "source": content, "raw": content,
                "stored": content, "transforms": [], "verified": { "proof": "synced" } }],
        });
        // As a run publishes: new files that are renamed into place.
        for (name, text) in [("a.sql", data), ("a.sql.manifest.json", &manifest.to_string())] {
            fs::write(folder.join("new"), text).unwrap();
            fs::rename(folder.join("new"), folder.join(name)).unwrap();
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_archive_that_has_taken_the_name_meanwhile_stays() {
        let dir = tempfile::tempdir().unwrap();
        plant(dir.path(), "r1", "old");
        let place = Place::Folder(dir.path().to_owned());
        let listed = Catalogue::read(place.clone()).await.unwrap();
        plant(dir.path(), "r2", "newer");
        let refused = place.remove(&listed.archives[0]).await.unwrap_err();
        assert!(refused.to_string().contains("another archive by now"), "{refused}");
        let now = Catalogue::read(place.clone()).await.unwrap();
        assert!(now.archives[0].id == "r2" && now.archives[0].standing.is_verified(), "{now:?}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "no tombstone is left");
        place.remove(&now.archives[0]).await.unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
