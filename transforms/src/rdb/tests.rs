//! Snapshots of real servers, and small ones made here, through the step.

#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test may panic, and its numbers are small"
)]

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use formats::rdb::{Chunk, Encoder, Error as RdbError, Event, Kind as RdbKind, Parser, Version};
use pipeline::{Error, Kind, Stage, Transform, TransformReport};
use proptest::prelude::*;

use super::{DataType, Options, RdbStep, Target, TextForm};

const SERVERS: [&[u8]; 3] = [
    include_bytes!("../../../formats/src/rdb/fixtures/redis-7.0.15.rdb"),
    include_bytes!("../../../formats/src/rdb/fixtures/redis-8.0.6.rdb"),
    include_bytes!("../../../formats/src/rdb/fixtures/valkey-9.1.2.rdb"),
];

fn through(options: &Options, file: &[u8], piece: usize) -> Result<(Vec<u8>, TransformReport), Error> {
    let mut step = Box::new(RdbStep::new(options.clone()));
    let mut out = Vec::new();
    for piece in file.chunks(piece.max(1)) {
        step.push(Bytes::copy_from_slice(piece), &mut out)?;
    }
    let report = step.finish(&mut out)?;
    Ok((out, report))
}

/// A key by database and name, its expiry and the bytes of its value.
type Keys = BTreeMap<(u64, Vec<u8>), (Option<i64>, Vec<u8>)>;

/// Every key of a file; also proves that the file is whole.
fn keys(file: &[u8]) -> Keys {
    let mut keys = Keys::new();
    let mut current = None;
    let mut parser = Parser::new();
    parser
        .push::<RdbError, _>(file, &mut |record| {
            match record.event {
                Event::Key(key) => {
                    let place = (key.db, key.name.to_vec());
                    assert!(keys.insert(place.clone(), (key.expires_at, vec![key.kind.byte()])).is_none());
                    current = Some(place);
                }
                Event::Chunk(Chunk { last }) => {
                    if let Some(place) = &current {
                        keys.get_mut(place).unwrap().1.extend_from_slice(record.raw);
                    }
                    if last {
                        current = None;
                    }
                }
                _ => {}
            }
            Ok(())
        })
        .unwrap();
    parser.finish().unwrap();
    keys
}

/// A file of strings: database, name, expiry.
fn file(version: Version, content: &[(u64, &str, Option<i64>)]) -> Vec<u8> {
    let mut encoder = Encoder::new(version);
    encoder.aux(b"redis-ver", b"7.2.0");
    encoder.aux(b"used-mem", b"1000000");
    encoder.aux(b"repl-id", b"aaaa");
    let mut db = None;
    for (number, name, expires) in content {
        if db != Some(*number) {
            encoder.select_db(*number);
            encoder.resize_db(content.iter().filter(|(n, ..)| n == number).count() as u64, 0);
            db = Some(*number);
        }
        if let Some(at) = expires {
            encoder.expires_at(*at);
        }
        encoder.key(RdbKind::of(version, 0).unwrap(), name.as_bytes());
        encoder.raw(b"\x05value");
    }
    encoder.finish()
}

fn options(change: impl FnOnce(&mut Options)) -> Options {
    let mut options = Options { merge_memory: 1 << 20, now: 1_000_000, ..Options::default() };
    change(&mut options);
    options
}

#[test]
fn what_nothing_is_asked_of_passes_byte_for_byte_and_is_counted() {
    for file in SERVERS {
        let (out, report) = through(&Options::default(), file, usize::MAX).unwrap();
        assert!(out == file);
        assert_eq!(report.settings["source-crc64"], "verified");
        assert!(report.changes.is_empty());
        let expected = keys(file);
        assert_eq!(report.counts["keys"], expected.len() as u64);
        for (db, count) in &report.objects {
            let here = expected.keys().filter(|(number, _)| format!("db{number}") == *db).count();
            assert_eq!(*count, here as u64);
        }
    }
}

#[test]
fn every_prefix_is_refused_whatever_is_asked() {
    let asked = [
        Options::default(),
        options(|o| o.drop_keys = vec![b"nothing".to_vec()]),
        options(|o| o.text = Some(TextForm::Json)),
        options(|o| o.text = Some(TextForm::Resp)),
    ];
    for file in SERVERS {
        for (nth, asked) in asked.iter().enumerate() {
            for end in (0..file.len()).step_by(if nth == 0 { 3 } else { 67 }) {
                let error = through(asked, &file[..end], usize::MAX).unwrap_err();
                assert_eq!((error.kind(), error.stage()), (Kind::Truncated, Stage::Source), "{end}: {error}");
                assert!(error.context().iter().any(|(key, _)| *key == "offset"), "{error}");
            }
        }
    }
}

#[test]
fn every_flipped_bit_is_refused() {
    let file = SERVERS[0];
    for at in (0..file.len()).step_by(7) {
        let mut bad = file.to_vec();
        bad[at] ^= 1 << (at % 8);
        let outcome = through(&Options::default(), &bad, usize::MAX);
        assert!(outcome.is_err_and(|error| error.exit_code() == 3), "byte {at}");
    }
}

#[test]
fn bytes_behind_the_end_are_refused() {
    let error = through(&Options::default(), &[SERVERS[0], b"*1\r\n"].concat(), usize::MAX).unwrap_err();
    assert!(error.to_string().contains("follow the end"), "{error}");
}

#[test]
fn a_checksum_that_was_not_computed_is_told_and_a_new_one_is_computed() {
    let mut file = SERVERS[0].to_vec();
    let end = file.len();
    file[end - 8..].fill(0);
    let (_, report) = through(&Options::default(), &file, usize::MAX).unwrap();
    assert_eq!(report.settings["source-crc64"], "not computed by the writer");
    assert!(report.findings.iter().any(|finding| finding.code == "no-checksum"));
    let (out, _) = through(&options(|o| o.drop_keys = vec![b"x".to_vec()]), &file, usize::MAX).unwrap();
    assert!(out[out.len() - 8..] != [0; 8]);
    let (again, report) = through(&Options::default(), &out, usize::MAX).unwrap();
    assert!(again == out && report.settings["source-crc64"] == "verified");
}

#[test]
fn filters_keep_exactly_the_right_keys_with_values_and_expiry() {
    type Wanted = Box<dyn Fn(u64, &[u8], Option<i64>, u8) -> bool>;
    let cases: Vec<(Options, Wanted)> = vec![
        (options(|o| o.databases = BTreeSet::from([0])), Box::new(|db, _, _, _| db == 0)),
        (
            options(|o| o.keys = vec![b"str*".to_vec(), b"int:?".to_vec()]),
            Box::new(|_, name, _, _| {
                name.starts_with(b"str") || (name.starts_with(b"int:") && name.len() == 5)
            }),
        ),
        (options(|o| o.drop_keys = vec![b"*a*".to_vec()]), Box::new(|_, name, _, _| !name.contains(&b'a'))),
        (options(|o| o.types = vec![DataType::String]), Box::new(|_, _, _, kind| kind == 0)),
        (
            options(|o| {
                o.now = i64::MAX;
                o.drop_expired = true;
            }),
            Box::new(|_, _, expires, _| expires.is_none()),
        ),
    ];
    for file in SERVERS {
        let all = keys(file);
        for (nth, (options, wanted)) in cases.iter().enumerate() {
            let (out, report) = through(options, file, usize::MAX).unwrap();
            let expected: Keys = all
                .iter()
                .filter(|((db, name), (expires, value))| wanted(*db, name, *expires, value[0]))
                .map(|(place, value)| (place.clone(), value.clone()))
                .collect();
            assert!(keys(&out) == expected, "case {nth}");
            assert!(expected.len() < all.len() && !expected.is_empty(), "case {nth} tells nothing");
            let dropped: u64 = report
                .changes
                .iter()
                .filter(|(kind, _)| kind.starts_with("key-dropped"))
                .map(|(_, n)| n)
                .sum();
            assert_eq!(report.counts["keys"] + dropped, all.len() as u64, "case {nth}");
        }
    }
}

#[test]
fn expiry_decides_by_the_moment_that_was_given() {
    let version = Version::redis(11);
    let content = [
        (0, "past", Some(999_999)),
        (0, "now", Some(1_000_000)),
        (0, "soon", Some(1_001_000)),
        (0, "late", Some(9_000_000)),
        (0, "never", None),
    ];
    let names = |options: &Options| -> Vec<String> {
        let (out, _) = through(options, &file(version, &content), 3).unwrap();
        keys(&out).keys().map(|(_, name)| String::from_utf8(name.clone()).unwrap()).collect()
    };
    assert_eq!(names(&options(|o| o.drop_expired = true)), ["late", "never", "soon"]);
    assert_eq!(names(&options(|o| o.ttl_min = Some(2_000))), ["late", "never"]);
}

/// The records that are neither keys nor values, as text.
fn others(file: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    Parser::new()
        .push::<RdbError, _>(file, &mut |record| {
            match record.event {
                Event::SelectDb(db) => found.push(format!("select {db}")),
                Event::ResizeDb { keys, .. } => found.push(format!("resize {keys}")),
                Event::Aux { name, .. } => found.push(String::from_utf8_lossy(name).into_owned()),
                _ => {}
            }
            Ok(())
        })
        .unwrap();
    found
}

#[test]
fn hints_stay_true_and_the_history_of_the_source_goes() {
    let source = file(Version::redis(11), &[(0, "a", None), (0, "b", None), (1, "c", None)]);
    let (out, _) = through(&options(|o| o.databases = BTreeSet::from([0])), &source, 5).unwrap();
    assert_eq!(others(&out), ["redis-ver", "used-mem", "select 0", "resize 2"]);
    let (out, _) = through(&options(|o| o.keys = vec![b"c".to_vec()]), &source, 5).unwrap();
    assert_eq!(
        others(&out),
        ["redis-ver", "used-mem", "select 1"],
        "one key of two, and no database without a key"
    );
    let (out, _) = through(&options(|o| o.renumber = BTreeMap::from([(0, 1), (1, 0)])), &source, 5).unwrap();
    assert_eq!(others(&out), ["redis-ver", "used-mem", "select 1", "resize 2", "select 0", "resize 1"]);
    let (out, _) = through(&options(|o| o.drop_aux = true), &source, 5).unwrap();
    assert_eq!(others(&out)[0], "select 0");
}

#[test]
fn databases_merge_only_without_a_common_key() {
    let into = |map: &[(u64, u64)]| options(|o| o.renumber = map.iter().copied().collect());
    let apart = file(Version::redis(9), &[(0, "a", None), (0, "b", None), (1, "c", None)]);
    let (out, report) = through(&into(&[(1, 0)]), &apart, 4).unwrap();
    assert_eq!(keys(&out).len(), 3);
    assert_eq!(report.objects, BTreeMap::from([("db0".to_owned(), 3)]));
    assert_eq!(others(&out).iter().filter(|text| text.starts_with("select")).count(), 1);

    let common = file(Version::redis(9), &[(0, "a", None), (0, "b", None), (1, "b", None)]);
    let error = through(&into(&[(1, 0)]), &common, 4).unwrap_err();
    assert_eq!(error.exit_code(), 4);
    assert!(error.to_string().contains("key: b") && error.to_string().contains("from: 1"), "{error}");
    through(&into(&[(1, 0), (0, 1)]), &common, 4).unwrap();

    let names: Vec<String> = (0..3000).map(|i| format!("k{i}")).collect();
    let many: Vec<_> = names.iter().map(|name| (0, name.as_str(), None)).collect();
    let small = Options { merge_memory: 16 << 10, ..into(&[(1, 0)]) };
    let error = through(&small, &file(Version::redis(9), &many), 4096).unwrap_err();
    assert!(error.to_string().contains("there are more"), "{error}");
}

#[test]
fn the_header_states_what_was_asked_and_content_must_fit() {
    let old = file(Version::redis(11), &[(0, "a", None)]);
    let (out, _) = through(&options(|o| o.version = Some(Version::redis(7))), &old, 4).unwrap();
    assert!(out.starts_with(b"REDIS0007"));
    keys(&out);
    // The snapshot of Redis 8.0 has a hash whose fields expire.
    let error = through(&options(|o| o.version = Some(Version::redis(11))), SERVERS[1], 4096).unwrap_err();
    assert_eq!(error.exit_code(), 4);
    let text = error.to_string();
    assert!(text.contains("REDIS0011") && text.contains("REDIS0012") && text.contains("key: "), "{text}");
    let without = options(|o| {
        o.version = Some(Version::redis(11));
        o.drop_keys = vec![b"*expir*".to_vec()];
    });
    let (out, _) = through(&without, SERVERS[1], 4096).unwrap();
    assert!(out.starts_with(b"REDIS0011") && !keys(&out).is_empty());
}

#[test]
fn without_being_asked_the_header_states_the_lowest_that_the_content_needs() {
    let kept = |keys: &[&str], types: &[DataType]| {
        options(|o| {
            o.keys = keys.iter().map(|key| key.as_bytes().to_vec()).collect();
            o.types = types.to_vec();
            o.drop_functions = true;
        })
    };
    for piece in [1, 100, usize::MAX] {
        // Integers and short strings are as old as AUX fields are; a Valkey 9 file of them loads in Redis 3.2.
        for server in SERVERS {
            let (out, report) = through(&kept(&["int:*"], &[]), server, piece).unwrap();
            assert_eq!(&out[..9], b"REDIS0007");
            assert_eq!(report.settings["version"], "REDIS0007");
            assert!(!keys(&out).is_empty());
        }
        let (out, _) = through(&kept(&[], &[DataType::SortedSet]), SERVERS[0], piece).unwrap();
        assert_eq!(&out[..9], b"REDIS0010", "packed sorted sets of Redis 7");
        let (out, _) = through(&kept(&[], &[DataType::Stream]), SERVERS[2], piece).unwrap();
        assert_eq!(&out[..9], b"REDIS0011", "streams of Valkey are those of Redis 7.2");
        let (out, _) = through(&kept(&[], &[DataType::Hash]), SERVERS[2], piece).unwrap();
        assert_eq!(&out[..9], b"VALKEY080", "fields that expire are Valkey's own");
        let (out, _) = through(&kept(&[], &[DataType::Hash]), SERVERS[1], piece).unwrap();
        assert_eq!(&out[..9], b"REDIS0012");
    }
    // Nothing before version 5 has a checksum, and what is written has one.
    let old = Options { drop_aux: true, ..kept(&["a"], &[]) };
    let (out, _) = through(&old, &file(Version::redis(3), &[(0, "a", None)]), 7).unwrap();
    assert_eq!(&out[..9], b"REDIS0005");
    // What is longer than can wait states the source's version, and says that it could be lower.
    let long = "x".repeat(6 << 20);
    let mut encoder = Encoder::new(Version::valkey(80));
    encoder.aux(b"valkey-ver", b"9.1.0");
    encoder.select_db(0);
    for name in [&b"a"[..], b"b", b"c"] {
        encoder.key(RdbKind::of(Version::valkey(80), 0).unwrap(), name);
        encoder.raw(&[&[0x80][..], &(long.len() as u32).to_be_bytes(), long.as_bytes()].concat());
    }
    let long = encoder.finish();
    let (out, report) = through(&kept(&["a", "b"], &[]), &long, 1 << 16).unwrap();
    assert_eq!(&out[..9], b"VALKEY080");
    assert_eq!(keys(&out).len(), 2);
    let told = report.findings.iter().find(|finding| finding.code == "version-higher-than-needed").unwrap();
    assert!(told.message.contains("--rdb-version 7"), "{}", told.message);
    // Unless the server said beforehand that it can be lower; then what needs more is a change that came in between.
    let plain = kept(&["a", "b"], &[]);
    plain.plain.store(true, std::sync::atomic::Ordering::Relaxed);
    let (out, _) = through(&plain, &long, 1 << 16).unwrap();
    assert_eq!(&out[..9], b"REDIS0011");
    let plain = options(|o| o.drop_keys = vec![b"nothing".to_vec()]);
    plain.plain.store(true, std::sync::atomic::Ordering::Relaxed);
    let error = through(&plain, SERVERS[2], 1 << 16).unwrap_err();
    assert_eq!(error.exit_code(), 75, "{error}");
    assert!(error.hints().iter().any(|hint| hint.contains("--rdb-version 80")), "{:?}", error.hints());
}

#[test]
fn shares_of_the_slots_are_disjoint_and_complete() {
    for server in SERVERS {
        let whole = keys(server);
        let mut all = Keys::new();
        for range in [0..=5460, 5461..=10922, 10923..=16383] {
            let (out, _) = through(&options(|o| o.slots = vec![range.clone()]), server, 1000).unwrap();
            let share = keys(&out);
            assert!(!share.is_empty() && share.len() < whole.len());
            let before = all.len() + share.len();
            all.extend(share);
            assert_eq!(all.len(), before, "no key is in two");
        }
        assert_eq!(all, whole);
    }
}

#[test]
fn elasticache_gets_what_it_loads_or_a_reason() {
    let target = |node: Option<u64>| options(|o| o.target = Some(Target { node_memory: node }));
    let plain = file(Version::redis(12), &[(0, "a", None), (15, "b", None)]);
    let (out, report) = through(&target(Some(64 << 20)), &plain, 4).unwrap();
    assert!(out.starts_with(b"REDIS0007"), "lowered to what its content needs");
    let verdict = report.findings.iter().find(|finding| finding.code == "verdict").unwrap();
    assert!(verdict.message.contains("2 keys in database 0, 15"), "{}", verdict.message);

    let refused = |options: &Options, file: &[u8], words: &[&str]| {
        let error = through(options, file, 4).unwrap_err();
        assert_eq!(error.exit_code(), 4);
        let text = format!("{error} {:?}", error.hints());
        assert!(words.iter().all(|word| text.contains(word)), "{text}");
    };
    refused(&target(None), &file(Version::redis(9), &[(16, "a", None)]), &["database 16", "--redis-map 16="]);
    refused(&target(Some(1 << 20)), &plain, &["a node of 1 MiB"]);
    refused(&target(None), SERVERS[2], &["VALKEY080", "--rdb-version 80"]);
    let shard = Options { slots: vec![0..=16383], ..target(None) };
    refused(&shard, &file(Version::redis(9), &[(1, "a", None)]), &["cluster mode", "database 1"]);
    let valkey = Options { version: Some(Version::valkey(80)), ..target(None) };
    assert!(through(&valkey, SERVERS[2], 4096).unwrap().0.starts_with(b"VALKEY080"));
}

#[test]
fn json_keeps_every_byte() {
    let version = Version::redis(9);
    let mut encoder = Encoder::new(version);
    encoder.select_db(2);
    encoder.expires_at(77);
    encoder.key(RdbKind::of(version, 0).unwrap(), b"q\"\\\n\x01\xff\xc3\xa9");
    encoder.raw(b"\x04\xf0\x9f\x98\x80");
    encoder.key(RdbKind::of(version, 5).unwrap(), b"z");
    encoder.raw(b"\x02\x01a\0\0\0\0\0\0\xf8\x3f\x01b\0\0\0\0\0\0\xf0\x7f");
    let expected = "{\"db\":2,\"key\":\"q\\\"\\\\\\n\\u0001\\udcff\u{e9}\",\"type\":\"string\",\"expires_at\":77,\"value\":\"\u{1f600}\"}\n\
                    {\"db\":2,\"key\":\"z\",\"type\":\"zset\",\"value\":[[\"a\",1.5],[\"b\",\"inf\"]]}\n";
    let json = options(|o| o.text = Some(TextForm::Json));
    let file = encoder.finish();
    for piece in [1, 2, 3, 1000] {
        let (out, report) = through(&json, &file, piece).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), expected);
        assert_eq!(report.counts["keys"], 2);
    }
    for file in SERVERS {
        let (out, report) = through(&json, file, 4096).unwrap();
        let lines = out.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        // Lone surrogates stand for bytes; this reader refuses them, so they are taken out first.
        let mut count = 0;
        for line in lines {
            let text = String::from_utf8(line.to_vec()).unwrap().replace("\\udc", "\\u00");
            let value: serde_json::Value =
                serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"));
            assert!(value["key"].is_string() && value["type"].is_string());
            count += 1;
        }
        assert_eq!(count, report.counts["keys"]);
    }
}

proptest! {
    #[test]
    fn cutting_does_not_matter(which in 0_usize..3, form in 0_usize..4, cuts in prop::collection::vec(1_usize..3000, 1..40)) {
        let asked = [
            Options::default(),
            options(|o| { o.drop_keys = vec![b"*1*".to_vec()]; o.renumber = BTreeMap::from([(0, 9)]); }),
            options(|o| o.text = Some(TextForm::Json)),
            options(|o| o.text = Some(TextForm::Resp)),
        ];
        let file = SERVERS[which];
        let whole = through(&asked[form], file, usize::MAX).unwrap();
        let mut step = Box::new(RdbStep::new(asked[form].clone()));
        let mut out = Vec::new();
        let mut rest = file;
        let mut cuts = cuts.iter().cycle();
        while !rest.is_empty() {
            let (piece, after) = rest.split_at((*cuts.next().unwrap()).min(rest.len()));
            step.push(Bytes::copy_from_slice(piece), &mut out).unwrap();
            rest = after;
        }
        let report = step.finish(&mut out).unwrap();
        prop_assert!((out, report) == whole);
    }
}
