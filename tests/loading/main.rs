//! Two databases: what is compared, loaded and refused. Real servers on both sides.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod compare;
mod mysql;
mod postgres;
mod run;
#[path = "../databases/tool.rs"]
#[allow(dead_code, reason = "shared with the tests of archives, which use more of it")]
mod tool;

use std::process::ExitCode;

use test_servers::Trials;

fn main() -> ExitCode {
    let trials = compare::trials(Trials::new());
    let trials = mysql::trials(trials);
    postgres::trials(trials).run()
}
