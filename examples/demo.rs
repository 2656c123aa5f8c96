//! The main job on throw-away servers: real databases and a directory leave as verified archives, to a folder and to S3, and come back through
//! stock clients alone; and they are loaded into newer servers, straight and from S3, and compared.
//!
//! `make demo` runs it. Needs the servers that `tests/servers/install` installs. The archives stay in the folder that is named at the end.

#[path = "demo/redis.rs"]
mod redis;
#[path = "demo/targets.rs"]
mod targets;

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitCode, Stdio};
use std::time::Instant;

use test_servers::fingerprint::{self, MySqlView, PostgresView};
use test_servers::{MySqlServer, PostgresServer, StoreServer, sample};

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
    store: StoreServer,
    rows: Vec<Row>,
    loads: Vec<Load>,
}

/// A database that was loaded, and found equal.
struct Load {
    what: &'static str,
    from: String,
    seconds: f64,
}

struct Row {
    what: &'static str,
    archive: String,
    bytes: u64,
    seconds: f64,
    restored: String,
}

/// Where an archive goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum To {
    Folder,
    S3,
}

const PLACES: [To; 2] = [To::Folder, To::S3];

/// The prefix of the archives in S3.
const PREFIX: &str = "demo";

impl To {
    /// The database that its archive comes back as.
    fn database(self) -> &'static str {
        match self {
            Self::Folder => "shop_restored",
            Self::S3 => "shop_from_s3",
        }
    }
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
    step("starting an S3 server: moto");
    let mut demo = Demo {
        dbferry: std::path::absolute(dbferry)?,
        out: std::path::absolute(out)?,
        store: test_servers::moto()?,
        rows: Vec::new(),
        loads: Vec::new(),
    };

    step(
        "starting MariaDB and filling a shop: definers everywhere, blobs, five character sets, triggers, events, routines",
    );
    let mariadb = test_servers::mariadb()?;
    sample::load_shop_of(&mariadb, "shop", CUSTOMERS)?;
    demo.mariadb(&mariadb)?;
    demo.mariadb_into_mysql(&mariadb)?;
    drop(mariadb);
    demo.managed()?;

    step("starting PostgreSQL and filling a shop: owners, grants, large objects, partitions, functions");
    let postgres = test_servers::postgres()?;
    sample::load_postgres_shop_of(&postgres, "shop", CUSTOMERS)?;
    demo.postgres(&postgres)?;
    demo.postgres_into_newer(&postgres)?;
    drop(postgres);

    step(
        "starting Redis and filling it: data and transient keys in database 0, queues of jobs in database 1",
    );
    let server = redis::start()?;
    demo.redis(&server)?;
    demo.redis_into_newer(&server)?;
    drop(server);

    step("making a directory: links, long names, a sparse file, names that are not UTF-8");
    demo.directory()?;
    demo.table();
    demo.table_of_loads();
    Ok(())
}

impl Demo {
    /// MariaDB to archives, and back through `zstdcat | mariadb`.
    fn mariadb(&mut self, server: &MySqlServer) -> Result<()> {
        let url = server.url(server.admin(), "shop")?;
        let before = fingerprint::mysql(server, "shop", &MySqlView::default())?;
        for to in PLACES {
            let name = to.database();
            self.carry("MariaDB", &url, to, "shop.sql.zst", server.client_dir(), &[])?;
            server.sql(format!("CREATE DATABASE {name} CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci"))?;
            self.restore("zstd", to, "shop.sql.zst", |dump| Ok(server.load(name, dump)?))?;
            let after = fingerprint::mysql(server, name, &MySqlView::default())?;
            self.same(to, &before.difference(&after), "zstdcat | mariadb")?;
        }
        Ok(())
    }

    /// For a managed MySQL: an administrator without SUPER loads it, on a server where no definer of the dump exists.
    fn managed(&mut self) -> Result<()> {
        step(
            "starting MySQL 9 with the same shop, and a second one in the shape of RDS: no SUPER, GTIDs on, TLS required",
        );
        let source = test_servers::mysql()?;
        sample::load_shop_of(&source, "shop", CUSTOMERS)?;
        let target = test_servers::mysql_like_rds(true)?;
        let url = source.url(source.admin(), "shop")?;
        let view = MySqlView { without_definers: true, ..MySqlView::default() };
        let before = fingerprint::mysql(&source, "shop", &view)?;
        for to in PLACES {
            let (name, archive) = (to.database(), "shop-for-rds.sql.zst");
            let more = ["--for", "rds-mysql"];
            self.carry("MySQL, --for rds-mysql", &url, to, archive, source.client_dir(), &more)?;
            target.sql(format!("CREATE DATABASE {name} CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci"))?;
            self.restore("zstd", to, archive, |dump| Ok(target.load_as(target.admin(), name, dump)?))?;
            let after = fingerprint::mysql(&target, name, &view)?;
            self.same(to, &before.difference(&after), "zstdcat | mysql, as a restricted administrator")?;
        }

        step("dbferry copy mysql://… mysql://… --for rds-mysql --overwrite --verify compare");
        target.sql("CREATE DATABASE shop CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci")?;
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

    /// PostgreSQL to archives, and back through `zcat | psql`.
    fn postgres(&mut self, server: &PostgresServer) -> Result<()> {
        let url = server.url(server.admin(), "shop")?;
        let before = fingerprint::postgres(server, "shop", &PostgresView::default())?;
        for to in PLACES {
            let (name, archive) = (to.database(), "shop-pg.sql.gz");
            self.carry("PostgreSQL", &url, to, archive, server.client_dir(), &[])?;
            sample::create_database(server, name)?;
            self.restore("gzip", to, archive, |dump| Ok(server.load(name, dump)?))?;
            let after = fingerprint::postgres(server, name, &PostgresView::default())?;
            self.same(to, &before.difference(&after), "zcat | psql")?;
        }
        Ok(())
    }

    /// A directory to archives, and back through `tar`.
    fn directory(&mut self) -> Result<()> {
        let tree = self.out.join("storage");
        std::fs::create_dir(&tree)?;
        sample::make_tree(&tree)?;
        let before = fingerprint::tree(&tree)?;
        let source = tree.to_str().ok_or("the folder's name is not UTF-8")?.to_owned();
        for to in PLACES {
            let back = self.out.join(format!("storage-{}", to.database()));
            std::fs::create_dir(&back)?;
            self.carry("directory", &source, to, "storage.tar.zst", Path::new("/usr/bin"), &[])?;
            self.restore("zstd", to, "storage.tar.zst", |dump| {
                let status = Command::new("tar").args(["-xpf", "-", "-C"]).arg(&back).stdin(dump).status()?;
                if status.success() { Ok(()) } else { Err(format!("tar: {status}").into()) }
            })?;
            self.same(to, &before.difference(&fingerprint::tree(&back)?), "zstdcat | tar -x")?;
        }
        Ok(())
    }

    /// What dbferry is told of an archive.
    fn address(&self, to: To, name: &str) -> String {
        match to {
            To::Folder => self.out.join(name).display().to_string(),
            To::S3 => self.store.url(&format!("{PREFIX}/{name}")),
        }
    }

    fn carry(
        &mut self,
        what: &'static str,
        source: &str,
        to: To,
        name: &str,
        clients: &Path,
        more: &[&str],
    ) -> Result<()> {
        let shown = match to {
            To::Folder => name.to_owned(),
            To::S3 => format!("s3://archive/{PREFIX}/{name}"),
        };
        let address = self.address(to, name);
        step(&format!("dbferry copy … {shown} {}", more.join(" ")));
        let path = format!("{}:{}", clients.display(), std::env::var("PATH").unwrap_or_default());
        let began = Instant::now();
        // The URL holds a password: `env:` keeps it out of the process list.
        self.run(
            self.program()
                .args(["copy", "env:DEMO_SOURCE", &address])
                .args(more)
                .env("DEMO_SOURCE", source)
                .env("PATH", path),
        )?;
        let seconds = began.elapsed().as_secs_f64();
        step(&format!("dbferry verify {shown}"));
        self.run(self.program().args(["verify", &address]))?;
        let bytes = match to {
            To::Folder => std::fs::metadata(self.out.join(name))?.len(),
            To::S3 => self.length(name)?,
        };
        self.rows.push(Row { what, archive: shown, bytes, seconds, restored: String::new() });
        Ok(())
    }

    /// dbferry, with the keys of the store where the AWS tools have them.
    fn program(&self) -> Command {
        let mut command = Command::new(&self.dbferry);
        command.envs(self.store.environment());
        command
    }

    /// The length of an object, as a client that is not ours sees it.
    fn length(&self, name: &str) -> Result<u64> {
        let key = format!("{PREFIX}/{name}");
        let mut command = self.store.aws()?;
        command.args(["s3api", "head-object", "--bucket", "archive", "--key", &key]);
        let output = command.args(["--query", "ContentLength", "--output", "text"]).output()?;
        let text = String::from_utf8(output.stdout)?;
        text.trim().parse().map_err(|_| format!("aws s3api head-object {key}: {text}").into())
    }

    /// Decompresses an archive with the stock tool into `load`. What is in S3 comes by the AWS command line.
    fn restore(
        &self,
        tool: &str,
        to: To,
        name: &str,
        load: impl FnOnce(ChildStdout) -> Result<()>,
    ) -> Result<()> {
        let mut fetch = None;
        let archive: Stdio = match to {
            To::Folder => File::open(self.out.join(name))?.into(),
            To::S3 => {
                step(&format!("aws s3 cp s3://archive/{PREFIX}/{name} - | {tool} -dc | …"));
                let mut command = self.store.aws()?;
                command.args(["s3", "cp", &format!("s3://archive/{PREFIX}/{name}"), "-"]);
                let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
                let stdout = child.stdout.take().ok_or("no pipe")?;
                fetch = Some(child);
                stdout.into()
            }
        };
        let mut child = Command::new(tool).arg("-dc").stdin(archive).stdout(Stdio::piped()).spawn()?;
        let dump = child.stdout.take().ok_or("no pipe")?;
        let loaded = load(dump);
        // Waited for in any case; but the first cause is told, and not what broke because of it.
        let unpacked = ended(tool, &mut child);
        let fetched = fetch.map_or(Ok(()), |mut fetch| ended("aws s3 cp", &mut fetch));
        loaded.and(fetched).and(unpacked)
    }

    fn run(&self, command: &mut Command) -> Result<()> {
        let status = command.stdin(Stdio::null()).status()?;
        if status.success() { Ok(()) } else { Err(format!("{}: {status}", self.dbferry.display()).into()) }
    }

    fn same(&mut self, to: To, difference: &str, how: &str) -> Result<()> {
        let how = match to {
            To::Folder => how.to_owned(),
            To::S3 => format!("aws s3 cp | {how}"),
        };
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
            "{:<26}{:<42}{:>12}{:>8}  {:<10}restored with equal content by",
            "source", "archive", "bytes", "s", "verified"
        ));
        for row in &self.rows {
            say(&format!(
                "{:<26}{:<42}{:>12}{:>8.1}  {:<10}{}",
                row.what, row.archive, row.bytes, row.seconds, "yes", row.restored
            ));
        }
        say(&format!(
            "\nThe archives and their manifests are in {}; those in S3 went with their server",
            self.out.display()
        ));
    }
}

fn ended(what: &str, child: &mut Child) -> Result<()> {
    let status = child.wait()?;
    if status.success() { Ok(()) } else { Err(format!("{what}: {status}").into()) }
}

fn step(text: &str) {
    say(&format!("\n== {text}"));
}

fn say(text: &str) {
    drop(writeln!(std::io::stderr().lock(), "{text}"));
}
