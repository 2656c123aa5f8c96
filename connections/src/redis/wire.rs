//! Talking to a server before, and beside, a transfer: commands out, replies in.

use std::io;

use bytes::{Buf, BytesMut};
use pipeline::{Error, Kind, Result};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Anything that carries bytes both ways.
pub trait Stream: AsyncRead + AsyncWrite + Send + Sync + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Stream for T {}

/// Longest line and longest string of a reply that is read whole.
const REPLY: usize = 1 << 20;

/// Replies inside replies are refused below this depth.
const DEPTH: u32 = 8;

/// What is read at a time.
const PIECE: usize = 256 << 10;

/// A reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// A word, such as `OK`.
    Simple(String),
    /// A refusal, without its mark.
    Error(String),
    /// A number.
    Integer(i64),
    /// Bytes.
    Bulk(Vec<u8>),
    /// Replies in a row.
    Array(Vec<Reply>),
    /// Nothing.
    Nil,
}

impl Reply {
    /// The strings of an array, lossy; none for anything else.
    pub fn texts(&self) -> Vec<String> {
        let Self::Array(items) = self else { return Vec::new() };
        items
            .iter()
            .filter_map(|item| match item {
                Self::Bulk(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
                Self::Simple(text) => Some(text.clone()),
                _ => None,
            })
            .collect()
    }
}

/// Writes a command.
pub fn command(out: &mut Vec<u8>, arguments: &[&[u8]]) {
    out.extend_from_slice(format!("*{}\r\n", arguments.len()).as_bytes());
    for argument in arguments {
        out.extend_from_slice(format!("${}\r\n", argument.len()).as_bytes());
        out.extend_from_slice(argument);
        out.extend_from_slice(b"\r\n");
    }
}

/// A connection and what was read of it ahead.
pub struct Wire {
    /// The connection itself.
    pub stream: Box<dyn Stream>,
    /// What was read of it and not used.
    pub ahead: BytesMut,
    /// The server, for messages.
    pub place: String,
}

impl Wire {
    /// A wire over a connection that is open.
    pub fn new(stream: Box<dyn Stream>, place: String) -> Self {
        Self { stream, ahead: BytesMut::new(), place }
    }

    /// The connection ended, or failed.
    pub fn lost(&self, error: Option<io::Error>) -> Error {
        let told = Error::source(format!("the server at {} closed the connection", self.place))
            .of_kind(Kind::Temporary);
        match error {
            Some(error) => told.caused_by(error),
            None => told,
        }
    }

    /// The answer is none that the protocol knows.
    pub fn confused(&self, what: &str) -> Error {
        Error::source(format!("the server at {} answers as no Redis server does: {what}", self.place))
            .hint("is the port right, and does it speak TLS? rediss:// connects with it")
    }

    /// Reads more; never nothing.
    pub async fn more(&mut self) -> Result<()> {
        self.ahead.reserve(PIECE);
        match self.stream.read_buf(&mut self.ahead).await {
            Ok(0) => Err(self.lost(None)),
            Ok(_) => Ok(()),
            Err(error) => Err(self.lost(Some(error))),
        }
    }

    /// Writes bytes, and sees them off.
    pub async fn send(&mut self, bytes: &[u8]) -> Result<()> {
        let sent = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        sent.await.map_err(|error| self.lost(Some(error)))
    }

    /// One line without its end. Bare line feeds, which a primary sends to say that it is still there, are passed over.
    pub async fn line(&mut self) -> Result<String> {
        loop {
            while self.ahead.first() == Some(&b'\n') {
                self.ahead.advance(1);
            }
            if let Some(end) = self.ahead.iter().position(|byte| *byte == b'\n') {
                let line = self.ahead.split_to(end + 1);
                let text = line.strip_suffix(b"\r\n").or_else(|| line.strip_suffix(b"\n")).unwrap_or(&line);
                return Ok(String::from_utf8_lossy(text).into_owned());
            }
            if self.ahead.len() > REPLY {
                return Err(self.confused("a line without an end"));
            }
            self.more().await?;
        }
    }

    /// Sends a command and reads its reply.
    pub async fn call(&mut self, arguments: &[&[u8]]) -> Result<Reply> {
        let mut bytes = Vec::new();
        command(&mut bytes, arguments);
        self.send(&bytes).await?;
        self.reply().await
    }

    /// Reads a reply whose strings are not larger than 1 MiB.
    pub async fn reply(&mut self) -> Result<Reply> {
        // Arrays that are open, each with how many items are due.
        let mut open: Vec<(usize, Vec<Reply>)> = Vec::new();
        loop {
            let line = self.line().await?;
            let (mark, rest) = line.split_at_checked(1).ok_or_else(|| self.confused("an empty line"))?;
            let number = || rest.parse::<i64>().map_err(|_| self.confused("a length that is no number"));
            let mut item = match mark {
                "+" => Reply::Simple(rest.to_owned()),
                "-" => Reply::Error(rest.to_owned()),
                ":" => Reply::Integer(number()?),
                "$" => match usize::try_from(number()?) {
                    Err(_) => Reply::Nil,
                    Ok(length) if length <= REPLY => Reply::Bulk(self.bulk(length).await?),
                    Ok(_) => return Err(self.confused("a reply of more than 1 MiB")),
                },
                "*" => match usize::try_from(number()?) {
                    Err(_) => Reply::Nil,
                    Ok(0) => Reply::Array(Vec::new()),
                    Ok(length) if length <= REPLY && open.len() < DEPTH as usize => {
                        open.push((length, Vec::new()));
                        continue;
                    }
                    Ok(_) => return Err(self.confused("a reply of too many items")),
                },
                _ => return Err(self.confused("an unknown reply")),
            };
            loop {
                let Some((due, items)) = open.last_mut() else { return Ok(item) };
                items.push(item);
                if items.len() < *due {
                    break;
                }
                item = Reply::Array(open.pop().map(|(_, items)| items).unwrap_or_default());
            }
        }
    }

    async fn bulk(&mut self, length: usize) -> Result<Vec<u8>> {
        while self.ahead.len() < length + 2 {
            self.more().await?;
        }
        let bytes = self.ahead.split_to(length).to_vec();
        self.ahead.advance(2);
        Ok(bytes)
    }
}
