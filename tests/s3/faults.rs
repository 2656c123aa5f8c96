//! What a user meets: archives that come back, and failures that leave nothing.

use std::time::Duration;

use test_servers::s3::{FakeS3, Fault, Op, Quirks};
use test_servers::{TestResult, Trials};

use crate::tool::{Tool, dump};

pub(crate) fn trials(trials: Trials) -> Trials {
    trials
        .with("an_archive_goes_to_s3_and_comes_back", &[], round_trip)
        .with("what_the_address_gets_wrong", &[], wrong_addresses)
        .with("a_source_that_fails_leaves_nothing", &[], failing_source)
        .with("kill_9_at_any_moment_leaves_no_half_archive", &[], killed)
        .with("a_signal_aborts_the_upload", &[], interrupted)
        .with("a_store_that_is_down_is_exit_75", &[], down)
        .with("damage_in_the_store_is_seen_by_verify", &[], damaged)
        .with("memory_stays_in_its_budget", &[], memory)
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

/// At most one object that is whole and has no manifest; never a manifest without its object.
fn killed() -> TestResult {
    let server = FakeS3::start(Quirks::default())?;
    let tool = Tool::new();
    let sql = dump(400_000);
    tool.write("in.sql", &sql);
    let slow = Duration::from_millis(15);
    server.faults(move |_| Some(Fault::Stall(slow)));
    let mut published = 0;
    for round in 0..16_u64 {
        let key = format!("k/{round}.sql");
        let mut child = tool.command(&["copy", "in.sql", &server.url(&key)]).spawn()?;
        std::thread::sleep(Duration::from_millis(30 + round * 25));
        child.kill()?;
        child.wait()?;
        let objects = server.objects();
        if let Some(object) = objects.get(&key) {
            assert!(object.data == sql, "round {round}: an object that is not whole");
        }
        if objects.contains_key(&format!("{key}.manifest.json")) {
            assert!(objects.contains_key(&key), "round {round}: a manifest without its object");
            published += 1;
            tool.expect(0, &["verify", &server.url(&key)]);
        } else {
            tool.expect(6, &["verify", &server.url(&key)]);
        }
    }
    assert!(published < 16, "no run was killed in time");
    Ok(())
}

fn interrupted() -> TestResult {
    let server = FakeS3::start(Quirks::default())?;
    let tool = Tool::new();
    tool.write("in.sql", dump(400_000));
    // A source that stays silent after its first bytes: the upload is open, and nothing is in flight.
    let url = server.url("k.sql");
    let child = tool.command(&["copy", &url, "--", "sh", "-c", "cat in.sql; sleep 60"]).spawn()?;
    let begun = std::time::Instant::now();
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

/// A gibibyte of a length that nobody knows, to a store that keeps nothing.
fn memory() -> TestResult {
    let server = FakeS3::start(Quirks { discard: true, ..Quirks::default() })?;
    let tool = Tool::new();
    let url = server.url("big") + "&region=us-east-1";
    let script = "head -c 1073741824 /dev/zero";
    let mut command =
        tool.command(&["copy", &url, "--memory", "128MiB", "--format", "opaque", "--", "sh", "-c", script]);
    let child = command.spawn()?;
    let status = format!("/proc/{}/status", child.id());
    let watcher = std::thread::spawn(move || {
        let mut peak = 0_u64;
        while let Ok(text) = std::fs::read_to_string(&status) {
            let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            peak = peak.max(line.and_then(|l| l.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0));
            std::thread::sleep(Duration::from_millis(20));
            if line.is_none() {
                break;
            }
        }
        peak
    });
    let output = child.wait_with_output()?;
    let peak = watcher.join().map_err(|_| "the watcher panicked")?;
    assert!(output.status.success());
    assert!(peak > 0 && peak < 128 << 10, "{peak} KiB and not 128 MiB");
    assert_eq!(server.objects()["big"].bytes, 1 << 30);
    Ok(())
}
