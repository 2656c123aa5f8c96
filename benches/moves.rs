//! A live database into another one, beside what the field uses: `cargo bench --bench moves`, with the sizes and rounds of `benches/peers`.
//!
//! | | beside |
//! | --- | --- |
//! | MariaDB, a table with two secondary indexes | `mariadb-dump \| mariadb` |
//! | PostgreSQL, the same | `pg_dump \| psql`, and `pgcopydb clone` with two jobs |
//!
//! Source and target are two databases of one server, so that its CPU is one figure; emptying the target is not measured.

#[allow(dead_code, reason = "shared with the benchmarks of dumps, which use more of it")]
mod common;

use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use common::{Case, Result, Sample};
use test_servers::{Flavour, MySqlOptions, MySqlServer, Needs, PostgresOptions, PostgresServer, sample};

/// A way from one to the other.
type Contender<'a> = (&'a str, Box<dyn Fn() -> Command + 'a>);

fn main() -> ExitCode {
    match benchmark() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            common::say(&format!("moves: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn benchmark() -> Result<()> {
    let (size, rounds) = common::size_and_rounds(u64::MAX)?;
    common::print(&common::machine(&["mariadb-dump", "mariadb", "pg_dump", "psql", "pgcopydb"]));
    let dir = tempfile::Builder::new().prefix("bench-").tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let only = std::env::var("DBFERRY_BENCH_ONLY").ok();
    let wanted = |name: &str| only.as_ref().is_none_or(|only| only == name);
    let mut notes = Vec::new();
    common::installed(&["pgcopydb"], &mut notes);
    if wanted("mysql") && Needs::MariaDb.missing().is_none() {
        mysql(size, rounds)?;
    }
    if wanted("postgres") && Needs::Postgres.missing().is_none() {
        postgres(dir.path(), size, rounds)?;
    }
    for note in notes {
        common::print(&format!("{note}\n"));
    }
    Ok(())
}

fn dbferry(from: &str, to: &str, clients: &Path) -> Command {
    let path = format!("{}:{}", clients.display(), std::env::var("PATH").unwrap_or_default());
    let mut command = Command::new(common::program());
    command.args(["copy", "env:FROM", "env:TO", "-q"]).env("FROM", from).env("TO", to).env("PATH", path);
    command.stdout(Stdio::null());
    command
}

/// `DUMP | LOAD`, failing when either does.
fn piped(dump: &Command, load: &Command) -> Command {
    let mut shell = Command::new("bash");
    let words = |command: &Command| -> Vec<std::ffi::OsString> {
        std::iter::once(command.get_program()).chain(command.get_args()).map(ToOwned::to_owned).collect()
    };
    let (dumping, loading) = (words(dump), words(load));
    let script = "set -o pipefail; n=$1; shift; \"${@:1:n}\" | \"${@:n+1}\"";
    shell.args(["-c", script, "bash", &dumping.len().to_string()]).args(dumping).args(loading);
    for (name, value) in dump.get_envs().chain(load.get_envs()) {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    shell.stdout(Stdio::null());
    shell
}

fn contest(
    title: &str,
    rounds: usize,
    server: &str,
    empty: &dyn Fn() -> Result<()>,
    whole: &dyn Fn() -> Result<()>,
    contenders: &[Contender<'_>],
) -> Result<()> {
    let mut cases: Vec<Case<'_>> = contenders
        .iter()
        .map(|(name, command)| {
            Case::new(*name, move || {
                empty()?;
                let before = common::settled_cpu(server)?;
                let mut sample: Sample = common::process(&mut command(), name.contains("dbferry"))?;
                sample.server = common::settled_cpu(server)? - before;
                whole()?;
                Ok(sample)
            })
        })
        .collect();
    common::run(&mut cases, rounds)?;
    common::print(&format!("### {title}, {rounds} rounds\n"));
    common::print(
        "| | seconds, median (least–most) | times as fast as the first, per round | CPU s | server's CPU s | peak memory MiB |",
    );
    common::print("| --- | --: | --: | --: | --: | --: |");
    for case in &cases {
        let peak = case.spread(|s| s.peak_kib as f64 / 1024.0).max;
        common::print(&format!(
            "| {} | {} | {} | {:.2} | {:.2} | {} |",
            case.name,
            case.spread(|s| s.wall).with_range(),
            case.faster_than(&cases[0]).with_range(),
            case.spread(|s| s.cpu).median,
            case.spread(|s| s.server).median,
            if peak > 0.0 { format!("{peak:.0}") } else { "–".to_owned() },
        ));
    }
    common::print("");
    Ok(())
}

fn mysql(size: u64, rounds: usize) -> Result<()> {
    let mut options = MySqlOptions::new(Flavour::MariaDb);
    options.extra.push(format!("--innodb-buffer-pool-size={}", size * 4 + (64 << 20)));
    options.extra.push("--max-allowed-packet=64M".to_owned());
    let server = MySqlServer::start(&options)?;
    common::say("filling MariaDB");
    sample::load_bulk(&server, "bench", size, 1)?;
    server.sql_in("bench", "ALTER TABLE bulk ADD KEY created (created, state), ADD KEY note (note(40))")?;
    let rows = server.query("bench", "SELECT count(*) FROM bulk")?;
    let (from, to) = (server.url(server.admin(), "bench")?, server.url(server.admin(), "back")?);
    let mut dump = server.client("mariadb-dump");
    dump.args(["--single-transaction", "--skip-lock-tables", "--quick", "--max-allowed-packet=1G", "bench"]);
    let mut load = server.client("mariadb");
    load.arg("back");
    let empty =
        || Ok(server.sql("DROP DATABASE IF EXISTS back; CREATE DATABASE back CHARACTER SET utf8mb4")?);
    let whole = || {
        let found = server.query("back", "SELECT count(*) FROM bulk")?;
        if found == rows { Ok(()) } else { Err(format!("{found:?} rows of {rows:?}").into()) }
    };
    let clients = server.client_dir();
    contest(
        &format!("MariaDB to MariaDB, {} MB of dump text", common::mb(size)),
        rounds,
        &server.pid().to_string(),
        &empty,
        &whole,
        &[
            ("`mariadb-dump \\| mariadb`", Box::new(|| piped(&dump, &load))),
            ("`dbferry copy`", Box::new(|| dbferry(&from, &to, clients))),
        ],
    )
}

fn postgres(dir: &Path, size: u64, rounds: usize) -> Result<()> {
    let mut options = PostgresOptions::default();
    options.extra.push(format!("shared_buffers={}MB", size * 4 / 1_000_000 + 64));
    let server = PostgresServer::start(&options)?;
    common::say("filling PostgreSQL");
    sample::create_database(&server, "bench")?;
    sample::load_postgres_bulk(&server, "bench", size, 1)?;
    server.sql("bench", "CREATE INDEX ON bulk (customer); CREATE INDEX ON bulk (created, state)")?;
    let rows = server.query("bench", "SELECT count(*) FROM bulk")?;
    let (from, to) = (server.url(server.admin(), "bench")?, server.url(server.admin(), "back")?);
    let mut dump = server.client("pg_dump");
    dump.args(["-d", "bench"]);
    let mut load = server.client("psql");
    load.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", "back"]);
    let empty = || {
        server.sql("postgres", "DROP DATABASE IF EXISTS back WITH (FORCE)")?;
        Ok(sample::create_database(&server, "back")?)
    };
    let whole = || {
        let found = server.query("back", "SELECT count(*) FROM bulk")?;
        if found == rows { Ok(()) } else { Err(format!("{found:?} rows of {rows:?}").into()) }
    };
    let clients = server.client_dir();
    let mut contenders: Vec<Contender<'_>> = vec![
        ("`pg_dump \\| psql`", Box::new(|| piped(&dump, &load))),
        ("`dbferry copy`", Box::new(|| dbferry(&from, &to, clients))),
    ];
    if common::find("pgcopydb").is_some() {
        let path = format!("{}:{}", clients.display(), std::env::var("PATH").unwrap_or_default());
        let (from, to) = (&from, &to);
        contenders.push((
            "`pgcopydb clone`, 2 jobs, large tables split",
            Box::new(move || {
                let work = dir.join("pgcopydb");
                // It keeps its work here, and takes what is left of an earlier run for an interrupted one.
                std::fs::remove_dir_all(&work).ok();
                let mut command = Command::new("pgcopydb");
                command.args(["clone", "--table-jobs", "2", "--index-jobs", "2"]);
                command.args(["--split-tables-larger-than", "50MB", "--dir"]).arg(&work);
                command.args(["--source", from, "--target", to]).env("PATH", &path).stdout(Stdio::null());
                command
            }),
        ));
    }
    contest(
        &format!("PostgreSQL to PostgreSQL, {} MB of dump text", common::mb(size)),
        rounds,
        &server.pid().to_string(),
        &empty,
        &whole,
        &contenders,
    )
}
