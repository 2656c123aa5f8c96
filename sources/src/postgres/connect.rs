//! Looks at a server before it is dumped, and says in one line what is wrong when that fails.

use std::collections::BTreeMap;
use std::error::Error as _;
use std::time::Duration;

use pipeline::endpoint::{Address, DatabaseUrl, TlsMode};
use pipeline::{Error, Kind, Result};
use tokio_postgres::config::SslMode;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::tls;

/// Unless the URL says otherwise.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// What the plan needs to know.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) major: u32,
    /// Product and version.
    pub(super) version: String,
    /// Bytes that the databases occupy, indexes included: an upper bound for most.
    pub(super) bytes: Option<u64>,
    pub(super) facts: BTreeMap<String, String>,
}

pub(super) async fn inspect(url: &DatabaseUrl) -> Result<Server> {
    let client = connect(url).await?;
    let lost = |error: tokio_postgres::Error| explain(url, error);
    let row = client
        .query_one(
            "SELECT current_setting('server_version'), current_setting('server_version_num')::int4, \
             current_setting('server_encoding'), current_user::text, pg_is_in_recovery()",
            &[],
        )
        .await
        .map_err(lost)?;
    let version: String = row.get(0);
    let number: i32 = row.get(1);
    let standby: bool = row.get(4);
    let mut facts = BTreeMap::new();
    facts.insert("encoding".to_owned(), row.get::<_, String>(2));
    facts.insert("user".to_owned(), row.get::<_, String>(3));
    facts.insert("standby".to_owned(), standby.to_string());
    // Before the dump began: what it holds is at least this. Not everyone may ask, and that is no reason to stop.
    let position =
        if standby { "SELECT pg_last_wal_replay_lsn()::text" } else { "SELECT pg_current_wal_lsn()::text" };
    if let Ok(row) = client.query_one(position, &[]).await
        && let Ok(Some(lsn)) = row.try_get::<_, Option<String>>(0)
    {
        facts.insert("lsn_before".to_owned(), lsn);
    }
    let size = if url.databases.is_empty() {
        "SELECT sum(pg_database_size(oid))::int8 FROM pg_database WHERE datallowconn AND has_database_privilege(oid, 'CONNECT')"
    } else {
        "SELECT pg_database_size(current_database())"
    };
    let bytes = match client.query_one(size, &[]).await {
        Ok(row) => {
            row.try_get::<_, Option<i64>>(0).ok().flatten().and_then(|bytes| u64::try_from(bytes).ok())
        }
        Err(_) => None,
    };
    // Before version 10 the second number was part of the major version, and no client of today is older than those.
    let major = u32::try_from(number / 10_000).unwrap_or(0);
    Ok(Server { major, version: format!("PostgreSQL {version}"), bytes, facts })
}

async fn connect(url: &DatabaseUrl) -> Result<Client> {
    let mut config = Config::new();
    match &url.address {
        Address::Tcp(host) => config.host(host),
        Address::Socket(path) => config.host_path(path),
    };
    config
        .port(url.port())
        .dbname(url.databases.first().map_or("postgres", String::as_str))
        .application_name(url.parameters.get("application_name").map_or("dbferry", String::as_str))
        .ssl_mode(match (&url.address, url.tls_mode()) {
            (Address::Socket(_), _) | (_, TlsMode::Disable) => SslMode::Disable,
            (_, TlsMode::Prefer) => SslMode::Prefer,
            _ => SslMode::Require,
        });
    if let Some(user) = &url.user {
        config.user(user);
    }
    if let Some(password) = &url.password {
        config.password(password.expose());
    }
    if let Some(options) = url.parameters.get("options") {
        config.options(options);
    }
    let limit = url
        .parameters
        .get("connect_timeout")
        .and_then(|text| text.parse().ok())
        .filter(|seconds| *seconds > 0)
        .map_or(CONNECT_TIMEOUT, Duration::from_secs);
    let connector = MakeRustlsConnect::new(tls::config(url)?);
    let connecting = async {
        match config.connect(connector.clone()).await {
            // A server whose TLS cannot be used is spoken to without, as libpq does for `prefer`.
            Err(error) if url.tls_mode() == TlsMode::Prefer && is_tls(&error) => {
                config.clone().ssl_mode(SslMode::Disable).connect(connector).await
            }
            result => result,
        }
    };
    let (client, connection) = tokio::time::timeout(limit, connecting)
        .await
        .map_err(|_| {
            Error::source(format!("{} did not answer within {} s", url.place(), limit.as_secs())).hint(
                "is the host right, and does a firewall or network policy let this through? connect_timeout= sets the limit",
            )
        })?
        .map_err(|error| explain(url, error))?;
    // Ends when the client is dropped; what goes wrong on it, the client's own calls report.
    tokio::spawn(async move {
        connection.await.ok();
    });
    Ok(client)
}

fn is_tls(error: &tokio_postgres::Error) -> bool {
    error.to_string().contains("TLS handshake")
}

fn explain(url: &DatabaseUrl, error: tokio_postgres::Error) -> Error {
    let place = url.place();
    if let Some(server) = error.as_db_error() {
        return from_server(url, server);
    }
    // The Display of this error names only the step; the cause is behind it.
    let io = error.source().and_then(|source| source.downcast_ref::<std::io::Error>());
    let text = error.to_string();
    let described = if is_tls(&error) {
        let cause = error.source().map(ToString::to_string).unwrap_or_default();
        if cause.contains("does not support TLS") {
            Error::source(format!(
                "{place} does not offer TLS, and sslmode={} asks for it",
                url.tls_mode().as_str()
            ))
            .hint("enable TLS at the server, or use sslmode=prefer where the network can be trusted")
        } else if cause.contains("not valid for name") || cause.contains("NotValidForName") {
            Error::source(format!("TLS with {place} failed: the certificate is for another host"))
                .hint("connect by the name in the certificate, or use sslmode=verify-ca")
        } else if cause.contains("invalid peer certificate") {
            Error::source(format!(
                "TLS with {place} failed: the certificate is not signed by a trusted authority"
            ))
            .hint("name the authority's PEM file with sslrootcert=")
        } else {
            Error::source(format!("TLS with {place} failed"))
                .hint("look at sslmode, sslrootcert, sslcert and sslkey")
        }
    } else if text.contains("invalid configuration") {
        let cause = error.source().map(ToString::to_string).unwrap_or_default();
        if cause.contains("password") {
            Error::source(format!("{place} asks for a password, and none is given"))
                .hint("give the password in the URL, by the environment or by a file")
        } else {
            Error::source(format!("{place} cannot be connected to"))
        }
    } else if let Some(io) = io {
        from_io(url, io)
    } else {
        Error::source(format!("{place} does not speak the PostgreSQL protocol as expected"))
            .hint("is this the port of a PostgreSQL server?")
    };
    described.caused_by(error)
}

fn from_io(url: &DatabaseUrl, error: &std::io::Error) -> Error {
    use std::io::ErrorKind;
    let place = url.place();
    if let Some(directory) = url.socket() {
        return Error::source(format!(
            "the socket {}/.s.PGSQL.{} cannot be connected to",
            directory.display(),
            url.port()
        ))
        .hint("is the server running, and is this the directory of its socket?");
    }
    match error.kind() {
        ErrorKind::ConnectionRefused => {
            Error::source(format!("{place} refuses connections: nothing listens on this port"))
                .hint("look at the port, and whether the server runs and listens on more than localhost")
        }
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => {
            Error::source(format!("{place} cannot be reached")).hint("look at the host and the network")
        }
        ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof | ErrorKind::BrokenPipe => {
            Error::source(format!("{place} closed the connection"))
                .hint("is this the port of a PostgreSQL server?")
        }
        ErrorKind::InvalidData => Error::source(format!("{place} does not speak the PostgreSQL protocol"))
            .hint("is this the port of a PostgreSQL server?"),
        _ if error.to_string().contains("lookup") => {
            Error::source(format!("the host {} is not known", url.host().unwrap_or_default()))
                .hint("look at the host name; inside a cluster it is the name of the service")
        }
        _ => Error::source(format!("{place} cannot be connected to")),
    }
}

fn from_server(url: &DatabaseUrl, error: &tokio_postgres::error::DbError) -> Error {
    let user = url.user.as_deref().unwrap_or_default();
    let database = url.databases.first().map_or("postgres", String::as_str);
    let code = error.code();
    let described = if *code == SqlState::INVALID_PASSWORD {
        Error::source(format!("the user {user} or its password is wrong")).hint("look at user and password")
    } else if *code == SqlState::INVALID_AUTHORIZATION_SPECIFICATION {
        let refused = Error::source(format!("the user {user} is refused: {}", error.message()));
        if error.message().ends_with("no encryption") {
            refused.hint("this server wants TLS: use sslmode=require, or verify-full with sslrootcert")
        } else {
            refused.hint("look at the user, at sslmode, and at pg_hba.conf of the server")
        }
    } else if *code == SqlState::INVALID_CATALOG_NAME {
        Error::source(format!("the database {database} does not exist"))
            .hint("look at the database's name and its case")
    } else if *code == SqlState::INSUFFICIENT_PRIVILEGE {
        Error::source(format!("the user {user} may not connect to the database {database}"))
            .hint("grant CONNECT on the database")
    } else if *code == SqlState::TOO_MANY_CONNECTIONS
        || *code == SqlState::CANNOT_CONNECT_NOW
        || *code == SqlState::ADMIN_SHUTDOWN
    {
        Error::source(format!("{} takes no connections now: {}", url.place(), error.message()))
            .of_kind(Kind::Temporary)
    } else {
        Error::source(format!("the server refuses: {}", error.message()))
    };
    described.with("error", code.code()).caused_by(error.to_string())
}
