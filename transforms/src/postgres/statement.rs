//! One whole statement in memory, as the rules look at it.

use formats::postgres::tokens::{Token, TokenKind, Tokens};

/// So many leading tokens are kept at hand; clauses further back are found by walking.
const HEAD: usize = 32;

/// Two names of 63 characters of four bytes, all of them doubled quotes. Rules copy a name for each thing that they note.
const NAME_LIMIT: usize = 1024;

/// A statement and its first tokens.
#[derive(Debug)]
pub(super) struct Statement<'a> {
    pub(super) sql: &'a [u8],
    standard_strings: bool,
    head: Vec<Token>,
}

impl<'a> Statement<'a> {
    pub(super) fn new(sql: &'a [u8], standard_strings: bool) -> Self {
        Self::first(sql, standard_strings, HEAD)
    }

    /// A statement of which only so many tokens will be looked at.
    pub(super) fn first(sql: &'a [u8], standard_strings: bool, tokens: usize) -> Self {
        let head = Tokens::new(sql, standard_strings).take(tokens).collect();
        Self { sql, standard_strings, head }
    }

    /// All tokens, from the first.
    pub(super) fn tokens(&self) -> Tokens<'a> {
        Tokens::new(self.sql, self.standard_strings)
    }

    /// Tokens from a place outside parentheses and strings on. Their positions count from there.
    pub(super) fn tokens_from(&self, start: usize) -> Tokens<'a> {
        Tokens::new(&self.sql[start..], self.standard_strings)
    }

    /// Tokens outside all parentheses.
    pub(super) fn top(&self) -> impl Iterator<Item = Token> + use<'a> {
        self.tokens().filter(|token| token.depth == 0)
    }

    pub(super) fn token(&self, index: usize) -> Option<Token> {
        self.head.get(index).copied()
    }

    /// True when the token at `index` is this keyword.
    pub(super) fn is(&self, index: usize, keyword: &str) -> bool {
        self.token(index).is_some_and(|token| token.is(self.sql, keyword))
    }

    pub(super) fn is_symbol(&self, index: usize, symbol: u8) -> bool {
        self.token(index).is_some_and(|token| token.kind == TokenKind::Symbol(symbol))
    }

    /// True when these keywords, separated by spaces, stand at `index`.
    pub(super) fn says(&self, index: usize, phrase: &str) -> bool {
        phrase.split(' ').enumerate().all(|(n, keyword)| self.is(index + n, keyword))
    }

    /// Behind the phrase when it stands at `index`, else `index`.
    pub(super) fn skip(&self, index: usize, phrase: &str) -> usize {
        if self.says(index, phrase) { index + phrase.split(' ').count() } else { index }
    }

    /// Behind `IF EXISTS` or `IF NOT EXISTS`.
    pub(super) fn skip_if(&self, index: usize) -> usize {
        self.skip(self.skip(index, "if not exists"), "if exists")
    }

    /// The name at `index`, qualified or not, as written, cut if no server would take it; and the index behind it.
    pub(super) fn object(&self, index: usize) -> (Vec<u8>, usize) {
        let Some(first) = self.token(index) else { return (Vec::new(), index) };
        let mut last = first;
        let mut next = index + 1;
        while self.is_symbol(next, b'.') {
            let Some(part) = self.token(next + 1) else { break };
            last = part;
            next += 2;
        }
        (self.sql[first.start..last.end.min(first.start + NAME_LIMIT)].to_vec(), next)
    }

    /// The plain name at `index` as the server knows it; empty when there is none.
    pub(super) fn name(&self, index: usize) -> Vec<u8> {
        self.token(index).filter(Token::is_name).map_or_else(Vec::new, |token| token.name(self.sql))
    }

    /// True when the statement ends at `index`, with or without a semicolon.
    pub(super) fn ends(&self, index: usize) -> bool {
        self.token(index).is_none_or(|token| token.kind == TokenKind::Symbol(b';'))
    }
}

/// A change to a statement: these bytes of it are replaced.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Edit {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) with: Vec<u8>,
}

/// The statement with its edits made, which must not overlap.
pub(super) fn apply(sql: &[u8], edits: &mut [Edit]) -> Vec<u8> {
    edits.sort_by_key(|edit| edit.start);
    let mut out = Vec::with_capacity(sql.len());
    let mut at = 0;
    for edit in edits.iter() {
        out.extend_from_slice(&sql[at.min(edit.start)..edit.start]);
        out.extend_from_slice(&edit.with);
        at = edit.end;
    }
    out.extend_from_slice(&sql[at..]);
    out
}
