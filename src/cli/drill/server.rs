//! A scratch server of this machine's own programs: a process with a directory of its own, reachable by a socket alone, gone with the value.

use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use pipeline::{Error, Format, Result};
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;

/// A data directory is made and a server is up in seconds; on a busy machine, in minutes.
const PATIENCE: Duration = Duration::from_secs(180);

/// A snapshot of many GiB is read before a server answers.
const LOADING: Duration = Duration::from_secs(3600);

/// What PostgreSQL, Redis and Valkey log when they are. Before, their sockets take connections and refuse what is asked.
const READY: &str = "eady to accept connections";

/// A running server.
#[derive(Debug)]
pub(super) struct Scratch {
    /// Where a client reaches it.
    pub(super) url: String,
    // Killed when it is dropped, which comes before the directory goes.
    _child: Child,
    _dir: tempfile::TempDir,
}

/// The account that a server runs under when this process is root, which servers refuse to be.
fn account(names: &[&str]) -> Result<Option<(u32, u32)>> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let passwd = fs::read_to_string("/etc/passwd")
        .map_err(|e| Error::source("cannot look for an account for the scratch server").caused_by(e))?;
    let find = |wanted: &&str| {
        passwd.lines().find_map(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            let ids = (fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?);
            (fields.first() == Some(wanted)).then_some(ids)
        })
    };
    names.iter().chain(&["nobody"]).find_map(find).map(Some).ok_or_else(|| {
        Error::source("servers refuse to run as root, and there is no account `nobody`")
            .hint("run the drill as an ordinary user, or give --into URL")
    })
}

/// The first of these programs, on PATH or where Debian puts the server's own.
fn program(names: &[&str], what: &str) -> Result<PathBuf> {
    let mut folders: Vec<PathBuf> =
        std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect()).unwrap_or_default();
    folders.push("/usr/sbin".into());
    // The newest major reads the dumps of all before it.
    let mut majors: Vec<(u32, PathBuf)> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .collect();
    majors.sort();
    folders.extend(majors.into_iter().rev().map(|(_, folder)| folder));
    names
        .iter()
        .find_map(|name| folders.iter().map(|folder| folder.join(name)).find(|path| path.is_file()))
        .ok_or_else(|| {
            Error::source(format!("there is no {what} server on this machine to restore into"))
                .with("programs", names.join(", "))
                .hint("install one, or give --into URL")
        })
}

/// What the server and its preparation are made of.
struct Maker {
    dir: tempfile::TempDir,
    account: Option<(u32, u32)>,
}

impl Maker {
    fn new(accounts: &[&str]) -> Result<Self> {
        let failed =
            |e: std::io::Error| Error::source("cannot make a directory for the scratch server").caused_by(e);
        let dir = tempfile::Builder::new().prefix("dbferry-drill-").tempdir().map_err(failed)?;
        let account = account(accounts)?;
        fs::set_permissions(dir.path(), Permissions::from_mode(0o700)).map_err(failed)?;
        if let Some((uid, gid)) = account {
            chown(dir.path(), Some(uid), Some(gid)).map_err(failed)?;
        }
        Ok(Self { dir, account })
    }

    fn command(&self, program: &Path, args: impl IntoIterator<Item = impl Into<OsString>>) -> Command {
        let mut command = Command::new(program);
        command.args(args.into_iter().map(Into::into)).stdin(Stdio::null()).kill_on_drop(true);
        if let Some((uid, gid)) = self.account {
            command.uid(uid).gid(gid);
        }
        // The account cannot see this one's working directory.
        command.current_dir(self.dir.path()).env("HOME", self.dir.path()).process_group(0);
        for name in ["PGDATA", "PGHOST", "PGPORT", "PGUSER", "PGDATABASE", "MYSQL_HOST"] {
            command.env_remove(name);
        }
        command
    }

    async fn prepare(&self, mut command: Command, what: &str) -> Result<()> {
        let output =
            command.output().await.map_err(|e| Error::source(format!("cannot start {what}")).caused_by(e))?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default().to_owned();
        Err(Error::source(format!("{what} failed")).with("status", output.status).with("last line", last))
    }

    /// Starts it, and waits until somebody answers at the socket, and until its log says so where an answer alone means nothing.
    async fn serve(
        self,
        mut command: Command,
        socket: &Path,
        url: String,
        says: Option<&str>,
        cancel: &CancellationToken,
    ) -> Result<Scratch> {
        let patience = if says.is_some() { LOADING } else { PATIENCE };
        let log = self.dir.path().join("server.log");
        let file = fs::File::create(&log).and_then(|file| Ok((file.try_clone()?, file)));
        let (out, err) =
            file.map_err(|e| Error::source("cannot make a log for the scratch server").caused_by(e))?;
        let child = command.stdout(out).stderr(err).spawn();
        let mut child = child.map_err(|e| Error::source("cannot start the scratch server").caused_by(e))?;
        let begun = Instant::now();
        loop {
            let said =
                || says.is_none_or(|words| fs::read_to_string(&log).is_ok_and(|log| log.contains(words)));
            if tokio::net::UnixStream::connect(socket).await.is_ok() && said() {
                return Ok(Scratch { url, _child: child, _dir: self.dir });
            }
            let ended =
                child.try_wait().map_err(|e| Error::bug("cannot look at the scratch server").caused_by(e))?;
            if ended.is_some() || begun.elapsed() > patience {
                let said = fs::read_to_string(&log).unwrap_or_default();
                let last = said.lines().last().unwrap_or_default().to_owned();
                return Err(Error::source("the scratch server did not come up").with("last line", last));
            }
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(100)) => {}
                () = cancel.cancelled() => return Err(Error::cancelled()),
            }
        }
    }
}

fn encoded(path: &Path) -> String {
    percent_encoding::utf8_percent_encode(&path.to_string_lossy(), percent_encoding::NON_ALPHANUMERIC)
        .to_string()
}

/// Starts a server that can take this format. A snapshot is what a Redis server starts with.
pub(super) async fn start(
    format: Format,
    snapshot: Option<&Path>,
    cancel: &CancellationToken,
) -> Result<Scratch> {
    match format {
        Format::Mysql => mysql(cancel).await,
        Format::Postgres | Format::PostgresCustom => postgres(cancel).await,
        _ => redis(snapshot, cancel).await,
    }
}

async fn mysql(cancel: &CancellationToken) -> Result<Scratch> {
    let server = program(&["mariadbd", "mysqld"], "MySQL or MariaDB")?;
    let maker = Maker::new(&["mysql"])?;
    let (data, socket) = (maker.dir.path().join("data"), maker.dir.path().join("s"));
    let flag = |name: &str, path: &Path| format!("--{name}={}", path.display());
    let common = ["--no-defaults".to_owned(), flag("datadir", &data)];
    match program(&["mariadb-install-db"], "MariaDB") {
        Ok(install) if server.ends_with("mariadbd") => {
            let args = common
                .iter()
                .cloned()
                .chain(["--auth-root-authentication-method=normal".to_owned(), "--skip-test-db".to_owned()]);
            maker.prepare(maker.command(&install, args), "mariadb-install-db").await?;
        }
        _ => {
            let args = common.iter().cloned().chain(["--initialize-insecure".to_owned()]);
            maker.prepare(maker.command(&server, args), "mysqld --initialize-insecure").await?;
        }
    }
    let begin = maker.dir.path().join("begin.sql");
    fs::write(&begin, "CREATE DATABASE drill CHARACTER SET utf8mb4;\n")
        .map_err(|e| Error::source("cannot prepare the scratch server").caused_by(e))?;
    let args = common.into_iter().chain([
        flag("socket", &socket),
        flag("init-file", &begin),
        flag("pid-file", &maker.dir.path().join("pid")),
        "--skip-networking".to_owned(),
        "--skip-log-bin".to_owned(),
        "--innodb-flush-log-at-trx-commit=0".to_owned(),
        "--event-scheduler=OFF".to_owned(),
    ]);
    let command = maker.command(&server, args);
    let url = format!("mysql://root@localhost/drill?socket={}", encoded(&socket));
    maker.serve(command, &socket, url, None, cancel).await
}

async fn postgres(cancel: &CancellationToken) -> Result<Scratch> {
    let (initdb, server) = (program(&["initdb"], "PostgreSQL")?, program(&["postgres"], "PostgreSQL")?);
    let maker = Maker::new(&["postgres"])?;
    let data = maker.dir.path().join("data");
    let args = ["-A", "trust", "-U", "postgres", "-E", "UTF8", "--no-sync", "-D"].map(OsString::from);
    maker.prepare(maker.command(&initdb, args.into_iter().chain([data.clone().into()])), "initdb").await?;
    let mut command =
        maker.command(&server, [OsString::from("-D"), data.into(), "-k".into(), maker.dir.path().into()]);
    command.args([
        "-c",
        "listen_addresses=",
        "-c",
        "fsync=off",
        "-c",
        "full_page_writes=off",
        "-c",
        "lc_messages=C",
    ]);
    let socket = maker.dir.path().join(".s.PGSQL.5432");
    let url = format!("postgres:///postgres?user=postgres&host={}", encoded(maker.dir.path()));
    maker.serve(command, &socket, url, Some(READY), cancel).await
}

async fn redis(snapshot: Option<&Path>, cancel: &CancellationToken) -> Result<Scratch> {
    let server = program(&["redis-server", "valkey-server"], "Redis or Valkey")?;
    let maker = Maker::new(&["redis", "valkey"])?;
    let (dump, socket) = (maker.dir.path().join("dump.rdb"), maker.dir.path().join("s"));
    if let Some(snapshot) = snapshot {
        // Another account reads it.
        let moved = fs::copy(snapshot, &dump).and_then(|_| match maker.account {
            Some((uid, gid)) => chown(&dump, Some(uid), Some(gid)),
            None => Ok(()),
        });
        moved.map_err(|e| Error::source("cannot hand the snapshot to the scratch server").caused_by(e))?;
    }
    let path = |path: &Path| path.as_os_str().to_owned();
    let mut command = maker.command(
        &server,
        [OsString::from("--unixsocket"), path(&socket), "--dir".into(), path(maker.dir.path())],
    );
    // Databases as many as any archive has numbers for.
    command.args(["--port", "0", "--save", "", "--appendonly", "no", "--databases", "1024"]);
    let url = format!("redis://localhost/?socket={}", encoded(&socket));
    maker.serve(command, &socket, url, Some(READY), cancel).await
}
