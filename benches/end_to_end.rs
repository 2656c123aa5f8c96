//! `dbferry copy` of a live database beside the pipelines that it replaces: `cargo bench --bench end_to_end`.
//!
//! Every contender reads the same server over the same TCP port with the same options of the same client, so what differs is what comes behind
//! the client. dbferry also hashes the stream three times, looks for the dump's last line, and syncs the archive to the disk before it names it; the
//! pipelines do none of this.

mod common;
#[path = "../transforms/examples/corpus/mod.rs"]
mod corpus;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use common::{Case, Result, SED, Sample};
use test_servers::{Flavour, MySqlOptions, MySqlServer, Needs, PostgresOptions, PostgresServer, sample};

/// Views, triggers and routines with definers, beside the big table.
const CUSTOMERS: u32 = 2000;

fn main() -> ExitCode {
    match benchmark() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            common::say(&format!("end_to_end: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn benchmark() -> Result<()> {
    let (size, rounds) = common::size_and_rounds(u64::MAX)?;
    let mut notes = Vec::new();
    let peers = common::installed(&["sed", "gzip", "pigz", "zstd", "mydumper"], &mut notes);
    let tools = ["mariadb-dump", "mydumper", "pg_dump", "sed", "gzip", "pigz", "zstd", "bash"];
    common::print(&common::machine(&tools));
    // Not /tmp, which is memory on many machines: writing to the disk is part of the work.
    let dir = tempfile::Builder::new().prefix("bench-").tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let contenders = std::env::var("DBFERRY_BENCH_FILES").ok();
    let bench = Bench { dir: dir.path(), rounds, peers, contenders };
    let only = std::env::var("DBFERRY_BENCH_ONLY").ok();
    for (name, needs) in
        [("application", Needs::MariaDb), ("mixed", Needs::MariaDb), ("postgres", Needs::Postgres)]
    {
        if only.as_ref().is_some_and(|only| only != name) {
            continue;
        }
        match (needs.missing(), name) {
            (Some(reason), _) => notes.push(format!("{reason}, so `{name}` is not measured.")),
            (None, "postgres") => bench.postgres(size)?,
            (None, _) => bench.mariadb(size, name)?,
        }
    }
    for note in notes {
        common::print(&format!("{note}\n"));
    }
    Ok(())
}

struct Bench<'a> {
    dir: &'a Path,
    rounds: usize,
    peers: Vec<&'static str>,
    /// Files of the contenders that are wanted, with commas; all when absent.
    contenders: Option<String>,
}

/// A way from the database to a file.
struct Contender {
    name: String,
    command: Box<dyn Fn(&Path) -> Command>,
    /// Name of the file that it makes.
    file: Option<&'static str>,
    /// A process of ours, whose memory is watched.
    ours: bool,
}

impl Bench<'_> {
    fn mariadb(&self, size: u64, data: &str) -> Result<()> {
        let mut options = MySqlOptions::new(Flavour::MariaDb);
        // The table fits, so that no round waits for the disk to read it.
        options.extra.push(format!("--innodb-buffer-pool-size={}", size * 2 + (64 << 20)));
        let server = MySqlServer::start(&options)?;
        common::say(&format!("filling MariaDB: {data}"));
        sample::load_shop_of(&server, "bench", CUSTOMERS)?;
        if data == "mixed" {
            sample::load_bulk(&server, "bench", size, 1)?;
        } else {
            load_application(&server, size)?;
        }
        server.create_user("reader", "reader")?;
        server.sql("GRANT ALL ON *.* TO reader@'%';")?;
        let mut client = server.client_as("reader", "mariadb-dump")?;
        client.args([
            "--single-transaction",
            "--skip-lock-tables",
            "--quick",
            "--routines",
            "--events",
            "--triggers",
        ]);
        client.args(["--default-character-set=utf8mb4", "--max-allowed-packet=1G", "bench"]);

        let sed = format!("sed '{SED}'");
        let piped = |behind: &str, file: Option<&'static str>| pipe("mariadb-dump", &client, behind, file);
        let mut contenders = vec![
            piped(&format!("| {sed} | gzip"), Some("a.sql.gz")),
            piped("", None),
            piped(&format!("| {sed} | pigz"), Some("b.sql.gz")),
            piped(&format!("| {sed} | zstd -q -T0"), Some("c.sql.zst")),
            piped("| zstd -q -T0", Some("d.sql.zst")),
        ];
        if common::find("mydumper").is_some() {
            contenders.push(mydumper(&server, "", "e.dir"));
            contenders.push(mydumper(&server, "-c", "f.dir"));
        }
        let url = server.url("reader", "bench")?;
        for file in ["x.sql.gz", "x.sql.zst", "x.sql.lz4", "x.sql"] {
            contenders.push(dbferry(&url, server.client_dir(), file, &["--for", "rds-mysql"]));
        }
        self.contest(&format!("MariaDB, {data} data"), &client, contenders, &server.pid().to_string())
    }

    fn postgres(&self, size: u64) -> Result<()> {
        let mut options = PostgresOptions::default();
        options.extra.push(format!("shared_buffers={}MB", size * 2 / 1_000_000 + 64));
        let server = PostgresServer::start(&options)?;
        common::say("filling PostgreSQL");
        sample::load_postgres_shop_of(&server, "bench", CUSTOMERS)?;
        sample::load_postgres_bulk(&server, "bench", size, 1)?;
        let mut client = server.client_as(server.admin(), "pg_dump")?;
        client.args(["--dbname", "bench"]);

        let piped = |behind: &str, file: Option<&'static str>| pipe("pg_dump", &client, behind, file);
        let mut contenders = vec![
            piped("| gzip", Some("a.sql.gz")),
            piped("", None),
            piped("| pigz", Some("b.sql.gz")),
            piped("| zstd -q -T0", Some("c.sql.zst")),
            piped("-Fc", Some("d.dump")),
            directory(&client, "-Z0", "e.dir"),
            directory(&client, "", "f.dir"),
        ];
        let url = server.url(server.admin(), "bench")?;
        for file in ["x.sql.gz", "x.sql.zst", "x.sql.lz4", "x.sql"] {
            contenders.push(dbferry(&url, server.client_dir(), file, &["--for", "rds-postgres"]));
        }
        contenders.push(dbferry(&url, server.client_dir(), "y.sql", &["--engine", "client"]));
        self.contest("PostgreSQL", &client, contenders, &server.pid().to_string())
    }

    fn contest(&self, title: &str, client: &Command, contenders: Vec<Contender>, server: &str) -> Result<()> {
        // Warms the server's cache as well.
        let dumped = self.count_dump(client)?;
        let usable = |contender: &Contender| {
            let mut words = contender.name.split(['|', ' ', '`']);
            let runs = !words
                .any(|word| ["sed", "gzip", "pigz", "zstd"].contains(&word) && !self.peers.contains(&word));
            runs && self
                .contenders
                .as_ref()
                .is_none_or(|wanted| wanted.split(',').any(|w| contender.file == Some(w)))
        };
        let contenders: Vec<Contender> = contenders.into_iter().filter(usable).collect();
        let mut cases: Vec<Case<'_>> = contenders
            .iter()
            .map(|contender| {
                let mut checked = false;
                Case::new(&contender.name, move || {
                    let sample = self.measure(contender, server, dumped, !checked)?;
                    checked = true;
                    Ok(sample)
                })
            })
            .collect();
        common::run(&mut cases, self.rounds)?;

        common::print(&format!("### {title}, a dump of {} MB, {} rounds\n", common::mb(dumped), self.rounds));
        common::print(
            "| | seconds, median (least–most) | times as fast as the first, per round | CPU s | server's CPU s | archive MB | peak memory MiB |",
        );
        common::print("| --- | --: | --: | --: | --: | --: | --: |");
        for case in &cases {
            let archive = case.spread(|s| s.bytes as f64 / 1e6).median;
            let peak = case.spread(|s| s.peak_kib as f64 / 1024.0).max;
            let or_dash = |value: f64| if value > 0.0 { format!("{value:.0}") } else { "–".to_owned() };
            common::print(&format!(
                "| {} | {} | {} | {:.2} | {:.2} | {} | {} |",
                case.name,
                case.spread(|s| s.wall).with_range(),
                case.faster_than(&cases[0]).with_range(),
                case.spread(|s| s.cpu).median,
                case.spread(|s| s.server).median,
                or_dash(archive),
                or_dash(peak),
            ));
        }
        common::print("");
        Ok(())
    }

    fn measure(&self, contender: &Contender, server: &str, dumped: u64, check: bool) -> Result<Sample> {
        let dir = tempfile::tempdir_in(self.dir)?;
        let out = contender.file.map_or_else(|| PathBuf::from("/dev/null"), |file| dir.path().join(file));
        let before = common::settled_cpu(server)?;
        let mut sample = common::process(&mut (contender.command)(&out), contender.ours)?;
        sample.server = common::settled_cpu(server)? - before;
        if contender.file.is_some() {
            sample.bytes = common::length(&out)?;
            if check {
                whole(&out, dumped)?;
            }
        }
        Ok(sample)
    }

    /// The length of the client's output.
    fn count_dump(&self, client: &Command) -> Result<u64> {
        let contender = pipe("", client, "| wc -c", Some("count"));
        let out = self.dir.join("count");
        common::process(&mut (contender.command)(&out), false)?;
        Ok(fs::read_to_string(&out)?.trim().parse()?)
    }
}

/// Four tables after those of a web application: no random bytes but tokens and digests, no text but words.
fn load_application(server: &MySqlServer, size: u64) -> Result<()> {
    server.sql_in(
        "bench",
        "CREATE TABLE events (id bigint PRIMARY KEY, account int, service int, kind varchar(40), at datetime,
            amount decimal(10,2), status tinyint, note varchar(10), ip varchar(20));
         CREATE TABLE users (id bigint PRIMARY KEY, first varchar(40), last varchar(40), mail varchar(80),
            token char(16), at datetime, password varchar(80), state varchar(10), kind int, flags int, note varchar(10));
         CREATE TABLE pages (id bigint PRIMARY KEY, slug varchar(60), body text, version int, at datetime);
         CREATE TABLE blobs (id bigint PRIMARY KEY, content varbinary(200));",
    )?;
    let mut text = corpus::sql_dump(usize::try_from(size)?, 1);
    // It is cut in the middle of a statement.
    let end = text.windows(2).rposition(|pair| pair == b";\n").ok_or("too small a size")?;
    text.truncate(end + 2);
    Ok(server.load("bench", std::io::Cursor::new(text))?)
}

/// A shell's pipeline behind the client. `set -o pipefail` is more than most people write.
fn pipe(name: &str, client: &Command, behind: &str, file: Option<&'static str>) -> Contender {
    let script = format!("set -o pipefail; \"$@\" {behind} >\"$OUT\"");
    let client = copy_of(client);
    // A bar would end the table's cell.
    let shown = behind.replace(SED, "s/DEFINER=…//g").replace(" -q", "").replace('|', "\\|");
    let target = if file.is_some() { "file" } else { "/dev/null" };
    Contender {
        name: format!("`{} > {target}`", [name, &shown].join(" ").trim_end()),
        command: Box::new(move |out| {
            let mut shell = Command::new("bash");
            shell.args(["-c", &script, "bash"]).arg(&client.0).args(&client.1);
            for (name, value) in &client.2 {
                shell.env(name, value);
            }
            shell.env("OUT", out).env("LC_ALL", "C");
            shell
        }),
        file,
        ours: false,
    }
}

/// mydumper's directory, over two connections, with the large table in as many pieces as it likes.
fn mydumper(server: &MySqlServer, how: &str, file: &'static str) -> Contender {
    let (port, how_owned) = (server.port().to_string(), how.to_owned());
    Contender {
        name: format!("`{}`", ["mydumper -t 2", how].join(" ").trim_end()),
        command: Box::new(move |out| {
            let mut command = Command::new("mydumper");
            command.args(["-h", "127.0.0.1", "-P", &port, "-u", "reader", "-p", "reader", "-B", "bench"]);
            command
                .args(["-t", "2", "-r", "100000", "--trx-consistency-only", "-G", "-E", "-R", "-o"])
                .arg(out);
            if !how_owned.is_empty() {
                command.arg(&how_owned);
            }
            command.stdout(Stdio::null());
            command
        }),
        file: Some(file),
        ours: false,
    }
}

/// `pg_dump`'s own parallel format, over two connections, which reads several tables at once and each of them over one.
fn directory(client: &Command, how: &str, file: &'static str) -> Contender {
    let script = format!("\"$@\" -Fd -j2 {how} -f \"$OUT\"");
    let client = copy_of(client);
    Contender {
        name: format!("`{} directory`", ["pg_dump -Fd -j2", how].join(" ").trim_end()),
        command: Box::new(move |out| {
            let mut shell = Command::new("bash");
            shell.args(["-c", &script, "bash"]).arg(&client.0).args(&client.1);
            for (name, value) in &client.2 {
                shell.env(name, value);
            }
            shell.env("OUT", out);
            shell
        }),
        file: Some(file),
        ours: false,
    }
}

/// A run of the program itself; the URL is in its environment, where no password can be seen.
fn dbferry(url: &str, clients: &Path, file: &'static str, more: &'static [&'static str]) -> Contender {
    let (url, clients) = (url.to_owned(), clients.to_owned());
    Contender {
        name: format!("`dbferry copy URL {file} {}`", more.join(" ")),
        command: Box::new(move |out| {
            let mut command = Command::new(common::program());
            let path = std::env::var("PATH").unwrap_or_default();
            command.args(["copy", "env:DB"]).arg(out).args(more).arg("--quiet");
            command
                .env("PATH", format!("{}:{path}", clients.display()))
                .env("DB", &url)
                .stdout(Stdio::null());
            command
        }),
        file: Some(file),
        ours: true,
    }
}

type Words = (std::ffi::OsString, Vec<std::ffi::OsString>, Vec<(std::ffi::OsString, std::ffi::OsString)>);

/// Program, arguments and environment of a command, which cannot be cloned.
fn copy_of(command: &Command) -> Words {
    let envs = command.get_envs().filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())));
    (command.get_program().to_owned(), command.get_args().map(ToOwned::to_owned).collect(), envs.collect())
}

/// A contender that loses data would be fast. The stock tools must get a dump out of the archive that is as long as what the client
/// wrote, give or take the definers.
fn whole(archive: &Path, dumped: u64) -> Result<()> {
    let name = archive.to_string_lossy();
    let unpack = match name.rsplit_once('.').map(|(_, ending)| ending) {
        Some("gz") => "gzip",
        Some("zst") => "zstd",
        Some("lz4") if common::find("lz4").is_some() => "lz4",
        Some("sql") => "cat",
        _ => return Ok(()),
    };
    let mut command = Command::new(unpack);
    if unpack != "cat" {
        command.arg("-dc");
    }
    let mut child = command.stdin(File::open(archive)?).stdout(Stdio::piped()).spawn()?;
    let mut length = 0;
    if let Some(mut stdout) = child.stdout.take() {
        length = std::io::copy(&mut stdout, &mut std::io::sink())?;
    }
    let status = child.wait()?;
    if !status.success() || length.abs_diff(dumped) > dumped / 100 {
        return Err(format!("{name}: {length} bytes in it, {dumped} were dumped ({status})").into());
    }
    Ok(())
}
