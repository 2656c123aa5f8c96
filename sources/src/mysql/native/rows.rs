//! Rows of the text protocol as `INSERT` statements.
//!
//! A cell is copied once, from the receive buffer into the statement, and escaped on the way; nothing is allocated for a row or a cell,
//! and a cell may be cut anywhere, so a row of a gigabyte needs no more memory than one of a byte.

use bytes::Bytes;
use connections::mysql::wire;
use pipeline::{Error, Result};

use crate::window::PIECE;

/// Statements end at the first row that makes them this long. Every supported server takes packets of this size unless it was told not to.
const STATEMENT: usize = 1 << 20;

/// How the cells of a column are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cell {
    /// As the server gives it: integers and decimals.
    Number,
    /// The same, except that the sign of a zero needs help: `-0` is an integer and has none.
    Real,
    /// In quotes.
    Text,
    /// In quotes, and marked as bytes of no character set.
    Binary,
    /// In hexadecimal digits: the bytes of a `BIT`.
    Bits,
}

/// Where the next byte of a row belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// In front of a cell; so many bytes of its length are in `prefix`.
    Length(usize),
    /// Inside a cell of which so many bytes are still to come.
    Inside(u64),
}

/// Makes statements for the rows of one table.
#[derive(Debug)]
pub(super) struct Inserts {
    /// ``INSERT INTO `t` (`a`,`b`) VALUES``
    head: Vec<u8>,
    cells: Vec<Cell>,
    text: Vec<u8>,
    open: bool,
    /// Where in the text the open statement begins.
    begun: usize,
    /// Bytes of it that were already handed on.
    gone: usize,
    column: usize,
    at: At,
    prefix: [u8; 9],
    rows: u64,
}

impl Inserts {
    /// `head` goes in front of every statement's rows.
    pub(super) fn new(head: Vec<u8>, cells: Vec<Cell>) -> Self {
        Self {
            head,
            cells,
            text: Vec::new(),
            open: false,
            begun: 0,
            gone: 0,
            column: 0,
            at: At::Length(0),
            prefix: [0; 9],
            rows: 0,
        }
    }

    /// Puts `text` in front of the first statement.
    #[must_use]
    pub(super) fn behind(self, text: Vec<u8>) -> Self {
        Self { text, ..self }
    }

    /// Rows that are complete.
    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    /// Takes bytes of a row, as the protocol has them; `last` says that the row ends with them.
    pub(super) fn push(&mut self, mut bytes: &[u8], last: bool) -> Result<()> {
        if self.cells.is_empty() {
            // The row of a table whose columns are all computed: something had to be asked for.
            bytes = &[];
        }
        loop {
            match self.at {
                At::Length(held) => {
                    if self.column == self.cells.len() {
                        break;
                    }
                    let Some(&next) = bytes.first() else { break };
                    let length = if held == 0 && next < 0xFB {
                        bytes = &bytes[1..];
                        Some(u64::from(next))
                    } else {
                        // A length of several bytes, which may be cut.
                        self.prefix[held] = next;
                        bytes = &bytes[1..];
                        match wire::length(&self.prefix[..=held]) {
                            None => {
                                self.at = At::Length(held + 1);
                                continue;
                            }
                            Some((length, _)) => length,
                        }
                    };
                    self.begin(length);
                    self.at = if let Some(length) = length {
                        At::Inside(length)
                    } else {
                        self.column += 1;
                        At::Length(0)
                    };
                }
                At::Inside(left) => {
                    let taken = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                    let (now, later) = bytes.split_at(taken);
                    self.content(now, left == taken as u64);
                    bytes = later;
                    if left > taken as u64 {
                        self.at = At::Inside(left - taken as u64);
                        break;
                    }
                    self.at = At::Length(0);
                    self.column += 1;
                }
            }
        }
        if !last {
            return Ok(());
        }
        if !bytes.is_empty() || self.column != self.cells.len() || self.at != At::Length(0) {
            return Err(Error::source("the server sent a row of another shape than the table has"));
        }
        if self.cells.is_empty() {
            self.begin_row();
        }
        self.text.push(b')');
        self.column = 0;
        self.rows += 1;
        if self.gone + self.text.len() - self.begun >= STATEMENT {
            self.end();
        }
        Ok(())
    }

    /// Ends the statement that is open.
    pub(super) fn end(&mut self) {
        if self.open {
            self.text.extend_from_slice(b";\n");
            self.open = false;
            self.gone = 0;
        }
    }

    /// What there is to hand on, if that is enough to be worth it.
    pub(super) fn piece(&mut self) -> Option<Bytes> {
        (self.text.len() >= PIECE).then(|| {
            let piece = self.take();
            self.text.reserve(PIECE + (PIECE >> 1));
            piece
        })
    }

    /// Everything that there is.
    pub(super) fn take(&mut self) -> Bytes {
        if self.open {
            self.gone += self.text.len() - self.begun;
            self.begun = 0;
        }
        Bytes::from(std::mem::take(&mut self.text))
    }

    fn begin_row(&mut self) {
        if self.open {
            self.text.extend_from_slice(b",\n(");
        } else {
            self.begun = self.text.len();
            self.text.extend_from_slice(&self.head);
            self.text.extend_from_slice(b"\n(");
            self.open = true;
        }
    }

    fn begin(&mut self, length: Option<u64>) {
        if self.column == 0 {
            self.begin_row();
        } else {
            self.text.push(b',');
        }
        match (length, self.cells[self.column]) {
            (None, _) => self.text.extend_from_slice(b"NULL"),
            (Some(length), cell) => match cell {
                Cell::Number | Cell::Real => {}
                Cell::Bits => self.text.extend_from_slice(if length == 0 { b"''" } else { b"0x" }),
                Cell::Text => self.text.push(b'\''),
                Cell::Binary => self.text.extend_from_slice(b"_binary '"),
            },
        }
    }

    fn content(&mut self, bytes: &[u8], last: bool) {
        match self.cells[self.column] {
            Cell::Number => self.text.extend_from_slice(bytes),
            Cell::Real => {
                self.text.extend_from_slice(bytes);
                if last
                    && self.text.ends_with(b"-0")
                    && matches!(self.text.iter().nth_back(2), Some(b',' | b'('))
                {
                    self.text.extend_from_slice(b"e0");
                }
            }
            Cell::Bits => {
                for byte in bytes {
                    let digit = |half: u8| b"0123456789ABCDEF"[usize::from(half)];
                    self.text.extend_from_slice(&[digit(byte >> 4), digit(byte & 15)]);
                }
            }
            Cell::Text | Cell::Binary => {
                escape(&mut self.text, bytes);
                if last {
                    self.text.push(b'\'');
                }
            }
        }
    }
}

/// What stands behind the backslash for each byte that cannot stand for itself, otherwise 0. Besides quote and backslash those are the
/// bytes that the `mysql` client changes or stops at when it reads a file.
const ESCAPED: [u8; 256] = {
    let mut table = [0; 256];
    table[0] = b'0';
    table[b'\n' as usize] = b'n';
    table[b'\r' as usize] = b'r';
    table[0x1A] = b'Z';
    table[b'\'' as usize] = b'\'';
    table[b'\\' as usize] = b'\\';
    table
};

/// Bytes that are looked at together: one vector register of the oldest processors that matter.
const STEP: usize = 16;

fn escape(text: &mut Vec<u8>, bytes: &[u8]) {
    text.reserve(bytes.len());
    let mut rest = bytes;
    while let Some((block, _)) = rest.split_first_chunk::<STEP>() {
        if special(block) {
            escape_each(text, block);
        } else {
            text.extend_from_slice(block);
        }
        rest = &rest[STEP..];
    }
    escape_each(text, rest);
}

/// Whether any byte needs a backslash. Compares all with all, which the compiler makes a few vector instructions of.
fn special(block: &[u8; STEP]) -> bool {
    let is = |byte: u8, special: u8| u8::from(byte == special);
    block.iter().fold(0, |found, &byte| {
        found
            | is(byte, 0)
            | is(byte, b'\n')
            | is(byte, b'\r')
            | is(byte, 0x1A)
            | is(byte, b'\'')
            | is(byte, b'\\')
    }) != 0
}

fn escape_each(text: &mut Vec<u8>, bytes: &[u8]) {
    for &byte in bytes {
        match ESCAPED[usize::from(byte)] {
            0 => text.push(byte),
            escaped => text.extend_from_slice(&[b'\\', escaped]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lengthy(bytes: &[u8]) -> Vec<u8> {
        let length = bytes.len().to_le_bytes();
        let mut cell = match bytes.len() {
            0..=250 => length[..1].to_vec(),
            251..=0xFFFF => [&[0xFC], &length[..2]].concat(),
            _ => [&[0xFD], &length[..3]].concat(),
        };
        cell.extend_from_slice(bytes);
        cell
    }

    fn inserts(cells: &[Cell]) -> Inserts {
        Inserts::new(b"INSERT INTO t (c) VALUES".to_vec(), cells.to_vec())
    }

    fn whole(mut inserts: Inserts) -> Vec<u8> {
        inserts.end();
        inserts.take().to_vec()
    }

    #[test]
    fn every_kind_of_cell_and_null() {
        let mut out = inserts(&[Cell::Number, Cell::Real, Cell::Text, Cell::Binary, Cell::Bits]);
        let rows: [&[&[u8]]; 2] =
            [&[b"-5", b"-0", b"it's\n", b"\0\xFF\\", b"\x01\xA0"], &[b"1", b"-0.5", b"", b"", b""]];
        for row in rows {
            out.push(&row.iter().flat_map(|cell| lengthy(cell)).collect::<Vec<_>>(), true).unwrap();
        }
        out.push(&[0xFB; 5], true).unwrap();
        assert_eq!(out.rows(), 3);
        let expected: &[u8] = b"INSERT INTO t (c) VALUES\n(-5,-0e0,'it\\'s\\n',_binary '\\0\xFF\\\\',0x01A0),\n(1,-0.5,'',_binary '',''),\n(NULL,NULL,NULL,NULL,NULL);\n";
        assert_eq!(whole(out), expected);
    }

    #[test]
    fn cuts_do_not_matter() {
        let cells = [Cell::Text, Cell::Number, Cell::Real, Cell::Binary];
        let long: Vec<u8> = (0..70_000_u32).map(|n| (n % 251) as u8).collect();
        let row: Vec<u8> = [&lengthy(&long)[..], &lengthy(b"42"), &lengthy(b"-0"), &[0xFB]].concat();
        let mut at_once = inserts(&cells);
        at_once.push(&row, true).unwrap();
        let expected = whole(at_once);
        for size in [1, 2, 3, 7, 16, 17, 1000, 69_999] {
            let mut out = inserts(&cells);
            for piece in row.chunks(size) {
                out.push(piece, false).unwrap();
            }
            out.push(&[], true).unwrap();
            assert!(whole(out) == expected, "pieces of {size} bytes");
        }
    }

    #[test]
    fn another_shape_is_refused() {
        for row in [&b"\x01a"[..], b"\x01a\x01b\x01c", b"\x01a\x05b"] {
            assert!(inserts(&[Cell::Text, Cell::Text]).push(row, true).is_err(), "{row:?}");
        }
    }

    #[test]
    fn statements_are_cut_between_rows() {
        let mut out = inserts(&[Cell::Text]);
        let mut made = Vec::new();
        let row = lengthy(&[b'x'; 1000]);
        for _ in 0..3000 {
            out.push(&row, true).unwrap();
            made.extend(out.piece().unwrap_or_default());
        }
        made.extend(whole(out));
        let statements: Vec<&[u8]> = made.split_inclusive(|byte| *byte == b';').collect();
        // Three, and the line break behind the last.
        assert_eq!(statements.len(), 4);
        for statement in &statements[..2] {
            assert!(statement.len() < STATEMENT + 1100 && statement.len() > STATEMENT - 1100);
        }
        assert_eq!(made.split(|byte| *byte == b'(').count(), 3004);
    }

    #[test]
    fn a_table_without_columns_of_its_own() {
        let mut out = inserts(&[]);
        out.push(&[], true).unwrap();
        out.push(&[], true).unwrap();
        assert_eq!(whole(out), b"INSERT INTO t (c) VALUES\n(),\n();\n");
    }

    #[test]
    fn escapes_like_a_table_of_single_bytes() {
        for length in 0..70 {
            for special in [0_u8, 10, 13, 26, 39, 92, 34, 200] {
                for at in 0..length {
                    let mut bytes = vec![b'a'; length];
                    bytes[at] = special;
                    let (mut fast, mut slow) = (Vec::new(), Vec::new());
                    escape(&mut fast, &bytes);
                    escape_each(&mut slow, &bytes);
                    assert_eq!(fast, slow);
                }
            }
        }
    }
}
