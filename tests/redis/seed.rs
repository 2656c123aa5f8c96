//! Live servers through filters into S3, into files for the shards of a cluster, and what a service that is seeded from them wants.

use std::collections::BTreeMap;

use test_servers::s3::{FakeS3, Quirks};
use test_servers::{Needs, RedisFlavour, RedisOptions, RedisServer, TestResult, Trials};

use crate::carry::{FLAVOURS, loaded};
use crate::content;
use crate::tool::Tool;

pub(crate) fn trials(mut trials: Trials) -> Trials {
    for (flavour, needs, name) in FLAVOURS {
        trials = trials.with(
            &format!("{name}_through_filters_into_s3_and_into_an_older_server"),
            &[needs, Needs::Redis, Needs::Redis6],
            move || into_s3(flavour),
        );
    }
    trials.with("shards_hold_every_key_once", &[Needs::Redis], shards).with(
        "a_bucket_that_elasticache_cannot_read_is_refused",
        &[Needs::Redis, Needs::Moto],
        bucket,
    )
}

type Keys = BTreeMap<u32, BTreeMap<String, String>>;

/// What the filters of [`into_s3`] keep of a server's content.
fn kept(mut keys: Keys, types: &[&str]) -> Keys {
    let dropped = [content::hex("resque:"), content::hex("str:1")];
    let mut kept = Keys::new();
    for (from, to) in [(0, 0), (1, 2)] {
        let mut of = keys.remove(&from).unwrap();
        of.retain(|key, value| {
            let wanted = types.is_empty() || types.iter().any(|kind| value.starts_with(kind));
            wanted && !dropped.iter().any(|prefix| key.starts_with(prefix.as_str()))
        });
        kept.insert(to, of);
    }
    kept
}

/// By TLS and an account that may only replicate, under writes to a key that the filters drop, with and without a disk at the server. What
/// arrives is compared with what the server's own client copied.
fn into_s3(flavour: RedisFlavour) -> TestResult {
    const FILTERS: [&str; 8] =
        ["--redis-db", "0,1", "--redis-map", "1=2", "--drop-keys", "resque:*", "--drop-keys", "str:1*"];
    let server = RedisServer::start(&RedisOptions { tls: true, ..RedisOptions::new(flavour) })?;
    content::load(&server, 150);
    let account = ["+psync", "+sync", "+replconf", "+ping"];
    server.ask(&[&["ACL", "SETUSER", "dump", "on", ">right-password"], &account[..]].concat())?;
    let url = format!(
        "rediss://dump:right-password@127.0.0.1:{}?sslrootcert={}",
        server.port(),
        server.ca_file().display()
    );
    let tool = Tool::new();
    assert!(server.cli(&["--rdb", tool.join("own.rdb").to_str().unwrap()]).output()?.status.success());
    let own = content::all(&loaded(flavour, &tool, "own.rdb"));
    let expected = kept(own.clone(), &[]);
    assert!(expected[&0].len() > 100 && expected[&2].len() == 1);

    let store = FakeS3::start(Quirks::default())?;
    let writer =
        server.cli(&["-r", "100000", "INCR", "resque:beat"]).stdout(std::process::Stdio::null()).spawn()?;
    let writer = Ended(writer);
    for sync in ["disk", "diskless"] {
        let to = store.url(&format!("{sync}.rdb"));
        tool.expect(0, &url, &[&["copy", "env:DB", &to, "--redis-sync", sync], &FILTERS[..]].concat());
        let said = tool.output("", &["verify", &to]);
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
        fetch(&store, &tool, &format!("{sync}.rdb"));
        assert_eq!(content::all(&loaded(flavour, &tool, &format!("{sync}.rdb"))), expected, "{sync}");
    }
    drop(writer);

    // Lowered by itself to what its content needs, it goes into servers that are years older.
    let (older, types) = match flavour {
        RedisFlavour::Redis7 => (RedisFlavour::Redis6, &["string"][..]),
        _ => (RedisFlavour::Redis7, &["string", "list", "hash", "zset"][..]),
    };
    let to = store.url("older.rdb");
    let wanted = types.join(",");
    tool.expect(0, &url, &[&["copy", "env:DB", &to, "--types", &wanted], &FILTERS[..]].concat());
    fetch(&store, &tool, "older.rdb");
    let header = std::fs::read(tool.join("older.rdb"))?[..9].to_vec();
    let stated = if older == RedisFlavour::Redis6 { b"REDIS0007" } else { b"REDIS0010" };
    assert_eq!(header.escape_ascii().to_string(), stated.escape_ascii().to_string());
    let arrived = content::all(&loaded(older, &tool, "older.rdb"));
    assert_eq!(coarse(arrived), coarse(kept(own, types)), "{older:?}");
    Ok(())
}

fn fetch(store: &FakeS3, tool: &Tool, key: &str) {
    std::fs::write(tool.join(key), &store.objects()[key].data).unwrap();
}

/// Ends a client when the test does.
struct Ended(std::process::Child);

impl Drop for Ended {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn shards() -> TestResult {
    let server = test_servers::redis(RedisFlavour::Redis7)?;
    content::load(&server, 200);
    let expected = content::of(&server, 0);
    let tool = Tool::new();
    let url = server.url();
    let said = tool.expect(2, &url, &["copy", "env:DB", "one.rdb", "--shards", "3"]);
    assert!(said.contains("{shard}"), "{said}");
    // In cluster mode there is only one database, which is found out before anything is published.
    let said = tool.expect(
        4,
        &url,
        &["copy", "env:DB", "seed-{shard}.rdb", "--shards", "3", "--for", "elasticache"],
    );
    assert!(said.contains("database 0"), "{said}");
    assert_eq!(tool.names(), Vec::<String>::new());
    tool.expect(
        0,
        &url,
        &["copy", "env:DB", "seed-{shard}.rdb", "--shards", "3", "--redis-db", "0", "--for", "elasticache"],
    );
    let mut all = BTreeMap::new();
    let mut count = 0;
    for shard in 1..=3 {
        let name = format!("seed-{shard}.rdb");
        tool.expect(0, "", &["verify", &name]);
        let share = content::of(&loaded(RedisFlavour::Redis7, &tool, &name), 0);
        let manifest = tool.manifest(&name);
        assert_eq!(manifest["parts"][0]["objects"]["db0"], share.len(), "{name}");
        let part = &manifest["parts"][0];
        assert_eq!(part["raw"], part["stored"], "{name}");
        assert!(share.len() > 50, "{name}: {}", share.len());
        count += share.len();
        all.extend(share);
    }
    assert_eq!(count, all.len(), "no key is in two files");
    assert_eq!(all, expected);
    // A file that was made for another shard is no other one's.
    std::fs::copy(tool.join("seed-1.rdb"), tool.join("seed-2.rdb"))?;
    tool.expect(6, "", &["verify", "seed-2.rdb"]);
    // Into a folder they get names of their own; compressed ones are unpacked and checked too.
    std::fs::create_dir(tool.join("all"))?;
    tool.expect(0, &url, &["copy", "env:DB", "all/", "--shards", "2", "--compress", "zstd"]);
    let names: Vec<String> =
        std::fs::read_dir(tool.join("all"))?.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    let archives: Vec<&String> = names.iter().filter(|name| name.ends_with(".rdb.zst")).collect();
    assert_eq!(archives.len(), 2, "{names:?}");
    for name in archives {
        tool.expect(0, "", &["verify", &format!("all/{name}")]);
    }
    Ok(())
}

fn bucket() -> TestResult {
    let server = test_servers::redis(RedisFlavour::Redis7)?;
    server.ask(&["SET", "k", "v"])?;
    let (tool, url) = (Tool::new(), server.url());
    let fake = FakeS3::start(Quirks::default())?;
    let copy = |code, to: &str, more: &[&str]| {
        tool.expect(code, &url, &[&["copy", "env:DB", to, "--for", "elasticache"], more].concat())
    };
    // The grant is in every request that makes an object, and the policy is printed where there is none.
    let said = copy(0, &fake.url("granted.rdb"), &["--grant-elasticache"]);
    assert!(said.contains("--snapshot-arns arn:aws:s3:::archive/granted.rdb"), "{said}");
    let reader = "540804c33a284a299d2547575ce1010f2312ef3da9b3a053c8bc45bf233e4353";
    for right in ["x-amz-grant-read", "x-amz-grant-read-acp"] {
        assert!(fake.objects()["granted.rdb"].headers[right].contains(reader));
    }
    let said = copy(0, &fake.url("not.rdb"), &[]);
    assert!(said.contains("us-east-1.elasticache-snapshot.amazonaws.com"), "{said}");
    assert!(!fake.objects()["not.rdb"].headers.keys().any(|name| name.starts_with("x-amz-grant")));

    let said = copy(2, &fake.url("a.dump"), &[]);
    assert!(said.contains(".rdb"), "{said}");
    copy(2, &fake.url("a,b.rdb"), &[]);
    let said = copy(2, &format!("{}&sse=aws:kms", fake.url("kms.rdb")), &[]);
    assert!(said.contains("sse=AES256"), "{said}");
    copy(2, "local.rdb", &["--grant-elasticache"]);
    tool.expect(2, &url, &["copy", "env:DB", &fake.url("x.rdb"), "--grant-elasticache"]);

    // A store that tells the region of its buckets.
    let moto = test_servers::moto()?;
    let tool = Tool::with_keys(&moto.keys.0, &moto.keys.1);
    let to = moto.url("seed.rdb");
    let args = ["copy", "env:DB", &to, "--for", "elasticache", "--elasticache-region"];
    let said = tool.expect(2, &url, &[&args[..], &["eu-west-1"]].concat());
    assert!(said.contains("is in us-east-1") && said.contains("eu-west-1"), "{said}");
    tool.expect(0, &url, &[&args[..], &["us-east-1", "--grant-elasticache"]].concat());
    tool.expect(0, "", &["verify", &to]);
    Ok(())
}

/// With expiry to a quarter of an hour, which is what a server before Redis 7 can be asked for.
fn coarse(mut keys: BTreeMap<u32, BTreeMap<String, String>>) -> BTreeMap<u32, BTreeMap<String, String>> {
    for value in keys.values_mut().flat_map(BTreeMap::values_mut) {
        let mut words: Vec<String> = value.split(' ').map(str::to_owned).collect();
        if let Ok(at @ 1..) = words[1].parse::<u64>() {
            words[1] = ((at + 500_000) / 1_000_000 * 1_000_000).to_string();
        }
        *value = words.join(" ");
    }
    keys
}
