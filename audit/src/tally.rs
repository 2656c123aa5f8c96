//! Sums over rows that do not depend on their order, and the way from a sum that differs to the rows.
//!
//! Every row gets a 128-bit hash; a table's digest is their sum. A sum, not an exclusive or, because two equal rows in a table without a key cancel each
//! other out there. Rows are also dealt out into buckets by their key, each with a sum of its own, so that a second look needs to keep only the rows of
//! the buckets that differ: no order of keys is assumed, which collations make different on two servers.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hasher};

use crate::report::{Example, RowFault};

/// Buckets of a table. With one row that differs among a hundred million, the second look keeps 25,000.
const BUCKETS: usize = 4096;
/// Bytes of rows that the second look keeps of one side.
const KEPT: usize = 12 << 20;
/// Bytes of a value that are shown.
const SHOWN: usize = 80;

/// A row as its cells in the order of the columns, the key's first; `None` is NULL.
pub(crate) type Cells<'a> = &'a [Option<&'a [u8]>];

/// One pass over a table.
#[derive(Debug)]
pub(crate) struct Tally {
    key: usize,
    hasher: blake3::Hasher,
    pub(crate) rows: u64,
    pub(crate) sum: u128,
    buckets: Vec<(u64, u128)>,
}

impl Tally {
    /// The first `key` columns tell rows apart; zero when nothing does.
    pub(crate) fn new(key: usize) -> Self {
        Self { key, hasher: blake3::Hasher::new(), rows: 0, sum: 0, buckets: vec![(0, 0); BUCKETS] }
    }

    pub(crate) fn add(&mut self, cells: Cells<'_>) {
        let hash = hash(&mut self.hasher, cells);
        self.rows += 1;
        self.sum = self.sum.wrapping_add(hash);
        let bucket = &mut self.buckets[bucket(cells, self.key, hash)];
        bucket.0 += 1;
        bucket.1 = bucket.1.wrapping_add(hash);
    }

    pub(crate) fn digest(&self) -> String {
        format!("{:032x}", self.sum)
    }

    pub(crate) fn equals(&self, other: &Self) -> bool {
        self.rows == other.rows && self.sum == other.sum && self.buckets == other.buckets
    }

    /// The buckets to look into: all that differ, or the first ones where that would be too many rows. The second value says which it is.
    pub(crate) fn suspects(&self, other: &Self, columns: usize) -> (Vec<bool>, bool) {
        let limit = (KEPT / row_size(columns)) as u64;
        let mut wanted = vec![false; BUCKETS];
        let (mut rows, mut all) = (0, true);
        for (index, (a, b)) in self.buckets.iter().zip(&other.buckets).enumerate() {
            if a == b {
                continue;
            }
            if rows > 0 && rows + a.0.max(b.0) > limit {
                all = false;
                break;
            }
            rows += a.0.max(b.0);
            wanted[index] = true;
        }
        (wanted, all)
    }
}

/// What a kept row takes, about.
fn row_size(columns: usize) -> usize {
    64 + columns * (48 + SHOWN / 2)
}

fn hash(hasher: &mut blake3::Hasher, cells: Cells<'_>) -> u128 {
    hasher.reset();
    for cell in cells {
        match cell {
            // No length is as large as this.
            None => hasher.update(&u64::MAX.to_le_bytes()),
            Some(bytes) => hasher.update(&(bytes.len() as u64).to_le_bytes()).update(bytes),
        };
    }
    low(&hasher.finalize())
}

fn low(hash: &blake3::Hash) -> u128 {
    hash.as_bytes().iter().take(16).fold(0, |sum, byte| sum << 8 | u128::from(*byte))
}

fn bucket(cells: Cells<'_>, key: usize, hash: u128) -> usize {
    let number = if key == 0 {
        hash
    } else {
        // Fixed keys: the same on both sides, and nobody gains from filling a bucket.
        let mut hasher = DefaultHasher::new();
        for cell in &cells[..key] {
            hasher.write(cell.unwrap_or(b"\0null"));
            hasher.write_u8(0xff);
        }
        u128::from(hasher.finish())
    };
    usize::try_from(number % BUCKETS as u128).unwrap_or(0)
}

/// The rows of one side in the buckets that differ.
#[derive(Debug)]
pub(crate) struct Suspects {
    key: usize,
    wanted: Vec<bool>,
    hasher: blake3::Hasher,
    rows: HashMap<u128, Kept>,
    room: usize,
    /// Rows that come twice count once.
    once: bool,
    pub(crate) complete: bool,
}

#[derive(Debug)]
struct Kept {
    times: u64,
    /// Hash and beginning of each cell.
    cells: Vec<(u128, Option<Box<[u8]>>)>,
}

impl Suspects {
    pub(crate) fn new(key: usize, wanted: Vec<bool>) -> Self {
        Self {
            key,
            wanted,
            hasher: blake3::Hasher::new(),
            rows: HashMap::new(),
            room: KEPT,
            once: false,
            complete: true,
        }
    }

    /// For what may hand out a row twice, where there cannot be two.
    pub(crate) fn once(mut self) -> Self {
        self.once = true;
        self
    }

    pub(crate) fn add(&mut self, cells: Cells<'_>) {
        let row = hash(&mut self.hasher, cells);
        if !self.wanted[bucket(cells, self.key, row)] {
            return;
        }
        if let Some(kept) = self.rows.get_mut(&row) {
            kept.times += u64::from(!self.once);
            return;
        }
        let cells: Vec<_> = cells
            .iter()
            .map(|cell| {
                let shown = cell.map(|bytes| bytes[..bytes.len().min(SHOWN)].into());
                (hash(&mut self.hasher, std::slice::from_ref(cell)), shown)
            })
            .collect();
        let size = row_size(cells.len());
        if size > self.room {
            self.complete = false;
            return;
        }
        self.room -= size;
        self.rows.insert(row, Kept { times: 1, cells });
    }

    /// Holds the two sides against each other: how many rows differ, and the first of them in the order of their keys.
    pub(crate) fn against(mut self, mut other: Self, columns: &[String], show: usize) -> (u64, Vec<Example>) {
        // What is on both sides as often is no suspect.
        for (row, kept) in &mut self.rows {
            if let Some(twin) = other.rows.get_mut(row) {
                let common = kept.times.min(twin.times);
                kept.times -= common;
                twin.times -= common;
            }
        }
        let left: Vec<_> = self.rows.into_values().filter(|kept| kept.times > 0).collect();
        let mut right: HashMap<Vec<u128>, Vec<Kept>> = HashMap::new();
        let key_of =
            |kept: &Kept, key: usize| kept.cells[..key].iter().map(|cell| cell.0).collect::<Vec<_>>();
        for kept in other.rows.into_values().filter(|kept| kept.times > 0) {
            let key = if self.key == 0 { Vec::new() } else { key_of(&kept, self.key) };
            right.entry(key).or_default().push(kept);
        }
        let mut count = 0;
        let mut examples = Vec::new();
        for kept in left {
            let twin =
                if self.key == 0 { None } else { right.get_mut(&key_of(&kept, self.key)).and_then(Vec::pop) };
            count += kept.times;
            examples.push(match twin {
                Some(twin) => changed(&kept, &twin, columns, self.key),
                None => lone(RowFault::Missing, &kept, columns, self.key),
            });
        }
        for kept in right.into_values().flatten() {
            count += kept.times;
            examples.push(lone(RowFault::Extra, &kept, columns, self.key));
        }
        if !(self.complete && other.complete) {
            // A row whose twin found no room only seems to be alone.
            examples.retain(|example| example.fault == RowFault::Changed);
        }
        examples.sort_by(|a, b| a.row.cmp(&b.row));
        examples.truncate(show);
        (count, examples)
    }
}

fn lone(fault: RowFault, kept: &Kept, columns: &[String], key: usize) -> Example {
    let shown = if key == 0 { columns.len() } else { key };
    let mut row = describe(kept, columns, shown);
    if kept.times > 1 {
        row = format!("{row} ({} times)", kept.times);
    }
    Example { fault, row, columns: Vec::new() }
}

fn changed(left: &Kept, right: &Kept, columns: &[String], key: usize) -> Example {
    let changed = columns
        .iter()
        .zip(left.cells.iter().zip(&right.cells))
        .filter(|(_, (a, b))| a.0 != b.0)
        .map(|(name, (a, b))| format!("{name}: {} → {}", shown(a.1.as_deref()), shown(b.1.as_deref())))
        .collect();
    Example { fault: RowFault::Changed, row: describe(left, columns, key), columns: changed }
}

fn describe(kept: &Kept, columns: &[String], count: usize) -> String {
    let pairs: Vec<_> = columns
        .iter()
        .zip(&kept.cells)
        .take(count)
        .map(|(name, cell)| format!("{name}={}", shown(cell.1.as_deref())))
        .collect();
    pairs.join(", ")
}

fn shown(value: Option<&[u8]>) -> String {
    let Some(bytes) = value else { return "NULL".to_owned() };
    let cut = if bytes.len() == SHOWN { "…" } else { "" };
    let plain = |text: &str| text.chars().all(|c| !c.is_control() && c != char::REPLACEMENT_CHARACTER);
    match std::str::from_utf8(bytes) {
        Ok(text) if plain(text) => format!("{text}{cut}"),
        _ => format!("{}{cut}", bytes.escape_ascii()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(rows: &[&[Option<&[u8]>]], key: usize) -> Tally {
        let mut tally = Tally::new(key);
        for row in rows {
            tally.add(row);
        }
        tally
    }

    fn example(left: &[&[Option<&[u8]>]], right: &[&[Option<&[u8]>]], key: usize) -> (u64, Vec<Example>) {
        let (wanted, all) = tally(left, key).suspects(&tally(right, key), 2);
        assert!(all);
        let [mut a, mut b] = [(); 2].map(|()| Suspects::new(key, wanted.clone()));
        for row in left {
            a.add(row);
        }
        for row in right {
            b.add(row);
        }
        a.against(b, &["id".to_owned(), "v".to_owned()], 5)
    }

    #[test]
    fn order_does_not_count_and_multiplicity_does() {
        let (a, b): (&[_], &[_]) = (&[Some(&b"1"[..]), None], &[Some(&b"2"[..]), Some(&b""[..])]);
        assert!(tally(&[a, b, b], 0).equals(&tally(&[b, a, b], 0)));
        assert!(!tally(&[a, b, b], 0).equals(&tally(&[a, a, b], 0)));
        // Two pairs of twins would cancel out under an exclusive or.
        assert!(!tally(&[a, a], 0).equals(&tally(&[b, b], 0)));
        let (count, examples) = example(&[a, b, b], &[a, b], 0);
        assert_eq!((count, examples[0].fault), (1, RowFault::Missing));
        assert_eq!(examples[0].row, "id=2, v=");
    }

    #[test]
    fn cells_do_not_run_into_each_other() {
        let rows: [&[Option<&[u8]>]; 4] = [
            &[Some(b"ab"), Some(b"c")],
            &[Some(b"a"), Some(b"bc")],
            &[Some(b"a"), None],
            &[Some(b"a"), Some(b"")],
        ];
        for (i, a) in rows.iter().enumerate() {
            for b in &rows[i + 1..] {
                assert!(!tally(&[a], 1).equals(&tally(&[b], 1)));
            }
        }
    }

    #[test]
    fn a_changed_row_is_named_by_its_key() {
        let (a, b): (&[_], &[_]) =
            (&[Some(&b"1"[..]), Some(&b"x\0"[..])], &[Some(&b"1"[..]), Some(&b"x\x01"[..])]);
        let (count, examples) = example(&[a], &[b], 1);
        assert_eq!((count, examples[0].fault, examples[0].row.as_str()), (1, RowFault::Changed, "id=1"));
        assert_eq!(examples[0].columns, ["v: x\\x00 → x\\x01"]);
    }
}
