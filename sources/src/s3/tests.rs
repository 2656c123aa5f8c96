//! Reading from a server in this process that breaks connections, changes objects and denies.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pipeline::endpoint::Secret;
use pipeline::testing::{MemoryStore, Random, content, manifest};
use pipeline::{Context, Delivery, Job, Settings, no_steps};
use stores::s3::{Keys, S3Url};
use test_servers::s3::{ACCESS_KEY, Care, FakeS3, Fault, Op, Quirks, SECRET_KEY};

use super::S3Source;

pub(super) fn url(server: &FakeS3, key: &str) -> S3Url {
    let mut url = S3Url::parse(&server.url("x")).expect("a good address").at(key);
    url.keys = Some(Keys { id: ACCESS_KEY.to_owned(), secret: Secret::new(SECRET_KEY) });
    url.retry = Duration::from_secs(5);
    url
}

/// Copies what is there into memory, and gives what arrived.
async fn copy(source: S3Source) -> Result<pipeline::testing::View, pipeline::Error> {
    let store = MemoryStore::new();
    copy_into(source, &store).await?;
    Ok(store.view())
}

pub(super) async fn copy_into(source: S3Source, store: &MemoryStore) -> Result<(), pipeline::Error> {
    let job = Job {
        id: "test".to_owned(),
        source: Box::new(source),
        steps: no_steps(),
        deliveries: vec![Delivery {
            destination: Box::new(store.destination()),
            share: None,
            tail: no_steps(),
            bare: (no_steps(), String::new()),
            compression: "none".to_owned(),
            ending: String::new(),
            optional: false,
        }],
        settings: Settings::default(),
    };
    pipeline::run(job, &Context::silent()).await.map(|_| ())
}

#[tokio::test]
async fn an_object_of_any_length_arrives() {
    let server = FakeS3::start(Quirks::default()).expect("a server");
    for length in [0, 1, 699_049, 699_050, 5_000_000] {
        let data = Random::new(length as u64).bytes(length);
        server.plant("a/b c+%.sql", &data);
        let view = copy(S3Source::new(url(&server, "a/b c+%.sql"), 4 << 20)).await.expect("copied");
        assert!(view.parts[""] == data, "{length} bytes");
    }
}

#[tokio::test]
async fn an_archive_of_many_parts_arrives_by_its_manifest() {
    let server = FakeS3::start(Quirks::default()).expect("a server");
    let parts = [("schema.sql", Random::new(1).bytes(1000)), ("d/1.sql", Random::new(2).bytes(900_000))];
    for (path, data) in &parts {
        server.plant(&format!("dir/{path}"), data);
    }
    server.plant("dir/not-of-the-archive", b"x");
    let described: Vec<_> = parts.iter().map(|(path, data)| (*path, content(data))).collect();
    let json = manifest("one", &described).to_json().expect("json");
    server.plant("dir/manifest.json", &json);
    for key in ["dir", "dir/"] {
        let view = copy(S3Source::new(url(&server, key), 4 << 20)).await.expect("copied");
        assert_eq!(view.parts.len(), 2);
        for (path, data) in &parts {
            assert!(view.parts[*path] == *data, "{path}");
        }
    }
    server.plant("dir/d/1.sql", b"shorter");
    let error = copy(S3Source::new(url(&server, "dir"), 4 << 20)).await.expect_err("another length");
    assert_eq!(error.exit_code(), 3, "{error:?}");
}

#[tokio::test]
async fn a_manifest_that_says_nothing_usable_is_no_missing_manifest() {
    // The store tells no checksum, so the manifest is all there is to hold the bytes against.
    let quirks = Quirks { crc64: Care::Ignored, ..Quirks::default() };
    let server = FakeS3::start(quirks).expect("a server");
    let data = Random::new(3).bytes(100_000);
    server.plant("one.sql", &data);
    let view = copy(S3Source::new(url(&server, "one.sql"), 4 << 20)).await.expect("an object alone");
    assert!(view.parts[""] == data);

    let whole = manifest("old", &[("one.sql", content(&data))]).to_json().expect("json");
    let mut torn = whole.clone();
    torn[10] ^= 0x20;
    let other_length = manifest("old", &[("one.sql", content(&data[1..]))]).to_json().expect("json");
    let two = [("one.sql", content(&data)), ("two.sql", content(&data))];
    let two = manifest("old", &two).to_json().expect("json");
    for json in [&torn[..], b"{}", &other_length, &two] {
        server.plant("one.sql.manifest.json", json);
        let error = copy(S3Source::new(url(&server, "one.sql"), 4 << 20)).await.expect_err("no manifest");
        assert_eq!(error.exit_code(), 6, "{error:?}");
        assert!(format!("{error:?}").contains("one.sql.manifest.json"), "{error:?}");
    }
    server.plant("one.sql.manifest.json", &whole);
    copy(S3Source::new(url(&server, "one.sql"), 4 << 20)).await.expect("a manifest that promises this");
}

#[tokio::test]
async fn what_is_not_there_is_told_with_what_is() {
    let server = FakeS3::start(Quirks::default()).expect("a server");
    server.plant("dir/one.sql", b"x");
    let error = copy(S3Source::new(url(&server, "nothing"), 4 << 20)).await.expect_err("nothing there");
    assert_eq!(error.exit_code(), 3);
    assert!(error.to_string().contains("is not there"), "{error:?}");
    let error = copy(S3Source::new(url(&server, "dir"), 4 << 20)).await.expect_err("only a prefix");
    assert!(error.hints().iter().any(|hint| hint.contains("dir/one.sql")), "{error:?}");
    let mut elsewhere = url(&server, "x");
    elsewhere.bucket = "nowhere".to_owned();
    let error = copy(S3Source::new(elsewhere, 4 << 20)).await.expect_err("no bucket");
    assert!(error.to_string().contains("NoSuchBucket"), "{error:?}");
}

#[tokio::test]
async fn broken_connections_are_continued_at_the_right_byte() {
    let server = FakeS3::start(Quirks::default()).expect("a server");
    let data = Random::new(3).bytes(6 << 20);
    server.plant("k", &data);
    for seed in 0..8 {
        let random = Mutex::new(Random::new(seed));
        server.faults(move |seen| {
            let mut random = random.lock().ok()?;
            let faults = [Fault::CutAnswer, Fault::LostAnswer, Fault::Reset, Fault::Status(503, "SlowDown")];
            (seen.op == Op::GetObject && random.below(3) == 0).then(|| faults[random.below(4)])
        });
        let view = copy(S3Source::new(url(&server, "k"), 4 << 20)).await.expect("continued");
        assert!(view.parts[""] == data, "seed {seed}");
    }
}

#[tokio::test]
async fn an_object_that_is_replaced_while_it_is_read_is_no_success() {
    let server = Arc::new(FakeS3::start(Quirks::default()).expect("a server"));
    server.plant("k", &Random::new(4).bytes(6 << 20));
    let (seen_gets, planter) = (AtomicU64::new(0), Arc::clone(&server));
    server.faults(move |seen| {
        if seen.op == Op::GetObject && seen_gets.fetch_add(1, SeqCst) == 5 {
            planter.plant("k", &Random::new(5).bytes(6 << 20));
        }
        None
    });
    let error = copy(S3Source::new(url(&server, "k"), 4 << 20)).await.expect_err("replaced");
    assert!(error.to_string().contains("replaced"), "{error:?}");
    assert_eq!(error.exit_code(), 3);
    server.heal();
}

#[tokio::test]
async fn a_store_that_stays_away_is_temporary() {
    let server = FakeS3::start(Quirks::default()).expect("a server");
    server.plant("k", &Random::new(6).bytes(1 << 20));
    server.faults(|seen| (seen.op == Op::GetObject).then_some(Fault::Reset));
    let mut url = url(&server, "k");
    url.retry = Duration::from_secs(1);
    let error = copy(S3Source::new(url, 4 << 20)).await.expect_err("down");
    assert_eq!(error.exit_code(), 75, "{error:?}");
}
