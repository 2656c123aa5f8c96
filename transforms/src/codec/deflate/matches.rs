//! Finds repetitions: a table of the two latest places where four bytes stood.

/// How far back deflate can refer, in bytes.
pub(super) const WINDOW: usize = 32 * 1024;
/// The longest match that deflate knows.
pub(super) const LONGEST: usize = 258;
/// Shorter ones are not looked for.
const SHORTEST: usize = 4;
/// A match this long is taken without a look at the next place.
const GOOD: usize = 32;
/// Base-2 logarithm of the number of slots.
const SLOTS: u32 = 14;
/// After so many literals in a row every second place is looked at, after twice as many every third.
const PATIENCE: usize = 256;

/// Literals, then a match. The last one of a block may have no match.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Sequence {
    /// Bytes that stand for themselves.
    pub(super) literals: u32,
    /// Length of the match, 4 to 258, or 0.
    pub(super) length: u16,
    /// How far back it begins, 1 to 32768.
    pub(super) distance: u16,
}

/// The table, for one buffer at a time.
#[derive(Debug)]
pub(super) struct Matches {
    /// The low 16 bits of the two latest places of some four bytes, the later one in the low half. What is too old to be told apart
    /// is harmless: a place counts only if the same bytes stand there.
    slots: Vec<u32>,
    lazy: bool,
}

/// Eight bytes of the buffer.
#[inline]
fn load(buffer: &[u8], at: usize) -> u64 {
    match buffer.get(at..).and_then(|rest| rest.first_chunk()) {
        Some(bytes) => u64::from_le_bytes(*bytes),
        None => 0,
    }
}

/// How many bytes are the same from both places on, when the first eight are; `limit` is at most what stands behind `b`, the later one.
fn common(buffer: &[u8], a: usize, b: usize, limit: usize) -> usize {
    let mut length = 8;
    while length + 8 <= limit {
        let difference = load(buffer, a + length) ^ load(buffer, b + length);
        if difference != 0 {
            return length + (difference.trailing_zeros() / 8) as usize;
        }
        length += 8;
    }
    while length < limit && buffer[a + length] == buffer[b + length] {
        length += 1;
    }
    length
}

impl Matches {
    /// An empty table. `lazy` looks whether the next place has a longer match.
    pub(super) fn new(lazy: bool) -> Self {
        Self { slots: vec![0; 1 << SLOTS], lazy }
    }

    /// Forgets the last buffer, and knows these first bytes of the next.
    pub(super) fn begin(&mut self, buffer: &[u8], dictionary: usize) {
        self.slots.fill(0);
        for at in 0..dictionary.min(buffer.len().saturating_sub(7)) {
            self.insert(load(buffer, at), at);
        }
    }

    #[inline]
    fn insert(&mut self, bytes: u64, at: usize) -> u32 {
        let slot = &mut self.slots[((bytes as u32).wrapping_mul(0x9e37_79b1) >> (32 - SLOTS)) as usize];
        let before = *slot;
        *slot = before << 16 | (at as u32 & 0xffff);
        before
    }

    /// The longest match at this place that is longer than `over`, or length 0.
    #[inline]
    fn at(&mut self, buffer: &[u8], at: usize, over: usize) -> (usize, usize) {
        let here = load(buffer, at);
        let places = self.insert(here, at);
        let (mut length, mut distance) = (over, 0);
        for place in [places, places >> 16] {
            let back = (at as u16).wrapping_sub(place as u16) as usize;
            // 0 stands for 65,536.
            if back == 0 || back > WINDOW || back > at {
                break;
            }
            let difference = load(buffer, at - back) ^ here;
            if difference as u32 == 0 {
                let found = if difference == 0 {
                    common(buffer, at - back, at, LONGEST.min(buffer.len() - at))
                } else {
                    (difference.trailing_zeros() / 8) as usize
                };
                if found > length {
                    (length, distance) = (found, back);
                }
            }
        }
        if distance == 0 { (0, 0) } else { (length, distance) }
    }

    /// Cuts `buffer` from `from` into sequences until `room` of them are there or about `enough` bytes are covered, and says where they end.
    pub(super) fn find(
        &mut self,
        buffer: &[u8],
        from: usize,
        enough: usize,
        room: usize,
        sequences: &mut Vec<Sequence>,
    ) -> usize {
        sequences.clear();
        let end = buffer.len().min(from + enough);
        // Behind this no eight bytes can be read, and what is left is literals.
        let last = buffer.len().saturating_sub(8);
        let (mut at, mut begin) = (from, from);
        while at < end && at + 8 <= buffer.len() && sequences.len() < room {
            let (mut length, mut distance) = self.at(buffer, at, SHORTEST - 1);
            if length == 0 {
                at += 1 + (at - begin) / PATIENCE;
                continue;
            }
            let mut inserted = at + 1;
            if self.lazy {
                while length < GOOD && at < last {
                    let (longer, nearer) = self.at(buffer, at + 1, length);
                    inserted = at + 2;
                    if longer <= length {
                        break;
                    }
                    at += 1;
                    (length, distance) = (longer, nearer);
                }
            }
            sequences.push(Sequence {
                literals: (at - begin) as u32,
                length: length as u16,
                distance: (distance & 0xffff) as u16,
            });
            at += length;
            begin = at;
            for place in inserted..at.min(last + 1) {
                self.insert(load(buffer, place), place);
            }
        }
        // A jump over literals may have gone too far.
        at = if sequences.len() < room { at.max(end).min(buffer.len()) } else { at };
        if at > begin {
            sequences.push(Sequence { literals: (at - begin) as u32, length: 0, distance: 0 });
        }
        at
    }
}
