//! The outcome: what `--json` prints, and the table and the page show. `docs/bench.md` describes it; additions keep the schema number.

use std::collections::BTreeMap;

use pipeline::SourceInfo;
use serde::Serialize;

use super::measure::Measurement;
use super::setting::Setting;
use super::system::Machine;

/// The schema that this version writes.
pub(super) const SCHEMA: u32 = 1;

#[derive(Debug, Clone, Serialize)]
pub(super) struct Document {
    pub(super) r#type: &'static str,
    pub(super) schema: u32,
    pub(super) exit_code: u8,
    pub(super) tool: String,
    pub(super) started: String,
    pub(super) elapsed_seconds: f64,
    pub(super) time_limit_seconds: f64,
    pub(super) machine: Machine,
    pub(super) source: SourceInfo,
    /// Without secrets; none when it went nowhere.
    pub(super) destination: Option<String>,
    pub(super) size: Option<Size>,
    pub(super) measurements: Vec<Measurement>,
    pub(super) stages: Vec<Stage>,
    pub(super) bottleneck: Bottleneck,
    pub(super) choice: Choice,
    pub(super) break_even: Vec<BreakEven>,
    pub(super) notes: Vec<String>,
    pub(super) warnings: Vec<String>,
}

/// How large all of it is, before compression.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Size {
    pub(super) bytes: u64,
    pub(super) basis: Basis,
}

/// How that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Basis {
    /// It was all read.
    Counted,
    /// The source's own statistics, which count pages or blocks and not the text of a dump.
    Statistics,
    /// The memory of a Redis server, more than its snapshot has.
    Memory,
}

/// A stage on its own.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Stage {
    /// `read`, `check`, `compress` or `deliver`.
    #[serde(rename = "stage")]
    pub(super) name: &'static str,
    /// What it carries when nothing else holds it up, before compression.
    pub(super) alone_bytes_per_second: Option<f64>,
    pub(super) cpu_seconds_per_gb: Option<f64>,
    /// Of the server, where it can be seen.
    pub(super) server_cpu_seconds_per_gb: Option<f64>,
    /// The measurement that this is from.
    pub(super) measured_in: Option<String>,
}

/// What holds up everything else.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Bottleneck {
    /// A stage, or `processor` when all of the machine's are busy.
    pub(super) what: &'static str,
    pub(super) says: String,
}

/// The setting that came out best.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Choice {
    /// The measurement that has its figures.
    pub(super) measurement: String,
    pub(super) setting: Setting,
    pub(super) command: String,
    pub(super) raw_bytes_per_second: f64,
    pub(super) stored_bytes_per_second: f64,
    pub(super) rows_per_second: Option<f64>,
    pub(super) ratio: f64,
    pub(super) cpu_seconds_per_gb: f64,
    pub(super) server_cpu_seconds_per_gb: Option<f64>,
    pub(super) peak_memory_bytes: Option<u64>,
    pub(super) locked_ms: Option<u64>,
    pub(super) estimate: Option<Estimate>,
}

/// The whole database with the chosen setting.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Estimate {
    pub(super) seconds: f64,
    pub(super) stored_bytes: u64,
}

/// When a compression pays.
#[derive(Debug, Clone, Serialize)]
pub(super) struct BreakEven {
    pub(super) compress: String,
    /// A destination that takes less than this is filled sooner with this compression than with none.
    pub(super) below_bytes_per_second: f64,
}

impl Document {
    pub(super) fn find(&self, name: &str) -> Option<&Measurement> {
        self.measurements.iter().find(|measured| measured.name == name)
    }

    /// CPU for a gigabyte by stage, of a run of everything at once; what serves sockets and files is `io`.
    pub(super) fn cpu_parts(measured: &Measurement) -> BTreeMap<&'static str, f64> {
        let per_gb = |seconds: f64| super::measure::per_gb(seconds, measured.raw_bytes);
        let mut parts: BTreeMap<&'static str, f64> =
            measured.cpu_by_stage.iter().map(|(stage, seconds)| (*stage, per_gb(*seconds))).collect();
        parts.extend(measured.server_cpu_seconds.map(|seconds| ("server", per_gb(seconds))));
        parts
    }
}
