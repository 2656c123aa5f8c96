//! A push parser that follows a tar stream from header to header, to know that it is whole.
//!
//! It reads what POSIX.1-2001 (ustar and pax) and GNU tar write: octal and base-256 sizes, pax `size` records, GNU long names, and the extra
//! header blocks of GNU sparse files. File contents are skipped by length and never held. A tar stream has no total length and no checksum over
//! contents; its end is two blocks of zeros, after which only zeros (record padding) may come.

/// Why a stream is no whole tar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TarError {
    /// A header's checksum is wrong, or its fields cannot be read.
    Damaged {
        /// Offset in bytes of the header block.
        offset: u64,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The stream ended before its two zero blocks.
    Truncated {
        /// Length in bytes of what there was.
        offset: u64,
        /// Where it ended.
        within: &'static str,
    },
}

impl std::fmt::Display for TarError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Damaged { offset, what } => {
                write!(f, "the tar header at offset {offset} is damaged: {what}")
            }
            Self::Truncated { offset, within } => {
                write!(f, "the tar stream ends at offset {offset}, {within}")
            }
        }
    }
}

impl std::error::Error for TarError {}

/// What was counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TarCounts {
    /// Regular files, hard links included.
    pub files: u64,
    /// Directories.
    pub directories: u64,
    /// Symbolic links, devices and the rest.
    pub others: u64,
    /// Bytes of file contents as stored.
    pub content_bytes: u64,
}

const BLOCK: usize = 512;
/// pax records that matter here are short; a longer extension is skipped, not held.
const PAX_MAX: u64 = 1 << 20;

#[derive(Debug)]
enum State {
    /// Collecting a header block.
    Header,
    /// Collecting an extra header of a GNU sparse file; contents of this length follow.
    Sparse { then: u64 },
    /// Skipping contents and their padding.
    Skip { left: u64 },
    /// Collecting the records of a pax header; `left` includes padding.
    Pax { length: usize, left: u64 },
    /// One zero block was seen.
    Half,
    /// Both zero blocks were seen.
    End,
}

/// The parser. Push every byte, then [`TarScanner::finish`].
#[derive(Debug)]
pub struct TarScanner {
    state: State,
    held: Vec<u8>,
    offset: u64,
    pax_size: Option<u64>,
    counts: TarCounts,
}

impl Default for TarScanner {
    fn default() -> Self {
        Self {
            state: State::Header,
            held: Vec::new(),
            offset: 0,
            pax_size: None,
            counts: TarCounts::default(),
        }
    }
}

impl TarScanner {
    /// Takes the next bytes.
    pub fn push(&mut self, mut input: &[u8]) -> Result<(), TarError> {
        while !input.is_empty() {
            let taken = match &mut self.state {
                State::Skip { left } => {
                    let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len());
                    *left -= taken as u64;
                    if *left == 0 {
                        self.state = State::Header;
                    }
                    taken
                }
                State::Pax { length, left } => {
                    let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len());
                    let wanted = length.saturating_sub(self.held.len()).min(taken);
                    self.held.extend_from_slice(&input[..wanted]);
                    *left -= taken as u64;
                    if *left == 0 {
                        self.pax_size = pax_size(&self.held).or(self.pax_size);
                        self.held.clear();
                        self.state = State::Header;
                    }
                    taken
                }
                State::End => {
                    if let Some(at) = input.iter().position(|&b| b != 0) {
                        let offset = self.offset + at as u64;
                        return Err(TarError::Damaged {
                            offset,
                            what: "bytes follow the end of the archive",
                        });
                    }
                    input.len()
                }
                State::Header | State::Sparse { .. } | State::Half => {
                    let taken = (BLOCK - self.held.len()).min(input.len());
                    self.held.extend_from_slice(&input[..taken]);
                    if self.held.len() == BLOCK {
                        let start = self.offset + taken as u64 - BLOCK as u64;
                        let block = std::mem::take(&mut self.held);
                        self.block(&block, start)?;
                    }
                    taken
                }
            };
            self.offset += taken as u64;
            input = &input[taken..];
        }
        Ok(())
    }

    /// The input is at its end: was that the archive's end?
    pub fn finish(self) -> Result<TarCounts, TarError> {
        let within = match self.state {
            State::End => return Ok(self.counts),
            State::Half => "between its two end blocks",
            State::Header if self.held.is_empty() => "without its two end blocks",
            State::Header | State::Sparse { .. } => "within a header",
            State::Skip { .. } => "within a file",
            State::Pax { .. } => "within an extended header",
        };
        Err(TarError::Truncated { offset: self.offset, within })
    }

    fn block(&mut self, block: &[u8], offset: u64) -> Result<(), TarError> {
        let damaged = |what| TarError::Damaged { offset, what };
        if let State::Sparse { then } = self.state {
            // Byte 504 of an extension says whether another one follows.
            self.state = if block[504] == 0 { skip(then) } else { State::Sparse { then } };
            return Ok(());
        }
        if block.iter().all(|&b| b == 0) {
            self.state = if matches!(self.state, State::Half) { State::End } else { State::Half };
            return Ok(());
        }
        if matches!(self.state, State::Half) {
            return Err(damaged("a single zero block stands between entries"));
        }
        let stored = number(&block[148..156]).ok_or_else(|| damaged("its checksum is no number"))?;
        let sum = |signed: bool| -> i64 {
            let byte = |(at, &b): (usize, &u8)| match at {
                148..156 => 32,
                // Ancient tars summed signed characters.
                _ if signed => i64::from(i8::from_ne_bytes([b])),
                _ => i64::from(b),
            };
            block.iter().enumerate().map(byte).sum()
        };
        let stored = i64::try_from(stored).map_err(|_| damaged("its checksum is no number"))?;
        if stored != sum(false) && stored != sum(true) {
            return Err(damaged("its checksum is wrong"));
        }
        let field = number(&block[124..136]).ok_or_else(|| damaged("its size is no number"))?;
        let kind = block[156];
        match kind {
            b'x' | b'g' => {
                let length = usize::try_from(field.min(PAX_MAX)).unwrap_or(0);
                let left = padded(field).ok_or_else(|| damaged("its size is too large"))?;
                self.state = if left == 0 { State::Header } else { State::Pax { length, left } };
                return Ok(());
            }
            b'L' | b'K' => {
                self.state = skip(padded(field).ok_or_else(|| damaged("its size is too large"))?);
                return Ok(());
            }
            _ => {}
        }
        // Links, devices and directories have no contents, whatever their size field says.
        let size = if matches!(kind, b'1'..=b'6') { 0 } else { self.pax_size.unwrap_or(field) };
        self.pax_size = None;
        match kind {
            0 | b'0' | b'1' | b'7' | b'S' => self.counts.files += 1,
            b'5' => self.counts.directories += 1,
            _ => self.counts.others += 1,
        }
        self.counts.content_bytes += size;
        let left = padded(size).ok_or_else(|| damaged("its size is too large"))?;
        // Byte 482 of a GNU sparse header says whether extensions follow.
        self.state = if kind == b'S' && block[482] != 0 { State::Sparse { then: left } } else { skip(left) };
        Ok(())
    }
}

fn skip(left: u64) -> State {
    if left == 0 { State::Header } else { State::Skip { left } }
}

fn padded(size: u64) -> Option<u64> {
    size.checked_next_multiple_of(BLOCK as u64)
}

/// Octal digits between spaces and NULs, or GNU's base-256 when the first bit is set. `None` for anything else.
fn number(field: &[u8]) -> Option<u64> {
    if field[0] & 0x80 != 0 {
        if field[0] != 0x80 {
            return None;
        }
        return field[1..].iter().try_fold(0u64, |value, &byte| {
            (value >> 56 == 0).then_some(())?;
            Some(value << 8 | u64::from(byte))
        });
    }
    let end = field.iter().rposition(|&b| b != 0 && b != b' ').map_or(0, |at| at + 1);
    let start = field.iter().position(|&b| b != b' ').unwrap_or(0).min(end);
    field[start..end].iter().try_fold(0u64, |value, &byte| {
        (b'0'..=b'7')
            .contains(&byte)
            .then(|| value.checked_mul(8)?.checked_add(u64::from(byte - b'0')))
            .flatten()
    })
}

/// The `size` record of a pax header: records are `LENGTH KEY=VALUE\n`, the length counting itself.
fn pax_size(mut records: &[u8]) -> Option<u64> {
    let mut found = None;
    while let Some(space) = records.iter().position(|&b| b == b' ') {
        let length: usize = std::str::from_utf8(&records[..space]).ok()?.parse().ok()?;
        let record = records.get(space + 1..length.checked_sub(1)?)?;
        if let Some(value) = record.strip_prefix(b"size=") {
            found = std::str::from_utf8(value).ok()?.parse().ok();
        }
        records = records.get(length..)?;
    }
    found
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn header(name: &str, size: &[u8], kind: u8) -> Vec<u8> {
        let mut block = vec![0; BLOCK];
        block[..name.len()].copy_from_slice(name.as_bytes());
        block[124..124 + size.len()].copy_from_slice(size);
        block[156] = kind;
        block[257..263].copy_from_slice(b"ustar\0");
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|&b| u32::from(b)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        block
    }

    fn file(name: &str, data: &[u8]) -> Vec<u8> {
        let mut entry = header(name, format!("{:011o}\0", data.len()).as_bytes(), b'0');
        entry.extend_from_slice(data);
        entry.resize(entry.len().next_multiple_of(BLOCK), 0);
        entry
    }

    fn sample() -> Vec<u8> {
        let mut tar = header("dir/", b"00000000000\0", b'5');
        tar.extend(file("dir/a", b"hello"));
        // A pax header whose size record overrides the header's own field.
        let record = b"13 size=1500\n";
        let mut pax = header("pax", b"00000000015\0", b'x');
        pax.extend_from_slice(record);
        pax.resize(pax.len().next_multiple_of(BLOCK), 0);
        tar.extend(pax);
        tar.extend(header("big", b"00000000000\0", b'0'));
        tar.extend(vec![b'z'; 1536]);
        // Base-256, and contents that look like the end of an archive.
        let mut size = vec![0x80; 1];
        size.extend([0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0]);
        tar.extend(header("zeros", &size, b'0'));
        tar.extend(vec![0; 1024]);
        tar.extend(header("link", b"00000000777\0", b'2'));
        tar.extend(vec![0; 1024]);
        tar
    }

    fn scan(tar: &[u8], cut: usize) -> Result<TarCounts, TarError> {
        let mut scanner = TarScanner::default();
        for piece in tar.chunks(cut) {
            scanner.push(piece)?;
        }
        scanner.finish()
    }

    #[test]
    fn whole_whatever_the_cutting() {
        for cut in [1, 7, 511, 512, 513, 100_000] {
            let mut tar = sample();
            let counts = scan(&tar, cut).unwrap();
            assert_eq!(counts.content_bytes, 5 + 1500 + 1024);
            assert_eq!((counts.files, counts.directories, counts.others), (3, 1, 1), "cut {cut}");
            tar.extend(vec![0; 8192]);
            assert_eq!(scan(&tar, cut).unwrap(), counts, "record padding");
        }
    }

    #[test]
    fn every_prefix_is_found_out() {
        let tar = sample();
        for end in 0..tar.len() {
            assert!(
                matches!(scan(&tar[..end], 100), Err(TarError::Truncated { offset, .. }) if offset == end as u64),
                "{end} of {}",
                tar.len()
            );
        }
    }

    #[test]
    fn a_flipped_bit_in_a_header_is_found_out() {
        let tar = sample();
        for at in (0..BLOCK).chain(BLOCK..2 * BLOCK) {
            let mut damaged = tar.clone();
            damaged[at] ^= 0x40;
            assert!(scan(&damaged, 4096).is_err(), "byte {at}");
        }
    }

    #[test]
    fn hostile_sizes_neither_panic_nor_allocate() {
        for size in [
            &b"77777777777\0"[..],
            b"\x80\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
            b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
            b"99999999999\0",
        ] {
            for kind in [b'0', b'x', b'L', b'S'] {
                let mut tar = header("x", size, kind);
                tar.extend(vec![0; 4096]);
                assert!(scan(&tar, 512).is_err());
            }
        }
    }
}
