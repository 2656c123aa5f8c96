//! Rewriting anything as a dump of the MySQL family. The first byte chooses the options, the others are the stream.
#![no_main]

use bytes::Bytes;
use checks::{Outcome, slack};
use formats::mysql::token::{Cursor, Kind};
use formats::mysql::{Lexer, Step, Verb};
use libfuzzer_sys::fuzz_target;
use pipeline::Transform;
use transforms::mysql::{DefinerPolicy, MysqlRewrite, Options, Profile};

/// The choices are the low bits, so that `@` to `_` are all of them and a seed is a text.
fn options(choice: u8) -> Options {
    Options {
        definer: match choice & 3 {
            0 => DefinerPolicy::Keep,
            1 => DefinerPolicy::Strip,
            2 => DefinerPolicy::Invoker,
            _ => DefinerPolicy::Set { user: "ad`min".to_owned(), host: "%".to_owned() },
        },
        profile: match choice >> 2 & 3 {
            0 | 3 => None,
            1 => Some(Profile::RdsMysql),
            _ => Some(Profile::AuroraMysql),
        },
        require_trailer: choice & 16 != 0,
    }
}

/// What the dump's statements other than those that are held for rewriting consist of. On the way, checks that lexer and
/// cursor, which read the same grammar in two ways, agree on where a held statement ends.
fn data(text: &[u8]) -> Vec<u8> {
    let mut lexer = Lexer::new();
    let (mut at, mut data) = (0, Vec::new());
    loop {
        let mode = lexer.mode();
        at += match lexer.next(&text[at..], true) {
            Step::More => return data,
            Step::Statement { verb, len, body } if verb != Verb::Use && lexer.delimiter() == b";" => {
                let body = &text[at..at + body];
                let inside = Cursor::new(body, mode).any(|token| token.kind == Kind::Punct(b';'));
                assert!(!inside, "a semicolon inside {}", body.escape_ascii());
                len
            }
            Step::Between { len }
            | Step::Delimiter { len }
            | Step::Sandbox { len }
            | Step::Statement { len, .. } => len,
            Step::Data { verb, len, first, .. } => {
                if !verb.is_held() {
                    data.extend_from_slice(if first { b"\0" } else { b"" });
                    data.extend_from_slice(&text[at..at + len]);
                }
                len
            }
        };
    }
}

fuzz_target!(|input: &[u8]| {
    let Some((&choice, text)) = input.split_first() else { return };
    let options = options(choice);
    let make = || -> Box<dyn Transform> { Box::new(MysqlRewrite::new(options.clone())) };
    let Outcome::Done(out, report) = checks::transform(make, text, slack(text)) else { return };
    if options.require_trailer {
        checks::prefix(make, text);
    }
    if options.definer == DefinerPolicy::Keep && options.profile.is_none() {
        assert!(out == text, "nothing was to be changed");
    }
    if report.changes.is_empty() {
        assert!(out == text, "changed, and not told");
    }
    assert!(data(&out) == data(text), "data changed: {}", Bytes::from(out).escape_ascii());
    if options.profile.is_none() {
        checks::idempotent(make, &out);
    } else {
        // Commas of options that no server takes may leave something for a second pass; it must not be refused.
        assert!(
            matches!(checks::whole(make(), &out, slack(&out)), Outcome::Done(..)),
            "a second pass is refused"
        );
    }
});
