//! Reads key by key, where a server lets nobody be its replica.
//!
//! SCAN promises that a key which is there from beginning to end is named at least once. It promises nothing of keys that come or go meanwhile, and each
//! value is as it was when its turn came. The manifest says so. A key may be named twice; the step behind drops the second.

use bytes::{Buf, Bytes};
use connections::redis::{Reply, Wire, command, enter, refusal};
use formats::rdb::{Crc64, Encoder, Kind as ValueKind, Version, dump};
use pipeline::{Context, Error, FrameSender, Result};

use super::{RedisReader, probe::Server};

/// Keys asked for at a time. The server answers while we read, so more would only wait in its memory.
const BATCH: usize = 128;

/// Bytes that are gathered before they are handed on.
const PIECE: usize = 128 << 10;

/// Version and checksum behind a dumped value.
const FOOTER: usize = 10;

/// What `DUMP` of this server states, which is what its snapshots state.
fn version(server: &Server) -> Option<Version> {
    server.version.and_then(|(major, minor)| Version::written_by(server.valkey, major, minor))
}

pub(super) async fn read(reader: &RedisReader, out: &mut FrameSender, cx: &Context) -> Result<()> {
    let version = version(&reader.server).ok_or_else(|| {
        Error::source("the server does not tell its version, which a scan must know")
            .hint("the account needs +info; an administrator gives it with ACL SETUSER")
    })?;
    cx.warn("read key by key: keys that changed meanwhile may be old, new or missing, so this is no picture of one moment");
    reader.fact("consistency", "none: SCAN and DUMP, key by key");
    let databases = match (&reader.options.databases, &reader.server.databases) {
        (asked, _) if !asked.is_empty() => asked.clone(),
        (_, Some(found)) => found.clone(),
        _ => vec![0],
    };
    let mut scan = Scan {
        wire: enter(&reader.place, &reader.url).await?,
        encoder: Encoder::new(version),
        version,
        reader,
        out,
    };
    for db in databases {
        scan.database(db).await?;
    }
    let Scan { encoder, out, .. } = scan;
    out.send(encoder.finish().into()).await
}

struct Scan<'a> {
    wire: Wire,
    encoder: Encoder,
    version: Version,
    reader: &'a RedisReader,
    out: &'a mut FrameSender,
}

impl Scan<'_> {
    async fn call(&mut self, words: &[&[u8]]) -> Result<Reply> {
        match self.wire.call(words).await? {
            Reply::Error(text) => {
                let command = String::from_utf8_lossy(words[0]);
                Err(refusal::explain(&text, &command, &self.reader.url))
            }
            reply => Ok(reply),
        }
    }

    async fn database(&mut self, db: u64) -> Result<()> {
        // In cluster mode there is only one, and SELECT is refused.
        if db != 0 || self.reader.server.facts.get("mode").is_none_or(|mode| mode != "cluster") {
            self.call(&[b"SELECT", db.to_string().as_bytes()]).await?;
        }
        self.encoder.select_db(db);
        let mut cursor = b"0".to_vec();
        let count = BATCH.to_string();
        loop {
            let Reply::Array(mut answer) = self.call(&[b"SCAN", &cursor, b"COUNT", count.as_bytes()]).await?
            else {
                return Err(self.wire.confused("no array after SCAN"));
            };
            let (Some(Reply::Array(keys)), Some(Reply::Bulk(next))) = (answer.pop(), answer.pop()) else {
                return Err(self.wire.confused("no cursor after SCAN"));
            };
            let keys: Vec<Vec<u8>> = keys
                .into_iter()
                .filter_map(|key| if let Reply::Bulk(name) = key { Some(name) } else { None })
                .collect();
            for batch in keys.chunks(BATCH) {
                self.batch(batch).await?;
            }
            if next == b"0" {
                return Ok(());
            }
            cursor = next;
        }
    }

    async fn batch(&mut self, keys: &[Vec<u8>]) -> Result<()> {
        // The moment of expiry itself is asked for where the server knows it: a time to live is already over while it travels.
        let exact = self.reader.server.version.is_some_and(|version| version >= (7, 0));
        let mut words = Vec::new();
        for key in keys {
            command(&mut words, &[if exact { b"PEXPIRETIME" } else { b"PTTL" }, key]);
            command(&mut words, &[b"DUMP", key]);
        }
        self.wire.send(&words).await?;
        for key in keys {
            let expires_at = match self.wire.reply().await? {
                Reply::Integer(number) if number >= 0 && exact => Some(number),
                Reply::Integer(number) if number >= 0 => Some(now().saturating_add(number)),
                Reply::Integer(_) => None,
                Reply::Error(text) => return Err(refusal::explain(&text, "PTTL", &self.reader.url)),
                _ => return Err(self.wire.confused("no number for a key's expiry")),
            };
            self.value(key, expires_at).await?;
            if self.encoder.pending() >= PIECE {
                self.hand_on().await?;
            }
        }
        Ok(())
    }

    async fn hand_on(&mut self) -> Result<()> {
        let data = self.encoder.take(Vec::with_capacity(PIECE));
        self.out.send(Bytes::from(data)).await
    }

    /// One dumped value, of any size, passed on as it comes.
    async fn value(&mut self, key: &[u8], expires_at: Option<i64>) -> Result<()> {
        let line = self.wire.line().await?;
        if let Some(text) = line.strip_prefix('-') {
            return Err(refusal::explain(text, "DUMP", &self.reader.url));
        }
        let length = line.strip_prefix('$').and_then(|length| length.parse::<i64>().ok());
        let Some(length) = length else { return Err(self.wire.confused("no string after DUMP")) };
        // The key went away meanwhile.
        let Ok(length) = usize::try_from(length) else { return Ok(()) };
        let wrong = |what: &str| {
            Error::source(format!("the server dumped a key wrongly: {what}")).with("key", key.escape_ascii())
        };
        let Some(mut due) = length.checked_sub(FOOTER + 1) else { return Err(wrong("it is too short")) };
        let mut crc = Crc64::new();
        self.fill(1).await?;
        let kind = self.wire.ahead.split_to(1);
        crc.update(&kind);
        let kind = ValueKind::of(self.version, kind[0]).map_err(|problem| wrong(&problem.to_string()))?;
        if let Some(at) = expires_at {
            self.encoder.expires_at(at);
        }
        self.encoder.key(kind, key);
        while due > 0 {
            self.fill(1).await?;
            let piece = self.wire.ahead.split_to(due.min(self.wire.ahead.len()));
            due -= piece.len();
            crc.update(&piece);
            self.encoder.raw(&piece);
            if self.encoder.pending() >= PIECE {
                self.hand_on().await?;
            }
        }
        self.fill(FOOTER + 2).await?;
        let footer = self.wire.ahead.split_to(FOOTER);
        self.wire.ahead.advance(2);
        let number = u16::from_le_bytes([footer[0], footer[1]]);
        if dump::version(number) != self.version {
            return Err(wrong(&format!(
                "it states version {}, the server's is {}",
                dump::version(number),
                self.version
            )));
        }
        crc.update(&footer[..2]);
        let mut stored = [0; 8];
        stored.copy_from_slice(&footer[2..]);
        let stored = u64::from_le_bytes(stored);
        if stored != 0 && stored != crc.value() {
            return Err(wrong("its checksum does not fit"));
        }
        Ok(())
    }

    /// Waits until so many bytes are there.
    async fn fill(&mut self, least: usize) -> Result<()> {
        while self.wire.ahead.len() < least {
            self.wire.more().await?;
        }
        Ok(())
    }
}

fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
