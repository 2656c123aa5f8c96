//! Checksums that go along with stored bytes, as headers over a whole buffered part: no trailers, which many stores do not take.
//!
//! CRC64NVME is S3's own checksum of whole objects: those of the parts combine to that of the object, so one number says whether the store holds
//! what was read, however it was cut. CRC32C and Content-MD5 are checked part by part.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use crc_fast::CrcAlgorithm;
use md5::{Digest, Md5};

/// A checksum that a store may be asked to check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// `x-amz-checksum-crc64nvme`, over parts and over the whole object.
    Crc64Nvme,
    /// `x-amz-checksum-crc32c`, over parts.
    Crc32c,
    /// `Content-MD5`, over parts.
    Md5,
    /// Nothing is sent.
    None,
}

impl Kind {
    /// From the best to none: the order in which a store is asked.
    pub const LADDER: [Self; 3] = [Self::Crc64Nvme, Self::Crc32c, Self::Md5];

    /// The word of the command line and of the manifest.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Crc64Nvme => "crc64nvme",
            Self::Crc32c => "crc32c",
            Self::Md5 => "md5",
            Self::None => "none",
        }
    }
}

/// A checksum of some bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sum {
    /// Which.
    pub kind: Kind,
    /// In base64, as the header has it; empty for [`Kind::None`].
    pub value: String,
}

impl Sum {
    /// The checksum of `data`.
    pub fn of(kind: Kind, data: &[u8]) -> Self {
        let value = match kind {
            Kind::Crc64Nvme => return Self::crc64(Crc64::of(data).value),
            Kind::Crc32c => {
                let crc = crc_fast::checksum(CrcAlgorithm::Crc32Iscsi, data).to_be_bytes();
                STANDARD.encode(&crc[4..])
            }
            Kind::Md5 => STANDARD.encode(Md5::digest(data)),
            Kind::None => String::new(),
        };
        Self { kind, value }
    }

    /// A CRC64NVME that is already known.
    pub fn crc64(value: u64) -> Self {
        Self { kind: Kind::Crc64Nvme, value: STANDARD.encode(value.to_be_bytes()) }
    }

    /// The same kind with another value: what a store that checks must refuse.
    #[must_use]
    pub fn wrong(&self) -> Self {
        let mut bytes = STANDARD.decode(&self.value).unwrap_or_default();
        for byte in &mut bytes {
            *byte ^= 0xA5;
        }
        Self { kind: self.kind, value: STANDARD.encode(bytes) }
    }

    /// Whether `etag` is this MD5, as it is of an object that was put in one piece and not encrypted with KMS.
    pub fn is_etag(&self, etag: &str) -> bool {
        self.kind == Kind::Md5 && etag.trim_matches('"').eq_ignore_ascii_case(&self.hex())
    }

    /// An MD5 as an ETag has it.
    pub(crate) fn hex(&self) -> String {
        use std::fmt::Write;
        let bytes = STANDARD.decode(&self.value).unwrap_or_default();
        bytes.iter().fold(String::new(), |mut hex, byte| {
            write!(hex, "{byte:02x}").expect("a string takes everything");
            hex
        })
    }
}

/// A CRC64NVME with the length of what it is over, so that it can be combined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Crc64 {
    /// The checksum.
    pub value: u64,
    /// Bytes.
    pub bytes: u64,
}

impl Crc64 {
    /// That of `data`.
    pub fn of(data: &[u8]) -> Self {
        Self { value: crc_fast::checksum(CrcAlgorithm::Crc64Nvme, data), bytes: data.len() as u64 }
    }

    /// That of what this is over followed by what `next` is over.
    #[must_use]
    pub fn then(self, next: Self) -> Self {
        if self.bytes == 0 {
            return next;
        }
        Self {
            value: crc_fast::checksum_combine(CrcAlgorithm::Crc64Nvme, self.value, next.value, next.bytes),
            bytes: self.bytes + next.bytes,
        }
    }

    /// In the form of the header.
    pub fn sum(self) -> Sum {
        Sum::crc64(self.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers() {
        // The check values of the CRC catalogue for "123456789", and RFC 1321's for the empty string.
        assert_eq!(Crc64::of(b"123456789").value, 0xae8b_1486_0a79_9888);
        assert_eq!(Sum::of(Kind::Crc32c, b"123456789").value, STANDARD.encode(0xe306_9283_u32.to_be_bytes()));
        assert_eq!(Sum::of(Kind::Md5, b"").hex(), "d41d8cd98f00b204e9800998ecf8427e");
    }

    #[test]
    fn parts_combine_to_the_whole() {
        let data: Vec<u8> = (0..100_000_u32).map(|i| (i * 31 % 251) as u8).collect();
        for cut in [0, 1, 777, 50_000, 99_999, 100_000] {
            let (a, b) = data.split_at(cut);
            assert_eq!(Crc64::of(a).then(Crc64::of(b)), Crc64::of(&data), "cut at {cut}");
        }
    }

    #[test]
    fn a_wrong_sum_is_another_of_the_same_form() {
        for kind in Kind::LADDER {
            let sum = Sum::of(kind, b"x");
            assert_ne!(sum.wrong(), sum);
            assert_eq!(sum.wrong().value.len(), sum.value.len());
        }
    }
}
