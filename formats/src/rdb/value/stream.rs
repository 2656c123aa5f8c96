//! Streams: entries packed in listpacks, then IDs, consumer groups and idempotent producers.

use std::fmt;

use super::super::error::{Error, Problem, Result};
use super::super::grammar::Part;
use super::super::kind::Shape;
use super::items::{Items, Step};
use super::packed::{Entry, Listpack};
use super::{Item, Role};

/// The ID of a stream's entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
pub struct StreamId {
    /// Milliseconds since 1970, as a rule.
    pub ms: u64,
    /// A sequence number within the millisecond.
    pub seq: u64,
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ms, self.seq)
    }
}

impl StreamId {
    /// Sixteen bytes, big-endian.
    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (ms, seq) = bytes.split_at_checked(8)?;
        Some(Self {
            ms: u64::from_be_bytes(ms.try_into().ok()?),
            seq: u64::from_be_bytes(seq.try_into().ok()?),
        })
    }
}

/// What was read of a stream and is not complete yet.
#[derive(Debug, Default)]
pub(super) struct Stream {
    node: StreamId,
    length: u64,
    last: StreamId,
    first: StreamId,
    deleted: StreamId,
    group: StreamId,
    name: Vec<u8>,
    pending: (StreamId, i64),
    seen_at: i64,
    duration: u64,
    entry_ms: u64,
    added: u64,
}

/// Flags of an entry in a node.
const DELETED: i64 = 1;
const SAME_FIELDS: i64 = 2;

impl<E, F> Items<'_, F>
where
    E: From<Error>,
    F: FnMut(Item<'_>) -> Result<(), E>,
{
    fn is_stream_1(&self) -> bool {
        self.state.shape == Some(Shape::Stream1)
    }

    pub(super) fn stream_name(&mut self, part: Part, data: &[u8]) -> Step<E> {
        if part == Part::StreamNodeId {
            let Some(id) = StreamId::from_bytes(data) else {
                return Err(self.bad(Problem::Corrupt("a stream node's ID that is not 16 bytes long")));
            };
            self.state.stream.node = id;
            return Ok(());
        }
        if part == Part::ProducerId {
            return self.emit(Item::Producer(data));
        }
        self.state.stream.name.clear();
        self.state.stream.name.extend_from_slice(data);
        Ok(())
    }

    /// Hands out an item that holds the name read last.
    fn emit_named(&mut self, item: impl FnOnce(&[u8]) -> Item<'_>) -> Step<E> {
        let name = std::mem::take(&mut self.state.stream.name);
        let emitted = self.emit(item(&name));
        self.state.stream.name = name;
        emitted
    }

    pub(super) fn stream_number(&mut self, part: Part, value: u64) -> Step<E> {
        let first_form = self.is_stream_1();
        let stream = &mut self.state.stream;
        match part {
            Part::StreamLength => stream.length = value,
            Part::LastMs => stream.last.ms = value,
            Part::LastSeq => {
                stream.last.seq = value;
                if first_form {
                    let (length, last_id) = (stream.length, stream.last);
                    return self.emit(Item::Stream { length, last_id, more: None });
                }
            }
            Part::FirstMs => stream.first.ms = value,
            Part::FirstSeq => stream.first.seq = value,
            Part::MaxDeletedMs => stream.deleted.ms = value,
            Part::MaxDeletedSeq => stream.deleted.seq = value,
            Part::EntriesAdded => {
                let (length, last_id) = (stream.length, stream.last);
                let more = Some((stream.first, stream.deleted, value));
                return self.emit(Item::Stream { length, last_id, more });
            }
            Part::GroupMs => stream.group.ms = value,
            Part::GroupSeq => {
                stream.group.seq = value;
                if first_form {
                    let last_id = stream.group;
                    return self.emit_named(|name| Item::Group { name, last_id, entries_read: None });
                }
            }
            Part::EntriesRead => {
                let last_id = stream.group;
                // -1 stands for unknown.
                let entries_read = (value != u64::MAX).then_some(value);
                return self.emit_named(|name| Item::Group { name, last_id, entries_read });
            }
            Part::Deliveries => {
                let (id, delivered_at) = stream.pending;
                return self.emit(Item::Pending { id, delivered_at, deliveries: value });
            }
            Part::IdmpDuration => stream.duration = value,
            Part::IdmpMax => {
                let duration = stream.duration;
                return self.emit(Item::Idempotence { duration, max: value });
            }
            Part::EntryMs => stream.entry_ms = value,
            Part::EntrySeq => {
                let id = StreamId { ms: stream.entry_ms, seq: value };
                return self.emit_named(|name| Item::Idempotent { name, id });
            }
            Part::IidsAdded => stream.added = value,
            Part::IidsDuplicates => {
                let added = stream.added;
                return self.emit(Item::IdempotentTotals { added, duplicates: value });
            }
            _ => {}
        }
        Ok(())
    }

    pub(super) fn stream_fixed(&mut self, part: Part, bytes: &[u8]) -> Step<E> {
        let id = || StreamId::from_bytes(bytes.get(..16).unwrap_or_default()).unwrap_or_default();
        let time = |at: usize| {
            bytes.get(at..at + 8).and_then(|time| time.try_into().ok()).map_or(0, i64::from_le_bytes)
        };
        match part {
            Part::PendingEntry => self.state.stream.pending = (id(), time(16)),
            Part::SeenTime => {
                self.state.stream.seen_at = time(0);
                if matches!(self.state.shape, Some(Shape::Stream1 | Shape::Stream2)) {
                    let seen_at = time(0);
                    return self.emit_named(|name| Item::Consumer { name, seen_at, active_at: None });
                }
            }
            Part::ActiveTime => {
                let (seen_at, active_at) = (self.state.stream.seen_at, Some(time(0)));
                return self.emit_named(|name| Item::Consumer { name, seen_at, active_at });
            }
            Part::ConsumerPending => return self.emit(Item::ConsumerPending(id())),
            Part::Nack => return self.emit(Item::Released(id())),
            _ => {}
        }
        Ok(())
    }

    /// The entries of one node: counts and the fields of its first entry, then entries that refer to them.
    pub(super) fn stream_node(&mut self, data: &[u8]) -> Step<E> {
        const SHORT: Problem = Problem::Corrupt("a stream node that ends early");
        const COUNT: Problem = Problem::Corrupt("a stream node with impossible counts");
        let mut pack = Listpack::new(data).map_err(|p| self.bad(p))?;
        let mut next = || pack.next().and_then(|entry| entry.ok_or(SHORT));
        let int = |entry| match entry {
            Entry::Int(int) => Ok(int),
            Entry::Bytes(_) => Err(Problem::Corrupt("text in a stream node where a number belongs")),
        };
        let size = |entry| int(entry).and_then(|size| u64::try_from(size).map_err(|_| COUNT));

        let mut header = || {
            let valid = size(next()?)?;
            let deleted = size(next()?)?;
            let mut fields = Vec::new();
            for _ in 0..size(next()?)? {
                // Bounded by the listpack: every field takes at least two bytes of it.
                fields.push(next()?);
            }
            Ok::<_, Problem>((valid.checked_add(deleted).ok_or(COUNT)?, fields, int(next()?)?))
        };
        let (entries, fields, zero) = header().map_err(|p| self.bad(p))?;
        if zero != 0 {
            return Err(self.bad(Problem::Corrupt("a stream node whose header has no end")));
        }
        for _ in 0..entries {
            let mut head = || {
                let flags = int(next()?)?;
                let ms = int(next()?)?;
                let seq = int(next()?)?;
                let count = if flags & SAME_FIELDS == 0 { size(next()?)? } else { fields.len() as u64 };
                Ok::<_, Problem>((flags, ms, seq, count))
            };
            let (flags, ms, seq, count) = head().map_err(|p| self.bad(p))?;
            let node = self.state.stream.node;
            let id = StreamId { ms: node.ms.wrapping_add_signed(ms), seq: node.seq.wrapping_add_signed(seq) };
            let shown = flags & DELETED == 0;
            if shown {
                self.emit(Item::Entry { id, fields: count })?;
            }
            let mut names = fields.iter();
            for _ in 0..count {
                let field = match names.next() {
                    Some(field) if flags & SAME_FIELDS != 0 => *field,
                    _ => next().map_err(|p| self.bad(p))?,
                };
                let value = next().map_err(|p| self.bad(p))?;
                if shown {
                    self.entry(Role::Field, field)?;
                    self.entry(Role::Value, value)?;
                }
            }
            next().and_then(int).map_err(|p| self.bad(p))?;
        }
        match pack.next() {
            Ok(None) => Ok(()),
            Ok(Some(_)) => Err(self.bad(Problem::Corrupt("a stream node with more entries than it counts"))),
            Err(problem) => Err(self.bad(problem)),
        }
    }
}
