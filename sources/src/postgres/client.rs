//! Which `pg_dump`, and how it is called.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use pipeline::endpoint::{Address, DatabaseUrl, Secret};
use pipeline::{Error, Result};

use super::PgOptions;
use super::inspect::Server;
use crate::programs;

/// A client that is installed.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) path: PathBuf,
    /// Its name and version.
    pub(super) version: String,
    major: u32,
    options: BTreeSet<String>,
}

impl Client {
    pub(super) fn name(&self) -> String {
        self.path.file_name().map_or_else(|| "pg_dump".into(), |name| name.to_string_lossy().into_owned())
    }

    /// Whether its help mentions the option, which may carry a value.
    pub(super) fn has(&self, switch: &str) -> bool {
        self.options.contains(switch.split('=').next().unwrap_or(switch))
    }
}

/// The client that was asked for; or of those that are at least as new as the server the oldest, because a newer one writes settings
/// that an older target does not know.
pub(super) async fn find(program: &str, asked: Option<&Path>, server: &Server) -> Result<Client> {
    let candidates = match asked {
        Some(path) => {
            // Named for one of the two programs, it stands for the other one beside it as well.
            let path = programs::find(path)
                .ok_or_else(|| Error::source(format!("{}: no such program", path.display())))?;
            let beside = path.with_file_name(program);
            vec![if beside.exists() { beside } else { path }]
        }
        None => installed(program),
    };
    let mut best: Option<Client> = None;
    let mut newest: Option<String> = None;
    for path in candidates {
        let client = identify(path).await?;
        if client.major < server.major {
            newest.get_or_insert(client.version);
        } else if best.as_ref().is_none_or(|best| client.major < best.major) {
            best = Some(client);
        }
    }
    best.ok_or_else(|| {
        let major = server.major;
        let error = match newest {
            Some(version) => Error::source(format!(
                "{version} is older than the server, {}, and cannot dump it",
                server.version
            )),
            None => Error::source(format!("{program} is not installed")),
        };
        error.hint(format!(
            "install postgresql-client-{major} (Debian, from apt.postgresql.org) or postgresql{major} (RHEL, from yum.postgresql.org)"
        ))
    })
}

/// The newest `pg_restore` that is installed: it reads what older ones wrote.
pub async fn pg_restore() -> Option<PathBuf> {
    let mut best: Option<Client> = None;
    for path in installed("pg_restore") {
        if let Ok(client) = identify(path).await
            && best.as_ref().is_none_or(|best| client.major > best.major)
        {
            best = Some(client);
        }
    }
    best.map(|client| client.path)
}

/// In `PATH` first, then where Debian and the RPMs keep several versions, the newest first.
fn installed(program: &str) -> Vec<PathBuf> {
    let mut versions: Vec<(u32, PathBuf)> = Vec::new();
    for (parent, prefix) in [("/usr/lib/postgresql", ""), ("/usr", "pgsql-")] {
        let Ok(entries) = std::fs::read_dir(parent) else { continue };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let number =
                name.to_str().and_then(|name| name.strip_prefix(prefix)).and_then(|name| name.parse().ok());
            if let Some(number) = number
                && let Some(path) = programs::find(entry.path().join("bin").join(program))
            {
                versions.push((number, path));
            }
        }
    }
    versions.sort_by_key(|(number, _)| std::cmp::Reverse(*number));
    // Debian's wrapper picks a version by rules of its own, and may pick another one for the dump than for the question.
    let wrapper = |path: &PathBuf| {
        std::fs::canonicalize(path)
            .is_ok_and(|path| path.file_name().is_some_and(|name| name == "pg_wrapper"))
    };
    let in_path = programs::find(program).filter(|path| versions.is_empty() || !wrapper(path));
    in_path.into_iter().chain(versions.into_iter().map(|(_, path)| path)).collect()
}

async fn identify(path: PathBuf) -> Result<Client> {
    let text = programs::ask(&path, &["--version"]).await?;
    let help = programs::ask(&path, &["--help"]).await?;
    let (name, number, major) = parse_version(&text)
        .ok_or_else(|| Error::source(format!("{} is not a PostgreSQL client", path.display())))?;
    let options = help
        .split([' ', '\n', ',', '=', '['])
        .filter(|word| word.starts_with("--") && word.len() > 2)
        .map(str::to_owned)
        .collect();
    Ok(Client { version: format!("{name} {number}"), major, options, path })
}

/// `pg_dump (PostgreSQL) 15.18 (Debian …)`: name, number, major version.
pub(super) fn parse_version(text: &str) -> Option<(&str, &str, u32)> {
    let (name, rest) = text.split_once(" (PostgreSQL) ")?;
    let number = rest.split_whitespace().next()?;
    let digits = number.find(|c: char| !c.is_ascii_digit()).unwrap_or(number.len());
    Some((name, number, number[..digits].parse().ok()?))
}

pub(super) fn arguments(url: &DatabaseUrl, options: &PgOptions) -> Vec<String> {
    let mut arguments = vec!["--no-password".to_owned()];
    match &url.address {
        Address::Tcp(host) => arguments.push(format!("--host={host}")),
        Address::Socket(path) => arguments.push(format!("--host={}", path.display())),
    }
    arguments.push(format!("--port={}", url.port()));
    if let Some(user) = &url.user {
        arguments.push(format!("--username={user}"));
    }
    match url.databases.first() {
        Some(database) => {
            arguments.push(format!("--format={}", if options.custom { "custom" } else { "plain" }));
            // A bare name with `=` in it, or one like a URL, would be read as connection settings.
            let quoted = database.replace('\\', "\\\\").replace('\'', "\\'");
            arguments.push(format!("--dbname=dbname='{quoted}'"));
        }
        None => arguments.push("--database=postgres".to_owned()),
    }
    arguments
}

/// One line of libpq's password file that fits any connection.
pub(super) fn pass_line(password: &Secret) -> Secret {
    Secret::new(format!("*:*:*:*:{}\n", password.expose().replace('\\', "\\\\").replace(':', "\\:")))
}

/// Long options that would break the dump or what dbferry promises of it, and why.
const REFUSED: &[(&str, &str)] = &[
    ("file", "the dump goes to the destination"),
    ("format", "dbferry's own option for the format says what the stream is"),
    ("jobs", "a single stream has one reader"),
    ("password", "nobody is there to be asked; give it in the URL or the environment"),
    ("host", "the URL names it"),
    ("port", "the URL names it"),
    ("username", "the URL names it"),
    ("dbname", "the URL names it"),
    ("database", "the URL names it"),
    ("help", "it does not dump"),
    ("version", "it does not dump"),
];
const REFUSED_LETTERS: &[(char, &str)] = &[
    ('f', "file"),
    ('F', "format"),
    ('j', "jobs"),
    ('W', "password"),
    ('h', "host"),
    ('p', "port"),
    ('U', "username"),
    ('d', "dbname"),
    ('l', "database"),
    ('?', "help"),
    ('V', "version"),
];
/// Letters that take the rest of their word as a value.
const WITH_VALUE: &str = "EenNStTXZ";

/// Refuses what would break the dump. The clients accept any unambiguous beginning of an option, and so does this.
pub(super) fn check_arguments(arguments: &[String], custom: bool) -> Result<()> {
    let refused = |shown: String, reason: &str| {
        Err(Error::usage(format!("the dump client's option {shown} cannot be used: {reason}")))
    };
    let compressed = "the plain format is compressed by dbferry, by the ending of the destination's name";
    let reason =
        |name: &str| REFUSED.iter().find(|(full, _)| *full == name).map_or("", |(_, reason)| *reason);
    for argument in arguments {
        if let Some(long) = argument.strip_prefix("--").filter(|long| !long.is_empty()) {
            let name = long.split('=').next().unwrap_or(long);
            if let Some((full, reason)) = REFUSED.iter().find(|(full, _)| full.starts_with(name)) {
                return refused(format!("--{full}"), reason);
            }
            if !custom && "compress".starts_with(name) {
                return refused("--compress".to_owned(), compressed);
            }
        } else if argument.starts_with('-') && argument.len() > 1 && argument != "--" {
            for letter in argument.chars().skip(1) {
                if let Some((_, full)) = REFUSED_LETTERS.iter().find(|(refused, _)| *refused == letter) {
                    return refused(format!("-{letter}"), reason(full));
                }
                if letter == 'Z' && !custom {
                    return refused("-Z".to_owned(), compressed);
                }
                if WITH_VALUE.contains(letter) {
                    break;
                }
            }
        } else {
            return Err(Error::usage("an argument for the dump client begins with a dash")
                .hint("write an option and its value as one word: --table=public.t"));
        }
    }
    Ok(())
}
