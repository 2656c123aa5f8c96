//! The built program as a user meets it, without servers: endpoints, exit codes, damage, signals, memory.

#![allow(
    clippy::unwrap_used,
    clippy::case_sensitive_file_extension_comparisons,
    reason = "a test fails by panicking"
)]

mod archives;
mod bench;
mod damage;
mod encryption;
mod faults;
mod jobs;
mod losing;
mod memory;
mod run;
mod usage;
