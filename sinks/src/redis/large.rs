//! A value that is too large to be held: its commands are sent as they come.

use std::sync::Arc;

use connections::redis::{Place, Wire, enter};
use formats::rdb::key_slot;
use pipeline::{Error, Kind, Result};

use super::lane::{Said, Shared, clear_way, replied};
use super::target::{here, select};

/// One such value on its way.
pub(super) struct Large {
    db: u64,
    name: Vec<u8>,
    shared: Arc<Shared>,
    place: Place,
    /// None where the target keeps what it has.
    wire: Option<Wire>,
}

impl Large {
    pub(super) async fn begin(shared: &Arc<Shared>, db: u64, name: Vec<u8>) -> Result<Self> {
        let map = shared.map();
        let place = map.places[map.of(key_slot(&name))].clone();
        let mut wire = enter(&place, &shared.url).await.map_err(here)?;
        select(&mut wire, db, shared.cluster, &shared.url).await?;
        let kept = match clear_way(&mut wire, &name, db, shared, &place, false).await? {
            None => false,
            Some(Said::Kept) => true,
            Some(said) => return Err(told(said, &name)),
        };
        Ok(Self { db, name, shared: Arc::clone(shared), place, wire: (!kept).then_some(wire) })
    }

    pub(super) async fn more(&mut self, commands: &[u8]) -> Result<()> {
        match &mut self.wire {
            Some(wire) => {
                wire.send(commands).await.map_err(|error| here(error).with("key", self.name.escape_ascii()))
            }
            None => Ok(()),
        }
    }

    /// Answers whether it is there now; no, where the target kept its own.
    pub(super) async fn end(mut self, replies: u64) -> Result<bool> {
        let Some(wire) = &mut self.wire else { return Ok(false) };
        match replied(wire, replies, &self.name, self.db, &self.shared, &self.place).await? {
            Said::Done => Ok(true),
            said => Err(told(said, &self.name)),
        }
    }
}

fn told(said: Said, name: &[u8]) -> Error {
    match said {
        Said::Later(error) | Said::Failed(error) | Said::NotRestored(error) => error,
        _ => Error::sink("a slot was on its way to another server while a value went there that is not held")
            .of_kind(Kind::Temporary)
            .with("key", name.escape_ascii())
            .hint("load when the cluster is not being resharded"),
    }
}
