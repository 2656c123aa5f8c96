//! Bits into bytes, lowest first: RFC 1951, section 3.1.1.

/// A growing buffer that takes bits.
#[derive(Debug, Default)]
pub(super) struct Bits {
    /// What was written, and room behind it.
    bytes: Vec<u8>,
    written: usize,
    /// Bits that are not in `bytes` yet, lowest first; fewer than 8 after a flush.
    held: u64,
    count: u32,
}

impl Bits {
    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        (self.written, self.held, self.count) = (0, 0, 0);
    }

    /// Makes room for so many bytes more.
    pub(super) fn reserve(&mut self, more: usize) {
        let want = self.written + more + 8;
        if self.bytes.len() < want {
            self.bytes.resize(want, 0);
        }
    }

    /// Holds `count` more bits; at most 56 may be held between two flushes.
    #[inline]
    pub(super) fn hold(&mut self, bits: u64, count: u32) {
        self.held |= bits << self.count;
        self.count += count;
    }

    /// Writes out the whole bytes that are held, into room that was reserved.
    #[inline]
    pub(super) fn flush(&mut self) {
        self.bytes[self.written..self.written + 8].copy_from_slice(&self.held.to_le_bytes());
        self.written += (self.count / 8) as usize;
        self.held >>= self.count & !7;
        self.count &= 7;
    }

    /// Holds bits and writes them out.
    pub(super) fn put(&mut self, bits: u64, count: u32) {
        self.hold(bits, count);
        self.flush();
    }

    /// Fills up to a byte border with zeros.
    pub(super) fn align(&mut self) {
        self.count = self.count.next_multiple_of(8);
        self.flush();
    }

    /// Appends bytes; only at a byte border.
    pub(super) fn append(&mut self, bytes: &[u8]) {
        debug_assert_eq!(self.count, 0, "not at a byte border");
        self.bytes[self.written..self.written + bytes.len()].copy_from_slice(bytes);
        self.written += bytes.len();
    }

    /// What was written.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.written]
    }
}
