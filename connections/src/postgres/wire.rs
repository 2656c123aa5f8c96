//! The protocol of PostgreSQL, for `COPY` results that are too large to be taken row by row into memory of their own.
//!
//! The published protocol: <https://www.postgresql.org/docs/current/protocol.html>. The server sends a message for every row; their contents
//! are put together behind one another as they lie in the receive buffer, without an allocation for a row. A result has ended when the server
//! says so with the number of rows and is ready for the next statement; a connection that closes before is an error.

use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use pipeline::endpoint::{Address, DatabaseUrl, Secret, TlsMode};
use pipeline::{Error, Kind, Result};
use postgres_protocol::authentication::{md5_hash, sasl};
use postgres_protocol::message::frontend;
use rustix::net::sockopt;
use rustls::pki_types::ServerName;
use sha2::{Digest, Sha256, Sha384, Sha512};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio_postgres::error::SqlState;
use tokio_rustls::TlsConnector;

use super::{from_io, from_server};
use crate::{connect_timeout, tls};

/// What is received at once. A row that is longer comes in pieces.
const BUFFER: usize = 256 << 10;

/// Bytes that a connection holds for as long as it lives.
pub const MEMORY: usize = BUFFER;

/// The longest message that is no row: a row of a small result, an error.
const LONGEST: usize = 16 << 20;

/// After so long without a word the kernel asks whether the other side is still there. Address translation forgets connections after minutes.
const SILENCE: Duration = Duration::from_secs(60);

/// Why a statement has no answer.
#[derive(Debug)]
pub enum Failure {
    /// The server says so.
    Server {
        /// The server's SQLSTATE.
        code: SqlState,
        /// In the server's words.
        message: String,
    },
    /// The connection is gone.
    Lost(io::Error),
}

impl Failure {
    fn protocol(what: &'static str) -> Self {
        Self::Lost(io::Error::new(io::ErrorKind::InvalidData, what))
    }

    /// The server's SQLSTATE, if it is the server that refuses.
    pub fn code(&self) -> Option<&SqlState> {
        match self {
            Self::Server { code, .. } => Some(code),
            Self::Lost(_) => None,
        }
    }

    /// As an error of the source.
    pub fn explain(self, url: &DatabaseUrl) -> Error {
        match self {
            Self::Server { code, message } => from_server(url, &code, &message),
            Self::Lost(error) => Error::source(format!("the connection to {} was lost", url.place()))
                .of_kind(Kind::Temporary)
                .caused_by(error),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Lost(error)
    }
}

type Answer<T> = std::result::Result<T, Failure>;

/// The cells of a row in the server's text; `None` for NULL.
pub type Row = Vec<Option<Vec<u8>>>;

trait Stream: AsyncRead + AsyncWrite + Send + Sync + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Stream for T {}

/// One connection. A statement whose result was not read to its end makes it useless: drop it.
pub struct Wire {
    stream: Box<dyn Stream>,
    buffer: Box<[u8]>,
    /// What was received and not yet handed out.
    held: Range<usize>,
    /// Bytes of a message of rows that are still to come.
    left: usize,
    /// The rows of the running `COPY` as the server counts them, once it has said so.
    counted: Option<u64>,
}

impl std::fmt::Debug for Wire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wire").finish_non_exhaustive()
    }
}

impl Wire {
    /// Connects and signs in as the URL says, which has to name a user; without a database, to `postgres`.
    pub async fn connect(url: &DatabaseUrl) -> Result<Self> {
        let mode = match url.address {
            Address::Tcp(_) => url.tls_mode(),
            Address::Socket(_) => TlsMode::Disable,
        };
        let connecting = async {
            match Self::open(url, mode).await {
                // A server whose TLS cannot be used is spoken to without, as libpq does for `prefer`.
                Err(Refusal::Tls(_)) if mode == TlsMode::Prefer => Self::open(url, TlsMode::Disable).await,
                result => result,
            }
        };
        let limit = connect_timeout(url);
        let place = url.place();
        tokio::time::timeout(limit, connecting)
            .await
            .map_err(|_| {
                Error::source(format!("{place} did not answer within {} s", limit.as_secs()))
                    .of_kind(Kind::Temporary)
            })?
            .map_err(|refusal| match refusal {
                Refusal::Failure(Failure::Lost(error)) => from_io(url, &error).caused_by(error),
                Refusal::Failure(failure) => failure.explain(url),
                Refusal::Tls(error) => Error::source(format!("TLS with {place} failed")).caused_by(error),
                Refusal::Other(error) => error,
            })
    }

    async fn open(url: &DatabaseUrl, mode: TlsMode) -> std::result::Result<Self, Refusal> {
        let mut binding = None;
        let stream: Box<dyn Stream> = match &url.address {
            Address::Socket(directory) => {
                let path = directory.join(format!(".s.PGSQL.{}", url.port()));
                Box::new(UnixStream::connect(path).await?)
            }
            Address::Tcp(host) => {
                let mut plain = TcpStream::connect((host.as_str(), url.port())).await?;
                plain.set_nodelay(true)?;
                sockopt::set_socket_keepalive(&plain, true).map_err(io::Error::from)?;
                sockopt::set_tcp_keepidle(&plain, SILENCE).map_err(io::Error::from)?;
                if mode != TlsMode::Disable && offers_tls(&mut plain).await? {
                    let config = tls::config(url).map_err(Refusal::Other)?;
                    let name = ServerName::try_from(host.clone())
                        .map_err(|error| Refusal::Tls(io::Error::other(error)))?;
                    let connector = TlsConnector::from(Arc::new(config));
                    let secure = connector.connect(name, plain).await.map_err(Refusal::Tls)?;
                    binding =
                        secure.get_ref().1.peer_certificates().and_then(|chain| end_point(chain.first()?));
                    Box::new(secure)
                } else if mode > TlsMode::Prefer {
                    return Err(Refusal::Tls(io::Error::other("the server does not offer TLS")));
                } else {
                    Box::new(plain)
                }
            }
        };
        let buffer = vec![0; BUFFER].into_boxed_slice();
        let mut wire = Self { stream, buffer, held: 0..0, left: 0, counted: None };
        let user = url
            .user
            .as_deref()
            .ok_or_else(|| Refusal::Other(Error::bug("a connection wants the name of its user")))?;
        let mut parameters = vec![
            ("user", user),
            ("database", url.databases.first().map_or("postgres", String::as_str)),
            ("application_name", url.parameters.get("application_name").map_or("dbferry", String::as_str)),
        ];
        if let Some(options) = url.parameters.get("options") {
            parameters.push(("options", options));
        }
        wire.send(|out| frontend::startup_message(parameters, out)).await?;
        wire.prove(user, url.password.as_ref().map(Secret::expose), binding).await?;
        loop {
            match wire.message().await? {
                (b'Z', _) => return Ok(wire),
                (b'E', body) => return Err(server_error(&body).into()),
                _ => {}
            }
        }
    }

    /// The dialogue behind the startup message, until the server is content.
    async fn prove(
        &mut self,
        user: &str,
        password: Option<&str>,
        binding: Option<Vec<u8>>,
    ) -> std::result::Result<(), Refusal> {
        let missing = || Refusal::Other(Error::source("the server asks for a password, and none is given"));
        let mut binding = binding;
        let mut scram: Option<sasl::ScramSha256> = None;
        loop {
            let (tag, body) = self.message().await?;
            let (kind, rest) = match (tag, body.split_first_chunk()) {
                (b'E', _) => return Err(server_error(&body).into()),
                (b'R', Some((kind, rest))) => (u32::from_be_bytes(*kind), rest),
                (b'N', _) => continue,
                _ => return Err(Failure::protocol("an unexpected answer to the password").into()),
            };
            match (kind, scram.as_mut()) {
                (0, _) => return Ok(()),
                (3, _) => {
                    let password = password.ok_or_else(missing)?;
                    self.send(|out| frontend::password_message(password.as_bytes(), out)).await?;
                }
                (5, _) => {
                    let salt =
                        rest.first_chunk().ok_or_else(|| Failure::protocol("a password without its salt"))?;
                    let password = password.ok_or_else(missing)?;
                    let proof = md5_hash(user.as_bytes(), password.as_bytes(), *salt);
                    self.send(|out| frontend::password_message(proof.as_bytes(), out)).await?;
                }
                (10, _) => {
                    let password = password.ok_or_else(missing)?;
                    let offered =
                        |name: &str| rest.split(|byte| *byte == 0).any(|word| word == name.as_bytes());
                    let plus = offered(sasl::SCRAM_SHA_256_PLUS);
                    let (mechanism, binding) = match binding.take() {
                        Some(digest) if plus => {
                            (sasl::SCRAM_SHA_256_PLUS, sasl::ChannelBinding::tls_server_end_point(digest))
                        }
                        // The server then refuses if it did offer it and somebody between took the offer away.
                        Some(_) => (sasl::SCRAM_SHA_256, sasl::ChannelBinding::unrequested()),
                        None => (sasl::SCRAM_SHA_256, sasl::ChannelBinding::unsupported()),
                    };
                    if !offered(mechanism) {
                        return Err(
                            Failure::protocol("the account signs in in a way that is not supported").into()
                        );
                    }
                    let begun = sasl::ScramSha256::new(password.as_bytes(), binding);
                    self.send(|out| frontend::sasl_initial_response(mechanism, begun.message(), out)).await?;
                    scram = Some(begun);
                }
                (11, Some(scram)) => {
                    scram.update(rest)?;
                    self.send(|out| frontend::sasl_response(scram.message(), out)).await?;
                }
                (12, Some(scram)) => scram.finish(rest)?,
                _ => {
                    return Err(
                        Failure::protocol("the account signs in in a way that is not supported").into()
                    );
                }
            }
        }
    }

    /// Sends statements without rows, and waits until they are done.
    pub async fn execute(&mut self, sql: impl AsRef<[u8]>) -> Answer<()> {
        self.rows(sql).await.map(|_| ())
    }

    /// Sends statements and takes the whole result, which has to be small.
    pub async fn rows(&mut self, sql: impl AsRef<[u8]>) -> Answer<Vec<Row>> {
        self.query(sql.as_ref()).await?;
        let mut rows = Vec::new();
        let mut failed = None;
        loop {
            let (tag, body) = match self.message().await {
                Ok(message) => message,
                // It said why it hangs up.
                Err(failure) => return Err(failed.unwrap_or(failure)),
            };
            match tag {
                b'D' => rows.push(cells(&body).ok_or_else(|| Failure::protocol("a garbled row"))?),
                b'E' => failed = failed.or(Some(server_error(&body))),
                b'Z' => return failed.map_or(Ok(rows), Err),
                b'G' | b'H' | b'W' => return Err(Failure::protocol("a copy nobody asked for")),
                _ => {}
            }
        }
    }

    /// Sends a `COPY … TO STDOUT`, with statements without rows before and behind it. [`Wire::fill`] takes its result.
    pub async fn copy(&mut self, sql: impl AsRef<[u8]>) -> Answer<()> {
        self.query(sql.as_ref()).await?;
        self.counted = None;
        loop {
            match self.message().await? {
                (b'H', _) => return Ok(()),
                (b'E', body) => return Err(self.failed(&body).await),
                (b'Z' | b'G' | b'W' | b'D', _) => {
                    return Err(Failure::protocol("no copy where one was asked for"));
                }
                _ => {}
            }
        }
    }

    /// Appends rows of the running copy until `into` has `limit` bytes. Answers how many rows there were, by the server's count, once it
    /// has sent them all and every statement behind them is done. An error of the server in the middle of the rows is an error here.
    pub async fn fill(&mut self, into: &mut Vec<u8>, limit: usize) -> Answer<Option<u64>> {
        loop {
            self.take(into, limit);
            if into.len() >= limit {
                return Ok(None);
            }
            if self.left > 0 || self.held.len() < 5 {
                self.receive().await?;
                continue;
            }
            if self.buffer[self.held.start] == b'd' {
                continue;
            }
            let (tag, body) = self.message().await?;
            match tag {
                b'C' => {
                    if let Some(count) = body.strip_prefix(b"COPY ") {
                        let count = count.strip_suffix(&[0]).unwrap_or(count);
                        self.counted = std::str::from_utf8(count).ok().and_then(|text| text.parse().ok());
                    }
                }
                b'E' => return Err(self.failed(&body).await),
                b'Z' => {
                    return self
                        .counted
                        .take()
                        .map(Some)
                        .ok_or_else(|| Failure::protocol("a copy without its number of rows"));
                }
                _ => {}
            }
        }
    }

    /// Moves what was received of the rows, without waiting.
    fn take(&mut self, into: &mut Vec<u8>, limit: usize) {
        while into.len() < limit {
            if self.left == 0 {
                let Some(&[b'd', a, b, c, d]) = self.buffer[self.held.clone()].first_chunk::<5>() else {
                    return;
                };
                // The length counts itself; a server that says less than that is found out by the next tag.
                self.left = (u32::from_be_bytes([a, b, c, d]) as usize).saturating_sub(4);
                self.held.start += 5;
            }
            let taken = self.left.min(self.held.len()).min(limit - into.len());
            into.extend_from_slice(&self.buffer[self.held.start..self.held.start + taken]);
            self.held.start += taken;
            self.left -= taken;
            if self.left > 0 {
                return;
            }
        }
    }

    async fn query(&mut self, sql: &[u8]) -> Answer<()> {
        if sql.contains(&0) {
            return Err(Failure::protocol("a statement with a zero byte"));
        }
        let length = u32::try_from(sql.len() + 5)
            .map_err(|_| Failure::protocol("a statement that is too long for the protocol"))?;
        let mut message = Vec::with_capacity(sql.len() + 6);
        message.push(b'Q');
        message.extend_from_slice(&length.to_be_bytes());
        message.extend_from_slice(sql);
        message.push(0);
        let sent = async {
            self.stream.write_all(&message).await?;
            self.stream.flush().await
        };
        let Err(error) = sent.await else { return Ok(()) };
        // A server that ended the session while nobody listened said why before it hung up.
        while let Ok((tag, body)) = self.message().await {
            if tag == b'E' {
                return Err(server_error(&body));
            }
        }
        Err(error.into())
    }

    /// An error of the server; then it waits for the next statement, unless it hung up.
    async fn failed(&mut self, body: &[u8]) -> Failure {
        let failure = server_error(body);
        while let Ok((tag, _)) = self.message().await {
            if tag == b'Z' {
                break;
            }
        }
        failure
    }

    /// A whole message that is no row of a copy.
    async fn message(&mut self) -> Answer<(u8, Vec<u8>)> {
        while self.held.len() < 5 {
            self.receive().await?;
        }
        let head = &self.buffer[self.held.start..self.held.start + 5];
        let tag = head[0];
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
        if !(4..=LONGEST).contains(&length) {
            return Err(Failure::protocol("a message of an impossible length"));
        }
        self.held.start += 5;
        let mut body = Vec::new();
        while body.len() < length - 4 {
            if self.held.is_empty() {
                self.receive().await?;
            }
            let taken = (length - 4 - body.len()).min(self.held.len());
            body.extend_from_slice(&self.buffer[self.held.start..self.held.start + taken]);
            self.held.start += taken;
        }
        Ok((tag, body))
    }

    /// Receives at least a byte behind what is held, which is never more than the beginning of a message.
    async fn receive(&mut self) -> io::Result<()> {
        self.buffer.copy_within(self.held.clone(), 0);
        self.held = 0..self.held.len();
        let received = self.stream.read(&mut self.buffer[self.held.end..]).await?;
        if received == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.held.end += received;
        Ok(())
    }

    async fn send(&mut self, message: impl FnOnce(&mut BytesMut) -> io::Result<()>) -> io::Result<()> {
        let mut bytes = BytesMut::new();
        message(&mut bytes)?;
        self.stream.write_all(&bytes).await?;
        self.stream.flush().await
    }
}

enum Refusal {
    Failure(Failure),
    Tls(io::Error),
    Other(Error),
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Self::Failure(Failure::Lost(error))
    }
}

/// Asks for TLS. One byte is the answer, and nothing that comes with it in plain text is ever looked at.
async fn offers_tls(plain: &mut TcpStream) -> std::result::Result<bool, Refusal> {
    let mut request = BytesMut::new();
    frontend::ssl_request(&mut request);
    plain.write_all(&request).await?;
    match plain.read_u8().await? {
        b'S' => Ok(true),
        b'N' => Ok(false),
        _ => Err(Failure::protocol("no answer to the request for TLS").into()),
    }
}

/// The digest of the server's certificate that binds a proof of the password to this very connection (RFC 5929, `tls-server-end-point`).
fn end_point(certificate: &[u8]) -> Option<Vec<u8>> {
    /// An element of DER: its content, and what stands behind it.
    fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
        let (&[found, first], rest) = der.split_first_chunk::<2>()?;
        let (length, rest) = match first {
            0..=127 => (usize::from(first), rest),
            0x81..=0x84 => {
                let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7F))?;
                (bytes.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)), rest)
            }
            _ => return None,
        };
        if found == tag { rest.split_at_checked(length) } else { None }
    }
    const SEQUENCE: u8 = 0x30;
    const IDENTIFIER: u8 = 0x06;
    let (content, _) = element(certificate, SEQUENCE)?;
    let (_, behind_what_is_signed) = element(content, SEQUENCE)?;
    let (algorithm, _) = element(behind_what_is_signed, SEQUENCE)?;
    let (identifier, _) = element(algorithm, IDENTIFIER)?;
    // 1.2.840.113549.1.1.N of PKCS #1, and 1.2.840.10045.4.3.N for elliptic curves. MD5 and SHA-1 are replaced by SHA-256.
    match identifier {
        [0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 1, 4 | 5 | 11] | [0x2A, 0x86, 0x48, 0xCE, 0x3D, 4, 3, 2] => {
            Some(Sha256::digest(certificate).to_vec())
        }
        [0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 1, 12] | [0x2A, 0x86, 0x48, 0xCE, 0x3D, 4, 3, 3] => {
            Some(Sha384::digest(certificate).to_vec())
        }
        [0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 1, 13] | [0x2A, 0x86, 0x48, 0xCE, 0x3D, 4, 3, 4] => {
            Some(Sha512::digest(certificate).to_vec())
        }
        _ => None,
    }
}

fn server_error(body: &[u8]) -> Failure {
    let mut code = None;
    let mut message = String::new();
    for field in body.split(|byte| *byte == 0) {
        match field.split_first() {
            Some((b'C', text)) => code = std::str::from_utf8(text).ok(),
            Some((b'M', text)) => message = String::from_utf8_lossy(text).into_owned(),
            _ => {}
        }
    }
    match code {
        Some(code) => Failure::Server { code: SqlState::from_code(code), message },
        None => Failure::protocol("a garbled error of the server"),
    }
}

fn cells(body: &[u8]) -> Option<Row> {
    let (count, mut rest) = body.split_first_chunk()?;
    let mut row = Vec::new();
    for _ in 0..u16::from_be_bytes(*count) {
        let (length, behind) = rest.split_first_chunk()?;
        rest = behind;
        row.push(match usize::try_from(i32::from_be_bytes(*length)) {
            Err(_) => None,
            Ok(length) => {
                let (cell, behind) = rest.split_at_checked(length)?;
                rest = behind;
                Some(cell.to_vec())
            }
        });
    }
    Some(row)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A connection whose server has said `bytes` and no more, in pieces of `cut`.
    fn heard(bytes: &[u8], cut: usize) -> Wire {
        let (near, mut far) = tokio::io::duplex(1 << 16);
        let pieces: Vec<Vec<u8>> = bytes.chunks(cut).map(<[u8]>::to_vec).collect();
        tokio::spawn(async move {
            for piece in pieces {
                far.write_all(&piece).await.unwrap();
                tokio::task::yield_now().await;
            }
            // The statement that was sent need not be read for the far side to hang up.
        });
        Wire {
            stream: Box::new(near),
            buffer: vec![0; BUFFER].into_boxed_slice(),
            held: 0..0,
            left: 0,
            counted: None,
        }
    }

    fn message(tag: u8, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
        [&[tag][..], &length, body].concat()
    }

    async fn copied(mut wire: Wire, limit: usize) -> Answer<(Vec<u8>, u64)> {
        wire.copy("COPY t TO STDOUT").await?;
        let (mut all, mut piece) = (Vec::new(), Vec::new());
        loop {
            let ended = wire.fill(&mut piece, limit).await?;
            assert!(piece.len() <= limit);
            all.append(&mut piece);
            if let Some(rows) = ended {
                return Ok((all, rows));
            }
        }
    }

    fn rows() -> Vec<u8> {
        [
            message(b'C', b"LOCK TABLE\0"),
            message(b'H', &[0, 0, 1, 0, 0]),
            message(b'd', b"one\n"),
            message(b'N', b"SNOTICE\0\0"),
            message(b'd', b"two\n"),
            message(b'd', &[b'x'; 700]),
            message(b'c', b""),
            message(b'C', b"COPY 3\0"),
            message(b'C', b"RELEASE\0"),
            message(b'Z', b"T"),
        ]
        .concat()
    }

    #[tokio::test]
    async fn rows_are_put_together_however_they_come() {
        let expected = [&b"one\ntwo\n"[..], &[b'x'; 700]].concat();
        for cut in [1, 2, 3, 5, 7, 64, 4096] {
            for limit in [1, 10, 100, 1 << 20] {
                let (all, count) = copied(heard(&rows(), cut), limit).await.unwrap();
                assert_eq!((&all, count), (&expected, 3), "{cut} {limit}");
            }
        }
    }

    #[tokio::test]
    async fn no_prefix_is_an_end() {
        let whole = rows();
        for length in 0..whole.len() {
            assert!(copied(heard(&whole[..length], 4096), 64).await.is_err(), "{length}");
        }
    }

    #[tokio::test]
    async fn an_error_among_the_rows_is_one() {
        let said = [
            message(b'H', &[0, 0, 1, 0, 0]),
            message(b'd', b"one\n"),
            message(b'E', b"SFATAL\0C57P01\0Mterminating connection\0\0"),
        ]
        .concat();
        let failure = copied(heard(&said, 3), 64).await.unwrap_err();
        assert_eq!(failure.code(), Some(&SqlState::ADMIN_SHUTDOWN));
    }

    #[tokio::test]
    async fn a_copy_that_is_not_counted_is_none() {
        let said = [
            message(b'H', &[0, 0, 1, 0, 0]),
            message(b'd', b"one\n"),
            message(b'c', b""),
            message(b'Z', b"T"),
        ]
        .concat();
        assert!(copied(heard(&said, 100), 64).await.is_err());
    }

    #[tokio::test]
    async fn what_the_server_said_before_it_hung_up_is_heard() {
        let mut wire = heard(&message(b'E', b"SFATAL\0C57P01\0Mterminating connection\0\0"), 100);
        // Long enough for the far side to be gone.
        tokio::time::sleep(Duration::from_millis(50)).await;
        let failure = wire.execute("SELECT 1").await.unwrap_err();
        assert_eq!(failure.code(), Some(&SqlState::ADMIN_SHUTDOWN));
    }

    #[test]
    fn garbled_rows_are_refused() {
        assert_eq!(cells(b"\0\x02\0\0\0\x01a\xFF\xFF\xFF\xFF"), Some(vec![Some(b"a".to_vec()), None]));
        for bad in [&b""[..], b"\0", b"\0\x01", b"\0\x01\0\0\0\x05abc"] {
            assert_eq!(cells(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn the_digest_of_a_certificate_follows_its_signature() {
        let certificate = |identifier: &[u8]| {
            let wrap = |tag: u8, content: &[u8]| {
                [&[tag, u8::try_from(content.len()).unwrap()][..], content].concat()
            };
            let algorithm = wrap(0x30, &wrap(0x06, identifier));
            wrap(0x30, &[wrap(0x30, b"what is signed"), algorithm].concat())
        };
        for (last, length) in [(2, 32), (3, 48), (4, 64)] {
            let der = certificate(&[0x2A, 0x86, 0x48, 0xCE, 0x3D, 4, 3, last]);
            assert_eq!(end_point(&der).map(|digest| digest.len()), Some(length));
            for cut in 0..der.len() {
                assert_eq!(end_point(&der[..cut]), None);
            }
        }
        assert_eq!(end_point(&certificate(&[0x2B, 0x65, 0x70])), None, "Ed25519 has no digest of its own");
    }
}
