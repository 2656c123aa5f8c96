//! PostgreSQL, by `pg_dump`, and by `pg_dumpall` when the URL names no database.
//!
//! `pg_dump` sets its session's timeouts to zero itself, so a slow destination cannot break it; and it refuses to leave out what the account may
//! not read. What it does not do is tell a cut dump from a whole one in its output: only its exit status says that.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::process::Stdio;

use async_trait::async_trait;
use pipeline::endpoint::{Address, DatabaseUrl, Engine, Secret, TlsMode};
use pipeline::{Context, Error, Format, FrameSender, Kind, Part, Reader, Result, Source, SourceInfo};
use rustix::fs::{MemfdFlags, Mode};
use tokio::process::Command;

use crate::{Content, Selection, asked, child, whole};
use connections::postgres::wire::Wire;
use connections::trust;

mod chosen;
mod client;
mod inspect;
mod native;
#[cfg(test)]
mod tests;

pub use client::pg_restore;
pub use native::{PgNative, PgNativeOptions, Stored as PartsStored};

/// How a PostgreSQL server is dumped.
#[derive(Debug, Clone, Default)]
pub struct PgOptions {
    /// The `pg_dump` (or `pg_dumpall`) to use; by default the installed one that fits the server best.
    pub client: Option<PathBuf>,
    /// Passed to the client after everything else, so that they win.
    pub dump_args: Vec<String>,
    /// Passed as well, but only where the client knows them: `--no-owner` and its like have come one by one over the versions.
    pub switches: Vec<String>,
    /// The custom format instead of SQL text.
    pub custom: bool,
    /// What is dumped of it.
    pub selection: Selection,
}

impl PgOptions {
    /// What was asked beside a dump of everything.
    fn asked(&self) -> Vec<String> {
        self.dump_args.iter().cloned().chain(self.selection.arguments()).collect()
    }
}

/// A PostgreSQL server as a source.
#[derive(Debug)]
pub struct PgDump {
    url: DatabaseUrl,
    options: PgOptions,
    plan: Option<Plan>,
}

#[derive(Debug)]
struct Plan {
    client: client::Client,
    arguments: Vec<String>,
    expected: Option<u64>,
}

impl PgDump {
    /// The server at `url`. Refuses arguments that would break the dump.
    pub fn new(url: DatabaseUrl, options: PgOptions) -> Result<Self> {
        if url.engine != Engine::Postgres {
            return Err(Error::bug("a URL of another kind was given to the PostgreSQL source"));
        }
        client::check_arguments(&options.dump_args, options.custom)?;
        if options.custom && url.databases.is_empty() {
            return Err(Error::usage("the custom format holds one database, and the URL names none")
                .hint("name the database, or use the plain format, which can hold all of them"));
        }
        if !options.selection.takes_all() && url.databases.is_empty() {
            return Err(Error::usage("tables are chosen in one database, and the URL names none")
                .hint("name the database in the URL"));
        }
        if url.password.as_ref().is_some_and(|password| password.expose().contains(['\n', '\r'])) {
            return Err(Error::usage(
                "a PostgreSQL password cannot contain a line break: the clients do not read such a one",
            ));
        }
        Ok(Self { url, options, plan: None })
    }

    fn format(&self) -> Format {
        if self.options.custom { Format::PostgresCustom } else { Format::Postgres }
    }
}

#[async_trait]
impl Source for PgDump {
    fn endpoint(&self) -> String {
        self.url.to_string()
    }

    async fn probe(&mut self, cx: &Context) -> Result<SourceInfo> {
        let server = inspect::inspect(&self.url).await?;
        let program = if self.url.databases.is_empty() { "pg_dumpall" } else { "pg_dump" };
        let client = client::find(program, self.options.client.as_deref(), &server).await?;
        if self.options.selection.has_conditions() {
            return Err(Error::usage("`--where` is not for pg_dump, which has no conditions")
                .hint("`--engine native` reads the rows that a condition chooses, from PostgreSQL 14 on"));
        }
        let mut arguments = whole_arguments(&self.url, &self.options, &client, cx);
        if !self.options.selection.takes_all() {
            let mut wire = Wire::connect(&self.url).await?;
            let chosen = chosen::choose(&mut wire, &self.url, &self.options.selection).await?;
            chosen.warn(self.options.selection.content(), cx);
            arguments.extend(chosen.arguments);
        }
        let info = SourceInfo {
            endpoint: self.endpoint(),
            kind: "postgres".to_owned(),
            server: Some(server.version),
            client: Some(client.version.clone()),
            expected_bytes: server.bytes,
            facts: asked(server.facts, &self.options.asked()),
        };
        self.plan = Some(Plan { client, arguments, expected: server.bytes });
        Ok(info)
    }

    async fn next_part(&mut self, _: &Context) -> Result<Option<Part>> {
        let Some(plan) = self.plan.take() else { return Ok(None) };
        let expected = plan.expected;
        let reader = PgReader { url: self.url.clone(), plan };
        Ok(Some(whole(Some(self.format()), expected, Box::new(reader))))
    }

    async fn finish(self: Box<Self>, _: &Context) -> Result<BTreeMap<String, String>> {
        Ok(BTreeMap::new())
    }
}

/// Everything that the client is called with.
fn whole_arguments(
    url: &DatabaseUrl,
    options: &PgOptions,
    client: &client::Client,
    cx: &Context,
) -> Vec<String> {
    let mut arguments = client::arguments(url, options);
    for switch in &options.switches {
        if client.has(switch) {
            arguments.push(switch.clone());
        } else {
            cx.info(format!("{} does not know {switch}", client.version));
        }
    }
    match options.selection.content() {
        Content::All => {}
        Content::Schema => arguments.push("--schema-only".to_owned()),
        Content::Data => arguments.push("--data-only".to_owned()),
    }
    arguments.extend(options.dump_args.iter().cloned());
    arguments
}

struct PgReader {
    url: DatabaseUrl,
    plan: Plan,
}

/// Variables of libpq that would win over the URL or stand in for what it leaves out.
const VARIABLES: &[&str] = &[
    "PGHOST",
    "PGHOSTADDR",
    "PGPORT",
    "PGDATABASE",
    "PGUSER",
    "PGPASSWORD",
    "PGPASSFILE",
    "PGSERVICE",
    "PGSERVICEFILE",
    "PGOPTIONS",
    "PGSSLMODE",
    "PGREQUIRESSL",
    "PGSSLROOTCERT",
    "PGSSLCERT",
    "PGSSLKEY",
    "PGSSLCRL",
    "PGSSLNEGOTIATION",
    "PGREQUIREAUTH",
    "PGCHANNELBINDING",
    "PGTARGETSESSIONATTRS",
    "PGLOADBALANCEHOSTS",
    "PGCLIENTENCODING",
    "PGDATESTYLE",
    "PGTZ",
    "PGGEQO",
    "PGGSSENCMODE",
];

/// The client with these arguments. The password reaches it through a file without a name.
fn program(url: &DatabaseUrl, client: &client::Client, arguments: &[String]) -> Result<child::Program> {
    let mut command = Command::new(&client.path);
    command.args(arguments);
    for name in VARIABLES {
        command.env_remove(name);
    }
    command.env("PGAPPNAME", url.parameters.get("application_name").map_or("dbferry", String::as_str));
    if let Some(options) = url.parameters.get("options") {
        command.env("PGOPTIONS", options);
    }
    if let Some(seconds) = url.parameters.get("connect_timeout") {
        command.env("PGCONNECT_TIMEOUT", seconds);
    }
    if let Address::Tcp(_) = url.address {
        let mode = url.tls_mode();
        command.env("PGSSLMODE", mode.as_str());
        if mode != TlsMode::Disable
            && let Some(roots) = trust::roots(&url.tls, mode)?
        {
            command.env("PGSSLROOTCERT", roots);
        }
        if let (Some(cert), Some(key)) = (&url.tls.client_cert, &url.tls.client_key) {
            command.env("PGSSLCERT", cert).env("PGSSLKEY", key);
        }
    }
    // libpq takes a password file only if it is a regular one that nobody else may read. This one exists in memory and has no name; it
    // goes with the processes that hold it. `pg_dumpall` hands it on to each `pg_dump` that it starts.
    let stdin = match &url.password {
        None => Stdio::null(),
        Some(password) => {
            command.env("PGPASSFILE", "/dev/stdin");
            let file = memory_file(&client::pass_line(password))
                .map_err(|error| Error::source("a file for the client's password failed").caused_by(error))?;
            Stdio::from(file)
        }
    };
    Ok(child::Program { name: client.name(), command, stdin, stall: None })
}

fn memory_file(line: &Secret) -> std::io::Result<File> {
    let mut file = File::from(rustix::fs::memfd_create("passfile", MemfdFlags::CLOEXEC)?);
    rustix::fs::fchmod(&file, Mode::RUSR | Mode::WUSR)?;
    file.write_all(line.expose().as_bytes())?;
    Ok(file)
}

#[async_trait]
impl Reader for PgReader {
    fn memory(&self) -> usize {
        child::MEMORY
    }

    async fn read(self: Box<Self>, out: &mut FrameSender, cx: &Context) -> Result<()> {
        let ended =
            child::stream(program(&self.url, &self.plan.client, &self.plan.arguments)?, out, cx).await?;
        if ended.status.success() {
            return ended.check(cx);
        }
        Err(explain(&ended))
    }
}

/// What the server or the connection says when another run may do better.
const PASSING: &[&str] = &[
    "server closed the connection",
    "terminating connection",
    "connection to server was lost",
    "Connection refused",
    "Connection reset",
    "SSL SYSCALL error",
    "SSL connection has been closed",
    "the database system is",
    "too many clients",
    "remaining connection slots",
    "deadlock detected",
    "due to lock timeout",
    "conflict with recovery",
    "due to statement timeout",
    // The connection that held the snapshot is gone.
    "invalid snapshot identifier",
];

fn explain(ended: &child::Ended) -> Error {
    let text = ended.stderr.text();
    let first = text
        .lines()
        .find_map(|line| line.split_once("error: ").map(|(_, rest)| rest))
        .or_else(|| text.lines().next())
        .unwrap_or("it gave no reason");
    let error = ended.failure(format!("{} failed: {first}", ended.name));
    let error =
        if PASSING.iter().any(|sign| text.contains(sign)) { error.of_kind(Kind::Temporary) } else { error };
    let hint = [
        (
            "conflict with recovery",
            "set hot_standby_feedback or max_standby_streaming_delay at the standby, or dump the primary",
        ),
        (
            "row-level security",
            "use a role with BYPASSRLS or the owner of the table; --dump-arg=--enable-row-security would dump a part only",
        ),
        (
            "permission denied for table pg_authid",
            "on a managed server use --dump-arg=--no-role-passwords, or name one database",
        ),
        (
            "permission denied",
            "the role needs SELECT on all tables and sequences and USAGE on their schemas; pg_read_all_data has both",
        ),
        ("lock timeout", "somebody holds a lock on a table; run it again, or raise --lock-wait-timeout"),
        // What `--lock-wait-timeout` runs into: the client's only statements with a limit are those that lock.
        (
            "due to statement timeout",
            "somebody holds a lock on a table; run it again, or raise --max-lock-time",
        ),
        (
            "TRANSACTION SNAPSHOT",
            "the connection that held the snapshot was lost; or the address leads to several servers: give one server's instead of a load balancer's, or use `--engine client`",
        ),
        ("server version mismatch", "install a pg_dump that is at least as new as the server"),
    ];
    match hint.iter().find(|(sign, _)| text.contains(sign)) {
        Some((_, hint)) => error.hint(*hint),
        None => error,
    }
}
