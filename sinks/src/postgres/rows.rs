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
        let Some(last) = bytes.last() else { return };
        for at in memchr::memchr_iter(b'\n', bytes) {
            let slashes = bytes[..at].iter().rev().take_while(|byte| **byte == b'\\').count();
            let carried = usize::from(slashes == at && self.escaped);
            self.rows += u64::from((slashes + carried) % 2 == 0);
        }
        let slashes = bytes.iter().rev().take_while(|byte| **byte == b'\\').count();
        let carried = usize::from(slashes == bytes.len() && self.escaped);
        self.escaped = (slashes + carried) % 2 == 1;
        self.open = *last != b'\n';
    }

    /// The server takes a last row without a line end as well.
    pub(super) fn rows(&self) -> u64 {
        self.rows + u64::from(self.open)
    }
}

#[cfg(test)]
mod tests {
    use super::Lines;

    #[test]
    fn every_cutting_counts_the_same() {
        for (text, rows) in [
            (&b""[..], 0),
            (b"a\tb\n\n\\N\n", 3),
            (b"a\\\nb\nc\\\\\nd", 3),
            (b"\\\\\\\n\n", 1),
            (b"x\\n\n", 1),
        ] {
            for size in 1..=text.len().max(1) {
                let mut lines = Lines::default();
                text.chunks(size).for_each(|piece| lines.push(piece));
                assert_eq!(lines.rows(), rows, "{} cut at {size}", text.escape_ascii());
            }
        }
    }
}
