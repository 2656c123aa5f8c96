//! The tokens of one whole statement.
//!
//! The lexer of [`super::plain`] finds where a statement ends in a stream; this one works on the statement in
//! memory, where looking ahead is free. Both must agree on what is a string and what is a comment: a property test
//! holds them together.

use memchr::memmem;

use super::plain::{is_space, is_word};

/// What a [`Token`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenKind {
    /// A keyword or an unquoted name.
    Word,
    /// A name in double quotes.
    Quoted,
    /// A string of any spelling, dollar quotes included.
    Text,
    /// A number or a parameter.
    Number,
    /// One byte of anything else.
    Symbol(u8),
}

/// A token: where it stands, and how deep in parentheses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token {
    /// What it is.
    pub kind: TokenKind,
    /// Offset of its first byte in the statement.
    pub start: usize,
    /// Offset after its last byte.
    pub end: usize,
    /// How many parentheses are open around it; a parenthesis itself counts as outside.
    pub depth: u32,
}

impl Token {
    /// The bytes of the token.
    pub fn bytes<'a>(&self, sql: &'a [u8]) -> &'a [u8] {
        &sql[self.start..self.end]
    }

    /// True for this keyword, given in lower case.
    pub fn is(&self, sql: &[u8], keyword: &str) -> bool {
        self.kind == TokenKind::Word && self.bytes(sql).eq_ignore_ascii_case(keyword.as_bytes())
    }

    /// True for a word or a quoted name.
    pub fn is_name(&self) -> bool {
        matches!(self.kind, TokenKind::Word | TokenKind::Quoted)
    }

    /// The name as the server knows it: folded to lower case, or with the quotes taken away.
    pub fn name(&self, sql: &[u8]) -> Vec<u8> {
        let bytes = self.bytes(sql);
        match self.kind {
            TokenKind::Word => bytes.to_ascii_lowercase(),
            TokenKind::Quoted | TokenKind::Text => unquote(bytes),
            _ => bytes.to_vec(),
        }
    }
}

/// Takes plain quotes away; other spellings are left as they are.
fn unquote(bytes: &[u8]) -> Vec<u8> {
    match bytes {
        [quote @ (b'"' | b'\''), inner @ .., last] if quote == last => {
            let mut name = Vec::with_capacity(inner.len());
            let mut inner = inner.iter();
            while let Some(byte) = inner.next() {
                name.push(*byte);
                if byte == quote {
                    inner.next();
                }
            }
            name
        }
        _ => bytes.to_vec(),
    }
}

/// Iterates over the tokens of a statement; comments and white space are skipped.
#[derive(Debug, Clone)]
pub struct Tokens<'a> {
    sql: &'a [u8],
    at: usize,
    depth: u32,
    standard_strings: bool,
    /// Whether the last token was a string in which a backslash escapes: it may go on in the next line.
    escaped: Option<bool>,
}

impl<'a> Tokens<'a> {
    /// The tokens of `sql`. `standard_strings` is [`super::plain::Lexer::standard_strings`] at its beginning.
    pub fn new(sql: &'a [u8], standard_strings: bool) -> Self {
        Self { sql, at: 0, depth: 0, standard_strings, escaped: None }
    }

    fn byte(&self, at: usize) -> u8 {
        self.sql.get(at).copied().unwrap_or(0)
    }

    /// Skips white space and comments; answers whether a string may go on after them.
    fn skip_gap(&mut self) -> bool {
        let mut newline = false;
        let mut block = false;
        loop {
            let byte = self.byte(self.at);
            if self.at >= self.sql.len() {
                return false;
            } else if is_space(byte) {
                newline |= matches!(byte, b'\n' | b'\r');
                self.at += 1;
            } else if byte == b'-' && self.byte(self.at + 1) == b'-' {
                self.at = find(self.sql, self.at, b"\n");
                newline = true;
            } else if byte == b'/' && self.byte(self.at + 1) == b'*' {
                self.at = block_end(self.sql, self.at + 2);
                block = true;
            } else {
                return newline && !block;
            }
        }
    }

    /// From a string's first byte after the opening quote to behind its closing quote.
    fn string_end(&self, mut at: usize, escaped: bool) -> usize {
        while at < self.sql.len() {
            match self.sql[at] {
                b'\\' if escaped => at += 2,
                b'\'' if self.byte(at + 1) == b'\'' => at += 2,
                b'\'' => return at + 1,
                _ => at += 1,
            }
        }
        self.sql.len()
    }

    /// The end of the dollar quote that opens at `at`, if one does.
    fn dollar_end(&self, at: usize) -> Option<usize> {
        let tag = self.sql[at + 1..].iter().position(|&b| b == b'$' || !is_word(b))?;
        let end = at + 1 + tag;
        if self.sql[end] != b'$' || self.byte(at + 1).is_ascii_digit() {
            return None;
        }
        let tag = &self.sql[at..=end];
        Some(find(self.sql, end + 1, tag))
    }
}

/// Behind the next `needle`, or the end.
fn find(sql: &[u8], at: usize, needle: &[u8]) -> usize {
    let rest = sql.get(at..).unwrap_or_default();
    memmem::find(rest, needle).map_or(sql.len(), |found| at + found + needle.len())
}

fn block_end(sql: &[u8], mut at: usize) -> usize {
    let mut depth = 1_u32;
    while at + 1 < sql.len() {
        match &sql[at..at + 2] {
            b"*/" => {
                at += 2;
                depth -= 1;
                if depth == 0 {
                    return at;
                }
            }
            b"/*" => {
                at += 2;
                depth += 1;
            }
            _ => at += 1,
        }
    }
    sql.len()
}

impl Iterator for Tokens<'_> {
    type Item = Token;

    fn next(&mut self) -> Option<Token> {
        let continues = self.skip_gap();
        let escaped = self.escaped.take();
        let start = self.at;
        let byte = *self.sql.get(start)?;
        let default = !self.standard_strings;
        let quoted_next = self.byte(start + 1) == b'\'';
        let string = |tokens: &mut Self, prefix: usize, escaped: bool| {
            tokens.escaped = Some(escaped);
            (TokenKind::Text, tokens.string_end(start + prefix + 1, escaped))
        };
        let mut depth = self.depth;
        let (kind, end) = match byte {
            b'\'' => string(self, 0, escaped.filter(|_| continues).unwrap_or(default)),
            b'e' | b'E' if quoted_next => string(self, 1, true),
            b'b' | b'B' | b'x' | b'X' if quoted_next => string(self, 1, false),
            b'u' | b'U' if self.byte(start + 1) == b'&' && self.byte(start + 2) == b'\'' => {
                string(self, 2, false)
            }
            b'u' | b'U' if self.byte(start + 1) == b'&' && self.byte(start + 2) == b'"' => {
                (TokenKind::Quoted, name_end(self.sql, start + 3))
            }
            b'"' => (TokenKind::Quoted, name_end(self.sql, start + 1)),
            b'$' => match self.dollar_end(start) {
                Some(end) => (TokenKind::Text, end),
                None => (TokenKind::Symbol(b'$'), start + 1),
            },
            b'0'..=b'9' => (TokenKind::Number, run(self.sql, start, |b| is_word(b) && b != b'$')),
            _ if is_word(byte) => (TokenKind::Word, run(self.sql, start, is_word)),
            _ => {
                if byte == b'(' {
                    self.depth = depth.saturating_add(1);
                } else if byte == b')' {
                    self.depth = depth.saturating_sub(1);
                    depth = self.depth;
                }
                (TokenKind::Symbol(byte), start + 1)
            }
        };
        self.at = end.min(self.sql.len());
        Some(Token { kind, start, end: self.at, depth })
    }
}

fn name_end(sql: &[u8], at: usize) -> usize {
    let mut at = find(sql, at, b"\"");
    while sql.get(at) == Some(&b'"') {
        at = find(sql, at + 1, b"\"");
    }
    at
}

fn run(sql: &[u8], start: usize, part: impl Fn(u8) -> bool) -> usize {
    sql[start..].iter().position(|&b| !part(b)).map_or(sql.len(), |len| start + len)
}
