//! One run at a time publishes under a key: an object `KEY.dbferry-lock`, made on the condition that there is none.
//!
//! An archive of one new object needs no lock where the store decides by `If-None-Match` who makes it. One that replaces another, or has many objects, is
//! several requests, and two runs at once would mix. Stores exist that take the condition and overwrite all the same; they are found out by asking for
//! the lock a second time, and there the lock is looked at again after a pause, which is as much as such a store allows.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use pipeline::{Context, Error, Result, Stage};
use stores::s3::gc::LOCK;
use stores::s3::{Class, Dress, Failure, Head, Put};

use super::run::Run;

/// How long a run waits for another one.
const WAIT: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(300);
/// Longer than a request of another run may be on its way, in a store without conditions.
const SETTLE: Duration = Duration::from_millis(1500);
/// After this a lock is what a killed run left. Publishing takes seconds; for thousands of objects, minutes.
const STALE: Duration = Duration::from_secs(3600);

/// A lock that is held. It is released by [`Lock::release`]; a run that was killed leaves it.
#[derive(Debug)]
pub(crate) struct Lock {
    key: String,
    /// Whether the store was seen to enforce the condition.
    pub(crate) enforced: bool,
}

impl Lock {
    pub(crate) async fn take(run: &Run, cx: &Context) -> Result<Self> {
        let key = format!("{}{LOCK}", run.root());
        let begun = Instant::now();
        loop {
            match look(run, &key).await? {
                None => {
                    if let Some(enforced) = claim(run, &key).await? {
                        return Ok(Self { key, enforced });
                    }
                }
                // A claim whose answer was lost: what the store enforces was not seen.
                Some(held) if is_ours(run, &held) => {
                    return Ok(Self { key, enforced: run.bucket.url().has_conditions() });
                }
                Some(held) if is_stale(&held) => {
                    cx.warn(format!(
                        "a run that ended without a word left {}: it is removed",
                        run.bucket.url().at(&key)
                    ));
                    run.bucket.delete(&key, None).await.map_err(|f| told(run, f))?;
                }
                Some(held) if begun.elapsed() > WAIT => {
                    return Err(Error::sink("another run is publishing in the same place")
                        .with("lock", run.bucket.url().at(&key))
                        .with("run", held.run.unwrap_or_default())
                        .hint("a run that was killed leaves its lock for an hour; delete that object if it is so"));
                }
                Some(_) => tokio::time::sleep(LOOK_EVERY).await,
            }
            if run.stop.is_cancelled() {
                return Err(Error::cancelled());
            }
        }
    }

    pub(crate) async fn release(self, run: &Run, cx: &Context) {
        // Only its own: a lock that was taken over as stale is another's.
        let Ok(Some(held)) = look(run, &self.key).await else { return };
        if !is_ours(run, &held) {
            return;
        }
        // Where versions are kept, no trace is left of it, unless the bucket locks whatever is put.
        let mut deleted = run.bucket.delete(&self.key, held.version.as_deref()).await;
        if held.version.is_some() && deleted.is_err() {
            deleted = run.bucket.delete(&self.key, None).await;
        }
        if let Err(failure) = deleted {
            cx.warn(format!("the lock {} could not be removed: {failure}", run.bucket.url().at(&self.key)));
        }
    }
}

async fn look(run: &Run, key: &str) -> Result<Option<Head>> {
    run.bucket.head(key).await.map_err(|failure| told(run, failure))
}

/// Tries to make the lock. `Some` when it is held, and then whether the store enforces the condition.
async fn claim(run: &Run, key: &str) -> Result<Option<bool>> {
    let put = Put {
        key,
        run: &run.options.id,
        kind: run.kind,
        only_new: true,
        dress: Dress::Bare,
        content_type: "text/plain",
    };
    let text = || Bytes::from(format!("dbferry run {} is publishing\n", run.options.id));
    match run.bucket.put(&put, text()).await {
        Ok(_) => {}
        Err(failure) if is_taken(&failure) => {
            let ours = look(run, key).await?.is_some_and(|held| is_ours(run, &held));
            return Ok(ours.then_some(true));
        }
        // A store that does not know the condition at all.
        Err(failure) if failure.class == Class::Unsupported => {
            let put = Put { only_new: false, ..put };
            run.bucket.put(&put, text()).await.map_err(|failure| told(run, failure))?;
            return settled(run, key).await;
        }
        Err(failure) => return Err(told(run, failure)),
    }
    match run.bucket.put(&put, text()).await {
        Err(failure) if is_taken(&failure) => Ok(Some(true)),
        Err(failure) => Err(told(run, failure)),
        Ok(_) => settled(run, key).await,
    }
}

/// Without conditions the last one who wrote has the lock, once everybody has written.
async fn settled(run: &Run, key: &str) -> Result<Option<bool>> {
    tokio::time::sleep(SETTLE).await;
    let ours = look(run, key).await?.is_some_and(|held| is_ours(run, &held));
    Ok(ours.then_some(false))
}

fn is_taken(failure: &Failure) -> bool {
    matches!(failure.class, Class::Exists | Class::Conflict)
}

fn is_ours(run: &Run, held: &Head) -> bool {
    held.run.as_deref() == Some(&run.options.id)
}

fn is_stale(held: &Head) -> bool {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    held.modified > 0 && now.saturating_sub(held.modified.unsigned_abs()) > STALE.as_secs()
}

fn told(run: &Run, failure: Failure) -> Error {
    failure.into_error(Stage::Sink, &format!("cannot lock {}", run.bucket.url()))
}
