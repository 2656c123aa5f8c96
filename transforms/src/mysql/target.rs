//! The rules of managed targets: what to rewrite in each kind of statement, and what to report.

use formats::mysql::session::next_plain;
use formats::mysql::token::{Cursor, Kind, Token};
use formats::mysql::{HEAD, Mode, Verb};
use pipeline::Severity;

use super::edit::Edits;
use super::head::{Head, Object, qualified_name};
use super::notes::{Notes, shown};
use super::routine::characteristics;
use super::{settings, table};

/// A managed target with rules of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// Amazon RDS for MySQL 8.x.
    RdsMysql,
    /// Amazon Aurora MySQL version 3. As RDS, and it has no compressed tables.
    AuroraMysql,
}

impl Profile {
    /// As on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::RdsMysql => "rds-mysql",
            Self::AuroraMysql => "aurora-mysql",
        }
    }
}

/// Follows what a profile has to know across statements.
#[derive(Debug)]
pub(super) struct Target {
    profile: Profile,
    /// The schema that `USE` named last.
    schema: Vec<u8>,
    /// The table created last and its generated columns, if it has any and no row of it came yet.
    generated: Option<(Vec<u8>, Vec<Vec<u8>>)>,
}

const SYSTEM_SCHEMAS: [&str; 5] = ["mysql", "sys", "performance_schema", "information_schema", "innodb"];

impl Target {
    pub(super) fn new(profile: Profile) -> Self {
        Self { profile, schema: Vec::new(), generated: None }
    }

    /// Looks at a held statement; true if it goes as a whole. The definer's rules have had their turn.
    pub(super) fn statement(
        &mut self,
        verb: Verb,
        body: &[u8],
        mode: Mode,
        offset: u64,
        edits: &mut Edits,
        notes: &mut Notes,
    ) -> bool {
        match verb {
            Verb::Set => return settings::apply(body, mode, offset, edits, notes),
            Verb::Use => {
                let mut cursor = Cursor::new(body, mode);
                next_plain(&mut cursor);
                self.schema = qualified_name(&mut cursor).1;
                return false;
            }
            _ => {}
        }
        let Some(head) = Head::read(Cursor::new(body, mode)) else { return false };
        match head.object {
            Object::Tablespace => {
                notes.changed("tablespace-dropped");
                return true;
            }
            Object::LogfileGroup => {
                notes.changed("logfile-group-dropped");
                return true;
            }
            _ => {}
        }
        if verb == Verb::Drop {
            if matches!(head.object, Object::Sequence | Object::Package | Object::PackageBody) {
                unknown_object(&head, offset, notes);
            }
            self.system_schema(head.schema.as_deref(), &head.name, offset, notes);
            return false;
        }
        table::collations(Cursor::new(body, mode), edits, notes);
        self.object(verb, &head, offset, notes);
        if matches!(head.object, Object::Table | Object::Database) {
            table::mariadb_comments(Cursor::new(body, mode), edits, notes);
            let rest = head.rest.clone();
            let mut table = table::Table {
                profile: self.profile,
                object: head.label(),
                offset,
                altering: verb == Verb::Alter && head.object == Object::Table,
                generated: Vec::new(),
                column: Vec::new(),
                edits,
                notes,
            };
            if head.object == Object::Table && verb == Verb::Create {
                table.create(rest);
                let columns = table.generated;
                self.generated = (!columns.is_empty()).then(|| (head.name.clone(), columns));
            } else {
                table.options(rest);
            }
        }
        false
    }

    /// Reports what the target has no place for.
    fn object(&self, verb: Verb, head: &Head<'_>, offset: u64, notes: &mut Notes) {
        if head.object == Object::Database {
            if is_system(&head.name) {
                self.system_schema(Some(&head.name), b"", offset, notes);
            }
            return;
        }
        self.system_schema(head.schema.as_deref(), &head.name, offset, notes);
        if verb != Verb::Create {
            return;
        }
        let find = |notes: &mut Notes, severity, code, message: &str| {
            notes.find(severity, code, head.label(), offset, message);
        };
        match head.object {
            Object::Sequence | Object::Package | Object::PackageBody => unknown_object(head, offset, notes),
            Object::Server => {
                find(notes, Severity::Warning, "foreign-server", "a managed server cannot reach this one");
            }
            Object::Account => find(
                notes,
                Severity::Warning,
                "account-statement",
                "accounts and grants are refused where they name privileges that a managed server keeps",
            ),
            _ => {}
        }
        if head.or_replace && head.object != Object::View {
            find(notes, Severity::Blocker, "or-replace", "MySQL knows CREATE OR REPLACE for views only");
        }
        if head.object != Object::Function {
            return;
        }
        if let Some(details) = characteristics(head) {
            if details.loadable {
                find(notes, Severity::Blocker, "loadable-function", "a managed server loads no libraries");
            } else if head.aggregate {
                find(
                    notes,
                    Severity::Blocker,
                    "mariadb-aggregate",
                    "MySQL has no stored aggregate functions",
                );
            } else if !details.declared {
                find(
                    notes,
                    Severity::Warning,
                    "function-undeclared",
                    "with a binary log this needs log_bin_trust_function_creators=1 in the parameter group, \
                     or DETERMINISTIC, NO SQL or READS SQL DATA in the function",
                );
            }
        }
    }

    /// The start of a statement that passes through.
    pub(super) fn data(&mut self, verb: Verb, piece: &[u8], mode: Mode, offset: u64, notes: &mut Notes) {
        let piece = &piece[..piece.len().min(HEAD)];
        let mut cursor = Cursor::new(piece, mode);
        let Some(word) = next_plain(&mut cursor) else { return };
        match verb {
            Verb::Insert | Verb::Replace => {
                let (schema, name) = after_insert(&mut cursor);
                self.system_schema(schema.as_deref(), &name, offset, notes);
                let mut given = |columns: &[Vec<u8>]| match cursor.next() {
                    Some(token) if token.is_any(piece, &["VALUES", "VALUE"]) => true,
                    // A table with invisible columns is dumped with a list of them all.
                    Some(Token { kind: Kind::Punct(b'('), .. }) => std::iter::from_fn(|| cursor.next())
                        .take_while(|token| token.kind != Kind::Punct(b')'))
                        .any(|token| token.is_name() && columns.contains(&token.value(piece, mode))),
                    _ => false,
                };
                if let Some((_, columns)) = self.generated.take_if(|(table, _)| *table == name)
                    && given(&columns)
                {
                    notes.find(
                        Severity::Blocker,
                        "generated-column-values",
                        shown(&name),
                        offset,
                        "MariaDB dumps the values of generated columns, and MySQL takes none for them (error 3105); \
                         drop the column at the source, or make it a plain one",
                    );
                }
            }
            _ => {
                let is_any = |words: &[&str]| word.is_any(piece, words);
                let named = String::from_utf8_lossy(word.of(piece)).to_ascii_uppercase();
                if is_any(&["GRANT", "REVOKE", "RENAME"]) {
                    notes.find(
                        Severity::Warning,
                        "account-statement",
                        named,
                        offset,
                        "accounts and grants are refused where they name privileges that a managed server keeps",
                    );
                } else if is_any(&[
                    "CHANGE",
                    "START",
                    "STOP",
                    "RESET",
                    "PURGE",
                    "INSTALL",
                    "UNINSTALL",
                    "SHUTDOWN",
                    "CLONE",
                ]) {
                    let next = next_plain(&mut cursor);
                    if !next.is_some_and(|next| next.is(piece, "TRANSACTION")) {
                        notes.find(
                            Severity::Blocker,
                            "server-statement",
                            named,
                            offset,
                            "a managed server keeps replication and plugins to itself; leave such statements out of the dump",
                        );
                    }
                } else if is_any(&["DO", "SELECT"])
                    && cursor.next().is_some_and(|next| next.is(piece, "SETVAL"))
                {
                    cursor.accept_byte(b'(');
                    let (_, name) = qualified_name(&mut cursor);
                    let name = shown(&name);
                    notes.find(Severity::Blocker, "mariadb-sequence", name, offset, "MySQL has no sequences");
                }
            }
        }
    }

    fn system_schema(&self, schema: Option<&[u8]>, name: &[u8], offset: u64, notes: &mut Notes) {
        let schema = schema.unwrap_or(&self.schema);
        if is_system(schema) {
            notes.find(
                Severity::Blocker,
                "system-schema",
                format!("{}.{}", shown(schema), shown(name)),
                offset,
                "a managed server keeps its system schemas to itself; dump the databases that are yours by name",
            );
        }
    }
}

/// The table that an `INSERT` or `REPLACE` writes; the cursor is at the statement's start.
pub(super) fn insert_target(cursor: &mut Cursor<'_>) -> (Option<Vec<u8>>, Vec<u8>) {
    next_plain(cursor);
    after_insert(cursor)
}

/// As [`insert_target`], behind the first word.
fn after_insert(cursor: &mut Cursor<'_>) -> (Option<Vec<u8>>, Vec<u8>) {
    const WORDS: [&str; 5] = ["LOW_PRIORITY", "DELAYED", "HIGH_PRIORITY", "IGNORE", "INTO"];
    while cursor.accept_if(|token, text| token.is_any(text, &WORDS)).is_some() {}
    qualified_name(cursor)
}

/// Sequences and packages.
fn unknown_object(head: &Head<'_>, offset: u64, notes: &mut Notes) {
    let (code, message) = match head.object {
        Object::Sequence => ("mariadb-sequence", "MySQL has no sequences"),
        _ => ("mariadb-package", "MySQL has no packages; turn them into routines first"),
    };
    notes.find(Severity::Blocker, code, head.label(), offset, message);
}

fn is_system(schema: &[u8]) -> bool {
    SYSTEM_SCHEMAS.iter().any(|system| schema.eq_ignore_ascii_case(system.as_bytes()))
}
