//! A snapshot on its way into a server: batches go to whichever connection is free.

use std::sync::{Arc, RwLock};

use async_trait::async_trait;
use bytes::Bytes;
use pipeline::endpoint::DatabaseUrl;
use pipeline::{Content, Context, Error, Kind, Proof, Receipt, Result, Sink};
use tokio::sync::Mutex;

use super::intake::{Action, Batch, Intake};
use super::lane::{Arrived, Lane, Shared};
use super::large::Large;
use super::target::{MARK, Target};
use super::{Begun, Conflict, RedisLoad};
use crate::Occupied;
use crate::crew::Crew;

/// Bytes of a snapshot that are looked at before what they gave is sent.
const PIECE: usize = 64 << 10;

/// The sink of the one stream.
pub(super) struct Script {
    target: Target,
    shared: Arc<Shared>,
    begun: Arc<Mutex<Begun>>,
    cx: Context,
    intake: Intake,
    resumes: bool,
    joins: bool,
    crew: Crew<Lane>,
    large: Option<Large>,
    /// Large keys, which go a way of their own.
    arrived: Arrived,
    /// Until the load has begun.
    options: Option<RedisLoad>,
}

#[async_trait]
impl Sink for Script {
    async fn write(&mut self, data: Bytes) -> Result<()> {
        let result = self.begin().await;
        self.noted(result).await?;
        for piece in data.chunks(PIECE) {
            let result = match self.intake.push(piece) {
                Ok(actions) => self.act(actions).await,
                Err(error) => Err(error),
            };
            self.noted(result).await?;
        }
        Ok(())
    }

    async fn commit(mut self: Box<Self>, content: &Content) -> Result<Receipt> {
        let result = match self.begin().await {
            Ok(()) => self.finish().await,
            Err(error) => Err(error),
        };
        self.noted(result).await?;
        Ok(Receipt { bytes: content.bytes, proof: Proof::KeysAccepted { keys: self.arrived.keys } })
    }

    async fn abort(mut self: Box<Self>) -> Result<()> {
        self.crew.stop().await;
        Ok(())
    }
}

impl Script {
    pub(super) fn new(
        target: Target,
        url: &DatabaseUrl,
        options: &RedisLoad,
        resumes: bool,
        begun: Arc<Mutex<Begun>>,
        cx: &Context,
    ) -> Self {
        // Keys that are there from the time before are the snapshot's own.
        let conflict = if resumes { Conflict::Replace } else { options.conflict };
        let joins = options.occupied == Occupied::Join;
        let shared = Shared {
            url: url.clone(),
            cluster: target.cluster,
            conflict,
            alone: !joins,
            map: RwLock::new(Arc::new(target.map.clone())),
        };
        let intake = Intake::new(target.version, options.room / 2, conflict == Conflict::Replace);
        Self {
            target,
            shared: Arc::new(shared),
            begun,
            cx: cx.clone(),
            intake,
            resumes,
            joins,
            crew: Crew::new(options.jobs, options.room),
            large: None,
            arrived: Arrived::default(),
            options: Some(options.clone()),
        }
    }

    /// With the first bytes, which the steps before have looked at: what is no snapshot never gets as far as to clear a server for it.
    async fn begin(&mut self) -> Result<()> {
        let Some(options) = self.options.take() else { return Ok(()) };
        let mut begun = self.begun.lock().await;
        begun.marked = true;
        // What an earlier load has brought is not thrown away for a mistake of this one.
        begun.keep = self.resumes;
        self.target.mark(options.marked()).await?;
        if options.occupied == Occupied::Replace {
            for db in self.target.occupied(&options) {
                begun.databases.insert(db);
                self.target.clear(db, options.marked()).await?;
            }
        }
        self.cx.info(format!("the target is marked as incomplete by the key {MARK}"));
        Ok(())
    }

    /// A target that fails in passing keeps what it has.
    async fn noted(&self, result: Result<()>) -> Result<()> {
        if let Err(error) = &result
            && error.kind() == Kind::Temporary
        {
            self.begun.lock().await.keep = true;
        }
        result
    }

    async fn act(&mut self, actions: Vec<Action>) -> Result<()> {
        for action in actions {
            match action {
                Action::Deliver(batch) => self.dispatch(batch).await?,
                Action::Begin { db, key } => {
                    self.concerns(db).await;
                    self.large = Some(Large::begin(&self.shared, db, key).await?);
                }
                Action::More(commands) => {
                    if let Some(large) = &mut self.large {
                        large.more(&commands).await?;
                    }
                }
                Action::End(replies) => {
                    if let Some(large) = self.large.take() {
                        let there = large.end(replies).await?;
                        self.arrived.keys += u64::from(there);
                        self.arrived.kept += u64::from(!there);
                    }
                }
                Action::Function(library) => {
                    let replace = self.shared.conflict == Conflict::Replace;
                    let loaded = self.target.function(&library, replace).await?;
                    if !loaded && self.shared.conflict == Conflict::Fail {
                        let line = library.split(|byte| *byte == b'\n').next().unwrap_or_default();
                        return Err(Error::sink("the target has a library of functions of this name")
                            .with("library", line.escape_ascii())
                            .hint(
                                "--on-conflict replace or skip; --redis-drop functions leaves functions out",
                            ));
                    }
                }
            }
        }
        Ok(())
    }

    /// Remembers that a database is written.
    async fn concerns(&self, db: u64) {
        self.begun.lock().await.databases.insert(db);
    }

    async fn dispatch(&mut self, batch: Batch) -> Result<()> {
        self.concerns(batch.db).await;
        self.crew.dispatch(batch, || Lane::new(Arc::clone(&self.shared))).await
    }

    async fn finish(&mut self) -> Result<()> {
        let actions = self.intake.finish()?;
        self.act(actions).await?;
        self.crew.all_done().await?;
        self.arrived += *self.crew.done();
        self.counted().await?;
        let (expired, metadata, by_commands) = self.intake.asides();
        if expired > 0 {
            self.cx.info(format!("{expired} keys had expired on the way, and were left out"));
        }
        if by_commands > 0 {
            self.cx.info(format!(
                "{by_commands} keys were made by commands: too large to be held, or of a form that the target does not restore"
            ));
        }
        if metadata > 0 {
            self.cx.warn(format!("{metadata} keys had notes of modules, which were left out"));
        }
        if self.arrived.kept > 0 {
            self.cx.warn(format!(
                "{} keys were at the target already, and stayed as they were (--on-conflict skip)",
                self.arrived.kept
            ));
        }
        Ok(())
    }

    /// Holds the keys that were taken against those that are there: a server that is full may throw keys out again without a word, and a failover
    /// may lose what was acknowledged.
    async fn counted(&mut self) -> Result<()> {
        if self.joins {
            return Ok(());
        }
        // After a failover the servers are others.
        let mut target = Target::look(&self.shared.url, &Context::silent()).await?;
        for (&db, count) in self.intake.counts() {
            let mark = u64::from(target.is_marked(db).await?);
            let found = target.count(db).await?.saturating_sub(mark);
            let least = count.keys - count.expiring;
            if found < least && self.arrived.kept == 0 {
                let mut error = Error::sink("keys have gone from the target again while it was loaded")
                    .with("database", db)
                    .with("sent", count.keys)
                    .with("of them expiring", count.expiring)
                    .with("found", found);
                error = match target.policy() {
                    Some(policy) if policy != "noeviction" => error.hint(format!(
                        "the target throws keys out when its memory is full (maxmemory-policy {policy}): give it more"
                    )),
                    _ => error.hint("was there a failover? what a replica had not got yet is lost then"),
                };
                return Err(error.hint("`--resume` from the same archive loads everything again"));
            }
            if found > count.keys && !self.resumes {
                self.cx.warn(format!(
                    "database {db} holds {found} keys, and {} were loaded: somebody else writes there",
                    count.keys
                ));
            }
        }
        Ok(())
    }
}
