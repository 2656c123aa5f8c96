//! Where a database is and how to get in: what a URL says, with its secrets kept out of everything that is printed.
//!
//! The forms that occur in the field are all accepted: Rails' `mysql2://`, libpq's socket directories, IPv6 in brackets. What is not
//! understood is refused, because a misspelt `sslmode` that is silently ignored sends a password in the clear.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

#[cfg(test)]
mod tests;

/// Text that must not be seen. `Debug` and `Display` print asterisks.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one place that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("****")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("****")
    }
}

/// The family of protocols that a database speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Engine {
    /// MySQL, MariaDB, Percona Server.
    Mysql,
    /// PostgreSQL.
    Postgres,
    /// Redis, Valkey.
    Redis,
}

impl Engine {
    fn of_scheme(scheme: &str) -> Option<Self> {
        match scheme {
            "mysql" | "mariadb" | "mysql2" => Some(Self::Mysql),
            "postgres" | "postgresql" => Some(Self::Postgres),
            "redis" | "rediss" => Some(Self::Redis),
            _ => None,
        }
    }

    fn default_port(self) -> u16 {
        match self {
            Self::Mysql => 3306,
            Self::Postgres => 5432,
            Self::Redis => 6379,
        }
    }
}

/// Whether the connection is encrypted, and whom it trusts. The words are libpq's; MySQL's own (`REQUIRED`, `VERIFY_IDENTITY`) mean the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum TlsMode {
    /// Never encrypted.
    Disable,
    /// Encrypted where the server offers it; nobody's certificate is checked.
    #[default]
    Prefer,
    /// Encrypted or not at all; the certificate is not checked.
    Require,
    /// Encrypted, and signed by a trusted authority.
    VerifyCa,
    /// Encrypted, signed by a trusted authority, and issued to the host of the URL.
    VerifyFull,
}

impl TlsMode {
    /// libpq's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Disable => "disable",
            Self::Prefer => "prefer",
            Self::Require => "require",
            Self::VerifyCa => "verify-ca",
            Self::VerifyFull => "verify-full",
        }
    }

    fn parse(word: &str) -> Option<Self> {
        Some(match word.to_ascii_lowercase().replace('_', "-").as_str() {
            "disable" | "disabled" => Self::Disable,
            "prefer" | "preferred" => Self::Prefer,
            "require" | "required" => Self::Require,
            "verify-ca" => Self::VerifyCa,
            "verify-full" | "verify-identity" => Self::VerifyFull,
            _ => return None,
        })
    }
}

/// Encryption of the connection.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tls {
    /// As asked; `None` leaves it to the default, [`TlsMode::Prefer`] (for `rediss`, [`TlsMode::VerifyFull`]).
    pub mode: Option<TlsMode>,
    /// Authorities to trust, a PEM file, instead of the well-known ones.
    pub root_cert: Option<PathBuf>,
    /// Our own certificate, a PEM file.
    pub client_cert: Option<PathBuf>,
    /// The key of our own certificate, a PEM file.
    pub client_key: Option<PathBuf>,
}

/// How a server is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// By name or number; an IPv6 address stands without its brackets.
    Tcp(String),
    /// By a socket. For PostgreSQL this is the directory of the socket, as libpq has it.
    Socket(PathBuf),
}

/// A parsed database URL. `Display` prints it again without its password.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseUrl {
    /// The scheme as it was written, in lower case.
    pub scheme: String,
    /// What it stands for.
    pub engine: Engine,
    /// The account, if one is given.
    pub user: Option<String>,
    /// Its password, if one is given.
    pub password: Option<Secret>,
    /// Where the server is.
    pub address: Address,
    /// The port, if one is given.
    pub port: Option<u16>,
    /// The databases in the path, in their order; none means all.
    pub databases: Vec<String>,
    /// Encryption.
    pub tls: Tls,
    /// What else the query says, by its canonical name.
    pub parameters: BTreeMap<String, String>,
}

/// How a parameter is treated: its canonical name, and its spellings without `-` and `_`.
type Known = (&'static str, &'static [&'static str]);

const TLS_PARAMETERS: &[Known] = &[
    ("sslmode", &["sslmode", "tls"]),
    ("sslrootcert", &["sslrootcert", "sslca"]),
    ("sslcert", &["sslcert"]),
    ("sslkey", &["sslkey"]),
    ("connect_timeout", &["connecttimeout"]),
];
const MYSQL_PARAMETERS: &[Known] = &[("socket", &["socket"])];
/// Settings of Rails' connection pool, which URLs in Rails' configuration carry and which mean nothing to a dump.
const RAILS_PARAMETERS: &[Known] = &[
    ("encoding", &["encoding"]),
    ("collation", &["collation"]),
    ("pool", &["pool"]),
    ("reconnect", &["reconnect"]),
    ("read_timeout", &["readtimeout"]),
    ("write_timeout", &["writetimeout"]),
    ("checkout_timeout", &["checkouttimeout"]),
];
const POSTGRES_PARAMETERS: &[Known] = &[
    ("host", &["host"]),
    ("port", &["port"]),
    ("user", &["user"]),
    ("password", &["password"]),
    ("dbname", &["dbname"]),
    ("application_name", &["applicationname"]),
    ("options", &["options"]),
];
const REDIS_PARAMETERS: &[Known] =
    &[("socket", &["socket"]), ("db", &["db"]), ("sentinel", &["sentinel", "sentinelmaster"])];

impl DatabaseUrl {
    /// True when the text begins with a scheme of a database.
    pub fn recognizes(text: &str) -> bool {
        text.split_once("://")
            .is_some_and(|(scheme, _)| Engine::of_scheme(&scheme.to_ascii_lowercase()).is_some())
    }

    /// Parses a URL. Errors are usage errors and never repeat any part of the text that could be a password.
    pub fn parse(text: &str) -> Result<Self> {
        let (scheme, rest) = text.split_once("://").ok_or_else(|| {
            Error::usage("a database URL begins with a scheme, such as mysql:// or postgres://")
        })?;
        let scheme = scheme.to_ascii_lowercase();
        let engine = Engine::of_scheme(&scheme).ok_or_else(|| {
            Error::usage("the scheme of the database URL is not known")
                .hint("known: mysql, mariadb, mysql2, postgres, postgresql, redis, rediss")
        })?;

        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, tail) = rest.split_at(end);
        // A password with a bare `/` or `?` ends the authority early; its second half and the `@` then land here. Nothing of it may
        // be taken for a database or a parameter, which would be printed.
        if tail.contains('@') {
            return Err(Error::usage(format!("the {scheme} URL has an @ after its host"))
                .hint("in a user, password or database name write / as %2F, ? as %3F, # as %23, @ as %40 and % as %25"));
        }
        if tail.contains('#') {
            return Err(Error::usage(format!("the {scheme} URL has a #, which begins a fragment"))
                .hint("write # as %23"));
        }
        let (path, query) = tail.split_once('?').unwrap_or((tail, ""));
        let (userinfo, location) = match authority.rsplit_once('@') {
            Some((userinfo, location)) => (Some(userinfo), location),
            None => (None, authority),
        };
        let (user, password) = parse_userinfo(userinfo, &scheme)?;
        let (host, port) = parse_location(location, &scheme)?;

        let mut url = Self {
            engine,
            user,
            password,
            address: Address::Tcp("localhost".to_owned()),
            port,
            databases: parse_databases(path, &scheme)?,
            tls: Tls::default(),
            parameters: BTreeMap::new(),
            scheme,
        };
        if host.starts_with('/') {
            url.address = Address::Socket(PathBuf::from(host));
        } else if !host.is_empty() {
            url.address = Address::Tcp(host);
        }
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            url.apply(pair)?;
        }
        url.check()?;
        Ok(url)
    }

    /// The port, given or by default.
    pub fn port(&self) -> u16 {
        self.port.unwrap_or_else(|| self.engine.default_port())
    }

    /// The host, unless a socket is used.
    pub fn host(&self) -> Option<&str> {
        match &self.address {
            Address::Tcp(host) => Some(host),
            Address::Socket(_) => None,
        }
    }

    /// The socket, if one is used.
    pub fn socket(&self) -> Option<&Path> {
        match &self.address {
            Address::Tcp(_) => None,
            Address::Socket(path) => Some(path),
        }
    }

    /// The mode of encryption, asked for or by default.
    pub fn tls_mode(&self) -> TlsMode {
        self.tls.mode.unwrap_or(if self.scheme == "rediss" { TlsMode::VerifyFull } else { TlsMode::Prefer })
    }

    /// `host:port`, or the socket's path: for messages.
    pub fn place(&self) -> String {
        match &self.address {
            Address::Tcp(host) if host.contains(':') => format!("[{host}]:{}", self.port()),
            Address::Tcp(host) => format!("{host}:{}", self.port()),
            Address::Socket(path) => path.display().to_string(),
        }
    }

    fn known(&self) -> impl Iterator<Item = &'static Known> {
        let own = match self.engine {
            Engine::Mysql => MYSQL_PARAMETERS,
            Engine::Postgres => POSTGRES_PARAMETERS,
            Engine::Redis => REDIS_PARAMETERS,
        };
        let rails = if self.engine == Engine::Redis { &[][..] } else { RAILS_PARAMETERS };
        TLS_PARAMETERS.iter().chain(own).chain(rails)
    }

    fn apply(&mut self, pair: &str) -> Result<()> {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let name = decode(name, "a parameter name", &self.scheme)?;
        let value = decode(value, "a parameter", &self.scheme)?;
        let spelling: String =
            name.chars().filter(|c| !matches!(c, '-' | '_')).map(|c| c.to_ascii_lowercase()).collect();
        let Some((canonical, _)) = self.known().find(|(_, spellings)| spellings.contains(&spelling.as_str()))
        else {
            return Err(self.unknown(&name));
        };
        match *canonical {
            "sslmode" => {
                self.tls.mode = Some(TlsMode::parse(&value).ok_or_else(|| {
                    Error::usage(format!("{name} in the {} URL has an unknown value", self.scheme))
                        .hint("known: disable, prefer, require, verify-ca, verify-full")
                })?);
            }
            "sslrootcert" => self.tls.root_cert = Some(PathBuf::from(value)),
            "sslcert" => self.tls.client_cert = Some(PathBuf::from(value)),
            "sslkey" => self.tls.client_key = Some(PathBuf::from(value)),
            "socket" => self.address = Address::Socket(PathBuf::from(value)),
            "host" if value.starts_with('/') => self.address = Address::Socket(PathBuf::from(value)),
            "host" => self.address = Address::Tcp(value),
            "port" => self.port = Some(parse_port(&value, &self.scheme)?),
            "user" => self.user = Some(value),
            "password" => self.password = Some(Secret::new(value)),
            "dbname" | "db" => self.databases = vec![value],
            canonical => {
                self.parameters.insert(canonical.to_owned(), value);
            }
        }
        Ok(())
    }

    fn unknown(&self, name: &str) -> Error {
        let nearest = self
            .known()
            .map(|(canonical, _)| (*canonical, distance(canonical, &name.to_ascii_lowercase())))
            .min_by_key(|(_, distance)| *distance)
            .filter(|(_, distance)| *distance <= 3);
        let error = Error::usage(format!("the {} URL has an unknown parameter: {name}", self.scheme));
        if let Some((canonical, _)) = nearest {
            return error.hint(format!("did you mean {canonical}?"));
        }
        let all: Vec<&str> = self.known().map(|(canonical, _)| *canonical).collect();
        error.hint(format!("known: {}", all.join(", ")))
    }

    fn check(&self) -> Result<()> {
        let scheme = &self.scheme;
        if let Some(seconds) = self.parameters.get("connect_timeout")
            && seconds.parse::<u32>().is_err()
        {
            return Err(Error::usage(format!(
                "connect_timeout in the {scheme} URL is not a number of seconds"
            )));
        }
        if self.tls.client_cert.is_some() != self.tls.client_key.is_some() {
            return Err(Error::usage(format!(
                "the {scheme} URL names only one of a client certificate and its key"
            ))
            .hint("give both sslcert and sslkey"));
        }
        if matches!(&self.address, Address::Tcp(host) if host.contains(',')) {
            return Err(Error::usage(format!("the {scheme} URL names several hosts")).hint("name one host"));
        }
        if self.engine == Engine::Redis {
            if let Some(bad) = self.databases.iter().find(|db| db.parse::<u32>().is_err()) {
                return Err(Error::usage(format!("a Redis database is a number, not {bad}")));
            }
            if scheme == "rediss" && self.tls.mode == Some(TlsMode::Disable) {
                return Err(Error::usage("rediss:// asks for TLS and sslmode=disable forbids it")
                    .hint("use redis://"));
            }
        }
        if self.engine == Engine::Postgres && self.databases.len() > 1 {
            return Err(Error::usage("a PostgreSQL URL names one database, or none for all of them")
                .hint("run once for each database, or leave the path empty"));
        }
        Ok(())
    }
}

fn parse_userinfo(userinfo: Option<&str>, scheme: &str) -> Result<(Option<String>, Option<Secret>)> {
    let Some(userinfo) = userinfo else { return Ok((None, None)) };
    let (user, password) = match userinfo.split_once(':') {
        Some((user, password)) => (user, Some(password)),
        None => (userinfo, None),
    };
    let user = decode(user, "the user", scheme)?;
    let password = password.map(|text| decode(text, "the password", scheme)).transpose()?;
    Ok((Some(user).filter(|user| !user.is_empty()), password.map(Secret::new)))
}

fn parse_location(location: &str, scheme: &str) -> Result<(String, Option<u16>)> {
    let (host, port) = if let Some(inner) = location.strip_prefix('[') {
        let (host, after) = inner
            .split_once(']')
            .ok_or_else(|| Error::usage(format!("the {scheme} URL has an IPv6 address without its ]")))?;
        if host.parse::<std::net::Ipv6Addr>().is_err() {
            return Err(Error::usage(format!(
                "the {scheme} URL has brackets around something that is not an IPv6 address"
            )));
        }
        match after.strip_prefix(':') {
            Some(port) => (host.to_owned(), port),
            None if after.is_empty() => (host.to_owned(), ""),
            None => return Err(Error::usage(format!("the {scheme} URL has text after its IPv6 address"))),
        }
    } else {
        let (host, port) = location.split_once(':').unwrap_or((location, ""));
        if port.contains(':') {
            return Err(Error::usage(format!("the {scheme} URL has more than one colon after its user"))
                .hint("write an IPv6 address in brackets, as [::1]:3306"));
        }
        (decode(host, "the host", scheme)?, port)
    };
    let port = if port.is_empty() { None } else { Some(parse_port(port, scheme)?) };
    Ok((host, port))
}

/// The text is not repeated: with a mistyped URL it is half of a password.
fn parse_port(text: &str, scheme: &str) -> Result<u16> {
    text.parse().ok().filter(|port| *port != 0).ok_or_else(|| {
        Error::usage(format!("the port of the {scheme} URL is not a number from 1 to 65535"))
            .hint("if this was meant to be part of a password, write / as %2F, ? as %3F, # as %23, @ as %40 and % as %25")
    })
}

fn parse_databases(path: &str, scheme: &str) -> Result<Vec<String>> {
    let path = path.strip_prefix('/').unwrap_or(path);
    let path = path.strip_suffix('/').unwrap_or(path);
    if path.is_empty() {
        return Ok(Vec::new());
    }
    let mut databases: Vec<String> = Vec::new();
    // Split first: a comma or a slash inside a name is written %2C or %2F.
    for name in path.split(',') {
        if name.contains('/') {
            return Err(Error::usage(format!("the {scheme} URL has a / inside its database name"))
                .hint("write / as %2F; several databases are separated by commas"));
        }
        let name = decode(name, "a database name", scheme)?;
        if name.is_empty() {
            return Err(Error::usage(format!("the {scheme} URL has an empty database name")));
        }
        if databases.contains(&name) {
            return Err(Error::usage(format!("the {scheme} URL names the database {name} twice")));
        }
        databases.push(name);
    }
    Ok(databases)
}

/// Percent-decoding that refuses what it does not understand: `%zz` in a password is a mistake, not three characters.
fn decode(text: &str, what: &str, scheme: &str) -> Result<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        if byte != b'%' {
            bytes.push(byte);
            rest = tail;
            continue;
        }
        let digit = |index: usize| tail.get(index).and_then(|b| char::from(*b).to_digit(16));
        let (Some(high), Some(low)) = (digit(0), digit(1)) else {
            return Err(Error::usage(format!(
                "{what} in the {scheme} URL has a % without two hexadecimal digits"
            ))
            .hint("write % as %25"));
        };
        bytes.push(u8::try_from(high * 16 + low).unwrap_or_default());
        rest = &tail[2..];
    }
    if bytes.contains(&0) {
        return Err(Error::usage(format!("{what} in the {scheme} URL has a zero byte")));
    }
    String::from_utf8(bytes)
        .map_err(|_| Error::usage(format!("{what} in the {scheme} URL is not UTF-8 once decoded")))
}

/// Everything outside RFC 3986's unreserved set becomes `%XX`.
fn encode(text: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            write!(f, "{}", char::from(byte))?;
        } else {
            write!(f, "%{byte:02X}")?;
        }
    }
    Ok(())
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://", self.scheme)?;
        if let Some(user) = &self.user {
            encode(user, f)?;
        }
        if let Some(password) = &self.password {
            write!(f, ":{password}")?;
        }
        if self.user.is_some() || self.password.is_some() {
            f.write_str("@")?;
        }
        match &self.address {
            Address::Tcp(host) if host.contains(':') => write!(f, "[{host}]")?,
            Address::Tcp(host) => encode(host, f)?,
            Address::Socket(path) => encode(&path.to_string_lossy(), f)?,
        }
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        for (index, name) in self.databases.iter().enumerate() {
            f.write_str(if index == 0 { "/" } else { "," })?;
            encode(name, f)?;
        }
        if let Some(mode) = self.tls.mode {
            write!(f, "?sslmode={}", mode.as_str())?;
        }
        Ok(())
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DatabaseUrl({self})")
    }
}

impl std::str::FromStr for DatabaseUrl {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::parse(text)
    }
}

/// Levenshtein's distance, for "did you mean".
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let cost = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = cost.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
