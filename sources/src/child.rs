//! Runs a program and streams what it prints.
//!
//! Every dump client is somebody else's process, and each way that it can mislead a pipe is closed here: its exit status is part
//! of success, both of its pipes are drained at once, what it says is kept, and nothing of it outlives the read.

use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use pipeline::{Context, Error, FrameSender, Kind, Result};
use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;
use tokio_util::io::poll_read_buf;

mod stderr;
#[cfg(test)]
mod tests;

pub(crate) use stderr::Stderr;

/// One read takes at most this much. The pipe holds 1 MiB, so two reads empty it.
const READ: usize = 512 * 1024;
/// A first read smaller than this waits a moment for more: `pg_dump` writes about 10 KiB at a time. For a dump of 129 MB that made 450 to
/// 700 pieces instead of 10,000 to 15,000, in the same time; a writer that fills the pipe at once lost nothing either.
const SMALL: usize = 128 * 1024;
const LINGER: Duration = Duration::from_millis(1);
const PIPE: usize = 1 << 20;
/// How long a cancelled child may take to leave by itself.
const GRACE: Duration = Duration::from_secs(3);
/// How long something that a finished child left behind may hold its pipes open.
const LEFTOVER: Duration = Duration::from_secs(2);

/// Upper bound of what reading a child buffers: one read, plus what is kept of stderr.
pub(crate) const MEMORY: usize = 2 * READ + stderr::KEPT;

/// A program to run.
pub(crate) struct Program {
    /// What to call it in messages.
    pub(crate) name: String,
    pub(crate) command: Command,
    pub(crate) stdin: Stdio,
    /// Said once when the stream stands still for so long.
    pub(crate) stall: Option<(Duration, String)>,
}

/// How a program ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) name: String,
    pub(crate) status: ExitStatus,
    pub(crate) stderr: Stderr,
    /// Bytes that it wrote to stdout.
    pub(crate) bytes: u64,
    /// The longest time that the stream stood still because nobody took the bytes.
    pub(crate) longest_stall: Duration,
}

impl Ended {
    /// Success with its warnings passed on, or an error that says what the program said.
    pub(crate) fn check(&self, cx: &Context) -> Result<()> {
        if self.status.success() {
            self.stderr.warn(&self.name, cx);
            return Ok(());
        }
        Err(self.failure(format!("{} failed", self.name)))
    }

    /// The error for a program that failed, under a better heading.
    pub(crate) fn failure(&self, message: impl Into<String>) -> Error {
        let error = Error::source(message).with("status", describe(self.status));
        match self.stderr.text() {
            text if text.is_empty() => error,
            text => error.caused_by(text),
        }
    }
}

/// The shell's words for an exit status.
pub(crate) fn describe(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => {
            let name = match signal {
                1 => " (SIGHUP)",
                2 => " (SIGINT)",
                3 => " (SIGQUIT)",
                4 => " (SIGILL)",
                6 => " (SIGABRT)",
                7 => " (SIGBUS)",
                8 => " (SIGFPE)",
                9 => " (SIGKILL: often the kernel, for want of memory)",
                11 => " (SIGSEGV)",
                13 => " (SIGPIPE)",
                15 => " (SIGTERM)",
                _ => "",
            };
            format!("killed by signal {signal}{name}")
        }
        (None, None) => "unknown".to_owned(),
    }
}

/// Runs the program to its end and sends its stdout. `Ok` says only that it ended and that everything it wrote was sent; whether
/// it succeeded is for [`Ended::check`]. When the run is cancelled, the receiver goes away, or this future is dropped, the
/// program's whole process group is ended.
pub(crate) async fn stream(program: Program, out: &mut FrameSender, cx: &Context) -> Result<Ended> {
    let Program { name, mut command, stdin, stall } = program;
    command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let mut child = command.spawn().map_err(|error| spawn_error(&name, error))?;
    // The command holds our copy of the child's stdin, which may carry a password.
    drop(command);
    let group = Group::of(&child)?;
    let (Some(mut stdout), Some(mut stderr_pipe)) = (child.stdout.take(), child.stderr.take()) else {
        return Err(Error::bug("a child was started without its pipes"));
    };
    // A larger pipe lets the child run on while this side is busy. Refused when the user's pipes are at their limit, which
    // costs speed only.
    if let Err(error) = rustix::pipe::fcntl_setpipe_size(&stdout, PIPE) {
        cx.info(format!("the pipe from {name} keeps its size: {error}"));
    }

    let exited = AtomicBool::new(false);
    let mut pump = Pump { name: &name, exited: &exited, stall, bytes: 0, longest_stall: Duration::ZERO };
    let mut kept = Stderr::default();
    let outcome = {
        let pumping = pump.run(&mut stdout, out, cx);
        let listening = kept.read(&mut stderr_pipe);
        tokio::pin!(pumping, listening);
        let (mut pumped, mut heard, mut status) = (false, false, None);
        loop {
            tokio::select! {
                biased;
                () = cx.cancellation().cancelled() => break Err(Error::cancelled()),
                result = &mut pumping, if !pumped => match result {
                    Ok(()) => pumped = true,
                    // Its own failure tells more than the pipe that it left open.
                    Err(error) => break status.filter(|ended: &ExitStatus| !ended.success()).ok_or(error),
                },
                result = child.wait(), if status.is_none() => match result {
                    Ok(ended) => {
                        exited.store(true, Ordering::Relaxed);
                        status = Some(ended);
                    }
                    Err(error) => break Err(Error::source(format!("{name} cannot be waited for")).caused_by(error)),
                },
                () = &mut listening, if !heard => heard = true,
            }
            if let (true, Some(ended)) = (pumped, status) {
                if !heard && tokio::time::timeout(LEFTOVER, &mut listening).await.is_err() {
                    cx.info(format!("{name} left something behind that holds its stderr open"));
                }
                break Ok(ended);
            }
        }
    };
    match outcome {
        Ok(status) => {
            let (bytes, longest_stall) = (pump.bytes, pump.longest_stall);
            drop(group);
            Ok(Ended { name, status, stderr: kept, bytes, longest_stall })
        }
        Err(error) => {
            group.end(&mut child).await;
            Err(error)
        }
    }
}

fn spawn_error(name: &str, error: std::io::Error) -> Error {
    let message = match error.kind() {
        std::io::ErrorKind::NotFound => format!("{name}: no such program"),
        std::io::ErrorKind::PermissionDenied => format!("{name} may not be run"),
        _ => format!("{name} cannot be started"),
    };
    Error::source(message).caused_by(error)
}

/// The child's process group. Ended when this is dropped, whatever happens: `SIGKILL` then, because a drop cannot wait.
struct Group(Pid);

impl Group {
    fn of(child: &tokio::process::Child) -> Result<Self> {
        let id = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        let id = id.ok_or_else(|| Error::bug("a child was started without an id"))?;
        live().push(id);
        Ok(Self(id))
    }

    /// Asks, waits, then kills; in the end the child is reaped.
    async fn end(self, child: &mut tokio::process::Child) {
        self.signal(Signal::TERM);
        let deadline = Instant::now() + GRACE;
        // The group outlives its leader: a shell is gone before the clients that it started have said goodbye to their server.
        // `wait` reaps the leader, without which the group would never be empty.
        let mut reaped = false;
        while Instant::now() < deadline && test_kill_process_group(self.0).is_ok() {
            let nap = Duration::from_millis(20);
            if reaped {
                tokio::time::sleep(nap).await;
            } else {
                reaped = tokio::time::timeout(nap, child.wait()).await.is_ok();
            }
        }
        self.signal(Signal::KILL);
        if !reaped && tokio::time::timeout(GRACE, child.wait()).await.is_err() {
            // In uninterruptible sleep, on a dead network mount for example: nothing more can be done from here.
            drop(self);
        }
    }

    fn signal(&self, signal: Signal) {
        // The only answer that can come is that nobody is left.
        kill_process_group(self.0, signal).ok();
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
        live().retain(|id| *id != self.0);
    }
}

/// The groups of all children that run.
static LIVE: Mutex<Vec<Pid>> = Mutex::new(Vec::new());

fn live() -> MutexGuard<'static, Vec<Pid>> {
    LIVE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Kills every child and what it started, for a process that is about to exit without unwinding.
pub fn kill_children() {
    for id in live().drain(..) {
        // The only answer that can come is that nobody is left.
        kill_process_group(id, Signal::KILL).ok();
    }
}

struct Pump<'a> {
    name: &'a str,
    exited: &'a AtomicBool,
    stall: Option<(Duration, String)>,
    bytes: u64,
    longest_stall: Duration,
}

impl Pump<'_> {
    async fn run(
        &mut self,
        stdout: &mut tokio::process::ChildStdout,
        out: &mut FrameSender,
        cx: &Context,
    ) -> Result<()> {
        let mut buffer = BytesMut::new();
        loop {
            buffer.reserve(READ);
            let mut open = self.fill(stdout, &mut buffer).await?;
            if open && buffer.len() < SMALL {
                tokio::time::sleep(LINGER).await;
                open = take_what_is_there(stdout, &mut buffer).await.map_err(|error| self.broken(error))?;
            }
            if !buffer.is_empty() {
                self.bytes += buffer.len() as u64;
                self.send(buffer.split().freeze(), out, cx).await?;
            }
            if !open {
                return Ok(());
            }
        }
    }

    /// Waits for something to read and takes what there is; false at the end.
    async fn fill(&self, stdout: &mut tokio::process::ChildStdout, buffer: &mut BytesMut) -> Result<bool> {
        loop {
            match tokio::time::timeout(LEFTOVER, stdout.read_buf(buffer)).await {
                Ok(Ok(0)) => return Ok(false),
                Ok(Ok(_)) => {
                    return take_what_is_there(stdout, buffer).await.map_err(|error| self.broken(error));
                }
                Ok(Err(error)) => return Err(self.broken(error)),
                // Nothing came for a while. That is only wrong when the program itself is gone.
                Err(_) if self.exited.load(Ordering::Relaxed) => {
                    return Err(Error::source(format!(
                        "{} ended, but something that it started still holds its output open",
                        self.name
                    ))
                    .of_kind(Kind::Truncated)
                    .hint("let the command wait for everything that it starts in the background"));
                }
                Err(_) => {}
            }
        }
    }

    async fn send(&mut self, data: Bytes, out: &mut FrameSender, cx: &Context) -> Result<()> {
        let since = Instant::now();
        {
            let sending = out.send(data);
            tokio::pin!(sending);
            if let Some((limit, text)) = &self.stall {
                if let Ok(result) = tokio::time::timeout(*limit, &mut sending).await {
                    result?;
                } else {
                    cx.warn(text);
                    self.stall = None;
                    sending.await?;
                }
            } else {
                sending.await?;
            }
        }
        self.longest_stall = self.longest_stall.max(since.elapsed());
        Ok(())
    }

    fn broken(&self, error: std::io::Error) -> Error {
        Error::source(format!("the output of {} cannot be read", self.name)).caused_by(error)
    }
}

/// Reads until the pipe is empty or the buffer full, without waiting; false at the end.
async fn take_what_is_there<R: AsyncRead + Unpin>(
    pipe: &mut R,
    buffer: &mut BytesMut,
) -> std::io::Result<bool> {
    std::future::poll_fn(|task| {
        while buffer.len() < buffer.capacity() {
            match poll_read_buf(std::pin::Pin::new(&mut *pipe), task, buffer) {
                std::task::Poll::Ready(Ok(0)) => return std::task::Poll::Ready(Ok(false)),
                std::task::Poll::Ready(Ok(_)) => {}
                std::task::Poll::Ready(Err(error)) => return std::task::Poll::Ready(Err(error)),
                std::task::Poll::Pending => break,
            }
        }
        std::task::Poll::Ready(Ok(true))
    })
    .await
}
