//! Cuts a table into ranges of its blocks, one after the other, while it is read.
//!
//! A row that the snapshot sees stays in its block for as long as the snapshot is there. The ranges are half open, the first has no beginning
//! and the last no end: rows that move, blocks that are added and estimates that are wrong lose and double nothing.

use std::sync::atomic::{AtomicU64, Ordering};

use super::look::Relation;
use crate::window::TARGET;

/// Blocks of a range that should give [`TARGET`] bytes are at most this many, however little the ones before gave: an empty stretch may be followed by a full one.
const MOST: u64 = 2048;

/// What the ranges that were read tell about those to come.
#[derive(Debug, Default)]
pub(super) struct Seen {
    blocks: AtomicU64,
    bytes: AtomicU64,
}

impl Seen {
    pub(super) fn add(&self, blocks: u64, bytes: u64) {
        self.blocks.fetch_add(blocks, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Blocks that give about `target` bytes; `guess` is how many bytes one may give.
    fn wanted(&self, target: u64, guess: u64) -> u64 {
        let (blocks, bytes) = (self.blocks.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed));
        let each = bytes.checked_div(blocks).unwrap_or(guess);
        (target / each.max(1)).clamp(1, MOST * (target / TARGET).max(1))
    }
}

/// One range: its condition, empty when it is the whole table, and how many blocks it has.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) condition: String,
    pub(super) blocks: u64,
}

/// The ranges of one table.
#[derive(Debug)]
pub(super) struct Ranges {
    next: u64,
    blocks: u64,
    guess: u64,
    target: u64,
    ended: bool,
}

impl Ranges {
    /// `split` is whether the table may be cut at all; each range then gives about `target` bytes.
    pub(super) fn plan(table: &Relation, split: bool, block: u64, target: u64) -> Self {
        let guess = block + table.toast / table.blocks.max(1);
        // A condition of its own, of an extension's table, is not mixed with ours; and without columns there is nothing to save.
        let cut = split && table.heap && table.condition.is_empty() && !table.columns.is_empty();
        let large = table.blocks.saturating_mul(guess) > target;
        Self { next: 0, blocks: if cut && large { table.blocks } else { 0 }, guess, target, ended: false }
    }

    /// The next range, until the one without an end was given.
    pub(super) fn next(&mut self, seen: &Seen) -> Option<Range> {
        if self.ended {
            return None;
        }
        let start = self.next;
        let end = start + seen.wanted(self.target, self.guess);
        let mut conditions = Vec::new();
        if start > 0 {
            conditions.push(format!("ctid >= '({start},0)'"));
        }
        self.ended = end >= self.blocks;
        if !self.ended {
            conditions.push(format!("ctid < '({end},0)'"));
            self.next = end;
        }
        let blocks = if self.ended { self.blocks - start } else { end - start };
        Some(Range { condition: conditions.join(" AND "), blocks })
    }
}

#[cfg(test)]
mod tests {
    use super::super::look::Shape;
    use super::*;

    fn table(blocks: u64, toast: u64) -> Relation {
        Relation {
            oid: 1,
            shape: Shape::Table,
            schema: Vec::new(),
            name: Vec::new(),
            owner: Vec::new(),
            quoted: b"t".to_vec(),
            columns: b"(a)".to_vec(),
            condition: Vec::new(),
            wanted: Vec::new(),
            root: None,
            heap: true,
            blocks,
            toast,
        }
    }

    #[test]
    fn ranges_meet_and_the_last_has_no_end() {
        for (blocks, toast, each) in
            [(400, 0, 8192), (5000, 0, 100), (5000, 1 << 40, 0), (1_000_000, 0, 1), (40_000_000, 0, 8000)]
        {
            let seen = Seen::default();
            let mut ranges = Ranges::plan(&table(blocks, toast), true, 8192, TARGET);
            let (mut at, mut sum, mut open) = (0, 0, false);
            while let Some(range) = ranges.next(&seen) {
                assert!(!open);
                let (from, to) = match range.condition.split_once(" AND ") {
                    Some((from, to)) => (Some(from), Some(to)),
                    None if range.condition.contains('<') => (None, Some(range.condition.as_str())),
                    None => (Some(range.condition.as_str()), None),
                };
                let from = from.map_or(0, |text| {
                    text["ctid >= '(".len()..].split(',').next().unwrap().parse::<u64>().unwrap()
                });
                assert_eq!(from, at);
                match to {
                    Some(text) => {
                        at = text["ctid < '(".len()..].split(',').next().unwrap().parse().unwrap();
                        assert!(at > from && at < blocks);
                    }
                    None => open = true,
                }
                sum += range.blocks;
                seen.add(range.blocks, range.blocks * each);
            }
            assert!(open);
            assert_eq!(sum, blocks);
        }
    }

    #[test]
    fn what_cannot_or_need_not_be_cut_is_one_range() {
        let whole = Some(Range { condition: String::new(), blocks: 0 });
        let other = |change: fn(&mut Relation)| {
            let mut table = table(100_000, 0);
            change(&mut table);
            table
        };
        for (table, split) in [
            (table(0, 0), true),
            (table(300, 0), true),
            (table(100_000, 0), false),
            (other(|table| table.heap = false), true),
            (other(|table| table.columns.clear()), true),
            (other(|table| table.condition = b"WHERE a > 1".to_vec()), true),
        ] {
            let mut ranges = Ranges::plan(&table, split, 8192, TARGET);
            assert_eq!(ranges.next(&Seen::default()), whole);
            assert_eq!(ranges.next(&Seen::default()), None);
        }
    }
}
