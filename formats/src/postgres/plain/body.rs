//! Inside a statement: where its semicolon is.

use memchr::{memchr, memchr2};

use super::{
    CLASS, DIGIT, Kind, LexError, Lexer, Mode, Routine, SKIP, State, TAG_LIMIT, WORD, Word, block_comment,
    is_space, is_word,
};

/// A statement's piece: what it is, its length, whether it ends.
type Taken = (Kind, usize, bool);

impl Lexer {
    pub(super) fn statement(&mut self, input: &[u8], mut at: usize) -> Result<Taken, LexError> {
        while at < input.len() {
            match self.state {
                State::Body => {
                    let rest = &input[at..];
                    let Some(skip) = rest.iter().position(|&b| CLASS[b as usize] != SKIP) else {
                        at = input.len();
                        break;
                    };
                    at += skip;
                    let byte = input[at];
                    match byte {
                        b'\'' => self.quote(self.default_mode()),
                        b'"' => self.state = State::Name,
                        b'$' => {
                            self.tag.clear();
                            self.tag.push(b'$');
                            self.state = State::DollarTag;
                        }
                        b'-' => self.state = State::Dash,
                        b'/' => self.state = State::Slash,
                        b'(' => self.parens = self.parens.saturating_add(1),
                        b')' => self.parens = self.parens.saturating_sub(1),
                        b';' => {
                            if self.parens == 0 && self.atomic == 0 {
                                return Ok(self.end_statement(input, at + 1));
                            }
                        }
                        b'\\' => {
                            // psql takes a command anywhere outside quotes; what came before it is sent or kept.
                            self.begin_command();
                            return Ok((Kind::Statement, at, true));
                        }
                        byte if CLASS[byte as usize] == DIGIT => self.state = State::Number,
                        _ => {
                            // Among rows only a prefix of a string matters, and those are one letter.
                            let len = if self.rows { word_end(&input[at..]) } else { 0 };
                            if len > 1 && at + len < input.len() {
                                at += len;
                                continue;
                            }
                            self.word = Word::EMPTY;
                            self.state = State::Word;
                            continue;
                        }
                    }
                    at += 1;
                }
                State::Word => {
                    let len = word_end(&input[at..]);
                    self.word.extend(&input[at..at + len]);
                    at += len;
                    if let Some(&byte) = input.get(at) {
                        at += self.end_word(byte);
                    }
                }
                State::Number => {
                    let rest = &input[at..];
                    at += rest
                        .iter()
                        .position(|&b| !matches!(CLASS[b as usize], WORD | DIGIT))
                        .unwrap_or(rest.len());
                    if at < input.len() {
                        self.state = State::Body;
                    }
                }
                State::Quote => {
                    let rest = &input[at..];
                    let found = match self.mode {
                        Mode::Standard => memchr(b'\'', rest),
                        Mode::Escape => memchr2(b'\'', b'\\', rest),
                    };
                    let Some(found) = found else {
                        at = input.len();
                        break;
                    };
                    at += found + 1;
                    self.state = if rest[found] == b'\'' { State::QuoteEnd } else { State::QuoteBackslash };
                }
                State::Name => match memchr(b'"', &input[at..]) {
                    // A doubled quote closes the name and opens it again at once, which comes to the same.
                    Some(found) => {
                        at += found + 1;
                        self.state = State::Body;
                    }
                    None => at = input.len(),
                },
                State::Dollar { matched } => at = self.dollar(input, at, matched),
                State::BodyLine => match memchr(b'\n', &input[at..]) {
                    Some(found) => {
                        at += found + 1;
                        // A comment does not end the chance of a string to go on in the next line.
                        self.state = State::AfterString { newline: true };
                    }
                    None => at = input.len(),
                },
                State::BodyBlock { mut depth, mut prev } => {
                    at += block_comment(&input[at..], &mut depth, &mut prev);
                    self.state = if depth == 0 { State::Body } else { State::BodyBlock { depth, prev } };
                }
                _ => at += self.single(input[at], self.offset + at as u64)?,
            }
        }
        self.keep_head(&input[..at]);
        Ok((Kind::Statement, at, false))
    }

    /// States that look at one byte; answers how many bytes it took (0: the byte belongs to the next state).
    fn single(&mut self, byte: u8, offset: u64) -> Result<usize, LexError> {
        match self.state {
            State::QuoteBackslash => self.state = State::Quote,
            State::QuoteEnd if byte == b'\'' => self.state = State::Quote,
            State::QuoteEnd => {
                self.state = State::AfterString { newline: false };
                return Ok(0);
            }
            State::AfterString { newline } => match byte {
                b'\n' | b'\r' => self.state = State::AfterString { newline: true },
                // A string goes on after a line break, in the mode in which it began.
                b'\'' if newline => self.state = State::Quote,
                b'-' => self.state = State::Dash,
                byte if is_space(byte) => {}
                _ => {
                    self.forget_mode();
                    self.state = State::Body;
                    return Ok(0);
                }
            },
            State::Dash if byte == b'-' => self.state = State::BodyLine,
            State::Slash if byte == b'*' => {
                self.forget_mode();
                self.state = State::BodyBlock { depth: 1, prev: 0 };
            }
            State::UnicodeAmp => match byte {
                b'\'' => self.quote(Mode::Standard),
                b'"' => self.state = State::Name,
                _ => {
                    self.state = State::Body;
                    return Ok(0);
                }
            },
            State::DollarTag => match byte {
                b'$' => {
                    self.tag.push(b'$');
                    self.state = State::Dollar { matched: 0 };
                }
                byte if CLASS[byte as usize] == WORD
                    || (CLASS[byte as usize] == DIGIT && self.tag.len() > 1) =>
                {
                    if self.tag.len() >= TAG_LIMIT {
                        return Err(LexError { offset, what: "a dollar quote's tag is too long" });
                    }
                    self.tag.push(byte);
                }
                _ if self.tag.len() > 1 => {
                    // psql takes back all but the dollar sign: what follows it is a word, and may be a string's prefix.
                    self.word = Word::EMPTY;
                    self.word.extend(&self.tag[1..]);
                    self.state = State::Word;
                    return Ok(0);
                }
                _ => {
                    // A parameter such as $1, or a lone dollar sign.
                    self.state = State::Body;
                    return Ok(0);
                }
            },
            _ => {
                self.forget_mode();
                self.state = State::Body;
                return Ok(0);
            }
        }
        Ok(1)
    }

    fn quote(&mut self, mode: Mode) {
        self.mode = mode;
        self.state = State::Quote;
    }

    /// Makes a later string that follows only a comment begin in the session's mode.
    pub(super) fn forget_mode(&mut self) {
        self.mode = self.default_mode();
    }

    fn default_mode(&self) -> Mode {
        if self.standard_strings { Mode::Standard } else { Mode::Escape }
    }

    fn dollar(&mut self, input: &[u8], mut at: usize, mut matched: usize) -> usize {
        while at < input.len() {
            if matched == 0 {
                let Some(found) = memchr(b'$', &input[at..]) else {
                    at = input.len();
                    break;
                };
                at += found + 1;
                matched = 1;
            } else if input[at] == self.tag[matched] {
                at += 1;
                matched += 1;
            } else {
                // The tag holds a dollar sign only at its ends, so only this byte can begin another match.
                matched = 0;
                continue;
            }
            if matched == self.tag.len() {
                self.state = State::Body;
                return at;
            }
        }
        self.state = State::Dollar { matched };
        at
    }

    /// A word ended before `byte`; answers 1 when `byte` was taken with it.
    fn end_word(&mut self, byte: u8) -> usize {
        let word = self.word;
        let word = word.get();
        if byte == b'\'' && matches!(word, b"e" | b"b" | b"x") {
            self.count_word();
            self.quote(if word == b"e" { Mode::Escape } else { Mode::Standard });
            return 1;
        }
        if byte == b'&' && word == b"u" {
            self.count_word();
            self.state = State::UnicodeAmp;
            return 1;
        }
        match self.routine {
            Routine::Yes => self.routine_word(word),
            Routine::No => {}
            _ => {
                self.routine = match (self.routine, word) {
                    (Routine::Start, b"create") => Routine::Create,
                    (Routine::Create, b"or") => Routine::Or,
                    (Routine::Or, b"replace") => Routine::Replace,
                    (Routine::Create | Routine::Replace, b"function" | b"procedure") => Routine::Yes,
                    _ => Routine::No,
                }
            }
        }
        if self.parens == 0 && self.first.get() == b"copy" {
            self.copy_in |= self.saw_from && word == b"stdin";
            self.saw_from = word == b"from";
        }
        self.count_word();
        self.state = State::Body;
        0
    }

    fn count_word(&mut self) {
        if self.words == 0 {
            self.first = self.word;
            self.rows = matches!(self.first.get(), b"insert" | b"values");
        }
        self.words = self.words.saturating_add(1);
    }

    /// `BEGIN ATOMIC` opens a body in which CASE and END must pair before its own END closes it.
    fn routine_word(&mut self, word: &[u8]) {
        if self.parens > 0 {
            return;
        }
        if self.atomic == 0 {
            if self.saw_begin && word == b"atomic" {
                self.atomic = 1;
            }
            self.saw_begin = word == b"begin";
        } else if word == b"case" {
            self.atomic = self.atomic.saturating_add(1);
        } else if word == b"end" {
            self.atomic -= 1;
        }
    }

    fn end_statement(&mut self, input: &[u8], len: usize) -> Taken {
        self.keep_head(&input[..len]);
        self.state = if std::mem::take(&mut self.copy_in) { State::BeforeCopy } else { State::Ground };
        if matches!(self.first.get(), b"set" | b"reset" | b"discard") {
            self.note_setting();
        }
        (Kind::Statement, len, true)
    }

    /// Follows `SET standard_conforming_strings`, which decides how every later string is read.
    fn note_setting(&mut self) {
        let separator = |b: &u8| is_space(*b) || matches!(b, b'=' | b'\'' | b';' | b'"');
        let words: Vec<Vec<u8>> =
            self.head.split(separator).filter(|w| !w.is_empty()).map(<[u8]>::to_ascii_lowercase).collect();
        let mut words =
            words.iter().map(Vec::as_slice).filter(|w| !matches!(*w, b"session" | b"local" | b"to"));
        match (words.next(), words.next(), words.next()) {
            (Some(b"set"), Some(b"standard_conforming_strings"), Some(value)) => {
                self.standard_strings =
                    !matches!(value, b"off" | b"false" | b"no" | b"0" | b"of" | b"f" | b"n");
            }
            (Some(b"reset"), Some(b"standard_conforming_strings" | b"all"), None)
            | (Some(b"discard"), Some(b"all"), None) => self.standard_strings = true,
            _ => {}
        }
    }
}

fn word_end(input: &[u8]) -> usize {
    input.iter().position(|&b| !is_word(b)).unwrap_or(input.len())
}
