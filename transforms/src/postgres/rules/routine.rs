//! Functions and procedures: languages that need a superuser, and attributes that do.

use formats::postgres::tokens::{Token, TokenKind};

use super::Decision;
use crate::postgres::statement::Statement;

/// `CREATE [OR REPLACE] {FUNCTION | PROCEDURE}`, its kind standing at `at`.
pub(super) fn create(s: &Statement<'_>, at: usize, d: &mut Decision) {
    let (object, _) = s.object(at + 1);
    let mut before: [Option<Token>; 2] = [None, None];
    for token in s.top().skip(at + 2) {
        let previous = |keyword: &str| before[1].is_some_and(|t| t.is(s.sql, keyword));
        // The body begins: RETURN expression, or BEGIN ATOMIC.
        if token.is(s.sql, "return") || (token.is(s.sql, "atomic") && previous("begin")) {
            return;
        }
        if previous("language") {
            let language = token.name(s.sql);
            if language.eq_ignore_ascii_case(b"c") || language.eq_ignore_ascii_case(b"internal") {
                d.block("c-function", object.clone(), "a function in C needs a superuser: usually part of an old extension that was not packaged");
            }
        }
        attribute(s, token, &before, d);
        before = [before[1], Some(token)];
    }
}

/// `LEAKPROOF` may only be claimed by a superuser, and so may a planner support function; neither changes results.
fn attribute(s: &Statement<'_>, token: Token, before: &[Option<Token>; 2], d: &mut Decision) {
    let Some(previous) = before[1] else { return };
    let is_name = previous.kind == TokenKind::Symbol(b'.')
        || ["returns", "setof", "not", "set"].iter().any(|k| previous.is(s.sql, k));
    if token.is(s.sql, "leakproof") && !is_name {
        d.replace("leakproof-dropped", previous.end, token.end, b"");
    }
    if let Some(start) = before[0]
        && previous.is(s.sql, "support")
        && token.is_name()
        && !start.is(s.sql, "returns")
        && start.kind != TokenKind::Symbol(b'.')
    {
        let end = qualified_end(s, token);
        d.replace("support-function-dropped", start.end, end, b"");
    }
}

/// The end of the qualified name that begins with `token`.
fn qualified_end(s: &Statement<'_>, token: Token) -> usize {
    // From here, not from the statement's first token: there may be as many names as tokens.
    let mut tokens = s.tokens_from(token.end);
    let mut end = token.end;
    while tokens.next().is_some_and(|t| t.kind == TokenKind::Symbol(b'.')) {
        match tokens.next() {
            Some(part) => end = token.end + part.end,
            None => break,
        }
    }
    end
}

pub(super) fn alter_routine(s: &Statement<'_>, d: &mut Decision) {
    let mut last: [Option<Token>; 2] = [None, None];
    for token in s.top().filter(|t| t.kind != TokenKind::Symbol(b';')) {
        last = [last[1], Some(token)];
    }
    let not = last[0].is_some_and(|t| t.is(s.sql, "not"));
    if last[1].is_some_and(|t| t.is(s.sql, "leakproof")) && !not {
        d.drop("leakproof-dropped");
    }
}
