//! What is asked of the engine, and what it answers.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::destination::{Destination, Proof};
use crate::digest::{Algorithm, Content};
use crate::error::{Error, Result};
use crate::manifest::Manifest;
use crate::meter::Reading;
use crate::plan::MemoryPlan;
use crate::source::{Format, Phase, Source, SourceInfo};
use crate::transform::{Transform, TransformReport};

/// What a reader may hold unless the settings say otherwise.
pub const READER_MEMORY: usize = 4 << 20;

/// Makes the steps for one part; called once for each, and once beforehand to learn how much memory they want.
pub type Steps = Arc<dyn Fn(Option<Format>) -> Result<Vec<Box<dyn Transform>>> + Send + Sync>;

/// No steps.
pub fn no_steps() -> Steps {
    Arc::new(|_| Ok(Vec::new()))
}

/// One run: a source, what happens to every part before the fork, and where the parts go.
pub struct Job {
    /// Unique name of the run; part of staged names and of the manifest.
    pub id: String,
    /// Where the bytes come from.
    pub source: Box<dyn Source>,
    /// Steps before the fork: decompression, rewriting, checks.
    pub steps: Steps,
    /// Where the bytes go. With none, the stream is read, checked, hashed and dropped.
    pub deliveries: Vec<Delivery>,
    /// Budget and digests.
    pub settings: Settings,
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job")
            .field("id", &self.id)
            .field("source", &self.source.endpoint())
            .finish_non_exhaustive()
    }
}

/// One destination with the steps that are its own.
pub struct Delivery {
    /// Where to.
    pub destination: Box<dyn Destination>,
    /// Steps behind the fork that make this delivery's own share of the stream, where it does not get all of it. What they leave is
    /// the archive's raw content.
    pub share: Option<Steps>,
    /// Steps behind the fork, and behind the share: compression, encryption.
    pub tail: Steps,
    /// The same for parts that must not be compressed, and the ending that it adds to their names.
    pub bare: (Steps, String),
    /// How the manifest names the tail's compression: `none`, `gzip`, `zstd`, `lz4`.
    pub compression: String,
    /// Ending that the tail adds to the names of parts, such as `.zst`.
    pub ending: String,
    /// The run goes on, and can succeed, without it.
    pub optional: bool,
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery").field("destination", &self.destination.endpoint()).finish_non_exhaustive()
    }
}

/// What holds for the run as a whole.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Bytes that the run may use, everything included.
    pub memory: usize,
    /// Parts that may be carried at once.
    pub jobs: usize,
    /// Digests of source, raw and stored bytes.
    pub digests: Vec<Algorithm>,
    /// Bytes that one reader may hold.
    pub reader: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { memory: 256 << 20, jobs: 1, digests: vec![Algorithm::Blake3], reader: READER_MEMORY }
    }
}

/// What a dry run shows: everything that is known before the first byte.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The source.
    pub source: SourceInfo,
    /// Destinations, and how much each can take where that is known.
    pub destinations: Vec<(String, Option<u64>)>,
    /// How the memory is shared out.
    pub memory: MemoryPlan,
}

/// One part as it was carried.
#[derive(Debug, Clone)]
pub struct PartReport {
    /// As in [`crate::Part::path`].
    pub path: Option<String>,
    /// As in [`crate::Part::phase`].
    pub phase: Phase,
    /// What it is: as the source said, else as the steps found.
    pub format: Format,
    /// As in [`crate::Part::compressed`].
    pub compressed: bool,
    /// As the source gave it.
    pub source: Content,
    /// Behind the steps before the fork.
    pub raw: Content,
    /// What those steps did.
    pub transforms: Vec<TransformReport>,
    /// Rows or keys per object, where known.
    pub objects: BTreeMap<String, u64>,
    /// One entry per delivery; `None` where an optional one had failed.
    pub stored: Vec<Option<StoredPart>>,
}

/// One part as a destination holds it.
#[derive(Debug, Clone)]
pub struct StoredPart {
    /// Length and digests of what was written.
    pub content: Content,
    /// What of the stream is this delivery's share, where it does not get all of it.
    pub share: Option<Share>,
    /// What the steps behind the fork did.
    pub transforms: Vec<TransformReport>,
    /// The destination's proof.
    pub proof: Proof,
}

/// What a delivery got of a part.
#[derive(Debug, Clone)]
pub struct Share {
    /// Behind the steps that made the share.
    pub raw: Content,
    /// Rows or keys per object in it, where known.
    pub objects: BTreeMap<String, u64>,
}

/// What became of a delivery.
#[derive(Debug)]
pub struct DeliveryReport {
    /// The destination, without secrets.
    pub endpoint: String,
    /// The manifest that was published, or why not. An error here is in an optional delivery: any other fails the run.
    pub outcome: Result<Manifest, Error>,
}

/// What a run did.
#[derive(Debug)]
pub struct Report {
    /// [`Job::id`].
    pub id: String,
    /// The source as probed, with what it added at the end.
    pub source: SourceInfo,
    /// Every part, in the order in which they began.
    pub parts: Vec<PartReport>,
    /// One entry per delivery, in order.
    pub deliveries: Vec<DeliveryReport>,
    /// Everything that was said on the way.
    pub warnings: Vec<String>,
    /// One row per stage.
    pub stages: Vec<Reading>,
    /// From the first probe to the last publish.
    pub elapsed: Duration,
}

impl Report {
    /// All transforms' changes over all parts, summed by kind.
    pub fn changes(&self) -> BTreeMap<String, u64> {
        let mut sum = BTreeMap::new();
        for report in self.parts.iter().flat_map(|part| &part.transforms) {
            for (kind, count) in &report.changes {
                *sum.entry(kind.clone()).or_default() += count;
            }
        }
        sum
    }

    /// Bytes as they left the source.
    pub fn source_bytes(&self) -> u64 {
        self.parts.iter().map(|part| part.source.bytes).sum()
    }

    /// Bytes behind the rewriting, before compression.
    pub fn raw_bytes(&self) -> u64 {
        self.parts.iter().map(|part| part.raw.bytes).sum()
    }
}
