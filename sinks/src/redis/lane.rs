//! A connection, or one to each server of a cluster, that brings batches of keys there, whatever happens to it.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bytes::Buf;
use connections::redis::{Map, Place, Reply, Role, Wire, command, enter, locate, pointed, refusal};
use formats::rdb::commands::{Commands, HELD};
use formats::rdb::{Decoder, key_slot};
use pipeline::endpoint::DatabaseUrl;
use pipeline::{Context, Error, Kind, Result};

use super::Conflict;
use super::intake::{Batch, Body, Item, key};
use super::target::{here, select};

/// How long keys are tried again: a failover takes about a minute.
const WAITS: [u64; 9] = [0, 0, 1, 2, 4, 8, 15, 30, 30];
/// Redirections that are followed without a wait; a slot on its way may point back and forth.
const REDIRECTIONS: u32 = 64;
/// How long a server may take for an answer before it is taken for dead.
const ANSWER: Duration = Duration::from_secs(60);

/// What all lanes of a load share.
pub(super) struct Shared {
    pub(super) url: DatabaseUrl,
    pub(super) cluster: bool,
    pub(super) conflict: Conflict,
    /// The databases were empty before: what is there, this load brought.
    pub(super) alone: bool,
    pub(super) map: RwLock<Arc<Map>>,
}

impl Shared {
    pub(super) fn map(&self) -> Arc<Map> {
        Arc::clone(&self.map.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn set(&self, map: Map) {
        *self.map.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(map);
    }
}

/// What became of a batch.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Arrived {
    pub(super) keys: u64,
    /// Keys that the target had, and kept.
    pub(super) kept: u64,
}

impl std::ops::AddAssign for Arrived {
    fn add_assign(&mut self, more: Self) {
        self.keys += more.keys;
        self.kept += more.kept;
    }
}

pub(super) struct Lane {
    shared: Arc<Shared>,
    wires: Vec<(Place, u64, Wire)>,
}

/// What a server said to one key.
pub(super) enum Said {
    Done,
    Kept,
    /// Ask another server, at once.
    Elsewhere(Place),
    /// The map of slots is old.
    Moved,
    /// Not now.
    Later(Error),
    /// Not in this form.
    NotRestored(Error),
    Failed(Error),
}

impl crate::crew::Worker for Lane {
    type Unit = Batch;
    type Done = Arrived;

    fn size(batch: &Batch) -> usize {
        batch.bytes.len()
    }

    async fn run(&mut self, batch: &Batch) -> Result<Arrived> {
        let mut arrived = Arrived::default();
        let mut due: Vec<&Item> = batch.items.iter().collect();
        let (mut waits, mut redirections) = (WAITS.iter(), 0);
        let mut unsure = false;
        loop {
            let map = self.shared.map();
            let mut groups: BTreeMap<usize, Vec<&Item>> = BTreeMap::new();
            for item in due.drain(..) {
                groups.entry(map.of(key_slot(&batch.bytes[item.key.clone()]))).or_default().push(item);
            }
            let (mut later, mut moved) = (None, false);
            for (node, items) in groups {
                let place = &map.places[node];
                match self.exchange(place, batch, &items, unsure).await {
                    Ok(said) => {
                        for (item, said) in items.iter().zip(said) {
                            match self.settle(item, said, place, batch).await? {
                                Said::Done => arrived.keys += 1,
                                Said::Kept => arrived.kept += 1,
                                Said::Moved => {
                                    moved = true;
                                    due.push(item);
                                }
                                Said::Later(error) => {
                                    later = Some(error);
                                    due.push(item);
                                }
                                Said::Failed(error) | Said::NotRestored(error) => return Err(error),
                                Said::Elsewhere(_) => due.push(item),
                            }
                        }
                    }
                    Err(error) if error.kind() == Kind::Temporary => {
                        self.drop_wire(place);
                        unsure = true;
                        later = Some(error);
                        due.extend(items);
                    }
                    Err(error) => return Err(error),
                }
            }
            if due.is_empty() {
                return Ok(arrived);
            }
            if later.is_none() && redirections < REDIRECTIONS {
                redirections += 1;
                if moved {
                    self.learn().await?;
                }
                continue;
            }
            let error = later.unwrap_or_else(|| {
                Error::sink("the cluster sends keys back and forth between its servers")
                    .of_kind(Kind::Temporary)
            });
            let Some(wait) = waits.next() else { return Err(error) };
            tokio::time::sleep(Duration::from_secs(*wait)).await;
            // Who is down now may be up in a moment; the next round finds out.
            if self.learn().await.is_err() {
                unsure = true;
            }
        }
    }
}

impl Lane {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, wires: Vec::new() }
    }

    /// A connection to a server, in a database.
    async fn wire(&mut self, place: &Place, db: u64) -> Result<&mut Wire> {
        let at = if let Some(at) = self.wires.iter().position(|(known, ..)| known == place) {
            at
        } else {
            let mut wire = enter(place, &self.shared.url).await.map_err(here)?;
            select(&mut wire, db, self.shared.cluster, &self.shared.url).await?;
            self.wires.push((place.clone(), db, wire));
            self.wires.len() - 1
        };
        let (_, selected, wire) = &mut self.wires[at];
        if *selected != db {
            select(wire, db, self.shared.cluster, &self.shared.url).await?;
            *selected = db;
        }
        Ok(wire)
    }

    fn drop_wire(&mut self, place: &Place) {
        self.wires.retain(|(known, ..)| known != place);
    }

    /// Learns anew which server has what.
    async fn learn(&mut self) -> Result<()> {
        let map = self.shared.map();
        if !self.shared.cluster {
            // A name may lead to another server after a failover, and Sentinel knows which.
            let place = locate(&self.shared.url, Role::Primary, &Context::silent()).await.map_err(here)?;
            self.shared.set(Map::single(place));
            return Ok(());
        }
        let mut failed = None;
        for place in &map.places {
            let asked = async {
                let mut wire = enter(place, &self.shared.url).await?;
                Map::ask(&mut wire, place).await
            };
            match asked.await {
                Ok(map) => {
                    self.shared.set(map);
                    return Ok(());
                }
                Err(error) => failed = Some(here(error)),
            }
        }
        Err(failed.unwrap_or_else(|| Error::bug("a cluster without servers")))
    }

    /// Sends keys to one server and reads its answers.
    async fn exchange(
        &mut self,
        place: &Place,
        batch: &Batch,
        items: &[&Item],
        unsure: bool,
    ) -> Result<Vec<Said>> {
        let shared = Arc::clone(&self.shared);
        let mut said = Vec::with_capacity(items.len());
        let wire = self.wire(place, batch.db).await?;
        let plain = |item: &Item| matches!(item.body, Body::Restore { .. });
        if items.len() == batch.items.len() && items.iter().all(|item| plain(item)) {
            wire.send(&batch.bytes).await.map_err(here)?;
        } else {
            let restores: Vec<u8> = items
                .iter()
                .filter(|item| plain(item))
                .flat_map(|item| &batch.bytes[item.at.clone()])
                .copied()
                .collect();
            if !restores.is_empty() {
                wire.send(&restores).await.map_err(here)?;
            }
        }
        for item in items {
            let name = &batch.bytes[item.key.clone()];
            said.push(if plain(item) {
                let line = answer(wire).await?;
                understand(line.as_deref(), name, batch.db, &shared, place, unsure)
            } else {
                // Its turn comes when the restores are answered.
                Said::Done
            });
        }
        for (item, said) in items.iter().zip(&mut said) {
            if let Body::Commands(replies) = item.body {
                let name = &batch.bytes[item.key.clone()];
                *said = make(
                    wire,
                    name,
                    &batch.bytes[item.at.clone()],
                    replies,
                    batch.db,
                    &shared,
                    place,
                    unsure,
                )
                .await?;
            }
        }
        Ok(said)
    }

    /// Follows what a server said to a key as far as that is possible now.
    async fn settle(&mut self, item: &Item, said: Said, place: &Place, batch: &Batch) -> Result<Said> {
        let shared = Arc::clone(&self.shared);
        let name = &batch.bytes[item.key.clone()];
        match (said, &item.body) {
            (Said::Elsewhere(there), Body::Restore { .. }) => {
                let wire = match self.wire(&there, batch.db).await {
                    Ok(wire) => wire,
                    Err(error) => return Ok(Said::Later(error)),
                };
                let mut words = Vec::new();
                command(&mut words, &[b"ASKING"]);
                words.extend_from_slice(&batch.bytes[item.at.clone()]);
                let asked = async {
                    wire.send(&words).await.map_err(here)?;
                    answer(wire).await?;
                    answer(wire).await
                };
                match asked.await {
                    Ok(line) => Ok(understand(line.as_deref(), name, batch.db, &shared, &there, true)),
                    Err(error) => {
                        self.drop_wire(&there);
                        Ok(Said::Later(error))
                    }
                }
            }
            (Said::Elsewhere(_), Body::Commands(_)) => Ok(Said::Later(
                Error::sink("a key that is made by commands is in a slot on its way to another server")
                    .with("key", name.escape_ascii())
                    .of_kind(Kind::Temporary)
                    .hint("load when the cluster is not being resharded"),
            )),
            (Said::NotRestored(error), Body::Restore { kind, value, expires_at }) => {
                let mut out = Vec::new();
                let Ok(replies) = decoded(batch, name, *kind, value.clone(), *expires_at, &mut out) else {
                    return Err(error);
                };
                let wire = self.wire(place, batch.db).await?;
                make(wire, name, &out, replies, batch.db, &shared, place, false).await
            }
            (said, _) => Ok(said),
        }
    }
}

/// The commands that make a value; answers how many they are.
fn decoded(
    batch: &Batch,
    name: &[u8],
    kind: formats::rdb::Kind,
    value: std::ops::Range<usize>,
    expires_at: Option<i64>,
    out: &mut Vec<u8>,
) -> std::result::Result<u64, Unmade> {
    let mut decoder = Decoder::with_packed_limit(HELD);
    let mut commands = Commands::default();
    commands.begin(&key(batch.db, kind, name, expires_at), 0, out)?;
    decoder.begin(kind);
    let whole = decoder.push::<Unmade, _>(&batch.bytes[value], &mut |item| Ok(commands.item(&item, out)?))?;
    commands.end(out)?;
    if whole { Ok(commands.written()) } else { Err(Unmade) }
}

/// The value cannot be made by commands: what the server said to RESTORE is what counts.
struct Unmade;

impl From<formats::rdb::Error> for Unmade {
    fn from(_: formats::rdb::Error) -> Self {
        Self
    }
}

impl From<formats::rdb::commands::Refused> for Unmade {
    fn from(_: formats::rdb::commands::Refused) -> Self {
        Self
    }
}

/// One line; `None` is `+OK`.
async fn answer(wire: &mut Wire) -> Result<Option<String>> {
    if wire.ahead.starts_with(b"+OK\r\n") {
        wire.ahead.advance(5);
        return Ok(None);
    }
    let line = tokio::time::timeout(ANSWER, wire.line()).await.map_err(|_| {
        Error::sink(format!("the server at {} has said nothing for {} s", wire.place, ANSWER.as_secs()))
            .of_kind(Kind::Temporary)
    })?;
    let line = line.map_err(here)?;
    Ok(if line == "+OK" { None } else { Some(line) })
}

/// Makes a key by commands, unless it is there and stays.
#[allow(clippy::too_many_arguments, reason = "one key with everything that concerns it")]
pub(super) async fn make(
    wire: &mut Wire,
    name: &[u8],
    commands: &[u8],
    replies: u64,
    db: u64,
    shared: &Shared,
    place: &Place,
    unsure: bool,
) -> Result<Said> {
    if let Some(said) = clear_way(wire, name, db, shared, place, unsure).await? {
        return Ok(said);
    }
    wire.send(commands).await.map_err(here)?;
    replied(wire, replies, name, db, shared, place).await
}

/// Sees to it that the key is not there; or says what else to do.
pub(super) async fn clear_way(
    wire: &mut Wire,
    name: &[u8],
    db: u64,
    shared: &Shared,
    place: &Place,
    unsure: bool,
) -> Result<Option<Said>> {
    // What a first try has left is ours.
    if shared.conflict != Conflict::Replace && !(unsure && shared.alone) {
        match wire.call(&[b"EXISTS", name]).await.map_err(here)? {
            Reply::Integer(0) => {}
            Reply::Integer(_) if shared.conflict == Conflict::Skip => return Ok(Some(Said::Kept)),
            Reply::Integer(_) => return Ok(Some(Said::Failed(busy(name, db, &shared.url)))),
            Reply::Error(text) => {
                return Ok(Some(understand(Some(&format!("-{text}")), name, db, shared, place, unsure)));
            }
            _ => return Err(here(wire.confused("no number after EXISTS"))),
        }
    }
    match wire.call(&[b"DEL", name]).await.map_err(here)? {
        Reply::Error(text) => {
            Ok(Some(understand(Some(&format!("-{text}")), name, db, shared, place, unsure)))
        }
        _ => Ok(None),
    }
}

/// Reads so many replies; the first that is an error counts.
pub(super) async fn replied(
    wire: &mut Wire,
    replies: u64,
    name: &[u8],
    db: u64,
    shared: &Shared,
    place: &Place,
) -> Result<Said> {
    let mut worst = None;
    for _ in 0..replies {
        let reply = tokio::time::timeout(ANSWER, wire.reply()).await.map_err(|_| {
            Error::sink(format!("the server at {} has said nothing for {} s", wire.place, ANSWER.as_secs()))
                .of_kind(Kind::Temporary)
        })?;
        if let Reply::Error(text) = reply.map_err(here)? {
            worst.get_or_insert(text);
        }
    }
    Ok(match worst {
        None => Said::Done,
        Some(text) => match understand(Some(&format!("-{text}")), name, db, shared, place, false) {
            Said::NotRestored(error) => Said::Failed(error),
            said => said,
        },
    })
}

fn busy(name: &[u8], db: u64, url: &DatabaseUrl) -> Error {
    here(refusal::explain("BUSYKEY Target key name already exists.", "RESTORE", url))
        .with("key", name.escape_ascii())
        .with("database", db)
}

fn understand(
    line: Option<&str>,
    name: &[u8],
    db: u64,
    shared: &Shared,
    place: &Place,
    unsure: bool,
) -> Said {
    let Some(line) = line else { return Said::Done };
    let text = line.strip_prefix('-').unwrap_or(line);
    let code = text.split(' ').next().unwrap_or_default();
    let error = || {
        here(refusal::explain(text, "RESTORE", &shared.url))
            .with("key", name.escape_ascii())
            .with("database", db)
    };
    match code {
        "BUSYKEY" if shared.conflict == Conflict::Skip => Said::Kept,
        // The answer to the first try was lost, and before it nothing was there.
        "BUSYKEY" if unsure && shared.alone => Said::Done,
        "MOVED" => Said::Moved,
        "ASK" => match pointed(text, place) {
            Some(there) => Said::Elsewhere(there),
            None => Said::Failed(error()),
        },
        "TRYAGAIN" | "CLUSTERDOWN" | "LOADING" | "MASTERDOWN" | "READONLY" | "BUSY" | "NOREPLICAS" => {
            Said::Later(error().of_kind(Kind::Temporary))
        }
        _ if text.contains("DUMP payload version") || text.contains("Bad data format") => {
            Said::NotRestored(error().hint(
                "the target does not know this type of value, or this form of it, and there are no commands that make it again: leave the key out with --drop-keys",
            ))
        }
        _ => Said::Failed(error()),
    }
}
