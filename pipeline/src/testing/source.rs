//! A source whose parts a test writes down: what they hold, how they are cut, and how they end.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};

use async_trait::async_trait;
use bytes::Bytes;

use super::Random;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::frame::FrameSender;
use crate::source::{Format, Part, Phase, Reader, Source, SourceInfo};

/// How a part's bytes are cut into pieces.
#[derive(Debug, Clone, Copy)]
pub enum Cutting {
    /// Pieces of this many bytes.
    Every(usize),
    /// Pieces of 1 byte to 64 KiB, with pauses of the scheduler in between, the same for the same seed.
    Chaos(u64),
}

/// How a part ends after its last byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The reader says that it is complete.
    Whole,
    /// The reader returns an error of the source stage.
    Fail,
    /// The reader returns a truncation.
    Truncated,
    /// The reader panics.
    Panic,
    /// The reader waits until the run is cancelled.
    Hang,
}

/// One part of a [`TestSource`].
#[derive(Debug, Clone)]
pub struct TestPart {
    path: Option<String>,
    phase: Phase,
    format: Option<Format>,
    data: Bytes,
    times: u64,
    cutting: Cutting,
    ending: Ending,
}

impl TestPart {
    /// An opaque part of phase `Data` with these bytes, in pieces of 64 KiB, that ends whole.
    pub fn new(data: impl Into<Bytes>) -> Self {
        Self {
            path: None,
            phase: Phase::Data,
            format: Some(Format::Opaque),
            data: data.into(),
            times: 1,
            cutting: Cutting::Every(64 << 10),
            ending: Ending::Whole,
        }
    }

    /// Names it below the archive's root.
    #[must_use]
    pub fn path(self, path: &str) -> Self {
        Self { path: Some(path.to_owned()), ..self }
    }

    /// Puts it into a phase.
    #[must_use]
    pub fn phase(self, phase: Phase) -> Self {
        Self { phase, ..self }
    }

    /// Says what it carries; `None` makes the engine look.
    #[must_use]
    pub fn format(self, format: Option<Format>) -> Self {
        Self { format, ..self }
    }

    /// Sends the bytes this many times over, so that a stream can be longer than memory.
    #[must_use]
    pub fn times(self, times: u64) -> Self {
        Self { times, ..self }
    }

    /// Cuts it.
    #[must_use]
    pub fn cut(self, cutting: Cutting) -> Self {
        Self { cutting, ..self }
    }

    /// Ends it after its last byte.
    #[must_use]
    pub fn ending(self, ending: Ending) -> Self {
        Self { ending, ..self }
    }

    /// Keeps only the first `length` bytes, then ends it: "at byte k".
    #[must_use]
    pub fn ending_at(self, length: usize, ending: Ending) -> Self {
        let length = length.min(self.data.len());
        Self { data: self.data.slice(..length), ending, ..self }
    }
}

/// A source of [`TestPart`]s.
#[derive(Debug)]
pub struct TestSource {
    parts: VecDeque<TestPart>,
    expected: Option<u64>,
    sent: Arc<AtomicU64>,
    finished: Arc<AtomicBool>,
    refuse_probe: bool,
    refuse_finish: bool,
}

impl TestSource {
    /// A source of these parts.
    pub fn new(parts: impl IntoIterator<Item = TestPart>) -> Self {
        let parts: VecDeque<_> = parts.into_iter().collect();
        let expected = Some(parts.iter().map(|part| part.data.len() as u64 * part.times).sum());
        Self {
            parts,
            expected,
            sent: Arc::default(),
            finished: Arc::default(),
            refuse_probe: false,
            refuse_finish: false,
        }
    }

    /// A source of one stream.
    pub fn of(data: impl Into<Bytes>) -> Self {
        Self::new([TestPart::new(data)])
    }

    /// Fails `probe`.
    #[must_use]
    pub fn refusing_probe(self) -> Self {
        Self { refuse_probe: true, ..self }
    }

    /// Fails `finish`: the parts do not belong together.
    #[must_use]
    pub fn refusing_finish(self) -> Self {
        Self { refuse_finish: true, ..self }
    }

    /// Counts the bytes that the channel took: how far the source got.
    pub fn sent(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.sent)
    }

    /// Becomes true when the engine confirmed the source with `finish`.
    pub fn finished(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.finished)
    }
}

#[async_trait]
impl Source for TestSource {
    fn endpoint(&self) -> String {
        "test:".to_owned()
    }

    async fn probe(&mut self, _: &Context) -> Result<SourceInfo> {
        if self.refuse_probe {
            return Err(Error::source("the test source refuses"));
        }
        Ok(SourceInfo {
            endpoint: self.endpoint(),
            kind: "test".to_owned(),
            expected_bytes: self.expected,
            ..SourceInfo::default()
        })
    }

    async fn next_part(&mut self, _: &Context) -> Result<Option<Part>> {
        Ok(self.parts.pop_front().map(|part| Part {
            phase: part.phase,
            expected_bytes: Some(part.data.len() as u64 * part.times),
            ..Part::new(
                part.path.clone(),
                part.format,
                Box::new(TestReader { part, sent: Arc::clone(&self.sent) }),
            )
        }))
    }

    async fn finish(self: Box<Self>, _: &Context) -> Result<BTreeMap<String, String>> {
        if self.refuse_finish {
            return Err(Error::source("the test source changed under the dump"));
        }
        self.finished.store(true, SeqCst);
        Ok(BTreeMap::new())
    }
}

struct TestReader {
    part: TestPart,
    sent: Arc<AtomicU64>,
}

#[async_trait]
impl Reader for TestReader {
    fn memory(&self) -> usize {
        0
    }

    async fn read(self: Box<Self>, out: &mut FrameSender, cx: &Context) -> Result<()> {
        let mut random = match self.part.cutting {
            Cutting::Every(_) => None,
            Cutting::Chaos(seed) => Some(Random::new(seed)),
        };
        for _ in 0..self.part.times {
            let mut rest = self.part.data.clone();
            while !rest.is_empty() {
                let length = match (self.part.cutting, &mut random) {
                    (Cutting::Every(length), _) => length.max(1),
                    // A power of two first, so that tiny and large pieces are equally likely.
                    (Cutting::Chaos(_), Some(random)) => {
                        if random.below(4) == 0 {
                            tokio::task::yield_now().await;
                        }
                        let scale = 1 << random.below(17);
                        1 + random.below(scale)
                    }
                    (Cutting::Chaos(_), None) => rest.len(),
                };
                let piece = rest.split_to(length.min(rest.len()));
                let length = piece.len() as u64;
                out.send(piece).await?;
                self.sent.fetch_add(length, SeqCst);
            }
        }
        match self.part.ending {
            Ending::Whole => Ok(()),
            Ending::Fail => Err(Error::source("the test source fails here")),
            Ending::Truncated => Err(Error::truncated("the test source was cut here")),
            Ending::Panic => panic!("the test source panics here"),
            Ending::Hang => {
                cx.cancellation().cancelled().await;
                Err(Error::cancelled())
            }
        }
    }
}
