//! A file that is already there, standard input, or a named pipe: the bytes as they are.
//!
//! A regular file promises its own length, so one that changes while it is read is an error, not a shorter or longer stream.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use bytes::Bytes;
use pipeline::manifest::IN_DIRECTORY;
use pipeline::{Context, Error, Format, FrameSender, Kind, Part, Reader, Result, Source, SourceInfo};
use rustix::buffer::spare_capacity;
use rustix::io::Errno;

use crate::archive::ArchiveSource;
use crate::directory::{DirectoryOptions, DirectorySource};
use crate::thread::{self, Outlet};
use crate::whole;

#[cfg(test)]
mod tests;

/// One read. With it a cached file went through at 2.7 to 3.7 GB/s on two cores, process start included.
pub(crate) const READ: usize = 1 << 20;

/// A file or standard input as a source.
#[derive(Debug, Clone)]
pub struct FileSource {
    from: From,
    format: Option<Format>,
    expected: Option<u64>,
    taken: bool,
}

#[derive(Debug, Clone)]
enum From {
    Path(PathBuf),
    Stdin,
}

/// The source for a path: for a directory a tar stream, or what its files are together when it is an archive of ours, the bytes for anything else, which are `format` where that is told.
pub fn path_source(path: impl Into<PathBuf>, format: Option<Format>) -> Box<dyn Source> {
    let path = path.into();
    if path.join(IN_DIRECTORY).is_file() && format != Some(Format::Tar) {
        Box::new(ArchiveSource::new(path))
    } else if path.is_dir() {
        Box::new(DirectorySource::new(path, DirectoryOptions::default()))
    } else {
        Box::new(FileSource::new(path).with_format(format))
    }
}

impl FileSource {
    /// A file, a named pipe or a device. Nothing is opened yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { from: From::Path(path.into()), format: None, expected: None, taken: false }
    }

    /// Standard input.
    pub fn stdin() -> Self {
        Self { from: From::Stdin, format: None, expected: None, taken: false }
    }

    /// Says what the bytes are; otherwise the content tells.
    #[must_use]
    pub fn with_format(mut self, format: Option<Format>) -> Self {
        self.format = format;
        self
    }
}

#[async_trait]
impl Source for FileSource {
    fn endpoint(&self) -> String {
        match &self.from {
            From::Path(path) => path.display().to_string(),
            From::Stdin => "-".to_owned(),
        }
    }

    async fn probe(&mut self, _: &Context) -> Result<SourceInfo> {
        let kind = match &self.from {
            From::Stdin => {
                if rustix::termios::isatty(rustix::stdio::stdin()) {
                    return Err(Error::usage("- reads standard input, which is a terminal")
                        .hint("redirect a file or pipe into it"));
                }
                self.expected = Stamp::of(rustix::stdio::stdin())?.map(|stamp| stamp.bytes);
                "stdin"
            }
            From::Path(path) => {
                let meta = std::fs::metadata(path).map_err(|error| cannot_open(path, error))?;
                if meta.is_dir() {
                    return Err(Error::source(format!("{} is a directory", path.display())));
                }
                if meta.file_type().is_socket() {
                    return Err(Error::source(format!(
                        "{} is a socket, which cannot be read",
                        path.display()
                    )));
                }
                rustix::fs::access(path, rustix::fs::Access::READ_OK)
                    .map_err(|error| cannot_open(path, error.into()))?;
                self.expected = meta.is_file().then_some(meta.len());
                "file"
            }
        };
        Ok(SourceInfo {
            endpoint: self.endpoint(),
            kind: kind.to_owned(),
            expected_bytes: self.expected,
            ..SourceInfo::default()
        })
    }

    async fn next_part(&mut self, _: &Context) -> Result<Option<Part>> {
        if std::mem::replace(&mut self.taken, true) {
            return Ok(None);
        }
        Ok(Some(whole(self.format, self.expected, Box::new(FileReader(self.from.clone())))))
    }

    async fn finish(self: Box<Self>, _: &Context) -> Result<BTreeMap<String, String>> {
        Ok(BTreeMap::new())
    }
}

pub(crate) fn cannot_open(path: &Path, error: std::io::Error) -> Error {
    let shown = path.display();
    match error.kind() {
        std::io::ErrorKind::NotFound => {
            Error::source(format!("{shown}: no such file")).hint("look at the path; is the volume mounted?")
        }
        std::io::ErrorKind::PermissionDenied => Error::source(format!("{shown}: permission denied"))
            .hint("read permission on the file and search permission on its directories are needed"),
        _ => Error::source(format!("{shown} cannot be opened")),
    }
    .caused_by(error)
}

struct FileReader(From);

#[async_trait]
impl Reader for FileReader {
    fn memory(&self) -> usize {
        READ * thread::PIECES
    }

    async fn read(self: Box<Self>, out: &mut FrameSender, cx: &Context) -> Result<()> {
        thread::stream("read file", out, cx, move |outlet| match &self.0 {
            From::Stdin => copy(rustix::stdio::stdin(), "standard input", outlet),
            From::Path(path) => {
                let file = File::open(path).map_err(|error| cannot_open(path, error))?;
                copy(file.as_fd(), &path.display().to_string(), outlet)
            }
        })
        .await
    }
}

/// What a regular file says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    bytes: u64,
    modified: (i64, i64),
}

impl Stamp {
    /// `None` for what is not a regular file.
    fn of(fd: BorrowedFd<'_>) -> Result<Option<Self>> {
        let file = fd.try_clone_to_owned().map(File::from);
        let meta = file
            .and_then(|file| file.metadata())
            .map_err(|error| Error::source("the file cannot be looked at").caused_by(error))?;
        Ok(meta.is_file().then(|| Self { bytes: meta.len(), modified: (meta.mtime(), meta.mtime_nsec()) }))
    }
}

pub(crate) fn copy(fd: BorrowedFd<'_>, name: &str, outlet: &Outlet) -> Result<()> {
    let before = Stamp::of(fd)?;
    // Standard input may have been read from before; the rest of the file is then what is expected.
    let start = if before.is_some() { rustix::fs::tell(fd).unwrap_or(0) } else { 0 };
    if before.is_some() {
        // Advice only: the kernel then reads further ahead.
        rustix::fs::fadvise(fd, 0, None, rustix::fs::Advice::Sequential).ok();
    }
    let mut total: u64 = 0;
    loop {
        let mut buffer = Vec::with_capacity(READ);
        match rustix::io::read(fd, spare_capacity(&mut buffer)) {
            Ok(0) => break,
            Ok(count) => {
                total += count as u64;
                outlet.send(pack(buffer))?;
            }
            Err(Errno::INTR) => {}
            Err(error) => {
                return Err(Error::source(format!("{name} cannot be read"))
                    .with("offset", start + total)
                    .caused_by(std::io::Error::from(error)));
            }
        }
    }
    let Some(before) = before else { return Ok(()) };
    let after = Stamp::of(fd)?;
    if after != Some(before) || start + total != before.bytes {
        return Err(Error::source(format!("{name} changed while it was read"))
            .of_kind(Kind::Truncated)
            .with("bytes before", before.bytes)
            .with("bytes read", start + total)
            .hint("wait until whatever writes it has finished"));
    }
    Ok(())
}

/// A pipe gives 64 KiB at a time; holding a megabyte for that would break the bound that the channel keeps.
fn pack(buffer: Vec<u8>) -> Bytes {
    if buffer.len() < buffer.capacity() / 2 { Bytes::copy_from_slice(&buffer) } else { Bytes::from(buffer) }
}
