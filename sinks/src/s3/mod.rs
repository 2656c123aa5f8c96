//! Archives in S3: a stream as the object `KEY` with `KEY.manifest.json`, or objects below `KEY/` with `KEY/manifest.json`.
//!
//! - Every part goes up as a multipart upload, which nobody sees until it is completed; `commit` waits until the store has acknowledged all of it, under
//!   checksums that the store checked. `publish` completes the uploads and puts the manifest, last. So there is never an object whose bytes are not whole,
//!   and an object without a manifest is no archive. A stream that fits in one buffer is held and put in one piece.
//! - An answer that was lost is resolved by looking: objects carry the run that wrote them (`x-amz-meta-dbferry-run`).
//! - A run that fails, is cancelled or panics aborts its uploads. What a killed run leaves (an upload, at worst whole objects without a manifest) is found by `dbferry gc`.
//! - Where an archive is replaced, or has many objects, one run at a time publishes: `lock.rs`.

mod ladder;
mod lock;
mod outcome;
mod part;
mod publish;
mod run;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pipeline::manifest::{ENDING, IN_DIRECTORY};
use pipeline::{Context, Destination, Error, Manifest, PartHeader, Result, Sink, Stage};
use stores::s3::{Bucket, Class, Patience, S3Url, probe};

use self::part::S3Sink;
use self::run::Run;

/// What the SDK holds beside our buffers: its own code and data, connections and what they buffer.
const SDK: usize = 8 << 20;
/// How long the probe tries to reach the store: long enough for a hiccup, short enough for a wrong address.
const PROBE_WITHIN: Duration = Duration::from_secs(10);

/// How an archive is stored.
#[derive(Debug, Clone)]
pub struct S3Options {
    /// The run's id.
    pub id: String,
    /// Replace an archive that is there.
    pub overwrite: bool,
    /// Read every object back and compare digests before the manifest is written.
    pub read_back: bool,
    /// Do not read back even what the store did not check.
    pub no_verify: bool,
    /// Bytes for the parts that are being filled and sent; at least 10 MiB are used.
    pub buffer: usize,
}

impl S3Options {
    /// Refuse what exists, 80 MiB of buffers.
    pub fn new(id: impl Into<String>) -> Self {
        Self { id: id.into(), overwrite: false, read_back: false, no_verify: false, buffer: 80 << 20 }
    }
}

/// An archive in S3.
#[derive(Debug)]
pub struct S3Destination {
    url: S3Url,
    options: S3Options,
    run: Option<Arc<Run>>,
}

impl S3Destination {
    /// An archive at this address.
    pub fn new(mut url: S3Url, mut options: S3Options) -> Result<Self> {
        while url.key.ends_with('/') {
            url.key.pop();
        }
        if url.key.is_empty() {
            return Err(Error::usage(format!("{url} names no key")).hint("write s3://BUCKET/KEY"));
        }
        if url.key.ends_with(ENDING) {
            return Err(Error::usage(format!("{url} is the name of a manifest"))
                .hint("name the archive; its manifest goes beside it"));
        }
        if url.anonymous {
            return Err(Error::usage("anonymous in the S3 address is for reading"));
        }
        // One part that is filled while another is sent; a part size that was asked for is kept to.
        let least = usize::try_from(url.part_size.unwrap_or(5 << 20)).unwrap_or(usize::MAX).saturating_mul(2);
        options.buffer = options.buffer.max(least);
        Ok(Self { url, options, run: None })
    }

    fn run(&self) -> Result<&Arc<Run>> {
        self.run.as_ref().ok_or_else(|| Error::bug("a destination was used before it was probed"))
    }

    /// Refuses what is there already.
    async fn look(&self, bucket: &Bucket) -> Result<()> {
        let key = &self.url.key;
        for (name, is_manifest) in
            [(format!("{key}{ENDING}"), true), (format!("{key}/{IN_DIRECTORY}"), true), (key.clone(), false)]
        {
            let found = match bucket.head(&name).await {
                Ok(found) => found,
                // Without the permission to list, AWS answers 403 for what is not there. The write will tell.
                Err(failure) if failure.class == Class::Denied => None,
                Err(failure) => {
                    return Err(failure.into_error(Stage::Sink, &format!("cannot look at {}", self.url)));
                }
            };
            if found.is_some() {
                return Err(exists(&self.url, is_manifest));
            }
        }
        Ok(())
    }
}

/// There is something in the place of the archive.
fn exists(url: &S3Url, is_archive: bool) -> Error {
    if is_archive {
        Error::sink(format!("{url} already exists")).hint("`--overwrite` replaces it")
    } else {
        Error::sink(format!("there is an object at {url} that is no archive: it has no manifest"))
            .hint("a run that was killed may have left it: `dbferry gc` shows and removes such objects")
            .hint("`--overwrite` replaces it")
    }
}

#[async_trait]
impl Destination for S3Destination {
    fn endpoint(&self) -> String {
        self.url.to_string()
    }

    fn memory(&self) -> usize {
        self.options.buffer + SDK
    }

    async fn probe(&mut self, cx: &Context) -> Result<Option<u64>> {
        let bucket = Bucket::connect(&self.url).await?;
        let hasty = bucket.with_patience(Patience::new(PROBE_WITHIN.min(self.url.retry)));
        if !self.options.overwrite {
            self.look(&hasty).await?;
        }
        let kind = probe::settle(&hasty, &self.url.key, cx).await?;
        self.run = Some(Run::new(bucket, kind, self.options.clone()));
        Ok(None)
    }

    async fn open(&self, part: &PartHeader, cx: &Context) -> Result<Box<dyn Sink>> {
        let sink = S3Sink::new(self.run()?, part)?;
        // An estimate refuses nothing: compression may make it fit.
        if let Some(expected) = part.expected_bytes
            && expected > sink.capacity()
        {
            cx.warn(format!(
                "about {} GiB are expected, and with this --memory an object can have {}: unless compression makes them so much smaller, the run \
                 will fail after that many",
                expected >> 30,
                sink.capacity() >> 30
            ));
        }
        Ok(Box::new(sink))
    }

    async fn publish(&mut self, manifest: &Manifest, cx: &Context) -> Result<()> {
        let run = Arc::clone(self.run()?);
        let (manifest, cx) = (manifest.clone(), cx.clone());
        // A task of its own: dropping this future must not leave a request whose outcome nobody looks at.
        let stop = run.stop.clone().drop_guard();
        let task = run.tasks.spawn({
            let run = Arc::clone(&run);
            async move { Box::pin(publish::publish(&run, manifest, &cx)).await }
        });
        let result = task.await.map_err(|panic| Error::bug("publishing panicked").caused_by(panic))?;
        stop.disarm();
        result
    }

    async fn abandon(&mut self) -> Result<()> {
        match self.run.take() {
            Some(run) => run.abandon().await,
            None => Ok(()),
        }
    }
}

impl Drop for S3Destination {
    fn drop(&mut self) {
        let Some(run) = self.run.take() else { return };
        // Whoever drops has nobody to tell; what cannot be removed is found by `gc`.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { run.abandon().await.ok() });
        }
    }
}
