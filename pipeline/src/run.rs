//! Runs a job: probes, carries the parts over as many lanes as the budget allows, and publishes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::task::JoinSet;

use crate::carry::{Branch, CLEANUP_GRACE, Carry, FirstCause};
use crate::context::{Context, Event, Progress};
use crate::destination::{Destination, PartHeader};
use crate::error::{Error, Kind, Result};
use crate::job::{Delivery, DeliveryReport, Job, PartReport, Plan, Report, Settings, Steps};
use crate::manifest::{self, Manifest, PartManifest};
use crate::plan::MemoryPlan;
use crate::source::{Part, Source, SourceInfo};
use crate::transform::Chain;

/// How often observers see the meters.
const TICK: Duration = Duration::from_millis(100);

/// A job whose endpoints have answered and whose memory is shared out.
pub struct Prepared {
    id: String,
    source: Box<dyn Source>,
    steps: Steps,
    ways: Vec<DeliveryState>,
    settings: Settings,
    /// What is known before the first byte.
    pub plan: Plan,
    began: Instant,
    started: Timestamp,
}

impl std::fmt::Debug for Prepared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Prepared").field("id", &self.id).field("plan", &self.plan).finish_non_exhaustive()
    }
}

struct DeliveryState {
    endpoint: String,
    destination: Arc<Box<dyn Destination>>,
    share: Option<Steps>,
    tail: Steps,
    bare: (Steps, String),
    compression: String,
    ending: String,
    optional: bool,
    /// Failures of an optional delivery; any other's go to the run.
    failure: FirstCause,
    failed: Option<Error>,
}

impl DeliveryState {
    fn destination(&mut self) -> Result<&mut Box<dyn Destination>> {
        Arc::get_mut(&mut self.destination).ok_or_else(|| Error::bug("a sink outlived its part"))
    }

    /// What is behind the fork, and the ending that it adds.
    fn tail_of(&self, compressed: bool) -> (&Steps, &str) {
        if compressed { (&self.tail, &self.ending) } else { (&self.bare.0, &self.bare.1) }
    }

    fn note_failure(&mut self) {
        if self.failed.is_none() {
            self.failed = self.failure.take();
        }
    }
}

/// Probes every endpoint and shares out the memory. Nothing is changed anywhere: a dry run ends here.
pub async fn prepare(job: Job, cx: &Context) -> Result<Prepared> {
    let Job { id, mut source, steps, deliveries, settings } = job;
    let began = Instant::now();
    let started = Timestamp::now();

    let mut stages = settings.reader + Chain::new(steps(None)?).memory();
    let mut edges = 1;
    for delivery in &deliveries {
        let tail = Chain::new((delivery.tail)(None)?);
        let share = delivery.share.as_ref().map(|share| share(None)).transpose()?.map(Chain::new);
        edges += if tail.is_empty() && share.is_none() { 1 } else { 2 };
        stages += share.map_or(0, |share| share.memory()) + tail.memory() + delivery.destination.memory();
    }
    let memory = MemoryPlan::new(settings.memory, settings.jobs, stages, edges)?;

    let mut ways = Vec::new();
    let mut destinations = Vec::new();
    for Delivery { mut destination, share, tail, bare, compression, ending, optional } in deliveries {
        let endpoint = destination.endpoint();
        let mut failed = None;
        match probing(destination.probe(cx), cx).await {
            Ok(room) => destinations.push((endpoint.clone(), room)),
            Err(error) if optional => failed = Some(error),
            Err(error) => return Err(error),
        }
        let destination = Arc::new(destination);
        let failure = FirstCause::default();
        ways.push(DeliveryState {
            endpoint,
            destination,
            share,
            tail,
            bare,
            compression,
            ending,
            optional,
            failure,
            failed,
        });
    }
    let info = probing(source.probe(cx), cx).await?;
    let plan = Plan { source: info, destinations, memory };
    Ok(Prepared { id, source, steps, ways, settings, plan, began, started })
}

async fn probing<T>(probe: impl Future<Output = Result<T>>, cx: &Context) -> Result<T> {
    tokio::select! {
        result = probe => result,
        () = cx.cancellation().cancelled() => Err(Error::cancelled()),
    }
}

/// [`prepare`], then [`Prepared::run`].
pub async fn run(job: Job, cx: &Context) -> Result<Report> {
    prepare(job, cx).await?.run(cx).await
}

impl Prepared {
    /// Carries every part and publishes. On failure nothing new exists at any destination.
    pub async fn run(mut self, cx: &Context) -> Result<Report> {
        let inner = cx.child();
        let ticker = tokio::spawn(tick(inner.clone(), self.began, self.plan.source.expected_bytes));
        let carried = self.carry_all(&inner).await;
        ticker.abort();
        let carried = match carried {
            Ok(parts) => self.confirm(parts, &inner).await,
            Err(error) => Err(error),
        };
        let (parts, source) = match carried {
            Ok(carried) => carried,
            Err(mut error) => {
                // Everything is told to let go, also what a failed confirmation left running.
                inner.cancellation().cancel();
                for way in &mut self.ways {
                    error = abandon(way, error).await;
                }
                return Err(error);
            }
        };
        let stages = cx.board().read();
        let finished = Timestamp::now();
        let mut deliveries = Vec::new();
        let mut failure: Option<Error> = None;
        for index in 0..self.ways.len() {
            let manifest = self.manifest(index, &source, &parts, cx.warnings(), stages.clone(), finished);
            let way = &mut self.ways[index];
            let outcome = match way.failed.take() {
                Some(error) => Err(abandon(way, error).await),
                None => match publish(way, &manifest, cx).await {
                    Ok(()) => Ok(manifest),
                    Err(error) => Err(abandon(way, error).await),
                },
            };
            if let Err(error) = &outcome
                && way.optional
            {
                cx.warn(format!("{}: left out: {error}", way.endpoint));
            }
            match outcome {
                Err(error) if !way.optional => {
                    failure = Some(match failure {
                        None => error,
                        Some(first) => first.also(error.to_string()),
                    });
                }
                outcome => deliveries.push(DeliveryReport { endpoint: way.endpoint.clone(), outcome }),
            }
        }
        if let Some(mut error) = failure {
            for whole in deliveries.iter().filter(|d| d.outcome.is_ok()) {
                error = error.also(format!("{} was already published, whole", whole.endpoint));
            }
            return Err(error);
        }
        if !deliveries.is_empty() && deliveries.iter().all(|d| d.outcome.is_err()) {
            // Every destination was optional and every one failed: that is no success.
            return Err(deliveries.swap_remove(0).outcome.err().unwrap_or_else(Error::cancelled));
        }
        if cx.cancellation().is_cancelled() {
            cx.warn(
                "the run was told to stop when it was already publishing: the archive exists and is whole",
            );
        }
        let warnings = cx.warnings();
        let elapsed = self.began.elapsed();
        Ok(Report { id: self.id, source, parts, deliveries, warnings, stages, elapsed })
    }

    async fn carry_all(&mut self, cx: &Context) -> Result<Vec<PartReport>> {
        let cause = FirstCause::default();
        let mut lanes: JoinSet<(usize, Option<PartReport>)> = JoinSet::new();
        let mut done: Vec<Option<PartReport>> = Vec::new();
        let mut phase = None;
        let mut waiting: Option<Part> = None;
        let mut exhausted = false;
        loop {
            let failed = cause.is_set() || cx.cancellation().is_cancelled();
            let room = lanes.len() < self.plan.memory.lanes;
            if !failed && !exhausted && room && waiting.is_none() {
                match probing(self.source.next_part(cx), cx).await {
                    Ok(Some(part)) => waiting = Some(part),
                    Ok(None) => exhausted = true,
                    Err(error) => {
                        cause.record(error);
                        cx.cancellation().cancel();
                    }
                }
                continue;
            }
            // A part of a later phase waits until the lanes are empty.
            let begin = !failed
                && room
                && waiting
                    .as_ref()
                    .is_some_and(|p| phase.is_none_or(|now| p.phase <= now) || lanes.is_empty());
            if let (true, Some(part)) = (begin, waiting.take_if(|_| begin)) {
                phase = Some(part.phase);
                match self.carry(part, &cause) {
                    Ok(carry) => {
                        let index = done.len();
                        done.push(None);
                        let (cause, cx) = (cause.clone(), cx.clone());
                        lanes.spawn(async move { (index, carry.run(cause, cx).await) });
                    }
                    Err(error) => {
                        cause.record(error);
                        cx.cancellation().cancel();
                    }
                }
                continue;
            }
            match lanes.join_next().await {
                None => break,
                Some(Ok((index, report))) => {
                    done[index] = report;
                    for way in &mut self.ways {
                        way.note_failure();
                    }
                }
                Some(Err(panic)) => {
                    cause.record(Error::bug("a lane panicked").caused_by(panic));
                    cx.cancellation().cancel();
                }
            }
        }
        if let Some(error) = cause.take() {
            return Err(error);
        }
        if cx.cancellation().is_cancelled() {
            return Err(Error::cancelled());
        }
        let parts: Vec<PartReport> = done.into_iter().flatten().collect();
        if parts.is_empty() {
            return Err(Error::source("the source has nothing to carry"));
        }
        Ok(parts)
    }

    fn carry(&self, part: Part, cause: &FirstCause) -> Result<Carry> {
        if part.reader.memory() > self.settings.reader {
            return Err(Error::bug("a reader wants more memory than the plan gives it"));
        }
        let mut branches = Vec::new();
        for way in &self.ways {
            branches.push(Branch {
                destination: Arc::clone(&way.destination),
                share: way.share.as_ref().map(|share| share(part.format)).transpose()?.map(Chain::new),
                tail: Chain::new(way.tail_of(part.compressed).0(part.format)?),
                header: PartHeader {
                    path: part.path.as_ref().map(|path| format!("{path}{}", way.tail_of(part.compressed).1)),
                    format: part.format,
                    expected_bytes: part.expected_bytes,
                },
                cause: if way.optional { way.failure.clone() } else { cause.clone() },
                optional: way.optional,
                dead: way.failed.is_some(),
            });
        }
        Ok(Carry {
            steps: if part.rewritten { Chain::new((self.steps)(part.format)?) } else { Chain::default() },
            part,
            branches,
            edge: self.plan.memory.edge,
            digests: self.settings.digests.clone(),
        })
    }

    /// Asks the source whether the parts belong together.
    async fn confirm(
        &mut self,
        parts: Vec<PartReport>,
        cx: &Context,
    ) -> Result<(Vec<PartReport>, SourceInfo)> {
        let source = std::mem::replace(&mut self.source, Box::new(Nothing));
        let facts = probing(source.finish(cx), cx).await?;
        let mut info = self.plan.source.clone();
        info.facts.extend(facts);
        Ok((parts, info))
    }

    fn manifest(
        &self,
        index: usize,
        source: &SourceInfo,
        parts: &[PartReport],
        warnings: Vec<String>,
        stages: Vec<crate::meter::Reading>,
        finished: Timestamp,
    ) -> Manifest {
        let way = &self.ways[index];
        let parts = parts
            .iter()
            .filter_map(|part| {
                let stored = part.stored.get(index)?.as_ref()?;
                Some(PartManifest {
                    // A single stream has no path of its own; the destination fills in the archive's name.
                    path: part
                        .path
                        .as_ref()
                        .map(|path| format!("{path}{}", way.tail_of(part.compressed).1))
                        .unwrap_or_default(),
                    phase: part.phase,
                    format: part.format,
                    compression: if part.compressed { way.compression.clone() } else { "none".to_owned() },
                    source: part.source.clone(),
                    raw: stored.share.as_ref().map_or(&part.raw, |share| &share.raw).clone(),
                    stored: stored.content.clone(),
                    transforms: part.transforms.iter().chain(&stored.transforms).cloned().collect(),
                    verified: stored.proof.clone(),
                    objects: stored.share.as_ref().map_or(&part.objects, |share| &share.objects).clone(),
                })
            })
            .collect();
        Manifest {
            schema: manifest::SCHEMA,
            tool: format!("dbferry {}", env!("CARGO_PKG_VERSION")),
            id: self.id.clone(),
            started: seconds(self.started),
            finished: seconds(finished),
            source: source.clone(),
            destination: way.endpoint.clone(),
            parts,
            warnings,
            stages,
        }
    }
}

fn seconds(at: Timestamp) -> String {
    Timestamp::from_second(at.as_second()).unwrap_or(at).to_string()
}

/// Once begun, a publication is not dropped: half-way through, nobody could say whether the archive exists. A cancellation that comes
/// meanwhile is too late, and only a destination that hangs after it is given up.
async fn publish(way: &mut DeliveryState, manifest: &Manifest, cx: &Context) -> Result<()> {
    let cancelled = cx.cancellation();
    if cancelled.is_cancelled() {
        return Err(Error::cancelled());
    }
    let overdue = async {
        cancelled.cancelled().await;
        tokio::time::sleep(CLEANUP_GRACE).await;
    };
    tokio::select! {
        result = way.destination()?.publish(manifest, cx) => result,
        () = overdue => Err(Error::sink("the destination did not say whether the archive exists, and was given up")
            .of_kind(Kind::OutcomeUnknown)
            .hint("look at the destination: `dbferry verify` tells whether the archive is there and whole")),
    }
}

async fn abandon(way: &mut DeliveryState, why: Error) -> Error {
    let result = match way.destination() {
        Ok(destination) => tokio::time::timeout(CLEANUP_GRACE, destination.abandon()).await,
        Err(error) => Ok(Err(error)),
    };
    match result {
        Ok(Ok(())) => why,
        Ok(Err(error)) => why.also(format!("{}: clean-up failed: {error}", way.endpoint)),
        Err(_) => why.also(format!("{}: clean-up did not end in time and was left", way.endpoint)),
    }
}

async fn tick(cx: Context, began: Instant, expected: Option<u64>) {
    let mut interval = tokio::time::interval(TICK);
    loop {
        interval.tick().await;
        let progress = Progress { elapsed: began.elapsed(), stages: cx.board().read(), expected };
        cx.observe(&Event::Progress(&progress));
    }
}

/// Stands where a source was that has been consumed.
struct Nothing;

#[async_trait::async_trait]
impl Source for Nothing {
    fn endpoint(&self) -> String {
        String::new()
    }

    async fn probe(&mut self, _: &Context) -> Result<SourceInfo> {
        Err(Error::bug("the source was already consumed"))
    }

    async fn next_part(&mut self, _: &Context) -> Result<Option<Part>> {
        Err(Error::bug("the source was already consumed"))
    }

    async fn finish(self: Box<Self>, _: &Context) -> Result<std::collections::BTreeMap<String, String>> {
        Err(Error::bug("the source was already consumed"))
    }
}
