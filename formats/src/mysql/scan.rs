//! Finding the end of a statement, byte by byte and resumable, or block by block where there is much.

use super::blocks::{self, BLOCK, Shape};
use super::session::{DoubleByte, Mode};

/// What ends a statement, `;` unless `DELIMITER` said otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Delimiter {
    bytes: [u8; Self::MAX],
    len: usize,
}

impl Delimiter {
    /// The stock client takes fifteen bytes and drops the rest.
    pub(super) const MAX: usize = 15;

    pub(super) const SEMICOLON: Self = Self { bytes: [b';'; Self::MAX], len: 1 };

    /// `None` for an empty one.
    pub(super) fn new(text: &[u8]) -> Option<Self> {
        let len = text.len().min(Self::MAX);
        let mut bytes = [0; Self::MAX];
        bytes[..len].copy_from_slice(&text[..len]);
        (len > 0).then_some(Self { bytes, len })
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// Where in the grammar a byte is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Inside {
    /// Between tokens or in a bare word.
    Ground,
    /// In a string or quoted name.
    Quote(u8),
    /// Behind a backslash in a string.
    Escape(u8),
    /// Behind the first byte of a two-byte character in a string.
    Trail(u8),
    /// In a comment up to the end of the line.
    Line,
    /// In a plain comment.
    Block,
}

/// What a scan found.
pub(super) enum Found {
    /// The statement ends here, its delimiter included.
    End(usize),
    /// Nothing up to here; what follows can only be judged with more bytes.
    Nothing(usize),
}

/// The state of the search for the end of a statement.
#[derive(Debug)]
pub(super) struct Scan {
    pub(super) inside: Inside,
    /// In a version comment, whose text is read like any other.
    pub(super) versioned: bool,
    /// The kind of quote met last: rows use one kind throughout.
    quote: u8,
}

impl Scan {
    pub(super) fn new() -> Self {
        Self { inside: Inside::Ground, versioned: false, quote: b'\'' }
    }

    /// For the next statement.
    pub(super) fn restart(&mut self) {
        self.inside = Inside::Ground;
        self.versioned = false;
    }

    /// Looks for the end of the statement in `text[from..]`. With `last`, there will be no more bytes.
    pub(super) fn run(
        &mut self,
        text: &[u8],
        from: usize,
        last: bool,
        delimiter: &Delimiter,
        mode: Mode,
    ) -> Found {
        let mut at = from;
        loop {
            let rest = &text[at..];
            if rest.len() >= BLOCK && !self.versioned && mode.double_byte == DoubleByte::No {
                let inside = match self.inside {
                    Inside::Ground => Some(false),
                    Inside::Quote(quote) if quote == self.quote => Some(true),
                    _ => None,
                };
                if let Some(inside) = inside {
                    let shape = Shape {
                        quote: self.quote,
                        escapes: mode.escapes_in(self.quote),
                        delimiter: delimiter.bytes[0],
                    };
                    let skipped = blocks::skip(rest, shape, inside);
                    at += skipped.len;
                    self.inside = match (skipped.inside, skipped.escaped) {
                        (true, true) => Inside::Escape(self.quote),
                        (true, false) => Inside::Quote(self.quote),
                        (false, _) => Inside::Ground,
                    };
                }
            }
            // One construct, or as many bytes as fill a block's worth, before blocks are tried again.
            match self.step(text, &mut at, last, delimiter, mode) {
                Next::More => {}
                Next::End => return Found::End(at),
                Next::Stuck => return Found::Nothing(at),
            }
        }
    }

    /// Reads up to the next change of state.
    fn step(&mut self, text: &[u8], at: &mut usize, last: bool, delimiter: &Delimiter, mode: Mode) -> Next {
        let rest = &text[*at..];
        if rest.is_empty() {
            return Next::Stuck;
        }
        match self.inside {
            Inside::Ground => return self.ground(rest, at, last, delimiter),
            Inside::Quote(quote) => {
                let stop = if mode.double_byte == DoubleByte::No {
                    memchr::memchr2(quote, b'\\', rest)
                } else {
                    rest.iter().position(|byte| *byte == quote || *byte == b'\\' || mode.leads(*byte))
                };
                let Some(stop) = stop else {
                    *at += rest.len();
                    return Next::More;
                };
                *at += stop + 1;
                if rest[stop] == quote {
                    self.inside = Inside::Ground;
                } else if rest[stop] != b'\\' {
                    self.inside = Inside::Trail(quote);
                } else if mode.escapes_in(quote) {
                    self.inside = Inside::Escape(quote);
                }
            }
            Inside::Escape(quote) => {
                *at += 1;
                self.inside = Inside::Quote(quote);
            }
            Inside::Trail(quote) => {
                *at += usize::from(Mode::trails(rest[0]));
                self.inside = Inside::Quote(quote);
            }
            Inside::Line => match memchr::memchr(b'\n', rest) {
                Some(end) => {
                    *at += end + 1;
                    self.inside = Inside::Ground;
                }
                None => *at += rest.len(),
            },
            Inside::Block => {
                let Some(end) = memchr::memmem::find(rest, b"*/") else {
                    let star = usize::from(rest.ends_with(b"*") && !last);
                    *at += rest.len() - star;
                    return Next::Stuck;
                };
                *at += end + 2;
                self.inside = Inside::Ground;
            }
        }
        Next::More
    }

    /// Reads bytes between tokens, at most a block of them.
    fn ground(&mut self, rest: &[u8], at: &mut usize, last: bool, delimiter: &Delimiter) -> Next {
        let delimiter = delimiter.as_bytes();
        let start = *at;
        let mut here = 0;
        while here < rest.len() && here < BLOCK {
            let rest = &rest[here..];
            let byte = rest[0];
            if byte == delimiter[0] {
                if rest.starts_with(delimiter) {
                    *at = start + here + delimiter.len();
                    return Next::End;
                }
                if !last && delimiter.starts_with(rest) {
                    *at = start + here;
                    return Next::Stuck;
                }
            }
            let enters = match byte {
                b'\'' | b'"' => {
                    self.quote = byte;
                    Some((Inside::Quote(byte), 1))
                }
                b'`' => Some((Inside::Quote(byte), 1)),
                b'*' if self.versioned && rest.len() == 1 && !last => None,
                b'*' if self.versioned && rest.get(1) == Some(&b'/') => {
                    self.versioned = false;
                    Some((Inside::Ground, 2))
                }
                b'#' | b'-' | b'/' => match comment(rest, last) {
                    Comment::Unclear => None,
                    Comment::No => Some((Inside::Ground, 1)),
                    Comment::Line => Some((Inside::Line, 1)),
                    Comment::Block => Some((Inside::Block, 2)),
                    Comment::Version(len) => {
                        self.versioned = true;
                        Some((Inside::Ground, len))
                    }
                },
                _ => Some((Inside::Ground, 1)),
            };
            let Some((inside, len)) = enters else {
                *at = start + here;
                return Next::Stuck;
            };
            here += len;
            if inside != Inside::Ground {
                self.inside = inside;
                break;
            }
        }
        *at = start + here;
        Next::More
    }
}

enum Next {
    More,
    End,
    Stuck,
}

/// What a `#`, `-` or `/` outside strings begins.
pub(super) enum Comment {
    No,
    Unclear,
    Line,
    Block,
    /// The length of `/*!` or `/*M!`; a version number may follow.
    Version(usize),
}

/// `rest` begins with the byte in question. With `last`, nothing follows it.
pub(super) fn comment(rest: &[u8], last: bool) -> Comment {
    match rest {
        [b'/', b'*', b'!', ..] => Comment::Version(3),
        [b'/', b'*', b'M', b'!', ..] => Comment::Version(4),
        [b'/', b'*', b'M'] | [b'/' | b'-'] | [b'/', b'*'] | [b'-', b'-'] if !last => Comment::Unclear,
        [b'/', b'*', ..] => Comment::Block,
        [b'#', ..] => Comment::Line,
        // The server wants whitespace or a control character behind the dashes; the end of the text counts.
        [b'-', b'-', rest @ ..] if rest.first().is_none_or(|next| *next <= b' ') => Comment::Line,
        _ => Comment::No,
    }
}
