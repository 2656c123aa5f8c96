//! What was typed about Redis snapshots, and what is meant by it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::{Args, ValueEnum};
use pipeline::endpoint::{DatabaseUrl, Engine};
use pipeline::{Error, Format, Result, Steps, Transform};
use transforms::rdb::{DataType, Options, RdbStep, Target, TextForm, Version};

use super::args::{FormatArg, ProfileArg, SourceArgs, SyncArg};
use super::endpoint::From;
use super::size;
use sources::{RedisDump, RedisOptions, RedisSync};

/// Options of `dbferry copy` for Redis and Valkey.
#[derive(Debug, Clone, Args)]
pub(crate) struct RedisArgs {
    /// Keep only these logical databases, by their number in the source
    #[arg(long, value_name = "N", value_delimiter = ',', help_heading = "Redis")]
    pub(crate) redis_db: Vec<u64>,

    /// Give a logical database another number. Two may become one if they have no key in common
    #[arg(long, value_name = "FROM=TO", value_delimiter = ',', help_heading = "Redis")]
    pub(crate) redis_map: Vec<String>,

    // Not doc comments: rustdoc would take the brackets for links.
    #[arg(
        long,
        value_name = "GLOB",
        help_heading = "Redis",
        help = "Keep only keys that match, as with KEYS: * ? [a-z] \\x. May be given several times"
    )]
    pub(crate) keys: Vec<String>,

    /// Leave out keys that match, even if --keys keeps them. May be given several times
    #[arg(long, value_name = "GLOB", help_heading = "Redis")]
    pub(crate) drop_keys: Vec<String>,

    /// Keep only keys of these types: string, list, set, zset, hash, stream, array, module
    #[arg(long, value_name = "TYPE", value_delimiter = ',', help_heading = "Redis")]
    pub(crate) types: Vec<String>,

    /// Leave out keys that have expired
    #[arg(long, help_heading = "Redis")]
    pub(crate) drop_expired: bool,

    /// Leave out keys that expire sooner than this: seconds, or with s, m, h or d
    #[arg(long, value_name = "TIME", help_heading = "Redis")]
    pub(crate) ttl_min: Option<String>,

    /// Keep only keys of these cluster slots, for a file for each shard, such as 0-8191
    #[arg(long, value_name = "FROM-TO", value_delimiter = ',', help_heading = "Redis")]
    pub(crate) slots: Vec<String>,

    /// Write N files, each with an even share of the cluster slots and `{shard}` in its name: one for each shard of a target in cluster mode
    #[arg(long, value_name = "N", conflicts_with = "slots", value_parser = clap::value_parser!(u16).range(1..=500), help_heading = "Redis")]
    pub(crate) shards: Option<u16>,

    /// Leave out functions, AUX fields, or keys and data of modules
    #[arg(long, value_enum, value_name = "WHAT", value_delimiter = ',', help_heading = "Redis")]
    pub(crate) redis_drop: Vec<DropArg>,

    /// The RDB version that the file states, such as 9 for Redis 5, 11 for 7.2, 80 for Valkey 9; content that needs more ends the run.
    /// Default: the lowest that the content needs if it is smaller than 4 MiB, else the source's own
    #[arg(long, value_name = "N", help_heading = "Redis")]
    pub(crate) rdb_version: Option<u16>,

    /// Memory of one node of the target, for --for elasticache
    #[arg(long, value_name = "SIZE", help_heading = "Redis")]
    pub(crate) node_memory: Option<String>,

    /// Region of the cluster, for --for elasticache: the bucket must be there. Default: the bucket's own
    #[arg(long, value_name = "REGION", help_heading = "Redis")]
    pub(crate) elasticache_region: Option<String>,

    /// Let ElastiCache read the objects, by their ACL
    #[arg(long, help_heading = "Redis")]
    pub(crate) grant_elasticache: bool,
}

/// `--redis-drop`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum DropArg {
    /// Function libraries
    Functions,
    /// Fields about the file as a whole
    Aux,
    /// Keys whose values belong to modules, and modules' data outside keys
    Modules,
}

impl RedisArgs {
    /// The first flag that speaks of Redis alone.
    pub(crate) fn flag(&self) -> Option<&'static str> {
        [
            (!self.redis_db.is_empty(), "--redis-db"),
            (!self.redis_map.is_empty(), "--redis-map"),
            (!self.keys.is_empty(), "--keys"),
            (!self.drop_keys.is_empty(), "--drop-keys"),
            (!self.types.is_empty(), "--types"),
            (self.drop_expired, "--drop-expired"),
            (self.ttl_min.is_some(), "--ttl-min"),
            (!self.slots.is_empty(), "--slots"),
            (!self.redis_drop.is_empty(), "--redis-drop"),
            (self.rdb_version.is_some(), "--rdb-version"),
            (self.node_memory.is_some(), "--node-memory"),
            (self.shards.is_some(), "--shards"),
            (self.elasticache_region.is_some(), "--elasticache-region"),
            (self.grant_elasticache, "--grant-elasticache"),
        ]
        .into_iter()
        .find_map(|(given, flag)| given.then_some(flag))
    }

    /// Whether some keys of the databases that are carried stay behind.
    pub(crate) fn keeps_some(&self) -> bool {
        let patterns = [&self.keys, &self.drop_keys, &self.types, &self.slots];
        self.drop_expired
            || self.ttl_min.is_some()
            || self.shards.is_some()
            || patterns.iter().any(|given| !given.is_empty())
    }

    /// The transform's options. `memory` is the run's budget.
    pub(crate) fn options(
        &self,
        from: &From,
        profile: Option<ProfileArg>,
        format: Option<FormatArg>,
        source: &SourceArgs,
        memory: usize,
    ) -> Result<Options> {
        let text = match format {
            Some(FormatArg::Resp) => Some(TextForm::Resp),
            Some(FormatArg::Json) => Some(TextForm::Json),
            _ => None,
        };
        let target = (profile == Some(ProfileArg::Elasticache))
            .then(|| {
                let node_memory =
                    self.node_memory.as_deref().map(|text| size::parse("--node-memory", text)).transpose()?;
                Ok::<_, Error>(Target { node_memory: node_memory.map(|bytes| bytes as u64) })
            })
            .transpose()?;
        let of_target = [
            (self.node_memory.is_some(), "--node-memory"),
            (self.elasticache_region.is_some(), "--elasticache-region"),
            (self.grant_elasticache, "--grant-elasticache"),
        ];
        if let (None, Some((_, flag))) = (&target, of_target.into_iter().find(|(given, _)| *given)) {
            return Err(Error::usage(format!("`{flag}` belongs to `--for elasticache`"))
                .hint("give both, or neither"));
        }
        if text.is_some() && self.shards.is_some() {
            return Err(Error::usage("`--shards` writes snapshots, and `--format` makes none of it")
                .hint("leave out one of them; `--slots` goes with every form"));
        }
        if text.is_some() && (target.is_some() || self.rdb_version.is_some()) {
            return Err(Error::usage(
                "`--format resp` and `--format json` make no snapshot, so there is no version or target",
            )
            .hint("leave out `--for` and `--rdb-version`, or `--format`"));
        }
        let dropped = |what| self.redis_drop.contains(&what);
        Ok(Options {
            databases: self.databases(from)?.into_iter().collect(),
            renumber: self.redis_map.iter().map(|text| renumber(text)).collect::<Result<_>>()?,
            keys: self.keys.iter().map(|pattern| pattern.as_bytes().to_vec()).collect(),
            drop_keys: self.drop_keys.iter().map(|pattern| pattern.as_bytes().to_vec()).collect(),
            types: self.types.iter().map(|name| data_type(name)).collect::<Result<_>>()?,
            slots: self.slots.iter().map(|text| slots(text)).collect::<Result<_>>()?,
            now: now(),
            drop_expired: self.drop_expired,
            ttl_min: self.ttl_min.as_deref().map(duration).transpose()?,
            drop_functions: dropped(DropArg::Functions),
            drop_aux: dropped(DropArg::Aux),
            drop_modules: dropped(DropArg::Modules),
            version: self.rdb_version.map(version).transpose()?,
            plain: Arc::default(),
            drop_twice: source.redis_scan,
            merge_memory: memory / 4,
            target,
            text,
        })
    }

    /// The databases that will be written under the numbers that they get, where that is known.
    pub(crate) fn written(&self, from: &From) -> Result<Option<BTreeSet<u64>>> {
        let kept = self.databases(from)?;
        let renumber: BTreeMap<u64, u64> =
            self.redis_map.iter().map(|text| renumber(text)).collect::<Result<_>>()?;
        let written = kept.iter().map(|db| renumber.get(db).copied().unwrap_or(*db)).collect();
        Ok((!kept.is_empty()).then_some(written))
    }

    /// Which databases are held against which afterwards; none for all. What keeps a part of the keys cannot be compared.
    pub(crate) fn compared(&self, from: &From) -> Result<Vec<(u64, u64)>> {
        let whole = Self { redis_db: Vec::new(), redis_map: Vec::new(), node_memory: None, ..self.clone() };
        if let Some(flag) = whole.flag() {
            return Err(Error::usage(format!("`{flag}` and `--verify compare` contradict each other"))
                .hint("what is left out would be a difference"));
        }
        let kept = self.databases(from)?;
        if kept.is_empty() && !self.redis_map.is_empty() {
            return Err(Error::usage("`--verify compare` wants to know which databases are carried")
                .hint("name them with --redis-db N"));
        }
        let renumber: BTreeMap<u64, u64> =
            self.redis_map.iter().map(|text| renumber(text)).collect::<Result<_>>()?;
        Ok(kept.iter().map(|db| (*db, renumber.get(db).copied().unwrap_or(*db))).collect())
    }

    /// `--redis-db`, else the database in the URL.
    fn databases(&self, from: &From) -> Result<Vec<u64>> {
        let named = named(from)?;
        if named.is_empty() {
            return Ok(self.redis_db.clone());
        }
        if !self.redis_db.is_empty() && self.redis_db != named {
            return Err(Error::usage("the URL names a database, and `--redis-db` names others")
                .hint("leave one of them out"));
        }
        Ok(named)
    }
}

/// Slots of a cluster.
const SLOTS: u32 = 1 << 14;

/// The slots of one of `of` shards, counted from 0: ranges as even as they can be.
fn share(nth: u16, of: u16) -> RangeInclusive<u16> {
    let start = |nth: u16| SLOTS * u32::from(nth) / u32::from(of);
    let slot = |slot: u32| u16::try_from(slot).unwrap_or(u16::MAX);
    slot(start(nth))..=slot(start(nth + 1) - 1)
}

/// The step that makes each shard's file of the whole stream: everything that was asked for, and the shard's slots alone.
pub(crate) fn shares(wanted: &Options, shards: u16) -> Vec<Steps> {
    let step = |nth| -> Steps {
        let options = Options {
            slots: vec![share(nth, shards)],
            merge_memory: wanted.merge_memory / usize::from(shards),
            ..wanted.clone()
        };
        Arc::new(move |_| Ok(vec![Box::new(RdbStep::new(options.clone())) as Box<dyn Transform>]))
    };
    (0..shards).map(step).collect()
}

/// Nothing is asked of the stream but that it is whole.
pub(crate) fn unfiltered() -> Options {
    Options { now: now(), ..Options::default() }
}

/// What `inspect` wants of a snapshot: a look, and the database of the URL if it names one.
pub(crate) fn inspected(from: &From, source: &SourceArgs, memory: usize) -> Result<Options> {
    let databases = named(from)?.into_iter().collect();
    let drop_twice = source.redis_scan;
    Ok(Options { databases, drop_twice, now: now(), merge_memory: memory / 4, ..Options::default() })
}

/// What a live server sends is known before it is asked, and then nothing is set aside for what else it might be.
pub(crate) fn carried(from: &From) -> Option<Format> {
    matches!(from, From::Database(url) if url.engine == Engine::Redis).then_some(Format::Rdb)
}

/// The databases in the URL of a Redis server.
fn named(from: &From) -> Result<Vec<u64>> {
    match from {
        From::Database(url) if url.engine == Engine::Redis => url
            .databases
            .iter()
            .map(|db| db.parse().map_err(|_| Error::usage(format!("a Redis database is a number, not {db}"))))
            .collect(),
        _ => Ok(Vec::new()),
    }
}

/// A live server, read in the way that was asked for.
pub(crate) fn source(url: DatabaseUrl, args: &SourceArgs, options: RedisOptions) -> RedisDump {
    let sync = match args.redis_sync {
        SyncArg::Auto => RedisSync::Auto,
        SyncArg::Disk => RedisSync::Disk,
        SyncArg::Diskless => RedisSync::Diskless,
    };
    RedisDump::new(url, RedisOptions { sync, scan: args.redis_scan, ..options })
}

/// Milliseconds since 1970.
pub(crate) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

pub(crate) fn renumber(text: &str) -> Result<(u64, u64)> {
    text.split_once('=')
        .and_then(|(from, to)| Some((from.trim().parse().ok()?, to.trim().parse().ok()?)))
        .ok_or_else(|| {
            Error::usage(format!("`{text}` renumbers no database"))
                .hint("write --redis-map FROM=TO, such as 1=2")
        })
}

fn data_type(name: &str) -> Result<DataType> {
    DataType::from_name(name).ok_or_else(|| {
        let known = DataType::ALL.map(DataType::name).join(", ");
        Error::usage(format!("`{name}` is no type of a value")).hint(format!("known: {known}"))
    })
}

fn slots(text: &str) -> Result<RangeInclusive<u16>> {
    let (from, to) = text.split_once('-').unwrap_or((text, text));
    match (from.trim().parse::<u16>(), to.trim().parse::<u16>()) {
        (Ok(from), Ok(to)) if from <= to && to < 1 << 14 => Ok(from..=to),
        _ => Err(Error::usage(format!("`{text}` is no range of slots"))
            .hint("write --slots FROM-TO within 0-16383, such as 0-8191")),
    }
}

/// Milliseconds.
fn duration(text: &str) -> Result<i64> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let seconds = match unit {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86400,
        _ => 0,
    };
    number
        .parse::<i64>()
        .ok()
        .and_then(|number| number.checked_mul(seconds * 1000))
        .filter(|millis| *millis > 0)
        .ok_or_else(|| Error::usage(format!("`{text}` is no time")).hint("write --ttl-min 300, 5m, 2h or 1d"))
}

/// The two families share one row of numbers, and it tells them apart: Redis up to 79, Valkey from 80.
fn version(number: u16) -> Result<Version> {
    let version =
        if number < Version::FIRST_VALKEY { Version::redis(number) } else { Version::valkey(number) };
    if version.is_known() && number >= 5 {
        return Ok(version);
    }
    Err(Error::usage(format!("RDB version {number} is not written")).hint(format!(
        "known: 5 to {} (Redis), {} to {} (Valkey 9)",
        Version::NEWEST_REDIS,
        Version::FIRST_VALKEY,
        Version::NEWEST_VALKEY
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_cover_every_slot_once() {
        for of in [1, 2, 3, 5, 7, 16, 90, 500] {
            let ranges: Vec<_> = (0..of).map(|nth| share(nth, of)).collect();
            let all: Vec<u16> = ranges.iter().cloned().flatten().collect();
            assert_eq!(all, (0..1 << 14).collect::<Vec<u16>>(), "{of}");
            let sizes = ranges.iter().map(ExactSizeIterator::len);
            assert!(sizes.clone().max().unwrap() - sizes.min().unwrap() <= 1);
        }
    }

    #[test]
    fn words_are_read_or_refused_with_a_way_out() {
        assert_eq!(renumber("1=0").unwrap(), (1, 0));
        assert_eq!(slots("0-8191").unwrap(), 0..=8191);
        assert_eq!(slots("7").unwrap(), 7..=7);
        assert_eq!(duration("2h").unwrap(), 7_200_000);
        assert_eq!(version(11).unwrap(), Version::redis(11));
        assert_eq!(version(80).unwrap(), Version::valkey(80));
        assert_eq!(data_type("zset").unwrap(), DataType::SortedSet);
        let refused = [
            renumber("1").unwrap_err(),
            renumber("a=b").unwrap_err(),
            slots("5-1").unwrap_err(),
            slots("0-16384").unwrap_err(),
            duration("soon").unwrap_err(),
            duration("0").unwrap_err(),
            version(4).unwrap_err(),
            version(16).unwrap_err(),
            version(79).unwrap_err(),
            data_type("sortedset").unwrap_err(),
        ];
        for error in refused {
            assert_eq!(error.exit_code(), 2);
            assert!(!error.hints().is_empty(), "{error}");
        }
    }
}
