//! Compression and decompression.
//!
//! Serial gzip is the slowest stage that a dump pipeline can have, so both block compressors here use several threads while their
//! output stays one ordinary gzip member or zstd frame that every stock tool reads. One member or frame for the whole stream, with
//! its checksum at the very end, is also what makes any cut of a stored archive visible to `gzip -t`, `zstd -t` and `lz4 -t` alone.
//!
//! [`Compression`] says what to make and builds it; [`Decompress`] finds out by itself what it is given.
//!
//! The codecs come through `async-compression`'s synchronous layer (`async_compression::codecs`), not its async readers: those do all the work
//! inside `poll`, flush the compressor whenever their input pauses, and stop after the first member.

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test fails by panicking"))]

mod decompress;
mod deflate;
mod gzip;
mod pool;
mod spec;
mod stream;

pub use decompress::Decompress;
pub use spec::{Codec, Compression};

/// Size of the pieces that the codecs emit at most, whatever they are given: a decompression bomb leaves in pieces of this size.
pub const PIECE: usize = 256 * 1024;
