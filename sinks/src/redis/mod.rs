//! A Redis or Valkey server as a destination: the keys of a snapshot are restored, over several connections, on one server or a cluster.
//!
//! `RESTORE` takes a value as a snapshot has it, so nothing is decoded on the way; the version behind it is the lowest that knows the value's type, which lets an older
//! server take what it understands. What a target does not take so is made by commands, and so is a value that is too large to be held. There are no transactions
//! over a whole load here: a key marks the target as incomplete from before the first write until `publish`.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use pipeline::endpoint::{DatabaseUrl, Engine};
use pipeline::{Context, Destination, Error, Kind, Manifest, PartHeader, Result, Sink};
use tokio::sync::Mutex;

use crate::Occupied;
use crate::crew::through_a_failover;

mod intake;
mod lane;
mod large;
mod script;
mod target;

/// What to do with a key that the target has already.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Conflict {
    /// The load fails.
    #[default]
    Fail,
    /// The snapshot's value takes its place.
    Replace,
    /// It stays as it is.
    Skip,
}

/// How to load.
#[derive(Debug, Clone)]
pub struct RedisLoad {
    /// What to do with databases that hold something.
    pub occupied: Occupied,
    /// What to do with single keys.
    pub conflict: Conflict,
    /// Connections.
    pub jobs: usize,
    /// Bytes on their way at once; a value of more than half of it is made by commands, as it comes. The loader holds three times this.
    pub room: usize,
    /// The databases that will be written, where that is known beforehand: no other is looked at or cleared. `None` means all.
    pub databases: Option<BTreeSet<u64>>,
}

impl RedisLoad {
    /// Where the key stands that marks the load.
    fn marked(&self) -> u64 {
        self.databases.as_ref().and_then(|databases| databases.first().copied()).unwrap_or(0)
    }
}

/// What a load has done to the target.
#[derive(Debug, Default)]
struct Begun {
    /// Databases that were written.
    databases: BTreeSet<u64>,
    /// The target is marked.
    marked: bool,
    /// The target failed in passing: what is there is kept, to go on with.
    keep: bool,
}

/// A Redis or Valkey server.
#[derive(Debug)]
pub struct RedisDestination {
    url: DatabaseUrl,
    options: RedisLoad,
    begun: Arc<Mutex<Begun>>,
}

impl RedisDestination {
    /// The server at `url`.
    pub fn new(url: DatabaseUrl, options: RedisLoad) -> Result<Self> {
        if url.engine != Engine::Redis {
            return Err(Error::bug("a URL of another kind was given to the Redis loader"));
        }
        Ok(Self { url, options, begun: Arc::default() })
    }
}

#[async_trait]
impl Destination for RedisDestination {
    fn endpoint(&self) -> String {
        self.url.to_string()
    }

    fn memory(&self) -> usize {
        // A value that is coming, batches on their way, and what a decoded value is held in.
        3 * self.options.room + (8 << 20)
    }

    async fn probe(&mut self, cx: &Context) -> Result<Option<u64>> {
        let mut target = target::Target::look(&self.url, cx).await?;
        target.check(&self.options).await?;
        Ok(None)
    }

    async fn open(&self, part: &PartHeader, cx: &Context) -> Result<Box<dyn Sink>> {
        if part.path.is_some() {
            return Err(Error::usage("a server takes one snapshot, and this source has several parts"));
        }
        let mut target = target::Target::look(&self.url, cx).await?;
        // Somebody may have come between the look and the load.
        let resumes = target.check(&self.options).await?;
        let script =
            script::Script::new(target, &self.url, &self.options, resumes, Arc::clone(&self.begun), cx);
        Ok(Box::new(script))
    }

    async fn publish(&mut self, _: &Manifest, cx: &Context) -> Result<()> {
        let marked = self.options.marked();
        let unmarked =
            through_a_failover(|| async { target::Target::look(&self.url, cx).await?.unmark(marked).await });
        let unmarked = unmarked.await;
        *self.begun.lock().await = Begun::default();
        unmarked.map_err(|error| {
            let key = target::MARK;
            error
                .of_kind(Kind::Temporary)
                .also(format!("everything is loaded, and the key {key} still marks the target as incomplete"))
                .hint(format!("remove the key {key} yourself, or go on with `--resume`"))
        })
    }

    async fn abandon(&mut self) -> Result<()> {
        let begun = std::mem::take(&mut *self.begun.lock().await);
        if !begun.marked {
            return Ok(());
        }
        let incomplete = |why: &str| {
            Error::sink(format!("{why}: the target is incomplete, and the key {} marks it", target::MARK))
                .hint("go on with `--resume`, from an archive, or start over with `--overwrite`")
        };
        if begun.keep {
            return Err(incomplete("what was loaded is kept"));
        }
        if self.options.occupied == Occupied::Join {
            return Err(incomplete("it was loaded beside what was there, so nothing was removed"));
        }
        let removed = async {
            let mut target = target::Target::look(&self.url, &Context::silent()).await?;
            for &db in &begun.databases {
                target.clear(db, self.options.marked()).await?;
            }
            target.unmark(self.options.marked()).await
        };
        removed.await.map_err(|error| incomplete("not everything could be removed").caused_by(error))
    }
}
