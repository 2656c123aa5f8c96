use proptest::prelude::*;

use super::*;

/// What a dump is cut into, with pieces of the same thing joined.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Between(Vec<u8>),
    Delimiter(Vec<u8>),
    Sandbox(Vec<u8>),
    Statement(Verb, Vec<u8>, usize),
    Data(Verb, Vec<u8>, bool),
}

/// Feeds the text in pieces of the given sizes, over and over.
fn parts(text: &[u8], sizes: &[usize]) -> (Vec<Part>, bool) {
    let mut lexer = Lexer::new();
    let mut parts: Vec<Part> = Vec::new();
    let (mut used, mut offered, mut turn) = (0, 0, 0);
    loop {
        let last = offered == text.len();
        let here = &text[used..offered];
        match lexer.next(here, last) {
            Step::More if last => break,
            Step::More => {
                offered = text.len().min(offered + sizes[turn % sizes.len()]);
                turn += 1;
            }
            Step::Between { len } => {
                used += len;
                match parts.last_mut() {
                    Some(Part::Between(before)) => before.extend_from_slice(&here[..len]),
                    _ => parts.push(Part::Between(here[..len].to_vec())),
                }
            }
            Step::Delimiter { len } => {
                used += len;
                parts.push(Part::Delimiter(here[..len].to_vec()));
            }
            Step::Sandbox { len } => {
                used += len;
                parts.push(Part::Sandbox(here[..len].to_vec()));
            }
            Step::Statement { verb, len, body } => {
                used += len;
                parts.push(Part::Statement(verb, here[..len].to_vec(), body));
            }
            Step::Data { verb, len, first, last: ends } => {
                assert!(!first || ends || last || len >= HEAD, "a head of {len} bytes");
                used += len;
                if first {
                    parts.push(Part::Data(verb, here[..len].to_vec(), ends));
                } else {
                    let Some(Part::Data(_, before, ended)) = parts.last_mut() else { panic!("data goes on") };
                    before.extend_from_slice(&here[..len]);
                    *ended = ends;
                }
            }
        }
    }
    assert_eq!(used, text.len(), "every byte is used");
    (parts, lexer.is_between())
}

fn whole(text: &[u8]) -> Vec<Part> {
    parts(text, &[usize::MAX / 2]).0
}

fn statements(text: &str) -> Vec<String> {
    whole(text.as_bytes())
        .into_iter()
        .filter_map(|part| match part {
            Part::Statement(_, text, _) | Part::Data(_, text, _) => {
                Some(String::from_utf8_lossy(&text).into_owned())
            }
            _ => None,
        })
        .collect()
}

#[test]
fn cuts_where_the_client_cuts() {
    for (text, expected) in [
        ("SELECT 1;SELECT 2;", &["SELECT 1;", "SELECT 2;"][..]),
        ("SELECT ';';SELECT \";\";SELECT `;`;", &["SELECT ';';", "SELECT \";\";", "SELECT `;`;"]),
        ("SELECT 'it''s;';SELECT 'a\\';b';", &["SELECT 'it''s;';", "SELECT 'a\\';b';"]),
        ("SELECT `a\\`;SELECT 2;", &["SELECT `a\\`;", "SELECT 2;"]),
        ("-- a;b'\n# c;d\"\n/* e;f` */SELECT 1;", &["SELECT 1;"]),
        ("SELECT 1 -- ;'\n;SELECT 1--2;SELECT 3;", &["SELECT 1 -- ;'\n;", "SELECT 1--2;", "SELECT 3;"]),
        ("/*!50001 SELECT '*/;' */;SELECT 2*/**/3;", &["/*!50001 SELECT '*/;' */;", "SELECT 2*/**/3;"]),
        ("/*!50003 CREATE /* ; */ VIEW v */;SELECT 1;", &["/*!50003 CREATE /* ; */ VIEW v */;", "SELECT 1;"]),
        ("/*M!100100 SELECT ';' */;x;", &["/*M!100100 SELECT ';' */;", "x;"]),
        ("DELIMITER ;;\nBEGIN a; b; END;;\ndelimiter ;\nSELECT 1;", &["BEGIN a; b; END;;", "SELECT 1;"]),
        ("DELIMITER //\nSELECT 1/2 /* // */ //SELECT 2//\n", &["SELECT 1/2 /* // */ //", "SELECT 2//"]),
        ("DELIMITER $$\nSELECT '$$', $ $$SELECT 2$$", &["SELECT '$$', $ $$", "SELECT 2$$"]),
        ("DELIMITER '--'\nSELECT 1-1--SELECT 2--\n", &["SELECT 1-1--", "SELECT 2--"]),
        ("USE a\nSELECT 1;USE `b;c`;SELECT 2;", &["USE a\n", "SELECT 1;", "USE `b;c`;", "SELECT 2;"]),
        ("SELECT 1", &["SELECT 1"]),
        (";;", &[";", ";"]),
        ("DELIMITERS x;y;", &["DELIMITERS x;", "y;"]),
    ] {
        assert_eq!(statements(text), expected, "{text}");
        assert_eq!(parts(text.as_bytes(), &[1]), parts(text.as_bytes(), &[usize::MAX / 2]), "{text}");
    }
}

#[test]
fn follows_the_sql_mode() {
    for (text, expected) in [
        ("SET sql_mode='NO_BACKSLASH_ESCAPES';SELECT '\\';x;", 3),
        (
            "/*!40101 SET @OLD_SQL_MODE=@@SQL_MODE, SQL_MODE='NO_BACKSLASH_ESCAPES' */;SELECT '\\';/*!40101 SET SQL_MODE=@OLD_SQL_MODE */;SELECT '\\';x';",
            4,
        ),
        (
            "SET @s = @@sql_mode;SET sql_mode = concat(@@sql_mode, ',NO_BACKSLASH_ESCAPES');SELECT '\\';SET sql_mode = @s;SELECT '\\';';",
            5,
        ),
        ("SET SESSION sql_mode = \"ANSI_QUOTES\";SELECT \"\\\";x;", 3),
        ("SET sql_mode = 'ORACLE';SELECT \"\\\";SELECT '\\';';", 3),
        ("SET GLOBAL sql_mode='NO_BACKSLASH_ESCAPES';SELECT '\\';';", 2),
        ("SET @@session.sql_mode := 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES';SELECT '\\';x;", 3),
        (
            "SET sql_mode='NO_BACKSLASH_ESCAPES';SET sql_mode=(SELECT REPLACE(@@sql_mode,'NO_BACKSLASH_ESCAPES',''));SELECT '\\';';",
            3,
        ),
    ] {
        assert_eq!(statements(text).len(), expected, "{text}: {:?}", statements(text));
    }
}

/// The evaluation of an expression called itself per parenthesis, and a megabyte of them ended the process.
#[test]
fn parentheses_do_not_use_up_the_stack() {
    for open in ["(", "CONCAT(", "(SELECT REPLACE("] {
        let text = format!("SET @a={};SELECT 1;", open.repeat(1_000_000));
        assert_eq!(statements(&text).len(), 2);
    }
}

/// Thirty statements of twenty bytes made a value of a gigabyte.
#[test]
fn values_do_not_double_without_end() {
    for double in ["CONCAT(@a,@a)", "REPLACE(@a,'x','xx')", "CONCAT_WS(@a,'','','')"] {
        let text =
            format!("SET @a='x';{}SET sql_mode=@a;SELECT '\\';';", format!("SET @a={double};").repeat(60));
        assert_eq!(statements(&text).len(), 63);
    }
    // One statement alone can ask for a million copies.
    let text = format!("SET @a='{}';SET @b=CONCAT(@a{});", "x".repeat(2000), ",@a".repeat(1_000_000));
    assert_eq!(statements(&text).len(), 2);
}

#[test]
fn knows_characters_that_end_with_a_backslash() {
    let mut text = b"SET NAMES gbk;SELECT '\xd5\x5c';SELECT '\xd5\x5c\\';';".to_vec();
    assert_eq!(whole(&text).len(), 3);
    text[10..13].copy_from_slice(b"ab1");
    assert_eq!(whole(&text).len(), 2, "another character set has no such characters");
    let katakana = b"SET NAMES sjis;SELECT '\xb1\\';';SELECT '\x83\x5c';";
    assert_eq!(whole(katakana).len(), 3);
}

#[test]
fn takes_the_sandbox_line_by_itself() {
    for line in ["/*!999999\\- enable the sandbox mode */ \n", "/*M!999999\\- enable the sandbox mode */\r\n"]
    {
        let text = format!("-- x\n{line}-- MariaDB dump\n");
        let (found, between) = parts(text.as_bytes(), &[1]);
        assert_eq!(
            found,
            [
                Part::Between(b"-- x\n".to_vec()),
                Part::Sandbox(line.as_bytes().to_vec()),
                Part::Between(b"-- MariaDB dump\n".to_vec()),
            ]
        );
        assert!(between);
    }
}

#[test]
fn says_whether_it_ends_between_statements() {
    for (text, between) in [
        ("SELECT 1;", true),
        ("SELECT 1;\n-- x", true),
        ("SELECT 1;\n/* x", false),
        ("INSERT INTO t VALUES (1", false),
        ("INSERT INTO t VALUES ('", false),
        ("", true),
    ] {
        assert_eq!(parts(text.as_bytes(), &[1]).1, between, "{text}");
    }
}

#[test]
fn hands_out_what_is_too_long_to_hold() {
    let mut text = b"CREATE VIEW v AS SELECT '".to_vec();
    text.resize(MAX_HELD + 100, b'x');
    text.extend_from_slice(b"';SELECT 1;");
    let [Part::Data(Verb::Create, long, true), Part::Data(Verb::Other, _, true)] =
        &parts(&text, &[1 << 20]).0[..]
    else {
        panic!("two pieces of data");
    };
    assert_eq!(long.len(), MAX_HELD + 102);
}

/// The same grammar with the simplest code: where `;` ends a statement, with all bytes in sight.
fn ends(text: &[u8]) -> Vec<usize> {
    let (mut ends, mut at, mut versioned) = (Vec::new(), 0, false);
    while at < text.len() {
        let rest = &text[at..];
        at += match rest {
            [b';', ..] => {
                ends.push(at + 1);
                versioned = false;
                1
            }
            [quote @ (b'\'' | b'"' | b'`'), body @ ..] => {
                let mut len = 0;
                while len < body.len() && body[len] != *quote {
                    len += if body[len] == b'\\' && *quote != b'`' { 2 } else { 1 };
                }
                len + 2
            }
            [b'/', b'*', b'!', ..] => {
                versioned = true;
                3
            }
            [b'/', b'*', b'M', b'!', ..] => {
                versioned = true;
                4
            }
            [b'*', b'/', ..] if versioned => {
                versioned = false;
                2
            }
            [b'/', b'*', body @ ..] => {
                body.windows(2).position(|pair| pair == b"*/").map_or(rest.len(), |len| len + 4)
            }
            [b'#', ..] => rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len()),
            [b'-', b'-', tail @ ..] if tail.first().is_none_or(|byte| *byte <= b' ') => {
                rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len())
            }
            _ => 1,
        };
    }
    ends
}

fn found_ends(parts: &[Part]) -> Vec<usize> {
    let mut at = 0;
    let mut ends = Vec::new();
    for part in parts {
        let (len, ended) = match part {
            Part::Between(text) | Part::Delimiter(text) | Part::Sandbox(text) => (text.len(), false),
            Part::Statement(_, text, body) => (text.len(), *body < text.len()),
            Part::Data(_, text, ended) => (text.len(), *ended),
        };
        at += len;
        if ended {
            ends.push(at);
        }
    }
    ends
}

fn noise() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop::sample::select(
        ["'", "'", "\"", "`", "\\", ";", "#", "-", "-- ", "/", "*", "/*", "*/", "/*!", "/*!50001 ", "/*M!", "M", " ", "\n", "a", "1", "(", ",",
            "INSERT INTO t VALUES ('aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa','bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb',-1,2)", "CREATE ", "\u{fc}"].to_vec(),
    );
    prop::collection::vec(piece, 0..120).prop_map(|pieces| pieces.concat().into_bytes())
}

proptest! {
    #[test]
    fn any_cutting_gives_the_same(text in noise(), sizes in prop::collection::vec(1..200_usize, 1..5)) {
        let expected = parts(&text, &[usize::MAX / 2]);
        prop_assert_eq!(&parts(&text, &[1]), &expected);
        prop_assert_eq!(&parts(&text, &sizes), &expected);
    }

    #[test]
    fn agrees_with_the_simplest_code(text in noise()) {
        // The sandbox mark has no delimiter; the simplest code does not know it.
        prop_assume!(!text.windows(2).any(|pair| pair == b"\\-"));
        prop_assert_eq!(found_ends(&whole(&text)), ends(&text));
    }
}
