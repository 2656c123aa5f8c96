#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use bytes::Bytes;
use pipeline::{Kind, Result, Severity, Transform, TransformReport};
use proptest::prelude::*;

use super::*;

mod redact;
mod rows;

/// A real dump of pg_dump 15 with every kind of object that the rules know, and names made to confuse.
const NASTY: &[u8] = include_bytes!("tests/nasty.sql");

fn rds() -> RewriteOptions {
    RewriteOptions { profile: Some(Profile::RdsPostgres), ..RewriteOptions::default() }
}

fn whole() -> RewriteOptions {
    RewriteOptions { require_trailer: true, ..rds() }
}

fn run(options: &RewriteOptions, input: &[u8], cuts: &[usize]) -> Result<(Vec<u8>, TransformReport)> {
    let mut step = Box::new(PostgresRewrite::new(options.clone()));
    let mut out = Vec::new();
    let mut from = 0;
    for to in cuts.iter().copied().chain([input.len()]) {
        step.push(Bytes::copy_from_slice(&input[from..to]), &mut out)?;
        from = to;
    }
    let report = step.finish(&mut out)?;
    Ok((out, report))
}

fn rewrite(input: &[u8]) -> (Vec<u8>, TransformReport) {
    run(&rds(), input, &[]).unwrap()
}

fn copy_blocks(dump: &[u8]) -> Vec<Vec<u8>> {
    let text: Vec<&[u8]> = dump.split_inclusive(|b| *b == b'\n').collect();
    let mut blocks: Vec<Vec<u8>> = Vec::new();
    let mut inside = false;
    for line in text {
        if inside || line.starts_with(b"COPY ") {
            if !inside {
                blocks.push(Vec::new());
            }
            blocks.last_mut().unwrap().extend_from_slice(line);
            // A name with a newline spreads its COPY over lines.
            inside = line != b"\\.\n";
        }
    }
    blocks
}

#[test]
fn a_real_dump_keeps_its_rows_and_loses_what_is_refused() {
    let (out, report) = run(&whole(), NASTY, &[]).unwrap();
    assert_eq!(copy_blocks(&out), copy_blocks(NASTY));
    assert_eq!(copy_blocks(&out).len(), 8);
    let expected = BTreeMap::from(
        [
            ("access-method-dropped", 1),
            ("acl-dropped", 9),
            ("comment-dropped", 1),
            ("database-option-dropped", 1),
            ("database-property-dropped", 1),
            ("default-acl-dropped", 1),
            ("extension-comment-dropped", 4),
            ("foreign-data-wrapper-dropped", 2),
            ("foreign-server-dropped", 4),
            ("foreign-table-dropped", 2),
            ("leakproof-dropped", 1),
            ("owner-dropped", 49),
            ("public-schema-comment-dropped", 1),
            ("publication-dropped", 6),
            ("session-authorization-dropped", 2),
            ("subscription-dropped", 2),
            ("table-access-method-rewritten", 1),
            ("tablespace-dropped", 2),
            ("user-mapping-dropped", 2),
        ]
        .map(|(key, count)| (key.to_owned(), count)),
    );
    assert_eq!(report.changes, expected);
    let text = String::from_utf8_lossy(&out);
    for gone in [
        "sekret",
        "hunter2",
        "\nGRANT",
        "\nREVOKE",
        "SESSION AUTH",
        "SUBSCRIPTION sub1 ",
        "default_tablespace = tsp",
    ] {
        assert!(!text.contains(gone), "{gone}");
    }
    // What looks the same inside a function body is not ours.
    for kept in
        ["  -- ALTER TABLE x OWNER TO y;\n", "TABLESPACE foo; GRANT ALL ON q TO bob'", "'OWNER TO x;'::text"]
    {
        assert!(text.contains(kept), "{kept}");
    }
    let mut restricts: Vec<_> = text.lines().filter(|l| l.contains("restrict ")).collect();
    assert_eq!(restricts.len(), 6);
    restricts.dedup_by_key(|line| line.rsplit(' ').next().unwrap().to_owned());
    assert_eq!(restricts.len(), 1, "one key throughout");
    assert!(report.findings.iter().any(|f| f.code == "base-type" && f.severity == Severity::Blocker));
    for finding in &report.findings {
        assert!(!finding.message.contains("sekret") && !finding.message.contains("hunter2"));
        let at = usize::try_from(finding.offset).unwrap();
        assert!(matches!(NASTY[at], b'A'..=b'Z' | b'\\'), "an offset points at a statement");
    }
}

#[test]
fn without_a_profile_nothing_changes() {
    let options = RewriteOptions { require_trailer: true, ..RewriteOptions::default() };
    let (out, report) = run(&options, NASTY, &[]).unwrap();
    assert_eq!(out, NASTY);
    assert!(report.changes.is_empty());
}

#[test]
fn rewriting_twice_changes_nothing_more() {
    let (once, _) = run(&whole(), NASTY, &[]).unwrap();
    let (twice, report) = run(&whole(), &once, &[]).unwrap();
    assert_eq!(once, twice);
    assert!(report.changes.is_empty(), "{:?}", report.changes);
}

#[test]
fn one_byte_at_a_time_gives_the_same() {
    let every: Vec<usize> = (1..NASTY.len()).collect();
    assert_eq!(run(&whole(), NASTY, &every).unwrap(), run(&whole(), NASTY, &[]).unwrap());
}

/// Every one of these prefixes must fail as truncated, with its length as the offset.
fn refuses_prefixes(dump: &[u8], lengths: impl Iterator<Item = usize>) {
    assert!(run(&whole(), dump, &[]).is_ok());
    for len in lengths {
        let error = run(&whole(), &dump[..len], &[]).unwrap_err();
        assert_eq!(error.kind(), Kind::Truncated, "{len}: {error}");
        assert_eq!(error.exit_code(), 3);
        assert_eq!(error.context(), [("offset", len.to_string())]);
        assert!(!error.hints().is_empty());
    }
}

const SMALL: &str = "--\n-- PostgreSQL database dump\n--\n\n\\restrict kEy1\n\n-- Dumped from database version 15.18\n\n\
    SET standard_conforming_strings = on;\n\nCREATE TABLE public.t (a text DEFAULT 'x;--');\n\n\n\
    COPY public.t (a) FROM stdin;\none\n--\\n-- PostgreSQL database dump complete\\n--\\n\\n\n\\.\n\n\n\
    INSERT INTO public.t VALUES ('\n--\n-- PostgreSQL database dump complete\n--\n\n\\unrestrict kEy1\n\n');\n\n\
    --\n-- PostgreSQL database dump complete\n--\n\n\\unrestrict kEy1\n\n";

#[test]
fn every_prefix_of_a_dump_is_refused() {
    refuses_prefixes(SMALL.as_bytes(), 0..SMALL.len());
    let unrestricted = SMALL.replace("\\restrict kEy1\n\n", "").replace("\\unrestrict kEy1\n\n", "");
    refuses_prefixes(unrestricted.as_bytes(), 0..unrestricted.len());
    let windows = SMALL.replace('\n', "\r\n");
    refuses_prefixes(windows.as_bytes(), 0..windows.len());
    let tail = NASTY.len() - 300;
    refuses_prefixes(NASTY, (0..tail).step_by(101).chain(tail..NASTY.len()));
}

#[test]
fn every_prefix_of_a_cluster_dump_is_refused() {
    // Whole dumps of databases stand inside it: each of their ends is an end that must not count.
    let cluster = format!(
        "--\n-- PostgreSQL database cluster dump\n--\n\n\\restrict a\n\nCREATE ROLE app;\n\n\\unrestrict a\n\n\
         \\connect one\n\n{SMALL}\\connect two\n\n{SMALL}--\n-- PostgreSQL database cluster dump complete\n--\n\n"
    );
    refuses_prefixes(cluster.as_bytes(), 0..cluster.len());
}

#[test]
fn the_end_must_be_the_end() {
    for more in ["\n", " ", "-- x\n", "SELECT 1;\n", "\\unrestrict kEy1\n"] {
        let error = run(&whole(), format!("{SMALL}{more}").as_bytes(), &[]).unwrap_err();
        assert_eq!(error.kind(), Kind::Truncated, "{more:?}");
    }
    let other_key = SMALL.replacen("\\restrict kEy1", "\\restrict other", 1);
    assert!(run(&whole(), other_key.as_bytes(), &[]).is_err());
    // pg_dump that was killed in a table ends it well all the same.
    let killed = &SMALL[..SMALL.find("\\.\n").unwrap() + 3];
    assert!(run(&rds(), killed.as_bytes(), &[]).is_ok(), "only the end mark tells");
    assert!(run(&whole(), killed.as_bytes(), &[]).is_err());
}

#[test]
fn what_is_open_at_the_end_is_truncated_even_without_end_mark() {
    for cut in ["COPY t FROM stdin;\n1\n", "SELECT '", "SELECT $$ $", "CREATE TABLE t (", "/* "] {
        assert_eq!(run(&rds(), cut.as_bytes(), &[]).unwrap_err().kind(), Kind::Truncated, "{cut}");
    }
    // psql runs a last statement that lacks its semicolon, so it is judged like any other.
    assert_eq!(rewrite(b"ALTER TABLE t OWNER TO x").0, b"");
    assert_eq!(rewrite(b"SELECT 1").0, b"SELECT 1");
}

#[test]
fn commands_that_pg_dump_does_not_write_are_refused() {
    for bad in [
        "\\! rm -rf /\n",
        "SELECT 1;\n  \\copy t from program 'x'\n",
        "SELECT 1 \\g |sh\n",
        "SELECT 1; \\i x",
        "\\connect db \\! rm\n",
        "\\restrict `id`\n",
        "\\unrestrict `id`\n",
        "SELECT 1 \\connect db\n",
        "CREATE TABLE t (a int \\! rm\n",
    ] {
        let error = run(&rds(), bad.as_bytes(), &[]).unwrap_err();
        assert_eq!(error.exit_code(), 4, "{bad}");
        assert_eq!(error.context(), [("offset", bad.find('\\').unwrap().to_string())], "{bad}");
        let every: Vec<usize> = (1..bad.len()).collect();
        assert_eq!(run(&rds(), bad.as_bytes(), &every).unwrap_err().to_string(), error.to_string());
        let (out, report) = run(&RewriteOptions::default(), bad.as_bytes(), &[]).unwrap();
        assert_eq!(out, bad.as_bytes());
        assert!(bad.contains("restrict") || !report.findings.is_empty(), "{bad}");
    }
    // A command never reaches the next stage before it is judged.
    let mut step = PostgresRewrite::new(rds());
    let mut out = Vec::new();
    assert!(step.push(Bytes::from_static(b"SELECT 1;\n\\! rm\n"), &mut out).is_err());
    assert!(out.is_empty());
    let good = "\\connect -reuse-previous=on \"dbname='o''d\\\\b:`x`'\"\n\\connect db\n\\restrict a1\n\\unrestrict a1\n";
    let (out, report) = rewrite(good.as_bytes());
    assert_eq!(out, good.as_bytes());
    assert_eq!(report.counts["psql-connect"], 2);
}

#[test]
fn findings_are_bounded_and_counted() {
    let input = "CREATE TYPE t;\n".repeat(250);
    let (_, report) = rewrite(input.as_bytes());
    assert_eq!(report.findings.len(), 100);
    assert_eq!(report.counts["base-type"], 250);
    assert_eq!(report.findings[1].offset, 15);
}

#[test]
fn long_statements_pass_and_are_told() {
    let long = format!("COMMENT ON EXTENSION x IS '{}';", "c".repeat(9 << 20));
    for cuts in [vec![], vec![5], vec![1 << 20, 8 << 20]] {
        let (out, report) = run(&rds(), long.as_bytes(), &cuts).unwrap();
        assert!(out == long.as_bytes());
        assert_eq!(report.counts["statement-too-long"], 1);
        assert!(report.changes.is_empty());
    }
    let rows = format!("INSERT INTO t VALUES ('{}');", "c".repeat(64 << 20));
    let (out, report) = run(&rds(), rows.as_bytes(), &[100, 9 << 20]).unwrap();
    assert!(out == rows.as_bytes());
    assert!(report.findings.is_empty());
}

#[test]
fn rows_pass_without_a_copy() {
    struct Pieces(Vec<Bytes>);
    impl pipeline::Output for Pieces {
        fn emit(&mut self, data: Bytes) -> Result<()> {
            self.0.push(data);
            Ok(())
        }
    }
    let input = Bytes::from([b"COPY t FROM stdin;\n".as_slice(), &b"1\tx\n".repeat(1000), b"\\.\n"].concat());
    let mut out = Pieces(Vec::new());
    PostgresRewrite::new(rds()).push(input.clone(), &mut out).unwrap();
    assert_eq!(out.0.len(), 1);
    assert_eq!(out.0[0].as_ptr(), input.as_ptr());
}

#[test]
fn a_custom_archive_is_checked_as_it_passes() {
    // Header of version 1.14 with no entries, then what must not follow.
    let mut archive = b"PGDMP\x01\x0e\x00\x04\x08\x01".to_vec();
    for value in [0_u8, 1, 2, 3, 4, 5, 126, 0, 0, 0, 0, 0] {
        archive.extend_from_slice(&[0, value, 0, 0, 0]);
    }
    let check = |bytes: &[u8]| {
        let mut out = Vec::new();
        let mut step = Box::new(PostgresCustomCheck::new());
        step.push(Bytes::copy_from_slice(bytes), &mut out)?;
        step.finish(&mut out).map(|report| (out, report))
    };
    let (out, report) = check(&archive).unwrap();
    assert_eq!(out, archive);
    assert_eq!(report.counts, BTreeMap::from([("entries".to_owned(), 0)]));
    for len in 0..archive.len() {
        assert_eq!(check(&archive[..len]).unwrap_err().kind(), Kind::Truncated);
    }
    archive.push(0);
    assert_eq!(check(&archive).unwrap_err().exit_code(), 3);
}

const FRAGMENTS: &[&str] = &[
    "ALTER TABLE public.t OWNER TO x;",
    "\n",
    "GRANT SELECT ON t TO x;",
    "INSERT INTO t VALUES ('ALTER TABLE t OWNER TO x;');",
    "COPY t FROM stdin;\nALTER TABLE t OWNER TO x;\n\\.\n",
    "SET default_tablespace = ts;",
    "CREATE TABLE t (a int) TABLESPACE ts;",
    "CREATE FUNCTION f() RETURNS int LANGUAGE sql LEAKPROOF AS $$ALTER TABLE t OWNER TO x;$$;",
    "-- c\n",
    "/* ; */ ",
    "\\connect x\n",
    "CREATE ROLE r; ",
    "ALTER ROLE r WITH SUPERUSER LOGIN;",
    "SET standard_conforming_strings = off;",
    "SELECT 'a\\';",
    "'",
    "SELECT",
    ";",
    "$$",
    "CREATE SCHEMA public;",
    "\\! x\n",
    "CREATE DATABASE d OWNER x TABLESPACE y;",
    "\"",
    "(",
    ")",
    "é\u{0}",
    "COMMENT ON EXTENSION x IS E'\\';';",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn cutting_does_not_matter(
        parts in prop::collection::vec(prop::sample::select(FRAGMENTS), 0..30),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..10),
        profile in any::<bool>(),
    ) {
        let input = parts.concat().into_bytes();
        let options = if profile { rds() } else { RewriteOptions::default() };
        let show = |result: Result<(Vec<u8>, TransformReport)>| result.map_err(|error| format!("{error:?}"));
        let once = show(run(&options, &input, &[]));
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(input.len() + 1)).collect();
        cuts.sort_unstable();
        prop_assert_eq!(&show(run(&options, &input, &cuts)), &once);
        let every: Vec<usize> = (1..input.len()).collect();
        prop_assert_eq!(&show(run(&options, &input, &every)), &once);
        if let Ok((out, _)) = once {
            if !profile {
                prop_assert_eq!(&out, &input);
            }
            let again = show(run(&options, &out, &[]));
            prop_assert_eq!(&again.as_ref().map(|(out, _)| out), &Ok(&out), "a second run changed something");
        }
    }
}
