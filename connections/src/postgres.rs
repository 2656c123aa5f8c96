//! Opens connections to PostgreSQL, and says in one line what is wrong when that fails.

use std::error::Error as _;

use pipeline::endpoint::{Address, DatabaseUrl, TlsMode};
use pipeline::{Error, Kind, Result};
use tokio_postgres::config::SslMode;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::{connect_timeout, tls};

pub mod wire;

/// Connects as the URL says; without a database, to `postgres`. The connection ends when the client is dropped.
pub async fn connect(url: &DatabaseUrl) -> Result<Client> {
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
    let limit = connect_timeout(url);
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

/// What an error of this server means to the user, as an error of the source.
pub fn explain(url: &DatabaseUrl, error: tokio_postgres::Error) -> Error {
    let place = url.place();
    if let Some(server) = error.as_db_error() {
        return from_server(url, server.code(), server.message()).caused_by(server.to_string());
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

fn from_server(url: &DatabaseUrl, code: &SqlState, message: &str) -> Error {
    let user = url.user.as_deref().unwrap_or_default();
    let database = url.databases.first().map_or("postgres", String::as_str);
    let described = if *code == SqlState::INVALID_PASSWORD {
        Error::source(format!("the user {user} or its password is wrong")).hint("look at user and password")
    } else if *code == SqlState::INVALID_AUTHORIZATION_SPECIFICATION {
        let refused = Error::source(format!("the user {user} is refused: {message}"));
        if message.ends_with("no encryption") {
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
        Error::source(format!("{} takes no connections now: {message}", url.place())).of_kind(Kind::Temporary)
    } else {
        Error::source(format!("the server refuses: {message}"))
    };
    described.with("error", code.code())
}
