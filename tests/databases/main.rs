//! The built program against real servers: what arrives is what was there, and what fails leaves nothing.

#![allow(
    clippy::unwrap_used,
    clippy::case_sensitive_file_extension_comparisons,
    reason = "a test fails by panicking"
)]

mod archival;
mod bench;
mod carry;
mod cut;
mod filters;
mod layouts;
mod native;
mod native_postgres;
mod refused;
mod secrets;
mod tool;

use std::process::ExitCode;

use test_servers::Trials;

fn main() -> ExitCode {
    let trials = carry::trials(Trials::new());
    let trials = archival::trials(trials);
    let trials = bench::trials(trials);
    let trials = cut::trials(trials);
    let trials = filters::trials(trials);
    let trials = layouts::trials(trials);
    let trials = native::trials(trials);
    let trials = native_postgres::trials(trials);
    let trials = refused::trials(trials);
    secrets::trials(trials).run()
}
