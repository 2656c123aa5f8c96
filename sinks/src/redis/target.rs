//! What the target is and holds.

use std::collections::BTreeMap;

use connections::redis::{Info, Map, Place, Reply, Role, Wire, enter, locate, refusal};
use formats::rdb::{Version, key_slot};
use pipeline::endpoint::DatabaseUrl;
use pipeline::{Context, Error, Kind, Result, Stage};

use super::RedisLoad;
use crate::Occupied;

/// Marks a load that has not ended.
pub(super) const MARK: &str = "dbferry:load";
const SAYS: &[u8] = b"A load by dbferry has not ended: this server's data is incomplete";

/// A server, or a cluster.
pub(super) struct Target {
    url: DatabaseUrl,
    pub(super) map: Map,
    pub(super) cluster: bool,
    /// The newest version of values that it takes.
    pub(super) version: Option<Version>,
    /// Databases that hold keys.
    keys: BTreeMap<u64, u64>,
    info: Info,
    wires: Vec<(Place, Wire)>,
}

/// Moves an error to the destination.
pub(super) fn here(error: Error) -> Error {
    error.at(Stage::Sink)
}

impl Target {
    /// Asks. Nothing is changed.
    pub(super) async fn look(url: &DatabaseUrl, cx: &Context) -> Result<Self> {
        let place = locate(url, Role::Primary, cx).await.map_err(here)?;
        let mut wire = enter(&place, url).await.map_err(here)?;
        let info = Info::ask(&mut wire, None, url).await.map_err(here)?;
        let (valkey, number) = (info.is_valkey(), info.release());
        let version = number.and_then(|(major, minor)| Version::written_by(valkey, major, minor));
        if let (false, Some((major, minor))) = (valkey, number)
            && major < 5
        {
            return Err(Error::sink(format!("Redis {major}.{minor} is too old to be loaded into"))
                .with("destination", url.place())
                .hint("RESTORE takes the moment of expiry since Redis 5"));
        }
        let cluster = info.is_cluster();
        let map = if cluster {
            Map::ask(&mut wire, &place).await.map_err(here)?
        } else {
            Map::single(place.clone())
        };
        let mut target = Self {
            url: url.clone(),
            map,
            cluster,
            version,
            keys: BTreeMap::new(),
            info,
            wires: vec![(place, wire)],
        };
        target.keys = target.count_all().await?;
        Ok(target)
    }

    /// The connection to a server; made when it is first asked for.
    async fn wire(&mut self, place: &Place) -> Result<&mut Wire> {
        let at = if let Some(at) = self.wires.iter().position(|(known, _)| known == place) {
            at
        } else {
            let wire = enter(place, &self.url).await.map_err(here)?;
            self.wires.push((place.clone(), wire));
            self.wires.len() - 1
        };
        Ok(&mut self.wires[at].1)
    }

    /// One command, in a database; a refusal is an error.
    async fn call(&mut self, place: &Place, db: u64, words: &[&[u8]]) -> Result<Reply> {
        let (url, cluster) = (self.url.clone(), self.cluster);
        let wire = self.wire(place).await?;
        select(wire, db, cluster, &url).await?;
        match wire.call(words).await.map_err(here)? {
            Reply::Error(text) => {
                let name = String::from_utf8_lossy(words[0]);
                Err(here(refusal::explain(&text, &name, &url)))
            }
            reply => Ok(reply),
        }
    }

    /// Keys of each database, over all servers.
    async fn count_all(&mut self) -> Result<BTreeMap<u64, u64>> {
        if !self.cluster {
            return Ok(self.info.databases());
        }
        let mut keys = BTreeMap::new();
        for place in self.map.places.clone() {
            let url = self.url.clone();
            let wire = self.wire(&place).await?;
            let info = Info::ask(wire, Some("keyspace"), &url).await.map_err(here)?;
            for (db, count) in info.databases() {
                *keys.entry(db).or_default() += count;
            }
        }
        Ok(keys)
    }

    /// Keys of one database, over all servers.
    pub(super) async fn count(&mut self, db: u64) -> Result<u64> {
        let mut sum = 0;
        for place in self.map.places.clone() {
            if let Reply::Integer(keys) = self.call(&place, db, &[b"DBSIZE"]).await? {
                sum += u64::try_from(keys).unwrap_or(0);
            }
        }
        Ok(sum)
    }

    /// What the server does when its memory is full.
    pub(super) fn policy(&self) -> Option<&str> {
        self.info.field("maxmemory_policy")
    }

    /// Databases that hold something and are concerned.
    pub(super) fn occupied(&self, options: &RedisLoad) -> Vec<u64> {
        let concerned = |db: &u64| options.databases.as_ref().is_none_or(|databases| databases.contains(db));
        self.keys.keys().copied().filter(concerned).collect()
    }

    /// Refuses what can be refused beforehand; answers whether an earlier load is gone on with.
    pub(super) async fn check(&mut self, options: &RedisLoad) -> Result<bool> {
        let field = |name: &str| self.info.field(name);
        if field("loading") == Some("1") {
            return Err(Error::sink("the target is loading its own data (LOADING)")
                .of_kind(Kind::Temporary)
                .hint("run it again when it is done"));
        }
        if !self.cluster && field("role").is_some_and(|role| role != "master") {
            return Err(Error::sink("the target is read-only: it is a replica")
                .with("destination", self.url.place())
                .hint("connect to its primary"));
        }
        for &db in options.databases.iter().flatten() {
            // A database that the server does not have is found out now.
            let place = self.map.places[0].clone();
            self.call(&place, db, &[b"DBSIZE"]).await?;
        }
        let mark = self.is_marked(options.marked()).await?;
        if mark && options.occupied == Occupied::Resume {
            return Ok(true);
        }
        if options.occupied == Occupied::Replace {
            return Ok(false);
        }
        if mark {
            return Err(Error::usage(format!("the target holds a load that did not end: {}", self.url))
                .with("marked by", MARK)
                .hint("`--resume` goes on with it, from the same archive")
                .hint("`--overwrite` removes it and starts over"));
        }
        let occupied = self.occupied(options);
        if options.occupied != Occupied::Join && !occupied.is_empty() {
            let held: Vec<_> =
                occupied.iter().map(|db| format!("{} keys in database {db}", self.keys[db])).collect();
            return Err(Error::usage(format!("the target is not empty: {}", self.url))
                .with("holds", held.join(", "))
                .hint("`--overwrite` removes everything in the databases that will be written")
                .hint("`--into-existing` loads beside what is there; `--on-conflict` says what becomes of keys that both have")
                .hint("`--redis-db N` and `--redis-map N=M` choose which databases will be written"));
        }
        Ok(false)
    }

    /// Whether a load has not ended.
    pub(super) async fn is_marked(&mut self, db: u64) -> Result<bool> {
        let place = self.map.places[self.map.of(key_slot(MARK.as_bytes()))].clone();
        let reply = self.call(&place, db, &[b"EXISTS", MARK.as_bytes()]).await?;
        Ok(matches!(reply, Reply::Integer(1)))
    }

    /// Marks the target as incomplete.
    pub(super) async fn mark(&mut self, db: u64) -> Result<()> {
        let place = self.map.places[self.map.of(key_slot(MARK.as_bytes()))].clone();
        self.call(&place, db, &[b"SET", MARK.as_bytes(), SAYS]).await.map(drop)
    }

    /// The load is over.
    pub(super) async fn unmark(&mut self, db: u64) -> Result<()> {
        let place = self.map.places[self.map.of(key_slot(MARK.as_bytes()))].clone();
        self.call(&place, db, &[b"DEL", MARK.as_bytes()]).await.map(drop)
    }

    /// Removes everything in a database, but not the mark.
    pub(super) async fn clear(&mut self, db: u64, marked: u64) -> Result<()> {
        for place in self.map.places.clone() {
            self.call(&place, db, &[b"FLUSHDB"]).await?;
        }
        if db == marked { self.mark(db).await } else { Ok(()) }
    }

    /// A library of functions, on every server.
    pub(super) async fn function(&mut self, library: &[u8], replace: bool) -> Result<bool> {
        let words: &[&[u8]] = if replace {
            &[b"FUNCTION", b"LOAD", b"REPLACE", library]
        } else {
            &[b"FUNCTION", b"LOAD", library]
        };
        let mut loaded = true;
        for place in self.map.places.clone() {
            let url = self.url.clone();
            let wire = self.wire(&place).await?;
            match wire.call(words).await.map_err(here)? {
                Reply::Error(text) if text.contains("already exists") => loaded = false,
                Reply::Error(text) => {
                    let line = library.split(|byte| *byte == b'\n').next().unwrap_or_default();
                    return Err(here(refusal::explain(&text, "FUNCTION LOAD", &url))
                        .with("library", line.escape_ascii())
                        .hint("--redis-drop functions leaves functions out"));
                }
                _ => {}
            }
        }
        Ok(loaded)
    }
}

/// Changes to a database. In a cluster there is one as a rule, and it is not asked for.
pub(super) async fn select(wire: &mut Wire, db: u64, cluster: bool, url: &DatabaseUrl) -> Result<()> {
    if cluster && db == 0 {
        return Ok(());
    }
    match wire.call(&[b"SELECT", db.to_string().as_bytes()]).await.map_err(here)? {
        Reply::Error(text) => Err(here(refusal::explain(&text, "SELECT", url)).with("database", db)),
        _ => Ok(()),
    }
}
