//! A resumable lexer for plain SQL dumps and psql scripts.
//!
//! A dump is mostly row data, and only a lexer knows where the data is: `ALTER TABLE t OWNER TO x;` is a statement
//! in one place and the content of a column in another. This one follows the rules of psql's own scanner (strings in
//! three modes, dollar quotes, nested comments, parentheses and `BEGIN ATOMIC` bodies that hide semicolons, COPY
//! data up to `\.`), keeps a few dozen bytes of state, and never copies what it passes: it answers with lengths.
//!
//! Source of the rules: PostgreSQL's `src/fe_utils/psqlscan.l` and `src/bin/psql/copy.c`, versions 9.1 to 18.

use std::fmt;
use std::sync::LazyLock;

use memchr::memmem::Finder;
use memchr::{memchr, memchr2};

mod body;
#[cfg(test)]
mod tests;

/// A dollar quote's tag longer than this is refused: nobody writes one, and it would have to be remembered.
const TAG_LIMIT: usize = 4096;
/// How much of a statement or command the lexer keeps to understand `SET` and `\copy`.
const HEAD_LIMIT: usize = 256;
/// Words longer than this are not keywords.
const WORD_LIMIT: usize = 32;

/// What a [`Piece`] belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// White space between statements.
    Space,
    /// A comment between statements; a line comment includes its newline.
    Comment,
    /// A statement, from its first token through its semicolon. Comments inside it are part of it.
    Statement,
    /// Rows after `COPY ... FROM stdin;` through the line `\.`, which is included.
    CopyData,
    /// A psql command such as `\connect`, through its newline.
    Command,
}

/// The next stretch of input that belongs to one element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// What it belongs to.
    pub kind: Kind,
    /// How many bytes of the input were consumed; zero only together with `end`.
    pub len: usize,
    /// True when the element ends here. White space may be reported in any number of pieces, all of them ended.
    pub end: bool,
}

/// Input that no psql would take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LexError {
    /// Offset of the offending byte.
    pub offset: u64,
    /// What is wrong there.
    pub what: &'static str,
}

impl fmt::Display for LexError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.what, self.offset)
    }
}

impl std::error::Error for LexError {}

/// Where the input stands when it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Between statements.
    Ground,
    /// In a statement that lacks only its semicolon; psql would run it.
    OpenStatement,
    /// Inside something that must be closed: the name says what.
    Inside(&'static str),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// A quote ends the string unless doubled.
    Standard,
    /// A backslash hides the next byte.
    Escape,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Ground,
    GroundDash,
    GroundSlash,
    GroundLine,
    Block {
        depth: u32,
        prev: u8,
    },
    Body,
    AfterString {
        newline: bool,
    },
    Dash,
    Slash,
    BodyLine,
    BodyBlock {
        depth: u32,
        prev: u8,
    },
    Word,
    Number,
    UnicodeAmp,
    Quote,
    QuoteBackslash,
    QuoteEnd,
    Name,
    DollarTag,
    Dollar {
        matched: usize,
    },
    BeforeCopy,
    BeforeCopyDash,
    BeforeCopyLine,
    /// At the start of a row, with this many bytes of `\.` or `\.\r` seen.
    CopyStart {
        seen: u8,
    },
    CopyRow,
    Command,
}

/// The progress of `CREATE [OR REPLACE] {FUNCTION | PROCEDURE}`, whose bodies may hold semicolons.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Routine {
    Start,
    Create,
    Or,
    Replace,
    Yes,
    No,
}

/// The lexer. Feed it any cutting of a stream through [`Lexer::next`].
#[derive(Debug)]
pub struct Lexer {
    state: State,
    mode: Mode,
    offset: u64,
    start: u64,
    standard_strings: bool,
    parens: u32,
    atomic: u32,
    saw_begin: bool,
    routine: Routine,
    words: u32,
    first: Word,
    word: Word,
    /// In a statement that carries rows, where no keyword matters any more.
    rows: bool,
    saw_from: bool,
    copy_in: bool,
    copy_end: usize,
    tag: Vec<u8>,
    head: Vec<u8>,
}

/// A word in lower case, as far as it may be a keyword.
#[derive(Debug, Clone, Copy)]
struct Word {
    bytes: [u8; WORD_LIMIT],
    len: usize,
}

impl Word {
    const EMPTY: Self = Self { bytes: [0; WORD_LIMIT], len: 0 };

    fn extend(&mut self, more: &[u8]) {
        for &byte in more {
            if self.len < WORD_LIMIT {
                self.bytes[self.len] = byte.to_ascii_lowercase();
            }
            self.len = (self.len + 1).min(WORD_LIMIT + 1);
        }
    }

    fn get(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or(b"")
    }
}

static COPY_END: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\n\\."));

const SKIP: u8 = 0;
const WORD: u8 = 1;
const DIGIT: u8 = 2;
const STOP: u8 = 3;

/// In the body of a statement: bytes that mean nothing, that begin a word or a number, or that need a look.
static CLASS: [u8; 256] = {
    let mut class = [SKIP; 256];
    let mut byte = 0;
    while byte < 256 {
        #[allow(clippy::cast_possible_truncation, reason = "the loop ends at 255")]
        let b = byte as u8;
        class[byte] = match b {
            b'A'..=b'Z' | b'a'..=b'z' | b'_' | 0x80.. => WORD,
            b'0'..=b'9' => DIGIT,
            b'\'' | b'"' | b'$' | b'-' | b'/' | b';' | b'(' | b')' | b'\\' => STOP,
            _ => SKIP,
        };
        byte += 1;
    }
    class
};

/// White space as the scanner knows it.
pub fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

/// A byte that may stand in an unquoted name after its first byte.
pub fn is_word(byte: u8) -> bool {
    matches!(CLASS[byte as usize], WORD | DIGIT) || byte == b'$'
}

impl Default for Lexer {
    fn default() -> Self {
        Self::new()
    }
}

impl Lexer {
    /// A lexer at the start of a stream, with `standard_conforming_strings` on as servers since 9.1 have it.
    pub fn new() -> Self {
        Self {
            state: State::Ground,
            mode: Mode::Standard,
            offset: 0,
            start: 0,
            standard_strings: true,
            parens: 0,
            atomic: 0,
            saw_begin: false,
            routine: Routine::Start,
            words: 0,
            first: Word::EMPTY,
            word: Word::EMPTY,
            rows: false,
            saw_from: false,
            copy_in: false,
            copy_end: 0,
            tag: Vec::new(),
            head: Vec::new(),
        }
    }

    /// Bytes consumed so far.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Offset at which the current (or just ended) element began. Of no use for white space.
    pub fn start(&self) -> u64 {
        self.start
    }

    /// Whether a backslash in a plain string is an ordinary byte, as the stream's `SET` statements have it so far.
    pub fn standard_strings(&self) -> bool {
        self.standard_strings
    }

    /// The first word of the current (or just ended) statement in lower case; `None` while it may still grow.
    /// Empty when the statement does not begin with a word.
    pub fn first_word(&self) -> Option<&[u8]> {
        if self.words == 0 && self.state == State::Word { None } else { Some(self.first.get()) }
    }

    /// True when a psql command follows or goes on: a statement that just ended was broken off by it.
    pub fn in_command(&self) -> bool {
        self.state == State::Command
    }

    /// Length of the terminator (`\.` and its line end) in the COPY data that just ended.
    pub fn copy_terminator(&self) -> usize {
        self.copy_end
    }

    /// Where the stream stands, for whoever must decide whether it may end here.
    pub fn standing(&self) -> Standing {
        match self.state {
            State::Ground | State::GroundLine | State::Command => Standing::Ground,
            State::GroundDash | State::GroundSlash | State::Block { .. } | State::BodyBlock { .. } => {
                Standing::Inside("a comment")
            }
            State::Quote | State::QuoteBackslash => Standing::Inside("a string"),
            State::Name => Standing::Inside("a quoted name"),
            State::Dollar { .. } => Standing::Inside("a dollar-quoted string"),
            State::BeforeCopy
            | State::BeforeCopyDash
            | State::BeforeCopyLine
            | State::CopyStart { .. }
            | State::CopyRow => Standing::Inside("the rows of a COPY"),
            _ if self.parens > 0 => Standing::Inside("parentheses"),
            _ if self.atomic > 0 => Standing::Inside("the body of a routine"),
            _ => Standing::OpenStatement,
        }
    }

    /// Consumes the next piece of `input`; `None` when `input` is empty and nothing ends.
    ///
    /// Call it with what is left after each piece. After an error the lexer must not be used again.
    #[allow(clippy::should_implement_trait, reason = "each call takes the rest of the input")]
    pub fn next(&mut self, input: &[u8]) -> Result<Option<Piece>, LexError> {
        if input.is_empty() {
            return Ok(None);
        }
        let (kind, len, end) = match self.state {
            State::Ground => match input.iter().position(|&b| !is_space(b)) {
                Some(0) => self.begin(input)?,
                space => (Kind::Space, space.unwrap_or(input.len()), true),
            },
            State::GroundDash | State::GroundSlash | State::GroundLine | State::Block { .. } => {
                self.comment(input, 0)?
            }
            State::BeforeCopy | State::BeforeCopyDash | State::BeforeCopyLine => self.before_copy(input)?,
            State::CopyStart { .. } | State::CopyRow => self.copy(input),
            State::Command => self.command(input),
            _ => self.statement(input, 0)?,
        };
        self.offset += len as u64;
        Ok(Some(Piece { kind, len, end }))
    }

    /// The first byte of something that is not white space.
    fn begin(&mut self, input: &[u8]) -> Result<(Kind, usize, bool), LexError> {
        self.start = self.offset;
        match input[0] {
            b'-' => {
                self.state = State::GroundDash;
                self.comment(input, 1)
            }
            b'/' => {
                self.state = State::GroundSlash;
                self.comment(input, 1)
            }
            b'\\' => {
                self.begin_command();
                Ok(self.command(input))
            }
            _ => {
                self.state = State::Body;
                self.parens = 0;
                self.atomic = 0;
                self.saw_begin = false;
                self.routine = Routine::Start;
                self.words = 0;
                self.first = Word::EMPTY;
                self.rows = false;
                self.saw_from = false;
                self.copy_in = false;
                self.head.clear();
                self.forget_mode();
                self.statement(input, 0)
            }
        }
    }

    fn comment(&mut self, input: &[u8], mut at: usize) -> Result<(Kind, usize, bool), LexError> {
        while at < input.len() {
            match self.state {
                State::GroundDash if input[at] == b'-' => {
                    self.state = State::GroundLine;
                    at += 1;
                }
                State::GroundSlash if input[at] == b'*' => {
                    self.state = State::Block { depth: 1, prev: 0 };
                    at += 1;
                }
                State::GroundLine => match memchr(b'\n', &input[at..]) {
                    Some(newline) => {
                        self.state = State::Ground;
                        return Ok((Kind::Comment, at + newline + 1, true));
                    }
                    None => at = input.len(),
                },
                State::Block { mut depth, mut prev } => {
                    at += block_comment(&input[at..], &mut depth, &mut prev);
                    if depth == 0 {
                        self.state = State::Ground;
                        return Ok((Kind::Comment, at, true));
                    }
                    self.state = State::Block { depth, prev };
                }
                _ => {
                    return Err(LexError {
                        offset: self.offset + at as u64,
                        what: "a statement cannot begin with an operator",
                    });
                }
            }
        }
        Ok((Kind::Comment, at, false))
    }

    /// The rest of the line after `COPY ... FROM stdin;`. psql runs what is there only after the rows, which would
    /// hide a command from every reader of the file, so nothing but a comment is taken.
    fn before_copy(&mut self, input: &[u8]) -> Result<(Kind, usize, bool), LexError> {
        for (at, &byte) in input.iter().enumerate() {
            self.state = match (self.state, byte) {
                (_, b'\n') => {
                    self.state = State::CopyStart { seen: 0 };
                    return Ok((Kind::Space, at + 1, true));
                }
                (State::BeforeCopyLine, _) | (State::BeforeCopyDash, b'-') => State::BeforeCopyLine,
                (State::BeforeCopy, b'-') => State::BeforeCopyDash,
                (State::BeforeCopy, byte) if is_space(byte) => State::BeforeCopy,
                _ => {
                    return Err(LexError {
                        offset: self.offset + at as u64,
                        what: "text between COPY ... FROM stdin; and its rows",
                    });
                }
            };
        }
        Ok((Kind::Space, input.len(), true))
    }

    fn copy(&mut self, input: &[u8]) -> (Kind, usize, bool) {
        let mut at = 0;
        while at < input.len() {
            if let State::CopyStart { seen } = self.state {
                self.state = match (seen, input[at]) {
                    (2 | 3, b'\n') => {
                        self.state = State::Ground;
                        self.copy_end = usize::from(seen) + 1;
                        return (Kind::CopyData, at + 1, true);
                    }
                    (0 | 1, b'\n') => State::CopyStart { seen: 0 },
                    (0, b'\\') | (1, b'.') | (2, b'\r') => State::CopyStart { seen: seen + 1 },
                    _ => State::CopyRow,
                };
                at += 1;
                continue;
            }
            let rest = &input[at..];
            if let Some(found) = COPY_END.find(rest) {
                self.state = State::CopyStart { seen: 2 };
                at += found + 3;
            } else {
                self.state = match rest {
                    [.., b'\n'] => State::CopyStart { seen: 0 },
                    [.., b'\n', b'\\'] => State::CopyStart { seen: 1 },
                    _ => State::CopyRow,
                };
                at = input.len();
            }
        }
        (Kind::CopyData, at, false)
    }

    fn begin_command(&mut self) {
        self.state = State::Command;
        self.head.clear();
    }

    fn command(&mut self, input: &[u8]) -> (Kind, usize, bool) {
        if self.head.is_empty() {
            self.start = self.offset;
        }
        let newline = memchr(b'\n', input);
        let len = newline.map_or(input.len(), |at| at + 1);
        self.keep_head(&input[..len]);
        if newline.is_some() {
            let mut words = self.head.split(|b| is_space(*b)).filter(|w| !w.is_empty());
            self.state = State::Ground;
            match words.next() {
                Some(b"\\copy") => {
                    let words: Vec<_> = words.collect();
                    let from_stdin = |pair: &[&[u8]]| {
                        pair[0].eq_ignore_ascii_case(b"from") && pair[1].eq_ignore_ascii_case(b"stdin")
                    };
                    if words.windows(2).any(from_stdin) {
                        self.state = State::CopyStart { seen: 0 };
                    }
                }
                // Sends the statement before it.
                Some(b"\\g") if self.copy_in => self.state = State::CopyStart { seen: 0 },
                // A new session has the server's default again.
                Some(b"\\c" | b"\\connect") => self.standard_strings = true,
                _ => {}
            }
            self.copy_in = false;
        }
        (Kind::Command, len, newline.is_some())
    }

    fn keep_head(&mut self, bytes: &[u8]) {
        let room = HEAD_LIMIT.saturating_sub(self.head.len()).min(bytes.len());
        self.head.extend_from_slice(&bytes[..room]);
    }
}

/// Walks a block comment; answers how many bytes it took. At depth 0 it is closed.
fn block_comment(input: &[u8], depth: &mut u32, prev: &mut u8) -> usize {
    let mut at = 0;
    while at < input.len() {
        let byte = input[at];
        at += 1;
        match (*prev, byte) {
            (b'*', b'/') => {
                *depth -= 1;
                *prev = 0;
                if *depth == 0 {
                    return at;
                }
            }
            (b'/', b'*') => {
                *depth = depth.saturating_add(1);
                *prev = 0;
            }
            (_, b'*' | b'/') => *prev = byte,
            _ => {
                *prev = 0;
                match memchr2(b'*', b'/', &input[at..]) {
                    Some(skip) => at += skip,
                    None => return input.len(),
                }
            }
        }
    }
    at
}
