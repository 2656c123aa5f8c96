//! Which runs there are, and how the time is shared among them.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use jiff::Timestamp;
use pipeline::endpoint::Engine;
use pipeline::{Chain, Context, Delivery, Error, Job, Result, SourceInfo, Steps, no_steps};
use sinks::NullDestination;
use transforms::codec::Codec;

use super::super::endpoint::From;
use super::super::{copy, passwords, render, size};
use super::choose;
use super::document::{Basis, Choice, Document, Estimate, SCHEMA, Size};
use super::ends::{Bounded, Flow, FromSample, ROOM, Vanishing, lenient};
use super::measure::{Bench, Ended, Kind, Measurement, per_gb};
use super::sample::{self, Head, Keep, Kept};
use super::setting::{Asked, Setting};
use super::system::{Machine, ServerProcess};

/// A sample of this size, where the memory allows it.
const SAMPLE: usize = 16 << 20;

/// What a kind of run gets of the time, beside the others.
mod weight {
    pub(super) const FIRST: f64 = 2.0;
    pub(super) const SOURCE: f64 = 1.6;
    pub(super) const CHECK: f64 = 0.3;
    pub(super) const COMPRESS: f64 = 0.7;
    pub(super) const SINK: f64 = 1.5;
    pub(super) const TOGETHER: f64 = 1.6;
    pub(super) const CHOSEN: f64 = 3.5;
}

/// Runs of everything at once, at most.
const TOGETHER: usize = 5;

/// Beside their slice, runs have to get through what is on its way, and to the destination's end.
const DRAIN: Duration = Duration::from_secs(3);

/// A first read that is so much slower than a later one was waiting for the disk.
const COLD: f64 = 0.75;

/// Shares out what is left.
struct Clock {
    end: Instant,
    weight: f64,
}

impl Clock {
    fn left(&self) -> Duration {
        self.end.saturating_duration_since(Instant::now())
    }

    /// The part of the time that a run of this weight gets. `overhead` is what it takes before its first byte.
    fn slice(&mut self, weight: f64, overhead: Duration) -> Duration {
        let share = (weight / self.weight.max(weight)).min(1.0);
        self.weight = (self.weight - weight).max(0.0);
        self.left().mul_f64(share).saturating_sub(overhead).max(Duration::from_millis(200))
    }

    /// When a run of this slice is stopped.
    fn limit(&self, slice: Duration, overhead: Duration) -> Duration {
        (slice + overhead * 2 + DRAIN).min(self.left().max(slice + DRAIN))
    }
}

pub(super) struct Sweep<'a> {
    asked: Asked,
    limit: Duration,
    say: bool,
    cx: &'a Context,
    clock: Clock,
    began: Instant,
    started: Timestamp,
    id: String,
    measured: Vec<Measurement>,
    /// Rows for a byte, of the first read.
    rows: Option<f64>,
    /// From the beginning to the first byte, of the first read.
    overhead: Duration,
    /// Bytes behind the steps for a byte of the source, of the first read: an archive is decompressed.
    expands: f64,
}

/// What the first read left.
struct First {
    info: SourceInfo,
    head: Vec<Bytes>,
    blocks: Vec<Bytes>,
    counted: Option<u64>,
}

impl<'a> Sweep<'a> {
    pub(super) fn new(asked: Asked, limit: Duration, say: bool, cx: &'a Context) -> Self {
        let began = Instant::now();
        let started = Timestamp::now();
        let several = |count: usize, weight: f64| count as f64 * weight;
        let together = asked.compressions.len().clamp(1, TOGETHER);
        let sinks = if asked.has_destination() { 1 + asked.part_sizes.len() } else { 0 };
        let sources = asked.readers.len().max(1);
        let weight = weight::FIRST
            + several(sources, weight::SOURCE)
            + weight::CHECK
            + several(asked.compressions.len().max(1), weight::COMPRESS)
            + several(sinks, weight::SINK)
            + several(together, weight::TOGETHER)
            + weight::CHOSEN;
        // What is left goes into connections, and into ends that take longer than their slice.
        let clock = Clock { end: began + limit.mul_f64(0.92), weight };
        Self {
            asked,
            limit,
            say,
            cx,
            clock,
            began,
            started,
            id: format!("{:x}", started.as_microsecond()),
            measured: Vec::new(),
            rows: None,
            overhead: Duration::ZERO,
            expands: 1.0,
        }
    }

    pub(super) async fn run(mut self) -> Result<Document> {
        let server = match &self.asked.from {
            From::Database(url) => ServerProcess::find(url),
            _ => None,
        };
        let bench = Bench { cx: self.cx, server, warnings: Arc::new(Mutex::new(BTreeSet::new())) };
        let memory = size::parse("--memory", &self.asked.args.memory)?;
        let room = SAMPLE.min(memory / 12);
        self.look_at_destination().await?;
        let First { info, head, blocks, counted } = self.first(&bench, room).await?;
        self.sources(&bench, sample::memory(room) + Head::MOST).await?;
        let reading = choose::reading(&self.measured).cloned();
        let mut base = reading.as_ref().map(|m| m.setting.clone()).unwrap_or_default();
        self.steps(&bench, &base, head, &blocks).await?;
        self.sinks(&bench, blocks, sample::memory(room)).await?;
        base.part_size = choose::part_size(&self.measured);
        let read = reading.map_or(0.0, |m| m.raw_bytes_per_second);
        self.together(&bench, &base, read).await?;
        let plain = self.asked.has_destination()
            || matches!(&self.asked.from, From::Database(url) if url.engine == Engine::Redis);
        let best = choose::together(&self.measured, plain).ok_or_else(|| self.nothing_worked())?.clone();
        let chosen = self.chosen(&bench, &best).await?;
        let warnings = std::mem::take(&mut *bench.warnings.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(self.document(info, counted, &chosen, warnings, bench.server.is_some()))
    }

    fn nothing_worked(&self) -> Error {
        let why = self.measured.iter().rev().find_map(|m| m.error.clone()).unwrap_or_default();
        Error::source(format!("no setting could be measured together: {why}"))
            .hint("give it more time, such as `--time 5m`")
    }

    fn add(&mut self, mut measured: Measurement) {
        if matches!(measured.kind, Kind::Source | Kind::Check) {
            measured.expand(self.expands);
        }
        if !matches!(measured.kind, Kind::Sink) {
            measured.rows_per_second = self.rows.map(|rows| rows * measured.raw_bytes_per_second);
        }
        if self.say {
            let told = match &measured.error {
                Some(why) => why.clone(),
                None => size::show_rate(measured.raw_bytes, measured.seconds),
            };
            render::say(&format!("{}: {told}", measured.name));
        }
        self.measured.push(measured);
    }

    /// A job that reads what `setting` says and delivers nothing, with its source stopped by the clock.
    async fn reading(&self, setting: &Setting, flow: &Arc<Flow>, held: usize) -> Result<Job> {
        let args = self.asked.args_for(setting)?;
        let mut job = Box::pin(copy::job(&args, self.asked.from.clone(), &[], self.cx)).await?;
        job.source = Box::new(Bounded { inner: job.source, flow: Arc::clone(flow) });
        job.settings.reader += ROOM;
        job.settings.memory = job.settings.memory.saturating_sub(held);
        Ok(job)
    }

    async fn first(&mut self, bench: &Bench<'_>, room: usize) -> Result<First> {
        let slice = self.clock.slice(weight::FIRST, Duration::ZERO);
        let flow = Flow::new(slice, true);
        let kept = Kept::within(room);
        let setting = Setting::default();
        let mut job = self.reading(&setting, &flow, sample::memory(room) + Head::MOST).await?;
        let keep = {
            let kept = Arc::clone(&kept);
            move || Some(Box::new(Keep::new(Arc::clone(&kept))) as Box<_>)
        };
        job.steps = lenient(job.steps, Arc::clone(&flow), keep);
        // A server may take long before it sends its first byte: as long as there is time for anything else.
        let limit = self.clock.left().mul_f64(0.6);
        let (measured, error, report) =
            bench.job(Measurement::new(Kind::First, setting), job, &flow, limit).await?;
        if let Some(error) = error {
            return Err(error);
        }
        let Some(report) = report else {
            return Err(Error::source("the first read did not end when it was told to"));
        };
        self.overhead = Duration::from_secs_f64(measured.first_byte_seconds);
        let mut kept = sample::lock(&kept);
        if kept.seen() > 0 {
            self.rows = kept.rows().map(|rows| rows as f64 / kept.seen() as f64);
        }
        let from_source = measured.stages.get("read").map_or(0, |stage| stage.bytes_out);
        if from_source > 0 {
            self.expands = measured.raw_bytes as f64 / from_source as f64;
        }
        let counted = (measured.ended == Ended::Whole).then_some(measured.raw_bytes);
        self.add(measured);
        Ok(First { info: report.source, head: flow.head(), blocks: kept.take(), counted })
    }

    /// The source alone.
    async fn sources(&mut self, bench: &Bench<'_>, held: usize) -> Result<()> {
        let mut settings: Vec<Setting> =
            self.asked.readers.iter().map(|n| Setting { readers: Some(*n), ..Setting::default() }).collect();
        if settings.is_empty() {
            settings.push(Setting::default());
        }
        for setting in settings {
            let slice = self.clock.slice(weight::SOURCE, self.overhead);
            let flow = Flow::new(slice, false);
            let mut job = self.reading(&setting, &flow, held).await?;
            job.steps = no_steps();
            let limit = self.clock.limit(slice, self.overhead);
            let (measured, ..) =
                bench.job(Measurement::new(Kind::Source, setting), job, &flow, limit).await?;
            self.add(measured);
        }
        Ok(())
    }

    /// Checks and compressions, each alone.
    async fn steps(
        &mut self,
        bench: &Bench<'_>,
        base: &Setting,
        head: Vec<Bytes>,
        blocks: &[Bytes],
    ) -> Result<()> {
        let args = self.asked.args_for(base)?;
        let steps = Box::pin(copy::job(&args, self.asked.from.clone(), &[], self.cx)).await?.steps;
        let format = None;
        let slice = self.clock.slice(weight::CHECK, Duration::ZERO);
        let make = move || Ok(Chain::new(steps(format)?));
        let measured = bench.steps(Measurement::new(Kind::Check, base.clone()), make, head, slice).await?;
        self.add(measured);
        let names: Vec<Option<String>> = if self.asked.compressions.is_empty() {
            vec![None]
        } else {
            self.asked.compressions.iter().cloned().map(Some).collect()
        };
        for compress in names {
            let setting = Setting { compress, ..Setting::default() };
            let slice = self.clock.slice(weight::COMPRESS, Duration::ZERO);
            if self.asked.compression(&setting)?.codec == Codec::None {
                // Nothing to measure: what is not compressed is not held up.
                let mut measured = Measurement::new(Kind::Compress, setting);
                measured.ended = Ended::Whole;
                measured.raw_bytes_per_second = f64::MAX;
                self.measured.push(measured);
                continue;
            }
            let tail = self.tail(&setting)?;
            let make = move || Ok(Chain::new(tail(None)?));
            let measured = Measurement::new(Kind::Compress, setting);
            let measured = bench.steps(measured, make, blocks.to_vec(), slice).await?;
            self.add(measured);
        }
        Ok(())
    }

    /// Compression and encryption as asked.
    fn tail(&self, setting: &Setting) -> Result<Steps> {
        let compression = self.asked.compression(setting)?;
        Ok(copy::tail(compression, passwords::recipients(&self.asked.args)?))
    }

    /// Where a setting delivers to.
    async fn delivery(&self, setting: &Setting) -> Result<Delivery> {
        let Some(beside) = self.asked.beside(setting, &self.id)? else {
            return Ok(Delivery {
                destination: Box::new(NullDestination),
                share: None,
                bare: (no_steps(), String::new()),
                tail: self.tail(setting)?,
                compression: self.asked.compression(setting)?.codec.name().to_owned(),
                ending: String::new(),
                optional: false,
            });
        };
        let args = self.asked.args_for(setting)?;
        let job = Box::pin(copy::job(&args, self.asked.from.clone(), &[beside], self.cx)).await?;
        let mut deliveries = job.deliveries.into_iter();
        let delivery = deliveries.next().ok_or_else(|| Error::bug("a destination gave no delivery"))?;
        Ok(Delivery { destination: Box::new(Vanishing(delivery.destination)), ..delivery })
    }

    /// The destination alone.
    async fn sinks(&mut self, bench: &Bench<'_>, blocks: Vec<Bytes>, held: usize) -> Result<()> {
        if !self.asked.has_destination() || blocks.is_empty() {
            return Ok(());
        }
        let sizes = std::iter::once(None).chain(self.asked.part_sizes.clone().into_iter().map(Some));
        for part_size in sizes {
            let setting = Setting { part_size, ..Setting::default() };
            let mut delivery = self.delivery(&setting).await?;
            delivery.tail = no_steps();
            delivery.bare = (no_steps(), String::new());
            let slice = self.clock.slice(weight::SINK, Duration::ZERO);
            let flow = Flow::new(slice, false);
            let args = self.asked.args_for(&setting)?;
            let mut job = Box::pin(copy::job(&args, self.asked.from.clone(), &[], self.cx)).await?;
            job.steps = no_steps();
            job.source = Box::new(FromSample { blocks: blocks.clone(), flow: Arc::clone(&flow) });
            job.deliveries = vec![delivery];
            job.settings.memory = job.settings.memory.saturating_sub(held);
            let limit = self.clock.limit(slice, DRAIN);
            let (mut measured, error, _) =
                bench.job(Measurement::new(Kind::Sink, setting), job, &flow, limit).await?;
            if let Some(error) = error.filter(|_| part_size.is_none()) {
                return Err(error);
            }
            if measured.ended == Ended::Whole {
                measured.ended = Ended::Time;
            }
            self.add(measured);
        }
        Ok(())
    }

    /// What would refuse every run is to be known before the first.
    async fn look_at_destination(&self) -> Result<()> {
        if !self.asked.has_destination() {
            return Ok(());
        }
        let mut destination = self.delivery(&Setting::default()).await?.destination;
        tokio::select! {
            room = destination.probe(self.cx) => room.map(drop)?,
            () = self.cx.cancellation().cancelled() => return Err(Error::cancelled()),
        }
        destination.abandon().await
    }

    /// One run of everything at once.
    async fn all(
        &mut self,
        bench: &Bench<'_>,
        kind: Kind,
        setting: Setting,
        weight: f64,
    ) -> Result<Measurement> {
        let slice = self.clock.slice(weight, self.overhead);
        let flow = Flow::new(slice, false);
        let mut job = self.reading(&setting, &flow, 0).await?;
        job.steps = lenient(job.steps, Arc::clone(&flow), || None);
        job.deliveries = vec![self.delivery(&setting).await?];
        let limit = self.clock.limit(slice, self.overhead);
        let (measured, ..) = bench.job(Measurement::new(kind, setting), job, &flow, limit).await?;
        Ok(measured)
    }

    async fn together(&mut self, bench: &Bench<'_>, base: &Setting, read: f64) -> Result<()> {
        // Where every run waits long for its first byte, there is time for fewer of them.
        let room = self.clock.left().as_secs_f64() / (self.overhead.as_secs_f64() + 0.5) / 2.0;
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small count")]
        let most = (room as usize).clamp(1, TOGETHER);
        let candidates = choose::candidates(&self.measured, read, most);
        self.clock.weight = candidates.len() as f64 * weight::TOGETHER + weight::CHOSEN;
        for candidate in candidates {
            let setting = Setting { compress: candidate.compress, ..base.clone() };
            let measured = self.all(bench, Kind::Together, setting, weight::TOGETHER).await?;
            self.add(measured);
        }
        Ok(())
    }

    /// The chosen setting once more, for as long as there is time. Should that fail, the run that it was chosen for stands for it.
    async fn chosen(&mut self, bench: &Bench<'_>, best: &Measurement) -> Result<Measurement> {
        self.clock.weight = weight::CHOSEN;
        let measured = self.all(bench, Kind::Chosen, best.setting.clone(), weight::CHOSEN).await?;
        let worked = measured.worked() && measured.raw_bytes > 0;
        self.add(measured);
        let last = self.measured.last().cloned();
        Ok(last.filter(|_| worked).unwrap_or_else(|| best.clone()))
    }

    fn document(
        self,
        info: SourceInfo,
        counted: Option<u64>,
        chosen: &Measurement,
        warnings: BTreeSet<String>,
        sees_server: bool,
    ) -> Document {
        let size = whole(&info, counted, self.expands);
        let estimate = size.filter(|_| chosen.raw_bytes_per_second > 0.0).map(|size| {
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of bytes")]
            let stored_bytes = (size.bytes as f64 / chosen.ratio()) as u64;
            let seconds = size.bytes as f64 / chosen.raw_bytes_per_second + chosen.first_byte_seconds;
            Estimate { seconds, stored_bytes }
        });
        let machine = Machine::this();
        let notes = self.notes(size, sees_server);
        let mut measured = self.measured;
        // A rate without a bound is none.
        measured.retain(|m| m.kind != Kind::Compress || m.raw_bytes > 0 || !m.worked());
        Document {
            r#type: "bench",
            schema: SCHEMA,
            exit_code: 0,
            tool: format!("dbferry {}", env!("CARGO_PKG_VERSION")),
            started: Timestamp::from_second(self.started.as_second()).unwrap_or(self.started).to_string(),
            elapsed_seconds: self.began.elapsed().as_secs_f64(),
            time_limit_seconds: self.limit.as_secs_f64(),
            source: info,
            destination: self.asked.destination(),
            size,
            stages: choose::stages(&measured, chosen),
            bottleneck: choose::bottleneck(chosen, machine.cores, self.asked.has_destination()),
            choice: Choice {
                measurement: chosen.name.clone(),
                setting: chosen.setting.clone(),
                command: self.asked.command(&chosen.setting),
                raw_bytes_per_second: chosen.raw_bytes_per_second,
                stored_bytes_per_second: chosen.stored_bytes_per_second,
                rows_per_second: chosen.rows_per_second,
                ratio: chosen.ratio(),
                cpu_seconds_per_gb: chosen.cpu_per_gb(),
                server_cpu_seconds_per_gb: chosen.server_cpu_seconds.map(|s| per_gb(s, chosen.raw_bytes)),
                peak_memory_bytes: chosen.peak_memory_bytes,
                locked_ms: chosen.locked_ms,
                estimate,
            },
            break_even: if self.asked.has_destination() { Vec::new() } else { choose::break_even(&measured) },
            measurements: measured,
            machine,
            notes,
            warnings: warnings.into_iter().collect(),
        }
    }

    fn notes(&self, size: Option<Size>, sees_server: bool) -> Vec<String> {
        let mut notes = Vec::new();
        let first = self.measured.iter().find(|m| m.kind == Kind::First);
        let warm = choose::reading(&self.measured);
        if let (Some(first), Some(warm)) = (first, warm)
            && first.bottleneck == Some("read")
            && first.raw_bytes_per_second < warm.raw_bytes_per_second * COLD
        {
            notes.push(format!(
                "the first read was slower than a later one ({} against {}): what does not fit into the server's memory is read at the first rate",
                size::show_rate(first.raw_bytes, first.seconds),
                size::show_rate(warm.raw_bytes, warm.seconds)
            ));
        }
        if self.measured.iter().any(|m| m.kind == Kind::First && m.ended == Ended::Whole && m.seconds < 1.0) {
            notes.push(
                "all of it is read in less than a second: figures of so short a run say little".to_owned(),
            );
        }
        if !self.asked.has_destination() {
            notes
                .push("no DEST was given: what a network or a disk takes is not in these figures".to_owned());
        }
        if matches!(self.asked.from, From::Database(_)) && !sees_server {
            notes.push(
                "the server's CPU time is not visible from here: it is on another machine, behind a proxy, or another user's".to_owned(),
            );
        }
        match size.map(|size| size.basis) {
            Some(Basis::Statistics) => notes.push("the size of the whole is the source's own statistics, which count pages or files and not the text of a dump".to_owned()),
            Some(Basis::Memory) => notes.push("the size of the whole is the server's memory, which is more than its snapshot has".to_owned()),
            _ => {}
        }
        notes
    }
}

fn whole(info: &SourceInfo, counted: Option<u64>, expands: f64) -> Option<Size> {
    if let Some(bytes) = counted {
        return Some(Size { bytes, basis: Basis::Counted });
    }
    if let Some(bytes) = info.expected_bytes.filter(|bytes| *bytes > 0) {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of bytes")]
        let bytes = (bytes as f64 * expands) as u64;
        return Some(Size { bytes, basis: Basis::Statistics });
    }
    let memory = info.facts.get("used_memory")?.parse().ok()?;
    Some(Size { bytes: memory, basis: Basis::Memory })
}
