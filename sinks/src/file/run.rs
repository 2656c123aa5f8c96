//! What one run has staged, shared by the destination and its sinks.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pipeline::manifest::IN_DIRECTORY;
use pipeline::{Error, Manifest, Result};

use super::failure::failed;
use super::names::Names;
use super::staged::{Staged, Tree, create_file, create_tree};
use super::sys::Dir;
use crate::part_path;

/// One run's staging.
#[derive(Debug)]
pub(crate) struct Run {
    /// The directory of the target.
    pub(crate) dir: Arc<Dir>,
    pub(crate) names: Names,
    /// The target as the user named it, for messages.
    pub(crate) path: Arc<Path>,
    pub(crate) read_back: bool,
    pub(crate) reserve: u64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    // A stream that is durable. Its file stays open, since the lock on it says that this run lives.
    stream: Option<(Staged, File)>,
    // An archive of many parts. The lock is on the directory: thousands of parts would need thousands of descriptors.
    tree: Option<Arc<Tree>>,
    // Directories below the tree; in their order each comes before what it contains.
    folders: BTreeSet<PathBuf>,
    parts: usize,
    bytes: u64,
    closed: bool,
}

/// What a publication moves: durable, under staged names, and removed when dropped.
#[derive(Debug)]
pub(crate) struct Ready {
    /// The stream or the directory.
    pub(crate) data: Staged,
    /// The manifest of a stream; that of a directory is in it.
    pub(crate) manifest: Option<Staged>,
    // The locks, held until all is published.
    _files: Vec<File>,
    _tree: Option<Arc<Dir>>,
}

impl Run {
    pub(crate) fn new(dir: Arc<Dir>, names: Names, path: Arc<Path>, read_back: bool, reserve: u64) -> Self {
        Self { dir, names, path, read_back, reserve, state: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state, if parts may still be added.
    fn open_state(&self) -> Result<MutexGuard<'_, State>> {
        let state = self.lock();
        if state.closed {
            return Err(Error::bug("the archive was already published or abandoned"));
        }
        Ok(state)
    }

    /// Creates the staged file of a part, and says which directory its name is relative to.
    pub(crate) fn create(&self, path: Option<&str>) -> Result<(Arc<Dir>, File, Staged)> {
        let mut state = self.open_state()?;
        let Some(path) = path else {
            if state.tree.is_some() {
                return Err(Error::bug("a part without a path in an archive of many parts"));
            }
            drop(state);
            let (file, staged) = create_file(&self.dir, &self.names.staged, None)?;
            return Ok((Arc::clone(&self.dir), file, staged));
        };
        let path = part_path(path)?.to_owned();
        let tree = if let Some(tree) = &state.tree {
            Arc::clone(tree)
        } else {
            let tree = Arc::new(create_tree(&self.dir, &self.names.staged)?);
            state.tree = Some(Arc::clone(&tree));
            tree
        };
        let mut above: Vec<&Path> = path.ancestors().skip(1).filter(|a| !a.as_os_str().is_empty()).collect();
        above.reverse();
        for folder in above {
            if !state.folders.contains(folder) {
                tree.dir.make_dir(folder).map_err(|e| failed("cannot create the directory", folder, e))?;
                state.folders.insert(folder.to_owned());
            }
        }
        drop(state);
        let dir = Arc::clone(&tree.dir);
        let (file, staged) = create_file(&dir, &path, Some(&tree))?;
        Ok((dir, file, staged))
    }

    /// Takes a part that is durable.
    pub(crate) fn committed(&self, staged: Staged, file: File, bytes: u64) -> Result<()> {
        let mut state = self.open_state()?;
        if state.tree.is_some() {
            // The tree goes as a whole, or stays.
            staged.keep();
        } else {
            state.stream = Some((staged, file));
        }
        state.parts += 1;
        state.bytes += bytes;
        Ok(())
    }

    fn close(&self) -> State {
        let mut state = self.lock();
        std::mem::replace(&mut *state, State { closed: true, ..State::default() })
    }

    /// Ends staging: writes the manifest under its staged name and makes everything durable.
    pub(crate) fn ready(&self, manifest: &Manifest) -> Result<Ready> {
        drop(self.open_state()?);
        let State { stream, tree, folders, parts, bytes, .. } = self.close();
        let described =
            (manifest.parts.len(), manifest.parts.iter().map(|part| part.stored.bytes).sum::<u64>());
        if described != (parts, bytes) {
            return Err(Error::bug("the manifest does not describe what was stored")
                .with("described", format!("{} parts, {} bytes", described.0, described.1))
                .with("stored", format!("{parts} parts, {bytes} bytes")));
        }
        if let Some((data, file)) = stream {
            // The engine does not know what a single stream is called here.
            let mut manifest = manifest.clone();
            if let [part] = manifest.parts.as_mut_slice()
                && part.path.is_empty()
            {
                part.path = self.names.data.to_string_lossy().into_owned();
            }
            let json = manifest.to_json()?;
            let (manifest_file, staged) = create_file(&self.dir, &self.names.staged_manifest, None)?;
            self.store(&manifest_file, &json)?;
            return Ok(Ready {
                data,
                manifest: Some(staged),
                _files: vec![file, manifest_file],
                _tree: None,
            });
        }
        let Some(tree) = tree else {
            return Err(Error::sink("the source had no parts, so there is no archive to publish"));
        };
        let Tree { staged, dir } = Arc::into_inner(tree)
            .ok_or_else(|| Error::bug("an archive was published while a part was being written"))?;
        let json = manifest.to_json()?;
        let file = dir.create(Path::new(IN_DIRECTORY));
        self.store(&file.map_err(|e| failed("cannot create the manifest of", &self.path, e))?, &json)?;
        for folder in folders.iter().rev() {
            let synced = dir.open_dir(folder).and_then(|folder| folder.sync());
            synced.map_err(|e| failed("cannot sync the directory", folder, e))?;
        }
        dir.sync().map_err(|e| failed("cannot sync the staged directory of", &self.path, e))?;
        Ok(Ready { data: staged, manifest: None, _files: Vec::new(), _tree: Some(dir) })
    }

    fn store(&self, file: &File, json: &[u8]) -> Result<()> {
        let sys = &self.dir.sys;
        let stored = sys.write_all(file, json).and_then(|()| sys.sync(file));
        stored.map_err(|e| failed("cannot write the manifest of", &self.path, e))
    }

    /// Removes all that was staged. What a dropped call still has in flight goes when that ends.
    pub(crate) fn abandon(&self) -> Result<()> {
        let State { stream, tree, .. } = self.close();
        if let Some((staged, _file)) = stream {
            staged.remove()?;
        }
        if let Some(Tree { staged, dir: _lock }) = tree.and_then(Arc::into_inner) {
            staged.remove()?;
        }
        Ok(())
    }
}
