//! One part on its way into a staged file.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::{Arc, Weak};

use async_trait::async_trait;
use bytes::Bytes;
use pipeline::{Algorithm, Content, Digester, Error, Proof, Receipt, Result, Sink};

use super::failure::failed;
use super::names::shown;
use super::run::Run;
use super::staged::Staged;
use super::sys::{Dir, Sys};
use crate::null::counted;
use crate::writer::{Drain, Writer, blocking};

/// After so many bytes their way to the device is started, so that the sync at the end has little left to wait for, and the page
/// cache, which counts against a container's memory, does not fill with what nobody will read. Measured with 4 GiB onto ext4, on two
/// busy cores: 1.3 GB/s and 0.05 s for the final sync with it, 0.6 GB/s and 1.3 s without.
const SMOOTH: u64 = 32 << 20;

/// The longest stretch between two looks at the free space.
const LOOK: u64 = 64 << 20;

/// The open file, as the blocking thread has it.
#[derive(Debug)]
pub(crate) struct Stored {
    file: File,
    sys: Sys,
    // For messages: what the user named.
    path: Arc<Path>,
    written: u64,
    smoothed: u64,
    space: Option<Space>,
}

#[derive(Debug)]
struct Space {
    dir: Arc<Dir>,
    reserve: u64,
    next_look: u64,
}

impl Drain for Stored {
    fn drain(&mut self, data: &[u8]) -> Result<()> {
        self.keep_reserve(data.len() as u64)?;
        self.sys.write_all(&self.file, data).map_err(|error| self.failed(error))?;
        self.written += data.len() as u64;
        if self.written - self.smoothed >= SMOOTH {
            // From one stretch further back: what was started last time is clean by now and leaves the cache.
            let from = self.smoothed.saturating_sub(SMOOTH);
            // Advice only: a file system that does not take it stores the bytes all the same.
            self.sys.forget_pages(&self.file, from, self.written - from).ok();
            self.smoothed = self.written;
        }
        Ok(())
    }
}

impl Stored {
    fn failed(&self, error: io::Error) -> Error {
        failed("cannot write to", &self.path, error).with("written", self.written)
    }

    fn keep_reserve(&mut self, more: u64) -> Result<()> {
        let Some(space) = &mut self.space else { return Ok(()) };
        if self.written + more <= space.next_look {
            return Ok(());
        }
        let available = space
            .dir
            .available()
            .map_err(|error| failed("cannot see the free space of", &self.path, error))?;
        let room = available.saturating_sub(space.reserve);
        if room < more {
            return Err(Error::sink(format!(
                "the volume of {} is full up to its reserve",
                shown(&self.path)
            ))
            .with("written", self.written)
            .with("available", available)
            .with("reserve", space.reserve)
            .hint("make room, or write to a larger volume"));
        }
        // The less room, the sooner the next look: others write here too.
        space.next_look = self.written + more + (room / 8).min(LOOK);
        Ok(())
    }

    /// Makes it durable: from here on a crash loses nothing of it.
    fn sync(&self, content: &Content) -> Result<()> {
        counted(self.written, content)?;
        self.sys.sync(&self.file).map_err(|error| self.failed(error))?;
        let stat = self.sys.stat(&self.file).map_err(|error| self.failed(error))?;
        let stored = u64::try_from(stat.st_size).unwrap_or(0);
        if stored != self.written {
            return Err(Error::mismatch(format!(
                "the file system holds another length of {}",
                shown(&self.path)
            ))
            .with("written", self.written)
            .with("stored", stored));
        }
        Ok(())
    }
}

/// The sink of one part.
pub(crate) struct FileSink {
    run: Arc<Run>,
    dir: Arc<Dir>,
    staged: Staged,
    writer: Writer<Stored>,
}

impl FileSink {
    pub(crate) const MEMORY: usize = Writer::<Stored>::MEMORY;

    pub(crate) fn new(run: &Arc<Run>, dir: &Arc<Dir>, file: File, staged: Staged) -> Self {
        let space =
            (run.reserve > 0).then(|| Space { dir: Arc::clone(dir), reserve: run.reserve, next_look: 0 });
        let stored = Stored {
            file,
            sys: dir.sys.clone(),
            path: Arc::clone(&run.path),
            written: 0,
            smoothed: 0,
            space,
        };
        Self { run: Arc::clone(run), dir: Arc::clone(dir), staged, writer: Writer::new(stored) }
    }
}

#[async_trait]
impl Sink for FileSink {
    async fn write(&mut self, data: Bytes) -> Result<()> {
        self.writer.write(data).await
    }

    async fn commit(self: Box<Self>, content: &Content) -> Result<Receipt> {
        // `staged` stays here while the calls are made elsewhere: if this future is dropped, the name goes at once.
        let Self { run, dir, staged, writer } = *self;
        let stored = writer.finish().await?;
        let promised = content.clone();
        let stored = blocking(move || stored.sync(&promised).map(|()| stored)).await?;
        let proof = if run.read_back {
            let alive = Arc::new(());
            let (wanted, name, path) =
                (Arc::downgrade(&alive), staged.name().to_owned(), Arc::clone(&run.path));
            let promised = content.clone();
            blocking(move || read_back(&dir, &name, &path, &promised, &wanted)).await?;
            drop(alive);
            Proof::ReadBack
        } else {
            Proof::Synced
        };
        let bytes = stored.written;
        run.committed(staged, stored.file, bytes)?;
        Ok(Receipt { bytes, proof })
    }

    async fn abort(self: Box<Self>) -> Result<()> {
        let Self { staged, writer, .. } = *self;
        drop(writer);
        blocking(move || staged.remove()).await
    }
}

/// Reads the staged file through a descriptor of its own, past the page cache, and compares. Gives up when nobody wants it any more.
fn read_back(dir: &Dir, name: &Path, path: &Path, promised: &Content, wanted: &Weak<()>) -> Result<()> {
    let failed = |error| failed("cannot read back", path, error);
    let file = dir.open_file(name).map_err(failed)?;
    // After the sync every page is clean, so this makes the reads come from the device, as far as the kernel goes along.
    dir.sys.forget_pages(&file, 0, promised.bytes).map_err(failed)?;
    let algorithms: Vec<Algorithm> = promised.digests.keys().filter_map(|name| name.parse().ok()).collect();
    let mut digester = Digester::new(&algorithms);
    let mut buffer = vec![0; 1 << 20];
    loop {
        if wanted.strong_count() == 0 {
            return Err(Error::cancelled());
        }
        let length = dir.sys.read(&file, &mut buffer).map_err(failed)?;
        if length == 0 {
            break;
        }
        digester.update(&buffer[..length]);
    }
    match promised.difference(&digester.finish()) {
        None => Ok(()),
        Some(difference) => Err(Error::mismatch(format!("what was read back of {} differs", shown(path)))
            .with("difference", difference)
            .hint("the device or the file system returns other bytes than were written: do not trust it")),
    }
}
