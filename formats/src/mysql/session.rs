//! The session variables that change how SQL text is read, followed through a dump's `SET` statements.
//!
//! mysqldump saves and restores them in user variables (`SET @saved_sql_mode = @@sql_mode`), around every trigger and
//! routine, so the user variables are followed too.

use std::collections::HashMap;

use super::token::{Cursor, Kind, Token};

/// How strings and identifiers are written at a point of the dump.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Mode {
    /// `NO_BACKSLASH_ESCAPES`: a backslash in a string is an ordinary character.
    pub no_backslash_escapes: bool,
    /// `ANSI_QUOTES`: `"` encloses an identifier, in which a backslash is an ordinary character.
    pub ansi_quotes: bool,
    /// Whether characters may end with the byte that is a backslash elsewhere.
    pub double_byte: DoubleByte,
}

/// Client character sets with two-byte characters whose second byte may look like a backslash.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DoubleByte {
    /// All others, UTF-8 among them.
    #[default]
    No,
    /// `gbk`, `gb18030`, `big5`.
    Gbk,
    /// `sjis`, `cp932`: half-width katakana are single bytes between the lead bytes.
    Sjis,
}

impl Mode {
    /// Whether a backslash escapes the next byte between two of these quotes.
    pub fn escapes_in(self, quote: u8) -> bool {
        quote != b'`' && !self.no_backslash_escapes && !(quote == b'"' && self.ansi_quotes)
    }

    /// Whether this byte begins a character of two bytes, if the next one agrees.
    pub fn leads(self, byte: u8) -> bool {
        match self.double_byte {
            DoubleByte::No => false,
            DoubleByte::Gbk => (0x81..=0xfe).contains(&byte),
            DoubleByte::Sjis => matches!(byte, 0x81..=0x9f | 0xe0..=0xfc),
        }
    }

    /// Whether this byte can be the second of a character of two bytes.
    pub fn trails(byte: u8) -> bool {
        byte >= 0x40
    }
}

/// One `target = expression` of a `SET` statement.
#[derive(Debug, Clone)]
pub struct Assignment {
    /// Where it begins: the scope word or the target.
    pub start: usize,
    /// Where its expression ends.
    pub end: usize,
    /// Variable in lower case, without scope and `@@`; a user variable keeps its `@`.
    pub name: Vec<u8>,
    /// `GLOBAL`, `PERSIST` and `PERSIST_ONLY`.
    pub global: bool,
    /// Where its expression begins.
    pub value: usize,
}

/// Assignments of one statement that are looked at. Dumps have two; sixteen megabytes of `a=1,` would make four million.
const MAX_ASSIGNMENTS: usize = 1024;

/// The assignments of a `SET` statement, the first thousand; empty for anything else, including `SET NAMES`,
/// `SET PASSWORD` and the like.
pub fn assignments(text: &[u8], mode: Mode) -> Vec<Assignment> {
    let mut cursor = Cursor::new(text, mode);
    let mut found = Vec::new();
    if next_plain(&mut cursor).is_none_or(|token| !token.is(text, "SET")) {
        return found;
    }
    while found.len() < MAX_ASSIGNMENTS
        && let Some(assignment) = assignment(&mut cursor)
    {
        found.push(assignment);
    }
    found
}

/// The next token that is not the bound of a version comment.
pub fn next_plain(cursor: &mut Cursor<'_>) -> Option<Token> {
    cursor.by_ref().find(|token| !matches!(token.kind, Kind::Open { .. } | Kind::Close))
}

fn assignment(cursor: &mut Cursor<'_>) -> Option<Assignment> {
    let text = cursor.text();
    let first = next_plain(cursor)?;
    let start = first.start;
    let mut token = first;
    let mut global = false;
    let mut name = Vec::new();
    // `SET GLOBAL x`, but also `SET global = 1` for a variable of that name, which does not exist.
    let is_scope =
        |token: &Token| token.is_any(text, &["GLOBAL", "SESSION", "LOCAL", "PERSIST", "PERSIST_ONLY"]);
    let is_global = |token: &Token| token.is_any(text, &["GLOBAL", "PERSIST", "PERSIST_ONLY"]);
    if is_scope(&token) {
        global = is_global(&token);
        token = next_plain(cursor)?;
    }
    if token.kind == Kind::Punct(b'@') {
        if cursor.accept_byte(b'@').is_some() {
            token = next_plain(cursor)?;
            if is_scope(&token) && cursor.accept_byte(b'.').is_some() {
                global = is_global(&token);
                token = next_plain(cursor)?;
            }
        } else {
            name.push(b'@');
            token = next_plain(cursor)?;
        }
    }
    if !token.is_name() {
        return None;
    }
    name.extend(token.value(text, cursor.mode()).to_ascii_lowercase());
    cursor.accept_byte(b':');
    cursor.accept_byte(b'=')?;
    let value = cursor.offset();
    let mut depth = 0;
    let mut end = value;
    while let Some(token) = cursor.peek() {
        match token.kind {
            Kind::Punct(b'(') => depth += 1,
            Kind::Punct(b')') => depth -= 1,
            Kind::Punct(b',') if depth == 0 => {
                cursor.next();
                return Some(Assignment { start, end, name, global, value });
            }
            _ => {}
        }
        if token.kind != Kind::Close {
            end = token.end;
        }
        cursor.next();
    }
    Some(Assignment { start, end, name, global, value })
}

/// Follows the variables. What it cannot evaluate it takes as unchanged.
#[derive(Debug, Default)]
pub(super) struct Session {
    sql_mode: Vec<u8>,
    charset: Vec<u8>,
    saved: HashMap<Vec<u8>, Vec<u8>>,
    /// What the two above come to.
    mode: Mode,
}

/// Dumps use about a dozen user variables; a text that uses thousands is not a reason to grow.
const MAX_SAVED: usize = 256;

/// Servers take names of 64 characters.
const MAX_NAME: usize = 257;

/// Longest value that is followed. All modes that there are make 700 bytes; a value that a text doubles again and again
/// (`SET @a = CONCAT(@a, @a)`) would otherwise soon fill the memory.
const MAX_VALUE: usize = 2048;

/// Deepest expression that is followed, since each level is a call. Dumps write two.
const MAX_DEPTH: u32 = 16;

impl Session {
    pub(super) fn mode(&self) -> Mode {
        self.mode
    }

    fn settle(&mut self) {
        let has = |names: &[&str]| {
            self.sql_mode
                .split(|byte| *byte == b',')
                .any(|mode| names.iter().any(|name| mode.trim_ascii().eq_ignore_ascii_case(name.as_bytes())))
        };
        self.mode = Mode {
            no_backslash_escapes: has(&["NO_BACKSLASH_ESCAPES"]),
            ansi_quotes: has(&["ANSI_QUOTES", "ANSI", "ORACLE", "MSSQL", "DB2", "MAXDB", "POSTGRESQL"]),
            double_byte: match self.charset.as_slice() {
                b"gbk" | b"gb18030" | b"big5" => DoubleByte::Gbk,
                b"sjis" | b"cp932" => DoubleByte::Sjis,
                _ => DoubleByte::No,
            },
        };
    }

    /// Takes in a `SET` statement.
    pub(super) fn apply(&mut self, text: &[u8]) {
        let mode = self.mode();
        let mut cursor = Cursor::new(text, mode);
        next_plain(&mut cursor);
        if let Some(token) = next_plain(&mut cursor) {
            let charset = token.is_any(text, &["CHARSET"])
                || (token.is(text, "CHARACTER") && cursor.accept("SET").is_some());
            if (token.is(text, "NAMES") || charset) && cursor.peek().is_some_and(|token| token.is_name()) {
                if let Some(token) = cursor.next() {
                    self.charset = token.value(text, mode).to_ascii_lowercase();
                    self.settle();
                }
                return;
            }
        }
        // `SET @OLD_SQL_MODE=@@SQL_MODE, SQL_MODE='...'`: in order, each seeing those before it.
        for assignment in assignments(text, mode) {
            if assignment.global {
                continue;
            }
            let expression = &text[assignment.value..assignment.end];
            let Some(value) = self.evaluate(&mut Cursor::new(expression, mode), 0) else { continue };
            match assignment.name.as_slice() {
                b"sql_mode" if self.sql_mode != value => {
                    self.sql_mode = value;
                    self.settle();
                }
                b"character_set_client" => {
                    self.charset = value.to_ascii_lowercase();
                    self.settle();
                }
                [b'@', ..]
                    if assignment.name.len() <= MAX_NAME
                        && (self.saved.len() < MAX_SAVED || self.saved.contains_key(&assignment.name)) =>
                {
                    self.saved.insert(assignment.name, value);
                }
                _ => {}
            }
        }
    }

    /// A literal, a variable, or CONCAT and REPLACE of those.
    fn evaluate(&self, cursor: &mut Cursor<'_>, depth: u32) -> Option<Vec<u8>> {
        let (text, mode) = (cursor.text(), cursor.mode());
        let token = next_plain(cursor)?;
        let value = match token.kind {
            _ if depth > MAX_DEPTH => None,
            Kind::Quoted(b'\'' | b'"') => Some(token.value(text, mode)),
            Kind::Punct(b'(') => {
                cursor.accept("SELECT");
                self.evaluate(cursor, depth + 1)
            }
            Kind::Punct(b'@') if cursor.accept_byte(b'@').is_some() => {
                let mut name = next_plain(cursor)?;
                if cursor.accept_byte(b'.').is_some() {
                    name = next_plain(cursor)?;
                }
                if name.is(text, "SQL_MODE") {
                    Some(self.sql_mode.clone())
                } else if name.is(text, "CHARACTER_SET_CLIENT") {
                    Some(self.charset.clone())
                } else {
                    None
                }
            }
            Kind::Punct(b'@') => {
                let mut name = vec![b'@'];
                name.extend(next_plain(cursor)?.value(text, mode).to_ascii_lowercase());
                self.saved.get(&name).cloned()
            }
            Kind::Word if token.is_any(text, &["CONCAT", "CONCAT_WS", "REPLACE"]) => {
                cursor.accept_byte(b'(')?;
                let mut arguments = vec![self.evaluate(cursor, depth + 1)?];
                let mut len = arguments[0].len();
                while cursor.accept_byte(b',').is_some() {
                    let argument = self.evaluate(cursor, depth + 1)?;
                    // With what will stand between them, or nothing.
                    len += argument.len() + arguments[0].len().max(1);
                    if len > 4 * MAX_VALUE {
                        return None;
                    }
                    arguments.push(argument);
                }
                if token.is(text, "REPLACE") {
                    let [subject, from, to] = arguments.as_slice() else { return None };
                    replace(subject, from, to)
                } else if token.is(text, "CONCAT_WS") {
                    Some(arguments[1..].join(&arguments[0][..]))
                } else {
                    Some(arguments.concat())
                }
            }
            // `DEFAULT` is a server's business, a number names modes by bits that differ between servers, and a bare
            // word may be a mode or a character set.
            Kind::Word if !token.is(text, "DEFAULT") && !token.is(text, "NULL") => {
                Some(token.of(text).to_vec())
            }
            _ => None,
        };
        value.filter(|value| value.len() <= MAX_VALUE)
    }
}

/// `None` when it grows too long.
fn replace(subject: &[u8], from: &[u8], to: &[u8]) -> Option<Vec<u8>> {
    if from.is_empty() {
        return Some(subject.to_vec());
    }
    let mut result = Vec::with_capacity(subject.len());
    let mut rest = subject;
    while let Some(at) = memchr::memmem::find(rest, from) {
        result.extend_from_slice(&rest[..at]);
        result.extend_from_slice(to);
        rest = &rest[at + from.len()..];
        if result.len() > MAX_VALUE {
            return None;
        }
    }
    result.extend_from_slice(rest);
    Some(result)
}
