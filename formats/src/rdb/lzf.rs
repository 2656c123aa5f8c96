//! LZF decompression in bounded memory.
//!
//! A compressed string names its plain size, which may be anything up to 2^64; the data decide. Output grows only as
//! input arrives (at most 264 bytes out of three), stops at the declared size, and references reach back 8 KiB, so a
//! string of any size streams through a window of that size.
//!
//! Format: control byte below 32: so many literals plus one follow. Otherwise its top three bits are a length
//! (7: one more byte follows to add) and the low five with the next byte a distance; length + 2 bytes are repeated
//! from distance + 1 back.

use super::error::Problem;

/// How far a reference can reach back.
const WINDOW: usize = 8192;
/// Output is handed on when this much has gathered behind the window.
const PIECE: usize = 64 * 1024;

const SHORT: Problem = Problem::Corrupt("LZF data that give fewer bytes than they declare");
const LONG: Problem = Problem::Corrupt("LZF data that give more bytes than they declare");
const FAR: Problem = Problem::Corrupt("LZF reference to before the start");

/// A resumable decompressor. Its buffer is reused from string to string.
#[derive(Debug, Default)]
pub(crate) struct Inflate {
    /// Already handed on: `buf[..handed]`; the window is the last 8 KiB of it.
    buf: Vec<u8>,
    handed: usize,
    /// Bytes still to be made.
    left: u64,
    literals: usize,
    /// The bytes of a reference that the input cut.
    cut: [u8; 2],
    cut_len: usize,
}

impl Inflate {
    pub(crate) fn begin(&mut self, plain: u64) {
        self.buf.clear();
        self.handed = 0;
        self.left = plain;
        self.literals = 0;
        self.cut_len = 0;
    }

    fn owe(&mut self, len: usize) -> Result<(), Problem> {
        self.left = self.left.checked_sub(len as u64).ok_or(LONG)?;
        Ok(())
    }

    /// Takes compressed bytes and hands plain ones to `out`, with true when they are the last.
    pub(crate) fn push<E>(
        &mut self,
        mut input: &[u8],
        last: bool,
        bad: impl Fn(Problem) -> E,
        mut out: impl FnMut(&[u8], bool) -> Result<(), E>,
    ) -> Result<(), E> {
        loop {
            if self.buf.len() - self.handed >= PIECE {
                out(&self.buf[self.handed..], false)?;
                let keep = self.buf.len() - WINDOW;
                self.buf.copy_within(keep.., 0);
                self.buf.truncate(WINDOW);
                self.handed = WINDOW;
            }
            if self.literals > 0 {
                let len = self.literals.min(input.len());
                if len == 0 {
                    break;
                }
                self.buf.extend_from_slice(&input[..len]);
                input = &input[len..];
                self.literals -= len;
                continue;
            }
            let Some((&next, rest)) = input.split_first() else { break };
            input = rest;
            let control = if self.cut_len == 0 { next } else { self.cut[0] };
            if control < 32 {
                self.literals = usize::from(control) + 1;
                self.owe(self.literals).map_err(&bad)?;
                continue;
            }
            let needed = if control >> 5 == 7 { 3 } else { 2 };
            if self.cut_len + 1 < needed {
                self.cut[self.cut_len] = next;
                self.cut_len += 1;
                continue;
            }
            let extra = if needed == 3 { usize::from(self.cut[1]) } else { 0 };
            self.cut_len = 0;
            let len = usize::from(control >> 5) + extra + 2;
            let distance = (usize::from(control & 31) << 8 | usize::from(next)) + 1;
            self.owe(len).map_err(&bad)?;
            repeat(&mut self.buf, distance, len).map_err(&bad)?;
        }
        if last {
            if self.left > 0 || self.literals > 0 || self.cut_len > 0 {
                return Err(bad(SHORT));
            }
            out(&self.buf[self.handed..], true)?;
        }
        Ok(())
    }
}

/// Appends `len` bytes from `distance` back; they may overlap what is being appended.
#[inline]
fn repeat(out: &mut Vec<u8>, distance: usize, len: usize) -> Result<(), Problem> {
    let start = out.len().checked_sub(distance).ok_or(FAR)?;
    let mut left = len;
    while left > 0 {
        // What was appended continues the pattern from `start`, so each piece may be as long as all before it.
        let piece = left.min(out.len() - start);
        out.extend_from_within(start..start + piece);
        left -= piece;
    }
    Ok(())
}

/// Decompresses a whole string into `out`.
pub(crate) fn decompress(stored: &[u8], plain: u64, out: &mut Vec<u8>) -> Result<(), Problem> {
    out.clear();
    let mut input = stored;
    // Every byte is checked against the declared size before it is made.
    let room =
        |out: &Vec<u8>, len: usize| if out.len() as u64 + len as u64 > plain { Err(LONG) } else { Ok(()) };
    while let Some((&control, rest)) = input.split_first() {
        if control < 32 {
            let len = usize::from(control) + 1;
            let Some(literals) = rest.get(..len) else { return Err(SHORT) };
            room(out, len)?;
            out.extend_from_slice(literals);
            input = &rest[len..];
            continue;
        }
        let (len, low, after) = match (control >> 5, rest) {
            (7, [extra, low, after @ ..]) => (usize::from(*extra) + 9, low, after),
            (1..=6, [low, after @ ..]) => (usize::from(control >> 5) + 2, low, after),
            _ => return Err(SHORT),
        };
        let distance = (usize::from(control & 31) << 8 | usize::from(*low)) + 1;
        room(out, len)?;
        repeat(out, distance, len)?;
        input = after;
    }
    if out.len() as u64 == plain { Ok(()) } else { Err(SHORT) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(stored: &[u8], plain: u64, piece: usize) -> Result<Vec<u8>, Problem> {
        let mut inflate = Inflate::default();
        let mut all = Vec::new();
        let mut ended = false;
        inflate.begin(plain);
        let mut pieces = stored.chunks(piece.max(1)).peekable();
        if pieces.peek().is_none() {
            inflate.push(
                &[],
                true,
                |p| p,
                |data, last| {
                    all.extend_from_slice(data);
                    ended |= last;
                    Ok(())
                },
            )?;
        }
        while let Some(input) = pieces.next() {
            let last = pieces.peek().is_none();
            inflate.push(
                input,
                last,
                |p| p,
                |data, last| {
                    assert!(data.len() <= PIECE + 264, "bounded");
                    all.extend_from_slice(data);
                    ended |= last;
                    Ok(())
                },
            )?;
            assert!(inflate.buf.capacity() <= 4 * PIECE);
        }
        assert!(ended);
        Ok(all)
    }

    fn both(stored: &[u8], plain: u64) -> Result<Vec<u8>, Problem> {
        let mut out = Vec::new();
        let whole = decompress(stored, plain, &mut out).map(|()| out);
        for piece in [1, 2, 3, 7, stored.len().max(1)] {
            let streamed = stream(stored, plain, piece);
            assert_eq!(streamed.as_ref().ok(), whole.as_ref().ok(), "pieces of {piece}");
            assert_eq!(streamed.is_err(), whole.is_err());
        }
        whole
    }

    #[test]
    fn literals_and_references() {
        assert_eq!(both(b"\x02abc", 3).unwrap(), b"abc");
        assert_eq!(both(b"\x00a\x20\x00", 4).unwrap(), b"aaaa");
        assert_eq!(both(b"\x01ab\xe0\x09\x01", 20).unwrap(), b"abababababababababab");
        assert_eq!(both(b"\x02abc\x60\x02\x00!", 9).unwrap(), b"abcabcab!");
        assert_eq!(both(b"", 0).unwrap(), b"");
    }

    #[test]
    fn bad_data_are_refused() {
        for (stored, plain) in [
            (&b"\x02abc"[..], 2),
            (b"\x02abc", 4),
            (b"\x02ab", 3),
            (b"\x20\x00", 3),
            (b"\x00a\x20\x01", 4),
            (b"\x00a\xe0\x01", 11),
            (b"\x00a\x20", 4),
            (b"", 1),
            (b"\x00a", u64::MAX),
        ] {
            assert!(both(stored, plain).is_err(), "{}", stored.escape_ascii());
        }
    }

    #[test]
    fn a_bomb_streams_through_a_window() {
        // 100 MB out of 1.1 MB, and the declared size says 2^60.
        let mut stored = b"\x00a".to_vec();
        for _ in 0..380_000 {
            stored.extend_from_slice(b"\xe0\xff\x00");
        }
        let plain = 1 + 380_000 * 264;
        let mut made = 0_u64;
        let mut inflate = Inflate::default();
        inflate.begin(plain);
        inflate
            .push(
                &stored,
                true,
                |p| p,
                |data, _| {
                    made += data.len() as u64;
                    assert!(data.iter().all(|byte| *byte == b'a'));
                    Ok(())
                },
            )
            .unwrap();
        assert_eq!(made, plain);
        assert!(inflate.buf.capacity() <= 4 * PIECE);
        inflate.begin(1 << 60);
        assert!(inflate.push(&stored, true, |p| p, |_, _| Ok(())).is_err());
    }
}
