//! What a run is made with, as options of `dbferry copy`: the command line that is recommended in the end is the one that was measured.

use clap::CommandFactory as _;
use clap::Parser as _;
use clap::parser::ValueSource;
use pipeline::endpoint::Engine;
use pipeline::{Error, Result};
use serde::Serialize;
use transforms::codec::{Codec, Compression};

use super::super::args::{BenchArgs, Cli, Command, CopyArgs, LayoutArg};
use super::super::endpoint::{From, To, resolve};
use super::super::{copy, engine};

/// What differs between runs. `None` is what `copy` does by itself, or what the user fixed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(super) struct Setting {
    pub(super) readers: Option<usize>,
    pub(super) compress: Option<String>,
    pub(super) part_size: Option<u64>,
}

impl Setting {
    fn options(&self) -> Vec<String> {
        let mut options = Vec::new();
        let mut add = |flag: &str, value: Option<String>| {
            options.extend(value.map(|value| [flag.to_owned(), value]).into_iter().flatten());
        };
        add("--readers", self.readers.map(|readers| readers.to_string()));
        add("--compress", self.compress.clone());
        options
    }

    /// For people: `4 readers, zstd:3`.
    pub(super) fn label(&self) -> String {
        let mut words = Vec::new();
        words.extend(
            self.readers.map(|n| if n == 1 { "1 reader".to_owned() } else { format!("{n} readers") }),
        );
        words.extend(
            self.compress
                .as_ref()
                .map(|name| if name == "none" { "no compression".to_owned() } else { name.clone() }),
        );
        words.extend(self.part_size.map(|bytes| format!("parts of {} MiB", bytes >> 20)));
        if words.is_empty() { "as given".to_owned() } else { words.join(", ") }
    }
}

/// What the user asked for.
#[derive(Debug)]
pub(super) struct Asked {
    source: String,
    dest: Option<String>,
    options: Vec<String>,
    pub(super) from: From,
    pub(super) args: CopyArgs,
    /// Numbers of readers to try; none where there is nothing to choose.
    pub(super) readers: Vec<usize>,
    pub(super) compressions: Vec<String>,
    pub(super) part_sizes: Vec<u64>,
}

impl Asked {
    /// Works out what was typed. `brief` is for a time in which not everything can be tried.
    pub(super) fn new(bench: &BenchArgs, brief: bool) -> Result<Self> {
        let mut words = vec!["dbferry".to_owned(), "copy".to_owned(), bench.source.clone()];
        words.extend(bench.copy.iter().cloned());
        let refuse = |why: &str| {
            Error::usage(format!("`{}`: {why}", bench.copy.join(" ")))
                .hint("behind `--` stand options of `dbferry copy`, such as `-- --for rds-mysql --readers 4`")
        };
        let from = From::parse(&bench.source)?;
        if matches!(from, From::Stdin) {
            return Err(Error::usage("standard input can be read once, and is measured several times")
                .hint("write it to a file, or give the command as `cmd:COMMAND LINE`"));
        }
        let first_line = |error: &clap::Error| {
            let text = error.to_string();
            text.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned()
        };
        let matches =
            Cli::command().try_get_matches_from(&words).map_err(|error| refuse(&first_line(&error)))?;
        let typed = |id: &str| {
            let copy = matches.subcommand_matches("copy");
            copy.and_then(|copy| copy.value_source(id)) == Some(ValueSource::CommandLine)
        };
        let args = parse(&words).map_err(|error| refuse(&first_line(&error)))?;
        if args.endpoints.len() != 1 || !args.command.is_empty() {
            return Err(refuse("no SOURCE or DEST"));
        }
        for (given, flag) in [
            (args.dry_run, "--dry-run"),
            (args.resume, "--resume"),
            (args.verify.is_some(), "--verify"),
            (args.redis.shards.is_some(), "--shards"),
            (args.source.layout == LayoutArg::Directory, "--layout directory"),
            (!args.keep_going.is_empty(), "--keep-going"),
            (args.output.json || args.output.quiet || args.output.verbose, "an option of the output"),
        ] {
            if given {
                return Err(refuse(&format!("{flag} is nothing that can be measured")));
            }
        }
        match bench.dest.as_deref().map(To::parse).transpose()? {
            Some(To::Database(url)) => {
                return Err(Error::usage(format!("`{url}` is a database, and bench writes into none"))
                    .hint("leave DEST out, or give a file, a folder, pvc:// or s3://"));
            }
            Some(To::Stdout) => {
                return Err(Error::usage("standard output cannot be written to again and again")
                    .hint("leave DEST out, or give a file, a folder, pvc:// or s3://"));
            }
            _ => {}
        }
        let engine = match &from {
            From::Database(url) => Some(url.engine),
            _ => None,
        };
        let native = matches!(engine, Some(Engine::Mysql | Engine::Postgres))
            && engine::memory(&from, &args.source)?.is_some();
        let readers: &[usize] = match (native && !typed("readers"), brief) {
            (false, _) => &[],
            (true, true) => &[1, 2, 4],
            (true, false) => &[1, 2, 4, 8],
        };
        let compressions: &[&str] = match (args.compress.is_some(), brief) {
            (true, _) => &[],
            (false, true) => &["none", "lz4", "gzip:1", "zstd:3"],
            (false, false) => &["none", "lz4", "gzip:1", "gzip:6", "zstd:1", "zstd:3", "zstd:9"],
        };
        let parts = match bench.dest.as_deref().map(To::parse).transpose()? {
            Some(To::S3(url)) if url.part_size.is_none() && !brief => vec![8 << 20, 16 << 20],
            _ => Vec::new(),
        };
        Ok(Self {
            source: bench.source.clone(),
            dest: bench.dest.clone(),
            options: bench.copy.clone(),
            from,
            readers: readers.to_vec(),
            compressions: compressions.iter().map(|&name| name.to_owned()).collect(),
            part_sizes: parts,
            args,
        })
    }

    pub(super) fn has_destination(&self) -> bool {
        self.dest.is_some()
    }

    /// DEST as it was typed, without secrets.
    pub(super) fn destination(&self) -> Option<String> {
        self.dest.clone()
    }

    /// What `copy` would have been given for this setting, without a destination.
    pub(super) fn args_for(&self, setting: &Setting) -> Result<CopyArgs> {
        let mut words = vec!["dbferry".to_owned(), "copy".to_owned(), self.source.clone()];
        words.extend(self.options.iter().cloned());
        words.extend(setting.options());
        parse(&words).map_err(|error| Error::bug("an option that was measured is none").caused_by(error))
    }

    /// The compression of a setting.
    pub(super) fn compression(&self, setting: &Setting) -> Result<Compression> {
        copy::compression(&self.args_for(setting)?, "")
    }

    /// The address that is written to: beside the one that was named, under a name that nobody has.
    pub(super) fn beside(&self, setting: &Setting, id: &str) -> Result<Option<String>> {
        let Some(dest) = &self.dest else { return Ok(None) };
        let typed = resolve(dest)?;
        let encrypted = !self.args.encrypt_to.is_empty() || self.args.encrypt_passphrase_file.is_some();
        let name = format!("dbferry-bench-{id}{}", if encrypted { copy::ENCRYPTED } else { "" });
        let (path, query) = split_query(&typed);
        let folder = path.ends_with('/')
            || matches!(To::parse(&typed)?, To::Path(path) if std::path::Path::new(&path).is_dir());
        let place = if folder {
            format!("{}/", path.trim_end_matches('/'))
        } else {
            let from = path.find("://").map_or(0, |at| at + 3);
            // `s3://bucket` has no key, and its name is no key's.
            let bucket_only = path.starts_with("s3://") && !path[from..].contains('/');
            match path[from..].rfind('/') {
                Some(at) => path[..=from + at].to_owned(),
                None if bucket_only => format!("{path}/"),
                None => String::new(),
            }
        };
        Ok(Some(format!("{place}{name}{}", with_part_size(query, setting))))
    }

    /// What to type for a copy with this setting. Without passwords, whatever was typed.
    pub(super) fn command(&self, setting: &Setting) -> String {
        let shown = |typed: &str, display: Option<String>| match display {
            Some(display) if !typed.starts_with("env:") => display,
            _ => typed.to_owned(),
        };
        let source = match &self.from {
            // Asterisks are no password: it comes from where `copy` finds one.
            From::Database(url) => shown(&self.source, Some(url.to_string().replacen(":****@", "@", 1))),
            From::S3(url) => shown(&self.source, Some(url.to_string())),
            _ => self.source.clone(),
        };
        let dest = self.dest.as_ref().map_or_else(|| "DEST".to_owned(), |dest| Self::renamed(dest, setting));
        let mut words = vec!["dbferry".to_owned(), "copy".to_owned(), source, dest];
        words.extend(self.options.iter().cloned());
        words.extend(setting.options());
        words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
    }

    /// DEST with the ending of the setting's compression, where it has another one.
    fn renamed(dest: &str, setting: &Setting) -> String {
        let (path, query) = split_query(dest);
        let mut path = path.to_owned();
        // A folder, and what stands elsewhere, have no ending.
        let unnamed = path.ends_with('/') || dest.starts_with("env:");
        if let (Some(compress), false) = (&setting.compress, unnamed) {
            let (stem, age) = path
                .strip_suffix(copy::ENCRYPTED)
                .map_or((path.as_str(), ""), |stem| (stem, copy::ENCRYPTED));
            let codec = compress.parse::<Compression>().map_or(Codec::None, |compression| compression.codec);
            let there = Codec::of_file_name(stem);
            let is_folder = std::path::Path::new(stem).is_dir();
            if there != codec && !is_folder && !(there == Codec::None && codec == Codec::None) {
                let bare =
                    if there == Codec::None { stem } else { &stem[..stem.len() - there.extension().len()] };
                path = format!("{bare}{}{age}", codec.extension());
            }
        }
        format!("{path}{}", with_part_size(query, setting))
    }
}

fn parse(words: &[String]) -> std::result::Result<CopyArgs, clap::Error> {
    match Cli::try_parse_from(words)?.command {
        Command::Copy(args) => Ok(*args),
        _ => Err(clap::Error::new(clap::error::ErrorKind::InvalidSubcommand)),
    }
}

/// The parameters of an S3 address, with their question mark. A file's name may hold one.
fn split_query(address: &str) -> (&str, &str) {
    match address.find('?') {
        Some(at) if address.starts_with("s3://") => address.split_at(at),
        _ => (address, ""),
    }
}

fn with_part_size(query: &str, setting: &Setting) -> String {
    match setting.part_size {
        None => query.to_owned(),
        Some(bytes) => {
            let sign = if query.is_empty() { '?' } else { '&' };
            format!("{query}{sign}part_size={}MiB", bytes >> 20)
        }
    }
}

/// A word for a shell.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@=,+%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(words: &[&str]) -> Result<Asked> {
        let words = ["dbferry", "bench"].iter().chain(words);
        match Cli::try_parse_from(words).unwrap().command {
            Command::Bench(args) => Asked::new(&args, false),
            _ => unreachable!(),
        }
    }

    fn zstd() -> Setting {
        Setting { compress: Some("zstd:1".to_owned()), ..Setting::default() }
    }

    #[test]
    fn what_is_fixed_is_not_tried() {
        let free = asked(&["mysql://u@h/db"]).unwrap();
        assert_eq!((free.readers.as_slice(), free.compressions.len()), (&[1, 2, 4, 8][..], 7));
        let fixed = asked(&["mysql://u@h/db", "--", "--readers", "2", "--compress", "lz4"]).unwrap();
        assert!(fixed.readers.is_empty() && fixed.compressions.is_empty());
        assert!(asked(&["mysql://u@h/db", "--", "--engine", "client"]).unwrap().readers.is_empty());
        // Which way a Redis server makes a snapshot is its own affair: one of them writes its dump file anew.
        assert!(asked(&["redis://h"]).unwrap().readers.is_empty());
    }

    #[test]
    fn the_place_that_is_written_to_is_beside_the_one_that_was_named() {
        let part = Setting { part_size: Some(16 << 20), ..Setting::default() };
        for (dest, setting, beside) in [
            ("x.sql.zst", Setting::default(), "dbferry-bench-7"),
            ("/a/b/x.sql", Setting::default(), "/a/b/dbferry-bench-7"),
            ("/a/b/", Setting::default(), "/a/b/dbferry-bench-7"),
            ("/tmp", Setting::default(), "/tmp/dbferry-bench-7"),
            ("pvc:///m/x", Setting::default(), "pvc:///m/dbferry-bench-7"),
            ("s3://b/k/x.zst?region=r", Setting::default(), "s3://b/k/dbferry-bench-7?region=r"),
            ("s3://b", part.clone(), "s3://b/dbferry-bench-7?part_size=16MiB"),
            ("s3://b/k/?a=/x/y", part, "s3://b/k/dbferry-bench-7?a=/x/y&part_size=16MiB"),
        ] {
            let asked = Asked { dest: Some(dest.to_owned()), ..asked(&["a.sql"]).unwrap() };
            let found = if dest.contains("a=/x") {
                let (path, query) = split_query(dest);
                format!("{path}dbferry-bench-7{}", with_part_size(query, &setting))
            } else {
                asked.beside(&setting, "7").unwrap().unwrap()
            };
            assert_eq!(found, beside, "{dest}");
        }
    }

    #[test]
    fn the_command_is_what_was_measured_and_holds_no_password() {
        for (words, command) in [
            (
                &["mysql://u:geheim@h/db", "x.sql.gz"][..],
                "dbferry copy mysql://u@h/db x.sql.zst --compress zstd:1",
            ),
            (
                &["env:DB", "x.sql", "--", "--for", "rds-mysql"],
                "dbferry copy env:DB x.sql.zst --for rds-mysql --compress zstd:1",
            ),
            (&["a b.sql"], "dbferry copy 'a b.sql' DEST --compress zstd:1"),
            (
                &["a.sql", "s3://b/k.gz?region=r"],
                "dbferry copy a.sql 's3://b/k.zst?region=r' --compress zstd:1",
            ),
        ] {
            let words: Vec<&str> =
                words.iter().map(|word| if *word == "env:DB" { "a.sql" } else { word }).collect();
            let said = asked(&words).unwrap().command(&zstd());
            assert_eq!(said, command.replace("env:DB", "a.sql"), "{words:?}");
        }
    }

    #[test]
    fn what_cannot_be_measured_is_refused_with_a_way_out() {
        for words in [
            &["-"][..],
            &["a.sql", "-"],
            &["a.sql", "mysql://u@h/db"],
            &["a.sql", "--", "--dry-run"],
            &["a.sql", "--", "--no-such-option"],
            &["a.sql", "--", "other.sql"],
            &["a.sql", "--", "--json"],
        ] {
            let error = asked(words).unwrap_err();
            assert!(error.exit_code() == 2 && !error.hints().is_empty(), "{words:?}: {error:?}");
        }
    }
}
