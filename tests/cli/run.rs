//! Runs the built program in a folder of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A folder that goes when the test ends, also when it panics.
pub(crate) struct Place {
    dir: tempfile::TempDir,
}

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ended {
    pub(crate) fn of(output: &Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Asserts the exit code, and shows what was said when it is another.
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:#?}");
        self
    }

    /// Asserts that an error names all of these.
    pub(crate) fn says(self, words: &[&str]) -> Self {
        for word in words {
            assert!(self.err.contains(word), "`{word}` is missing in: {}", self.err);
        }
        self
    }
}

impl Place {
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, data: impl AsRef<[u8]>) -> PathBuf {
        let path = self.join(name);
        fs::write(&path, data).unwrap();
        path
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.join(name)).unwrap()
    }

    pub(crate) fn manifest(&self, name: &str) -> serde_json::Value {
        serde_json::from_slice(&self.read(&format!("{name}.manifest.json"))).unwrap()
    }

    /// Every name in the folder, hidden ones too.
    pub(crate) fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    /// The program with these arguments, in this folder, with a bare environment.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dbferry"));
        command
            .args(args)
            .current_dir(self.dir.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Ended {
        Ended::of(&self.command(args).output().unwrap())
    }
}

/// A dump as `mariadb-dump` writes it, with about `rows` rows.
pub(crate) fn mysql_dump(rows: usize) -> Vec<u8> {
    let mut dump = b"/*M!999999\\- enable the sandbox mode */ \n-- MariaDB dump 10.19  Distrib 10.11.19-MariaDB\n\
        /*!40101 SET NAMES utf8mb4 */;\nDROP TABLE IF EXISTS `t`;\nCREATE TABLE `t` (`a` int, `b` text) ENGINE=InnoDB;\n"
        .to_vec();
    for row in 0..rows {
        let end = if row % 50 == 49 || row + 1 == rows { ";\n" } else { "," };
        if row % 50 == 0 {
            dump.extend_from_slice(b"INSERT INTO `t` VALUES ");
        }
        dump.extend_from_slice(format!("({row},'it''s \\'row\\' {row}; DEFINER=`a`@`b`'){end}").as_bytes());
    }
    dump.extend_from_slice(
        b"/*!50001 CREATE ALGORITHM=UNDEFINED */\n/*!50013 DEFINER=`root`@`localhost` SQL SECURITY DEFINER */\n\
          /*!50001 VIEW `v` AS select 1 AS `1` */;\n-- Dump completed on 2026-11-20  1:02:03\n",
    );
    dump
}

/// A dump as `pg_dump` writes it.
pub(crate) fn postgres_dump(rows: usize) -> Vec<u8> {
    let mut dump = b"--\n-- PostgreSQL database dump\n--\n\n\\restrict abcDEF123\n\n-- Dumped from database version 15.18\n\
        SET statement_timeout = 0;\nCREATE TABLE public.t (a integer, b text);\nALTER TABLE public.t OWNER TO joe;\n\
        COPY public.t (a, b) FROM stdin;\n"
        .to_vec();
    for row in 0..rows {
        dump.extend_from_slice(format!("{row}\trow\\t{row} OWNER TO joe;\n").as_bytes());
    }
    dump.extend_from_slice(
        b"\\.\n\n\n--\n-- PostgreSQL database dump complete\n--\n\n\\unrestrict abcDEF123\n\n",
    );
    dump
}
