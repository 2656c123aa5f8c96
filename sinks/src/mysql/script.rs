//! Executes a dump as it arrives: one connection takes its statements in their order, and several the rows between them.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use formats::mysql::token::Cursor;
use formats::mysql::{Lexer, Mode, RowCounter, Step, Verb};
use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use pipeline::endpoint::DatabaseUrl;
use pipeline::{Content, Context, Error, Proof, Receipt, Result, Sink};
use tokio::sync::Mutex;

use super::worker::{Failure, Session, Unit, Worker};
use super::{Ended, MysqlLoad, create, explain, target};
use crate::crew::{Begun, Crew, noted};

/// Room that a statement's packet needs beside the statement.
const PACKET: usize = 1024;
/// Deprecations, which say nothing about what was made.
const HARMLESS: [u16; 8] = [1287, 1681, 1831, 3090, 3719, 3778, 1618, 4166];

/// The sink of the one stream.
pub(super) struct Script {
    conn: Conn,
    url: DatabaseUrl,
    cx: Context,
    room: usize,
    packet: usize,
    lexer: Lexer,
    /// What has arrived and is not used up.
    input: BytesMut,
    /// The statement of rows that has begun.
    data: BytesMut,
    data_at: u64,
    offset: u64,
    statements: u64,
    /// What the dump has set, as far as it is known; `None` after a SET.
    session: Option<Arc<Session>>,
    crew: Crew<Worker>,
    /// Indexes of the table whose rows are arriving, and foreign keys of all tables.
    indexes: Vec<Unit>,
    foreign_keys: Vec<Unit>,
    /// What sets the counters of tables, for a server that has died meanwhile.
    counters: Vec<Vec<u8>>,
    /// An earlier load is gone on with.
    resumes: bool,
    /// Every statement so far was there already.
    behind: bool,
    begun: Arc<Mutex<Begun>>,
    ended: Arc<Mutex<Option<Ended>>>,
}

/// Numbers of what is no part of a statement of rows, in the place of the part.
const STATEMENT: u64 = 0xf_ffff;
const INDEXES: u64 = 0xf_0000;
const FOREIGN_KEYS: u64 = 0xf_8000;

#[async_trait]
impl Sink for Script {
    async fn write(&mut self, data: Bytes) -> Result<()> {
        self.input.extend_from_slice(&data);
        let result = self.work(false).await;
        noted(&self.begun, result).await
    }

    async fn commit(mut self: Box<Self>, content: &Content) -> Result<Receipt> {
        let result = self.finish().await;
        noted(&self.begun, result).await?;
        *self.ended.lock().await = Some(Ended { conn: self.conn, counters: self.counters });
        Ok(Receipt { bytes: content.bytes, proof: Proof::RowsAccepted { rows: *self.crew.done() } })
    }

    async fn abort(mut self: Box<Self>) -> Result<()> {
        self.crew.stop().await;
        Ok(())
    }
}

impl Script {
    pub(super) fn new(
        conn: Conn,
        url: DatabaseUrl,
        options: &MysqlLoad,
        packet: usize,
        resumes: bool,
        (begun, ended): (Arc<Mutex<Begun>>, Arc<Mutex<Option<Ended>>>),
        cx: Context,
    ) -> Self {
        Self {
            conn,
            url,
            cx,
            room: options.room,
            packet,
            lexer: Lexer::new(),
            input: BytesMut::new(),
            data: BytesMut::new(),
            data_at: 0,
            offset: 0,
            statements: 0,
            session: None,
            crew: Crew::new(options.jobs, options.room),
            indexes: Vec::new(),
            foreign_keys: Vec::new(),
            counters: Vec::new(),
            resumes,
            behind: resumes,
            begun,
            ended,
        }
    }

    async fn finish(&mut self) -> Result<()> {
        self.work(true).await?;
        if !self.data.is_empty() || !self.lexer.is_between() {
            return Err(Error::sink("the dump ends inside a statement").with("offset", self.data_at));
        }
        self.table_ends().await?;
        self.crew.all_done().await?;
        if self.resumes || self.crew.idle().iter().any(|worker| worker.broke) {
            // A dump sets back at its end the mode under which its tables were made.
            self.execute(b"SET SESSION sql_mode = ''", self.offset).await?;
            for sql in self.counters.clone() {
                self.execute(&sql, self.offset).await?;
            }
        }
        for unit in std::mem::take(&mut self.foreign_keys) {
            // One at a time: each locks the tables of others as well.
            self.dispatch(unit).await?;
            self.crew.all_done().await?;
        }
        Ok(())
    }

    async fn work(&mut self, last: bool) -> Result<()> {
        loop {
            let step = self.lexer.next(&self.input, last);
            let (at, delimiter) = (self.offset, self.lexer.delimiter().len());
            match step {
                Step::More => return Ok(()),
                Step::Between { len } | Step::Delimiter { len } | Step::Sandbox { len } => {
                    self.used(len);
                }
                Step::Statement { verb, len, body } => {
                    let text = self.used(len);
                    self.statements += 1;
                    self.statement(verb, text.slice(..body), at).await?;
                }
                Step::Data { verb, len, first, last } => {
                    let text = self.used(len);
                    if first {
                        self.data_at = at;
                        self.statements += 1;
                    }
                    if self.data.len() + text.len() > self.room {
                        return Err(Error::usage("a statement of the dump is longer than the memory for it")
                            .with("statement", self.statements)
                            .with("offset", self.data_at)
                            .with("room", format!("{} MiB", self.room >> 20))
                            .hint("give more `--memory`: a statement may have a tenth of it"));
                    }
                    self.data.extend_from_slice(&text);
                    if last {
                        let mut text = self.data.split().freeze();
                        text.truncate(text.len() - delimiter);
                        self.data_statement(verb, text).await?;
                    }
                }
            }
        }
    }

    fn used(&mut self, len: usize) -> Bytes {
        self.offset += len as u64;
        self.input.split_to(len).freeze()
    }

    /// A statement that is not one of rows.
    async fn statement(&mut self, verb: Verb, text: Bytes, at: u64) -> Result<()> {
        let mode = self.lexer.mode();
        let words = words(&text, mode);
        let word = |at: usize| words.get(at).map_or("", String::as_str);
        match verb {
            Verb::Set => {
                self.session = None;
                return self.execute(&text, at).await;
            }
            Verb::Use => return Err(self.not_taken("USE", at)),
            Verb::Create | Verb::Drop if matches!(word(1), "DATABASE" | "SCHEMA") => {
                return Err(self.not_taken(&format!("{} DATABASE", word(0)), at));
            }
            // No gain in InnoDB, and a lock that keeps the other connections out.
            Verb::Alter
                if words.iter().any(|word| word == "KEYS")
                    && (word(3) == "DISABLE" || word(3) == "ENABLE") =>
            {
                return Ok(());
            }
            _ => {}
        }
        self.table_ends().await?;
        if verb == Verb::Create {
            self.counters.extend(create::counted(&text, mode));
        }
        if verb == Verb::Create
            && let Some(split) = create::split(&text, mode)
        {
            self.once(&split.create, at).await?;
            let session = self.session().await?;
            let table = word(2).to_owned();
            let (statement, resumes) = (self.statements, self.resumes);
            let unit = |part: u64, sql: Vec<u8>| Unit {
                statement,
                part,
                table: table.clone(),
                sql: sql.into(),
                session: Arc::clone(&session),
                rows: None,
                offset: at,
                schema: true,
                resumes,
            };
            self.indexes = (INDEXES..).zip(split.indexes).map(|(part, sql)| unit(part, sql)).collect();
            self.foreign_keys.extend(split.foreign_keys.map(|sql| unit(FOREIGN_KEYS, sql)));
            return Ok(());
        }
        if !(matches!(verb, Verb::Create | Verb::Drop) && word(1) == "TABLE") {
            // A trigger must not fire for the rows before it, and a view may name an index.
            self.crew.all_done().await?;
        }
        self.once(&text, at).await
    }

    /// Executes a statement, unless an earlier load has; and writes down that it was.
    async fn once(&mut self, sql: &[u8], at: u64) -> Result<()> {
        let (number, digest) = (self.statements << 20 | STATEMENT, target::digest(sql));
        if self.resumes {
            let done =
                target::is_done(&mut self.conn, number, digest).await.map_err(|failure| match failure {
                    Failure::Cause(error) => explain::refused(error, "looking into the journal"),
                    Failure::Connect(error) | Failure::Other(error) => error,
                })?;
            if done {
                return Ok(());
            }
        }
        // Only the first that was not written down can have been executed.
        let edge = std::mem::take(&mut self.behind);
        self.executed(sql, at, edge).await?;
        let written = async {
            target::done(&mut self.conn, number, digest).await?;
            // A dump may have turned autocommit off.
            self.conn.query_drop("COMMIT").await
        };
        written.await.map_err(|error| explain::refused(error, "writing into the journal"))
    }

    async fn data_statement(&mut self, verb: Verb, text: Bytes) -> Result<()> {
        let mode = self.lexer.mode();
        let at = self.data_at;
        let words = words(&text[..text.len().min(formats::mysql::HEAD)], mode);
        let word = |at: usize| words.get(at).map_or("", String::as_str);
        match verb {
            Verb::Empty => return Ok(()),
            Verb::Insert | Verb::Replace => {}
            _ if matches!((word(0), word(1)), ("LOCK" | "UNLOCK", "TABLES" | "TABLE")) => return Ok(()),
            _ => {
                self.table_ends().await?;
                self.crew.all_done().await?;
                return self.execute(&text, at).await;
            }
        }
        // `INSERT INTO t`, and rows whose number can be held against what the server took.
        let plain = verb == Verb::Insert && word(1) == "INTO";
        let mut counter = RowCounter::new(mode);
        counter.push(&text);
        let rows = (plain && counter.rows() > 0).then(|| counter.rows());
        let table = words.iter().skip_while(|word| *word != "INTO").nth(1).cloned().unwrap_or_default();
        let session = self.session().await?;
        let whole = text.len();
        let parts =
            if whole + PACKET > self.packet { self.divide(text, mode, &table)? } else { vec![(text, rows)] };
        for (part, (sql, rows)) in parts.into_iter().enumerate() {
            // Parts of one statement are units of their own.
            let (statement, part) = (self.statements, part as u64);
            let (table, session) = (table.clone(), Arc::clone(&session));
            let resumes = self.resumes;
            let unit =
                Unit { statement, part, table, sql, session, rows, offset: at, schema: false, resumes };
            self.dispatch(unit).await?;
        }
        Ok(())
    }

    /// A statement that the target would not take whole, as several of its rows each.
    fn divide(&self, text: Bytes, mode: Mode, table: &str) -> Result<Vec<(Bytes, Option<u64>)>> {
        let mut counter = RowCounter::new(mode);
        let mut starts = Vec::new();
        for (at, byte) in text.iter().enumerate() {
            counter.push(std::slice::from_ref(byte));
            if counter.rows() > starts.len() as u64 {
                starts.push(at);
            }
        }
        let Some(&first) = starts.first() else { return Ok(vec![(text, None)]) };
        starts.push(text.len());
        let mut parts = Vec::new();
        let mut begin = 0;
        while begin + 1 < starts.len() {
            let mut end = begin + 1;
            while end + 1 < starts.len() && first + starts[end + 1] - starts[begin] + PACKET <= self.packet {
                end += 1;
            }
            let rows = text[starts[begin]..starts[end]].trim_ascii_end();
            let rows = rows.strip_suffix(b",").unwrap_or(rows);
            if first + rows.len() + PACKET > self.packet {
                return Err(Error::sink("a row is longer than the target takes")
                    .with("table", table)
                    .with("statement", self.statements)
                    .with("row in it", begin + 1)
                    .with("offset", self.data_at + starts[begin] as u64)
                    .with("bytes", rows.len())
                    .with("max_allowed_packet", self.packet)
                    .hint("raise max_allowed_packet at the target"));
            }
            let mut sql = Vec::with_capacity(first + rows.len());
            sql.extend_from_slice(&text[..first]);
            sql.extend_from_slice(rows);
            parts.push((sql.into(), Some((end - begin) as u64)));
            begin = end;
        }
        Ok(parts)
    }

    fn not_taken(&self, what: &str, at: u64) -> Error {
        Error::sink(format!("the dump holds {what}, and is loaded into one database"))
            .with("statement", self.statements)
            .with("offset", at)
            .hint("dump one database at a time, without --databases and --all-databases")
    }

    /// What the dump has set so far.
    async fn session(&mut self) -> Result<Arc<Session>> {
        if let Some(session) = &self.session {
            return Ok(Arc::clone(session));
        }
        let session =
            Session::of(&mut self.conn).await.map_err(|error| explain::refused(error, "the session"))?;
        let session = Arc::new(session);
        self.session = Some(Arc::clone(&session));
        Ok(session)
    }

    /// Executes a statement in its place.
    async fn execute(&mut self, sql: &[u8], at: u64) -> Result<()> {
        self.executed(sql, at, false).await
    }

    /// The same; what is made may be there already.
    async fn executed(&mut self, sql: &[u8], at: u64, may_be_there: bool) -> Result<()> {
        let head = String::from_utf8_lossy(&sql[..sql.len().min(200)])
            .split_whitespace()
            .take(6)
            .collect::<Vec<_>>()
            .join(" ");
        let head: String = head.chars().take(100).collect();
        if let Err(error) = self.conn.query_drop(sql).await {
            if may_be_there && explain::is_there(&error) {
                return Ok(());
            }
            return Err(explain::refused(error, &format!("`{head}…`"))
                .with("statement", self.statements)
                .with("offset", at));
        }
        if self.conn.get_warnings() > 0 {
            let warnings: Vec<(String, u16, String)> = self
                .conn
                .query("SHOW WARNINGS")
                .await
                .map_err(|error| explain::refused(error, "SHOW WARNINGS"))?;
            for (level, code, message) in warnings {
                if level != "Note" && !HARMLESS.contains(&code) {
                    self.cx.warn(format!("`{head}…`: the target says: {message} ({code})"));
                }
            }
        }
        Ok(())
    }

    async fn dispatch(&mut self, unit: Unit) -> Result<()> {
        self.crew.dispatch(unit, || Worker::new(self.url.clone())).await
    }

    /// The rows of the last table have all been sent: its indexes are built once they are there, while the next table's rows arrive.
    async fn table_ends(&mut self) -> Result<()> {
        if self.indexes.is_empty() {
            return Ok(());
        }
        self.crew.all_done().await?;
        for unit in std::mem::take(&mut self.indexes) {
            self.dispatch(unit).await?;
        }
        Ok(())
    }
}

/// The first words of a statement, names without their quotes, keywords in upper case.
fn words(text: &[u8], mode: Mode) -> Vec<String> {
    use formats::mysql::token::Kind;
    Cursor::new(text, mode)
        .filter(|token| !matches!(token.kind, Kind::Open { .. } | Kind::Close))
        .take(8)
        .map(|token| {
            let value = String::from_utf8_lossy(&token.value(text, mode)).into_owned();
            if token.kind == Kind::Word { value.to_ascii_uppercase() } else { value }
        })
        .collect()
}
