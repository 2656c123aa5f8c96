//! What a failed system call means to the person who reads it.

use std::io;
use std::path::Path;

use pipeline::Error;
use rustix::io::Errno;

use super::names::shown;

/// An error of the sink stage: what could not be done to what, why, and what helps.
pub(crate) fn failed(what: &str, path: &Path, error: io::Error) -> Error {
    let failure = Error::sink(format!("{what} {}", shown(path)));
    let failure = match Errno::from_io_error(&error) {
        Some(Errno::NOSPC) => failure.hint("the file system is full (or out of inodes, see `df -i`): make room, or write elsewhere"),
        Some(Errno::DQUOT) => failure.hint("the quota of this user, group or project is used up"),
        Some(Errno::FBIG) => failure.hint("the file system or `ulimit -f` allows no file this large"),
        Some(Errno::ROFS) => failure.hint("the file system is mounted read-only"),
        Some(Errno::ACCESS | Errno::PERM) => failure.hint(format!(
            "user {} needs permission to read, write and enter this directory; on a Kubernetes volume see `fsGroup`",
            rustix::process::geteuid().as_raw()
        )),
        Some(Errno::NOENT) => failure.hint("does the directory still exist?"),
        Some(Errno::IO) => failure.hint("the device reports an error: see `dmesg`"),
        Some(Errno::STALE) => failure.hint("the network file system lost the file: is the server or the mount new?"),
        Some(Errno::NAMETOOLONG) => failure.hint("the hidden name for staging adds the run's id: choose a shorter name"),
        _ => failure,
    };
    failure.caused_by(error)
}
