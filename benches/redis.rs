//! Snapshots: every step alone on one core, the program beside other converters, and a live dump beside the server's own client:
//! `cargo bench --bench redis`, after `cargo build --release`.
//!
//! The snapshot is a real server's: keys of every common type, small and large encodings, one of ten with an expiry, as the server saves them with its
//! default settings (compression included).
//!
//! `DBFERRY_BENCH_KEYS` is the number of keys (1 500 000, about 200 MB), `DBFERRY_BENCH_ROUNDS` how often everything is run (5). Beside dbferry are
//! measured, where they are there: `redis-cli`, librdb (`DBFERRY_BENCH_LIBRDB` names the program that `benches/librdb/build` made), and rdbtools
//! (`DBFERRY_BENCH_RDBTOOLS` names its `rdb`).

#[allow(dead_code, reason = "each benchmark uses a part")]
mod common;

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Instant;

use bytes::Bytes;
use common::{Case, Result, Sample};
use pipeline::{Output, Transform};
use rustix::time::{ClockId, clock_gettime};
use test_servers::{Needs, RedisFlavour, RedisOptions, RedisServer};
use transforms::rdb::{Options, RdbStep, TextForm};

/// The size of the engine's pieces.
const PIECE: usize = 256 << 10;

fn main() -> ExitCode {
    match benchmark() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            common::say(&format!("redis: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn benchmark() -> Result<()> {
    if let Some(reason) = Needs::Redis.missing() {
        return Err(reason.into());
    }
    let number = |name: &str, default: u64| match std::env::var(name) {
        Ok(text) => text.parse().map_err(|_| format!("{name}={text} is not a number")),
        Err(_) => Ok(default),
    };
    let keys = number("DBFERRY_BENCH_KEYS", 1_500_000)?;
    let rounds = usize::try_from(number("DBFERRY_BENCH_ROUNDS", 5)?)?.max(1);
    common::print(&common::machine(&["redis-server"]));
    let server = RedisServer::start(&RedisOptions::new(RedisFlavour::Redis7))?;
    common::say("filling the server");
    fill(&server, keys)?;
    let shm = Path::new("/dev/shm");
    let dir = if shm.is_dir() { tempfile::tempdir_in(shm)? } else { tempfile::tempdir()? };
    let file = dir.path().join("dump.rdb");
    own_client(&server, &file)?;
    let data = Bytes::from(std::fs::read(&file)?);
    common::print(&format!(
        "{} MB of snapshot, {keys} keys, {rounds} rounds, median (least–most).\n",
        common::mb(data.len() as u64)
    ));

    let programs = Programs { dir: dir.path(), file: &file };
    let mut stages = stages(&data);
    let mut converters = programs.converters();
    let mut live = programs.live(&server);
    common::run(&mut stages, rounds)?;
    common::run(&mut converters, rounds)?;
    common::run(&mut live, rounds)?;

    let gb = data.len() as f64 / 1e9;
    common::print("| step alone, in memory, one thread | GB/s | GB per second of CPU |\n| --- | --: | --: |");
    for case in &stages {
        let (rate, per_cpu) = (case.spread(|s| gb / s.wall), case.spread(|s| gb / s.cpu));
        common::print(&format!("| {} | {} | {:.2} |", case.name, rate.with_range(), per_cpu.median));
    }
    table("from a file in memory to a file in memory", &converters);
    table("a live server to a file", &live);
    Ok(())
}

/// Every case beside the first that does the same: its name up to the colon.
fn table(title: &str, cases: &[Case<'_>]) {
    common::print(&format!(
        "\n| {title} | seconds | CPU s | times as fast as dbferry's peer, per round | peak MiB |\n| --- | --: | --: | --: | --: |"
    ));
    let what = |case: &Case<'_>| case.name.split(':').next().unwrap_or_default().to_owned();
    for case in cases {
        let peer = cases.iter().find(|other| what(other) == what(case));
        let ratio = peer.map_or_else(String::new, |peer| case.faster_than(peer).with_range());
        let peak = case.spread(|s| s.peak_kib as f64 / 1024.0).max;
        let peak = if peak > 0.0 { format!("{peak:.0}") } else { "–".to_owned() };
        common::print(&format!(
            "| {} | {} | {:.2} | {ratio} | {peak} |",
            case.name,
            case.spread(|s| s.wall).with_range(),
            case.spread(|s| s.cpu).median
        ));
    }
}

fn stages(data: &Bytes) -> Vec<Case<'_>> {
    let filter = || Options {
        drop_keys: vec![b"session:*7".to_vec()],
        databases: [0].into(),
        renumber: [(0, 1)].into(),
        ..Options::default()
    };
    let text = |form| Options { text: Some(form), ..Options::default() };
    vec![
        Case::new("skip-scan with CRC64, passed through", || through(Options::default(), data)),
        Case::new("a glob and another database, re-emitted", move || through(filter(), data)),
        Case::new("to RESP", move || through(text(TextForm::Resp), data)),
        Case::new("to JSON lines", move || through(text(TextForm::Json), data)),
    ]
}

#[derive(Default)]
struct Counted(u64);

impl Output for Counted {
    fn emit(&mut self, data: Bytes) -> pipeline::Result<()> {
        self.0 += data.len() as u64;
        Ok(())
    }
}

fn through(options: Options, data: &Bytes) -> Result<Sample> {
    let now = || {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
    };
    let (cpu, start) = (now(), Instant::now());
    let mut step: Box<dyn Transform> = Box::new(RdbStep::new(options));
    let mut out = Counted::default();
    for at in (0..data.len()).step_by(PIECE) {
        step.push(data.slice(at..data.len().min(at + PIECE)), &mut out)?;
    }
    step.finish(&mut out)?;
    Ok(Sample { wall: start.elapsed().as_secs_f64(), cpu: now() - cpu, bytes: out.0, ..Sample::default() })
}

struct Programs<'a> {
    dir: &'a Path,
    file: &'a Path,
}

impl Programs<'_> {
    fn dbferry(&self, url: Option<&str>, out: &str, args: &[&str]) -> Command {
        let mut command = Command::new(release());
        let source = if url.is_some() { "env:DB".as_ref() } else { self.file.as_os_str() };
        command.arg("copy").arg(source).arg(self.dir.join(out)).args(args).args(["--overwrite", "-q"]);
        command.env("DB", url.unwrap_or_default());
        command
    }

    fn converters(&self) -> Vec<Case<'_>> {
        let mut cases = Vec::new();
        for form in ["resp", "json"] {
            let librdb = std::env::var_os("DBFERRY_BENCH_LIBRDB").map(PathBuf::from);
            if let Some(program) = librdb {
                cases.push(Case::new(format!("{form}: librdb 2.3.0"), move || {
                    let mut command = Command::new(&program);
                    command.arg(form).arg(self.file).arg(self.dir.join("librdb.out"));
                    common::process(&mut command, true)
                }));
            }
            cases.push(Case::new(format!("{form}: `dbferry copy --format {form}`"), move || {
                common::process(&mut self.dbferry(None, "ours.out", &["--format", form]), true)
            }));
        }
        if let Some(program) = std::env::var_os("DBFERRY_BENCH_RDBTOOLS").map(PathBuf::from) {
            let mut known = None;
            cases.push(Case::new("json: rdbtools (measured once)", move || {
                if let Some(sample) = known {
                    return Ok(sample);
                }
                let mut command = Command::new(&program);
                command.args(["--command", "json", "-f"]).arg(self.dir.join("rdbtools.out")).arg(self.file);
                let sample = common::process(&mut command, true)?;
                known = Some(sample);
                Ok(sample)
            }));
        }
        cases
    }

    fn live<'s>(&'s self, server: &'s RedisServer) -> Vec<Case<'s>> {
        let url = server.url();
        let mut cases = vec![Case::new("dump: `redis-cli --rdb`", || {
            common::process(&mut own(server, &self.dir.join("own.rdb")), true)
        })];
        for (name, args) in [
            ("dump: `dbferry copy`", &[][..]),
            ("dump: `dbferry copy --redis-sync disk`", &["--redis-sync", "disk"]),
            ("dump: `dbferry copy --memory 64MiB`", &["--memory", "64MiB"]),
            (
                "dump: `dbferry copy --drop-keys … --redis-map 0=1`",
                &["--drop-keys", "session:*7", "--redis-map", "0=1"],
            ),
        ] {
            let url = url.clone();
            cases.push(Case::new(name, move || {
                common::process(&mut self.dbferry(Some(&url), "live.rdb", args), true)
            }));
        }
        cases
    }
}

/// The built program.
fn release() -> PathBuf {
    // A benchmark lies beside it, in `deps`.
    std::env::current_exe()
        .ok()
        .and_then(|path| Some(path.parent()?.parent()?.join("dbferry")))
        .unwrap_or_else(|| PathBuf::from("dbferry"))
}

fn own(server: &RedisServer, to: &Path) -> Command {
    let mut command = Command::new(server.flavour().client());
    command.args(["-h", "127.0.0.1", "-p", &server.port().to_string(), "--rdb"]).arg(to);
    command.env("REDISCLI_AUTH", server.password());
    command
}

fn own_client(server: &RedisServer, to: &Path) -> Result<()> {
    let output = own(server, to).stdin(Stdio::null()).output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&output.stderr).into_owned().into())
}

/// Sends commands through the server's client, as fast as it takes them.
fn fill(server: &RedisServer, keys: u64) -> Result<()> {
    let mut child: Child = server.cli(&["--pipe"]).stdin(Stdio::piped()).stdout(Stdio::null()).spawn()?;
    {
        let stdin = child.stdin.take().ok_or("no pipe to the client")?;
        let mut out = BufWriter::with_capacity(1 << 20, stdin);
        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        for at in 0..keys {
            write_key(&mut out, at, &mut random)?;
        }
        out.flush()?;
    }
    let status = child.wait()?;
    if status.success() { Ok(()) } else { Err(format!("the client ended with {status}").into()) }
}

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// So many hexadecimal digits, half of the bits of a random number each: what tokens and digests are made of.
    fn token(&mut self, len: usize) -> String {
        let mut text = String::with_capacity(len + 16);
        while text.len() < len {
            text.extend(
                self.next().to_be_bytes().map(|byte| char::from(b"0123456789abcdef"[usize::from(byte >> 4)])),
            );
        }
        text.truncate(len);
        text
    }
}

/// What an application keeps: sessions as JSON, counters, queues, tags, leader boards, profiles.
fn write_key(out: &mut impl Write, at: u64, random: &mut Random) -> Result<()> {
    let key;
    match at % 10 {
        0..3 => {
            key = format!("session:{}", random.token(24));
            let (user, expiry) = (random.below(1_000_000), random.below(86_400));
            let value = format!(
                "{{\"user\":{user},\"token\":\"{}\",\"ip\":\"10.{}.{}.{}\",\"scopes\":[\"read\",\"write\"],\"ttl\":{expiry}}}",
                random.token(40),
                random.below(256),
                random.below(256),
                random.below(256)
            );
            command(out, &["SET", &key, &value])?;
        }
        3..6 => {
            key = format!("stats/{{service:{}}}/usage/{}", random.below(5000), at);
            command(out, &["SET", &key, &random.below(1_000_000).to_string()])?;
        }
        6 => {
            key = format!("profile:{at}");
            let mut words = vec!["HSET".to_owned(), key.clone()];
            for field in ["name", "email", "plan", "city", "seen"]
                .iter()
                .take(usize::try_from(3 + at / 10 % 3).unwrap_or(3))
            {
                words.extend([(*field).to_owned(), random.token(12)]);
            }
            words.extend(["visits".to_owned(), random.below(100_000).to_string()]);
            command(out, &words.iter().map(String::as_str).collect::<Vec<_>>())?;
        }
        7 => {
            key = format!("recent:{at}");
            let mut words = vec!["RPUSH".to_owned(), key.clone()];
            words.extend((0..4 + random.below(8)).map(|_| random.token(16)));
            command(out, &words.iter().map(String::as_str).collect::<Vec<_>>())?;
        }
        8 => {
            key = format!("tags:{at}");
            let mut words = vec!["SADD".to_owned(), key.clone()];
            words.extend((0..5 + random.below(20)).map(|_| random.below(1_000_000).to_string()));
            command(out, &words.iter().map(String::as_str).collect::<Vec<_>>())?;
        }
        _ => {
            // Every hundredth is too long for the packed form.
            key = format!("board:{at}");
            let mut words = vec!["ZADD".to_owned(), key.clone()];
            let members = if at % 1000 == 9 { 200 } else { 4 + random.below(6) };
            for _ in 0..members {
                words.extend([format!("{}.5", random.below(100_000)), random.token(14)]);
            }
            command(out, &words.iter().map(String::as_str).collect::<Vec<_>>())?;
        }
    }
    if at.is_multiple_of(10) {
        command(out, &["PEXPIREAT", &key, &(4_000_000_000_000 + at).to_string()])?;
    }
    Ok(())
}

fn command(out: &mut impl Write, words: &[&str]) -> std::io::Result<()> {
    write!(out, "*{}\r\n", words.len())?;
    for word in words {
        write!(out, "${}\r\n{word}\r\n", word.len())?;
    }
    Ok(())
}
