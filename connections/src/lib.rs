//! Connections to database servers, for whoever reads from them, writes to them or looks at them.
//!
//! A URL means the same everywhere: the same encryption, the same trust, the same words when it does not work. Errors are those of the
//! source; who connects to a destination moves them there with [`pipeline::Error::at`].

pub mod mysql;
pub mod postgres;
pub mod redis;
pub mod tls;
pub mod trust;
