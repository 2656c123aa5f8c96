//! Every stage alone, on a dump in memory, beside the stock tool that does the same: `cargo bench --bench stages`.
//! `DBFERRY_BENCH_STAGES=engine,BLAKE3` runs those whose names have one of the words.

#[allow(dead_code, reason = "end_to_end uses all of it, this one a part")]
mod common;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use async_trait::async_trait;
use bytes::Bytes;
use common::{Case, Result, SED, Sample};
use pipeline::{
    Context, Delivery, Format, FrameSender, Job, Output, Part, Reader, Settings, Source, SourceInfo, Steps,
    Transform, no_steps,
};
use rustix::time::{ClockId, clock_gettime};
use sinks::NullDestination;
use test_servers::sample;
use transforms::codec::{Codec, Compression, Decompress};
use transforms::mysql::{self, DefinerPolicy, MysqlRewrite};
use transforms::postgres::{self, PostgresRewrite, RewriteOptions};

/// The size of the engine's pieces.
const PIECE: usize = 256 << 10;
/// More than any cache holds, and small enough to stay in memory twice.
const MOST: u64 = 256_000_000;

fn main() -> ExitCode {
    match benchmark() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            common::say(&format!("stages: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn benchmark() -> Result<()> {
    let (size, rounds) = common::size_and_rounds(MOST)?;
    let mut notes = Vec::new();
    let peers = common::installed(&["sed", "gzip", "pigz", "zstd", "lz4"], &mut notes);
    let machine = common::machine(&peers);
    common::say("making the dumps");
    let mysql = mysql_dump(size)?;
    let postgres = postgres_dump(size)?;

    // Memory, not a disk: what is compared is the work, not the device.
    let shm = Path::new("/dev/shm");
    let dir = if shm.is_dir() { tempfile::tempdir_in(shm)? } else { tempfile::tempdir()? };
    let plain = dir.path().join("dump.sql");
    fs::write(&plain, &mysql)?;

    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let mut cases = vec![
        Case::new("BLAKE3 alone, one thread", || hashed(&mysql)),
        Case::new("engine alone: source → null, BLAKE3 once", || engine(&runtime, &mysql, no_steps())),
        Case::new("engine with `--for rds-mysql`: BLAKE3 before and behind it", || {
            engine(&runtime, &mysql, std::sync::Arc::new(|_| Ok(vec![rds_mysql()])))
        }),
        Case::new("MySQL, `--for rds-mysql`", || through(rds_mysql(), &mysql)),
        Case::new("MySQL, checked only", || {
            through(Box::new(MysqlRewrite::new(mysql::Options::default())), &mysql)
        }),
        Case::new("PostgreSQL COPY, `--for rds-postgres`", || through(rds_postgres(), &postgres)),
    ];
    if peers.contains(&"sed") {
        cases.push(Case::new("GNU sed", || peer(&["sed", "-e", SED], &plain, mysql.len())));
    }
    for codec in [Codec::Gzip, Codec::Zstd, Codec::Lz4] {
        let compression = Compression::new(codec);
        let level = compression.effective_level()?.map(|level| format!(" -{level}")).unwrap_or_default();
        let encoder = move || compression.encoder()?.ok_or_else(|| pipeline::Error::bug("not a codec"));
        let mut packed = Collected::default();
        drive(encoder()?, &mysql, &mut packed)?;
        let packed = Bytes::from(packed.0);
        let ratio = mysql.len() as f64 / packed.len() as f64;
        let (text, length) = (&mysql, mysql.len());
        cases.push(Case::new(format!("{codec}{level}, ratio {ratio:.2}"), move || through(encoder()?, text)));
        cases.push(Case::new(format!("un-{codec}"), move || {
            let sample = through(Box::new(Decompress::detect()), &packed)?;
            if sample.bytes != length as u64 {
                return Err("the decoded length differs".into());
            }
            Ok(sample)
        }));
    }
    for (tool, arguments) in
        [("gzip", &["-6"][..]), ("pigz", &["-6"]), ("zstd", &["-3", "-T0", "-q"]), ("lz4", &["-1", "-q"])]
    {
        if !peers.contains(&tool) {
            continue;
        }
        let command: Vec<&str> = [tool].into_iter().chain(arguments.iter().copied()).chain(["-c"]).collect();
        let packed = dir.path().join(format!("dump.{tool}"));
        pack(&command, &plain, &packed)?;
        let ratio = mysql.len() as f64 / common::length(&packed)? as f64;
        let shown = command[..command.len() - 1].join(" ").replace(" -q", "");
        let length = mysql.len();
        let plain = &plain;
        cases.push(Case::new(format!("`{shown}`, ratio {ratio:.2}"), move || peer(&command, plain, length)));
        let length = mysql.len();
        cases.push(Case::new(format!("`{tool} -dc`"), move || peer(&[tool, "-dc"], &packed, length)));
    }
    if let Ok(only) = std::env::var("DBFERRY_BENCH_STAGES") {
        cases.retain(|case| only.split(',').any(|part| case.name.contains(part)));
    }
    common::run(&mut cases, rounds)?;

    common::print(&machine);
    common::print(&format!(
        "{} MB of dump text in memory, {rounds} rounds, median (least–most). GB are those of the dump text; dbferry's gzip and zstd use every core.\n",
        common::mb(mysql.len() as u64)
    ));
    common::print("| stage | GB/s | GB per second of CPU |\n| --- | --: | --: |");
    let shown = mysql.len() as f64 / 1e9;
    for case in &cases {
        // The engine carries it several times over, for longer than a clock's tick.
        let carried = if case.name.starts_with("engine") { shown * ENGINE_TIMES as f64 } else { shown };
        let (rate, per_cpu) = (case.spread(|s| carried / s.wall), case.spread(|s| carried / s.cpu));
        common::print(&format!("| {} | {} | {:.2} |", case.name, rate.with_range(), per_cpu.median));
    }
    for note in notes {
        common::print(&format!("\n{note}"));
    }
    Ok(())
}

/// The bulk table as mysqldump would write it, behind a view and a trigger with definers.
fn mysql_dump(size: u64) -> Result<Bytes> {
    let mut text = b"-- MySQL dump 10.13  Distrib 8.0.36, for Linux (x86_64)\n\
        /*!50001 CREATE ALGORITHM=UNDEFINED */\n/*!50013 DEFINER=`root`@`localhost` SQL SECURITY DEFINER */\n\
        /*!50001 VIEW `v` AS select 1 AS `1` */;\n"
        .to_vec();
    sample::bulk_mysql(size, 1).read_to_end(&mut text)?;
    text.extend_from_slice(b"-- Dump completed on 2026-01-01  0:00:00\n");
    Ok(text.into())
}

fn postgres_dump(size: u64) -> Result<Bytes> {
    let mut text =
        b"--\n-- PostgreSQL database dump\n--\n\nSET standard_conforming_strings = on;\n\n".to_vec();
    sample::bulk_postgres(size, 1).read_to_end(&mut text)?;
    text.extend_from_slice(b"\n--\n-- PostgreSQL database dump complete\n--\n\n");
    Ok(text.into())
}

fn rds_mysql() -> Box<dyn Transform> {
    let profile = Some(mysql::Profile::RdsMysql);
    Box::new(MysqlRewrite::new(mysql::Options {
        definer: DefinerPolicy::Strip,
        profile,
        require_trailer: true,
    }))
}

fn rds_postgres() -> Box<dyn Transform> {
    let profile = Some(postgres::Profile::RdsPostgres);
    Box::new(PostgresRewrite::new(RewriteOptions {
        profile,
        require_trailer: true,
        ..RewriteOptions::default()
    }))
}

#[derive(Default)]
struct Counted(u64);

impl Output for Counted {
    fn emit(&mut self, data: Bytes) -> pipeline::Result<()> {
        self.0 += data.len() as u64;
        Ok(())
    }
}

#[derive(Default)]
struct Collected(Vec<u8>);

impl Output for Collected {
    fn emit(&mut self, data: Bytes) -> pipeline::Result<()> {
        self.0.extend_from_slice(&data);
        Ok(())
    }
}

fn drive(mut step: Box<dyn Transform>, data: &Bytes, out: &mut dyn Output) -> Result<()> {
    for at in (0..data.len()).step_by(PIECE) {
        step.push(data.slice(at..data.len().min(at + PIECE)), out)?;
    }
    step.finish(out)?;
    Ok(())
}

/// The floor of everything that proves what it carried.
fn hashed(data: &Bytes) -> Result<Sample> {
    measured(|| {
        let mut digester = pipeline::Digester::new(&[pipeline::Algorithm::Blake3]);
        data.chunks(PIECE).for_each(|piece| digester.update(piece));
        Ok(digester.finish().bytes)
    })
}

/// One transform, with its worker threads where it has any.
fn through(step: Box<dyn Transform>, data: &Bytes) -> Result<Sample> {
    measured(|| {
        let mut out = Counted::default();
        drive(step, data, &mut out)?;
        Ok(out.0)
    })
}

/// A stock tool that reads a file and writes to nowhere.
fn peer(command: &[&str], input: &Path, length: usize) -> Result<Sample> {
    let mut process = Command::new(command[0]);
    process.args(&command[1..]).arg(input).env("LC_ALL", "C").stdout(Stdio::null());
    Ok(Sample { bytes: length as u64, ..common::process(&mut process, false)? })
}

fn pack(command: &[&str], input: &Path, output: &Path) -> Result<()> {
    let status =
        Command::new(command[0]).args(&command[1..]).arg(input).stdout(File::create(output)?).status()?;
    if status.success() { Ok(()) } else { Err(format!("{}: {status}", command[0]).into()) }
}

fn measured(work: impl FnOnce() -> Result<u64>) -> Result<Sample> {
    let (cpu, start) = (own_cpu(), Instant::now());
    let bytes = work()?;
    Ok(Sample { wall: start.elapsed().as_secs_f64(), cpu: own_cpu() - cpu, bytes, ..Sample::default() })
}

/// Seconds of CPU of this process, all threads.
fn own_cpu() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

const ENGINE_TIMES: usize = 4;

/// The whole engine between a source in memory and a destination that forgets.
fn engine(runtime: &tokio::runtime::Runtime, data: &Bytes, steps: Steps) -> Result<Sample> {
    measured(|| {
        let job = Job {
            id: "bench".to_owned(),
            source: Box::new(Memory(Some(data.clone()))),
            steps,
            deliveries: vec![Delivery {
                destination: Box::new(NullDestination),
                share: None,
                tail: no_steps(),
                bare: (no_steps(), String::new()),
                compression: "none".to_owned(),
                ending: String::new(),
                optional: false,
            }],
            settings: Settings::default(),
        };
        let report = runtime.block_on(pipeline::run(job, &Context::silent()))?;
        Ok(report.raw_bytes())
    })
}

/// A source that costs nothing: its bytes are there already.
struct Memory(Option<Bytes>);

#[async_trait]
impl Source for Memory {
    fn endpoint(&self) -> String {
        "memory:".to_owned()
    }

    async fn probe(&mut self, _: &Context) -> pipeline::Result<SourceInfo> {
        Ok(SourceInfo { endpoint: self.endpoint(), kind: "memory".to_owned(), ..SourceInfo::default() })
    }

    async fn next_part(&mut self, _: &Context) -> pipeline::Result<Option<Part>> {
        Ok(self.0.take().map(|data| Part::new(None, Some(Format::Mysql), Box::new(MemoryReader(data)))))
    }

    async fn finish(self: Box<Self>, _: &Context) -> pipeline::Result<BTreeMap<String, String>> {
        Ok(BTreeMap::new())
    }
}

struct MemoryReader(Bytes);

#[async_trait]
impl Reader for MemoryReader {
    fn memory(&self) -> usize {
        0
    }

    async fn read(self: Box<Self>, out: &mut FrameSender, _: &Context) -> pipeline::Result<()> {
        for _ in 0..ENGINE_TIMES {
            let mut rest = self.0.clone();
            while !rest.is_empty() {
                out.send(rest.split_to(PIECE.min(rest.len()))).await?;
            }
        }
        Ok(())
    }
}
