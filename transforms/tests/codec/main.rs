//! Compression and decompression, from outside: round trips, stock tools, damage, limits.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../../examples/corpus/mod.rs"]
mod corpus;
mod damage;
mod interop;
mod limits;
mod members;
mod roundtrip;
mod support;
