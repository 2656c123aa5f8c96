//! Commands and JSON lines against what the server itself answers.

use std::process::Stdio;

use test_servers::{Needs, RedisFlavour, TestResult, Trials};

use crate::content;
use crate::tool::Tool;

pub(crate) fn trials(trials: Trials) -> Trials {
    trials
        .with("commands_make_the_same_keys_again", &[Needs::Redis], || commands(RedisFlavour::Redis7))
        .with("commands_of_valkey_make_the_same_keys_again", &[Needs::Valkey], || {
            commands(RedisFlavour::Valkey9)
        })
        .with("json_is_what_redis_8_answers", &[Needs::RedisUnstable], || json(RedisFlavour::Redis8))
        .with("json_is_what_redis_7_answers", &[Needs::Redis], || json(RedisFlavour::Redis7))
        .with("json_is_what_valkey_9_answers", &[Needs::Valkey], || json(RedisFlavour::Valkey9))
}

fn commands(flavour: RedisFlavour) -> TestResult {
    let server = test_servers::redis(flavour)?;
    content::load(&server, 300);
    let tool = Tool::new();
    tool.expect(0, &server.url(), &["copy", "env:DB", "all.resp", "--format", "resp"]);
    tool.expect(0, "", &["verify", "all.resp"]);
    let target = test_servers::redis(flavour)?;
    let piped =
        target.cli(&["--pipe"]).stdin(Stdio::from(std::fs::File::open(tool.join("all.resp"))?)).output()?;
    let said = String::from_utf8_lossy(&piped.stdout);
    assert!(piped.status.success() && said.contains("errors: 0"), "{said}");
    assert_eq!(content::all(&target), content::all(&server));
    Ok(())
}

fn json(flavour: RedisFlavour) -> TestResult {
    let server = test_servers::redis(flavour)?;
    // Fields expire since Redis 7.4 and Valkey 9.
    let expires = flavour != RedisFlavour::Redis7;
    if expires {
        server.eval(2, "redis.call('HSET', 'h', 'f', 'v', 'g', '2') redis.call('HPEXPIREAT', 'h', 4000000000000, 'FIELDS', 1, 'g')", &[])?;
    } else {
        server.eval(2, "redis.call('HSET', 'h', 'f', 'v', 'g', '2')", &[])?;
    }
    server.eval(
        2,
        "redis.call('SET', 's', 'caf\\195\\169 \"quoted\"\\n') redis.call('PEXPIREAT', 's', 4000000000000) redis.call('RPUSH', 'l', 'a', '1', 'b') \
         redis.call('ZADD', 'z', 1.5, 'm', '-inf', 'n') \
         redis.call('HSET', 'p', 'f', 'v') redis.call('SADD', 'i', 3, 1, 2) redis.call('XADD', 'x', '1-1', 'k', 'v')",
        &[],
    )?;
    let tool = Tool::new();
    tool.expect(0, &server.url(), &["copy", "env:DB", "all.jsonl.gz", "--format", "json"]);
    tool.expect(0, "", &["verify", "all.jsonl.gz"]);
    let plain = std::process::Command::new("gzip")
        .args(["-dc", "all.jsonl.gz"])
        .current_dir(tool.path())
        .output()?
        .stdout;
    let mut lines: Vec<serde_json::Value> = plain
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect();
    lines.sort_by_key(|line| line["key"].as_str().unwrap().to_owned());
    // The order of fields is the server's: by expiry, or by its hash.
    if let Some(fields) = lines[0]["value"].as_array_mut() {
        fields.sort_by_key(|field| field[0].as_str().unwrap().to_owned());
    }
    let hash = if expires {
        serde_json::json!([["f", "v"], ["g", "2", 4_000_000_000_000_u64]])
    } else {
        serde_json::json!({"f": "v", "g": "2"})
    };
    let expected = serde_json::json!([
        {"db": 2, "key": "h", "type": "hash", "value": hash},
        {"db": 2, "key": "i", "type": "set", "value": ["1", "2", "3"]},
        {"db": 2, "key": "l", "type": "list", "value": ["a", "1", "b"]},
        {"db": 2, "key": "p", "type": "hash", "value": {"f": "v"}},
        {"db": 2, "key": "s", "type": "string", "expires_at": 4_000_000_000_000_u64, "value": "café \"quoted\"\n"},
        {"db": 2, "key": "x", "type": "stream", "value": {"entries": [["1-1", "k", "v"]], "length": 1, "last_id": "1-1", "first_id": "1-1",
            "max_deleted_id": "0-0", "entries_added": 1, "groups": []}},
        {"db": 2, "key": "z", "type": "zset", "value": [["n", "-inf"], ["m", 1.5]]},
    ]);
    assert_eq!(serde_json::Value::Array(lines), expected);
    Ok(())
}
