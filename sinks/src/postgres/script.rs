//! Reads a plain dump as it arrives: statements in their order, rows of COPY as they pass, psql's commands not at all.

use std::collections::BTreeSet;

use bytes::{Bytes, BytesMut};
use formats::postgres::plain::{Kind as Piece, Lexer, Standing};
use formats::postgres::tokens::Tokens;
use pipeline::{Context, Error, Result};

use super::explain;

/// Longest statement that is executed. Rows of a COPY are no part of one.
const LONGEST: usize = 16 << 20;
/// A statement, the client library's copy of it, and what lies in its channels.
pub(super) const MEMORY: usize = 2 * LONGEST + (4 << 20);
/// The longest line that ends rows: `\.` with a carriage return.
const TERMINATOR: usize = 4;

/// A statement of the dump.
#[derive(Debug, Clone, Copy)]
pub(super) struct Statement<'a> {
    pub(super) sql: &'a str,
    /// Its first word, in lower case.
    pub(super) first: &'a [u8],
    /// Its place among the statements, from 1.
    pub(super) number: u64,
    /// Where it begins in the dump.
    pub(super) offset: u64,
    /// Whether a backslash in a plain string is an ordinary byte.
    pub(super) standard_strings: bool,
}

impl Statement<'_> {
    /// The server's answer to it, explained.
    pub(super) fn refused(&self, error: &tokio_postgres::Error) -> Error {
        self.located(explain::refused(error, &format!("`{}…`", self.head())))
    }

    pub(super) fn located(&self, error: Error) -> Error {
        error.with("statement", self.number).with("offset", self.offset)
    }

    fn head(&self) -> String {
        self.sql.split_whitespace().take(6).collect::<Vec<_>>().join(" ").chars().take(100).collect()
    }

    /// The table of a COPY as it is written.
    pub(super) fn copied(&self) -> String {
        self.sql.split_whitespace().nth(1).unwrap_or_default().to_owned()
    }

    /// Whether each line of a COPY is a row: not in the formats that a `WITH` asks for.
    pub(super) fn lines_are_rows(&self) -> bool {
        let head = self.sql.to_ascii_lowercase();
        let after = head.rsplit_once("from").map_or("", |(_, after)| after);
        after.trim_end_matches([';', ' ', '\n']).trim() == "stdin"
    }
}

/// Where the statements and rows of a dump go. Calls come in the order of the dump; after an error comes none.
pub(super) trait Target: Send {
    /// A statement that brings no rows behind it.
    fn statement(&mut self, statement: Statement<'_>) -> impl Future<Output = Result<()>> + Send;

    /// A block of statements begins or ends that belong into one transaction.
    fn block(&mut self, begins: bool);

    /// A COPY, whose rows come next.
    fn begin_rows(&mut self, statement: Statement<'_>) -> impl Future<Output = Result<()>> + Send;

    /// Some of its rows, cut anywhere.
    fn rows(&mut self, data: Bytes) -> impl Future<Output = Result<()>> + Send;

    /// The end of its rows.
    fn end_rows(&mut self) -> impl Future<Output = Result<()>> + Send;

    /// The end of the dump; answers how many rows the server took.
    fn finish(&mut self) -> impl Future<Output = Result<u64>> + Send;
}

/// A dump on its way to `T`.
pub(super) struct Script<T> {
    pub(super) target: T,
    settings: BTreeSet<String>,
    cx: Context,
    lexer: Lexer,
    /// The statement or command that has begun.
    held: BytesMut,
    /// The last bytes of rows, which may be the line that ends them.
    tail: BytesMut,
    copying: bool,
    statements: u64,
    begun: bool,
}

impl<T: Target> Script<T> {
    /// `settings` are those that the server knows.
    pub(super) fn new(target: T, settings: BTreeSet<String>, cx: Context) -> Self {
        Self {
            target,
            settings,
            cx,
            lexer: Lexer::new(),
            held: BytesMut::new(),
            tail: BytesMut::new(),
            copying: false,
            statements: 0,
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

    async fn statement(&mut self) -> Result<()> {
        let held = self.held.split().freeze();
        self.statements += 1;
        let sql = std::str::from_utf8(&held).map_err(|_| {
            Error::sink("a statement of the dump is not UTF-8")
                .with("statement", self.statements)
                .with("offset", self.lexer.start())
                .hint("dump with --encoding=UTF8")
        })?;
        let statement = Statement {
            sql,
            first: self.lexer.first_word().unwrap_or_default(),
            number: self.statements,
            offset: self.lexer.start(),
            standard_strings: self.lexer.standard_strings(),
        };
        let not_taken = |what: &str| {
            Err(statement.located(Error::sink(format!("the dump holds {what}, which is not executed"))))
        };
        if self.lexer.standing() == Standing::Inside("the rows of a COPY") {
            self.copying = true;
            return self.target.begin_rows(statement).await;
        }
        match statement.first {
            // Around large objects; how much is a transaction is for the loader to say.
            b"begin" | b"start" => self.target.block(true),
            b"commit" | b"end" => self.target.block(false),
            word @ (b"rollback" | b"abort" | b"savepoint" | b"release" | b"prepare") => {
                let word = String::from_utf8_lossy(word).to_uppercase();
                return not_taken(&format!("{word}, which no dump holds"));
            }
            b"copy" => return not_taken("a COPY from or to a file of the server"),
            b"set" if self.unknown_setting(sql) => {}
            _ => return self.target.statement(statement).await,
        }
        Ok(())
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

    async fn row_data(&mut self, mut piece: Bytes, end: bool) -> Result<()> {
        if !self.copying {
            return Err(Error::sink("rows without a COPY before them").with("offset", self.lexer.start()));
        }
        // The end of the rows may lie in several pieces: the last bytes wait for what follows them.
        let terminator = if end { self.lexer.copy_terminator() } else { TERMINATOR };
        let send = (self.tail.len() + piece.len()).saturating_sub(terminator);
        let from_tail = send.min(self.tail.len());
        if from_tail > 0 {
            let bytes = self.tail.split_to(from_tail).freeze();
            self.target.rows(bytes).await?;
        }
        let rows = piece.split_to(send - from_tail);
        if !rows.is_empty() {
            self.target.rows(rows).await?;
        }
        self.tail.extend_from_slice(&piece);
        if end {
            self.tail.clear();
            self.copying = false;
            self.target.end_rows().await?;
        }
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
        if self.copying {
            return Err(Error::sink("the dump ends inside the rows of a COPY"));
        }
        self.target.finish().await
    }
}
