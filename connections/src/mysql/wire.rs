//! The protocol of MySQL and MariaDB, for results that are too large to be taken row by row into memory of their own.
//!
//! The published protocol: <https://dev.mysql.com/doc/dev/mysql-server/latest/PAGE_PROTOCOL.html> and
//! <https://mariadb.com/kb/en/clientserver-protocol/>. Rows are handed out as they lie in the receive buffer, without an allocation for a
//! row or a cell. A result has ended when the server's final packet says so; a connection that closes before it is an error.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use mysql_common::constants::CapabilityFlags;
use mysql_common::crypto;
use mysql_common::io::ParseBuf;
use mysql_common::packets::{
    AuthPlugin, AuthSwitchRequest, ErrPacket, HandshakePacket, HandshakeResponse, SslRequest,
};
use mysql_common::proto::MySerialize;
use pipeline::endpoint::{Address, DatabaseUrl, Secret, TlsMode};
use pipeline::{Error, Kind, Result};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use super::from_server;
use crate::{connect_timeout, tls};

/// What is received at once. A row that is longer comes in pieces.
const BUFFER: usize = 256 << 10;

/// Bytes that a connection holds for as long as it lives.
pub const MEMORY: usize = BUFFER;

/// The longest packet; content that is longer goes on in the next one.
const LONGEST: usize = (1 << 24) - 1;

/// Why a statement has no answer.
#[derive(Debug)]
pub enum Failure {
    /// The server says so.
    Server {
        /// The server's error number.
        code: u16,
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

    /// The server's error number, if it is the server that refuses.
    pub fn code(&self) -> Option<u16> {
        match self {
            Self::Server { code, .. } => Some(*code),
            Self::Lost(_) => None,
        }
    }

    /// As an error of the source.
    pub fn explain(self, url: &DatabaseUrl) -> Error {
        match self {
            Self::Server { code, message } => from_server(url, code, &message),
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

/// What comes next of a result.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// Bytes of a row as the text protocol has it: cells with their lengths in front, 0xFB for NULL.
    Row {
        /// The whole row, or the next piece of one that is longer than the buffer.
        bytes: &'a [u8],
        /// Whether the row ends here.
        last: bool,
    },
    /// The server said that this was all.
    End,
}

/// Where the next byte of the result belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// Between two rows.
    Row,
    /// Inside a row, between two packets of it.
    Packet,
    /// Inside a packet of a row, of which so many bytes are still to come; the row may go on in another one.
    Inside { left: usize, more: bool },
}

trait Stream: AsyncRead + AsyncWrite + Send + Sync + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Stream for T {}

/// One connection. A statement whose result was not read to its end makes it useless: drop it.
pub struct Wire {
    stream: Box<dyn Stream>,
    buffer: Box<[u8]>,
    /// What was received and not yet handed out.
    held: Range<usize>,
    sequence: u8,
    at: At,
    /// A result ends with an OK packet instead of an EOF packet, and none stands behind the columns.
    short_ends: bool,
    id: u32,
}

impl std::fmt::Debug for Wire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wire").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Wire {
    /// Connects and signs in as the URL says, without a default database.
    pub async fn connect(url: &DatabaseUrl) -> Result<Self> {
        let limit = connect_timeout(url);
        tokio::time::timeout(limit, Self::open(url)).await.map_err(|_| {
            Error::source(format!("{} did not answer within {} s", url.place(), limit.as_secs()))
                .of_kind(Kind::Temporary)
        })?
    }

    async fn open(url: &DatabaseUrl) -> Result<Self> {
        let mode = if url.socket().is_some() { TlsMode::Disable } else { url.tls_mode() };
        match Self::sign_in(url, mode).await {
            // As in `connect`: encryption that is preferred and cannot be had is done without.
            Err(Refusal::Tls(_)) if mode == TlsMode::Prefer => Self::sign_in(url, TlsMode::Disable).await,
            result => result,
        }
        .map_err(|refusal| match refusal {
            Refusal::Failure(failure) => failure.explain(url),
            Refusal::Tls(error) => Error::source(format!("TLS with {} failed", url.place())).caused_by(error),
            Refusal::Other(error) => error,
        })
    }

    async fn sign_in(url: &DatabaseUrl, mode: TlsMode) -> std::result::Result<Self, Refusal> {
        let stream: Box<dyn Stream> = match &url.address {
            Address::Tcp(host) => {
                let stream = TcpStream::connect((host.as_str(), url.port())).await?;
                stream.set_nodelay(true)?;
                Box::new(stream)
            }
            Address::Socket(path) => Box::new(UnixStream::connect(path).await?),
        };
        let mut wire = Self {
            stream,
            buffer: vec![0; BUFFER].into_boxed_slice(),
            held: 0..0,
            sequence: 0,
            at: At::Row,
            short_ends: false,
            id: 0,
        };
        let packet = wire.packet().await?;
        if packet.first() == Some(&0xFF) {
            return Err(server_error(&packet).into());
        }
        let hello: HandshakePacket<'_> =
            ParseBuf(&packet).parse(()).map_err(|_| Failure::protocol("no handshake of a MySQL server"))?;
        wire.id = hello.connection_id();
        let mut nonce = hello.scramble_1_ref().to_vec();
        nonce.extend_from_slice(hello.scramble_2_ref().unwrap_or_default());
        nonce.resize(20, 0);
        let encrypted = mode != TlsMode::Disable
            && (mode > TlsMode::Prefer || hello.capabilities().contains(CapabilityFlags::CLIENT_SSL));
        let capabilities = (CapabilityFlags::CLIENT_PROTOCOL_41
            | CapabilityFlags::CLIENT_LONG_PASSWORD
            | CapabilityFlags::CLIENT_LONG_FLAG
            | CapabilityFlags::CLIENT_TRANSACTIONS
            | CapabilityFlags::CLIENT_SECURE_CONNECTION
            | CapabilityFlags::CLIENT_PLUGIN_AUTH
            | CapabilityFlags::CLIENT_PLUGIN_AUTH_LENENC_CLIENT_DATA
            | CapabilityFlags::CLIENT_CONNECT_ATTRS
            | CapabilityFlags::CLIENT_DEPRECATE_EOF
            | if encrypted { CapabilityFlags::CLIENT_SSL } else { CapabilityFlags::empty() })
            & hello.capabilities();
        wire.short_ends = capabilities.contains(CapabilityFlags::CLIENT_DEPRECATE_EOF);
        if encrypted {
            if !capabilities.contains(CapabilityFlags::CLIENT_SSL) {
                return Err(Refusal::Tls(io::Error::other("the server does not offer TLS")));
            }
            let request = SslRequest::new(capabilities, 1 << 30, UTF8MB4_GENERAL_CI);
            wire.send_struct(&request).await?;
            wire = wire.encrypt(url, mode).await?;
        }
        let safe = encrypted || url.socket().is_some();
        let password = url.password.as_ref().map(Secret::expose);
        let plugin = match hello.auth_plugin() {
            Some(AuthPlugin::CachingSha2Password) => AuthPlugin::CachingSha2Password,
            _ => AuthPlugin::MysqlNativePassword,
        };
        let proof = plugin.gen_data(password, &nonce);
        let response = HandshakeResponse::new(
            proof.as_deref(),
            (8, 0, 0),
            url.user.as_deref().map(str::as_bytes),
            None::<&[u8]>,
            Some(plugin.clone()),
            capabilities,
            Some([("program_name".to_owned(), "dbferry".to_owned())].into()),
            1 << 30,
        );
        wire.send_struct(&response).await?;
        wire.prove(password, nonce, plugin, safe).await?;
        Ok(wire)
    }

    async fn encrypt(self, url: &DatabaseUrl, mode: TlsMode) -> std::result::Result<Self, Refusal> {
        let mut url = url.clone();
        if mode < TlsMode::VerifyCa {
            // The clients of MySQL check nothing below this mode, whether an authority is named or not.
            url.tls.root_cert = None;
        }
        let config = tls::config(&url).map_err(Refusal::Other)?;
        let host = url.host().unwrap_or_default().to_owned();
        let name = ServerName::try_from(host).map_err(|error| Refusal::Tls(io::Error::other(error)))?;
        let connector = TlsConnector::from(Arc::new(config));
        let secure = connector.connect(name, self.stream).await.map_err(Refusal::Tls)?;
        Ok(Self { stream: Box::new(secure), ..self })
    }

    /// The dialogue after the response to the handshake, until the server is content.
    async fn prove(
        &mut self,
        password: Option<&str>,
        mut nonce: Vec<u8>,
        mut plugin: AuthPlugin<'static>,
        safe: bool,
    ) -> Answer<()> {
        loop {
            let packet = self.packet().await?;
            match packet.as_slice() {
                [0x00, ..] => return Ok(()),
                [0xFF, ..] => return Err(server_error(&packet)),
                [0xFE, _, ..] => {
                    let switch: AuthSwitchRequest<'_> = ParseBuf(&packet)
                        .parse(())
                        .map_err(|_| Failure::protocol("a garbled switch of plugins"))?;
                    nonce = switch.plugin_data().to_vec();
                    plugin = switch.auth_plugin().into_owned();
                    let proof = match &plugin {
                        AuthPlugin::CachingSha2Password | AuthPlugin::MysqlNativePassword => {
                            plugin.gen_data(password, &nonce)
                        }
                        AuthPlugin::MysqlClearPassword if safe => plugin.gen_data(password, &nonce),
                        _ => {
                            return Err(Failure::protocol(
                                "the account signs in by a plugin that is not supported",
                            ));
                        }
                    };
                    match proof {
                        Some(proof) => self.send_struct(&proof.into_owned()).await?,
                        None => self.send(&[]).await?,
                    }
                }
                // The server knows the proof from its cache, and says OK next.
                [0x01, 0x03] => {}
                [0x01, 0x04] if matches!(plugin, AuthPlugin::CachingSha2Password) => {
                    let mut secret = password.unwrap_or_default().as_bytes().to_vec();
                    secret.push(0);
                    if safe {
                        self.send(&secret).await?;
                        continue;
                    }
                    self.send(&[0x02]).await?;
                    let key = self.packet().await?;
                    let Some((0x01, key)) = key.split_first() else {
                        return Err(Failure::protocol("the server gives no key for the password"));
                    };
                    for (byte, mask) in secret.iter_mut().zip(nonce.iter().cycle()) {
                        *byte ^= mask;
                    }
                    self.send(&crypto::encrypt(&secret, key)).await?;
                }
                _ => return Err(Failure::protocol("an unexpected answer to the password")),
            }
        }
    }

    /// The server's number of this connection.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Sends a statement that has no rows, and waits until it is done.
    pub async fn execute(&mut self, sql: &str) -> Answer<()> {
        self.rows(sql).await.map(|_| ())
    }

    /// Sends a statement and takes its whole result, which has to be small: rows of cells, `None` for NULL.
    pub async fn rows(&mut self, sql: &str) -> Answer<Vec<Vec<Option<Vec<u8>>>>> {
        let columns = self.query(sql).await?;
        let mut rows = Vec::new();
        let mut whole = Vec::new();
        if columns == 0 {
            return Ok(rows);
        }
        loop {
            match self.piece().await? {
                Piece::End => return Ok(rows),
                Piece::Row { bytes, last } => {
                    whole.extend_from_slice(bytes);
                    if last {
                        rows.push(cells(&whole)?);
                        whole.clear();
                    }
                }
            }
        }
    }

    /// Sends a statement. Answers how many columns its rows have; 0 means that it has no rows and is done.
    pub async fn query(&mut self, sql: &str) -> Answer<u64> {
        let mut command = Vec::with_capacity(sql.len() + 1);
        command.push(0x03);
        command.extend_from_slice(sql.as_bytes());
        self.sequence = 0;
        self.send(&command).await?;
        let packet = self.packet().await?;
        let columns = match packet.first() {
            Some(0x00) => return Ok(0),
            Some(0xFF) => return Err(server_error(&packet)),
            Some(0xFB) | None => return Err(Failure::protocol("an unexpected answer to a statement")),
            Some(_) => {
                let (length, _) = length(&packet).ok_or(Failure::protocol("a garbled number of columns"))?;
                length.ok_or(Failure::protocol("a garbled number of columns"))?
            }
        };
        for _ in 0..columns {
            self.packet().await?;
        }
        if !self.short_ends {
            self.packet().await?;
        }
        self.at = At::Row;
        Ok(columns)
    }

    /// The next piece of the result of [`Wire::query`]. An error of the server in the middle of the rows is an error here.
    pub async fn piece(&mut self) -> Answer<Piece<'_>> {
        loop {
            match self.at {
                At::Row => {
                    self.hold(4).await?;
                    let length = self.packet_length();
                    self.hold(4 + length.min(1)).await?;
                    let first = if length == 0 { 0 } else { self.buffer[self.held.start + 4] };
                    let end = if self.short_ends { LONGEST } else { 9 };
                    if first == 0xFF || (first == 0xFE && length < end) {
                        let packet = self.packet().await?;
                        return if first == 0xFF { Err(server_error(&packet)) } else { Ok(Piece::End) };
                    }
                    if length + 4 <= BUFFER {
                        self.hold(4 + length).await?;
                        let start = self.held.start + 4;
                        self.held.start = start + length;
                        return Ok(Piece::Row { bytes: &self.buffer[start..start + length], last: true });
                    }
                    self.held.start += 4;
                    self.at = At::Inside { left: length, more: length == LONGEST };
                }
                At::Packet => {
                    self.hold(4).await?;
                    let length = self.packet_length();
                    self.held.start += 4;
                    self.at = At::Inside { left: length, more: length == LONGEST };
                }
                At::Inside { left: 0, more: true } => self.at = At::Packet,
                At::Inside { left: 0, more: false } => {
                    self.at = At::Row;
                    return Ok(Piece::Row { bytes: &[], last: true });
                }
                At::Inside { left, more } => {
                    self.hold(1).await?;
                    let taken = left.min(self.held.len());
                    let start = self.held.start;
                    self.held.start += taken;
                    self.at = At::Inside { left: left - taken, more };
                    return Ok(Piece::Row { bytes: &self.buffer[start..start + taken], last: false });
                }
            }
        }
    }

    fn packet_length(&self) -> usize {
        let at = self.held.start;
        let bytes = &self.buffer[at..at + 3];
        usize::from(bytes[0]) | usize::from(bytes[1]) << 8 | usize::from(bytes[2]) << 16
    }

    /// Receives until `count` bytes, at most a whole buffer, are held in one piece.
    async fn hold(&mut self, count: usize) -> io::Result<()> {
        if self.held.len() >= count {
            return Ok(());
        }
        if self.held.is_empty() {
            self.held = 0..0;
        } else if self.held.start + count > BUFFER || self.held.end == BUFFER {
            self.buffer.copy_within(self.held.clone(), 0);
            self.held = 0..self.held.len();
        }
        while self.held.len() < count {
            let received = self.stream.read(&mut self.buffer[self.held.end..]).await?;
            if received == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.held.end += received;
        }
        Ok(())
    }

    /// A whole packet that is no row, however long.
    async fn packet(&mut self) -> Answer<Vec<u8>> {
        let mut content = Vec::new();
        loop {
            self.hold(4).await?;
            let length = self.packet_length();
            self.sequence = self.buffer[self.held.start + 3].wrapping_add(1);
            self.held.start += 4;
            let whole = content.len() + length;
            while content.len() < whole {
                self.hold(1).await?;
                let taken = (whole - content.len()).min(self.held.len());
                content.extend_from_slice(&self.buffer[self.held.start..self.held.start + taken]);
                self.held.start += taken;
            }
            if length < LONGEST {
                return Ok(content);
            }
        }
    }

    async fn send_struct(&mut self, content: &impl MySerialize) -> io::Result<()> {
        let mut bytes = Vec::new();
        content.serialize(&mut bytes);
        self.send(&bytes).await
    }

    async fn send(&mut self, content: &[u8]) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(content.len() + 4);
        let mut rest = content;
        loop {
            let (now, later) = rest.split_at(rest.len().min(LONGEST));
            // At most 2^24 - 1, so the fourth byte is free.
            bytes.extend_from_slice(&now.len().to_le_bytes()[..3]);
            bytes.push(self.sequence);
            bytes.extend_from_slice(now);
            self.sequence = self.sequence.wrapping_add(1);
            rest = later;
            if now.len() < LONGEST {
                break;
            }
        }
        self.stream.write_all(&bytes).await?;
        self.stream.flush().await
    }
}

/// The collation `utf8mb4_general_ci`, by the number that every server has for it.
const UTF8MB4_GENERAL_CI: u8 = 45;

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

fn server_error(packet: &[u8]) -> Failure {
    match ParseBuf(packet).parse::<ErrPacket<'_>>(CapabilityFlags::CLIENT_PROTOCOL_41) {
        Ok(ErrPacket::Error(error)) => {
            Failure::Server { code: error.error_code(), message: error.message_str().into_owned() }
        }
        _ => Failure::protocol("a garbled error of the server"),
    }
}

/// A length-encoded number in front of `bytes` and how many bytes it takes; `None` for NULL. Nothing when it is cut.
pub fn length(bytes: &[u8]) -> Option<(Option<u64>, usize)> {
    let number = |count: usize| {
        let mut value = [0; 8];
        value[..count].copy_from_slice(bytes.get(1..=count)?);
        Some((Some(u64::from_le_bytes(value)), count + 1))
    };
    match bytes.first()? {
        0xFB => Some((None, 1)),
        0xFC => number(2),
        0xFD => number(3),
        0xFE | 0xFF => number(8),
        small => Some((Some(u64::from(*small)), 1)),
    }
}

fn cells(mut row: &[u8]) -> Answer<Vec<Option<Vec<u8>>>> {
    let mut cells = Vec::new();
    while !row.is_empty() {
        let (count, taken) = length(row).ok_or(Failure::protocol("a garbled row"))?;
        row = &row[taken..];
        cells.push(match count {
            None => None,
            Some(count) => {
                let count = usize::try_from(count).unwrap_or(usize::MAX);
                let cell = row.get(..count).ok_or(Failure::protocol("a garbled row"))?;
                row = &row[count..];
                Some(cell.to_vec())
            }
        });
    }
    Ok(cells)
}
