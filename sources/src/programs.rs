//! Finds client programs and asks them what they are.

use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use pipeline::{Error, Result};
use tokio::process::Command;

/// A client that takes longer to print its help is broken.
const PATIENCE: Duration = Duration::from_secs(20);

/// Where the shell would find the program; a name with a slash is a path.
pub(crate) fn find(name: impl AsRef<OsStr>) -> Option<PathBuf> {
    let name = Path::new(name.as_ref());
    if name.components().count() > 1 {
        return is_program(name).then(|| name.to_owned());
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(name)).find(|candidate| is_program(candidate))
}

fn is_program(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// What the program prints on stdout for these arguments. A failure is an error.
pub(crate) async fn ask(program: &Path, arguments: &[&str]) -> Result<String> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(PATIENCE, command.output())
        .await
        .map_err(|_| Error::source(format!("{} does not answer", program.display())))?
        .map_err(|error| Error::source(format!("{} cannot be run", program.display())).caused_by(error))?;
    if !output.status.success() {
        return Err(Error::source(format!("{} {} failed", program.display(), arguments.join(" ")))
            .with("status", crate::child::describe(output.status))
            .caused_by(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
