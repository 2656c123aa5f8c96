//! From a snapshot's bytes to what is sent: commands in batches, each key whole in one of them.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::{SystemTime, UNIX_EPOCH};

use formats::rdb::commands::{Commands, HELD, Refused};
use formats::rdb::{
    self, Crc64, Decoder, Dialect, Event, Key, Kind, Parser, Record, Version, dump, module_name,
};
use pipeline::{Error, Result};

use super::target::MARK;

/// Bound on a record's head, as the steps before have it.
const HEAD: usize = 4 << 20;
/// Bytes and keys of a batch.
const BATCH: usize = 256 << 10;
const KEYS: usize = 1024;
/// The lowest version that payloads state: no server in use knows less.
const LOWEST: u16 = 6;
/// Kept by ElastiCache for itself.
const PROVIDERS: &[u8] = b"ElastiCacheMasterReplicationTimestamp";

/// A key on its way.
#[derive(Debug, Clone)]
pub(super) struct Item {
    /// Its commands in the batch.
    pub(super) at: Range<usize>,
    pub(super) key: Range<usize>,
    pub(super) body: Body,
}

/// What makes a key.
#[derive(Debug, Clone)]
pub(super) enum Body {
    /// One RESTORE; the value stands here, for the case that it is refused.
    Restore { kind: Kind, value: Range<usize>, expires_at: Option<i64> },
    /// So many commands, for a key that is not there.
    Commands(u64),
}

/// Keys of one database.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) db: u64,
    pub(super) bytes: Vec<u8>,
    pub(super) items: Vec<Item>,
}

/// What to do next.
#[derive(Debug)]
pub(super) enum Action {
    Deliver(Batch),
    /// A value that is not held begins.
    Begin {
        db: u64,
        key: Vec<u8>,
    },
    /// Commands for it.
    More(Vec<u8>),
    /// It has ended, and as many replies will come.
    End(u64),
    Function(Vec<u8>),
}

/// What was found, per database.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Count {
    pub(super) keys: u64,
    pub(super) expiring: u64,
}

pub(super) struct Intake {
    parser: Parser,
    state: State,
}

struct State {
    target: Option<Version>,
    /// Longest value that is held.
    limit: usize,
    replace: bool,
    batch: Batch,
    current: Option<Current>,
    value: Vec<u8>,
    decoder: Decoder,
    commands: Commands,
    actions: Vec<Action>,
    counts: BTreeMap<u64, Count>,
    expired: u64,
    metadata: u64,
    by_commands: u64,
}

/// The key whose value is coming.
struct Current {
    db: u64,
    name: Vec<u8>,
    kind: Kind,
    expires_at: Option<i64>,
    idle: Option<u64>,
    frequency: Option<u8>,
    way: Way,
    offset: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Held until it is whole, then restored.
    Restore,
    /// Decoded as it comes; its commands are held.
    Commands,
    /// The same, and they are sent as they come.
    Large,
    /// Dropped.
    Skip,
}

/// Errors of the parser and our own.
struct Fault(Error);

impl From<rdb::Error> for Fault {
    fn from(error: rdb::Error) -> Self {
        let mut told = Error::sink(error.problem().to_string()).with("offset", error.offset());
        if let Some(key) = error.key() {
            told = told.with("key", key.escape_ascii());
        }
        Self(told)
    }
}

impl From<Refused> for Fault {
    fn from(refused: Refused) -> Self {
        Self(
            Error::sink(format!("a key cannot be loaded: {}", refused.what))
                .with("key", refused.key.escape_ascii())
                .with("offset", refused.offset)
                .hint("leave it out with --drop-keys, or keys of its type with --types"),
        )
    }
}

impl Intake {
    /// `target` is the newest version of values that the target takes, `limit` the longest value that is held, `replace` whether keys are replaced.
    pub(super) fn new(target: Option<Version>, limit: usize, replace: bool) -> Self {
        Self {
            parser: Parser::with_head_limit(HEAD),
            state: State {
                target,
                limit,
                replace,
                batch: Batch::default(),
                current: None,
                value: Vec::new(),
                decoder: Decoder::with_packed_limit(HELD),
                commands: Commands::default(),
                actions: Vec::new(),
                counts: BTreeMap::new(),
                expired: 0,
                metadata: 0,
                by_commands: 0,
            },
        }
    }

    /// Takes the next bytes; what is to be done for them stands in the answer.
    pub(super) fn push(&mut self, data: &[u8]) -> Result<Vec<Action>> {
        let Self { parser, state } = self;
        let taken =
            parser.push::<Fault, _>(data, &mut |record| state.record(&record)).map_err(|fault| fault.0)?;
        if taken < data.len() {
            return Err(
                Error::sink("bytes come after the end of the snapshot").with("offset", parser.offset())
            );
        }
        Ok(std::mem::take(&mut state.actions))
    }

    /// The snapshot is whole.
    pub(super) fn finish(&mut self) -> Result<Vec<Action>> {
        self.parser.finish().map_err(|error| Fault::from(error).0)?;
        self.state.flush();
        Ok(std::mem::take(&mut self.state.actions))
    }

    /// Keys that were handed on.
    pub(super) fn counts(&self) -> &BTreeMap<u64, Count> {
        &self.state.counts
    }

    /// Keys that had expired when they came by, keys whose modules' notes were left out, and keys made by commands.
    pub(super) fn asides(&self) -> (u64, u64, u64) {
        (self.state.expired, self.state.metadata, self.state.by_commands)
    }
}

impl State {
    fn record(&mut self, record: &Record<'_>) -> std::result::Result<(), Fault> {
        match &record.event {
            Event::Key(key) => self.begin(key, record.offset),
            Event::Chunk(chunk) => self.chunk(record.raw, chunk.last),
            Event::Function { library } => {
                self.actions.push(Action::Function(library.to_vec()));
                Ok(())
            }
            Event::HashTemplate { id, count, fields } => Ok(self.decoder.template(*id, *count, fields)?),
            Event::ModuleAux { module } => Err(Fault(
                Error::sink(format!(
                    "data of the module {} outside keys cannot be loaded",
                    module_name(*module).0
                ))
                .hint("--redis-drop modules leaves it out, with the keys of modules"),
            )),
            _ => Ok(()),
        }
    }

    fn begin(&mut self, key: &Key<'_>, offset: u64) -> std::result::Result<(), Fault> {
        let expired = key.expires_at.is_some_and(|at| at <= now());
        let way = if expired || key.name == PROVIDERS {
            Way::Skip
        } else if self.takes(key.kind) {
            Way::Restore
        } else {
            Way::Commands
        };
        if key.name == MARK.as_bytes() {
            return Err(Fault(
                Error::sink("the source holds a load that did not end")
                    .with("marked by", MARK)
                    .hint("it is incomplete: end that load first, or leave its mark out with --drop-keys"),
            ));
        }
        self.expired += u64::from(expired);
        self.metadata += u64::from(key.has_metadata);
        self.value.clear();
        if way == Way::Commands {
            self.by_commands += 1;
            self.decoder.begin(key.kind);
            self.commands.begin(key, offset, &mut self.value)?;
        }
        if way != Way::Skip {
            let count = self.counts.entry(key.db).or_default();
            count.keys += 1;
            count.expiring += u64::from(key.expires_at.is_some());
        }
        self.current = Some(Current {
            db: key.db,
            name: key.name.to_vec(),
            kind: key.kind,
            expires_at: key.expires_at,
            idle: key.idle,
            frequency: key.frequency,
            way,
            offset,
        });
        Ok(())
    }

    /// Whether the target restores values of this type; a version that is not known is asked by trying.
    fn takes(&self, kind: Kind) -> bool {
        let since = kind.since();
        // References to templates of a file mean nothing elsewhere.
        if matches!(kind.byte(), 30 | 32) && since.dialect == Dialect::Redis {
            return false;
        }
        let Some(target) = self.target else { return true };
        match (since.dialect, target.dialect) {
            // Valkey branched off behind version 11.
            (Dialect::Redis, Dialect::Valkey) => since.number <= 11,
            (a, b) => a == b && since.number <= target.number,
        }
    }

    fn chunk(&mut self, raw: &[u8], last: bool) -> std::result::Result<(), Fault> {
        let Some(current) = &mut self.current else { return Ok(()) };
        match current.way {
            Way::Skip => {}
            Way::Restore => {
                self.value.extend_from_slice(raw);
                if self.value.len() > self.limit {
                    // From here on it is made by commands, as it comes.
                    let value = std::mem::take(&mut self.value);
                    current.way = Way::Commands;
                    self.by_commands += 1;
                    self.decoder.begin(current.kind);
                    self.commands.begin(&current.key(), current.offset, &mut self.value)?;
                    self.decode(&value)?;
                }
            }
            Way::Commands | Way::Large => self.decode(raw)?,
        }
        if last { self.end() } else { Ok(()) }
    }

    fn decode(&mut self, raw: &[u8]) -> std::result::Result<(), Fault> {
        let (commands, out) = (&mut self.commands, &mut self.value);
        self.decoder.push::<Fault, _>(raw, &mut |item| Ok(commands.item(&item, out)?))?;
        let Some(current) = &mut self.current else { return Ok(()) };
        if current.way == Way::Commands && self.value.len() > self.limit / 2 {
            current.way = Way::Large;
            self.actions.push(Action::Begin { db: current.db, key: current.name.clone() });
        }
        if current.way == Way::Large && self.value.len() > BATCH {
            self.actions.push(Action::More(std::mem::take(&mut self.value)));
        }
        Ok(())
    }

    fn end(&mut self) -> std::result::Result<(), Fault> {
        let Some(current) = self.current.take() else { return Ok(()) };
        match current.way {
            Way::Skip => return Ok(()),
            Way::Restore => {
                self.turn_to(current.db);
                self.restore(&current);
            }
            Way::Commands => {
                let written = self.ended()?;
                self.turn_to(current.db);
                let bytes = &mut self.batch.bytes;
                let start = bytes.len();
                bytes.extend_from_slice(&current.name);
                let key = start..bytes.len();
                bytes.extend_from_slice(&self.value);
                let at = key.end..bytes.len();
                self.batch.items.push(Item { at, key, body: Body::Commands(written) });
            }
            Way::Large => {
                let written = self.ended()?;
                self.actions.push(Action::More(std::mem::take(&mut self.value)));
                self.actions.push(Action::End(written));
            }
        }
        if self.batch.bytes.len() >= BATCH || self.batch.items.len() >= KEYS {
            self.flush();
        }
        Ok(())
    }

    /// Ends the commands; answers how many they are.
    fn ended(&mut self) -> std::result::Result<u64, Fault> {
        self.commands.end(&mut self.value)?;
        let written = self.commands.written();
        self.commands = Commands::default();
        Ok(written)
    }

    fn turn_to(&mut self, db: u64) {
        if self.batch.db != db {
            self.flush();
            self.batch.db = db;
        }
    }

    fn flush(&mut self) {
        if !self.batch.items.is_empty() {
            let db = self.batch.db;
            let full = std::mem::replace(&mut self.batch, Batch { db, ..Batch::default() });
            self.actions.push(Action::Deliver(full));
        }
    }

    /// `RESTORE key at payload [REPLACE] ABSTTL [IDLETIME seconds | FREQ n]`
    fn restore(&mut self, current: &Current) {
        let kind = [current.kind.byte()];
        let since = current.kind.since();
        let version = if since.number < LOWEST { Version::redis(LOWEST) } else { since };
        let footer = footer(version, kind[0], &self.value);
        let out = &mut self.batch.bytes;
        let start = out.len();
        let hint = if current.frequency.is_some() || current.idle.is_some() { 2 } else { 0 };
        number(out, b'*', 5 + usize::from(self.replace) + hint);
        bulk(out, b"RESTORE");
        number(out, b'$', current.name.len());
        let key = out.len()..out.len() + current.name.len();
        out.extend_from_slice(&current.name);
        out.extend_from_slice(b"\r\n");
        let mut digits = Digits::default();
        bulk(out, digits.of(current.expires_at.unwrap_or(0).max(0).unsigned_abs()));
        number(out, b'$', 1 + self.value.len() + footer.len());
        out.extend_from_slice(&kind);
        let value = out.len()..out.len() + self.value.len();
        out.extend_from_slice(&self.value);
        out.extend_from_slice(&footer);
        out.extend_from_slice(b"\r\n");
        if self.replace {
            bulk(out, b"REPLACE");
        }
        bulk(out, b"ABSTTL");
        match (current.frequency, current.idle) {
            (Some(frequency), _) => {
                bulk(out, b"FREQ");
                bulk(out, digits.of(u64::from(frequency)));
            }
            (None, Some(idle)) => {
                bulk(out, b"IDLETIME");
                bulk(out, digits.of(idle));
            }
            (None, None) => {}
        }
        let body = Body::Restore { kind: current.kind, value, expires_at: current.expires_at };
        let at = start..out.len();
        self.batch.items.push(Item { at, key, body });
    }
}

impl Current {
    fn key(&self) -> Key<'_> {
        key(self.db, self.kind, &self.name, self.expires_at)
    }
}

/// A key as [`Commands`] want it.
pub(super) fn key(db: u64, kind: Kind, name: &[u8], expires_at: Option<i64>) -> Key<'_> {
    let (idle, frequency, has_metadata, type_at) = (None, None, false, 0);
    Key { db, kind, name, expires_at, idle, frequency, has_metadata, type_at }
}

fn footer(version: Version, kind: u8, value: &[u8]) -> [u8; 10] {
    // In one piece where that is cheap: each piece has a cost of its own.
    if value.len() <= 256 {
        let mut whole = [0_u8; 259];
        whole[0] = kind;
        whole[1..=value.len()].copy_from_slice(value);
        let number = version.number.to_le_bytes();
        whole[value.len() + 1..value.len() + 3].copy_from_slice(&number);
        let mut footer = [0; 10];
        footer[..2].copy_from_slice(&number);
        footer[2..].copy_from_slice(&Crc64::of(&whole[..value.len() + 3]).to_le_bytes());
        return footer;
    }
    dump::footer(version, &[&[kind], value])
}

#[derive(Default)]
struct Digits([u8; 20]);

impl Digits {
    fn of(&mut self, mut number: u64) -> &[u8] {
        let mut at = self.0.len();
        loop {
            at -= 1;
            self.0[at] = b'0' + u8::try_from(number % 10).unwrap_or(0);
            number /= 10;
            if number == 0 {
                return &self.0[at..];
            }
        }
    }
}

fn number(out: &mut Vec<u8>, mark: u8, number: usize) {
    out.push(mark);
    out.extend_from_slice(Digits::default().of(number as u64));
    out.extend_from_slice(b"\r\n");
}

fn bulk(out: &mut Vec<u8>, bytes: &[u8]) {
    number(out, b'$', bytes.len());
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
}

/// Milliseconds since 1970.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SNAPSHOT: &[u8] = include_bytes!("../../../formats/src/rdb/fixtures/redis-7.0.15.rdb");

    fn delivered(size: usize) -> Vec<u8> {
        let mut intake = Intake::new(Some(Version::redis(12)), 8 << 20, false);
        let mut sent = Vec::new();
        let mut take = |actions: Vec<Action>| {
            for action in actions {
                match action {
                    Action::Deliver(batch) => {
                        let mut end = 0;
                        for item in &batch.items {
                            assert_eq!(item.at.start, end, "keys follow on each other");
                            end = item.at.end;
                            let Body::Restore { value, .. } = &item.body else { panic!("not restored") };
                            let payload = &batch.bytes[value.start - 1..value.end + 10];
                            dump::read(payload).unwrap();
                        }
                        assert_eq!(end, batch.bytes.len());
                        sent.extend_from_slice(&batch.bytes);
                    }
                    Action::Function(library) => sent.extend_from_slice(&library),
                    other => panic!("{other:?}"),
                }
            }
        };
        for piece in SNAPSHOT.chunks(size) {
            take(intake.push(piece).unwrap());
        }
        take(intake.finish().unwrap());
        sent
    }

    #[test]
    fn every_cutting_sends_the_same() {
        let whole = delivered(SNAPSHOT.len());
        assert!(whole.len() > 10_000);
        for size in [1, 7, 1000] {
            assert!(delivered(size) == whole, "cut at {size}");
        }
    }

    #[test]
    fn a_cut_snapshot_is_not_whole() {
        for end in (0..SNAPSHOT.len()).step_by(501) {
            let mut intake = Intake::new(None, 8 << 20, true);
            intake.push(&SNAPSHOT[..end]).unwrap();
            assert!(intake.finish().is_err(), "{end}");
        }
    }

    #[test]
    fn large_values_go_by_commands_as_they_come() {
        let mut intake = Intake::new(Some(Version::redis(12)), 64, false);
        let mut large = 0;
        for piece in SNAPSHOT.chunks(50) {
            for action in intake.push(piece).unwrap() {
                match action {
                    Action::Begin { .. } => large += 1,
                    Action::End(replies) => assert!(replies > 0),
                    _ => {}
                }
            }
        }
        intake.finish().unwrap();
        assert!(large > 3, "{large}");
    }
}
