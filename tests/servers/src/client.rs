//! Runs a stock client: script in, lines out, its own words in the error.

use std::io::{BufRead, BufReader, Read, Write, copy};
use std::process::{Command, Stdio};

use crate::daemon::tail;
use crate::error::{Context, Error, Result};

/// Feeds `input` to the client and hands each line of its output, without the line feed, to `line`.
///
/// All three pipes are served at once: a client that complains about every statement fills its stderr
/// while it still has a script to read.
pub(crate) fn run(
    mut command: Command,
    mut input: impl Read + Send,
    mut line: impl FnMut(&[u8]),
) -> Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context(format!("running {name}"))?;
    let (Some(mut stdin), Some(stdout), Some(mut stderr)) =
        (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Err(Error::new(format!("{name} has no pipes")));
    };
    let (fed, said) = std::thread::scope(|scope| {
        let feeder = scope.spawn(move || copy(&mut input, &mut stdin).and_then(|_| stdin.flush()));
        let listener = scope.spawn(move || {
            let mut said = Vec::new();
            stderr.read_to_end(&mut said).map(|_| said)
        });
        let mut reader = BufReader::with_capacity(1 << 16, stdout);
        let mut buffer = Vec::new();
        loop {
            buffer.clear();
            match reader.read_until(b'\n', &mut buffer) {
                Ok(0) => break,
                Ok(_) => line(buffer.strip_suffix(b"\n").unwrap_or(&buffer)),
                Err(error) => return (Err(error), Ok(Vec::new())),
            }
        }
        (join(feeder.join()), join(listener.join()))
    });
    let status = child.wait()?;
    let said = said.context(format!("reading what {name} says"))?;
    if !status.success() {
        return Err(Error::new(format!("{name} ended with {status}: {}", tail(&said))));
    }
    fed.context(format!("feeding {name}"))?;
    Ok(())
}

fn join<T>(joined: std::thread::Result<std::io::Result<T>>) -> std::io::Result<T> {
    joined.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
