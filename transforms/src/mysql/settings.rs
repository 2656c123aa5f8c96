//! `SET` statements that a managed MySQL 8 refuses.

use formats::mysql::Mode;
use formats::mysql::session::{Assignment, assignments};
use formats::mysql::token::{Cursor, Kind};
use pipeline::Severity;

use super::collation;
use super::edit::Edits;
use super::notes::{Notes, shown};

/// The modes of MySQL 8.0 and 8.4. One it does not know fails the whole statement (error 1231).
const SQL_MODES: [&str; 21] = [
    "REAL_AS_FLOAT",
    "PIPES_AS_CONCAT",
    "ANSI_QUOTES",
    "IGNORE_SPACE",
    "ONLY_FULL_GROUP_BY",
    "NO_UNSIGNED_SUBTRACTION",
    "NO_DIR_IN_CREATE",
    "ANSI",
    "NO_AUTO_VALUE_ON_ZERO",
    "NO_BACKSLASH_ESCAPES",
    "STRICT_TRANS_TABLES",
    "STRICT_ALL_TABLES",
    "NO_ZERO_IN_DATE",
    "NO_ZERO_DATE",
    "ALLOW_INVALID_DATES",
    "ERROR_FOR_DIVISION_BY_ZERO",
    "TRADITIONAL",
    "HIGH_NOT_PRECEDENCE",
    "NO_ENGINE_SUBSTITUTION",
    "PAD_CHAR_TO_FULL_LENGTH",
    "TIME_TRUNCATE_FRACTIONAL",
];

/// Modes that stand for several, of which MySQL 8 knows these.
const COMBINATIONS: [&str; 5] = ["ORACLE", "MSSQL", "DB2", "MAXDB", "POSTGRESQL"];
const COMBINED: [&str; 3] = ["PIPES_AS_CONCAT", "ANSI_QUOTES", "IGNORE_SPACE"];

/// Looks at a `SET` statement. True: it goes as a whole.
pub(super) fn apply(body: &[u8], mode: Mode, offset: u64, edits: &mut Edits, notes: &mut Notes) -> bool {
    names(body, mode, edits, notes);
    let all = assignments(body, mode);
    let dropped: Vec<&'static str> = all.iter().map(|assignment| refused(assignment, body, mode)).collect();
    if !all.is_empty() && dropped.iter().all(|kind| !kind.is_empty()) {
        for kind in dropped {
            notes.changed(kind);
        }
        return true;
    }
    for (index, assignment) in all.iter().enumerate() {
        let value = &body[assignment.value..assignment.end];
        if !dropped[index].is_empty() {
            // With the comma on one side of it.
            match (index.checked_sub(1).map(|before| all[before].end), all.get(index + 1)) {
                (_, Some(next)) => edits.remove(assignment.start..next.start),
                (Some(before), None) => edits.remove(before..assignment.end),
                (None, None) => {}
            }
            notes.changed(dropped[index]);
        } else if assignment.global {
            notes.find(
                Severity::Blocker,
                "set-global",
                shown(&assignment.name),
                offset,
                "a managed server does not let its users set global variables; set it in the parameter group instead",
            );
        } else if assignment.name == b"sql_mode" {
            sql_mode(value, assignment.value, mode, edits, notes);
            if Cursor::new(value, mode).any(|token| {
                let list = token.value(value, mode);
                list.split(|byte| *byte == b',').any(|name| name.trim_ascii().eq_ignore_ascii_case(b"ORACLE"))
            }) {
                notes.find(
                    Severity::Warning,
                    "oracle-mode",
                    "",
                    offset,
                    "the routine that follows was written in MariaDB's Oracle mode; MySQL may not understand its body",
                );
            }
        } else if assignment.name.starts_with(b"collation_") {
            if let Some(token) = Cursor::new(value, mode).next().filter(formats::mysql::token::Token::is_name)
                && let Some(mapped) = collation::for_mysql8(&token.value(value, mode))
            {
                let range = assignment.value + token.start..assignment.value + token.end;
                edits.replace(range, requoted(token.kind, &mapped));
                notes.changed("collation-mapped");
            }
        } else if assignment.name == b"time_zone" {
            time_zone(value, mode, offset, notes);
        }
    }
    false
}

/// `SET NAMES utf8mb4 COLLATE utf8mb4_uca1400_ai_ci`.
fn names(body: &[u8], mode: Mode, edits: &mut Edits, notes: &mut Notes) {
    let mut cursor = Cursor::new(body, mode);
    if cursor.any(|token| token.is(body, "NAMES")) {
        super::table::collations(cursor, edits, notes);
    }
}

/// The key under which an assignment that has to go is counted; empty if it may stay.
fn refused(assignment: &Assignment, body: &[u8], mode: Mode) -> &'static str {
    match assignment.name.as_slice() {
        b"gtid_purged" => "gtid-purged-dropped",
        b"sql_log_bin" | b"@mysqldump_temp_log_bin" => "sql-log-bin-dropped",
        // mysqldump's own, when it saved what it may not set.
        [b'@', ..] => {
            let value = &body[assignment.value..assignment.end];
            let reads_log_bin = Cursor::new(value, mode).any(|token| token.is(value, "SQL_LOG_BIN"));
            if reads_log_bin { "sql-log-bin-dropped" } else { "" }
        }
        _ => "",
    }
}

/// Takes unknown modes out of the literals of an expression.
fn sql_mode(value: &[u8], base: usize, mode: Mode, edits: &mut Edits, notes: &mut Notes) {
    for token in Cursor::new(value, mode) {
        if !matches!(token.kind, Kind::Quoted(b'\'' | b'"')) {
            continue;
        }
        let list = token.value(value, mode);
        let list = String::from_utf8_lossy(&list);
        let known =
            |name: &&str| name.is_empty() || SQL_MODES.iter().any(|mode| mode.eq_ignore_ascii_case(name));
        let mut kept: Vec<&str> = Vec::new();
        let mut dropped = 0_u64;
        let mut combined = false;
        for name in list.split(',').map(str::trim) {
            if known(&name) {
                kept.push(name);
            } else {
                dropped += 1;
                combined |= COMBINATIONS.iter().any(|combination| combination.eq_ignore_ascii_case(name));
            }
        }
        if combined {
            for name in COMBINED {
                if !kept.iter().any(|kept| kept.eq_ignore_ascii_case(name)) {
                    kept.push(name);
                }
            }
        }
        if dropped > 0 {
            let range = base + token.start..base + token.end;
            edits.replace(range, requoted(token.kind, &kept.join(",")));
            for _ in 0..dropped {
                notes.changed("sql-mode-token-dropped");
            }
        }
    }
}

fn time_zone(value: &[u8], mode: Mode, offset: u64, notes: &mut Notes) {
    let Some(token) = Cursor::new(value, mode).next() else { return };
    let Kind::Quoted(b'\'' | b'"') = token.kind else { return };
    let zone = token.value(value, mode);
    let numeric = zone.first().is_some_and(|byte| matches!(byte, b'+' | b'-' | b'0'..=b'9'));
    if !numeric && !zone.eq_ignore_ascii_case(b"SYSTEM") && !zone.eq_ignore_ascii_case(b"UTC") {
        notes.find(
            Severity::Warning,
            "named-time-zone",
            shown(&zone),
            offset,
            "the target knows this time zone only if its time zone tables are loaded",
        );
    }
}

/// In the same quotes as before. Modes and collations need no escaping.
pub(super) fn requoted(kind: Kind, value: &str) -> Vec<u8> {
    match kind {
        Kind::Quoted(quote) => [&[quote], value.as_bytes(), &[quote]].concat(),
        _ => value.as_bytes().to_vec(),
    }
}
