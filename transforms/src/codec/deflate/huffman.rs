//! Length-limited canonical Huffman codes: RFC 1951, section 3.2.2.

/// A code for up to `N` symbols. A symbol that does not occur has length 0.
#[derive(Debug, Clone)]
pub(super) struct Code<const N: usize> {
    /// Code words, their bits reversed: deflate writes them highest bit first.
    pub(super) words: [u16; N],
    /// Lengths in bits.
    pub(super) lengths: [u8; N],
}

impl<const N: usize> Code<N> {
    /// The best code with words of at most `limit` bits, or very near it. There are always two words at least: some
    /// decoders take no code with a single one.
    pub(super) fn of(frequencies: &[u32; N], limit: u8) -> Self {
        let mut symbols: Vec<(u32, u16)> = Vec::with_capacity(N);
        for (symbol, &frequency) in (0..).zip(frequencies) {
            if frequency > 0 {
                symbols.push((frequency, symbol));
            }
        }
        for symbol in 0..2 {
            if symbols.len() < 2 && !symbols.iter().any(|(_, other)| *other == symbol) {
                symbols.push((1, symbol));
            }
        }
        symbols.sort_unstable();
        let counts = limited(&depths(&symbols), limit);
        let mut lengths = [0; N];
        // The rarest symbols get the longest words.
        let mut next = symbols.iter();
        for (length, &count) in (0..=limit).zip(&counts).rev() {
            for (_, symbol) in next.by_ref().take(count) {
                lengths[usize::from(*symbol)] = length;
            }
        }
        Self::with_lengths(lengths)
    }

    /// The canonical code with these lengths.
    pub(super) fn with_lengths(lengths: [u8; N]) -> Self {
        let mut counts = [0_u16; 16];
        for &length in &lengths {
            counts[usize::from(length)] += u16::from(length > 0);
        }
        let mut next = [0_u16; 16];
        for length in 1..16 {
            next[length] = (next[length - 1] + counts[length - 1]) << 1;
        }
        let mut words = [0; N];
        for (word, &length) in words.iter_mut().zip(&lengths) {
            if length > 0 {
                let code = &mut next[usize::from(length)];
                *word = code.reverse_bits() >> (16 - length);
                *code += 1;
            }
        }
        Self { words, lengths }
    }

    /// Bits that these symbols take.
    pub(super) fn cost(&self, frequencies: &[u32; N]) -> u64 {
        frequencies.iter().zip(&self.lengths).map(|(&f, &l)| u64::from(f) * u64::from(l)).sum()
    }
}

/// How many symbols are at each depth of a Huffman tree over `symbols`, which are at least two, the rarest first.
fn depths(symbols: &[(u32, u16)]) -> Vec<usize> {
    // Two queues, both sorted by themselves: leaves, and the inner nodes in the order in which they are made.
    let leaves = symbols.len();
    let mut weights: Vec<u64> = symbols.iter().map(|(weight, _)| u64::from(*weight)).collect();
    let mut parents = vec![0; 2 * leaves - 1];
    let (mut leaf, mut inner) = (0, leaves);
    for node in leaves..2 * leaves - 1 {
        let mut weight = 0;
        for _ in 0..2 {
            let child = if leaf < leaves && (inner >= node || weights[leaf] <= weights[inner]) {
                &mut leaf
            } else {
                &mut inner
            };
            weight += weights[*child];
            parents[*child] = node;
            *child += 1;
        }
        weights.push(weight);
    }
    // Parents come behind their children, the root last.
    let mut depth = vec![0_usize; 2 * leaves - 1];
    let mut counts = Vec::new();
    for node in (0..2 * leaves - 2).rev() {
        depth[node] = depth[parents[node]] + 1;
        if node < leaves {
            if counts.len() <= depth[node] {
                counts.resize(depth[node] + 1, 0);
            }
            counts[depth[node]] += 1;
        }
    }
    counts
}

/// Moves symbols up from below `limit`, and as few as needed down, until the words fit.
fn limited(depths: &[usize], limit: u8) -> Vec<usize> {
    let limit = usize::from(limit);
    let mut counts = vec![0; limit + 1];
    for (depth, count) in depths.iter().enumerate() {
        counts[depth.min(limit)] += count;
    }
    // Kraft's sum in units of the longest word; a complete code fills it exactly.
    let full = 1_usize << limit;
    let mut sum: usize =
        counts.iter().enumerate().skip(1).map(|(depth, count)| count << (limit - depth)).sum();
    while sum > full {
        // A leaf above goes one down and takes one of the longest as its sibling: the sum falls by one.
        let Some(depth) = (1..limit).rev().find(|&depth| counts[depth] > 0) else { break };
        counts[limit] -= 1;
        counts[depth] -= 1;
        counts[depth + 1] += 2;
        sum -= 1;
    }
    counts
}
