//! A directory that archivers get wrong.

use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::error::{Context, Result};

/// Fills `root`, which must exist: modes with setuid and sticky bits, a file nobody may read, symbolic links (dangling,
/// to a directory, longer than a tar header's 100 bytes), hard links, names of 255 bytes and a path of more than 700,
/// a name that is not UTF-8, names with newline, quote, backslash and leading dash, an empty file and an empty
/// directory, a FIFO, old and new times with nanoseconds, and an 8 MiB sparse file that holds two small pieces.
pub fn make_tree(root: &Path) -> Result<()> {
    let made = build(root);
    made.context(format!("making the sample tree in {}", root.display()))
}

fn build(root: &Path) -> std::io::Result<()> {
    let every_byte: Vec<u8> = (0..=255).collect();
    fs::write(root.join("every byte.bin"), every_byte.repeat(300))?;
    fs::write(root.join("empty"), "")?;
    fs::create_dir(root.join("empty directory"))?;

    fs::create_dir(root.join("modes"))?;
    for mode in [0o400, 0o600, 0o644, 0o755, 0o777, 0o000, 0o4755, 0o2755, 0o1777, 0o6711] {
        let path = root.join(format!("modes/{mode:04o}"));
        fs::write(&path, format!("mode {mode:o}\n"))?;
        fs::set_permissions(&path, Permissions::from_mode(mode))?;
    }

    fs::create_dir(root.join("names"))?;
    let names: [&[u8]; 8] = [
        b"new\nline",
        b"tab\there",
        b"back\\slash",
        b"'quote' \"double\"",
        b"--dash",
        b" blank ",
        b"\xff\xfe not utf8 \x80",
        "ünï 😀".as_bytes(),
    ];
    for name in names {
        fs::write(root.join("names").join(OsStr::from_bytes(name)), name)?;
    }
    // Exactly at and around the 100 bytes of a ustar name, and the longest that file systems take.
    for length in [99, 100, 101, 155, 156, 255] {
        fs::write(root.join("names").join("n".repeat(length)), length.to_string())?;
    }
    let mut deep = root.join("deep");
    for level in 0..7 {
        deep.push(format!("{level}-{}", "d".repeat(98)));
    }
    fs::create_dir_all(&deep)?;
    fs::write(deep.join("at the bottom"), "700 bytes of path\n")?;

    fs::create_dir(root.join("links"))?;
    symlink("../every byte.bin", root.join("links/relative"))?;
    symlink("/nowhere/at/all", root.join("links/dangling"))?;
    symlink("..", root.join("links/up"))?;
    symlink(format!("../{}", "x".repeat(200)), root.join("links/long target"))?;
    symlink(OsStr::from_bytes(b"\xff\n"), root.join("links/odd target"))?;
    fs::write(root.join("links/first"), "one file, two names\n")?;
    fs::hard_link(root.join("links/first"), root.join("links/second"))?;
    fs::hard_link(root.join("links/first"), root.join("a third name"))?;

    let mut sparse = File::create(root.join("sparse"))?;
    sparse.seek(SeekFrom::Start(1 << 20))?;
    sparse.write_all(b"in the middle")?;
    sparse.seek(SeekFrom::Start((8 << 20) - 3))?;
    sparse.write_all(b"end")?;
    drop(sparse);
    rustix::fs::mknodat(
        rustix::fs::CWD,
        root.join("fifo"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o644),
        0,
    )?;

    let times = [
        ("old", Duration::from_secs(1)),
        ("nanoseconds", Duration::new(1_600_000_000, 123_456_789)),
        ("late", Duration::from_secs(9_000_000_000)),
    ];
    for (name, since) in times {
        let file = File::create(root.join(name))?;
        file.set_modified(SystemTime::UNIX_EPOCH + since)?;
    }
    Ok(())
}
