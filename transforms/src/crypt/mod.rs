//! Encryption in the age format, version 1 (<https://age-encryption.org/v1>), which `age -d` alone opens.
//!
//! It comes behind compression, since what is encrypted does not compress. The format authenticates every 64 KiB and marks the last piece, so a cut,
//! also exactly between two pieces, and every changed bit is an error.

mod decrypt;
mod encrypt;
mod keys;
#[cfg(test)]
mod tests;

pub use decrypt::Decrypt;
pub use encrypt::Encrypt;
pub use keys::{Identities, Recipients};

/// How an encrypted stream begins.
pub const MAGIC: &[u8] = b"age-encryption.org/v1\n";

/// The name of both steps in the manifest.
pub const NAME: &str = "age";

/// What is encrypted at once, and its seal.
const PIECE: usize = (64 << 10) + 16;
