//! Tables, indexes and materialized views: tablespaces, access methods, OIDs, triggers.

use formats::postgres::tokens::{Token, TokenKind};

use super::{Decision, Rules};
use crate::postgres::statement::Statement;

/// Where the kind of a relation stands in `CREATE`, behind what may come before it.
fn kind_at(s: &Statement<'_>) -> usize {
    let mut at = 1;
    while ["global", "local", "temp", "temporary", "unlogged", "unique"].iter().any(|word| s.is(at, word)) {
        at += 1;
    }
    at
}

/// True for what `TABLESPACE` and `USING` may follow.
pub(super) fn is_relation(s: &Statement<'_>) -> bool {
    let at = kind_at(s);
    s.is(at, "table") || s.is(at, "index") || s.says(at, "materialized view") || s.says(1, "foreign table")
}

impl Rules {
    pub(super) fn create_relation(&mut self, s: &Statement<'_>, d: &mut Decision) {
        let at = kind_at(s);
        if s.says(1, "foreign table") {
            return self.foreign_table(s, d);
        }
        let (object, _) = s.object(s.skip_if(if s.is(at, "materialized") { at + 2 } else { at + 1 }));
        clauses(s, &object, !s.is(at, "index"), d);
    }

    fn foreign_table(&self, s: &Statement<'_>, d: &mut Decision) {
        let (object, _) = s.object(s.skip_if(3));
        let mut server = false;
        for token in s.top() {
            if server {
                if self.dropped_servers.contains(&token.name(s.sql)) {
                    d.block(
                        "foreign-table",
                        object,
                        "its server is not carried, so neither is the foreign table",
                    );
                    d.drop("foreign-table-dropped");
                }
                return;
            }
            server = token.is(s.sql, "server");
        }
    }

    pub(super) fn alter_table(&self, s: &Statement<'_>, d: &mut Decision) {
        if (1..4).any(|at| s.says(at, "all in tablespace")) {
            return d.drop("tablespace-dropped");
        }
        let after = if s.is(1, "materialized") { 3 } else { 2 };
        let (object, at) = s.object(s.skip(s.skip_if(after), "only"));
        if (s.says(at, "disable trigger all") || s.says(at, "enable trigger all")) && s.ends(at + 3) {
            let role = if s.is(at, "disable") { "replica" } else { "origin" };
            let with = format!("SET session_replication_role = {role}");
            if let (Some(first), Some(last)) = (s.token(0), s.token(at + 2)) {
                d.replace("disable-trigger-all-rewritten", first.start, last.end, with.as_bytes());
            }
        } else if s.says(at, "set tablespace") {
            d.drop("tablespace-dropped");
        } else if s.says(at, "set access method") && s.name(at + 3) != b"heap" {
            d.drop("table-access-method-rewritten");
        } else if s.says(at, "set with oids") {
            d.warn("with-oids", object, "the table loses its OID column: PostgreSQL 12 has none");
            d.drop("with-oids-dropped");
        } else if self.is_older_than(14) && s.says(at, "alter column") && s.says(at + 3, "set compression") {
            d.drop("new-setting-dropped");
        } else {
            clauses(s, &object, false, d);
        }
    }
}

/// Cuts `TABLESPACE t`, `USING am` and `WITH OIDS`. What stands behind `AS` or `WHERE` is an expression.
fn clauses(s: &Statement<'_>, object: &[u8], has_access_method: bool, d: &mut Decision) {
    let mut window: [Option<Token>; 4] = [None; 4];
    let mut expression = false;
    for token in s.tokens() {
        window.rotate_left(1);
        window[3] = Some(token);
        expression |= token.depth == 0 && (token.is(s.sql, "as") || token.is(s.sql, "where"));
        if expression {
            return;
        }
        let word = |at: usize, keyword: &str| window[at].is_some_and(|t| t.is(s.sql, keyword));
        let Some(first) = window[1] else { continue };
        if !token.is_name() {
            continue;
        }
        if word(2, "tablespace") && (token.depth == 0 || word(1, "index")) {
            if word(1, "index") && word(0, "using") {
                // USING INDEX TABLESPACE t, in a constraint.
                let start = window[0].map_or(first.start, |using| using.start);
                d.replace("tablespace-dropped", start, token.end, b"");
            } else if token.depth == 0
                && first.kind != TokenKind::Symbol(b'.')
                && !word(1, "table")
                && !word(1, "on")
            {
                d.replace("tablespace-dropped", first.end, token.end, b"");
            }
        } else if token.depth > 0 {
            // Columns and their constraints.
        } else if has_access_method
            && word(2, "using")
            && !token.is(s.sql, "index")
            && !token.is(s.sql, "heap")
        {
            d.warn(
                "table-access-method",
                object.to_vec(),
                "the table's access method is not carried: it will be a heap",
            );
            d.replace("table-access-method-rewritten", first.end, token.end, b"");
        } else if word(2, "with") && token.is(s.sql, "oids") {
            d.warn("with-oids", object.to_vec(), "the table loses its OID column: PostgreSQL 12 has none");
            d.replace("with-oids-dropped", first.end, token.end, b"");
        }
    }
}
