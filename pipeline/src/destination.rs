//! The contract of everything that bytes go to.

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::context::Context;
use crate::digest::Content;
use crate::error::Result;
use crate::manifest::Manifest;
use crate::source::Format;

/// What a destination is told of a part before its first byte.
#[derive(Debug, Clone, Default)]
pub struct PartHeader {
    /// Path below the archive's root, with the ending of its compression; `None` when the archive is this one stream.
    pub path: Option<String>,
    /// What the part carries, where that is known beforehand.
    pub format: Option<Format>,
    /// Expected stored length in bytes; an estimate.
    pub expected_bytes: Option<u64>,
}

/// What proves that a part arrived.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "proof", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Proof {
    /// Every byte was counted, written and synced to the device.
    Synced,
    /// Every byte was read back from the destination and hashed.
    ReadBack,
    /// The store checked a checksum over the bytes itself.
    StoreChecksum {
        /// Such as `crc64nvme`.
        algorithm: String,
        /// As the store gives it.
        value: String,
    },
    /// A database accepted as many rows as were sent.
    RowsAccepted {
        /// Rows.
        rows: u64,
    },
    /// A server accepted as many keys as were sent.
    KeysAccepted {
        /// Keys.
        keys: u64,
    },
    /// The destination took the bytes and can prove nothing: a pipe.
    Unverified,
}

impl std::fmt::Display for Proof {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Synced => f.write_str("counted and synced"),
            Self::ReadBack => f.write_str("read back and hashed"),
            Self::StoreChecksum { algorithm, .. } => write!(f, "{algorithm} checked by the store"),
            Self::RowsAccepted { rows } => write!(f, "{rows} rows accepted"),
            Self::KeysAccepted { keys } => write!(f, "{keys} keys accepted"),
            Self::Unverified => f.write_str("unverified"),
        }
    }
}

/// The destination's word that it holds a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// Bytes that it holds.
    pub bytes: u64,
    /// What proves it.
    pub proof: Proof,
}

/// Something that bytes go to: a file, a volume, a bucket, a database.
///
/// # Contract
///
/// - `probe` comes first and refuses whatever can be refused before the source is read: no permission, not mounted, already there. It leaves nothing behind.
/// - Parts are then opened, several at once when the job allows. A part that was committed is durable, but the archive does not exist yet.
/// - Exactly one of `publish` and `abandon` follows, after every sink is committed, aborted or dropped. `publish` makes the archive exist: data under its final
///   name, then the manifest, last, in one atomic step. What was there before stays whole until then. A failed `publish` leaves no archive that is not whole.
///   A cancellation does not drop it: it ends by itself, or is given up, with the outcome unknown, half a minute later.
/// - `abandon` removes what the run left behind, and so does dropping, as far as that is possible without waiting.
#[async_trait]
pub trait Destination: Send + Sync {
    /// The endpoint without its secrets.
    fn endpoint(&self) -> String;

    /// Upper bound in bytes of what one open sink holds.
    fn memory(&self) -> usize;

    /// Refuses early, or returns how many bytes can be stored, where that is known.
    async fn probe(&mut self, cx: &Context) -> Result<Option<u64>>;

    /// Begins a part.
    async fn open(&self, part: &PartHeader, cx: &Context) -> Result<Box<dyn Sink>>;

    /// Makes the archive exist. `manifest` describes it as this destination holds it.
    async fn publish(&mut self, manifest: &Manifest, cx: &Context) -> Result<()>;

    /// Removes everything that this run left.
    async fn abandon(&mut self) -> Result<()>;
}

/// Takes one part.
///
/// # Contract
///
/// - `write` returns `Ok` only when all bytes were accepted; a short write is an error.
/// - `commit` is called only after the stream's explicit end, with length and digests of all that was written. It checks them in the way that its proof names.
///   If it fails it cleans up after itself, or says that the outcome is unknown.
/// - `commit` and `abort` consume the sink, so a write after them does not compile. A sink that is dropped without either publishes nothing.
/// - A `write` or `commit` that is dropped half-way (cancellation) leaves a sink that may only be dropped.
#[async_trait]
pub trait Sink: Send {
    /// Takes the next piece.
    async fn write(&mut self, data: Bytes) -> Result<()>;

    /// The part is whole: make it durable.
    async fn commit(self: Box<Self>, content: &Content) -> Result<Receipt>;

    /// The part will not be completed: remove what is there.
    async fn abort(self: Box<Self>) -> Result<()>;
}
