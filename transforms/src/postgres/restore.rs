//! A custom-format archive as the plain dump that `pg_restore` makes of it.
//!
//! The program reads the archive from its standard input and writes to its standard output; both go through threads, so that neither end waits for the other.
//! Its exit status is part of success, and behind it the completion line of the dump, which the next step asks for.

use std::io::{ErrorKind, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;

use bytes::Bytes;
use pipeline::{Error, Output, Result, Transform, TransformReport};

/// Bytes that are read from the program at a time.
const PIECE: usize = 256 << 10;
/// Pieces that wait for the next step.
const PIECES: usize = 4;
/// What is kept of the program's complaints.
const COMPLAINTS: usize = 4 << 10;

/// What the threads report.
enum Event {
    /// The program has taken what it was given.
    Taken,
    Output(Bytes),
}

/// The program at work.
pub struct PostgresRestore {
    child: Child,
    input: Option<Sender<Bytes>>,
    events: Receiver<Event>,
    /// It has not yet taken what it was given last.
    busy: bool,
    writer: Option<JoinHandle<std::io::Result<()>>>,
    reader: Option<JoinHandle<std::io::Result<()>>>,
    complaints: Option<JoinHandle<Vec<u8>>>,
}

impl std::fmt::Debug for PostgresRestore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PostgresRestore").field("child", &self.child.id()).finish_non_exhaustive()
    }
}

impl PostgresRestore {
    /// Name of the transform.
    pub const NAME: &'static str = "pg-restore";
    /// [`Transform::memory`] of it.
    pub const MEMORY: usize = (PIECES + 3) * PIECE;

    /// Starts `program`, a `pg_restore`.
    pub fn start(program: &Path) -> Result<Self> {
        let failed =
            |error| Error::transform(format!("{} cannot be run", program.display())).caused_by(error);
        let mut child = Command::new(program)
            .arg("--file=-")
            .env("LC_ALL", "C")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        let (input, taken) = channel();
        let (sender, events) = sync_channel(PIECES);
        let thread = |name: &str| std::thread::Builder::new().name(format!("dbf-{name}"));
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let report = sender.clone();
        let mut restore = Self {
            child,
            input: Some(input),
            events,
            busy: false,
            writer: None,
            reader: None,
            complaints: None,
        };
        restore.writer = Some(thread("pg-in").spawn(move || feed(stdin, &taken, &report)).map_err(failed)?);
        restore.reader = Some(thread("pg-out").spawn(move || drain(stdout, &sender)).map_err(failed)?);
        restore.complaints = Some(thread("pg-err").spawn(move || listen(stderr)).map_err(failed)?);
        Ok(restore)
    }

    /// Waits for the program, which has closed its output.
    fn ended(&mut self, out: &mut dyn Output) -> Result<()> {
        self.input = None;
        while let Ok(event) = self.events.recv() {
            if let Event::Output(data) = event {
                out.emit(data)?;
            }
        }
        let failed = |error| Error::transform("pg_restore's pipes broke").caused_by(error);
        let panicked = || Error::bug("a thread of pg_restore's pipes panicked");
        let written = self.writer.take().map_or(Ok(Ok(())), JoinHandle::join).map_err(|_| panicked())?;
        let read = self.reader.take().map_or(Ok(Ok(())), JoinHandle::join).map_err(|_| panicked())?;
        let complaints = self.complaints.take().map_or(Ok(Vec::new()), JoinHandle::join);
        let complaints = complaints.map_err(|_| panicked())?;
        let status = self.child.wait().map_err(failed)?;
        if !status.success() {
            return Err(Error::transform("pg_restore cannot read the archive")
                .with("status", status)
                .caused_by(String::from_utf8_lossy(&complaints).trim().to_owned())
                .hint("is it as new as the pg_dump that made the archive, and built with the archive's compression?"));
        }
        read.map_err(failed)?;
        match written {
            // It has read what it needs; whether the archive is whole is the check's to say.
            Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(failed(error)),
            _ => Ok(()),
        }
    }
}

/// Gives the program what is sent.
fn feed(
    stdin: Option<ChildStdin>,
    pieces: &Receiver<Bytes>,
    events: &SyncSender<Event>,
) -> std::io::Result<()> {
    let Some(mut stdin) = stdin else { return Ok(()) };
    while let Ok(piece) = pieces.recv() {
        stdin.write_all(&piece)?;
        drop(piece);
        if events.send(Event::Taken).is_err() {
            break;
        }
    }
    Ok(())
}

/// Takes what it writes.
fn drain(stdout: Option<impl Read>, events: &SyncSender<Event>) -> std::io::Result<()> {
    let Some(mut stdout) = stdout else { return Ok(()) };
    let mut buffer = vec![0; PIECE];
    loop {
        match stdout.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(len) => {
                if events.send(Event::Output(Bytes::copy_from_slice(&buffer[..len]))).is_err() {
                    return Ok(());
                }
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Keeps the beginning of its complaints, and lets it complain on.
fn listen(stderr: Option<impl Read>) -> Vec<u8> {
    let (mut kept, mut buffer) = (Vec::new(), [0; 1024]);
    let Some(mut stderr) = stderr else { return kept };
    while let Ok(len @ 1..) = stderr.read(&mut buffer) {
        let room = COMPLAINTS.saturating_sub(kept.len());
        kept.extend_from_slice(&buffer[..len.min(room)]);
    }
    kept
}

impl Transform for PostgresRestore {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn memory(&self) -> usize {
        Self::MEMORY
    }

    fn push(&mut self, mut input: Bytes, out: &mut dyn Output) -> Result<()> {
        while !input.is_empty() && self.input.is_some() {
            while self.busy {
                match self.events.recv() {
                    Ok(Event::Taken) => self.busy = false,
                    Ok(Event::Output(data)) => out.emit(data)?,
                    // It has closed both ends.
                    Err(_) => return self.ended(out),
                }
            }
            let piece = input.split_to(input.len().min(PIECE));
            self.busy = match &self.input {
                Some(sender) => sender.send(piece).is_ok(),
                None => false,
            };
            if !self.busy {
                return self.ended(out);
            }
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>, out: &mut dyn Output) -> Result<TransformReport> {
        if self.input.is_some() {
            self.ended(out)?;
        }
        Ok(TransformReport::new(Self::NAME))
    }
}

impl Drop for PostgresRestore {
    fn drop(&mut self) {
        // Whoever drops it early wants no more of it; after its end there is nothing to kill.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
