//! The main job on throw-away servers: real databases and a directory leave as verified archives, and come back through stock clients.
//!
//! `make demo` runs it. Needs the servers that `tests/servers/install` installs. The archives stay in the folder that is named at the end.

#[path = "demo/redis.rs"]
mod redis;

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use test_servers::fingerprint::{self, MySqlView, PostgresView};
use test_servers::{MySqlServer, PostgresServer, sample};

type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

/// Customers in the sample databases; some 10 MB of SQL each.
const CUSTOMERS: u32 = 20_000;

fn main() -> ExitCode {
    match demo() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("demo: {error}"));
            ExitCode::FAILURE
        }
    }
}

struct Demo {
    dbferry: PathBuf,
    out: PathBuf,
    rows: Vec<Row>,
}

struct Row {
    what: &'static str,
    archive: String,
    bytes: u64,
    seconds: f64,
    restored: &'static str,
}

fn demo() -> Result<()> {
    let mut args = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(dbferry), Some(out)) = (args.next(), args.next()) else {
        return Err("usage: demo DBFERRY FOLDER".into());
    };
    if out.exists() {
        std::fs::remove_dir_all(&out)?;
    }
    std::fs::create_dir_all(&out)?;
    let mut demo =
        Demo { dbferry: std::path::absolute(dbferry)?, out: std::path::absolute(out)?, rows: Vec::new() };

    step(
        "starting MariaDB and filling a shop: definers everywhere, blobs, five character sets, triggers, events, routines",
    );
    let mariadb = test_servers::mariadb()?;
    sample::load_shop_of(&mariadb, "shop", CUSTOMERS)?;
    demo.mariadb(&mariadb)?;
    drop(mariadb);
    demo.managed()?;

    step("starting PostgreSQL and filling a shop: owners, grants, large objects, partitions, functions");
    let postgres = test_servers::postgres()?;
    sample::load_postgres_shop_of(&postgres, "shop", CUSTOMERS)?;
    demo.postgres(&postgres)?;
    drop(postgres);

    step(
        "starting Redis and filling it: data and transient keys in database 0, queues of jobs in database 1",
    );
    let server = redis::start()?;
    demo.redis(&server)?;
    drop(server);

    step("making a directory: links, long names, a sparse file, names that are not UTF-8");
    demo.directory()?;
    demo.table();
    Ok(())
}

impl Demo {
    /// MariaDB to an archive, and back through `zstdcat | mariadb`.
    fn mariadb(&mut self, server: &MySqlServer) -> Result<()> {
        let archive = self.out.join("shop.sql.zst");
        let url = server.url(server.admin(), "shop")?;
        self.carry("MariaDB", &url, &archive, server.client_dir(), &[])?;
        let before = fingerprint::mysql(server, "shop", &MySqlView::default())?;
        server.sql("CREATE DATABASE shop_restored CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci")?;
        restore("zstd", &archive, |dump| Ok(server.load("shop_restored", dump)?))?;
        let after = fingerprint::mysql(server, "shop_restored", &MySqlView::default())?;
        self.same(&before.difference(&after), "zstdcat | mariadb")
    }

    /// For a managed MySQL: an administrator without SUPER loads it, on a server where no definer of the dump exists.
    fn managed(&mut self) -> Result<()> {
        step(
            "starting MySQL 9 with the same shop, and a second one in the shape of RDS: no SUPER, GTIDs on, TLS required",
        );
        let source = test_servers::mysql()?;
        sample::load_shop_of(&source, "shop", CUSTOMERS)?;
        let target = test_servers::mysql_like_rds(true)?;
        let archive = self.out.join("shop-for-rds.sql.zst");
        let url = source.url(source.admin(), "shop")?;
        self.carry("MySQL, --for rds-mysql", &url, &archive, source.client_dir(), &["--for", "rds-mysql"])?;
        target.sql("CREATE DATABASE shop CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci")?;
        restore("zstd", &archive, |dump| Ok(target.load_as(target.admin(), "shop", dump)?))?;
        let view = MySqlView { without_definers: true, ..MySqlView::default() };
        let before = fingerprint::mysql(&source, "shop", &view)?;
        let after = fingerprint::mysql(&target, "shop", &view)?;
        self.same(&before.difference(&after), "zstdcat | mysql, as a restricted administrator")?;

        step("dbferry copy mysql://… mysql://… --for rds-mysql --overwrite --verify compare");
        let path = format!("{}:{}", source.client_dir().display(), std::env::var("PATH").unwrap_or_default());
        self.run(
            Command::new(&self.dbferry)
                .args(["copy", "env:DEMO_SOURCE", "env:DEMO_TARGET", "--for", "rds-mysql"])
                .args(["--overwrite", "--verify", "compare"])
                .env("DEMO_SOURCE", url)
                .env("DEMO_TARGET", target.url(target.admin(), "shop")?)
                .env("PATH", path),
        )
    }

    /// PostgreSQL to an archive, and back through `zcat | psql`.
    fn postgres(&mut self, server: &PostgresServer) -> Result<()> {
        let archive = self.out.join("shop-pg.sql.gz");
        let url = server.url(server.admin(), "shop")?;
        self.carry("PostgreSQL", &url, &archive, server.client_dir(), &[])?;
        let before = fingerprint::postgres(server, "shop", &PostgresView::default())?;
        sample::create_database(server, "shop_restored")?;
        restore("gzip", &archive, |dump| Ok(server.load("shop_restored", dump)?))?;
        let after = fingerprint::postgres(server, "shop_restored", &PostgresView::default())?;
        self.same(&before.difference(&after), "zcat | psql")
    }

    /// A directory to an archive, and back through `tar`.
    fn directory(&mut self) -> Result<()> {
        let (tree, back) = (self.out.join("storage"), self.out.join("storage-restored"));
        std::fs::create_dir(&tree)?;
        std::fs::create_dir(&back)?;
        sample::make_tree(&tree)?;
        let archive = self.out.join("storage.tar.zst");
        let source = tree.to_str().ok_or("the folder's name is not UTF-8")?.to_owned();
        self.carry("directory", &source, &archive, Path::new("/usr/bin"), &[])?;
        let status =
            Command::new("tar").arg("--zstd").arg("-xpf").arg(&archive).arg("-C").arg(&back).status()?;
        if !status.success() {
            return Err(format!("tar: {status}").into());
        }
        let difference = fingerprint::tree(&tree)?.difference(&fingerprint::tree(&back)?);
        self.same(&difference, "tar --zstd -x")
    }

    fn carry(
        &mut self,
        what: &'static str,
        source: &str,
        archive: &Path,
        clients: &Path,
        more: &[&str],
    ) -> Result<()> {
        let name = archive.file_name().and_then(|name| name.to_str()).ok_or("an archive without a name")?;
        step(&format!("dbferry copy … {name} {}", more.join(" ")));
        let path = format!("{}:{}", clients.display(), std::env::var("PATH").unwrap_or_default());
        let began = Instant::now();
        // The URL holds a password: `env:` keeps it out of the process list.
        self.run(
            Command::new(&self.dbferry)
                .args(["copy", "env:DEMO_SOURCE"])
                .arg(archive)
                .args(more)
                .env("DEMO_SOURCE", source)
                .env("PATH", path),
        )?;
        let seconds = began.elapsed().as_secs_f64();
        step(&format!("dbferry verify {name}"));
        self.run(Command::new(&self.dbferry).arg("verify").arg(archive))?;
        let bytes = std::fs::metadata(archive)?.len();
        self.rows.push(Row { what, archive: name.to_owned(), bytes, seconds, restored: "" });
        Ok(())
    }

    fn run(&self, command: &mut Command) -> Result<()> {
        let status = command.stdin(Stdio::null()).status()?;
        if status.success() { Ok(()) } else { Err(format!("{}: {status}", self.dbferry.display()).into()) }
    }

    fn same(&mut self, difference: &str, how: &'static str) -> Result<()> {
        if !difference.is_empty() {
            return Err(format!("restored by {how}, the content differs:\n{difference}").into());
        }
        if let Some(row) = self.rows.last_mut() {
            row.restored = how;
        }
        Ok(())
    }

    fn table(&self) {
        say("");
        say(&format!(
            "{:<26}{:<24}{:>12}{:>8}  {:<10}restored with equal content by",
            "source", "archive", "bytes", "s", "verified"
        ));
        for row in &self.rows {
            say(&format!(
                "{:<26}{:<24}{:>12}{:>8.1}  {:<10}{}",
                row.what, row.archive, row.bytes, row.seconds, "yes", row.restored
            ));
        }
        say(&format!("\nThe archives and their manifests are in {}", self.out.display()));
    }
}

/// Decompresses an archive with the stock tool into `load`.
fn restore(
    tool: &str,
    archive: &Path,
    load: impl FnOnce(std::process::ChildStdout) -> Result<()>,
) -> Result<()> {
    let mut child =
        Command::new(tool).arg("-dc").stdin(File::open(archive)?).stdout(Stdio::piped()).spawn()?;
    let dump = child.stdout.take().ok_or("no pipe")?;
    let loaded = load(dump);
    let status = child.wait()?;
    loaded?;
    if status.success() { Ok(()) } else { Err(format!("{tool}: {status}").into()) }
}

fn step(text: &str) {
    say(&format!("\n== {text}"));
}

fn say(text: &str) {
    drop(writeln!(std::io::stderr().lock(), "{text}"));
}
