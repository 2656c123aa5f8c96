//! Sample content, and what a server says that it holds.

use std::collections::BTreeMap;

use test_servers::RedisServer;

/// Keys of every type, encodings small and large, binary names, expiry, in databases 0, 1 and 3.
pub(crate) fn load(server: &RedisServer, scale: u32) {
    const SCRIPT: &str = r"
        local n = tonumber(ARGV[1])
        math.randomseed(7)
        local function word(length) local t = {} for i = 1, length do t[i] = string.char(math.random(0, 255)) end return table.concat(t) end
        for i = 1, n do
            redis.call('SET', 'str:' .. i, word(i % 90))
            redis.call('SET', 'num:' .. i, i * 7919)
            if i % 5 == 0 then redis.call('PEXPIREAT', 'str:' .. i, 4000000000000 + i) end
        end
        redis.call('SET', 'text', string.rep('compress me ', 5000))
        redis.call('SET', 'bin:\0\255\13\10', word(300))
        for i = 1, n do
            redis.call('RPUSH', 'list:' .. (i % 7), word(i % 40), i)
            redis.call('SADD', 'set:' .. (i % 5), 'm' .. i)
            redis.call('SADD', 'ints', i)
            redis.call('HSET', 'hash:' .. (i % 11), 'f' .. i, word(i % 50))
            redis.call('ZADD', 'zset:' .. (i % 3), i / 4, 'z' .. i)
            redis.call('XADD', 'stream', i .. '-1', 'field', word(5), 'n', i)
        end
        redis.call('ZADD', 'zset:inf', '+inf', 'a', '-inf', 'b')
        redis.call('HSET', 'small', 'a', '1', 'b', word(10))
        redis.call('RPUSH', 'long', word(20000), 'x', word(100000))
        redis.call('HSET', 'wide', word(70000), 'x', 'y', word(90000))
        redis.call('XGROUP', 'CREATE', 'stream', 'g', '0')
        redis.call('XREADGROUP', 'GROUP', 'g', 'c1', 'COUNT', '3', 'STREAMS', 'stream', '>')
        redis.call('XADD', 'emptied', '5-5', 'a', 'b')
        redis.call('XDEL', 'emptied', '5-5')
        return n";
    server.eval(0, SCRIPT, &[&scale.to_string()]).unwrap();
    server.eval(1, "for i = 1, 50 do redis.call('RPUSH', 'resque:queue:jobs', i) end redis.call('SET', 'only:in:1', 'x')", &[]).unwrap();
    server.eval(3, "for i = 1, 100 do redis.call('SET', 'three:' .. i, i) end", &[]).unwrap();
}

/// A fingerprint of every key by database and name (in hexadecimal): type, moment of expiry, and content in an order that does not depend on the
/// encoding. The server computes it from what it answers to ordinary commands.
pub(crate) fn of(server: &RedisServer, db: u32) -> BTreeMap<String, String> {
    const SCRIPT: &str = r"
        local out = {}
        local function hex(s) return (s:gsub('.', function(c) return string.format('%02x', c:byte()) end)) end
        local function flat(v)
            if type(v) == 'table' then
                if v.ok then return v.ok end
                if v.double then return tostring(v.double) end
                local t = {}
                for i, x in ipairs(v) do t[i] = flat(x) end
                return '(' .. table.concat(t, ',') .. ')'
            end
            return tostring(v)
        end
        local function pairs_sorted(v)
            local t = {}
            for i = 1, #v, 2 do t[#t + 1] = v[i] .. '=' .. v[i + 1] end
            table.sort(t)
            return table.concat(t, ',')
        end
        for _, key in ipairs(redis.call('KEYS', '*')) do
            local kind = redis.call('TYPE', key).ok
            local value
            if kind == 'string' then value = redis.call('GET', key)
            elseif kind == 'list' then value = flat(redis.call('LRANGE', key, 0, -1))
            elseif kind == 'set' then value = redis.call('SMEMBERS', key) table.sort(value) value = flat(value)
            elseif kind == 'zset' then value = flat(redis.call('ZRANGE', key, 0, -1, 'WITHSCORES'))
            elseif kind == 'hash' then value = pairs_sorted(redis.call('HGETALL', key))
            elseif kind == 'stream' then
                local info = redis.call('XINFO', 'STREAM', key)
                local known = {}
                for i = 1, #info, 2 do
                    if info[i] == 'length' or info[i] == 'last-generated-id' or info[i] == 'entries-added' or info[i] == 'max-deleted-entry-id' then known[#known + 1] = info[i] .. '=' .. info[i + 1] end
                end
                local groups = {}
                for _, group in ipairs(redis.call('XINFO', 'GROUPS', key)) do
                    groups[#groups + 1] = flat(group) .. flat(redis.call('XPENDING', key, group[2]))
                end
                value = flat(redis.call('XRANGE', key, '-', '+')) .. table.concat(known, ',') .. table.concat(groups, ',')
            end
            local at = redis.call('PTTL', key)
            if at > 0 then
                local exact = redis.pcall('PEXPIRETIME', key)
                if type(exact) == 'number' then at = exact
                else
                    -- Before Redis 7 there is only the time that is left.
                    local now = redis.call('TIME')
                    at = math.floor((now[1] * 1000 + now[2] / 1000 + at) / 1000000 + 0.5) * 1000000
                end
            end
            out[#out + 1] = hex(key) .. ' ' .. kind .. ' ' .. at .. ' ' .. redis.sha1hex(value)
        end
        return out";
    let said = server.eval(db, SCRIPT, &[]).unwrap();
    said.lines()
        .filter(|line| !line.is_empty())
        .map(|line| {
            let (key, rest) = line.split_once(' ').unwrap();
            (key.to_owned(), rest.to_owned())
        })
        .collect()
}

/// All databases that tests use.
pub(crate) fn all(server: &RedisServer) -> BTreeMap<u32, BTreeMap<String, String>> {
    (0..16).map(|db| (db, of(server, db))).filter(|(_, keys)| !keys.is_empty()).collect()
}

pub(crate) fn hex(name: &str) -> String {
    use std::fmt::Write as _;
    name.bytes().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}
