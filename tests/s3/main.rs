//! The built program against S3: a server in this process for faults, and independent ones.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod archives;
mod bench;
mod faults;
mod real;
mod stream;
mod tool;
mod ways;

use std::process::ExitCode;

use test_servers::Trials;

fn main() -> ExitCode {
    let trials = faults::trials(Trials::new());
    let trials = archives::trials(trials);
    let trials = bench::trials(trials);
    stream::trials(ways::trials(real::trials(trials))).run()
}
