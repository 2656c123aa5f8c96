use std::io::Read as _;
use std::os::fd::OwnedFd;

use pipeline::testing::{Random, content};

use super::*;

fn pipe() -> (std::io::PipeReader, File) {
    let (reader, writer) = std::io::pipe().expect("pipe");
    (reader, File::from(OwnedFd::from(writer)))
}

async fn open(destination: &StdoutDestination) -> Box<dyn Sink> {
    destination.open(&PartHeader::default(), &Context::silent()).await.expect("open")
}

#[tokio::test]
async fn a_reader_gets_every_byte_and_then_the_end() {
    let (mut reader, writer) = pipe();
    let reading = std::thread::spawn(move || {
        let mut all = Vec::new();
        reader.read_to_end(&mut all).expect("read");
        all
    });
    let data = Bytes::from(Random::new(1).bytes((5 << 20) + 3));
    let mut destination = StdoutDestination::to(writer);
    assert_eq!(destination.probe(&Context::silent()).await.expect("probe"), None);
    let mut sink = open(&destination).await;
    for piece in data.chunks(77_777) {
        sink.write(Bytes::copy_from_slice(piece)).await.expect("write");
    }
    let receipt = sink.commit(&content(&data)).await.expect("commit");
    assert_eq!(receipt, Receipt { bytes: data.len() as u64, proof: Proof::Unverified });
    assert!(reading.join().expect("no panic") == data);
}

#[tokio::test]
async fn a_reader_that_goes_away_is_a_failure_of_the_sink() {
    let (reader, writer) = pipe();
    let destination = StdoutDestination::to(writer);
    let mut sink = open(&destination).await;
    drop(reader);
    let data = Bytes::from(vec![1; 100]);
    // So little is only gathered: the commit must notice.
    sink.write(data.clone()).await.expect("gathered");
    let error = sink.commit(&content(&data)).await.expect_err("nobody reads");
    assert_eq!(error.exit_code(), 5);
    assert!(error.hints()[0].contains("went away"), "{error:?}");
}

#[tokio::test]
async fn a_stalled_reader_stops_the_writer_within_its_memory() {
    let (reader, writer) = pipe();
    let destination = StdoutDestination::to(writer);
    let mut sink = open(&destination).await;
    let piece = Bytes::from(vec![1; 64 << 10]);
    let mut taken = 0;
    let wait = Duration::from_millis(100);
    while tokio::time::timeout(wait, sink.write(piece.clone())).await.is_ok() {
        taken += piece.len();
    }
    assert!(taken >= 1 << 20 && taken <= destination.memory(), "{taken} bytes were taken");
    // Does not wait for the stalled write.
    drop(sink);
    drop(reader);
}

#[tokio::test]
async fn a_wrong_count_and_a_second_part_are_refused() {
    let (_reader, writer) = pipe();
    let destination = StdoutDestination::to(writer);
    let mut sink = open(&destination).await;
    let second = destination.open(&PartHeader::default(), &Context::silent()).await;
    assert_eq!(second.err().expect("one stream").exit_code(), 5);
    sink.write(Bytes::from_static(b"abc")).await.expect("write");
    assert!(sink.commit(&content(b"ab")).await.is_err());
    let (_reader, writer) = pipe();
    let many = PartHeader { path: Some("a".to_owned()), ..PartHeader::default() };
    let refused = StdoutDestination::to(writer).open(&many, &Context::silent()).await;
    assert_eq!(refused.err().expect("one stream").exit_code(), 5);
}

#[tokio::test]
async fn a_file_behind_the_descriptor_is_synced() {
    let file = tempfile::tempfile().expect("file");
    let destination = StdoutDestination::to(file.try_clone().expect("clone"));
    let mut sink = open(&destination).await;
    sink.write(Bytes::from_static(b"abc")).await.expect("write");
    assert_eq!(sink.commit(&content(b"abc")).await.expect("commit").proof, Proof::Synced);
    assert_eq!(file.metadata().expect("stat").len(), 3);
}

#[tokio::test]
async fn a_full_device_is_a_failure() {
    let full = File::options().write(true).open("/dev/full").expect("open");
    let destination = StdoutDestination::to(full);
    let mut sink = open(&destination).await;
    sink.write(Bytes::from_static(b"abc")).await.expect("gathered");
    assert_eq!(sink.commit(&content(b"abc")).await.expect_err("full").exit_code(), 5);
}

#[tokio::test]
async fn a_terminal_is_refused_unless_allowed() {
    // The controlling end of a new pseudo-terminal is a terminal as well.
    let terminal = || File::options().read(true).write(true).open("/dev/ptmx").expect("a pseudo-terminal");
    let error = StdoutDestination::to(terminal()).probe(&Context::silent()).await.expect_err("a terminal");
    assert_eq!(error.exit_code(), 2);
    StdoutDestination::to(terminal()).allow_terminal().probe(&Context::silent()).await.expect("allowed");
}
