//! What a server tells of itself.

use std::collections::BTreeMap;

use pipeline::Result;
use pipeline::endpoint::DatabaseUrl;

use super::refusal;
use super::wire::{Reply, Wire};

/// The answer to `INFO`.
#[derive(Debug, Clone, Default)]
pub struct Info(BTreeMap<String, String>);

impl Info {
    /// Asks for a section, or for what the server tells unasked.
    ///
    /// # Errors
    /// In the server's own words where it refuses, and of the connection.
    pub async fn ask(wire: &mut Wire, section: Option<&str>, url: &DatabaseUrl) -> Result<Self> {
        let mut words: Vec<&[u8]> = vec![b"INFO"];
        words.extend(section.map(str::as_bytes));
        match wire.call(&words).await? {
            Reply::Bulk(text) => Ok(Self::read(&text)),
            Reply::Error(text) => Err(refusal::explain(&text, "INFO", url)),
            _ => Err(wire.confused("no text after INFO")),
        }
    }

    /// Reads the text: a line `name:value` each.
    pub fn read(text: &[u8]) -> Self {
        let text = String::from_utf8_lossy(text);
        let fields = text.lines().filter_map(|line| line.split_once(':'));
        Self(fields.map(|(name, value)| (name.to_owned(), value.trim_end().to_owned())).collect())
    }

    /// One field.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// One field that is a number.
    pub fn number(&self, name: &str) -> Option<u64> {
        self.field(name)?.parse().ok()
    }

    /// Valkey, and not Redis.
    pub fn is_valkey(&self) -> bool {
        self.field("valkey_version").is_some() || self.field("server_name") == Some("valkey")
    }

    /// The version as the server writes it. Valkey also tells the Redis that it stands for; its own comes first.
    pub fn version(&self) -> Option<&str> {
        self.field("valkey_version").or(self.field("redis_version"))
    }

    /// The version's first two numbers.
    pub fn release(&self) -> Option<(u32, u32)> {
        let mut parts = self.version()?.split('.').map(str::parse);
        Some((parts.next()?.ok()?, parts.next()?.ok()?))
    }

    /// One of the servers of a cluster.
    pub fn is_cluster(&self) -> bool {
        self.field("cluster_enabled") == Some("1") || self.field("redis_mode") == Some("cluster")
    }

    /// Databases that hold keys, and how many: `db0:keys=12,expires=3,…`.
    pub fn databases(&self) -> BTreeMap<u64, u64> {
        let keys = |(name, value): (&String, &String)| {
            let db = name.strip_prefix("db")?.parse().ok()?;
            Some((db, value.strip_prefix("keys=")?.split(',').next()?.parse().ok()?))
        };
        self.0.iter().filter_map(keys).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::Info;

    #[test]
    fn tells_products_and_databases_apart() {
        let valkey = Info::read(b"# Server\r\nredis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:9.0.1\r\n\r\n# Keyspace\r\ndb0:keys=12,expires=3,avg_ttl=0\r\ndb11:keys=1,expires=0\r\ndbx:keys=1\r\ndb2:none\r\n");
        assert!(valkey.is_valkey() && !valkey.is_cluster());
        assert_eq!(valkey.version(), Some("9.0.1"));
        assert_eq!(valkey.release(), Some((9, 0)));
        assert_eq!(valkey.databases().into_iter().collect::<Vec<_>>(), [(0, 12), (11, 1)]);
        let redis = Info::read(b"redis_version:255.255.255\r\ncluster_enabled:1\r\nused_memory:77\r\n");
        assert!(!redis.is_valkey() && redis.is_cluster());
        assert_eq!(redis.release(), Some((255, 255)));
        assert_eq!((redis.number("used_memory"), redis.number("redis_version")), (Some(77), None));
        assert_eq!(Info::read(b"").release(), None);
    }
}
