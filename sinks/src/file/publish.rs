//! Making an archive exist, and taking that back when it fails half-way.
//!
//! # What a crash can leave
//!
//! The steps, each durable before the next begins:
//!
//! 1. The manifest that is there, if one is, moves aside: from now on the old data is no archive.
//! 2. The old data moves aside.
//! 3. The new data takes its name; it is no archive yet.
//! 4. The new manifest takes its name: now the new archive exists.
//! 5. What was moved aside is removed.
//!
//! So at any instant there is the old archive whole, or no archive (no manifest), or the new archive whole. When a step fails, those before it are
//! undone, and the old archive is back. When the machine dies between 1 and 4, the old archive is still whole under its names ending in `.old`,
//! which a later run reports and never removes. A directory that replaces a directory is exchanged with it in one step where the file system
//! can do that, and then there is no such instant.
//!
//! Renames refuse to replace, and one run publishes at a time, so of two runs that race to one name one gets a clean error.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use pipeline::manifest::IN_DIRECTORY;
use pipeline::{Context, Error, Manifest, Result};
use rustix::fs::Stat;

use super::failure::failed;
use super::names::shown;
use super::run::{Ready, Run};
use super::staged::Publishing;
use super::sys::{Dir, is_dir, is_file, same};

/// What is under the target's names, after it was found fit to be replaced, or absent.
#[derive(Debug)]
pub(crate) struct Present {
    data: Option<Stat>,
    manifest: Option<Stat>,
}

/// Looks at the target, and refuses what must not be replaced.
pub(crate) fn examine(run: &Run, overwrite: bool) -> Result<Present> {
    let dir = &run.dir;
    let look = |name: &Path| dir.look(name).map_err(|error| failed("cannot look at", name, error));
    let data = look(&run.names.data)?;
    let manifest = look(&run.names.manifest)?;
    let refuse = |what: &str| Error::sink(format!("{} {what}", shown(&run.path)));
    if let Some(stat) = &data {
        if !is_file(stat) && !is_dir(stat) {
            return Err(refuse("is neither a file nor a directory")
                .hint("a link is neither followed nor replaced: name the file itself; for a pipe use `-` and a redirection"));
        }
        if !overwrite {
            return Err(refuse("exists")
                .hint("--overwrite replaces it; `{date}` or `{id}` in the name makes it unique"));
        }
        if is_dir(stat) {
            check_replaceable_directory(run)?;
        }
    }
    if let Some(stat) = &manifest {
        if !is_file(stat) {
            return Err(refuse("has beside it a manifest that is no file"));
        }
        if !overwrite {
            return Err(refuse("has a manifest beside it already").hint("--overwrite replaces it"));
        }
    }
    Ok(Present { data, manifest })
}

/// A directory is replaced only if an earlier run made it, or if it is empty: `--overwrite /home` must not end badly.
fn check_replaceable_directory(run: &Run) -> Result<()> {
    let error = |error| failed("cannot look into", &run.path, error);
    let inside = run.dir.open_dir(&run.names.data).map_err(error)?;
    let names = inside.names().map_err(error)?;
    if names.is_empty() {
        return Ok(());
    }
    match inside.open_file(Path::new(IN_DIRECTORY)).and_then(|file| inside.sys.read_to_end(&file)) {
        Ok(json) if Manifest::parse(&json).is_ok() => return Ok(()),
        Err(found) if found.kind() != std::io::ErrorKind::NotFound => return Err(error(found)),
        _ => {}
    }
    Err(Error::sink(format!("{} is a directory, and no archive", shown(&run.path))).hint(
        "name a file or a new directory in it; only an archive of dbferry's own is replaced as a whole",
    ))
}

/// Publishes what is ready. On error everything is as it was, except where the error says otherwise.
pub(crate) fn publish(run: &Run, manifest: &Manifest, overwrite: bool, cx: &Context) -> Result<()> {
    let ready = run.ready(manifest)?;
    let _lock = Publishing::lock(&run.dir, &run.names)?;
    let mut moves = Moves { dir: &run.dir, done: Vec::new() };
    match moves.all(run, &ready, overwrite) {
        Ok(()) => {}
        Err(error) => {
            let Err(undone) = moves.undo() else { return Err(error) };
            // Nothing more is removed: a person has to look.
            let Ready { data, manifest, .. } = ready;
            data.keep();
            manifest.into_iter().for_each(super::staged::Staged::keep);
            return Err(error.also(format!(
                "putting back what was there failed, too ({undone}): look for names ending in `.old` and `.partial` in the same directory"
            )));
        }
    }
    // The archive exists. Whatever goes wrong with the old one does not change that.
    for name in [&run.names.replaced_manifest, &run.names.replaced, &run.names.staged] {
        if let Err(error) = run.dir.remove(name) {
            cx.warn(format!(
                "the archive is published, but what it replaced is left as {}: {error}",
                shown(name)
            ));
        }
    }
    Ok(())
}

/// Renames that can be taken back.
struct Moves<'a> {
    dir: &'a Arc<Dir>,
    done: Vec<Move>,
}

struct Move {
    from: PathBuf,
    to: PathBuf,
    // What was moved: undoing looks where it is rather than trusting the answer of the rename, which a network can lose.
    what: Stat,
    exchanged: bool,
}

impl Moves<'_> {
    fn all(&mut self, run: &Run, ready: &Ready, overwrite: bool) -> Result<()> {
        let names = &run.names;
        // Again, under the lock: hours may have passed since the probe.
        let present = examine(run, overwrite)?;
        let sync =
            || run.dir.sync().map_err(|error| failed("cannot sync the directory of", &run.path, error));
        if let Some(stat) = present.manifest {
            self.rename(&names.manifest, &names.replaced_manifest, stat)?;
            sync()?;
        }
        let staged = self.look(ready.data.name())?;
        let both = present.data.as_ref().is_some_and(|old| is_dir(old) && is_dir(&staged));
        if both && self.exchange(ready.data.name(), &names.data, staged)? {
            return sync();
        }
        if let Some(stat) = present.data {
            self.rename(&names.data, &names.replaced, stat)?;
            sync()?;
        }
        self.rename(ready.data.name(), &names.data, staged)?;
        sync()?;
        if let Some(manifest) = &ready.manifest {
            let stat = self.look(manifest.name())?;
            self.rename(manifest.name(), &names.manifest, stat)?;
            sync()?;
        }
        Ok(())
    }

    fn look(&self, name: &Path) -> Result<Stat> {
        let found = self.dir.look(name).map_err(|error| failed("cannot look at", name, error))?;
        found.ok_or_else(|| {
            Error::sink(format!("the staged file {} vanished", shown(name)))
                .hint("did something clean up this directory while the run was going on?")
        })
    }

    fn rename(&mut self, from: &Path, to: &Path, what: Stat) -> Result<()> {
        self.done.push(Move { from: from.to_owned(), to: to.to_owned(), what, exchanged: false });
        self.dir.rename_new(from, to).map_err(|error| {
            let taken = error.kind() == std::io::ErrorKind::AlreadyExists;
            let failure = failed("cannot publish as", to, error);
            if taken {
                failure.hint("another run, or another program, took the name meanwhile")
            } else {
                failure
            }
        })
    }

    /// `false` where the file system cannot exchange.
    fn exchange(&mut self, staged: &Path, target: &Path, what: Stat) -> Result<bool> {
        self.done.push(Move { from: staged.to_owned(), to: target.to_owned(), what, exchanged: true });
        match self.dir.exchange(staged, target) {
            Ok(()) => Ok(true),
            Err(error) if Dir::unsupported(&error) => {
                self.done.pop();
                Ok(false)
            }
            Err(error) => Err(failed("cannot publish as", target, error)),
        }
    }

    /// Takes the moves back, last first.
    fn undo(self) -> std::io::Result<()> {
        for step in self.done.iter().rev() {
            let moved = self.dir.look(&step.to)?.is_some_and(|found| same(&found, &step.what));
            if moved && step.exchanged {
                self.dir.exchange(&step.from, &step.to)?;
            } else if moved {
                self.dir.rename_new(&step.to, &step.from)?;
            }
        }
        if self.done.is_empty() { Ok(()) } else { self.dir.sync() }
    }
}
