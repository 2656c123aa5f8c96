//! Tokens of one statement that lies in memory.
//!
//! Enough to find clauses and to leave everything else alone: a token is a range, and whitespace and plain comments
//! are what lies between tokens. The bounds of version comments are tokens, because a clause may not reach across
//! them and because an empty one is to be removed.

use super::session::Mode;

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A keyword, bare identifier or number.
    Word,
    /// A string or quoted identifier; the byte is its quote.
    Quoted(u8),
    /// Any other single byte.
    Punct(u8),
    /// `/*!`, `/*!50003` or `/*M!100200`: text that only some servers read.
    Open {
        /// The lowest version that reads the text; 0 when none is given.
        version: u32,
        /// Written `/*M!`, which MySQL never reads.
        mariadb: bool,
    },
    /// The `*/` of an open version comment.
    Close,
}

/// A token: its kind and where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token {
    /// What it is.
    pub kind: Kind,
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

impl Token {
    /// The token's bytes in the text that it came from.
    pub fn of<'t>(&self, text: &'t [u8]) -> &'t [u8] {
        &text[self.start..self.end]
    }

    /// Whether it is this keyword, in any letter case.
    pub fn is(&self, text: &[u8], keyword: &str) -> bool {
        self.kind == Kind::Word && self.of(text).eq_ignore_ascii_case(keyword.as_bytes())
    }

    /// Whether it is one of these keywords.
    pub fn is_any(&self, text: &[u8], keywords: &[&str]) -> bool {
        keywords.iter().any(|keyword| self.is(text, keyword))
    }

    /// Whether it can be a name: a bare word, a backtick name, or a quoted one.
    pub fn is_name(&self) -> bool {
        matches!(self.kind, Kind::Word | Kind::Quoted(_))
    }

    /// The name or string that it stands for, without quotes and with doubled quotes halved. Backslash escapes are
    /// undone in `'` and `"`, as far as the mode knows them.
    pub fn value(&self, text: &[u8], mode: Mode) -> Vec<u8> {
        let Kind::Quoted(quote) = self.kind else { return self.of(text).to_vec() };
        let closed = self.end - self.start >= 2 && text[self.end - 1] == quote;
        let body = &text[self.start + 1..self.end - usize::from(closed)];
        let mut value = Vec::with_capacity(body.len());
        let mut bytes = body.iter().copied();
        while let Some(byte) = bytes.next() {
            if byte == b'\\' && mode.escapes_in(quote) {
                value.extend(bytes.next().map(unescape));
            } else {
                value.push(byte);
                if byte == quote {
                    bytes.next();
                }
            }
        }
        value
    }
}

fn unescape(byte: u8) -> u8 {
    match byte {
        b'0' => 0,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 8,
        b'Z' => 26,
        other => other,
    }
}

/// Reads tokens from a statement. Cheap to clone: a clone is how to look ahead.
#[derive(Debug, Clone)]
pub struct Cursor<'t> {
    text: &'t [u8],
    at: usize,
    mode: Mode,
    versioned: bool,
}

impl<'t> Cursor<'t> {
    /// Begins at the start of `text`.
    pub fn new(text: &'t [u8], mode: Mode) -> Self {
        Self { text, at: 0, mode, versioned: false }
    }

    /// The text that it reads.
    pub fn text(&self) -> &'t [u8] {
        self.text
    }

    /// How strings are written.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// One past the last token read.
    pub fn offset(&self) -> usize {
        self.at
    }

    /// The next token, left unread.
    pub fn peek(&self) -> Option<Token> {
        let mut copy = self.clone();
        copy.next()
    }

    /// Reads the next token if it is this keyword.
    pub fn accept(&mut self, keyword: &str) -> Option<Token> {
        self.accept_if(|token, text| token.is(text, keyword))
    }

    /// Reads the next token if it is this byte.
    pub fn accept_byte(&mut self, byte: u8) -> Option<Token> {
        self.accept_if(|token, _| token.kind == Kind::Punct(byte))
    }

    /// Reads the next token if it satisfies the condition.
    pub fn accept_if(&mut self, condition: impl Fn(&Token, &[u8]) -> bool) -> Option<Token> {
        let mut copy = self.clone();
        let token = copy.next()?;
        condition(&token, self.text).then(|| {
            *self = copy;
            token
        })
    }

    /// Reads on to the `)` that matches a `(` just read; returns where it ends. `None` if there is none.
    pub fn skip_parens(&mut self) -> Option<usize> {
        let mut depth = 1;
        for token in self.by_ref() {
            match token.kind {
                Kind::Punct(b'(') => depth += 1,
                Kind::Punct(b')') => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                return Some(token.end);
            }
        }
        None
    }

    fn rest(&self) -> &'t [u8] {
        &self.text[self.at..]
    }

    /// Skips whitespace and plain comments.
    fn skip_blank(&mut self) {
        loop {
            let rest = self.rest();
            let skip = match rest {
                [byte, ..] if byte.is_ascii_whitespace() || *byte == 0x0b => 1,
                [b'#', ..] => memchr::memchr(b'\n', rest).unwrap_or(rest.len()),
                [b'-', b'-', end, ..] if *end <= b' ' => memchr::memchr(b'\n', rest).unwrap_or(rest.len()),
                [b'-', b'-'] => 2,
                [b'/', b'*', b'!', ..] | [b'/', b'*', b'M', b'!', ..] => return,
                [b'/', b'*', body @ ..] => {
                    memchr::memmem::find(body, b"*/").map_or(rest.len(), |end| end + 4)
                }
                _ => return,
            };
            self.at += skip;
        }
    }
}

impl Iterator for Cursor<'_> {
    type Item = Token;

    fn next(&mut self) -> Option<Token> {
        self.skip_blank();
        let rest = self.rest();
        let start = self.at;
        let (kind, len) = match *rest.first()? {
            b'/' if rest.len() > 1 && rest[1] == b'*' => {
                // `skip_blank` leaves version comments only.
                self.versioned = true;
                let mariadb = rest[2] == b'M';
                let mark = if mariadb { 4 } else { 3 };
                // Five digits, or six: servers read at most six.
                let digits = rest[mark..].iter().take(6).take_while(|byte| byte.is_ascii_digit()).count();
                let digits = if digits < 5 { 0 } else { digits };
                let version = rest[mark..mark + digits]
                    .iter()
                    .fold(0, |number, digit| number * 10 + u32::from(digit - b'0'));
                (Kind::Open { version, mariadb }, mark + digits)
            }
            b'*' if self.versioned && rest.get(1) == Some(&b'/') => {
                self.versioned = false;
                (Kind::Close, 2)
            }
            quote @ (b'\'' | b'"' | b'`') => (Kind::Quoted(quote), quoted_len(rest, quote, self.mode)),
            byte if is_word(byte) => {
                (Kind::Word, rest.iter().position(|byte| !is_word(*byte)).unwrap_or(rest.len()))
            }
            byte => (Kind::Punct(byte), 1),
        };
        self.at += len;
        Some(Token { kind, start, end: self.at })
    }
}

/// Bytes of bare identifiers: those of ASCII that the server takes, and everything that is not ASCII.
pub fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || byte >= 0x80
}

/// Length of the string or quoted name at the start of `text`, with both quotes; up to the end if it is not closed.
fn quoted_len(text: &[u8], quote: u8, mode: Mode) -> usize {
    let escapes = mode.escapes_in(quote);
    let mut at = 1;
    while at < text.len() {
        let byte = text[at];
        if byte == quote {
            if text.get(at + 1) != Some(&quote) {
                return at + 1;
            }
            at += 2;
        } else if (byte == b'\\' && escapes)
            || (mode.leads(byte) && text.get(at + 1).is_some_and(|next| Mode::trails(*next)))
        {
            at += 2;
        } else {
            at += 1;
        }
    }
    text.len()
}
