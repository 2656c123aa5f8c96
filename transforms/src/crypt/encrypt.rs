//! The step that encrypts.

use std::io::{self, Write};
use std::mem;
use std::sync::{Arc, Mutex, PoisonError};

use age::Encryptor;
use age::stream::StreamWriter;
use bytes::Bytes;
use pipeline::{Error, Output, Result, Transform, TransformReport};

use super::keys::{Recipients, WORK_MEMORY};
use super::{NAME, PIECE};

/// Encrypts a stream.
pub struct Encrypt {
    recipients: Recipients,
    made: Collected,
    // Begun with the first bytes: a plan asks for the memory only, and a passphrase costs time.
    writer: Option<StreamWriter<Collected>>,
}

impl std::fmt::Debug for Encrypt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Encrypt").field("recipients", &self.recipients).finish_non_exhaustive()
    }
}

/// What the writer has made and nobody has taken yet.
#[derive(Clone, Default)]
struct Collected(Arc<Mutex<Vec<u8>>>);

impl Collected {
    fn take(&self) -> Bytes {
        mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner)).into()
    }
}

impl Write for Collected {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(data);
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn failed(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::transform("cannot encrypt").caused_by(error)
}

impl Encrypt {
    /// For these recipients; each stream gets a key of its own.
    pub fn new(recipients: Recipients) -> Self {
        Self { recipients, made: Collected::default(), writer: None }
    }

    fn writer(&mut self) -> Result<&mut StreamWriter<Collected>> {
        if self.writer.is_none() {
            let keys = self.recipients.keys.iter().map(|key| &**key as &dyn age::Recipient);
            let encryptor = Encryptor::with_recipients(keys).map_err(failed)?;
            self.writer = Some(encryptor.wrap_output(self.made.clone()).map_err(failed)?);
        }
        self.writer.as_mut().ok_or_else(|| Error::bug("an encryptor was not begun"))
    }
}

impl Transform for Encrypt {
    fn name(&self) -> &'static str {
        NAME
    }

    fn memory(&self) -> usize {
        let passphrase = if self.recipients.passphrase { WORK_MEMORY } else { 0 };
        passphrase + 4 * PIECE
    }

    fn push(&mut self, input: Bytes, out: &mut dyn Output) -> Result<()> {
        for piece in input.chunks(PIECE) {
            self.writer()?.write_all(piece).map_err(failed)?;
            out.emit(self.made.take())?;
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>, out: &mut dyn Output) -> Result<TransformReport> {
        self.writer()?;
        if let Some(writer) = self.writer.take() {
            writer.finish().map_err(failed)?;
        }
        out.emit(self.made.take())?;
        let mut report = TransformReport::new(NAME);
        report.settings.insert("recipients".to_owned(), self.recipients.names());
        Ok(report)
    }
}
