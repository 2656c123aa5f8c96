//! Whether Amazon ElastiCache can be seeded with a snapshot, found out while it streams.
//!
//! A service that restores finds out by itself, half an hour later, in one word: `restore-failed`. Its rules are few and can be known
//! beforehand. Rules: "Seeding a new node-based cluster with an externally created backup" and "Restoring from a backup into a new cache" in the
//! Amazon ElastiCache user guide.

use std::collections::BTreeMap;

use formats::rdb::{Dialect, Needs, Version};
use pipeline::{Error, Finding, Result, Severity};

/// The newest version that every engine of the service with Redis' own format loads: Redis 7.1 and Valkey 7.2 to 8.2.
const REDIS: u16 = 11;

/// Logical databases of a parameter group that nobody changed.
const DATABASES: u64 = 16;

/// Share of a node's memory that data may take: a quarter is reserved unless the parameter group says otherwise (`reserved-memory-percent`).
pub const NODE_MEMORY_USED: f64 = 0.75;

/// Findings of one rule that are listed.
const LISTED: u64 = 10;

/// What will load the snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Memory of one node in bytes, if it is known.
    pub node_memory: Option<u64>,
}

impl Target {
    /// The profile's name.
    pub fn name(&self) -> &'static str {
        "elasticache"
    }
}

/// Gathers what speaks against it.
#[derive(Debug)]
pub(super) struct Verdict {
    target: Target,
    /// A file of a slot range is for a cluster in cluster mode.
    cluster: bool,
    found: Vec<Finding>,
    seen: BTreeMap<&'static str, u64>,
}

impl Verdict {
    pub(super) fn new(target: Target, cluster: bool) -> Self {
        Self { target, cluster, found: Vec::new(), seen: BTreeMap::new() }
    }

    fn find(&mut self, severity: Severity, code: &'static str, object: String, offset: u64, message: String) {
        let seen = self.seen.entry(code).or_default();
        *seen += 1;
        if *seen <= LISTED {
            self.found.push(Finding { severity, code: code.to_owned(), object, message, offset });
        }
    }

    /// The version to state: the source's own, lowered to what all engines load. Content that does not fit ends the run.
    #[allow(clippy::unused_self, reason = "a question to the target")]
    pub(super) fn version(&self, found: Version) -> Version {
        match found.dialect {
            Dialect::Redis => Version::redis(found.number.clamp(5, REDIS)),
            // Valkey 8 and Redis 7 load it too when nothing in it is Valkey 9's own.
            Dialect::Valkey => Version::redis(REDIS),
        }
    }

    /// The way out when content does not fit [`Verdict::version`].
    #[allow(clippy::unused_self, reason = "a question to the target")]
    pub(super) fn version_hint(&self, needs: Needs) -> String {
        match needs.lowest() {
            Some(version) if version.dialect == Dialect::Valkey => format!(
                "ElastiCache loads it with Valkey 9 or newer: --rdb-version {}; older engines do not",
                version.number
            ),
            _ => "no engine of ElastiCache loads this; leave such keys out with --types or --drop-keys, or rewrite them at the source".to_owned(),
        }
    }

    pub(super) fn database(&mut self, db: u64, offset: u64) {
        if db >= DATABASES {
            let message = format!(
                "the default parameter group has {DATABASES} databases, 0 to {}: give it another number with --redis-map {db}=N, or raise `databases`",
                DATABASES - 1
            );
            self.find(Severity::Blocker, "database-number", format!("database {db}"), offset, message);
        } else if self.cluster && db != 0 {
            let message = "in cluster mode there is only database 0: --redis-db or --redis-map".to_owned();
            self.find(Severity::Blocker, "database-in-cluster", format!("database {db}"), offset, message);
        }
    }

    pub(super) fn module_key(&mut self, name: &[u8], offset: u64) {
        let name = name[..name.len().min(64)].escape_ascii().to_string();
        let message = "its value belongs to a module, which the target may not have: --redis-drop modules leaves such keys out".to_owned();
        self.find(Severity::Blocker, "module-key", name, offset, message);
    }

    pub(super) fn module_data(&mut self, name: &str, offset: u64) {
        let message =
            "data of a module, without which the target stops loading: --redis-drop modules leaves it out"
                .to_owned();
        self.find(Severity::Blocker, "module-data", name.to_owned(), offset, message);
    }

    pub(super) fn function(&mut self, offset: u64) {
        let message = "a function library is loaded with the data: it needs Redis 7 or Valkey; --redis-drop functions leaves it out";
        self.find(Severity::Info, "functions", String::new(), offset, message.to_owned());
    }

    /// The verdict: an error when a rule would make the restore fail.
    pub(super) fn finish(
        mut self,
        keys: u64,
        databases: &BTreeMap<u64, u64>,
        functions: u64,
        estimate: u64,
        header: Version,
    ) -> Result<Vec<Finding>> {
        let mib = |bytes: u64| bytes.div_ceil(1 << 20);
        if keys == 0 {
            let message = "no key is left: the seeded cluster will be empty".to_owned();
            self.find(Severity::Warning, "no-keys", String::new(), 0, message);
        }
        if let Some(node) = self.target.node_memory {
            #[allow(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "three quarters of a positive number"
            )]
            let room = (node as f64 * NODE_MEMORY_USED) as u64;
            if estimate > room {
                let message = format!(
                    "about {} MiB of data do not fit in a node of {} MiB, of which a quarter is reserved: take a larger node, or leave keys out",
                    mib(estimate),
                    mib(node)
                );
                self.find(Severity::Blocker, "node-memory", String::new(), 0, message);
            }
        } else {
            let message = format!(
                "the data take about {} MiB of a node's memory, of which a quarter is reserved: --node-memory SIZE checks it",
                mib(estimate)
            );
            self.find(Severity::Info, "memory-estimate", String::new(), 0, message);
        }
        let blockers: Vec<&Finding> =
            self.found.iter().filter(|finding| finding.severity == Severity::Blocker).collect();
        let Some(first) = blockers.first() else {
            let numbers: Vec<String> = databases.keys().map(ToString::to_string).collect();
            let message = format!(
                "ElastiCache can be seeded with this: {header}, {keys} keys in database {}, {functions} function libraries, no modules, about {} MiB",
                if numbers.is_empty() { "none".to_owned() } else { numbers.join(", ") },
                mib(estimate)
            );
            self.find(Severity::Info, "verdict", String::new(), 0, message);
            return Ok(self.found);
        };
        let told = |finding: &Finding| {
            if finding.object.is_empty() {
                finding.message.clone()
            } else {
                format!("{}: {}", finding.object, finding.message)
            }
        };
        let mut error = Error::transform(format!("ElastiCache would refuse this snapshot: {}", told(first)));
        if first.offset > 0 {
            error = error.with("offset", first.offset);
        }
        for more in blockers.iter().skip(1) {
            error = error.also(told(more));
        }
        for (code, count) in self.seen.iter().filter(|(_, count)| **count > LISTED) {
            error = error.also(format!("{code}: {count} in all"));
        }
        Err(error.hint("nothing was published"))
    }
}
