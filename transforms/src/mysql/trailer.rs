//! Whether a dump is whole.
//!
//! mysqldump and mariadb-dump end with the line `-- Dump completed`, perhaps with a date, unless comments are off.
//! A pipe that lost its writer ends anywhere, and nothing else about the text shows it.

use pipeline::{Error, Result};

const LINE: &[u8] = b"-- Dump completed";

/// Enough for the line with a date, and the end of the line before it.
const KEPT: usize = 128;

/// Watches for the end of the dump.
#[derive(Debug, Default)]
pub(super) struct Trailer {
    /// The last bytes between statements, since the last statement.
    tail: Vec<u8>,
    /// The header saved a setting that the footer restores.
    saved: bool,
    restored: bool,
}

impl Trailer {
    /// Takes in text between statements.
    pub(super) fn between(&mut self, text: &[u8]) {
        self.tail.extend_from_slice(&text[text.len().saturating_sub(KEPT)..]);
        let excess = self.tail.len().saturating_sub(KEPT);
        self.tail.drain(..excess);
    }

    /// Takes in anything else; `set` is the text of a `SET` statement.
    pub(super) fn statement(&mut self, set: Option<&[u8]>) {
        self.tail.clear();
        let Some(set) = set else { return };
        let mut at = 0;
        while let Some(found) = memchr::memmem::find(&set[at..], b"@OLD_SQL_NOTES") {
            let end = at + found + b"@OLD_SQL_NOTES".len();
            if set.get(end) == Some(&b'=') {
                self.saved = true;
            } else {
                self.restored = true;
            }
            at = end;
        }
    }

    /// Judges the end. `between` says that the text ended between statements.
    ///
    /// A table's name can put the trailer's text into a comment in the middle of an old dump; that is why the footer's
    /// last setting must have been restored too.
    pub(super) fn check(&self, between: bool, offset: u64) -> Result<()> {
        let missing = if !between {
            "the dump ends in the middle of a statement"
        } else if !self.is_complete() {
            "the dump does not end with the line \"-- Dump completed\""
        } else if self.saved && !self.restored {
            "the dump ends without the settings that mysqldump restores at its end"
        } else {
            return Ok(());
        };
        Err(Error::truncated(missing)
            .with("offset", offset)
            .hint("dump again and watch the exit status of the client; a dump made with --skip-comments or --compact has no such line")
            .hint("--no-trailer accepts text that was not made by a dump client"))
    }

    fn is_complete(&self) -> bool {
        let Some(text) = self.tail.strip_suffix(b"\n") else { return false };
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        let Some(start) = memchr::memrchr(b'\n', text) else { return false };
        text[start + 1..].strip_prefix(LINE).is_some_and(|rest| rest.is_empty() || rest.starts_with(b" on "))
    }
}

/// The line that a dump client wrote to its error output, where a careless redirection put both into one stream.
pub(super) fn client_message(piece: &[u8]) -> Option<String> {
    let line = piece.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let named =
        [&b"mysqldump: "[..], b"mariadb-dump: ", b"mysqlpump: "].iter().any(|name| line.starts_with(name));
    named.then(|| String::from_utf8_lossy(&line[..line.len().min(300)]).into_owned())
}
