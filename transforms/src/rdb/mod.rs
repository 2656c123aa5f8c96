//! What happens to Redis and Valkey snapshots on their way: the check of grammar and checksum, filters, renumbering, the
//! rules of a managed target, other forms of output.
//!
//! Everything works on records and never on values: what is kept is handed on as it came. So a key of any size costs the
//! same few hundred bytes of memory, and a snapshot that nothing was asked of leaves byte for byte as it came.

mod inspect;
mod merge;
mod select;
mod step;
mod tally;
mod target;
#[cfg(test)]
mod tests;
mod text;
mod top;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

pub use formats::rdb::{DataType, Version};
pub use inspect::{KeySummary, PrefixSummary, QueueSummary, Share, Summary};
pub use step::RdbStep;
pub use target::{NODE_MEMORY_USED, Target};
pub use text::TextForm;

/// What is wanted of a snapshot. The default passes it through and checks it.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Logical databases to keep, by their number in the source; none keeps all.
    pub databases: BTreeSet<u64>,
    /// New numbers of databases. Several may get the same: a key that is then there twice ends the run.
    pub renumber: BTreeMap<u64, u64>,
    /// Patterns as `KEYS` takes them; a key is kept if one of them matches. None keeps all.
    pub keys: Vec<Vec<u8>>,
    /// Patterns of keys to leave out, stronger than [`Options::keys`].
    pub drop_keys: Vec<Vec<u8>>,
    /// Types of values to keep; none keeps all.
    pub types: Vec<DataType>,
    /// Cluster slots to keep; none keeps all.
    pub slots: Vec<RangeInclusive<u16>>,
    /// Now, in milliseconds since 1970: what expiry is judged by.
    pub now: i64,
    /// Leaves out keys that have expired at [`Options::now`].
    pub drop_expired: bool,
    /// Leaves out keys that expire within so many milliseconds from [`Options::now`].
    pub ttl_min: Option<i64>,
    /// Leaves out function libraries.
    pub drop_functions: bool,
    /// Leaves out AUX fields, all of them.
    pub drop_aux: bool,
    /// Leaves out keys of modules' types, and modules' data outside keys.
    pub drop_modules: bool,
    /// The version that the header states. What needs a newer one ends the run.
    pub version: Option<Version>,
    /// Set, before the first byte, when the source said that nothing in it needs more than version 11, whatever its header states.
    pub plain: Arc<AtomicBool>,
    /// Leaves out a key that was there before. Only a reading key by key names one twice.
    pub drop_twice: bool,
    /// Bytes for finding out whether databases that are merged have a key in common: eight bytes a key, and as much again while it grows.
    pub merge_memory: usize,
    /// What will load the snapshot.
    pub target: Option<Target>,
    /// Something else than a snapshot to write.
    pub text: Option<TextForm>,
}

impl Options {
    /// True when single keys are judged, so that counts of whole databases are no longer true.
    fn judges_keys(&self) -> bool {
        !self.keys.is_empty()
            || !self.drop_keys.is_empty()
            || !self.types.is_empty()
            || !self.slots.is_empty()
            || self.drop_expired
            || self.ttl_min.is_some()
            || self.drop_modules
    }

    /// True when the bytes may change.
    fn rewrites(&self) -> bool {
        self.judges_keys()
            || !self.databases.is_empty()
            || !self.renumber.is_empty()
            || self.drop_functions
            || self.drop_twice
            || self.drop_aux
            || self.version.is_some()
            || self.target.is_some()
    }

    /// For the manifest: what shaped the output.
    fn settings(&self) -> BTreeMap<String, String> {
        let mut settings = BTreeMap::new();
        let mut set = |name: &str, value: String| {
            if !value.is_empty() {
                settings.insert(name.to_owned(), value);
            }
        };
        let patterns = |list: &[Vec<u8>]| {
            list.iter().map(|pattern| pattern.escape_ascii().to_string()).collect::<Vec<_>>().join(" ")
        };
        let numbers = |list: Vec<String>| list.join(",");
        set("databases", numbers(self.databases.iter().map(ToString::to_string).collect()));
        set("renumbered", numbers(self.renumber.iter().map(|(from, to)| format!("{from}={to}")).collect()));
        set("keys", patterns(&self.keys));
        set("drop-keys", patterns(&self.drop_keys));
        set("types", numbers(self.types.iter().map(ToString::to_string).collect()));
        set(
            "slots",
            numbers(self.slots.iter().map(|range| format!("{}-{}", range.start(), range.end())).collect()),
        );
        set("expired", if self.drop_expired { "dropped".to_owned() } else { String::new() });
        set("ttl-min-seconds", self.ttl_min.map_or_else(String::new, |millis| (millis / 1000).to_string()));
        for (name, dropped) in
            [("functions", self.drop_functions), ("aux", self.drop_aux), ("modules", self.drop_modules)]
        {
            set(name, if dropped { "dropped".to_owned() } else { String::new() });
        }
        set("target", self.target.as_ref().map_or_else(String::new, |target| target.name().to_owned()));
        set("form", self.text.map_or_else(String::new, |form| form.name().to_owned()));
        settings
    }
}
