//! What a child says on stderr: all of it is read, the beginning and the end are kept.
//!
//! The beginning names the cause, the end says what it came to; a client that repeats one warning for each of a million rows must not
//! cost a gigabyte.

use std::collections::VecDeque;

use pipeline::Context;
use tokio::io::{AsyncRead, AsyncReadExt};

const HEAD: usize = 16 * 1024;
const TAIL: usize = 48 * 1024;
/// Upper bound of what is held, with the read buffer.
pub(crate) const KEPT: usize = HEAD + TAIL + READ;
const READ: usize = 8 * 1024;
/// Lines passed on as warnings; the rest are counted.
const WARNINGS: usize = 20;
/// A longer line is cut before it is passed on.
const LINE: usize = 1000;

/// The kept parts.
#[derive(Debug, Default)]
pub(crate) struct Stderr {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    left_out: u64,
}

impl Stderr {
    /// Reads to the end. An unreadable pipe is an ended one: there is nobody to hear more from.
    pub(super) async fn read(&mut self, pipe: &mut (impl AsyncRead + Unpin)) {
        let mut buffer = vec![0; READ];
        while let Ok(count @ 1..) = pipe.read(&mut buffer).await {
            self.push(&buffer[..count]);
        }
    }

    /// Keeps what fits of more text.
    pub(crate) fn push(&mut self, data: &[u8]) {
        let (first, rest) = data.split_at(data.len().min(HEAD - self.head.len()));
        self.head.extend_from_slice(first);
        self.tail.extend(rest);
        let excess = self.tail.len().saturating_sub(TAIL);
        self.tail.drain(..excess);
        self.left_out += excess as u64;
    }

    /// Everything kept, with a note where something is missing. Bytes that are not UTF-8 or would move the cursor are replaced.
    pub(crate) fn text(&self) -> String {
        let mut bytes = self.head.clone();
        if self.left_out > 0 {
            bytes.extend_from_slice(format!("\n[{} bytes left out]\n", self.left_out).as_bytes());
        }
        bytes.extend(&self.tail);
        let text = String::from_utf8_lossy(&bytes);
        let clean: String =
            text.chars().map(|c| if c.is_control() && !matches!(c, '\n' | '\t') { ' ' } else { c }).collect();
        clean.trim().to_owned()
    }

    /// Passes the lines on as warnings.
    pub(super) fn warn(&self, name: &str, cx: &Context) {
        let text = self.text();
        let mut lines = text.lines().map(str::trim_end).filter(|line| !line.is_empty());
        for line in lines.by_ref().take(WARNINGS) {
            let shown: String = line.chars().take(LINE).collect();
            // Clients begin their lines with their own name.
            let shown =
                shown.strip_prefix(name).map_or(shown.as_str(), |rest| rest.trim_start_matches([':', ' ']));
            cx.warn(format!("{name}: {shown}"));
        }
        let more = lines.count();
        if more > 0 || self.left_out > 0 {
            let left_out =
                if self.left_out > 0 { format!(" and {} bytes", self.left_out) } else { String::new() };
            cx.warn(format!("{name}: {more} more lines{left_out} of warnings are not shown"));
        }
    }
}
