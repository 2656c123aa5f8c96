//! Throw-away PostgreSQL servers.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::Mutex;
use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use rustix::process::Signal;

use crate::daemon::{self, Account, Daemon, Scratch, flag, free_port, random_password};
use crate::error::{Context, Error, Result};
use crate::mysql::unescape;
use crate::{client, place};

/// How a server is to be started.
#[derive(Clone, Debug, Default)]
pub struct PostgresOptions {
    /// PostgreSQL 18 from Debian unstable instead of the distribution's.
    pub unstable: bool,
    /// Refuse TCP connections without TLS.
    pub require_tls: bool,
    /// Further settings, `name=value`.
    pub extra: Vec<String>,
}

/// The distribution's PostgreSQL (15 in Debian 12).
pub fn postgres() -> Result<PostgresServer> {
    PostgresServer::start(&PostgresOptions::default())
}

/// PostgreSQL 18 from Debian unstable.
pub fn postgres_unstable() -> Result<PostgresServer> {
    PostgresServer::start(&PostgresOptions { unstable: true, ..PostgresOptions::default() })
}

/// A server in the shape of RDS: TLS required, a login role `master` that is NOSUPERUSER CREATEDB CREATEROLE
/// and a member of `rds_superuser`, and a database `app` that it owns. [`PostgresServer::admin`] names the
/// role; `sql` and `query` still work as the real superuser.
pub fn postgres_like_rds(unstable: bool) -> Result<PostgresServer> {
    let mut server =
        PostgresServer::start(&PostgresOptions { unstable, require_tls: true, extra: Vec::new() })?;
    server.create_role(
        "master",
        &random_password()?,
        "NOSUPERUSER NOREPLICATION NOBYPASSRLS CREATEDB CREATEROLE",
    )?;
    server.sql(
        "postgres",
        "CREATE ROLE rds_superuser NOLOGIN;
         GRANT pg_monitor, pg_signal_backend, pg_checkpoint TO rds_superuser WITH ADMIN OPTION;
         GRANT rds_superuser TO master;
         CREATE DATABASE app OWNER master TEMPLATE template0;",
    )?;
    "master".clone_into(&mut server.admin);
    Ok(server)
}

/// A running server. Dropping it kills it and removes its data.
#[derive(Debug)]
pub struct PostgresServer {
    // Before the directory: fields are dropped in order, and the server must end before its data goes.
    daemon: Daemon,
    scratch: Scratch,
    bin: PathBuf,
    port: u16,
    admin: String,
    passwords: Mutex<BTreeMap<String, String>>,
}

impl PostgresServer {
    /// Starts a server and waits until it takes connections.
    pub fn start(options: &PostgresOptions) -> Result<Self> {
        // Another process may take the port between our look and the server's bind.
        let mut last = None;
        for _ in 0..3 {
            match Self::try_start(options) {
                Err(error) if error.to_string().contains("Address already in use") => last = Some(error),
                other => return other,
            }
        }
        Err(last.unwrap_or_else(|| Error::new("not started")))
    }

    fn try_start(options: &PostgresOptions) -> Result<Self> {
        let bin = if options.unstable { place::postgres_unstable_bin() } else { place::postgres_bin() };
        let bin = bin.ok_or_else(|| Error::new("PostgreSQL is not installed"))?;
        let account = Account::find("postgres")?;
        let template = template(account.as_ref(), &bin)?;
        let scratch = Scratch::new()?;
        let data = scratch.copy(&template, "data")?;
        let run = scratch.subdir("run", account.as_ref())?;
        let port = free_port()?;
        let password =
            fs::read_to_string(data.join("password")).context("reading the template's password")?;
        let tcp = if options.require_tls { "hostssl" } else { "host" };
        let access = format!("local all all scram-sha-256\n{tcp} all all 127.0.0.1/32 scram-sha-256\n");
        fs::write(data.join("pg_hba.conf"), access).context("writing pg_hba.conf")?;
        scratch.secret("pgpass", &format!("*:*:*:postgres:{password}\n"), None)?;

        let mut args: Vec<OsString> =
            vec!["-D".into(), data.clone().into(), "-p".into(), port.to_string().into()];
        args.extend(["-k".into(), run.into()]);
        let settings = [
            "listen_addresses=127.0.0.1",
            "fsync=off",
            "synchronous_commit=off",
            "full_page_writes=off",
            "shared_buffers=64MB",
            "max_wal_size=1GB",
            "max_connections=60",
            // Publications are part of the samples; below this level creating one only warns.
            "wal_level=logical",
            "ssl=on",
            "logging_collector=off",
        ];
        for setting in settings.into_iter().chain(options.extra.iter().map(String::as_str)) {
            args.extend(["-c".into(), setting.into()]);
        }
        let log = scratch.path().join("log");
        let daemon = Daemon::spawn(account, bin.join("postgres"), args, log)?;
        let passwords = Mutex::new(BTreeMap::from([("postgres".to_owned(), password)]));
        let mut server = Self { daemon, scratch, bin, port, admin: "postgres".to_owned(), passwords };
        server.wait_ready()?;
        Ok(server)
    }

    fn wait_ready(&mut self) -> Result<()> {
        // The postmaster writes its state into the eighth line.
        let pid_file = self.scratch.path().join("data/postmaster.pid");
        let ready = || {
            let text = fs::read_to_string(&pid_file).unwrap_or_default();
            text.lines().nth(7).is_some_and(|state| state.trim_end() == "ready")
        };
        self.daemon.wait_ready(Duration::from_secs(60), ready)
    }

    /// The TCP port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The directory of the Unix socket, as libpq's `host` takes it.
    pub fn socket_dir(&self) -> PathBuf {
        self.scratch.path().join("run")
    }

    /// The postmaster's process id.
    pub fn pid(&self) -> u32 {
        self.daemon.pid()
    }

    /// The server's own, self-signed certificate, for `localhost` and 127.0.0.1.
    pub fn ca_file(&self) -> PathBuf {
        self.scratch.path().join("data/server.crt")
    }

    /// A throw-away directory beside the server, for a test's own files.
    pub fn dir(&self) -> &Path {
        self.scratch.path()
    }

    /// The directory of the server's own stock clients, to be put first in `PATH`.
    pub fn client_dir(&self) -> &Path {
        &self.bin
    }

    /// The account that a user of this server would have: `postgres`, or `master` on one that is like RDS.
    pub fn admin(&self) -> &str {
        &self.admin
    }

    /// The password of a role of this crate's making.
    pub fn password(&self, role: &str) -> Result<String> {
        let passwords = self.passwords.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        passwords.get(role).cloned().ok_or_else(|| Error::new(format!("no role {role} was created")))
    }

    /// `postgres://role:password@127.0.0.1:port/db`.
    pub fn url(&self, role: &str, db: &str) -> Result<String> {
        let encode = |part: &str| utf8_percent_encode(part, NON_ALPHANUMERIC).to_string();
        let password = encode(&self.password(role)?);
        Ok(format!("postgres://{}:{password}@127.0.0.1:{}/{}", encode(role), self.port, encode(db)))
    }

    /// A stock client (`psql`, `pg_dump`, …) that connects as the superuser through the socket. The database is
    /// the caller's to name, in `PGDATABASE` or as the program wants it.
    pub fn client(&self, program: &str) -> Command {
        let mut command = Command::new(self.bin.join(program));
        clean(&mut command);
        command
            .env("PGHOST", self.socket_dir())
            .env("PGPORT", self.port.to_string())
            .env("PGUSER", "postgres");
        command.env("PGPASSFILE", self.scratch.path().join("pgpass"));
        command
    }

    /// The same as another role, over TCP.
    pub fn client_as(&self, role: &str, program: &str) -> Result<Command> {
        let mut command = Command::new(self.bin.join(program));
        clean(&mut command);
        command.env("PGHOST", "127.0.0.1").env("PGPORT", self.port.to_string()).env("PGUSER", role);
        command.env("PGPASSWORD", self.password(role)?);
        Ok(command)
    }

    /// Runs a script as the superuser. The first error ends it.
    pub fn sql(&self, db: &str, script: impl AsRef<[u8]>) -> Result<()> {
        self.load(db, Cursor::new(script.as_ref()))
    }

    /// Feeds a script of any size to psql as the superuser.
    pub fn load(&self, db: &str, script: impl Read + Send) -> Result<()> {
        client::run(shell(self.client("psql"), db), script, |_| {})
    }

    /// Feeds a script as `role`, over TCP: what a restore with the stock client does.
    pub fn load_as(&self, role: &str, db: &str, script: impl Read + Send) -> Result<()> {
        client::run(shell(self.client_as(role, "psql")?, db), script, |_| {})
    }

    /// The rows of a query without a trailing semicolon, as text; a NULL reads `\N`.
    pub fn query(&self, db: &str, sql: &str) -> Result<Vec<Vec<String>>> {
        let mut rows = Vec::new();
        self.rows(db, &[sql.to_owned()], |_, line| {
            let cell = |cell: &[u8]| match cell {
                b"\\N" => "\\N".to_owned(),
                text => String::from_utf8_lossy(&unescape(text)).into_owned(),
            };
            rows.push(line.split(|&byte| byte == b'\t').map(cell).collect());
        })?;
        Ok(rows)
    }

    /// The rows of several queries in COPY's text format, whose lines cannot contain a line feed, with the number of
    /// the query. One session for all: a process per query costs more than most queries.
    pub(crate) fn rows(&self, db: &str, queries: &[String], mut row: impl FnMut(usize, &[u8])) -> Result<()> {
        let mark = random_password()?;
        let mut script = String::new();
        for sql in queries {
            script.extend(["\\echo ", &mark, "\nCOPY (", sql, ") TO STDOUT;\n"]);
        }
        let mut next = 0;
        client::run(shell(self.client("psql"), db), Cursor::new(script.into_bytes()), |line| {
            if line == mark.as_bytes() {
                next += 1;
            } else {
                row(next - 1, line);
            }
        })
    }

    /// Creates a login role with a password and the given attributes (`CREATEDB …`, may be empty).
    pub fn create_role(&self, role: &str, password: &str, attributes: &str) -> Result<()> {
        let name = role.replace('"', "\"\"");
        let literal = password.replace('\'', "''");
        self.sql("postgres", format!("CREATE ROLE \"{name}\" LOGIN {attributes} PASSWORD '{literal}';"))?;
        let mut passwords = self.passwords.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        passwords.insert(role.to_owned(), password.to_owned());
        Ok(())
    }

    /// `kill -9` of the postmaster: what a lost pod looks like.
    pub fn kill9(&mut self) {
        self.daemon.kill();
    }

    /// Asks for a fast shutdown and waits for it.
    pub fn stop(&mut self) -> Result<ExitStatus> {
        self.daemon.signal(Signal::INT)?;
        self.daemon.wait_end(Duration::from_secs(60))
    }

    /// Starts the server again on the same data, port and socket.
    pub fn restart(&mut self) -> Result<()> {
        // After kill -9 it is still there and still reads "ready".
        fs::remove_file(self.scratch.path().join("data/postmaster.pid")).ok();
        self.daemon.respawn()?;
        self.wait_ready()
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        // Immediate shutdown: the postmaster takes its children and its shared memory along, in milliseconds.
        if self.daemon.signal(Signal::QUIT).is_ok() {
            self.daemon.wait_end(Duration::from_secs(5)).ok();
        }
    }
}

fn clean(command: &mut Command) {
    for name in
        ["PGHOST", "PGPORT", "PGUSER", "PGDATABASE", "PGPASSWORD", "PGPASSFILE", "PGOPTIONS", "PGSSLMODE"]
    {
        command.env_remove(name);
    }
    command.env_remove("PGSERVICE");
}

fn shell(mut client: Command, db: &str) -> Command {
    client.args(["--no-psqlrc", "--quiet", "--no-password", "--set=ON_ERROR_STOP=1", "--dbname", db]);
    client.env("PGCLIENTENCODING", "UTF8").env("PGTZ", "UTC").env("PGDATESTYLE", "ISO");
    // Notices of a script are not its errors, and the errors are what a failed test wants to show.
    client.env("PGOPTIONS", "-c client_min_messages=warning");
    client
}

fn template(account: Option<&Account>, bin: &Path) -> Result<PathBuf> {
    let output = Command::new(bin.join("postgres")).arg("--version").output().context(bin.display())?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let version =
        text.split_whitespace().nth(2).ok_or_else(|| Error::new(format!("postgres says {text:?}")))?;
    place::template(&format!("postgres-{version}"), |data| {
        let scratch = Scratch::new()?;
        let password = random_password()?;
        let file = scratch.secret("password", &password, account)?;
        fs::create_dir(data)?;
        daemon::own(data, account)?;
        let mut args = vec![flag("--pgdata", data), flag("--pwfile", &file)];
        let fixed = [
            "--username=postgres",
            "--encoding=UTF8",
            "--locale=C.UTF-8",
            "--auth=scram-sha-256",
            "--no-sync",
        ];
        args.extend(fixed.map(OsString::from));
        daemon::run(account, &bin.join("initdb"), &args)?;
        daemon::write_secret(&data.join("password"), &password, account)?;
        let openssl = place::program(&["openssl"]).ok_or_else(|| Error::new("openssl is not installed"))?;
        let mut args: Vec<OsString> =
            ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
                .map(OsString::from)
                .into();
        let rest = ["-nodes", "-days", "3650", "-subj", "/CN=localhost"];
        args.extend(rest.map(OsString::from));
        args.extend(["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"].map(OsString::from));
        // What signs itself by default is an authority, which strict clients do not take for a server.
        args.extend(["-addext", "basicConstraints=critical,CA:FALSE"].map(OsString::from));
        args.extend([
            "-keyout".into(),
            data.join("server.key").into(),
            "-out".into(),
            data.join("server.crt").into(),
        ]);
        daemon::run(account, &openssl, &args)
    })
}
