#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use proptest::prelude::*;

use super::super::tokens::{TokenKind, Tokens};
use super::*;

type Elements = (Vec<(Kind, Vec<u8>)>, Standing);

/// The elements of `input` when it comes in pieces that end at `cuts`; white space is joined.
fn elements(input: &[u8], cuts: &[usize]) -> Result<Elements, LexError> {
    let mut lexer = Lexer::new();
    let mut found: Vec<(Kind, Vec<u8>, bool)> = Vec::new();
    let mut from = 0;
    for to in cuts.iter().copied().chain([input.len()]) {
        let mut at = from;
        while let Some(piece) = lexer.next(&input[at..to])? {
            let bytes = &input[at..at + piece.len];
            match found.last_mut() {
                Some((kind, all, open)) if *kind == piece.kind && (*open || piece.kind == Kind::Space) => {
                    all.extend_from_slice(bytes);
                    *open = !piece.end;
                }
                _ => found.push((piece.kind, bytes.to_vec(), !piece.end)),
            }
            at += piece.len;
        }
        from = to;
    }
    assert_eq!(lexer.offset(), input.len() as u64);
    Ok((found.into_iter().map(|(kind, bytes, _)| (kind, bytes)).collect(), lexer.standing()))
}

fn statements(input: &str) -> Vec<String> {
    let (found, _) = elements(input.as_bytes(), &[]).unwrap();
    found
        .into_iter()
        .filter(|(kind, _)| *kind == Kind::Statement)
        .map(|(_, bytes)| String::from_utf8(bytes).unwrap())
        .collect()
}

#[test]
fn a_semicolon_ends_a_statement_only_outside_everything() {
    for whole in [
        "SELECT 1;",
        "SELECT ';', 'it''s;', \"a;\"\"b\";",
        r"SELECT E'it\';s', 'a\';",
        "SELECT E'a'\n 'b\\';c';",
        "SELECT E'a' -- remark;\n 'b\\';c';",
        r#"SELECT U&'\0041;' UESCAPE '!', U&"d\0061t;a", B'1;', X'1;', N';';"#,
        "SELECT $$;$$, $a$;$$;$a$, $a$;$a$a$, $é1$;$é1$;",
        "SELECT $1;",
        "SELECT a$b$c;",
        "SELECT 1/2, 1-2, 1--;\n;",
        "SELECT /* ; /* ; */ ; */ 1 /**/;",
        "SELECT /*/ ; */ 1;",
        "CREATE RULE r AS ON INSERT TO v DO INSTEAD (SELECT 1; SELECT 2;);",
        "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT CASE WHEN true THEN 2 END; END;",
        "create or replace procedure p() begin atomic select (case 1 when 1 then 2 end); end;",
        "CREATE FUNCTION public.begin(x int) RETURNS int LANGUAGE sql AS 'select 1;';",
        "CREATE TABLE \"new\nline;--/*\" (a int);",
        "SELECT somee'x\\';",
    ] {
        assert_eq!(statements(&format!("  {whole}\nSELECT 'next';")), [whole, "SELECT 'next';"]);
    }
}

#[test]
fn backslashes_in_strings_follow_the_setting() {
    assert_eq!(
        statements(
            "SET standard_conforming_strings = off;SELECT 'a\\';b';SET standard_conforming_strings TO 'on';SELECT 'a\\';"
        ),
        [
            "SET standard_conforming_strings = off;",
            "SELECT 'a\\';b';",
            "SET standard_conforming_strings TO 'on';",
            "SELECT 'a\\';"
        ]
    );
    // A new session starts with the server's default.
    assert_eq!(
        statements("SET standard_conforming_strings = off;\n\\connect b\nSELECT 'a\\'; SELECT 2;")[1..],
        ["SELECT 'a\\';", "SELECT 2;"]
    );
}

#[test]
fn rows_end_at_their_line_alone() {
    for rows in [
        "\\.\n",
        "a\n\\.\n",
        "\\.x\n\\\\.\n\\\n \\.\n\\..\n\\.\n",
        "a\\.\n;'\"$$/*--\n\n\\.\r\n",
        "\\.\r\r\n\\.\n",
    ] {
        let input = format!("COPY public.t (\"from\", b) FROM stdin; -- now\n{rows}SELECT 1;");
        let (found, standing) = elements(input.as_bytes(), &[]).unwrap();
        let kinds: Vec<_> = found.iter().map(|(kind, _)| *kind).collect();
        assert_eq!(kinds, [Kind::Statement, Kind::Space, Kind::CopyData, Kind::Statement], "{rows:?}");
        assert_eq!(found[2].1, rows.as_bytes());
        assert_eq!(standing, Standing::Ground);
    }
    // Not rows: COPY to a client, COPY from a file, a name.
    for input in
        ["COPY t TO stdout;\nSELECT 1;", "COPY t FROM 'stdin';\nSELECT 1;", "SELECT a FROM stdin;\nSELECT 1;"]
    {
        assert_eq!(statements(input).len(), 2);
    }
}

#[test]
fn psql_commands_are_found_wherever_psql_finds_them() {
    let (found, _) = elements(b"\\restrict abc\nSELECT 1 \\g out\n SELECT '\\x'; \\! rm\n", &[]).unwrap();
    let commands: Vec<_> =
        found.iter().filter(|(kind, _)| *kind == Kind::Command).map(|(_, b)| b.as_slice()).collect();
    assert_eq!(commands, [b"\\restrict abc\n".as_slice(), b"\\g out\n", b"\\! rm\n"]);
    let (found, _) = elements(b"\\copy t from stdin csv\n\\! rm\n\\.\nSELECT 1;", &[]).unwrap();
    assert_eq!(found[1], (Kind::CopyData, b"\\! rm\n\\.\n".to_vec()));
}

#[test]
fn what_could_hide_a_command_is_an_error() {
    let error = elements(b"COPY t FROM stdin; \\! rm\n\\.\n", &[]).unwrap_err();
    assert_eq!(error.offset, 19);
    assert!(elements(b"-x;", &[]).is_err());
    let tag = format!("SELECT ${}$", "x".repeat(5000));
    assert!(elements(tag.as_bytes(), &[]).is_err());
}

#[test]
fn the_standing_says_what_is_open() {
    for (input, expected) in [
        ("", Standing::Ground),
        ("SELECT 1; -- x", Standing::Ground),
        ("SELECT 1", Standing::OpenStatement),
        ("SELECT 'x'", Standing::OpenStatement),
        ("SELECT '", Standing::Inside("a string")),
        ("SELECT \"", Standing::Inside("a quoted name")),
        ("SELECT $x$ $x", Standing::Inside("a dollar-quoted string")),
        ("/* /* */", Standing::Inside("a comment")),
        ("SELECT (1", Standing::Inside("parentheses")),
        ("COPY t FROM stdin;\n1\n", Standing::Inside("the rows of a COPY")),
        ("CREATE FUNCTION f() BEGIN ATOMIC SELECT 1;", Standing::Inside("the body of a routine")),
    ] {
        assert_eq!(elements(input.as_bytes(), &[]).unwrap().1, expected, "{input}");
    }
}

const FRAGMENTS: &[&str] = &[
    "SELECT ",
    "a",
    "1",
    "'",
    "''",
    "\"",
    "\\",
    ";",
    ";\n",
    "\n",
    " ",
    "(",
    ")",
    "$",
    "$$",
    "$t$",
    "--",
    "/*",
    "*/",
    "-",
    "E'",
    "e'x\\''",
    "U&'",
    "u&\"",
    "COPY t FROM stdin;\n",
    "COPY t FROM stdin",
    "\\.\n",
    "\\.",
    "\r\n",
    "x\ty\n",
    "SET standard_conforming_strings = off;",
    "SET standard_conforming_strings = on;",
    "\\connect x\n",
    "INSERT INTO t VALUES ('",
    "INSERT INTO ab VALUES (NULL, ",
    "CREATE FUNCTION f() BEGIN ATOMIC ",
    "CASE ",
    "END",
    "é",
    "\u{0}",
    "\\copy t from stdin\n",
];

fn input() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop::sample::select(FRAGMENTS), 0..40)
        .prop_map(|parts| parts.concat().into_bytes())
}

#[test]
fn a_word_behind_a_lone_dollar_sign_can_be_a_strings_prefix() {
    let (found, _) = elements(b"SELECT $e'x\\';' ; SELECT 1;", &[]).unwrap();
    let statements: Vec<&[u8]> =
        found.iter().filter(|(kind, _)| *kind == Kind::Statement).map(|(_, sql)| sql.as_slice()).collect();
    assert_eq!(statements, [&b"SELECT $e'x\\';' ;"[..], b"SELECT 1;"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn cutting_does_not_matter(input in input(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8)) {
        let whole = elements(&input, &[]);
        let every: Vec<usize> = (1..input.len()).collect();
        prop_assert_eq!(&elements(&input, &every), &whole);
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(input.len() + 1)).collect();
        cuts.sort_unstable();
        prop_assert_eq!(&elements(&input, &cuts), &whole);
        if let Ok((found, _)) = whole {
            prop_assert_eq!(found.iter().flat_map(|(_, bytes)| bytes).copied().collect::<Vec<_>>(), input);
        }
    }

    #[test]
    fn tokens_agree_with_the_lexer(input in input(), off in any::<bool>()) {
        // Whatever the lexer calls a statement has its first outer semicolon at its end.
        let setting: &[u8] = if off { b"SET standard_conforming_strings = off;" } else { b"SET x = 1;" };
        let text = [setting, b"SELECT ", &input].concat();
        let Ok((found, standing)) = elements(&text, &[]) else { return Ok(()) };
        let Some((Kind::Statement, sql)) = found.get(1) else { return Ok(()) };
        // Not where the end of the input or a command broke it off.
        let ended = match found.get(2) {
            Some((kind, _)) => *kind != Kind::Command,
            None => standing == Standing::Ground,
        };
        if !ended {
            return Ok(());
        }
        let outer = |token: &crate::postgres::tokens::Token| token.kind == TokenKind::Symbol(b';') && token.depth == 0;
        let first = Tokens::new(sql, !off).find(outer);
        prop_assert_eq!(first.map(|token| token.end), Some(sql.len()), "{:?}", String::from_utf8_lossy(sql));
    }
}
