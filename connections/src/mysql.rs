//! Opens connections to MySQL and MariaDB, and says in one line what is wrong when that fails.

use std::time::Duration;

use mysql_async::{Conn, DriverError, IoError, Opts, OptsBuilder, SslOpts};
use pipeline::endpoint::{Address, DatabaseUrl, Secret, TlsMode};
use pipeline::{Error, Kind, Result};
use rustls::CertificateError;

use crate::{connect_timeout, trust};

pub mod wire;

/// Connects as the URL says, without a default database.
pub async fn connect(url: &DatabaseUrl) -> Result<Conn> {
    let mode = if url.socket().is_some() { TlsMode::Disable } else { url.tls_mode() };
    let encrypted = mode != TlsMode::Disable;
    match open(url, encrypted, None).await {
        // With `prefer`, encryption that cannot be had is done without, as the clients do.
        Err(Failure::Client(error)) if mode == TlsMode::Prefer && is_about_tls(&error) => {
            open(url, false, None).await.map_err(|failure| explain(url, failure))
        }
        // The library cannot leave the name alone out of its check. It can check for another name, though, and what `verify-ca` asks is
        // exactly that: a certificate of the trusted authority, whoever it is for.
        Err(Failure::Client(error)) if mode == TlsMode::VerifyCa => match name_in_certificate(&error) {
            Some(name) => open(url, true, Some(name)).await.map_err(|failure| explain(url, failure)),
            None => Err(explain(url, Failure::Client(error))),
        },
        result => result.map_err(|failure| explain(url, failure)),
    }
}

/// A name that the certificate is for, from the error that it is not for the host.
fn name_in_certificate(error: &mysql_async::Error) -> Option<String> {
    let mysql_async::Error::Io(IoError::Io(io)) = error else { return None };
    match io.get_ref()?.downcast_ref::<rustls::Error>()? {
        rustls::Error::InvalidCertificate(CertificateError::NotValidForNameContext { presented, .. }) => {
            presented
                .iter()
                .find_map(|name| name.strip_prefix("DnsName(\"")?.strip_suffix("\")"))
                .map(|name| name.replace('*', "any"))
        }
        _ => None,
    }
}

enum Failure {
    TimedOut(Duration),
    Client(mysql_async::Error),
    Other(Error),
}

async fn open(
    url: &DatabaseUrl,
    encrypted: bool,
    name: Option<String>,
) -> std::result::Result<Conn, Failure> {
    let mut builder = OptsBuilder::default()
        .user(url.user.clone())
        .pass(url.password.as_ref().map(Secret::expose))
        .prefer_socket(false)
        // Some servers' wait_timeout is seconds, and the client is looked for in between.
        .wait_timeout(Some(600));
    builder = match &url.address {
        Address::Tcp(host) => builder.ip_or_hostname(host).tcp_port(url.port()),
        Address::Socket(path) => builder.socket(Some(path.display().to_string())),
    };
    if encrypted {
        builder = builder.ssl_opts(ssl_options(url, name).map_err(Failure::Other)?);
    }
    let limit = connect_timeout(url);
    match tokio::time::timeout(limit, Conn::new(Opts::from(builder))).await {
        Err(_) => Err(Failure::TimedOut(limit)),
        Ok(result) => result.map_err(Failure::Client),
    }
}

fn ssl_options(url: &DatabaseUrl, name: Option<String>) -> Result<SslOpts> {
    let mode = url.tls_mode();
    let mut options = SslOpts::default()
        .with_danger_tls_hostname_override(name)
        .with_danger_accept_invalid_certs(mode < TlsMode::VerifyCa);
    if let Some(roots) = trust::roots(&url.tls, mode)? {
        options = options.with_root_certs(vec![roots.into()]).with_disable_built_in_roots(true);
    }
    if let (Some(cert), Some(key)) = (&url.tls.client_cert, &url.tls.client_key) {
        let identity = mysql_async::ClientIdentity::new(cert.clone().into(), key.clone().into());
        options = options.with_client_identity(Some(identity));
    }
    Ok(options)
}

fn is_about_tls(error: &mysql_async::Error) -> bool {
    matches!(
        error,
        mysql_async::Error::Driver(DriverError::NoClientSslFlagFromServer)
            | mysql_async::Error::Io(IoError::Tls(_))
    ) || matches!(error, mysql_async::Error::Io(IoError::Io(error)) if is_rustls(error))
}

/// rustls' own errors arrive as those of the stream.
fn is_rustls(error: &std::io::Error) -> bool {
    error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()).is_some()
}

fn explain(url: &DatabaseUrl, failure: Failure) -> Error {
    let place = url.place();
    let error = match failure {
        Failure::Other(error) => return error,
        Failure::TimedOut(limit) => {
            return Error::source(format!("{place} did not answer within {} s", limit.as_secs()))
                .hint("is the host right, and does a firewall or network policy let this through? connect_timeout= sets the limit");
        }
        Failure::Client(error) => error,
    };
    let described = match &error {
        mysql_async::Error::Server(server) => from_server(url, server.code, &server.message),
        mysql_async::Error::Driver(DriverError::NoClientSslFlagFromServer) => Error::source(format!(
            "{place} does not offer TLS, and sslmode={} asks for it",
            url.tls_mode().as_str()
        ))
        .hint("enable TLS at the server, or use sslmode=prefer where the network can be trusted"),
        mysql_async::Error::Io(IoError::Tls(tls)) => tls_failed(url, tls),
        mysql_async::Error::Io(IoError::Io(io)) if is_rustls(io) => tls_failed(url, io),
        mysql_async::Error::Io(IoError::Io(io)) => from_io(url, io),
        mysql_async::Error::Driver(DriverError::ConnectionClosed) => {
            Error::source(format!("{place} closed the connection"))
                .hint("is this the port of a MySQL server?")
        }
        // For an account that does not exist, MySQL 9 asks for a password by a plugin that it no longer has.
        mysql_async::Error::Driver(DriverError::UnknownAuthPlugin { name }) => Error::source(format!(
            "the user {} does not exist, or signs in by the plugin {name}, which is not supported",
            url.user.as_deref().unwrap_or_default()
        ))
        .hint("look at user and password; supported are caching_sha2_password, mysql_native_password and mysql_clear_password"),
        _ => Error::source(format!("{place} does not speak the MySQL protocol as expected"))
            .hint("is this the port of a MySQL server?"),
    };
    described.caused_by(error)
}

fn tls_failed(url: &DatabaseUrl, error: &dyn std::fmt::Display) -> Error {
    let text = error.to_string();
    let message = format!("TLS with {} failed", url.place());
    if text.contains("not valid for any names") {
        return Error::source(format!("{message}: the certificate names no host in its subjectAltName"))
            .hint("give the server a certificate with its name; those that MySQL makes for itself have none, and only sslmode=require takes them");
    }
    if text.contains("not valid for name") {
        return Error::source(format!("{message}: the certificate is for another host"))
            .hint("connect by the name in the certificate, or use sslmode=verify-ca");
    }
    if text.contains("UnknownIssuer") || text.contains("invalid peer certificate") {
        return Error::source(format!("{message}: the certificate is not signed by a trusted authority"))
            .hint("name the authority's PEM file with sslrootcert=");
    }
    Error::source(message).hint("look at sslmode, sslrootcert, sslcert and sslkey")
}

fn from_io(url: &DatabaseUrl, error: &std::io::Error) -> Error {
    use std::io::ErrorKind;
    let place = url.place();
    if let Some(socket) = url.socket() {
        return Error::source(format!("the socket {} cannot be connected to", socket.display()))
            .hint("is the server running, and is this its socket?");
    }
    let host = url.host().unwrap_or_default();
    match error.kind() {
        ErrorKind::ConnectionRefused => {
            Error::source(format!("{place} refuses connections: nothing listens on this port"))
                .hint("look at the port, and whether the server runs")
        }
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => {
            Error::source(format!("{place} cannot be reached")).hint("look at the host and the network")
        }
        ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof | ErrorKind::BrokenPipe => {
            Error::source(format!("{place} closed the connection"))
                .hint("is this the port of a MySQL server, and are you allowed to connect from here?")
        }
        _ if error.to_string().contains("lookup") => Error::source(format!("the host {host} is not known"))
            .hint("look at the host name; inside a cluster it is the name of the service"),
        _ => Error::source(format!("{place} cannot be connected to")),
    }
}

/// What an error of the server means to the user while connecting, as an error of the source.
pub fn from_server(url: &DatabaseUrl, code: u16, message: &str) -> Error {
    let user = url.user.as_deref().unwrap_or_default();
    match code {
        1045 | 1698 | 1862 if url.password.is_none() => {
            Error::source(format!("the user {user} is refused without a password"))
                .hint("give the password in the URL, by the environment or by a file")
        }
        1045 | 1698 | 1862 => Error::source(format!("the user {user} or its password is wrong")).hint(
            if url.tls_mode() == TlsMode::Disable {
                "look at user and password, and whether this account requires TLS"
            } else {
                "look at user and password, and from which hosts this user may connect"
            },
        ),
        1130 => Error::source(format!("{} does not accept connections from this host", url.place()))
            .hint("the account is bound to other hosts"),
        1129 | 1040 | 1203 => {
            Error::source(format!("{} takes no more connections now", url.place())).of_kind(Kind::Temporary)
        }
        1053 => Error::source(format!("{} is shutting down", url.place())).of_kind(Kind::Temporary),
        3159 => Error::source("the server requires TLS").hint("use sslmode=require"),
        _ => Error::source(format!("the server refuses: {message}")),
    }
    .with("error", code)
}
