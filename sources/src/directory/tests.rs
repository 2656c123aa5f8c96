use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{Seek, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::process::Command;
use std::time::{Duration, SystemTime};

use super::*;
use crate::testing::{collect, context, pair, read, scratch};

fn noise(len: usize) -> Vec<u8> {
    let mut state = 88_172_645_463_325_252_u64;
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[0]
    })
    .take(len)
    .collect()
}

async fn archive(path: &Path, options: DirectoryOptions) -> (Result<()>, Vec<u8>, Context) {
    let (cx, _, _) = context();
    let mut source = DirectorySource::new(path, options);
    source.probe(&cx).await.unwrap();
    let part = source.next_part(&cx).await.unwrap().unwrap();
    assert_eq!(part.format, Some(Format::Tar));
    assert!(source.next_part(&cx).await.unwrap().is_none());
    let (result, bytes) = read(part.reader, &cx).await;
    (result, bytes.to_vec(), cx)
}

/// GNU tar over the bytes; its output.
fn tar(arguments: &[&str], input: &[u8]) -> String {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), input).unwrap();
    let output =
        Command::new("tar").args(arguments).arg("-f").arg(file.path()).env("LC_ALL", "C").output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && stderr.is_empty(), "{stderr}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Everything that matters of every file: name, metadata, content, and which names are one file.
fn describe(root: &Path) -> Vec<String> {
    fn go(root: &Path, path: &Path, inodes: &mut Vec<u64>, lines: &mut Vec<String>) {
        let meta = fs::symlink_metadata(path).unwrap();
        let inode = inodes.iter().position(|inode| *inode == meta.ino()).unwrap_or_else(|| {
            inodes.push(meta.ino());
            inodes.len() - 1
        });
        let content = if meta.is_file() {
            let mut digest = std::hash::DefaultHasher::new();
            std::hash::Hash::hash(&fs::read(path).unwrap(), &mut digest);
            std::hash::Hasher::finish(&digest)
        } else {
            0
        };
        // A symbolic link's own mode and a directory's size depend on the file system.
        let size = if meta.is_file() { meta.len() } else { 0 };
        lines.push(format!(
            "{:?} {:o} {}:{} {} {} {:?} {content:x} inode {inode}",
            path.strip_prefix(root).unwrap(),
            meta.mode(),
            meta.uid(),
            meta.gid(),
            meta.mtime(),
            size,
            fs::read_link(path).ok(),
        ));
        if meta.is_dir() {
            let mut below: Vec<_> = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect();
            below.sort();
            for path in &below {
                go(root, path, inodes, lines);
            }
        }
    }
    let mut lines = Vec::new();
    go(root, root, &mut Vec::new(), &mut lines);
    lines
}

fn sample(root: &Path) {
    let old = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    for (index, len) in [0, 1, 511, 512, 513, 5_000_000].into_iter().enumerate() {
        let path = root.join(format!("file {index}"));
        fs::write(&path, noise(len)).unwrap();
        File::options().append(true).open(&path).unwrap().set_modified(old).unwrap();
    }
    fs::set_permissions(root.join("file 1"), fs::Permissions::from_mode(0o4751)).unwrap();
    fs::set_permissions(root.join("file 2"), fs::Permissions::from_mode(0o600)).unwrap();
    fs::create_dir(root.join("empty")).unwrap();
    fs::set_permissions(root.join("empty"), fs::Permissions::from_mode(0o1777)).unwrap();
    // 99 to 101 bytes with the `./` are the edge of the header's field.
    for len in [96, 97, 98, 99, 100, 255] {
        fs::write(root.join("n".repeat(len)), len.to_string()).unwrap();
    }
    let mut deep = root.to_owned();
    for _ in 0..8 {
        deep.push("d".repeat(97));
        fs::create_dir(&deep).unwrap();
    }
    fs::write(deep.join("bottom"), "bottom").unwrap();
    fs::write(root.join(OsStr::from_bytes(b"not utf-8 \xff\xfe \n newline")), "x").unwrap();
    symlink("file 1", root.join("link")).unwrap();
    symlink("/nonexistent/../etc/passwd", root.join("dangling")).unwrap();
    symlink("t".repeat(300), root.join("long link")).unwrap();
    symlink("empty", root.join("link to directory")).unwrap();
    fs::hard_link(root.join("file 5"), root.join("zz hard")).unwrap();
    fs::hard_link(root.join("file 5"), root.join("empty/hard")).unwrap();
    assert!(Command::new("mkfifo").arg(root.join("fifo")).status().unwrap().success());
    // OpenShift's user numbers do not fit the octal field. Only root can make such files.
    if std::os::unix::fs::chown(root.join("file 3"), Some(1_000_680_000), Some(3_000_000)).is_err() {
        fs::write(root.join("file 3"), "not root").unwrap();
    }
}

#[tokio::test]
async fn gnu_tar_restores_everything_as_it_was() {
    let (_dir, root) = scratch();
    sample(&root);
    let (result, bytes, cx) = archive(&root, DirectoryOptions { strict: true, ..Default::default() }).await;
    result.unwrap();
    assert!(cx.warnings().is_empty(), "{:?}", cx.warnings());
    let (_dir, target) = scratch();
    tar(&["-x", "-p", "--same-owner", "-C", target.to_str().unwrap()], &bytes);
    assert_eq!(describe(&target), describe(&root));
}

#[tokio::test]
async fn the_listing_is_that_of_gnu_tar() {
    let (_dir, root) = scratch();
    sample(&root);
    let (_, ours, _) = archive(&root, DirectoryOptions::default()).await;
    let output = Command::new("tar")
        .args(["--format=gnu", "--sort=name", "-c", "-C", root.to_str().unwrap(), "."])
        .env("LC_ALL", "C")
        .output()
        .unwrap();
    let mut theirs: Vec<String> = tar(&["-t", "-v"], &output.stdout).lines().map(str::to_owned).collect();
    let mut listed: Vec<String> = tar(&["-t", "-v"], &ours).lines().map(str::to_owned).collect();
    // tar visits a directory's files before its directories; which of several hard links is the first depends on that.
    for lines in [&mut theirs, &mut listed] {
        lines.retain(|line| !line.contains("hard") && !line.contains("file 5"));
        lines.sort();
    }
    assert_eq!(listed, theirs);
}

#[tokio::test]
async fn the_same_files_give_the_same_bytes_and_end_with_two_zero_blocks() {
    let (_dir, root) = scratch();
    sample(&root);
    let (_, first, _) = archive(&root, DirectoryOptions::default()).await;
    let (_, second, _) = archive(&root, DirectoryOptions::default()).await;
    assert!(first == second);
    assert_eq!(first.len() % 512, 0);
    assert!(first.ends_with(&[0; 1024]) && !first.ends_with(&[0; 1024 + 512]));

    let (_dir, empty) = scratch();
    let (result, bytes, _) = archive(&empty, DirectoryOptions::default()).await;
    result.unwrap();
    assert_eq!(bytes.len(), 512 + 1024, "one directory and the end");
    assert_eq!(tar(&["-t"], &bytes), "./\n");
}

#[tokio::test]
async fn holes_stay_holes_and_cost_nothing() {
    let (_dir, root) = scratch();
    let gigabyte = 1 << 30;
    for (name, offsets) in [
        ("all hole", &[][..]),
        ("data at the end", &[40 * gigabyte - 5000]),
        ("data in front", &[0]),
        // More runs than the header (4) and one extension (21) hold.
        ("many", &(0..60).map(|n| n * (1 << 20)).collect::<Vec<u64>>()),
    ] {
        let file = File::create(root.join(name)).unwrap();
        file.set_len(40 * gigabyte).unwrap();
        for offset in offsets {
            file.write_all_at(&noise(5000), *offset).unwrap();
        }
    }
    let (result, bytes, _) = archive(&root, DirectoryOptions { strict: true, ..Default::default() }).await;
    result.unwrap();
    assert!(bytes.len() < 2_000_000, "{}", bytes.len());
    let (_dir, target) = scratch();
    tar(&["-x", "-C", target.to_str().unwrap()], &bytes);
    for entry in fs::read_dir(&root).unwrap() {
        let name = entry.unwrap().file_name();
        let (there, here) = (File::open(root.join(&name)).unwrap(), File::open(target.join(&name)).unwrap());
        assert_eq!(here.metadata().unwrap().len(), 40 * gigabyte);
        assert!(
            here.metadata().unwrap().blocks() * 512 < 2_000_000,
            "{name:?} was restored without its holes"
        );
        let mut probes: Vec<u64> = (0..80).map(|n| n * (1 << 20)).collect();
        probes.extend([0, 40 * gigabyte - 8192, 20 * gigabyte]);
        for offset in probes {
            let (mut a, mut b) = (vec![0; 8192], vec![0; 8192]);
            there.read_exact_at(&mut a, offset).unwrap();
            here.read_exact_at(&mut b, offset).unwrap();
            assert!(a == b, "{name:?} at {offset}");
        }
    }
}

/// Reads `big` half, lets `change` happen, and reads the rest. The channel is so small that the reader cannot be far ahead.
async fn changing(change: impl FnOnce(&Path)) -> (Vec<u8>, Vec<String>, usize) {
    let (_dir, root) = scratch();
    let size = 24 << 20;
    fs::write(root.join("big"), noise(size)).unwrap();
    fs::write(root.join("later"), "after the big one").unwrap();
    let (cx, _, _) = context();
    let options = DirectoryOptions { strict: true, ..Default::default() };
    let part = DirectorySource::new(&root, options).next_part(&cx).await.unwrap().unwrap();
    let (mut tx, mut rx) = pair(1 << 20);
    let shared = cx.clone();
    let reading = tokio::spawn(async move { part.reader.read(&mut tx, &shared).await });
    let pipeline::Frame::Data(first) = rx.recv().await.unwrap() else { panic!() };
    change(&root);
    let collected = collect(rx);
    let result = reading.await.unwrap();
    assert_eq!(result.is_err(), !cx.warnings().is_empty(), "strict makes an error of it");
    let mut bytes = first.to_vec();
    bytes.extend(collected.await.unwrap());
    (bytes, cx.warnings(), size)
}

#[tokio::test]
async fn a_file_that_shrinks_is_padded_and_nothing_behind_it_moves() {
    let (bytes, warnings, size) = changing(|root| {
        File::options().write(true).open(root.join("big")).unwrap().set_len(10 << 20).unwrap();
    })
    .await;
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].starts_with("./big: shrank by 14680064 bytes"), "{warnings:?}");
    let (_dir, target) = scratch();
    tar(&["-x", "-C", target.to_str().unwrap()], &bytes);
    let restored = fs::read(target.join("big")).unwrap();
    assert_eq!(restored.len(), size);
    assert!(
        restored[..10 << 20] == noise(size)[..10 << 20] && restored[10 << 20..].iter().all(|byte| *byte == 0)
    );
    assert_eq!(fs::read(target.join("later")).unwrap(), b"after the big one");
}

#[tokio::test]
async fn of_a_file_that_grows_the_first_part_is_taken() {
    let (bytes, warnings, size) = changing(|root| {
        let mut file = File::options().write(true).open(root.join("big")).unwrap();
        file.seek(std::io::SeekFrom::End(0)).unwrap();
        file.write_all(&vec![7; 3_000_000]).unwrap();
    })
    .await;
    assert!(warnings[0].starts_with("./big: grew while it was read"), "{warnings:?}");
    let (_dir, target) = scratch();
    tar(&["-x", "-C", target.to_str().unwrap()], &bytes);
    assert!(fs::read(target.join("big")).unwrap() == noise(size));
}

#[tokio::test]
async fn a_file_that_vanishes_is_reported_and_left_out() {
    let (bytes, warnings, _) = changing(|root| fs::remove_file(root.join("later")).unwrap()).await;
    assert_eq!(warnings, ["./later: was removed before it was read"]);
    assert_eq!(tar(&["-t"], &bytes), "./\n./big\n");
}

#[tokio::test]
async fn a_file_swapped_for_a_link_to_the_outside_is_stored_as_that_link() {
    let (bytes, warnings, _) = changing(|root| {
        fs::remove_file(root.join("later")).unwrap();
        symlink("/etc/passwd", root.join("later")).unwrap();
    })
    .await;
    assert!(warnings.is_empty(), "{warnings:?}");
    assert!(tar(&["-t", "-v"], &bytes).contains("./later -> /etc/passwd"));
    assert!(!bytes.windows(5).any(|window| window == b"root:"), "the file outside was read");
}

#[tokio::test]
async fn an_unchanged_directory_has_nothing_to_report() {
    let (bytes, warnings, size) = changing(|_| ()).await;
    assert!(warnings.is_empty(), "{warnings:?}");
    assert!(bytes.len() > size);
}

#[tokio::test]
async fn sockets_are_left_out_with_a_warning() {
    let (_dir, root) = scratch();
    let _socket = std::os::unix::net::UnixListener::bind(root.join("socket")).unwrap();
    let (result, bytes, cx) = archive(&root, DirectoryOptions::default()).await;
    result.unwrap();
    assert_eq!(cx.warnings(), ["./socket: is a socket and was left out"]);
    assert_eq!(tar(&["-t"], &bytes), "./\n");
}

#[tokio::test]
async fn what_is_not_a_directory_is_exit_3() {
    let (_dir, root) = scratch();
    fs::write(root.join("file"), "x").unwrap();
    let (cx, _, _) = context();
    for (name, text) in [("absent", "no such directory"), ("file", "is not a directory")] {
        let error =
            DirectorySource::new(root.join(name), DirectoryOptions::default()).probe(&cx).await.unwrap_err();
        assert_eq!(error.exit_code(), 3);
        assert!(error.to_string().contains(text), "{error}");
    }
}
