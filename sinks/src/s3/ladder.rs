//! How large each part of an upload is.
//!
//! A store takes 10,000 parts of 5 MiB to 5 GiB, and wants to know nothing beforehand; a stream does not tell its length. A fixed part size ends at 78 GiB with
//! 8 MiB parts, and one that fits 5 TiB costs half a gigabyte of memory for every dump. So parts begin small and grow: slowly enough for a short stream to stay
//! small, fast enough for a long one to fit. An expected length moves the beginning up. Up to half of the budget, one part is filled while another is sent;
//! a stream that is so long that it would not fit goes on with parts of the whole budget, which are filled and sent in turn.

/// AWS: parts of one object.
const PARTS: u64 = 10_000;
/// S3's least for every part but the last.
const MIN: u64 = 5 << 20;
/// S3's most.
const MAX: u64 = 5 << 30;
/// What a stream of unknown length begins with.
const FIRST: u64 = 8 << 20;
/// Sizes are multiples of this: allocators and stores like whole numbers.
const GRAIN: u64 = 1 << 20;

/// The sizes of one upload's parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ladder {
    first: u64,
    /// Parts of the first size.
    steady: u64,
    /// Parts of each size after that; every step is a quarter larger. 0 never grows.
    step: u64,
    /// The largest part beside which another one can be filled.
    easy: u64,
    /// Parts up to this one are no larger than `easy`.
    late: u64,
    most: u64,
    parts: u64,
}

impl Ladder {
    /// `expected` bytes in all, where that is estimated; no part above `budget`; `fixed` as the user says.
    pub(crate) fn new(
        expected: Option<u64>,
        fixed: Option<u64>,
        equal: bool,
        parts: u32,
        budget: u64,
    ) -> Self {
        let parts = u64::from(parts).min(PARTS);
        let (easy, most) = ((budget / 2).clamp(MIN, MAX), budget.clamp(MIN, MAX));
        // Estimates of compressed lengths are rough. A tenth of the parts is kept for what they miss.
        let hinted = expected.map(|bytes| (bytes / (parts * 9 / 10).max(1)).div_ceil(GRAIN) * GRAIN);
        let unhinted = if equal { easy / 4 } else { FIRST.min(easy) };
        let first = fixed.unwrap_or_else(|| hinted.map_or(unhinted, |size| size.max(FIRST.min(easy))));
        // A part size that was asked for may be larger than the budget; the caller has counted it.
        let first = first.clamp(MIN, if fixed.is_some() { MAX } else { most });
        let (steady, step) = match (equal || fixed.is_some(), expected) {
            (true, _) => (parts, 0),
            (false, Some(_)) => (parts * 8 / 10, parts / 100),
            (false, None) => (parts * 2 / 10, parts / 40),
        };
        Self {
            first,
            steady,
            step,
            easy: easy.max(first),
            late: parts * 6 / 10,
            most: most.max(first),
            parts,
        }
    }

    /// Bytes of part `number`, from 1; `None` when the object may have no more parts.
    pub(crate) fn size(&self, number: u64) -> Option<u64> {
        if number > self.parts {
            return None;
        }
        let steps = if self.step == 0 { 0 } else { number.saturating_sub(self.steady).div_ceil(self.step) };
        let most = if number > self.late { self.most } else { self.easy };
        let mut size = self.first;
        for _ in 0..steps {
            size = (size + size / 4).div_ceil(GRAIN) * GRAIN;
            if size >= most {
                return Some(most);
            }
        }
        Some(size)
    }

    /// The longest stream that fits.
    pub(crate) fn capacity(&self) -> u64 {
        let mut total = 0_u64;
        let mut number = 1;
        while let Some(size) = self.size(number) {
            total = total.saturating_add(size);
            number += 1;
        }
        total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;
    const TIB: u64 = 1 << 40;

    /// Parts and largest part of a stream of this length.
    fn walk(ladder: &Ladder, bytes: u64) -> Option<(u64, u64)> {
        let (mut left, mut number, mut largest) = (bytes, 0, 0);
        while left > 0 {
            number += 1;
            let size = ladder.size(number)?;
            assert!((MIN..=MAX).contains(&size), "part {number} has {size} bytes");
            assert!(size >= largest, "sizes never shrink");
            largest = largest.max(size);
            left = left.saturating_sub(size);
        }
        Some((number, largest))
    }

    #[test]
    fn a_hundred_gib_of_unknown_length_fit_the_default_budget() {
        let ladder = Ladder::new(None, None, false, 10_000, buffer(256));
        let (parts, largest) = walk(&ladder, 100 * GIB).unwrap();
        assert!(parts < 10_000 && largest <= 38 << 20, "{parts} parts of up to {largest} bytes");
    }

    /// What the command line gives with so many MiB.
    fn buffer(memory: u64) -> u64 {
        ((memory << 20) - (56 << 20)) / 8 * 3
    }

    #[test]
    fn the_table_in_the_document_is_right() {
        // `--memory` in MiB, and GiB that fit when nothing, and when something, is known of the length.
        for (memory, unknown, expected) in
            [(256, 430, 659), (512, 901, 1502), (1024, 1761, 3190), (4096, 5270, 13_315)]
        {
            let ladder = Ladder::new(None, None, false, 10_000, buffer(memory));
            assert_eq!(ladder.capacity() / GIB, unknown, "{memory}");
            let ladder = Ladder::new(Some(expected * GIB), None, false, 10_000, buffer(memory));
            assert!(walk(&ladder, expected * GIB).is_some(), "{memory}: {} GiB", ladder.capacity() / GIB);
        }
    }

    #[test]
    fn short_streams_stay_small() {
        let ladder = Ladder::new(None, None, false, 10_000, GIB);
        assert_eq!(walk(&ladder, 10 * GIB).unwrap().1, 8 << 20);
        assert!(walk(&ladder, 50 * GIB).unwrap().1 <= 64 << 20);
    }

    #[test]
    fn five_tib_of_unknown_length_fit_when_the_budget_allows_large_parts() {
        let ladder = Ladder::new(None, None, false, 10_000, buffer(4096));
        let (parts, largest) = walk(&ladder, 5 * TIB).unwrap();
        assert!(parts <= 10_000 && largest <= 2 * GIB, "{parts} parts of up to {largest} bytes");
    }

    #[test]
    fn forty_eight_tib_fit_when_the_length_is_expected() {
        let ladder = Ladder::new(Some(48 * TIB), None, false, 10_000, buffer(14 << 10));
        let (parts, largest) = walk(&ladder, 48 * TIB).unwrap();
        assert!(parts <= 10_000 && largest == MAX, "{parts} parts of up to {largest} bytes");
        // And one byte more than the service takes is seen.
        assert_eq!(walk(&ladder, 10_000 * MAX + 1), None);
    }

    #[test]
    fn an_expected_length_is_exceeded_twice_without_harm() {
        for expected in [GIB, 200 * GIB, 2 * TIB] {
            let ladder = Ladder::new(Some(expected), None, false, 10_000, 4 * GIB);
            assert!(walk(&ladder, 2 * expected).is_some(), "{expected}");
        }
    }

    #[test]
    fn equal_parts_and_few_parts() {
        let ladder = Ladder::new(Some(100 * GIB), None, true, 1000, 256 << 20);
        let (parts, largest) = walk(&ladder, 100 * GIB).unwrap();
        assert!(parts <= 1000, "{parts}");
        assert_eq!(ladder.size(1), ladder.size(1000));
        assert!(largest <= 256 << 20);
        assert_eq!(ladder.size(1001), None);
        let ladder = Ladder::new(None, Some(16 << 20), false, 10_000, 64 << 20);
        assert_eq!((ladder.size(1), ladder.size(10_000)), (Some(16 << 20), Some(16 << 20)));
        let ladder = Ladder::new(None, None, false, 1000, 80 << 20);
        assert!(ladder.capacity() > 45 * GIB, "{}", ladder.capacity() / GIB);
    }

    #[test]
    fn a_tiny_budget_still_gives_legal_parts() {
        let ladder = Ladder::new(None, None, false, 10_000, 1);
        assert_eq!((ladder.size(1), ladder.size(10_000)), (Some(MIN), Some(MIN)));
    }
}
