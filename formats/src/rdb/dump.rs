//! Payloads of `DUMP` and `RESTORE`: a type byte, the value, two bytes of version and a CRC64.
//!
//! They have no magic, so the family follows from the number alone: 80 and more is Valkey's.

use super::crc64::Crc64;
use super::error::{Error, Problem, Result};
use super::kind::{Kind, Version};

/// Version and checksum.
const FOOTER: usize = 10;

/// A payload taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Payload<'a> {
    /// The value's type.
    pub kind: Kind,
    /// The value, as it would stand in a file behind the key's name.
    pub value: &'a [u8],
    /// The version in the footer.
    pub version: Version,
}

/// The version that a number without magic means.
pub fn version(number: u16) -> Version {
    if number >= Version::FIRST_VALKEY { Version::valkey(number) } else { Version::redis(number) }
}

/// Takes a payload apart and checks its checksum (zero means that the server computed none).
pub fn read(payload: &[u8]) -> Result<Payload<'_>> {
    let (Some(&byte), Some(footer_at)) =
        (payload.first(), payload.len().checked_sub(FOOTER).filter(|at| *at > 0))
    else {
        return Err(Error::new(Problem::Truncated("inside a DUMP payload's footer"), payload.len() as u64));
    };
    let (body, footer) = payload.split_at(footer_at);
    let mut stored = [0; 8];
    stored.copy_from_slice(&footer[2..]);
    let stored = u64::from_le_bytes(stored);
    let computed = Crc64::of(&payload[..footer_at + 2]);
    if stored != 0 && stored != computed {
        return Err(Error::new(Problem::Checksum { stored, computed }, footer_at as u64 + 2));
    }
    let version = version(u16::from_le_bytes([footer[0], footer[1]]));
    let kind = Kind::of(version, byte).map_err(|problem| Error::new(problem, 0))?;
    Ok(Payload { kind, value: &body[1..], version })
}

/// The footer for a payload given in pieces: the type byte and the value. The version may be lower than the source's
/// as long as it knows the type ([`Kind::since`]), which is what lets an older server take the value.
pub fn footer(version: Version, pieces: &[&[u8]]) -> [u8; FOOTER] {
    let mut crc = Crc64::new();
    let number = version.number.to_le_bytes();
    for piece in pieces {
        crc.update(piece);
    }
    crc.update(&number);
    let mut footer = [0; FOOTER];
    footer[..2].copy_from_slice(&number);
    footer[2..].copy_from_slice(&crc.value().to_le_bytes());
    footer
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `DUMP` of `SET k hello` on Redis 7.0.15.
    const HELLO: &[u8] = b"\x00\x05hello\n\x00cr\xdfve4 \n";

    #[test]
    fn reads_what_a_server_wrote_and_writes_it_again() {
        let payload = read(HELLO).unwrap();
        assert_eq!(payload.value, b"\x05hello");
        assert_eq!(payload.version, Version::redis(10));
        assert_eq!(footer(payload.version, &[&[payload.kind.byte()], payload.value]), HELLO[7..]);
    }

    #[test]
    fn every_flipped_bit_and_every_prefix_is_refused() {
        for at in 0..HELLO.len() {
            for bit in 0..8 {
                let mut bad = HELLO.to_vec();
                bad[at] ^= 1 << bit;
                assert!(read(&bad).is_err(), "byte {at} bit {bit}");
            }
            assert!(read(&HELLO[..at]).is_err(), "cut at {at}");
        }
    }
}
