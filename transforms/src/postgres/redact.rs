//! `redact-secrets`: what a dump says of passwords goes, and everything else stays.
//!
//! Three kinds of statement of `pg_dump` and `pg_dumpall` hold secrets: password hashes of roles, options of user mappings, and connection strings of
//! subscriptions. Rows are data and are not looked at.

use formats::postgres::tokens::TokenKind;

use super::rules::Decision;
use super::statement::Statement;

/// What stands where a secret stood. A mapping or a subscription must get a real one before it works again.
const REDACTED: &[u8] = b"'redacted'";

/// Replaces the secrets of one statement.
pub(super) fn redact(s: &Statement<'_>, decision: &mut Decision) {
    if !s.is(0, "create") && !s.is(0, "alter") {
        return;
    }
    if s.says(1, "user mapping") {
        options(s, decision, "user-mapping-redacted", |name| !matches!(name, b"user" | b"username"));
    } else if ["role", "user", "group"].iter().any(|kind| s.is(1, kind)) {
        after(s, decision, "password", b"NULL", "role-password-redacted");
    } else if s.is(1, "subscription") {
        after(s, decision, "connection", b"'dbname=redacted'", "subscription-connection-redacted");
    } else if s.is(1, "server") || s.says(1, "foreign") {
        let secret = |name: &[u8]| {
            let name = name.to_ascii_lowercase();
            [&b"password"[..], b"passwd", b"secret", b"token", b"passphrase"]
                .iter()
                .any(|word| memchr::memmem::find(&name, word).is_some())
        };
        options(s, decision, "server-option-redacted", secret);
    }
}

/// The string behind this keyword.
fn after(s: &Statement<'_>, decision: &mut Decision, keyword: &str, with: &[u8], key: &'static str) {
    let mut behind = false;
    for token in s.top() {
        if behind && token.kind == TokenKind::Text {
            decision.replace(key, token.start, token.end, with);
        }
        behind = token.is(s.sql, keyword);
    }
}

/// The values of `OPTIONS (name 'value', …)` whose names are secret.
fn options(s: &Statement<'_>, decision: &mut Decision, key: &'static str, secret: fn(&[u8]) -> bool) {
    let mut name: Option<Vec<u8>> = None;
    let mut inside = false;
    for token in s.tokens() {
        if token.depth == 0 && token.is(s.sql, "options") {
            inside = true;
        } else if inside && token.kind == TokenKind::Text {
            if name.take().is_some_and(|name| secret(&name)) {
                decision.replace(key, token.start, token.end, REDACTED);
            }
        } else if inside && token.is_name() {
            // `ADD` and `SET` stand in front of a name, which then takes their place.
            name = Some(token.name(s.sql));
        }
    }
}
