//! Runs the built program with the keys of a store in its environment.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use test_servers::s3::{ACCESS_KEY, SECRET_KEY};

/// A folder of the test's own, and the keys of a store.
pub(crate) struct Tool {
    dir: tempfile::TempDir,
    keys: (String, String),
}

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Tool {
    pub(crate) fn new() -> Self {
        Self::with_keys(ACCESS_KEY, SECRET_KEY)
    }

    pub(crate) fn with_keys(id: &str, secret: &str) -> Self {
        Self { dir: tempfile::tempdir().unwrap(), keys: (id.to_owned(), secret.to_owned()) }
    }

    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, data: impl AsRef<[u8]>) -> PathBuf {
        let path = self.join(name);
        std::fs::write(&path, data).unwrap();
        path
    }

    pub(crate) fn read(&self, name: impl AsRef<Path>) -> Vec<u8> {
        std::fs::read(self.dir.path().join(name)).unwrap()
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dbferry"));
        command
            .args(args)
            .current_dir(self.dir.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.dir.path())
            .env("AWS_ACCESS_KEY_ID", &self.keys.0)
            .env("AWS_SECRET_ACCESS_KEY", &self.keys.1)
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Ended {
        let output = self.command(args).output().unwrap();
        let ended = Ended {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        };
        assert!(
            !ended.out.contains(&self.keys.1) && !ended.err.contains(&self.keys.1),
            "a secret: {ended:?}"
        );
        ended
    }

    /// Runs it and asserts the exit code; returns everything that was said.
    pub(crate) fn expect(&self, code: i32, args: &[&str]) -> String {
        let ended = self.run(args);
        assert_eq!(ended.code, code, "{args:?}: {ended:?}");
        ended.err + &ended.out
    }
}

/// A dump as `mariadb-dump` writes it, with rows that do not compress well.
pub(crate) fn dump(rows: usize) -> Vec<u8> {
    let mut dump =
        b"-- MariaDB dump 10.19  Distrib 10.11.19-MariaDB\nCREATE TABLE `t` (`a` int, `b` text);\n".to_vec();
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    for row in 0..rows {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        dump.extend_from_slice(
            format!(
                "INSERT INTO `t` VALUES ({row},'{state:016x}{:016x}');\n",
                state.wrapping_mul(row as u64 | 1)
            )
            .as_bytes(),
        );
    }
    dump.extend_from_slice(b"-- Dump completed on 2026-11-20  1:02:03\n");
    dump
}
