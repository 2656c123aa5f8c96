//! The largest of very many, in bounded memory.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

/// The `n` heaviest items seen, exactly.
#[derive(Debug)]
pub(super) struct Heaviest<T> {
    n: usize,
    heap: BinaryHeap<Reverse<(u64, u64, T)>>,
    /// Breaks ties: of two equally heavy ones the earlier stays.
    order: u64,
}

impl<T: Ord> Heaviest<T> {
    pub(super) fn new(n: usize) -> Self {
        Self { n, heap: BinaryHeap::with_capacity(n + 1), order: u64::MAX }
    }

    /// True when something of this weight would be kept.
    pub(super) fn wants(&self, weight: u64) -> bool {
        self.heap.len() < self.n || self.heap.peek().is_some_and(|Reverse(least)| weight > least.0)
    }

    pub(super) fn add(&mut self, weight: u64, item: T) {
        self.order -= 1;
        self.heap.push(Reverse((weight, self.order, item)));
        if self.heap.len() > self.n {
            self.heap.pop();
        }
    }

    /// Heaviest first.
    pub(super) fn into_sorted(self) -> Vec<(u64, T)> {
        let sorted = self.heap.into_sorted_vec();
        sorted.into_iter().map(|Reverse((weight, _, item))| (weight, item)).collect()
    }
}

/// Sums by name for the heaviest names, by the Space-Saving algorithm (Metwally, Agrawal, El Abbadi 2005): when there is no room for a
/// new name it takes the place and the sum of the lightest, so a sum is never too small, and too large by at most its `over`.
#[derive(Debug)]
pub(super) struct Sums {
    room: usize,
    counters: HashMap<Vec<u8>, Counter>,
    /// What the lightest names that gave way had at most.
    floor: u64,
}

#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counter {
    pub(super) weight: u64,
    pub(super) count: u64,
    /// By how much `weight` may be too large.
    pub(super) over: u64,
}

impl Sums {
    pub(super) fn new(room: usize) -> Self {
        Self { room, counters: HashMap::new(), floor: 0 }
    }

    pub(super) fn add(&mut self, name: &[u8], weight: u64) {
        if let Some(counter) = self.counters.get_mut(name) {
            counter.weight += weight;
            counter.count += 1;
            return;
        }
        if self.counters.len() >= 2 * self.room {
            self.thin();
        }
        let counter = Counter { weight: self.floor + weight, count: 1, over: self.floor };
        self.counters.insert(name.to_owned(), counter);
    }

    /// Lets the lighter half go at once, which costs less than looking for the lightest every time; its heaviest sets the floor.
    fn thin(&mut self) {
        let mut weights: Vec<u64> = self.counters.values().map(|counter| counter.weight).collect();
        let at = weights.len() - self.room;
        let (_, least, _) = weights.select_nth_unstable(at);
        let least = *least;
        let mut gone = 0;
        self.counters.retain(|_, counter| {
            let stays = counter.weight > least;
            if !stays {
                gone = gone.max(counter.weight);
            }
            stays
        });
        self.floor = self.floor.max(gone);
    }

    /// The `n` heaviest names, heaviest first.
    pub(super) fn heaviest(self, n: usize) -> Vec<(Vec<u8>, Counter)> {
        let mut all: Vec<_> = self.counters.into_iter().collect();
        all.sort_unstable_by(|(a, x), (b, y)| y.weight.cmp(&x.weight).then_with(|| a.cmp(b)));
        all.truncate(n);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_heaviest_are_kept_and_the_earlier_of_equals() {
        let mut top = Heaviest::new(3);
        for (at, weight) in [5, 9, 1, 9, 7, 9].into_iter().enumerate() {
            if top.wants(weight) {
                top.add(weight, at);
            }
        }
        assert_eq!(top.into_sorted(), [(9, 1), (9, 3), (9, 5)]);
    }

    #[test]
    fn sums_of_heavy_names_are_right_however_many_light_ones_come() {
        let mut sums = Sums::new(64);
        let mut exact = 0;
        for i in 0..100_000_u32 {
            sums.add(&i.to_le_bytes(), 1);
            if i % 3 == 0 {
                sums.add(b"heavy", 10);
                exact += 10;
            }
        }
        assert!(sums.counters.len() <= 128);
        let (name, counter) = &sums.heaviest(1)[0];
        assert_eq!(name, b"heavy");
        assert!(counter.weight >= exact && counter.weight - counter.over <= exact, "{counter:?} {exact}");
        assert!(counter.over < exact / 100);
    }
}
