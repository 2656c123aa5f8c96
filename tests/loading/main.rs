//! Two databases: what is compared, loaded and refused. Real servers on both sides.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod check;
mod compare;
#[path = "../redis/content.rs"]
mod content;
mod from_s3;
mod kinds;
mod mysql;
mod postgres;
mod postgres_parallel;
mod redis;
mod run;
#[path = "../databases/tool.rs"]
#[allow(dead_code, reason = "shared with the tests of archives, which use more of it")]
mod tool;

use std::process::ExitCode;

use test_servers::Trials;

fn main() -> ExitCode {
    let trials = compare::trials(Trials::new());
    let trials = mysql::trials(trials);
    let trials = postgres::trials(trials);
    let trials = postgres_parallel::trials(trials);
    let trials = from_s3::trials(trials);
    let trials = kinds::trials(trials);
    let trials = redis::trials(trials);
    check::trials(trials).run()
}
