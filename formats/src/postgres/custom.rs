//! A forward-only, push-style reader of the custom format (`pg_dump -Fc`), archive versions 1.12 to 1.16.
//!
//! The format has no length, no checksum and no end mark: a file that was cut between two blocks looks whole to
//! whoever reads only what is there (`pg_restore -l` does). But its table of contents comes first and says which
//! entries have data, so this reader knows how many blocks must follow, and that nothing may follow them. It takes
//! strings as bytes, keeps no more of them than a listing needs, and skips the contents of chunks by their length.
//!
//! Layout: header; entries; then for each entry with data a block: type, entry's id, chunks (length, bytes) up to a
//! length of 0. A block of large objects repeats object id and chunks up to an id of 0.
//! Source: PostgreSQL's `src/bin/pg_dump/pg_backup_archiver.c` and `pg_backup_custom.c`, versions 10 to 18.

use std::collections::HashMap;
use std::fmt;

#[cfg(test)]
mod tests;

/// So much of each string is kept; the rest is skipped.
const KEPT: usize = 256;
/// A table of contents with more entries than this is refused: `pg_dump` numbers objects, and needs memory for each.
const ENTRY_LIMIT: u32 = 8_000_000;
/// Entries with data that can be outstanding: each is remembered until its block ends, in 17 bytes of a table that
/// doubles; this many need 18 MiB and, while it grows, half of that again.
const PENDING_LIMIT: usize = 900_000;
/// The archive does not say where a block begins: it was written to a pipe.
const UNSET: u64 = u64::MAX;

/// How data blocks are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// One zlib stream for each entry.
    Gzip,
    /// One LZ4 frame for each entry.
    Lz4,
    /// One zstd frame for each entry.
    Zstd,
}

impl Compression {
    /// The name that `pg_dump -Z` takes.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }
}

/// What the header says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Header {
    /// Archive version such as `(1, 14, 0)`.
    pub version: (u8, u8, u8),
    /// How data blocks are compressed.
    pub compression: Compression,
    /// Name of the dumped database.
    pub database: Vec<u8>,
    /// Version of the server.
    pub server_version: Vec<u8>,
    /// Version of `pg_dump`.
    pub dump_version: Vec<u8>,
    /// Entries in the table of contents.
    pub entries: u32,
}

/// An entry of the table of contents. Strings are cut after 256 bytes; a missing one is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entry {
    /// Its number in the archive.
    pub id: i32,
    /// Whether a block of data belongs to it.
    pub has_data: bool,
    /// Name of the object.
    pub tag: Vec<u8>,
    /// Its kind, such as `TABLE DATA`.
    pub kind: Vec<u8>,
    /// Its schema.
    pub namespace: Vec<u8>,
    /// Its owner.
    pub owner: Vec<u8>,
    offset: u64,
}

/// What the reader has come across.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The header is read.
    Header(Header),
    /// One entry of the table of contents is read.
    Entry(Entry),
    /// A block of data ended: the entry's id, stored bytes without framing, large objects in it.
    Block {
        /// The entry that it belongs to.
        id: i32,
        /// Stored bytes, framing not counted.
        bytes: u64,
        /// Large objects in it.
        objects: u64,
    },
}

/// Why the input is no custom-format archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FormatError {
    /// Offset at which it was found out.
    pub offset: u64,
    /// What is wrong.
    pub what: String,
    /// True when the input ended too early; else it says something impossible.
    pub truncated: bool,
}

impl fmt::Display for FormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.what, self.offset)
    }
}

impl std::error::Error for FormatError {}

/// What is read next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Magic,
    VersionMajor,
    VersionMinor,
    VersionRevision,
    IntSize,
    OffsetSize,
    Format,
    CompressionByte,
    CompressionLevel,
    /// Seconds to daylight-saving flag.
    Time(u8),
    Database,
    ServerVersion,
    DumpVersion,
    EntryCount,
    EntryId,
    HadDumper,
    /// Table OID, OID: strings of no use here.
    Oid(u8),
    Tag,
    Kind,
    Section,
    /// Definition, drop statement, copy statement.
    Sql(u8),
    Namespace,
    Tablespace,
    AccessMethod,
    RelationKind,
    Owner,
    WithOids,
    Dependency,
    OffsetState,
    Offset,
    BlockType,
    BlockId,
    Chunk,
    ObjectId,
    ObjectChunk,
    End,
}

/// A value that may arrive in pieces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reading {
    /// A fixed number of bytes: so many of them are here.
    Bytes(usize),
    /// The bytes of a string or a chunk: so many are still to come.
    Content(u64),
}

/// The reader. Push a stream into it in any pieces, then [`Parser::finish`].
#[derive(Debug)]
pub struct Parser {
    step: Step,
    reading: Reading,
    scratch: [u8; 16],
    string: Vec<u8>,
    offset: u64,
    int_size: usize,
    offset_size: usize,
    header: Header,
    entry: Entry,
    offset_set: bool,
    left: u32,
    /// Entries with data whose blocks have not come; where the file says that they are,
    /// [`UNSET`] where it does not.
    pending: HashMap<i32, u64>,
    block: (i32, u64, u64),
    block_start: u64,
    large_objects: bool,
}

impl Default for Parser {
    fn default() -> Self {
        Self::new()
    }
}

impl Parser {
    /// A reader at the beginning of an archive.
    pub fn new() -> Self {
        Self {
            step: Step::Magic,
            reading: Reading::Bytes(0),
            scratch: [0; 16],
            string: Vec::new(),
            offset: 0,
            int_size: 4,
            offset_size: 8,
            header: Header::default(),
            entry: Entry::default(),
            offset_set: false,
            left: 0,
            pending: HashMap::new(),
            block: (0, 0, 0),
            block_start: 0,
            large_objects: false,
        }
    }

    /// Bytes read so far.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    fn wrong(&self, what: impl Into<String>) -> FormatError {
        FormatError { offset: self.offset, what: what.into(), truncated: false }
    }

    /// Reads a piece of the archive and reports what it completes.
    pub fn push(&mut self, mut input: &[u8], found: &mut dyn FnMut(Event)) -> Result<(), FormatError> {
        while !input.is_empty() {
            let taken = match self.reading {
                Reading::Content(left) => self.content(input, left),
                Reading::Bytes(have) => {
                    if self.step == Step::End {
                        return Err(self.wrong("bytes follow the last block of data"));
                    }
                    let width = self.width();
                    let take = (width - have).min(input.len());
                    self.scratch[have..have + take].copy_from_slice(&input[..take]);
                    if have + take == width {
                        self.reading = Reading::Bytes(0);
                        self.offset += take as u64;
                        self.value(found)?;
                        self.offset -= take as u64;
                    } else {
                        self.reading = Reading::Bytes(have + take);
                    }
                    take
                }
            };
            self.offset += taken as u64;
            input = &input[taken..];
        }
        Ok(())
    }

    /// Takes the end of the archive.
    pub fn finish(&self) -> Result<(), FormatError> {
        if self.step == Step::End {
            return Ok(());
        }
        let what = match self.step {
            _ if self.offset == 0 => "the archive is empty".to_owned(),
            Step::BlockType => format!("{} data blocks are missing", self.pending.len()),
            Step::BlockId | Step::Chunk | Step::ObjectId | Step::ObjectChunk => {
                format!("the archive ends inside a data block; {} are missing", self.pending.len())
            }
            Step::Magic => "the archive ends in its header".to_owned(),
            _ => "the archive ends in its table of contents".to_owned(),
        };
        Err(FormatError { offset: self.offset, what, truncated: true })
    }

    /// Bytes of the fixed-size value that the step begins with. For a string it is the length.
    fn width(&self) -> usize {
        match self.step {
            Step::Magic => 5,
            Step::VersionMajor
            | Step::VersionMinor
            | Step::VersionRevision
            | Step::IntSize
            | Step::OffsetSize
            | Step::Format
            | Step::CompressionByte
            | Step::OffsetState
            | Step::BlockType => 1,
            Step::Offset => self.offset_size,
            _ => 1 + self.int_size,
        }
    }

    /// An integer: a sign byte, then the magnitude with its low byte first.
    fn int(&self) -> Result<i64, FormatError> {
        let mut magnitude = 0_u64;
        for (n, byte) in self.scratch[1..=self.int_size].iter().enumerate() {
            magnitude |= u64::from(*byte) << (8 * n);
        }
        if magnitude > 1 << 31 || self.scratch[0] > 1 {
            return Err(self.wrong("an integer is out of range"));
        }
        let value = i64::try_from(magnitude).unwrap_or(i64::MAX);
        Ok(if self.scratch[0] == 1 { -value } else { value })
    }

    fn minor(&self) -> u8 {
        self.header.version.1
    }

    /// A fixed-size value is complete in `scratch`.
    fn value(&mut self, found: &mut dyn FnMut(Event)) -> Result<(), FormatError> {
        let byte = self.scratch[0];
        self.step = match self.step {
            Step::Magic if &self.scratch[..5] == b"PGDMP" => Step::VersionMajor,
            Step::Magic => {
                return Err(self.wrong("not a custom-format archive: it does not begin with PGDMP"));
            }
            Step::VersionMajor => {
                self.header.version.0 = byte;
                Step::VersionMinor
            }
            Step::VersionMinor => {
                self.header.version.1 = byte;
                if self.header.version.0 != 1 || !(12..=16).contains(&byte) {
                    let (major, minor, _) = self.header.version;
                    return Err(
                        self.wrong(format!("archive version {major}.{minor} is not one of 1.12 to 1.16"))
                    );
                }
                Step::VersionRevision
            }
            Step::VersionRevision => {
                self.header.version.2 = byte;
                Step::IntSize
            }
            Step::IntSize if (4..=8).contains(&byte) => {
                self.int_size = usize::from(byte);
                Step::OffsetSize
            }
            Step::OffsetSize if (4..=8).contains(&byte) => {
                self.offset_size = usize::from(byte);
                Step::Format
            }
            Step::IntSize | Step::OffsetSize => return Err(self.wrong("impossible size of an integer")),
            Step::Format if byte == 1 => {
                if self.minor() >= 15 {
                    Step::CompressionByte
                } else {
                    Step::CompressionLevel
                }
            }
            Step::Format => return Err(self.wrong("an archive, but not in the custom format")),
            Step::CompressionByte => {
                self.header.compression = match byte {
                    0 => Compression::None,
                    1 => Compression::Gzip,
                    2 => Compression::Lz4,
                    3 => Compression::Zstd,
                    _ => return Err(self.wrong(format!("unknown compression {byte}"))),
                };
                Step::Time(0)
            }
            Step::CompressionLevel => {
                self.header.compression =
                    if self.int()? == 0 { Compression::None } else { Compression::Gzip };
                Step::Time(0)
            }
            Step::Time(n) => {
                self.int()?;
                if n < 6 { Step::Time(n + 1) } else { Step::Database }
            }
            Step::EntryCount => {
                let count = self.int()?;
                self.left = u32::try_from(count)
                    .ok()
                    .filter(|count| *count <= ENTRY_LIMIT)
                    .ok_or_else(|| self.wrong("impossible number of entries"))?;
                self.header.entries = self.left;
                found(Event::Header(self.header.clone()));
                self.after_entry()
            }
            Step::EntryId => {
                self.entry = Entry { id: self.id()?, ..Entry::default() };
                Step::HadDumper
            }
            Step::HadDumper => {
                self.entry.has_data = self.int()? != 0;
                Step::Oid(0)
            }
            Step::Section => {
                self.int()?;
                Step::Sql(0)
            }
            Step::RelationKind => {
                self.int()?;
                Step::Owner
            }
            Step::OffsetState => {
                match byte {
                    1 => self.offset_set = false,
                    2 => self.offset_set = true,
                    3 => {
                        self.offset_set = false;
                        self.entry.has_data = false;
                    }
                    _ => return Err(self.wrong("impossible state of an entry's offset")),
                }
                Step::Offset
            }
            Step::Offset => {
                let mut offset = 0_u64;
                for (n, byte) in self.scratch[..self.offset_size].iter().enumerate() {
                    offset |= u64::from(*byte) << (8 * n);
                }
                self.entry.offset = if self.offset_set { offset } else { UNSET };
                self.end_entry(found)?
            }
            Step::BlockType => {
                self.large_objects = match byte {
                    1 => false,
                    3 => true,
                    _ => return Err(self.wrong(format!("unknown kind of block {byte}"))),
                };
                self.block_start = self.offset - 1;
                Step::BlockId
            }
            Step::BlockId => {
                let id = self.id()?;
                match self.pending.get(&id) {
                    None => return Err(self.wrong(format!("a data block for entry {id}, which awaits none"))),
                    Some(expected) if ![self.block_start, UNSET].contains(expected) => {
                        return Err(self.wrong(format!(
                            "the block of entry {id} begins at byte {}, not at {expected} as promised",
                            self.block_start
                        )));
                    }
                    Some(_) => {}
                }
                self.block = (id, 0, 0);
                if self.large_objects { Step::ObjectId } else { Step::Chunk }
            }
            Step::ObjectId => {
                // An OID above 2^31 was written as a negative integer.
                if self.int()? == 0 {
                    self.end_block(found)
                } else {
                    self.block.2 += 1;
                    Step::ObjectChunk
                }
            }
            Step::Chunk | Step::ObjectChunk => match self.int()? {
                0 if self.step == Step::Chunk => self.end_block(found),
                0 => Step::ObjectId,
                len @ 1.. => {
                    self.reading = Reading::Content(len.unsigned_abs());
                    self.step
                }
                _ => return Err(self.wrong("a chunk of negative length")),
            },
            // A string's length, -1 for none.
            step => match self.int()? {
                len @ 1.. => {
                    self.string.clear();
                    self.reading = Reading::Content(len.unsigned_abs());
                    step
                }
                len @ (0 | -1) => {
                    self.string.clear();
                    self.end_string(len < 0)
                }
                _ => return Err(self.wrong("a string of negative length")),
            },
        };
        Ok(())
    }

    /// The bytes of a string or a chunk.
    fn content(&mut self, input: &[u8], left: u64) -> usize {
        let take = usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
        let left = left - take as u64;
        let chunk = matches!(self.step, Step::Chunk | Step::ObjectChunk);
        if chunk {
            self.block.1 += take as u64;
        } else {
            let room = KEPT.saturating_sub(self.string.len()).min(take);
            self.string.extend_from_slice(&input[..room]);
        }
        self.reading = if left == 0 { Reading::Bytes(0) } else { Reading::Content(left) };
        if left == 0 && !chunk {
            self.step = self.end_string(false);
        }
        take
    }

    fn id(&self) -> Result<i32, FormatError> {
        let id = i32::try_from(self.int()?).unwrap_or(0);
        if id > 0 { Ok(id) } else { Err(self.wrong("impossible number of an entry")) }
    }

    /// A string is complete in `string`; answers what follows it.
    fn end_string(&mut self, missing: bool) -> Step {
        let string = std::mem::take(&mut self.string);
        match self.step {
            Step::Database => {
                self.header.database = string;
                Step::ServerVersion
            }
            Step::ServerVersion => {
                self.header.server_version = string;
                Step::DumpVersion
            }
            Step::DumpVersion => {
                self.header.dump_version = string;
                Step::EntryCount
            }
            Step::Oid(0) => Step::Oid(1),
            Step::Oid(_) => Step::Tag,
            Step::Tag => {
                self.entry.tag = string;
                Step::Kind
            }
            Step::Kind => {
                self.entry.kind = string;
                Step::Section
            }
            Step::Sql(n) if n < 2 => Step::Sql(n + 1),
            Step::Sql(_) => Step::Namespace,
            Step::Namespace => {
                self.entry.namespace = string;
                Step::Tablespace
            }
            Step::Tablespace if self.minor() >= 14 => Step::AccessMethod,
            Step::AccessMethod if self.minor() >= 16 => Step::RelationKind,
            Step::Tablespace | Step::AccessMethod => Step::Owner,
            Step::Owner => {
                self.entry.owner = string;
                Step::WithOids
            }
            Step::WithOids => Step::Dependency,
            Step::Dependency if missing => Step::OffsetState,
            step => step,
        }
    }

    fn end_entry(&mut self, found: &mut dyn FnMut(Event)) -> Result<Step, FormatError> {
        let entry = std::mem::take(&mut self.entry);
        if entry.has_data {
            if self.pending.len() >= PENDING_LIMIT {
                return Err(self.wrong("too many entries with data"));
            }
            if self.pending.insert(entry.id, entry.offset).is_some() {
                return Err(self.wrong(format!("entry {} appears twice", entry.id)));
            }
        }
        found(Event::Entry(entry));
        self.left -= 1;
        Ok(self.after_entry())
    }

    fn after_entry(&self) -> Step {
        if self.left > 0 { Step::EntryId } else { self.before_block() }
    }

    fn before_block(&self) -> Step {
        if self.pending.is_empty() { Step::End } else { Step::BlockType }
    }

    fn end_block(&mut self, found: &mut dyn FnMut(Event)) -> Step {
        let (id, bytes, objects) = self.block;
        self.pending.remove(&id);
        found(Event::Block { id, bytes, objects });
        self.before_block()
    }
}
