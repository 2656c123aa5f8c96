//! Commands that make the keys again.
//!
//! Elements go in batches of at most 64 KiB a command; a string that is longer is written as it comes, in a command of its own. Expiry is set behind
//! the value, so a loader that dies in between leaves a key that lives too long and not one that vanished.

use std::collections::BTreeMap;
use std::mem;

use super::decimal::{push_score, push_unsigned};
use super::kind::DataType;
use super::parse::Key;
use super::token::decimal;
use super::value::{Item, Role, StreamId};

/// Largest string that is held whole: a sorted set's member until its score is known, a hash's field until its expiry is.
pub const HELD: usize = 8 << 20;

/// Arguments that are gathered for one command, in bytes and in number.
const BATCH: usize = 64 << 10;
const ARGUMENTS: usize = 1024;

/// A string that is shorter, and whole, takes the quick way.
const SHORT: usize = 4 << 10;

/// Pending entries of one consumer group that are held until their consumers come.
const PENDING: usize = 100_000;

/// A value that no commands make again, or not within the bounds here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Why.
    pub what: String,
    /// Where the key's record begins in the file.
    pub offset: u64,
    /// The key.
    pub key: Vec<u8>,
}

/// Writes the commands for one key after the other: [`Commands::begin`], the [`Item`]s of its value, [`Commands::end`].
#[derive(Debug, Default)]
pub struct Commands {
    key: Vec<u8>,
    offset: u64,
    expires_at: Option<i64>,
    command: &'static [u8],
    /// How short strings are written.
    quick: Quick,
    /// Arguments of the next command, as they will stand in it.
    batch: Vec<u8>,
    arguments: usize,
    /// The string that is coming, and where it goes.
    string: Vec<u8>,
    in_string: bool,
    going: Going,
    /// A hash's last field, for its expiry, where fields have one.
    field: Vec<u8>,
    fields_expire: bool,
    /// Where in the batch the last field stands.
    field_at: usize,
    score: Vec<u8>,
    stream: Stream,
    written: u64,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Going {
    /// Gathered, because it is short or must wait for what follows it.
    #[default]
    Held,
    /// Written at once.
    Out,
}

/// The ways of strings that are whole and short, as nearly all are.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Quick {
    /// None: streams, and hashes whose fields can expire.
    #[default]
    Never,
    /// The value of a string.
    Value,
    /// Elements, fields and their values, members.
    Gathered,
}

#[derive(Debug, Default)]
struct Stream {
    entries: u64,
    group: Vec<u8>,
    consumer: Vec<u8>,
    pending: BTreeMap<StreamId, (i64, u64)>,
}

/// Writes one command.
pub fn command(out: &mut Vec<u8>, arguments: &[&[u8]]) {
    count(out, b'*', arguments.len() as u64);
    for argument in arguments {
        bulk(out, argument);
    }
}

/// The keys that follow belong to this database.
pub fn select(db: u64, out: &mut Vec<u8>) {
    command(out, &[b"SELECT", &text(db)]);
}

/// A count or a length: few are longer than two digits.
#[inline]
fn count(out: &mut Vec<u8>, mark: u8, number: u64) {
    let digit = |number: u64| b'0' + (number % 10) as u8;
    match number {
        0..10 => out.extend_from_slice(&[mark, digit(number), b'\r', b'\n']),
        10..100 => out.extend_from_slice(&[mark, digit(number / 10), digit(number), b'\r', b'\n']),
        _ => {
            out.push(mark);
            push_unsigned(out, number);
            out.extend_from_slice(b"\r\n");
        }
    }
}

#[inline]
fn bulk(out: &mut Vec<u8>, bytes: &[u8]) {
    out.reserve(bytes.len() + 16);
    count(out, b'$', bytes.len() as u64);
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
}

fn text(value: impl Copy + ToString) -> Vec<u8> {
    value.to_string().into_bytes()
}

impl Commands {
    /// Commands written so far: as many replies will come.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Begins a key, whose record stands at `offset`.
    pub fn begin(&mut self, key: &Key<'_>, offset: u64, out: &mut Vec<u8>) -> Result<(), Refused> {
        self.offset = offset;
        self.key.clear();
        self.key.extend_from_slice(key.name);
        self.expires_at = key.expires_at;
        self.fields_expire = key.kind.fields_expire();
        self.command = match key.kind.data_type() {
            DataType::String => b"SET",
            DataType::List => b"RPUSH",
            DataType::Set => b"SADD",
            DataType::SortedSet => b"ZADD",
            DataType::Hash => b"HSET",
            DataType::Stream => b"XADD",
            kind @ (DataType::Array | DataType::Module) => {
                return Err(
                    self.refuse(format!("there is no command that makes a value of type {kind} again"))
                );
            }
        };
        self.quick = match self.command {
            b"SET" => Quick::Value,
            b"XADD" => Quick::Never,
            _ if self.fields_expire => Quick::Never,
            _ => Quick::Gathered,
        };
        match self.command {
            b"SET" => {
                self.written += 1;
                out.extend_from_slice(b"*3\r\n$3\r\nSET\r\n");
                bulk(out, &self.key);
            }
            b"XADD" => self.stream = Stream::default(),
            _ => {}
        }
        Ok(())
    }

    fn refuse(&self, what: String) -> Refused {
        Refused { what, offset: self.offset, key: self.key.clone() }
    }

    /// Ends it: what was gathered, and the expiry.
    pub fn end(&mut self, out: &mut Vec<u8>) -> Result<(), Refused> {
        self.flush(out);
        if let Some(at) = self.expires_at {
            let mut room = [0; 20];
            counted(&mut self.written, out, &[b"PEXPIREAT", &self.key, decimal(at, &mut room)]);
        }
        if self.command != b"XADD" || mem::take(&mut self.stream).pending.is_empty() {
            return Ok(());
        }
        Err(self.refuse("a pending entry of the stream belongs to no consumer".to_owned()))
    }

    /// Writes the command that was gathered.
    fn flush(&mut self, out: &mut Vec<u8>) {
        if self.arguments > 0 {
            self.head(self.arguments, out);
            out.append(&mut self.batch);
            self.arguments = 0;
        }
    }

    /// A command's start: its name, the key, and then so many arguments.
    fn head(&mut self, arguments: usize, out: &mut Vec<u8>) {
        self.written += 1;
        count(out, b'*', arguments as u64 + 2);
        bulk(out, self.command);
        bulk(out, &self.key);
    }

    /// Takes the next piece of the value.
    #[inline]
    pub fn item(&mut self, item: &Item<'_>, out: &mut Vec<u8>) -> Result<(), Refused> {
        match *item {
            Item::Bytes { role, data, total, last: true }
                if data.len() < SHORT && total == data.len() as u64 && !self.in_string =>
            {
                match (self.quick, role) {
                    (Quick::Value, _) => bulk(out, data),
                    (Quick::Gathered, Role::Member) => self.string.extend_from_slice(data),
                    (Quick::Gathered, Role::Field) => {
                        self.field_at = self.batch.len();
                        bulk(&mut self.batch, data);
                        self.arguments += 1;
                    }
                    // Behind a field that was written already, its value must be too.
                    (Quick::Gathered, Role::Value) if self.arguments.is_multiple_of(2) => {
                        return self.any_item(item, out);
                    }
                    (Quick::Gathered, Role::Element | Role::Value) => {
                        bulk(&mut self.batch, data);
                        self.arguments += 1;
                        self.flush_full(out);
                    }
                    (Quick::Never, _) => return self.any_item(item, out),
                }
                Ok(())
            }
            _ => self.any_item(item, out),
        }
    }

    fn any_item(&mut self, item: &Item<'_>, out: &mut Vec<u8>) -> Result<(), Refused> {
        match *item {
            Item::Bytes { role, data, total, last } => self.bytes(role, data, total, last, out),
            Item::Score(score) => {
                self.score.clear();
                match score {
                    f64::INFINITY => self.score.extend_from_slice(b"inf"),
                    f64::NEG_INFINITY => self.score.extend_from_slice(b"-inf"),
                    _ => push_score(&mut self.score, score),
                }
                bulk(&mut self.batch, &self.score);
                bulk(&mut self.batch, &self.string);
                self.string.clear();
                self.arguments += 2;
                self.flush_full(out);
                Ok(())
            }
            Item::FieldExpires(at) => {
                self.flush(out);
                counted(
                    &mut self.written,
                    out,
                    &[b"HPEXPIREAT", &self.key, &text(at), b"FIELDS", b"1", &self.field],
                );
                Ok(())
            }
            Item::Entry { id, fields } => {
                self.stream.entries += 1;
                let arguments = usize::try_from(fields * 2 + 1)
                    .map_err(|_| self.refuse("an entry of the stream has too many fields".to_owned()))?;
                self.head(arguments, out);
                bulk(out, &text(id));
                Ok(())
            }
            Item::Stream { last_id, more, .. } => {
                if self.stream.entries == 0 {
                    // There is no command for an empty stream: an entry is added and trimmed at once.
                    let id = if last_id == StreamId::default() { text("0-1") } else { text(last_id) };
                    counted(&mut self.written, out, &[b"XADD", &self.key, b"MAXLEN", b"0", &id, b"x", b"y"]);
                }
                match more {
                    Some((_, deleted, added)) => counted(
                        &mut self.written,
                        out,
                        &[
                            b"XSETID",
                            &self.key,
                            &text(last_id),
                            b"ENTRIESADDED",
                            &text(added),
                            b"MAXDELETEDID",
                            &text(deleted),
                        ],
                    ),
                    None => counted(&mut self.written, out, &[b"XSETID", &self.key, &text(last_id)]),
                }
                Ok(())
            }
            Item::Group { name, last_id, entries_read } => {
                self.stream.group = name.to_vec();
                let id = text(last_id);
                match entries_read {
                    Some(read) => counted(
                        &mut self.written,
                        out,
                        &[b"XGROUP", b"CREATE", &self.key, name, &id, b"ENTRIESREAD", &text(read)],
                    ),
                    None => counted(&mut self.written, out, &[b"XGROUP", b"CREATE", &self.key, name, &id]),
                }
                Ok(())
            }
            Item::Pending { id, delivered_at, deliveries } => {
                self.stream.pending.insert(id, (delivered_at, deliveries));
                if self.stream.pending.len() > PENDING {
                    return Err(
                        self.refuse(format!("a consumer group has more than {PENDING} pending entries"))
                    );
                }
                Ok(())
            }
            Item::Consumer { name, .. } => {
                self.stream.consumer = name.to_vec();
                counted(
                    &mut self.written,
                    out,
                    &[b"XGROUP", b"CREATECONSUMER", &self.key, &self.stream.group, name],
                );
                Ok(())
            }
            Item::ConsumerPending(id) => {
                let Some((at, deliveries)) = self.stream.pending.remove(&id) else {
                    return Err(self.refuse(format!("the stream's pending entry {id} is in no group")));
                };
                let Stream { group, consumer, .. } = &self.stream;
                counted(
                    &mut self.written,
                    out,
                    &[
                        b"XCLAIM",
                        &self.key,
                        group,
                        consumer,
                        b"0",
                        &text(id),
                        b"TIME",
                        &text(at),
                        b"RETRYCOUNT",
                        &text(deliveries),
                        b"JUSTID",
                        b"FORCE",
                    ],
                );
                Ok(())
            }
            Item::Released(id) => {
                self.stream.pending.remove(&id);
                Ok(())
            }
            Item::Length(_)
            | Item::Idempotence { .. }
            | Item::Producer(_)
            | Item::Idempotent { .. }
            | Item::IdempotentTotals { .. }
            | Item::InsertIndex(_)
            | Item::Index(_)
            | Item::Module { .. } => Ok(()),
        }
    }

    #[inline]
    fn flush_full(&mut self, out: &mut Vec<u8>) {
        if self.batch.len() >= BATCH || self.arguments >= ARGUMENTS {
            self.flush(out);
        }
    }

    fn bytes(
        &mut self,
        role: Role,
        data: &[u8],
        total: u64,
        last: bool,
        out: &mut Vec<u8>,
    ) -> Result<(), Refused> {
        if !std::mem::replace(&mut self.in_string, !last) {
            self.start(role, total, out)?;
            if last && self.going == Going::Held && role != Role::Member {
                // Whole and short, as nearly all are.
                if role == Role::Field && self.fields_expire {
                    self.field.extend_from_slice(data);
                }
                bulk(&mut self.batch, data);
                self.arguments += 1;
                if role != Role::Field {
                    self.flush_full(out);
                }
                return Ok(());
            }
        }
        if role == Role::Field && self.fields_expire {
            self.field.extend_from_slice(data);
        }
        match self.going {
            Going::Out => out.extend_from_slice(data),
            Going::Held => self.string.extend_from_slice(data),
        }
        if !last {
            return Ok(());
        }
        match mem::take(&mut self.going) {
            Going::Out => out.extend_from_slice(b"\r\n"),
            // Waits for its score.
            Going::Held if role == Role::Member => {}
            Going::Held => {
                bulk(&mut self.batch, &self.string);
                self.string.clear();
                self.arguments += 1;
                if role != Role::Field {
                    self.flush_full(out);
                }
            }
        }
        Ok(())
    }

    /// Decides where a string goes that begins.
    fn start(&mut self, role: Role, total: u64, out: &mut Vec<u8>) -> Result<(), Refused> {
        let long = total > BATCH as u64;
        match (self.command, role) {
            // The head is written already, with the right number of arguments.
            (b"SET" | b"XADD", _) => self.going = Going::Out,
            // A member waits for its score, and a field for its expiry.
            (_, Role::Member | Role::Field) if total > HELD as u64 => {
                return Err(self.refuse(format!("a member or field of {total} bytes is too long to be held")));
            }
            (_, Role::Field) => {
                self.field.clear();
                self.field_at = self.batch.len();
                if long {
                    self.flush(out);
                    self.head(2, out);
                    self.going = Going::Out;
                }
            }
            (_, Role::Value) => {
                // Behind a field that went out, the value must go out too; behind one that is held, a long value takes that field along.
                if self.arguments.is_multiple_of(2) {
                    self.going = Going::Out;
                } else if long {
                    self.field_alone(out);
                    self.going = Going::Out;
                }
            }
            (_, Role::Element) if long => {
                self.flush(out);
                self.head(1, out);
                self.going = Going::Out;
            }
            _ => {}
        }
        if self.going == Going::Out {
            count(out, b'$', total);
        }
        Ok(())
    }

    /// Writes what was gathered, and the field gathered last as the beginning of a command of its own.
    fn field_alone(&mut self, out: &mut Vec<u8>) {
        let field = self.batch.split_off(self.field_at);
        self.arguments -= 1;
        self.flush(out);
        self.head(2, out);
        out.extend_from_slice(&field);
    }
}

fn counted(written: &mut u64, out: &mut Vec<u8>, arguments: &[&[u8]]) {
    *written += 1;
    command(out, arguments);
}
