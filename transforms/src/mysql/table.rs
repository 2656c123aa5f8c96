//! Table definitions that a managed MySQL 8 refuses, or takes and then cannot back up.

use formats::mysql::token::{Cursor, Kind, Token};
use pipeline::Severity;

use super::collation;
use super::edit::Edits;
use super::notes::{Notes, shown};
use super::settings::requoted;
use super::target::Profile;

/// Options that MySQL does not know, or that belong to the machine the dump comes from. Each is a name and perhaps
/// `=` and a value.
const DROPPED_OPTIONS: [(&str, &str); 13] = [
    ("PAGE_CHECKSUM", "mariadb-table-option-dropped"),
    ("TRANSACTIONAL", "mariadb-table-option-dropped"),
    ("PAGE_COMPRESSED", "mariadb-table-option-dropped"),
    ("PAGE_COMPRESSION_LEVEL", "mariadb-table-option-dropped"),
    ("ENCRYPTED", "mariadb-table-option-dropped"),
    ("ENCRYPTION_KEY_ID", "mariadb-table-option-dropped"),
    ("IETF_QUOTES", "mariadb-table-option-dropped"),
    ("TABLE_CHECKSUM", "mariadb-table-option-dropped"),
    ("SEQUENCE", "mariadb-table-option-dropped"),
    ("INSERT_METHOD", "merge-option-dropped"),
    ("TABLESPACE", "tablespace-dropped"),
    ("ENCRYPTION", "encryption-dropped"),
    ("COMPRESSION", "compression-dropped"),
];

const ROW_FORMATS: [&str; 5] = ["DEFAULT", "DYNAMIC", "COMPACT", "REDUNDANT", "COMPRESSED"];

/// Engines whose tables are not simply tables: what was elsewhere, or nowhere, will not be in an InnoDB table.
const FOREIGN_ENGINES: [&str; 10] = [
    "MRG_MYISAM",
    "MERGE",
    "FEDERATED",
    "BLACKHOLE",
    "CONNECT",
    "SPIDER",
    "S3",
    "SPHINX",
    "OQGRAPH",
    "MROONGA",
];

/// Rewrites what can be, and reports what cannot.
pub(super) struct Table<'a> {
    pub(super) profile: Profile,
    pub(super) object: String,
    pub(super) offset: u64,
    /// In `ALTER TABLE` the options stand among column names: there only what has an `=` is taken for an option.
    pub(super) altering: bool,
    /// Names of the generated columns.
    pub(super) generated: Vec<Vec<u8>>,
    /// Name of the column whose definition is read.
    pub(super) column: Vec<u8>,
    pub(super) edits: &'a mut Edits,
    pub(super) notes: &'a mut Notes,
}

impl Table<'_> {
    fn find(&mut self, severity: Severity, code: &'static str, message: &str) {
        self.notes.find(severity, code, self.object.clone(), self.offset, message);
    }

    /// What follows the name in `CREATE TABLE`: the columns in parentheses, then the options.
    pub(super) fn create(&mut self, mut cursor: Cursor<'_>) {
        if cursor.accept_byte(b'(').is_some() {
            self.columns(&mut cursor);
        }
        self.options(cursor);
    }

    /// Options of a table, of `ALTER TABLE` or of a partition, at any depth.
    pub(super) fn options(&mut self, mut cursor: Cursor<'_>) {
        let text = cursor.text();
        // `None` as long as nothing stands there that is kept.
        let mut before: Option<Token> = None;
        while let Some(token) = cursor.next() {
            if token.kind == Kind::Word {
                // A query's words are its own.
                if token.is_any(text, &["SELECT", "AS"]) {
                    return;
                }
                if self.option(token, before, &mut cursor) && before.is_none() {
                    continue;
                }
            }
            before = Some(token);
        }
    }

    /// True when the option was taken out.
    fn option(&mut self, token: Token, before: Option<Token>, cursor: &mut Cursor<'_>) -> bool {
        let text = cursor.text();
        let is = |keyword| token.is(text, keyword);
        let assigned = cursor.clone().accept_byte(b'=').is_some();
        if before.is_some_and(|before| before.is_any(text, &["PARTITION", "SUBPARTITION", "COLUMN"])) {
            // A name.
        } else if (is("ENGINE") && (assigned || !self.altering)) || (is("TYPE") && assigned) {
            let Some(engine) = value(cursor) else { return false };
            self.engine(engine, cursor);
        } else if is("ROW_FORMAT") && (assigned || !self.altering) {
            let Some(format) = value(cursor) else { return false };
            let refused = !format.is_any(text, &ROW_FORMATS)
                || (self.profile == Profile::AuroraMysql && format.is(text, "COMPRESSED"));
            if refused {
                return self.drop(token, before, cursor, "row-format-dropped");
            }
        } else if is("KEY_BLOCK_SIZE") && assigned && self.profile == Profile::AuroraMysql {
            if value(cursor).is_some() {
                return self.drop(token, before, cursor, "row-format-dropped");
            }
        } else if (is("DATA") || is("INDEX")) && cursor.accept("DIRECTORY").is_some() {
            if value(cursor).is_some() {
                return self.drop(token, before, cursor, "directory-dropped");
            }
        } else if is("UNION") && assigned {
            cursor.accept_byte(b'=');
            if cursor.accept_byte(b'(').is_some() && cursor.skip_parens().is_some() {
                return self.drop(token, before, cursor, "merge-option-dropped");
            }
        } else if (is("WITH") || is("WITHOUT")) && cursor.clone().accept("SYSTEM").is_some() {
            self.versioning(token, cursor);
        } else if is("ADD") && cursor.clone().accept("SYSTEM").is_some() {
            self.find(Severity::Blocker, "mariadb-system-versioning", "MySQL has no system-versioned tables");
        } else if let Some((_, key)) = DROPPED_OPTIONS.iter().find(|(name, _)| is(name)) {
            // `ALTER TABLE ... DISCARD TABLESPACE` is not an option.
            let is_verb = before.is_some_and(|before| before.is_any(text, &["DISCARD", "IMPORT"]));
            if is_verb {
                self.find(
                    Severity::Blocker,
                    "tablespace-file",
                    "a managed server gives no access to table files",
                );
            } else if (assigned || (is("TABLESPACE") && !self.altering)) && value(cursor).is_some() {
                if cursor.accept("STORAGE").is_some() {
                    cursor.next();
                }
                return self.drop(token, before, cursor, key);
            }
        } else if is("COMMENT") || is("CONNECTION") || is("PASSWORD") {
            value(cursor);
        }
        false
    }

    /// Takes out from `token` to the cursor, with its `DEFAULT`, or with one comma if it stands between two or begins the list: behind an option
    /// that is kept, the comma is that one's.
    fn drop(&mut self, token: Token, before: Option<Token>, cursor: &mut Cursor<'_>, key: &str) -> bool {
        let text = cursor.text();
        let (mut start, mut end) = (token.start, cursor.offset());
        match before {
            Some(before) if before.kind == Kind::Punct(b',') => start = before.start,
            Some(before) if before.is(text, "DEFAULT") => start = before.start,
            Some(_) => {}
            None => end = cursor.accept_byte(b',').map_or(end, |comma| comma.end),
        }
        self.edits.remove(start..end);
        self.notes.changed(key);
        true
    }

    fn engine(&mut self, engine: Token, cursor: &Cursor<'_>) {
        let text = cursor.text();
        let name = shown(&engine.value(text, cursor.mode()));
        if name.eq_ignore_ascii_case("InnoDB") {
            return;
        }
        self.edits.replace(engine.start..engine.end, "InnoDB");
        self.notes.changed("engine-to-innodb");
        if FOREIGN_ENGINES.iter().any(|foreign| foreign.eq_ignore_ascii_case(&name)) {
            self.find(
                Severity::Warning,
                "foreign-engine",
                &format!("engine {name} became InnoDB; what that engine kept elsewhere is not in this dump"),
            );
        }
    }

    fn versioning(&mut self, token: Token, cursor: &mut Cursor<'_>) {
        let text = cursor.text();
        let mut ahead = cursor.clone();
        ahead.next();
        if let Some(word) = ahead.accept("VERSIONING") {
            self.edits.remove(token.start..word.end);
            self.notes.changed("system-versioning-dropped");
            if token.is(text, "WITH") {
                self.find(
                    Severity::Warning,
                    "system-versioning",
                    "MySQL has no system-versioned tables: this one arrives without its history",
                );
            }
            *cursor = ahead;
        }
    }

    /// The columns and keys, up to the closing parenthesis.
    fn columns(&mut self, cursor: &mut Cursor<'_>) {
        while self.column(cursor) {}
    }

    /// One column or key; false behind the last.
    fn column(&mut self, cursor: &mut Cursor<'_>) -> bool {
        let text = cursor.text();
        let Some(first) = cursor.next() else { return false };
        let is_key = first.is_any(
            text,
            &[
                "PRIMARY",
                "KEY",
                "INDEX",
                "UNIQUE",
                "FULLTEXT",
                "SPATIAL",
                "VECTOR",
                "CONSTRAINT",
                "CHECK",
                "FOREIGN",
            ],
        );
        self.column = first.value(text, cursor.mode());
        let is_period = first.is(text, "PERIOD") && cursor.clone().accept("FOR").is_some();
        if is_period {
            self.find(Severity::Blocker, "mariadb-period", "MySQL has no periods in tables");
        }
        let mut literal_needs_parens = false;
        if !is_key
            && !is_period
            && first.is_name()
            && let Some(column_type) = cursor.accept_if(|token, _| token.kind == Kind::Word)
        {
            if column_type.is_any(text, &["UUID", "INET4", "INET6", "XMLTYPE"]) {
                let name = shown(column_type.of(text));
                let column = shown(&first.value(text, cursor.mode()));
                self.find(
                    Severity::Blocker,
                    "mariadb-type",
                    &format!("column {column} has the type {name}, which MySQL does not have"),
                );
            }
            literal_needs_parens = column_type.is_any(
                text,
                &[
                    "TINYTEXT",
                    "TEXT",
                    "MEDIUMTEXT",
                    "LONGTEXT",
                    "TINYBLOB",
                    "BLOB",
                    "MEDIUMBLOB",
                    "LONGBLOB",
                    "JSON",
                ],
            );
        }
        let mut depth = 0;
        let mut before = first;
        // The parenthesis of a column's or key's own list was its first token.
        if first.kind == Kind::Punct(b'(') {
            depth = 1;
        }
        while let Some(token) = cursor.next() {
            match token.kind {
                Kind::Punct(b'(') => depth += 1,
                Kind::Punct(b')') if depth == 0 => return false,
                Kind::Punct(b')') => depth -= 1,
                Kind::Punct(b',') if depth == 0 => return true,
                Kind::Word if depth == 0 => {
                    self.attribute(token, before, is_key, literal_needs_parens, cursor);
                }
                Kind::Word if token.is(text, "NEXTVAL") || token.is(text, "LASTVAL") => {
                    self.sequence_default();
                }
                Kind::Word
                    if is_key && token.is(text, "WITHOUT") && cursor.clone().accept("OVERLAPS").is_some() =>
                {
                    self.find(Severity::Blocker, "mariadb-period", "MySQL has no WITHOUT OVERLAPS");
                }
                _ => {}
            }
            before = token;
        }
        false
    }

    fn sequence_default(&mut self) {
        self.find(
            Severity::Blocker,
            "mariadb-sequence",
            "a column's default uses a sequence, which MySQL does not have",
        );
    }

    /// A word behind a column's type or a key's list.
    fn attribute(
        &mut self,
        token: Token,
        before: Token,
        is_key: bool,
        literal_needs_parens: bool,
        cursor: &mut Cursor<'_>,
    ) {
        let text = cursor.text();
        let is = |keyword| token.is(text, keyword);
        if is("AS") && cursor.clone().accept_byte(b'(').is_some() {
            self.generated.push(std::mem::take(&mut self.column));
        } else if is("PERSISTENT") && before.kind == Kind::Punct(b')') {
            self.edits.replace(token.start..token.end, "STORED");
            self.notes.changed("persistent-to-stored");
        } else if is_key && is("IGNORED") {
            let visible = before.is(text, "NOT");
            let start = if visible { before.start } else { token.start };
            self.edits.replace(start..token.end, if visible { "VISIBLE" } else { "INVISIBLE" });
            self.notes.changed("ignored-index-to-invisible");
        } else if !is_key && is("COMPRESSED") && !matches!(before.kind, Kind::Open { .. }) {
            self.edits.remove(token.start..token.end);
            self.notes.changed("compressed-column-dropped");
        } else if (is("WITH") || is("WITHOUT")) && cursor.clone().accept("SYSTEM").is_some() {
            self.versioning(token, cursor);
        } else if is("ROW") && before.is(text, "AS") {
            self.find(Severity::Blocker, "mariadb-system-versioning", "MySQL has no system-versioned tables");
        } else if is("DEFAULT") {
            self.default(literal_needs_parens, cursor);
        } else if is("COMMENT") {
            value(cursor);
        } else if is_key
            && is("KEY_BLOCK_SIZE")
            && self.profile == Profile::AuroraMysql
            && value(cursor).is_some()
        {
            self.drop(token, None, cursor, "row-format-dropped");
        }
    }

    /// MariaDB takes any expression as a default; MySQL wants it in parentheses, and a literal too for types that
    /// may have no other.
    fn default(&mut self, literal_needs_parens: bool, cursor: &mut Cursor<'_>) {
        let text = cursor.text();
        let mut ahead = cursor.clone();
        let Some(first) = ahead.next() else { return };
        let end = match first.kind {
            Kind::Word if first.is(text, "NEXT") || first.is(text, "NEXTVAL") => {
                self.sequence_default();
                return;
            }
            Kind::Word if ahead.accept_byte(b'(').is_some() => {
                let plain = ["CURRENT_TIMESTAMP", "NOW", "LOCALTIME", "LOCALTIMESTAMP"];
                let Some(end) = ahead.skip_parens() else { return };
                if first.is_any(text, &plain) {
                    return;
                }
                end
            }
            Kind::Quoted(b'\'' | b'"') if literal_needs_parens => first.end,
            Kind::Word if literal_needs_parens && !first.is_any(text, &["NULL", "CURRENT_TIMESTAMP"]) => {
                // `_utf8mb4'x'`, `x'00'`, `1`.
                ahead
                    .accept_if(|token, _| token.start == first.end && matches!(token.kind, Kind::Quoted(_)))
                    .map_or(first.end, |literal| literal.end)
            }
            _ => return,
        };
        self.edits.insert(first.start, "(");
        self.edits.insert(end, ")");
        self.notes.changed("default-parenthesised");
        *cursor = ahead;
    }
}

/// Reads `=`, if it is there, and one token.
fn value(cursor: &mut Cursor<'_>) -> Option<Token> {
    let mut ahead = cursor.clone();
    ahead.accept_byte(b'=');
    let token = ahead.accept_if(|token, _| token.is_name())?;
    *cursor = ahead;
    Some(token)
}

/// Maps the names behind `COLLATE`, wherever they stand.
pub(super) fn collations(mut cursor: Cursor<'_>, edits: &mut Edits, notes: &mut Notes) {
    let text = cursor.text();
    while let Some(token) = cursor.next() {
        if !token.is(text, "COLLATE") {
            continue;
        }
        let Some(name) = value(&mut cursor) else { continue };
        if let Some(mapped) = collation::for_mysql8(&name.value(text, cursor.mode())) {
            edits.replace(name.start..name.end, requoted(name.kind, &mapped));
            notes.changed("collation-mapped");
        }
    }
}

/// Takes out what MariaDB wraps in comments of its own version numbers (`/*!100301 COMPRESSED*/`). MySQL before 8.0.34
/// reads five digits of the six, takes that for an old version, and fails on the text.
pub(super) fn mariadb_comments(cursor: Cursor<'_>, edits: &mut Edits, notes: &mut Notes) {
    let mut open = None;
    for token in cursor {
        match token.kind {
            Kind::Open { version, mariadb: false } if version >= 100_000 => open = Some(token.start),
            Kind::Open { .. } => open = None,
            Kind::Close => {
                if let Some(start) = open.take() {
                    edits.remove(start..token.end);
                    notes.changed("mariadb-comment-dropped");
                }
            }
            _ => {}
        }
    }
}
