use std::io::{Seek, Write};

use super::*;
use crate::testing::{collect, context, pair, read, scratch};

async fn run(mut source: FileSource) -> (Result<()>, Bytes) {
    let (cx, _, _) = context();
    source.probe(&cx).await.unwrap();
    let part = source.next_part(&cx).await.unwrap().unwrap();
    read(part.reader, &cx).await
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|n| u8::try_from(n * 31 % 251).unwrap()).collect()
}

#[tokio::test]
async fn every_length_around_the_read_size() {
    let (_dir, path) = scratch();
    let path = path.join("f");
    for len in [0, 1, READ - 1, READ, READ + 1, 3 * READ + 7] {
        std::fs::write(&path, pattern(len)).unwrap();
        let (cx, _, _) = context();
        let info = FileSource::new(&path).probe(&cx).await.unwrap();
        assert_eq!(info.expected_bytes, Some(len as u64));
        let (result, output) = run(FileSource::new(&path)).await;
        result.unwrap();
        assert!(output == pattern(len), "{len}");
    }
}

#[tokio::test]
async fn what_cannot_be_opened_is_exit_3_with_a_hint() {
    let (_dir, path) = scratch();
    let (cx, _, _) = context();
    let error = FileSource::new(path.join("absent")).probe(&cx).await.unwrap_err();
    assert_eq!(error.exit_code(), 3);
    assert!(error.to_string().contains("no such file") && !error.hints().is_empty());
    let error = FileSource::new(&path).probe(&cx).await.unwrap_err();
    assert!(error.to_string().contains("is a directory"));
    let _socket = std::os::unix::net::UnixListener::bind(path.join("s")).unwrap();
    assert_eq!(FileSource::new(path.join("s")).probe(&cx).await.unwrap_err().exit_code(), 3);
}

#[tokio::test]
async fn a_named_pipe_is_read_to_its_end() {
    let (_dir, path) = scratch();
    let path = path.join("fifo");
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    let writer = path.clone();
    let content = pattern(3_000_000);
    let written = content.clone();
    let writing = std::thread::spawn(move || {
        File::options().write(true).open(writer).unwrap().write_all(&written).unwrap();
    });
    let (result, output) = run(FileSource::new(&path)).await;
    result.unwrap();
    writing.join().unwrap();
    assert!(output == content);
}

/// Changes the file after its first piece was read.
async fn changed(change: impl FnOnce(&mut File)) -> Error {
    let (_dir, path) = scratch();
    let path = path.join("f");
    std::fs::write(&path, pattern(20 * READ)).unwrap();
    let (cx, _, _) = context();
    // Small: the reader cannot be far ahead when the change comes.
    let (mut tx, mut rx) = pair(READ);
    let part = FileSource::new(&path).next_part(&cx).await.unwrap().unwrap();
    let reading = tokio::spawn(async move { part.reader.read(&mut tx, &cx).await });
    rx.recv().await.unwrap();
    change(&mut File::options().append(true).open(&path).unwrap());
    let collected = collect(rx);
    let error = reading.await.unwrap().unwrap_err();
    collected.await.unwrap();
    error
}

#[tokio::test]
async fn a_file_that_changes_is_an_error() {
    let grown = changed(|file| file.write_all(b"more").unwrap()).await;
    let shrunk = changed(|file| file.set_len(15 * READ as u64).unwrap()).await;
    let touched = changed(|file| file.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap()).await;
    for error in [grown, shrunk, touched] {
        assert_eq!((error.kind(), error.exit_code()), (Kind::Truncated, 3));
        assert!(error.to_string().contains("changed while it was read"), "{error}");
    }
}

#[tokio::test]
async fn a_file_whose_beginning_was_read_already_is_no_change() {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&pattern(100)).unwrap();
    file.seek(std::io::SeekFrom::Start(40)).unwrap();
    let (cx, _, _) = context();
    let (mut tx, rx) = pair(1 << 20);
    let collected = collect(rx);
    thread::stream("t", &mut tx, &cx, move |outlet| copy(file.as_fd(), "f", outlet)).await.unwrap();
    drop(tx);
    assert_eq!(collected.await.unwrap(), &pattern(100)[40..]);
}

#[tokio::test]
async fn cancelling_returns_at_once_even_when_nobody_writes() {
    let (_dir, path) = scratch();
    let path = path.join("fifo");
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    let (cx, cancel, _) = context();
    let part = FileSource::new(&path).next_part(&cx).await.unwrap().unwrap();
    let (mut tx, _rx) = pair(READ);
    let reading = tokio::spawn(async move { part.reader.read(&mut tx, &cx).await });
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    cancel.cancel();
    assert_eq!(reading.await.unwrap().unwrap_err().kind(), Kind::Cancelled);
    // Lets the thread go.
    drop(File::options().write(true).open(&path).unwrap());
}

/// Release builds only: `cargo test --release -p dbferry-sources -- --ignored --nocapture speed`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement, for release builds"]
async fn speed_of_a_cached_file() {
    let (_dir, path) = scratch();
    let path = path.join("f");
    let block = pattern(READ);
    let mut file = File::create(&path).unwrap();
    for _ in 0..1024 {
        file.write_all(&block).unwrap();
    }
    for _ in 0..5 {
        let (cx, _, _) = context();
        let (mut tx, mut rx) = pair(16 << 20);
        let since = std::time::Instant::now();
        let count = tokio::spawn(async move {
            let mut count = 0;
            while let Ok(pipeline::Frame::Data(data)) = rx.recv().await {
                count += data.len();
            }
            count
        });
        let part = FileSource::new(&path).next_part(&cx).await.unwrap().unwrap();
        part.reader.read(&mut tx, &cx).await.unwrap();
        drop(tx);
        let count = count.await.unwrap();
        let rate = count as f64 / since.elapsed().as_secs_f64() / 1e9;
        std::io::stderr().write_all(format!("{rate:.2} GB/s\n").as_bytes()).unwrap();
    }
}
