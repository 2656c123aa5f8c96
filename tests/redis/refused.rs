//! What a server refuses: the server's words, the class of the exit code, the way out, and nothing at the destination.

use test_servers::{Needs, RedisFlavour, RedisOptions, RedisServer, TestResult, Trials};

use crate::tool::Tool;

pub(crate) fn trials(trials: Trials) -> Trials {
    trials.with("redis_refusals_are_named", &[Needs::Redis], || refusals(RedisFlavour::Redis7)).with(
        "valkey_refusals_are_named",
        &[Needs::Valkey],
        || refusals(RedisFlavour::Valkey9),
    )
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

    let lost = RedisServer::start(&RedisOptions {
        extra: vec!["replicaof 127.0.0.1 1".to_owned()],
        ..RedisOptions::new(flavour)
    })?;
    refuse(&tool, 75, &lost.url(), &["lost its primary"]);
    Ok(())
}
