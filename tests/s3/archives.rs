//! Catalogue, retention and leases in a bucket.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use test_servers::s3::{Care, FakeS3, Fault, Op, Quirks};
use test_servers::{Needs, TestResult, Trials};

use crate::tool::{Tool, dump};

pub(crate) fn trials(trials: Trials) -> Trials {
    trials
        .with("a_catalogue_of_thousands_from_a_slow_bucket", &[], thousands)
        .with("retention_in_a_bucket", &[], || {
            retention(&FakeS3::start(Quirks::default())?);
            Ok(())
        })
        .with("an_account_that_may_not_delete_loses_nothing", &[], denied)
        .with("an_archive_that_has_taken_the_name_meanwhile_stays", &[], replaced)
        .with("clean_up_asks_again_before_it_takes_data_for_garbage", &[], late_manifest)
        .with("two_runs_of_one_job_do_not_meet_in_a_bucket", &[], leases)
        .with("retention_in_moto", &[Needs::Moto], moto)
        .with("a_bucket_that_keeps_and_locks_versions_loses_none", &[Needs::Moto, Needs::Aws], versions)
}

fn listed(tool: &Tool, url: &str) -> Value {
    let ended = tool.run(&["ls", url, "--json"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    serde_json::from_str(&ended.out).unwrap()
}

/// A manifest as a run would have written it, and its data.
fn plant(server: &FakeS3, key: &str, started: &str, bytes: usize) {
    let content = json!({ "bytes": bytes, "digests": {} });
    let manifest = json!({
        "schema": 1, "tool": "dbferry 0.1.0", "id": key.replace('/', "-"), "started": started, "finished": started,
        "source": { "endpoint": "mysql://u@h/shop", "kind": "mysql" }, "destination": "",
        "parts": [{ "path": "", "phase": "data", "format": "opaque", "compression": "none", "source": content, "raw": content,
            "stored": content, "transforms": [], "verified": { "proof": "synced" } }],
    });
    server.plant(key, &vec![b'x'; bytes]);
    server.plant(&format!("{key}.manifest.json"), manifest.to_string().as_bytes());
}

fn thousands() -> TestResult {
    let server = FakeS3::start(Quirks::default())?;
    for number in 0..1200 {
        let started = format!(
            "20{:02}-{:02}-{:02}T01:00:00Z",
            10 + number / 336,
            1 + number / 28 % 12,
            1 + number % 28
        );
        plant(&server, &format!("many/{number:05}.sql"), &started, 10);
    }
    plant(&server, "manyfold/other.sql", "2026-01-01T00:00:00Z", 10);
    server.plant("many/torn.sql.manifest.json", b"{\"schema\": 1, \"tool\": \"dbferry");
    server.plant("many/alone.sql", b"no manifest");
    server.faults(|seen| (seen.number % 50 == 7).then_some(Fault::Stall(Duration::from_millis(200))));
    let tool = Tool::new();
    let found = listed(&tool, &server.url("many/"));
    assert_eq!(found["archives"].as_array().unwrap().len(), 1200);
    assert_eq!(found["stored_bytes"], 12_000);
    assert_eq!(found["strange"].as_array().unwrap().len(), 1);
    // A prefix is a folder, also when it is typed without its slash.
    assert_eq!(listed(&tool, &server.url("many"))["archives"].as_array().unwrap().len(), 1200);
    assert!(server.count(Op::ListObjects) >= 6, "pages");
    server.heal();
    tool.expect(0, &["prune", &server.url("many/"), "--keep-monthly", "12", "--yes", "-q"]);
    let left = listed(&tool, &server.url("many/"));
    assert_eq!(left["archives"].as_array().unwrap().len(), 12);
    assert!(server.objects().contains_key("many/torn.sql.manifest.json"));
    assert!(
        server.objects().contains_key("many/alone.sql")
            && server.objects().contains_key("manyfold/other.sql")
    );
    assert_eq!(server.objects().keys().filter(|key| key.starts_with("many/")).count(), 2 * 12 + 2);
    Ok(())
}

fn retention(server: &FakeS3) {
    let tool = Tool::new();
    tool.write("in.sql", dump(2000));
    for number in 1..=4 {
        tool.expect(0, &["copy", "in.sql", &server.url(&format!("b/{number}.sql.zst"))]);
        // Manifests tell seconds, and the order is theirs.
        std::thread::sleep(Duration::from_millis(1100));
    }
    tool.expect(0, &["verify", &server.url("b/1.sql.zst"), "--record"]);
    tool.expect(0, &["verify", &server.url("b/4.sql.zst"), "--record"]);
    let found = listed(&tool, &server.url("b"));
    assert_eq!(found["archives"][3]["standing"]["by"], "verify");
    assert_eq!(found["archives"][2]["standing"]["by"], "crc64nvme checked by the store");
    // The record is no garbage, and that of an archive that went goes with it.
    let said = tool.expect(0, &["gc", &server.url("b/"), "--older-than", "0s"]);
    assert!(said.contains("found: 0 incomplete uploads, 0 objects"), "{said}");
    tool.expect(0, &["prune", &server.url("b"), "--keep-last", "2", "--yes"]);
    let keys: Vec<String> = server.objects().into_keys().collect();
    assert_eq!(
        keys,
        [
            "b/3.sql.zst",
            "b/3.sql.zst.manifest.json",
            "b/4.sql.zst",
            "b/4.sql.zst.manifest.json",
            "b/4.sql.zst.verified.json"
        ]
    );
    // A removal that ends behind its first step leaves what `gc` finds.
    let mut deletes = 0;
    server.faults(move |seen| {
        deletes += u32::from(seen.op == Op::DeleteObject);
        (seen.op == Op::DeleteObject && deletes > 1).then_some(Fault::Status(403, "AccessDenied"))
    });
    let said = tool.expect(5, &["prune", &server.url("b"), "--keep-last", "1", "--yes"]);
    assert!(said.contains("its data is left"), "{said}");
    server.heal();
    assert_eq!(listed(&tool, &server.url("b"))["archives"].as_array().unwrap().len(), 1);
    let said = tool.expect(0, &["gc", &server.url("b/"), "--older-than", "0s", "--yes"]);
    assert!(said.contains("removed: 0 incomplete uploads, 1 objects"), "{said}");
    tool.expect(0, &["verify", &server.url("b/4.sql.zst")]);
}

fn denied() -> TestResult {
    let server = FakeS3::start(Quirks { denied: vec![Op::DeleteObject], ..Quirks::default() })?;
    for number in 1..=3 {
        plant(&server, &format!("b/{number}.sql"), &format!("2026-01-0{number}T00:00:00Z"), 100);
    }
    let before: BTreeMap<_, _> =
        server.objects().into_iter().map(|(key, object)| (key, object.data)).collect();
    let tool = Tool::new();
    let said = tool.expect(5, &["prune", &server.url("b"), "--keep-last", "1", "--yes"]);
    assert!(said.contains("nothing of it was touched") && said.contains("s3:DeleteObject"), "{said}");
    let after: BTreeMap<_, _> =
        server.objects().into_iter().map(|(key, object)| (key, object.data)).collect();
    assert_eq!(before, after);
    Ok(())
}

/// Lets the program run until it asks for this, and does something meanwhile.
fn meanwhile(
    server: &FakeS3,
    tool: &Tool,
    args: &[&str],
    op: Op,
    key: &'static str,
    nth: u32,
    act: impl FnOnce(),
) -> (i32, String) {
    let reached = Arc::new(AtomicBool::new(false));
    let (flag, mut seen) = (Arc::clone(&reached), 0);
    server.faults(move |request| {
        seen += u32::from(request.op == op && request.key == key);
        let now = request.op == op && request.key == key && seen == nth;
        flag.fetch_or(now, Ordering::SeqCst);
        now.then_some(Fault::Stall(Duration::from_secs(2)))
    });
    let child = tool.command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let begun = std::time::Instant::now();
    while !reached.load(Ordering::SeqCst) {
        assert!(begun.elapsed() < Duration::from_secs(60), "it never asked for {key}");
        std::thread::sleep(Duration::from_millis(5));
    }
    act();
    let output = child.wait_with_output().unwrap();
    server.heal();
    (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&output.stderr).into_owned())
}

fn replaced() -> TestResult {
    let server = FakeS3::start(Quirks::default())?;
    for number in 1..=2 {
        plant(&server, &format!("b/{number}.sql"), &format!("2026-01-0{number}T00:00:00Z"), 100);
    }
    let tool = Tool::new();
    let url = server.url("b");
    let prune = ["prune", &url, "--keep-last", "1", "--yes"];
    let newer = || {
        // The manifest of the other one is under way; this one has been read.
        std::thread::sleep(Duration::from_millis(700));
        let json = String::from_utf8(server.objects()["b/1.sql.manifest.json"].data.clone()).unwrap();
        server.plant("b/1.sql.manifest.json", json.replace("b-1.sql", "another-run").as_bytes());
    };
    let (code, said) = meanwhile(&server, &tool, &prune, Op::GetObject, "b/2.sql.manifest.json", 1, newer);
    assert!(code == 5 && said.contains("another archive by now"), "{code}: {said}");
    assert_eq!(server.objects().len(), 4);
    Ok(())
}

fn late_manifest() -> TestResult {
    let server = FakeS3::start(Quirks::default())?;
    let tool = Tool::new();
    tool.write("in.sql", dump(100));
    tool.expect(0, &["copy", "in.sql", &server.url("b/1.sql")]);
    let manifest = server.objects()["b/1.sql.manifest.json"].data.clone();
    server.remove("b/1.sql.manifest.json");
    let url = server.url("b/");
    let gc = ["gc", &url, "--older-than", "0s", "--yes"];
    let publish = || server.plant("b/1.sql.manifest.json", &manifest);
    let (code, said) = meanwhile(&server, &tool, &gc, Op::HeadObject, "b/1.sql", 1, publish);
    assert!(code == 0 && said.contains("0 objects without a manifest"), "{code}: {said}");
    tool.expect(0, &["verify", &server.url("b/1.sql")]);
    Ok(())
}

fn leases() -> TestResult {
    for conditions in [Care::Checked, Care::Ignored] {
        let server = FakeS3::start(Quirks { conditions, ..Quirks::default() })?;
        let tool = Tool::new();
        tool.write("in.sql", dump(2000));
        let to = server.url("b/{job}-{id}.sql.zst");
        tool.write(
            "jobs.toml",
            format!("[jobs.a]\nfrom = 'cmd:touch begun; cat in.sql; sleep 3'\nto = '{to}'\n"),
        );
        let mut first = tool.command(&["run", "jobs.toml", "-q"]).spawn()?;
        while !tool.join("begun").exists() {
            std::thread::sleep(Duration::from_millis(20));
        }
        let said = tool.expect(75, &["run", "jobs.toml"]);
        assert!(said.contains("at work already"), "{conditions:?}: {said}");
        assert!(first.wait()?.success());
        tool.expect(0, &["run", "jobs.toml", "-q"]);
        let keys: Vec<String> = server.objects().into_keys().collect();
        assert!(!keys.iter().any(|key| key.contains("lock")), "{keys:?}");
        assert_eq!(listed(&tool, &server.url("b"))["archives"].as_array().unwrap().len(), 2);
    }
    Ok(())
}

fn moto() -> TestResult {
    let store = test_servers::moto()?;
    let tool = Tool::with_keys(&store.keys.0, &store.keys.1);
    tool.write("in.sql", dump(500));
    let to = store.url("b/{job}-{id}.sql.zst");
    tool.write("jobs.toml", format!("[jobs.a]\nfrom = 'in.sql'\nto = '{to}'\nkeep = {{ last = 2 }}\n"));
    for _ in 0..4 {
        tool.expect(0, &["run", "jobs.toml", "-q"]);
    }
    let found = listed(&tool, &store.url("b"));
    assert_eq!(found["archives"].as_array().unwrap().len(), 2, "{found}");
    Ok(())
}

fn versions() -> TestResult {
    let store = test_servers::moto()?;
    let aws = |args: &[&str]| -> Value {
        let output = store.aws().unwrap().args(["s3api", "--output", "json"]).args(args).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap_or(Value::Null)
    };
    aws(&["create-bucket", "--bucket", "locked", "--object-lock-enabled-for-bucket"]);
    let rule =
        r#"{"ObjectLockEnabled":"Enabled","Rule":{"DefaultRetention":{"Mode":"COMPLIANCE","Days":1}}}"#;
    aws(&["put-object-lock-configuration", "--bucket", "locked", "--object-lock-configuration", rule]);
    let url = |key: &str| store.url(key).replacen("s3://archive/", "s3://locked/", 1);
    let tool = Tool::with_keys(&store.keys.0, &store.keys.1);
    tool.write("in.sql", dump(500));
    tool.write(
        "jobs.toml",
        format!("[jobs.a]\nfrom = 'in.sql'\nto = '{}'\nkeep = {{ last = 1 }}\n", url("b/{job}-{id}.sql")),
    );
    for _ in 0..3 {
        tool.expect(0, &["run", "jobs.toml"]);
        std::thread::sleep(Duration::from_millis(1100));
    }
    let found = listed(&tool, &url("b"));
    assert_eq!(found["archives"].as_array().unwrap().len(), 1, "{found}");
    let name = found["archives"][0]["name"].as_str().unwrap().to_owned();
    tool.expect(0, &["verify", &url(&format!("b/{name}"))]);
    // What was removed is hidden, and every version of it is still there.
    let all = aws(&["list-object-versions", "--bucket", "locked", "--prefix", "b/"]);
    let data = all["Versions"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|v| v["Key"].as_str().unwrap().rsplit('.').next() == Some("sql"));
    assert_eq!(data.count(), 3, "{all}");
    for _ in 0..2 {
        tool.expect(0, &["copy", "in.sql", &url("c/{id}.sql"), "-q"]);
        std::thread::sleep(Duration::from_millis(1100));
    }
    let said = tool.expect(0, &["prune", &url("c"), "--keep-last", "1", "--yes"]);
    assert!(said.contains("keeps versions"), "{said}");
    // Nothing of it is garbage.
    let said = tool.expect(0, &["gc", &url("b/"), "--older-than", "0s"]);
    assert!(said.contains("found: 0 incomplete uploads, 0 objects"), "{said}");
    Ok(())
}
