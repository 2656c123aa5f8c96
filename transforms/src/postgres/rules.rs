//! What a managed server without superuser refuses, and what to do about it.
//!
//! One function per leading keyword. Each looks at the tokens of one statement and answers with a [`Decision`]; none
//! reads inside strings, so function bodies and rows are out of reach. A change has a stable key that is counted in
//! the report; what will fail and cannot be changed is noted.

use std::collections::BTreeSet;

use formats::postgres::tokens::{Token, TokenKind};
use pipeline::Severity;

use super::RewriteOptions;
use super::findings::Note;
use super::statement::{Edit, Statement};

mod alter;
mod create;
mod roles;
mod routine;
mod table;

pub(super) use alter::owner_of;

/// Servers of foreign data wrappers that were taken out; more are forgotten, and their tables reported by the server.
const DROPPED_SERVERS: usize = 10_000;

/// What is to become of a statement.
#[derive(Debug, Default)]
pub(super) struct Decision {
    pub(super) drop: bool,
    pub(super) edits: Vec<Edit>,
    pub(super) changes: Vec<&'static str>,
    pub(super) notes: Vec<Note>,
}

impl Decision {
    fn drop(&mut self, key: &'static str) {
        self.drop = true;
        self.changes.push(key);
    }

    pub(super) fn replace(&mut self, key: &'static str, start: usize, end: usize, with: &[u8]) {
        self.edits.push(Edit { start, end, with: with.to_vec() });
        self.changes.push(key);
    }

    fn note(&mut self, severity: Severity, code: &'static str, object: Vec<u8>, message: &str) {
        // Once for a statement: one of megabytes may say the same thing a million times.
        if !self.notes.iter().any(|note| note.code == code) {
            self.notes.push(Note { severity, code, object, message: message.to_owned() });
        }
    }

    fn warn(&mut self, code: &'static str, object: Vec<u8>, message: &str) {
        self.note(Severity::Warning, code, object, message);
    }

    fn block(&mut self, code: &'static str, object: Vec<u8>, message: &str) {
        self.note(Severity::Blocker, code, object, message);
    }
}

/// The rules for one stream.
#[derive(Debug)]
pub(super) struct Rules {
    target_major: Option<u32>,
    keep_acl: bool,
    dropped_servers: BTreeSet<Vec<u8>>,
}

impl Rules {
    pub(super) fn new(options: &RewriteOptions) -> Self {
        Self {
            target_major: options.target_major,
            keep_acl: options.keep_acl,
            dropped_servers: BTreeSet::new(),
        }
    }

    /// True unless the target is known to be at least this new.
    fn may_predate(&self, major: u32) -> bool {
        self.target_major.is_none_or(|target| target < major)
    }

    fn is_older_than(&self, major: u32) -> bool {
        self.target_major.is_some_and(|target| target < major)
    }

    pub(super) fn judge(&mut self, s: &Statement<'_>) -> Decision {
        let mut d = Decision::default();
        let Some(first) = s.token(0).filter(|token| token.kind == TokenKind::Word) else { return d };
        match first.bytes(s.sql).to_ascii_lowercase().as_slice() {
            b"alter" => self.alter(s, &mut d),
            b"create" => self.create(s, &mut d),
            b"grant" | b"revoke" => self.acl(s, &mut d),
            b"set" | b"reset" => self.setting(s, &mut d),
            b"comment" => comment(s, &mut d),
            b"drop" => drop_object(s, &mut d),
            b"security" if s.is(1, "label") => d.drop("security-label-dropped"),
            b"update" => catalog_update(s, &mut d),
            b"select" => self.select(s, &mut d),
            b"copy" => copy(s, &mut d),
            b"reassign" => d.drop("owner-dropped"),
            _ => {}
        }
        d
    }

    fn setting(&self, s: &Statement<'_>, d: &mut Decision) {
        let reset = s.is(0, "reset");
        let at = if s.is(1, "session") || s.is(1, "local") { 2 } else { 1 };
        if s.is(1, "session") && s.is(2, "authorization") || s.says(1, "local session authorization") {
            return d.drop("session-authorization-dropped");
        }
        if s.is(at, "session") && s.is(at + 1, "authorization") {
            return d.drop("session-authorization-dropped");
        }
        if s.is(at, "role") {
            return d.drop("set-role-dropped");
        }
        if reset {
            return;
        }
        let name = s.name(at);
        if !s.is_symbol(at + 1, b'=') && !s.is(at + 1, "to") {
            return;
        }
        let is_value = |token: &Token| !matches!(token.kind, TokenKind::Symbol(_));
        let Some(value) = s.token(at + 2).filter(is_value) else { return };
        match name.as_slice() {
            b"transaction_timeout" if self.may_predate(17) => d.drop("transaction-timeout-dropped"),
            b"idle_in_transaction_session_timeout" if self.is_older_than(10) => d.drop("new-setting-dropped"),
            b"default_table_access_method" => {
                if self.is_older_than(12) {
                    d.drop("new-setting-dropped");
                } else if value.name(s.sql) != b"heap" {
                    d.replace("table-access-method-rewritten", value.start, value.end, b"heap");
                }
            }
            b"default_tablespace" if value.bytes(s.sql) != b"''" => {
                d.replace("tablespace-dropped", value.start, value.end, b"''");
            }
            b"temp_tablespaces" => d.drop("tablespace-dropped"),
            b"default_with_oids" => {
                if matches!(value.name(s.sql).as_slice(), b"true" | b"on" | b"1" | b"yes") {
                    d.warn(
                        "with-oids",
                        Vec::new(),
                        "tables that follow lose their OID column: PostgreSQL 12 has none",
                    );
                }
                d.drop("with-oids-dropped");
            }
            _ => {}
        }
    }

    /// Optimizer statistics of pg_dump 18 are functions that older servers lack.
    fn select(&self, s: &Statement<'_>, d: &mut Decision) {
        let restores_statistics = (1..8).any(|at| {
            matches!(
                s.name(at).as_slice(),
                b"pg_restore_relation_stats" | b"pg_restore_attribute_stats" | b"pg_restore_extended_stats"
            )
        });
        if restores_statistics && self.may_predate(18) {
            d.warn(
                "statistics-dropped",
                Vec::new(),
                "optimizer statistics need PostgreSQL 18: run ANALYZE after loading",
            );
            d.drop("statistics-dropped");
        }
    }

    /// Remembers a server, so that what depends on it goes too.
    fn forget_server(&mut self, name: Vec<u8>) {
        if self.dropped_servers.len() < DROPPED_SERVERS {
            self.dropped_servers.insert(name);
        }
    }
}

/// Roles and the first superuser that a managed server has itself.
fn is_platform_role(name: &[u8]) -> bool {
    name.starts_with(b"pg_")
        || name.starts_with(b"rds_")
        || matches!(name, b"rdsadmin" | b"rdsrepladmin" | b"rdstopmgr" | b"rdswriteforwarduser" | b"postgres")
}

fn comment(s: &Statement<'_>, d: &mut Decision) {
    if !s.is(1, "on") {
        return;
    }
    if s.is(2, "extension") {
        d.drop("extension-comment-dropped");
    } else if s.is(2, "schema") && s.name(3) == b"public" {
        d.drop("public-schema-comment-dropped");
    } else if ["subscription", "publication", "tablespace", "database", "role", "server"]
        .iter()
        .any(|kind| s.is(2, kind))
        || s.says(2, "foreign data wrapper")
        || s.says(2, "access method")
        || s.is(2, "language")
        || s.says(2, "procedural language")
    {
        d.drop("comment-dropped");
    }
}

/// What `--clean` writes: the objects that are not created are not dropped either.
fn drop_object(s: &Statement<'_>, d: &mut Decision) {
    let named = |kind: &str| {
        let len = kind.split(' ').count();
        s.says(1, kind).then(|| s.name(s.skip_if(1 + len)))
    };
    if named("schema").is_some_and(|name| name == b"public") {
        d.drop("public-schema-drop-dropped");
    } else if named("publication").is_some() {
        d.drop("publication-dropped");
    } else if named("subscription").is_some() {
        d.drop("subscription-dropped");
    } else if named("tablespace").is_some() {
        d.drop("tablespace-dropped");
    } else if named("foreign data wrapper").is_some() {
        d.drop("foreign-data-wrapper-dropped");
    } else if named("user mapping").is_some() {
        d.drop("user-mapping-dropped");
    } else if named("access method").is_some() {
        d.drop("access-method-dropped");
    } else if [named("language"), named("procedural language"), named("extension")]
        .into_iter()
        .flatten()
        .any(|name| name == b"plpgsql")
    {
        d.drop("language-dropped");
    } else if [named("role"), named("user"), named("group")]
        .into_iter()
        .flatten()
        .any(|n| is_platform_role(&n))
    {
        d.drop("platform-role-dropped");
    }
}

fn catalog_update(s: &Statement<'_>, d: &mut Decision) {
    let (_, end) = s.object(s.skip(1, "only"));
    let catalog = s.name(end.saturating_sub(3)) == b"pg_catalog" || s.name(end - 1) == b"pg_database";
    if catalog {
        d.drop("catalog-update-dropped");
    }
}

fn copy(s: &Statement<'_>, d: &mut Decision) {
    let (object, _) = s.object(1);
    let mut from = false;
    for token in s.top() {
        if from && (token.kind == TokenKind::Text || token.is(s.sql, "program")) {
            d.block(
                "copy-server-file",
                object,
                "reads a file or runs a program on the server, which needs a superuser",
            );
            return;
        }
        from = token.is(s.sql, "from");
        if token.is(s.sql, "oids") {
            d.block(
                "copy-with-oids",
                object,
                "its rows begin with OIDs, which PostgreSQL 12 does not take: dump again without --oids",
            );
            return;
        }
    }
}

/// Behind the token before the one at `index` of `tokens`: where a clause that is cut begins.
fn cut_from(tokens: &[Token], index: usize) -> usize {
    match index.checked_sub(1) {
        Some(before) => tokens[before].end,
        None => tokens[index].start,
    }
}
