//! The dump client: which one, what it can do, and how it is called.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use pipeline::endpoint::{Address, DatabaseUrl, Secret, TlsMode};
use pipeline::{Error, Result};

use super::inspect::Server;
use crate::programs;
use connections::trust;

/// A dump client that is installed.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) path: PathBuf,
    pub(super) mariadb: bool,
    /// Its name and version.
    pub(super) version: String,
    /// Every long option that its help mentions.
    options: BTreeSet<String>,
}

impl Client {
    /// A client that nobody asked, with the options of a help text.
    #[cfg(test)]
    pub(super) fn for_test(path: PathBuf, help: &str) -> Self {
        Self { path, mariadb: false, version: "mysqldump 0".to_owned(), options: long_options(help) }
    }

    pub(super) fn name(&self) -> String {
        self.path.file_name().map_or_else(|| "mysqldump".into(), |name| name.to_string_lossy().into_owned())
    }

    pub(super) fn has(&self, option: &str) -> bool {
        self.options.contains(option)
    }

    /// Whether a slow destination can be kept from running into the server's `net_write_timeout`.
    pub(super) fn raises_timeouts(&self) -> bool {
        self.has("network-timeout") || self.has("init-command")
    }
}

/// The client that was asked for, or the installed one that is made for the server.
pub(super) async fn find(asked: Option<&Path>, server: &Server) -> Result<Client> {
    if let Some(path) = asked {
        let path = programs::find(path)
            .ok_or_else(|| Error::source(format!("{}: no such program", path.display())))?;
        return identify(path).await;
    }
    let names = if server.mariadb { ["mariadb-dump", "mysqldump"] } else { ["mysqldump", "mariadb-dump"] };
    let mut other = None;
    for path in names.into_iter().filter_map(programs::find) {
        let client = identify(path).await?;
        if client.mariadb == server.mariadb {
            return Ok(client);
        }
        other.get_or_insert(client);
    }
    other.ok_or_else(|| {
        Error::source("neither mysqldump nor mariadb-dump is installed").hint(
            "install mariadb-client (Debian), mariadb (RHEL) or mysql-client; or name the client's path",
        )
    })
}

async fn identify(path: PathBuf) -> Result<Client> {
    let version = programs::ask(&path, &["--no-defaults", "--version"]).await?;
    let help = programs::ask(&path, &["--no-defaults", "--help"]).await?;
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    Ok(Client {
        mariadb: version.contains("MariaDB"),
        version: format!("{name} {}", version_number(&version)),
        options: long_options(&help),
        path,
    })
}

/// `Ver 10.19 Distrib 10.11.19-MariaDB,`, `from 11.4.2-MariaDB,` and `Ver 9.7.4 for`: the number of the product, not of the tool.
pub(super) fn version_number(text: &str) -> &str {
    ["Distrib ", " from ", "Ver "]
        .iter()
        .find_map(|word| text.split_once(word))
        .and_then(|(_, rest)| rest.split([',', ' ']).next())
        .unwrap_or("of unknown version")
}

fn long_options(help: &str) -> BTreeSet<String> {
    help.split_whitespace()
        .filter_map(|word| word.strip_prefix("--"))
        .map(|word| {
            word.chars()
                .take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
                .collect::<String>()
        })
        .map(|word| word.replace('_', "-"))
        .collect()
}

/// Everything between the option file and the user's own arguments.
pub(super) fn arguments(url: &DatabaseUrl, client: &Client, server: &Server) -> Result<Vec<String>> {
    let mut arguments: Vec<String> = Vec::new();
    match &url.address {
        Address::Tcp(host) => {
            // Without the protocol the clients take `localhost` for their default socket.
            arguments.push("--protocol=tcp".to_owned());
            arguments.push(format!("--host={host}"));
            arguments.push(format!("--port={}", url.port()));
            tls(url, client, &mut arguments)?;
        }
        Address::Socket(path) => {
            arguments.push("--protocol=socket".to_owned());
            arguments.push(format!("--socket={}", path.display()));
        }
    }
    arguments.extend(
        [
            // One snapshot of everything transactional, nobody is locked out, and rows are not gathered in the client's memory.
            "--single-transaction",
            "--skip-lock-tables",
            "--quick",
            "--routines",
            "--events",
            "--triggers",
            // The trailer that says that the dump is complete is a comment.
            "--comments",
            // Binary columns come as `_binary '…'`, which is exact and half as long as `--hex-blob`.
            "--default-character-set=utf8mb4",
            "--max-allowed-packet=1G",
        ]
        .map(str::to_owned),
    );
    let seconds = 365 * 24 * 3600;
    for (option, argument) in [
        // Needs PROCESS, and names files that the target does not have.
        ("no-tablespaces", "--no-tablespaces".to_owned()),
        // Asks for a table that only MySQL 8 and later have.
        ("column-statistics", "--column-statistics=0".to_owned()),
        // The statement needs rights that managed servers do not give, and taking it locks the whole server for a moment.
        ("set-gtid-purged", "--set-gtid-purged=OFF".to_owned()),
        ("network-timeout", "--network-timeout".to_owned()),
    ] {
        if client.has(option) {
            arguments.push(argument);
        }
    }
    if client.has("init-command") {
        let limit = if server.mariadb { "max_statement_time" } else { "max_execution_time" };
        arguments.push(format!(
            "--init-command=SET SESSION net_write_timeout={seconds}, net_read_timeout={seconds}, wait_timeout={seconds}, {limit}=0"
        ));
    }
    Ok(arguments)
}

/// The makers' options differ: MySQL has a mode, MariaDB a switch and a check.
fn tls(url: &DatabaseUrl, client: &Client, arguments: &mut Vec<String>) -> Result<()> {
    let mode = url.tls_mode();
    if client.mariadb {
        match mode {
            TlsMode::Disable => arguments.push("--skip-ssl".to_owned()),
            // From 11.4 on the check is on by default, which `require` does not ask for.
            TlsMode::Prefer | TlsMode::Require => {
                arguments.extend(["--ssl", "--skip-ssl-verify-server-cert"].map(str::to_owned));
            }
            // The client knows no check of the authority alone; this one is stricter than what was asked for.
            TlsMode::VerifyCa | TlsMode::VerifyFull => {
                arguments.extend(["--ssl", "--ssl-verify-server-cert"].map(str::to_owned));
            }
        }
    } else if client.has("ssl-mode") {
        let word = match mode {
            TlsMode::Disable => "DISABLED",
            TlsMode::Prefer => "PREFERRED",
            TlsMode::Require => "REQUIRED",
            TlsMode::VerifyCa => "VERIFY_CA",
            TlsMode::VerifyFull => "VERIFY_IDENTITY",
        };
        arguments.push(format!("--ssl-mode={word}"));
        // Without encryption a caching_sha2_password account needs the server's key to hide its password.
        if mode < TlsMode::Require && client.has("get-server-public-key") {
            arguments.push("--get-server-public-key".to_owned());
        }
    } else if mode > TlsMode::Prefer {
        return Err(Error::source(format!("the client {} does not know --ssl-mode", client.version))
            .hint("install a client of MySQL 5.7 or later, or of MariaDB"));
    }
    if mode == TlsMode::Disable {
        return Ok(());
    }
    if let Some(roots) = trust::roots(&url.tls, mode)? {
        arguments.push(format!("--ssl-ca={}", roots.display()));
    }
    if let (Some(cert), Some(key)) = (&url.tls.client_cert, &url.tls.client_key) {
        arguments.push(format!("--ssl-cert={}", cert.display()));
        arguments.push(format!("--ssl-key={}", key.display()));
    }
    Ok(())
}

/// What to dump; comes last.
pub(super) fn databases(url: &DatabaseUrl) -> Vec<String> {
    match url.databases.as_slice() {
        [] => vec!["--all-databases".to_owned()],
        [one] => vec!["--".to_owned(), one.clone()],
        several => ["--databases", "--"]
            .iter()
            .map(|word| (*word).to_owned())
            .chain(several.iter().cloned())
            .collect(),
    }
}

/// The option file with the account, in the syntax that both makers read.
pub(super) fn option_file(url: &DatabaseUrl) -> String {
    let mut text = "[client]\n".to_owned();
    let mut line = |name: &str, value: &str| {
        text.push_str(name);
        // Inside double quotes `#` does not begin a comment, and spaces at the ends stay.
        text.push_str("=\"");
        for c in value.chars() {
            match c {
                '\\' => text.push_str("\\\\"),
                '"' => text.push_str("\\\""),
                '\n' => text.push_str("\\n"),
                '\r' => text.push_str("\\r"),
                '\t' => text.push_str("\\t"),
                c => text.push(c),
            }
        }
        text.push_str("\"\n");
    };
    if let Some(user) = &url.user {
        line("user", user);
    }
    // Given even when there is none, so that the client never asks the terminal.
    line("password", url.password.as_ref().map_or("", Secret::expose));
    text
}

/// Whether the user's own arguments leave out a kind of object.
pub(super) fn turned_off(arguments: &[String], kind: &str) -> bool {
    arguments.iter().any(|argument| {
        let (name, value) = split(argument);
        [format!("skip-{kind}"), format!("disable-{kind}")].contains(&name)
            || (name == kind && matches!(value.to_ascii_lowercase().as_str(), "0" | "off" | "false"))
    })
}

/// Name without dashes in front and with dashes inside, and value.
fn split(argument: &str) -> (String, &str) {
    let (name, value) = argument.split_once('=').unwrap_or((argument, ""));
    let name = name.trim_start_matches('-').replace('_', "-").to_ascii_lowercase();
    (name.strip_prefix("loose-").map(str::to_owned).unwrap_or(name), value)
}

/// Long options that would break the dump or what dbferry promises of it, and why.
const REFUSED: &[(&str, &str)] = &[
    ("result-file", "the dump goes to the destination"),
    ("tab", "the dump is one stream"),
    ("xml", "the dump must be SQL"),
    ("compact", "it removes the trailer that tells a complete dump from a cut one"),
    ("skip-comments", "it removes the trailer that tells a complete dump from a cut one"),
    ("disable-comments", "it removes the trailer that tells a complete dump from a cut one"),
    ("force", "it goes on after errors"),
    ("log-error", "it hides the client's messages"),
    ("skip-quick", "it gathers whole tables in memory"),
    ("disable-quick", "it gathers whole tables in memory"),
    ("skip-opt", "it gathers whole tables in memory; name the single options instead"),
    ("password", "arguments are visible to everyone on the machine; give it in the URL or the environment"),
    ("user", "the URL names it"),
    ("host", "the URL names it"),
    ("port", "the URL names it"),
    ("socket", "the URL names it"),
    ("protocol", "the URL names it"),
    ("databases", "the URL names them"),
    ("all-databases", "leave the path of the URL empty"),
    ("tables", "the URL names the databases; leave tables out with --ignore-table=db.table"),
    ("defaults-file", "the option file carries the account"),
    ("defaults-extra-file", "the option file carries the account"),
    ("defaults-group-suffix", "the option file carries the account"),
    ("no-defaults", "the option file carries the account"),
    ("print-defaults", "it prints the password"),
    ("login-path", "the URL names the account"),
    ("help", "it does not dump"),
    ("version", "it does not dump"),
];
/// The same, by their letters.
const REFUSED_LETTERS: &[(char, &str)] = &[
    ('r', "result-file"),
    ('T', "tab"),
    ('X', "xml"),
    ('f', "force"),
    ('p', "password"),
    ('u', "user"),
    ('h', "host"),
    ('P', "port"),
    ('S', "socket"),
    ('B', "databases"),
    ('A', "all-databases"),
    ('?', "help"),
    ('I', "help"),
    ('V', "version"),
];

/// Refuses what would break the dump. The clients accept any unambiguous beginning of an option, and so does this.
pub(super) fn check_arguments(arguments: &[String]) -> Result<()> {
    let refused = |shown: &str, name: &str| {
        let reason = REFUSED.iter().find(|(refused, _)| *refused == name).map_or("", |(_, reason)| *reason);
        Error::usage(format!("the dump client's option {shown} cannot be used: {reason}"))
    };
    for argument in arguments {
        let (name, value) = split(argument);
        if argument.starts_with("--") && !name.is_empty() {
            if let Some((full, _)) = REFUSED.iter().find(|(refused, _)| refused.starts_with(&name)) {
                return Err(refused(&format!("--{name}"), full));
            }
            if matches!(name.as_str(), "comments" | "quick" | "opt")
                && matches!(value.to_ascii_lowercase().as_str(), "0" | "off" | "false")
            {
                return Err(refused(&format!("--{name}=0"), &format!("skip-{name}")));
            }
        } else if argument.starts_with('-') && argument.len() > 1 && !argument.starts_with("--") {
            for letter in argument.chars().skip(1) {
                if let Some((_, full)) = REFUSED_LETTERS.iter().find(|(refused, _)| *refused == letter) {
                    return Err(refused(&format!("-{letter}"), full));
                }
                // The rest of the word is its value.
                if letter == 'w' || letter == '#' {
                    break;
                }
            }
        } else {
            return Err(Error::usage("an argument for the dump client begins with a dash")
                .hint("write an option and its value as one word: --where=id>5"));
        }
    }
    Ok(())
}
