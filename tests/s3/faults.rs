//! What a user meets: archives that come back, and failures that leave nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering::SeqCst};
use std::time::{Duration, Instant};

use test_servers::s3::{FakeS3, Fault, Op, Quirks};
use test_servers::{TestResult, Trials};

use crate::tool::{Tool, dump};

pub(crate) fn trials(trials: Trials) -> Trials {
    trials
        .with("an_archive_goes_to_s3_and_comes_back", &[], round_trip)
        .with("what_the_address_gets_wrong", &[], wrong_addresses)
        .with("a_source_that_fails_leaves_nothing", &[], failing_source)
        .with("kill_9_between_any_two_requests_leaves_no_half_archive", &[], killed)
        .with("a_signal_aborts_the_upload", &[], interrupted)
        .with("an_outage_is_waited_for", &[], outage)
        .with("a_store_that_is_down_is_exit_75", &[], down)
        .with("damage_in_the_store_is_seen_by_verify", &[], damaged)
}

fn round_trip() -> TestResult {
    let server = FakeS3::start(Quirks::default())?;
    let tool = Tool::new();
    let sql = dump(200_000);
    tool.write("in.sql", &sql);
    for (key, wanted) in [("d/a.sql", None), ("d/a.sql.zst", Some("zstd")), ("d/a.sql.gz", Some("gzip"))] {
        let url = server.url(key);
        let said = tool.expect(0, &["copy", "in.sql", &url]);
        assert!(said.contains("crc64nvme"), "the proof is told: {said}");
        if wanted.is_none() {
            assert!(server.objects()[key].data == sql);
        }
        let said = tool.expect(0, &["verify", &url]);
        assert!(said.contains("verified"), "{said}");
        tool.expect(0, &["verify", &server.url(&format!("{key}.manifest.json"))]);
        let said = tool.expect(0, &["inspect", &url]);
        assert!(said.contains("200000"), "{said}");
        tool.expect(0, &["copy", &url, "out.sql", "--overwrite"]);
        assert!(tool.read("out.sql") == sql, "{key}");
        // It is there; so it is not replaced unless that is asked for.
        let said = tool.expect(5, &["copy", "in.sql", &url]);
        assert!(said.contains("--overwrite"), "{said}");
        tool.expect(0, &["copy", "in.sql", &url, "--overwrite"]);
    }
    // A folder gives the archive a name, and placeholders are filled in.
    tool.expect(0, &["copy", "in.sql", &server.url("named/{db}-{id}.sql.zst")]);
    let names: Vec<String> =
        server.objects().into_keys().filter(|key| key.starts_with("named/in-")).collect();
    assert_eq!(names.len(), 2, "{names:?}");
    assert!(server.uploads().is_empty());
    // From bucket to bucket, two at once.
    tool.expect(0, &["copy", &server.url("d/a.sql.zst"), &server.url("e/1.sql.gz"), &server.url("e/2.sql")]);
    assert!(server.objects()["e/2.sql"].data == sql);
    Ok(())
}

fn wrong_addresses() -> TestResult {
    let server = FakeS3::start(Quirks::default())?;
    let tool = Tool::new();
    tool.write("in.sql", dump(10));
    let cases = [
        ("s3://?endpoint=http://127.0.0.1:1".to_owned(), 2, "bucket"),
        ("s3://AKIA:verysecret@bucket/key".to_owned(), 2, "AWS_ACCESS_KEY_ID"),
        (server.url("k") + "&colour=red", 2, "known:"),
        (server.url("k").replace("archive", "nowhere"), 5, "NoSuchBucket"),
        (server.url("k").replace("http:", "https:"), 5, "http://"),
        (server.url("k") + "&ca=/nowhere.pem", 2, "PEM"),
    ];
    for (url, code, word) in cases {
        let said = tool.expect(code, &["copy", "in.sql", &url]);
        assert!(said.contains(word) && said.contains("hint:"), "{url}: {said}");
        assert!(!said.contains("verysecret"), "{said}");
    }
    let stranger = Tool::with_keys("AKIANOBODY", "nothing");
    stranger.write("in.sql", dump(10));
    let said = stranger.expect(5, &["copy", "in.sql", &server.url("k")]);
    assert!(said.contains("InvalidAccessKeyId") && said.contains("hint:"), "{said}");
    let said = tool.expect(3, &["copy", &server.url("nothing"), "out.sql"]);
    assert!(said.contains("not there"), "{said}");
    tool.expect(6, &["verify", &server.url("nothing")]);
    assert!(server.objects().is_empty() && server.uploads().is_empty());
    Ok(())
}

fn failing_source() -> TestResult {
    let server = FakeS3::start(Quirks::default())?;
    let tool = Tool::new();
    let sql = dump(400_000);
    tool.write("cut.sql", &sql[..sql.len() - 45]);
    tool.expect(3, &["copy", "cut.sql", &server.url("k.sql")]);
    let said = tool.expect(3, &["copy", &server.url("k.sql"), "--", "sh", "-c", "cat cut.sql; exit 1"]);
    assert!(said.contains("exit"), "{said}");
    assert!(server.objects().is_empty() && server.uploads().is_empty(), "{:?}", server.uploads());
    Ok(())
}

/// The process is killed when a request arrives, before it is looked at or when all of it is done: at each request of a run in turn. At most an object
/// that is whole and has no manifest is left, never a manifest without its object; `gc` finds the rest.
fn killed() -> TestResult {
    for overwrite in [false, true] {
        for done in [false, true] {
            let mut at = 0;
            while kill_at(at, done, overwrite)? {
                at += 1;
            }
            assert!(at > 8, "a run of {at} requests is none");
        }
    }
    Ok(())
}

/// False when the run ended before it made so many requests.
fn kill_at(at: u64, done: bool, overwrite: bool) -> Result<bool, Box<dyn std::error::Error>> {
    let server = FakeS3::start(Quirks::default())?;
    let tool = Tool::new();
    let (old, new) = (dump(10), dump(120_000));
    tool.write("old.sql", &old);
    tool.write("new.sql", &new);
    let url = server.url("k.sql");
    if overwrite {
        tool.expect(0, &["copy", "old.sql", &url]);
    }
    let first = server.requests();
    let pid = Arc::new(AtomicI32::new(0));
    let victim = Arc::clone(&pid);
    server.faults(move |seen| {
        if seen.number != first + at {
            return None;
        }
        let mut pid = None;
        while pid.is_none() {
            pid = rustix::process::Pid::from_raw(victim.load(SeqCst));
        }
        rustix::process::kill_process(pid?, rustix::process::Signal::KILL).ok()?;
        Some(if done { Fault::LostAnswer } else { Fault::Reset })
    });
    let mut child = tool.command(&["copy", "new.sql", &url, "--overwrite"]).spawn()?;
    pid.store(i32::try_from(child.id())?, SeqCst);
    let status = child.wait()?;
    // What it had sent may still be on its way.
    while server.open_requests() > 0 {
        std::thread::sleep(Duration::from_millis(1));
    }
    server.heal();
    let objects = server.objects();
    let context = format!("request {at}, done {done}, overwrite {overwrite}");
    if objects.contains_key("k.sql.manifest.json") {
        tool.expect(0, &["verify", &url]);
    } else {
        tool.expect(6, &["verify", &url]);
    }
    if let Some(object) = objects.get("k.sql") {
        assert!(object.data == old || object.data == new, "{context}: an object that is not whole");
    }
    tool.expect(0, &["gc", &server.url(""), "--older-than", "0s", "--yes"]);
    assert!(server.uploads().is_empty(), "{context}: {:?}", server.uploads());
    let left: Vec<String> = server.objects().into_keys().collect();
    assert!(left.is_empty() || left == ["k.sql", "k.sql.manifest.json"], "{context}: {left:?}");
    if !left.is_empty() {
        tool.expect(0, &["verify", &url]);
    }
    Ok(!status.success())
}

fn interrupted() -> TestResult {
    let server = FakeS3::start(Quirks::default())?;
    let tool = Tool::new();
    tool.write("in.sql", dump(400_000));
    // A source that stays silent after its first bytes: the upload is open, and nothing is in flight.
    let url = server.url("k.sql");
    let child = tool.command(&["copy", &url, "--", "sh", "-c", "cat in.sql; sleep 60"]).spawn()?;
    let begun = Instant::now();
    while server.uploads().is_empty() || server.count(Op::UploadPart) < 4 {
        assert!(begun.elapsed() < Duration::from_secs(60), "no upload was begun");
        std::thread::sleep(Duration::from_millis(20));
    }
    let pid = rustix::process::Pid::from_raw(i32::try_from(child.id())?).ok_or("no pid")?;
    rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
    let output = child.wait_with_output()?;
    assert_eq!(output.status.code(), Some(143));
    assert!(server.uploads().is_empty(), "{:?}", server.uploads());
    assert!(server.objects().is_empty());
    Ok(())
}

/// Four seconds without network, in the middle of the upload and in the middle of reading.
fn outage() -> TestResult {
    let server = FakeS3::start(Quirks::default())?;
    let tool = Tool::new();
    let sql = dump(300_000);
    tool.write("in.sql", &sql);
    let away = |op: Op, nth: u32| {
        let (mut until, mut count) = (None, 0);
        server.faults(move |seen| {
            count += u32::from(seen.op == op);
            if count == nth {
                until.get_or_insert_with(|| Instant::now() + Duration::from_secs(4));
            }
            until.is_some_and(|until| Instant::now() < until).then_some(Fault::ResetInside)
        });
    };
    away(Op::CompleteMultipartUpload, 1);
    tool.expect(0, &["copy", "in.sql", &server.url("1.sql")]);
    server.heal();
    let seen = server.count(Op::UploadPart);
    // Behind those of the probe.
    away(Op::UploadPart, 3);
    tool.expect(0, &["copy", "in.sql", &server.url("2.sql")]);
    assert!(server.count(Op::UploadPart) > 2 * seen, "no part was sent again");
    away(Op::GetObject, 1);
    tool.expect(0, &["copy", &server.url("2.sql"), "out.sql"]);
    server.heal();
    assert!(tool.read("out.sql") == sql && server.objects()["1.sql"].data == sql);
    tool.expect(0, &["verify", &server.url("2.sql")]);
    assert!(server.uploads().is_empty());
    Ok(())
}

fn down() -> TestResult {
    let server = FakeS3::start(Quirks::default())?;
    let tool = Tool::new();
    tool.write("in.sql", dump(200_000));
    server.faults(|seen| {
        (seen.op == Op::UploadPart && seen.number > 4).then_some(Fault::Status(503, "SlowDown"))
    });
    let said = tool.expect(75, &["copy", "in.sql", &(server.url("k.sql") + "&retry=1")]);
    assert!(said.contains("SlowDown") && said.contains("hint:"), "{said}");
    assert!(server.objects().is_empty() && server.uploads().is_empty());
    Ok(())
}

fn damaged() -> TestResult {
    let server = FakeS3::start(Quirks::default())?;
    let tool = Tool::new();
    tool.write("in.sql", dump(1000));
    let url = server.url("k.sql.zst");
    tool.expect(0, &["copy", "in.sql", &url]);
    let mut data = server.objects()["k.sql.zst"].data.clone();
    let middle = data.len() / 2;
    data[middle] ^= 1;
    server.plant("k.sql.zst", &data);
    let said = tool.expect(6, &["verify", &url]);
    assert!(said.contains("stored bytes"), "{said}");
    server.plant("k.sql.zst", &data[..middle]);
    tool.expect(6, &["verify", &url]);
    Ok(())
}
