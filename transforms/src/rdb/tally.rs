//! Counts of what a snapshot holds, cheap enough for every key.

use std::collections::BTreeMap;

use formats::rdb::{DataType, Key};
use pipeline::TransformReport;

/// Databases that are counted one by one. Servers have sixteen; a hostile file could name four billion.
const DATABASES: usize = 4096;

/// Keys by database and type.
#[derive(Debug, Default)]
pub(super) struct Tally {
    keys: u64,
    expiring: u64,
    types: [u64; DataType::ALL.len()],
    databases: BTreeMap<u64, u64>,
    unlisted: u64,
    /// The database being counted, which most keys share with the one before.
    current: Option<(u64, u64)>,
}

impl Tally {
    #[inline]
    pub(super) fn key(&mut self, db: u64, key: &Key<'_>) {
        self.keys += 1;
        self.expiring += u64::from(key.expires_at.is_some());
        self.types[key.kind.data_type() as usize] += 1;
        match &mut self.current {
            Some((current, keys)) if *current == db => *keys += 1,
            _ => self.change(db),
        }
    }

    #[cold]
    fn change(&mut self, db: u64) {
        self.settle();
        self.current = Some((db, 1));
    }

    fn settle(&mut self) {
        let Some((db, keys)) = self.current.take() else { return };
        if self.databases.len() < DATABASES || self.databases.contains_key(&db) {
            *self.databases.entry(db).or_default() += keys;
        } else {
            self.unlisted += keys;
        }
    }

    pub(super) fn keys(&self) -> u64 {
        self.keys
    }

    /// Keys by database.
    pub(super) fn databases(&mut self) -> &BTreeMap<u64, u64> {
        self.settle();
        &self.databases
    }

    /// Adds everything to a report; the databases are its objects.
    pub(super) fn report(mut self, report: &mut TransformReport) {
        self.settle();
        let counts = DataType::ALL.iter().zip(self.types).map(|(kind, count)| (kind.name(), count));
        for (name, count) in counts.chain([("expiring", self.expiring)]).filter(|(_, count)| *count > 0) {
            report.counts.insert(name.to_owned(), count);
        }
        report.counts.insert("keys".to_owned(), self.keys);
        report.objects = self.databases.into_iter().map(|(db, keys)| (format!("db{db}"), keys)).collect();
        if self.unlisted > 0 {
            report.objects.insert("other databases".to_owned(), self.unlisted);
        }
    }
}
