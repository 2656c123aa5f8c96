//! A destination around another one that fails, stalls, dawdles or panics at a chosen call.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::context::Context;
use crate::destination::{Destination, PartHeader, Receipt, Sink};
use crate::digest::Content;
use crate::error::{Error, Result};
use crate::manifest::Manifest;

/// A call that a destination or its sinks take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// [`Destination::probe`].
    Probe,
    /// [`Destination::open`].
    Open,
    /// [`Sink::write`].
    Write,
    /// [`Sink::commit`].
    Commit,
    /// [`Sink::abort`].
    Abort,
    /// [`Destination::publish`].
    Publish,
    /// [`Destination::abandon`].
    Abandon,
}

const STEPS: usize = 7;

/// What happens instead of, or before, the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// A sink error; the inner destination is not asked.
    Fail,
    /// The call never returns: a stuck disk.
    Hang,
    /// The call is late by this much.
    Delay(Duration),
    /// The call is made at once, and its answer is late by this much.
    LateAnswer(Duration),
    /// The call panics.
    Panic,
}

#[derive(Debug, Clone)]
struct Fault {
    step: Step,
    calls: std::ops::RangeInclusive<u64>,
    action: Action,
}

/// How often each call was made, and how many bytes the inner sinks took.
#[derive(Debug, Default)]
pub struct Calls {
    counts: [AtomicU64; STEPS],
    bytes: AtomicU64,
}

impl Calls {
    /// How often this call was made, the failed and stalled ones included.
    pub fn of(&self, step: Step) -> u64 {
        self.counts[step as usize].load(SeqCst)
    }

    /// Bytes that inner sinks accepted.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(SeqCst)
    }

    fn next(&self, step: Step) -> u64 {
        self.counts[step as usize].fetch_add(1, SeqCst)
    }
}

/// A destination with faults. Calls are counted over all parts, from 0.
pub struct FaultyDestination {
    inner: Box<dyn Destination>,
    plan: Arc<Plan>,
}

impl std::fmt::Debug for FaultyDestination {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FaultyDestination").field("plan", &self.plan).finish_non_exhaustive()
    }
}

#[derive(Debug, Default)]
struct Plan {
    faults: Vec<Fault>,
    calls: Arc<Calls>,
}

impl Plan {
    /// Makes the call unless a fault stands in its way.
    async fn call<T>(&self, step: Step, inner: impl Future<Output = Result<T>>) -> Result<T> {
        let mut late = Duration::ZERO;
        let call = self.calls.next(step);
        for fault in self.faults.iter().filter(|fault| fault.step == step && fault.calls.contains(&call)) {
            match fault.action {
                Action::Fail => return Err(Error::sink(format!("{step:?} {call} fails as the test asked"))),
                Action::Hang => std::future::pending().await,
                Action::Delay(time) => tokio::time::sleep(time).await,
                Action::LateAnswer(time) => late = time,
                Action::Panic => panic!("{step:?} {call} panics as the test asked"),
            }
        }
        let result = inner.await;
        if !late.is_zero() {
            tokio::time::sleep(late).await;
        }
        result
    }
}

impl FaultyDestination {
    /// A destination without faults yet.
    pub fn new(inner: impl Destination + 'static) -> Self {
        Self { inner: Box::new(inner), plan: Arc::default() }
    }

    /// Does `action` at the `nth` call (from 0) of `step`, once.
    #[must_use]
    pub fn at(self, step: Step, nth: u64, action: Action) -> Self {
        self.with(Fault { step, calls: nth..=nth, action })
    }

    /// Does `action` at every call of `step` from the `nth` (from 0) on.
    #[must_use]
    pub fn from(self, step: Step, nth: u64, action: Action) -> Self {
        self.with(Fault { step, calls: nth..=u64::MAX, action })
    }

    /// What was called so far; keep it before handing the destination over.
    pub fn calls(&self) -> Arc<Calls> {
        Arc::clone(&self.plan.calls)
    }

    fn with(self, fault: Fault) -> Self {
        let mut faults = self.plan.faults.clone();
        faults.push(fault);
        Self { inner: self.inner, plan: Arc::new(Plan { faults, calls: Arc::clone(&self.plan.calls) }) }
    }
}

#[async_trait]
impl Destination for FaultyDestination {
    fn endpoint(&self) -> String {
        self.inner.endpoint()
    }

    fn memory(&self) -> usize {
        self.inner.memory()
    }

    async fn probe(&mut self, cx: &Context) -> Result<Option<u64>> {
        self.plan.call(Step::Probe, self.inner.probe(cx)).await
    }

    async fn open(&self, part: &PartHeader, cx: &Context) -> Result<Box<dyn Sink>> {
        let inner = self.plan.call(Step::Open, self.inner.open(part, cx)).await?;
        Ok(Box::new(FaultySink { inner, plan: Arc::clone(&self.plan) }))
    }

    async fn publish(&mut self, manifest: &Manifest, cx: &Context) -> Result<()> {
        self.plan.call(Step::Publish, self.inner.publish(manifest, cx)).await
    }

    async fn abandon(&mut self) -> Result<()> {
        self.plan.call(Step::Abandon, self.inner.abandon()).await
    }
}

struct FaultySink {
    inner: Box<dyn Sink>,
    plan: Arc<Plan>,
}

#[async_trait]
impl Sink for FaultySink {
    async fn write(&mut self, data: Bytes) -> Result<()> {
        let length = data.len() as u64;
        self.plan.call(Step::Write, self.inner.write(data)).await?;
        self.plan.calls.bytes.fetch_add(length, SeqCst);
        Ok(())
    }

    async fn commit(self: Box<Self>, content: &Content) -> Result<Receipt> {
        self.plan.call(Step::Commit, self.inner.commit(content)).await
    }

    async fn abort(self: Box<Self>) -> Result<()> {
        self.plan.call(Step::Abort, self.inner.abort()).await
    }
}
