//! Redis and Valkey servers.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use rustix::process::Signal;

use crate::daemon::{self, Account, Daemon, Scratch, free_port, random_password};
use crate::error::{Context, Error, Result};
use crate::place;

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RedisFlavour {
    /// Redis 6.2 from PyPI: the last before snapshots went to replicas without a file.
    Redis6,
    /// Redis from the distribution's packages (7.0 in Debian 12).
    Redis7,
    /// Redis 8 from Debian unstable.
    Redis8,
    /// Valkey 9 from Debian unstable.
    Valkey9,
}

impl RedisFlavour {
    pub(crate) fn server(self) -> PathBuf {
        match self {
            Self::Redis6 => place::redis6("redis-server"),
            Self::Redis7 => {
                place::program(&["redis-server"]).unwrap_or_else(|| "/usr/bin/redis-server".into())
            }
            Self::Redis8 => place::unstable("usr/bin/redis-server"),
            Self::Valkey9 => place::unstable("usr/bin/valkey-server"),
        }
    }

    /// Its own command line client.
    pub fn client(self) -> PathBuf {
        let server = self.server();
        server.with_file_name(match self {
            Self::Valkey9 => "valkey-cli",
            _ => "redis-cli",
        })
    }
}

/// What a server is started with.
#[derive(Clone, Debug)]
pub struct RedisOptions {
    /// Which server.
    pub flavour: RedisFlavour,
    /// TLS on the TCP port, and nothing else.
    pub tls: bool,
    /// More lines of its configuration.
    pub extra: Vec<String>,
    /// The password of the default account, as a replica must have its primary's; none makes one up.
    pub password: Option<String>,
    /// A snapshot to start on.
    pub load: Option<PathBuf>,
}

impl RedisOptions {
    /// A server without persistence that sends snapshots without delay.
    pub fn new(flavour: RedisFlavour) -> Self {
        Self { flavour, tls: false, extra: Vec::new(), password: None, load: None }
    }
}

/// A running server. Dropping it kills it and removes its data.
#[derive(Debug)]
pub struct RedisServer {
    // Before the directory: fields are dropped in order, and the server must end before its data goes.
    daemon: Daemon,
    scratch: Scratch,
    flavour: RedisFlavour,
    port: u16,
    password: String,
    tls: bool,
}

/// Starts a server with nothing in it.
pub fn redis(flavour: RedisFlavour) -> Result<RedisServer> {
    RedisServer::start(&RedisOptions::new(flavour))
}

impl RedisServer {
    /// Starts a server and waits until it answers, its snapshot loaded.
    pub fn start(options: &RedisOptions) -> Result<Self> {
        let mut last = None;
        for _ in 0..3 {
            match Self::try_start(options) {
                // Another process may take the port between our look and the server's bind.
                Err(error) if error.to_string().contains("in use") => last = Some(error),
                other => return other,
            }
        }
        Err(last.unwrap_or_else(|| Error::new("not started")))
    }

    fn try_start(options: &RedisOptions) -> Result<Self> {
        let account = Account::find("redis")?;
        let scratch = Scratch::new()?;
        let data = scratch.subdir("data", account.as_ref())?;
        let run = scratch.subdir("run", account.as_ref())?;
        let port = free_port()?;
        let password = options.password.clone().map_or_else(random_password, Ok)?;
        let mut lines = vec![
            "bind 127.0.0.1".to_owned(),
            format!("dir {}", data.display()),
            format!("unixsocket {}", run.join("sock").display()),
            "unixsocketperm 777".to_owned(),
            format!("requirepass {password}"),
            "save \"\"".to_owned(),
            // Otherwise every transfer without disk waits five seconds for other replicas.
            "repl-diskless-sync-delay 0".to_owned(),
        ];
        if options.flavour != RedisFlavour::Redis6 {
            lines.push("enable-debug-command local".to_owned());
        }
        if options.tls {
            certificate(&data, account.as_ref())?;
            lines.extend([
                "port 0".to_owned(),
                format!("tls-port {port}"),
                format!("tls-cert-file {}", data.join("server.crt").display()),
                format!("tls-key-file {}", data.join("server.key").display()),
                format!("tls-ca-cert-file {}", data.join("server.crt").display()),
                "tls-auth-clients no".to_owned(),
            ]);
        } else {
            lines.push(format!("port {port}"));
        }
        if let Some(snapshot) = &options.load {
            let to = data.join("dump.rdb");
            fs::copy(snapshot, &to).context(format!("copying {}", snapshot.display()))?;
            daemon::own(&to, account.as_ref())?;
        }
        lines.extend(options.extra.iter().cloned());
        let configuration = scratch.secret("redis.conf", &(lines.join("\n") + "\n"), account.as_ref())?;
        let args = vec![OsString::from(configuration)];
        let log = scratch.path().join("log");
        let daemon = Daemon::spawn(account, options.flavour.server(), args, log)?;
        let mut server = Self { daemon, scratch, flavour: options.flavour, port, password, tls: options.tls };
        server.wait_ready()?;
        Ok(server)
    }

    fn wait_ready(&mut self) -> Result<()> {
        let probe = self.probe();
        let answers = || probe().output().is_ok_and(|output: Output| output.stdout.starts_with(b"PONG"));
        self.daemon.wait_ready(Duration::from_secs(60), answers)
    }

    fn probe(&self) -> impl Fn() -> Command + use<> {
        let (client, socket, password) = (self.flavour.client(), self.socket(), self.password.clone());
        move || {
            let mut command = Command::new(&client);
            command.arg("-s").arg(&socket).arg("PING").env("REDISCLI_AUTH", &password).stdin(Stdio::null());
            command
        }
    }

    /// Which server it is.
    pub fn flavour(&self) -> RedisFlavour {
        self.flavour
    }

    /// The TCP port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The Unix socket.
    pub fn socket(&self) -> PathBuf {
        self.scratch.path().join("run/sock")
    }

    /// Where it writes its dump file.
    pub fn data_dir(&self) -> PathBuf {
        self.scratch.path().join("data")
    }

    /// The password of the default account.
    pub fn password(&self) -> &str {
        &self.password
    }

    /// The certificate that the server shows, which signed itself.
    pub fn ca_file(&self) -> PathBuf {
        self.scratch.path().join("data/server.crt")
    }

    /// The URL of the default account.
    pub fn url(&self) -> String {
        let (scheme, query) = if self.tls {
            ("rediss", format!("?sslrootcert={}", self.ca_file().display()))
        } else {
            ("redis", String::new())
        };
        format!("{scheme}://:{}@127.0.0.1:{}{query}", self.password, self.port)
    }

    /// The server's own client, connected through the socket.
    pub fn cli(&self, args: &[&str]) -> Command {
        let mut command = Command::new(self.flavour.client());
        command
            .arg("-s")
            .arg(self.socket())
            .args(args)
            .env("REDISCLI_AUTH", &self.password)
            .stdin(Stdio::null());
        command
    }

    /// Runs one command and returns what it answered.
    pub fn ask(&self, args: &[&str]) -> Result<String> {
        let output = self.cli(args).output().context("running the client")?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() && !said.starts_with("ERR") && !said.starts_with("NOPERM") {
            return Ok(said.trim_end().to_owned());
        }
        Err(Error::new(format!("{args:?}: {said}{}", String::from_utf8_lossy(&output.stderr))))
    }

    /// Runs many commands, a line each; returns what was answered, a line each.
    pub fn feed(&self, lines: &str) -> Result<String> {
        use std::io::Write as _;
        let mut child = self
            .cli(&[])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("running the client")?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(lines.as_bytes()).context("writing to the client")?;
        }
        let said = child.wait_with_output().context("waiting for the client")?;
        let said = String::from_utf8_lossy(&said.stdout).into_owned();
        match said.lines().find(|line| line.starts_with("ERR")) {
            Some(line) => Err(Error::new(line.to_owned())),
            None => Ok(said),
        }
    }

    /// Runs a script in the server.
    pub fn eval(&self, db: u32, script: &str, args: &[&str]) -> Result<String> {
        let db = db.to_string();
        let mut all = vec!["-n", &db, "EVAL", script, "0"];
        all.extend(args);
        self.ask(&all)
    }

    /// `kill -9`.
    pub fn kill9(&mut self) {
        self.daemon.kill();
    }

    /// Stops the server where it stands (SIGSTOP), or lets it go on.
    pub fn freeze(&mut self, frozen: bool) -> Result<()> {
        self.daemon.signal(if frozen { Signal::STOP } else { Signal::CONT })
    }

    /// Starts the server again after [`RedisServer::kill9`], with nothing in it.
    pub fn restart(&mut self) -> Result<()> {
        self.daemon.respawn()?;
        self.wait_ready()
    }
}

/// A certificate for this machine, as `server.crt` and `server.key` in `data`; it is its own authority.
pub(crate) fn certificate(data: &Path, account: Option<&Account>) -> Result<()> {
    let openssl = place::program(&["openssl"]).ok_or_else(|| Error::new("openssl is not installed"))?;
    let mut args: Vec<OsString> = [
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "3650",
        "-subj",
        "/CN=localhost",
        "-addext",
        "subjectAltName=DNS:localhost,IP:127.0.0.1",
        "-addext",
        "basicConstraints=critical,CA:FALSE",
    ]
    .map(OsString::from)
    .into();
    args.extend([
        "-keyout".into(),
        data.join("server.key").into(),
        "-out".into(),
        data.join("server.crt").into(),
    ]);
    daemon::run(account, &openssl, &args)
}
