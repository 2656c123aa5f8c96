//! Which keys stay.

use formats::rdb::{DataType, Glob, Key, key_slot};

use super::Options;

/// Why a key is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dropped {
    Name,
    Type,
    Slot,
    Expired,
    ShortLived,
    Module,
}

impl Dropped {
    pub(super) const ALL: [Self; 6] =
        [Self::Name, Self::Type, Self::Slot, Self::Expired, Self::ShortLived, Self::Module];

    /// The kind of change in the report.
    pub(super) fn code(self) -> &'static str {
        match self {
            Self::Name => "key-dropped-name",
            Self::Type => "key-dropped-type",
            Self::Slot => "key-dropped-slot",
            Self::Expired => "key-dropped-expired",
            Self::ShortLived => "key-dropped-ttl",
            Self::Module => "key-dropped-module",
        }
    }
}

/// The options about single keys, compiled.
#[derive(Debug)]
pub(super) struct Selection {
    judges: bool,
    keys: Vec<Glob>,
    drop_keys: Vec<Glob>,
    types: Vec<DataType>,
    slots: Option<Box<[bool]>>,
    /// Keys that expire at or before the first have expired; before the second they live too short.
    expired: Option<i64>,
    too_soon: Option<i64>,
    drop_modules: bool,
}

impl Selection {
    pub(super) fn new(options: &Options) -> Self {
        let globs = |list: &[Vec<u8>]| list.iter().map(|pattern| Glob::new(pattern)).collect();
        let slots = (!options.slots.is_empty()).then(|| {
            let mut slots = vec![false; 1 << 14].into_boxed_slice();
            for slot in options.slots.iter().cloned().flatten() {
                slots[usize::from(slot & 0x3fff)] = true;
            }
            slots
        });
        Self {
            judges: options.judges_keys(),
            keys: globs(&options.keys),
            drop_keys: globs(&options.drop_keys),
            types: options.types.clone(),
            slots,
            expired: options.drop_expired.then_some(options.now),
            too_soon: options.ttl_min.map(|least| options.now.saturating_add(least)),
            drop_modules: options.drop_modules,
        }
    }

    /// Why the key must go, or none when it stays.
    #[inline]
    pub(super) fn judge(&self, key: &Key<'_>) -> Option<Dropped> {
        if self.judges { self.judge_closely(key) } else { None }
    }

    fn judge_closely(&self, key: &Key<'_>) -> Option<Dropped> {
        let kind = key.kind.data_type();
        if self.drop_modules && kind == DataType::Module {
            return Some(Dropped::Module);
        }
        if !self.types.is_empty() && !self.types.contains(&kind) {
            return Some(Dropped::Type);
        }
        if let Some(at) = key.expires_at {
            if self.expired.is_some_and(|now| at <= now) {
                return Some(Dropped::Expired);
            }
            if self.too_soon.is_some_and(|least| at < least) {
                return Some(Dropped::ShortLived);
            }
        }
        let matches = |globs: &[Glob]| globs.iter().any(|glob| glob.matches(key.name));
        if (!self.keys.is_empty() && !matches(&self.keys)) || matches(&self.drop_keys) {
            return Some(Dropped::Name);
        }
        if self.slots.as_ref().is_some_and(|slots| !slots[usize::from(key_slot(key.name))]) {
            return Some(Dropped::Slot);
        }
        None
    }
}
