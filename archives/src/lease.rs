//! A lease: for as long as it is held, no other run of the same job begins.
//!
//! In a bucket it is an object made on the condition that there is none; in a folder a file that is created anew. Either is renewed while the run
//! lives, so a holder that died is told by its age. A store that takes the condition and writes all the same cannot keep two runs apart that begin in the
//! same second; their archives have names of their own, so nothing is lost there but time.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use jiff::Timestamp;
use pipeline::{Error, Kind, Result, Stage};
use serde::{Deserialize, Serialize};
use stores::s3::gc::LOCK;
use stores::s3::{Class, Dress, Kind as Checksum, Put};

use crate::place::{Place, blocking, failed};

/// A holder that did not renew for so long is gone. Three renewals fit in.
pub const TERM: Duration = Duration::from_secs(300);

/// How often a holder renews.
pub const RENEW: Duration = Duration::from_secs(90);

/// Longer than another run's request may be under way, in a store without conditions, or its removal of a lease that is over.
const SETTLE: Duration = Duration::from_millis(1500);

/// Who holds a lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Holder {
    run: String,
    host: String,
    /// Within which a process id means something: this boot of the machine, and the namespace.
    #[serde(default)]
    space: String,
    pid: u32,
    /// RFC 3339, UTC, by the holder's clock; and so is the next.
    since: String,
    renewed: String,
}

impl Holder {
    fn new(run: &str) -> Self {
        let since = Timestamp::now().to_string();
        let (run, renewed) = (run.to_owned(), since.clone());
        Self { run, host: host(), space: space(), pid: std::process::id(), renewed, since }
    }

    fn json(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(self).map_err(|e| Error::bug("a lease has no JSON form").caused_by(e))
    }

    /// The process was one of this machine, and is gone. Of another container it cannot be told, though it may have the same name.
    fn is_dead(&self) -> bool {
        self.host == host()
            && self.space == space()
            && !Path::new("/proc").join(self.pid.to_string()).exists()
    }
}

fn host() -> String {
    fs::read_to_string("/proc/sys/kernel/hostname")
        .map_or_else(|_| "?".to_owned(), |name| name.trim().to_owned())
}

fn space() -> String {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let namespace = fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    format!("{} {}", boot.trim(), namespace.display())
}

/// A lease that is held.
#[derive(Debug)]
pub struct Lease {
    place: Place,
    name: String,
    holder: Holder,
}

/// What is there instead.
struct Found {
    holder: Option<Holder>,
    age: Duration,
}

impl Found {
    fn is_over(&self) -> bool {
        self.age > TERM || self.holder.as_ref().is_some_and(Holder::is_dead)
    }

    fn refuse(&self, job: &str, at: &str) -> Error {
        let who = self.holder.as_ref().map_or_else(
            || "another run".to_owned(),
            |holder| {
                format!(
                    "run {} on {} (process {}, since {})",
                    holder.run, holder.host, holder.pid, holder.since
                )
            },
        );
        let left = TERM.saturating_sub(self.age).as_secs();
        Error::new(Stage::Sink, Kind::Temporary, format!("the job `{job}` is at work already: {who}"))
            .with("lease", at)
            .hint(format!("if that run is dead, its lease ends by itself in {left} s"))
    }
}

impl Lease {
    /// Takes the lease of a job, or says who has it.
    pub async fn take(place: &Place, job: &str, run: &str) -> Result<Self> {
        let name = match place {
            // Hidden, so that nothing takes it for data.
            Place::Folder(_) => format!(".{job}{LOCK}"),
            Place::Bucket(_) => format!("{job}{LOCK}"),
        };
        let lease = Self { place: place.clone(), name, holder: Holder::new(run) };
        let mut contended = false;
        for _ in 0..3 {
            // Looked at first: a store that takes the condition and writes all the same would replace another's lease.
            match lease.found().await? {
                None => {
                    if lease.claim().await? {
                        // Another that found the same dead holder may be about to remove what it finds.
                        if contended {
                            tokio::time::sleep(SETTLE).await;
                        }
                        if !contended || lease.is_ours().await? {
                            return Ok(lease);
                        }
                    }
                }
                Some(found) if found.is_over() => {
                    contended = true;
                    lease.clear(found).await?;
                }
                Some(found) => return Err(found.refuse(job, &place.shown(&lease.name))),
            }
        }
        if let Some(found) = lease.found().await? {
            return Err(found.refuse(job, &place.shown(&lease.name)));
        }
        Err(Error::new(Stage::Sink, Kind::Temporary, format!("the lease of the job `{job}` changes hands"))
            .with("lease", place.shown(&lease.name)))
    }

    fn path(&self) -> Option<PathBuf> {
        match &self.place {
            Place::Folder(root) => Some(root.join(&self.name)),
            Place::Bucket(_) => None,
        }
    }

    async fn claim(&self) -> Result<bool> {
        let json = self.holder.json()?;
        let Place::Bucket(bucket) = &self.place else {
            let path = self.path().unwrap_or_default();
            return blocking(move || match create(&path, &json) {
                Ok(()) => Ok(true),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
                Err(error) => {
                    Err(Error::sink("cannot take the lease").with("file", path.display()).caused_by(error))
                }
            })
            .await;
        };
        let key = format!("{}{}", bucket.url().key, self.name);
        match bucket.put(&self.put(&key, true), Bytes::from(json.clone())).await {
            Ok(_) => {}
            // An answer that was lost, and asked for again, finds its own object.
            Err(failure) if matches!(failure.class, Class::Exists | Class::Conflict) => {
                return self.is_ours().await;
            }
            Err(failure) => return Err(failure.into_error(Stage::Sink, "cannot take the lease")),
        }
        // Whether the store keeps its word is seen by asking again.
        match bucket.put(&self.put(&key, true), Bytes::from(json)).await {
            Err(failure) if matches!(failure.class, Class::Exists | Class::Conflict) => Ok(true),
            Err(failure) => Err(failure.into_error(Stage::Sink, "cannot take the lease")),
            Ok(_) => {
                tokio::time::sleep(SETTLE).await;
                self.is_ours().await
            }
        }
    }

    fn put<'a>(&'a self, key: &'a str, only_new: bool) -> Put<'a> {
        Put {
            key,
            run: &self.holder.run,
            kind: Checksum::Md5,
            only_new,
            dress: Dress::Bare,
            content_type: "application/json",
        }
    }

    async fn found(&self) -> Result<Option<Found>> {
        let Some(json) = self.place.read(&self.name).await? else { return Ok(None) };
        let holder: Option<Holder> = serde_json::from_slice(&json).ok();
        // By the clock of the store and by that of the holder: either may be wrong, and the younger age counts.
        let told = holder.as_ref().and_then(|holder| holder.renewed.parse::<Timestamp>().ok());
        let told = told.map(|at| Timestamp::now().duration_since(at).unsigned_abs());
        let age = match &self.place {
            Place::Folder(_) => {
                let modified = self.path().and_then(|path| fs::metadata(path).ok()?.modified().ok());
                modified.map(|at| SystemTime::now().duration_since(at).unwrap_or_default())
            }
            Place::Bucket(bucket) => {
                let key = format!("{}{}", bucket.url().key, self.name);
                let head = bucket.head(&key).await.map_err(|f| failed(f, "cannot look at the lease"))?;
                head.map(|head| {
                    let now = Timestamp::now().as_second();
                    Duration::from_secs(u64::try_from(now - head.modified).unwrap_or(0))
                })
            }
        };
        Ok(age.map(|age| Found { holder, age: told.map_or(age, |told| told.min(age)) }))
    }

    async fn is_ours(&self) -> Result<bool> {
        let json = self.place.read(&self.name).await?;
        let found: Option<Holder> = json.and_then(|json| serde_json::from_slice(&json).ok());
        Ok(found.is_some_and(|found| found.run == self.holder.run))
    }

    /// Removes what a dead holder left. Of two runs that do so, the renaming lets one win; what another has taken meanwhile is put back.
    async fn clear(&self, over: Found) -> Result<()> {
        match &self.place {
            Place::Folder(_) => {
                let path = self.path().unwrap_or_default();
                let aside = path.with_extension(format!("{}.over", self.holder.run));
                blocking(move || match take_away(&path, &aside, over.holder.as_ref()) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        Err(Error::sink("cannot remove the lease of a run that is gone")
                            .with("file", path.display())
                            .caused_by(error))
                    }
                    _ => Ok(()),
                })
                .await
            }
            Place::Bucket(bucket) => {
                let key = format!("{}{}", bucket.url().key, self.name);
                let deleted = bucket.delete(&key, None).await;
                deleted
                    .map_err(|f| f.into_error(Stage::Sink, "cannot remove the lease of a run that is gone"))
            }
        }
    }

    /// Renews it. `false` when it was taken over: this run was thought to be dead, and must end.
    pub async fn renew(&self) -> Result<bool> {
        if !self.is_ours().await? {
            return Ok(false);
        }
        let renewed = Holder { renewed: Timestamp::now().to_string(), ..self.holder.clone() };
        self.place.write(&self.name, renewed.json()?, &self.holder.run).await?;
        Ok(true)
    }

    /// Gives it back, if it still is this run's.
    pub async fn release(self) -> Result<()> {
        if !self.is_ours().await? {
            return Ok(());
        }
        match &self.place {
            Place::Folder(_) => {
                let path = self.path().unwrap_or_default();
                blocking(move || {
                    fs::remove_file(&path).map_err(|e| {
                        Error::sink("cannot give the lease back").with("file", path.display()).caused_by(e)
                    })
                })
                .await
            }
            Place::Bucket(bucket) => {
                let key = format!("{}{}", bucket.url().key, self.name);
                let deleted = bucket.delete(&key, None).await;
                deleted.map_err(|f| f.into_error(Stage::Sink, "cannot give the lease back"))
            }
        }
    }
}

/// Removes the lease of this holder, and of no other.
fn take_away(path: &Path, aside: &Path, over: Option<&Holder>) -> io::Result<()> {
    fs::rename(path, aside)?;
    let moved: Option<Holder> = fs::read(aside).ok().and_then(|json| serde_json::from_slice(&json).ok());
    if moved.as_ref() != over {
        match fs::hard_link(aside, path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return fs::rename(aside, path),
            _ => {}
        }
    }
    fs::remove_file(aside)
}

/// A new file with its content in one step, or an error when there is one: linked into place, so nobody sees it empty.
fn create(path: &Path, json: &[u8]) -> io::Result<()> {
    let staged =
        path.with_extension(format!("{}.{}.partial", std::process::id(), Timestamp::now().as_nanosecond()));
    let made = (|| {
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&staged)?;
        file.write_all(json)?;
        file.sync_all()?;
        match fs::hard_link(&staged, path) {
            // Some network file systems know no links; there the name alone decides.
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
                file.write_all(json)
            }
            result => result,
        }
    })();
    let removed = fs::remove_file(&staged);
    made.and(removed)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn take(folder: &Path, run: &str) -> Result<Lease> {
        Lease::take(&Place::Folder(folder.to_owned()), "nightly", run).await
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn one_at_a_time_and_a_dead_holder_blocks_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let first = take(dir.path(), "a").await.unwrap();
        let refused = take(dir.path(), "b").await.unwrap_err();
        assert_eq!(refused.exit_code(), 75);
        assert!(
            refused.to_string().contains("run a on") && refused.hints()[0].contains("by itself"),
            "{refused}"
        );
        assert!(first.renew().await.unwrap());
        first.release().await.unwrap();
        let second = take(dir.path(), "b").await.unwrap();
        // Another host's holder, whose time is over.
        let path = second.path().unwrap();
        let then = (Timestamp::now() - TERM - Duration::from_secs(1)).to_string();
        let elsewhere = Holder { host: "elsewhere".into(), renewed: then, ..second.holder.clone() };
        fs::write(&path, elsewhere.json().unwrap()).unwrap();
        assert!(take(dir.path(), "c").await.is_err(), "it may live");
        let long_ago = SystemTime::now() - TERM - Duration::from_secs(1);
        fs::File::options().write(true).open(&path).unwrap().set_modified(long_ago).unwrap();
        let third = take(dir.path(), "c").await.unwrap();
        assert!(!second.renew().await.unwrap(), "the first holder learns that it was taken for dead");
        second.release().await.unwrap();
        assert!(third.renew().await.unwrap(), "and does not give back what is another's");
        // A process of this host that is gone.
        let dead = Holder { pid: u32::MAX, ..third.holder.clone() };
        fs::write(&path, dead.json().unwrap()).unwrap();
        take(dir.path(), "d").await.unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing else is left");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn of_many_that_find_a_dead_holder_one_gets_it() {
        for round in 0..3 {
            let dir = tempfile::tempdir().unwrap();
            let first = take(dir.path(), "dead").await.unwrap();
            let dead = Holder { pid: u32::MAX, ..first.holder.clone() };
            fs::write(first.path().unwrap(), dead.json().unwrap()).unwrap();
            let mut all = tokio::task::JoinSet::new();
            for number in 0..8 {
                let folder = dir.path().to_owned();
                all.spawn(async move { take(&folder, &format!("r{number}")).await.is_ok() });
            }
            assert_eq!(all.join_all().await.into_iter().filter(|got| *got).count(), 1, "round {round}");
            assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing else is left");
        }
    }

    #[test]
    fn a_process_of_another_container_is_not_looked_for_here() {
        let here = Holder { pid: u32::MAX, ..Holder::new("a") };
        assert!(here.is_dead());
        assert!(!Holder { space: "elsewhere".into(), ..here }.is_dead());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn of_many_that_begin_at_once_one_gets_it() {
        let dir = tempfile::tempdir().unwrap();
        let mut all = tokio::task::JoinSet::new();
        for number in 0..16 {
            let folder = dir.path().to_owned();
            all.spawn(async move { take(&folder, &format!("r{number}")).await.is_ok() });
        }
        assert_eq!(all.join_all().await.into_iter().filter(|got| *got).count(), 1);
    }
}
