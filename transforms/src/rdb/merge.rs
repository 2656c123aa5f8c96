//! Finds out whether databases that become one have a key in common.
//!
//! A server that loads a key twice into one database ends with an error, so a merge is only safe if it is proven that no key
//! is there twice. What is kept of a key is a 64-bit hash under a random key of this run. Two equal keys have equal hashes, so
//! none is missed; two different ones have equal hashes once in 2⁶⁴/n², and then a sound merge is refused, which is the
//! harmless side. Memory is counted: when the table is full the run ends, for half a proof is none.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, RandomState};

/// What was found out about a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    /// The first of its name.
    New,
    /// One of this name is there already.
    Twice,
    /// The table is full.
    Full,
}

/// The keys of every database that gets the content of several.
#[derive(Debug)]
pub(super) struct Merges {
    hasher: RandomState,
    /// Numbers that more than one database gets.
    shared: BTreeSet<u64>,
    /// Every database is watched.
    all: bool,
    /// Open addressing; zero is an empty place.
    table: Vec<u64>,
    used: usize,
    most: usize,
}

impl Merges {
    /// `kept` are the databases that are kept, none meaning all; `memory` bounds the table in bytes.
    pub(super) fn new(kept: &BTreeSet<u64>, renumber: &BTreeMap<u64, u64>, all: bool, memory: usize) -> Self {
        let is_kept = |db: &u64| kept.is_empty() || kept.contains(db);
        let mut sources: BTreeMap<u64, u32> = BTreeMap::new();
        for (_, to) in renumber.iter().filter(|(from, _)| is_kept(from)) {
            *sources.entry(*to).or_default() += 1;
        }
        for (to, count) in &mut sources {
            // A database that is not renumbered keeps its number.
            *count += u32::from(!renumber.contains_key(to) && is_kept(to));
        }
        let shared = sources.into_iter().filter(|(_, count)| *count > 1).map(|(to, _)| to).collect();
        // While the table grows the old one is there too.
        let places = memory / 8 * 2 / 3;
        let most = if places == 0 { 0 } else { 1 << places.ilog2() };
        Self { hasher: RandomState::new(), shared, all, table: Vec::new(), used: 0, most }
    }

    /// True when there is nothing to watch.
    pub(super) fn is_empty(&self) -> bool {
        self.shared.is_empty() && !self.all
    }

    /// True when keys of the database with this number are watched.
    pub(super) fn concerns(&self, db: u64) -> bool {
        self.all || self.shared.contains(&db)
    }

    /// Keys that are kept so far.
    pub(super) fn keys(&self) -> usize {
        self.used
    }

    /// Notes a key of a merged database.
    pub(super) fn note(&mut self, db: u64, name: &[u8]) -> Seen {
        // Seven eighths full, chains are still a few places long.
        if (self.used + 1) * 8 > self.table.len() * 7 && !self.grow() {
            return Seen::Full;
        }
        let hash = self.hasher.hash_one((db, name)).max(1);
        match place(&self.table, hash) {
            Some(free) => {
                self.table[free] = hash;
                self.used += 1;
                Seen::New
            }
            None => Seen::Twice,
        }
    }

    fn grow(&mut self) -> bool {
        let larger = (self.table.len() * 2).max(1 << 10);
        if larger > self.most {
            return false;
        }
        let old = std::mem::replace(&mut self.table, vec![0; larger]);
        for hash in old.into_iter().filter(|hash| *hash != 0) {
            if let Some(free) = place(&self.table, hash) {
                self.table[free] = hash;
            }
        }
        true
    }
}

/// The free place where `hash` belongs, or none when it is there. The table's length is a power of two and it is never full.
fn place(table: &[u64], hash: u64) -> Option<usize> {
    let mask = table.len() - 1;
    #[allow(clippy::cast_possible_truncation, reason = "only the low bits matter")]
    let mut at = hash as usize & mask;
    loop {
        match table[at] {
            0 => return Some(at),
            found if found == hash => return None,
            _ => at = (at + 1) & mask,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_databases_that_share_a_number_are_watched() {
        let watch = |kept: &[u64], map: &[(u64, u64)]| {
            Merges::new(&kept.iter().copied().collect(), &map.iter().copied().collect(), false, 1 << 20)
                .shared
        };
        assert!(watch(&[], &[]).is_empty());
        assert_eq!(watch(&[], &[(1, 0)]), BTreeSet::from([0]));
        assert!(watch(&[1], &[(1, 0)]).is_empty(), "0 is not kept");
        assert!(watch(&[], &[(1, 0), (0, 1)]).is_empty(), "they change places");
        assert_eq!(watch(&[], &[(1, 9), (2, 9), (0, 3), (3, 0)]), BTreeSet::from([9]));
        assert_eq!(watch(&[1, 2], &[(1, 9), (2, 9)]), BTreeSet::from([9]));
    }

    #[test]
    fn every_second_key_is_found_and_the_bound_is_kept() {
        let map = BTreeMap::from([(1, 0)]);
        let mut merges = Merges::new(&BTreeSet::new(), &map, false, 1 << 20);
        let name = |i: u32| i.to_le_bytes();
        for i in 0..50_000 {
            assert_eq!(merges.note(0, &name(i)), Seen::New, "{i}");
        }
        assert!((0..50_000).all(|i| merges.note(0, &name(i)) == Seen::Twice));
        assert_eq!(merges.note(7, &name(1)), Seen::New, "another database");
        let mut i = 50_000;
        while merges.note(0, &name(i)) == Seen::New {
            i += 1;
        }
        assert_eq!(merges.note(0, &name(i)), Seen::Full);
        assert!(merges.table.len() * 8 * 3 / 2 <= 1 << 20);
        assert!(merges.used > 1 << 15, "and most of the room is used");
    }
}
