//! `ALTER`: owners, properties of databases, objects that do not go.

use formats::postgres::tokens::{Token, TokenKind};

use super::routine::alter_routine;
use super::{Decision, Rules, is_platform_role};
use crate::postgres::statement::{Edit, Statement};

impl Rules {
    pub(super) fn alter(&mut self, s: &Statement<'_>, d: &mut Decision) {
        if s.says(1, "default privileges") {
            if !self.keep_acl {
                d.drop("default-acl-dropped");
            }
        } else if s.is(1, "subscription") {
            d.drop("subscription-dropped");
        } else if s.is(1, "publication") {
            d.drop("publication-dropped");
        } else if s.says(1, "foreign data wrapper") {
            d.drop("foreign-data-wrapper-dropped");
        } else if s.says(1, "user mapping") {
            d.drop("user-mapping-dropped");
        } else if s.is(1, "tablespace") {
            d.drop("tablespace-dropped");
        } else if s.is(1, "server") && self.dropped_servers.contains(&s.name(2)) {
            d.drop("foreign-server-dropped");
        } else if s.is(1, "system") {
            d.warn("server-setting", s.name(3), "ALTER SYSTEM is refused: set it in the parameter group");
            d.drop("server-setting-dropped");
        } else if s.is(1, "role") || s.is(1, "user") || s.is(1, "group") {
            alter_role(s, d);
        } else if !owner(s, d) {
            if s.is(1, "database") {
                alter_database(s, d);
            } else if s.is(1, "table") || s.is(1, "index") || s.says(1, "materialized view") {
                self.alter_table(s, d);
            } else if s.is(1, "function") || s.is(1, "procedure") || s.is(1, "routine") {
                alter_routine(s, d);
            } else if s.says(1, "operator family") {
                let (object, _) = s.object(3);
                d.block("operator-class", object, "changing an operator family needs a superuser");
            }
        }
    }
}

/// `OWNER TO role` in an `ALTER` of anything.
struct OwnerClause {
    before: Option<Token>,
    owner: Token,
    role: Token,
    behind: Option<Token>,
}

/// Finds the clauses by walking, for the arguments of a routine before them may be many.
fn owner_clauses<'a>(s: &'a Statement<'_>) -> impl Iterator<Item = OwnerClause> + 'a {
    let mut before: [Option<Token>; 2] = [None, None];
    let mut tokens = s.top().peekable();
    let mut index = 0;
    std::iter::from_fn(move || {
        while let Some(token) = tokens.next() {
            let found =
                index >= 3 && token.is(s.sql, "owner") && tokens.peek().is_some_and(|t| t.is(s.sql, "to"));
            let clause = if found && !renames(s, &before, index) {
                let role = tokens.nth(1).filter(Token::is_name)?;
                index += 2;
                Some(OwnerClause { before: before[1], owner: token, role, behind: tokens.peek().copied() })
            } else {
                None
            };
            before = [before[1], Some(clause.as_ref().map_or(token, |clause| clause.role))];
            index += 1;
            if clause.is_some() {
                return clause;
            }
        }
        None
    })
}

/// The role that an `ALTER` makes the owner.
pub(in crate::postgres) fn owner_of(s: &Statement<'_>) -> Option<Vec<u8>> {
    owner_clauses(s).next().map(|clause| clause.role.name(s.sql))
}

/// Takes the owner away. True when there was one to take.
fn owner(s: &Statement<'_>, d: &mut Decision) -> bool {
    let comma = |token: &Token| token.kind == TokenKind::Symbol(b',');
    // Where the cut ends that began with the first action.
    let mut leading = None;
    let mut found = false;
    for OwnerClause { before, owner, role, behind } in owner_clauses(s) {
        if ["current_user", "current_role", "session_user"].iter().any(|me| role.is(s.sql, me)) {
            continue;
        }
        found = true;
        match (before.filter(comma), behind.filter(comma)) {
            (Some(before), _) if leading != Some(before.end) => {
                d.edits.push(Edit { start: before.start, end: role.end, with: Vec::new() });
            }
            (_, Some(behind)) => {
                d.edits.push(Edit { start: owner.start, end: behind.end, with: Vec::new() });
                leading = Some(behind.end);
            }
            _ => d.drop = true,
        }
        d.changes.push("owner-dropped");
    }
    found
}

/// `ALTER TABLE t RENAME [COLUMN] owner TO boss` is about a column; a schema may be called `rename`.
fn renames(s: &Statement<'_>, before: &[Option<Token>; 2], index: usize) -> bool {
    let qualified = before[0].is_some_and(|token| token.kind == TokenKind::Symbol(b'.'));
    let word = |keyword: &str| before[1].is_some_and(|token| token.is(s.sql, keyword));
    index >= 4 && !qualified && (word("rename") || word("column") || word("attribute") || word("constraint"))
}

fn alter_database(s: &Statement<'_>, d: &mut Decision) {
    let name = s.name(2);
    if s.is(3, "set") && !s.is(4, "tablespace") {
        setting(s, 4, name, d);
    } else if !s.is(3, "reset") && !s.is(3, "rename") && !s.is(3, "owner") {
        // Connection limit, template flag, tablespace, collation version: for the owner of the target to decide.
        d.drop("database-property-dropped");
    }
}

/// Settings in `ALTER DATABASE ... SET` and `ALTER ROLE ... SET` that core lets only a superuser change. Some managed
/// versions let their administrators, so they are kept, and told.
pub(super) fn setting(s: &Statement<'_>, at: usize, object: Vec<u8>, d: &mut Decision) {
    let name = s.name(at);
    let superuser = name.starts_with(b"log_")
        || matches!(
            name.as_slice(),
            b"session_preload_libraries"
                | b"session_replication_role"
                | b"dynamic_library_path"
                | b"temp_file_limit"
                | b"track_counts"
                | b"track_functions"
                | b"track_io_timing"
                | b"track_activities"
                | b"deadlock_timeout"
                | b"commit_delay"
                | b"lc_messages"
                | b"allow_system_table_mods"
                | b"zero_damaged_pages"
                | b"max_stack_depth"
                | b"update_process_title"
                | b"wal_compression"
                | b"compute_query_id"
        );
    if superuser {
        let mut what = object;
        what.push(b' ');
        what.extend_from_slice(&name);
        d.warn(
            "superuser-setting",
            what,
            "only a superuser may set this in core: set it in the parameter group if it is refused",
        );
    }
}

fn alter_role(s: &Statement<'_>, d: &mut Decision) {
    let name = s.name(2);
    if is_platform_role(&name) {
        return d.drop("platform-role-dropped");
    }
    let mut at = 3;
    if s.says(3, "in database") {
        at = 6;
    }
    if s.is(at, "set") {
        if s.is(2, "all") {
            d.warn(
                "superuser-setting",
                s.name(at + 1),
                "ALTER ROLE ALL needs a superuser: set it in the parameter group",
            );
            d.drop("role-setting-dropped");
        } else {
            setting(s, at + 1, name, d);
        }
    } else if !s.is(at, "reset") && !s.is(at, "rename") {
        super::roles::attributes(s, 3, &name, d);
    }
}
