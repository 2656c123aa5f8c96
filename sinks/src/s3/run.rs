//! What one run has in the store, shared by the destination and its sinks.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use pipeline::{Error, Result, Stage};
use stores::s3::checksum::Crc64;
use stores::s3::{Bucket, Class, Kind, PartTag, Upload};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::S3Options;
use crate::part_path;

/// One run's uploads.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) bucket: Bucket,
    /// The checksum that the store was seen to check.
    pub(crate) kind: Kind,
    pub(crate) options: S3Options,
    /// Every task that may change something in the store.
    pub(crate) tasks: TaskTracker,
    /// Cancelled when nothing more may become visible.
    pub(crate) stop: CancellationToken,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    closed: bool,
    // Begun, and neither completed nor aborted as far as is known.
    open: Vec<Upload>,
    stored: BTreeMap<String, Stored>,
    form: Option<Form>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Stream,
    Parts,
}

/// A part that was committed.
#[derive(Debug)]
pub(crate) enum Stored {
    /// In one buffer, to be put when the archive is published.
    Held(Bytes),
    /// In the store, to be completed when the archive is published.
    Uploaded { upload: Upload, parts: Vec<PartTag>, whole: Option<Crc64>, bytes: u64 },
}

impl Stored {
    pub(crate) fn bytes(&self) -> u64 {
        match self {
            Self::Held(data) => data.len() as u64,
            Self::Uploaded { bytes, .. } => *bytes,
        }
    }
}

impl Run {
    pub(crate) fn new(bucket: Bucket, kind: Kind, options: S3Options) -> Arc<Self> {
        Arc::new(Self {
            bucket,
            kind,
            options,
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
            state: Mutex::default(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state, if parts may still be added.
    fn open_state(&self) -> Result<MutexGuard<'_, State>> {
        let state = self.lock();
        if state.closed {
            return Err(Error::bug("the archive was already published or abandoned"));
        }
        Ok(state)
    }

    /// The archive's own key.
    pub(crate) fn root(&self) -> &str {
        &self.bucket.url().key
    }

    /// The key of a part.
    pub(crate) fn key(&self, path: Option<&str>) -> Result<String> {
        let form = if path.is_some() { Form::Parts } else { Form::Stream };
        let key = match path {
            None => self.root().to_owned(),
            Some(path) => {
                part_path(path)?;
                format!("{}/{path}", self.root())
            }
        };
        let mut state = self.open_state()?;
        if *state.form.get_or_insert(form) != form {
            return Err(Error::bug("a part without a path in an archive of many parts"));
        }
        Ok(key)
    }

    /// Begins an upload. A task of its own, so that an upload whose maker is gone is known all the same.
    pub(crate) async fn begin(self: &Arc<Self>, key: &str) -> Result<Upload> {
        let (run, key) = (Arc::clone(self), key.to_owned());
        let begun = self.tasks.spawn(async move {
            let doing = || format!("cannot begin an upload to {}", run.bucket.url());
            let upload = run
                .bucket
                .create(&key, run.kind, &run.options.id)
                .await
                .map_err(|failure| failure.into_error(Stage::Sink, &doing()))?;
            let closed = {
                let mut state = run.lock();
                state.open.push(upload.clone());
                state.closed
            };
            if closed {
                run.discard(&upload).await?;
                return Err(Error::cancelled());
            }
            Ok(upload)
        });
        begun.await.map_err(|panic| Error::bug("beginning an upload panicked").caused_by(panic))?
    }

    /// Removes an upload.
    pub(crate) async fn discard(&self, upload: &Upload) -> Result<()> {
        match self.bucket.abort(upload).await {
            Ok(()) => {
                self.closed(upload);
                Ok(())
            }
            Err(failure) => {
                let denied = failure.class == Class::Denied;
                let error = failure
                    .into_error(Stage::Sink, "cannot abort an upload")
                    .with("key", &upload.key)
                    .with("upload id", &upload.id)
                    .hint("an incomplete upload costs storage until it is removed: `dbferry gc` does");
                Err(if denied { error.hint("the permission is s3:AbortMultipartUpload") } else { error })
            }
        }
    }

    /// The upload is no more: completed or aborted.
    pub(crate) fn closed(&self, upload: &Upload) {
        self.lock().open.retain(|open| open != upload);
    }

    /// Takes a part that is whole.
    pub(crate) fn keep(&self, key: String, stored: Stored) -> Result<()> {
        self.open_state()?.stored.insert(key, stored);
        Ok(())
    }

    /// Ends the taking of parts, and gives what there is.
    pub(crate) fn close(&self) -> Result<(Form, BTreeMap<String, Stored>)> {
        let mut state = self.open_state()?;
        state.closed = true;
        let stored = std::mem::take(&mut state.stored);
        match state.form {
            Some(form) if !stored.is_empty() => Ok((form, stored)),
            _ => Err(Error::sink("the source had no parts, so there is no archive to publish")),
        }
    }

    /// Removes every upload that is left, after whatever still runs has ended.
    pub(crate) async fn abandon(&self) -> Result<()> {
        self.stop.cancel();
        {
            let mut state = self.lock();
            state.closed = true;
            state.stored.clear();
        }
        self.tasks.close();
        self.tasks.wait().await;
        let mut left = std::mem::take(&mut self.lock().open);
        let mut outcome = Ok(());
        while !left.is_empty() {
            let batch = left.split_off(left.len().saturating_sub(8));
            let mut aborts = tokio::task::JoinSet::new();
            for upload in batch {
                let bucket = self.bucket.clone();
                aborts.spawn(async move { (bucket.abort(&upload).await, upload) });
            }
            while let Some(done) = aborts.join_next().await {
                let Ok((aborted, upload)) = done else { continue };
                if let Err(failure) = aborted {
                    let error = failure.into_error(Stage::Sink, "cannot abort an upload");
                    let error = error.with("key", upload.key).with("upload id", upload.id);
                    outcome = Err(error.hint("`dbferry gc` removes it"));
                }
            }
        }
        outcome
    }
}
