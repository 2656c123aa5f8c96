//! Redis and Valkey: how a server is reached, by name, by socket, through TLS, or by asking Sentinel; and the words of its protocol.

use std::fmt;
use std::io;
use std::sync::Arc;

use pipeline::endpoint::{Address, DatabaseUrl, TlsMode};
use pipeline::{Context, Error, Kind, Result};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::{connect_timeout, tls};

mod cluster;
mod info;
pub mod refusal;
mod wire;

pub use cluster::{Map, pointed};
pub use info::Info;
pub use wire::{Reply, Stream, Wire, command};

/// Where the server itself is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Host or socket.
    pub address: Address,
    /// Port, for a host.
    pub port: u16,
    /// Sentinel gave it.
    pub by_sentinel: bool,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.address {
            Address::Tcp(host) if host.contains(':') => write!(f, "[{host}]:{}", self.port),
            Address::Tcp(host) => write!(f, "{host}:{}", self.port),
            Address::Socket(path) => write!(f, "{}", path.display()),
        }
    }
}

/// Which of a group of servers that Sentinel watches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// A replica, if a healthy one is there: reading it costs the primary nothing.
    Replica,
    /// The primary, which alone takes writes.
    Primary,
}

/// The address of the URL, or the one that Sentinel gives for the name in it.
pub async fn locate(url: &DatabaseUrl, role: Role, cx: &Context) -> Result<Place> {
    let at = Place { address: url.address.clone(), port: url.port(), by_sentinel: false };
    let Some(name) = url.parameters.get("sentinel") else { return Ok(at) };
    let mut wire = open(&at, url).await?;
    let mut sentinel = async |arguments: &[&[u8]]| -> Result<Reply> {
        match wire.call(arguments).await? {
            // A Sentinel has a password of its own as a rule, or none.
            Reply::Error(text) if text.starts_with("NOAUTH") => {
                log_in(&mut wire, url).await?;
                wire.call(arguments).await
            }
            reply => Ok(reply),
        }
    };
    let replicas = match sentinel(&[b"SENTINEL", b"REPLICAS", name.as_bytes()]).await? {
        Reply::Error(_) => sentinel(&[b"SENTINEL", b"SLAVES", name.as_bytes()]).await?,
        reply => reply,
    };
    if let Reply::Error(text) = &replicas
        && text.contains("No such master")
    {
        return Err(Error::source(format!("the Sentinel at {at} does not know `{name}`: {text}"))
            .hint("sentinel= names the primary as in `sentinel monitor NAME …`"));
    }
    if role == Role::Replica
        && let Some((host, port)) = healthy(&replicas)
    {
        cx.info(format!("Sentinel gives the replica {host}:{port} of `{name}`"));
        return Ok(Place { address: Address::Tcp(host), port, by_sentinel: true });
    }
    let primary = sentinel(&[b"SENTINEL", b"GET-MASTER-ADDR-BY-NAME", name.as_bytes()]).await?;
    let words = primary.texts();
    match words.as_slice() {
        [host, port] if port.parse::<u16>().is_ok() => {
            cx.info(match role {
                Role::Replica => {
                    format!(
                        "Sentinel knows no healthy replica of `{name}`: reading the primary {host}:{port}"
                    )
                }
                Role::Primary => format!("Sentinel gives the primary {host}:{port} of `{name}`"),
            });
            let port = port.parse().unwrap_or_default();
            Ok(Place { address: Address::Tcp(host.clone()), port, by_sentinel: true })
        }
        _ => Err(Error::source(format!("the Sentinel at {at} gave no address for `{name}`"))
            .of_kind(Kind::Temporary)
            .hint("ask it: redis-cli -p 26379 sentinel masters")),
    }
}

/// The first replica that Sentinel sees up and in touch with its primary.
fn healthy(replicas: &Reply) -> Option<(String, u16)> {
    let Reply::Array(replicas) = replicas else { return None };
    replicas.iter().find_map(|replica| {
        let words = replica.texts();
        let field =
            |name: &str| words.chunks_exact(2).find(|pair| pair[0] == name).map(|pair| pair[1].as_str());
        let up = !field("flags")?.split(',').any(|flag| flag.ends_with("down") || flag == "disconnected");
        (up && field("master-link-status")? == "ok").then_some(())?;
        Some((field("ip")?.to_owned(), field("port")?.parse().ok()?))
    })
}

/// Connects, and no more.
pub async fn open(place: &Place, url: &DatabaseUrl) -> Result<Wire> {
    let limit = connect_timeout(url);
    if let Ok(stream) = tokio::time::timeout(limit, stream(place, url)).await {
        return Ok(Wire::new(stream?, place.to_string()));
    }
    let error = unreachable(place).with("waited", format!("{} s", limit.as_secs()));
    // A server that expects no TLS waits for the end of what it takes for a command.
    Err(if url.tls_mode() > TlsMode::Prefer {
        error.hint("does this port speak TLS? redis:// connects without")
    } else {
        error
    })
}

/// Connects and logs in.
pub async fn enter(place: &Place, url: &DatabaseUrl) -> Result<Wire> {
    let mut wire = open(place, url).await?;
    log_in(&mut wire, url).await?;
    Ok(wire)
}

async fn log_in(wire: &mut Wire, url: &DatabaseUrl) -> Result<()> {
    let Some(password) = &url.password else { return Ok(()) };
    let password = password.expose().as_bytes();
    let reply = match &url.user {
        Some(user) => wire.call(&[b"AUTH", user.as_bytes(), password]).await?,
        None => wire.call(&[b"AUTH", password]).await?,
    };
    match reply {
        Reply::Error(text) => Err(refusal::explain(&text, "AUTH", url)),
        _ => Ok(()),
    }
}

fn unreachable(place: &Place) -> Error {
    Error::source(format!("cannot reach the server at {place}"))
        .of_kind(Kind::Temporary)
        .hint("is it running, and may this machine connect to it?")
}

async fn stream(place: &Place, url: &DatabaseUrl) -> Result<Box<dyn Stream>> {
    let host = match &place.address {
        Address::Socket(path) => {
            let stream =
                UnixStream::connect(path).await.map_err(|error| unreachable(place).caused_by(error))?;
            return Ok(Box::new(stream));
        }
        Address::Tcp(host) => host,
    };
    let stream = TcpStream::connect((host.as_str(), place.port))
        .await
        .map_err(|error| unreachable(place).caused_by(error))?;
    stream.set_nodelay(true).map_err(|error| unreachable(place).caused_by(error))?;
    // The protocol has no way to offer encryption, so unless it is asked for there is none.
    if url.tls_mode() <= TlsMode::Prefer {
        return Ok(Box::new(stream));
    }
    let name = ServerName::try_from(host.clone())
        .map_err(|error| Error::usage(format!("`{host}` cannot be in a certificate")).caused_by(error))?;
    let stream =
        TlsConnector::from(Arc::new(tls::config(url)?)).connect(name, stream).await.map_err(|error| {
            let talks_plain = error.kind() == io::ErrorKind::UnexpectedEof
                || error.to_string().contains("InvalidContentType");
            let refused = Error::source(format!("no TLS connection to {place}")).caused_by(error);
            if talks_plain {
                refused.hint("does this port speak TLS? redis:// connects without")
            } else {
                refused
                    .hint("sslrootcert= names a PEM file with the authority to trust; look at sslmode= too")
            }
        })?;
    Ok(Box::new(stream))
}
