//! What a database holds, object by object, in a form that two servers' answers can be compared in.
//!
//! Counting tables and rows finds the restore that stopped, not the one that changed a byte. A fingerprint is a
//! map from each object to its definition, and from each table to a digest of its rows, so that a failed comparison names what differs. It is taken with the server's stock client only: nothing of dbferry's
//! own takes part in judging it.

mod mysql;
mod postgres;
mod tree;

use std::collections::BTreeMap;
use std::fmt::Write;

pub use mysql::{MySqlView, mysql};
pub use postgres::{PostgresView, postgres};
pub use tree::tree;

/// Object to content. Keys read `table orders`, `rows orders`, `view v`, …; a definition is there as text, so that
/// a failure shows what differs; rows are their count and a digest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fingerprint(BTreeMap<String, String>);

impl Fingerprint {
    /// All entries.
    pub fn entries(&self) -> &BTreeMap<String, String> {
        &self.0
    }

    /// The names of the objects, for servers whose definitions cannot be compared as text.
    pub fn objects(&self) -> Vec<&str> {
        self.0.keys().map(String::as_str).collect()
    }

    /// The entries of rows only.
    pub fn rows(&self) -> BTreeMap<&str, &str> {
        self.0
            .iter()
            .filter(|(name, _)| name.starts_with("rows "))
            .map(|(name, value)| (&**name, &**value))
            .collect()
    }

    /// Panics with the differences, one line each, unless the two are equal.
    #[track_caller]
    pub fn assert_same(&self, other: &Self) {
        let difference = self.difference(other);
        assert!(difference.is_empty(), "the contents differ:\n{difference}");
    }

    /// What differs from `other`, one line each; empty when they are equal.
    pub fn difference(&self, other: &Self) -> String {
        let mut out = String::new();
        let names: std::collections::BTreeSet<&String> = self.0.keys().chain(other.0.keys()).collect();
        for name in names {
            let line = match (self.0.get(name), other.0.get(name)) {
                (Some(left), Some(right)) if left == right => continue,
                (Some(left), Some(right)) => format!("{name}:\n  left  {left}\n  right {right}"),
                (Some(_), None) => format!("{name}: only on the left"),
                (None, _) => format!("{name}: only on the right"),
            };
            out.push_str(&line);
            out.push('\n');
        }
        out
    }

    fn definition(&mut self, name: String, text: &[u8]) {
        self.0.insert(name, String::from_utf8_lossy(text).into_owned());
    }

    fn table_rows(&mut self, name: String, rows: &RowSum) {
        self.0.insert(name, rows.finish());
    }
}

/// A digest of rows in any order. The hashes are added, not XORed: two equal rows of a keyless table must not
/// cancel out.
#[derive(Default)]
struct RowSum {
    count: u64,
    sums: [u64; 4],
}

impl RowSum {
    fn add(&mut self, row: &[u8]) {
        self.count += 1;
        for (sum, word) in self.sums.iter_mut().zip(blake3::hash(row).as_bytes().chunks_exact(8)) {
            let word = word.iter().fold(0, |value, &byte| value << 8 | u64::from(byte));
            *sum = sum.wrapping_add(word);
        }
    }

    fn finish(&self) -> String {
        let mut text = format!("{} rows ", self.count);
        for sum in &self.sums[..2] {
            // Writing to a String cannot fail.
            write!(text, "{sum:016x}").ok();
        }
        text
    }
}
