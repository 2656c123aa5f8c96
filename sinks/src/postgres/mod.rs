//! A PostgreSQL database as a destination: a plain dump is executed, in one transaction or over several connections.
//!
//! One transaction is what makes a load whole or absent: a statement that is refused, a source that dies, a lost connection leave the database as it was,
//! and `publish` is the COMMIT. With `--overwrite` what was there goes in the same transaction, so it stays whole until the new is there.
//!
//! Several connections are faster and no transaction: a mark says that the database is not whole, until `publish` takes it away.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pipeline::endpoint::{DatabaseUrl, Engine};
use pipeline::{Context, Destination, Error, Kind, Manifest, PartHeader, Result, Sink, Stage};
use tokio::sync::Mutex;
use tokio_postgres::{Client, SimpleQueryMessage};

use self::parallel::{Parallel, ParallelSink};
use self::script::Script;
use self::whole::{Loaded, Whole, WholeSink};
use crate::Occupied;
use crate::crew::{Begun, incomplete, through_a_failover};

mod explain;
mod lines;
mod parallel;
mod script;
mod target;
mod whole;

/// How to load.
#[derive(Debug, Clone)]
pub struct PostgresLoad {
    /// What to do with a database that holds something.
    pub occupied: Occupied,
    /// Connections that bring rows and build indexes. One means that the load is one transaction.
    pub jobs: usize,
    /// What several connections have on their way at once, in bytes; half of it is the longest row.
    pub room: usize,
}

/// A PostgreSQL database.
pub struct PostgresDestination {
    url: DatabaseUrl,
    load: PostgresLoad,
    /// The open transaction, whenever no sink has it.
    loaded: Arc<Mutex<Option<Loaded>>>,
    /// What several connections have done; locked while it is being decided.
    begun: Arc<Mutex<Begun>>,
    /// What makes tables unlogged once everything is there.
    unlogged: Arc<Mutex<Vec<String>>>,
}

impl std::fmt::Debug for PostgresDestination {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PostgresDestination").field("url", &self.url).finish_non_exhaustive()
    }
}

impl PostgresDestination {
    /// The database at `url`.
    pub fn new(url: DatabaseUrl, load: PostgresLoad) -> Result<Self> {
        if url.engine != Engine::Postgres {
            return Err(Error::bug("a URL of another kind was given to the PostgreSQL loader"));
        }
        if url.databases.len() != 1 {
            return Err(Error::usage(format!("`{url}` does not name the database to load into"))
                .hint("name it in the path: postgres://user@host/db"));
        }
        Ok(Self { url, load, loaded: Arc::default(), begun: Arc::default(), unlogged: Arc::default() })
    }

    async fn connect(&self) -> Result<Client> {
        connect(&self.url).await
    }

    /// Asks how the transaction ended, when the answer to COMMIT was lost.
    async fn outcome(&self, transaction: i64) -> Option<String> {
        // A failover takes about a minute.
        for wait in [0, 1, 2, 4, 8, 15, 30] {
            tokio::time::sleep(Duration::from_secs(wait)).await;
            let Ok(client) = self.connect().await else { continue };
            let Ok(row) = client.query_one("SELECT txid_status($1)", &[&transaction]).await else { continue };
            match row.try_get::<_, Option<String>>(0) {
                // The server is still at it.
                Ok(Some(status)) if status == "in progress" => {}
                Ok(status) => return status,
                Err(_) => return None,
            }
        }
        None
    }

    /// Commits the one transaction.
    async fn commit(&self, Loaded { client, transaction }: Loaded) -> Result<()> {
        match client.batch_execute("COMMIT").await {
            Ok(()) => Ok(()),
            Err(error) if error.as_db_error().is_some() => {
                Err(explain::refused(&error, "COMMIT").also("nothing was applied"))
            }
            Err(error) => match self.outcome(transaction).await.as_deref() {
                Some("committed") => Ok(()),
                Some("aborted") => {
                    Err(Error::sink("the connection broke at COMMIT, and the server took everything back")
                        .of_kind(Kind::Temporary)
                        .with("destination", self.url.place())
                        .caused_by(error)
                        .hint("nothing was applied: run it again"))
                }
                _ => Err(Error::sink(
                    "the connection broke at COMMIT, and whether it was done could not be found out",
                )
                .of_kind(Kind::OutcomeUnknown)
                .with("transaction", transaction)
                .caused_by(error)
                .hint(format!("ask the server: SELECT txid_status({transaction})"))),
            },
        }
    }

    /// Takes away the mark of a load over several connections.
    async fn unmark(&self, cx: &Context) -> Result<()> {
        let unlogged = self.unlogged.lock().await.clone();
        let unmarked = through_a_failover(|| async {
            let (client, ..) = open(&self.url, 1).await?;
            parallel::unmark(&client, &unlogged, cx).await
        });
        let unmarked = unmarked.await;
        // Everything is loaded: to remove it now would help nobody.
        *self.begun.lock().await = Begun::default();
        let mark = parallel::MARK;
        unmarked.map_err(|error| {
            error
                .of_kind(Kind::Temporary)
                .also(format!(
                    "everything is loaded, and the schema {mark} still marks the target as incomplete"
                ))
                .hint(format!("drop the schema {mark} yourself, or start over with `--overwrite`"))
        })
    }
}

async fn connect(url: &DatabaseUrl) -> Result<Client> {
    connections::postgres::connect(url).await.map_err(|error| error.at(Stage::Sink))
}

/// The values of one column, as text.
async fn column(client: &Client, sql: &str) -> std::result::Result<Vec<String>, tokio_postgres::Error> {
    let messages = client.simple_query(sql).await?;
    let values = messages.into_iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row.get(0).unwrap_or_default().to_owned()),
        _ => None,
    });
    Ok(values.collect())
}

/// A connection of its own, and the names of all settings of its server.
async fn open(url: &DatabaseUrl, jobs: usize) -> Result<(Client, BTreeSet<String>, String)> {
    let client = connect(url).await?;
    let preparing = |error| explain::refused(&error, "preparing the session");
    let known = column(&client, "SELECT name FROM pg_settings").await.map_err(preparing)?;
    let known: BTreeSet<String> = known.into_iter().collect();
    let session = target::session(&known, jobs);
    client.batch_execute(&session).await.map_err(preparing)?;
    Ok((client, known, session))
}

async fn run(client: &Client, sql: &str) -> Result<()> {
    client.batch_execute(sql).await.map_err(|error| explain::refused(&error, sql))
}

/// Empties the target.
async fn empty(url: &DatabaseUrl) -> Result<()> {
    let (client, ..) = open(url, 1).await?;
    run(&client, "BEGIN").await?;
    target::clear(&client).await?;
    run(&client, "COMMIT").await
}

#[async_trait]
impl Destination for PostgresDestination {
    fn endpoint(&self) -> String {
        self.url.to_string()
    }

    fn memory(&self) -> usize {
        let several = self.load.jobs > 1 || self.load.occupied == Occupied::Resume;
        script::MEMORY + if several { self.load.room + parallel::longest_row(self.load.room) } else { 0 }
    }

    async fn probe(&mut self, _: &Context) -> Result<Option<u64>> {
        let client = self.connect().await?;
        target::check(&client, &self.url, self.load.occupied).await?;
        Ok(None)
    }

    async fn open(&self, part: &PartHeader, cx: &Context) -> Result<Box<dyn Sink>> {
        if part.path.is_some() {
            return Err(Error::usage("a database takes one stream, and this source has several parts"));
        }
        let (client, known, session) = open(&self.url, self.load.jobs).await?;
        // Somebody may have come between the look and the load.
        let resumes = target::check(&client, &self.url, self.load.occupied).await?;
        if self.load.jobs > 1 || resumes {
            return self.open_parallel(client, known, session, resumes, cx).await;
        }
        run(&client, "BEGIN").await?;
        if self.load.occupied == Occupied::Replace {
            target::clear(&client).await?;
        } else if self.load.occupied == Occupied::Resume {
            cx.info("a load is one transaction here: nothing of an earlier one was applied, and this one starts at the beginning");
        }
        let script = Script::new(Whole::new(client, cx.clone()), known, cx.clone());
        Ok(Box::new(WholeSink { script, loaded: Arc::clone(&self.loaded) }))
    }

    async fn publish(&mut self, _: &Manifest, cx: &Context) -> Result<()> {
        let loaded = self.loaded.lock().await.take();
        match loaded {
            Some(loaded) => self.commit(loaded).await,
            None if self.begun.lock().await.touched => self.unmark(cx).await,
            None => Err(Error::bug("a load is published that was not committed")),
        }
    }

    async fn abandon(&mut self) -> Result<()> {
        // The server rolls back what is not committed when the connection goes.
        drop(self.loaded.lock().await.take());
        let begun = std::mem::take(&mut *self.begun.lock().await);
        if !begun.touched {
            return Ok(());
        }
        let incomplete = |why| incomplete(why, &format!("the schema {}", parallel::MARK));
        if begun.keep {
            return Err(incomplete("what was loaded is kept"));
        }
        if self.load.occupied == Occupied::Join {
            return Err(incomplete("it was loaded beside what was there, so nothing was removed"));
        }
        let mut result = empty(&self.url).await;
        // A connection that was left behind may hold what is to go.
        for _ in 0..3 {
            match &result {
                Err(error) if error.kind() == Kind::Temporary => {
                    tokio::time::sleep(Duration::from_secs(2)).await;
                    result = empty(&self.url).await;
                }
                _ => break,
            }
        }
        result.map_err(|error| incomplete("not everything could be removed").caused_by(error))
    }
}

impl PostgresDestination {
    async fn open_parallel(
        &self,
        client: Client,
        known: BTreeSet<String>,
        session: String,
        resumes: bool,
        cx: &Context,
    ) -> Result<Box<dyn Sink>> {
        let mut begun = Arc::clone(&self.begun).lock_owned().await;
        let (url, load, cx) = (self.url.clone(), self.load.clone(), cx.clone());
        let unlogged = Arc::clone(&self.unlogged);
        // A task of its own: if nobody waits for it any more, a COMMIT that is under way is still brought to its end, and `abandon` knows of it.
        let opened = tokio::spawn(async move {
            if resumes {
                cx.info("going on with the load that did not end");
            } else {
                run(&client, "BEGIN").await?;
                if load.occupied == Occupied::Replace {
                    target::clear(&client).await?;
                }
                parallel::mark(&client, &cx).await?;
                run(&client, "COMMIT").await?;
            }
            begun.touched = true;
            // What an earlier load has brought is not thrown away for a mistake of this one.
            begun.keep = resumes;
            let target = Parallel::new(client, url, session, &load, unlogged, cx.clone()).await?;
            let begun = tokio::sync::OwnedMutexGuard::mutex(&begun).clone();
            Ok(ParallelSink { script: Script::new(target, known, cx), begun })
        });
        let sink: Result<ParallelSink> =
            opened.await.map_err(|panic| Error::bug("opening the target panicked").caused_by(panic))?;
        Ok(Box::new(sink?))
    }
}
