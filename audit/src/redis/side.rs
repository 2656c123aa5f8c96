//! One server or cluster, read key by key.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Buf;
use connections::redis::{Info, Map, Place, Reply, Role, Wire, command, enter, locate, refusal};
use formats::rdb::{Crc64, Kind as ValueKind, Version, dump};
use pipeline::endpoint::DatabaseUrl;
use pipeline::{Context, Error, Result};

use super::value::Digest;
use crate::tally::Cells;

/// Keys asked for at a time.
const BATCH: usize = 256;
/// Version and checksum behind a dumped value.
const FOOTER: usize = 10;
/// What a provider keeps for itself, and what marks a load.
const ASIDE: [&[u8]; 2] = [b"ElastiCacheMasterReplicationTimestamp", b"dbferry:load"];

/// One side.
pub(crate) struct Side {
    url: DatabaseUrl,
    map: Map,
    cluster: bool,
    pub(crate) product: String,
    pub(crate) version: Version,
    /// The server tells the moment of expiry itself.
    pub(crate) exact: bool,
    pub(crate) info: Info,
}

impl Side {
    pub(crate) async fn open(url: &DatabaseUrl, role: Role, cx: &Context) -> Result<Self> {
        let place = locate(url, role, cx).await?;
        let mut wire = enter(&place, url).await?;
        let info = Info::ask(&mut wire, None, url).await?;
        let (valkey, at) = (info.is_valkey(), info.release().unwrap_or_default());
        let number = info.version().unwrap_or_default();
        let version = Version::written_by(valkey, at.0, at.1)
            .ok_or_else(|| Error::source(format!("Redis {number} is too old, or tells no version")))?;
        let cluster = info.is_cluster();
        let map = if cluster { Map::ask(&mut wire, &place).await? } else { Map::single(place) };
        let product = format!("{} {number}", if valkey { "Valkey" } else { "Redis" });
        Ok(Self { url: url.clone(), map, cluster, product, version, exact: valkey || at >= (7, 0), info })
    }

    pub(crate) fn is_cluster(&self) -> bool {
        self.cluster
    }

    /// Databases that hold keys, and how many.
    pub(crate) async fn databases(&self) -> Result<BTreeMap<u64, u64>> {
        if !self.cluster {
            return Ok(self.info.databases());
        }
        let mut keys = BTreeMap::new();
        for place in &self.map.places {
            let mut wire = enter(place, &self.url).await?;
            for (db, count) in Info::ask(&mut wire, Some("keyspace"), &self.url).await?.databases() {
                *keys.entry(db).or_default() += count;
            }
        }
        Ok(keys)
    }

    async fn ask(&self, wire: &mut Wire, words: &[&[u8]]) -> Result<Reply> {
        match wire.call(words).await? {
            Reply::Error(text) => Err(refusal::explain(&text, &String::from_utf8_lossy(words[0]), &self.url)),
            reply => Ok(reply),
        }
    }

    async fn select(&self, wire: &mut Wire, db: u64) -> Result<()> {
        if self.cluster && db == 0 {
            return Ok(());
        }
        self.ask(wire, &[b"SELECT", db.to_string().as_bytes()]).await.map(drop)
    }

    /// Asks one question of the first server, in a database; a refusal is an answer.
    pub(crate) async fn question(&self, db: u64, words: &[&[u8]]) -> Result<Reply> {
        let mut wire = enter(&self.map.places[0], &self.url).await?;
        self.select(&mut wire, db).await?;
        wire.call(words).await
    }

    /// Libraries of functions by their names; `None` where the server has none or does not tell.
    pub(super) async fn functions(&self) -> Result<Option<BTreeMap<String, String>>> {
        let mut wire = enter(&self.map.places[0], &self.url).await?;
        let Reply::Array(libraries) = wire.call(&[b"FUNCTION", b"LIST", b"WITHCODE"]).await? else {
            return Ok(None);
        };
        let mut found = BTreeMap::new();
        for library in &libraries {
            let Reply::Array(parts) = library else { continue };
            let text = |name: &[u8]| {
                parts.chunks_exact(2).find_map(|pair| match pair {
                    [Reply::Bulk(key), Reply::Bulk(value)] if key == name => {
                        Some(String::from_utf8_lossy(value).into_owned())
                    }
                    _ => None,
                })
            };
            if let (Some(name), Some(code)) = (text(b"library_name"), text(b"library_code")) {
                found.insert(name, code);
            }
        }
        Ok(Some(found))
    }

    /// Hands over every key of a database: its name, type, moment of expiry, and value or digest. `exact` is false where a moment cannot be held
    /// against the other side's.
    pub(super) async fn scan(
        &self,
        db: u64,
        exact: bool,
        each: &mut (impl FnMut(Cells<'_>) + Send),
    ) -> Result<()> {
        for place in &self.map.places {
            self.scan_server(place, db, exact, each).await?;
        }
        Ok(())
    }

    async fn scan_server(
        &self,
        place: &Place,
        db: u64,
        exact: bool,
        each: &mut (impl FnMut(Cells<'_>) + Send),
    ) -> Result<()> {
        let mut wire = enter(place, &self.url).await?;
        self.select(&mut wire, db).await?;
        let mut digest = Digest::default();
        let mut cursor = b"0".to_vec();
        loop {
            let Reply::Array(mut answer) = self.ask(&mut wire, &[b"SCAN", &cursor, b"COUNT", b"256"]).await?
            else {
                return Err(wire.confused("no array after SCAN"));
            };
            let (Some(Reply::Array(keys)), Some(Reply::Bulk(next))) = (answer.pop(), answer.pop()) else {
                return Err(wire.confused("no cursor after SCAN"));
            };
            for batch in keys.chunks(BATCH) {
                let mut words = Vec::new();
                for key in batch {
                    let Reply::Bulk(name) = key else { return Err(wire.confused("no name after SCAN")) };
                    command(&mut words, &[if self.exact { b"PEXPIRETIME" } else { b"PTTL" }, name]);
                    command(&mut words, &[b"DUMP", name]);
                }
                wire.send(&words).await?;
                for key in batch {
                    let Reply::Bulk(name) = key else { continue };
                    let at = match wire.reply().await? {
                        Reply::Integer(at) => at,
                        Reply::Error(text) => return Err(refusal::explain(&text, "DUMP", &self.url)),
                        _ => return Err(wire.confused("no number for a key's expiry")),
                    };
                    let Some(kind) = self.value(&mut wire, name, &mut digest).await? else { continue };
                    if ASIDE.contains(&name.as_slice()) {
                        continue;
                    }
                    let moment = if exact { at.to_string() } else { "some time".to_owned() };
                    // What expires in the next moment is there on one side and gone on the other.
                    if at >= 0 && self.exact && at < now() + 1000 {
                        continue;
                    }
                    let value = digest.end();
                    let expires = (at >= 0).then_some(moment.as_bytes());
                    each(&[Some(name), Some(kind.as_bytes()), expires, Some(&value)]);
                }
            }
            if next == b"0" {
                return Ok(());
            }
            cursor = next;
        }
    }

    /// One dumped value, of any size, as it comes; answers its type, or nothing where the key has gone.
    async fn value(&self, wire: &mut Wire, name: &[u8], digest: &mut Digest) -> Result<Option<&'static str>> {
        let line = wire.line().await?;
        if let Some(text) = line.strip_prefix('-') {
            return Err(refusal::explain(text, "DUMP", &self.url));
        }
        let length = line.strip_prefix('$').and_then(|length| length.parse::<i64>().ok());
        let Some(length) = length else { return Err(wire.confused("no string after DUMP")) };
        let Ok(length) = usize::try_from(length) else { return Ok(None) };
        let wrong = |what: String| {
            Error::source(format!("a key cannot be compared: {what}")).with("key", name.escape_ascii())
        };
        let Some(mut due) = length.checked_sub(FOOTER + 1) else {
            return Err(wrong("its dump is too short".to_owned()));
        };
        fill(wire, 1).await?;
        let byte = wire.ahead.split_to(1);
        let mut crc = Crc64::new();
        crc.update(&byte);
        let kind = ValueKind::of(self.version, byte[0]).map_err(|problem| wrong(problem.to_string()))?;
        digest.begin(kind);
        while due > 0 {
            fill(wire, 1).await?;
            let piece = wire.ahead.split_to(due.min(wire.ahead.len()));
            due -= piece.len();
            crc.update(&piece);
            digest.push(&piece).map_err(|error| wrong(error.to_string()))?;
        }
        fill(wire, FOOTER + 2).await?;
        let footer = wire.ahead.split_to(FOOTER);
        wire.ahead.advance(2);
        crc.update(&footer[..2]);
        let mut stored = [0; 8];
        stored.copy_from_slice(&footer[2..]);
        let (stored, stated) = (u64::from_le_bytes(stored), u16::from_le_bytes([footer[0], footer[1]]));
        if stored != 0 && stored != crc.value() {
            return Err(wrong("its checksum does not fit".to_owned()));
        }
        if dump::version(stated) != self.version {
            return Err(wrong(format!(
                "its dump states {}, the server's is {}",
                dump::version(stated),
                self.version
            )));
        }
        Ok(Some(kind.data_type().name()))
    }
}

async fn fill(wire: &mut Wire, least: usize) -> Result<()> {
    while wire.ahead.len() < least {
        wire.more().await?;
    }
    Ok(())
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
