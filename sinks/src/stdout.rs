//! Standard output, or another pipe: bytes go out as they come, so there is nothing to publish and nothing to take back.
//!
//! No manifest is written, since a pipe has one stream. What went out stays out: a run that fails later can only say so by its exit
//! code, and the reader must heed it.

use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::os::fd::AsFd;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use pipeline::{Content, Context, Destination, Error, Manifest, PartHeader, Proof, Receipt, Result, Sink};

use crate::null::counted;
use crate::writer::{Drain, Writer, blocking};

/// One stream to an open descriptor.
#[derive(Debug)]
pub struct StdoutDestination {
    // Taken by the one part that it can carry.
    file: Mutex<Option<File>>,
    terminal_allowed: bool,
}

impl StdoutDestination {
    /// The standard output of this process. A second descriptor of it, so that dropping this does not close file 1.
    pub fn new() -> Result<Self> {
        let fd = std::io::stdout()
            .as_fd()
            .try_clone_to_owned()
            .map_err(|error| Error::sink("standard output is closed").caused_by(error))?;
        Ok(Self::to(File::from(fd)))
    }

    /// Another pipe or file, taken as it is.
    pub fn to(file: File) -> Self {
        Self { file: Mutex::new(Some(file)), terminal_allowed: false }
    }

    /// Writes even to a terminal.
    #[must_use]
    pub fn allow_terminal(self) -> Self {
        Self { terminal_allowed: true, ..self }
    }
}

#[async_trait]
impl Destination for StdoutDestination {
    fn endpoint(&self) -> String {
        "-".to_owned()
    }

    fn memory(&self) -> usize {
        Writer::<Pipe>::MEMORY
    }

    async fn probe(&mut self, _: &Context) -> Result<Option<u64>> {
        let file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let terminal = file.as_ref().is_some_and(rustix::termios::isatty);
        if terminal && !self.terminal_allowed {
            return Err(Error::usage("standard output is a terminal")
                .hint("redirect it (`> file`), pipe it, or name a file as the destination"));
        }
        Ok(None)
    }

    async fn open(&self, part: &PartHeader, _: &Context) -> Result<Box<dyn Sink>> {
        let file = self.file.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (None, Some(file)) = (&part.path, file) else {
            return Err(Error::sink("standard output carries one stream, and this source has several parts")
                .hint("write to a directory, or dump with one job"));
        };
        Ok(Box::new(StdoutSink { writer: Writer::new(Pipe { file, written: 0 }) }))
    }

    async fn publish(&mut self, _: &Manifest, _: &Context) -> Result<()> {
        Ok(())
    }

    async fn abandon(&mut self) -> Result<()> {
        Ok(())
    }
}

struct Pipe {
    file: File,
    written: u64,
}

impl Drain for Pipe {
    fn drain(&mut self, mut data: &[u8]) -> Result<()> {
        while !data.is_empty() {
            match self.file.write(data) {
                Ok(length) => {
                    self.written += length as u64;
                    data = &data[length..];
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // A pipe that another program made non-blocking; the flag belongs to it as well, so it stays.
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    std::thread::sleep(Duration::from_millis(1));
                }
                Err(error) => return Err(self.failed(error)),
            }
        }
        Ok(())
    }
}

impl Pipe {
    fn failed(&self, error: std::io::Error) -> Error {
        let failure = Error::sink("cannot write to standard output").with("written", self.written);
        let failure = if error.kind() == ErrorKind::BrokenPipe {
            failure.hint("the program that reads the pipe went away: look for its own error")
        } else {
            failure
        };
        failure.caused_by(error)
    }
}

struct StdoutSink {
    writer: Writer<Pipe>,
}

#[async_trait]
impl Sink for StdoutSink {
    async fn write(&mut self, data: Bytes) -> Result<()> {
        self.writer.write(data).await
    }

    async fn commit(self: Box<Self>, content: &Content) -> Result<Receipt> {
        let pipe = self.writer.finish().await?;
        counted(pipe.written, content)?;
        blocking(move || {
            // A file behind `>` can be synced, and a full device may say so only then; a pipe answers EINVAL.
            match rustix::fs::fsync(&pipe.file) {
                Ok(()) => Ok(Receipt { bytes: pipe.written, proof: Proof::Synced }),
                Err(rustix::io::Errno::INVAL | rustix::io::Errno::ROFS | rustix::io::Errno::NOTSUP) => {
                    Ok(Receipt { bytes: pipe.written, proof: Proof::Unverified })
                }
                Err(errno) => Err(Error::sink("standard output was not stored")
                    .with("written", pipe.written)
                    .caused_by(std::io::Error::from(errno))),
            }
        })
        .await
    }

    async fn abort(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
