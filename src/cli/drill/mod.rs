//! `dbferry drill`: restores an archive, and holds what came of it against what the archive says.
//!
//! The archive is verified first, so its content is that of the manifest. Then it is restored into a scratch server, which is dumped again and counted
//! as `dbferry inspect` counts: every table and its rows, or every logical database and its keys. Files are unpacked by tar, and read again. The steps
//! are processes of this program.

mod server;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use archives::record::Check;
use pipeline::{Context, Error, Format, Result};
use serde_json::{Value, json};
use tokio::process::Command;

use super::archive::{Archive, Place};
use super::args::{DrillArgs, KeyArgs};
use super::endpoint::To;
use super::jobs::child;
use super::{passwords, render, size, verify};

/// Runs the command.
pub(crate) async fn run(args: DrillArgs, cx: &Context) -> Result<()> {
    let memory = size::parse("--memory", &args.memory)?;
    let archive = Archive::find(&Place::of(&args.archive)?, None).await?;
    let [part] = archive.manifest.parts.as_slice() else {
        return Err(Error::usage("a drill restores an archive of one stream, and this one has many parts"));
    };
    let format = part.format;
    match (format, &args.into) {
        (Format::Mysql | Format::Postgres, _) | (Format::Rdb | Format::Tar, None) => {}
        (Format::Rdb, Some(_)) => {
            return Err(Error::usage("a snapshot is restored by the server that starts with it")
                .hint("leave `--into` out: a scratch server is started"));
        }
        (Format::Tar, Some(_)) => {
            return Err(Error::usage("files are unpacked into a directory of the drill's own")
                .hint("leave `--into` out"));
        }
        (other, _) => {
            return Err(Error::usage(format!("there is no drill for {other}"))
                .hint("`dbferry verify --record` reads it back and checks all of it"));
        }
    }
    let began = Instant::now();
    let drill = Drill { args: &args, format, memory, cx };
    let found = drill.run(&archive).await;
    if !args.no_record {
        match &found {
            Ok(found) => archive.write_record(Check::Drill, Ok(&found.text())).await?,
            // Only what speaks against the archive is written down: a scratch server that did not come up does not.
            Err(error) if error.exit_code() == 6 => archive.write_record(Check::Drill, Err(error)).await?,
            Err(_) => {}
        }
    }
    let found = found?;
    if args.output.json {
        let document = json!({
            "type": "drill",
            "exit_code": 0,
            "archive": args.archive,
            "seconds": began.elapsed().as_secs_f64(),
            "objects": found.counts,
        });
        return render::print(&format!("{document}\n"));
    }
    if args.output.talks() {
        render::say(&format!(
            "drill passed: {} in {}: {}",
            args.archive,
            size::show_seconds(began.elapsed().as_secs_f64()),
            found.text()
        ));
    }
    Ok(())
}

/// What was restored.
struct Found {
    format: Format,
    /// Rows by table, keys by logical database, or what tar unpacked by its kind.
    counts: BTreeMap<String, u64>,
    /// Files: those read again make the archived stream, owners, modes and times included.
    identical: bool,
}

impl Found {
    fn text(&self) -> String {
        if self.format == Format::Tar {
            let number = |kind: &str| self.counts.get(kind).copied().unwrap_or(0);
            let again = if self.identical { ", and make the same stream again" } else { "" };
            return format!(
                "unpacked; {} files and {} directories with {} bytes are as the archive says{again}",
                number("files"),
                number("directories"),
                number("content-bytes"),
            );
        }
        let rows: u64 = self.counts.values().sum();
        format!(
            "restored; {} tables or databases with {rows} rows or keys are as the archive says",
            self.counts.len()
        )
    }
}

struct Drill<'a> {
    args: &'a DrillArgs,
    format: Format,
    memory: usize,
    cx: &'a Context,
}

impl Drill<'_> {
    async fn run(&self, archive: &Archive) -> Result<Found> {
        let identities = passwords::identities(&self.args.key)?;
        if archives::catalogue::encrypted(&archive.manifest.parts[0]).is_some() && identities.is_empty() {
            return Err(
                Error::usage("the archive is encrypted, and a restore takes the key").hint("--identity FILE")
            );
        }
        self.say("verifying the archive");
        verify::check_all(archive, &identities, self.memory, self.cx).await?;
        let archived = self.dbferry("inspect", &[&self.args.archive], true).await?;
        let restored = if self.format == Format::Tar { self.files().await? } else { self.database().await? };
        let (expected, found) = (counts(self.format, &archived), counts(self.format, &restored));
        compare(&expected, &found)?;
        let identical = archived["digests"]["blake3"].is_string()
            && archived["digests"]["blake3"] == restored["digests"]["blake3"];
        let counts = found.into_iter().map(|(name, count)| (name, count.rows)).collect();
        Ok(Found { format: self.format, counts, identical })
    }

    /// Unpacks the files with tar into a directory that is gone afterwards. Answers what `inspect` says of it.
    async fn files(&self) -> Result<Value> {
        let dir = scratch_directory()?;
        let (packed, unpacked) = (dir.path().join("files.tar"), dir.path().join("files"));
        std::fs::create_dir(&unpacked)
            .map_err(|e| Error::source("cannot make a directory for the files").caused_by(e))?;
        self.dbferry("copy", &[&self.args.archive, &text(&packed)], true).await?;
        self.say("unpacking");
        let mut tar = Command::new("tar");
        tar.arg("--extract").arg("--preserve-permissions").arg("--file").arg(&packed);
        tar.arg("--directory").arg(&unpacked);
        let ended = self.step(tar, "tar").await?;
        if ended.code != 0 {
            let last = ended.tail.last().cloned().unwrap_or_default();
            return Err(Error::source(format!("tar did not unpack it: {last}")).with("exit code", ended.code));
        }
        self.say("reading what was unpacked");
        self.dbferry("inspect", &[&text(&unpacked)], false).await
    }

    /// Restores into a database. Answers what `inspect` says of it.
    async fn database(&self) -> Result<Value> {
        let cancel = self.cx.cancellation();
        let scratch;
        let url = match &self.args.into {
            Some(url) => {
                if !matches!(To::parse(url)?, To::Database(_)) {
                    return Err(Error::usage(format!("`--into {url}` is no database")));
                }
                url.clone()
            }
            None if self.format == Format::Rdb => {
                let dir = scratch_directory()?;
                let snapshot = dir.path().join("dump.rdb");
                self.dbferry("copy", &[&self.args.archive, &text(&snapshot)], true).await?;
                self.say("starting a scratch server with the snapshot");
                scratch = server::start(self.format, Some(&snapshot), cancel).await?;
                scratch.url.clone()
            }
            None => {
                self.say("starting a scratch server");
                scratch = server::start(self.format, None, cancel).await?;
                scratch.url.clone()
            }
        };
        if self.format != Format::Rdb {
            self.say("restoring");
            let mut words = vec![self.args.archive.as_str(), &url];
            if self.format == Format::Postgres {
                // A scratch server has none of the roles that own things.
                words.push("--for=rds-postgres");
            }
            self.dbferry("copy", &words, true).await?;
        }
        self.say("counting what was restored");
        self.dbferry("inspect", &[&url], false).await
    }

    fn say(&self, what: &str) {
        if self.args.output.talks() {
            render::say(what);
        }
    }

    /// A step, by a process.
    async fn step(&self, command: Command, label: &str) -> Result<child::Ended> {
        let quiet = !self.args.output.verbose;
        match child::run(command, label, quiet, None, self.cx.cancellation()).await? {
            (_, Some(_)) => Err(Error::cancelled()),
            (ended, None) => Ok(ended),
        }
    }

    /// A step, by a process of this program. Answers its JSON.
    async fn dbferry(&self, verb: &str, words: &[&str], keyed: bool) -> Result<Value> {
        let myself =
            std::env::current_exe().map_err(|e| Error::bug("this program has no path").caused_by(e))?;
        let mut command = Command::new(myself);
        command
            .arg(verb)
            .args(words)
            .arg("--json")
            .arg("--progress=none")
            .arg(format!("--memory={}", self.memory));
        if keyed {
            let KeyArgs { identity, passphrase_file } = &self.args.key;
            for file in identity {
                command.arg("--identity").arg(file);
            }
            if let Some(file) = passphrase_file {
                command.arg("--passphrase-file").arg(file);
            }
        }
        let ended = self.step(command, verb).await?;
        let said: Value = serde_json::from_slice(&ended.output).unwrap_or_default();
        if ended.code == 0 {
            return Ok(said);
        }
        let last = ended.tail.last().cloned().unwrap_or_default();
        let message = said["message"].as_str().map_or(last, str::to_owned);
        Err(Error::source(format!("the drill ended at `{verb}`: {message}")).with("exit code", ended.code))
    }
}

fn scratch_directory() -> Result<tempfile::TempDir> {
    let dir = tempfile::Builder::new().prefix("dbferry-drill-").tempdir();
    dir.map_err(|e| Error::source("cannot make a directory for the drill").caused_by(e))
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// Rows or keys of an object, and how many of them may be gone by now because their time is over.
#[derive(Clone, Copy)]
struct Count {
    rows: u64,
    expiring: u64,
}

/// What `inspect` counted.
fn counts(format: Format, document: &Value) -> BTreeMap<String, Count> {
    let contents = &document["contents"];
    let number = |value: &Value| value.as_u64().unwrap_or(0);
    let rows = |table: &Value| Count { rows: number(&table["rows"]), expiring: 0 };
    match format {
        Format::Mysql => {
            let tables = contents["tables"].as_array().into_iter().flatten();
            // Without the schema, which is that of the scratch database on one side.
            tables.map(|table| (table["name"].as_str().unwrap_or_default().to_owned(), rows(table))).collect()
        }
        Format::Postgres => {
            let tables = contents["tables"].as_object().into_iter().flatten();
            tables.map(|(name, table)| (name.clone(), rows(table))).collect()
        }
        Format::Tar => {
            let kinds = document["counts"]["tar-check"].as_object().into_iter().flatten();
            kinds.map(|(kind, value)| (kind.clone(), Count { rows: number(value), expiring: 0 })).collect()
        }
        _ => {
            let databases = contents["databases"].as_object().into_iter().flatten();
            let keys =
                |share: &Value| Count { rows: number(&share["keys"]), expiring: number(&share["expiring"]) };
            databases.map(|(db, share)| (format!("db{db}"), keys(share))).collect()
        }
    }
}

fn compare(expected: &BTreeMap<String, Count>, found: &BTreeMap<String, Count>) -> Result<()> {
    let none = Count { rows: 0, expiring: 0 };
    let names: std::collections::BTreeSet<&String> = expected.keys().chain(found.keys()).collect();
    let differ: Vec<(&String, u64, u64)> = names
        .into_iter()
        .filter_map(|name| {
            let (wanted, came) = (expected.get(name).unwrap_or(&none), found.get(name).unwrap_or(&none));
            let fits = came.rows <= wanted.rows && came.rows + wanted.expiring >= wanted.rows;
            // A table without rows must be there as well; a logical database without keys is none.
            let missing = wanted.rows > wanted.expiring || wanted.expiring == 0;
            let there = expected.contains_key(name) && (found.contains_key(name) || !missing);
            (!fits || !there).then_some((name, wanted.rows, came.rows))
        })
        .collect();
    let Some((name, wanted, came)) = differ.first() else { return Ok(()) };
    Err(Error::mismatch("what was restored is not what the archive holds")
        .with("object", name)
        .with("in the archive", wanted)
        .with("restored", came)
        .with("differences", differ.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(counts: &[(&str, u64, u64)]) -> BTreeMap<String, Count> {
        counts.iter().map(|&(name, rows, expiring)| (name.to_owned(), Count { rows, expiring })).collect()
    }

    #[test]
    fn every_difference_counts_but_keys_whose_time_is_over() {
        let expected = of(&[("a", 10, 0), ("b", 5, 2), ("empty", 0, 0), ("fleeting", 3, 3)]);
        assert!(compare(&expected, &expected).is_ok());
        assert!(compare(&expected, &of(&[("a", 10, 0), ("b", 3, 0), ("empty", 0, 0)])).is_ok());
        for found in [
            &[("a", 9, 0), ("b", 5, 2), ("empty", 0, 0), ("fleeting", 3, 3)][..],
            &[("a", 11, 0), ("b", 5, 2), ("empty", 0, 0), ("fleeting", 3, 3)],
            &[("a", 10, 0), ("b", 2, 2), ("empty", 0, 0), ("fleeting", 3, 3)],
            &[("a", 10, 0), ("b", 5, 2), ("fleeting", 3, 3)],
            &[("a", 10, 0), ("b", 5, 2), ("empty", 0, 0), ("fleeting", 3, 3), ("more", 0, 0)],
        ] {
            assert_eq!(compare(&expected, &of(found)).unwrap_err().exit_code(), 6, "{found:?}");
        }
    }
}
