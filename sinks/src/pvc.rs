//! Archives on a mounted volume: a [`FileDestination`] that first makes sure that a volume is there.
//!
//! A claim that was not mounted leaves an ordinary directory of the container's own disk, which a dump fills until the node evicts
//! the pod. And a volume that is filled to its last byte takes down whatever else lives on it, so a reserve stays free.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use pipeline::{Context, Destination, Error, Manifest, PartHeader, Result, Sink};

use crate::file::failure::failed;
use crate::file::names::shown;
use crate::file::sys::{Dir, Sys};
use crate::file::{FileDestination, FileOptions, url};
use crate::writer::blocking;

/// The reserve is this much, or a hundredth of the volume if that is more.
const RESERVE: u64 = 64 << 20;

/// An archive on a mounted volume.
#[derive(Debug)]
pub struct PvcDestination {
    file: FileDestination,
    default_reserve: bool,
    // As the probe found it.
    room: Option<u64>,
}

impl PvcDestination {
    /// A destination at this path on a volume. The reserve is that of the options, or if it is `None` 64 MiB or a hundredth of
    /// the volume, whichever is more.
    pub fn new(path: impl AsRef<Path>, options: FileOptions, reserve: Option<u64>) -> Result<Self> {
        let options = FileOptions { reserve: reserve.unwrap_or(0), ..options };
        let file = FileDestination::new(path, options)?;
        Ok(Self { file, default_reserve: reserve.is_none(), room: None })
    }
}

#[async_trait]
impl Destination for PvcDestination {
    fn endpoint(&self) -> String {
        url("pvc", self.file.path())
    }

    fn memory(&self) -> usize {
        self.file.memory()
    }

    async fn probe(&mut self, cx: &Context) -> Result<Option<u64>> {
        let parent = self.file.parent().to_owned();
        let (mount, capacity) = blocking(move || {
            let mount = volume_of(&parent)?;
            let capacity = Dir::open(&parent, &Sys::default()).and_then(|dir| dir.capacity());
            Ok((mount, capacity.map_err(|error| failed("cannot see the size of", &parent, error))?))
        })
        .await?;
        if matches!(mount.kind.as_slice(), b"tmpfs" | b"ramfs") {
            cx.warn(format!(
                "the volume at {} lives in memory: it is gone with its pod",
                shown(&mount.point)
            ));
        }
        if self.default_reserve {
            self.file.set_reserve(RESERVE.max(capacity / 100));
        }
        self.room = self.file.probe(cx).await?;
        Ok(self.room)
    }

    async fn open(&self, part: &PartHeader, cx: &Context) -> Result<Box<dyn Sink>> {
        // An estimate refuses nothing: the look at the free space while writing does.
        if let (Some(expected), Some(room)) = (part.expected_bytes, self.room)
            && expected > room
        {
            cx.warn(format!("about {expected} bytes are expected, and the volume has room for {room}"));
        }
        self.file.open(part, cx).await
    }

    async fn publish(&mut self, manifest: &Manifest, cx: &Context) -> Result<()> {
        self.file.publish(manifest, cx).await
    }

    async fn abandon(&mut self) -> Result<()> {
        self.file.abandon().await
    }
}

/// Refuses a folder that lies on no volume.
pub fn require_volume(directory: &Path) -> Result<()> {
    volume_of(directory).map(drop)
}

/// One line of `/proc/self/mountinfo`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Mount {
    point: PathBuf,
    kind: Vec<u8>,
}

/// The mount that a directory lies on, which must not be the root.
fn volume_of(directory: &Path) -> Result<Mount> {
    let real = std::fs::canonicalize(directory).map_err(|error| failed("cannot find", directory, error))?;
    let table = std::fs::read("/proc/self/mountinfo")
        .map_err(|error| failed("cannot read", Path::new("/proc/self/mountinfo"), error))?;
    let mounts = mounts(&table);
    match mount_of(&real, &mounts) {
        Some(mount) if mount.point != Path::new("/") => Ok(mount.clone()),
        _ => {
            let points: Vec<String> = mounts
                .iter()
                .filter(|mount| is_storage(mount))
                .map(|mount| mount.point.display().to_string())
                .collect();
            let hint = if points.is_empty() {
                "mount a volume there; for a directory of this machine's own disk use file://".to_owned()
            } else {
                format!(
                    "mounted here: {}; for a directory of this machine's own disk use file://",
                    points.join(", ")
                )
            };
            Err(Error::sink(format!("no volume is mounted at {} or above", shown(directory))).hint(hint))
        }
    }
}

/// The mount with the longest point that `path` lies below; the later of two at one point, since it covers the earlier.
fn mount_of<'a>(path: &Path, mounts: &'a [Mount]) -> Option<&'a Mount> {
    mounts
        .iter()
        .filter(|mount| path.starts_with(&mount.point))
        .max_by_key(|mount| mount.point.components().count())
}

/// Leaves out what no archive would be written to, for the list in a hint.
fn is_storage(mount: &Mount) -> bool {
    let system = ["/proc", "/sys", "/dev", "/etc", "/run"];
    mount.point != Path::new("/") && !system.iter().any(|system| mount.point.starts_with(system))
}

/// Parses mountinfo, see proc_pid_mountinfo(5): the fifth field is the point, the first after the lone dash the kind.
fn mounts(table: &[u8]) -> Vec<Mount> {
    let parse = |line: &[u8]| {
        let fields: Vec<&[u8]> = line.split(|&byte| byte == b' ').collect();
        let dash = fields.iter().skip(6).position(|field| field == b"-")? + 6;
        Some(Mount { point: unescape(fields.get(4)?), kind: fields.get(dash + 1)?.to_vec() })
    };
    table.split(|&byte| byte == b'\n').filter_map(parse).collect()
}

/// Space, tab, newline and backslash are written as a backslash and three octal digits.
fn unescape(field: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, after)) = rest.split_first() {
        let code = after.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        match code.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) if first == b'\\' => {
                bytes.push(byte);
                rest = &after[3..];
            }
            _ => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    PathBuf::from(OsString::from_vec(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &[u8] = b"\
22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime - overlay overlay rw
28 27 0:25 / /backup rw - tmpfs old rw
29 27 8:1 /pvc-1 /backup rw,relatime shared:1 master:2 - ext4 /dev/sda1 rw
30 29 8:2 / /backup/with\\040space rw - xfs /dev/sdb rw
31 27 8:1 /hosts /etc/hosts rw - ext4 /dev/sda1 rw
";

    fn kind(path: &str) -> String {
        let mounts = mounts(TABLE);
        let mount = mount_of(Path::new(path), &mounts).expect("the root is a mount");
        String::from_utf8_lossy(&mount.kind).into_owned()
    }

    #[test]
    fn the_longest_and_last_mount_counts() {
        assert_eq!(mounts(TABLE).len(), 6);
        assert_eq!(kind("/"), "overlay");
        assert_eq!(kind("/var/lib"), "overlay");
        assert_eq!(kind("/backups"), "overlay", "a longer name is no directory below");
        assert_eq!(kind("/backup"), "ext4");
        assert_eq!(kind("/backup/a/b"), "ext4");
        assert_eq!(kind("/backup/with space/a"), "xfs");
    }

    #[test]
    fn a_path_on_the_root_is_refused_with_the_volumes_that_there_are() {
        let error = volume_of(Path::new("/")).expect_err("the root is no volume");
        assert_eq!(error.exit_code(), 5);
        assert!(error.hints()[0].contains("file://"), "{error:?}");
    }
}
