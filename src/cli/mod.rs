//! The command line: what was typed, what was meant, and what is shown.

mod archive;
mod args;
mod bench;
mod check;
mod compare;
mod copy;
mod drill;
mod elasticache;
mod endpoint;
mod engine;
mod gc;
mod inspect;
mod jobs;
mod ls;
mod names;
mod passwords;
mod preflight;
mod progress;
mod prune;
mod rdb_table;
mod redis;
mod render;
mod signals;
mod size;
mod store;
mod time;
mod verify;

use std::cell::Cell;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{CommandFactory, Parser};
use pipeline::{Context, Error, Kind, Result, Stage};
use tokio_util::sync::CancellationToken;

use args::{Cli, Command, OutputArgs};
use signals::Signals;

/// Runs the program and says how it ended.
pub(crate) fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // clap knows which stream and which code (0 for help, 2 for usage).
            drop(error.print());
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    match cli.command {
        Command::Copy(args) => {
            judged(&args.output.clone(), 6, async |cx| Box::pin(copy::run(*args, cx)).await)
        }
        Command::Verify(args) => {
            in_runtime(&args.output.clone(), async |cx| Box::pin(verify::run(args, cx)).await)
        }
        Command::Inspect(args) => in_runtime(&args.output.clone(), async |cx| inspect::run(args, cx).await),
        Command::Compare(args) => judged(&args.output.clone(), 6, async |cx| compare::run(args, cx).await),
        Command::Check(args) => judged(&args.output.clone(), 5, async |cx| check::run(*args, cx).await),
        Command::Drill(args) => {
            in_runtime(&args.output.clone(), async |cx| Box::pin(drill::run(args, cx)).await)
        }
        Command::Bench(args) => {
            in_runtime(&args.output.clone(), async |cx| Box::pin(bench::run(args, cx)).await)
        }
        Command::Run(args) => coded(&args.output.clone(), async |cx| jobs::run(args, cx).await),
        Command::Config(args) => finish(jobs::config(&args), None),
        Command::Ls(args) => in_runtime(&args.output.clone(), async |cx| ls::list(args, cx).await),
        Command::Show(args) => in_runtime(&args.output.clone(), async |cx| ls::show(args, cx).await),
        Command::Prune(args) => in_runtime(&args.output.clone(), async |cx| prune::run(args, cx).await),
        Command::Gc(args) => in_runtime(&args.output.clone(), async |cx| gc::run(args, cx).await),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "dbferry", &mut script);
            finish(render::print(&String::from_utf8_lossy(&script)), None)
        }
        Command::Man { command } => finish(man(command.as_deref()), None),
    }
}

/// A command that has told by itself what went wrong, and answers its exit code.
fn coded(output: &OutputArgs, command: impl AsyncFnOnce(&Context) -> Result<u8>) -> ExitCode {
    let answer = Cell::new(0);
    let code = in_runtime(output, async |cx| {
        answer.set(command(cx).await?);
        Ok(())
    });
    if answer.get() == 0 { code } else { ExitCode::from(answer.get()) }
}

/// A command that also answers whether all is well, and its exit code where it is not. What is wrong was told: there is no error to print beside it.
fn judged(
    output: &OutputArgs,
    otherwise: u8,
    command: impl AsyncFnOnce(&Context) -> Result<bool>,
) -> ExitCode {
    let equal = Cell::new(true);
    let code = in_runtime(output, async |cx| {
        equal.set(command(cx).await?);
        Ok(())
    });
    if equal.get() { code } else { ExitCode::from(otherwise) }
}

fn man(command: Option<&str>) -> Result<()> {
    let mut top = Cli::command();
    top.build();
    let page = match command {
        None => top,
        Some(name) => top.find_subcommand(name).cloned().ok_or_else(|| {
            Error::usage(format!("there is no command `{name}`")).hint("see `dbferry --help`")
        })?,
    };
    let mut text = Vec::new();
    clap_mangen::Man::new(page)
        .render(&mut text)
        .map_err(|e| Error::bug("the manual page has no text form").caused_by(e))?;
    render::print(&String::from_utf8_lossy(&text))
}

fn in_runtime(output: &OutputArgs, command: impl AsyncFnOnce(&Context) -> Result<()>) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            return finish(Err(Error::bug("cannot start the runtime").caused_by(error)), Some(output));
        }
    };
    let (result, observer) = runtime.block_on(async {
        let cancel = CancellationToken::new();
        let observer = progress::observer(output);
        let signals = match Signals::listen(cancel.clone()) {
            Ok(signals) => signals,
            Err(error) => return (Err(Error::bug("cannot listen for signals").caused_by(error)), observer),
        };
        let cx = Context::new(cancel, Arc::clone(&observer));
        let result = command(&cx).await.map_err(|error| match signals.seen() {
            Some(number) if error.is_consequence() => interrupted(number, &error),
            _ => error,
        });
        (result, observer)
    });
    drop(observer);
    // A blocking call that cannot be interrupted (a hung volume) must not keep the process.
    runtime.shutdown_timeout(std::time::Duration::from_secs(5));
    finish(result, Some(output))
}

fn interrupted(number: i32, error: &Error) -> Error {
    let name = if number == 2 { "SIGINT" } else { "SIGTERM" };
    // Of several destinations, some may have been published before the signal; the lines behind say which.
    let published = if error.afterwards().is_empty() { "nothing" } else { "nothing more" };
    let mut interrupted = Error::new(
        Stage::Setup,
        Kind::Interrupted(number),
        format!("{name}: stopped, {published} was published, staged files are removed"),
    );
    for also in error.afterwards() {
        interrupted = interrupted.also(also.clone());
    }
    interrupted
}

fn finish(result: Result<()>, output: Option<&OutputArgs>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if output.is_some_and(|output| output.json) {
                let line = format!("{}\n", render::error_json(&error));
                if render::print(&line).is_err() {
                    render::error(&error);
                }
            } else {
                render::error(&error);
            }
            ExitCode::from(error.exit_code())
        }
    }
}
