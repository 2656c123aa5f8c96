//! Live servers into files, loaded again and compared key by key.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use test_servers::{Needs, RedisFlavour, RedisOptions, RedisServer, TestResult, Trials};

use crate::content;
use crate::tool::Tool;

pub(crate) const FLAVOURS: [(RedisFlavour, Needs, &str); 3] = [
    (RedisFlavour::Redis7, Needs::Redis, "redis_7"),
    (RedisFlavour::Redis8, Needs::RedisUnstable, "redis_8"),
    (RedisFlavour::Valkey9, Needs::Valkey, "valkey_9"),
];

pub(crate) fn trials(mut trials: Trials) -> Trials {
    for (flavour, needs, name) in FLAVOURS {
        trials = trials
            .with(&format!("{name}_arrives_by_every_way"), &[needs], move || every_way(flavour))
            .with(&format!("{name}_under_writes_is_what_its_own_client_would_save"), &[needs], move || {
                under_writes(flavour)
            })
            .with(&format!("{name}_filters_keep_exactly_the_right_keys"), &[needs], move || filters(flavour))
            .with(&format!("{name}_by_tls_and_acl"), &[needs], move || tls_and_acl(flavour));
    }
    trials
        .with("newer_servers_feed_older_ones", &[Needs::Redis, Needs::RedisUnstable, Needs::Valkey], older)
        .with("redis_6_arrives_by_every_way", &[Needs::Redis6], || every_way(RedisFlavour::Redis6))
        .with("redis_6_under_writes_is_what_its_own_client_would_save", &[Needs::Redis6], || {
            under_writes(RedisFlavour::Redis6)
        })
        .with("sentinel_gives_a_replica", &[Needs::Redis], sentinel)
}

/// A fresh server of the same kind on a snapshot.
pub(crate) fn loaded(flavour: RedisFlavour, tool: &Tool, name: &str) -> RedisServer {
    let options = RedisOptions { load: Some(tool.join(name)), ..RedisOptions::new(flavour) };
    RedisServer::start(&options).unwrap()
}

fn every_way(flavour: RedisFlavour) -> TestResult {
    // The default since Redis 7.
    let extra = vec!["repl-diskless-sync yes".to_owned()];
    let server = RedisServer::start(&RedisOptions { extra, ..RedisOptions::new(flavour) })?;
    content::load(&server, 300);
    let before = content::all(&server);
    assert!(before.len() == 3 && before[&0].len() > 600);
    let tool = Tool::new();
    let socket = format!("redis://:{}@localhost?socket={}", server.password(), server.socket().display());
    for (name, url, args) in [
        ("diskless.rdb", server.url(), &["--redis-sync", "diskless"][..]),
        ("disk.rdb", server.url(), &["--redis-sync", "disk"]),
        ("socket.rdb", socket, &[]),
        ("scan.rdb", server.url(), &["--redis-scan"]),
    ] {
        tool.expect(0, &url, &[&["copy", "env:DB", name], args].concat());
        tool.expect(0, "", &["verify", name]);
        let target = loaded(flavour, &tool, name);
        assert_eq!(content::all(&target), before, "{name}");
        let manifest = tool.manifest(name);
        assert_eq!(manifest["parts"][0]["objects"]["db0"], before[&0].len(), "{name}");
        let sync = manifest["source"]["facts"]["sync"].as_str().unwrap_or("none").to_owned();
        let way = name.trim_end_matches(".rdb");
        assert!(
            sync.starts_with(match way {
                "socket" => "disk",
                "scan" => "none",
                way => way,
            }),
            "{name}: {sync}"
        );
        assert!(!format!("{manifest}").contains(server.password()));
    }
    // Through a pipe, compressed, and back from the compressed file.
    tool.expect(0, &server.url(), &["copy", "env:DB", "all.rdb.zst"]);
    tool.expect(0, "", &["copy", "all.rdb.zst", "again.rdb", "--redis-db", "3"]);
    assert_eq!(content::of(&loaded(flavour, &tool, "again.rdb"), 3), before[&3]);
    Ok(())
}

/// While clients write, a snapshot is of one moment: two counters that are raised together are equal in it.
fn under_writes(flavour: RedisFlavour) -> TestResult {
    const RAISE: &str = "for i = 1, 200 do redis.call('INCR', 'first') redis.call('SET', 'w:' .. math.random(1, 5000), string.rep('x', 200)) redis.call('INCR', 'last') end";
    let server = Arc::new(test_servers::redis(flavour)?);
    content::load(&server, 300);
    let stop = Arc::new(AtomicBool::new(false));
    let writer = std::thread::spawn({
        let (server, stop) = (Arc::clone(&server), Arc::clone(&stop));
        move || {
            let mut rounds = 0;
            while !stop.load(Ordering::Relaxed) {
                // A transaction: both counters or none.
                server.eval(0, RAISE, &[]).unwrap();
                rounds += 1;
            }
            rounds
        }
    });
    let tool = Tool::new();
    for (name, sync) in [("a.rdb", "diskless"), ("b.rdb", "disk")] {
        tool.expect(0, &server.url(), &["copy", "env:DB", name, "--redis-sync", sync]);
    }
    // The server's own client, for the keys that nobody writes.
    let status = server.cli(&["--rdb", tool.join("own.rdb").to_str().unwrap()]).output()?.status;
    assert!(status.success());
    stop.store(true, Ordering::Relaxed);
    assert!(writer.join().unwrap() > 0);
    let steady = |server: &RedisServer| {
        let mut keys = content::of(server, 0);
        let counters = [keys.remove(&content::hex("first")), keys.remove(&content::hex("last"))];
        keys.retain(|key, _| !key.starts_with(&content::hex("w:")));
        assert_eq!(counters[0], counters[1], "one moment");
        keys
    };
    let own = steady(&loaded(flavour, &tool, "own.rdb"));
    for name in ["a.rdb", "b.rdb"] {
        assert_eq!(steady(&loaded(flavour, &tool, name)), own, "{name}");
    }
    Ok(())
}

fn filters(flavour: RedisFlavour) -> TestResult {
    let server = test_servers::redis(flavour)?;
    content::load(&server, 200);
    let before = content::all(&server);
    let tool = Tool::new();
    let url = server.url();
    tool.expect(
        0,
        &url,
        &[
            "copy",
            "env:DB",
            "f.rdb",
            "--redis-db",
            "0,3",
            "--redis-map",
            "3=5",
            "--keys",
            "str:*",
            "--keys",
            "three:*",
            "--drop-keys",
            "*9",
        ],
    );
    let after = content::all(&loaded(flavour, &tool, "f.rdb"));
    let kept = |db: u32, prefix: &str| {
        let (prefix, nine) = (content::hex(prefix), content::hex("9"));
        let mut keys = before[&db].clone();
        keys.retain(|key, _| key.starts_with(&prefix) && !key.ends_with(&nine));
        keys
    };
    assert_eq!(after.keys().copied().collect::<Vec<_>>(), [0, 5]);
    assert_eq!(after[&0], kept(0, "str:"));
    assert_eq!(after[&5], kept(3, "three:"));
    assert!(
        after[&0].len() > 100 && after[&0].values().any(|value| value.contains("40000000")),
        "expiry is kept"
    );

    tool.expect(0, &url, &["copy", "env:DB", "t.rdb", "--types", "zset,stream"]);
    let after = content::all(&loaded(flavour, &tool, "t.rdb"));
    let mut expected = before[&0].clone();
    expected.retain(|_, value| value.starts_with("zset") || value.starts_with("stream"));
    assert_eq!(after[&0], expected);

    // Two databases become one, because they share no key; and one with itself under another number does not.
    tool.expect(0, &url, &["copy", "env:DB", "m.rdb", "--redis-map", "1=0,3=0", "--for", "elasticache"]);
    let merged = content::of(&loaded(flavour, &tool, "m.rdb"), 0);
    assert_eq!(merged.len(), before.values().map(std::collections::BTreeMap::len).sum::<usize>());
    server.ask(&["-n", "3", "SET", "str:1", "here too"])?;
    let said = tool.expect(4, &url, &["copy", "env:DB", "x.rdb", "--redis-map", "3=0"]);
    assert!(said.contains("key: str:1"), "{said}");
    assert!(!tool.join("x.rdb").exists());
    // The database of a URL is the one that is meant.
    tool.expect(0, &format!("{url}/1"), &["copy", "env:DB", "one.rdb"]);
    assert_eq!(content::all(&loaded(flavour, &tool, "one.rdb")).keys().copied().collect::<Vec<_>>(), [1]);
    let seen = tool.output(&url, &["inspect", "env:DB", "--json"]);
    let seen: serde_json::Value = serde_json::from_slice(&seen.stdout)?;
    assert_eq!(seen["contents"]["databases"]["1"]["keys"], 2);
    assert_eq!(seen["contents"]["queues"][0]["length"], 50);
    Ok(())
}

fn tls_and_acl(flavour: RedisFlavour) -> TestResult {
    let server = RedisServer::start(&RedisOptions { tls: true, ..RedisOptions::new(flavour) })?;
    content::load(&server, 100);
    // What the hint asks for is enough; nothing else is needed.
    server.ask(&[
        "ACL",
        "SETUSER",
        "dump",
        "on",
        ">right-password",
        "+psync",
        "+sync",
        "+replconf",
        "+ping",
    ])?;
    let tool = Tool::new();
    let at = format!("rediss://dump:right-password@127.0.0.1:{}", server.port());
    let url = format!("{at}?sslrootcert={}", server.ca_file().display());
    tool.expect(0, &url, &["copy", "env:DB", "a.rdb"]);
    assert_eq!(content::all(&loaded(flavour, &tool, "a.rdb")), content::all(&server));
    let said = tool.expect(3, &at, &["copy", "env:DB", "b.rdb"]);
    assert!(said.contains("TLS") && said.contains("sslrootcert"), "an unknown authority: {said}");
    assert_eq!(tool.names(), ["a.rdb", "a.rdb.manifest.json"]);
    Ok(())
}

/// What both know goes from a newer server to an older one, under the version that the older one loads.
fn older() -> TestResult {
    let tool = Tool::new();
    for (flavour, name) in [(RedisFlavour::Redis8, "r8.rdb"), (RedisFlavour::Valkey9, "v9.rdb")] {
        let server = test_servers::redis(flavour)?;
        content::load(&server, 100);
        tool.expect(
            0,
            &server.url(),
            &["copy", "env:DB", name, "--for", "elasticache", "--rdb-version", "11"],
        );
        // Redis 7.0 loads up to version 10: sets as listpacks and streams of the third form came later.
        tool.expect(
            0,
            &server.url(),
            &[
                "copy",
                "env:DB",
                &format!("old-{name}"),
                "--rdb-version",
                "10",
                "--types",
                "string,list,hash,zset",
            ],
        );
        let mut expected = content::of(&server, 0);
        expected
            .retain(|_, value| ["string", "list", "hash", "zset"].iter().any(|kind| value.starts_with(kind)));
        let old = loaded(RedisFlavour::Redis7, &tool, &format!("old-{name}"));
        assert_eq!(content::of(&old, 0), expected, "{name}");
        let refused = tool.expect(4, &server.url(), &["copy", "env:DB", "x.rdb", "--rdb-version", "9"]);
        assert!(refused.contains("REDIS0009"), "{refused}");
    }
    Ok(())
}

fn sentinel() -> TestResult {
    let primary = test_servers::redis(RedisFlavour::Redis7)?;
    content::load(&primary, 50);
    let replica = RedisServer::start(&RedisOptions {
        extra: vec![
            format!("replicaof 127.0.0.1 {}", primary.port()),
            format!("masterauth {}", primary.password()),
            "repl-ping-replica-period 1".to_owned(),
        ],
        password: Some(primary.password().to_owned()),
        ..RedisOptions::new(RedisFlavour::Redis7)
    })?;
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("sentinel.conf");
    let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    std::fs::write(
        &file,
        format!(
            "port {port}\nbind 127.0.0.1\ndir {}\nsentinel monitor mymaster 127.0.0.1 {} 1\nsentinel auth-pass mymaster {}\n",
            dir.path().display(),
            primary.port(),
            primary.password()
        ),
    )?;
    let mut child = Command::new("setpriv")
        .args(["--pdeathsig", "KILL", "--", "redis-server"])
        .arg(&file)
        .arg("--sentinel")
        .stdout(std::process::Stdio::null())
        .spawn()?;
    let tool = Tool::new();
    let url = format!("redis://:{}@127.0.0.1:{port}?sentinel=mymaster", primary.password());
    let mut said = String::new();
    let mut done = false;
    for _ in 0..100 {
        let output = tool.output(&url, &["copy", "env:DB", "s.rdb", "-v", "--overwrite"]);
        said = String::from_utf8_lossy(&output.stderr).into_owned();
        // Sentinel learns of the replica from its primary, every ten seconds.
        if output.status.success() && said.contains("the replica 127.0.0.1") {
            done = true;
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(300));
    }
    let unknown = tool.output(&url.replace("mymaster", "nobody"), &["copy", "env:DB", "n.rdb"]);
    child.kill()?;
    child.wait()?;
    assert!(done && said.contains(&replica.port().to_string()), "{said}");
    assert_eq!(content::all(&loaded(RedisFlavour::Redis7, &tool, "s.rdb")), content::all(&primary));
    assert_eq!(unknown.status.code(), Some(3), "{}", String::from_utf8_lossy(&unknown.stderr));
    Ok(())
}
