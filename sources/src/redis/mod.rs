//! A live Redis or Valkey server, read as its replica would read it.
//!
//! The server forks once and sends what it held at that moment. Its own command line tool does the same and writes a file; here the stream
//! goes on as it comes, and its end is known from the grammar of the snapshot, not looked for.

mod probe;
mod replica;
mod scan;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use connections::redis::{self, Place};
use pipeline::endpoint::DatabaseUrl;
use pipeline::{Context, Format, FrameSender, Part, Reader, Result, Source, SourceInfo};

use probe::Server;

/// Which of the two ways a server makes a snapshot for a replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RedisSync {
    /// By what the server is set to and what the destination may do to it.
    #[default]
    Auto,
    /// The server writes its dump file first and sends that. A destination that stalls breaks nothing.
    Disk,
    /// The server sends while it saves, and needs no disk. A destination that stalls for `repl-timeout` (60 s) ends it.
    Diskless,
}

/// What the reader of a live server holds at most: two pieces on their way, and the start of a record that a piece cut, which is
/// doubled when it grows.
pub const READER_MEMORY: usize = (1 << 20) + 2 * formats::rdb::HEAD_LIMIT;

/// How to read.
#[derive(Debug, Clone, Default)]
pub struct RedisOptions {
    /// Which way to ask for.
    pub sync: RedisSync,
    /// Reads key by key instead, where a server lets nobody be its replica. That is no picture of one moment.
    pub scan: bool,
    /// The destination may stall for long: a pipe, a store behind a network.
    pub may_stall: bool,
    /// Databases to read with [`RedisOptions::scan`]; none reads all.
    pub databases: Vec<u64>,
    /// Set when the server says beforehand that nothing in it needs more than version 11 of the format, whatever version it writes.
    pub plain: Arc<AtomicBool>,
}

/// What becomes known while it is read, for the manifest.
type Facts = Arc<Mutex<BTreeMap<String, String>>>;

/// The source.
#[derive(Debug)]
pub struct RedisDump {
    url: DatabaseUrl,
    options: RedisOptions,
    found: Option<(Place, Server)>,
    facts: Facts,
}

impl RedisDump {
    /// Nothing is opened yet.
    pub fn new(url: DatabaseUrl, options: RedisOptions) -> Self {
        Self { url, options, found: None, facts: Facts::default() }
    }
}

#[async_trait]
impl Source for RedisDump {
    fn endpoint(&self) -> String {
        self.url.to_string()
    }

    async fn probe(&mut self, cx: &Context) -> Result<SourceInfo> {
        let place = redis::locate(&self.url, redis::Role::Replica, cx).await?;
        let server = probe::ask(&place, &self.url).await?;
        server.ready()?;
        for warning in &server.warnings {
            cx.warn(warning.clone());
        }
        self.options.plain.store(server.plain, Ordering::Relaxed);
        let mut facts = server.facts.clone();
        if place.by_sentinel {
            facts.insert("address".to_owned(), place.to_string());
        }
        let info = SourceInfo {
            endpoint: self.url.to_string(),
            kind: "redis".to_owned(),
            server: server.product.clone(),
            client: None,
            expected_bytes: None,
            facts,
        };
        self.found = Some((place, server));
        Ok(info)
    }

    async fn next_part(&mut self, _: &Context) -> Result<Option<Part>> {
        let Some((place, server)) = self.found.take() else { return Ok(None) };
        let reader = RedisReader {
            place,
            server,
            url: self.url.clone(),
            options: self.options.clone(),
            facts: Arc::clone(&self.facts),
        };
        Ok(Some(crate::whole(Some(Format::Rdb), None, Box::new(reader))))
    }

    async fn finish(self: Box<Self>, _: &Context) -> Result<BTreeMap<String, String>> {
        Ok(std::mem::take(&mut *self.facts.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

struct RedisReader {
    place: Place,
    server: Server,
    url: DatabaseUrl,
    options: RedisOptions,
    facts: Facts,
}

impl RedisReader {
    fn fact(&self, name: &str, value: impl Into<String>) {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), value.into());
    }
}

#[async_trait]
impl Reader for RedisReader {
    fn memory(&self) -> usize {
        READER_MEMORY
    }

    async fn read(self: Box<Self>, out: &mut FrameSender, cx: &Context) -> Result<()> {
        // Dropping the connection is all there is to let go of, and the server notices that at once.
        let work = async {
            if self.options.scan {
                scan::read(&self, out, cx).await
            } else {
                replica::read(&self, out, cx).await
            }
        };
        tokio::select! {
            result = work => result,
            () = cx.cancellation().cancelled() => Err(pipeline::Error::cancelled()),
        }
    }
}
