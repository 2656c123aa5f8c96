//! How throughput grows with the number of readers, and who spends the CPU: `cargo bench --bench scaling`, with the sizes and rounds of `benches/peers`.
//!
//! A live server is read to nowhere, uncompressed, by 1, 2, 4 and 8 connections. The server is a child of this process, so that its own share of the CPU
//! can be told; client and server share the machine, so that the sum is bounded by its cores.

#[allow(dead_code, reason = "shared with the benchmarks of dumps, which use more of it")]
mod common;

use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use common::{Case, Result, Sample};
use test_servers::{Flavour, MySqlOptions, MySqlServer, Needs, PostgresOptions, PostgresServer, sample};

const READERS: [usize; 4] = [1, 2, 4, 8];

fn main() -> ExitCode {
    match benchmark() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            common::say(&format!("scaling: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn benchmark() -> Result<()> {
    let (size, rounds) = common::size_and_rounds(u64::MAX)?;
    common::print(&common::machine(&["mariadb-dump", "mydumper", "pg_dump"]));
    let dir = tempfile::Builder::new().prefix("bench-").tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let only = std::env::var("DBFERRY_BENCH_ONLY").ok();
    let wanted = |name: &str| only.as_ref().is_none_or(|only| only == name);
    if wanted("mysql") && Needs::MariaDb.missing().is_none() {
        mysql(dir.path(), size, rounds)?;
    }
    if wanted("postgres") && Needs::Postgres.missing().is_none() {
        postgres(dir.path(), size, rounds)?;
    }
    Ok(())
}

/// A contender, and how many connections it reads with.
type Contender<'a> = (String, usize, Box<dyn Fn() -> Command + 'a>);

fn dbferry<'a>(url: &str, clients: &Path) -> impl Iterator<Item = Contender<'a>> {
    let path = format!("{}:{}", clients.display(), std::env::var("PATH").unwrap_or_default());
    let url = url.to_owned();
    READERS.into_iter().map(move |readers| {
        let (url, path) = (url.clone(), path.clone());
        let run: Box<dyn Fn() -> Command> = Box::new(move || {
            let mut command = Command::new(common::program());
            command.args(["copy", "env:DB", "-", "-q", "--readers", &readers.to_string()]);
            command.env("DB", &url).env("PATH", &path).stdout(Stdio::null());
            command
        });
        ("dbferry".to_owned(), readers, run)
    })
}

fn contest(title: &str, rounds: usize, server: &str, size: u64, contenders: &[Contender<'_>]) -> Result<()> {
    let mut cases: Vec<Case<'_>> = contenders
        .iter()
        .map(|(name, readers, command)| {
            Case::new(format!("{name}, {readers}"), move || {
                let before = common::settled_cpu(server)?;
                let mut sample: Sample = common::process(&mut command(), *name == "dbferry")?;
                sample.server = common::settled_cpu(server)? - before;
                Ok(sample)
            })
        })
        .collect();
    common::run(&mut cases, rounds)?;
    common::print(&format!("### {title}, {} MB, {rounds} rounds\n", common::mb(size)));
    common::print(
        "| reads with | connections | seconds, median (least–most) | MB/s | client's CPU s | server's CPU s | server's share of the CPU | peak memory MiB |",
    );
    common::print("| --- | --: | --: | --: | --: | --: | --: | --: |");
    for (case, (name, readers, _)) in cases.iter().zip(contenders) {
        let (client, server) = (case.spread(|s| s.cpu).median, case.spread(|s| s.server).median);
        let peak = case.spread(|s| s.peak_kib as f64 / 1024.0).max;
        common::print(&format!(
            "| {name} | {readers} | {} | {:.0} | {client:.2} | {server:.2} | {:.0} % | {} |",
            case.spread(|s| s.wall).with_range(),
            case.spread(|s| size as f64 / 1e6 / s.wall).median,
            server / (client + server) * 100.0,
            if peak > 0.0 { format!("{peak:.0}") } else { "–".to_owned() },
        ));
    }
    common::print("");
    Ok(())
}

/// Bytes that dbferry makes of it.
fn length(contender: &Contender<'_>) -> Result<u64> {
    let mut child = contender.2().stdout(Stdio::piped()).spawn()?;
    let mut out = child.stdout.take().ok_or("no pipe")?;
    let bytes = std::io::copy(&mut out, &mut std::io::sink())?;
    if child.wait()?.success() { Ok(bytes) } else { Err("the first read failed".into()) }
}

fn mysql(dir: &Path, size: u64, rounds: usize) -> Result<()> {
    let mut options = MySqlOptions::new(Flavour::MariaDb);
    options.extra.push(format!("--innodb-buffer-pool-size={}", size * 2 + (64 << 20)));
    let server = MySqlServer::start(&options)?;
    common::say("filling MariaDB");
    sample::load_bulk(&server, "bench", size, 1)?;
    server.create_user("reader", "reader")?;
    server.sql("GRANT ALL ON *.* TO reader@'%';")?;
    let mut contenders: Vec<Contender<'_>> =
        dbferry(&server.url("reader", "bench")?, server.client_dir()).collect();
    let bytes = length(&contenders[1])?;
    if common::find("mydumper").is_some() {
        for threads in READERS {
            let (port, out) = (server.port().to_string(), dir.join("out"));
            let run: Box<dyn Fn() -> Command> = Box::new(move || {
                // It writes files and nothing else; in memory where the machine has a place for that.
                let mut command = Command::new("mydumper");
                command.args(["-h", "127.0.0.1", "-P", &port, "-u", "reader", "-p", "reader", "-B", "bench"]);
                command.args(["-t", &threads.to_string(), "-r", "100000", "--trx-consistency-only", "-o"]);
                command.arg(&out).stdout(Stdio::null());
                command
            });
            contenders.push(("mydumper, to files".to_owned(), threads, run));
        }
    }
    contest("MariaDB, mixed data", rounds, &server.pid().to_string(), bytes, &contenders)
}

fn postgres(dir: &Path, size: u64, rounds: usize) -> Result<()> {
    let mut options = PostgresOptions::default();
    options.extra.push(format!("shared_buffers={}MB", size * 2 / 1_000_000 + 64));
    let server = PostgresServer::start(&options)?;
    common::say("filling PostgreSQL");
    sample::create_database(&server, "bench")?;
    sample::load_postgres_bulk(&server, "bench", size, 1)?;
    let mut contenders: Vec<Contender<'_>> =
        dbferry(&server.url(server.admin(), "bench")?, server.client_dir()).collect();
    let bytes = length(&contenders[1])?;
    for jobs in [1, 2] {
        let dir = dir.join("pg");
        let server = &server;
        let run: Box<dyn Fn() -> Command> = Box::new(move || {
            // A directory must not be there; what was there is removed beside the measured program.
            std::fs::remove_dir_all(&dir).ok();
            let mut command = server.client("pg_dump");
            command.args(["-Fd", "-Z0", "-j", &jobs.to_string(), "-d", "bench", "-f"]).arg(&dir);
            command
        });
        contenders.push(("pg_dump -Fd -Z0, to files".to_owned(), jobs, run));
    }
    contest("PostgreSQL, mixed data", rounds, &server.pid().to_string(), bytes, &contenders)
}
