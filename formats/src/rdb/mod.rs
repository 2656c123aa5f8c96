//! Redis and Valkey RDB files as a stream.
//!
//! The format is forked and changes with every release, while most of what a carrier of data must know about a
//! value is where it ends. So the parser here skips values by grammar and hands their bytes on untouched; only
//! record heads (a key's name, its expiry, an AUX field) are looked at. What cannot be skipped with certainty is
//! refused by name and offset. Decoding values is a separate step ([`Decoder`]) for those who need it.
//!
//! | part | what it does |
//! | --- | --- |
//! | [`Parser`] | bytes in, [`Record`]s out, for any cutting of the input; checks the CRC64 trailer |
//! | [`Encoder`] | records out again, with a fresh CRC64 |
//! | [`Needs`] | the lowest version whose loaders know everything that was kept |
//! | [`Decoder`] | a value's bytes in, its elements out, in constant memory |
//! | [`commands`] | commands that make a value again |
//! | [`decimal`] | numbers as text |
//! | [`dump`] | payloads of `DUMP` and `RESTORE`, which are values with a footer |
//! | [`key_slot`], [`Glob`] | a key's cluster slot; patterns as `KEYS` takes them |

#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::cast_possible_truncation,
        reason = "a test may panic, and its numbers are small"
    )
)]

pub mod commands;
#[cfg(test)]
mod corpus;
mod crc64;
pub mod decimal;
pub mod dump;
mod encode;
mod error;
#[cfg(test)]
mod fixtures;
mod glob;
mod grammar;
mod head;
mod kind;
mod lzf;
mod parse;
mod skip;
mod slot;
mod token;
pub mod value;

pub use crc64::Crc64;
pub use encode::{Encoder, Splice};
pub use error::{Error, Problem, Result};
pub use glob::Glob;
pub use kind::{DataType, Dialect, Feature, Kind, Needs, Version};
pub use parse::{Checksum, Chunk, Event, HEAD_LIMIT, Key, Parser, Record};
pub use slot::key_slot;
pub use token::{RawStr, module_name};
pub use value::{Decoder, Item, Role};
