//! A directory as a tar stream, for stores of files such as 3scale's `system-storage`.
//!
//! The stream is what GNU tar reads and writes: names relative to the directory (`./…`), sorted so that the same files give the same bytes,
//! long names and holes in GNU's way, two zero blocks at the end and nothing after them. Symbolic links are stored, never
//! followed, so nothing outside the directory can get in. A file that changes under the reader is a warning, as with tar: a live store
//! has no moment at which nothing changes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use pipeline::{Context, Error, Format, FrameSender, Part, Reader, Result, Source, SourceInfo};
use rustix::fs::{Access, Mode, OFlags};

use crate::{thread, whole};

mod archive;
#[cfg(test)]
mod tests;
mod walk;

/// How a directory is read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DirectoryOptions {
    /// Fails in the end when anything changed or vanished while it was read.
    pub strict: bool,
    /// Leaves out what may not be read, with a warning, instead of failing.
    pub skip_unreadable: bool,
}

/// A directory as a source.
#[derive(Debug, Clone)]
pub struct DirectorySource {
    path: PathBuf,
    options: DirectoryOptions,
    taken: bool,
}

impl DirectorySource {
    /// The directory at `path`, which may be a symbolic link to it. Nothing is opened yet.
    pub fn new(path: impl Into<PathBuf>, options: DirectoryOptions) -> Self {
        Self { path: path.into(), options, taken: false }
    }
}

#[async_trait]
impl Source for DirectorySource {
    fn endpoint(&self) -> String {
        self.path.display().to_string()
    }

    async fn probe(&mut self, _: &Context) -> Result<SourceInfo> {
        rustix::fs::open(&self.path, walk::DIRECTORY.difference(OFlags::NOFOLLOW), Mode::empty())
            .and_then(|_| rustix::fs::access(&self.path, Access::READ_OK | Access::EXEC_OK))
            .map_err(|error| cannot_open(&self.path, error))?;
        Ok(SourceInfo { endpoint: self.endpoint(), kind: "directory".to_owned(), ..SourceInfo::default() })
    }

    async fn next_part(&mut self, _: &Context) -> Result<Option<Part>> {
        if std::mem::replace(&mut self.taken, true) {
            return Ok(None);
        }
        let reader = DirectoryReader { path: self.path.clone(), options: self.options };
        Ok(Some(whole(Some(Format::Tar), None, Box::new(reader))))
    }

    async fn finish(self: Box<Self>, _: &Context) -> Result<BTreeMap<String, String>> {
        Ok(BTreeMap::new())
    }
}

fn cannot_open(path: &Path, error: rustix::io::Errno) -> Error {
    use rustix::io::Errno;
    let shown = path.display();
    match error {
        Errno::NOENT => Error::source(format!("{shown}: no such directory"))
            .hint("look at the path; is the volume mounted?"),
        Errno::NOTDIR => Error::source(format!("{shown} is not a directory")),
        Errno::ACCESS => Error::source(format!("{shown}: permission denied"))
            .hint("read and search permission on the directory are needed"),
        _ => Error::source(format!("{shown} cannot be opened")),
    }
    .caused_by(std::io::Error::from(error))
}

struct DirectoryReader {
    path: PathBuf,
    options: DirectoryOptions,
}

#[async_trait]
impl Reader for DirectoryReader {
    fn memory(&self) -> usize {
        // The names of one directory level after another, and hard links, come on top: about 100 bytes each.
        archive::BUFFER * thread::PIECES + (1 << 20)
    }

    async fn read(self: Box<Self>, out: &mut FrameSender, cx: &Context) -> Result<()> {
        let Self { path, options } = *self;
        let context = cx.clone();
        let changes = thread::stream("read files", out, cx, move |outlet| {
            walk::Walk::new(&path, options, context, outlet).run()
        })
        .await?;
        if options.strict && changes > 0 {
            return Err(Error::source("files changed while they were read")
                .with("warnings", changes)
                .hint("stop what writes to the directory, or allow changes"));
        }
        Ok(())
    }
}
