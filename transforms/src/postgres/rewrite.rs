//! The streaming side of rewriting: what to hold, what to pass, where to put the result.

use bytes::Bytes;
use formats::postgres::plain::{Kind, LexError, Lexer, Standing};
use pipeline::{Error, Output, Result, Severity, Transform, TransformReport};

use super::RewriteOptions;
use super::findings::{Note, record};
use super::redact::redact;
use super::rules::Rules;
use super::statement::{Statement, apply};
use super::trailer::Trailer;

/// A longer statement is passed as it is, with a finding. DDL is a few kilobytes; 8 MiB leaves room for functions
/// with data in them.
const HELD_LIMIT: usize = 8 << 20;
/// A longer psql command is refused.
const COMMAND_LIMIT: usize = 64 << 10;

/// Rewrites a plain dump for a managed server and checks that it is whole.
///
/// Statements that change objects are held until their end and judged; row data, `COPY` or `INSERT`, passes without a
/// copy. Offsets in findings are those of the input.
#[derive(Debug)]
pub struct PostgresRewrite {
    options: RewriteOptions,
    rules: Option<Rules>,
    lexer: Lexer,
    trailer: Trailer,
    report: TransformReport,
    statements: u64,
    copy_blocks: u64,
    held: Vec<u8>,
    /// In a statement, whose bytes are passed on rather than held.
    passing: bool,
    /// In a statement or a command that began in an earlier piece of input.
    inside: bool,
    /// The last statement was not ended but broken off by a psql command.
    broken_off: bool,
    /// `standard_conforming_strings` where the statement began.
    standard_strings: bool,
}

/// What becomes of a statement.
enum Verdict {
    Keep,
    Drop,
    Replace(Vec<u8>),
}

impl PostgresRewrite {
    /// Name of the transform.
    pub const NAME: &'static str = "postgres-rewrite";

    /// A rewriter at the beginning of a dump.
    pub fn new(options: RewriteOptions) -> Self {
        let mut report = TransformReport::new(Self::NAME);
        let mut set = |key: &str, value: String| report.settings.insert(key.to_owned(), value);
        if let Some(profile) = options.profile {
            set("for", profile.name().to_owned());
            if options.keep_acl {
                set("acl", "keep".to_owned());
            }
        }
        if options.redact_secrets {
            set("redact-secrets", "yes".to_owned());
        }
        if let Some(major) = options.target_major {
            set("target-major", major.to_string());
        }
        Self {
            rules: options.profile.map(|_| Rules::new(&options)),
            options,
            lexer: Lexer::new(),
            trailer: Trailer::default(),
            report,
            statements: 0,
            copy_blocks: 0,
            held: Vec::new(),
            passing: false,
            inside: false,
            broken_off: false,
            standard_strings: true,
        }
    }

    fn note(&mut self, note: Note, offset: u64) {
        record(&mut self.report, note, offset);
    }

    fn judge(&mut self, sql: &[u8]) -> Verdict {
        if !self.looks() {
            return Verdict::Keep;
        }
        if self.lexer.first_word().is_some_and(is_data) {
            return Verdict::Keep;
        }
        if sql.len() > HELD_LIMIT {
            self.too_long();
            return Verdict::Keep;
        }
        let statement = Statement::new(sql, self.standard_strings);
        let mut decision = self.rules.as_mut().map(|rules| rules.judge(&statement)).unwrap_or_default();
        if self.options.redact_secrets && !decision.drop {
            redact(&statement, &mut decision);
        }
        let offset = self.lexer.start();
        for note in decision.notes {
            record(&mut self.report, note, offset);
        }
        for key in decision.changes {
            self.report.changed(key, 1);
        }
        if decision.drop {
            Verdict::Drop
        } else if decision.edits.is_empty() {
            Verdict::Keep
        } else {
            Verdict::Replace(apply(sql, &mut decision.edits))
        }
    }

    /// Whether statements are looked at, and held for it.
    fn looks(&self) -> bool {
        self.rules.is_some() || self.options.redact_secrets
    }

    fn too_long(&mut self) {
        let object = Vec::new();
        let message = format!("longer than {} MiB: passed on without a look", HELD_LIMIT >> 20);
        let offset = self.lexer.start();
        self.note(Note { severity: Severity::Warning, code: "statement-too-long", object, message }, offset);
    }

    /// Decides on a psql command. Only what `pg_dump` writes goes to a managed server: psql runs programs and reads
    /// files on behalf of a command, and a row of data must not become one.
    fn judge_command(&mut self, line: &[u8], in_statement: bool) -> Result<()> {
        let offset = self.lexer.start();
        let name_len = line.iter().position(u8::is_ascii_whitespace).unwrap_or(line.len());
        let (name, arguments) = line.split_at(name_len);
        let known = matches!(name, b"\\connect" | b"\\c" | b"\\restrict" | b"\\unrestrict");
        if name == b"\\restrict" {
            self.trailer.restricted(arguments.trim_ascii());
        }
        let display = String::from_utf8_lossy(&name[..name.len().min(40)]).into_owned();
        if self.options.profile.is_some() && (!known || in_statement || !is_harmless(arguments)) {
            return Err(Error::transform(format!("the psql command {display} does not belong into a dump"))
                .with("offset", offset)
                .hint(
                    "pg_dump writes \\connect, \\restrict and \\unrestrict only; take the command out of the file, \
                     or leave out --for to carry the file as it is",
                ));
        }
        let (severity, code, message) = if !known {
            (Severity::Warning, "psql-command", "psql will run this command; only psql can load this file")
        } else if matches!(name, b"\\connect" | b"\\c") {
            (Severity::Info, "psql-connect", "psql goes on in another database here")
        } else {
            return Ok(());
        };
        let mut object = display.into_bytes();
        if known {
            object = arguments.trim_ascii().to_vec();
        }
        self.note(Note { severity, code, object, message: message.to_owned() }, offset);
        Ok(())
    }

    fn command_too_long(&self) -> Error {
        Error::transform("a psql command is longer than 64 KiB").with("offset", self.lexer.start())
    }

    fn cut(&self, what: &str) -> Error {
        Error::truncated(format!("the dump ends inside {what}"))
            .with("offset", self.lexer.offset())
            .hint("the file or the connection was cut off: make the dump again")
    }
}

/// Statements that carry rows, or that no rule looks at: they may be of any length.
fn is_data(first_word: &[u8]) -> bool {
    matches!(first_word, b"insert" | b"values" | b"with" | b"merge" | b"delete" | b"do" | b"call")
}

/// psql expands backquotes, and begins another command at a backslash outside quotes.
fn is_harmless(arguments: &[u8]) -> bool {
    let mut quote = None;
    for &byte in arguments {
        match (quote, byte) {
            (None, b'\'' | b'"') => quote = Some(byte),
            (None, b'\\' | b'`' | b':' | b'|') => return false,
            (Some(open), byte) if open == byte => quote = None,
            _ => {}
        }
    }
    quote.is_none()
}

/// What was held and this together, when anything was held.
fn join(held: &mut Vec<u8>, bytes: &[u8]) -> Option<Vec<u8>> {
    if held.is_empty() {
        return None;
    }
    held.extend_from_slice(bytes);
    Some(std::mem::take(held))
}

fn emit(input: &Bytes, from: usize, to: usize, out: &mut dyn Output) -> Result<()> {
    if from < to { out.emit(input.slice(from..to)) } else { Ok(()) }
}

pub(super) fn lex_error(error: &LexError) -> Error {
    Error::transform(format!("not a dump that psql would take: {}", error.what))
        .with("offset", error.offset)
        .hint("psql would stop here too; make the dump again, or look at the file at that offset")
}

impl Transform for PostgresRewrite {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn memory(&self) -> usize {
        // The held statement (its buffer grows by doubling) and its rewritten copy.
        3 * HELD_LIMIT + (256 << 10)
    }

    fn push(&mut self, input: Bytes, out: &mut dyn Output) -> Result<()> {
        // Input up to `run` has been dealt with; from `run` to `at` it is to be passed on as it is.
        let (mut run, mut at) = (0, 0);
        let mut from = 0;
        while let Some(piece) = {
            let before = self.lexer.standard_strings();
            if !self.inside {
                self.standard_strings = before;
                from = at;
            }
            self.lexer.next(&input[at..]).map_err(|error| lex_error(&error))?
        } {
            let bytes = &input[at..at + piece.len];
            at += piece.len;
            match piece.kind {
                Kind::Space | Kind::Comment => self.trailer.gap(bytes),
                Kind::CopyData => {
                    self.trailer.interrupted();
                    if piece.end {
                        self.copy_blocks += 1;
                    }
                }
                Kind::Command if piece.end => {
                    self.inside = false;
                    let line = join(&mut self.held, bytes);
                    self.trailer.gap(line.as_deref().unwrap_or(bytes));
                    let broken_off = std::mem::take(&mut self.broken_off);
                    self.judge_command(line.as_deref().unwrap_or(bytes), broken_off)?;
                    if let Some(line) = line {
                        out.emit(line.into())?;
                        run = at;
                    }
                }
                Kind::Command => {
                    self.inside = true;
                    emit(&input, run, from, out)?;
                    self.held.extend_from_slice(bytes);
                    if self.held.len() > COMMAND_LIMIT {
                        return Err(self.command_too_long());
                    }
                    run = at;
                }
                Kind::Statement if piece.end => {
                    self.trailer.interrupted();
                    self.statements += 1;
                    self.inside = false;
                    self.broken_off = self.lexer.in_command();
                    if std::mem::take(&mut self.passing) {
                        continue;
                    }
                    let held = join(&mut self.held, bytes);
                    match (self.judge(held.as_deref().unwrap_or(bytes)), held) {
                        (Verdict::Keep, None) => continue,
                        (Verdict::Keep, Some(held)) => out.emit(held.into())?,
                        (verdict, held) => {
                            if held.is_none() {
                                emit(&input, run, from, out)?;
                            }
                            if let Verdict::Replace(sql) = verdict {
                                out.emit(sql.into())?;
                            }
                        }
                    }
                    run = at;
                }
                Kind::Statement => {
                    self.inside = true;
                    if self.passing {
                        continue;
                    }
                    let data = !self.looks() || self.lexer.first_word().is_some_and(is_data);
                    let too_long = self.held.len() + bytes.len() > HELD_LIMIT;
                    if data || too_long {
                        self.passing = true;
                        if !data {
                            self.too_long();
                        }
                        if !self.held.is_empty() {
                            out.emit(std::mem::take(&mut self.held).into())?;
                        }
                        continue;
                    }
                    emit(&input, run, from, out)?;
                    self.held.extend_from_slice(bytes);
                    run = at;
                }
            }
        }
        emit(&input, run, at, out)
    }

    fn finish(mut self: Box<Self>, out: &mut dyn Output) -> Result<TransformReport> {
        match self.lexer.standing() {
            Standing::Inside(what) => return Err(self.cut(what)),
            Standing::OpenStatement if self.options.require_trailer => return Err(self.cut("a statement")),
            Standing::OpenStatement => {
                let held = std::mem::take(&mut self.held);
                self.statements += 1;
                match if self.passing { Verdict::Keep } else { self.judge(&held) } {
                    Verdict::Keep => out.emit(held.into())?,
                    Verdict::Drop => {}
                    Verdict::Replace(sql) => out.emit(sql.into())?,
                }
            }
            Standing::Ground => {
                let line = std::mem::take(&mut self.held);
                if !line.is_empty() {
                    if self.options.require_trailer {
                        return Err(self.cut("a psql command"));
                    }
                    self.trailer.gap(&line);
                    self.judge_command(&line, self.broken_off)?;
                    out.emit(line.into())?;
                }
            }
        }
        if self.options.require_trailer {
            self.trailer.check(self.lexer.offset())?;
        }
        for (what, count) in [("statements", self.statements), ("copy-blocks", self.copy_blocks)] {
            if count > 0 {
                self.report.counts.insert(what.to_owned(), count);
            }
        }
        Ok(self.report)
    }
}
