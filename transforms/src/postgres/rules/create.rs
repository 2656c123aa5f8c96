//! `CREATE` of everything but tables and routines.

use formats::postgres::tokens::{Token, TokenKind};
use pipeline::Severity;

use super::{Decision, Rules, cut_from, is_platform_role, roles, table};
use crate::postgres::statement::{Edit, Statement};

impl Rules {
    pub(super) fn create(&mut self, s: &Statement<'_>, d: &mut Decision) {
        let at = s.skip(1, "or replace");
        if s.is(at, "function") || s.is(at, "procedure") {
            return super::routine::create(s, at, d);
        }
        if table::is_relation(s) {
            return self.create_relation(s, d);
        }
        let what = s.token(at).map(|token| token.name(s.sql)).unwrap_or_default();
        match what.as_slice() {
            b"schema" => schema(s, d),
            b"database" => database(s, d),
            b"extension" => extension(s, d),
            b"user" if s.is(2, "mapping") => {
                d.warn("user-mapping", user_mapping(s), "the mapping is not carried, for the dump held its password in clear: create it on the target");
                d.drop("user-mapping-dropped");
            }
            b"role" | b"user" | b"group" => roles::create_role(s, d),
            b"tablespace" => d.drop("tablespace-dropped"),
            b"publication" => {
                d.note(
                    Severity::Info,
                    "publication",
                    s.name(2),
                    "publications are not carried: create it on the target if it is to replicate",
                );
                d.drop("publication-dropped");
            }
            b"subscription" => {
                d.warn("subscription", s.name(2), "subscriptions are not carried: it holds a password and would replicate from its publisher");
                d.drop("subscription-dropped");
            }
            b"foreign" if s.says(2, "data wrapper") => {
                d.block(
                    "foreign-data-wrapper",
                    s.name(4),
                    "a foreign data wrapper needs a superuser: not carried",
                );
                d.drop("foreign-data-wrapper-dropped");
            }
            b"server" => self.server(s, d),
            b"trusted" | b"procedural" | b"language" => language(s, d),
            b"type" => base_type(s, d),
            b"operator" if s.is(2, "class") || s.is(2, "family") => {
                d.block("operator-class", s.object(3).0, "operator classes and families need a superuser: usually part of an old extension that was not packaged");
            }
            b"access" if s.is(2, "method") => {
                d.block("access-method", s.name(3), "an access method needs a superuser: not carried");
                d.drop("access-method-dropped");
            }
            b"text" if s.is(3, "template") || s.is(3, "parser") => {
                d.block(
                    "text-search-template",
                    s.object(4).0,
                    "text search templates and parsers need a superuser",
                );
            }
            b"cast" => cast(s, d),
            b"transform" => d.block("transform", Vec::new(), "a transform needs a superuser"),
            b"event" if s.is(2, "trigger") => {
                d.warn(
                    "event-trigger",
                    s.name(3),
                    "an event trigger needs a superuser, or the administrator of a managed server",
                );
            }
            b"policy" => policy(s, d),
            _ => {}
        }
    }

    fn server(&mut self, s: &Statement<'_>, d: &mut Decision) {
        const MANAGED: [&[u8]; 6] =
            [b"postgres_fdw", b"dblink_fdw", b"mysql_fdw", b"oracle_fdw", b"tds_fdw", b"log_fdw"];
        let at = s.skip_if(2);
        let name = s.name(at);
        let wrapper = (at + 1..32).find(|n| s.says(*n, "foreign data wrapper")).map(|n| s.name(n + 3));
        if wrapper.is_some_and(|wrapper| !MANAGED.contains(&wrapper.as_slice())) {
            d.block("foreign-server", name.clone(), "its foreign data wrapper is not there on a managed server: not carried, nor are its foreign tables");
            d.drop("foreign-server-dropped");
            self.forget_server(name);
        }
    }
}

fn user_mapping(s: &Statement<'_>) -> Vec<u8> {
    let at = s.skip_if(3);
    let mut what = s.name(at + 1);
    what.extend_from_slice(b" on ");
    what.extend_from_slice(&s.name(at + 3));
    what
}

fn schema(s: &Statement<'_>, d: &mut Decision) {
    let at = s.skip_if(2);
    let (authorization, role) = if s.is(at, "authorization") { (at, at + 1) } else { (at + 1, at + 2) };
    if s.is(authorization, "authorization")
        && let (Some(word), Some(role)) = (s.token(authorization), s.token(role))
    {
        if authorization == at {
            // The schema takes its name from the role.
            d.replace("schema-authorization-dropped", word.start, role.start, b"");
        } else if let Some(name) = s.token(at) {
            d.replace("schema-authorization-dropped", name.end, role.end, b"");
        }
    }
    if at == 2
        && s.name(2) == b"public"
        && let Some(name) = s.token(2)
    {
        d.replace("public-schema-if-not-exists", name.start, name.start, b"IF NOT EXISTS ");
    }
}

/// Options of `CREATE DATABASE` that name things of the source's machine or need its roles.
fn database(s: &Statement<'_>, d: &mut Decision) {
    let name = s.name(2);
    let tokens: Vec<Token> = s.top().take(200).collect();
    let mut index = 3;
    while index < tokens.len() {
        let token = tokens[index];
        let word = if token.kind == TokenKind::Word { token.name(s.sql) } else { Vec::new() };
        let mut last = index + 1;
        if word == b"connection" {
            last += 1;
        }
        if tokens.get(last).is_some_and(|t| t.kind == TokenKind::Symbol(b'=')) {
            last += 1;
        }
        if tokens.get(last).is_some_and(|t| t.kind == TokenKind::Symbol(b'-')) {
            last += 1;
        }
        let Some(value) = tokens.get(last) else { break };
        let given = value.name(s.sql);
        let drop = match word.as_slice() {
            b"owner"
            | b"tablespace"
            | b"is_template"
            | b"allow_connections"
            | b"connection"
            | b"oid"
            | b"collation_version"
            | b"icu_collation_version" => true,
            // The default where it is known, and unknown before 15.
            b"locale_provider" => given.eq_ignore_ascii_case(b"libc"),
            b"locale" | b"lc_collate" | b"lc_ctype" => {
                if !matches!(given.as_slice(), b"C" | b"POSIX" | b"en_US.UTF-8") {
                    let mut what = name.clone();
                    what.push(b' ');
                    what.extend_from_slice(&given);
                    d.warn("database-locale", what, "the target must have a locale of this name");
                }
                false
            }
            b"template" | b"encoding" | b"strategy" | b"icu_locale" | b"icu_rules" | b"builtin_locale" => {
                false
            }
            _ => {
                index += 1;
                continue;
            }
        };
        if drop {
            d.edits.push(Edit { start: cut_from(&tokens, index), end: value.end, with: Vec::new() });
            d.changes.push("database-option-dropped");
        }
        index = last + 1;
    }
}

fn extension(s: &Statement<'_>, d: &mut Decision) {
    let name = s.name(s.skip_if(2));
    match name.as_slice() {
        b"plpgsql" => {}
        b"file_fdw" | b"adminpack" => {
            d.block("extension-unavailable", name, "reads the server's files: no managed server offers it");
        }
        _ => d.note(Severity::Info, "extension", name, "the target must offer this extension"),
    }
}

fn language(s: &Statement<'_>, d: &mut Decision) {
    let mut at = s.skip(1, "or replace");
    at = s.skip(at, "trusted");
    at = s.skip(at, "procedural");
    if !s.is(at, "language") {
        return;
    }
    let name = s.name(at + 1);
    if name == b"plpgsql" {
        d.drop("language-dropped");
    } else {
        d.block(
            "language",
            name,
            "a language needs a superuser: create its extension on the target first, if there is one",
        );
    }
}

/// `CREATE TYPE t;` and types with input and output functions in C.
fn base_type(s: &Statement<'_>, d: &mut Decision) {
    let (object, next) = s.object(2);
    let input = s.is_symbol(next, b'(')
        && s.tokens().any(|token| token.depth == 1 && token.is(s.sql, "input"))
        && s.tokens().any(|token| token.depth == 1 && token.is(s.sql, "output"));
    if s.ends(next) || input {
        d.block(
            "base-type",
            object,
            "a base type needs a superuser: usually part of an old extension that was not packaged",
        );
    }
}

fn cast(s: &Statement<'_>, d: &mut Decision) {
    let mut without = false;
    for token in s.top() {
        if without && token.is(s.sql, "function") {
            d.block("cast-without-function", Vec::new(), "a cast without function needs a superuser");
            return;
        }
        without = token.is(s.sql, "without");
    }
}

fn policy(s: &Statement<'_>, d: &mut Decision) {
    let object = s.name(2);
    let mut to = false;
    for token in s.top() {
        if token.is(s.sql, "using") || token.is(s.sql, "with") {
            return;
        }
        let public =
            ["public", "current_user", "current_role", "session_user"].iter().any(|me| token.is(s.sql, me));
        if to && token.is_name() && !public && !is_platform_role(&token.name(s.sql)) {
            d.warn("policy-role", object, "the roles that the policy names must be on the target");
            return;
        }
        to |= token.is(s.sql, "to");
    }
}
