//! The push parser: bytes in, records out.
//!
//! Record heads (up to and including a key's name) are delivered whole: from the input where they lie in it,
//! through a small buffer where it cuts them. Values are delivered as they come, as pieces of the input.

use super::crc64::Crc64;
use super::error::{Error, Problem, Result};
use super::grammar::{MODULE_AUX, Step, layout};
use super::head::{EOF, EXPIRE_MILLIS, FREQUENCY, Head, IDLE, read_head, read_magic};
use super::kind::{Kind, Version};
use super::skip::{Skip, TemplateSizes, Walker};
use super::token::{Cursor, Read, Stop, quick_len, quick_string};

/// Default bound on a record's head. A head is a key's name and attributes, an AUX field, a function library or a
/// hash template: 4 MiB is far beyond any that was meant. Everybody who parses has the same bound unless they ask for another, so
/// what one stage takes no other refuses.
pub const HEAD_LIMIT: usize = 4 << 20;

/// More hash templates than this in one file are refused: their sizes are kept, and nobody has two million layouts.
const MAX_TEMPLATES: usize = 1 << 21;

/// Bytes of a key's name that are kept to name it in an error.
const NAME_KEPT: usize = 64;

/// A piece of the file in its place. All `raw` together are the file.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    /// Offset in bytes of `raw` from the start of the file.
    pub offset: u64,
    /// The bytes as they stand in the file.
    pub raw: &'a [u8],
    /// What they mean.
    pub event: Event<'a>,
}

/// What a record means.
#[derive(Debug, Clone, Copy)]
pub enum Event<'a> {
    /// The nine bytes at the start. Check [`Version::is_known`].
    Header(Version),
    /// A field about the file as a whole.
    Aux {
        /// Its name, such as `redis-ver`.
        name: &'a [u8],
        /// Its value.
        value: &'a [u8],
    },
    /// The following keys belong to this logical database.
    SelectDb(u64),
    /// How many keys the current database has; a hint for the loader's table sizes.
    ResizeDb {
        /// Keys.
        keys: u64,
        /// Keys with an expiry.
        expires: u64,
    },
    /// How many keys a cluster slot has; a hint as well.
    SlotInfo {
        /// The slot.
        slot: u64,
        /// Keys.
        keys: u64,
        /// Keys with an expiry.
        expires: u64,
    },
    /// The state of a running import of slots (Valkey 9).
    SlotImport {
        /// The job's name.
        job: &'a [u8],
    },
    /// A library of functions.
    Function {
        /// Its source text.
        library: &'a [u8],
    },
    /// The field names that hashes written by reference share (Redis 8.10).
    HashTemplate {
        /// Its number in this file.
        id: u64,
        /// How many field names.
        count: u64,
        /// The names, as strings in the file's encoding, one after the other.
        fields: &'a [u8],
    },
    /// Data of a module outside keys. [`Chunk`]s follow up to the one that is last.
    ModuleAux {
        /// The module type's identifier; see [`super::module_name`].
        module: u64,
    },
    /// A key; its value follows as [`Chunk`]s.
    Key(Key<'a>),
    /// A piece of the value or of the module's data before it.
    Chunk(Chunk),
    /// The end. Nothing follows.
    Eof(Checksum),
}

/// A key and what is known of it before its value.
#[derive(Debug, Clone, Copy)]
pub struct Key<'a> {
    /// The logical database.
    pub db: u64,
    /// The value's type and encoding.
    pub kind: Kind,
    /// The name.
    pub name: &'a [u8],
    /// When it expires, in milliseconds since 1970.
    pub expires_at: Option<i64>,
    /// Seconds since it was last used, where the server evicts by LRU.
    pub idle: Option<u64>,
    /// How often it is used, on the server's logarithmic scale, where it evicts by LFU.
    pub frequency: Option<u8>,
    /// True when modules attached metadata to it.
    pub has_metadata: bool,
    /// Where in the record's raw bytes the type byte stands: attributes are before it, the name is after it.
    pub type_at: usize,
}

/// A piece of a value; its bytes are the record's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunk {
    /// True with the value's last bytes.
    pub last: bool,
}

/// What is known of the file's checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checksum {
    /// The trailer is the CRC64 of the bytes before it.
    Verified(u64),
    /// The trailer is zero: the writer computed none, so nothing was checked.
    NotComputed,
    /// Files before version 5 have none.
    Absent,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Magic,
    Head,
    Value,
    Trailer,
    End,
    Failed,
}

/// A resumable parser of one RDB file.
///
/// Memory is a few hundred bytes plus one record head (bounded by [`Parser::with_head_limit`]) and eight bytes per
/// hash template, whatever the size of the file and of its values.
#[derive(Debug)]
pub struct Parser {
    state: State,
    version: Version,
    /// What each type byte means in this version, where it can be carried.
    kinds: [Option<Kind>; 64],
    offset: u64,
    db: u64,
    templates: TemplateSizes,
    walker: Walker,
    /// The start of a head, or of the trailer, that the input cut; it grows to `need` before it is read again.
    cut: Vec<u8>,
    need: usize,
    head_limit: usize,
    crc: Crc64,
    /// The current key's name, or its start; empty outside keys.
    name: Vec<u8>,
    scratch: [Vec<u8>; 2],
}

impl Default for Parser {
    fn default() -> Self {
        Self::new()
    }
}

impl Parser {
    /// A parser at the start of a file.
    pub fn new() -> Self {
        Self::with_head_limit(HEAD_LIMIT)
    }

    /// A parser that refuses record heads over `limit` bytes. It never allocates more than what has arrived.
    pub fn with_head_limit(limit: usize) -> Self {
        Self {
            state: State::Magic,
            version: Version::redis(0),
            kinds: [None; 64],
            offset: 0,
            db: 0,
            templates: TemplateSizes::new(),
            walker: Walker::new(),
            cut: Vec::new(),
            need: 0,
            head_limit: limit,
            crc: Crc64::new(),
            name: Vec::new(),
            scratch: [Vec::new(), Vec::new()],
        }
    }

    /// Bytes taken so far.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// True when the end of the file was read and its checksum, if it has one, was right.
    pub fn is_finished(&self) -> bool {
        self.state == State::End
    }

    /// Takes the next piece of input and hands what it holds to `on`, in order. Answers how much of it was taken:
    /// all, unless the file ended in it; what is behind the end belongs to someone else (the mark of a diskless
    /// transfer, the commands of an AOF). After an error the parser only repeats that it failed.
    pub fn push<E, F>(&mut self, input: &[u8], on: &mut F) -> Result<usize, E>
    where
        E: From<Error>,
        F: FnMut(Record<'_>) -> Result<(), E>,
    {
        let taken = self.run(input, on);
        if taken.is_err() {
            self.state = State::Failed;
        }
        taken
    }

    /// Says whether the file ended where the input did.
    pub fn finish(&self) -> Result<()> {
        let inside = match self.state {
            State::End => return Ok(()),
            State::Magic => "before the end of its header",
            State::Head if self.cut.is_empty() => "before its end mark",
            State::Head => "inside a record's head",
            State::Value => "inside a value",
            State::Trailer => "inside its checksum",
            State::Failed => "after an error",
        };
        Err(self.error(Problem::Truncated(inside), self.offset))
    }

    fn error(&self, problem: Problem, offset: u64) -> Error {
        let error = Error::new(problem, offset);
        if self.name.is_empty() { error } else { error.in_key(&self.name) }
    }

    fn run<E, F>(&mut self, input: &[u8], on: &mut F) -> Result<usize, E>
    where
        E: From<Error>,
        F: FnMut(Record<'_>) -> Result<(), E>,
    {
        let base = self.offset;
        // Summed in large pieces: at the end of the input, or where the checksum's range ends.
        let mut summed = 0;
        let mut pos = 0;
        while pos < input.len() {
            match self.state {
                State::Magic | State::Head => {
                    pos = self.head(input, pos, base, on)?;
                    if matches!(self.state, State::Trailer | State::End) {
                        self.crc.update(&input[summed..pos]);
                        summed = input.len();
                    }
                }
                State::Value => {
                    let walked = match self.walker.walk(&input[pos..], &self.templates, &mut Skip) {
                        Ok(walked) => walked,
                        Err(error) => {
                            let error = error.shifted(base + pos as u64);
                            return Err(
                                if self.name.is_empty() { error } else { error.in_key(&self.name) }.into()
                            );
                        }
                    };
                    let raw = &input[pos..pos + walked.used];
                    let offset = base + pos as u64;
                    pos += walked.used;
                    if walked.done {
                        self.state = State::Head;
                        self.name.clear();
                    }
                    on(Record { offset, raw, event: Event::Chunk(Chunk { last: walked.done }) })?;
                }
                State::Trailer => {
                    summed = input.len();
                    let more = (9 - self.cut.len()).min(input.len() - pos);
                    self.cut.extend_from_slice(&input[pos..pos + more]);
                    pos += more;
                    if self.cut.len() == 9 {
                        self.trailer(base + pos as u64 - 9, on)?;
                    }
                }
                State::End => break,
                State::Failed => return Err(self.error(Problem::AfterEnd, self.offset).into()),
            }
        }
        if summed < pos {
            self.crc.update(&input[summed..pos]);
        }
        self.offset = base + pos as u64;
        Ok(pos)
    }

    /// Reads one head, or keeps what there is of it. Answers the position behind.
    #[inline]
    fn head<E, F>(&mut self, input: &[u8], pos: usize, base: u64, on: &mut F) -> Result<usize, E>
    where
        E: From<Error>,
        F: FnMut(Record<'_>) -> Result<(), E>,
    {
        if self.cut.is_empty() {
            if self.state == State::Head
                && let Some((key, len)) = self.quick_key(&input[pos..])
            {
                let at = pos + len;
                on(Record { offset: base + pos as u64, raw: &input[pos..at], event: Event::Key(key) })?;
                let steps = layout(key.kind.shape);
                if let [Step::Str(_)] = steps
                    && let Some(end) = quick_string(input, at)
                {
                    let event = Event::Chunk(Chunk { last: true });
                    on(Record { offset: base + at as u64, raw: &input[at..end], event })?;
                    return Ok(end);
                }
                keep_name(&mut self.name, key.name);
                self.state = State::Value;
                self.walker.begin(steps);
                return Ok(at);
            }
            match self.read(&input[pos..]) {
                Ok((head, len)) => {
                    self.deliver(head, &input[pos..pos + len], base + pos as u64, on)?;
                    return Ok(pos + len);
                }
                Err(Stop::Bad(bad)) => {
                    let (problem, at) = *bad;
                    return Err(self.error(problem, base + (pos + at) as u64).into());
                }
                Err(Stop::Need(need)) => self.need = need,
            }
        }
        self.cut_head(input, pos, base, on)
    }

    /// A key in the form that most have: whole in `input`, with no attributes but expiry and use, and a name of at most
    /// 16 KiB that is written as it is. Everything else goes the careful way, which knows the whole grammar.
    #[inline]
    fn quick_key<'b>(&self, input: &'b [u8]) -> Option<(Key<'b>, usize)> {
        let (mut expires_at, mut idle, mut frequency) = (None, None, None);
        let mut at = 0;
        let kind = loop {
            match *input.get(at)? {
                EXPIRE_MILLIS => {
                    expires_at = Some(i64::from_le_bytes(input.get(at + 1..at + 9)?.try_into().ok()?));
                    at += 9;
                }
                IDLE => {
                    let (seconds, next) = quick_len(input, at + 1)?;
                    idle = Some(seconds as u64);
                    at = next;
                }
                FREQUENCY => {
                    frequency = Some(*input.get(at + 1)?);
                    at += 2;
                }
                byte => break (*self.kinds.get(usize::from(byte))?)?,
            }
        };
        let (len, name_at) = quick_len(input, at + 1)?;
        let end = name_at + len;
        let name = input.get(name_at..end)?;
        if end > self.head_limit {
            return None;
        }
        let key =
            Key { db: self.db, kind, name, expires_at, idle, frequency, has_metadata: false, type_at: at };
        Some((key, end))
    }

    #[cold]
    fn cut_head<E, F>(&mut self, input: &[u8], mut pos: usize, base: u64, on: &mut F) -> Result<usize, E>
    where
        E: From<Error>,
        F: FnMut(Record<'_>) -> Result<(), E>,
    {
        loop {
            // Twice as much each time, and what was too much is given back: reading anew after every byte that is needed
            // would take a head of many small strings quadratic time.
            let more = (self.need.max(2 * self.cut.len()) - self.cut.len()).min(input.len() - pos);
            self.cut.extend_from_slice(&input[pos..pos + more]);
            pos += more;
            if self.cut.len() < self.need {
                return Ok(pos);
            }
            let start = (base + pos as u64).wrapping_sub(self.cut.len() as u64);
            match self.read(&self.cut) {
                Err(Stop::Need(need)) => self.need = need,
                Err(Stop::Bad(bad)) => return Err(self.error(bad.0, start + bad.1 as u64).into()),
                Ok((_, len)) => {
                    let mut cut = std::mem::take(&mut self.cut);
                    pos -= cut.len() - len;
                    cut.truncate(len);
                    // Read again from the buffer that is now out of `self`; heads are short.
                    let delivered = match self.read(&cut) {
                        Ok((head, _)) => self.deliver(head, &cut, start, on),
                        Err(_) => Ok(()),
                    };
                    cut.clear();
                    if cut.capacity() <= 1 << 16 && self.cut.is_empty() {
                        self.cut = cut;
                    }
                    return delivered.map(|()| pos);
                }
            }
        }
    }

    fn read<'b>(&self, buf: &'b [u8]) -> Read<(Head<'b>, usize)> {
        let mut cursor = Cursor::limited(buf, self.head_limit);
        let head = if self.state == State::Magic {
            read_magic(&mut cursor)?
        } else {
            read_head(&mut cursor, self.version, self.head_limit as u64)?
        };
        Ok((head, cursor.pos()))
    }

    /// Hands a head on and moves to the state that follows it.
    #[inline]
    fn deliver<E, F>(&mut self, head: Head<'_>, raw: &[u8], offset: u64, on: &mut F) -> Result<(), E>
    where
        E: From<Error>,
        F: FnMut(Record<'_>) -> Result<(), E>,
    {
        let bad = |problem| Error::new(problem, offset);
        let [first, second] = &mut self.scratch;
        let event = match head {
            Head::Key { name, kind, expires_at, idle, frequency, has_metadata, type_at } => {
                let name = name.bytes(first).map_err(bad)?;
                keep_name(&mut self.name, name);
                self.state = State::Value;
                self.walker.begin(layout(kind.shape));
                Event::Key(Key {
                    db: self.db,
                    kind,
                    name,
                    expires_at,
                    idle,
                    frequency,
                    has_metadata,
                    type_at,
                })
            }
            Head::Refused { name, problem, at } => {
                let name = name.bytes(first).map_err(bad)?;
                return Err(Error::new(problem, offset + at as u64).in_key(name).into());
            }
            Head::Header(version) => {
                self.version = version;
                for (byte, kind) in (0..).zip(&mut self.kinds) {
                    *kind = Kind::of(version, byte).ok();
                }
                self.state = State::Head;
                Event::Header(version)
            }
            Head::Aux(name, value) => {
                Event::Aux { name: name.bytes(first).map_err(bad)?, value: value.bytes(second).map_err(bad)? }
            }
            Head::SelectDb(db) => {
                self.db = db;
                Event::SelectDb(db)
            }
            Head::ResizeDb { keys, expires } => Event::ResizeDb { keys, expires },
            Head::SlotInfo { slot, keys, expires } => Event::SlotInfo { slot, keys, expires },
            Head::SlotImport { job } => Event::SlotImport { job: job.bytes(first).map_err(bad)? },
            Head::Function(library) => Event::Function { library: library.bytes(first).map_err(bad)? },
            Head::HashTemplate { id, count, fields_at } => {
                if self.templates.len() >= MAX_TEMPLATES {
                    return Err(bad(Problem::Corrupt("more than two million hash templates")).into());
                }
                if self.templates.insert(id, count).is_some() {
                    return Err(bad(Problem::Corrupt("hash template that is defined twice")).into());
                }
                Event::HashTemplate { id, count, fields: &raw[fields_at..] }
            }
            Head::ModuleAux { module } => {
                self.state = State::Value;
                self.walker.begin(MODULE_AUX);
                Event::ModuleAux { module }
            }
            Head::Eof if self.version.has_checksum() => {
                self.state = State::Trailer;
                self.cut.clear();
                self.cut.push(EOF);
                return Ok(());
            }
            Head::Eof => {
                self.state = State::End;
                Event::Eof(Checksum::Absent)
            }
        };
        on(Record { offset, raw, event })
    }

    fn trailer<E, F>(&mut self, offset: u64, on: &mut F) -> Result<(), E>
    where
        E: From<Error>,
        F: FnMut(Record<'_>) -> Result<(), E>,
    {
        let raw = std::mem::take(&mut self.cut);
        let mut stored = [0; 8];
        stored.copy_from_slice(&raw[1..9]);
        let stored = u64::from_le_bytes(stored);
        let computed = self.crc.value();
        let checksum = match stored {
            0 => Checksum::NotComputed,
            _ if stored == computed => Checksum::Verified(stored),
            _ => return Err(self.error(Problem::Checksum { stored, computed }, offset + 1).into()),
        };
        self.state = State::End;
        on(Record { offset, raw: &raw, event: Event::Eof(checksum) })
    }
}

#[inline]
fn keep_name(kept: &mut Vec<u8>, name: &[u8]) {
    kept.clear();
    kept.extend_from_slice(&name[..name.len().min(NAME_KEPT)]);
}

#[cfg(test)]
mod tests;
