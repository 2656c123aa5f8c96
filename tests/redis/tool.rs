//! Runs the built program in a folder of the test's own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use test_servers::s3::{ACCESS_KEY, SECRET_KEY};

/// A folder of the test's own, and the keys of a store.
pub(crate) struct Tool(tempfile::TempDir, [String; 2]);

impl Tool {
    pub(crate) fn new() -> Self {
        Self::with_keys(ACCESS_KEY, SECRET_KEY)
    }

    pub(crate) fn with_keys(id: &str, secret: &str) -> Self {
        Self(tempfile::tempdir().unwrap(), [id.to_owned(), secret.to_owned()])
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path()).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    /// The program; `env:DB` stands for `url`, so that no password is in the arguments.
    pub(crate) fn command(&self, url: &str, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dbferry"));
        command
            .args(args)
            .current_dir(self.path())
            .env_clear()
            .env("PATH", std::env::var("PATH").unwrap_or_default())
            .env("AWS_ACCESS_KEY_ID", &self.1[0])
            .env("AWS_SECRET_ACCESS_KEY", &self.1[1])
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("DB", url)
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn output(&self, url: &str, args: &[&str]) -> Output {
        self.command(url, args).output().unwrap()
    }

    /// Runs it and asserts the exit code; returns what it said.
    pub(crate) fn expect(&self, code: i32, url: &str, args: &[&str]) -> String {
        let output = self.output(url, args);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
        said
    }

    pub(crate) fn manifest(&self, archive: &str) -> serde_json::Value {
        serde_json::from_slice(&fs::read(self.join(&format!("{archive}.manifest.json"))).unwrap()).unwrap()
    }
}
