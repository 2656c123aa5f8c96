//! Stages for tests: sources that end badly, destinations that stall or fail at a chosen call, and one in memory
//! whose archive a test can look at. Behind the feature `testing`, so that nothing here reaches a release build.

pub mod conformance;
mod faults;
mod memory;
mod source;

use std::collections::BTreeMap;

pub use faults::{Action, Calls, FaultyDestination, Step};
pub use memory::{MemoryDestination, MemoryStore, View};
pub use source::{Cutting, Ending, TestPart, TestSource};

use crate::destination::Proof;
use crate::digest::{Algorithm, Content, Digester};
use crate::manifest::{Manifest, PartManifest, SCHEMA};
use crate::source::{Format, Phase, SourceInfo};

/// A small generator of numbers that look random and are the same for the same seed (splitmix64).
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// A generator; equal seeds give equal numbers.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `bound`, which must not be 0.
    pub fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next_u64() % bound as u64).unwrap_or(0)
    }

    /// As many bytes as asked for; they do not compress.
    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(length + 8);
        while bytes.len() < length {
            bytes.extend_from_slice(&self.next_u64().to_le_bytes());
        }
        bytes.truncate(length);
        bytes
    }
}

/// Length and BLAKE3 digest of `data`.
pub fn content(data: &[u8]) -> Content {
    let mut digester = Digester::new(&[Algorithm::Blake3]);
    digester.update(data);
    digester.finish()
}

/// A manifest of parts that were stored as they came, by path and content.
pub fn manifest(id: &str, parts: &[(&str, Content)]) -> Manifest {
    Manifest {
        schema: SCHEMA,
        tool: "test".to_owned(),
        id: id.to_owned(),
        started: "2026-01-01T00:00:00Z".to_owned(),
        finished: "2026-01-01T00:00:01Z".to_owned(),
        source: SourceInfo { endpoint: "test:".to_owned(), kind: "test".to_owned(), ..SourceInfo::default() },
        destination: "test:".to_owned(),
        parts: parts
            .iter()
            .map(|(path, content)| PartManifest {
                path: (*path).to_owned(),
                phase: Phase::Data,
                format: Format::Opaque,
                compression: "none".to_owned(),
                source: content.clone(),
                raw: content.clone(),
                stored: content.clone(),
                transforms: Vec::new(),
                verified: Proof::Unverified,
                objects: BTreeMap::new(),
            })
            .collect(),
        warnings: Vec::new(),
        stages: Vec::new(),
    }
}
