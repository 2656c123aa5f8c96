//! Any command's standard output.
//!
//! Its exit status is part of success. A shell line runs under `bash -o pipefail` where bash exists, because without that
//! `mysqldump … | gzip` reports gzip's success for mysqldump's failure: the commonest way in which backups turn out to be empty.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Stdio;

use async_trait::async_trait;
use pipeline::{Context, Error, Format, FrameSender, Part, Reader, Result, Source, SourceInfo};
use tokio::process::Command;

use crate::{child, programs, whole};

#[cfg(test)]
mod tests;

/// A command as a source.
#[derive(Debug, Clone)]
pub struct CommandSource {
    what: What,
    format: Option<Format>,
    allow_empty: bool,
    taken: bool,
}

#[derive(Debug, Clone)]
enum What {
    Line(String),
    Argv(Vec<OsString>),
}

impl CommandSource {
    /// A line for the shell: `bash -o pipefail`, or `/bin/sh` where there is no bash.
    pub fn shell(line: impl Into<String>) -> Result<Self> {
        let line = line.into();
        if line.trim().is_empty() {
            return Err(Error::usage("cmd: has no command").hint("write cmd:COMMAND LINE"));
        }
        Ok(Self::new(What::Line(line)))
    }

    /// A program and its arguments, without a shell.
    pub fn argv(argv: Vec<OsString>) -> Result<Self> {
        if argv.first().is_none_or(|program| program.is_empty()) {
            return Err(Error::usage("there is no command after --"));
        }
        Ok(Self::new(What::Argv(argv)))
    }

    fn new(what: What) -> Self {
        Self { what, format: None, allow_empty: false, taken: false }
    }

    /// Says what the command prints; otherwise the content tells.
    #[must_use]
    pub fn with_format(mut self, format: Option<Format>) -> Self {
        self.format = format;
        self
    }

    /// Takes an empty output for a success. By default it is an error.
    #[must_use]
    pub fn allow_empty(mut self, allow: bool) -> Self {
        self.allow_empty = allow;
        self
    }

    /// The name of the program. Never more: arguments and assignments are where people put passwords.
    fn name(&self) -> String {
        let word = match &self.what {
            What::Line(line) => line
                .split_whitespace()
                .find(|word| !word.contains('='))
                .unwrap_or("shell")
                .trim_matches(|c: char| !c.is_alphanumeric())
                .to_owned(),
            What::Argv(argv) => {
                argv.first().map(|word| word.to_string_lossy().into_owned()).unwrap_or_default()
            }
        };
        word.rsplit('/').next().unwrap_or_default().to_owned()
    }

    fn command(&self, cx: &Context) -> Result<Command> {
        match &self.what {
            What::Argv(argv) => {
                let Some((program, arguments)) = argv.split_first() else {
                    return Err(Error::bug("an empty command was let through"));
                };
                let mut command = Command::new(program);
                command.args(arguments);
                Ok(command)
            }
            What::Line(line) => {
                if let Some(bash) = programs::find("bash") {
                    let mut command = Command::new(bash);
                    command.args(["-o", "pipefail", "-c"]).arg(line);
                    return Ok(command);
                }
                if line.contains('|') {
                    cx.warn("there is no bash here, and a failure inside a pipe of the command stays hidden");
                }
                let mut command = Command::new("/bin/sh");
                command.arg("-c").arg(line);
                Ok(command)
            }
        }
    }
}

#[async_trait]
impl Source for CommandSource {
    fn endpoint(&self) -> String {
        format!("cmd:{} …", self.name())
    }

    async fn probe(&mut self, _: &Context) -> Result<SourceInfo> {
        if let What::Argv(argv) = &self.what
            && let Some(program) = argv.first()
            && programs::find(program).is_none()
        {
            return Err(Error::source(format!("{}: no such program", PathBuf::from(program).display()))
                .hint("look at PATH, or give the program's full path"));
        }
        Ok(SourceInfo { endpoint: self.endpoint(), kind: "command".to_owned(), ..SourceInfo::default() })
    }

    async fn next_part(&mut self, _: &Context) -> Result<Option<Part>> {
        if std::mem::replace(&mut self.taken, true) {
            return Ok(None);
        }
        Ok(Some(whole(self.format, None, Box::new(CommandReader(self.clone())))))
    }

    async fn finish(self: Box<Self>, _: &Context) -> Result<BTreeMap<String, String>> {
        Ok(BTreeMap::new())
    }
}

struct CommandReader(CommandSource);

#[async_trait]
impl Reader for CommandReader {
    fn memory(&self) -> usize {
        child::MEMORY
    }

    async fn read(self: Box<Self>, out: &mut FrameSender, cx: &Context) -> Result<()> {
        let program = child::Program {
            name: self.0.name(),
            command: self.0.command(cx)?,
            stdin: Stdio::null(),
            stall: None,
        };
        let ended = child::stream(program, out, cx).await?;
        ended.check(cx)?;
        if ended.bytes == 0 && !self.0.allow_empty {
            return Err(Error::source(format!("{} succeeded but wrote nothing", ended.name))
                .hint("run the command by hand; --allow-empty accepts an empty output"));
        }
        Ok(())
    }
}
