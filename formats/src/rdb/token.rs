//! The small encodings that everything else is made of: lengths, strings' headers, module identifiers.
//!
//! Reading works on a slice and can stop in two ways: the slice ends too early (then it says how long it would
//! have to be, never asking for a byte beyond the token) or the bytes are wrong. Both the record heads and the
//! value skipper build on that, which is what makes any cutting of the input the same.

use super::error::Problem;

/// Why a token could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The slice must have at least this many bytes.
    Need(usize),
    /// Wrong bytes, at this position in the slice. Boxed: every token is read through a `Result` with this in it.
    Bad(Box<(Problem, usize)>),
}

impl Stop {
    #[cold]
    pub(crate) fn bad(problem: Problem, at: usize) -> Self {
        Self::Bad(Box::new((problem, at)))
    }
}

/// The result of reading a token.
pub(crate) type Read<T> = Result<T, Stop>;

/// What the first bytes of a string say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StrHead {
    /// So many bytes follow, as they are.
    Raw(u64),
    /// An integer, whose decimal text is the string. Nothing follows.
    Int(i32),
    /// `stored` bytes follow that decompress to `plain` ones.
    Lzf { stored: u64, plain: u64 },
}

/// A string as it stands in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RawStr<'a> {
    /// Its bytes.
    Raw(&'a [u8]),
    /// The integer whose decimal text it is.
    Int(i32),
    /// Compressed with LZF.
    Lzf {
        /// The compressed bytes.
        stored: &'a [u8],
        /// How many bytes it has when decompressed.
        plain: u64,
    },
}

/// Where a string that begins at `pos` ends, if it lies in `input` and its sizes are of the short forms: the bulk of
/// any file. None means that it must be read with care, not that it is wrong.
#[inline]
pub(crate) fn quick_string(input: &[u8], pos: usize) -> Option<usize> {
    let end = match quick_len(input, pos) {
        Some((len, at)) => at + len,
        None => match *input.get(pos)? {
            0xc0 => pos + 2,
            0xc1 => pos + 3,
            0xc2 => pos + 5,
            0xc3 => {
                let (stored, at) = quick_len(input, pos + 1)?;
                let (_, at) = quick_len(input, at)?;
                at + stored
            }
            _ => return None,
        },
    };
    (end <= input.len()).then_some(end)
}

/// The head of a string and its stored bytes, when `input` is exactly that string and in one of the common forms.
#[inline]
pub(crate) fn quick_head(input: &[u8]) -> Option<(StrHead, &[u8])> {
    if let Some((len, at)) = quick_len(input, 0) {
        return (at + len == input.len()).then(|| (StrHead::Raw(len as u64), &input[at..]));
    }
    match *input {
        [0xc0, a] => Some((StrHead::Int(i32::from(i8::from_le_bytes([a]))), &[])),
        [0xc1, a, b] => Some((StrHead::Int(i32::from(i16::from_le_bytes([a, b]))), &[])),
        [0xc2, a, b, c, d] => Some((StrHead::Int(i32::from_le_bytes([a, b, c, d])), &[])),
        [0xc3, ..] => {
            let (stored, at) = quick_len(input, 1)?;
            let (plain, at) = quick_len(input, at)?;
            let head = StrHead::Lzf { stored: stored as u64, plain: plain as u64 };
            (at + stored == input.len()).then(|| (head, &input[at..]))
        }
        _ => None,
    }
}

/// A length of one or two bytes at `pos`, and the position behind it. Which of the two it is changes from string to
/// string, so it is computed and not branched on: a wrong guess would cost more than everything else here.
#[inline]
pub(crate) fn quick_len(input: &[u8], pos: usize) -> Option<(usize, usize)> {
    let [first, second] = *input.get(pos..)?.first_chunk()?;
    if first >= 0x80 {
        return None;
    }
    let wide = usize::from(first >> 6);
    let len = usize::from(first & 0x3f) << (8 * wide) | usize::from(second) & wide.wrapping_neg();
    Some((len, pos + 1 + wide))
}

/// A reading position in a slice.
pub(crate) struct Cursor<'a> {
    buf: &'a [u8],
    pos: usize,
    limit: usize,
}

impl<'a> Cursor<'a> {
    #[inline]
    pub(crate) fn new(buf: &'a [u8], pos: usize) -> Self {
        Self { buf, pos, limit: usize::MAX }
    }

    /// A position that must not go beyond `limit`, however much there is to read: otherwise what is refused would
    /// depend on how the input was cut.
    pub(crate) fn limited(buf: &'a [u8], limit: usize) -> Self {
        Self { buf, pos: 0, limit }
    }

    /// Brings the limit down to `len` bytes from here; answers the one before.
    pub(crate) fn narrow(&mut self, len: usize) -> usize {
        let narrower = self.limit.min(self.pos.saturating_add(len));
        std::mem::replace(&mut self.limit, narrower)
    }

    /// Sets the limit again that [`Cursor::narrow`] answered.
    pub(crate) fn widen(&mut self, limit: usize) {
        self.limit = limit;
    }

    #[cold]
    fn short(&self, end: usize) -> Stop {
        if end > self.limit {
            let (size, limit) = (end as u64, self.limit as u64);
            return Stop::bad(Problem::TooLarge { what: "a record's head", size, limit }, self.pos);
        }
        Stop::Need(end)
    }

    #[inline]
    pub(crate) fn pos(&self) -> usize {
        self.pos
    }

    #[inline]
    pub(crate) fn take(&mut self, len: usize) -> Read<&'a [u8]> {
        let end = self.pos.saturating_add(len);
        match self.buf.get(self.pos..end) {
            Some(bytes) if end <= self.limit => {
                self.pos = end;
                Ok(bytes)
            }
            _ => Err(self.short(end)),
        }
    }

    #[inline]
    pub(crate) fn array<const N: usize>(&mut self) -> Read<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    #[inline]
    pub(crate) fn u8(&mut self) -> Read<u8> {
        match self.buf.get(self.pos) {
            Some(byte) if self.pos < self.limit => {
                self.pos += 1;
                Ok(*byte)
            }
            _ => Err(self.short(self.pos + 1)),
        }
    }

    /// A length, where the special encodings of strings are not allowed.
    #[inline]
    pub(crate) fn len(&mut self) -> Read<u64> {
        let start = self.pos;
        let first = self.u8()?;
        match first {
            0..=0x3f => Ok(u64::from(first)),
            0x40..=0x7f => Ok(u64::from(first & 0x3f) << 8 | u64::from(self.u8()?)),
            0x80 => Ok(u64::from(u32::from_be_bytes(self.array()?))),
            0x81 => Ok(u64::from_be_bytes(self.array()?)),
            _ => Err(Stop::bad(Problem::Corrupt("a length was expected here"), start)),
        }
    }

    /// The head of a string.
    #[inline]
    pub(crate) fn str_head(&mut self) -> Read<StrHead> {
        let start = self.pos;
        let first = match self.buf.get(self.pos) {
            Some(byte) => *byte,
            None => return Err(Stop::Need(start + 1)),
        };
        if first < 0xc0 {
            return Ok(StrHead::Raw(self.len()?));
        }
        self.pos += 1;
        match first {
            0xc0 => Ok(StrHead::Int(i32::from(i8::from_le_bytes(self.array()?)))),
            0xc1 => Ok(StrHead::Int(i32::from(i16::from_le_bytes(self.array()?)))),
            0xc2 => Ok(StrHead::Int(i32::from_le_bytes(self.array()?))),
            0xc3 => {
                let stored = self.len()?;
                Ok(StrHead::Lzf { stored, plain: self.len()? })
            }
            _ => Err(Stop::bad(Problem::Corrupt("unknown encoding of a string"), start)),
        }
    }

    /// A whole string of at most `limit` bytes, stored and plain.
    #[inline]
    pub(crate) fn string(&mut self, what: &'static str, limit: u64) -> Read<RawStr<'a>> {
        let start = self.pos;
        let head = self.str_head()?;
        let size = match head {
            StrHead::Raw(len) => len,
            StrHead::Int(_) => 0,
            StrHead::Lzf { stored, plain } => stored.max(plain),
        };
        if size > limit {
            return Err(Stop::bad(Problem::TooLarge { what, size, limit }, start));
        }
        // The limit bounds both sizes, so a size that does not fit is one that the limit let through: none does.
        let fits = |len: u64| usize::try_from(len).unwrap_or(usize::MAX);
        Ok(match head {
            StrHead::Raw(len) => RawStr::Raw(self.take(fits(len))?),
            StrHead::Int(int) => RawStr::Int(int),
            StrHead::Lzf { stored, plain } => RawStr::Lzf { stored: self.take(fits(stored))?, plain },
        })
    }
}

impl<'a> RawStr<'a> {
    /// The string's bytes, in place or through `scratch`.
    pub fn bytes<'s>(&self, scratch: &'s mut Vec<u8>) -> Result<&'s [u8], Problem>
    where
        'a: 's,
    {
        match self {
            Self::Raw(bytes) => Ok(bytes),
            Self::Int(int) => {
                scratch.clear();
                scratch.extend_from_slice(decimal(i64::from(*int), &mut [0; 20]));
                Ok(scratch)
            }
            Self::Lzf { stored, plain } => {
                super::lzf::decompress(stored, *plain, scratch)?;
                Ok(scratch)
            }
        }
    }
}

/// The decimal text of `int`, in `room`.
pub(crate) fn decimal(int: i64, room: &mut [u8; 20]) -> &[u8] {
    let mut at = room.len();
    let mut rest = int.unsigned_abs();
    loop {
        at -= 1;
        room[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if int < 0 {
        at -= 1;
        room[at] = b'-';
    }
    &room[at..]
}

/// Appends a length in its shortest form.
pub(crate) fn push_len(out: &mut Vec<u8>, len: u64) {
    let [.., second, first] = len.to_be_bytes();
    if len < 0x40 {
        out.push(first);
    } else if len < 0x4000 {
        out.extend_from_slice(&[0x40 | second, first]);
    } else if let Ok(len) = u32::try_from(len) {
        out.push(0x80);
        out.extend_from_slice(&len.to_be_bytes());
    } else {
        out.push(0x81);
        out.extend_from_slice(&len.to_be_bytes());
    }
}

/// Appends a string, uncompressed.
pub(crate) fn push_str(out: &mut Vec<u8>, bytes: &[u8]) {
    push_len(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// The nine-character name in a module's 64-bit identifier, and the version of its encoding.
///
/// Format: <https://redis.io/docs/latest/develop/reference/modules/modules-native-types/>.
pub fn module_name(id: u64) -> (String, u16) {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let letter = |at: u32| ALPHABET[usize::from((id >> (58 - 6 * at)).to_le_bytes()[0] & 63)];
    let name = (0..9).map(letter).map(char::from).collect();
    (name, (id & 0x3ff) as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_round_trip_and_ask_for_exactly_what_is_missing() {
        for len in [0, 1, 63, 64, 16383, 16384, u64::from(u32::MAX), u64::from(u32::MAX) + 1, u64::MAX] {
            let mut bytes = Vec::new();
            push_len(&mut bytes, len);
            assert_eq!(Cursor::new(&bytes, 0).len(), Ok(len));
            for cut in 0..bytes.len() {
                match Cursor::new(&bytes[..cut], 0).len() {
                    Err(Stop::Need(need)) => assert!(need > cut && need <= bytes.len()),
                    other => panic!("{other:?}"),
                }
            }
        }
    }

    #[test]
    fn lengths_do_not_take_string_encodings_or_unassigned_bytes() {
        for byte in (0x82..=0xff_u8).filter(|byte| *byte != 0x81) {
            assert!(
                matches!(Cursor::new(&[byte, 0, 0, 0, 0, 0, 0, 0, 0], 0).len(), Err(Stop::Bad(bad)) if bad.1 == 0)
            );
        }
    }

    #[test]
    fn a_hostile_length_is_refused_before_anything_is_asked_for() {
        let bytes = [0x81, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
        assert!(matches!(
            Cursor::new(&bytes, 0).string("a key", 1 << 20),
            Err(Stop::Bad(bad)) if matches!(*bad, (Problem::TooLarge { size: u64::MAX, .. }, 0))
        ));
        let bytes = [0xc3, 1, 0x81, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0];
        assert!(matches!(Cursor::new(&bytes, 0).string("a key", 1 << 20), Err(Stop::Bad(..))));
    }

    #[test]
    fn decimals() {
        for int in [0, 1, -1, 9, 10, i64::MAX, i64::MIN] {
            assert_eq!(decimal(int, &mut [0; 20]), int.to_string().as_bytes());
        }
    }

    #[test]
    fn module_names() {
        // The identifier of ReJSON's type, whose name is "ReJSON-RL", encoding version 3.
        let id = "ReJSON-RL".bytes().fold(0_u64, |id, byte| {
            let at = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
                .iter()
                .position(|letter| *letter == byte)
                .unwrap();
            id << 6 | at as u64
        }) << 10
            | 3;
        assert_eq!(module_name(id), ("ReJSON-RL".to_owned(), 3));
    }
}
