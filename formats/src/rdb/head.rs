//! The grammar of record heads: what an opcode is followed by, up to a key's name.

use super::error::Problem;
use super::kind::{Dialect, Kind, Version};
use super::token::{Cursor, RawStr, Read, Stop};

/// Opcodes. Everything below 242 is a value's type.
pub(crate) const EOF: u8 = 255;
pub(crate) const SELECT_DB: u8 = 254;
pub(crate) const EXPIRE_SECONDS: u8 = 253;
pub(crate) const EXPIRE_MILLIS: u8 = 252;
pub(crate) const RESIZE_DB: u8 = 251;
pub(crate) const AUX: u8 = 250;
pub(crate) const FREQUENCY: u8 = 249;
pub(crate) const IDLE: u8 = 248;
pub(crate) const MODULE_AUX_OPCODE: u8 = 247;
const FUNCTION_PRE: u8 = 246;
pub(crate) const FUNCTION: u8 = 245;
pub(crate) const SLOT_INFO: u8 = 244;
/// Redis: metadata of the next key. Valkey: a slot import.
pub(crate) const META_OR_IMPORT: u8 = 243;
/// Redis: a hash template. Valkey 9.2: commands inside the file.
pub(crate) const TEMPLATE_OR_COMMANDS: u8 = 242;

/// The most that a list inside a head may take: fields of a template, ranges of an import, a key's metadata. A head that is cut
/// is read from its start when more has come, so many small pieces must not become too many. The lists that servers
/// write are of kilobytes.
const LIST_LIMIT: usize = 4 << 20;

/// A record's head, its strings as they stand in the file.
pub(crate) enum Head<'b> {
    Header(Version),
    Aux(RawStr<'b>, RawStr<'b>),
    SelectDb(u64),
    ResizeDb {
        keys: u64,
        expires: u64,
    },
    SlotInfo {
        slot: u64,
        keys: u64,
        expires: u64,
    },
    SlotImport {
        job: RawStr<'b>,
    },
    Function(RawStr<'b>),
    HashTemplate {
        id: u64,
        count: u64,
        fields_at: usize,
    },
    ModuleAux {
        module: u64,
    },
    Key {
        name: RawStr<'b>,
        kind: Kind,
        expires_at: Option<i64>,
        idle: Option<u64>,
        frequency: Option<u8>,
        has_metadata: bool,
        type_at: usize,
    },
    /// A key whose value cannot be carried.
    Refused {
        name: RawStr<'b>,
        problem: Problem,
        at: usize,
    },
    Eof,
}

/// The start of a file.
pub(crate) fn read_magic<'b>(cursor: &mut Cursor<'b>) -> Read<Head<'b>> {
    match Version::parse(&cursor.array()?) {
        Ok(version) => Ok(Head::Header(version)),
        Err(problem) => Err(Stop::bad(problem, 0)),
    }
}

/// A head of any kind, with strings of at most `limit` bytes.
#[inline]
pub(crate) fn read_head<'b>(cursor: &mut Cursor<'b>, version: Version, limit: u64) -> Read<Head<'b>> {
    let start = cursor.pos();
    let opcode = cursor.u8()?;
    if opcode < META_OR_IMPORT && opcode != TEMPLATE_OR_COMMANDS {
        return read_key(cursor, version, limit, start, opcode);
    }
    let redis = version.dialect == Dialect::Redis;
    match opcode {
        EOF => Ok(Head::Eof),
        SELECT_DB => Ok(Head::SelectDb(cursor.len()?)),
        RESIZE_DB => Ok(Head::ResizeDb { keys: cursor.len()?, expires: cursor.len()? }),
        AUX => Ok(Head::Aux(cursor.string("an AUX name", limit)?, cursor.string("an AUX value", limit)?)),
        SLOT_INFO => Ok(Head::SlotInfo { slot: cursor.len()?, keys: cursor.len()?, expires: cursor.len()? }),
        FUNCTION => Ok(Head::Function(cursor.string("a function library", limit)?)),
        MODULE_AUX_OPCODE => {
            let module = cursor.len()?;
            let when_at = cursor.pos();
            if cursor.len()? != 2 {
                return Err(Stop::bad(
                    Problem::Corrupt("a module's AUX data without its time of loading"),
                    when_at,
                ));
            }
            cursor.len()?;
            Ok(Head::ModuleAux { module })
        }
        META_OR_IMPORT if !redis => {
            let job = cursor.string("a slot import's name", limit)?;
            cursor.narrow(LIST_LIMIT);
            for _ in 0..cursor.len()? {
                cursor.len()?;
                cursor.len()?;
            }
            Ok(Head::SlotImport { job })
        }
        TEMPLATE_OR_COMMANDS if redis => {
            let id = cursor.len()?;
            let count_at = cursor.pos();
            let count = cursor.len()?;
            if count == 0 {
                return Err(Stop::bad(Problem::Corrupt("hash template without fields"), count_at));
            }
            let fields_at = cursor.pos();
            cursor.narrow(LIST_LIMIT);
            for _ in 0..count {
                cursor.string("a template's field", limit)?;
            }
            Ok(Head::HashTemplate { id, count, fields_at })
        }
        TEMPLATE_OR_COMMANDS => {
            let what = "commands inside the file (forkless save of Valkey 9.2, in development)";
            Err(Stop::bad(Problem::Unsupported { byte: opcode, what }, start))
        }
        FUNCTION_PRE => {
            let what = "functions as Redis 7.0's release candidates wrote them, which every loader refuses";
            Err(Stop::bad(Problem::Unsupported { byte: opcode, what }, start))
        }
        _ => read_attributes(cursor, version, limit, start, opcode),
    }
}

/// A key with nothing before it: the bulk of most files.
#[inline]
fn read_key<'b>(
    cursor: &mut Cursor<'b>,
    version: Version,
    limit: u64,
    at: usize,
    byte: u8,
) -> Read<Head<'b>> {
    match Kind::of(version, byte) {
        Ok(kind) => Ok(Head::Key {
            name: cursor.string("a key", limit)?,
            kind,
            expires_at: None,
            idle: None,
            frequency: None,
            has_metadata: false,
            type_at: at,
        }),
        Err(_) if matches!(byte, 107 | 121) => {
            let what = "a private opcode of Redis Enterprise";
            Err(Stop::bad(Problem::Unsupported { byte, what }, at))
        }
        Err(problem @ Problem::Unsupported { .. }) => {
            Ok(Head::Refused { name: cursor.string("a key", limit)?, problem, at })
        }
        Err(problem) => Err(Stop::bad(problem, at)),
    }
}

/// Attributes, in any order, and the key that they belong to.
fn read_attributes<'b>(
    cursor: &mut Cursor<'b>,
    version: Version,
    limit: u64,
    start: usize,
    first: u8,
) -> Read<Head<'b>> {
    let (mut expiry, mut lru, mut lfu, mut metadata) = (None, None, None, false);
    let (mut at, mut opcode) = (start, first);
    loop {
        match opcode {
            EXPIRE_MILLIS => expiry = Some(i64::from_le_bytes(cursor.array()?)),
            EXPIRE_SECONDS => expiry = Some(i64::from(i32::from_le_bytes(cursor.array()?)) * 1000),
            IDLE => lru = Some(cursor.len()?),
            FREQUENCY => lfu = Some(cursor.u8()?),
            META_OR_IMPORT if version.dialect == Dialect::Redis => {
                metadata = true;
                let wide = cursor.narrow(LIST_LIMIT);
                read_metadata(cursor, limit)?;
                cursor.widen(wide);
            }
            type_byte if type_byte < TEMPLATE_OR_COMMANDS => {
                let mut head = read_key(cursor, version, limit, at, type_byte)?;
                if let Head::Key { expires_at, idle, frequency, has_metadata, .. } = &mut head {
                    (*expires_at, *idle, *frequency, *has_metadata) = (expiry, lru, lfu, metadata);
                }
                return Ok(head);
            }
            _ => return Err(Stop::bad(Problem::Corrupt("an attribute that is followed by no key"), at)),
        }
        at = cursor.pos();
        opcode = cursor.u8()?;
    }
}

/// Metadata of modules: per class four bytes and pieces up to an end mark.
fn read_metadata(cursor: &mut Cursor<'_>, limit: u64) -> Read<()> {
    for _ in 0..cursor.len()? {
        cursor.take(4)?;
        loop {
            let at = cursor.pos();
            match cursor.len()? {
                0 => break,
                1 | 2 => drop(cursor.len()?),
                3 => drop(cursor.take(4)?),
                4 => drop(cursor.take(8)?),
                5 => drop(cursor.string("a key's metadata", limit)?),
                _ => return Err(Stop::bad(Problem::Corrupt("opcode in a module's data"), at)),
            }
        }
    }
    Ok(())
}
