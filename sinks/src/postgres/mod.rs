//! A PostgreSQL database as a destination: a plain dump is executed, in one transaction.
//!
//! One transaction is what makes a load whole or absent: a statement that is refused, a source that dies, a lost connection leave the database as it was,
//! and `publish` is the COMMIT. With `--overwrite` what was there goes in the same transaction, so it stays whole until the new is there.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pipeline::endpoint::{DatabaseUrl, Engine};
use pipeline::{Context, Destination, Error, Kind, Manifest, PartHeader, Result, Sink, Stage};
use tokio::sync::Mutex;
use tokio_postgres::{Client, SimpleQueryMessage};

use crate::Occupied;

mod explain;
mod rows;
mod script;
mod target;

/// A PostgreSQL database.
pub struct PostgresDestination {
    url: DatabaseUrl,
    occupied: Occupied,
    /// The open transaction, whenever no sink has it.
    loaded: Arc<Mutex<Option<Loaded>>>,
}

impl std::fmt::Debug for PostgresDestination {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PostgresDestination").field("url", &self.url).finish_non_exhaustive()
    }
}

/// A transaction that holds a whole dump, not committed.
struct Loaded {
    client: Client,
    transaction: i64,
}

impl PostgresDestination {
    /// The database at `url`.
    pub fn new(url: DatabaseUrl, occupied: Occupied) -> Result<Self> {
        if url.engine != Engine::Postgres {
            return Err(Error::bug("a URL of another kind was given to the PostgreSQL loader"));
        }
        if url.databases.len() != 1 {
            return Err(Error::usage(format!("`{url}` does not name the database to load into"))
                .hint("name it in the path: postgres://user@host/db"));
        }
        Ok(Self { url, occupied, loaded: Arc::default() })
    }

    async fn connect(&self) -> Result<Client> {
        connections::postgres::connect(&self.url).await.map_err(|error| error.at(Stage::Sink))
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

#[async_trait]
impl Destination for PostgresDestination {
    fn endpoint(&self) -> String {
        self.url.to_string()
    }

    fn memory(&self) -> usize {
        script::MEMORY
    }

    async fn probe(&mut self, _: &Context) -> Result<Option<u64>> {
        let client = self.connect().await?;
        target::check(&client, &self.url, self.occupied).await?;
        Ok(None)
    }

    async fn open(&self, part: &PartHeader, cx: &Context) -> Result<Box<dyn Sink>> {
        if part.path.is_some() {
            return Err(Error::usage("a database takes one stream, and this source has several parts"));
        }
        let client = self.connect().await?;
        let lost = |error| explain::lost("preparing the session", &error);
        let settings: BTreeSet<String> =
            column(&client, "SELECT name FROM pg_settings").await.map_err(lost)?.into_iter().collect();
        client.batch_execute(&target::session(&settings)).await.map_err(lost)?;
        client.batch_execute("BEGIN").await.map_err(lost)?;
        if self.occupied == Occupied::Replace {
            target::clear(&client).await?;
        } else {
            // Somebody may have come between the look and the load.
            target::check(&client, &self.url, self.occupied).await?;
            if self.occupied == Occupied::Resume {
                cx.info("a load is one transaction here: nothing of an earlier one was applied, and this one starts at the beginning");
            }
        }
        let script = script::Script::new(client, settings, cx.clone());
        Ok(Box::new(script::ScriptSink { script, loaded: Arc::clone(&self.loaded) }))
    }

    async fn publish(&mut self, _: &Manifest, _: &Context) -> Result<()> {
        let Some(Loaded { client, transaction }) = self.loaded.lock().await.take() else {
            return Err(Error::bug("a load is published that was not committed"));
        };
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

    async fn abandon(&mut self) -> Result<()> {
        // The server rolls back what is not committed when the connection goes.
        drop(self.loaded.lock().await.take());
        Ok(())
    }
}
