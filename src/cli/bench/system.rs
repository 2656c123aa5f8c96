//! What the kernel tells of this process, of the machine, and of a server that runs on it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::net::ToSocketAddrs as _;
use std::path::Path;

use pipeline::endpoint::{Address, DatabaseUrl, Engine};
use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;

/// User and system time of this process in seconds.
pub(super) fn process_cpu() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// The same of the programs that it ran and that have ended.
pub(super) fn children_cpu() -> f64 {
    Stat::read(Path::new("/proc/self")).map_or(0.0, |stat| stat.children)
}

/// What `/proc/PID/stat` says.
struct Stat {
    comm: String,
    parent: u32,
    own: f64,
    children: f64,
}

impl Stat {
    fn read(dir: &Path) -> Option<Self> {
        Self::parse(&fs::read_to_string(dir.join("stat")).ok()?)
    }

    fn parse(text: &str) -> Option<Self> {
        // The name may hold anything, parentheses too.
        let (open, close) = (text.find('(')?, text.rfind(')')?);
        let fields: Vec<&str> = text[close + 1..].split_whitespace().collect();
        // USER_HZ is 100 on everything that Linux tells user space about.
        let seconds = |index: usize| Some(fields.get(index)?.parse::<f64>().ok()? / 100.0);
        Some(Self {
            comm: text[open + 1..close].to_owned(),
            parent: fields.get(1)?.parse().ok()?,
            own: seconds(11)? + seconds(12)?,
            children: seconds(13)? + seconds(14)?,
        })
    }
}

/// CPU time by the names of this process's threads. Threads come and go, so somebody has to look now and then.
#[derive(Debug, Default)]
pub(super) struct Threads {
    before: HashMap<String, f64>,
    now: HashMap<String, (String, f64)>,
}

impl Threads {
    pub(super) fn begin() -> Self {
        let mut this = Self::default();
        this.look();
        this.before = this.now.drain().map(|(id, (_, seconds))| (id, seconds)).collect();
        this
    }

    pub(super) fn look(&mut self) {
        let Ok(tasks) = fs::read_dir("/proc/self/task") else { return };
        for task in tasks.flatten() {
            if let Some(stat) = Stat::read(&task.path()) {
                let id = task.file_name().to_string_lossy().into_owned();
                self.now.insert(id, (stat.comm, stat.own));
            }
        }
    }

    /// Seconds since the beginning, by the thread's name.
    pub(super) fn by_name(&self) -> BTreeMap<String, f64> {
        let mut sums = BTreeMap::new();
        for (id, (name, seconds)) in &self.now {
            let used = seconds - self.before.get(id).unwrap_or(&0.0);
            *sums.entry(name.clone()).or_default() += used.max(0.0);
        }
        sums
    }
}

/// Jiffies of all processors that were worked in, and all.
pub(super) fn machine_time() -> Option<(f64, f64)> {
    let text = fs::read_to_string("/proc/stat").ok()?;
    let fields: Vec<f64> = text
        .lines()
        .next()?
        .split_whitespace()
        .skip(1)
        .take(8)
        .filter_map(|field| field.parse().ok())
        .collect();
    let all: f64 = fields.iter().sum();
    let idle = fields.get(3)? + fields.get(4)?;
    Some((all - idle, all))
}

/// Forgets the peak of memory so far. Where the kernel does not do that, the peak is that of the whole run, and too large.
pub(super) fn forget_peak() {
    fs::write("/proc/self/clear_refs", "5").ok();
}

/// The most memory that this process had.
pub(super) fn peak_memory() -> Option<u64> {
    let text = fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

/// Where it was measured.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Machine {
    pub(super) cores: usize,
    pub(super) processor: String,
    pub(super) memory_bytes: u64,
    pub(super) kernel: String,
}

impl Machine {
    pub(super) fn this() -> Self {
        let field = |path: &str, name: &str| {
            let text = fs::read_to_string(path).unwrap_or_default();
            let line = text.lines().find(|line| line.starts_with(name)).map(str::to_owned);
            line.and_then(|line| Some(line.split_once(':')?.1.trim().to_owned())).unwrap_or_default()
        };
        let kib =
            field("/proc/meminfo", "MemTotal").split(' ').next().and_then(|text| text.parse::<u64>().ok());
        Self {
            cores: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            processor: field("/proc/cpuinfo", "model name"),
            memory_bytes: kib.unwrap_or(0) * 1024,
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned(),
        }
    }
}

/// A server on this machine, found by the socket that it listens on.
#[derive(Debug, Clone, Copy)]
pub(super) struct ServerProcess(u32);

impl ServerProcess {
    /// The process behind the URL. An address that leads elsewhere (another machine, a tunnel, a container's proxy) has none: what listens
    /// there then is not a database server, or not ours to look at.
    pub(super) fn find(url: &DatabaseUrl) -> Option<Self> {
        let names: &[&str] = match url.engine {
            Engine::Mysql => &["mysqld", "mariadbd"],
            Engine::Postgres => &["postgres"],
            Engine::Redis => &["redis-server", "valkey-server"],
        };
        let sockets = match &url.address {
            Address::Tcp(host) => {
                let mut found = (host.as_str(), url.port()).to_socket_addrs().ok()?.peekable();
                found.peek()?;
                if !found.all(|address| address.ip().is_loopback()) {
                    return None;
                }
                listening(url.port())
            }
            Address::Socket(path) if url.engine == Engine::Postgres => {
                bound(&path.join(format!(".s.PGSQL.{}", url.port())))
            }
            Address::Socket(path) => bound(path),
        };
        if sockets.is_empty() {
            return None;
        }
        processes()
            .find(|(pid, dir)| {
                let named = Stat::read(dir).is_some_and(|stat| names.contains(&stat.comm.as_str()));
                named && *pid != 0 && holds(dir, &sockets)
            })
            .map(|(pid, _)| Self(pid))
    }

    /// Seconds of CPU of the server and of its processes, living and gone.
    pub(super) fn cpu(self) -> Option<f64> {
        let own = Stat::read(Path::new(&format!("/proc/{}", self.0)))?;
        let backends =
            processes().filter_map(|(_, dir)| Stat::read(&dir)).filter(|stat| stat.parent == self.0);
        Some(own.own + own.children + backends.map(|stat| stat.own + stat.children).sum::<f64>())
    }
}

fn processes() -> impl Iterator<Item = (u32, std::path::PathBuf)> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path())))
}

fn holds(process: &Path, sockets: &HashSet<String>) -> bool {
    let Ok(entries) = fs::read_dir(process.join("fd")) else { return false };
    entries.flatten().any(|entry| {
        fs::read_link(entry.path()).is_ok_and(|to| {
            let to = to.to_string_lossy();
            to.strip_prefix("socket:[")
                .and_then(|rest| rest.strip_suffix(']'))
                .is_some_and(|inode| sockets.contains(inode))
        })
    })
}

/// Inodes of the sockets that listen on a TCP port.
fn listening(port: u16) -> HashSet<String> {
    let mut inodes = HashSet::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        for line in fs::read_to_string(table).unwrap_or_default().lines().skip(1) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let here = fields
                .get(1)
                .and_then(|address| address.rsplit_once(':'))
                .and_then(|(_, port)| u16::from_str_radix(port, 16).ok());
            if here == Some(port) && fields.get(3) == Some(&"0A") {
                inodes.extend(fields.get(9).map(|inode| (*inode).to_owned()));
            }
        }
    }
    inodes
}

/// Inodes of the sockets that are bound to a path.
fn bound(path: &Path) -> HashSet<String> {
    let Some(path) = path.to_str() else { return HashSet::new() };
    let text = fs::read_to_string("/proc/net/unix").unwrap_or_default();
    let fields = text.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    fields
        .filter(|fields| fields.get(7) == Some(&path))
        .filter_map(|fields| fields.get(6).map(|inode| (*inode).to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_may_be_called_anything() {
        let stat = Stat::parse("7 (a) b (c)) S 3 7 7 0 -1 0 0 0 0 0 150 50 300 100 20 0 1 0 5 0 0").unwrap();
        assert_eq!((stat.comm.as_str(), stat.parent), ("a) b (c)", 3));
        assert!((stat.own - 2.0).abs() < 1e-9 && (stat.children - 4.0).abs() < 1e-9);
    }

    #[test]
    fn a_listener_that_is_no_database_server_is_not_taken_for_one() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let sockets = listening(port);
        assert_eq!(sockets.len(), 1, "it is seen");
        assert!(holds(Path::new("/proc/self"), &sockets), "and it is ours");
        let url = DatabaseUrl::parse(&format!("mysql://u@127.0.0.1:{port}/db")).unwrap();
        assert!(ServerProcess::find(&url).is_none());
    }

    #[test]
    fn threads_are_told_by_name() {
        let mut threads = Threads::begin();
        let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let busy = std::thread::Builder::new()
            .name("dbf-busy".to_owned())
            .spawn({
                let stop = std::sync::Arc::clone(&stop);
                move || {
                    while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                        std::hint::spin_loop();
                    }
                }
            })
            .unwrap();
        let mut seconds = 0.0;
        while seconds == 0.0 {
            std::thread::sleep(std::time::Duration::from_millis(20));
            threads.look();
            seconds = threads.by_name().get("dbf-busy").copied().unwrap_or(0.0);
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        busy.join().unwrap();
        assert!(process_cpu() >= seconds);
    }
}
