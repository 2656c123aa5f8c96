//! Where archives lie: a folder with all that is below it, or a prefix of a bucket. Names are relative to it, with `/` between.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use pipeline::manifest::{ENDING, IN_DIRECTORY, LOST_AND_FOUND};
use pipeline::{Error, Result, Stage};
use stores::s3::{Bucket, Dress, Failure, Kind, Put, S3Url};

/// A manifest of some ten thousand parts has a few MiB.
pub(crate) const MANIFEST_MAX: u64 = 256 << 20;

/// A folder, or a prefix of a bucket.
#[derive(Debug, Clone)]
pub enum Place {
    /// A folder of this machine, or on a volume that is mounted in it.
    Folder(PathBuf),
    /// The objects below a prefix, which is empty or ends in `/`.
    Bucket(Box<Bucket>),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path) => path.display().fmt(f),
            Self::Bucket(bucket) => bucket.url().fmt(f),
        }
    }
}

/// What a look at a place found.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    /// Names of manifests.
    pub(crate) manifests: Vec<String>,
    /// Bytes of everything else, where the look told them.
    pub(crate) lengths: Option<BTreeMap<String, u64>>,
    /// What could not be looked at, and why.
    pub(crate) unreadable: Vec<(String, String)>,
}

/// The stream that a manifest of this name stands beside; `None` when it is that of a directory.
pub(crate) fn stream_of(manifest: &str) -> Option<&str> {
    if manifest.rsplit('/').next() == Some(IN_DIRECTORY) { None } else { manifest.strip_suffix(ENDING) }
}

fn is_manifest(name: &str) -> bool {
    let last = name.rsplit('/').next().unwrap_or_default();
    last == IN_DIRECTORY || (last.len() > ENDING.len() && last.ends_with(ENDING))
}

impl Place {
    /// The objects below an address, which is taken for a folder.
    pub async fn of_address(url: &S3Url) -> Result<Self> {
        let mut key = url.key.trim_end_matches('/').to_owned();
        if !key.is_empty() {
            key.push('/');
        }
        Ok(Self::Bucket(Box::new(Bucket::connect(&url.at(key)).await?)))
    }

    /// A name of this place as a person types it.
    pub fn shown(&self, name: &str) -> String {
        match self {
            Self::Folder(root) => root.join(name).display().to_string(),
            Self::Bucket(bucket) => bucket.url().at(format!("{}{name}", bucket.url().key)).to_string(),
        }
    }

    /// Whether what is deleted here stays as an older version. `some` is the name of something that is there.
    pub async fn keeps_versions(&self, some: &str) -> bool {
        match self {
            Self::Folder(_) => false,
            Self::Bucket(bucket) => {
                // An account may always ask for what it may read; for the settings of a bucket, many may not.
                let head = bucket.head(&format!("{}{some}", bucket.url().key)).await.ok().flatten();
                let version = head.and_then(|head| head.version);
                version.is_some_and(|version| version != "null") || bucket.versioning().await.unwrap_or(false)
            }
        }
    }

    pub(crate) async fn scan(&self) -> Result<Scan> {
        match self {
            Self::Folder(root) => {
                let root = root.clone();
                blocking(move || scan_folder(&root)).await
            }
            Self::Bucket(bucket) => {
                let prefix = bucket.url().key.clone();
                let listed = bucket.list_all(&prefix).await;
                let listed = listed.map_err(|f| failed(f, &format!("cannot list {}", bucket.url())))?;
                let mut scan = Scan::default();
                let mut lengths = BTreeMap::new();
                for object in listed {
                    let Some(name) = object.key.strip_prefix(&prefix) else { continue };
                    if is_manifest(name) {
                        scan.manifests.push(name.to_owned());
                    }
                    lengths.insert(name.to_owned(), object.bytes);
                }
                scan.lengths = Some(lengths);
                Ok(scan)
            }
        }
    }

    /// A small thing, or `None` when it is not there.
    pub(crate) async fn read(&self, name: &str) -> Result<Option<Bytes>> {
        match self {
            Self::Folder(root) => {
                let path = root.join(name);
                blocking(move || match read_file(&path) {
                    Ok(bytes) => Ok(Some(Bytes::from(bytes))),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                    Err(error) => {
                        Err(Error::source("cannot read a file").with("file", path.display()).caused_by(error))
                    }
                })
                .await
            }
            Self::Bucket(bucket) => {
                let key = format!("{}{name}", bucket.url().key);
                let read = bucket.read_small(&key, MANIFEST_MAX).await;
                read.map_err(|f| failed(f, &format!("cannot read {}", bucket.url().at(&key))))
            }
        }
    }

    /// Writes a small thing in one step, over what is there.
    pub(crate) async fn write(&self, name: &str, data: Vec<u8>, run: &str) -> Result<()> {
        match self {
            Self::Folder(root) => {
                let path = root.join(name);
                blocking(move || {
                    replace(&path, &data).map_err(|error| {
                        Error::sink("cannot write a file").with("file", path.display()).caused_by(error)
                    })
                })
                .await
            }
            Self::Bucket(bucket) => {
                let key = format!("{}{name}", bucket.url().key);
                let put = Put {
                    key: &key,
                    run,
                    kind: Kind::Md5,
                    only_new: false,
                    dress: Dress::Bare,
                    content_type: "application/json",
                };
                let stored = bucket.put(&put, Bytes::from(data)).await;
                stored.map(drop).map_err(|f| {
                    f.into_error(Stage::Sink, &format!("cannot write {}", bucket.url().at(&key)))
                })
            }
        }
    }

    /// The length of a piece, or `None` when it is not there. What the scan knows is not asked again.
    pub(crate) fn length(&self, name: &str, scan: &Scan) -> Option<u64> {
        match (self, &scan.lengths) {
            (_, Some(lengths)) => lengths.get(name).copied(),
            (Self::Folder(root), None) => fs::symlink_metadata(root.join(name))
                .ok()
                .filter(fs::Metadata::is_file)
                .map(|meta| meta.len()),
            (Self::Bucket(_), None) => None,
        }
    }
}

pub(crate) fn failed(failure: Failure, doing: &str) -> Error {
    failure.into_error(Stage::Source, doing)
}

pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|e| Error::bug("a look at a folder panicked").caused_by(e))?
}

fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    use io::Read as _;
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(MANIFEST_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MANIFEST_MAX {
        return Err(io::Error::other("it is too long for a manifest"));
    }
    Ok(bytes)
}

/// A staged file beside it that is renamed over it, both synced.
fn replace(path: &Path, data: &[u8]) -> io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let staged = folder.join(format!(".{}.{}.partial", name.to_string_lossy(), std::process::id()));
    let written = (|| {
        let mut file =
            fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&staged)?;
        file.write_all(data)?;
        file.sync_all()?;
        fs::rename(&staged, path)
    })();
    if written.is_err() {
        // It may not have been made at all.
        fs::remove_file(&staged).ok();
    }
    written?;
    fs::File::open(folder)?.sync_all()
}

/// Every manifest below a folder. Hidden names are staged work; links are not followed, since they may lead in a circle or out of the volume.
fn scan_folder(root: &Path) -> Result<Scan> {
    let first = fs::read_dir(root).map_err(|error| {
        let missing = error.kind() == io::ErrorKind::NotFound;
        let error =
            Error::source("cannot look into the folder").with("folder", root.display()).caused_by(error);
        if missing { error.hint("is the volume mounted, and the path right?") } else { error }
    })?;
    let mut scan = Scan::default();
    let mut open = vec![(String::new(), first)];
    while let Some((prefix, entries)) = open.pop() {
        let mut folders = Vec::new();
        let mut archive = false;
        for entry in entries {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    scan.unreadable.push((prefix.clone(), error.to_string()));
                    break;
                }
            };
            let Ok(last) = entry.file_name().into_string() else {
                let name = entry.file_name();
                if name.as_encoded_bytes().ends_with(ENDING.as_bytes()) {
                    let name = format!("{prefix}{}", name.to_string_lossy());
                    scan.unreadable.push((name, "its name is no UTF-8".to_owned()));
                }
                continue;
            };
            if last.starts_with('.') || last == LOST_AND_FOUND {
                continue;
            }
            let name = format!("{prefix}{last}");
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(name),
                Ok(kind) if kind.is_file() && is_manifest(&last) => {
                    archive |= last == IN_DIRECTORY && is_ours(&root.join(&name));
                    scan.manifests.push(name);
                }
                Ok(_) => {}
                Err(error) => scan.unreadable.push((name, error.to_string())),
            }
        }
        // The thousands of parts of an archive are no place for other archives.
        for name in folders.into_iter().filter(|_| !archive) {
            match fs::read_dir(root.join(&name)) {
                Ok(entries) => open.push((format!("{name}/"), entries)),
                Err(error) => scan.unreadable.push((name, error.to_string())),
            }
        }
    }
    Ok(scan)
}

fn is_ours(manifest: &Path) -> bool {
    read_file(manifest).is_ok_and(|json| pipeline::Manifest::parse(&json).is_ok())
}
