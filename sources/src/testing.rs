//! Shared by the tests of this crate.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use pipeline::context::{Event, Observer};
use pipeline::frame::channel;
use pipeline::meter::Meter;
use pipeline::{Context, Frame, FrameReceiver, FrameSender, Reader, Result};
use tokio_util::sync::CancellationToken;

pub(crate) fn pair(capacity: usize) -> (FrameSender, FrameReceiver) {
    channel(capacity, Meter::new("source"), Meter::new("test"))
}

/// A context that can be cancelled and remembers its informational lines.
pub(crate) fn context() -> (Context, CancellationToken, Arc<Infos>) {
    let cancel = CancellationToken::new();
    let infos = Arc::new(Infos::default());
    (Context::new(cancel.clone(), Arc::clone(&infos) as Arc<dyn Observer>), cancel, infos)
}

#[derive(Default)]
pub(crate) struct Infos(pub(crate) Mutex<Vec<String>>);

impl Observer for Infos {
    fn on_event(&self, event: &Event<'_>) {
        if let Event::Info(text) = event {
            self.0.lock().unwrap().push((*text).to_owned());
        }
    }
}

/// Everything that is sent until the sender is dropped.
pub(crate) fn collect(mut rx: FrameReceiver) -> tokio::task::JoinHandle<Vec<u8>> {
    tokio::spawn(async move {
        let mut all = Vec::new();
        while let Ok(Frame::Data(data)) = rx.recv().await {
            assert!(!data.is_empty());
            all.extend_from_slice(&data);
        }
        all
    })
}

/// Reads one part whole.
pub(crate) async fn read(reader: Box<dyn Reader>, cx: &Context) -> (Result<()>, Bytes) {
    let (mut tx, rx) = pair(1 << 20);
    let collected = collect(rx);
    let result = reader.read(&mut tx, cx).await;
    drop(tx);
    (result, collected.await.unwrap().into())
}

/// An executable shell script. Another process writes it: a descriptor open for writing here could be inherited by a child that another
/// test starts at that moment, and the script could then not be run (ETXTBSY).
pub(crate) fn script(path: &std::path::Path, text: &str) {
    let status = std::process::Command::new("sh")
        .args(["-c", "printf %s \"$2\" > \"$1\" && chmod 755 \"$1\"", "sh"])
        .arg(path)
        .arg(format!("#!/bin/sh\n{text}\n"))
        .status()
        .unwrap();
    assert!(status.success());
}

/// A directory that is deleted in the end.
pub(crate) fn scratch() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_owned();
    (dir, path)
}
