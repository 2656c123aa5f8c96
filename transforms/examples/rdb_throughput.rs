//! How fast the step for snapshots is on one core, over a file in memory: `cargo run --release --example rdb_throughput -- dump.rdb`.
//! `cargo bench --bench redis` makes such a file with a real server and measures the same beside others.

use std::io::Write;
use std::time::Instant;

use bytes::Bytes;
use pipeline::{Output, Result, Transform};
use transforms::rdb::{Options, RdbStep, TextForm};

/// The size of the engine's pieces.
const PIECE: usize = 256 << 10;

#[derive(Default)]
struct Counted(u64);

impl Output for Counted {
    fn emit(&mut self, data: Bytes) -> Result<()> {
        self.0 += data.len() as u64;
        Ok(())
    }
}

fn through(options: &Options, data: &Bytes) -> Result<u64> {
    let mut step = Box::new(RdbStep::new(options.clone()));
    let mut out = Counted::default();
    for at in (0..data.len()).step_by(PIECE) {
        step.push(data.slice(at..data.len().min(at + PIECE)), &mut out)?;
    }
    step.finish(&mut out)?;
    Ok(out.0)
}

/// Time that this thread has run, which other programs on the machine do not lengthen; else the time that has passed.
fn clock(start: Instant) -> f64 {
    std::fs::read_to_string("/proc/thread-self/schedstat")
        .ok()
        .and_then(|stat| stat.split(' ').next()?.parse::<f64>().ok())
        .map_or_else(|| start.elapsed().as_secs_f64(), |nanos| nanos / 1e9)
}

fn main() -> std::io::Result<()> {
    let Some(path) = std::env::args().nth(1) else {
        return Err(std::io::Error::other("usage: rdb_throughput FILE [STAGE]"));
    };
    let only = std::env::args().nth(2);
    let data = Bytes::from(std::fs::read(path)?);
    let plain = Options::default;
    let filter = Options {
        drop_keys: vec![b"session:*7".to_vec()],
        databases: [0].into(),
        renumber: [(0, 1)].into(),
        ..plain()
    };
    let text = |form| Options { text: Some(form), ..plain() };
    let stages = [
        ("skip", plain()),
        ("filter", filter),
        ("resp", text(TextForm::Resp)),
        ("json", text(TextForm::Json)),
    ];
    let mut out = std::io::stdout().lock();
    let start = Instant::now();
    for (name, options) in &stages {
        if only.as_ref().is_some_and(|only| only != name) {
            continue;
        }
        let mut times = Vec::new();
        let mut bytes = 0;
        for _ in 0..5 {
            let before = clock(start);
            bytes = through(options, &data).map_err(std::io::Error::other)?;
            times.push(clock(start) - before);
        }
        times.sort_by(f64::total_cmp);
        writeln!(
            out,
            "{name:<8} {:6.2} GB/s in, {:6.2} GB/s out, CPU {:.3} s ({:.3} to {:.3})",
            data.len() as f64 / times[2] / 1e9,
            bytes as f64 / times[2] / 1e9,
            times[2],
            times[0],
            times[4]
        )?;
    }
    Ok(())
}
