//! What a database holds, in a form that two products share.

use std::collections::{BTreeMap, BTreeSet};

use crate::report::Difference;

/// Properties of one object. A name that begins with `~` is worth a note when it differs, and is no difference: what a target changes by its nature.
pub(crate) type Properties = BTreeMap<String, String>;

/// Everything in a database but its rows.
#[derive(Debug, Default)]
pub(crate) struct Catalogue {
    /// By kind and name.
    pub(crate) objects: BTreeMap<(String, String), Properties>,
    /// What has rows, by its name as the user knows it.
    pub(crate) tables: BTreeMap<String, Table>,
}

/// Something that has rows.
#[derive(Debug, Default, Clone)]
pub(crate) struct Table {
    /// As SQL wants it, quoted.
    pub(crate) sql: String,
    /// In their order; without those that are computed.
    pub(crate) columns: Vec<Column>,
    /// The columns that tell rows apart; empty where nothing does.
    pub(crate) key: Vec<String>,
    /// An estimate: the largest are read first.
    pub(crate) bytes: u64,
    /// A query of its own instead of a table; its first columns are the key.
    pub(crate) query: Option<String>,
}

/// A column with rows in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Column {
    /// Its name.
    pub(crate) name: String,
    /// Its type in lower case.
    pub(crate) kind: String,
    /// Its character set, where it has one.
    pub(crate) charset: Option<String>,
}

impl Catalogue {
    pub(crate) fn add(
        &mut self,
        kind: &str,
        name: impl Into<String>,
        properties: impl IntoIterator<Item = (&'static str, String)>,
    ) {
        let properties = properties.into_iter().map(|(key, value)| (key.to_owned(), value));
        self.objects.entry((kind.to_owned(), name.into())).or_default().extend(properties);
    }

    /// Adds to a property that is a list.
    pub(crate) fn append(&mut self, kind: &str, name: impl Into<String>, property: &str, item: &str) {
        let properties = self.objects.entry((kind.to_owned(), name.into())).or_default();
        let value = properties.entry(property.to_owned()).or_default();
        if !value.is_empty() {
            value.push_str(", ");
        }
        value.push_str(item);
    }

    /// What differs, and what is only worth a note.
    pub(crate) fn differences(&self, other: &Self) -> (Vec<Difference>, Vec<Difference>) {
        let (mut differences, mut notes) = (Vec::new(), Vec::new());
        let all: BTreeSet<_> = self.objects.keys().chain(other.objects.keys()).collect();
        for key in all {
            let (kind, name) = key;
            let (left, right) = match (self.objects.get(key), other.objects.get(key)) {
                (Some(left), Some(right)) => (left, right),
                (left, _) => {
                    let told = |here: bool| Some(if here { "there" } else { "missing" }.to_owned());
                    let is_left = left.is_some();
                    // The parts of a table that is missing as a whole are not listed one by one.
                    if !self.belongs_to_missing(other, kind, name) {
                        differences.push(Difference::new(kind, name, "", told(is_left), told(!is_left)));
                    }
                    continue;
                }
            };
            let names: BTreeSet<_> = left.keys().chain(right.keys()).collect();
            for property in names {
                let (a, b) = (left.get(property), right.get(property));
                if a == b {
                    continue;
                }
                let difference = |what: &str| Difference::new(kind, name, what, a.cloned(), b.cloned());
                match property.strip_prefix('~') {
                    Some(what) => notes.push(difference(what)),
                    None => differences.push(difference(property)),
                }
            }
        }
        (differences, notes)
    }

    fn belongs_to_missing(&self, other: &Self, kind: &str, name: &str) -> bool {
        if kind == "table" {
            return false;
        }
        let table = |catalogue: &Self, name: &str| {
            catalogue.objects.contains_key(&("table".to_owned(), name.to_owned()))
        };
        // Parts are named `table.part`; a dot may also stand in either name.
        name.match_indices('.').any(|(at, _)| table(self, &name[..at]) != table(other, &name[..at]))
    }
}
