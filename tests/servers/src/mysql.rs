//! Throw-away MariaDB and MySQL servers.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io::{Cursor, Read};
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::Mutex;
use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use rustix::process::Signal;

use crate::daemon::{self, Account, Daemon, Scratch, flag, free_port, random_password};
use crate::error::{Context, Error, Result};
use crate::{client, place};

/// Which of the two relatives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavour {
    /// The distribution's MariaDB.
    MariaDb,
    /// MySQL 9 from Debian unstable.
    MySql,
}

/// How a server is to be started.
#[derive(Clone, Debug)]
pub struct MySqlOptions {
    /// MariaDB or MySQL.
    pub flavour: Flavour,
    /// Binary logging, and GTIDs where the flavour has a switch for them.
    pub binlog: bool,
    /// Refuse TCP connections without TLS.
    pub require_tls: bool,
    /// `log_bin_trust_function_creators`. Without it, and with binary logging, an account that lacks SUPER creates no
    /// function and no trigger at all (1419), and one that has it no function that declares nothing about
    /// determinism (1418). RDS has it off.
    pub trust_function_creators: bool,
    /// Further options of the server, `--name=value`. The last one of a name counts.
    pub extra: Vec<String>,
}

/// The distribution's MariaDB, as its package configures it, except for size and speed.
pub fn mariadb() -> Result<MySqlServer> {
    MySqlServer::start(&MySqlOptions::new(Flavour::MariaDb))
}

/// MySQL 9 with binary log and GTIDs, which are its defaults or RDS's.
pub fn mysql() -> Result<MySqlServer> {
    MySqlServer::start(&MySqlOptions::new(Flavour::MySql))
}

/// MySQL 9 in the shape of RDS: TLS required, binary log and GTIDs, and an account `admin` with the privileges of
/// RDS's master user, which lacks SUPER, SYSTEM_VARIABLES_ADMIN, BACKUP_ADMIN and SET_ANY_DEFINER and cannot
/// write the `mysql` schema. [`MySqlServer::admin`] names that account; `sql` and `query` still work as root.
pub fn mysql_like_rds(trust_function_creators: bool) -> Result<MySqlServer> {
    let mut options = MySqlOptions::new(Flavour::MySql);
    options.require_tls = true;
    options.trust_function_creators = trust_function_creators;
    options.extra.push("--partial-revokes=ON".to_owned());
    let mut server = MySqlServer::start(&options)?;
    server.create_user("admin", &random_password()?)?;
    server.sql(RDS_GRANTS)?;
    "admin".clone_into(&mut server.admin);
    Ok(server)
}

const RDS_GRANTS: &str = "
    GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, RELOAD, PROCESS, REFERENCES, INDEX, ALTER, SHOW DATABASES,
        CREATE TEMPORARY TABLES, LOCK TABLES, EXECUTE, REPLICATION SLAVE, REPLICATION CLIENT, CREATE VIEW, SHOW VIEW,
        CREATE ROUTINE, ALTER ROUTINE, CREATE USER, EVENT, TRIGGER, CREATE ROLE, DROP ROLE
        ON *.* TO admin@'%' WITH GRANT OPTION;
    GRANT FLUSH_TABLES, ROLE_ADMIN, SESSION_VARIABLES_ADMIN, CONNECTION_ADMIN, APPLICATION_PASSWORD_ADMIN
        ON *.* TO admin@'%' WITH GRANT OPTION;
    REVOKE INSERT, UPDATE, DELETE, CREATE, DROP, ALTER, INDEX, TRIGGER, CREATE VIEW, CREATE ROUTINE, REFERENCES
        ON mysql.* FROM admin@'%';
    REVOKE CREATE, DROP, ALTER, INDEX, TRIGGER, CREATE VIEW, CREATE ROUTINE, INSERT, UPDATE, DELETE
        ON sys.* FROM admin@'%';";

impl MySqlOptions {
    /// The flavour's own defaults.
    pub fn new(flavour: Flavour) -> Self {
        let mysql = flavour == Flavour::MySql;
        Self { flavour, binlog: mysql, require_tls: false, trust_function_creators: true, extra: Vec::new() }
    }
}

/// A running server. Dropping it kills it and removes its data.
#[derive(Debug)]
pub struct MySqlServer {
    // Before the directory: fields are dropped in order, and the server must end before its data goes.
    daemon: Daemon,
    scratch: Scratch,
    flavour: Flavour,
    port: u16,
    root_options: PathBuf,
    client_dir: PathBuf,
    admin: String,
    passwords: Mutex<BTreeMap<String, String>>,
}

impl MySqlServer {
    /// Starts a server and waits until it takes connections.
    pub fn start(options: &MySqlOptions) -> Result<Self> {
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

    fn try_start(options: &MySqlOptions) -> Result<Self> {
        let account = Account::find("mysql")?;
        let (program, template, client_source) = match options.flavour {
            Flavour::MariaDb => {
                let program =
                    place::mariadb_server().ok_or_else(|| Error::new("MariaDB is not installed"))?;
                let template = mariadb_template(account.as_ref(), &program)?;
                (program, template, PathBuf::from("/usr/bin"))
            }
            Flavour::MySql => {
                let program = place::unstable("usr/sbin/mysqld");
                let template = mysql_template(account.as_ref(), &program)?;
                (program, template, place::unstable("usr/bin"))
            }
        };
        let scratch = Scratch::new()?;
        let dir = scratch.path().to_owned();
        let data = scratch.copy(&template, "data")?;
        let run = scratch.subdir("run", account.as_ref())?;
        let port = free_port()?;
        let password = random_password()?;
        let accounts = format!(
            "ALTER USER root@localhost IDENTIFIED BY '{password}';\n\
             DROP USER IF EXISTS root@'127.0.0.1', root@'::1';\n\
             CREATE USER root@'%' IDENTIFIED BY '{password}';\n\
             GRANT ALL PRIVILEGES ON *.* TO root@'%' WITH GRANT OPTION;\n"
        );
        let init = scratch.secret("init.sql", &accounts, account.as_ref())?;
        let socket = run.join("sock");
        let text = format!("[client]\nuser=root\npassword={password}\nsocket={}\n", socket.display());
        let root_options = scratch.secret("root.cnf", &text, None)?;

        let mut args = common_args(options.flavour, &data, &run);
        args.push(flag("--init-file", &init));
        args.push(flag("--port", port.to_string()));
        args.extend(switches(options).into_iter().map(OsString::from));
        args.extend(options.extra.iter().map(OsString::from));
        let client_dir = link_clients(&client_source, &dir)?;
        let daemon = Daemon::spawn(account, program, args, dir.join("log"))?;
        let passwords = Mutex::new(BTreeMap::from([("root".to_owned(), password)]));
        let admin = "root".to_owned();
        let flavour = options.flavour;
        let mut server = Self { daemon, scratch, flavour, port, root_options, client_dir, admin, passwords };
        server.wait_ready()?;
        Ok(server)
    }

    fn wait_ready(&mut self) -> Result<()> {
        let socket = self.socket();
        // The server greets first, and only when it accepts connections for good.
        let greets = || {
            let Ok(mut stream) = UnixStream::connect(&socket) else { return false };
            stream.set_read_timeout(Some(Duration::from_secs(5))).is_ok()
                && stream.read_exact(&mut [0]).is_ok()
        };
        self.daemon.wait_ready(Duration::from_secs(60), greets)
    }

    /// MariaDB or MySQL.
    pub fn flavour(&self) -> Flavour {
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

    /// The server's process id.
    pub fn pid(&self) -> u32 {
        self.daemon.pid()
    }

    /// The certificate that signed the server's own.
    pub fn ca_file(&self) -> PathBuf {
        self.scratch.path().join("data/ca.pem")
    }

    /// A throw-away directory beside the server, for a test's own files.
    pub fn dir(&self) -> &Path {
        self.scratch.path()
    }

    /// A directory with the server's own stock clients, to be put first in `PATH`.
    pub fn client_dir(&self) -> &Path {
        &self.client_dir
    }

    /// The account that a user of this server would have: `root`, or `admin` on one that is like RDS.
    pub fn admin(&self) -> &str {
        &self.admin
    }

    /// The password of an account of this crate's making.
    pub fn password(&self, user: &str) -> Result<String> {
        let passwords = self.passwords.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        passwords.get(user).cloned().ok_or_else(|| Error::new(format!("no account {user} was created")))
    }

    /// `mysql://user:password@127.0.0.1:port/db`, with the flavour's scheme.
    pub fn url(&self, user: &str, db: &str) -> Result<String> {
        let scheme = if self.flavour == Flavour::MariaDb { "mariadb" } else { "mysql" };
        let encode = |part: &str| utf8_percent_encode(part, NON_ALPHANUMERIC).to_string();
        let password = encode(&self.password(user)?);
        Ok(format!("{scheme}://{}:{password}@127.0.0.1:{}/{}", encode(user), self.port, encode(db)))
    }

    /// A stock client (`mysql`, `mysqldump`, …) that connects as root through the socket, with no other
    /// configuration read.
    pub fn client(&self, program: &str) -> Command {
        let mut command = Command::new(self.client_dir.join(program));
        command
            .arg(flag("--defaults-file", &self.root_options))
            .env_remove("MYSQL_PWD")
            .env_remove("MYSQL_HOST");
        command
    }

    /// The same as another account, over TCP (and TLS where the flavour's client prefers it, as MySQL's does).
    pub fn client_as(&self, user: &str, program: &str) -> Result<Command> {
        let quoted = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
        let text = format!(
            "[client]\nuser=\"{}\"\npassword=\"{}\"\nhost=127.0.0.1\nport={}\n",
            quoted(user),
            quoted(&self.password(user)?),
            self.port
        );
        let options = tempfile::Builder::new().prefix("client-").suffix(".cnf").tempfile_in(self.dir())?;
        fs::write(options.path(), text)?;
        let (_, path) = options.keep().context("keeping an option file")?;
        let mut command = Command::new(self.client_dir.join(program));
        command.arg(flag("--defaults-file", path)).env_remove("MYSQL_PWD").env_remove("MYSQL_HOST");
        Ok(command)
    }

    fn shell(&self, mut client: Command, db: &str) -> Command {
        client.args(["--batch", "--skip-column-names", "--binary-mode", "--default-character-set=utf8mb4"]);
        client.args(["--max-allowed-packet=1G", "--quick"]);
        if self.flavour == Flavour::MySql {
            // 9.x asks for the query's timing otherwise, and refuses the client commands of a script.
            client.arg("--commands=ON");
        }
        if !db.is_empty() {
            client.arg(flag("--database", db));
        }
        client
    }

    /// Runs a script as root, without a default database. The first error ends it.
    pub fn sql(&self, script: impl AsRef<[u8]>) -> Result<()> {
        self.sql_in("", script)
    }

    /// Runs a script as root in `db`.
    pub fn sql_in(&self, db: &str, script: impl AsRef<[u8]>) -> Result<()> {
        self.load(db, Cursor::new(script.as_ref()))
    }

    /// Feeds a script of any size to the stock client as root; an empty `db` is none.
    pub fn load(&self, db: &str, script: impl Read + Send) -> Result<()> {
        client::run(self.shell(self.client("mysql"), db), script, |_| {})
    }

    /// Feeds a script as `user`, over TCP: what a restore with the stock client does.
    pub fn load_as(&self, user: &str, db: &str, script: impl Read + Send) -> Result<()> {
        client::run(self.shell(self.client_as(user, "mysql")?, db), script, |_| {})
    }

    /// The rows of a query, as text; a NULL reads `NULL`.
    pub fn query(&self, db: &str, sql: &str) -> Result<Vec<Vec<String>>> {
        let mut rows = Vec::new();
        self.rows(db, sql, |line| {
            let cells = line
                .split(|&byte| byte == b'\t')
                .map(|cell| String::from_utf8_lossy(&unescape(cell)).into_owned());
            rows.push(cells.collect());
        })?;
        Ok(rows)
    }

    /// The rows of a query as the client prints them: tabs between cells, `\n \t \0 \\` escaped.
    pub(crate) fn rows(&self, db: &str, sql: &str, row: impl FnMut(&[u8])) -> Result<()> {
        client::run(self.shell(self.client("mysql"), db), Cursor::new(sql.as_bytes()), row)
    }

    /// Creates `user`@`%` with a password and no privileges.
    pub fn create_user(&self, user: &str, password: &str) -> Result<()> {
        self.sql(format!("CREATE USER {}@'%' IDENTIFIED BY {};", quote(user), quote(password)))?;
        let mut passwords = self.passwords.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        passwords.insert(user.to_owned(), password.to_owned());
        Ok(())
    }

    /// `kill -9`: what a lost pod looks like.
    pub fn kill9(&mut self) {
        self.daemon.kill();
    }

    /// Asks the server to shut down and waits for it.
    pub fn stop(&mut self) -> Result<ExitStatus> {
        self.daemon.signal(Signal::TERM)?;
        self.daemon.wait_end(Duration::from_secs(60))
    }

    /// Starts the server again on the same data, port and socket.
    pub fn restart(&mut self) -> Result<()> {
        // It has done its work, and CREATE USER would fail the second time.
        fs::write(self.scratch.path().join("init.sql"), "")?;
        self.daemon.respawn()?;
        self.wait_ready()
    }
}

/// A string literal under the default SQL mode.
fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

/// Undoes the escapes of `mysql --batch`.
pub(crate) fn unescape(cell: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(cell.len());
    let mut bytes = cell.iter();
    while let Some(&byte) = bytes.next() {
        out.push(match (byte, byte == b'\\') {
            (_, true) => match bytes.next() {
                Some(b'n') => b'\n',
                Some(b't') => b'\t',
                Some(b'0') => 0,
                Some(&other) => other,
                None => b'\\',
            },
            (plain, false) => plain,
        });
    }
    out
}

/// What both flavours and both phases, preparing and serving, get.
fn common_args(flavour: Flavour, data: &Path, run: &Path) -> Vec<OsString> {
    let mut args: Vec<OsString> = vec!["--no-defaults".into(), flag("--datadir", data)];
    args.push(flag("--tmpdir", run));
    args.push(flag("--socket", run.join("sock")));
    args.push(flag("--pid-file", run.join("pid")));
    let small = [
        "--innodb-buffer-pool-size=64M",
        // Handed to the kernel at commit and never synced: survives a killed server, not a crashed machine.
        "--innodb-flush-log-at-trx-commit=2",
        "--innodb-doublewrite=0",
        "--character-set-server=utf8mb4",
    ];
    args.extend(small.map(OsString::from));
    match flavour {
        Flavour::MariaDb => {
            args.extend(["--innodb-log-file-size=32M", "--performance-schema=OFF"].map(OsString::from));
        }
        Flavour::MySql => {
            let root = place::unstable_root();
            args.push(flag("--basedir", root.join("usr")));
            args.push(flag("--lc-messages-dir", root.join("usr/share/mysql")));
            args.push(flag("--character-sets-dir", root.join("usr/share/mysql/charsets")));
            args.push(flag("--plugin-dir", root.join("usr/lib/mysql/plugin")));
            // The package points secure-file-priv at a directory that does not exist outside its root.
            args.extend(["--secure-file-priv=", "--innodb-redo-log-capacity=32M"].map(OsString::from));
        }
    }
    args
}

fn switches(options: &MySqlOptions) -> Vec<String> {
    let on = |value: bool| if value { "ON" } else { "OFF" };
    let mut args: Vec<String> = [
        "--bind-address=127.0.0.1",
        "--skip-name-resolve",
        "--event-scheduler=OFF",
        "--local-infile=1",
        "--max-allowed-packet=1G",
        "--max-connections=60",
    ]
    .map(str::to_owned)
    .into();
    if options.binlog {
        args.extend(
            ["--server-id=1", "--log-bin=binlog", "--binlog-format=ROW", "--sync-binlog=0"]
                .map(str::to_owned),
        );
        args.push(format!("--log-bin-trust-function-creators={}", on(options.trust_function_creators)));
    } else {
        args.push("--skip-log-bin".to_owned());
    }
    // MariaDB before 11.4 makes no certificate by itself, so it has nothing to require.
    if options.require_tls {
        args.push("--require-secure-transport=ON".to_owned());
    }
    if options.flavour == Flavour::MySql {
        args.push("--mysqlx=OFF".to_owned());
        args.push("--performance-schema=OFF".to_owned());
        if options.binlog {
            args.extend(["--gtid-mode=ON", "--enforce-gtid-consistency=ON"].map(str::to_owned));
        }
    }
    args
}

/// A directory that holds only this flavour's clients: `/usr/bin` would bring everything else along.
fn link_clients(from: &Path, scratch: &Path) -> Result<PathBuf> {
    let into = scratch.join("bin");
    fs::create_dir(&into)?;
    for name in
        ["mysql", "mysqldump", "mysqladmin", "mysqlbinlog", "mariadb", "mariadb-dump", "mariadb-admin"]
    {
        let program = from.join(name);
        if program.is_file() {
            symlink(&program, into.join(name)).context(format!("linking {name}"))?;
        }
    }
    // Newer MariaDB packages drop the old names.
    if !into.join("mysql").exists() {
        symlink(from.join("mariadb"), into.join("mysql")).context("linking mysql")?;
    }
    Ok(into)
}

fn version(program: &Path) -> Result<String> {
    let output =
        Command::new(program).args(["--no-defaults", "--version"]).output().context(program.display())?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let version = text.split_once("Ver ").and_then(|(_, rest)| rest.split_whitespace().next());
    version
        .map(|version| version.replace(|c: char| !c.is_ascii_alphanumeric() && c != '.', "-"))
        .ok_or_else(|| Error::new(format!("{} --version says {text:?}", program.display())))
}

fn mariadb_template(account: Option<&Account>, server: &Path) -> Result<PathBuf> {
    place::template(&format!("mariadb-{}", version(server)?), |data| {
        let install =
            place::program(&["mariadb-install-db"]).ok_or_else(|| Error::new("no mariadb-install-db"))?;
        fs::create_dir(data)?;
        daemon::own(data, account)?;
        let run = Scratch::new()?;
        let run = run.subdir("run", account)?;
        let mut args = common_args(Flavour::MariaDb, data, &run);
        let more =
            ["--skip-test-db", "--auth-root-authentication-method=normal", "--innodb-undo-tablespaces=0"];
        args.extend(more.map(OsString::from));
        daemon::run(account, &install, &args)
    })
}

fn mysql_template(account: Option<&Account>, server: &Path) -> Result<PathBuf> {
    place::template(&format!("mysql-{}", version(server)?), |data| {
        fs::create_dir(data)?;
        daemon::own(data, account)?;
        let scratch = Scratch::new()?;
        let run = scratch.subdir("run", account)?;
        let mut args = common_args(Flavour::MySql, data, &run);
        args.push("--initialize-insecure".into());
        daemon::run(account, server, &args)?;
        // Every server made from the template draws a UUID of its own: GTIDs begin with it.
        fs::remove_file(data.join("auto.cnf")).context("removing auto.cnf")
    })
}
