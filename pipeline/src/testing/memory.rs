//! A destination in memory that keeps the publish protocol, and shows a test what an outsider would see.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;

use crate::context::Context;
use crate::destination::{Destination, PartHeader, Proof, Receipt, Sink};
use crate::digest::{Algorithm, Content, Digester};
use crate::error::{Error, Result};
use crate::manifest::{IN_DIRECTORY, Manifest};

/// What an outsider sees under an archive's name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct View {
    /// The manifest as stored. Without it there is no archive, whatever else is there.
    pub manifest: Option<Vec<u8>>,
    /// Stored bytes by path; the path of a single stream is empty.
    pub parts: BTreeMap<String, Vec<u8>>,
}

#[derive(Debug, Default)]
struct State {
    visible: View,
    // By run and path.
    staged: BTreeMap<(u64, String), Vec<u8>>,
    committed: BTreeMap<(u64, String), Vec<u8>>,
    runs: u64,
}

/// What several [`MemoryDestination`]s, as runs that follow or race each other, write to.
#[derive(Debug, Clone, Default)]
pub struct MemoryStore(Arc<Mutex<State>>);

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// A run that writes here.
    pub fn destination(&self) -> MemoryDestination {
        let mut state = self.lock();
        state.runs += 1;
        MemoryDestination { run: state.runs, store: self.clone(), overwrite: false, over: false }
    }

    /// What an outsider sees.
    pub fn view(&self) -> View {
        self.lock().visible.clone()
    }

    /// The manifest of the archive that exists, if one does.
    pub fn manifest(&self) -> Option<Manifest> {
        let view = self.view();
        view.manifest.map(|json| Manifest::parse(&json).expect("a stored manifest can be read"))
    }

    /// The stored bytes of one part of the archive that exists; the path of a single stream is empty.
    pub fn part(&self, path: &str) -> Option<Vec<u8>> {
        let view = self.view();
        view.manifest.as_ref()?;
        view.parts.get(path).cloned()
    }

    /// Parts that are neither published nor removed.
    pub fn litter(&self) -> Vec<String> {
        let state = self.lock();
        state.staged.keys().chain(state.committed.keys()).map(|(run, path)| format!("{run}:{path}")).collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One run's way into a [`MemoryStore`].
#[derive(Debug)]
pub struct MemoryDestination {
    store: MemoryStore,
    run: u64,
    overwrite: bool,
    over: bool,
}

impl MemoryDestination {
    /// Allows an archive that exists to be replaced.
    #[must_use]
    pub fn overwriting(mut self) -> Self {
        self.overwrite = true;
        self
    }

    fn forget(&self) {
        let mut state = self.store.lock();
        state.staged.retain(|(run, _), _| *run != self.run);
        state.committed.retain(|(run, _), _| *run != self.run);
    }
}

impl Drop for MemoryDestination {
    fn drop(&mut self) {
        self.forget();
    }
}

#[async_trait]
impl Destination for MemoryDestination {
    fn endpoint(&self) -> String {
        "memory:".to_owned()
    }

    fn memory(&self) -> usize {
        0
    }

    async fn probe(&mut self, _: &Context) -> Result<Option<u64>> {
        let exists = self.store.lock().visible != View::default();
        if exists && !self.overwrite {
            return Err(Error::sink("the archive exists").hint("--overwrite replaces it"));
        }
        Ok(None)
    }

    async fn open(&self, part: &PartHeader, _: &Context) -> Result<Box<dyn Sink>> {
        let path = part.path.clone().unwrap_or_default();
        let stays_inside =
            |path: &str| !path.split('/').any(|name| matches!(name, "" | "." | "..") || name.contains('\0'));
        if part.path.is_some() && (!stays_inside(&path) || path == IN_DIRECTORY) {
            return Err(Error::sink("a part's path cannot be used").with("path", format!("{path:?}")));
        }
        let key = (self.run, path);
        let mut state = self.store.lock();
        if state.staged.contains_key(&key) || state.committed.contains_key(&key) {
            return Err(Error::bug("a part was opened twice").with("path", key.1));
        }
        state.staged.insert(key.clone(), Vec::new());
        Ok(Box::new(MemorySink { store: self.store.clone(), key }))
    }

    async fn publish(&mut self, manifest: &Manifest, _: &Context) -> Result<()> {
        if self.over {
            return Err(Error::bug("publish after publish or abandon"));
        }
        self.over = true;
        let json = manifest.to_json()?;
        let mut state = self.store.lock();
        let keys: Vec<_> = state.committed.keys().filter(|(run, _)| *run == self.run).cloned().collect();
        let described: Vec<u64> = manifest.parts.iter().map(|part| part.stored.bytes).collect();
        let stored: Vec<u64> = keys.iter().map(|key| state.committed[key].len() as u64).collect();
        if described.len() != stored.len() || described.iter().sum::<u64>() != stored.iter().sum::<u64>() {
            return Err(Error::bug("the manifest does not describe what was stored"));
        }
        if state.visible != View::default() && !self.overwrite {
            state.committed.retain(|(run, _), _| *run != self.run);
            return Err(Error::sink("the archive exists").hint("--overwrite replaces it"));
        }
        let mut view = View { manifest: Some(json), parts: BTreeMap::new() };
        for key in keys {
            if let Some(data) = state.committed.remove(&key) {
                view.parts.insert(key.1, data);
            }
        }
        state.visible = view;
        Ok(())
    }

    async fn abandon(&mut self) -> Result<()> {
        self.over = true;
        self.forget();
        Ok(())
    }
}

struct MemorySink {
    store: MemoryStore,
    key: (u64, String),
}

impl Drop for MemorySink {
    fn drop(&mut self) {
        self.store.lock().staged.remove(&self.key);
    }
}

#[async_trait]
impl Sink for MemorySink {
    async fn write(&mut self, data: Bytes) -> Result<()> {
        let mut state = self.store.lock();
        let staged = state.staged.get_mut(&self.key).ok_or_else(|| Error::bug("the part was forgotten"))?;
        staged.extend_from_slice(&data);
        Ok(())
    }

    async fn commit(self: Box<Self>, content: &Content) -> Result<Receipt> {
        let mut state = self.store.lock();
        let data = state.staged.remove(&self.key).ok_or_else(|| Error::bug("the part was forgotten"))?;
        let mut digester = Digester::new(&[Algorithm::Blake3, Algorithm::Sha256]);
        digester.update(&data);
        if let Some(difference) = content.difference(&digester.finish()) {
            return Err(Error::mismatch("memory holds something else").with("difference", difference));
        }
        let bytes = data.len() as u64;
        state.committed.insert(self.key.clone(), data);
        Ok(Receipt { bytes, proof: Proof::ReadBack })
    }

    async fn abort(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::conformance::Fixture;

    #[async_trait]
    impl Fixture for MemoryStore {
        fn destination(&self, _: &str, overwrite: bool) -> Box<dyn Destination> {
            let destination = MemoryStore::destination(self);
            Box::new(if overwrite { destination.overwriting() } else { destination })
        }

        async fn view(&self) -> View {
            MemoryStore::view(self)
        }

        async fn litter(&self) -> Vec<String> {
            MemoryStore::litter(self)
        }
    }

    crate::conformance!(stream, MemoryStore::new());
    crate::conformance!(parts, MemoryStore::new());
    crate::conformance!(replace, MemoryStore::new());
}
