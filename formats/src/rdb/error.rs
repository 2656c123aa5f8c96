//! What went wrong, where, and in which key: a corrupt dump is debugged by its offset.

use std::fmt;

/// A result whose error is the codec's.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Longest part of a key's name that an error carries.
const KEY_SHOWN: usize = 64;

/// What was wrong with the bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// The file does not begin as an RDB file does.
    Magic(&'static str),
    /// The version in the header belongs to no known family.
    Version(String),
    /// An opcode or value type that this dialect and version do not have.
    Unknown(u8),
    /// A construct that is known and cannot be carried; the text says which.
    Unsupported {
        /// The opcode or type byte.
        byte: u8,
        /// Its name and why it is refused.
        what: &'static str,
    },
    /// Bytes that break the grammar.
    Corrupt(&'static str),
    /// Something is larger than the limit set for it.
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// The size that the file claims, in bytes.
        size: u64,
        /// The limit, in bytes.
        limit: u64,
    },
    /// The trailer differs from the CRC64 of the bytes before it.
    Checksum {
        /// What the file says.
        stored: u64,
        /// What its bytes give.
        computed: u64,
    },
    /// The input ended before the file did.
    Truncated(&'static str),
    /// More input came after the end.
    AfterEnd,
}

/// A problem with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error(Box<Place>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    problem: Problem,
    offset: u64,
    key: Option<Vec<u8>>,
}

impl Error {
    pub(crate) fn new(problem: Problem, offset: u64) -> Self {
        Self(Box::new(Place { problem, offset, key: None }))
    }

    /// Names the key whose record is concerned, unless one is named already.
    pub(crate) fn in_key(mut self, key: &[u8]) -> Self {
        if self.0.key.is_none() {
            self.0.key = Some(key[..key.len().min(KEY_SHOWN)].to_vec());
        }
        self
    }

    /// Moves the offset, which was counted from `base`. It wraps because a token that was cut began before it.
    pub(crate) fn shifted(mut self, base: u64) -> Self {
        self.0.offset = self.0.offset.wrapping_add(base);
        self
    }

    /// What was wrong.
    pub fn problem(&self) -> &Problem {
        &self.0.problem
    }

    /// Offset in bytes of the offending byte from the start of the input.
    pub fn offset(&self) -> u64 {
        self.0.offset
    }

    /// The key concerned, at most its first 64 bytes.
    pub fn key(&self) -> Option<&[u8]> {
        self.0.key.as_deref()
    }

    /// True when the input was good as far as it went.
    pub fn is_truncation(&self) -> bool {
        matches!(self.0.problem, Problem::Truncated(_))
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Magic(why) => write!(f, "not an RDB file: {why}"),
            Self::Version(version) => write!(f, "unknown RDB version {version}"),
            Self::Unknown(byte) => write!(f, "unknown RDB opcode or value type {byte}"),
            Self::Unsupported { byte, what } => write!(f, "cannot carry RDB byte {byte}: {what}"),
            Self::Corrupt(what) => write!(f, "corrupt RDB: {what}"),
            Self::TooLarge { what, size, limit } => {
                write!(f, "{what} of {size} bytes is over the limit of {limit}")
            }
            Self::Checksum { stored, computed } => {
                write!(f, "CRC64 mismatch: the trailer says {stored:016x}, the bytes give {computed:016x}")
            }
            Self::Truncated(inside) => write!(f, "RDB ends early, {inside}"),
            Self::AfterEnd => f.write_str("bytes after the end of the RDB"),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at offset {}", self.0.problem, self.0.offset)?;
        if let Some(key) = &self.0.key {
            write!(f, " in key \"{}\"", key.escape_ascii())?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}
