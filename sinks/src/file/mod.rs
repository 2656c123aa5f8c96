//! Archives in a file system: a stream as `NAME` with `NAME.manifest.json`, or a directory `NAME` of many parts with `manifest.json`.
//!
//! - Which of the two it is follows from the parts: one without a path is the stream itself.
//! - Everything is staged under hidden names in the target's own directory (`names.rs` lists them), fsynced, and published by renames (`publish.rs` says what a crash can leave). A run that fails,
//!   is cancelled or panics removes what it staged; what a killed run left is found by its name and its free lock, and removed by the
//!   next run to the same target. On a network file system, where a free lock proves nothing, it is only reported.
//! - Files are made for their owner alone (0600, directories 0700, less the umask): dumps hold secrets.
//! - The target's directory must exist, and the user must be able to read it: it is opened once, and synced.
//! - A target that is a link, a device or a pipe is refused. A directory is replaced only if it is an archive, or empty.

pub(crate) mod failure;
pub mod gc;
pub(crate) mod names;
mod part;
mod publish;
mod run;
mod staged;
pub(crate) mod sys;
#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use pipeline::{Context, Destination, Error, Manifest, PartHeader, Result, Sink};

use self::failure::failed;
use self::names::{Names, shown};
use self::part::FileSink;
use self::run::Run;
use self::sys::{Dir, Sys};
use crate::writer::blocking;

/// How an archive is written.
#[derive(Debug, Clone)]
pub struct FileOptions {
    /// The run's id: letters, digits, `-` and `_`. Part of every staged name.
    pub id: String,
    /// Replace an archive that is there.
    pub overwrite: bool,
    /// Read every part back from the device and compare digests before it counts as stored.
    pub read_back: bool,
    /// Bytes that must stay free on the file system; 0 looks at nothing.
    pub reserve: u64,
}

impl FileOptions {
    /// Refuse what exists, no read-back, no reserve.
    pub fn new(id: impl Into<String>) -> Self {
        Self { id: id.into(), overwrite: false, read_back: false, reserve: 0 }
    }
}

/// An archive in a file system.
#[derive(Debug)]
pub struct FileDestination {
    path: Arc<Path>,
    parent: PathBuf,
    name: OsString,
    options: FileOptions,
    sys: Sys,
    run: Option<Arc<Run>>,
}

impl FileDestination {
    /// A destination at this path; relative to the working directory of this moment.
    pub fn new(path: impl AsRef<Path>, options: FileOptions) -> Result<Self> {
        let path = path.as_ref();
        let absolute = std::path::absolute(path)
            .map_err(|error| Error::usage(format!("no usable path: {}", shown(path))).caused_by(error))?;
        let (Some(parent), Some(name)) = (absolute.parent(), absolute.file_name()) else {
            return Err(Error::usage(format!("{} names no file", shown(path))));
        };
        if name.as_bytes().ends_with(pipeline::manifest::ENDING.as_bytes()) {
            return Err(Error::usage(format!("{} is the name of a manifest", shown(path)))
                .hint("name the archive; its manifest goes beside it"));
        }
        // Refuses a bad id before anything is touched.
        Names::new(name, &options.id)?;
        let (parent, name) = (parent.to_owned(), name.to_owned());
        Ok(Self { path: absolute.into(), parent, name, options, sys: Sys::default(), run: None })
    }

    /// The archive's absolute path.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The directory that the archive goes into.
    pub(crate) fn parent(&self) -> &Path {
        &self.parent
    }

    /// Keeps this many bytes free; for the time from `probe` on.
    pub(crate) fn set_reserve(&mut self, reserve: u64) {
        self.options.reserve = reserve;
    }

    fn run(&self) -> Result<&Arc<Run>> {
        self.run.as_ref().ok_or_else(|| Error::bug("a destination was used before it was probed"))
    }
}

/// A `file:` URL for messages and manifests: every byte that is no plain character of a path is escaped.
pub(crate) fn url(scheme: &str, path: &Path) -> String {
    let mut url = format!("{scheme}://");
    for &byte in path.as_os_str().as_bytes() {
        if byte.is_ascii_alphanumeric() || b"/-_.~+@=,:{}".contains(&byte) {
            url.push(char::from(byte));
        } else {
            write!(url, "%{byte:02X}").expect("a string takes everything");
        }
    }
    url
}

#[async_trait]
impl Destination for FileDestination {
    fn endpoint(&self) -> String {
        url("file", &self.path)
    }

    fn memory(&self) -> usize {
        FileSink::MEMORY
    }

    async fn probe(&mut self, cx: &Context) -> Result<Option<u64>> {
        let names = Names::new(&self.name, &self.options.id)?;
        let (path, parent, sys) = (Arc::clone(&self.path), self.parent.clone(), self.sys.clone());
        let (options, cx) = (self.options.clone(), cx.clone());
        let (run, available) = blocking(move || {
            let dir = Arc::new(open_parent(&parent, &sys)?);
            let run = Run::new(Arc::clone(&dir), names, path, options.read_back, options.reserve);
            publish::examine(&run, options.overwrite)?;
            staged::sweep(&dir, &run.names, &parent, &cx)?;
            // The one proof that a file can be made here, under a name this long, is to make one. The manifest's staged name is the longest.
            let (file, probe) = staged::create_file(&dir, &run.names.staged_manifest, None)?;
            probe.remove()?;
            drop(file);
            let available =
                dir.available().map_err(|e| failed("cannot see the free space of", &parent, e))?;
            let room = available.saturating_sub(options.reserve);
            if room == 0 {
                return Err(Error::sink(format!("there is no room in {}", shown(&parent)))
                    .with("available", available)
                    .with("reserve", options.reserve)
                    .hint("make room, or write elsewhere"));
            }
            Ok((run, room))
        })
        .await?;
        self.run = Some(Arc::new(run));
        Ok(Some(available))
    }

    async fn open(&self, part: &PartHeader, _: &Context) -> Result<Box<dyn Sink>> {
        let run = Arc::clone(self.run()?);
        let path = part.path.clone();
        let sink = blocking(move || {
            let (dir, file, staged) = run.create(path.as_deref())?;
            Ok(FileSink::new(&run, &dir, file, staged))
        })
        .await?;
        Ok(Box::new(sink))
    }

    async fn publish(&mut self, manifest: &Manifest, cx: &Context) -> Result<()> {
        let run = Arc::clone(self.run()?);
        let (manifest, overwrite, cx) = (manifest.clone(), self.options.overwrite, cx.clone());
        blocking(move || publish::publish(&run, &manifest, overwrite, &cx)).await
    }

    async fn abandon(&mut self) -> Result<()> {
        match self.run.take() {
            Some(run) => blocking(move || run.abandon()).await,
            None => Ok(()),
        }
    }
}

fn open_parent(parent: &Path, sys: &Sys) -> Result<Dir> {
    Dir::open(parent, sys).map_err(|error| {
        let kind = error.kind();
        let failure = failed("cannot open the directory", parent, error);
        match kind {
            ErrorKind::NotFound => failure.hint(format!("create it first: mkdir -p {}", shown(parent))),
            ErrorKind::NotADirectory => failure.hint("a part of this path is a file"),
            _ => failure,
        }
    })
}
