//! Where the servers are installed, and where their prepared data directories are kept.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::error::{Context, Result};

/// The directory of `tests/servers/install`: `DBFERRY_SERVERS_DIR`, else `/var/cache/dbferry/servers`.
pub fn cache_dir() -> PathBuf {
    std::env::var_os("DBFERRY_SERVERS_DIR").map_or_else(|| "/var/cache/dbferry/servers".into(), PathBuf::from)
}

/// A server that a test needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// MariaDB from the distribution's packages (10.11 in Debian 12).
    MariaDb,
    /// mydumper's loader, from the distribution's packages.
    MyLoader,
    /// MySQL 9 from Debian unstable.
    MySql,
    /// PostgreSQL from the distribution's packages (15 in Debian 12).
    Postgres,
    /// PostgreSQL 18 from Debian unstable.
    PostgresUnstable,
    /// Redis 6.2, as a package of PyPI carries it.
    Redis6,
    /// Redis from the distribution's packages (7.0 in Debian 12).
    Redis,
    /// Redis 8 from Debian unstable.
    RedisUnstable,
    /// Valkey 9 from Debian unstable.
    Valkey,
    /// moto, an S3 server in Python.
    Moto,
    /// The AWS command line, an S3 client in Python.
    Aws,
    /// garage, an S3 store in Rust. Its build takes ten minutes: only where `DBFERRY_REQUIRE_GARAGE=1` is it missed.
    Garage,
}

impl Needs {
    /// Why the server cannot be started here, or `None` when it can.
    pub fn missing(self) -> Option<String> {
        let (name, there) = match self {
            Self::MariaDb => ("MariaDB", mariadb_server().is_some()),
            Self::MyLoader => ("myloader", program(&["myloader"]).is_some()),
            Self::MySql => ("MySQL 9", unstable_is_there() && unstable("usr/sbin/mysqld").is_file()),
            Self::Postgres => ("PostgreSQL", postgres_bin().is_some()),
            Self::PostgresUnstable => ("PostgreSQL 18", postgres_unstable_bin().is_some()),
            Self::Redis6 => ("Redis 6.2", redis6("redis-server").is_file()),
            Self::Redis => ("Redis", program(&["redis-server"]).is_some()),
            Self::RedisUnstable => {
                ("Redis 8", unstable_is_there() && unstable("usr/bin/redis-server").is_file())
            }
            Self::Valkey => ("Valkey 9", unstable_is_there() && unstable("usr/bin/valkey-server").is_file()),
            Self::Moto => ("moto", moto_program().is_some()),
            Self::Aws => ("the AWS command line", aws_program().is_some()),
            Self::Garage => ("garage", garage_program().is_some()),
        };
        (!there).then(|| format!("{name} is not installed"))
    }
}

/// The server of `install --only s3`.
pub(crate) fn moto_program() -> Option<PathBuf> {
    Some(cache_dir().join("moto/bin/moto_server")).filter(|program| program.is_file())
}

/// The client of `install --only s3`.
pub(crate) fn aws_program() -> Option<PathBuf> {
    Some(cache_dir().join("aws/bin/aws")).filter(|program| program.is_file())
}

/// A program of `install --only redis6`.
pub(crate) fn redis6(program: &str) -> PathBuf {
    cache_dir().join("redis6/bin").join(program)
}

/// The store of `install --only garage`.
pub(crate) fn garage_program() -> Option<PathBuf> {
    Some(cache_dir().join("garage/bin/garage")).filter(|program| program.is_file())
}

/// A program of the unstable directory, as the wrapper script that `install` wrote for it.
pub(crate) fn unstable(program: &str) -> PathBuf {
    cache_dir().join("run").join(program)
}

/// The root of the unstable directory, for data files of its programs.
pub(crate) fn unstable_root() -> PathBuf {
    cache_dir().join("unstable")
}

fn unstable_is_there() -> bool {
    unstable_root().join(".complete").is_file()
}

/// First of `names` in the usual directories. `PATH` of an unprivileged shell lacks `/usr/sbin`.
pub(crate) fn program(names: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin"].map(PathBuf::from);
    let dirs: Vec<PathBuf> = usual.into_iter().chain(std::env::split_paths(&path)).collect();
    names.iter().flat_map(|name| dirs.iter().map(move |dir| dir.join(name))).find(|file| file.is_file())
}

pub(crate) fn mariadb_server() -> Option<PathBuf> {
    program(&["mariadb-install-db"])?;
    program(&["mariadb"])?;
    program(&["mariadbd"])
}

/// `bin` of the newest PostgreSQL below `lib` that has a server.
fn newest_postgres(lib: &Path) -> Option<PathBuf> {
    let versions =
        fs::read_dir(lib).ok()?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    let newest =
        versions.filter(|version| lib.join(version.to_string()).join("bin/postgres").is_file()).max()?;
    Some(lib.join(newest.to_string()).join("bin"))
}

pub(crate) fn postgres_bin() -> Option<PathBuf> {
    newest_postgres(Path::new("/usr/lib/postgresql"))
}

pub(crate) fn postgres_unstable_bin() -> Option<PathBuf> {
    unstable_is_there().then(|| newest_postgres(&unstable("usr/lib/postgresql"))).flatten()
}

/// Raised when the way that data directories are made changes, so that older ones are not used.
const TEMPLATES: u32 = 2;

/// The data directory `name`, made by `make` the first time and kept: initialising a server takes seconds,
/// copying the result a fraction of one. `make` gets the directory to create.
pub(crate) fn template(name: &str, make: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let templates = writable_cache()?.join(format!("templates-{TEMPLATES}"));
    fs::create_dir_all(&templates).context(format!("creating {}", templates.display()))?;
    let ready = templates.join(name);
    if ready.is_dir() {
        return Ok(ready);
    }
    // Test processes start at the same time; the second waits and then finds the first one's work.
    let lock = File::create(templates.join(format!(".{name}.lock")))?;
    lock.lock()?;
    if ready.is_dir() {
        return Ok(ready);
    }
    let partial = templates.join(format!("{name}.partial"));
    if partial.exists() {
        fs::remove_dir_all(&partial).context(format!("removing {}", partial.display()))?;
    }
    make(&partial)?;
    fs::rename(&partial, &ready).context(format!("publishing {}", ready.display()))?;
    Ok(ready)
}

/// The cache directory itself where it can be written, else one per user below the temporary directory.
fn writable_cache() -> Result<PathBuf> {
    let uid = fs::metadata("/proc/self").context("reading my own user id")?.uid();
    let shared = cache_dir();
    if uid == 0 || fs::metadata(&shared).is_ok_and(|data| data.uid() == uid) {
        return Ok(shared);
    }
    Ok(std::env::temp_dir().join(format!("dbferry-servers-{uid}")))
}
