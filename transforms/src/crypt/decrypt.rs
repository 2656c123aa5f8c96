//! The step that decrypts what is encrypted, and lets everything else pass.

use std::collections::VecDeque;
use std::io::{self, Cursor, Read};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use age::stream::StreamReader;
use age::{DecryptError, Decryptor};
use bytes::{Buf, Bytes, BytesMut};
use memchr::memmem;
use pipeline::{Error, Output, Result, Transform, TransformReport};

use super::keys::Identities;
use super::{MAGIC, NAME, PIECE};

/// A header of a thousand recipients has some 100 KiB.
const HEADER_MAX: usize = 1 << 20;
/// Bytes behind the last line of the header.
const NONCE: usize = 16;

/// The decryptor.
pub struct Decrypt {
    identities: Identities,
    required: bool,
    state: State,
}

impl std::fmt::Debug for Decrypt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decrypt").field("required", &self.required).finish_non_exhaustive()
    }
}

enum State {
    /// Too little to tell, or an unfinished header.
    Head(BytesMut),
    Encrypted {
        queue: Queue,
        reader: Box<StreamReader<io::Chain<Cursor<Bytes>, Queue>>>,
    },
    Plain,
}

/// What was pushed and is not decrypted yet. It says "not now" when it is empty before the end, and the reader then goes on where it was.
#[derive(Clone, Default)]
struct Queue(Arc<Mutex<Pushed>>);

#[derive(Default)]
struct Pushed {
    pieces: VecDeque<Bytes>,
    ended: bool,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Pushed> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Read for Queue {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut pushed = self.lock();
        loop {
            let Some(piece) = pushed.pieces.front_mut() else {
                return if pushed.ended { Ok(0) } else { Err(io::ErrorKind::WouldBlock.into()) };
            };
            if piece.is_empty() {
                pushed.pieces.pop_front();
                continue;
            }
            let taken = piece.len().min(into.len());
            piece.copy_to_slice(&mut into[..taken]);
            return Ok(taken);
        }
    }
}

impl Decrypt {
    /// Decrypts a stream that is encrypted; any other passes as it is.
    pub fn detect(identities: Identities) -> Self {
        Self { identities, required: false, state: State::Head(BytesMut::new()) }
    }

    /// Decrypts a stream that is known to be encrypted; any other is an error.
    pub fn required(identities: Identities) -> Self {
        Self { required: true, ..Self::detect(identities) }
    }

    fn begin(&mut self, out: &mut dyn Output, ended: bool) -> Result<()> {
        let State::Head(head) = &mut self.state else { return Ok(()) };
        let seen = head.len().min(MAGIC.len());
        let is_age = head[..seen] == MAGIC[..seen];
        if is_age && seen < MAGIC.len() {
            // `age-` alone is too little to refuse an innocent file for.
            if ended && (self.required || seen >= 4) {
                return Err(cut());
            }
            if !ended {
                return Ok(());
            }
        }
        if !is_age || seen < MAGIC.len() {
            if self.required {
                return Err(Error::transform("the stream should be encrypted, and is not"));
            }
            let head = head.split().freeze();
            self.state = State::Plain;
            return out.emit(head);
        }
        let Some(end) = end_of_header(head) else {
            if ended {
                return Err(cut());
            }
            return if head.len() > HEADER_MAX {
                Err(Error::transform("the header of the encrypted stream has no end"))
            } else {
                Ok(())
            };
        };
        let mut rest = head.split().freeze();
        let header = rest.split_to(end);
        let queue = Queue::default();
        queue.lock().pieces.push_back(rest);
        let decryptor =
            Decryptor::new(Read::chain(Cursor::new(header), queue.clone())).map_err(|e| refused(&e))?;
        if self.identities.is_empty() {
            let way = if decryptor.is_scrypt() { "--passphrase-file FILE" } else { "--identity FILE" };
            return Err(Error::usage("the stream is encrypted, and there is no key to read it with")
                .hint(format!("give the key: {way}")));
        }
        let identities = self.identities.0.iter().map(|identity| &**identity as &dyn age::Identity);
        let reader = Box::new(decryptor.decrypt(identities).map_err(|e| refused(&e))?);
        self.state = State::Encrypted { queue, reader };
        Ok(())
    }

    fn drain(&mut self, out: &mut dyn Output) -> Result<()> {
        let State::Encrypted { reader, .. } = &mut self.state else { return Ok(()) };
        loop {
            let mut piece = vec![0; PIECE - 16];
            match reader.read(&mut piece) {
                Ok(0) => return Ok(()),
                Ok(bytes) => {
                    piece.truncate(bytes);
                    out.emit(piece.into())?;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Err(cut()),
                Err(error) => {
                    return Err(
                        Error::transform("the encrypted stream is cut or was changed").caused_by(error)
                    );
                }
            }
        }
    }
}

fn cut() -> Error {
    Error::transform("the encrypted stream ends before its end")
}

fn refused(error: &DecryptError) -> Error {
    match error {
        DecryptError::NoMatchingKeys | DecryptError::DecryptionFailed | DecryptError::KeyDecryptionFailed => {
            Error::usage("the key or passphrase does not open the stream")
                .hint("`dbferry show` names the recipients that it was encrypted for")
        }
        DecryptError::ExcessiveWork { .. } => {
            Error::transform("the passphrase of the stream costs more memory than is accepted")
        }
        other => Error::transform(format!("the header of the encrypted stream is damaged: {other}")),
    }
}

/// The offset behind the header's last line and the nonce.
fn end_of_header(head: &[u8]) -> Option<usize> {
    let last = memmem::find(head, b"\n--- ")? + 1;
    let line = memchr::memchr(b'\n', &head[last..])? + last + 1;
    (head.len() >= line + NONCE).then_some(line + NONCE)
}

impl Transform for Decrypt {
    fn name(&self) -> &'static str {
        NAME
    }

    fn memory(&self) -> usize {
        if self.identities.is_empty() { MAGIC.len() } else { HEADER_MAX / 4 + 4 * PIECE }
    }

    fn push(&mut self, input: Bytes, out: &mut dyn Output) -> Result<()> {
        match &mut self.state {
            State::Plain => return out.emit(input),
            State::Encrypted { queue, .. } => queue.lock().pieces.push_back(input),
            State::Head(head) => {
                head.extend_from_slice(&input);
                self.begin(out, false)?;
            }
        }
        self.drain(out)
    }

    fn finish(mut self: Box<Self>, out: &mut dyn Output) -> Result<TransformReport> {
        self.begin(out, true)?;
        if let State::Encrypted { queue, .. } = &self.state {
            queue.lock().ended = true;
        }
        self.drain(out)?;
        let mut report = TransformReport::new("decrypt");
        let encrypted = matches!(self.state, State::Encrypted { .. });
        report.settings.insert("encrypted".to_owned(), if encrypted { "age" } else { "no" }.to_owned());
        Ok(report)
    }
}
