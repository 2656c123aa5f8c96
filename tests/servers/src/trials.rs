//! Integration tests that say what they need.
//!
//! The standard harness knows only passed and failed at run time, so a missing server would have to look
//! like a pass. These trials are listed as ignored instead, with the reason in the name, which both
//! `cargo test` and nextest show; on a machine that must have everything they fail.

use std::fmt::Display;
use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};

use crate::Needs;

/// What a trial returns: any error that can be printed fails it, as does a panic.
pub type TestResult = std::result::Result<(), Box<dyn std::error::Error>>;

/// The list of an integration-test binary that has `harness = false`.
#[derive(Default)]
pub struct Trials(Vec<Trial>);

impl Trials {
    /// An empty list.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a trial that runs where every server in `needs` is installed.
    #[must_use]
    pub fn with<F>(mut self, name: &str, needs: &[Needs], run: F) -> Self
    where
        F: FnOnce() -> TestResult + Send + 'static,
    {
        let missing: Vec<String> = needs.iter().filter_map(|need| need.missing()).collect();
        let trial = if missing.is_empty() {
            Trial::test(name, move || run().map_err(|error| Failed::from(display(&*error))))
        } else {
            let reason = missing.join(", ");
            let failure = format!("{reason}: run tests/servers/install as root");
            let set = |name| std::env::var_os(name).is_some_and(|value| value == "1");
            let required = needs.iter().filter(|need| need.missing().is_some()).any(|need| match need {
                // Ten minutes to build: only a machine that says so must have it.
                Needs::Garage => set("DBFERRY_REQUIRE_GARAGE"),
                _ => set("DBFERRY_REQUIRE_SERVERS"),
            });
            Trial::test(name, move || Err(Failed::from(failure)))
                .with_kind(reason)
                .with_ignored_flag(!required)
        };
        self.0.push(trial);
        self
    }

    /// Runs what the command line asks for: the body of `main`.
    pub fn run(self) -> ExitCode {
        libtest_mimic::run(&Arguments::from_args(), self.0).exit_code()
    }
}

fn display(error: &(impl Display + ?Sized)) -> String {
    error.to_string()
}
