//! Counting the rows of a COPY in text format as they pass.

/// A line is a row, unless its end is escaped: psql and the server read a backslash before a line end as part of the value.
#[derive(Debug, Default)]
pub(super) struct Lines {
    rows: u64,
    /// The bytes so far end in an odd number of backslashes.
    escaped: bool,
    /// The bytes so far do not end with a line.
    open: bool,
}

impl Lines {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.push_to_row(bytes, usize::MAX);
    }

    /// Takes bytes to the end of the first row that has `least` of them before its end; answers how many these were. Without such a row it takes all.
    pub(super) fn push_to_row(&mut self, bytes: &[u8], least: usize) -> Option<usize> {
        for at in memchr::memchr_iter(b'\n', bytes) {
            if self.escapes(&bytes[..at]) {
                continue;
            }
            self.rows += 1;
            if at + 1 >= least {
                self.escaped = false;
                self.open = false;
                return Some(at + 1);
            }
        }
        if let Some(last) = bytes.last() {
            self.escaped = self.escapes(bytes);
            self.open = *last != b'\n';
        }
        None
    }

    /// Whether what follows `bytes` is escaped by them.
    fn escapes(&self, bytes: &[u8]) -> bool {
        let slashes = bytes.iter().rev().take_while(|byte| **byte == b'\\').count();
        let carried = usize::from(slashes == bytes.len() && self.escaped);
        (slashes + carried) % 2 == 1
    }

    /// The server takes a last row without a line end as well.
    pub(super) fn rows(&self) -> u64 {
        self.rows + u64::from(self.open)
    }
}

#[cfg(test)]
mod tests {
    use super::Lines;

    const TEXTS: [(&[u8], u64); 5] =
        [(b"", 0), (b"a\tb\n\n\\N\n", 3), (b"a\\\nb\nc\\\\\nd", 3), (b"\\\\\\\n\n", 1), (b"x\\n\n", 1)];

    #[test]
    fn every_cutting_counts_the_same() {
        for (text, rows) in TEXTS {
            for size in 1..=text.len().max(1) {
                let mut lines = Lines::default();
                text.chunks(size).for_each(|piece| lines.push(piece));
                assert_eq!(lines.rows(), rows, "{} cut at {size}", text.escape_ascii());
            }
        }
    }

    #[test]
    fn rows_are_found_at_the_same_places_in_every_cutting() {
        for (text, rows) in TEXTS {
            for size in 1..=text.len().max(1) {
                let (mut lines, mut ends, mut passed) = (Lines::default(), Vec::new(), 0);
                for mut piece in text.chunks(size) {
                    while let Some(len) = lines.push_to_row(piece, 1) {
                        piece = &piece[len..];
                        passed += len;
                        ends.push(passed);
                    }
                    passed += piece.len();
                }
                let open = u64::from(!text.is_empty() && !text.ends_with(b"\n"));
                assert_eq!(ends.len() as u64 + open, rows, "{} cut at {size}", text.escape_ascii());
                for end in ends {
                    let mut before = Lines::default();
                    before.push(&text[..end]);
                    assert!(!before.open && !before.escaped, "{} at {end}", text.escape_ascii());
                }
            }
        }
    }
}
