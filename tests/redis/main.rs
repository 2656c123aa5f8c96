//! The built program against real Redis and Valkey servers: what arrives holds what was there, and what fails leaves nothing.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod carry;
mod content;
mod cut;
mod forms;
mod refused;
mod seed;
mod tool;

use std::process::ExitCode;

use test_servers::Trials;

fn main() -> ExitCode {
    let trials = carry::trials(Trials::new());
    let trials = cut::trials(trials);
    let trials = forms::trials(trials);
    let trials = seed::trials(trials);
    refused::trials(trials).run()
}
