//! Roles, memberships and privileges.

use formats::postgres::tokens::{Token, TokenKind};

use super::{Decision, Rules, cut_from, is_platform_role};
use crate::postgres::statement::{Edit, Statement};

/// `CREATE ROLE r ...`: the role is created without what only a superuser may give.
pub(super) fn create_role(s: &Statement<'_>, d: &mut Decision) {
    let name = s.name(2);
    if is_platform_role(&name) {
        return d.drop("platform-role-dropped");
    }
    attributes(s, 3, &name, d);
}

/// Takes out attributes whose mere mention needs a superuser (up to PostgreSQL 15, even `NOSUPERUSER`).
pub(super) fn attributes(s: &Statement<'_>, from: usize, name: &[u8], d: &mut Decision) {
    let tokens: Vec<Token> = s.top().take(200).collect();
    let mut left = 0;
    for (index, token) in tokens.iter().enumerate().skip(from) {
        let word = if token.kind == TokenKind::Word { token.name(s.sql) } else { Vec::new() };
        match word.as_slice() {
            b"superuser" | b"replication" | b"bypassrls" => {
                let (code, message) = match word.as_slice() {
                    b"superuser" => {
                        ("role-superuser", "was a superuser: grant it rds_superuser if it must administer")
                    }
                    b"replication" => {
                        ("role-replication", "could replicate: grant it rds_replication if it must")
                    }
                    _ => (
                        "role-bypassrls",
                        "ignored row security: it will see fewer rows unless its policies allow more",
                    ),
                };
                d.warn(code, name.to_vec(), message);
            }
            b"nosuperuser" | b"noreplication" | b"nobypassrls" => {}
            b"with" => continue,
            _ => {
                left += usize::from(token.kind != TokenKind::Symbol(b';'));
                continue;
            }
        }
        let start = cut_from(&tokens, index);
        d.edits.push(Edit { start, end: token.end, with: Vec::new() });
        d.changes.push("role-attribute-dropped");
    }
    // CREATE ROLE r WITH; is legal; to alter nothing is not worth a statement.
    if left == 0 && s.is(0, "alter") && !d.edits.is_empty() {
        d.drop = true;
    }
}

impl Rules {
    /// `GRANT` and `REVOKE`, of privileges and of memberships.
    pub(super) fn acl(&self, s: &Statement<'_>, d: &mut Decision) {
        let membership = s
            .top()
            .find(|t| ["on", "to", "from"].iter().any(|k| t.is(s.sql, k)))
            .is_some_and(|t| !t.is(s.sql, "on"));
        if membership {
            return member(s, d);
        }
        if on_parameter(s) {
            d.warn(
                "parameter-privilege",
                Vec::new(),
                "the right to set a server parameter is not carried: use the parameter group",
            );
            return d.drop("parameter-acl-dropped");
        }
        if !self.keep_acl || on_catalog(s) {
            return d.drop("acl-dropped");
        }
        granted_by(s, d);
    }
}

fn on_parameter(s: &Statement<'_>) -> bool {
    let mut on = false;
    for token in s.top() {
        if on && token.is(s.sql, "parameter") {
            return true;
        }
        on = token.is(s.sql, "on");
    }
    false
}

/// Privileges on what the server itself owns, and on what is not carried.
fn on_catalog(s: &Statement<'_>) -> bool {
    let mut after_on = false;
    let mut kind = Vec::new();
    for token in s.top() {
        if after_on && kind.len() < 3 {
            if token.kind == TokenKind::Symbol(b'.') {
                return kind.last().is_some_and(|schema| schema == b"pg_catalog");
            }
            kind.push(token.name(s.sql));
        }
        after_on |= token.is(s.sql, "on");
    }
    matches!(kind.first().map(Vec::as_slice), Some(b"tablespace" | b"database"))
}

fn member(s: &Statement<'_>, d: &mut Decision) {
    const FILE_ROLES: [&[u8]; 3] =
        [b"pg_read_server_files", b"pg_write_server_files", b"pg_execute_server_program"];
    let platform = |name: &[u8]| {
        matches!(name, b"rdsadmin" | b"rdsrepladmin" | b"rdstopmgr") || FILE_ROLES.contains(&name)
    };
    let mut given = true;
    for token in s.top().skip(1) {
        if token.is(s.sql, "to") || token.is(s.sql, "from") {
            given = false;
            continue;
        }
        if token.is(s.sql, "with") || token.is(s.sql, "granted") {
            break;
        }
        let name = if token.is_name() { token.name(s.sql) } else { continue };
        if platform(&name) || (!given && is_platform_role(&name)) {
            d.warn(
                "platform-membership",
                name,
                "membership of a role that the managed server keeps for itself is not carried",
            );
            return d.drop("platform-membership-dropped");
        }
    }
    granted_by(s, d);
}

/// `GRANTED BY role` needs the rights of that role.
fn granted_by(s: &Statement<'_>, d: &mut Decision) {
    let mut previous: Option<Token> = None;
    let mut tokens = s.top();
    while let Some(token) = tokens.next() {
        if token.is(s.sql, "granted") {
            let by = tokens.next().is_some_and(|t| t.is(s.sql, "by"));
            if let (true, Some(previous), Some(role)) = (by, previous, tokens.next()) {
                d.replace("granted-by-dropped", previous.end, role.end, b"");
            }
            return;
        }
        previous = Some(token);
    }
}
