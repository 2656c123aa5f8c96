//! Every system call of the file destinations, relative to a directory that is held open.
//!
//! Held open, so that a directory that is renamed or mounted over during a long run cannot split an archive. In one place, so
//! that a test can make the n-th call fail: see [`Sys::call`].

use std::ffi::{CStr, OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{self, AtFlags, FileType, FlockOperation, Mode, OFlags, RenameFlags, Stat};
use rustix::io::Errno;

/// The way to the kernel. Nothing but the kernel in a release; in tests also a plan of faults.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sys {
    #[cfg(test)]
    pub(crate) faults: Option<std::sync::Arc<super::tests::faults::Faults>>,
}

impl Sys {
    /// Makes one system call, again when a signal interrupted it. `name` is for the tests' plan of faults.
    fn call<T>(&self, name: &'static str, mut call: impl FnMut() -> Result<T, Errno>) -> io::Result<T> {
        loop {
            match self.attempt(name, &mut call) {
                Err(Errno::INTR) => {}
                result => return Ok(result?),
            }
        }
    }

    #[cfg(not(test))]
    #[inline]
    #[allow(clippy::unused_self, reason = "it is a plan of faults in tests")]
    fn attempt<T>(&self, _: &'static str, call: &mut impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
        call()
    }

    #[cfg(test)]
    fn attempt<T>(
        &self,
        name: &'static str,
        call: &mut impl FnMut() -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        match &self.faults {
            None => call(),
            Some(faults) => faults.attempt(name, call),
        }
    }

    pub(crate) fn write_all(&self, file: &File, mut data: &[u8]) -> io::Result<()> {
        while !data.is_empty() {
            let length = self.write(file, data)?;
            if length == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            data = &data[length..];
        }
        Ok(())
    }

    fn write(&self, file: &File, data: &[u8]) -> io::Result<usize> {
        #[cfg(test)]
        let data = &data[..self.faults.as_ref().map_or(data.len(), |faults| faults.shorten(data.len()))];
        self.call("write", || rustix::io::write(file, data))
    }

    pub(crate) fn read(&self, file: &File, buffer: &mut [u8]) -> io::Result<usize> {
        self.call("read", || rustix::io::read(file, &mut *buffer))
    }

    pub(crate) fn read_to_end(&self, file: &File) -> io::Result<Vec<u8>> {
        let (mut all, mut buffer) = (Vec::new(), vec![0; 64 << 10]);
        loop {
            match self.read(file, &mut buffer)? {
                0 => return Ok(all),
                length => all.extend_from_slice(&buffer[..length]),
            }
        }
    }

    pub(crate) fn sync(&self, file: impl AsFd) -> io::Result<()> {
        self.call("fsync", || fs::fsync(&file))
    }

    pub(crate) fn stat(&self, file: impl AsFd) -> io::Result<Stat> {
        self.call("fstat", || fs::fstat(&file))
    }

    /// Starts writing dirty pages of this range to the device without waiting, and drops those that are clean.
    pub(crate) fn forget_pages(&self, file: &File, from: u64, length: u64) -> io::Result<()> {
        self.call("fadvise", || {
            fs::fadvise(file, from, std::num::NonZeroU64::new(length), fs::Advice::DontNeed)
        })
    }

    /// Takes the exclusive lock: `Ok(false)` when somebody else holds it, an error when locks do not work here.
    pub(crate) fn lock(&self, file: impl AsFd) -> io::Result<bool> {
        match self.call("flock", || fs::flock(&file, FlockOperation::NonBlockingLockExclusive)) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// A directory held open.
#[derive(Debug)]
pub(crate) struct Dir {
    fd: OwnedFd,
    pub(crate) sys: Sys,
}

impl AsFd for Dir {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

impl Dir {
    pub(crate) fn open(path: &Path, sys: &Sys) -> io::Result<Self> {
        let fd = sys.call("open", || fs::open(path, DIRECTORY, Mode::empty()))?;
        Ok(Self { fd, sys: sys.clone() })
    }

    pub(crate) fn open_dir(&self, name: &Path) -> io::Result<Self> {
        let fd =
            self.sys.call("open", || fs::openat(self, name, DIRECTORY | OFlags::NOFOLLOW, Mode::empty()))?;
        Ok(Self { fd, sys: self.sys.clone() })
    }

    /// Creates a file that must not exist, for its owner alone: dumps hold secrets.
    pub(crate) fn create(&self, name: &Path) -> io::Result<File> {
        self.create_with(name, OFlags::EXCL)
    }

    /// Creates a file, or opens the one that is there.
    pub(crate) fn create_or_open(&self, name: &Path) -> io::Result<File> {
        self.create_with(name, OFlags::empty())
    }

    fn create_with(&self, name: &Path, extra: OFlags) -> io::Result<File> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC | extra;
        self.sys.call("create", || fs::openat(self, name, flags, Mode::RUSR | Mode::WUSR)).map(File::from)
    }

    pub(crate) fn open_file(&self, name: &Path) -> io::Result<File> {
        // Not blocking: a look at what turned out to be a pipe must not hang.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        self.sys.call("open", || fs::openat(self, name, flags, Mode::empty())).map(File::from)
    }

    pub(crate) fn make_dir(&self, name: &Path) -> io::Result<()> {
        self.sys.call("mkdir", || fs::mkdirat(self, name, Mode::RWXU))
    }

    /// What is under this name, without following a link.
    pub(crate) fn look(&self, name: &Path) -> io::Result<Option<Stat>> {
        match self.sys.call("stat", || fs::statat(self, name, AtFlags::SYMLINK_NOFOLLOW)) {
            Ok(stat) => Ok(Some(stat)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Renames, and fails when the new name is taken. Where the file system has no such rename, the new name is claimed with
    /// something empty first: whoever creates it wins, and nothing that somebody else made is replaced.
    pub(crate) fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        let rename = || fs::renameat_with(self, from, self, to, RenameFlags::NOREPLACE);
        match self.sys.call("rename-new", rename) {
            Err(error) if Self::unsupported(&error) => self.claim_and_rename(from, to),
            result => result,
        }
    }

    /// True when the kernel or the file system does not know this kind of rename.
    pub(crate) fn unsupported(error: &io::Error) -> bool {
        matches!(Errno::from_io_error(error), Some(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP))
    }

    fn claim_and_rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let stat = self.look(from)?.ok_or(Errno::NOENT)?;
        let is_dir = is_dir(&stat);
        if is_dir {
            self.make_dir(to)?;
        } else {
            drop(self.create(to)?);
        }
        let renamed = self.sys.call("rename", || fs::renameat(self, from, self, to));
        // The claim goes again; where that fails, something empty without a manifest stays, which is no archive.
        if renamed.is_err()
            && self.look(to).is_ok_and(|found| found.is_some_and(|found| found.st_size == 0 || is_dir))
        {
            self.remove_one(to, is_dir).ok();
        }
        renamed
    }

    /// Exchanges two names in one step; an error where the file system cannot.
    pub(crate) fn exchange(&self, one: &Path, other: &Path) -> io::Result<()> {
        self.sys.call("exchange", || fs::renameat_with(self, one, self, other, RenameFlags::EXCHANGE))
    }

    fn remove_one(&self, name: &Path, directory: bool) -> io::Result<()> {
        let flags = if directory { AtFlags::REMOVEDIR } else { AtFlags::empty() };
        self.sys.call("unlink", || fs::unlinkat(self, name, flags))
    }

    /// Removes a file, or a directory with all below it. Nothing there is fine.
    pub(crate) fn remove(&self, name: &Path) -> io::Result<()> {
        match self.remove_one(name, false) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            // EISDIR on Linux; EPERM is what POSIX says, and what some file systems answer.
            Err(error) if matches!(Errno::from_io_error(&error), Some(Errno::ISDIR | Errno::PERM)) => {
                match self.look(name)? {
                    Some(stat) if is_dir(&stat) => {}
                    _ => return Err(error),
                }
                let below = self.open_dir(name)?;
                for entry in below.names()? {
                    below.remove(Path::new(&entry))?;
                }
                self.remove_one(name, true)
            }
            result => result,
        }
    }

    /// The names in this directory.
    pub(crate) fn names(&self) -> io::Result<Vec<OsString>> {
        let mut names = Vec::new();
        let entries = self.sys.call("readdir", || fs::Dir::read_from(&self.fd))?;
        for entry in entries {
            let entry = entry?;
            let name: &CStr = entry.file_name();
            if !matches!(name.to_bytes(), b"." | b"..") {
                names.push(OsStr::from_bytes(name.to_bytes()).to_owned());
            }
        }
        Ok(names)
    }

    pub(crate) fn sync(&self) -> io::Result<()> {
        self.sys.sync(self)
    }

    /// Bytes that an ordinary user can still store on this file system.
    pub(crate) fn available(&self) -> io::Result<u64> {
        let stat = self.sys.call("statvfs", || fs::fstatvfs(self))?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    /// Size in bytes of the file system.
    pub(crate) fn capacity(&self) -> io::Result<u64> {
        let stat = self.sys.call("statvfs", || fs::fstatvfs(self))?;
        Ok(stat.f_blocks.saturating_mul(stat.f_frsize))
    }

    /// True when the file system belongs to this machine alone, so that a lock that nobody holds means that nobody is there.
    /// On a network file system the holder may be another machine whose locks do not reach this one.
    pub(crate) fn is_local(&self) -> bool {
        // Magic numbers of statfs(2): ext, XFS, Btrfs, tmpfs, overlay, ZFS, F2FS.
        const LOCAL: [u64; 7] =
            [0xEF53, 0x5846_5342, 0x9123_683E, 0x0102_1994, 0x794C_7630, 0x2FC1_2FC1, 0xF2F5_2010];
        // The kernel's field is signed or unsigned by architecture; only the low half carries the number.
        #[allow(clippy::cast_sign_loss, reason = "a magic number is a pattern of bits")]
        self.sys
            .call("statfs", || fs::fstatfs(self))
            .is_ok_and(|stat| LOCAL.contains(&(stat.f_type as u64 & 0xFFFF_FFFF)))
    }
}

pub(crate) fn is_dir(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::Directory
}

pub(crate) fn is_file(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
}

/// True when both are the same file on the same device.
pub(crate) fn same(one: &Stat, other: &Stat) -> bool {
    one.st_dev == other.st_dev && one.st_ino == other.st_ino
}
