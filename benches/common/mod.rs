//! What the benchmarks share: rounds that go through all cases in turn, medians, the machine, Markdown.
//!
//! Machines are shared and change their speed from minute to minute. So cases are not measured one after the other but in
//! rounds, each round beginning with another case, and a comparison is made within a round before its median is taken.

use std::error::Error;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

pub(crate) type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

/// What everybody finds who looks for how to take the definers out of a dump.
pub(crate) const SED: &str = "s/DEFINER=`[^`]*`@`[^`]*`//g";

/// The dbferry that is measured: the one that was built with the benchmark, unless `DBFERRY_BENCH_PROGRAM` names another.
pub(crate) fn program() -> PathBuf {
    std::env::var_os("DBFERRY_BENCH_PROGRAM")
        .map_or_else(|| env!("CARGO_BIN_EXE_dbferry").into(), PathBuf::from)
}

/// Seconds of CPU of a server and of its backends, once the last of them has gone.
pub(crate) fn settled_cpu(server: &str) -> Result<f64> {
    std::thread::sleep(Duration::from_millis(200));
    Ok(cpu_of(server)?.iter().sum())
}

/// The size of a benchmark's dump in bytes, at most `most`, and its rounds; from the environment.
pub(crate) fn size_and_rounds(most: u64) -> Result<(u64, usize)> {
    let read = |name: &str, default: u64| match std::env::var(name) {
        Ok(text) => text.parse().map_err(|_| format!("{name}={text} is not a number")),
        Err(_) => Ok(default),
    };
    let megabytes = read("DBFERRY_BENCH_MB", 750)?.max(1);
    let rounds = read("DBFERRY_BENCH_ROUNDS", 5)?.max(1);
    Ok(((megabytes * 1_000_000).min(most), usize::try_from(rounds)?))
}

/// One measurement.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sample {
    pub(crate) wall: f64,
    /// User and system time of everything that was started for it, the server excepted.
    pub(crate) cpu: f64,
    /// User and system time of the server.
    pub(crate) server: f64,
    pub(crate) bytes: u64,
    pub(crate) peak_kib: u64,
}

/// Something to be measured again and again.
pub(crate) struct Case<'a> {
    pub(crate) name: String,
    run: Box<dyn FnMut() -> Result<Sample> + 'a>,
    pub(crate) samples: Vec<Sample>,
}

impl<'a> Case<'a> {
    pub(crate) fn new(name: impl Into<String>, run: impl FnMut() -> Result<Sample> + 'a) -> Self {
        Self { name: name.into(), run: Box::new(run), samples: Vec::new() }
    }

    /// Median, least and most of a figure over the rounds.
    pub(crate) fn spread(&self, figure: impl Fn(&Sample) -> f64) -> Spread {
        Spread::of(self.samples.iter().map(figure))
    }

    /// How many times as fast as `other`, round by round.
    pub(crate) fn faster_than(&self, other: &Case<'_>) -> Spread {
        Spread::of(other.samples.iter().zip(&self.samples).map(|(theirs, ours)| theirs.wall / ours.wall))
    }
}

/// Runs every case once a round.
pub(crate) fn run(cases: &mut [Case<'_>], rounds: usize) -> Result<()> {
    for round in 0..rounds {
        for at in 0..cases.len() {
            let index = (at + round) % cases.len();
            let case = &mut cases[index];
            let sample = (case.run)().map_err(|error| format!("{}: {error}", case.name))?;
            say(&format!(
                "round {}: {}: {:.2} s, {:.2} s of CPU",
                round + 1,
                case.name,
                sample.wall,
                sample.cpu
            ));
            case.samples.push(sample);
        }
    }
    Ok(())
}

/// Median and range.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Spread {
    fn of(values: impl Iterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        let at = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
        let half = values.len() / 2;
        let median = if values.len() % 2 == 1 {
            at(half)
        } else {
            f64::midpoint(at(half.saturating_sub(1)), at(half))
        };
        Self { median, min: at(0), max: at(values.len().saturating_sub(1)) }
    }

    /// `2.31 (2.20–2.48)`.
    pub(crate) fn with_range(self) -> String {
        format!("{:.2} ({:.2}–{:.2})", self.median, self.min, self.max)
    }
}

/// Measures a process and everything that it waits for, from the start to the end of its process. With `watch`, its own peak of memory too.
pub(crate) fn process(command: &mut Command, watch: bool) -> Result<Sample> {
    let (cpu, start) = (children_cpu()?, Instant::now());
    let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn()?;
    let peak_kib = if watch { wait_watching(&mut child)? } else { 0 };
    let status = child.wait()?;
    let wall = start.elapsed().as_secs_f64();
    if !status.success() {
        let mut said = String::new();
        if let Some(mut stderr) = child.stderr.take() {
            stderr.read_to_string(&mut said)?;
        }
        return Err(format!("{status}: {said}").into());
    }
    Ok(Sample { wall, cpu: children_cpu()? - cpu, peak_kib, ..Sample::default() })
}

/// Looks at the peak of the child's memory until the child has ended. The kernel keeps the peak, so a look now and then is enough.
fn wait_watching(child: &mut Child) -> Result<u64> {
    let status = format!("/proc/{}/status", child.id());
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut peak = 0;
            while !ended.load(Relaxed) {
                let text = fs::read_to_string(&status).unwrap_or_default();
                let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
                let now = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
                peak = now.unwrap_or(0).max(peak);
                std::thread::sleep(Duration::from_millis(20));
            }
            peak
        });
        let waited = child.wait();
        ended.store(true, Relaxed);
        let peak = watcher.join().map_err(|_| "the watching thread panicked")?;
        waited?;
        Ok(peak)
    })
}

/// Seconds of CPU of the children that this process has waited for.
fn children_cpu() -> Result<f64> {
    let [_, children] = cpu_of("self")?;
    Ok(children)
}

/// Seconds of CPU of a process, and of the children that it has waited for.
pub(crate) fn cpu_of(pid: &str) -> Result<[f64; 2]> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |index: usize| fields.get(index).and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0);
    // USER_HZ is 100 on everything that Linux tells user space about.
    Ok([(ticks(11) + ticks(12)) / 100.0, (ticks(13) + ticks(14)) / 100.0])
}

/// A program's path, when it is installed.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(program)).find(|file| file.is_file())
}

/// The programs of `peers` that are installed; the others are named in the output.
pub(crate) fn installed(peers: &[&'static str], notes: &mut Vec<String>) -> Vec<&'static str> {
    let (there, missing): (Vec<&str>, Vec<&str>) = peers.iter().partition(|peer| find(peer).is_some());
    if !missing.is_empty() {
        notes.push(format!("Not installed, so not measured: {}.", missing.join(", ")));
    }
    there
}

/// Processor, kernel, memory and how busy the machine is, then the version of every tool.
pub(crate) fn machine(tools: &[&str]) -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpuinfo = read("/proc/cpuinfo");
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let model = field(&cpuinfo, "model name").unwrap_or_else(|| "a processor without a name".to_owned());
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let kib = field(&read("/proc/meminfo"), "MemTotal").unwrap_or_default();
    let kib: f64 = kib.split(' ').next().and_then(|text| text.parse().ok()).unwrap_or(0.0);
    let load = read("/proc/loadavg");
    let mut text = format!(
        "Machine: {cores} cores of {model}, {:.0} GiB, Linux {}; load when it began: {}.\n",
        kib / f64::from(1 << 20),
        read("/proc/sys/kernel/osrelease").trim(),
        load.split(' ').next().unwrap_or_default(),
    );
    let versions: Vec<String> = tools.iter().filter_map(|tool| version(tool)).collect();
    let _written = writeln!(text, "Tools: {}.", versions.join("; "));
    text
}

/// The first line of what a program says of its version.
fn version(program: &str) -> Option<String> {
    let output = Command::new(find(program)?).arg("--version").output().ok()?;
    // pigz says it on stderr.
    let said = if output.stdout.is_empty() { output.stderr } else { output.stdout };
    let said = String::from_utf8_lossy(&said).into_owned();
    let line = said.lines().next()?.trim().trim_matches('*').trim();
    let mut words = line.split([' ', ',']).map(|word| word.trim_matches(['v', '(', ')']));
    let number = words.rfind(|word| word.contains('.') && word.starts_with(|c: char| c.is_ascii_digit()))?;
    Some(format!("{program} {number}"))
}

/// `bytes` as decimal megabytes.
pub(crate) fn mb(bytes: u64) -> String {
    format!("{:.0}", bytes as f64 / 1e6)
}

/// The result, for a document: standard output.
#[allow(clippy::print_stdout, reason = "a benchmark's result is what it prints")]
pub(crate) fn print(text: &str) {
    println!("{text}");
}

/// What is going on, for the person who waits.
#[allow(clippy::print_stderr, reason = "a benchmark talks to the person who waits")]
pub(crate) fn say(text: &str) {
    eprintln!("{text}");
}

/// The length of a file.
pub(crate) fn length(path: &Path) -> Result<u64> {
    if !path.is_dir() {
        return Ok(File::open(path)?.metadata()?.len());
    }
    fs::read_dir(path)?.map(|entry| length(&entry?.path())).sum()
}
