//! Staged files and directories: created hidden and locked, removed unless they were published.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use pipeline::{Context, Error, Result};
use rustix::fs::Stat;

use super::failure::failed;
use super::names::{Leftover, Names, shown};
use super::sys::Dir;

/// Something under a staged name. Dropping it removes it, at once and whatever a write in flight is doing: the write then ends in
/// a file that has no name any more.
#[derive(Debug)]
pub(crate) struct Staged {
    dir: Arc<Dir>,
    name: PathBuf,
    armed: bool,
    // The directory that it is staged in must outlive it, or what is in it could not be removed.
    _within: Option<Arc<Tree>>,
}

impl Staged {
    pub(crate) fn name(&self) -> &Path {
        &self.name
    }

    /// Removes it, and says when that fails.
    pub(crate) fn remove(mut self) -> Result<()> {
        // After a failure it stays armed: dropping it tries once more.
        self.dir.remove(&self.name).map_err(|error| failed("cannot remove the staged", &self.name, error))?;
        self.armed = false;
        Ok(())
    }

    /// Leaves it where it is: it is published, or a person must look at it.
    pub(crate) fn keep(mut self) {
        self.armed = false;
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if self.armed {
            // Nobody is left to tell; the name says what it is, and the next run to the target finds it.
            self.dir.remove(&self.name).ok();
        }
    }
}

/// A staged directory, for an archive of many parts.
#[derive(Debug)]
pub(crate) struct Tree {
    pub(crate) staged: Staged,
    // After `staged`, since fields drop in order: this descriptor is the lock, and the removal wants it held.
    pub(crate) dir: Arc<Dir>,
}

/// Creates a staged file and locks it, so that other runs can tell that this one lives.
pub(crate) fn create_file(dir: &Arc<Dir>, name: &Path, within: Option<&Arc<Tree>>) -> Result<(File, Staged)> {
    let locked = within.is_none();
    let mut attempt = 0;
    loop {
        let file = dir.create(name).map_err(|error| cannot_create(dir, name, error))?;
        let staged =
            Staged { dir: Arc::clone(dir), name: name.to_owned(), armed: true, _within: within.cloned() };
        // Within a staged directory, the directory is locked.
        if !locked || lock_new(dir, &file).map_err(|error| failed("cannot lock", name, error))? {
            return Ok((file, staged));
        }
        staged.remove()?;
        pause(&mut attempt, name)?;
    }
}

/// Creates a staged directory and locks it.
pub(crate) fn create_tree(dir: &Arc<Dir>, name: &Path) -> Result<Tree> {
    let mut attempt = 0;
    loop {
        dir.make_dir(name).map_err(|error| cannot_create(dir, name, error))?;
        let staged = Staged { dir: Arc::clone(dir), name: name.to_owned(), armed: true, _within: None };
        let tree = dir.open_dir(name).map_err(|error| failed("cannot open", name, error))?;
        if lock_new(dir, &tree).map_err(|error| failed("cannot lock", name, error))? {
            return Ok(Tree { staged, dir: Arc::new(tree) });
        }
        staged.remove()?;
        pause(&mut attempt, name)?;
    }
}

/// Locks what was just created. `false` when another run, looking for leftovers, was faster, and perhaps removed it.
fn lock_new(dir: &Dir, file: impl AsFd) -> io::Result<bool> {
    match dir.sys.lock(&file) {
        Ok(true) => Ok(dir.sys.stat(&file)?.st_nlink > 0),
        Ok(false) => Ok(false),
        // No locks here: then nobody removes what they find, so all is well without.
        Err(_) => Ok(true),
    }
}

fn pause(attempt: &mut u32, name: &Path) -> Result<()> {
    *attempt += 1;
    if *attempt > 100 {
        return Err(Error::sink("another run keeps removing the staged file").with("name", shown(name)));
    }
    std::thread::sleep(Duration::from_millis(10));
    Ok(())
}

fn cannot_create(dir: &Dir, name: &Path, error: io::Error) -> Error {
    if error.kind() == io::ErrorKind::AlreadyExists {
        return failed("cannot create", name, error)
            .hint("was a part opened twice, or is another run with the same id at work?");
    }
    // A network file system may have created it and lost the answer. The name carries this run's id, so it is ours.
    dir.remove(name).ok();
    failed("cannot create", name, error)
}

/// The lock under which a run publishes. Held for milliseconds; removed with the guard.
#[derive(Debug)]
pub(crate) struct Publishing {
    // Dropped first: nobody can lock the name between its removal and the end of this lock without noticing.
    _name: Staged,
    _file: File,
}

impl Publishing {
    pub(crate) fn lock(dir: &Arc<Dir>, names: &Names) -> Result<Self> {
        let name = &names.publishing;
        for _ in 0..3000 {
            let file = dir.create_or_open(name).map_err(|error| failed("cannot create", name, error))?;
            match dir.sys.lock(&file) {
                Ok(false) => std::thread::sleep(Duration::from_millis(10)),
                Ok(true) if !is_named(dir, name, &file) => {}
                // Without locks, the renames that refuse to replace are the only defence.
                Ok(true) | Err(_) => {
                    let guard =
                        Staged { dir: Arc::clone(dir), name: name.clone(), armed: true, _within: None };
                    return Ok(Self { _name: guard, _file: file });
                }
            }
        }
        Err(Error::sink("another run has been publishing to the same target for 30 seconds")
            .with("lock", shown(name))
            .of_kind(pipeline::Kind::Temporary))
    }
}

fn is_named(dir: &Dir, name: &Path, file: &File) -> bool {
    let found: Option<Stat> = dir.look(name).ok().flatten();
    match (found, dir.sys.stat(file)) {
        (Some(found), Ok(open)) => super::sys::same(&found, &open),
        _ => false,
    }
}

/// Removes what killed runs to the same target left, and tells of what it must not remove.
///
/// A staged name whose lock is free belongs to nobody and holds nothing that anyone ever saw, so it goes, with a line for those
/// who asked for more. Where a lock says nothing (a network file system) it stays, with a warning. What was being
/// replaced is never removed: it may be the only whole archive there is.
pub(crate) fn sweep(dir: &Arc<Dir>, names: &Names, parent: &Path, cx: &Context) -> Result<()> {
    let found = dir.names().map_err(|error| failed("cannot list", parent, error))?;
    for name in found {
        let Some(leftover) = names.leftover(&name) else { continue };
        let path = shown(&parent.join(&name));
        let name = Path::new(&name);
        if leftover == Leftover::Replaced {
            cx.warn(format!(
                "{path} is what an interrupted run was about to replace: rename it back or delete it"
            ));
            continue;
        }
        match claim(dir, name) {
            Claim::Gone => {}
            Claim::Alive => cx.info(format!("{path} belongs to another run to the same target")),
            Claim::Unknown => {
                cx.warn(format!("{path} is left from another run: delete it unless that run is still alive"));
            }
            Claim::Dead(_lock) => match dir.remove(name) {
                Ok(()) => cx.info(format!("removed {path}, which an interrupted run had left")),
                Err(error) => {
                    cx.warn(format!("cannot remove {path}, which an interrupted run left: {error}"));
                }
            },
        }
    }
    Ok(())
}

pub(crate) enum Claim {
    Gone,
    Alive,
    Unknown,
    /// The lock, to be held while it is removed.
    Dead(#[allow(dead_code, reason = "held, not read")] File),
}

pub(crate) fn claim(dir: &Dir, name: &Path) -> Claim {
    let file = match dir.open_file(name) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Claim::Gone,
        Err(_) => return Claim::Unknown,
    };
    match dir.sys.lock(&file) {
        Ok(false) => Claim::Alive,
        Ok(true) if dir.is_local() => Claim::Dead(file),
        _ => Claim::Unknown,
    }
}
