//! The two ends of a measured run: a source that stops when its time is over, and a destination that keeps nothing.
//!
//! Both are what the engine runs for `copy`, with one promise less: a stream that was cut ends as if it were whole, and what was written is removed
//! where `copy` would publish it. So a measured run goes through every stage and its end, and no archive can come of it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use pipeline::frame::{self, Frame, FrameReceiver};
use pipeline::meter::Meter;
use pipeline::{
    Context, Destination, Error, Format, FrameSender, Manifest, Output, Part, PartHeader, Reader, Result,
    Sink, Source, SourceInfo, Steps, Transform, TransformReport,
};
use tokio::time::Instant;

use super::sample::Head;

/// What is on its way between a reader and the clock that stops it.
pub(super) const ROOM: usize = 4 << 20;

/// How long a source may take to say what it learned.
const FACTS: Duration = Duration::from_secs(2);

/// What is seen of a stream where it leaves its source.
#[derive(Debug)]
pub(super) struct Flow {
    slice: Duration,
    first: OnceLock<Instant>,
    cut: AtomicBool,
    head: Option<Mutex<Head>>,
}

impl Flow {
    /// Stops the stream so long after its first byte.
    pub(super) fn new(slice: Duration, keep_head: bool) -> Arc<Self> {
        let head = keep_head.then(|| Mutex::new(Head::default()));
        Arc::new(Self { slice, first: OnceLock::new(), cut: AtomicBool::new(false), head })
    }

    /// When the first byte came.
    pub(super) fn first(&self) -> Option<Instant> {
        self.first.get().copied()
    }

    /// Whether the source had more.
    pub(super) fn was_cut(&self) -> bool {
        self.cut.load(Relaxed)
    }

    pub(super) fn head(&self) -> Vec<Bytes> {
        let take = |head: &Mutex<Head>| {
            std::mem::take(&mut head.lock().unwrap_or_else(PoisonError::into_inner).pieces)
        };
        self.head.as_ref().map(take).unwrap_or_default()
    }

    fn saw(&self, data: &Bytes) {
        self.first.get_or_init(Instant::now);
        if let Some(head) = &self.head {
            head.lock().unwrap_or_else(PoisonError::into_inner).push(data);
        }
    }

    async fn over(&self) {
        match self.first.get() {
            Some(first) => tokio::time::sleep_until(*first + self.slice).await,
            // Armed by the first byte; until then only the whole run's own limit counts.
            None => std::future::pending().await,
        }
    }
}

/// A source whose parts end when their time is over.
pub(super) struct Bounded {
    pub(super) inner: Box<dyn Source>,
    pub(super) flow: Arc<Flow>,
}

#[async_trait]
impl Source for Bounded {
    fn endpoint(&self) -> String {
        self.inner.endpoint()
    }

    async fn probe(&mut self, cx: &Context) -> Result<SourceInfo> {
        self.inner.probe(cx).await
    }

    async fn next_part(&mut self, cx: &Context) -> Result<Option<Part>> {
        if self.flow.was_cut() {
            return Ok(None);
        }
        let part = self.inner.next_part(cx).await?;
        Ok(part.map(|part| {
            let reader = BoundedReader { inner: part.reader, flow: Arc::clone(&self.flow) };
            Part { reader: Box::new(reader), ..part }
        }))
    }

    async fn finish(self: Box<Self>, cx: &Context) -> Result<BTreeMap<String, String>> {
        if !self.flow.was_cut() {
            return self.inner.finish(cx).await;
        }
        // What it has against a stream that was cut is no news; how it took its snapshot is worth knowing.
        let facts = tokio::time::timeout(FACTS, self.inner.finish(cx)).await;
        Ok(facts.ok().and_then(Result::ok).unwrap_or_default())
    }
}

struct BoundedReader {
    inner: Box<dyn Reader>,
    flow: Arc<Flow>,
}

#[async_trait]
impl Reader for BoundedReader {
    fn memory(&self) -> usize {
        self.inner.memory() + ROOM
    }

    async fn read(self: Box<Self>, out: &mut FrameSender, cx: &Context) -> Result<()> {
        let Self { inner, flow } = *self;
        let (mut tx, rx) = frame::channel(ROOM, Meter::new("reader"), Meter::new("clock"));
        let reading = async move {
            inner.read(&mut tx, cx).await?;
            tx.finish().map(drop)
        };
        let (mut reading, mut forwarding) =
            (std::pin::pin!(reading), std::pin::pin!(forward(rx, out, &flow)));
        let mut done = false;
        loop {
            tokio::select! {
                biased;
                result = &mut reading, if !done => {
                    result?;
                    done = true;
                }
                // Dropping the reader is how it is told to let go.
                result = &mut forwarding => return result,
            }
        }
    }
}

async fn forward(mut rx: FrameReceiver, out: &mut FrameSender, flow: &Flow) -> Result<()> {
    loop {
        let frame = tokio::select! {
            frame = rx.recv() => frame?,
            () = flow.over() => break,
        };
        let Frame::Data(data) = frame else { return Ok(()) };
        flow.saw(&data);
        tokio::select! {
            sent = out.send(data) => sent?,
            () = flow.over() => break,
        }
    }
    flow.cut.store(true, Relaxed);
    Ok(())
}

/// Steps that do not mind a stream that was cut.
pub(super) fn lenient(
    steps: Steps,
    flow: Arc<Flow>,
    last: impl Fn() -> Option<Box<dyn Transform>> + Send + Sync + 'static,
) -> Steps {
    Arc::new(move |format| {
        let wrap = |inner| -> Box<dyn Transform> { Box::new(Lenient { inner, flow: Arc::clone(&flow) }) };
        Ok(steps(format)?.into_iter().map(wrap).chain(last()).collect())
    })
}

struct Lenient {
    inner: Box<dyn Transform>,
    flow: Arc<Flow>,
}

impl Transform for Lenient {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn memory(&self) -> usize {
        self.inner.memory()
    }

    fn push(&mut self, input: Bytes, out: &mut dyn Output) -> Result<()> {
        self.inner.push(input, out)
    }

    fn finish(self: Box<Self>, out: &mut dyn Output) -> Result<TransformReport> {
        if self.flow.was_cut() { Ok(TransformReport::new(self.inner.name())) } else { self.inner.finish(out) }
    }
}

/// A sample, again and again, until its time is over.
pub(super) struct FromSample {
    pub(super) blocks: Vec<Bytes>,
    pub(super) flow: Arc<Flow>,
}

/// Pieces as the stages of a real run have them.
const PIECE: usize = 256 << 10;

#[async_trait]
impl Source for FromSample {
    fn endpoint(&self) -> String {
        "sample".to_owned()
    }

    async fn probe(&mut self, _: &Context) -> Result<SourceInfo> {
        Ok(SourceInfo { endpoint: self.endpoint(), kind: "sample".to_owned(), ..SourceInfo::default() })
    }

    async fn next_part(&mut self, _: &Context) -> Result<Option<Part>> {
        let blocks = std::mem::take(&mut self.blocks);
        if blocks.is_empty() {
            return Ok(None);
        }
        let reader = SampleReader { blocks, flow: Arc::clone(&self.flow) };
        Ok(Some(Part::new(None, Some(Format::Opaque), Box::new(reader))))
    }

    async fn finish(self: Box<Self>, _: &Context) -> Result<BTreeMap<String, String>> {
        Ok(BTreeMap::new())
    }
}

struct SampleReader {
    blocks: Vec<Bytes>,
    flow: Arc<Flow>,
}

#[async_trait]
impl Reader for SampleReader {
    fn memory(&self) -> usize {
        0
    }

    async fn read(self: Box<Self>, out: &mut FrameSender, _: &Context) -> Result<()> {
        let pieces = self.blocks.iter().flat_map(|block| {
            (0..block.len()).step_by(PIECE).map(|at| block.slice(at..block.len().min(at + PIECE)))
        });
        for piece in pieces.cycle() {
            self.flow.saw(&piece);
            tokio::select! {
                sent = out.send(piece) => sent?,
                () = self.flow.over() => break,
            }
        }
        Ok(())
    }
}

/// A destination that takes everything and removes it where it would make an archive of it.
pub(super) struct Vanishing(pub(super) Box<dyn Destination>);

#[async_trait]
impl Destination for Vanishing {
    fn endpoint(&self) -> String {
        self.0.endpoint()
    }

    fn memory(&self) -> usize {
        self.0.memory()
    }

    async fn probe(&mut self, cx: &Context) -> Result<Option<u64>> {
        self.0.probe(cx).await
    }

    async fn open(&self, part: &PartHeader, cx: &Context) -> Result<Box<dyn Sink>> {
        self.0.open(part, cx).await
    }

    async fn publish(&mut self, _: &Manifest, _: &Context) -> Result<()> {
        self.abandon().await.map_err(|error| {
            Error::sink("what was written for the measurement could not be removed")
                .hint("`dbferry gc` shows and removes it")
                .caused_by(error)
        })
    }

    async fn abandon(&mut self) -> Result<()> {
        self.0.abandon().await
    }
}
