//! Runs one setting for its time, through the engine that `copy` runs, and reads every meter.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use pipeline::meter::{Reading, bottleneck};
use pipeline::{Chain, Context, Error, Event, Job, Observer, Report, Result, prepare};
use serde::Serialize;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::ends::Flow;
use super::setting::Setting;
use super::system::{self, ServerProcess, Threads};

/// What was measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    /// The first read, which nobody had in memory; the sample comes from it.
    First,
    /// The source alone.
    Source,
    /// Decompression, rewriting and checks alone, from memory.
    Check,
    /// Compression alone, from memory.
    Compress,
    /// The destination alone, from memory.
    Sink,
    /// Everything at once.
    Together,
    /// Everything at once with the setting that was chosen, for longer.
    Chosen,
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Ended {
    /// The source had no more.
    Whole,
    /// Its time was over, and what was on its way went through.
    Time,
    /// It did not end when its time was over, and was stopped.
    Stopped,
    /// It failed.
    Failed,
}

/// The figures of one run.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Measurement {
    pub(super) kind: Kind,
    pub(super) name: String,
    pub(super) setting: Setting,
    pub(super) ended: Ended,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<String>,
    /// From the first byte to the end of the last stage.
    pub(super) seconds: f64,
    /// From the beginning to the first byte: connections, locks, a snapshot.
    pub(super) first_byte_seconds: f64,
    /// Before compression.
    pub(super) raw_bytes: u64,
    /// As the destination got them.
    pub(super) stored_bytes: u64,
    pub(super) raw_bytes_per_second: f64,
    pub(super) stored_bytes_per_second: f64,
    pub(super) rows_per_second: Option<f64>,
    /// Of this process and its clients.
    pub(super) cpu_seconds: f64,
    /// The same by what its threads do: `io` (reading and delivering), `check`, `compress`, `clients`.
    pub(super) cpu_by_stage: BTreeMap<&'static str, f64>,
    pub(super) server_cpu_seconds: Option<f64>,
    /// Share of the machine's processors that was busy, whoever it was.
    pub(super) machine_busy: Option<f64>,
    pub(super) locked_ms: Option<u64>,
    pub(super) peak_memory_bytes: Option<u64>,
    pub(super) bottleneck: Option<&'static str>,
    pub(super) stages: BTreeMap<&'static str, Reading>,
    pub(super) timeline: Vec<Point>,
}

/// How it went at one moment.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Point {
    /// Since the run began.
    pub(super) seconds: f64,
    /// Since the point before.
    pub(super) raw_bytes_per_second: f64,
    /// Share of its time, since the point before, in which each stage worked.
    pub(super) busy: BTreeMap<&'static str, f64>,
}

impl Measurement {
    pub(super) fn new(kind: Kind, setting: Setting) -> Self {
        let what = match kind {
            Kind::First => "first read",
            Kind::Source => "source",
            Kind::Check => "check",
            Kind::Compress => "compress",
            Kind::Sink => "destination",
            Kind::Together => "together",
            Kind::Chosen => "chosen",
        };
        let name = match kind {
            Kind::Check => what.to_owned(),
            _ => format!("{what}: {}", setting.label()),
        };
        Self {
            kind,
            name,
            setting,
            ended: Ended::Failed,
            error: None,
            seconds: 0.0,
            first_byte_seconds: 0.0,
            raw_bytes: 0,
            stored_bytes: 0,
            raw_bytes_per_second: 0.0,
            stored_bytes_per_second: 0.0,
            rows_per_second: None,
            cpu_seconds: 0.0,
            cpu_by_stage: BTreeMap::new(),
            server_cpu_seconds: None,
            machine_busy: None,
            locked_ms: None,
            peak_memory_bytes: None,
            bottleneck: None,
            stages: BTreeMap::new(),
            timeline: Vec::new(),
        }
    }

    fn failed(mut self, error: &Error) -> Self {
        let hint = error.hints().first().map_or_else(String::new, |hint| format!(" ({hint})"));
        self.error = Some(format!("{error}{hint}"));
        self
    }

    pub(super) fn worked(&self) -> bool {
        self.ended != Ended::Failed
    }

    /// How many times smaller it became.
    pub(super) fn ratio(&self) -> f64 {
        if self.stored_bytes > 0 { self.raw_bytes as f64 / self.stored_bytes as f64 } else { 1.0 }
    }

    /// Counts what passed as it will be behind the steps.
    pub(super) fn expand(&mut self, by: f64) {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of bytes")]
        {
            self.raw_bytes = (self.raw_bytes as f64 * by) as u64;
        }
        self.raw_bytes_per_second *= by;
    }

    /// Of this process, for a gigabyte before compression.
    pub(super) fn cpu_per_gb(&self) -> f64 {
        per_gb(self.cpu_seconds, self.raw_bytes)
    }

    fn rate(&mut self) {
        let seconds = self.seconds.max(1e-3);
        self.raw_bytes_per_second = self.raw_bytes as f64 / seconds;
        self.stored_bytes_per_second = self.stored_bytes as f64 / seconds;
    }
}

pub(super) fn per_gb(seconds: f64, bytes: u64) -> f64 {
    if bytes > 0 { seconds / (bytes as f64 / 1e9) } else { 0.0 }
}

/// Sees a run from beside it.
struct Recorder {
    seen: Mutex<Seen>,
    warnings: Arc<Mutex<BTreeSet<String>>>,
}

struct Seen {
    threads: Threads,
    points: Vec<(f64, Vec<Reading>)>,
}

impl Observer for Recorder {
    fn on_event(&self, event: &Event<'_>) {
        match event {
            Event::Progress(progress) => {
                let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
                seen.threads.look();
                seen.points.push((progress.elapsed.as_secs_f64(), progress.stages.clone()));
            }
            Event::Warning(text) => {
                self.warnings.lock().unwrap_or_else(PoisonError::into_inner).insert((*text).to_owned());
            }
            _ => {}
        }
    }
}

/// What a run is measured with.
pub(super) struct Bench<'a> {
    pub(super) cx: &'a Context,
    pub(super) server: Option<ServerProcess>,
    pub(super) warnings: Arc<Mutex<BTreeSet<String>>>,
}

impl Bench<'_> {
    /// Runs a job whose ends are those of `ends.rs`, and stops it after `limit`. Fails only when the whole program is told to stop; what else goes wrong
    /// is a measurement that failed, with its cause beside it.
    pub(super) async fn job(
        &self,
        mut measured: Measurement,
        job: Job,
        flow: &Flow,
        limit: Duration,
    ) -> Result<(Measurement, Option<Error>, Option<Report>)> {
        let token = self.cx.cancellation().child_token();
        let seen = Mutex::new(Seen { threads: Threads::begin(), points: Vec::new() });
        let recorder = Arc::new(Recorder { seen, warnings: Arc::clone(&self.warnings) });
        let cx = Context::new(token.clone(), Arc::clone(&recorder) as Arc<dyn Observer>);
        system::forget_peak();
        let before = Usage::now(self.server);
        let began = Instant::now();
        let mut run = Box::pin(async { prepare(job, &cx).await?.run(&cx).await });
        let (outcome, stopped) = tokio::select! {
            outcome = &mut run => (outcome, false),
            () = tokio::time::sleep(limit) => {
                token.cancel();
                (run.await, true)
            }
        };
        let ended = Instant::now();
        if self.cx.cancellation().is_cancelled() {
            return Err(Error::cancelled());
        }
        let used = Usage::now(self.server).since(&before);
        let first = flow.first();
        measured.seconds = first.map_or(0.0, |first| (ended - first).as_secs_f64());
        measured.first_byte_seconds = first.map_or(0.0, |first| (first - began).as_secs_f64());
        let readings = cx.board().read();
        let roles = roles(readings.len());
        let mut seen = recorder.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.threads.look();
        measured.cpu_seconds = used.cpu;
        measured.cpu_by_stage = by_stage(&seen.threads, readings.get(1), used.cpu, used.clients);
        measured.server_cpu_seconds = used.server;
        measured.machine_busy = used.machine;
        measured.peak_memory_bytes = system::peak_memory();
        measured.timeline = timeline(&seen.points, roles);
        measured.bottleneck = bottleneck(&readings)
            .and_then(|top| readings.iter().position(|r| r.stage == top.stage))
            .and_then(|at| roles.get(at).copied());
        measured.stages = roles.iter().copied().zip(readings.iter().cloned()).collect();
        let report = match outcome {
            Ok(report) => {
                measured.ended = if flow.was_cut() { Ended::Time } else { Ended::Whole };
                measured.raw_bytes = report.raw_bytes();
                measured.stored_bytes = stored(&report).unwrap_or(measured.raw_bytes);
                measured.locked_ms = report.source.facts.get("locked_ms").and_then(|text| text.parse().ok());
                Some(report)
            }
            Err(error) if stopped && first.is_some() && error.is_consequence() => {
                measured.ended = Ended::Stopped;
                (measured.raw_bytes, measured.stored_bytes) = arrived(&readings);
                None
            }
            Err(error) => {
                let error = if stopped {
                    Error::source(format!("nothing came within {:.0} s", limit.as_secs_f64()))
                        .hint("give it more time, such as `--time 5m`")
                } else {
                    error
                };
                return Ok((measured.failed(&error), Some(error), None));
            }
        };
        measured.rate();
        Ok((measured, None, report))
    }

    /// Runs steps over pieces in memory until the time is over: from their beginning again and again with steps of their own, or as one long stream.
    pub(super) async fn steps(
        &self,
        mut measured: Measurement,
        make: impl Fn() -> Result<Chain> + Send + 'static,
        pieces: Vec<Bytes>,
        slice: Duration,
    ) -> Result<Measurement> {
        let afresh = measured.kind == Kind::Check;
        let cancel = self.cx.cancellation().clone();
        system::forget_peak();
        let before = Usage::now(None);
        let began = Instant::now();
        let work = tokio::task::spawn_blocking(move || turn(&make, &pieces, afresh, slice, &cancel));
        let outcome = work.await.map_err(|panic| Error::bug("a measured step panicked").caused_by(panic))?;
        if self.cx.cancellation().is_cancelled() {
            return Err(Error::cancelled());
        }
        let used = Usage::now(None).since(&before);
        match outcome {
            Err(error) => return Ok(measured.failed(&error)),
            Ok((raw, stored)) => (measured.raw_bytes, measured.stored_bytes) = (raw, stored),
        }
        measured.ended = Ended::Time;
        measured.seconds = began.elapsed().as_secs_f64();
        measured.cpu_seconds = used.cpu;
        measured.machine_busy = used.machine;
        measured.peak_memory_bytes = system::peak_memory();
        measured.rate();
        Ok(measured)
    }
}

/// Bytes in and out.
fn turn(
    make: &impl Fn() -> Result<Chain>,
    pieces: &[Bytes],
    afresh: bool,
    slice: Duration,
    cancel: &CancellationToken,
) -> Result<(u64, u64)> {
    struct Count(u64);
    impl pipeline::Output for Count {
        fn emit(&mut self, data: Bytes) -> Result<()> {
            self.0 += data.len() as u64;
            Ok(())
        }
    }
    let began = std::time::Instant::now();
    let over = || began.elapsed() >= slice || cancel.is_cancelled();
    let (mut raw, mut out) = (0, Count(0));
    while !over() && !pieces.is_empty() {
        let mut chain = make()?;
        'stream: loop {
            for piece in pieces {
                for at in (0..piece.len()).step_by(256 << 10) {
                    let part = piece.slice(at..piece.len().min(at + (256 << 10)));
                    raw += part.len() as u64;
                    chain.push(part, &mut out)?;
                    if over() {
                        break 'stream;
                    }
                }
            }
            if afresh {
                break;
            }
        }
        if !afresh {
            chain.finish(&mut out)?;
        }
    }
    Ok((raw, out.0))
}

/// What had been used at one moment.
struct Usage {
    cpu: f64,
    clients: f64,
    server: Option<f64>,
    machine: Option<(f64, f64)>,
}

struct Used {
    cpu: f64,
    clients: f64,
    server: Option<f64>,
    machine: Option<f64>,
}

impl Usage {
    fn now(server: Option<ServerProcess>) -> Self {
        Self {
            cpu: system::process_cpu(),
            clients: system::children_cpu(),
            server: server.and_then(ServerProcess::cpu),
            machine: system::machine_time(),
        }
    }

    fn since(&self, before: &Self) -> Used {
        let clients = (self.clients - before.clients).max(0.0);
        let machine = self.machine.zip(before.machine).and_then(|((busy, all), (busy_then, all_then))| {
            (all > all_then).then(|| ((busy - busy_then) / (all - all_then)).clamp(0.0, 1.0))
        });
        Used {
            cpu: self.cpu - before.cpu + clients,
            clients,
            server: self.server.zip(before.server).map(|(now, then)| (now - then).max(0.0)),
            machine,
        }
    }
}

/// What the rows of the board are, by how many there are.
fn roles(stages: usize) -> &'static [&'static str] {
    match stages {
        0..=2 => &["read", "check"],
        3 => &["read", "check", "deliver"],
        _ => &["read", "check", "compress", "deliver"],
    }
}

/// Threads are named after their stages; whatever has another name serves sockets and files.
fn by_stage(
    threads: &Threads,
    check: Option<&Reading>,
    all: f64,
    clients: f64,
) -> BTreeMap<&'static str, f64> {
    // Linux keeps 15 bytes of a thread's name.
    let checking: String =
        check.map(|check| format!("dbf-{}", check.stage).chars().take(15).collect()).unwrap_or_default();
    let mut sums: BTreeMap<&'static str, f64> = BTreeMap::new();
    for (name, seconds) in threads.by_name() {
        let stage = if name == checking {
            "check"
        } else if name.starts_with("dbf-") || name.starts_with("dbferry-") {
            "compress"
        } else {
            continue;
        };
        *sums.entry(stage).or_default() += seconds;
    }
    let known: f64 = sums.values().sum();
    sums.insert("clients", clients);
    sums.insert("io", (all - clients - known).max(0.0));
    sums
}

fn stored(report: &Report) -> Option<u64> {
    let manifest = report.deliveries.first()?.outcome.as_ref().ok()?;
    Some(manifest.parts.iter().map(|part| part.stored.bytes).sum())
}

/// Bytes before compression, and as stored, of a run that was stopped: what the last stage has, and what that was before.
fn arrived(readings: &[Reading]) -> (u64, u64) {
    let Some(last) = readings.last() else { return (0, 0) };
    match readings {
        [_, check] => (check.bytes_in, check.bytes_in),
        [_, _, compress, _] if compress.bytes_out > 0 => {
            let ratio = compress.bytes_in as f64 / compress.bytes_out as f64;
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of bytes")]
            let raw = (last.bytes_out as f64 * ratio) as u64;
            (raw, last.bytes_out)
        }
        _ => (last.bytes_out, last.bytes_out),
    }
}

/// Points for a plot; more than these nobody sees.
const POINTS: usize = 120;

fn timeline(seen: &[(f64, Vec<Reading>)], roles: &[&'static str]) -> Vec<Point> {
    let step = seen.len().div_ceil(POINTS).max(1);
    let picked: Vec<&(f64, Vec<Reading>)> =
        seen.iter().filter(|(_, stages)| stages.len() == roles.len()).step_by(step).collect();
    picked
        .windows(2)
        .filter_map(|two| {
            let ((then, before), (now, after)) = (two[0], two[1]);
            let seconds = now - then;
            if seconds <= 0.0 {
                return None;
            }
            let carried = after[1].bytes_in.saturating_sub(before[1].bytes_in) as f64;
            let share = |(before, after): (&Reading, &Reading)| {
                let busy = after.busy_seconds - before.busy_seconds;
                let waited = after.wait_input_seconds - before.wait_input_seconds + after.wait_output_seconds
                    - before.wait_output_seconds;
                let all = busy + waited;
                if all > 0.0 { (busy / all).clamp(0.0, 1.0) } else { 0.0 }
            };
            let busy = roles.iter().copied().zip(before.iter().zip(after).map(share)).collect();
            Some(Point { seconds: *now, raw_bytes_per_second: carried / seconds, busy })
        })
        .collect()
}
