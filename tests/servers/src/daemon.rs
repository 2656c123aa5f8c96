//! A server as a child process that cannot outlive its test.
//!
//! Three ways a test ends, three ways to clean up: dropping the value kills the child and removes its
//! directory; a killed test process takes the child with it, because `setpriv --pdeathsig` asks the kernel
//! for that; and the directory such a test leaves is removed by the next start, which sees from the lock that
//! nobody owns it.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Permissions};
use std::io;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant, SystemTime};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::error::{Context, Error, Result};

const PREFIX: &str = "dbferry-server-";

/// The unprivileged account that a server runs under. Servers refuse to run as root, which CI is.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    name: String,
    uid: u32,
    gid: u32,
}

impl Account {
    /// The package's own account (`mysql`, `postgres`), else `nobody`; `None` when we are not root and the
    /// server simply runs as ourselves.
    pub(crate) fn find(preferred: &str) -> Result<Option<Self>> {
        if fs::metadata("/proc/self").context("reading my own user id")?.uid() != 0 {
            return Ok(None);
        }
        let passwd = fs::read_to_string("/etc/passwd").context("reading /etc/passwd")?;
        let find = |wanted: &str| {
            passwd.lines().find_map(|line| {
                let fields: Vec<&str> = line.split(':').collect();
                let (name, uid, gid) =
                    (*fields.first()?, fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?);
                (name == wanted).then(|| Self { name: name.to_owned(), uid, gid })
            })
        };
        find(preferred)
            .or_else(|| find("nobody"))
            .map(Some)
            .ok_or_else(|| Error::new(format!("neither {preferred} nor nobody is in /etc/passwd")))
    }
}

/// `program` under `account`, to be killed by the kernel when its parent thread dies.
pub(crate) fn confined(account: Option<&Account>, program: &Path, args: &[OsString]) -> Command {
    let mut command = Command::new("setpriv");
    if let Some(account) = account {
        command.args([
            "--reuid",
            &account.uid.to_string(),
            "--regid",
            &account.gid.to_string(),
            "--clear-groups",
        ]);
        // initdb and the MySQL servers look at HOME and USER; root's are not readable for them.
        command.env("HOME", "/").env("USER", &account.name);
    }
    command.args(["--pdeathsig", "KILL", "--"]).arg(program).args(args);
    for name in
        ["PGDATA", "PGHOST", "PGPORT", "PGUSER", "PGDATABASE", "PGPASSWORD", "MYSQL_PWD", "MYSQL_HOST"]
    {
        command.env_remove(name);
    }
    command.stdin(Stdio::null());
    command
}

/// Runs a preparing program to its end.
pub(crate) fn run(account: Option<&Account>, program: &Path, args: &[OsString]) -> Result<()> {
    let output = confined(account, program, args)
        .current_dir("/")
        .output()
        .context(format!("running {} under setpriv", program.display()))?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    Err(Error::new(format!("{} ended with {}:\n{}", program.display(), output.status, tail(&said))))
}

/// The directory of one server: data, socket, log and secrets, removed with this value.
#[derive(Debug)]
pub(crate) struct Scratch {
    dir: TempDir,
    _owned: File,
}

impl Scratch {
    pub(crate) fn new() -> Result<Self> {
        sweep();
        let dir =
            tempfile::Builder::new().prefix(PREFIX).tempdir().context("making a temporary directory")?;
        // The socket must be reachable for the server's account and for a client under any other.
        fs::set_permissions(dir.path(), Permissions::from_mode(0o755))?;
        let owned = File::create(dir.path().join("owner.lock"))?;
        owned.lock()?;
        Ok(Self { dir, _owned: owned })
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// A directory in here that belongs to the server's account.
    pub(crate) fn subdir(&self, name: &str, account: Option<&Account>) -> Result<PathBuf> {
        let path = self.path().join(name);
        fs::create_dir(&path).context(format!("creating {}", path.display()))?;
        own(&path, account)?;
        Ok(path)
    }

    /// A file for one pair of eyes: the account's, or ours.
    pub(crate) fn secret(&self, name: &str, text: &str, account: Option<&Account>) -> Result<PathBuf> {
        let path = self.path().join(name);
        write_secret(&path, text, account)?;
        Ok(path)
    }

    /// A copy of a prepared data directory, owners kept. One `cp` is faster than a walk of our own and
    /// shares blocks on file systems that can.
    pub(crate) fn copy(&self, template: &Path, name: &str) -> Result<PathBuf> {
        let path = self.path().join(name);
        let output =
            Command::new("cp").args(["-a", "--reflink=auto", "--"]).arg(template).arg(&path).output();
        let output = output.context("running cp")?;
        if output.status.success() {
            return Ok(path);
        }
        Err(Error::new(format!("copying {}: {}", template.display(), tail(&output.stderr))))
    }
}

/// Gives `path` to the server's account.
pub(crate) fn own(path: &Path, account: Option<&Account>) -> Result<()> {
    account.map_or(Ok(()), |account| {
        chown(path, Some(account.uid), Some(account.gid))
            .context(format!("changing the owner of {}", path.display()))
    })
}

/// Writes a file of mode 0600; never visible with another mode.
pub(crate) fn write_secret(path: &Path, text: &str, account: Option<&Account>) -> Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let mut file =
        File::options().write(true).create_new(true).mode(0o600).open(path).context(path.display())?;
    file.write_all(text.as_bytes())?;
    own(path, account)
}

/// Removes the directories of test processes that were killed: their lock is free. Younger than a minute may
/// be one between its creation and its lock.
fn sweep() {
    let Ok(entries) = fs::read_dir(std::env::temp_dir()) else { return };
    for entry in entries.flatten() {
        if !entry.file_name().to_string_lossy().starts_with(PREFIX) {
            continue;
        }
        let Ok(lock) = File::open(entry.path().join("owner.lock")) else { continue };
        let old = lock.metadata().and_then(|data| data.modified()).is_ok_and(|made| {
            SystemTime::now().duration_since(made).is_ok_and(|age| age > Duration::from_secs(60))
        });
        if old && lock.try_lock().is_ok() {
            // Another process may be sweeping too, so a failure is no news.
            fs::remove_dir_all(entry.path()).ok();
        }
    }
}

/// A running server, or one that was stopped and can be started again on the same data.
#[derive(Debug)]
pub(crate) struct Daemon {
    child: Child,
    account: Option<Account>,
    program: PathBuf,
    args: Vec<OsString>,
    log: PathBuf,
}

impl Daemon {
    pub(crate) fn spawn(
        account: Option<Account>,
        program: PathBuf,
        args: Vec<OsString>,
        log: PathBuf,
    ) -> Result<Self> {
        let child = launch(account.as_ref(), &program, &args, &log)?;
        Ok(Self { child, account, program, args, log })
    }

    pub(crate) fn respawn(&mut self) -> Result<()> {
        self.kill();
        self.child = launch(self.account.as_ref(), &self.program, &self.args, &self.log)?;
        Ok(())
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until `ready` says so, or fails when the server ended or `limit` is over.
    pub(crate) fn wait_ready(&mut self, limit: Duration, ready: impl Fn() -> bool) -> Result<()> {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Err(self.failure(&format!("ended with {status}")));
            }
            if ready() {
                return Ok(());
            }
            if begun.elapsed() > limit {
                return Err(self.failure(&format!("was not ready after {limit:?}")));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn failure(&self, what: &str) -> Error {
        let log = fs::read(&self.log).unwrap_or_default();
        Error::new(format!("{} {what}; its log ends:\n{}", self.program.display(), tail(&log)))
    }

    pub(crate) fn signal(&mut self, signal: Signal) -> Result<()> {
        // The id of a child that was waited for may be somebody else's by now.
        if let Some(status) = self.child.try_wait()? {
            return Err(Error::new(format!("the server has already ended with {status}")));
        }
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| Error::new("the server has no process id"))?;
        kill_process(pid, signal).context("signalling the server")
    }

    /// Waits for the end that a signal asked for.
    pub(crate) fn wait_end(&mut self, limit: Duration) -> Result<ExitStatus> {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if begun.elapsed() > limit {
                return Err(self.failure(&format!("did not stop within {limit:?}")));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// `kill -9`, and reaps the child. Does nothing to one that has ended.
    pub(crate) fn kill(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Starts a server from a thread that lives as long as the process: `--pdeathsig` fires when the *thread*
/// that forked ends, and test harnesses run every test on a thread of its own.
fn launch(account: Option<&Account>, program: &Path, args: &[OsString], log: &Path) -> Result<Child> {
    type Order = (Command, Sender<io::Result<Child>>);
    static LAUNCHER: OnceLock<Sender<Order>> = OnceLock::new();
    let launcher = LAUNCHER.get_or_init(|| {
        let (orders, inbox) = channel::<Order>();
        std::thread::spawn(move || {
            for (mut command, answer) in inbox {
                // The asker waits for the answer, so it is there to take it.
                answer.send(command.spawn()).ok();
            }
        });
        orders
    });
    let log_file = File::options().create(true).append(true).open(log).context(log.display())?;
    let mut command = confined(account, program, args);
    command.current_dir("/").stdout(log_file.try_clone()?).stderr(log_file);
    let (answer, child) = channel();
    let gone = || Error::new("the launching thread is gone");
    launcher.send((command, answer)).map_err(|_| gone())?;
    child.recv().map_err(|_| gone())?.context("running setpriv (package util-linux)")
}

/// A port that was free a moment ago. Somebody may take it before the server binds it; the caller tries again.
pub(crate) fn free_port() -> Result<u16> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).context("finding a free port")?;
    Ok(listener.local_addr()?.port())
}

/// The end of a program's output, enough to see what went wrong.
pub(crate) fn tail(output: &[u8]) -> String {
    let text = String::from_utf8_lossy(output);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(25)..].join("\n")
}

/// 24 hexadecimal digits from the kernel.
pub(crate) fn random_password() -> Result<String> {
    use std::fmt::Write;
    use std::io::Read;
    let mut bytes = [0_u8; 12];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    let mut text = String::new();
    for byte in bytes {
        write!(text, "{byte:02x}").context("writing to a string")?;
    }
    Ok(text)
}

/// `--name=value` for programs whose values are paths.
pub(crate) fn flag(name: &str, value: impl AsRef<OsStr>) -> OsString {
    let mut flag = OsString::from(name);
    flag.push("=");
    flag.push(value);
    flag
}
