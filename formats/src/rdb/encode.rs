//! Writes records back: what was kept, as it was, and what had to change, anew; with a fresh CRC64.

use std::ops::Range;

use super::crc64::Crc64;
use super::head::{AUX, EOF, EXPIRE_MILLIS, FREQUENCY, FUNCTION, IDLE, RESIZE_DB, SELECT_DB};
use super::kind::{Feature, Kind, Needs, Version};
use super::parse::{Event, Record};
use super::token::{push_len, push_str};

/// Writes one RDB file into a buffer that the caller empties.
///
/// The checksum is computed when the buffer is taken, so take it in large pieces: 64 KiB or more.
#[derive(Debug, Clone)]
pub struct Encoder {
    out: Vec<u8>,
    crc: Crc64,
    taken: u64,
    has_checksum: bool,
}

impl Encoder {
    /// Begins a file; [`super::Needs`] tells which version is low enough for the target and high enough for the
    /// content.
    pub fn new(version: Version) -> Self {
        Self {
            out: version.magic().to_vec(),
            crc: Crc64::new(),
            taken: 0,
            has_checksum: version.has_checksum(),
        }
    }

    /// States another version in the header, as long as nothing was taken; answers whether it did. Both have a checksum or neither has.
    pub fn restate(&mut self, version: Version) -> bool {
        if self.taken > 0 || version.has_checksum() != self.has_checksum {
            return false;
        }
        self.out[..Version::LEN].copy_from_slice(&version.magic());
        true
    }

    /// Bytes waiting to be taken.
    pub fn pending(&self) -> usize {
        self.out.len()
    }

    /// Bytes written since the start of the file.
    pub fn written(&self) -> u64 {
        self.taken + self.out.len() as u64
    }

    /// Writes bytes of a file as they are.
    #[inline]
    pub fn raw(&mut self, raw: &[u8]) {
        self.out.extend_from_slice(raw);
    }

    /// Writes an AUX field.
    pub fn aux(&mut self, name: &[u8], value: &[u8]) {
        self.out.push(AUX);
        push_str(&mut self.out, name);
        push_str(&mut self.out, value);
    }

    /// The keys from here on belong to this database.
    pub fn select_db(&mut self, db: u64) {
        self.out.push(SELECT_DB);
        push_len(&mut self.out, db);
    }

    /// Tells the loader how many keys to make room for.
    pub fn resize_db(&mut self, keys: u64, expires: u64) {
        self.out.push(RESIZE_DB);
        push_len(&mut self.out, keys);
        push_len(&mut self.out, expires);
    }

    /// Writes a library of functions.
    pub fn function(&mut self, library: &[u8]) {
        self.out.push(FUNCTION);
        push_str(&mut self.out, library);
    }

    /// Writes when the next key expires, in milliseconds since 1970.
    pub fn expires_at(&mut self, millis: i64) {
        self.out.push(EXPIRE_MILLIS);
        self.out.extend_from_slice(&millis.to_le_bytes());
    }

    /// Writes how many seconds the next key was idle.
    pub fn idle(&mut self, seconds: u64) {
        self.out.push(IDLE);
        push_len(&mut self.out, seconds);
    }

    /// Writes how often the next key is used.
    pub fn frequency(&mut self, frequency: u8) {
        self.out.extend_from_slice(&[FREQUENCY, frequency]);
    }

    /// Writes a key's type and name; its value follows as [`Encoder::raw`].
    pub fn key(&mut self, kind: Kind, name: &[u8]) {
        self.out.push(kind.byte());
        push_str(&mut self.out, name);
    }

    /// A writer for the records of one piece of input, which begins at `offset` in the file being parsed.
    pub fn splice<'e, 'p>(&'e mut self, piece: &'p [u8], offset: u64) -> Splice<'e, 'p> {
        Splice { encoder: self, piece, offset, run: offset..offset }
    }

    /// Takes what was written so far, leaving `empty` (cleared, for its memory) to be written into.
    pub fn take(&mut self, mut empty: Vec<u8>) -> Vec<u8> {
        empty.clear();
        self.crc.update(&self.out);
        self.taken += self.out.len() as u64;
        std::mem::replace(&mut self.out, empty)
    }

    /// Ends the file and answers what was not taken yet.
    pub fn finish(mut self) -> Vec<u8> {
        self.out.push(EOF);
        self.crc.update(&self.out);
        if self.has_checksum {
            self.out.extend_from_slice(&self.crc.value().to_le_bytes());
        }
        self.out
    }
}

impl Needs {
    /// Counts in a record that is kept as it is. Hints and AUX fields that are kept need their versions too; what a
    /// value needs is in its key's type.
    pub fn event(&mut self, event: &Event<'_>) {
        match event {
            Event::Header(_) | Event::SelectDb(_) | Event::Chunk(_) | Event::Eof(_) => {}
            Event::Aux { .. } | Event::ResizeDb { .. } => self.feature(Feature::Aux),
            Event::SlotInfo { .. } => self.feature(Feature::SlotInfo),
            Event::SlotImport { .. } => self.feature(Feature::SlotImport),
            Event::Function { .. } => self.feature(Feature::Function),
            Event::HashTemplate { .. } => self.feature(Feature::HashTemplate),
            Event::ModuleAux { .. } => self.feature(Feature::ModuleAux),
            Event::Key(key) => {
                self.kind(key.kind);
                if key.expires_at.is_some() {
                    self.feature(Feature::ExpireMillis);
                }
                if key.idle.is_some() || key.frequency.is_some() {
                    self.feature(Feature::Eviction);
                }
                if key.has_metadata {
                    self.feature(Feature::KeyMeta);
                }
            }
        }
    }
}

/// Writes what is kept of a piece of input. Records that follow on each other are copied together, which for small
/// keys is most of the cost of keeping them.
///
/// Make one per [`super::Parser::push`], with the same piece and [`super::Parser::offset`] from before the push. What is
/// kept is in the encoder once the splice is dropped.
#[derive(Debug)]
pub struct Splice<'e, 'p> {
    encoder: &'e mut Encoder,
    piece: &'p [u8],
    offset: u64,
    /// The part of the file that is kept and not yet written; it lies in `piece`.
    run: Range<u64>,
}

impl Splice<'_, '_> {
    /// Keeps a record as it is.
    #[inline]
    pub fn keep(&mut self, record: &Record<'_>) {
        if record.offset != self.run.end || record.offset < self.offset {
            self.flush();
            self.run = record.offset..record.offset;
        }
        if record.offset < self.offset {
            // Its head was cut, so it is not in this piece; what follows it is.
            self.encoder.raw(record.raw);
            self.run.start += record.raw.len() as u64;
            self.run.end = self.run.start;
        } else {
            self.run.end += record.raw.len() as u64;
        }
    }

    /// The encoder, for writing something else behind what was kept so far.
    pub fn encoder(&mut self) -> &mut Encoder {
        self.flush();
        self.encoder
    }

    fn flush(&mut self) {
        let at = |offset: u64| usize::try_from(offset.saturating_sub(self.offset)).unwrap_or(usize::MAX);
        if let Some(kept) = self.piece.get(at(self.run.start)..at(self.run.end)) {
            self.encoder.raw(kept);
        }
        self.run.start = self.run.end;
    }
}

impl Drop for Splice<'_, '_> {
    fn drop(&mut self) {
        self.flush();
    }
}
