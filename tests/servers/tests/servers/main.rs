//! Starts every server that is installed and checks what the other tests rely on.

mod lifecycle;
mod mysql;
mod postgres;

use std::process::ExitCode;

use test_servers::Trials;

fn main() -> ExitCode {
    if std::env::var_os(lifecycle::VICTIM).is_some() {
        return lifecycle::victim();
    }
    let trials = lifecycle::trials(Trials::new());
    postgres::trials(mysql::trials(trials)).run()
}
