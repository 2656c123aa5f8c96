//! A Redis or Valkey cluster: servers that share the slots, without replicas.

use std::time::{Duration, Instant};

use crate::daemon::{free_port, random_password};
use crate::error::{Error, Result};
use crate::redis::{RedisFlavour, RedisOptions, RedisServer};

const SLOTS: usize = 1 << 14;

/// A running cluster. Dropping it ends its servers.
#[derive(Debug)]
pub struct RedisCluster {
    /// The servers; the slots are divided evenly among them, in this order.
    pub nodes: Vec<RedisServer>,
}

impl RedisCluster {
    /// Starts so many servers and waits until they agree.
    pub fn start(flavour: RedisFlavour, count: usize) -> Result<Self> {
        let password = random_password()?;
        let mut buses = Vec::new();
        let mut nodes = Vec::new();
        for _ in 0..count {
            let bus = free_port()?;
            let extra = vec![
                "cluster-enabled yes".to_owned(),
                format!("cluster-port {bus}"),
                // A machine under load answers late.
                "cluster-node-timeout 30000".to_owned(),
            ];
            let password = Some(password.clone());
            nodes.push(RedisServer::start(&RedisOptions { extra, password, ..RedisOptions::new(flavour) })?);
            buses.push(bus);
        }
        for (at, node) in nodes.iter().enumerate() {
            let (from, to) = (at * SLOTS / count, (at + 1) * SLOTS / count - 1);
            node.ask(&["CLUSTER", "SET-CONFIG-EPOCH", &(at + 1).to_string()])?;
            node.ask(&["CLUSTER", "ADDSLOTSRANGE", &from.to_string(), &to.to_string()])?;
            if at > 0 {
                let (port, bus) = (nodes[0].port().to_string(), buses[0].to_string());
                node.ask(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus])?;
            }
        }
        let cluster = Self { nodes };
        let until = Instant::now() + Duration::from_secs(90);
        while !cluster.agrees()? {
            if Instant::now() > until {
                return Err(Error::new("the servers of the cluster do not agree"));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(cluster)
    }

    fn agrees(&self) -> Result<bool> {
        let known = format!("cluster_known_nodes:{}", self.nodes.len());
        for node in &self.nodes {
            let info = node.ask(&["CLUSTER", "INFO"])?;
            if !info.contains("cluster_state:ok") || !info.contains(&known) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The URL of the first server.
    pub fn url(&self) -> String {
        self.nodes[0].url()
    }
}
