//! A process of a job: its words pass on with the job's name in front, its end is waited for, and it never outlives its time.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use pipeline::{Error, Result};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, BufReader};
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

use crate::cli::render;

/// How long a process that was told to end may take: it removes what it staged, and aborts its uploads.
const GRACE: Duration = Duration::from_secs(45);

/// Lines of its words that are kept for a notification.
const TAIL: usize = 30;

/// A summary has some hundred KiB for ten thousand parts; what has more is no summary.
const OUTPUT_MAX: u64 = 64 << 20;

/// How a process ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: u8,
    pub(crate) output: Vec<u8>,
    pub(crate) tail: Vec<String>,
}

/// Why a process was told to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Its own time was over.
    Timeout,
    /// The whole run was told to end, or its time was over.
    Cancelled,
}

/// Runs it to its end. `Err(Stop)` inside when it was told to end and did.
pub(crate) async fn run(
    mut command: Command,
    label: &str,
    quiet: bool,
    timeout: Option<Duration>,
    cancel: &CancellationToken,
) -> Result<(Ended, Option<Stop>)> {
    // A group of its own: what it starts ends with it, and a Ctrl-C in the terminal comes from here.
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    let program = command.as_std().get_program().to_owned();
    let mut child = command.spawn().map_err(|error| {
        Error::usage(format!("cannot start `{}`", OsStr::display(&program)))
            .with("job", label)
            .caused_by(error)
    })?;
    let group = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let tail = tokio::spawn(listen(stderr, label.to_owned(), quiet));
    let output = tokio::spawn(async move {
        let mut output = Vec::new();
        if let Some(stdout) = stdout {
            stdout.take(OUTPUT_MAX).read_to_end(&mut output).await?;
        }
        std::io::Result::Ok(output)
    });
    let over = async {
        match timeout {
            Some(timeout) => tokio::time::sleep(timeout).await,
            None => std::future::pending().await,
        }
    };
    let stop = tokio::select! {
        status = child.wait() => Ok(status),
        () = over => Err(Stop::Timeout),
        () = cancel.cancelled() => Err(Stop::Cancelled),
    };
    let failed = |error| Error::bug("cannot wait for a process").caused_by(error);
    let (status, stop) = match stop {
        Ok(status) => (status.map_err(failed)?, None),
        Err(stop) => {
            signal(group, Signal::TERM);
            let status = if let Ok(status) = tokio::time::timeout(GRACE, child.wait()).await {
                status
            } else {
                signal(group, Signal::KILL);
                child.wait().await
            };
            (status.map_err(failed)?, Some(stop))
        }
    };
    // What it started and left behind would hold the pipes open.
    signal(group, Signal::KILL);
    let tail = tail.await.map_err(|e| Error::bug("a listener panicked").caused_by(e))?;
    let output = output.await.map_err(|e| Error::bug("a reader panicked").caused_by(e))?;
    let output = output.map_err(|e| Error::source("cannot read what a process says").caused_by(e))?;
    Ok((Ended { code: code(status), output, tail }, stop))
}

/// A group that is gone is what was wanted.
fn signal(group: Option<Pid>, signal: Signal) {
    if let Some(group) = group {
        kill_process_group(group, signal).ok();
    }
}

fn code(status: ExitStatus) -> u8 {
    use std::os::unix::process::ExitStatusExt as _;
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}

async fn listen(stream: Option<impl AsyncRead + Unpin>, label: String, quiet: bool) -> Vec<String> {
    let mut tail = VecDeque::new();
    let Some(stream) = stream else { return Vec::new() };
    let mut reader = BufReader::new(stream);
    let mut line = Vec::new();
    loop {
        line.clear();
        // A line without an end must not fill the memory.
        let read = (&mut reader).take(64 << 10).read_until(b'\n', &mut line).await;
        if !matches!(read, Ok(bytes) if bytes > 0) {
            return tail.into();
        }
        let text = String::from_utf8_lossy(&line).trim_end().to_owned();
        if !quiet {
            render::say(&format!("{label}: {text}"));
        }
        if tail.len() == TAIL {
            tail.pop_front();
        }
        tail.push_back(text);
    }
}
