//! What is inside a snapshot: for the eyes of someone who must decide what of it moves.
//!
//! One pass, and what is held depends on the report's size, never on the number of keys. Bytes are those in the snapshot. Memory is the source's
//! own figure (`used-mem`) shared out by bytes and number of keys, so it adds up to what the server took; without that figure there is none.

use std::collections::BTreeMap;

use formats::rdb::{DataType, Decoder, Glob, Item, Key, Role, Version};
use serde::Serialize;

use super::step::{Fail, KEY_OVERHEAD};
use super::top::{Heaviest, Sums};

/// Largest keys that are told.
const KEYS: usize = 20;
/// Heaviest prefixes that are told, and how many are followed for that.
const PREFIXES: usize = 20;
const PREFIXES_FOLLOWED: usize = 2048;
/// Bytes of a name that are kept.
const NAME: usize = 256;
/// Databases, AUX fields, functions, modules, queues that are listed.
const LISTED: usize = 256;
/// Lists whose elements are counted one by one: the queues.
const PACKED: usize = 4 << 20;

/// What an inspector holds at most.
pub(super) const MEMORY: usize = 4 * PREFIXES_FOLLOWED * (NAME + 64) + 2 * PACKED + (1 << 20);

/// Names of job queues: Resque's, Sidekiq's, Bull's, and what people call them.
const QUEUES: [&[u8]; 6] =
    [b"resque:queue:*", b"*:resque:queue:*", b"queue:*", b"*:queue:*", b"bull:*:wait", b"rq:queue:*"];

/// Number and size of a group of keys.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Share {
    /// Keys.
    pub keys: u64,
    /// Keys that expire.
    pub expiring: u64,
    /// Bytes in the snapshot, names and values.
    pub bytes: u64,
    /// Estimated memory in bytes.
    pub memory: u64,
}

impl Share {
    fn add(&mut self, bytes: u64, expiring: bool) {
        self.keys += 1;
        self.expiring += u64::from(expiring);
        self.bytes += bytes;
    }

    fn cost(&self) -> u64 {
        self.bytes + self.keys * KEY_OVERHEAD
    }
}

/// One of the largest keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeySummary {
    /// Its database.
    pub db: u64,
    /// Its name; bytes that are no printable ASCII are escaped, and it is cut at 256 bytes.
    pub name: String,
    /// Its type.
    pub r#type: &'static str,
    /// Bytes in the snapshot.
    pub bytes: u64,
}

/// Keys whose names begin alike.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PrefixSummary {
    /// Up to and with the first `:`, `/` or `.`, digits in it written as `#`; `(none)` for names without one.
    pub prefix: String,
    /// Keys; a lower bound when there are very many prefixes.
    pub keys: u64,
    /// Bytes in the snapshot.
    pub bytes: u64,
    /// By how much `bytes` may be too large.
    pub over: u64,
}

/// A list that looks like a queue of jobs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct QueueSummary {
    /// Its database.
    pub db: u64,
    /// Its name.
    pub name: String,
    /// Jobs in it.
    pub length: u64,
}

/// The contents of a snapshot.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Summary {
    /// The header, such as `REDIS0011`.
    pub version: String,
    /// The writer, such as `Redis 7.0.15`.
    pub server: Option<String>,
    /// AUX fields.
    pub aux: BTreeMap<String, String>,
    /// All keys.
    pub total: Share,
    /// By logical database.
    pub databases: BTreeMap<u64, Share>,
    /// By type.
    pub types: BTreeMap<&'static str, Share>,
    /// By type and encoding, such as `hash listpack`.
    pub encodings: BTreeMap<String, Share>,
    /// Keys by the time that they have left at the moment of inspection.
    pub expiry: Vec<(&'static str, u64)>,
    /// The largest keys, largest first.
    pub largest: Vec<KeySummary>,
    /// The heaviest prefixes, heaviest first.
    pub prefixes: Vec<PrefixSummary>,
    /// Queues of jobs.
    pub queues: Vec<QueueSummary>,
    /// Names of function libraries.
    pub functions: Vec<String>,
    /// Modules with data outside keys, or with keys.
    pub modules: BTreeMap<String, u64>,
    /// What is counted but not listed in the above: databases, queues, functions, modules.
    pub unlisted: u64,
}

const EXPIRY: [(&str, i64); 6] = [
    ("expired", 0),
    ("under 1 minute", 60_000),
    ("under 1 hour", 3_600_000),
    ("under 1 day", 86_400_000),
    ("under 30 days", 30 * 86_400_000),
    ("later", i64::MAX),
];

/// Gathers the summary.
#[derive(Debug)]
pub(super) struct Inspector {
    now: i64,
    summary: Summary,
    types: [Share; DataType::ALL.len()],
    /// By type and encoding; there are a few dozen.
    encodings: BTreeMap<(&'static str, &'static str), Share>,
    expiry: [u64; EXPIRY.len()],
    largest: Heaviest<(u64, Vec<u8>, &'static str)>,
    prefixes: Sums,
    queues: Vec<Glob>,
    /// The key whose value is passing.
    current: Option<Current>,
    name: Vec<u8>,
    prefix: Vec<u8>,
    decoder: Decoder,
    /// Elements of the queue that is passing.
    jobs: Option<u64>,
}

#[derive(Debug)]
struct Current {
    db: u64,
    kind: DataType,
    encoding: &'static str,
    expiring: bool,
    bytes: u64,
}

impl Inspector {
    pub(super) fn new(now: i64) -> Self {
        Self {
            now,
            summary: Summary::default(),
            types: [Share::default(); DataType::ALL.len()],
            encodings: BTreeMap::new(),
            expiry: [0; EXPIRY.len()],
            largest: Heaviest::new(KEYS),
            prefixes: Sums::new(PREFIXES_FOLLOWED),
            queues: QUEUES.iter().map(|pattern| Glob::new(pattern)).collect(),
            current: None,
            name: Vec::new(),
            prefix: Vec::new(),
            decoder: Decoder::with_packed_limit(PACKED),
            jobs: None,
        }
    }

    pub(super) fn key(&mut self, db: u64, key: &Key<'_>, bytes: usize) {
        let kind = key.kind.data_type();
        let encoding = key.kind.encoding();
        let expiring = key.expires_at.is_some();
        self.current = Some(Current { db, kind, encoding, expiring, bytes: bytes as u64 });
        self.name.clear();
        self.name.extend_from_slice(&key.name[..key.name.len().min(NAME)]);
        if let Some(at) = key.expires_at {
            let left = at.saturating_sub(self.now);
            let bucket = EXPIRY.iter().position(|(_, limit)| left <= *limit).unwrap_or(EXPIRY.len() - 1);
            self.expiry[bucket] += 1;
        }
        if kind == DataType::List && self.queues.iter().any(|queue| queue.matches(key.name)) {
            self.jobs = Some(0);
            self.decoder.begin(key.kind);
        }
    }

    pub(super) fn chunk(&mut self, raw: &[u8], last: bool) -> Result<(), Fail> {
        // Data of modules outside keys comes in pieces as well.
        let Some(current) = &mut self.current else { return Ok(()) };
        current.bytes += raw.len() as u64;
        if let Some(jobs) = &mut self.jobs {
            self.decoder.push::<Fail, _>(raw, &mut |item| {
                *jobs += u64::from(matches!(item, Item::Bytes { role: Role::Element, last: true, .. }));
                Ok(())
            })?;
        }
        if last {
            self.close();
        }
        Ok(())
    }

    fn close(&mut self) {
        let Some(Current { db, kind, encoding, expiring, bytes }) = self.current.take() else { return };
        self.summary.total.add(bytes, expiring);
        if self.summary.databases.len() < LISTED || self.summary.databases.contains_key(&db) {
            self.summary.databases.entry(db).or_default().add(bytes, expiring);
        } else {
            self.summary.unlisted += 1;
        }
        self.types[kind as usize].add(bytes, expiring);
        self.encodings.entry((kind.name(), encoding)).or_default().add(bytes, expiring);
        if self.largest.wants(bytes) {
            self.largest.add(bytes, (db, self.name.clone(), kind.name()));
        }
        self.prefix.clear();
        let end = self.name.iter().position(|byte| b":/.".contains(byte));
        // Numbers in front of the separator are ids, and a prefix for each would say nothing.
        let prefix = end.map_or(&[][..], |end| &self.name[..=end]);
        self.prefix.extend(prefix.iter().map(|byte| if byte.is_ascii_digit() { b'#' } else { *byte }));
        self.prefix.dedup_by(|a, b| *a == b'#' && *b == b'#');
        self.prefixes.add(&self.prefix, bytes);
        if let Some(length) = self.jobs.take() {
            if self.summary.queues.len() < LISTED {
                let name = shown(&self.name);
                self.summary.queues.push(QueueSummary { db, name, length });
            } else {
                self.summary.unlisted += 1;
            }
        }
    }

    pub(super) fn aux(&mut self, name: &[u8], value: &[u8]) {
        if self.summary.aux.len() < LISTED {
            self.summary.aux.insert(shown(name), shown(value));
        } else {
            self.summary.unlisted += 1;
        }
    }

    /// The name in a library's first line, `#!lua name=mylib`.
    pub(super) fn function(&mut self, library: &[u8]) {
        let line = library.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let name = line.split(u8::is_ascii_whitespace).find_map(|word| word.strip_prefix(b"name="));
        if self.summary.functions.len() < LISTED {
            self.summary.functions.push(shown(name.unwrap_or(b"(unnamed)")));
        } else {
            self.summary.unlisted += 1;
        }
    }

    pub(super) fn module(&mut self, name: &str) {
        self.current = None;
        if self.summary.modules.len() < LISTED || self.summary.modules.contains_key(name) {
            *self.summary.modules.entry(name.to_owned()).or_default() += 1;
        } else {
            self.summary.unlisted += 1;
        }
    }

    pub(super) fn finish(mut self, version: Version, server: Option<String>, estimate: u64) -> Summary {
        let mut summary = self.summary;
        summary.version = version.to_string();
        summary.server = server;
        let all = u128::from(summary.total.cost()).max(1);
        let share = |share: &mut Share| {
            let part = u128::from(estimate) * u128::from(share.cost()) / all;
            share.memory = u64::try_from(part).unwrap_or(u64::MAX);
        };
        share(&mut summary.total);
        summary.databases.values_mut().for_each(share);
        self.types.iter_mut().for_each(share);
        self.encodings.values_mut().for_each(share);
        summary.types = DataType::ALL
            .iter()
            .zip(self.types)
            .filter(|(_, s)| s.keys > 0)
            .map(|(kind, s)| (kind.name(), s))
            .collect();
        summary.encodings = self
            .encodings
            .into_iter()
            .map(|((kind, encoding), share)| {
                (if kind == encoding { kind.to_owned() } else { format!("{kind} {encoding}") }, share)
            })
            .collect();
        let never = summary.total.keys - summary.total.expiring;
        summary.expiry = [("never", never)]
            .into_iter()
            .chain(EXPIRY.iter().zip(self.expiry).map(|((name, _), count)| (*name, count)))
            .filter(|(_, count)| *count > 0)
            .collect();
        summary.largest = self
            .largest
            .into_sorted()
            .into_iter()
            .map(|(bytes, (db, name, kind))| KeySummary { db, name: shown(&name), r#type: kind, bytes })
            .collect();
        summary.prefixes = self
            .prefixes
            .heaviest(PREFIXES)
            .into_iter()
            .map(|(prefix, counter)| PrefixSummary {
                prefix: if prefix.is_empty() { "(none)".to_owned() } else { shown(&prefix) },
                keys: counter.count,
                bytes: counter.weight,
                over: counter.over,
            })
            .collect();
        summary
    }
}

fn shown(name: &[u8]) -> String {
    name[..name.len().min(NAME)].escape_ascii().to_string()
}
