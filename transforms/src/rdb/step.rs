//! The step: parses a snapshot as it passes, decides what stays, and writes that.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use formats::rdb::{
    self, Checksum, Encoder, Event, Feature, HEAD_LIMIT, Key, Needs, Parser, Record, Splice, Version,
    module_name,
};
use pipeline::{Error, Finding, Output, Result, Severity, Transform, TransformReport};

use super::Options;
use super::inspect::{Inspector, Summary};
use super::merge::{Merges, Seen};
use super::select::{Dropped, Selection};
use super::tally::Tally;
use super::target::Verdict;
use super::text::Text;

/// What a key costs in a server's memory beside its bytes: its entry in the table, its object, its expiry. Estimated.
pub(super) const KEY_OVERHEAD: u64 = 96;

/// Input that is turned to text at a time: as much as gives pieces that need not be joined, and at most 6 MiB of them.
const TEXT_PIECE: usize = 64 << 10;

/// Output that waits until its header can state the lowest version that it needs. The header comes first and the need is known last, so what is
/// longer states the source's version.
const WAITING: usize = 4 << 20;

/// The least bytes of a value in which a length of 64 bits can stand: 4 GiB that are compressed ninetyfold.
const LONG_VALUE: u64 = 32 << 20;

/// The version of a source that says that nothing in it is newer: Redis 7.2, and all of Valkey loads it.
const PLAIN: Version = Version::redis(11);

/// Names of modules that are told.
const MODULES: usize = 64;

/// The transform.
#[derive(Debug)]
pub struct RdbStep {
    parser: Parser,
    core: Core,
    out: Form,
    /// The header, until it is whole: it decides what is written first.
    head: Vec<u8>,
    begun: bool,
    /// What is written waits for its header.
    waits: bool,
    summary: Option<Arc<Mutex<Summary>>>,
}

/// What is written.
#[derive(Debug)]
enum Form {
    /// The input as it is.
    Same,
    /// A snapshot of what was kept.
    Snapshot(Option<Box<Encoder>>),
    /// Its content as text.
    Text(Box<Text>),
}

/// Errors of the parser and our own.
pub(super) enum Fail {
    Rdb(rdb::Error),
    Ours(Error),
}

impl From<rdb::Error> for Fail {
    fn from(error: rdb::Error) -> Self {
        Self::Rdb(error)
    }
}

impl From<Error> for Fail {
    fn from(error: Error) -> Self {
        Self::Ours(error)
    }
}

impl From<Fail> for Error {
    fn from(fail: Fail) -> Self {
        match fail {
            Fail::Ours(error) => error,
            Fail::Rdb(error) => explain(&error),
        }
    }
}

/// The parser's error as one of the source: what it sent is no whole snapshot.
fn explain(error: &rdb::Error) -> Error {
    let told = if error.is_truncation() {
        Error::truncated(error.problem().to_string())
    } else {
        Error::source(error.problem().to_string())
    };
    let mut told = told.with("offset", error.offset());
    if let Some(key) = error.key() {
        told = told.with("key", key.escape_ascii());
    }
    use rdb::Problem;
    match error.problem() {
        Problem::Truncated(_) => told.hint("the snapshot is cut short: take it again"),
        Problem::Checksum { .. } => {
            told.hint("bytes were changed after the server wrote them: take the snapshot again")
        }
        Problem::Unknown(_) | Problem::Unsupported { .. } | Problem::Version(_) => {
            told.hint("`--format opaque` carries the bytes as they are, without looking into them")
        }
        Problem::Magic(what) if what.contains("compressed") => {
            told.hint("set `rdbcompression yes` at the server, or take the snapshot from the live server")
        }
        _ => told,
    }
}

/// Where what is kept goes.
trait Keep {
    fn keep(&mut self, record: &Record<'_>) -> Result<(), Fail>;
    fn select_db(&mut self, db: u64);
    fn resize_db(&mut self, keys: u64, expires: u64);
}

struct Nowhere;

impl Keep for Nowhere {
    #[inline]
    fn keep(&mut self, _: &Record<'_>) -> Result<(), Fail> {
        Ok(())
    }

    fn select_db(&mut self, _: u64) {}

    fn resize_db(&mut self, _: u64, _: u64) {}
}

impl Keep for Splice<'_, '_> {
    #[inline]
    fn keep(&mut self, record: &Record<'_>) -> Result<(), Fail> {
        Splice::keep(self, record);
        Ok(())
    }

    fn select_db(&mut self, db: u64) {
        self.encoder().select_db(db);
    }

    fn resize_db(&mut self, keys: u64, expires: u64) {
        self.encoder().resize_db(keys, expires);
    }
}

impl Keep for Text {
    #[inline]
    fn keep(&mut self, record: &Record<'_>) -> Result<(), Fail> {
        self.record(record)
    }

    fn select_db(&mut self, db: u64) {
        self.select(db);
    }

    fn resize_db(&mut self, _: u64, _: u64) {}
}

/// Decides record by record.
#[derive(Debug)]
struct Core {
    options: Options,
    selection: Selection,
    merges: Merges,
    rewrites: bool,
    /// Where the current database goes; none when it is left out.
    target: Option<u64>,
    /// The database that was last written.
    written: Option<u64>,
    /// The current database's sizes, while they are still true.
    sizes: Option<(u64, u64)>,
    /// Whether the current record's pieces are kept.
    keeping: bool,
    needs: Needs,
    /// Type bytes of the keys that were counted into the needs, by what else the keys had: most keys are like one before.
    familiar: [u64; 8],
    /// Bytes of the current value so far.
    value: u64,
    /// What the header of the output states.
    header: Version,
    found: Version,
    /// The header is lower than the source's because the source said that it can be.
    taken_for_plain: bool,
    checksum: Option<Checksum>,
    tally: Tally,
    dropped: [u64; Dropped::ALL.len()],
    changes: BTreeMap<&'static str, u64>,
    modules: BTreeMap<String, u64>,
    functions: u64,
    /// Estimated cost of all keys, and of those that are kept.
    cost: [u64; 2],
    used_memory: Option<u64>,
    server: Option<String>,
    preamble: bool,
    verdict: Option<Verdict>,
    inspector: Option<Box<Inspector>>,
    findings: Vec<Finding>,
}

impl RdbStep {
    /// A step for one snapshot.
    pub fn new(options: Options) -> Self {
        let rewrites = options.rewrites() && options.text.is_none();
        let out = match options.text {
            Some(form) => Form::Text(Box::new(Text::new(form))),
            None if rewrites => Form::Snapshot(None),
            None => Form::Same,
        };
        Self {
            parser: Parser::new(),
            core: Core::new(options, rewrites),
            out,
            head: Vec::new(),
            begun: false,
            waits: false,
            summary: None,
        }
    }

    /// Looks at every key that is kept as well; what it saw is in the summary once the step is finished.
    #[must_use]
    pub fn inspecting(mut self) -> (Self, Arc<Mutex<Summary>>) {
        let summary = Arc::new(Mutex::new(Summary::default()));
        self.summary = Some(Arc::clone(&summary));
        self.core.inspector = Some(Box::new(Inspector::new(self.core.options.now)));
        (self, summary)
    }

    /// Parses a piece and writes what is kept of it into the form's own buffer.
    fn feed(&mut self, piece: &[u8]) -> Result<()> {
        let Self { parser, core, out, .. } = self;
        let taken = match out {
            Form::Same | Form::Snapshot(None) => {
                let mut nowhere = Nowhere;
                parser.push::<Fail, _>(piece, &mut |record| core.record(&record, &mut nowhere))?
            }
            Form::Snapshot(Some(encoder)) => {
                let mut splice = encoder.splice(piece, parser.offset());
                parser.push::<Fail, _>(piece, &mut |record| core.record(&record, &mut splice))?
            }
            Form::Text(text) => {
                parser.push::<Fail, _>(piece, &mut |record| core.record(&record, text.as_mut()))?
            }
        };
        if taken == piece.len() {
            return Ok(());
        }
        let error = Error::source("bytes follow the end of the snapshot").with("offset", parser.offset());
        Err(if core.preamble {
            error.hint("this is an append-only file that begins with a snapshot; take the snapshot from the live server instead")
        } else {
            error.hint("`--format opaque` carries the bytes as they are")
        })
    }

    fn hand_on(&mut self, out: &mut dyn Output) -> Result<()> {
        match &mut self.out {
            Form::Snapshot(Some(encoder)) if self.waits && encoder.pending() < WAITING => Ok(()),
            Form::Snapshot(Some(encoder)) if encoder.pending() > 0 => {
                self.waits = false;
                let room = Vec::with_capacity(encoder.pending());
                out.emit(encoder.take(room).into())
            }
            Form::Text(text) => text.emit(out),
            _ => Ok(()),
        }
    }

    fn begin(&mut self) -> Result<()> {
        self.begun = true;
        let head = std::mem::take(&mut self.head);
        if let Ok(magic) = head.as_slice().try_into()
            && let Ok(found) = Version::parse(magic)
        {
            self.core.begin(found);
            if let Form::Snapshot(encoder) = &mut self.out {
                self.waits = self.core.options.version.is_none();
                *encoder = Some(Box::new(Encoder::new(self.core.header)));
            }
        }
        self.feed(&head)
    }
}

impl Core {
    fn new(options: Options, rewrites: bool) -> Self {
        let mut core = Self {
            selection: Selection::new(&options),
            merges: Merges::new(
                &options.databases,
                &options.renumber,
                options.drop_twice,
                options.merge_memory,
            ),
            rewrites,
            target: None,
            written: None,
            sizes: None,
            keeping: true,
            needs: Needs::new(),
            familiar: [0; 8],
            value: 0,
            header: Version::redis(0),
            found: Version::redis(0),
            taken_for_plain: false,
            checksum: None,
            tally: Tally::default(),
            dropped: [0; Dropped::ALL.len()],
            changes: BTreeMap::new(),
            modules: BTreeMap::new(),
            functions: 0,
            cost: [0; 2],
            used_memory: None,
            server: None,
            preamble: false,
            verdict: options.target.clone().map(|target| Verdict::new(target, !options.slots.is_empty())),
            inspector: None,
            findings: Vec::new(),
            options,
        };
        core.enter(0);
        core
    }

    fn begin(&mut self, found: Version) {
        self.found = found;
        self.header = match (self.options.version, &self.verdict) {
            (Some(version), _) => version,
            (None, Some(verdict)) => verdict.version(found),
            (None, None) => found,
        };
        let newer = found.dialect == rdb::Dialect::Valkey || found.number > PLAIN.number;
        if self.options.version.is_none()
            && self.verdict.is_none()
            && newer
            && self.options.plain.load(Ordering::Relaxed)
        {
            self.header = PLAIN;
            self.taken_for_plain = true;
        }
        if self.header.number < 5 {
            // Before there was a checksum; what is written has one.
            self.header = Version::redis(5);
        }
        if !found.is_known() {
            self.find(
                Severity::Warning,
                "newer-version",
                0,
                format!("{found} is newer than the formats that are known here; it is carried as far as they reach"),
            );
        }
    }

    fn find(&mut self, severity: Severity, code: &str, offset: u64, message: String) {
        let object = String::new();
        self.findings.push(Finding { severity, code: code.to_owned(), object, message, offset });
    }

    fn enter(&mut self, db: u64) {
        let kept = self.options.databases.is_empty() || self.options.databases.contains(&db);
        self.target = kept.then(|| self.options.renumber.get(&db).copied().unwrap_or(db));
        self.sizes = None;
    }

    fn changed(&mut self, kind: &'static str) {
        *self.changes.entry(kind).or_default() += 1;
    }

    #[inline]
    fn record<K: Keep>(&mut self, record: &Record<'_>, out: &mut K) -> Result<(), Fail> {
        match &record.event {
            Event::Key(key) => self.key(key, record, out),
            Event::Chunk(chunk) => {
                let cost = record.raw.len() as u64;
                self.cost[0] += cost;
                if self.keeping {
                    self.cost[1] += cost;
                    self.value += cost;
                    if self.value > LONG_VALUE {
                        self.long_value(record)?;
                    }
                    if let Some(inspector) = &mut self.inspector {
                        inspector.chunk(record.raw, chunk.last)?;
                    }
                    out.keep(record)?;
                }
                Ok(())
            }
            _ => self.other(record, out),
        }
    }

    #[inline]
    fn key<K: Keep>(&mut self, key: &Key<'_>, record: &Record<'_>, out: &mut K) -> Result<(), Fail> {
        let cost = record.raw.len() as u64 + KEY_OVERHEAD;
        self.cost[0] += cost;
        let Some(target) = self.target else {
            self.keeping = false;
            self.changed("key-dropped-database");
            return Ok(());
        };
        if let Some(why) = self.selection.judge(key) {
            self.keeping = false;
            self.dropped[why as usize] += 1;
            return Ok(());
        }
        if !self.merges.is_empty() && self.merges.concerns(target) && !self.is_first(target, key)? {
            self.keeping = false;
            self.changed("key-dropped-twice");
            return Ok(());
        }
        self.keeping = true;
        self.value = 0;
        self.cost[1] += cost;
        self.tally.key(target, key);
        let extras = usize::from(key.expires_at.is_some())
            | usize::from(key.idle.is_some() || key.frequency.is_some()) << 1
            | usize::from(key.has_metadata) << 2;
        let form = 1_u64.checked_shl(u32::from(key.kind.byte())).unwrap_or(0);
        if self.familiar[extras] & form == 0 {
            self.unfamiliar(key, record)?;
            self.familiar[extras] |= form;
        }
        if key.kind.data_type() == rdb::DataType::Module {
            self.module_key(key, record.offset);
        }
        if self.written != Some(target) {
            self.written = Some(target);
            if let Some(verdict) = &mut self.verdict {
                verdict.database(target, record.offset);
            }
            out.select_db(target);
            if let Some((keys, expires)) = self.sizes.take() {
                out.resize_db(keys, expires);
            }
        }
        if let Some(inspector) = &mut self.inspector {
            inspector.key(target, key, record.raw.len());
        }
        out.keep(record)
    }

    /// The first key of its form.
    #[cold]
    fn unfamiliar(&mut self, key: &Key<'_>, record: &Record<'_>) -> Result<(), Fail> {
        self.needs.event(&record.event);
        self.check_needs(record, &format!("a key of type {} ({})", key.kind.data_type(), key.kind.encoding()))
    }

    /// A value that is long enough may hold lengths that old loaders do not know.
    #[cold]
    fn long_value(&mut self, record: &Record<'_>) -> Result<(), Fail> {
        if self.found.number >= 8 {
            self.needs.feature(Feature::Length64);
            self.check_needs(record, "a value with a length of more than 32 bits")?;
        }
        Ok(())
    }

    #[cold]
    fn module_key(&mut self, key: &Key<'_>, offset: u64) {
        // The module's name is in the value, which is not looked into; the type is enough for the verdict.
        if let Some(verdict) = &mut self.verdict {
            verdict.module_key(key.name, offset);
        }
    }

    /// Ends the run when what is kept does not fit the header.
    #[cold]
    fn check_needs(&mut self, record: &Record<'_>, what: &str) -> Result<(), Fail> {
        if !self.rewrites || self.needs.allow(self.header) {
            return Ok(());
        }
        let lowest =
            self.needs.lowest().map_or_else(|| "no single version".to_owned(), |version| version.to_string());
        let error = Error::transform(format!("{} cannot hold {what}: that needs {lowest}", self.header))
            .with("offset", record.offset);
        let error = match &record.event {
            Event::Key(key) => error.with("key", key.name.escape_ascii()),
            _ => error,
        };
        if self.taken_for_plain {
            return Err(error
                .of_kind(pipeline::Kind::Temporary)
                .hint(format!("the server said beforehand that it holds nothing of the kind: run it again, or with --rdb-version {}", self.found.number))
                .into());
        }
        let error = match &self.verdict {
            Some(verdict) if self.options.version.is_none() => error.hint(verdict.version_hint(self.needs)),
            _ => error.hint(format!("leave it out, or ask for the version that it needs ({lowest})")),
        };
        Err(error.into())
    }

    #[cold]
    #[inline(never)]
    fn is_first(&mut self, target: u64, key: &Key<'_>) -> Result<bool, Fail> {
        match self.merges.note(target, key.name) {
            Seen::New => Ok(true),
            Seen::Twice if self.options.drop_twice => Ok(false),
            Seen::Twice => {
                Err(Error::transform("two databases that become one have a key of the same name")
                    .with("key", key.name.escape_ascii())
                    .with("database", target)
                    .with("from", key.db)
                    .hint("a server does not load such a file; give the databases numbers of their own, or leave the key out of one with a run for each")
                    .into())
            }
            Seen::Full => Err(Error::transform(format!(
                "whether a key is there twice could be followed for {} keys, and there are more",
                self.merges.keys()
            ))
            .hint("give more --memory: a quarter of it is for this, at 12 to 24 bytes a key")
            .into()),
        }
    }

    /// Everything that is neither key nor value.
    fn other<K: Keep>(&mut self, record: &Record<'_>, out: &mut K) -> Result<(), Fail> {
        match &record.event {
            Event::Header(_) | Event::Key(_) | Event::Chunk(_) => return Ok(()),
            Event::Eof(checksum) => {
                self.checksum = Some(*checksum);
                return Ok(());
            }
            Event::SelectDb(db) => {
                self.enter(*db);
                if self.target.is_some_and(|target| target != *db) {
                    self.changed("database-renumbered");
                }
                return Ok(());
            }
            Event::ResizeDb { keys, expires } => {
                let merged = self.target.is_some_and(|target| self.merges.concerns(target));
                if self.options.judges_keys() || merged {
                    self.changed("size-hint-dropped");
                } else {
                    self.sizes = Some((*keys, *expires));
                    self.needs.event(&record.event);
                }
                return Ok(());
            }
            Event::SlotInfo { .. } | Event::SlotImport { .. } => {
                self.keeping = !self.rewrites;
                if self.rewrites {
                    self.changed("slot-record-dropped");
                    return Ok(());
                }
            }
            Event::Aux { name, value } => {
                self.aux(name, value);
                // The history and the slots of the source: a server that trusts them would resume what it never had.
                let of_source = name.starts_with(b"repl-") || *name == b"slot-info";
                if self.rewrites && (self.options.drop_aux || of_source) {
                    self.changed("aux-dropped");
                    return Ok(());
                }
            }
            Event::Function { library } => {
                if self.options.drop_functions {
                    self.changed("function-dropped");
                    return Ok(());
                }
                self.functions += 1;
                if let Some(inspector) = &mut self.inspector {
                    inspector.function(library);
                }
                if let Some(verdict) = &mut self.verdict {
                    verdict.function(record.offset);
                }
            }
            Event::HashTemplate { .. } => {
                // Only hashes written by reference need it, and those need the version as well.
                let holds = self.header.dialect == rdb::Dialect::Redis && self.header.number >= 15;
                if self.rewrites && !holds {
                    self.changed("template-dropped");
                    return Ok(());
                }
            }
            Event::ModuleAux { module } => {
                self.keeping = !self.options.drop_modules;
                let (name, _) = module_name(*module);
                if !self.keeping {
                    self.changed("module-data-dropped");
                    return Ok(());
                }
                if self.modules.len() < MODULES || self.modules.contains_key(&name) {
                    *self.modules.entry(name.clone()).or_default() += 1;
                }
                if let Some(inspector) = &mut self.inspector {
                    inspector.module(&name);
                }
                if let Some(verdict) = &mut self.verdict {
                    verdict.module_data(&name, record.offset);
                }
            }
        }
        self.needs.event(&record.event);
        self.check_needs(record, "a record outside keys")?;
        out.keep(record)
    }

    fn aux(&mut self, name: &[u8], value: &[u8]) {
        let text = || String::from_utf8_lossy(&value[..value.len().min(64)]).into_owned();
        match name {
            b"redis-ver" => self.server = Some(format!("Redis {}", text())),
            b"valkey-ver" => self.server = Some(format!("Valkey {}", text())),
            b"used-mem" => self.used_memory = text().parse().ok(),
            b"aof-preamble" | b"aof-base" => self.preamble = value == b"1",
            _ => {}
        }
        if let Some(inspector) = &mut self.inspector {
            inspector.aux(name, value);
        }
    }

    /// What the kept keys will take in a server: the source's own figure, by the share of its keys that are kept; else by their bytes.
    fn estimate(&self) -> u64 {
        let [all, kept] = self.cost;
        match self.used_memory {
            Some(used) if all > 0 => {
                let share = u128::from(used) * u128::from(kept) / u128::from(all);
                u64::try_from(share).unwrap_or(u64::MAX).max(kept)
            }
            _ => kept,
        }
    }

    fn report(mut self) -> Result<TransformReport> {
        let mut report = TransformReport::new("rdb");
        report.settings = self.options.settings();
        let mut set = |name: &str, value: String| report.settings.insert(name.to_owned(), value);
        set("version", if self.rewrites { self.header } else { self.found }.to_string());
        let lowest = self.needs.lowest();
        if let Some(lowest) = lowest {
            set("needs", lowest.to_string());
        }
        if let Some(server) = &self.server {
            set("server", server.clone());
        }
        let checked = match self.checksum {
            Some(Checksum::Verified(_)) => "verified",
            Some(Checksum::NotComputed) => "not computed by the writer",
            _ => "none in this version",
        };
        set("source-crc64", checked.to_owned());
        if !matches!(self.checksum, Some(Checksum::Verified(_))) {
            let message = "the snapshot carries no checksum (rdbchecksum no, or a version before 5): its grammar is whole, its bytes are unproven";
            self.find(Severity::Warning, "no-checksum", 0, message.to_owned());
        }
        // The families have one row of numbers, in which Valkey's are the higher ones.
        if let Some(lowest) = lowest.filter(|lowest| lowest.number < self.header.number)
            && self.rewrites
            && self.options.version.is_none()
            && self.options.target.is_none()
        {
            let message = format!(
                "the header states {}, and the content needs no more than {lowest}: `--rdb-version {}` lets older servers load it",
                self.header, lowest.number
            );
            self.find(Severity::Info, "version-higher-than-needed", 0, message);
        }
        let estimate = self.estimate();
        if let Some(verdict) = self.verdict.take() {
            let keys = self.tally.keys();
            let databases = self.tally.databases().clone();
            self.findings.extend(verdict.finish(keys, &databases, self.functions, estimate, self.header)?);
        }
        for (why, count) in Dropped::ALL.iter().zip(self.dropped) {
            report.changed(why.code(), count);
        }
        for (kind, count) in &self.changes {
            report.changed(kind, *count);
        }
        report.counts.insert("estimated-memory-bytes".to_owned(), estimate);
        if self.functions > 0 {
            report.counts.insert("function-libraries".to_owned(), self.functions);
        }
        for (name, count) in &self.modules {
            report.counts.insert(format!("module-data-{name}"), *count);
        }
        report.findings = self.findings;
        self.tally.report(&mut report);
        Ok(report)
    }
}

impl Transform for RdbStep {
    fn name(&self) -> &'static str {
        "rdb"
    }

    fn memory(&self) -> usize {
        // A head that grows by doubling and its copy; output of one piece; the merged keys; what inspection and decoding hold.
        let merges = if self.core.merges.is_empty() { 0 } else { self.core.options.merge_memory };
        let text = if self.core.options.text.is_some() { super::text::MEMORY } else { 0 };
        let inspection = if self.summary.is_some() { super::inspect::MEMORY } else { 0 };
        2 * HEAD_LIMIT + WAITING + (2 << 20) + merges + text + inspection
    }

    fn push(&mut self, mut input: Bytes, out: &mut dyn Output) -> Result<()> {
        if matches!(self.out, Form::Same) {
            out.emit(input.clone())?;
        }
        if !self.begun {
            let more = (Version::LEN - self.head.len()).min(input.len());
            self.head.extend_from_slice(&input.split_to(more));
            if self.head.len() < Version::LEN {
                return Ok(());
            }
            self.begin()?;
        }
        if matches!(self.out, Form::Text(_)) {
            // A compressed string can grow ninetyfold, so what comes of little input is handed on before there is more.
            while !input.is_empty() {
                self.feed(&input.split_to(input.len().min(TEXT_PIECE)))?;
                self.hand_on(out)?;
            }
            return Ok(());
        }
        self.feed(&input)?;
        self.hand_on(out)
    }

    fn finish(mut self: Box<Self>, out: &mut dyn Output) -> Result<TransformReport> {
        if !self.begun {
            self.begin()?;
        }
        self.parser.finish().map_err(|error| explain(&error))?;
        match self.out {
            Form::Snapshot(Some(mut encoder)) => {
                if let Some(lowest) = self.core.needs.lowest().filter(|_| self.waits)
                    && encoder.restate(lowest)
                {
                    self.core.header = lowest;
                }
                out.emit(encoder.finish().into())?;
            }
            Form::Text(mut text) => text.emit(out)?,
            _ => {}
        }
        if let (Some(summary), Some(inspector)) = (&self.summary, self.core.inspector.take()) {
            let estimate = self.core.estimate();
            *summary.lock().unwrap_or_else(PoisonError::into_inner) =
                inspector.finish(self.core.found, self.core.server.clone(), estimate);
        }
        self.core.report()
    }
}
