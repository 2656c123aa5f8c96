#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::*;

const NASTY: &[u8] = include_bytes!("../tests/nasty.sql");

fn inspect(input: &[u8], piece: usize) -> PostgresSummary {
    let (step, summary) = PostgresInspect::new();
    let mut step = Box::new(step);
    let mut out = Vec::new();
    for piece in input.chunks(piece) {
        step.push(Bytes::copy_from_slice(piece), &mut out).unwrap();
    }
    step.finish(&mut out).unwrap();
    assert!(out == input, "every byte passes");
    summary.lock().unwrap().clone()
}

#[test]
fn a_real_dump_is_listed() {
    let summary = inspect(NASTY, usize::MAX);
    assert_eq!(inspect(NASTY, 1), summary);
    assert_eq!(inspect(NASTY, 1000), summary);
    assert_eq!(summary.format, "plain");
    assert!(summary.complete);
    assert_eq!(summary.server_version.as_deref(), Some("15.18 (Debian 15.18-0+deb12u1)"));
    assert_eq!(summary.client_version, summary.server_version);
    assert_eq!(summary.databases, BTreeSet::from(["nasty".to_owned()]));
    assert_eq!(summary.tables["public.t1"].rows, Some(206));
    assert_eq!(summary.tables["public.part2"].rows, Some(11));
    assert_eq!(summary.tables["public.am2"], TableSummary { rows: Some(1), inserts: 0, bytes: 2 });
    assert_eq!(summary.tables["public.empty"].rows, Some(0));
    assert_eq!(summary.tables["public.\"new\nline\"\"t;--/*\""].rows, Some(1));
    assert_eq!(summary.tables["public.part"].rows, None, "a partitioned table has no rows of its own");
    assert_eq!(summary.tables.len(), 9);
    assert_eq!(summary.objects["view"].names, ["public.v1"]);
    assert_eq!(summary.objects["function"].count, 9);
    assert_eq!(summary.objects["materialized view"].names, ["public.mv1"]);
    assert_eq!(summary.objects["trigger"].names, ["\"tr;\""]);
    assert_eq!(summary.objects["event trigger"].names, ["ev"]);
    assert_eq!(summary.objects["user mapping"].count, 2);
    assert_eq!(
        summary.extensions.iter().map(String::as_str).collect::<Vec<_>>(),
        ["file_fdw", "hstore", "pgcrypto", "postgres_fdw"]
    );
    assert_eq!(summary.owners["odd \"role"], 2);
    assert_eq!(
        summary.owners.values().sum::<u64>(),
        49 + 1 + 2 + 1 + 2,
        "with those that go with their objects"
    );
    let json = serde_json::to_value(&summary).unwrap();
    assert_eq!(json["tables"]["public.t1"]["rows"], 206);
}

#[test]
fn a_cut_dump_is_incomplete() {
    for len in [0, 3, 100, NASTY.len() / 2, NASTY.len() - 1] {
        assert!(!inspect(&NASTY[..len], 77).complete, "{len}");
    }
}

#[test]
fn inserts_are_counted() {
    let dump = "INSERT INTO public.t VALUES (1);\nINSERT INTO public.t VALUES (2), (3);\n";
    assert_eq!(
        inspect(dump.as_bytes(), 5).tables["public.t"],
        TableSummary { rows: None, inserts: 2, bytes: 69 }
    );
}

#[test]
fn roles_of_a_cluster_are_listed() {
    let dump = "CREATE ROLE \"a b\";\nCREATE ROLE c;\nALTER ROLE c WITH LOGIN;\n";
    assert_eq!(inspect(dump.as_bytes(), 5).roles, BTreeSet::from(["a b".to_owned(), "c".to_owned()]));
}
