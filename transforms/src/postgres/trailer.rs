//! Does the dump end as its maker ends it?
//!
//! `pg_dump` closes a dump with a comment of three lines and an empty line; since the 2025 security releases an
//! `\unrestrict KEY` line and another empty line follow it. `pg_dumpall` puts whole dumps of databases into one
//! stream and closes with a comment of its own, so which end is due depends on how the stream began. The comparison
//! goes to the last byte: every proper prefix of a dump fails it.

use pipeline::{Error, Result};

/// Bytes kept from the end of what stands between statements: the longest trailer and a key.
const TAIL: usize = 1024;
/// Bytes kept from the beginning of the stream, before its first statement.
const HEAD: usize = 1024;
/// psql takes any key; the clients make 63 characters.
const KEY_LIMIT: usize = 256;

const DATABASE: &[u8] = b"--\n-- PostgreSQL database dump complete\n--\n\n";
const CLUSTER: &[u8] = b"--\n-- PostgreSQL database cluster dump complete\n--\n\n";

/// Watches what stands between statements.
#[derive(Debug, Default)]
pub(super) struct Trailer {
    head: Vec<u8>,
    head_done: bool,
    gap: Vec<u8>,
    key: Option<Vec<u8>>,
}

impl Trailer {
    /// Takes white space, comments and commands between statements.
    pub(super) fn gap(&mut self, bytes: &[u8]) {
        if !self.head_done {
            let room = HEAD.saturating_sub(self.head.len());
            self.head.extend_from_slice(&bytes[..bytes.len().min(room)]);
        }
        let bytes = &bytes[bytes.len().saturating_sub(TAIL)..];
        if self.gap.len() + bytes.len() > 2 * TAIL {
            self.gap.drain(..self.gap.len() - TAIL);
        }
        self.gap.extend_from_slice(bytes);
    }

    /// A statement or rows came.
    pub(super) fn interrupted(&mut self) {
        self.head_done = true;
        self.gap.clear();
    }

    /// `\restrict KEY` came: the same key must end the dump.
    pub(super) fn restricted(&mut self, key: &[u8]) {
        self.key = Some(key[..key.len().min(KEY_LIMIT)].to_vec());
    }

    /// Fails unless the stream of `bytes` bytes may end here.
    pub(super) fn check(&self, bytes: u64) -> Result<()> {
        let gap = without_carriage_returns(&self.gap);
        let head = without_carriage_returns(&self.head);
        let opens = |line: &[u8]| head.split(|b| *b == b'\n').any(|l| l == line);
        let whole = if opens(b"-- PostgreSQL database cluster dump") {
            gap.ends_with(CLUSTER)
        } else if opens(b"-- PostgreSQL database dump") {
            gap.ends_with(&self.database_end())
        } else {
            // Comments before the header, or a stream put together by hand: either end will do.
            gap.ends_with(CLUSTER) || gap.ends_with(&self.database_end())
        };
        if whole {
            return Ok(());
        }
        let what = if bytes == 0 { "the dump is empty" } else { "the dump has no end mark" };
        Err(Error::truncated(what).with("offset", bytes).hint(
            "pg_dump and pg_dumpall close a dump with `-- PostgreSQL database dump complete`; this one was cut off, \
             although its last statement may look whole: make it again and look at the client's exit status",
        ).hint("--no-trailer accepts text that was not made by a dump client"))
    }

    fn database_end(&self) -> Vec<u8> {
        let mut end = DATABASE.to_vec();
        if let Some(key) = &self.key {
            end.extend_from_slice(b"\\unrestrict ");
            end.extend_from_slice(key);
            end.extend_from_slice(b"\n\n");
        }
        end
    }
}

/// A client on Windows writes line ends of two bytes.
fn without_carriage_returns(bytes: &[u8]) -> Vec<u8> {
    let ends_line = |at: usize| bytes.get(at + 1) == Some(&b'\n');
    bytes.iter().enumerate().filter(|(at, b)| **b != b'\r' || !ends_line(*at)).map(|(_, b)| *b).collect()
}
