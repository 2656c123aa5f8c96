//! Removing an archive so that it is whole or gone at any moment: the manifest goes first, then the data.
//!
//! In a folder, the manifest of a stream (or the whole directory of many parts) is renamed to `.NAME.ID.pruned`, a *tombstone* that still says what belongs to the
//! archive. When a run is killed behind that, `gc` finishes the work. In a bucket the data that is left carries the mark of its run and
//! has no manifest, which is what `gc` looks for.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use pipeline::manifest::ENDING;
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
                    if let Err(failure) = bucket.delete(&key(name), None).await {
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
        fs::rename(&directory, &tomb).map_err(|e| refused(&directory, e))?;
        return fs::remove_dir_all(&tomb).map_err(|e| refused(&tomb, e));
    }
    let data = root.join(&archive.name);
    let tomb = tombstone(&data, &archive.id);
    fs::rename(&manifest, &tomb).map_err(|e| refused(&manifest, e))?;
    let folder = data.parent().unwrap_or(root);
    sync(folder).map_err(|e| refused(folder, e))?;
    let record = root.join(record::name_for(&archive.manifest));
    for path in [&record, &data, &tomb] {
        remove_if_there(path).map_err(|e| refused(path, e))?;
    }
    Ok(())
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
