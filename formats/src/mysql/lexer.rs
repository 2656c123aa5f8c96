//! Cutting a dump into pieces.

use super::scan::{Comment, Delimiter, Found, Inside, Scan, comment};
use super::session::{Mode, Session};
use super::token::is_word;

/// A held statement may have this many bytes; a longer one is handed out in pieces, marked as oversize. The largest
/// `CREATE` that servers take by default is 16 MiB (`max_allowed_packet`); row data, which can be larger, is never held.
pub const MAX_HELD: usize = 16 << 20;

/// The first piece of a data statement has at least this many bytes, unless the statement is shorter. Enough for
/// `INSERT INTO` with a qualified name of two times 64 four-byte characters, each doubled.
pub const HEAD: usize = 1280;

/// Longest stretch of comments in front of a statement's first word that is looked through, and the longest
/// `DELIMITER` line.
const MAX_LEAD: usize = 4096;

/// What a statement does, by its first word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Verb {
    /// `CREATE`: held.
    Create,
    /// `ALTER`: held.
    Alter,
    /// `DROP`: held.
    Drop,
    /// `SET`: held.
    Set,
    /// `USE`: held; ends at its line's end too, as in the stock client.
    Use,
    /// `INSERT`.
    Insert,
    /// `REPLACE`.
    Replace,
    /// Any other word.
    Other,
    /// No word at all: a delimiter by itself, or comments up to one.
    Empty,
}

impl Verb {
    fn of(word: &[u8]) -> Self {
        let known: [(&str, Self); 7] = [
            ("INSERT", Self::Insert),
            ("REPLACE", Self::Replace),
            ("CREATE", Self::Create),
            ("SET", Self::Set),
            ("ALTER", Self::Alter),
            ("DROP", Self::Drop),
            ("USE", Self::Use),
        ];
        known
            .iter()
            .find(|(name, _)| word.eq_ignore_ascii_case(name.as_bytes()))
            .map_or(Self::Other, |(_, verb)| *verb)
    }

    /// Whether statements of this kind come whole, in [`Step::Statement`].
    pub fn is_held(self) -> bool {
        matches!(self, Self::Create | Self::Alter | Self::Drop | Self::Set | Self::Use)
    }
}

/// The next piece of the dump. `len` counts from the first byte offered; bytes are used up in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Whitespace and plain comments between statements.
    Between {
        /// Bytes.
        len: usize,
    },
    /// A `DELIMITER` line, its end included.
    Delimiter {
        /// Bytes.
        len: usize,
    },
    /// MariaDB's `/*!999999\- enable the sandbox mode */`, which is a command to the client: it has no delimiter.
    Sandbox {
        /// Bytes, the line's end included.
        len: usize,
    },
    /// A whole statement that is worth reading.
    Statement {
        /// Its first word.
        verb: Verb,
        /// Bytes with the delimiter.
        len: usize,
        /// Bytes without the delimiter.
        body: usize,
    },
    /// A piece of a statement that passes through.
    Data {
        /// Its first word.
        verb: Verb,
        /// Bytes.
        len: usize,
        /// The statement begins here; if it goes on, this piece has [`HEAD`] bytes or more.
        first: bool,
        /// The statement ends here. Without it at the end of the dump, the dump is cut.
        last: bool,
    },
    /// More bytes are needed. Offer the same ones again with more behind them; if there are none, the dump has ended.
    More,
}

/// A resumable, sans-IO lexer for dumps of the MySQL family.
///
/// Call [`Lexer::next`] with the bytes that are not used up yet, again and again. It remembers how far it has looked,
/// so offering a growing statement many times costs no more than offering it once. It holds no bytes itself.
/// How the input is cut into pieces decides how [`Step::Between`] and [`Step::Data`] are cut, and nothing else.
#[derive(Debug)]
pub struct Lexer {
    delimiter: Delimiter,
    session: Session,
    mode: Mode,
    scan: Scan,
    phase: Phase,
    /// Bytes of the text on offer that the scan has seen.
    seen: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Between,
    /// In a comment between statements, as the scan's state says.
    Comment,
    /// At the first byte of a statement whose first word is not known yet.
    Lead,
    Held(Verb),
    /// At the start of a data statement.
    Head(Verb),
    Data(Verb),
}

impl Default for Lexer {
    fn default() -> Self {
        Self::new()
    }
}

impl Lexer {
    /// A lexer at the start of a dump.
    pub fn new() -> Self {
        Self {
            delimiter: Delimiter::SEMICOLON,
            session: Session::default(),
            mode: Mode::default(),
            scan: Scan::new(),
            phase: Phase::Between,
            seen: 0,
        }
    }

    /// How strings are written at this point.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// The delimiter at this point.
    pub fn delimiter(&self) -> &[u8] {
        self.delimiter.as_bytes()
    }

    /// Whether the bytes used up so far end between statements, outside comments that need an end.
    pub fn is_between(&self) -> bool {
        match self.phase {
            Phase::Between => true,
            Phase::Comment => self.scan.inside == Inside::Line,
            _ => false,
        }
    }

    /// Judges the bytes at the start of `text`, which are those that follow what is used up. `last` says that no
    /// others follow.
    pub fn next(&mut self, text: &[u8], last: bool) -> Step {
        loop {
            match self.phase {
                Phase::Between | Phase::Comment => {
                    let len = self.between(text, last);
                    if len > 0 {
                        return Step::Between { len };
                    }
                    if self.phase != Phase::Lead {
                        return Step::More;
                    }
                }
                Phase::Lead => {
                    if let Some(step) = self.lead(text, last) {
                        return step;
                    }
                }
                Phase::Held(verb) => return self.held(verb, text, last),
                Phase::Head(verb) | Phase::Data(verb) => return self.data(verb, text, last),
            }
        }
    }

    /// Uses up whitespace and comments; ends in `Lead` at the first byte of anything else.
    fn between(&mut self, text: &[u8], last: bool) -> usize {
        let mut at = 0;
        while at < text.len() {
            let rest = &text[at..];
            if self.phase == Phase::Comment {
                let (end, mark) = match self.scan.inside {
                    Inside::Block => (memchr::memmem::find(rest, b"*/"), 2),
                    _ => (memchr::memchr(b'\n', rest), 1),
                };
                let Some(end) = end else {
                    let star = self.scan.inside == Inside::Block && rest.ends_with(b"*") && !last;
                    return text.len() - usize::from(star);
                };
                at += end + mark;
                self.phase = Phase::Between;
                continue;
            }
            if rest[0].is_ascii_whitespace() || rest[0] == 0x0b {
                at += 1;
                continue;
            }
            let is_delimiter = rest[0] == self.delimiter.as_bytes()[0];
            if is_delimiter && !last && self.delimiter.as_bytes().starts_with(rest) {
                return at;
            }
            if !rest.starts_with(self.delimiter.as_bytes()) {
                let mark = match comment(rest, last) {
                    Comment::Unclear => return at,
                    Comment::Line => Some((Inside::Line, 1)),
                    Comment::Block => Some((Inside::Block, 2)),
                    Comment::No | Comment::Version(_) => None,
                };
                if let Some((inside, len)) = mark {
                    self.scan.inside = inside;
                    self.phase = Phase::Comment;
                    at += len;
                    continue;
                }
            }
            self.phase = Phase::Lead;
            self.scan.restart();
            self.seen = 0;
            return at;
        }
        at
    }

    /// At a statement's first byte: finds its first word. `None` when the phase has changed.
    fn lead(&mut self, text: &[u8], last: bool) -> Option<Step> {
        let limited = text.len() >= MAX_LEAD;
        let lead = &text[..text.len().min(MAX_LEAD)];
        let last = last || limited;
        if let Some(step) = self.client_line(lead, last) {
            return Some(step);
        }
        let (verb, at) = match self.first_word(lead, last) {
            Some(found) => found,
            None if last => (Verb::Other, 0),
            None => return Some(Step::More),
        };
        if verb == Verb::Use {
            // The line's end must be in sight, since it may end the statement.
            match memchr::memchr(b'\n', &lead[at..]) {
                Some(end) => return Some(self.use_line(text, at + end + 1)),
                None if last => return Some(self.use_line(text, lead.len())),
                None => return Some(Step::More),
            }
        }
        self.phase = if verb.is_held() { Phase::Held(verb) } else { Phase::Head(verb) };
        None
    }

    /// A `USE` statement in the line `text[..end]`; what follows its delimiter there is not part of it.
    fn use_line(&mut self, text: &[u8], end: usize) -> Step {
        let (len, body) = match self.scan.run(&text[..end], 0, true, &self.delimiter, self.mode) {
            Found::End(len) => (len, len - self.delimiter.as_bytes().len()),
            Found::Nothing(_) => (end, end),
        };
        self.phase = Phase::Between;
        Step::Statement { verb: Verb::Use, len, body }
    }

    /// `DELIMITER` lines and the sandbox mark, which the client takes for itself.
    fn client_line(&mut self, lead: &[u8], last: bool) -> Option<Step> {
        const WORD: &[u8] = b"DELIMITER";
        let word = lead.len().min(WORD.len());
        if lead[..word].eq_ignore_ascii_case(&WORD[..word]) {
            if lead.len() <= WORD.len() {
                return (!last).then_some(Step::More);
            }
            if lead[WORD.len()].is_ascii_whitespace() {
                let end = memchr::memchr(b'\n', lead).map(|end| end + 1);
                if end.is_none() && !last {
                    return Some(Step::More);
                }
                let len = end.unwrap_or(lead.len());
                let mut argument = lead[WORD.len()..len].trim_ascii();
                if let Some(quote) = argument.first().filter(|byte| b"'\"`".contains(byte)) {
                    let body = &argument[1..];
                    argument = &body[..memchr::memchr(*quote, body).unwrap_or(body.len())];
                } else {
                    let stop = argument.iter().position(u8::is_ascii_whitespace).unwrap_or(argument.len());
                    argument = &argument[..stop];
                }
                if let Some(delimiter) = Delimiter::new(argument) {
                    self.delimiter = delimiter;
                }
                self.phase = Phase::Between;
                return Some(Step::Delimiter { len });
            }
        }
        let Comment::Version(mark) = comment(lead, last) else { return None };
        let digits = lead[mark..].iter().take(6).take_while(|byte| byte.is_ascii_digit()).count();
        match &lead[lead.len().min(mark + digits)..] {
            [] | [b'\\'] if !last => Some(Step::More),
            [b'\\', b'-', ..] => {
                let Some(close) = memchr::memmem::find(lead, b"*/") else {
                    return (!last).then_some(Step::More);
                };
                let end = memchr::memchr(b'\n', &lead[close..]);
                if end.is_none() && !last {
                    return Some(Step::More);
                }
                // The rest of the line belongs to it if it is blank.
                let line = end.map_or(lead.len(), |end| close + end + 1);
                let blank = lead[close + 2..line].iter().all(u8::is_ascii_whitespace);
                self.phase = Phase::Between;
                Some(Step::Sandbox { len: if blank { line } else { close + 2 } })
            }
            _ => None,
        }
    }

    /// The first word behind blanks, comments and version marks, and where it ends. `None` while it may still grow.
    fn first_word(&self, lead: &[u8], last: bool) -> Option<(Verb, usize)> {
        let delimiter = self.delimiter.as_bytes();
        let mut at = 0;
        let mut versioned = false;
        loop {
            let rest = &lead[at..];
            let Some(&byte) = rest.first() else {
                return last.then_some((Verb::Empty, at));
            };
            if rest.starts_with(delimiter) {
                return Some((Verb::Empty, at));
            }
            if !last && delimiter.starts_with(rest) {
                return None;
            }
            if byte.is_ascii_whitespace() || byte == 0x0b {
                at += 1;
                continue;
            }
            if versioned && byte == b'*' {
                match rest.get(1) {
                    Some(b'/') => {
                        versioned = false;
                        at += 2;
                        continue;
                    }
                    None if !last => return None,
                    _ => return Some((Verb::Other, at)),
                }
            }
            if matches!(byte, b'#' | b'-' | b'/') {
                at += match comment(rest, last) {
                    Comment::No => return Some((Verb::Other, at)),
                    Comment::Unclear => return None,
                    Comment::Line => memchr::memchr(b'\n', rest)? + 1,
                    Comment::Block => memchr::memmem::find(&rest[2..], b"*/")? + 4,
                    Comment::Version(mark) => {
                        versioned = true;
                        let digits =
                            rest[mark..].iter().take(6).take_while(|byte| byte.is_ascii_digit()).count();
                        if mark + digits == rest.len() && !last {
                            return None;
                        }
                        mark + if digits < 5 { 0 } else { digits }
                    }
                };
                continue;
            }
            if !is_word(byte) {
                return Some((Verb::Other, at));
            }
            let end = rest.iter().position(|byte| !is_word(*byte));
            if end.is_none() && !last {
                return None;
            }
            let mut end = end.unwrap_or(rest.len());
            if is_word(delimiter[0]) {
                // A delimiter made of letters ends a word as well.
                end = memchr::memmem::find(&rest[..end], delimiter).unwrap_or(end);
            }
            return Some((Verb::of(&rest[..end]), at + end));
        }
    }

    fn held(&mut self, verb: Verb, text: &[u8], last: bool) -> Step {
        let (len, body) = match self.scan.run(text, self.seen, last, &self.delimiter, self.mode) {
            Found::End(len) => (len, len - self.delimiter.as_bytes().len()),
            Found::Nothing(seen) if seen > MAX_HELD => {
                self.phase = Phase::Data(verb);
                self.seen = 0;
                return Step::Data { verb, len: seen, first: true, last: false };
            }
            Found::Nothing(seen) if !last || text.is_empty() => {
                self.seen = seen;
                return Step::More;
            }
            Found::Nothing(_) => (text.len(), text.len()),
        };
        if len > MAX_HELD {
            self.phase = Phase::Between;
            return Step::Data { verb, len, first: true, last: true };
        }
        // The last statement of a dump may do without a delimiter, but not end in a string or comment.
        let cut = len == body && !matches!(self.scan.inside, Inside::Ground | Inside::Line);
        self.phase = if cut { Phase::Data(verb) } else { Phase::Between };
        self.seen = 0;
        if verb == Verb::Set {
            self.session.apply(&text[..body]);
            self.mode = self.session.mode();
        }
        Step::Statement { verb, len, body }
    }

    fn data(&mut self, verb: Verb, text: &[u8], last: bool) -> Step {
        let first = matches!(self.phase, Phase::Head(_));
        match self.scan.run(text, self.seen, last, &self.delimiter, self.mode) {
            Found::End(len) => {
                self.phase = Phase::Between;
                self.seen = 0;
                Step::Data { verb, len, first, last: true }
            }
            Found::Nothing(seen) if (first && seen < HEAD && !last) || seen == 0 => {
                self.seen = seen;
                Step::More
            }
            Found::Nothing(len) => {
                self.phase = Phase::Data(verb);
                self.seen = 0;
                Step::Data { verb, len, first, last: false }
            }
        }
    }
}
