//! Where bytes go: [`file`](mod@file) systems, mounted volumes ([`pvc`]), [`stdout`], and [`null`].

pub mod file;
pub mod null;
pub mod pvc;
pub mod stdout;
mod writer;

pub use file::{FileDestination, FileOptions};
pub use null::NullDestination;
pub use pvc::PvcDestination;
pub use stdout::StdoutDestination;
