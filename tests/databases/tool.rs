//! Runs the built program against a server, with the server's own clients first in `PATH`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use test_servers::{MySqlServer, PostgresServer};

/// A folder of the test's own, and the clients of one server.
pub(crate) struct Tool {
    dir: tempfile::TempDir,
    clients: PathBuf,
}

impl Tool {
    pub(crate) fn new(clients: &Path) -> Self {
        Self { dir: tempfile::tempdir().unwrap(), clients: clients.to_owned() }
    }

    pub(crate) fn mysql(server: &MySqlServer) -> Self {
        Self::new(server.client_dir())
    }

    pub(crate) fn postgres(server: &PostgresServer) -> Self {
        Self::new(server.client_dir())
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.dir.path()).unwrap();
        let mut names: Vec<String> =
            entries.map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    /// The program; `$DB` is `url`, which `env:DB` names, so that no password stands in the arguments.
    pub(crate) fn command(&self, url: &str, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dbferry"));
        let inherited = std::env::var("PATH").unwrap_or_default();
        command
            .args(args)
            .current_dir(self.path())
            .env_clear()
            .env("PATH", format!("{}:{inherited}", self.clients.display()))
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

    /// The archive decompressed by the stock tool that its ending names, for a stock client to read.
    pub(crate) fn unpacked(&self, archive: &str) -> fs::File {
        let tool = match archive.rsplit_once('.').map(|(_, ending)| ending) {
            Some("zst") => "zstd",
            Some("gz") => "gzip",
            Some("lz4") => "lz4",
            _ => return fs::File::open(self.join(archive)).unwrap(),
        };
        let plain = self.join("unpacked");
        let status = Command::new(tool)
            .arg("-dc")
            .stdin(fs::File::open(self.join(archive)).unwrap())
            .stdout(fs::File::create(&plain).unwrap())
            .status()
            .unwrap();
        assert!(status.success(), "{tool} -dc {archive}");
        fs::File::open(plain).unwrap()
    }

    /// The manifest and the text of an archive, one stream or many uncompressed files.
    pub(crate) fn archive(&self, name: &str) -> (serde_json::Value, String) {
        let root = self.join(name);
        if root.is_file() {
            return (self.manifest(name), fs::read_to_string(root).unwrap());
        }
        let manifest: serde_json::Value =
            serde_json::from_slice(&fs::read(root.join("manifest.json")).unwrap()).unwrap();
        let parts = manifest["parts"].as_array().unwrap();
        let texts = parts.iter().map(|part| fs::read(root.join(part["path"].as_str().unwrap())).unwrap());
        let text = String::from_utf8_lossy(&texts.collect::<Vec<_>>().concat()).into_owned();
        (manifest, text)
    }

    pub(crate) fn manifest(&self, archive: &str) -> serde_json::Value {
        serde_json::from_slice(&fs::read(self.join(&format!("{archive}.manifest.json"))).unwrap()).unwrap()
    }
}
