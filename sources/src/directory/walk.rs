//! Goes through a directory and puts what it finds into the archive.

use std::collections::HashMap;
use std::ffi::{CStr, CString};
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use pipeline::{Context, Error, Result};
use rustix::fs::{
    AtFlags, Dir, FileType, Mode, OFlags, SeekFrom, Stat, fstat, openat, readlinkat, seek, statat,
};
use rustix::io::Errno;
use tar::EntryType;

use super::archive::{Archive, Extent};
use super::{DirectoryOptions, cannot_open};
use crate::thread::Outlet;

pub(super) const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
/// Never blocks on what was swapped for a named pipe in between.
const FILE: OFlags = OFlags::RDONLY
    .union(OFlags::NOFOLLOW)
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY)
    .union(OFlags::CLOEXEC);
/// Above this many holes the map costs more than the zeros.
const EXTENTS: usize = 16 * 1024;
/// Changes told one by one; the rest are counted.
const TOLD: u64 = 100;

struct Level {
    dir: OwnedFd,
    /// In reverse order.
    names: Vec<CString>,
    /// Length of the archive's name up to and with the slash.
    prefix: usize,
}

/// One run over the directory.
pub(super) struct Walk<'a> {
    root: PathBuf,
    options: DirectoryOptions,
    cx: Context,
    archive: Archive<'a>,
    /// The archive's name of what is being looked at.
    name: Vec<u8>,
    /// First name of every file with several.
    links: HashMap<(u64, u64), Vec<u8>>,
    changes: u64,
}

impl<'a> Walk<'a> {
    pub(super) fn new(root: &Path, options: DirectoryOptions, cx: Context, outlet: &'a Outlet) -> Self {
        Self {
            root: std::path::absolute(root).unwrap_or_else(|_| root.to_owned()),
            options,
            cx,
            archive: Archive::new(outlet),
            name: b"./".to_vec(),
            links: HashMap::new(),
            changes: 0,
        }
    }

    /// Archives everything and says how often something changed or was left out.
    pub(super) fn run(mut self) -> Result<u64> {
        let dir = rustix::fs::open(&self.root, DIRECTORY.difference(OFlags::NOFOLLOW), Mode::empty())
            .map_err(|error| cannot_open(&self.root, error))?;
        let mut levels = vec![self.level(dir)?];
        while let Some(level) = levels.last_mut() {
            let Some(name) = level.names.pop() else {
                levels.pop();
                continue;
            };
            self.name.truncate(level.prefix);
            self.name.extend_from_slice(name.to_bytes());
            if let Some(below) = self.visit(&level.dir, &name)? {
                levels.push(below);
            }
        }
        if self.changes > TOLD {
            self.cx.warn(format!("{} more files changed or were left out", self.changes - TOLD));
        }
        self.archive.finish()?;
        Ok(self.changes)
    }

    /// Writes the entry of an open directory and reads its names.
    fn level(&mut self, dir: OwnedFd) -> Result<Level> {
        let stat = fstat(&dir).map_err(|error| self.failed("cannot be looked at", error))?;
        self.archive.entry(&self.name, &stat, EntryType::Directory, b"")?;
        let mut names = Vec::new();
        for entry in Dir::read_from(&dir).map_err(|error| self.failed("cannot be listed", error))? {
            let entry = entry.map_err(|error| self.failed("cannot be listed", error))?;
            let name = entry.file_name();
            if name != c"." && name != c".." {
                names.push(name.to_owned());
            }
        }
        names.sort_unstable_by(|a, b| b.cmp(a));
        Ok(Level { dir, names, prefix: self.name.len() })
    }

    fn visit(&mut self, dir: &OwnedFd, name: &CStr) -> Result<Option<Level>> {
        let stat = match statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(error) => return self.excuse(error).map(|()| None),
        };
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => return self.directory(dir, name),
            FileType::Socket => {
                self.change("is a socket and was left out");
                return Ok(None);
            }
            FileType::Symlink => EntryType::Symlink,
            FileType::Fifo => EntryType::Fifo,
            FileType::CharacterDevice => EntryType::Char,
            FileType::BlockDevice => EntryType::Block,
            _ => EntryType::Regular,
        };
        let identity = (stat.st_dev, stat.st_ino);
        if stat.st_nlink > 1
            && let Some(first) = self.links.get(&identity)
        {
            self.archive.entry(&self.name, &stat, EntryType::Link, first)?;
            return Ok(None);
        }
        let archived = match kind {
            EntryType::Regular => self.regular(dir, name)?,
            EntryType::Symlink => match readlinkat(dir, name, Vec::new()) {
                Ok(target) => {
                    self.archive.entry(&self.name, &stat, kind, target.to_bytes())?;
                    true
                }
                Err(error) => self.excuse(error).map(|()| false)?,
            },
            _ => {
                self.archive.entry(&self.name, &stat, kind, b"")?;
                true
            }
        };
        if archived && stat.st_nlink > 1 {
            self.links.insert(identity, self.name.clone());
        }
        Ok(None)
    }

    fn directory(&mut self, dir: &OwnedFd, name: &CStr) -> Result<Option<Level>> {
        match openat(dir, name, DIRECTORY, Mode::empty()) {
            Ok(below) => {
                self.name.push(b'/');
                self.level(below).map(Some)
            }
            // mkfs makes this one for root alone at the top of every ext4 volume. What fsck puts there is nobody's data.
            Err(Errno::ACCESS) if self.name == b"./lost+found" => {
                self.cx.info("lost+found may not be read and was left out");
                Ok(None)
            }
            Err(error) => self.excuse(error).map(|()| None),
        }
    }

    /// False when the file was left out.
    fn regular(&mut self, dir: &OwnedFd, name: &CStr) -> Result<bool> {
        let file = match openat(dir, name, FILE, Mode::empty()) {
            Ok(fd) => File::from(fd),
            Err(error) => return self.excuse(error).map(|()| false),
        };
        let stat = fstat(&file).map_err(|error| self.failed("cannot be looked at", error))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            self.change("was replaced by something else before it was read, and was left out");
            return Ok(false);
        }
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        let extents = extents(&file, &stat, size);
        self.archive.file(&self.name, &stat, size, extents.as_deref())?;
        let mut missing = 0;
        let mut stored = 0;
        for (offset, length) in extents.as_deref().unwrap_or(&[(0, size)]) {
            seek(&file, SeekFrom::Start(*offset)).map_err(|error| self.failed("cannot be read", error))?;
            let copied =
                self.archive.copy(&file, *length)?.map_err(|error| self.broken("cannot be read", error))?;
            self.archive.zeros(length - copied)?;
            missing += length - copied;
            stored += length;
        }
        self.archive.pad(stored)?;
        let after = fstat(&file).map_err(|error| self.failed("cannot be looked at", error))?;
        if missing > 0 {
            self.change(&format!("shrank by {missing} bytes while it was read, and was padded with zeros"));
        } else if after.st_size > stat.st_size {
            self.change(&format!("grew while it was read; its first {size} bytes are in the archive"));
        } else if (after.st_size, after.st_mtime, after.st_mtime_nsec)
            != (stat.st_size, stat.st_mtime, stat.st_mtime_nsec)
        {
            self.change("changed while it was read");
        }
        Ok(true)
    }

    /// Lets pass what a live directory does; anything else is an error.
    fn excuse(&mut self, error: Errno) -> Result<()> {
        match error {
            Errno::NOENT => self.change("was removed before it was read"),
            Errno::LOOP | Errno::NOTDIR | Errno::NXIO => {
                self.change("was replaced by something else before it was read, and was left out");
            }
            Errno::ACCESS | Errno::PERM if self.options.skip_unreadable => {
                self.change("may not be read and was left out");
            }
            Errno::ACCESS | Errno::PERM => {
                return Err(self.failed("may not be read", error).hint(
                    "run as a user who may (on Kubernetes: fsGroup or supplementalGroups), or allow leaving it out",
                ));
            }
            _ => return Err(self.failed("cannot be read", error)),
        }
        Ok(())
    }

    fn change(&mut self, what: &str) {
        self.changes += 1;
        if self.changes <= TOLD {
            self.cx.warn(format!("{}: {what}", self.shown()));
        }
    }

    fn shown(&self) -> String {
        String::from_utf8_lossy(&self.name).chars().map(|c| if c.is_control() { '?' } else { c }).collect()
    }

    fn failed(&self, what: &str, error: Errno) -> Error {
        self.broken(what, error.into())
    }

    fn broken(&self, what: &str, error: std::io::Error) -> Error {
        Error::source(format!("{} {what}", self.shown()))
            .with("directory", self.root.display())
            .caused_by(error)
    }
}

/// Where the data of a file with holes is; `None` for a file without, or when that cannot be told.
fn extents(file: &File, stat: &Stat, size: u64) -> Option<Vec<Extent>> {
    let allocated = u64::try_from(stat.st_blocks).ok()? * 512;
    if allocated >= size {
        return None;
    }
    let mut extents = Vec::new();
    let mut position = 0;
    while position < size {
        let start = match seek(file.as_fd(), SeekFrom::Data(position)) {
            Ok(start) if start < size => start,
            // Only a hole is left.
            Ok(_) | Err(Errno::NXIO) => break,
            Err(_) => return None,
        };
        let end = seek(file.as_fd(), SeekFrom::Hole(start)).ok()?.min(size);
        extents.push((start, end.checked_sub(start).filter(|length| *length > 0)?));
        position = end;
        if extents.len() > EXTENTS {
            return None;
        }
    }
    // A compressing file system allocates less than the size and has no holes all the same.
    if extents == [(0, size)] { None } else { Some(extents) }
}
