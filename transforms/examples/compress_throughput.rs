//! Speed and ratio of every codec and level, on a file or on generated dump text.
//!
//! ```text
//! cargo run --release --example compress_throughput -- [--threads N] [--megabytes N] [--only CODEC[:LEVEL],…] [FILE]
//! ```
//!
//! Each line is the median of three runs. Memory is the process's peak growth over what it held before, from `/proc/self/status`.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for the terminal")]

mod corpus;

use std::{error::Error, time::Instant};

use bytes::Bytes;
use pipeline::{Output, Transform};
use transforms::codec::{Codec, Compression, Decompress};

/// Piece size of the engine's channels.
const PIECE: usize = 256 * 1024;

struct Count {
    bytes: usize,
    kept: Option<Vec<u8>>,
}

impl Output for Count {
    fn emit(&mut self, data: Bytes) -> pipeline::Result<()> {
        self.bytes += data.len();
        if let Some(kept) = &mut self.kept {
            kept.extend_from_slice(&data);
        }
        Ok(())
    }
}

fn run(mut transform: Box<dyn Transform>, data: &Bytes, keep: bool) -> Result<(f64, Count), Box<dyn Error>> {
    let mut out = Count { bytes: 0, kept: keep.then(Vec::new) };
    let start = Instant::now();
    let mut rest = data.clone();
    while !rest.is_empty() {
        transform.push(rest.split_to(PIECE.min(rest.len())), &mut out)?;
    }
    transform.finish(&mut out)?;
    Ok((start.elapsed().as_secs_f64(), out))
}

fn median(mut runs: impl FnMut() -> Result<f64, Box<dyn Error>>) -> Result<f64, Box<dyn Error>> {
    let mut times = [runs()?, runs()?, runs()?];
    times.sort_by(f64::total_cmp);
    Ok(times[1])
}

/// Kibibytes from `/proc/self/status`; 0 where there is none.
fn status(key: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    text.lines().find_map(|line| line.strip_prefix(key)?.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// User and system time of this process in seconds, all threads.
fn cpu() -> f64 {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = text.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |index: usize| fields.get(index).and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) / 100.0
}

fn main() -> Result<(), Box<dyn Error>> {
    let (mut threads, mut megabytes, mut only, mut file) = (None, 200, None, None);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument} takes a value"));
        match argument.as_str() {
            "--threads" => threads = Some(value()?.parse()?),
            "--megabytes" => megabytes = value()?.parse()?,
            "--only" => only = Some(value()?),
            _ => file = Some(argument),
        }
    }
    let data: Bytes = match file {
        Some(path) => std::fs::read(path)?.into(),
        None => corpus::sql_dump(megabytes * 1_000_000, 7).into(),
    };
    let size = data.len() as f64 / 1e6;

    let mut asked: Vec<Compression> = Vec::new();
    match only {
        Some(list) => {
            for text in list.split(',') {
                asked.push(text.parse()?);
            }
        }
        None => {
            for codec in [Codec::Gzip, Codec::Zstd, Codec::Lz4] {
                match codec.levels() {
                    Some(levels) => {
                        asked.extend(levels.map(|level| Compression::new(codec).with_level(level)));
                    }
                    None => asked.push(Compression::new(codec)),
                }
            }
        }
    }

    println!("| codec | workers | MB/s | MB/s per core | ratio | decode MB/s | memory MiB | promised |");
    println!("| --- | --: | --: | --: | --: | --: | --: | --: |");
    for mut compression in asked {
        compression.threads = threads.unwrap_or(compression.threads);
        let encoder = || compression.encoder().map(|encoder| encoder.ok_or("not a codec"));
        let promised = encoder()??.memory();
        if std::fs::write("/proc/self/clear_refs", "5").is_err() {
            // The peak cannot be reset: what is shown is that of the whole run.
        }
        let before = status("VmRSS:");
        let cpu_before = cpu();
        let encode = median(|| Ok(run(encoder()??, &data, false)?.0))?;
        let busy = (cpu() - cpu_before) / 3.0;
        let memory = status("VmHWM:").saturating_sub(before);
        let packed: Bytes = run(encoder()??, &data, true)?.1.kept.unwrap_or_default().into();
        let decode = median(|| {
            let (time, out) = run(Box::new(Decompress::detect()), &packed, false)?;
            if out.bytes == data.len() { Ok(time) } else { Err("the decoded length differs".into()) }
        })?;
        println!(
            "| {compression} | {} | {:.0} | {:.0} | {:.3} | {:.0} | {:.1} | {:.1} |",
            compression.threads,
            size / encode,
            size / busy,
            data.len() as f64 / packed.len() as f64,
            size / decode,
            memory as f64 / 1024.0,
            promised as f64 / 1024.0 / 1024.0,
        );
    }
    Ok(())
}
