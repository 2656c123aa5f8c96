//! What a server refuses: the server's words, the class of the exit code, the way out, and nothing at the destination.

use test_servers::{Needs, RedisFlavour, RedisOptions, RedisServer, TestResult, Trials};

use crate::tool::Tool;

pub(crate) fn trials(trials: Trials) -> Trials {
    trials
        .with("redis_refusals_are_named", &[Needs::Redis], || refusals(RedisFlavour::Redis7))
        .with("valkey_refusals_are_named", &[Needs::Valkey], || refusals(RedisFlavour::Valkey9))
        .with("a_server_that_is_loading_is_told_to_be", &[Needs::Redis], loading)
        .with("a_server_that_cannot_write_its_disk_is_read_without_it", &[Needs::Redis], misconf)
}

fn refuse(tool: &Tool, code: i32, url: &str, words: &[&str]) {
    let said = tool.expect(code, url, &["copy", "env:DB", "x.rdb"]);
    for word in words {
        assert!(said.contains(word), "`{word}` is not in: {said}");
    }
    assert!(said.lines().any(|line| line.starts_with("hint: ")), "no hint: {said}");
    assert!(!said.contains("right-password"), "{said}");
    assert_eq!(tool.names(), Vec::<String>::new());
}

fn refusals(flavour: RedisFlavour) -> TestResult {
    let server = test_servers::redis(flavour)?;
    let tool = Tool::new();
    let port = server.port();
    server.ask(&[
        "ACL",
        "SETUSER",
        "reader",
        "on",
        ">right-password",
        "~*",
        "+@read",
        "+ping",
        "+info",
        "+replconf",
        "+select",
        "+scan",
        "+dump",
    ])?;
    server.ask(&["SET", "k", "v"])?;
    refuse(&tool, 3, &format!("redis://127.0.0.1:{port}"), &["NOAUTH", "REDISCLI_AUTH"]);
    refuse(&tool, 3, &format!("redis://reader:wrong@127.0.0.1:{port}"), &["WRONGPASS"]);
    let reader = format!("redis://reader:right-password@127.0.0.1:{port}");
    refuse(&tool, 3, &reader, &["NOPERM", "ACL SETUSER reader +psync +sync +replconf"]);
    refuse(&tool, 75, "redis://:right-password@127.0.0.1:1", &["127.0.0.1:1"]);
    refuse(&tool, 75, &format!("rediss://:right-password@127.0.0.1:{port}?connect_timeout=2"), &["TLS"]);
    // What may not replicate may still be read key by key.
    let said = tool.expect(0, &reader, &["copy", "env:DB", "scan.rdb", "--redis-scan"]);
    assert!(said.contains("no picture of one moment"), "{said}");
    std::fs::remove_file(tool.join("scan.rdb"))?;
    std::fs::remove_file(tool.join("scan.rdb.manifest.json"))?;

    let renamed = RedisServer::start(&RedisOptions {
        extra: vec!["rename-command SYNC \"\"".to_owned(), "rename-command PSYNC \"\"".to_owned()],
        ..RedisOptions::new(flavour)
    })?;
    refuse(&tool, 3, &renamed.url(), &["unknown command", "--redis-scan"]);

    // One of the two is enough: who renamed PSYNC may have left SYNC.
    let half = RedisServer::start(&RedisOptions {
        extra: vec!["rename-command PSYNC \"\"".to_owned()],
        ..RedisOptions::new(flavour)
    })?;
    half.ask(&["SET", "k", "v"])?;
    tool.expect(0, &half.url(), &["copy", "env:DB", "half.rdb"]);
    tool.expect(0, "", &["verify", "half.rdb"]);
    std::fs::remove_file(tool.join("half.rdb"))?;
    std::fs::remove_file(tool.join("half.rdb.manifest.json"))?;

    let lost = RedisServer::start(&RedisOptions {
        extra: vec!["replicaof 127.0.0.1 1".to_owned()],
        ..RedisOptions::new(flavour)
    })?;
    refuse(&tool, 75, &lost.url(), &["lost its primary"]);
    Ok(())
}

/// Every key takes the server a millisecond to load.
fn loading() -> TestResult {
    let server = test_servers::redis(RedisFlavour::Redis7)?;
    server.ask(&["DEBUG", "POPULATE", "20000", "key", "300"])?;
    server.ask(&[
        "CONFIG",
        "SET",
        "key-load-delay",
        "1000",
        "loading-process-events-interval-bytes",
        "2048",
    ])?;
    let mut reload = server.cli(&["DEBUG", "RELOAD"]).stdout(std::process::Stdio::null()).spawn()?;
    for _ in 0..200 {
        let answer = server.cli(&["PING"]).output()?.stdout;
        if String::from_utf8_lossy(&answer).contains("LOADING") {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    refuse(&Tool::new(), 75, &server.url(), &["LOADING", "again"]);
    reload.kill()?;
    reload.wait()?;
    Ok(())
}

/// Its directory is gone, so its last snapshot failed, and it says MISCONF to whoever asks.
fn misconf() -> TestResult {
    let server = RedisServer::start(&RedisOptions {
        extra: vec!["save 3600 1000000".to_owned(), "repl-diskless-sync no".to_owned()],
        ..RedisOptions::new(RedisFlavour::Redis7)
    })?;
    server.ask(&["SET", "k", "v"])?;
    let data = server.data_dir();
    std::fs::remove_dir_all(&data)?;
    server.cli(&["BGSAVE"]).output()?;
    for _ in 0..100 {
        let answer = server.cli(&["PING"]).output()?.stdout;
        if String::from_utf8_lossy(&answer).contains("MISCONF") {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let tool = Tool::new();
    // It is set to write its snapshots to disk, and cannot: the run ends with the reason, and nothing is there.
    refuse(&tool, 75, &server.url(), &["could not write its last snapshot", "disk"]);
    // Without a disk it works.
    server.cli(&["CONFIG", "SET", "repl-diskless-sync", "yes"]).output()?;
    tool.expect(0, &server.url(), &["copy", "env:DB", "auto.rdb"]);
    tool.expect(0, "", &["verify", "auto.rdb"]);
    let sync = tool.manifest("auto.rdb")["source"]["facts"]["sync"].as_str().unwrap_or_default().to_owned();
    assert!(sync.starts_with("diskless") && sync.contains("last snapshot"), "{sync}");
    Ok(())
}
