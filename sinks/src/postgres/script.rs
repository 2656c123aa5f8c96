//! Executes a plain dump as it arrives: statements in their order, rows of COPY as they pass, psql's commands not at all.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Buf, Bytes, BytesMut};
use formats::postgres::plain::{Kind as Piece, Lexer, Standing};
use formats::postgres::tokens::Tokens;
use futures_util::SinkExt;
use pipeline::{Content, Context, Error, Proof, Receipt, Result, Sink};
use tokio::sync::Mutex;
use tokio_postgres::{Client, CopyInSink, SimpleQueryMessage};

use super::rows::Lines;
use super::{Loaded, explain};

/// Longest statement that is executed. Rows of a COPY are no part of one.
const LONGEST: usize = 16 << 20;
/// A statement, the client library's copy of it, and what lies in its channels.
pub(super) const MEMORY: usize = 2 * LONGEST + (4 << 20);
/// The longest line that ends rows: `\.` with a carriage return.
const TERMINATOR: usize = 4;

/// The sink of the one stream.
pub(super) struct ScriptSink {
    pub(super) script: Script,
    pub(super) loaded: Arc<Mutex<Option<Loaded>>>,
}

#[async_trait]
impl Sink for ScriptSink {
    async fn write(&mut self, data: Bytes) -> Result<()> {
        self.script.push(data).await
    }

    async fn commit(mut self: Box<Self>, content: &Content) -> Result<Receipt> {
        let rows = self.script.finish().await?;
        let loaded = self.script.close().await?;
        *self.loaded.lock().await = Some(loaded);
        Ok(Receipt { bytes: content.bytes, proof: Proof::RowsAccepted { rows } })
    }

    async fn abort(self: Box<Self>) -> Result<()> {
        // The connection goes with the sink, and the transaction with the connection.
        Ok(())
    }
}

/// A dump on its way into a transaction.
pub(super) struct Script {
    client: Client,
    settings: BTreeSet<String>,
    cx: Context,
    lexer: Lexer,
    /// The statement or command that has begun.
    held: BytesMut,
    copy: Option<Copy>,
    statements: u64,
    rows: u64,
    begun: bool,
}

/// A COPY whose rows are being sent.
struct Copy {
    table: String,
    sink: Pin<Box<CopyInSink<Bytes>>>,
    lines: Lines,
    /// The last bytes, which may be the line that ends the rows.
    tail: BytesMut,
    /// Whether a line is a row: not for the formats that a `WITH` asks for.
    counted: bool,
    offset: u64,
}

impl Script {
    pub(super) fn new(client: Client, settings: BTreeSet<String>, cx: Context) -> Self {
        Self {
            client,
            settings,
            cx,
            lexer: Lexer::new(),
            held: BytesMut::new(),
            copy: None,
            statements: 0,
            rows: 0,
            begun: false,
        }
    }

    pub(super) async fn push(&mut self, mut data: Bytes) -> Result<()> {
        if !self.begun && !data.is_empty() {
            self.begun = true;
            if data.starts_with(b"PGDMP") {
                return Err(Error::usage("a dump in custom format cannot be loaded directly")
                    .hint("pg_restore -f - FILE makes it plain, and dbferry copy - DEST loads that"));
            }
        }
        while !data.is_empty() {
            let step = self.lexer.next(&data).map_err(|error| {
                Error::sink("the dump is not what psql would take")
                    .with("offset", error.offset)
                    .caused_by(error)
            })?;
            let Some(step) = step else { return Ok(()) };
            let piece = data.split_to(step.len);
            match step.kind {
                Piece::Space | Piece::Comment => {}
                Piece::Statement => {
                    self.hold(&piece)?;
                    if step.end {
                        self.statement().await?;
                    }
                }
                Piece::CopyData => self.row_data(piece, step.end).await?,
                Piece::Command => {
                    self.hold(&piece)?;
                    if step.end {
                        self.command()?;
                    }
                }
            }
        }
        Ok(())
    }

    fn hold(&mut self, piece: &[u8]) -> Result<()> {
        if self.held.len() + piece.len() > LONGEST {
            return Err(Error::sink("a statement of the dump is longer than the loader takes")
                .with("offset", self.lexer.start())
                .with("limit", format!("{} MiB", LONGEST >> 20))
                .hint("dump without --inserts: rows of COPY may be of any length"));
        }
        self.held.extend_from_slice(piece);
        Ok(())
    }

    /// Commands are psql's own, and some of them reach its shell and files. The two that `pg_dump` writes fence off others and mean nothing here.
    fn command(&mut self) -> Result<()> {
        let held = self.held.split();
        let line = held.trim_ascii();
        let word = line.split(u8::is_ascii_whitespace).next().unwrap_or_default();
        if word == b"\\restrict" || word == b"\\unrestrict" {
            return Ok(());
        }
        let word = String::from_utf8_lossy(&word[..word.len().min(40)]).into_owned();
        let error = Error::sink(format!("the dump holds a command to psql, {word}, which is not executed"))
            .with("offset", self.lexer.start());
        Err(if matches!(word.as_str(), "\\connect" | "\\c") {
            error.hint("load one database at a time: dump it without -C/--create, and not with pg_dumpall")
        } else {
            error.hint("no dump of pg_dump holds this: look at where the file comes from")
        })
    }

    fn failed(&self, error: &tokio_postgres::Error, sql: &str) -> Error {
        let head: String =
            sql.split_whitespace().take(6).collect::<Vec<_>>().join(" ").chars().take(100).collect();
        explain::refused(error, &format!("`{head}…`"))
            .with("statement", self.statements)
            .with("offset", self.lexer.start())
    }

    async fn statement(&mut self) -> Result<()> {
        let held = self.held.split().freeze();
        self.statements += 1;
        let sql = std::str::from_utf8(&held).map_err(|_| {
            Error::sink("a statement of the dump is not UTF-8")
                .with("statement", self.statements)
                .with("offset", self.lexer.start())
                .hint("dump with --encoding=UTF8")
        })?;
        let copies = self.lexer.standing() == Standing::Inside("the rows of a COPY");
        match self.lexer.first_word().unwrap_or_default() {
            // Around large objects; the load is one transaction anyway.
            b"begin" | b"start" | b"commit" | b"end" => return Ok(()),
            word @ (b"rollback" | b"abort" | b"savepoint" | b"release" | b"prepare") => {
                return Err(self.not_taken(&format!(
                    "{}, which no dump holds",
                    String::from_utf8_lossy(word).to_uppercase()
                )));
            }
            b"copy" if !copies => return Err(self.not_taken("a COPY from or to a file of the server")),
            b"set" if self.unknown_setting(sql) => return Ok(()),
            _ => {}
        }
        if copies {
            let sink = self.client.copy_in(sql).await.map_err(|error| self.failed(&error, sql))?;
            let head = sql.to_ascii_lowercase();
            let (before, after) = head.rsplit_once("from").unwrap_or((&head, ""));
            self.copy = Some(Copy {
                table: sql[..before.len()].split_whitespace().nth(1).unwrap_or_default().to_owned(),
                sink: Box::pin(sink),
                lines: Lines::default(),
                tail: BytesMut::new(),
                counted: after.trim_end_matches([';', ' ', '\n']).trim() == "stdin",
                offset: self.lexer.start(),
            });
            return Ok(());
        }
        let messages = self.client.simple_query(sql).await.map_err(|error| self.failed(&error, sql))?;
        if self.lexer.first_word() == Some(b"insert") {
            self.rows += messages
                .iter()
                .map(
                    |message| if let SimpleQueryMessage::CommandComplete(rows) = message { *rows } else { 0 },
                )
                .sum::<u64>();
        }
        Ok(())
    }

    fn not_taken(&self, what: &str) -> Error {
        Error::sink(format!("the dump holds {what}, which is not executed"))
            .with("statement", self.statements)
            .with("offset", self.lexer.start())
    }

    /// Newer clients set what older servers do not know; one unknown name would end the transaction.
    fn unknown_setting(&self, sql: &str) -> bool {
        let mut tokens = Tokens::new(sql.as_bytes(), true).skip(1).map(|token| {
            String::from_utf8_lossy(&sql.as_bytes()[token.start..token.end]).to_ascii_lowercase()
        });
        let mut name = tokens.next().unwrap_or_default();
        if name == "session" || name == "local" {
            name = tokens.next().unwrap_or_default();
        }
        let sets = tokens.next().is_some_and(|next| next == "=" || next == "to");
        if !sets
            || self.settings.contains(&name)
            || self.settings.iter().any(|known| known.eq_ignore_ascii_case(&name))
        {
            return false;
        }
        self.cx.info(format!("the target knows no setting {name}: left out"));
        true
    }

    async fn row_data(&mut self, piece: Bytes, end: bool) -> Result<()> {
        let Some(copy) = &mut self.copy else {
            return Err(Error::sink("rows without a COPY before them").with("offset", self.lexer.start()));
        };
        // The end of the rows may lie in several pieces: the last bytes wait for what follows them.
        let terminator = if end { self.lexer.copy_terminator() } else { TERMINATOR };
        let known = copy.tail.len() + piece.len();
        let mut send = known.saturating_sub(terminator);
        let from_tail = send.min(copy.tail.len());
        let mut failed = None;
        if from_tail > 0 {
            let bytes = copy.tail.split_to(from_tail).freeze();
            copy.lines.push(&bytes);
            failed = copy.sink.send(bytes).await.err();
        }
        send -= from_tail;
        let mut piece = piece;
        let mut first = piece.split_to(send);
        copy.lines.push(&first);
        while failed.is_none() && first.has_remaining() {
            let part = first.split_to(first.len().min(256 << 10));
            failed = copy.sink.send(part).await.err();
        }
        copy.tail.extend_from_slice(&piece);
        if let Some(error) = failed {
            return Err(self.failed(&error, "COPY"));
        }
        if end {
            return self.end_rows().await;
        }
        Ok(())
    }

    async fn end_rows(&mut self) -> Result<()> {
        let Some(mut copy) = self.copy.take() else { return Ok(()) };
        let what = format!("COPY {}", copy.table);
        let taken = copy.sink.as_mut().finish().await.map_err(|error| {
            explain::refused(&error, &format!("rows of {}", copy.table))
                .with("table", &copy.table)
                .with("statement", self.statements)
                .with("offset", copy.offset)
        })?;
        let sent = copy.lines.rows();
        if copy.counted && taken != sent {
            return Err(Error::sink(format!(
                "the target took another number of rows than were sent: {what}"
            ))
            .with("sent", sent)
            .with("taken", taken)
            .with("offset", copy.offset));
        }
        self.rows += taken;
        self.cx.info(format!("{}: {taken} rows", copy.table));
        Ok(())
    }

    /// The stream has ended whole; answers how many rows the server took.
    pub(super) async fn finish(&mut self) -> Result<u64> {
        match self.lexer.standing() {
            Standing::Ground => {
                if !self.held.is_empty() {
                    self.command()?;
                }
            }
            // psql runs it as well.
            Standing::OpenStatement => self.statement().await?,
            Standing::Inside(what) => {
                return Err(
                    Error::sink(format!("the dump ends inside {what}")).with("offset", self.lexer.offset())
                );
            }
        }
        if self.copy.is_some() {
            return Err(Error::sink("the dump ends inside the rows of a COPY"));
        }
        // What is checked at COMMIT is checked now, while a refusal can still be told from a lost answer.
        self.client
            .batch_execute("SET CONSTRAINTS ALL IMMEDIATE")
            .await
            .map_err(|error| explain::refused(&error, "a deferred constraint"))?;
        Ok(self.rows)
    }

    pub(super) async fn close(self) -> Result<Loaded> {
        let row = self
            .client
            .query_one("SELECT txid_current()", &[])
            .await
            .map_err(|error| explain::lost("asking for the transaction", &error))?;
        Ok(Loaded { transaction: row.get(0), client: self.client })
    }
}
