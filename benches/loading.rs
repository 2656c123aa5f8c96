//! Loads beside what the field uses for them: `cargo bench --bench loading`, with the sizes and rounds of `benches/peers`.
//!
//! | target | beside |
//! | --- | --- |
//! | MariaDB, a table with three secondary indexes | `zstdcat \| mariadb` |
//! | PostgreSQL, the same | `pg_restore -j2` of a custom-format dump, and `zstdcat \| psql` |
//! | Redis, string keys of 120 bytes | `redis-cli --pipe` of the same keys as commands |
//!
//! Every contender loads into an empty database of the same server; emptying it is not measured.

#[allow(dead_code, reason = "shared with the benchmarks of dumps, which use more of it")]
mod common;

use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use common::{Case, Result, Sample};
use test_servers::{
    Flavour, MySqlOptions, MySqlServer, Needs, PostgresOptions, PostgresServer, RedisFlavour, sample,
};

/// A way into the target.
type Contender<'a> = (&'a str, Box<dyn Fn() -> Command>);

fn main() -> ExitCode {
    match benchmark() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            common::say(&format!("loading: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn benchmark() -> Result<()> {
    let (size, rounds) = common::size_and_rounds(u64::MAX)?;
    common::print(&common::machine(&["mariadb", "psql", "pg_restore", "redis-cli", "zstd"]));
    let dir = tempfile::Builder::new().prefix("bench-").tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let only = std::env::var("DBFERRY_BENCH_ONLY").ok();
    let wanted = |name: &str| only.as_ref().is_none_or(|only| only == name);
    if wanted("mysql") && Needs::MariaDb.missing().is_none() {
        mysql(dir.path(), size, rounds)?;
    }
    if wanted("postgres") && Needs::Postgres.missing().is_none() {
        postgres(dir.path(), size, rounds)?;
    }
    if wanted("redis") && Needs::Redis.missing().is_none() {
        redis(dir.path(), size, rounds)?;
    }
    Ok(())
}

/// `dbferry copy` of a file, or of `$FROM`, into `$TO`.
fn dbferry(dir: &Path, from: &str, to: &str, more: &[&str]) -> Command {
    let mut command = Command::new(common::program());
    command
        .current_dir(dir)
        .args(["copy", from, "env:TO", "-q"])
        .args(more)
        .env("TO", to)
        .stdout(Stdio::null());
    command
}

/// `cat FILE | CLIENT`, failing when either does.
fn piped(dir: &Path, cat: &str, client: &Command) -> Command {
    let mut shell = Command::new("bash");
    shell.current_dir(dir).args(["-o", "pipefail", "-c", &format!("{cat} | \"$0\" \"$@\"")]);
    shell.arg(client.get_program()).args(client.get_args()).stdout(Stdio::null());
    for (name, value) in client.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    shell
}

fn contest(
    title: &str,
    rounds: usize,
    empty: &dyn Fn() -> Result<()>,
    whole: &dyn Fn() -> Result<()>,
    contenders: &[Contender<'_>],
) -> Result<()> {
    let mut cases: Vec<Case<'_>> = contenders
        .iter()
        .map(|(name, command)| {
            Case::new(*name, move || {
                empty()?;
                let sample: Sample = common::process(&mut command(), true)?;
                whole()?;
                Ok(sample)
            })
        })
        .collect();
    common::run(&mut cases, rounds)?;
    common::print(&format!("### {title}, {rounds} rounds\n"));
    common::print(
        "| | seconds, median (least–most) | times as fast as the first, per round | CPU s | peak memory MiB |",
    );
    common::print("| --- | --: | --: | --: | --: |");
    for case in &cases {
        common::print(&format!(
            "| {} | {} | {} | {:.2} | {:.0} |",
            case.name,
            case.spread(|s| s.wall).with_range(),
            case.faster_than(&cases[0]).with_range(),
            case.spread(|s| s.cpu).median,
            case.spread(|s| s.peak_kib as f64 / 1024.0).max,
        ));
    }
    common::print("");
    Ok(())
}

fn mysql(dir: &Path, size: u64, rounds: usize) -> Result<()> {
    let mut options = MySqlOptions::new(Flavour::MariaDb);
    options.extra.push(format!("--innodb-buffer-pool-size={}", size * 2 + (64 << 20)));
    options.extra.push("--max-allowed-packet=64M".to_owned());
    let server = MySqlServer::start(&options)?;
    common::say("filling MariaDB");
    sample::load_bulk(&server, "bench", size, 1)?;
    server.sql_in("bench", "ALTER TABLE bulk ADD KEY created (created, state), ADD KEY note (note(40))")?;
    let rows = server.query("bench", "SELECT count(*) FROM bulk")?;
    let path = format!("{}:{}", server.client_dir().display(), std::env::var("PATH").unwrap_or_default());
    let url = server.url(server.admin(), "bench")?;
    let mut dump = Command::new(common::program());
    dump.current_dir(dir).args(["copy", "env:FROM", "m.sql.zst", "-q"]).env("FROM", &url).env("PATH", &path);
    common::process(&mut dump, false)?;
    let to = server.url(server.admin(), "back")?;
    let mut client = server.client("mariadb");
    client.arg("back");
    let stock = client;
    let empty =
        || Ok(server.sql("DROP DATABASE IF EXISTS back; CREATE DATABASE back CHARACTER SET utf8mb4")?);
    let whole = || {
        let found = server.query("back", "SELECT count(*) FROM bulk")?;
        if found == rows { Ok(()) } else { Err(format!("{found:?} rows of {rows:?}").into()) }
    };
    let (one, two) = (dir.to_owned(), dir.to_owned());
    contest(
        &format!("MariaDB, {} MB of dump text", common::mb(size)),
        rounds,
        &empty,
        &whole,
        &[
            ("`zstdcat \\| mariadb`", Box::new(move || piped(&one, "zstdcat m.sql.zst", &stock))),
            ("`dbferry copy`", Box::new(move || dbferry(&two, "m.sql.zst", &to, &[]))),
        ],
    )
}

fn postgres(dir: &Path, size: u64, rounds: usize) -> Result<()> {
    let mut options = PostgresOptions::default();
    options.extra.push(format!("shared_buffers={}MB", size * 2 / 1_000_000 + 64));
    let server = PostgresServer::start(&options)?;
    common::say("filling PostgreSQL");
    sample::create_database(&server, "bench")?;
    sample::load_postgres_bulk(&server, "bench", size, 1)?;
    server.sql("bench", "CREATE INDEX ON bulk (customer); CREATE INDEX ON bulk (created, state); CREATE INDEX ON bulk (note)").or_else(
        // Long texts do not fit into an index.
        |_| server.sql("bench", "CREATE INDEX ON bulk (customer); CREATE INDEX ON bulk (created, state); CREATE INDEX ON bulk (left(note, 40))"),
    )?;
    let rows = server.query("bench", "SELECT count(*) FROM bulk")?;
    let path = format!("{}:{}", server.client_dir().display(), std::env::var("PATH").unwrap_or_default());
    let from = server.url(server.admin(), "bench")?;
    let mut dump = Command::new(common::program());
    dump.current_dir(dir).args(["copy", "env:FROM", "p.sql.zst", "-q"]).env("FROM", &from).env("PATH", &path);
    common::process(&mut dump, false)?;
    // As users make it: a file in which pg_restore finds every table's place.
    let mut dump = server.client("pg_dump");
    dump.args(["-Fc", "-d", "bench", "-f"]).arg(dir.join("p.dump"));
    common::process(&mut dump, false)?;
    let to = server.url(server.admin(), "back")?;
    let mut restore = server.client("pg_restore");
    restore.args(["-j2", "-d", "back"]).arg(dir.join("p.dump"));
    let restore_args: Vec<_> = restore.get_args().map(ToOwned::to_owned).collect();
    let mut psql = server.client("psql");
    psql.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", "back"]);
    let empty = || {
        server.sql("postgres", "DROP DATABASE IF EXISTS back WITH (FORCE)")?;
        Ok(sample::create_database(&server, "back")?)
    };
    let whole = || {
        let found = server.query("back", "SELECT count(*) FROM bulk")?;
        if found == rows { Ok(()) } else { Err(format!("{found:?} rows of {rows:?}").into()) }
    };
    let (one, two, three, again) = (dir.to_owned(), dir.to_owned(), dir.to_owned(), to.clone());
    let envs: Vec<_> =
        restore.get_envs().filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned()))).collect();
    let program = restore.get_program().to_owned();
    contest(
        &format!("PostgreSQL, {} MB of dump text", common::mb(size)),
        rounds,
        &empty,
        &whole,
        &[
            (
                "`pg_restore -j2`",
                Box::new(move || {
                    let mut command = Command::new(&program);
                    command.args(&restore_args).envs(envs.clone());
                    command
                }),
            ),
            ("`zstdcat \\| psql`", Box::new(move || piped(&one, "zstdcat p.sql.zst", &psql))),
            ("`dbferry copy`", Box::new(move || dbferry(&two, "p.sql.zst", &to, &[]))),
            (
                "`dbferry copy --jobs 2`",
                Box::new(move || dbferry(&three, "p.sql.zst", &again, &["--jobs", "2"])),
            ),
        ],
    )
}

fn redis(dir: &Path, size: u64, rounds: usize) -> Result<()> {
    let keys = (size / 150).max(1000);
    let source = test_servers::redis(RedisFlavour::Redis7)?;
    common::say("filling Redis");
    let script = "for i = ARGV[1], ARGV[2] do redis.call('SET', 'session:' .. i, redis.sha1hex(i) .. redis.sha1hex(-i) .. redis.sha1hex(i / 2)) end return 1";
    for from in (1..=keys).step_by(50_000) {
        let to = (from + 49_999).min(keys);
        source.eval(0, script, &[&from.to_string(), &to.to_string()])?;
    }
    for file in ["r.rdb", "r.resp"] {
        let mut dump = Command::new(common::program());
        dump.current_dir(dir).args(["copy", "env:FROM", file, "-q"]).env("FROM", source.url());
        if file == "r.resp" {
            dump.args(["--format", "resp"]);
        }
        common::process(&mut dump, false)?;
    }
    drop(source);
    let target = test_servers::redis(RedisFlavour::Redis7)?;
    let empty = || target.ask(&["FLUSHALL"]).map(drop).map_err(Into::into);
    let whole = || {
        let found = target.ask(&["DBSIZE"])?;
        if found == keys.to_string() { Ok(()) } else { Err(format!("{found} keys of {keys}").into()) }
    };
    let (commands, to, place) = (dir.join("r.resp"), target.url(), dir.to_owned());
    let (port, password) = (target.port().to_string(), target.password().to_owned());
    contest(
        &format!("Redis, {keys} keys"),
        rounds,
        &empty,
        &whole,
        &[
            (
                "`redis-cli --pipe`",
                Box::new(move || {
                    let mut shell = Command::new("bash");
                    shell
                        .args(["-c", "redis-cli -p \"$0\" --pipe < \"$1\""])
                        .args([&port, &commands.display().to_string()])
                        .env("REDISCLI_AUTH", &password)
                        .stdout(Stdio::null());
                    shell
                }),
            ),
            ("`dbferry copy`", Box::new(move || dbferry(&place, "r.rdb", &to, &[]))),
        ],
    )
}
