//! The transform that rewrites a dump's statements and lets its data through.

use bytes::Bytes;
use formats::mysql::token::Cursor;
use formats::mysql::{MAX_HELD, Mode, Step, Verb};
use pipeline::{Error, Output, Result, Severity, Transform, TransformReport};

use super::definer::{self, DefinerPolicy};
use super::edit::Edits;
use super::feed::{Feed, Piece, Visitor};
use super::head::Head;
use super::notes::Notes;
use super::target::{Profile, Target};
use super::trailer::{Trailer, client_message};

/// What [`MysqlRewrite`] shall do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// What happens to definers.
    pub definer: DefinerPolicy,
    /// The target whose rules the dump shall meet; `None` changes definers only.
    pub profile: Option<Profile>,
    /// Whether the dump must end as mysqldump ends one; without that line it counts as truncated.
    pub require_trailer: bool,
}

/// Rewrites the statements of a dump of the MySQL family; row data and bodies pass through untouched.
#[derive(Debug)]
pub struct MysqlRewrite {
    feed: Feed,
    require_trailer: bool,
    mover: Mover,
}

/// The part that moves bytes.
#[derive(Debug)]
struct Mover {
    /// Bytes of the text on offer up to here have gone out, or were dropped.
    kept: usize,
    /// A statement was dropped, and the end of its line shall go with it.
    eat_line_end: bool,
    trailer: Trailer,
    rules: Rules,
}

/// The part that looks at statements, apart from the part that moves bytes.
#[derive(Debug)]
struct Rules {
    definer: DefinerPolicy,
    target: Option<Target>,
    notes: Notes,
    /// Counted apart from the notes, because a dump may have one statement per row.
    statements: u64,
    inserts: u64,
    replaces: u64,
}

/// What becomes of a statement.
enum Verdict {
    Keep,
    Drop,
    Change(Edits),
}

impl MysqlRewrite {
    /// A rewriter at the start of a dump.
    pub fn new(options: Options) -> Self {
        let mut notes = Notes::new("mysql-rewrite");
        notes.report.settings.insert("definer".to_owned(), options.definer.describe());
        if let Some(profile) = options.profile {
            notes.report.settings.insert("for".to_owned(), profile.name().to_owned());
        }
        let rules = Rules {
            definer: options.definer,
            target: options.profile.map(Target::new),
            notes,
            statements: 0,
            inserts: 0,
            replaces: 0,
        };
        Self {
            feed: Feed::default(),
            require_trailer: options.require_trailer,
            mover: Mover { kept: 0, eat_line_end: false, trailer: Trailer::default(), rules },
        }
    }
}

impl Visitor for Mover {
    fn step(&mut self, piece: &Piece<'_>, out: &mut dyn Output) -> Result<()> {
        let bytes = piece.bytes();
        let eat_line_end = std::mem::take(&mut self.eat_line_end);
        let verdict = match piece.step {
            Step::Between { .. } => {
                self.trailer.between(bytes);
                if eat_line_end {
                    let eaten = self.line_end(bytes);
                    self.release(piece, out)?;
                    self.kept += eaten;
                }
                return Ok(());
            }
            Step::Delimiter { .. } | Step::More => Verdict::Keep,
            Step::Sandbox { .. } => self.rules.sandbox(),
            Step::Statement { verb, body, .. } => {
                self.rules.statement(verb, &bytes[..body], piece.mode, piece.offset)
            }
            Step::Data { verb, first, .. } => {
                if first {
                    self.rules.data(verb, bytes, piece.mode, piece.offset)?;
                }
                Verdict::Keep
            }
        };
        let is_set = matches!(piece.step, Step::Statement { verb: Verb::Set, .. });
        self.trailer.statement(is_set.then_some(bytes));
        match verdict {
            Verdict::Keep => return Ok(()),
            Verdict::Drop => {
                self.release(piece, out)?;
                // What the lexer takes as a whole line has its end already.
                self.eat_line_end = !bytes.ends_with(b"\n");
            }
            Verdict::Change(edits) => {
                self.release(piece, out)?;
                let Step::Statement { body, .. } = piece.step else { return Ok(()) };
                edits
                    .emit(&piece.text.slice(piece.range.clone()), body, piece.mode, out)
                    .map_err(|error| error.with("offset", piece.offset))?;
            }
        }
        self.kept = piece.range.end;
        Ok(())
    }

    fn pause(&mut self, text: &Bytes, end: usize, out: &mut dyn Output) -> Result<()> {
        let kept = std::mem::take(&mut self.kept);
        if kept < end { out.emit(text.slice(kept..end)) } else { Ok(()) }
    }
}

impl Mover {
    /// Lets everything go out that passed through before this piece, in one slice.
    fn release(&mut self, piece: &Piece<'_>, out: &mut dyn Output) -> Result<()> {
        if self.kept < piece.range.start {
            out.emit(piece.text.slice(self.kept..piece.range.start))?;
        }
        self.kept = piece.range.start;
        Ok(())
    }

    /// How many bytes of the blank behind a dropped statement go with it: up to one line end.
    fn line_end(&mut self, between: &[u8]) -> usize {
        let returns = between.iter().take_while(|byte| **byte == b'\r').count();
        match between.get(returns) {
            Some(b'\n') => returns + 1,
            Some(_) => 0,
            None => {
                self.eat_line_end = true;
                returns
            }
        }
    }
}

impl Rules {
    fn statement(&mut self, verb: Verb, body: &[u8], mode: Mode, offset: u64) -> Verdict {
        self.statements += 1;
        let mut edits = Edits::default();
        if matches!(verb, Verb::Create | Verb::Alter)
            && let Some(head) = Head::read(Cursor::new(body, mode))
        {
            definer::apply(&self.definer, verb, &head, offset, &mut edits, &mut self.notes);
            if verb == Verb::Create {
                self.notes.count(head.object.created());
            }
        }
        if let Some(target) = &mut self.target
            && target.statement(verb, body, mode, offset, &mut edits, &mut self.notes)
        {
            return Verdict::Drop;
        }
        if edits.is_empty() { Verdict::Keep } else { Verdict::Change(edits) }
    }

    /// The first piece of a statement that passes through.
    fn data(&mut self, verb: Verb, piece: &[u8], mode: Mode, offset: u64) -> Result<()> {
        self.statements += 1;
        match verb {
            Verb::Insert => self.inserts += 1,
            Verb::Replace => self.replaces += 1,
            verb if verb.is_held() => {
                return Err(Error::transform(format!(
                    "a CREATE, ALTER, DROP or SET statement is longer than {} MiB and cannot be rewritten",
                    MAX_HELD >> 20
                ))
                .with("offset", offset)
                .hint("copy without rewriting, or take this object out of the dump"));
            }
            Verb::Other => {
                if let Some(line) = client_message(piece) {
                    self.client_message(&line, offset)?;
                }
            }
            _ => {}
        }
        if let Some(target) = &mut self.target {
            target.data(verb, piece, mode, offset, &mut self.notes);
        }
        Ok(())
    }

    /// The dump client's own words among the SQL: an error means that the dump is not whole, a warning that it does not
    /// load as it is.
    fn client_message(&mut self, line: &str, offset: u64) -> Result<()> {
        if line.contains("[Warning]") || line.contains("[Note]") {
            self.notes.find(
                Severity::Blocker,
                "client-message",
                "",
                offset,
                format!("the client's message is part of the dump and will not load: {line}"),
            );
            return Ok(());
        }
        Err(Error::truncated(format!("the client reported an error into the dump: {line}"))
            .with("offset", offset)
            .hint("keep the client's error output apart from the dump, and dump again"))
    }

    /// MariaDB's mark for its own client, which older and other clients refuse.
    fn sandbox(&mut self) -> Verdict {
        if self.target.is_none() {
            return Verdict::Keep;
        }
        self.notes.changed("sandbox-line-dropped");
        Verdict::Drop
    }
}

impl Transform for MysqlRewrite {
    fn name(&self) -> &'static str {
        "mysql-rewrite"
    }

    fn memory(&self) -> usize {
        // A held statement in a buffer that grows by doubling, so one and a half times; the input that completes it; and the list
        // of its changes, a MiB.
        2 * MAX_HELD
    }

    fn push(&mut self, input: Bytes, out: &mut dyn Output) -> Result<()> {
        self.feed.push(input, false, &mut self.mover, out)
    }

    fn finish(mut self: Box<Self>, out: &mut dyn Output) -> Result<TransformReport> {
        self.feed.push(Bytes::new(), true, &mut self.mover, out)?;
        if self.require_trailer {
            self.mover.trailer.check(self.feed.is_between(), self.feed.offset())?;
        }
        let rules = self.mover.rules;
        let mut notes = rules.notes;
        for (what, number) in
            [("statements", rules.statements), ("insert", rules.inserts), ("replace", rules.replaces)]
        {
            if number > 0 {
                notes.report.counts.insert(what.to_owned(), number);
            }
        }
        let objects = notes.counted("security-definer-objects");
        if objects > 0 && rules.definer == DefinerPolicy::Strip {
            notes.find(
                Severity::Info,
                "security-definer",
                "",
                0,
                format!(
                    "{objects} objects will run with the privileges of the account that loads this dump; \
                     load it as the account that shall own them, or use the invoker policy"
                ),
            );
        }
        Ok(notes.finish())
    }
}
