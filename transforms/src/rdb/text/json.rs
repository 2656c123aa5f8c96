//! JSON lines: `{"db":0,"key":"k","type":"hash","value":{"f":"v"}}`.
//!
//! | type | `value` |
//! | --- | --- |
//! | string | a string |
//! | list, set | an array of strings |
//! | zset | an array of `[member, score]`; infinite scores are the strings `inf` and `-inf` |
//! | hash | an object; where fields can expire, an array of `[field, value]` and `[field, value, milliseconds]` |
//! | stream | an object with `entries` (`[id, field, value, …]`), `last_id`, `length`, `groups` |
//! | array | an array of `[index, element]` |
//! | module | `null`, with `module` naming the type |
//!
//! Strings are bytes. What is UTF-8 stands as it is; each byte that is not is written as `\udc80` to `\udcff`, as Python's `surrogateescape` has
//! it, so that nothing is lost: `json.loads(line)["value"].encode("utf-8", "surrogateescape")`.

use std::io::Write as _;

use formats::rdb::decimal::{push_number, push_score, push_unsigned};
use formats::rdb::{DataType, Item, Key, Role, module_name};

#[derive(Debug, Default)]
pub(super) struct Json {
    db: u64,
    shape: Shape,
    /// Closing brackets that are due, innermost last.
    open: Vec<u8>,
    /// Whether something stands before the next element.
    comma: bool,
    in_string: bool,
    /// The start of a character that the piece cut.
    cut: Vec<u8>,
    stage: Stage,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Shape {
    #[default]
    String,
    Elements,
    Scores,
    Fields,
    Triples,
    Stream,
    Indexed,
    Module,
}

/// How far a stream is.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Stage {
    #[default]
    Entries,
    Groups,
    Pending,
    Consumers,
    More,
}

impl Json {
    pub(super) fn select(&mut self, db: u64) {
        self.db = db;
    }

    pub(super) fn begin(&mut self, key: &Key<'_>, out: &mut Vec<u8>) {
        let kind = key.kind.data_type();
        self.shape = match kind {
            DataType::String => Shape::String,
            DataType::List | DataType::Set => Shape::Elements,
            DataType::SortedSet => Shape::Scores,
            DataType::Hash if key.kind.fields_expire() => Shape::Triples,
            DataType::Hash => Shape::Fields,
            DataType::Stream => Shape::Stream,
            DataType::Array => Shape::Indexed,
            DataType::Module => Shape::Module,
        };
        self.comma = false;
        self.stage = Stage::Entries;
        out.extend_from_slice(b"{\"db\":");
        push_unsigned(out, self.db);
        out.extend_from_slice(b",\"key\":\"");
        self.text(key.name, true, out);
        out.extend_from_slice(b"\",\"type\":\"");
        out.extend_from_slice(kind.name().as_bytes());
        out.push(b'"');
        if let Some(at) = key.expires_at {
            out.extend_from_slice(b",\"expires_at\":");
            push_number(out, at);
        }
        let (opening, closing): (&[u8], &[u8]) = match self.shape {
            Shape::String => (b",\"value\":", b""),
            Shape::Fields => (b",\"value\":{", b"}"),
            Shape::Stream => (b",\"value\":{\"entries\":[", b"}]"),
            Shape::Module => (b",\"value\":null", b""),
            _ => (b",\"value\":[", b"]"),
        };
        out.extend_from_slice(opening);
        self.open.clear();
        self.open.extend_from_slice(closing);
    }

    pub(super) fn end(&mut self, out: &mut Vec<u8>) {
        while let Some(bracket) = self.open.pop() {
            out.push(bracket);
        }
        out.extend_from_slice(b"}\n");
    }

    fn separate(&mut self, out: &mut Vec<u8>) {
        if self.comma {
            out.push(b',');
        }
        self.comma = true;
    }

    /// Closes what was opened by the element before, down to `depth` brackets.
    fn close_to(&mut self, depth: usize, out: &mut Vec<u8>) {
        while self.open.len() > depth {
            out.extend(self.open.pop());
        }
    }

    /// Writes a piece of a string's inside.
    fn text(&mut self, data: &[u8], last: bool, out: &mut Vec<u8>) {
        if self.cut.is_empty() {
            if is_plain(data) {
                out.extend_from_slice(data);
            } else {
                self.utf8(data, last, out);
            }
            return;
        }
        let mut joined = std::mem::take(&mut self.cut);
        joined.extend_from_slice(data);
        self.utf8(&joined, last, out);
    }

    fn utf8(&mut self, mut data: &[u8], last: bool, out: &mut Vec<u8>) {
        while !data.is_empty() {
            match std::str::from_utf8(data) {
                Ok(text) => {
                    escape(text.as_bytes(), out);
                    return;
                }
                Err(error) => {
                    let (good, rest) = data.split_at(error.valid_up_to());
                    escape(good, out);
                    if error.error_len().is_none() && !last {
                        self.cut.extend_from_slice(rest);
                        return;
                    }
                    let wrong = error.error_len().unwrap_or(rest.len());
                    for byte in &rest[..wrong] {
                        put(out, format_args!("\\udc{byte:02x}"));
                    }
                    data = &rest[wrong..];
                }
            }
        }
    }

    fn bytes(&mut self, role: Role, data: &[u8], last: bool, out: &mut Vec<u8>) {
        if !self.in_string {
            match (self.shape, role) {
                (Shape::Fields, Role::Value) => out.push(b':'),
                (Shape::Triples, Role::Field) | (Shape::Scores, Role::Member) => {
                    self.close_to(1, out);
                    self.separate(out);
                    out.push(b'[');
                    self.open.push(b']');
                }
                (Shape::Triples | Shape::Indexed, _) => out.push(b','),
                (Shape::String, _) => {}
                _ => self.separate(out),
            }
            out.push(b'"');
        }
        self.in_string = !last;
        self.text(data, last, out);
        if last {
            out.push(b'"');
        }
    }

    /// Goes on to the part of a stream that `item` belongs to.
    fn stream(&mut self, item: &Item<'_>, out: &mut Vec<u8>) {
        match *item {
            Item::Entry { id, .. } => {
                self.close_to(2, out);
                self.separate(out);
                put(out, format_args!("[\"{id}\""));
                self.open.push(b']');
                self.comma = true;
            }
            Item::Stream { length, last_id, more } => {
                self.close_to(1, out);
                put(out, format_args!(",\"length\":{length},\"last_id\":\"{last_id}\""));
                if let Some((first, deleted, added)) = more {
                    put(
                        out,
                        format_args!(
                            ",\"first_id\":\"{first}\",\"max_deleted_id\":\"{deleted}\",\"entries_added\":{added}"
                        ),
                    );
                }
                out.extend_from_slice(b",\"groups\":[");
                self.open.push(b']');
                self.comma = false;
                self.stage = Stage::Groups;
            }
            Item::Group { name, last_id, entries_read } => {
                self.close_to(2, out);
                self.comma = self.stage != Stage::Groups;
                self.separate(out);
                out.extend_from_slice(b"{\"name\":\"");
                self.text(name, true, out);
                put(out, format_args!("\",\"last_id\":\"{last_id}\""));
                if let Some(read) = entries_read {
                    put(out, format_args!(",\"entries_read\":{read}"));
                }
                out.extend_from_slice(b",\"pending\":[");
                self.open.extend_from_slice(b"}]");
                self.comma = false;
                self.stage = Stage::Pending;
            }
            Item::Pending { id, delivered_at, deliveries } => {
                self.separate(out);
                put(out, format_args!("[\"{id}\",{delivered_at},{deliveries}]"));
            }
            Item::Consumer { name, seen_at, active_at } => {
                if self.stage == Stage::Pending {
                    self.close_to(3, out);
                    out.extend_from_slice(b",\"consumers\":[");
                    self.open.push(b']');
                    self.comma = false;
                    self.stage = Stage::Consumers;
                }
                self.comma = self.open.len() > 4;
                self.close_to(4, out);
                self.separate(out);
                out.extend_from_slice(b"{\"name\":\"");
                self.text(name, true, out);
                put(out, format_args!("\",\"seen_at\":{seen_at}"));
                if let Some(at) = active_at {
                    put(out, format_args!(",\"active_at\":{at}"));
                }
                out.extend_from_slice(b",\"pending\":[");
                self.open.extend_from_slice(b"}]");
                self.comma = false;
            }
            Item::ConsumerPending(id) | Item::Released(id) => {
                self.separate(out);
                put(out, format_args!("\"{id}\""));
            }
            Item::Idempotence { duration, max } => {
                self.close_to(1, out);
                put(out, format_args!(",\"idempotence\":{{\"duration\":{duration},\"max\":{max}}}"));
                self.stage = Stage::More;
            }
            // What producers sent lately is of use to the server that they talk to, and to nobody else.
            _ => {}
        }
    }

    pub(super) fn item(&mut self, item: &Item<'_>, out: &mut Vec<u8>) {
        match *item {
            Item::Bytes { role, data, last, .. } => self.bytes(role, data, last, out),
            Item::Score(score) if score.is_finite() => {
                out.push(b',');
                push_score(out, score);
            }
            Item::Score(score) => {
                out.extend_from_slice(if score > 0.0 { b",\"inf\"" } else { b",\"-inf\"" });
            }
            Item::FieldExpires(at) => {
                out.push(b',');
                push_number(out, at);
            }
            Item::Index(index) => {
                self.close_to(1, out);
                self.separate(out);
                put(out, format_args!("[{index}"));
                self.open.push(b']');
            }
            Item::Module { id } => {
                let (name, _) = module_name(id);
                put(out, format_args!(",\"module\":\"{name}\""));
            }
            Item::Length(_) | Item::InsertIndex(_) => {}
            ref of_stream => self.stream(of_stream, out),
        }
    }
}

/// Writing to a vector cannot fail.
fn put(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    drop(out.write_fmt(text));
}

/// True for bytes that do not stand for themselves inside a JSON string.
#[inline]
fn is_special(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

/// True for ASCII in which every byte stands for itself.
fn is_plain(data: &[u8]) -> bool {
    let plain =
        |piece: &[u8]| !piece.iter().fold(false, |found, byte| found | is_special(*byte) | !byte.is_ascii());
    data.chunks(256).all(plain)
}

/// UTF-8 inside a JSON string: quotes, backslashes and control characters are escaped.
#[allow(clippy::needless_bitwise_bool, reason = "without a branch, many bytes are looked at at once")]
fn escape(text: &[u8], out: &mut Vec<u8>) {
    out.reserve(text.len() + 16);
    for piece in text.chunks(32) {
        // Sixteen bytes at a time when compiled, and most pieces end here.
        if !piece.iter().fold(false, |found, byte| found | is_special(*byte)) {
            out.extend_from_slice(piece);
            continue;
        }
        if !piece.iter().fold(false, |found, byte| found | byte.is_ascii_control()) {
            // Quotes and backslashes alone: what stands before each byte is written and counted or not, without a branch to guess.
            let mut room = [0_u8; 64];
            let mut at = 0;
            for byte in piece {
                room[at] = b'\\';
                at += usize::from(is_special(*byte));
                room[at] = *byte;
                at += 1;
            }
            out.extend_from_slice(&room[..at]);
            continue;
        }
        let mut rest = piece;
        while let Some(at) = rest.iter().position(|byte| is_special(*byte)) {
            out.extend_from_slice(&rest[..at]);
            match rest[at] {
                b'"' => out.extend_from_slice(b"\\\""),
                b'\\' => out.extend_from_slice(b"\\\\"),
                b'\n' => out.extend_from_slice(b"\\n"),
                b'\r' => out.extend_from_slice(b"\\r"),
                b'\t' => out.extend_from_slice(b"\\t"),
                byte => put(out, format_args!("\\u{byte:04x}")),
            }
            rest = &rest[at + 1..];
        }
        out.extend_from_slice(rest);
    }
}
