//! The packed forms of small collections: ziplist, listpack, intset, zipmap.
//!
//! Each is an iterator over a slice. Lengths inside are checked against the slice, never allocated; the counts and
//! sizes in the headers are checked against what is really there, since a loader would trust them.

use super::super::error::Problem;

/// An entry: bytes, or an integer whose decimal text they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Entry<'a> {
    Bytes(&'a [u8]),
    Int(i64),
}

type Read<T> = Result<T, Problem>;

fn corrupt<T>(what: &'static str) -> Read<T> {
    Err(Problem::Corrupt(what))
}

struct Reader<'a> {
    rest: &'a [u8],
    short: &'static str,
}

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Read<&'a [u8]> {
        if len > self.rest.len() {
            return corrupt(self.short);
        }
        let (taken, rest) = self.rest.split_at(len);
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Read<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    fn u8(&mut self) -> Read<u8> {
        Ok(self.array::<1>()?[0])
    }

    fn u32(&mut self) -> Read<u32> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn size(&mut self) -> Read<usize> {
        Ok(usize::try_from(self.u32()?).unwrap_or(usize::MAX))
    }

    /// Three bytes, little-endian, signed.
    fn i24(&mut self) -> Read<i64> {
        let [a, b, c] = self.array()?;
        Ok(i64::from(i32::from_le_bytes([0, a, b, c]) >> 8))
    }
}

/// A listpack, as Redis 7 and newer pack.
///
/// Format: <https://github.com/antirez/listpack/blob/master/listpack.md>.
pub(crate) struct Listpack<'a> {
    reader: Reader<'a>,
    declared: u16,
    seen: u64,
}

impl<'a> Listpack<'a> {
    pub(crate) fn new(blob: &'a [u8]) -> Read<Self> {
        let mut reader = Reader { rest: blob, short: "listpack that ends early" };
        if reader.size()? != blob.len() {
            return corrupt("listpack whose size is not the one it declares");
        }
        let declared = u16::from_le_bytes(reader.array()?);
        if blob.last() != Some(&0xff) {
            return corrupt("listpack without its end mark");
        }
        Ok(Self { reader, declared, seen: 0 })
    }

    /// How many entries the header declares; none when there are too many for it.
    pub(crate) fn declared(&self) -> Option<u64> {
        (self.declared != u16::MAX).then_some(u64::from(self.declared))
    }

    /// The forms that most entries have; everything else goes the careful way.
    #[inline]
    pub(crate) fn next(&mut self) -> Read<Option<Entry<'a>>> {
        match *self.reader.rest {
            [small @ 0..=0x7f, 1, ref rest @ ..] => {
                self.reader.rest = rest;
                self.seen += 1;
                Ok(Some(Entry::Int(i64::from(small))))
            }
            [head @ 0x80..=0xbf, ref rest @ ..] => {
                let len = usize::from(head & 0x3f);
                match rest.split_at_checked(len) {
                    Some((bytes, [back, rest @ ..])) if usize::from(*back) == len + 1 => {
                        self.reader.rest = rest;
                        self.seen += 1;
                        Ok(Some(Entry::Bytes(bytes)))
                    }
                    _ => self.next_of_any_form(),
                }
            }
            _ => self.next_of_any_form(),
        }
    }

    fn next_of_any_form(&mut self) -> Read<Option<Entry<'a>>> {
        let before = self.reader.rest.len();
        let first = self.reader.u8()?;
        let r = &mut self.reader;
        let entry = match first {
            0..=0x7f => Entry::Int(i64::from(first)),
            0x80..=0xbf => Entry::Bytes(r.take(usize::from(first & 0x3f))?),
            0xc0..=0xdf => {
                let thirteen = u16::from(first & 0x1f) << 8 | u16::from(r.u8()?);
                Entry::Int(i64::from((thirteen << 3).cast_signed() >> 3))
            }
            0xe0..=0xef => {
                let len = usize::from(first & 0x0f) << 8 | usize::from(r.u8()?);
                Entry::Bytes(r.take(len)?)
            }
            0xf0 => {
                let len = r.size()?;
                Entry::Bytes(r.take(len)?)
            }
            0xf1 => Entry::Int(i64::from(i16::from_le_bytes(r.array()?))),
            0xf2 => Entry::Int(r.i24()?),
            0xf3 => Entry::Int(i64::from(i32::from_le_bytes(r.array()?))),
            0xf4 => Entry::Int(i64::from_le_bytes(r.array()?)),
            0xff if !r.rest.is_empty() => return corrupt("end mark inside a listpack"),
            0xff => {
                return match self.declared() {
                    Some(declared) if declared != self.seen => {
                        corrupt("listpack with another number of entries")
                    }
                    _ => Ok(None),
                };
            }
            _ => return corrupt("unknown encoding in a listpack"),
        };
        let len = before - r.rest.len();
        // The entry's length again, for walking backwards: seven bits a byte, most significant first.
        let back = match len {
            0..=127 => 1,
            // The server's bounds are one below what would fit.
            128..=16_382 => 2,
            16_383..=2_097_150 => 3,
            2_097_151..=268_435_454 => 4,
            _ => 5,
        };
        let backward = r.take(back)?.iter().fold(0_u64, |len, byte| len << 7 | u64::from(byte & 0x7f));
        if backward != len as u64 {
            return corrupt("listpack entry whose lengths differ");
        }
        self.seen += 1;
        Ok(Some(entry))
    }
}

/// A ziplist, as Redis up to 6.2 packs.
pub(crate) struct Ziplist<'a> {
    reader: Reader<'a>,
    declared: u16,
    seen: u64,
    previous: usize,
}

impl<'a> Ziplist<'a> {
    pub(crate) fn new(blob: &'a [u8]) -> Read<Self> {
        let mut reader = Reader { rest: blob, short: "ziplist that ends early" };
        if reader.size()? != blob.len() {
            return corrupt("ziplist whose size is not the one it declares");
        }
        reader.u32()?;
        let declared = u16::from_le_bytes(reader.array()?);
        if blob.last() != Some(&0xff) {
            return corrupt("ziplist without its end mark");
        }
        Ok(Self { reader, declared, seen: 0, previous: 0 })
    }

    pub(crate) fn declared(&self) -> Option<u64> {
        (self.declared != u16::MAX).then_some(u64::from(self.declared))
    }

    pub(crate) fn next(&mut self) -> Read<Option<Entry<'a>>> {
        let before = self.reader.rest.len();
        let r = &mut self.reader;
        let previous = match r.u8()? {
            0xff if !r.rest.is_empty() => return corrupt("end mark inside a ziplist"),
            0xff => {
                return match self.declared() {
                    Some(declared) if declared != self.seen => {
                        corrupt("ziplist with another number of entries")
                    }
                    _ => Ok(None),
                };
            }
            0xfe => r.size()?,
            len => usize::from(len),
        };
        if previous != self.previous {
            return corrupt("ziplist entry that does not follow on the one before");
        }
        let first = r.u8()?;
        let entry = match first {
            0..=0x3f => Entry::Bytes(r.take(usize::from(first))?),
            0x40..=0x7f => {
                let len = usize::from(first & 0x3f) << 8 | usize::from(r.u8()?);
                Entry::Bytes(r.take(len)?)
            }
            0x80 => {
                let len = usize::try_from(u32::from_be_bytes(r.array()?)).unwrap_or(usize::MAX);
                Entry::Bytes(r.take(len)?)
            }
            0xc0 => Entry::Int(i64::from(i16::from_le_bytes(r.array()?))),
            0xd0 => Entry::Int(i64::from(i32::from_le_bytes(r.array()?))),
            0xe0 => Entry::Int(i64::from_le_bytes(r.array()?)),
            0xf0 => Entry::Int(r.i24()?),
            0xfe => Entry::Int(i64::from(i8::from_le_bytes(r.array()?))),
            0xf1..=0xfd => Entry::Int(i64::from(first & 0x0f) - 1),
            _ => return corrupt("unknown encoding in a ziplist"),
        };
        self.previous = before - r.rest.len();
        self.seen += 1;
        Ok(Some(entry))
    }
}

/// Sorted integers of one width.
pub(crate) struct Intset<'a> {
    rest: &'a [u8],
    width: usize,
}

impl<'a> Intset<'a> {
    pub(crate) fn new(blob: &'a [u8]) -> Read<Self> {
        let mut reader = Reader { rest: blob, short: "intset that ends early" };
        let width = reader.size()?;
        if !matches!(width, 2 | 4 | 8) {
            return corrupt("intset of unknown width");
        }
        if reader.size()?.checked_mul(width) != Some(reader.rest.len()) {
            return corrupt("intset whose size is not the one it declares");
        }
        Ok(Self { rest: reader.rest, width })
    }

    pub(crate) fn declared(&self) -> u64 {
        (self.rest.len() / self.width) as u64
    }

    pub(crate) fn next(&mut self) -> Option<i64> {
        let (int, rest) = self.rest.split_at_checked(self.width)?;
        self.rest = rest;
        let mut bytes = [0; 8];
        bytes[8 - self.width..].copy_from_slice(int);
        Some(i64::from_le_bytes(bytes) >> (64 - 8 * self.width))
    }
}

/// Fields and values of a small hash up to Redis 2.4.
pub(crate) struct Zipmap<'a> {
    reader: Reader<'a>,
    declared: u8,
    seen: u64,
}

impl<'a> Zipmap<'a> {
    pub(crate) fn new(blob: &'a [u8]) -> Read<Self> {
        let mut reader = Reader { rest: blob, short: "zipmap that ends early" };
        let declared = reader.u8()?;
        Ok(Self { reader, declared, seen: 0 })
    }

    /// How many pairs; none from 254 on.
    pub(crate) fn declared(&self) -> Option<u64> {
        (self.declared < 254).then_some(u64::from(self.declared))
    }

    fn size(&mut self, first: u8) -> Read<usize> {
        match first {
            254 => self.reader.size(),
            255 => corrupt("end mark inside a zipmap's pair"),
            len => Ok(usize::from(len)),
        }
    }

    pub(crate) fn next(&mut self) -> Read<Option<(&'a [u8], &'a [u8])>> {
        let first = self.reader.u8()?;
        if first == 255 {
            return match self.declared() {
                _ if !self.reader.rest.is_empty() => corrupt("end mark inside a zipmap"),
                Some(declared) if declared != self.seen => corrupt("zipmap with another number of pairs"),
                _ => Ok(None),
            };
        }
        let len = self.size(first)?;
        let field = self.reader.take(len)?;
        let first = self.reader.u8()?;
        let len = self.size(first)?;
        let unused = usize::from(self.reader.u8()?);
        let value = self.reader.take(len)?;
        self.reader.take(unused)?;
        self.seen += 1;
        Ok(Some((field, value)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever the bytes, an answer comes in at most as many steps as there are bytes.
    fn drain(blob: &[u8]) {
        let bound = blob.len() + 1;
        let mut steps = 0;
        let mut count = || {
            steps += 1;
            assert!(steps <= 4 * bound, "no end");
        };
        if let Ok(mut pack) = Listpack::new(blob) {
            while let Ok(Some(_)) = pack.next() {
                count();
            }
        }
        if let Ok(mut pack) = Ziplist::new(blob) {
            while let Ok(Some(_)) = pack.next() {
                count();
            }
        }
        if let Ok(mut pack) = Intset::new(blob) {
            while pack.next().is_some() {
                count();
            }
        }
        if let Ok(mut pack) = Zipmap::new(blob) {
            while let Ok(Some(_)) = pack.next() {
                count();
            }
        }
    }

    #[test]
    fn listpack_entries_of_every_encoding() {
        let mut entries: Vec<u8> = Vec::new();
        let mut add = |bytes: &[u8]| {
            entries.extend_from_slice(bytes);
            entries.push(bytes.len() as u8);
        };
        add(&[0x7f]);
        add(&[0x83, b'a', b'b', b'c']);
        add(&[0xdf, 0xff]);
        add(&[0xd0, 0x00]);
        add(&[0xe0, 0x02, b'x', b'y']);
        add(&[0xf0, 1, 0, 0, 0, b'z']);
        add(&[0xf1, 0x00, 0x80]);
        add(&[0xf2, 0x00, 0x00, 0x80]);
        add(&[0xf3, 0x00, 0x00, 0x00, 0x80]);
        add(&[0xf4, 0, 0, 0, 0, 0, 0, 0, 0x80]);
        let mut blob = ((entries.len() + 7) as u32).to_le_bytes().to_vec();
        blob.extend_from_slice(&10_u16.to_le_bytes());
        blob.extend_from_slice(&entries);
        blob.push(0xff);
        let mut pack = Listpack::new(&blob).unwrap();
        let mut seen = Vec::new();
        while let Some(entry) = pack.next().unwrap() {
            seen.push(entry);
        }
        assert_eq!(
            seen,
            [
                Entry::Int(127),
                Entry::Bytes(b"abc"),
                Entry::Int(-1),
                Entry::Int(-4096),
                Entry::Bytes(b"xy"),
                Entry::Bytes(b"z"),
                Entry::Int(-32768),
                Entry::Int(-8_388_608),
                Entry::Int(i64::from(i32::MIN)),
                Entry::Int(i64::MIN),
            ]
        );
        for at in 0..blob.len() {
            for value in 0..=255 {
                let mut bad = blob.clone();
                bad[at] = value;
                drain(&bad);
            }
            drain(&blob[..at]);
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_the_packs_panic_or_run_on(blob in proptest::collection::vec(proptest::num::u8::ANY, 0..200), fix in proptest::bool::ANY) {
            let mut blob = blob;
            if fix && blob.len() > 8 {
                let size = (blob.len() as u32).to_le_bytes();
                blob[..4].copy_from_slice(&size);
                if let Some(last) = blob.last_mut() {
                    *last = 0xff;
                }
            }
            drain(&blob);
        }
    }
}
