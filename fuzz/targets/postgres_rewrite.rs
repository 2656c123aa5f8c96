//! Rewriting anything as a plain dump of PostgreSQL. The first byte chooses the options, the others are the stream.
#![no_main]

use bytes::Bytes;
use checks::{Outcome, slack};
use formats::postgres::plain::{Kind, Lexer};
use formats::postgres::tokens::{TokenKind, Tokens};
use libfuzzer_sys::fuzz_target;
use pipeline::Transform;
use transforms::postgres::{PostgresRewrite, Profile, RewriteOptions};

/// The choices are the low bits, so that `@` to DEL are all of them and a seed is a text.
fn options(choice: u8) -> RewriteOptions {
    RewriteOptions {
        profile: match choice & 3 {
            0 => None,
            1 | 2 => Some(Profile::RdsPostgres),
            _ => Some(Profile::AuroraPostgres),
        },
        target_major: [None, Some(9), Some(15), Some(18)][usize::from(choice >> 2 & 3)],
        keep_acl: choice & 16 != 0,
        redact_secrets: false,
        require_trailer: choice & 32 != 0,
    }
}

/// Rows: what stands behind `COPY`, and statements that carry rows. `None` if it is no dump. On the way, checks that lexer
/// and tokens, which read the same grammar in two ways, agree on where a statement ends.
fn data(text: &[u8]) -> Option<Vec<u8>> {
    let mut lexer = Lexer::new();
    let (mut at, mut start, mut data) = (0, 0, Vec::new());
    let mut standard_strings = true;
    loop {
        if start == at {
            standard_strings = lexer.standard_strings();
        }
        let Some(piece) = lexer.next(&text[at..]).ok()? else { return Some(data) };
        at += piece.len;
        if !piece.end {
            continue;
        }
        if piece.kind == Kind::Statement && !lexer.in_command() {
            let sql = &text[start..at];
            let mut ends = Tokens::new(sql, standard_strings)
                .filter(|token| token.kind == TokenKind::Symbol(b';') && token.depth == 0);
            let atomic = sql.windows(6).any(|word| word.eq_ignore_ascii_case(b"atomic"));
            let end = if atomic { ends.last() } else { ends.next() };
            assert!(end.is_some_and(|end| end.end == sql.len()), "another end of {}", sql.escape_ascii());
        }
        let rows = match piece.kind {
            Kind::CopyData => true,
            Kind::Statement => {
                lexer.first_word().is_some_and(|word| [&b"insert"[..], b"values"].contains(&word))
            }
            _ => false,
        };
        if rows {
            data.push(0);
            data.extend_from_slice(&text[start..at]);
        }
        start = at;
    }
}

fuzz_target!(|input: &[u8]| {
    let Some((&choice, text)) = input.split_first() else { return };
    let options = options(choice);
    let make = || -> Box<dyn Transform> { Box::new(PostgresRewrite::new(options.clone())) };
    let Outcome::Done(out, report) = checks::transform(make, text, slack(text)) else { return };
    if options.require_trailer {
        checks::prefix(make, text);
    }
    if options.profile.is_none() {
        assert!(out == text, "nothing was to be changed");
    }
    if report.changes.is_empty() {
        assert!(out == text, "changed, and not told");
    }
    assert!(data(&out) == data(text), "data changed: {}", Bytes::from(out).escape_ascii());
    checks::idempotent(make, &out);
});
