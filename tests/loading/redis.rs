//! Redis and Valkey as destinations, and two of them compared.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::{Duration, Instant};

use test_servers::s3::{ACCESS_KEY, FakeS3, Quirks, SECRET_KEY};
use test_servers::{Needs, RedisCluster, RedisFlavour, RedisOptions, RedisServer, TestResult, Trials};

use crate::compare::{assert_equal, compare};
use crate::content;
use crate::run::{copy, expect};
use crate::tool::Tool;

const ALL: &[Needs] = &[Needs::Redis, Needs::RedisUnstable, Needs::Valkey];

pub(crate) fn trials(trials: Trials) -> Trials {
    trials
        .with("redis_7_into_8_and_valkey_9", ALL, into_newer)
        .with("redis_into_older_ones_by_commands", ALL, into_older)
        .with(
            "redis_archive_in_s3_into_the_elasticache_shape",
            &[Needs::Redis, Needs::Valkey],
            like_elasticache,
        )
        .with("redis_into_clusters_that_change", ALL, clusters)
        .with("redis_refuses_before_the_first_write", &[Needs::Redis], refused)
        .with("redis_keys_that_are_there_already", &[Needs::Redis], conflicts)
        .with("redis_target_that_fails", &[Needs::Redis], failing)
        .with("redis_killed_at_any_moment_and_resumed", &[Needs::Redis], killed)
        .with("redis_compare_finds_what_was_planted", ALL, planted)
}

fn tool() -> Tool {
    Tool::new(std::path::Path::new("/usr/bin"))
}

/// Everything that a cluster holds.
fn held(cluster: &RedisCluster) -> BTreeMap<String, String> {
    cluster.nodes.iter().flat_map(|node| content::of(node, 0)).collect()
}

fn into_newer() -> TestResult {
    let source = test_servers::redis(RedisFlavour::Redis7)?;
    content::load(&source, 300);
    source.ask(&[
        "FUNCTION",
        "LOAD",
        "#!lua name=lib\nredis.register_function('f', function() return 1 end)",
    ])?;
    source.eval(
        0,
        "for i = 1, 40 do redis.call('SET', 'gone:' .. i, i) redis.call('PEXPIRE', 'gone:' .. i, 1) end",
        &[],
    )?;
    let before = content::all(&source);
    let tool = tool();
    tool.expect(0, &source.url(), &["copy", "env:DB", "all.rdb"]);
    for flavour in [RedisFlavour::Redis8, RedisFlavour::Valkey9] {
        let target = test_servers::redis(flavour)?;
        let said =
            expect(0, &copy(&tool, "env:DB", &source.url(), &target.url(), &["--verify", "compare"], b""));
        assert!(said.contains("keys accepted") && said.contains("equal: "), "{said}");
        assert!(!said.contains(target.password()), "{said}");
        assert!(content::all(&target) == before);
        assert!(target.ask(&["FUNCTION", "LIST"])?.contains("lib"));
        // From an archive, over what is there; values larger than what is held are made by commands.
        target.ask(&["SET", "more", "x"])?;
        let said = expect(2, &copy(&tool, "all.rdb", "", &target.url(), &[], b""));
        assert!(said.contains("not empty") && said.contains("--overwrite"), "{said}");
        let small = ["--overwrite", "--memory", "160M", "--jobs", "1", "--on-conflict", "replace"];
        expect(0, &copy(&tool, "all.rdb", "", &target.url(), &small, b""));
        assert!(content::all(&target) == before);
        // One database, under another number.
        target.ask(&["FLUSHALL"])?;
        let args =
            ["--redis-db", "1", "--redis-map", "1=7", "--verify", "compare", "--redis-drop", "functions"];
        expect(2, &copy(&tool, "env:DB", &source.url(), &target.url(), &args, b""));
        target.ask(&["SET", "bystander", "x"])?;
        expect(
            0,
            &copy(
                &tool,
                "env:DB",
                &source.url(),
                &format!("{}/7", target.url().split('?').next().unwrap()),
                &[&args[..4], &["--redis-drop", "functions"]].concat(),
                b"",
            ),
        );
        assert!(content::of(&target, 7) == before[&1]);
        assert_eq!(target.ask(&["GET", "bystander"])?, "x");
    }
    // A value that is larger than what is held.
    source.ask(&["FUNCTION", "FLUSH"])?;
    source.eval(
        4,
        "for i = 1, 100000 do local pad = redis.sha1hex(i) .. redis.sha1hex(-i) redis.call('SADD', 'huge', pad .. i) redis.call('RPUSH', 'long', pad .. i) redis.call('HSET', 'wide', i, pad .. i) redis.call('ZADD', 'scored', i / 4, pad .. i) end
         redis.call('SET', 'blob', string.rep('0123456789', 900000)) redis.call('PEXPIREAT', 'huge', 4000000000001) return 1",
        &[],
    )?;
    let target = test_servers::redis(RedisFlavour::Redis8)?;
    let args = ["--redis-db", "4", "--memory", "128M", "-v"];
    let said = expect(0, &copy(&tool, "env:DB", &source.url(), &target.url(), &args, b""));
    assert!(said.contains("made by commands"), "{said}");
    assert!(content::of(&target, 4) == content::of(&source, 4));
    let (four, other) = (format!("{}/4", source.url()), format!("{}/4", target.url()));
    assert_equal(&tool, &four, &other);
    Ok(())
}

/// Fields that expire have one form in Redis 8 and another in Valkey 9; older servers do not have them.
fn into_older() -> TestResult {
    let tool = tool();
    let (eight, nine) =
        (test_servers::redis(RedisFlavour::Redis8)?, test_servers::redis(RedisFlavour::Valkey9)?);
    let seven = test_servers::redis(RedisFlavour::Redis7)?;
    for server in [&eight, &nine] {
        content::load(server, 120);
    }
    // As long as no value needs more, an older server takes everything.
    for source in [&eight, &nine] {
        expect(0, &copy(&tool, "env:DB", &source.url(), &seven.url(), &["--verify", "compare"], b""));
        assert!(content::all(&seven) == content::all(source));
        seven.ask(&["FLUSHALL"])?;
    }
    for server in [&eight, &nine] {
        server.ask(&["FLUSHALL"])?;
        server.eval(0, "for i = 1, 30 do redis.call('HSET', 'h' .. i, 'a', i, 'b', 'x', 'c', string.rep('y', i * 9)) redis.call('HPEXPIREAT', 'h' .. i, 4000000000000 + i, 'FIELDS', 2, 'a', 'c') end return 1", &[])?;
    }
    for (source, target) in [(&eight, &nine), (&nine, &eight)] {
        let said = expect(
            0,
            &copy(
                &tool,
                "env:DB",
                &source.url(),
                &target.url(),
                &["--overwrite", "-v", "--verify", "compare"],
                b"",
            ),
        );
        assert!(said.contains("30 keys were made by commands"), "{said}");
        assert_eq!(
            target.ask(&["HPEXPIRETIME", "h7", "FIELDS", "3", "a", "b", "c"])?,
            "4000000000007\n-1\n4000000000007"
        );
        let said = expect(5, &copy(&tool, "env:DB", &source.url(), &seven.url(), &[], b""));
        assert!(said.contains("key: h") && said.contains("HPEXPIREAT"), "{said}");
        assert!(content::all(&seven).is_empty(), "nothing is left");
    }
    Ok(())
}

/// TLS, an account that may not do what ElastiCache lets nobody do, and an archive that lies in an object store.
fn like_elasticache() -> TestResult {
    let source = test_servers::redis(RedisFlavour::Redis7)?;
    content::load(&source, 200);
    let store = FakeS3::start(Quirks::default())?;
    let tool = tool();
    let archive = store.url("seed/backend.rdb");
    let mut command = tool.command(&source.url(), &["copy", "env:DB", "env:OTHER", "--for", "elasticache"]);
    command
        .env("OTHER", &archive)
        .env("AWS_ACCESS_KEY_ID", ACCESS_KEY)
        .env("AWS_SECRET_ACCESS_KEY", SECRET_KEY);
    expect(0, &command.output()?);
    for flavour in [RedisFlavour::Redis7, RedisFlavour::Valkey9] {
        let target = RedisServer::start(&RedisOptions { tls: true, ..RedisOptions::new(flavour) })?;
        target.ask(&[
            "ACL",
            "SETUSER",
            "app",
            "on",
            ">secret-of-app",
            "~*",
            "&*",
            "+@all",
            "-config",
            "-sync",
            "-psync",
            "-save",
            "-bgsave",
            "-bgrewriteaof",
            "-debug",
            "-replicaof",
            "-slaveof",
            "-shutdown",
            "-migrate",
            "-acl",
            "-module",
        ])?;
        let url = target.url().replace(&format!(":{}@", target.password()), "app:secret-of-app@");
        let mut command = tool.command(&archive, &["copy", "env:DB", "env:OTHER"]);
        command
            .env("OTHER", &url)
            .env("AWS_ACCESS_KEY_ID", ACCESS_KEY)
            .env("AWS_SECRET_ACCESS_KEY", SECRET_KEY);
        let said = expect(0, &command.output()?);
        assert!(!said.contains("secret-of-app"), "{said}");
        assert!(content::all(&target) == content::all(&source));
        assert_equal(&tool, &source.url(), &url);
        // Without TLS, with a wrong password, and with too few rights.
        let plain =
            copy(&tool, "-", "", &url.replace("rediss", "redis"), &["--format", "rdb"], b"REDIS0009\xff");
        assert_ne!(plain.status.code(), Some(0));
        let said = expect(
            5,
            &copy(
                &tool,
                "-",
                "",
                &url.replace("secret-of-app", "guess"),
                &["--format", "rdb"],
                b"REDIS0009\xff",
            ),
        );
        assert!(said.contains("password"), "{said}");
        target.ask(&["ACL", "SETUSER", "app", "-restore"])?;
        let mut command = tool.command(&archive, &["copy", "env:DB", "env:OTHER", "--overwrite"]);
        command
            .env("OTHER", &url)
            .env("AWS_ACCESS_KEY_ID", ACCESS_KEY)
            .env("AWS_SECRET_ACCESS_KEY", SECRET_KEY);
        let said = expect(5, &command.output()?);
        assert!(said.contains("ACL SETUSER app") && said.contains("key: "), "{said}");
    }
    Ok(())
}

fn clusters() -> TestResult {
    let source = test_servers::redis(RedisFlavour::Redis7)?;
    content::load(&source, 300);
    // Enough for several batches.
    source.eval(
        0,
        "for i = 1, 3000 do redis.call('SET', 'filler:' .. i, string.rep('f' .. i, 200)) end return 1",
        &[],
    )?;
    let before = content::of(&source, 0);
    let tool = tool();
    tool.expect(0, &source.url(), &["copy", "env:DB", "zero.rdb", "--redis-db", "0"]);
    tool.expect(0, &source.url(), &["copy", "env:DB", "three.rdb", "--redis-db", "3"]);
    for flavour in [RedisFlavour::Redis8, RedisFlavour::Valkey9] {
        let cluster = RedisCluster::start(flavour, 3)?;
        let args = ["--redis-db", "0", "--verify", "compare"];
        expect(0, &copy(&tool, "env:DB", &source.url(), &cluster.url(), &args, b""));
        assert!(held(&cluster) == before);
        let said = expect(5, &copy(&tool, "three.rdb", "", &cluster.url(), &["--into-existing"], b""));
        assert!(said.contains("--redis-map"), "{said}");
        cluster.nodes[0].ask(&["DEL", "dbferry:load"]).ok();
        for node in &cluster.nodes {
            node.ask(&["FLUSHALL"])?;
        }
        // One slot is on its way to another server: what is not there yet is asked for there.
        let ids: Vec<String> =
            cluster.nodes.iter().map(|node| node.ask(&["CLUSTER", "MYID"])).collect::<Result<_, _>>()?;
        let slot = cluster.nodes[0].ask(&["CLUSTER", "KEYSLOT", "str:1"])?;
        let from = slot.parse::<usize>()? * 3 / 16384;
        let to = (from + 1) % 3;
        cluster.nodes[to].ask(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &ids[from]])?;
        cluster.nodes[from].ask(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &ids[to]])?;
        expect(0, &copy(&tool, "zero.rdb", "", &cluster.url(), &["--redis-drop", "functions"], b""));
        for node in [&cluster.nodes[to], &cluster.nodes[from]] {
            node.ask(&["CLUSTER", "SETSLOT", &slot, "NODE", &ids[to]])?;
        }
        assert!(held(&cluster) == before);
        assert!(content::of(&cluster.nodes[to], 0).contains_key(&content::hex("str:1")));
        for node in &cluster.nodes {
            node.ask(&["FLUSHALL"])?;
        }
        // Half of it comes, then slots change hands, then the rest comes: the map that the load has made is old.
        let half = std::fs::metadata(tool.join("zero.rdb"))?.len() / 2;
        let line = format!(
            "cmd:head -c {half} zero.rdb; while [ ! -e go ]; do sleep 0.1; done; tail -c +{} zero.rdb",
            half + 1
        );
        std::fs::remove_file(tool.join("go")).ok();
        let mut command = tool.command("", &["copy", &line, "env:OTHER"]);
        let child = command.env("OTHER", cluster.url()).stderr(Stdio::piped()).spawn()?;
        let until = Instant::now() + Duration::from_secs(60);
        let count = || cluster.nodes.iter().map(|node| node.ask(&["DBSIZE"])).collect::<Result<Vec<_>, _>>();
        let mut last = count()?;
        while Instant::now() < until {
            std::thread::sleep(Duration::from_millis(1500));
            let now = count()?;
            if now == last && now.iter().all(|keys| keys.len() > 1) {
                break;
            }
            last = now;
        }
        let asked: Vec<usize> = (0..5400).step_by(3).collect();
        let lines: Vec<String> = asked.iter().map(|slot| format!("CLUSTER COUNTKEYSINSLOT {slot}")).collect();
        let answers = cluster.nodes[0].feed(&(lines.join("\n") + "\n"))?;
        let moved: Vec<String> = asked
            .iter()
            .zip(answers.lines())
            .filter(|(_, keys)| *keys == "0")
            .map(|(slot, _)| format!("CLUSTER SETSLOT {slot} NODE {}", ids[2]))
            .collect();
        assert!(moved.len() > 300, "{answers}");
        for node in [&cluster.nodes[2], &cluster.nodes[0]] {
            node.feed(&(moved.join("\n") + "\n"))?;
        }
        std::fs::write(tool.join("go"), "")?;
        expect(0, &child.wait_with_output()?);
        assert!(held(&cluster) == before);
    }
    Ok(())
}

fn refused() -> TestResult {
    let server = test_servers::redis(RedisFlavour::Redis7)?;
    content::load(&server, 20);
    let before = content::all(&server);
    let tool = tool();
    tool.expect(0, &server.url(), &["copy", "env:DB", "all.rdb"]);
    let url = server.url();
    let said = expect(2, &copy(&tool, "all.rdb", "", &url, &[], b""));
    assert!(said.contains("keys in database 0") && said.contains("--into-existing"), "{said}");
    for (args, word) in [
        (&["--for", "rds-mysql"][..], "does not fit"),
        (&["--compress", "zstd"], "--compress"),
        (&["--format", "resp"], "text"),
        (&["--redis-db", "0", "--verify", "compare"], "--verify"),
    ] {
        let said = expect(2, &copy(&tool, "all.rdb", "", &url, args, b""));
        assert!(said.contains(word), "{said}");
    }
    expect(2, &copy(&tool, "all.rdb", "", &format!("{url}/3"), &[], b""));
    expect(2, &copy(&tool, "-", "", &url, &["--resume"], b"REDIS0009\xff"));
    for input in [&b"--\n-- PostgreSQL database dump\n--\n"[..], b"hello"] {
        expect(2, &copy(&tool, "-", "", &url, &["--overwrite"], input));
    }
    let said = expect(5, &copy(&tool, "all.rdb", "", &url, &["--redis-db", "3", "--redis-map", "3=99"], b""));
    assert!(said.contains("out of range") && said.contains("--redis-map"), "{said}");
    let replica = RedisServer::start(&RedisOptions {
        extra: vec![
            format!("replicaof 127.0.0.1 {}", server.port()),
            format!("masterauth {}", server.password()),
        ],
        ..RedisOptions::new(RedisFlavour::Redis7)
    })?;
    let said = expect(5, &copy(&tool, "all.rdb", "", &replica.url(), &[], b""));
    assert!(said.contains("replica"), "{said}");
    assert!(content::all(&server) == before, "nothing was touched");
    // What an interrupted load has left is not loaded over, nor taken for a source.
    let other = test_servers::redis(RedisFlavour::Redis7)?;
    other.ask(&["SET", "dbferry:load", "x"])?;
    for more in [&[][..], &["--into-existing"]] {
        let said = expect(2, &copy(&tool, "all.rdb", "", &other.url(), more, b""));
        assert!(said.contains("did not end"), "{said}");
    }
    let said = expect(5, &copy(&tool, "env:DB", &other.url(), &server.url(), &["--overwrite"], b""));
    assert!(said.contains("incomplete"), "{said}");
    Ok(())
}

fn conflicts() -> TestResult {
    let source = test_servers::redis(RedisFlavour::Redis7)?;
    content::load(&source, 50);
    let tool = tool();
    tool.expect(0, &source.url(), &["copy", "env:DB", "all.rdb"]);
    let target = test_servers::redis(RedisFlavour::Redis7)?;
    let reset = || {
        target.ask(&["FLUSHALL"])?;
        target.ask(&["SET", "str:7", "mine"])?;
        target.ask(&["SET", "own", "mine"])
    };
    reset()?;
    let said = expect(5, &copy(&tool, "all.rdb", "", &target.url(), &["--into-existing"], b""));
    assert!(said.contains("key: str:7") && said.contains("--on-conflict"), "{said}");
    assert_eq!(target.ask(&["GET", "str:7"])?, "mine");
    for how in ["skip", "replace"] {
        reset()?;
        let said = expect(
            0,
            &copy(&tool, "all.rdb", "", &target.url(), &["--into-existing", "--on-conflict", how], b""),
        );
        assert_eq!(said.contains("1 keys were at the target already"), how == "skip", "{said}");
        let mut expected = content::all(&source);
        let mine = content::all(&target);
        expected.get_mut(&0).unwrap().insert(content::hex("own"), mine[&0][&content::hex("own")].clone());
        if how == "skip" {
            expected
                .get_mut(&0)
                .unwrap()
                .insert(content::hex("str:7"), mine[&0][&content::hex("str:7")].clone());
            assert_eq!(target.ask(&["GET", "str:7"])?, "mine");
        }
        assert_eq!(mine, expected, "{how}");
    }
    Ok(())
}

fn failing() -> TestResult {
    let source = test_servers::redis(RedisFlavour::Redis7)?;
    source.eval(
        0,
        "for i = 1, 6000 do redis.call('SET', 'k:' .. i, string.rep('v' .. i, 300)) end return 1",
        &[],
    )?;
    let tool = tool();
    tool.expect(0, &source.url(), &["copy", "env:DB", "all.rdb"]);
    let small = |policy: &str| {
        RedisServer::start(&RedisOptions {
            extra: vec!["maxmemory 5mb".to_owned(), format!("maxmemory-policy {policy}")],
            ..RedisOptions::new(RedisFlavour::Redis7)
        })
    };
    let target = small("noeviction")?;
    let said = expect(5, &copy(&tool, "all.rdb", "", &target.url(), &[], b""));
    assert!(said.contains("OOM") && said.contains("key: k:") && said.contains("maxmemory"), "{said}");
    assert!(content::all(&target).is_empty(), "nothing is left");
    // A server that throws keys out answers OK to every one.
    let target = small("allkeys-lru")?;
    let said = expect(5, &copy(&tool, "all.rdb", "", &target.url(), &[], b""));
    assert!(said.contains("gone") && said.contains("allkeys-lru"), "{said}");
    // A snapshot that ends too early, and one that was changed, leave nothing.
    let target = test_servers::redis(RedisFlavour::Redis7)?;
    let mut whole = std::fs::read(tool.join("all.rdb"))?;
    for cut in [whole.len() / 3, whole.len() - 9, whole.len() - 1] {
        let output = copy(&tool, "-", "", &target.url(), &["--format", "rdb"], &whole[..cut]);
        assert_ne!(output.status.code(), Some(0), "cut at {cut}");
        assert!(content::all(&target).is_empty(), "cut at {cut}");
    }
    let middle = whole.len() / 2;
    whole[middle] ^= 1;
    let output = copy(&tool, "-", "", &target.url(), &["--format", "rdb"], &whole);
    assert_ne!(output.status.code(), Some(0));
    assert!(content::all(&target).is_empty());
    Ok(())
}

/// How many moments: 100 are for `DBFERRY_KILLS=100 cargo nextest run --test loading killed`.
pub(crate) fn kills(few: u32) -> u32 {
    std::env::var("DBFERRY_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(few)
}

/// A fixed sequence of shares of a run, and a little more.
pub(crate) fn moments(count: u32) -> impl Iterator<Item = f64> {
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    (0..count).map(move |_| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        (random % 1000) as f64 / 900.0
    })
}

fn killed() -> TestResult {
    let source = test_servers::redis(RedisFlavour::Redis7)?;
    content::load(&source, 300);
    source.eval(
        0,
        "for i = 1, 60000 do redis.call('SET', 'k:' .. i, string.rep('v' .. i, 30)) end return 1",
        &[],
    )?;
    let before = content::all(&source);
    let tool = tool();
    tool.expect(0, &source.url(), &["copy", "env:DB", "all.rdb"]);
    // What was acknowledged must be there after a kill: otherwise it is the server that loses it.
    let mut target = RedisServer::start(&RedisOptions {
        extra: vec!["appendonly yes".to_owned(), "appendfsync no".to_owned()],
        ..RedisOptions::new(RedisFlavour::Redis7)
    })?;
    let url = target.url();
    let begun = Instant::now();
    expect(0, &copy(&tool, "all.rdb", "", &url, &[], b""));
    let whole = begun.elapsed();
    let mut resumed = 0;
    for share in moments(kills(5)) {
        target.ask(&["FLUSHALL"])?;
        let mut command = tool.command("", &["copy", "all.rdb", "env:OTHER"]);
        let mut child = command.env("OTHER", &url).stderr(Stdio::piped()).spawn()?;
        std::thread::sleep(whole.mul_f64(share).max(Duration::from_millis(5)));
        target.kill9();
        if share < 0.5 {
            // It stays away until the load gives up: what is there is gone on with.
            child.kill()?;
        }
        target.restart()?;
        let output = child.wait_with_output()?;
        match output.status.code() {
            Some(0) => {}
            code => {
                resumed += 1;
                assert!(matches!(code, None | Some(75)), "{}", String::from_utf8_lossy(&output.stderr));
                expect(0, &copy(&tool, "all.rdb", "", &url, &["--resume"], b""));
            }
        }
        assert!(content::all(&target) == before, "killed at {share}");
    }
    assert!(resumed > 0, "no kill hit a load");
    Ok(())
}

fn planted() -> TestResult {
    let (source, target) =
        (test_servers::redis(RedisFlavour::Redis7)?, test_servers::redis(RedisFlavour::Valkey9)?);
    content::load(&source, 300);
    let tool = tool();
    let (left, right) = (source.url(), target.url());
    expect(0, &copy(&tool, "env:DB", &left, &right, &[], b""));
    assert_equal(&tool, &left, &right);
    // Another encoding of the same value is none.
    target.ask(&["CONFIG", "SET", "hash-max-listpack-entries", "1"])?;
    target.ask(&["HSET", "small", "c", "1"])?;
    target.ask(&["HDEL", "small", "c"])?;
    assert_equal(&tool, &left, &right);
    let cases: &[(&str, &[&str])] = &[
        ("key=num:7", &["SET", "num:7", "7"]),
        ("key=str:5", &["PERSIST", "str:5"]),
        ("key=str:10", &["PEXPIREAT", "str:10", "4000000000011"]),
        ("key=set:1", &["SREM", "set:1", "m1"]),
        ("key=ints", &["SADD", "ints", "99999"]),
        ("key=hash:3", &["HSET", "hash:3", "f3", "x"]),
        ("key=zset:1", &["ZADD", "zset:1", "0.2500001", "z1"]),
        ("key=list:2", &["LSET", "list:2", "0", "x"]),
        ("key=stream", &["XDEL", "stream", "7-1"]),
        ("key=stream", &["XACK", "stream", "g", "2-1"]),
        ("key=text", &["SETRANGE", "text", "4000", "X"]),
        ("only at the destination", &["SET", "extra", "x"]),
        ("missing at the destination", &["DEL", "num:9"]),
    ];
    for (name, change) in cases {
        target.ask(change)?;
        let (code, document) = compare(&tool, &left, &right);
        assert_eq!(code, 6, "{change:?}");
        let differing: Vec<_> =
            document["tables"].as_array().unwrap().iter().filter(|table| table["equal"] == false).collect();
        assert_eq!(differing.len(), 1, "{change:?}: {document}");
        assert_eq!(differing[0]["differing_rows"], 1, "{change:?}: {document}");
        if name.starts_with("key=") {
            assert_eq!(differing[0]["examples"][0]["row"], *name, "{change:?}: {document}");
        }
        let mut command = tool.command(&left, &["compare", "env:DB", "env:OTHER"]);
        let said = String::from_utf8_lossy(&command.env("OTHER", &right).output()?.stderr).into_owned();
        assert!(said.contains(name), "{change:?}: {said}");
        expect(0, &copy(&tool, "env:DB", &left, &right, &["--overwrite"], b""));
    }
    // A type, and a key in another database.
    target.ask(&["DEL", "num:9"])?;
    target.ask(&["RPUSH", "num:9", "x"])?;
    target.ask(&["-n", "3", "SET", "three:1", "0"])?;
    let (code, document) = compare(&tool, &left, &right);
    assert_eq!(code, 6);
    let text = document.to_string();
    assert!(text.contains("type: string → list") && text.contains("key=three:1"), "{document}");
    expect(0, &copy(&tool, "env:DB", &left, &right, &["--overwrite"], b""));
    assert_equal(&tool, &left, &right);
    Ok(())
}
