//! A directory: every entry's kind, mode, owner, time, links and content.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use super::Fingerprint;
use crate::error::{Context, Result};

/// The fingerprint of everything below `root`. Two names of one file are recorded as such; times are compared to the
/// second, which is what tar's own header keeps.
pub fn tree(root: &Path) -> Result<Fingerprint> {
    let mut print = Fingerprint::default();
    let mut inodes = BTreeMap::new();
    walk(root, root, &mut inodes, &mut print).context(format!("walking {}", root.display()))?;
    Ok(print)
}

fn walk(
    root: &Path,
    dir: &Path,
    inodes: &mut BTreeMap<u64, String>,
    print: &mut Fingerprint,
) -> std::io::Result<()> {
    let mut paths = fs::read_dir(dir)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>()?;
    paths.sort();
    for path in paths {
        let data = path.symlink_metadata()?;
        let kind = data.file_type();
        // Names need not be UTF-8; the escaped form is unique.
        let name = path.strip_prefix(root).unwrap_or(&path).as_os_str().as_bytes().escape_ascii().to_string();
        let content = if kind.is_dir() {
            "directory".to_owned()
        } else if kind.is_symlink() {
            format!("link to {}", fs::read_link(&path)?.as_os_str().as_bytes().escape_ascii())
        } else if kind.is_fifo() {
            "fifo".to_owned()
        } else {
            format!("{} bytes {}", data.len(), blake3::hash(&fs::read(&path)?).to_hex())
        };
        let mut text = format!("{:o} {}:{} {} {content}", data.mode(), data.uid(), data.gid(), data.mtime());
        if data.nlink() > 1 && !kind.is_dir() {
            let first = inodes.entry(data.ino()).or_insert_with(|| name.clone());
            text = format!("{text}, same file as {first}");
        }
        print.definition(format!("path {name}"), text.as_bytes());
        if kind.is_dir() {
            walk(root, &path, inodes, print)?;
        }
    }
    Ok(())
}
