//! Commands around a copy.

use std::time::Duration;

use pipeline::{Error, Kind, Result};
use tokio_util::sync::CancellationToken;

use super::child::{self, Stop};
use super::config::{Command, Hooks};
use crate::cli::time;

/// How long a hook may take, unless the job says otherwise.
const TIMEOUT: Duration = Duration::from_secs(300);

/// Runs a hook; what it fails with is told as `what`.
pub(super) async fn run(
    hook: Option<&Command>,
    hooks: &Hooks,
    what: &str,
    job: &str,
    facts: &[(&str, String)],
    quiet: bool,
    cancel: &CancellationToken,
) -> Result<()> {
    let Some(hook) = hook else { return Ok(()) };
    let mut command = match hook {
        Command::Line(line) => {
            let mut shell = tokio::process::Command::new("sh");
            shell.arg("-c").arg(line);
            shell
        }
        Command::Argv(argv) => {
            let Some((program, arguments)) = argv.split_first() else { return Ok(()) };
            let mut command = tokio::process::Command::new(program);
            command.args(arguments);
            command
        }
    };
    command.env("DBFERRY_JOB", job);
    for (name, value) in facts {
        command.env(name, value);
    }
    let timeout = hooks.timeout.as_deref().map_or(Ok(TIMEOUT), |text| time::parse("hooks.timeout", text))?;
    let (ended, stop) = child::run(command, &format!("{job} ({what})"), quiet, Some(timeout), cancel).await?;
    let last = ended.tail.last().cloned().unwrap_or_default();
    match stop {
        Some(Stop::Timeout) => Err(Error::source(format!("the hook `{what}` took longer than it may"))
            .with("job", job)
            .with("seconds", timeout.as_secs())
            .hint("hooks = { timeout = \"10m\" } allows for more")),
        Some(Stop::Cancelled) => Err(Error::cancelled()),
        None if ended.code == 0 => Ok(()),
        // A hook may say that it is worth another try, as any command.
        None => {
            let kind = if ended.code == 75 { Kind::Temporary } else { Kind::Failed };
            let error = Error::source(format!("the hook `{what}` failed")).of_kind(kind);
            Err(error.with("job", job).with("status", ended.code).with("last line", last))
        }
    }
}
