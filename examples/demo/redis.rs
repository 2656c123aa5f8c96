//! Redis: what a live server holds leaves filtered, ready to seed a service, and stock `redis-server` starts on it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use test_servers::{RedisFlavour, RedisOptions, RedisServer};

use super::{Demo, PLACES, PREFIX, Result, To, ended};

/// Data in database 0, some of it transient; queues of jobs in database 1.
const DATA: &str = "for i = 1, 20000 do
        redis.call('SET', 'stats/usage:' .. i, i * 7)
        redis.call('SET', 'tmp:' .. i, 'x', 'EX', 100)
        if i % 10 == 0 then redis.call('PEXPIREAT', 'stats/usage:' .. i, 4000000000000 + i) end
        if i % 20 == 0 then
            redis.call('HSET', 'service:' .. i, 'id', i, 'name', 'service ' .. i, 'state', 'active')
            redis.call('SADD', 'applications:' .. i % 7, i, 'app' .. i)
            redis.call('ZADD', 'top', i / 4, 'member' .. i)
            redis.call('XADD', 'events', i .. '-1', 'kind', 'created', 'id', i)
        end
    end";
const JOBS: &str = "for i = 1, 500 do redis.call('RPUSH', 'resque:queue:priority', 'job ' .. i) end";

/// Starts a server with content.
pub(crate) fn start() -> Result<RedisServer> {
    let server = test_servers::redis(RedisFlavour::Redis7)?;
    server.eval(0, DATA, &[])?;
    server.eval(1, JOBS, &[])?;
    Ok(server)
}

impl Demo {
    /// Redis through filters into a snapshot, and back through `redis-server`.
    pub(crate) fn redis(&mut self, server: &RedisServer) -> Result<()> {
        let more =
            ["--redis-db", "0", "--drop-keys", "tmp:*", "--for", "elasticache", "--node-memory", "1GiB"];
        for to in PLACES {
            self.carry(
                "Redis, --for elasticache",
                &server.url(),
                to,
                "backend.rdb",
                Path::new("/usr/bin"),
                &more,
            )?;
            let mut expected = content(server)?;
            expected.retain(|key, _| !key.starts_with("tmp:"));
            let options =
                RedisOptions { load: Some(self.fetched(to)?), ..RedisOptions::new(RedisFlavour::Redis7) };
            let restored = RedisServer::start(&options)?;
            let arrived = content(&restored)?;
            let mut difference = String::new();
            for key in expected.keys().chain(arrived.keys()) {
                if expected.get(key) != arrived.get(key) {
                    difference = format!("{key}: {:?} and {:?}", expected.get(key), arrived.get(key));
                }
            }
            if restored.ask(&["-n", "1", "DBSIZE"])? != "0" {
                difference.push_str("the queues of jobs came along");
            }
            self.same(to, &difference, "redis-server")?;
        }
        Ok(())
    }

    /// The snapshot as a file. What is in S3 comes by the AWS command line.
    fn fetched(&self, to: To) -> Result<PathBuf> {
        if to == To::Folder {
            return Ok(self.out.join("backend.rdb"));
        }
        let file = self.out.join("backend-from-s3.rdb");
        let mut command = self.store.aws()?;
        command.args(["s3", "cp", &format!("s3://archive/{PREFIX}/backend.rdb")]).arg(&file);
        ended("aws s3 cp", &mut command.stdout(Stdio::null()).spawn()?)?;
        Ok(file)
    }
}

/// Every key of database 0 with its moment of expiry and the server's own digest of its value.
fn content(server: &RedisServer) -> Result<BTreeMap<String, (String, String)>> {
    let said = server.eval(
        0,
        "local out = {} for _, key in ipairs(redis.call('KEYS', '*')) do out[#out + 1] = key .. ' ' .. redis.call('PEXPIRETIME', key) end return out",
        &[],
    )?;
    let keys: Vec<(&str, &str)> = said.lines().filter_map(|line| line.rsplit_once(' ')).collect();
    let mut content = BTreeMap::new();
    for some in keys.chunks(1000) {
        let names: Vec<&str> = some.iter().map(|(key, _)| *key).collect();
        let digests = server.ask(&[&["DEBUG", "DIGEST-VALUE"], names.as_slice()].concat())?;
        for ((key, expiry), digest) in some.iter().zip(digests.lines()) {
            content.insert((*key).to_owned(), ((*expiry).to_owned(), digest.to_owned()));
        }
    }
    if content.len() < keys.len() || keys.is_empty() {
        return Err("the server gave no digest of some keys".into());
    }
    Ok(content)
}
