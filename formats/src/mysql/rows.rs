//! Counting the rows of an `INSERT` as it streams by.

use super::scan::Inside;
use super::session::Mode;

/// Counts the tuples behind `VALUES`. One counter per statement; feed it the statement's pieces in order.
#[derive(Debug)]
pub struct RowCounter {
    mode: Mode,
    inside: Inside,
    depth: u32,
    /// Behind `VALUES`.
    counting: bool,
    /// Behind `ON DUPLICATE KEY UPDATE`, where `VALUES` is a function.
    ended: bool,
    /// Letters of the word being read outside parentheses; a longer one than `VALUES` is of no interest.
    word: [u8; 7],
    letters: usize,
    rows: u64,
}

impl RowCounter {
    /// For a statement whose strings are written this way.
    pub fn new(mode: Mode) -> Self {
        Self {
            mode,
            inside: Inside::Ground,
            depth: 0,
            counting: false,
            ended: false,
            word: [0; 7],
            letters: 0,
            rows: 0,
        }
    }

    /// Rows so far.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Takes in the next piece.
    pub fn push(&mut self, piece: &[u8]) {
        let mut at = 0;
        while let Some(&byte) = piece.get(at) {
            match self.inside {
                Inside::Quote(quote) => {
                    let rest = &piece[at..];
                    let Some(stop) = memchr::memchr2(quote, b'\\', rest) else { return };
                    at += stop + 1;
                    if rest[stop] == quote {
                        self.inside = Inside::Ground;
                    } else if self.mode.escapes_in(quote) {
                        self.inside = Inside::Escape(quote);
                    }
                    continue;
                }
                Inside::Escape(quote) => self.inside = Inside::Quote(quote),
                _ => self.ground(byte),
            }
            at += 1;
        }
    }

    fn ground(&mut self, byte: u8) {
        if self.depth == 0 && byte.is_ascii_alphabetic() {
            if let Some(letter) = self.word.get_mut(self.letters) {
                *letter = byte.to_ascii_uppercase();
                self.letters += 1;
            }
            return;
        }
        if self.letters > 0 {
            match &self.word[..self.letters] {
                b"VALUES" | b"VALUE" => self.counting = !self.ended,
                b"ON" => (self.counting, self.ended) = (false, true),
                _ => {}
            }
            self.letters = 0;
        }
        match byte {
            b'\'' | b'"' | b'`' => self.inside = Inside::Quote(byte),
            b'(' => {
                self.rows += u64::from(self.depth == 0 && self.counting);
                self.depth += 1;
            }
            b')' => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_tuples() {
        for (text, rows) in [
            ("INSERT INTO `t` VALUES (1,'a),(b'),(2,f(3)),(4,\"(\");", 3),
            ("INSERT INTO `values` (`a`,b) VALUES (1,'\\'),('),(2,'''(');", 2),
            ("REPLACE t VALUES(1) , (2)", 2),
            ("INSERT INTO t VALUES (1) ON DUPLICATE KEY UPDATE a=VALUES(a)+(1);", 1),
            ("INSERT INTO t SELECT (1);", 0),
            ("INSERT INTO t VALUES (_binary 'x),(');", 1),
        ] {
            for size in [1, 3, 1000] {
                let mut counter = RowCounter::new(Mode::default());
                text.as_bytes().chunks(size).for_each(|piece| counter.push(piece));
                assert_eq!(counter.rows(), rows, "{text} by {size}");
            }
        }
    }
}
