//! MySQL and MariaDB, by the dump client that is installed.
//!
//! The clients differ by maker and version in their options, so they are asked; and they leave things out without a word when
//! the account may not see them (triggers, routines, whole tables), so the account is asked too, before anything is read.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use async_trait::async_trait;
use pipeline::endpoint::{DatabaseUrl, Engine};
use pipeline::{Context, Error, Format, FrameSender, Kind, Part, Reader, Result, Source, SourceInfo};
use tokio::process::Command;

use crate::{Content, Selection, asked, child, whole};

mod client;

mod grants;
mod inspect;
mod native;
#[cfg(test)]
mod tests;

pub use native::{MysqlNative, NativeOptions, Way as SnapshotWay};

/// How a MySQL or MariaDB server is dumped.
#[derive(Debug, Clone, Default)]
pub struct MysqlOptions {
    /// The dump client; by default the one in `PATH` that fits the server.
    pub client: Option<PathBuf>,
    /// Passed to the client after everything else, so that they win.
    pub dump_args: Vec<String>,
    /// Goes on, with a warning, when the account cannot see everything that belongs to the dump.
    pub allow_partial: bool,
    /// What is dumped of it.
    pub selection: Selection,
}

impl MysqlOptions {
    /// What was asked beside a dump of everything.
    fn asked(&self) -> Vec<String> {
        self.dump_args.iter().cloned().chain(self.selection.arguments()).collect()
    }
}

/// A MySQL or MariaDB server as a source.
#[derive(Debug)]
pub struct MysqlDump {
    url: DatabaseUrl,
    options: MysqlOptions,
    plan: Option<Plan>,
}

/// What `probe` found out and the reader needs.
#[derive(Debug)]
struct Plan {
    client: client::Client,
    arguments: Vec<String>,
    expected: Option<u64>,
    /// The server drops a client that takes nothing for so long, where that could not be raised.
    write_timeout: Option<Duration>,
}

impl MysqlDump {
    /// The server at `url`; its databases are what is dumped. Refuses arguments that would break the dump.
    pub fn new(url: DatabaseUrl, options: MysqlOptions) -> Result<Self> {
        if url.engine != Engine::Mysql {
            return Err(Error::bug("a URL of another kind was given to the MySQL source"));
        }
        client::check_arguments(&options.dump_args)?;
        if options.selection.has_conditions() {
            return Err(Error::usage(
                "`--where` is not for the dump client, which has one condition for all tables",
            )
            .hint("`--engine native` reads the rows that a condition chooses"));
        }
        Ok(Self { url, options, plan: None })
    }
}

#[async_trait]
impl Source for MysqlDump {
    fn endpoint(&self) -> String {
        self.url.to_string()
    }

    async fn probe(&mut self, cx: &Context) -> Result<SourceInfo> {
        let server = inspect::inspect(&self.url, &self.options, cx).await?;
        let client = client::find(self.options.client.as_deref(), &server).await?;
        if client.mariadb != server.mariadb {
            cx.warn(format!(
                "the client {} is not made for {}: it may not know all of its object kinds",
                client.version, server.version
            ));
        }
        let mut arguments = client::arguments(&self.url, &client, &server)?;
        arguments.extend(left_out(&self.options.selection, &server.relations));
        arguments.extend(self.options.dump_args.iter().cloned());
        arguments.extend(client::databases(&self.url));
        let info = SourceInfo {
            endpoint: self.endpoint(),
            kind: "mysql".to_owned(),
            server: Some(server.version.clone()),
            client: Some(client.version.clone()),
            expected_bytes: server.bytes,
            facts: asked(server.facts.clone(), &self.options.asked()),
        };
        let write_timeout = (!client.raises_timeouts()).then_some(server.net_write_timeout);
        self.plan = Some(Plan { client, arguments, expected: server.bytes, write_timeout });
        Ok(info)
    }

    async fn next_part(&mut self, _: &Context) -> Result<Option<Part>> {
        let Some(plan) = self.plan.take() else { return Ok(None) };
        let expected = plan.expected;
        let reader = MysqlReader { url: self.url.clone(), plan };
        Ok(Some(whole(Some(Format::Mysql), expected, Box::new(reader))))
    }

    async fn finish(self: Box<Self>, _: &Context) -> Result<BTreeMap<String, String>> {
        Ok(BTreeMap::new())
    }
}

/// What the client is told to leave out.
fn left_out(selection: &Selection, relations: &[(String, String)]) -> Vec<String> {
    let mut arguments = Vec::new();
    let mut skip = |kinds: &[&str]| arguments.extend(kinds.iter().map(|kind| format!("--skip-{kind}")));
    match selection.content() {
        Content::Data => skip(&["triggers", "routines", "events"]),
        _ if selection.names_tables() => skip(&["routines", "events"]),
        _ => {}
    }
    match selection.content() {
        Content::All => {}
        Content::Schema => arguments.push("--no-data".to_owned()),
        Content::Data => arguments.push("--no-create-info".to_owned()),
    }
    let others =
        relations.iter().filter(|(schema, name)| !selection.takes(schema.as_bytes(), name.as_bytes()));
    arguments.extend(others.map(|(schema, name)| format!("--ignore-table={schema}.{name}")));
    arguments
}

struct MysqlReader {
    url: DatabaseUrl,
    plan: Plan,
}

impl MysqlReader {
    /// The password reaches the client through a pipe that it opens as its option file: never on a disk, in an argument or in
    /// its environment, and gone with the process however that ends.
    fn program(&self) -> Result<child::Program> {
        let pipe = || -> std::io::Result<std::io::PipeReader> {
            let (reader, mut writer) = std::io::pipe()?;
            writer.write_all(client::option_file(&self.url).as_bytes())?;
            Ok(reader)
        };
        let stdin = pipe()
            .map_err(|error| Error::source("a pipe for the client's password failed").caused_by(error))?;
        let mut command = Command::new(&self.plan.client.path);
        command.arg("--defaults-file=/dev/stdin").args(&self.plan.arguments);
        // Each of these would win over the URL or stand in for what it leaves out.
        for name in ["MYSQL_PWD", "MYSQL_HOST", "MYSQL_TCP_PORT", "MYSQL_UNIX_PORT", "MYSQL_GROUP_SUFFIX"] {
            command.env_remove(name);
        }
        // MySQL's clients read the login file even when told which option file to read; a path that is not there is none.
        command.env("MYSQL_TEST_LOGIN_FILE", "/dev/null/none");
        let stall = self.plan.write_timeout.map(|limit| {
            let text = format!(
                "the destination has taken nothing for {} s; the server ends the dump when that lasts {} s (net_write_timeout), \
                 and this client cannot raise it",
                (limit / 2).as_secs(),
                limit.as_secs()
            );
            (limit / 2, text)
        });
        Ok(child::Program { name: self.plan.client.name(), command, stdin: Stdio::from(stdin), stall })
    }
}

#[async_trait]
impl Reader for MysqlReader {
    fn memory(&self) -> usize {
        child::MEMORY
    }

    async fn read(self: Box<Self>, out: &mut FrameSender, cx: &Context) -> Result<()> {
        let ended = child::stream(self.program()?, out, cx).await?;
        if ended.status.success() {
            return ended.check(cx);
        }
        Err(explain(&ended, self.plan.write_timeout))
    }
}

/// Server and client errors that another run may not meet: the connection or the server went away, too many connections, lock
/// waits, a table altered under the snapshot.
const PASSING: &[u32] = &[1040, 1053, 1203, 1205, 1213, 1317, 1412, 1927, 2002, 2003, 2006, 2013, 2055];

fn explain(ended: &child::Ended, write_timeout: Option<Duration>) -> Error {
    let text = ended.stderr.text();
    let number = error_number(&text);
    let last = text.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it gave no reason");
    let error = ended.failure(format!("{} failed: {last}", ended.name));
    let Some(number) = number else { return error };
    // A TLS connection that was cut reports itself as an error of TLS.
    let cut = number == 2026 && last.contains("when dumping");
    let error = if cut || PASSING.contains(&number) { error.of_kind(Kind::Temporary) } else { error };
    match (number, write_timeout) {
        (2006 | 2013, Some(limit)) if ended.longest_stall >= limit => error.hint(format!(
            "the destination took nothing for {} s and the server waits {} s: raise net_write_timeout at the server, \
             or use a client with --network-timeout or --init-command",
            ended.longest_stall.as_secs(),
            limit.as_secs()
        )),
        (1412, _) => error.hint("a table was altered while it was read; run it again when nobody alters tables"),
        (1044 | 1142 | 1227 | 1370 | 1045, _) => {
            error.hint("the account lacks a privilege; SELECT, SHOW VIEW, TRIGGER and EVENT are the usual ones")
        }
        (2026, _) if !cut => error.hint("look at sslmode and sslrootcert; MariaDB's client checks the name in the certificate also for verify-ca"),
        _ => error,
    }
}

/// The number in `Got error: 1045:`, `Error 2013:` or `… (1142)`, the last one if there are several.
fn error_number(text: &str) -> Option<u32> {
    let digits = |text: &str| -> Option<u32> {
        let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        text[..end].parse().ok().filter(|number| (1000..10_000).contains(number))
    };
    text.lines().rev().find_map(|line| {
        let after_word = line
            .match_indices("rror")
            .find_map(|(at, word)| digits(line[at + word.len()..].trim_start_matches([':', ' '])));
        after_word.or_else(|| {
            line.trim_end().strip_suffix(')')?.rsplit_once('(').and_then(|(_, text)| digits(text))
        })
    })
}
