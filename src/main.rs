//! `dbferry`: carries databases out of a cluster.

mod cli;

fn main() -> std::process::ExitCode {
    cli::main()
}
