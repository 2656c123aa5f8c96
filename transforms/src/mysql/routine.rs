//! The characteristics of a routine or package: the clauses between its parameters and its body.

use formats::mysql::session::next_plain;
use formats::mysql::token::{Cursor, Kind, Token};

use super::head::{Head, Object};

/// What the characteristics say.
#[derive(Debug, Default)]
pub(super) struct Characteristics {
    /// The word behind `SQL SECURITY`.
    pub(super) security: Option<Token>,
    /// `DETERMINISTIC`, `NO SQL` or `READS SQL DATA`: what a server with a binary log wants of a function.
    pub(super) declared: bool,
    /// Where another characteristic can be put.
    pub(super) place: usize,
    /// A loadable function (`SONAME`): it has none of these.
    pub(super) loadable: bool,
}

/// Reads them. `None` if there is no name, or if the parameters have no end.
pub(super) fn characteristics(head: &Head<'_>) -> Option<Characteristics> {
    if head.name.is_empty() {
        return None;
    }
    let mut cursor = head.rest.clone();
    let text = cursor.text();
    let mut found = Characteristics { place: cursor.offset(), ..Characteristics::default() };
    if matches!(head.object, Object::Procedure | Object::Function) {
        if cursor.accept_byte(b'(').is_some() {
            found.place = cursor.skip_parens()?;
        }
        if cursor.accept_if(|token, text| token.is_any(text, &["RETURNS", "RETURN"])).is_some() {
            found.place = skip_type(&mut cursor)?;
        }
    }
    loop {
        let mut ahead = cursor.clone();
        let Some(token) = next_plain(&mut ahead) else { break };
        let is = |keyword| token.is(text, keyword);
        if is("SONAME") {
            found.loadable = true;
            break;
        } else if is("DETERMINISTIC") {
            found.declared = true;
        } else if is("NOT") || is("LANGUAGE") || is("COMMENT") || is("CONTAINS") || is("MODIFIES") {
            next_plain(&mut ahead)?;
            while ahead.accept_if(|token, text| token.is_any(text, &["SQL", "DATA"])).is_some() {}
        } else if is("NO") || is("READS") {
            found.declared = true;
            next_plain(&mut ahead)?;
            ahead.accept("DATA");
        } else if is("SQL") {
            if ahead.accept("SECURITY").is_none() {
                break;
            }
            found.security = next_plain(&mut ahead);
        } else {
            break;
        }
        cursor = ahead;
    }
    Some(found)
}

/// Reads a data type; returns where it ends.
fn skip_type(cursor: &mut Cursor<'_>) -> Option<usize> {
    let mut end = next_plain(cursor)?.end;
    loop {
        let mut ahead = cursor.clone();
        let Some(token) = ahead.next() else { break };
        let text = ahead.text();
        match token.kind {
            // Lengths, members, rows.
            Kind::Punct(b'(') => end = ahead.skip_parens()?,
            // `TYPE OF t.c` and, in Oracle mode, `t.c%TYPE`.
            Kind::Punct(b'.' | b'%') => end = next_plain(&mut ahead)?.end,
            Kind::Word if token.is_any(text, &["CHARSET", "COLLATE", "OF"]) => {
                ahead.accept_byte(b'=');
                end = next_plain(&mut ahead)?.end;
            }
            Kind::Word if token.is(text, "SET") => end = next_plain(&mut ahead)?.end,
            Kind::Word
                if token.is_any(
                    text,
                    &[
                        "UNSIGNED",
                        "SIGNED",
                        "ZEROFILL",
                        "BINARY",
                        "ASCII",
                        "UNICODE",
                        "BYTE",
                        "PRECISION",
                        "VARYING",
                        "CHARACTER",
                        "CHAR",
                        "VARCHAR",
                        "VARCHARACTER",
                        "VARBINARY",
                        "NATIONAL",
                    ],
                ) =>
            {
                end = token.end;
            }
            _ => break,
        }
        *cursor = ahead;
    }
    Some(end)
}
