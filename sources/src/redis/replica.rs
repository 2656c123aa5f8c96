//! The replication protocol as a replica speaks it that wants the snapshot and nothing after it.
//!
//! A snapshot comes in one of two frames: `$<length>`, or `$EOF:<mark>` where the same forty bytes end it. The mark is not searched for: the grammar
//! of the snapshot says where it ends, and then the mark must stand there, exactly.

use std::time::{Duration, Instant};

use connections::redis::{Reply, Stream, Wire, command, enter, refusal};
use formats::rdb::{self, Parser};
use pipeline::{Context, Error, FrameSender, Kind, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};

use super::{RedisReader, RedisSync};

/// Length of the mark.
const MARK: usize = 40;

/// What is read at a time.
const PIECE: usize = 256 << 10;

/// How long small writes of the server are gathered.
const GATHER: Duration = Duration::from_millis(8);

/// A primary says at least every ten seconds that it is still there. Before the snapshot it does so while it saves; a
/// child that compresses a huge value may take longer.
const SILENCE: Duration = Duration::from_secs(180);

/// How often the server is told that its replica lives.
const SIGN_OF_LIFE: Duration = Duration::from_secs(1);

/// How the snapshot is framed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Frame {
    Length(u64),
    Mark([u8; MARK]),
}

impl Frame {
    /// Reads `$123` or `$EOF:0123…`.
    pub(super) fn parse(line: &str) -> Option<Self> {
        let rest = line.strip_prefix('$')?;
        if let Some(mark) = rest.strip_prefix("EOF:") {
            return Some(Self::Mark(mark.as_bytes().try_into().ok()?));
        }
        rest.parse().ok().map(Self::Length)
    }
}

/// Which way to ask for, and why.
fn choose(reader: &RedisReader) -> (RedisSync, &'static str) {
    let server = &reader.server;
    match (reader.options.sync, server.diskless) {
        (RedisSync::Disk, _) => (RedisSync::Disk, "it was asked for"),
        (RedisSync::Diskless, Some(false)) => {
            (RedisSync::Diskless, "it was asked for, but the server has repl-diskless-sync no and decides")
        }
        (RedisSync::Diskless, _) => (RedisSync::Diskless, "it was asked for"),
        (RedisSync::Auto, Some(false)) => (RedisSync::Disk, "the server has repl-diskless-sync no"),
        (RedisSync::Auto, _) if server.disk_fails => {
            (RedisSync::Diskless, "the server could not write its last snapshot to disk")
        }
        (RedisSync::Auto, _) if reader.options.may_stall => {
            (RedisSync::Disk, "the destination may stall, which would end a transfer without disk")
        }
        (RedisSync::Auto, Some(true)) => {
            (RedisSync::Diskless, "the server has repl-diskless-sync yes, and the destination is local")
        }
        (RedisSync::Auto, None) => (RedisSync::Disk, "the server does not tell what it is set to"),
    }
}

/// Reads the snapshot.
pub(super) async fn read(reader: &RedisReader, out: &mut FrameSender, cx: &Context) -> Result<()> {
    let mut wire = enter(&reader.place, &reader.url).await?;
    let (sync, why) = choose(reader);
    let rdb_only = introduce(&mut wire, reader, sync).await?;
    if !rdb_only {
        cx.info("the server is older than 6.2: it gathers its changes for the time of the transfer, within client-output-buffer-limit");
    }
    begin(&mut wire, reader).await?;
    let frame = frame(&mut wire, reader).await?;
    let way = match &frame {
        Frame::Length(length) => format!("disk: {length} bytes; {why}"),
        Frame::Mark(_) => format!("diskless: {why}"),
    };
    cx.info(format!("transfer by {way}"));
    reader.fact("sync", way);

    let Wire { stream, ahead, place } = wire;
    let (from, to) = tokio::io::split(stream);
    let mut transfer =
        Transfer { from, ahead: ahead.freeze(), place: &place, taken: 0, stall: Duration::ZERO };
    let result = tokio::select! {
        result = transfer.run(&frame, out) => result,
        never = sign_of_life(to) => match never {},
    };
    result.map_err(|error| transfer.hinted(error, &frame, reader, rdb_only))
}

/// Says what we are. Old servers do not know every word, and that changes only what they send.
async fn introduce(wire: &mut Wire, reader: &RedisReader, sync: RedisSync) -> Result<bool> {
    if sync == RedisSync::Diskless {
        tell(wire, reader, &[b"REPLCONF", b"capa", b"eof"]).await?;
    }
    // Valkey 9 takes a replica that does not tell its version for an old one, and refuses to save what that would not load.
    if let (true, Some(version)) = (reader.server.valkey, &reader.server.exact) {
        tell(wire, reader, &[b"REPLCONF", b"version", version.as_bytes()]).await?;
    }
    tell(wire, reader, &[b"REPLCONF", b"rdb-only", b"1"]).await
}

/// True when the server understood.
async fn tell(wire: &mut Wire, reader: &RedisReader, words: &[&[u8]]) -> Result<bool> {
    match wire.call(words).await? {
        Reply::Error(text) if text.starts_with("NOPERM") || text.starts_with("NOAUTH") => {
            Err(refusal::explain(&text, "REPLCONF", &reader.url))
        }
        Reply::Error(_) => Ok(false),
        _ => Ok(true),
    }
}

/// Asks for the snapshot.
async fn begin(wire: &mut Wire, reader: &RedisReader) -> Result<()> {
    let mut words = Vec::new();
    command(&mut words, &[b"PSYNC", b"?", b"-1"]);
    wire.send(&words).await?;
    let answer = line(wire).await?;
    if let Some(coordinates) = answer.strip_prefix("+FULLRESYNC ") {
        let mut parts = coordinates.split(' ');
        for name in ["replid", "offset"] {
            if let Some(value) = parts.next() {
                reader.fact(name, value);
            }
        }
        return Ok(());
    }
    let Some(refused) = answer.strip_prefix('-') else {
        return Err(wire.confused("neither +FULLRESYNC nor an error"));
    };
    // Before 2.8 there was only SYNC; and whoever renamed the one may have left the other.
    if refused.to_ascii_lowercase().contains("unknown command") || refused.starts_with("NOPERM") {
        words.clear();
        command(&mut words, &[b"SYNC"]);
        wire.send(&words).await?;
        return Ok(());
    }
    Err(refusal::explain(refused, "PSYNC", &reader.url))
}

async fn frame(wire: &mut Wire, reader: &RedisReader) -> Result<Frame> {
    let line = line(wire).await.map_err(|error| {
        error.hint("the server gave up before it sent anything: its log tells why (no memory for the fork, a full disk, a value that its replica could not load)")
    })?;
    if let Some(refused) = line.strip_prefix('-') {
        return Err(refusal::explain(refused, "SYNC", &reader.url));
    }
    Frame::parse(&line).ok_or_else(|| wire.confused("no snapshot where one was announced"))
}

/// A line, while the server shows that it is there.
async fn line(wire: &mut Wire) -> Result<String> {
    // Bare line feeds are such a sign, so the clock starts anew with each.
    loop {
        let known = wire.ahead.iter().take_while(|byte| **byte == b'\n').count();
        bytes::Buf::advance(&mut wire.ahead, known);
        if wire.ahead.contains(&b'\n') {
            return wire.line().await;
        }
        match tokio::time::timeout(SILENCE, wire.more()).await {
            Ok(read) => read?,
            Err(_) => return Err(silent(&wire.place)),
        }
        if wire.ahead.len() > 4096 && !wire.ahead.contains(&b'\n') {
            return Err(wire.confused("a line without an end"));
        }
    }
}

fn silent(place: &str) -> Error {
    Error::source(format!("the server at {place} has said nothing for {} s", SILENCE.as_secs()))
        .of_kind(Kind::Temporary)
        .hint("is it still running? its log tells what became of the snapshot")
}

/// A replica acknowledges once a second; a primary that hears nothing for `repl-timeout` drops it.
async fn sign_of_life(mut to: WriteHalf<Box<dyn Stream>>) -> std::convert::Infallible {
    let mut words = Vec::new();
    command(&mut words, &[b"REPLCONF", b"ACK", b"0"]);
    loop {
        tokio::time::sleep(SIGN_OF_LIFE).await;
        // A connection that is gone is found out by whoever reads it.
        if to.write_all(&words).await.is_err() || to.flush().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

struct Transfer<'a> {
    from: ReadHalf<Box<dyn Stream>>,
    ahead: bytes::Bytes,
    place: &'a str,
    taken: u64,
    /// The longest time that nobody took what was read.
    stall: Duration,
}

impl Transfer<'_> {
    async fn run(&mut self, frame: &Frame, out: &mut FrameSender) -> Result<()> {
        match frame {
            Frame::Length(length) => self.counted(*length, out).await,
            Frame::Mark(mark) => self.marked(mark, out).await,
        }
    }

    /// The next bytes; never none.
    async fn next(&mut self) -> Result<bytes::Bytes> {
        if !self.ahead.is_empty() {
            return Ok(std::mem::take(&mut self.ahead));
        }
        let mut room = bytes::BytesMut::with_capacity(PIECE);
        let mut read = tokio::time::timeout(SILENCE, self.from.read_buf(&mut room))
            .await
            .map_err(|_| silent(self.place))?;
        // A server that saves while it sends writes a few kilobytes at a time, and a wake-up for each costs more than all else
        // that is done with them. Those of a few milliseconds are taken together; who sends faster is not kept waiting.
        let since = Instant::now();
        while matches!(read, Ok(more) if more > 0) && room.len() < PIECE / 2 && since.elapsed() < GATHER {
            tokio::time::sleep(GATHER / 4).await;
            read = match tokio::time::timeout(Duration::ZERO, self.from.read_buf(&mut room)).await {
                // Nothing yet, or the end, which the next reading meets again.
                Err(_) | Ok(Ok(0)) => break,
                Ok(more) => more,
            };
        }
        // What came before the connection broke is whole bytes of the snapshot; the next reading meets the break.
        if !room.is_empty() {
            return Ok(room.freeze());
        }
        let cut = |error: Option<std::io::Error>| {
            let told = Error::source(format!("the server at {} broke the snapshot off", self.place))
                .of_kind(Kind::Temporary)
                .with("offset", self.taken);
            match error {
                Some(error) => told.caused_by(error),
                None => told,
            }
        };
        Err(cut(read.err()))
    }

    async fn hand_on(&mut self, data: bytes::Bytes, out: &mut FrameSender) -> Result<()> {
        self.taken += data.len() as u64;
        let since = Instant::now();
        out.send(data).await?;
        self.stall = self.stall.max(since.elapsed());
        Ok(())
    }

    async fn counted(&mut self, length: u64, out: &mut FrameSender) -> Result<()> {
        while self.taken < length {
            let mut data = self.next().await?;
            let due = length - self.taken;
            if data.len() as u64 > due {
                // A server before 6.2 goes on with commands.
                data.truncate(usize::try_from(due).unwrap_or(usize::MAX));
            }
            self.hand_on(data, out).await?;
        }
        Ok(())
    }

    async fn marked(&mut self, mark: &[u8; MARK], out: &mut FrameSender) -> Result<()> {
        let mut parser = Parser::new();
        let mut behind = bytes::BytesMut::new();
        while !parser.is_finished() {
            let mut data = self.next().await?;
            let taken = parser.push::<rdb::Error, _>(&data, &mut |_| Ok(())).map_err(|error| {
                Error::source(format!("the server sent no snapshot that is understood: {error}"))
                    .hint("--redis-sync disk needs no understanding to find the end")
            })?;
            behind.extend_from_slice(&data.split_off(taken));
            self.hand_on(data, out).await?;
        }
        while behind.len() < MARK {
            let more = self.next().await?;
            behind.extend_from_slice(&more);
        }
        if behind[..MARK] == mark[..] {
            return Ok(());
        }
        Err(Error::truncated("the snapshot's end is not followed by the mark that was announced")
            .with("offset", self.taken))
    }

    /// Adds what may have been the reason.
    fn hinted(&self, error: Error, frame: &Frame, reader: &RedisReader, rdb_only: bool) -> Error {
        if error.kind() != Kind::Temporary {
            return error;
        }
        let patience = reader.server.repl_timeout;
        if matches!(frame, Frame::Mark(_)) && self.stall * 10 >= patience * 8 {
            return error.hint(format!(
                "the destination took nothing for {} s, and the server waits {} s (repl-timeout): --redis-sync disk has no such limit",
                self.stall.as_secs(),
                patience.as_secs()
            ));
        }
        if rdb_only {
            error.hint("run it again; the server's log tells why it broke off")
        } else {
            error.hint("run it again; if the server's log speaks of its output buffer, raise client-output-buffer-limit for replicas there")
        }
    }
}
