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
