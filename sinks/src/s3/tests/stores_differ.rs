//! Stores that do less than AWS, that lie, and that are asked for more.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use bytes::Bytes;
use pipeline::manifest::ENDING;
use pipeline::testing::conformance::{self, assert_clean, run, whole};
use pipeline::testing::{Random, content, manifest};
use pipeline::{Context, Destination, Kind as ErrorKind, PartHeader, Proof};
use stores::s3::{Bucket, ChecksumChoice, Kind, Patience, Sum};
use test_servers::s3::{Care, Fault, Op, Quirks};

use super::super::{S3Destination, S3Options};
use super::{KEY, Place};

fn data(seed: u64, length: usize) -> Bytes {
    Random::new(seed).bytes(length).into()
}

/// Which proof a store of this kind gives for a stream of several parts.
async fn proof(place: &Place, length: usize) -> Proof {
    let cx = Context::silent();
    let mut destination = place.s3("one", false);
    destination.probe(&cx).await.expect("probe");
    let mut sink = destination.open(&PartHeader::default(), &cx).await.expect("open");
    let data = data(1, length);
    sink.write(data.clone()).await.expect("write");
    let receipt = sink.commit(&content(&data)).await.expect("commit");
    destination.publish(&manifest("one", &[("stream", content(&data))]), &cx).await.expect("publish");
    let view = place.view_now();
    assert!(view.parts[""] == data, "the bytes are others");
    assert_clean(place).await;
    match receipt.proof {
        // What was read back is known only when the manifest is written, and stands there.
        Proof::Unverified => whole(&view).expect("an archive").parts[0].verified.clone(),
        proof => proof,
    }
}

#[tokio::test]
async fn the_best_checksum_that_the_store_checks_is_used() {
    use Care::{Checked, Ignored, Refused};
    let cases = [
        ([Checked, Checked, Checked], true, "crc64nvme"),
        ([Ignored, Checked, Checked], false, "crc32c"),
        ([Refused, Checked, Checked], false, "crc32c"),
        ([Ignored, Ignored, Checked], true, "md5"),
        ([Refused, Refused, Checked], false, "md5"),
        // The header means nothing to this store, but its ETag is the MD5 of what it holds.
        ([Ignored, Ignored, Ignored], false, "md5"),
        ([Ignored, Ignored, Ignored], true, "read-back"),
        ([Refused, Refused, Refused], false, "read-back"),
    ];
    for ([crc64, crc32c, md5], opaque_etags, expected) in cases {
        for length in [100_000, 11 << 20] {
            let place = Place::new(Quirks { crc64, crc32c, md5, opaque_etags, ..Quirks::default() });
            match proof(&place, length).await {
                Proof::StoreChecksum { algorithm, .. } => assert_eq!(algorithm, expected),
                Proof::ReadBack => assert_eq!(expected, "read-back"),
                other => panic!("{other:?} and not {expected}"),
            }
        }
    }
}

#[tokio::test]
async fn a_checksum_that_was_asked_for_and_is_not_checked_is_refused_before_anything_is_read() {
    let place = Place::new(Quirks { crc64: Care::Ignored, ..Quirks::default() });
    let mut url = place.url();
    url.checksum = ChecksumChoice::Fixed(Kind::Crc64Nvme);
    let mut destination = S3Destination::new(url, S3Options::new("one")).expect("a good address");
    let error = destination.probe(&Context::silent()).await.expect_err("it is not checked");
    assert_eq!(error.exit_code(), 5, "{error:?}");
    assert!(!error.hints().is_empty());
    assert_clean(&place).await;
}

#[tokio::test]
async fn equal_parts_where_the_store_wants_them() {
    let place = Place::new(Quirks { equal_parts: true, max_parts: 1000, ..Quirks::default() });
    let mut url = place.url();
    (url.equal_parts, url.max_parts, url.part_size) = (true, 1000, Some(6 << 20));
    let mut destination = S3Destination::new(url, S3Options::new("one")).expect("a good address");
    let parts = [("", data(2, 20 << 20))];
    run(&mut destination, "one", &parts).await.expect("run");
    assert!(place.view_now().parts[""] == parts[0].1);
    assert_eq!(place.server.count(Op::UploadPart), 4 + 2, "four parts, and two of the probe");
}

#[tokio::test]
async fn too_many_parts_end_with_a_way_out_and_leave_nothing() {
    let place = Place::new(Quirks::default());
    let mut url = place.url();
    (url.max_parts, url.part_size) = (2, Some(5 << 20));
    let mut destination = S3Destination::new(url, S3Options::new("one")).expect("a good address");
    let error = run(&mut destination, "one", &[("", data(2, 16 << 20))]).await.expect_err("too long");
    assert_eq!(error.exit_code(), 5);
    assert!(error.hints().iter().any(|hint| hint.contains("--memory")), "{error:?}");
    destination.abandon().await.expect("abandon");
    assert_clean(&place).await;
    assert!(place.view_now().manifest.is_none());
}

#[tokio::test]
async fn a_store_without_conditions_still_refuses_what_exists_and_replaces_it_when_told() {
    for conditions in [Care::Ignored, Care::Refused] {
        let place = Place::new(Quirks { conditions, ..Quirks::default() });
        let (old, new) = ([("", data(3, 100_000))], [("a", data(4, 6 << 20)), ("b/c", data(5, 10))]);
        run(&mut place.s3("old", false), "old", &old).await.expect("run");
        let error = place.s3("new", false).probe(&Context::silent()).await.expect_err("it exists");
        assert_eq!(error.exit_code(), 5);
        run(&mut place.s3("new", true), "new", &new).await.expect("run over it");
        assert_eq!(whole(&place.view_now()).expect("an archive").id, "new");
        assert_clean(&place).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_without_conditions_lets_one_of_racing_runs_win() {
    let place = Place::new(Quirks { conditions: Care::Ignored, ..Quirks::default() });
    conformance::of_two_racing_runs_one_wins(&place).await;
}

#[tokio::test]
async fn a_foreign_object_is_never_replaced_unless_told() {
    // Planted after the probe, so that only the store's condition can see it, or a look under the lock.
    for (length, conditions) in
        [(10, Care::Checked), (6 << 20, Care::Checked), (10, Care::Ignored), (6 << 20, Care::Refused)]
    {
        let place = Place::new(Quirks { conditions, ..Quirks::default() });
        let mut destination = place.s3("one", false);
        let cx = Context::silent();
        destination.probe(&cx).await.expect("probe");
        let mut sink = destination.open(&PartHeader::default(), &cx).await.expect("open");
        let data = data(6, length);
        sink.write(data.clone()).await.expect("write");
        sink.commit(&content(&data)).await.expect("commit");
        place.server.plant(KEY, b"somebody else's");
        let published = destination.publish(&manifest("one", &[("stream", content(&data))]), &cx).await;
        assert_eq!(published.expect_err("it exists").exit_code(), 5);
        destination.abandon().await.expect("abandon");
        assert_eq!(place.server.objects()[KEY].data, b"somebody else's");
        assert!(!place.server.objects().contains_key(&format!("{KEY}{ENDING}")));
        assert!(place.server.uploads().is_empty());
        let error = place.s3("two", false).probe(&cx).await.expect_err("it exists");
        assert!(error.hints().iter().any(|hint| hint.contains("--overwrite")), "{error:?}");
        run(&mut place.s3("two", true), "two", &[("", data)]).await.expect("told to");
        assert_clean(&place).await;
    }
}

/// One fault at one kind of request, and how the run ends.
async fn with_fault(op: Op, fault: Fault, times: u64) -> (Place, Result<(), pipeline::Error>) {
    let mut place = Place::new(Quirks::default());
    place.patience = 2;
    let seen = Arc::new(AtomicU64::new(0));
    // The probe has uploads of its own; the faults are for what comes after it.
    let armed = Arc::new(AtomicU64::new(0));
    let switch = Arc::clone(&armed);
    place.server.faults(move |request| {
        let fits = switch.load(SeqCst) == 1 && request.op == op && seen.fetch_add(1, SeqCst) < times;
        fits.then_some(fault)
    });
    let cx = Context::silent();
    let mut destination = place.s3("one", false);
    let data = data(7, 11 << 20);
    let result = async {
        destination.probe(&cx).await?;
        armed.store(1, SeqCst);
        let mut sink = destination.open(&PartHeader::default(), &cx).await?;
        sink.write(data.clone()).await?;
        sink.commit(&content(&data)).await?;
        destination.publish(&manifest("one", &[("stream", content(&data))]), &cx).await
    }
    .await;
    place.server.heal();
    if result.is_err() {
        destination.abandon().await.expect("abandon");
        assert!(place.view_now().manifest.is_none(), "{op:?} {fault:?}: published all the same");
    } else {
        assert!(place.view_now().parts[""] == data, "{op:?} {fault:?}: other bytes");
    }
    assert_clean(&place).await;
    (place, result)
}

#[tokio::test]
async fn what_passes_is_survived() {
    use Op::{CompleteMultipartUpload, CreateMultipartUpload, PutObject, UploadPart};
    let faults = [
        Fault::Status(503, "SlowDown"),
        Fault::Status(500, "InternalError"),
        Fault::Status(400, "RequestTimeout"),
        Fault::Reset,
        Fault::ResetInside,
        Fault::LostAnswer,
    ];
    for op in [UploadPart, CompleteMultipartUpload, PutObject] {
        for fault in faults {
            let (_, result) = with_fault(op, fault, 1).await;
            result.unwrap_or_else(|error| panic!("{op:?} {fault:?}: {error:?}"));
        }
    }
    // A begun upload whose answer was lost is not known to anybody; it is for `gc`.
    for fault in faults.into_iter().filter(|fault| *fault != Fault::LostAnswer) {
        with_fault(CreateMultipartUpload, fault, 2).await.1.expect("survived");
    }
    for fault in [Fault::ErrorInside, Fault::Status(409, "ConditionalRequestConflict")] {
        with_fault(CompleteMultipartUpload, fault, 2).await.1.unwrap_or_else(|e| panic!("{fault:?}: {e:?}"));
    }
    // Bytes changed on the way and seen by the store: sent again.
    with_fault(UploadPart, Fault::Status(400, "BadDigest"), 1).await.1.expect("sent again");
}

#[tokio::test]
async fn what_does_not_pass_is_temporary_and_leaves_nothing() {
    for op in [Op::CreateMultipartUpload, Op::UploadPart, Op::CompleteMultipartUpload, Op::PutObject] {
        let (_, result) = with_fault(op, Fault::Status(503, "SlowDown"), u64::MAX).await;
        let error = result.expect_err("the store is down");
        assert_eq!((error.kind(), error.exit_code()), (ErrorKind::Temporary, 75), "{op:?}: {error:?}");
        assert!(!error.hints().is_empty());
    }
}

#[tokio::test]
async fn a_store_that_changes_loses_or_lies_is_found_out() {
    let cases = [
        (Op::UploadPart, Fault::Corrupt, 1),
        (Op::UploadPart, Fault::LosePart, 1),
        (Op::UploadPart, Fault::WrongChecksum, u64::MAX),
        (Op::CompleteMultipartUpload, Fault::WrongChecksum, 1),
        // The manifest.
        (Op::PutObject, Fault::Corrupt, 1),
    ];
    for (op, fault, times) in cases {
        let (_, result) = with_fault(op, fault, times).await;
        let error = result.expect_err("the archive is not whole");
        assert_eq!(error.exit_code(), 6, "{op:?} {fault:?}: {error:?}");
    }
}

#[tokio::test]
async fn a_whole_object_that_the_store_changed_is_found_out_by_any_store() {
    use Care::{Checked, Ignored};
    // By the CRC64NVME that it tells, by its ETag, and by reading.
    for (crc64, opaque_etags) in [(Checked, true), (Ignored, false), (Ignored, true)] {
        let place = Place::new(Quirks { crc64, opaque_etags, ..Quirks::default() });
        place.server.faults(|seen| (seen.op == Op::PutObject && seen.key == KEY).then_some(Fault::Corrupt));
        let mut destination = place.s3("one", false);
        let error = run(&mut destination, "one", &[("", data(3, 100_000))]).await.expect_err("it is another");
        assert_eq!(error.exit_code(), 6, "{error:?}");
        destination.abandon().await.expect("abandon");
        assert!(place.view_now().manifest.is_none());
        assert_clean(&place).await;
    }
}

#[tokio::test]
async fn a_state_that_cannot_be_found_out_is_told_as_such() {
    let mut place = Place::new(Quirks::default());
    place.patience = 1;
    let cx = Context::silent();
    let mut destination = place.s3("one", false);
    let data = data(8, 6 << 20);
    destination.probe(&cx).await.expect("probe");
    let mut sink = destination.open(&PartHeader::default(), &cx).await.expect("open");
    sink.write(data.clone()).await.expect("write");
    sink.commit(&content(&data)).await.expect("commit");
    // The completion arrives, its answer does not, and the store then answers nobody.
    place.server.faults(|seen| match seen.op {
        Op::CompleteMultipartUpload => Some(Fault::LostAnswer),
        _ => Some(Fault::Status(503, "SlowDown")),
    });
    let error = destination.publish(&manifest("one", &[("stream", content(&data))]), &cx).await;
    assert_eq!(error.expect_err("unknown").exit_code(), 7);
    // Whole bytes without a manifest: no archive.
    place.server.heal();
    assert!(place.view_now().manifest.is_none());
}

#[tokio::test]
async fn what_the_address_asks_for_reaches_the_objects() {
    let place = Place::new(Quirks::default());
    for length in [10, 6 << 20] {
        let mut url = place.url().at(format!("dressed/{length}"));
        url.sse = Some("aws:kms".to_owned());
        url.sse_kms_key_id = Some("key-1".to_owned());
        url.storage_class = Some("STANDARD_IA".to_owned());
        url.tags = Some("team=db&keep=1".to_owned());
        url.metadata.insert("owner".to_owned(), "me".to_owned());
        url.lock_mode = Some("GOVERNANCE".to_owned());
        url.lock_until = Some("2030-01-31T00:00:00Z".to_owned());
        url.acl = Some("bucket-owner-full-control".to_owned());
        let key = url.key.clone();
        let mut destination = S3Destination::new(url, S3Options::new("one")).expect("a good address");
        run(&mut destination, "one", &[("", data(9, length))]).await.expect("run");
        let objects = place.server.objects();
        for (key, class) in [(key.clone(), Some("STANDARD_IA")), (format!("{key}{ENDING}"), None)] {
            let headers = &objects[&key].headers;
            assert_eq!(headers.get("x-amz-storage-class").map(String::as_str), class, "{key}");
            for (name, value) in [
                ("x-amz-server-side-encryption", "aws:kms"),
                ("x-amz-server-side-encryption-aws-kms-key-id", "key-1"),
                ("x-amz-tagging", "team=db&keep=1"),
                ("x-amz-meta-owner", "me"),
                ("x-amz-meta-dbferry-run", "one"),
                ("x-amz-object-lock-mode", "GOVERNANCE"),
                ("x-amz-object-lock-retain-until-date", "2030-01-31T00:00:00Z"),
                ("x-amz-acl", "bucket-owner-full-control"),
            ] {
                assert_eq!(headers.get(name).map(String::as_str), Some(value), "{key} {name}");
            }
        }
    }
}

#[tokio::test]
async fn wrong_keys_clocks_and_rights_are_told_before_anything_is_read() {
    let cx = Context::silent();
    let refused = async |place: &Place, url| {
        let mut destination = S3Destination::new(url, S3Options::new("one")).expect("a good address");
        let error = destination.probe(&cx).await.expect_err("refused");
        assert!(!error.hints().is_empty(), "{error:?}");
        assert!(!format!("{error:?}").contains("a-secret-that"), "{error:?}");
        assert_clean(place).await;
        error
    };
    let place = Place::new(Quirks::default());
    let mut url = place.url();
    url.keys.as_mut().expect("keys").id = "AKIAWRONG".to_owned();
    assert!(refused(&place, url).await.to_string().contains("InvalidAccessKeyId"));
    let mut url = place.url();
    url.keys.as_mut().expect("keys").secret = pipeline::endpoint::Secret::new("wrong");
    assert!(refused(&place, url).await.to_string().contains("SignatureDoesNotMatch"));
    let mut url = place.url();
    url.bucket = "nowhere".to_owned();
    assert!(refused(&place, url).await.to_string().contains("NoSuchBucket"));
    let mut url = place.url();
    url.endpoint = url.endpoint.map(|endpoint| endpoint.replace("http:", "https:"));
    let error = refused(&place, url).await;
    assert!(error.hints().iter().any(|hint| hint.contains("http://")), "{error:?}");
    let denied = Place::new(Quirks { denied: vec![Op::CreateMultipartUpload], ..Quirks::default() });
    let error = refused(&denied, denied.url()).await;
    assert_eq!(error.exit_code(), 5, "{error:?}");
    // A clock that is wrong by an hour is corrected from the store's own.
    let skewed = Place::new(Quirks { clock: 3600, ..Quirks::default() });
    let parts = [("", data(3, 6 << 20))];
    run(&mut skewed.s3("one", false), "one", &parts).await.expect("the clock is corrected");
    assert!(skewed.view_now().parts[""] == parts[0].1);
}

#[tokio::test]
async fn a_request_that_stalls_is_given_up_and_made_again() {
    let place = Place::new(Quirks::default());
    let mut patience = Patience::new(Duration::from_secs(20));
    patience.answer = Duration::from_millis(500);
    let bucket = Bucket::connect(&place.url()).await.expect("a client").with_patience(patience);
    let upload = bucket.create(KEY, Kind::Crc64Nvme, "one").await.expect("begun");
    let seen = AtomicU64::new(0);
    place.server.faults(move |request| {
        let first = request.op == Op::UploadPart && seen.fetch_add(1, SeqCst) == 0;
        first.then_some(Fault::Stall(Duration::from_secs(30)))
    });
    let begun = std::time::Instant::now();
    let (data, sum) = (data(1, 1000), Sum::of(Kind::Crc64Nvme, &data(1, 1000)));
    bucket.upload_part(&upload, 1, data, &sum).await.expect("made again");
    assert!(begun.elapsed() < Duration::from_secs(25), "{:?}", begun.elapsed());
    assert_eq!(place.server.count(Op::UploadPart), 2);
    bucket.abort(&upload).await.expect("aborted");
    assert_clean(&place).await;
}
