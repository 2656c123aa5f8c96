//! The contract of everything that changes or checks bytes on their way.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::source::Format;

/// Where a transform puts its output: the next transform, a channel, or a test's buffer.
///
/// `emit` may block until the next stage has room: that is how backpressure reaches a transform that makes much
/// out of little, such as a decompressor. An error means that nobody wants more; return it unchanged.
/// Pieces may be of any size: the engine joins small ones before they cross a thread.
pub trait Output {
    /// Hands `data` on. Empty pieces are allowed and mean nothing.
    fn emit(&mut self, data: Bytes) -> Result<()>;
}

/// For tests and for callers that hold everything in memory anyway.
impl Output for Vec<u8> {
    fn emit(&mut self, data: Bytes) -> Result<()> {
        self.extend_from_slice(&data);
        Ok(())
    }
}

/// A synchronous, resumable step over a byte stream.
///
/// # Contract
///
/// - The concatenated output depends on the concatenated input alone, never on how the input was cut.
/// - The engine calls `push` zero or more times, then `finish` exactly once, and `finish` only after the stream's
///   explicit end. A transform that is dropped without `finish` saw a truncated stream and must not pretend otherwise.
/// - Memory held between calls stays within [`Transform::memory`], independent of the length of the stream.
/// - After an error the transform is not called again.
/// - A transform runs on a named thread of its own or shared with cheap neighbours; it may block in `emit` and nowhere else
///   (its own worker threads excepted).
pub trait Transform: Send {
    /// A short name for meters, threads and the manifest, such as `zstd` or `mysql-rewrite`.
    fn name(&self) -> &'static str;

    /// Upper bound in bytes of what this step holds between calls and in its own threads.
    fn memory(&self) -> usize;

    /// Takes the next piece of input.
    fn push(&mut self, input: Bytes, out: &mut dyn Output) -> Result<()>;

    /// Takes the end of the input, emits what is left, and says what was done.
    fn finish(self: Box<Self>, out: &mut dyn Output) -> Result<TransformReport>;
}

/// How grave a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// The target may behave differently.
    Warning,
    /// The target will refuse this.
    Blocker,
}

/// Something that a transform noticed and did not, or could not, change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// How grave.
    pub severity: Severity,
    /// A stable identifier such as `non-innodb-engine`.
    pub code: String,
    /// The object concerned, as written in the dump (lossy if it is not UTF-8); empty when it is the stream as a whole.
    pub object: String,
    /// One sentence for a person, with the way out where there is one.
    pub message: String,
    /// Offset in bytes of the statement in the transform's input.
    pub offset: u64,
}

/// What a transform did, for the summary and the manifest.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransformReport {
    /// [`Transform::name`].
    pub name: String,
    /// What the step found its output to be, where it looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<Format>,
    /// Settings that shaped the output, such as `level: 3`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<String, String>,
    /// What was changed, by kind, such as `definer-stripped-view: 9`. Kinds with no change are absent.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub changes: BTreeMap<String, u64>,
    /// What was counted but not changed, such as `create-table: 120`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub counts: BTreeMap<String, u64>,
    /// Rows or keys per object, where the step counts them. Becomes the part's `objects` in the manifest.
    #[serde(skip)]
    pub objects: BTreeMap<String, u64>,
    /// What was noticed. Bounded: after the first hundred of a code, only the count in `counts` grows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Finding>,
}

impl TransformReport {
    /// An empty report.
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }

    /// Adds to a kind of change.
    pub fn changed(&mut self, kind: &str, by: u64) {
        if by > 0 {
            *self.changes.entry(kind.to_owned()).or_default() += by;
        }
    }
}

/// A chain of transforms that itself behaves as one: what each emits is pushed into the next at once.
#[derive(Default)]
pub struct Chain {
    steps: Vec<Box<dyn Transform>>,
}

impl std::fmt::Debug for Chain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.steps.iter().map(|step| step.name())).finish()
    }
}

impl Chain {
    /// A chain of these steps, first to last. An empty chain hands its input on unchanged.
    pub fn new(steps: Vec<Box<dyn Transform>>) -> Self {
        Self { steps }
    }

    /// True when there is no step.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Names joined with `+`, for a thread or a meter.
    pub fn name(&self) -> String {
        self.steps.iter().map(|step| step.name()).collect::<Vec<_>>().join("+")
    }

    /// Sum of the steps' bounds.
    pub fn memory(&self) -> usize {
        self.steps.iter().map(|step| step.memory()).sum()
    }

    /// Pushes through all steps.
    pub fn push(&mut self, input: Bytes, out: &mut dyn Output) -> Result<()> {
        Link { rest: &mut self.steps, out }.emit(input)
    }

    /// Finishes the steps in order, each into those behind it.
    pub fn finish(self, out: &mut dyn Output) -> Result<Vec<TransformReport>> {
        let mut reports = Vec::with_capacity(self.steps.len());
        let mut rest = self.steps;
        while !rest.is_empty() {
            let step = rest.remove(0);
            reports.push(step.finish(&mut Link { rest: &mut rest, out })?);
        }
        Ok(reports)
    }
}

struct Link<'a> {
    rest: &'a mut [Box<dyn Transform>],
    out: &'a mut dyn Output,
}

impl Output for Link<'_> {
    fn emit(&mut self, data: Bytes) -> Result<()> {
        match self.rest.split_first_mut() {
            None => self.out.emit(data),
            Some(_) if data.is_empty() => Ok(()),
            Some((step, rest)) => step.push(data, &mut Link { rest, out: self.out }),
        }
    }
}
