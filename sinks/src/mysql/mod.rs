//! A MySQL or MariaDB database as a destination: a dump is executed, its rows over several connections.
//!
//! These servers commit every change of the schema by itself, so a load cannot be one transaction. Instead the database is marked as incomplete before the first
//! statement, by a table that also remembers which statements and units of rows are there, and `publish` removes the mark. A load that fails removes what it made; one
//! that is killed, or whose target goes away, leaves the mark: nobody takes the database for whole, and a second run goes on behind what is there.

use std::sync::Arc;

use async_trait::async_trait;
use mysql_async::prelude::Queryable;
use pipeline::endpoint::{DatabaseUrl, Engine};
use pipeline::{Context, Destination, Error, Kind, Manifest, PartHeader, Result, Sink};
use tokio::sync::Mutex;

use crate::Occupied;
use crate::crew::{Begun, incomplete, through_a_failover};

mod create;
mod explain;
mod script;
mod target;
mod worker;

/// How to load.
#[derive(Debug, Clone)]
pub struct MysqlLoad {
    /// What to do with a database that holds something.
    pub occupied: Occupied,
    /// Connections that bring rows.
    pub jobs: usize,
    /// Longest statement in bytes, and what is on its way at once. The loader holds three times this.
    pub room: usize,
}

/// A MySQL or MariaDB database.
#[derive(Debug)]
pub struct MysqlDestination {
    url: DatabaseUrl,
    options: MysqlLoad,
    /// Locked while it is being decided.
    begun: Arc<Mutex<Begun>>,
    ended: Arc<Mutex<Option<Ended>>>,
}

/// A load that has come to its end.
#[derive(Debug)]
struct Ended {
    /// The connection that it began with: as long as it stands, the server has not died and forgotten a counter.
    conn: mysql_async::Conn,
    /// What sets the counters of tables again.
    counters: Vec<Vec<u8>>,
}

impl MysqlDestination {
    /// The database at `url`.
    pub fn new(url: DatabaseUrl, options: MysqlLoad) -> Result<Self> {
        if url.engine != Engine::Mysql {
            return Err(Error::bug("a URL of another kind was given to the MySQL loader"));
        }
        if url.databases.len() != 1 {
            return Err(Error::usage(format!("`{url}` does not name the database to load into"))
                .hint("name it in the path: mysql://user@host/db"));
        }
        Ok(Self { url, options, begun: Arc::default(), ended: Arc::default() })
    }
}

#[async_trait]
impl Destination for MysqlDestination {
    fn endpoint(&self) -> String {
        self.url.to_string()
    }

    fn memory(&self) -> usize {
        // The statement that arrives, those on their way, and the client library's copies of them.
        3 * self.options.room + (8 << 20)
    }

    async fn probe(&mut self, _: &Context) -> Result<Option<u64>> {
        let mut conn = target::connect(&self.url).await?;
        target::check(&mut conn, &self.url, self.options.occupied).await?;
        Ok(None)
    }

    async fn open(&self, part: &PartHeader, cx: &Context) -> Result<Box<dyn Sink>> {
        if part.path.is_some() {
            return Err(Error::usage("a database takes one stream, and this source has several parts"));
        }
        let mut begun = Arc::clone(&self.begun).lock_owned().await;
        let (url, options, cx) = (self.url.clone(), self.options.clone(), cx.clone());
        let ended = Arc::clone(&self.ended);
        // A task of its own: if nobody waits for it any more, a statement that is under way is still brought to its end, and `abandon` knows of it.
        let opened = tokio::spawn(async move {
            let mut conn = target::connect(&url).await?;
            target::alone(&mut conn).await?;
            // Somebody may have come between the look and the load.
            let resumes = target::check(&mut conn, &url, options.occupied).await?;
            if options.occupied == Occupied::Replace {
                begun.touched = true;
                target::clear(&mut conn).await?;
                // What clearing has set is not for loading.
                conn = target::connect(&url).await?;
                target::alone(&mut conn).await?;
            }
            if resumes {
                cx.info("going on with the load that did not end");
            } else {
                target::mark(&mut conn, &cx).await?;
            }
            begun.touched = true;
            // What an earlier load has brought is not thrown away for a mistake of this one.
            begun.keep = resumes;
            let packet: Option<usize> = conn
                .query_first("SELECT @@max_allowed_packet")
                .await
                .map_err(|error| explain::refused(error, "looking at it"))?;
            let packet = packet.unwrap_or(16 << 20);
            let begun = tokio::sync::OwnedMutexGuard::mutex(&begun).clone();
            Ok(script::Script::new(conn, url, &options, packet, resumes, (begun, ended), cx))
        });
        let script =
            opened.await.map_err(|panic| Error::bug("opening the target panicked").caused_by(panic))?;
        Ok(Box::new(script?))
    }

    async fn publish(&mut self, _: &Manifest, _: &Context) -> Result<()> {
        let sql = format!("DROP TABLE IF EXISTS {}", target::JOURNAL);
        let run = async |conn: &mut mysql_async::Conn, sql: &[u8]| {
            let shown = String::from_utf8_lossy(sql).into_owned();
            conn.query_drop(sql).await.map_err(|error| explain::refused(error, &format!("`{shown}`")))
        };
        let ended = self.ended.lock().await.take();
        let (first, counters) = match ended {
            Some(Ended { mut conn, counters }) => (run(&mut conn, sql.as_bytes()).await, counters),
            None => return Err(Error::bug("a load is published that was not committed")),
        };
        let mut unmarked = first;
        if unmarked.is_err() {
            unmarked = through_a_failover(|| async {
                let mut conn = target::connect(&self.url).await?;
                run(&mut conn, b"SET SESSION sql_mode = ''").await?;
                for counter in &counters {
                    run(&mut conn, counter).await?;
                }
                run(&mut conn, sql.as_bytes()).await
            })
            .await;
        }
        // Everything is loaded: to remove it now would help nobody.
        *self.begun.lock().await = Begun::default();
        unmarked.map_err(|error| {
            let table = target::JOURNAL;
            error
                .of_kind(Kind::Temporary)
                .also(format!(
                    "everything is loaded, and the table {table} still marks the target as incomplete"
                ))
                .hint(format!("drop the table {table} yourself, or start over with `--overwrite`"))
        })
    }

    async fn abandon(&mut self) -> Result<()> {
        let begun = std::mem::take(&mut *self.begun.lock().await);
        if !begun.touched {
            return Ok(());
        }
        let incomplete = |why| incomplete(why, &format!("the table {}", target::JOURNAL));
        if begun.keep {
            return Err(incomplete("what was loaded is kept"));
        }
        if self.options.occupied == Occupied::Join {
            return Err(incomplete("it was loaded beside what was there, so nothing was removed"));
        }
        let mut conn = match target::connect(&self.url).await {
            Ok(conn) => conn,
            Err(error) => return Err(incomplete("the target cannot be reached").caused_by(error)),
        };
        target::clear(&mut conn)
            .await
            .map_err(|error| incomplete("not everything could be removed").caused_by(error))
    }
}
