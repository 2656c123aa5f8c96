//! S3, and what speaks its protocol.
//!
//! [`S3Url`] says where; [`Bucket`] makes the requests that an archive needs, each with its own retries; [`Failure`] says what a store
//! meant by its refusal; [`probe`] finds out which checksums a store truly checks.
//!
//! The protocol is that of the Amazon S3 API Reference, version 2006-03-01.

mod bucket;
pub mod check;
pub mod checksum;
mod client;
mod failure;
pub mod gc;
pub mod probe;
mod retry;
mod url;

pub use bucket::{Body, Bucket, Dress, Head, Listed, PartTag, Put, Upload};
pub use checksum::{Kind, Sum};
pub use failure::{Class, Failure};
pub use retry::Patience;
pub use url::{ChecksumChoice, Keys, S3Url};
