//! How much each stage carried and what it waited for: the figures behind progress, summary and the named bottleneck.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// Counters of one stage. Written by the stage and its channels, read by anyone; never locked.
#[derive(Debug)]
pub struct Meter {
    name: String,
    started: Instant,
    ended_ns: AtomicU64,
    done: AtomicBool,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    wait_in_ns: AtomicU64,
    wait_out_ns: AtomicU64,
}

impl Meter {
    /// A meter whose clock starts now.
    pub fn new(name: impl Into<String>) -> Arc<Self> {
        Arc::new(Self {
            name: name.into(),
            started: Instant::now(),
            ended_ns: AtomicU64::new(0),
            done: AtomicBool::new(false),
            bytes_in: AtomicU64::new(0),
            bytes_out: AtomicU64::new(0),
            wait_in_ns: AtomicU64::new(0),
            wait_out_ns: AtomicU64::new(0),
        })
    }

    pub(crate) fn received(&self, bytes: usize) {
        self.bytes_in.fetch_add(bytes as u64, Relaxed);
    }

    pub(crate) fn sent(&self, bytes: usize) {
        self.bytes_out.fetch_add(bytes as u64, Relaxed);
    }

    pub(crate) fn waited_for_input(&self, since: Instant) {
        self.wait_in_ns.fetch_add(nanos(since.elapsed()), Relaxed);
    }

    pub(crate) fn waited_for_output(&self, since: Instant) {
        self.wait_out_ns.fetch_add(nanos(since.elapsed()), Relaxed);
    }

    pub(crate) fn stop(&self) {
        if !self.done.swap(true, Relaxed) {
            self.ended_ns.store(nanos(self.started.elapsed()), Relaxed);
        }
    }

    /// The figures as they stand.
    pub fn read(&self) -> Reading {
        let ran = if self.done.load(Relaxed) {
            Duration::from_nanos(self.ended_ns.load(Relaxed))
        } else {
            self.started.elapsed()
        };
        let wait_in = Duration::from_nanos(self.wait_in_ns.load(Relaxed));
        let wait_out = Duration::from_nanos(self.wait_out_ns.load(Relaxed));
        Reading {
            stage: self.name.clone(),
            bytes_in: self.bytes_in.load(Relaxed),
            bytes_out: self.bytes_out.load(Relaxed),
            busy_seconds: ran.saturating_sub(wait_in).saturating_sub(wait_out).as_secs_f64(),
            wait_input_seconds: wait_in.as_secs_f64(),
            wait_output_seconds: wait_out.as_secs_f64(),
        }
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// One stage's figures at one moment. Seconds are wall time of the stage's thread or task, summed over parts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    /// `source`, `rewrite`, `zstd → file` and the like.
    pub stage: String,
    /// Bytes taken from the stage before.
    pub bytes_in: u64,
    /// Bytes handed to the stage behind.
    pub bytes_out: u64,
    /// Time spent neither waiting for input nor for room at the output.
    pub busy_seconds: f64,
    /// Time spent waiting for the stage before.
    pub wait_input_seconds: f64,
    /// Time spent waiting for the stage behind.
    pub wait_output_seconds: f64,
}

impl Reading {
    /// Share of its time, 0 to 1, in which the stage worked.
    pub fn utilisation(&self) -> f64 {
        let total = self.busy_seconds + self.wait_input_seconds + self.wait_output_seconds;
        if total > 0.0 { self.busy_seconds / total } else { 0.0 }
    }
}

/// All meters of a run. Parts that run the same stage share a row.
#[derive(Debug, Clone, Default)]
pub struct Board(Arc<Mutex<Meters>>);

#[derive(Debug, Default)]
struct Meters {
    /// A row for every stage, in order of first appearance, with what those have done that nobody holds any more. A run may have some hundred thousand
    /// parts, and is looked at ten times a second.
    past: Vec<Reading>,
    live: Vec<Arc<Meter>>,
}

impl Board {
    /// A new meter on the board.
    pub fn meter(&self, name: impl Into<String>) -> Arc<Meter> {
        let meter = Meter::new(name);
        let mut meters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if meters.past.iter().all(|row| row.stage != meter.name) {
            let stage = meter.name.clone();
            let nothing = Reading {
                stage,
                bytes_in: 0,
                bytes_out: 0,
                busy_seconds: 0.0,
                wait_input_seconds: 0.0,
                wait_output_seconds: 0.0,
            };
            meters.past.push(nothing);
        }
        meters.live.push(Arc::clone(&meter));
        meter
    }

    /// One reading per stage name, in order of first appearance, summed over the parts.
    pub fn read(&self) -> Vec<Reading> {
        let mut meters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Meters { past, live } = &mut *meters;
        live.retain(|meter| {
            let over = meter.done.load(Relaxed) && Arc::strong_count(meter) == 1;
            if over {
                add(past, &meter.read());
            }
            !over
        });
        let mut rows = past.clone();
        for meter in live.iter() {
            add(&mut rows, &meter.read());
        }
        rows
    }
}

fn add(rows: &mut [Reading], reading: &Reading) {
    let Some(row) = rows.iter_mut().find(|row| row.stage == reading.stage) else { return };
    row.bytes_in += reading.bytes_in;
    row.bytes_out += reading.bytes_out;
    row.busy_seconds += reading.busy_seconds;
    row.wait_input_seconds += reading.wait_input_seconds;
    row.wait_output_seconds += reading.wait_output_seconds;
}

/// The stage that the others waited for: the one with the highest utilisation. `None` when nothing ran long enough
/// (10 ms) to tell.
pub fn bottleneck(readings: &[Reading]) -> Option<&Reading> {
    readings
        .iter()
        .filter(|r| r.busy_seconds + r.wait_input_seconds + r.wait_output_seconds > 0.01)
        .max_by(|a, b| a.utilisation().total_cmp(&b.utilisation()))
}
