//! Which server of a cluster has which keys.

use pipeline::endpoint::Address;
use pipeline::{Error, Kind, Result};

use super::{Place, Reply, Wire};

const SLOTS: usize = 1 << 14;

/// Servers that take writes, and their slots.
#[derive(Debug, Clone)]
pub struct Map {
    /// The servers.
    pub places: Vec<Place>,
    /// The index of each slot's server; empty where one server has everything.
    slots: Vec<u16>,
}

impl Map {
    /// One server.
    pub fn single(place: Place) -> Self {
        Self { places: vec![place], slots: Vec::new() }
    }

    /// Asks a server of a cluster.
    pub async fn ask(wire: &mut Wire, asked: &Place) -> Result<Self> {
        let reply = wire.call(&[b"CLUSTER", b"SLOTS"]).await?;
        let ranges = match reply {
            Reply::Array(ranges) => ranges,
            Reply::Error(text) => {
                return Err(Error::source(format!("the cluster does not tell its slots: {text}"))
                    .hint("the account needs +cluster|slots"));
            }
            _ => return Err(wire.confused("no array after CLUSTER SLOTS")),
        };
        let mut map = Self { places: Vec::new(), slots: vec![u16::MAX; SLOTS] };
        for range in &ranges {
            let Some((from, to, place)) = read(range, asked) else {
                return Err(wire.confused("an odd line after CLUSTER SLOTS"));
            };
            let index = map.places.iter().position(|known| *known == place).unwrap_or_else(|| {
                map.places.push(place);
                map.places.len() - 1
            });
            map.slots[from..=to].fill(u16::try_from(index).unwrap_or(u16::MAX));
        }
        if let Some(slot) = map.slots.iter().position(|index| *index == u16::MAX) {
            return Err(Error::source(format!("no server of the cluster has slot {slot}"))
                .of_kind(Kind::Temporary)
                .hint("wait until the cluster is whole: CLUSTER INFO tells"));
        }
        Ok(map)
    }

    /// The index of the server that has `slot`.
    pub fn of(&self, slot: u16) -> usize {
        self.slots.get(usize::from(slot)).map_or(0, |index| usize::from(*index))
    }
}

/// First slot, last slot, and the server that takes writes for them.
fn read(range: &Reply, asked: &Place) -> Option<(usize, usize, Place)> {
    let Reply::Array(parts) = range else { return None };
    let [Reply::Integer(from), Reply::Integer(to), Reply::Array(server), ..] = parts.as_slice() else {
        return None;
    };
    let (from, to) = (usize::try_from(*from).ok()?, usize::try_from(*to).ok()?);
    let Some(Reply::Integer(port)) = server.get(1) else { return None };
    let host = match server.first()? {
        Reply::Bulk(host) if !host.is_empty() && host != b"?" => {
            Address::Tcp(String::from_utf8_lossy(host).into_owned())
        }
        // A server that knows no name of its own is the one that was asked.
        _ => asked.address.clone(),
    };
    let place = Place { address: host, port: u16::try_from(*port).ok()?, by_sentinel: false };
    (from <= to && to < SLOTS).then_some((from, to, place))
}

/// Where `MOVED 3999 10.0.0.1:6381` and `ASK …` point to.
pub fn pointed(text: &str, asked: &Place) -> Option<Place> {
    let (host, port) = text.split(' ').nth(2)?.rsplit_once(':')?;
    let address = if host.is_empty() { asked.address.clone() } else { Address::Tcp(host.to_owned()) };
    Some(Place { address, port: port.parse().ok()?, by_sentinel: false })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(host: &str, port: u16) -> Place {
        Place { address: Address::Tcp(host.to_owned()), port, by_sentinel: false }
    }

    #[test]
    fn ranges_and_redirections_are_read() {
        let server = |host: &[u8], port| {
            Reply::Array(vec![Reply::Bulk(host.to_vec()), Reply::Integer(port), Reply::Bulk(b"id".to_vec())])
        };
        let asked = place("seed", 1);
        let range = |server| Reply::Array(vec![Reply::Integer(0), Reply::Integer(99), server]);
        assert_eq!(read(&range(server(b"a", 2)), &asked), Some((0, 99, place("a", 2))));
        assert_eq!(read(&range(server(b"", 2)), &asked), Some((0, 99, place("seed", 2))));
        let over = Reply::Array(vec![Reply::Integer(0), Reply::Integer(16384), server(b"a", 2)]);
        assert_eq!(read(&over, &asked), None);
        assert_eq!(pointed("MOVED 3999 10.0.0.1:6381", &asked), Some(place("10.0.0.1", 6381)));
        assert_eq!(pointed("ASK 3999 :6381", &asked), Some(place("seed", 6381)));
        assert_eq!(pointed("MOVED", &asked), None);
        let one = Map::single(place("a", 1));
        assert_eq!(one.of(77), 0);
    }
}
