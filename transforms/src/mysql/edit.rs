//! Changes to one statement, collected in any order and then applied so that everything else stays byte for byte.

use std::ops::Range;

use bytes::Bytes;
use formats::mysql::Mode;
use formats::mysql::token::{Cursor, Kind, is_word};
use pipeline::{Error, Output, Result};

/// One range and what takes its place.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Edit {
    range: Range<usize>,
    with: Vec<u8>,
}

impl Edit {
    fn is_removal(&self) -> bool {
        self.with.is_empty() && !self.range.is_empty()
    }
}

/// Places changed in one statement at most: four for each of the 4,096 columns that a table can have. A list without an end would be
/// memory that nobody planned for.
const MAX_EDITS: usize = 1 << 14;

/// The changes to one statement.
#[derive(Debug, Default)]
pub(super) struct Edits {
    list: Vec<Edit>,
    /// More came than [`MAX_EDITS`]; the statement cannot be emitted any more.
    overflown: bool,
}

impl Edits {
    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Takes a clause out, with the blank that separated it.
    pub(super) fn remove(&mut self, range: Range<usize>) {
        self.replace(range, Vec::new());
    }

    /// Puts other bytes in a range's place.
    pub(super) fn replace(&mut self, range: Range<usize>, with: impl Into<Vec<u8>>) {
        if self.list.len() < MAX_EDITS {
            self.list.push(Edit { range, with: with.into() });
        } else {
            self.overflown = true;
        }
    }

    /// Puts bytes in.
    pub(super) fn insert(&mut self, at: usize, what: impl Into<Vec<u8>>) {
        self.replace(at..at, what);
    }

    /// Emits the changed statement; `statement` is the whole of it, `body` its length without the delimiter.
    pub(super) fn emit(
        mut self,
        statement: &Bytes,
        body: usize,
        mode: Mode,
        out: &mut dyn Output,
    ) -> Result<()> {
        if self.overflown {
            return Err(Error::transform(format!(
                "a statement has more than {MAX_EDITS} places to rewrite, which no dump client writes"
            ))
            .hint("copy without rewriting, or take this object out of the dump"));
        }
        self.drop_nested();
        if self.list.iter().any(Edit::is_removal) {
            self.drop_emptied_comments(&statement[..body], mode);
            self.drop_nested();
            self.close_gaps(statement);
        }
        let mut at = 0;
        for edit in self.list {
            out.emit(statement.slice(at..edit.range.start))?;
            out.emit(Bytes::from(edit.with))?;
            at = edit.range.end;
        }
        out.emit(statement.slice(at..))
    }

    /// Sorts, and lets the larger of two that overlap win.
    fn drop_nested(&mut self) {
        self.list.sort_by(|a, b| (a.range.start, b.range.end).cmp(&(b.range.start, a.range.end)));
        let mut end = 0;
        self.list.retain(|edit| {
            let keep = edit.range.start >= end;
            if keep {
                end = edit.range.end;
            }
            keep
        });
    }

    /// A version comment of which nothing is left goes as a whole: `/*!50017 */` is no more than noise.
    fn drop_emptied_comments(&mut self, text: &[u8], mode: Mode) {
        let mut edits = self.list.iter().peekable();
        let mut emptied = Vec::new();
        let mut open = None;
        for token in Cursor::new(text, mode) {
            match token.kind {
                Kind::Open { .. } => open = Some((token.start, false)),
                Kind::Close => {
                    if let Some((start, true)) = open {
                        emptied.push(start..token.end);
                    }
                    open = None;
                }
                _ => {
                    while edits.next_if(|edit| edit.range.end <= token.start).is_some() {}
                    let removed = edits.peek().is_some_and(|edit| {
                        edit.is_removal() && edit.range.start <= token.start && token.end <= edit.range.end
                    });
                    open = match open {
                        Some((start, _)) if removed => Some((start, true)),
                        _ => None,
                    };
                }
            }
        }
        for range in emptied {
            self.remove(range);
        }
    }

    /// Leaves one separator where a removed clause had one on each side, and one where it was the separator.
    fn close_gaps(&mut self, text: &[u8]) {
        let mut closed: Vec<Edit> = Vec::with_capacity(self.list.len());
        let mut edits = std::mem::take(&mut self.list).into_iter().peekable();
        while let Some(mut edit) = edits.next() {
            if !edit.is_removal() {
                closed.push(edit);
                continue;
            }
            if let Some(before) =
                closed.pop_if(|before| before.is_removal() && before.range.end == edit.range.start)
            {
                edit.range.start = before.range.start;
            }
            let floor = closed.last().map_or(0, |edit| edit.range.end);
            let limit = edits.peek().map_or(text.len(), |edit| edit.range.start);
            let Range { mut start, mut end } = edit.range;
            // Behind a replacement, what was put in is what the gap begins at.
            let before = text[floor..start].last().or_else(|| closed.last()?.with.last()).copied();
            let blank = |byte: &u8| byte.is_ascii_whitespace();
            if before.is_none_or(|byte| blank(&byte)) {
                end += text[end..limit].iter().take_while(|byte| blank(byte)).count();
                if end == edit.range.end && text.get(end).is_none_or(|byte| b";,)*".contains(byte)) {
                    start -= text[floor..start].iter().rev().take_while(|byte| **byte == b' ').count();
                }
            } else if before.is_some_and(is_word) && text.get(end).is_some_and(|byte| is_word(*byte)) {
                edit.with = vec![b' '];
            }
            edit.range = start..end;
            closed.push(edit);
        }
        self.list = closed;
    }
}
