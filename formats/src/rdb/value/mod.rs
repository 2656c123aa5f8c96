//! Decodes values: a value's bytes in, its elements out.
//!
//! Strings come in pieces, elements one by one, so memory does not follow the size of a value. Two things are held
//! whole because they can only be read so: packed collections (ziplists, listpacks, intsets, zipmaps, stream nodes;
//! a server keeps them at a few kilobytes) and names of consumer groups, consumers and producers. A limit bounds both.

mod items;
mod packed;
mod stream;

use super::error::{Error, Problem, Result};
use super::grammar::{Part, Step, layout};
use super::kind::Kind;
use super::skip::{Sink as _, TemplateSizes, Walker};
use super::token::{Cursor, Stop, StrHead, quick_head};
use items::{Decoding, Fault, Items};
pub use stream::StreamId;

/// Default bound on a packed collection and on a name.
const PACKED_LIMIT: usize = 64 << 20;

/// What a string is in its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The value of a string; an element of a list, a set or an array.
    Element,
    /// A member of a sorted set; its score follows.
    Member,
    /// A field of a hash or of a stream's entry; its value follows.
    Field,
    /// The value of the field before it.
    Value,
}

/// A piece of a decoded value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Item<'a> {
    /// How many elements (members, pairs) the value has, where it says so before they come.
    Length(u64),
    /// A string, or the next piece of one.
    Bytes {
        /// What it is.
        role: Role,
        /// The piece.
        data: &'a [u8],
        /// Length of the whole string in bytes.
        total: u64,
        /// True with the string's last piece.
        last: bool,
    },
    /// The score of the member before it.
    Score(f64),
    /// When the field before it expires, in milliseconds since 1970. Follows the field's value.
    FieldExpires(i64),
    /// An entry of a stream; so many fields with their values follow.
    Entry {
        /// Its ID.
        id: StreamId,
        /// Number of fields.
        fields: u64,
    },
    /// What is known of a stream beside its entries, after them.
    Stream {
        /// Number of entries.
        length: u64,
        /// Highest ID ever given.
        last_id: StreamId,
        /// Lowest ID present, highest ID deleted, and number of entries ever added: since Redis 7.0.
        more: Option<(StreamId, StreamId, u64)>,
    },
    /// A consumer group of the stream.
    Group {
        /// Its name.
        name: &'a [u8],
        /// Last ID delivered.
        last_id: StreamId,
        /// Number of entries read; none where it is not known.
        entries_read: Option<u64>,
    },
    /// An entry that was delivered to a consumer of the group and not acknowledged.
    Pending {
        /// Its ID.
        id: StreamId,
        /// When it was last delivered, in milliseconds since 1970.
        delivered_at: i64,
        /// How often it was.
        deliveries: u64,
    },
    /// A consumer of the group.
    Consumer {
        /// Its name.
        name: &'a [u8],
        /// When it was last seen, in milliseconds since 1970.
        seen_at: i64,
        /// When it last took something: since Redis 7.2.
        active_at: Option<i64>,
    },
    /// One of the group's pending entries, which belongs to the consumer before it.
    ConsumerPending(StreamId),
    /// One of the group's pending entries, which its consumer gave back (Redis 8.8).
    Released(StreamId),
    /// How long and how many idempotent IDs the stream remembers (Redis 8.6).
    Idempotence {
        /// Seconds.
        duration: u64,
        /// IDs per producer.
        max: u64,
    },
    /// A producer whose idempotent IDs follow.
    Producer(&'a [u8]),
    /// An idempotent ID and the entry it gave.
    Idempotent {
        /// The ID as the producer gave it.
        name: &'a [u8],
        /// The entry.
        id: StreamId,
    },
    /// Idempotent IDs ever added, and duplicates found.
    IdempotentTotals {
        /// Added.
        added: u64,
        /// Duplicates.
        duplicates: u64,
    },
    /// Where the next insertion into the array goes.
    InsertIndex(u64),
    /// The index of the array's element that follows.
    Index(u64),
    /// A module's value, which nobody else can read: nothing follows.
    Module {
        /// The type's identifier; see [`super::module_name`].
        id: u64,
    },
}

/// Decodes one value after another.
#[derive(Debug)]
pub struct Decoder {
    walker: Walker,
    sizes: TemplateSizes,
    done: bool,
    /// What a value that is one string is, until its first bytes come.
    lone: Option<Part>,
    state: Decoding,
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Decoder {
    /// A decoder.
    pub fn new() -> Self {
        Self::with_packed_limit(PACKED_LIMIT)
    }

    /// A decoder that refuses packed collections and names over `limit` bytes.
    pub fn with_packed_limit(limit: usize) -> Self {
        Self {
            walker: Walker::new(),
            sizes: TemplateSizes::new(),
            done: true,
            lone: None,
            state: Decoding { limit, ..Decoding::default() },
        }
    }

    /// Remembers a hash template: count and names as [`super::Event::HashTemplate`] has them.
    pub fn template(&mut self, id: u64, count: u64, fields: &[u8]) -> Result<()> {
        let mut cursor = Cursor::new(fields, 0);
        let mut names = Vec::new();
        let mut scratch = Vec::new();
        for _ in 0..count {
            let start = cursor.pos() as u64;
            let name =
                cursor.string("a template's field", self.state.limit as u64).map_err(|stop| match stop {
                    Stop::Need(len) => {
                        Error::new(Problem::Truncated("inside a template's fields"), len as u64)
                    }
                    Stop::Bad(bad) => Error::new(bad.0, bad.1 as u64),
                })?;
            names.push(Box::from(name.bytes(&mut scratch).map_err(|problem| Error::new(problem, start))?));
        }
        self.sizes.insert(id, count);
        self.state.templates.insert(id, names);
        Ok(())
    }

    /// Begins a value.
    pub fn begin(&mut self, kind: Kind) {
        let steps = layout(kind.shape);
        self.walker.begin(steps);
        self.lone = if let [Step::Str(part)] = steps { Some(*part) } else { None };
        self.done = false;
        let state = &mut self.state;
        state.shape = Some(kind.shape);
        state.offset = 0;
        state.part = None;
        state.ttl = 0;
        state.min_ttl = 0;
        state.fields.clear();
        state.field_at = 0;
    }

    /// Takes the next bytes of the value and hands out what they hold. Answers whether the value ended with them. An
    /// error's offset counts from the start of the value.
    pub fn push<E, F>(&mut self, input: &[u8], on: &mut F) -> Result<bool, E>
    where
        E: From<Error>,
        F: FnMut(Item<'_>) -> Result<(), E>,
    {
        let start = self.state.offset;
        if self.done {
            return if input.is_empty() {
                Ok(true)
            } else {
                Err(Error::new(Problem::AfterEnd, start).into())
            };
        }
        let mut sink = Items { state: &mut self.state, on };
        // A string that is whole and alone, as most values are: nothing to walk through.
        if let Some(part) = self.lone.take()
            && let Some((head, stored)) = quick_head(input)
        {
            let mut told = sink.string(part, head);
            if told.is_ok() && !matches!(head, StrHead::Int(_)) {
                told = sink.bytes(stored, true);
            }
            match told {
                Ok(()) => {}
                Err(Fault::Walk(error)) => return Err(error.shifted(start).into()),
                Err(Fault::Own(error)) => return Err(error),
            }
            self.state.offset += input.len() as u64;
            self.done = true;
            return Ok(true);
        }
        let walked = match self.walker.walk(input, &self.sizes, &mut sink) {
            Ok(walked) => walked,
            Err(Fault::Walk(error)) => return Err(error.shifted(start).into()),
            Err(Fault::Own(error)) => return Err(error),
        };
        self.state.offset += walked.used as u64;
        self.done = walked.done;
        if walked.used < input.len() {
            return Err(Error::new(Problem::AfterEnd, self.state.offset).into());
        }
        Ok(walked.done)
    }
}

#[cfg(test)]
mod tests;
