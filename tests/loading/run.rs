//! One load, from whatever to whatever.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use crate::tool::Tool;

/// Runs `copy SOURCE env:OTHER …` with `$DB` and `$OTHER`, and `input` on standard input.
pub(crate) fn copy(tool: &Tool, source: &str, from: &str, to: &str, more: &[&str], input: &[u8]) -> Output {
    let mut args = vec!["copy", source, "env:OTHER"];
    args.extend(more);
    let mut command: Command = tool.command(from, &args);
    command.env("OTHER", to).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A run that refuses closes its end before it has read everything.
    child.stdin.take().unwrap().write_all(input).ok();
    child.wait_with_output().unwrap()
}

pub(crate) fn expect(code: i32, output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{said}");
    said
}
