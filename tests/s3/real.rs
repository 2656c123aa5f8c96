//! Independent servers.

use std::os::unix::process::ExitStatusExt as _;

use test_servers::{Needs, StoreServer, TestResult, Trials};

use crate::tool::{Tool, dump};

pub(crate) fn trials(trials: Trials) -> Trials {
    trials
        .with("moto_takes_and_gives_archives", &[Needs::Moto], || whole_way(&test_servers::moto()?, true))
        .with("garage_takes_and_gives_archives", &[Needs::Garage], || {
            whole_way(&test_servers::garage()?, false)
        })
        .with("versions_locks_and_encryption_of_a_bucket", &[Needs::Moto, Needs::Aws], kept)
}

/// A bucket that keeps versions, can lock and encrypts with KMS by itself; set up and looked at with a client that is not ours.
fn kept() -> TestResult {
    let store = test_servers::moto()?;
    let tool = Tool::with_keys(&store.keys.0, &store.keys.1);
    let aws = |args: &[&str]| -> Result<String, Box<dyn std::error::Error>> {
        let output = store.aws()?.arg("s3api").args(args).args(["--bucket", "kept"]).output()?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.success() { Ok(String::from_utf8(output.stdout)?) } else { Err(said.into()) }
    };
    aws(&["create-bucket", "--object-lock-enabled-for-bucket"])?;
    let kms = r#"{"Rules":[{"ApplyServerSideEncryptionByDefault":{"SSEAlgorithm":"aws:kms"}}]}"#;
    aws(&["put-bucket-encryption", "--server-side-encryption-configuration", kms])?;
    let rule = r#"{"Rules":[{"ID":"a","Status":"Enabled","Filter":{"Prefix":""},"AbortIncompleteMultipartUpload":{"DaysAfterInitiation":7}}]}"#;
    aws(&["put-bucket-lifecycle-configuration", "--lifecycle-configuration", rule])?;

    let place = |key: &str| store.url(key).replace("s3://archive/", "s3://kept/");
    let lock = "&lock_mode=GOVERNANCE&lock_until=2099-01-31T00:00:00Z&tags=team%3Ddb&legal_hold=true";
    let checked = tool.expect(0, &["check", &(place("dir/") + lock)]);
    let words: Vec<&str> = checked.split_whitespace().collect();
    let words = words.join(" ");
    for line in ["ok Object Lock is on", "ok lock objects works", "ok end a legal hold works"] {
        assert!(words.contains(line), "{line}: {checked}");
    }
    assert!(checked.contains("incomplete uploads are removed by a rule"), "{checked}");
    let left = aws(&["list-object-versions", "--query", "Versions[].Key", "--output", "text"])?;
    assert_eq!(left.trim(), "None", "the check has left something");

    for (rows, key) in [(100, "dir/small.sql"), (300_000, "dir/large.sql")] {
        let (url, sql) = (place(key), dump(rows));
        tool.write("in.sql", dump(7));
        tool.expect(0, &["copy", "in.sql", &(url.clone() + lock)]);
        tool.write("in.sql", &sql);
        // A locked object is replaced by a newer version of it.
        tool.expect(0, &["copy", "in.sql", &(url.clone() + lock), "--overwrite"]);
        tool.expect(0, &["verify", &url]);
        tool.expect(0, &["copy", &url, "out.sql", "--overwrite"]);
        assert!(tool.read("out.sql") == sql, "{key}: other bytes");
        // moto keeps the lock of what is put in one piece and of nothing else.
        let head = aws(&["head-object", "--key", key])?;
        for word in ["GOVERNANCE", "2099-01-31", "\"ObjectLockLegalHoldStatus\": \"ON\"", "aws:kms"] {
            assert!(rows > 100 || head.contains(word), "{word}: {head}");
        }
        let query = format!("length(Versions[?Key=='{key}'])");
        assert_eq!(aws(&["list-object-versions", "--query", &query])?.trim(), "2");
    }
    // A lock that the bucket cannot give.
    let said = tool.expect(5, &["check", &(store.url("dir/") + lock)]);
    assert!(said.contains("Object Lock: is off, and the address asks for a lock"), "{said}");
    tool.expect(5, &["copy", "in.sql", &(store.url("dir/x.sql") + lock)]);
    let said = tool.expect(0, &["gc", &place(""), "--older-than", "0s"]);
    assert!(said.contains("found: 0 incomplete uploads, 0 objects"), "{said}");
    Ok(())
}

/// Archives of one buffer and of several parts go there, are verified, come back, are replaced, and leave nothing behind.
fn whole_way(store: &StoreServer, conditions: bool) -> TestResult {
    let tool = Tool::with_keys(&store.keys.0, &store.keys.1);
    let checked = tool.expect(0, &["check", &store.url("dir/")]);
    let enforced = if conditions { "is enforced" } else { "is taken and not enforced" };
    assert!(checked.contains(enforced), "{checked}");
    assert!(checked.contains("over 16"), "{checked}");
    for rows in [100, 400_000] {
        let sql = dump(rows);
        tool.write("in.sql", &sql);
        for key in ["dir/with space+ü/a.sql", "dir/a.sql.zst"] {
            let url = store.url(key);
            let said = tool.expect(0, &["copy", "in.sql", &url, "--overwrite"]);
            assert!(said.contains("checked by the store"), "{said}");
            let said = tool.expect(0, &["verify", &url]);
            assert!(said.contains("verified"), "{said}");
            tool.expect(0, &["copy", &url, "out.sql", "--overwrite"]);
            assert!(tool.read("out.sql") == sql, "{key}: other bytes");
            tool.expect(5, &["copy", "in.sql", &url]);
            tool.expect(0, &["copy", "in.sql", &url, "--overwrite"]);
            tool.expect(0, &["verify", &url]);
        }
    }
    tool.expect(3, &["copy", &store.url("dir/failed.sql"), "--", "sh", "-c", "cat in.sql; exit 1"]);
    let said = tool.expect(0, &["gc", &store.url(""), "--older-than", "0s"]);
    assert!(said.contains("found: 0 incomplete uploads, 0 objects"), "{said}");
    // What a killed run leaves is shown, then removed.
    let mut child = tool
        .command(&["copy", &store.url("dir/killed.sql"), "--", "sh", "-c", "cat in.sql in.sql; sleep 60"])
        .spawn()?;
    let begun = std::time::Instant::now();
    while tool.expect(0, &["gc", &store.url(""), "--older-than", "0s"]).contains("found: 0 incomplete") {
        assert!(begun.elapsed().as_secs() < 60, "no upload was begun");
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    child.kill()?;
    let status = child.wait()?;
    assert_eq!(status.signal(), Some(9), "the run ended before it was killed: {status}");
    let said = tool.expect(0, &["gc", &store.url("dir/"), "--older-than", "0s", "--yes"]);
    assert!(said.contains("removed: 1 incomplete uploads"), "{said}");
    let said = tool.expect(0, &["gc", &store.url("dir/"), "--older-than", "0s"]);
    assert!(said.contains("found: 0 incomplete uploads, 0 objects"), "{said}");
    tool.expect(0, &["verify", &store.url("dir/a.sql.zst")]);
    Ok(())
}
