//! Three ways to show how far a run is: a bar, lines, JSON lines.

use std::io::IsTerminal;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use pipeline::meter::Reading;
use pipeline::{Event, Observer, Progress};
use serde_json::json;

use super::args::{OutputArgs, ProgressArg};
use super::{render, size};

/// The observer that the flags ask for.
pub(crate) fn observer(output: &OutputArgs) -> Arc<dyn Observer> {
    let how = match output.progress {
        ProgressArg::Auto if output.quiet => ProgressArg::None,
        ProgressArg::Auto
            if std::io::stderr().is_terminal() && std::env::var_os("TERM").is_some_and(|t| t != "dumb") =>
        {
            ProgressArg::Bar
        }
        ProgressArg::Auto => ProgressArg::Plain,
        chosen => chosen,
    };
    let talk = Talk { warnings: !output.quiet, infos: output.verbose };
    match how {
        ProgressArg::Bar => Arc::new(Bar::new(talk)),
        ProgressArg::Plain | ProgressArg::Auto => Arc::new(Lines {
            talk,
            every: Duration::from_secs(10),
            json: false,
            last: Mutex::new(Instant::now()),
        }),
        ProgressArg::Json => Arc::new(Lines {
            talk,
            every: Duration::from_secs(1),
            json: true,
            last: Mutex::new(Instant::now()),
        }),
        ProgressArg::None => Arc::new(Words { talk }),
    }
}

/// What is said beside the progress.
#[derive(Debug, Clone, Copy)]
struct Talk {
    warnings: bool,
    infos: bool,
}

impl Talk {
    fn line(self, event: &Event<'_>) -> Option<String> {
        match event {
            Event::Warning(text) if self.warnings => Some(format!("warning: {text}")),
            Event::Info(text) if self.infos => Some((*text).to_owned()),
            _ => None,
        }
    }
}

/// Warnings only.
struct Words {
    talk: Talk,
}

impl Observer for Words {
    fn on_event(&self, event: &Event<'_>) {
        if let Some(line) = self.talk.line(event) {
            render::say(&line);
        }
    }
}

/// One line now and then.
struct Lines {
    talk: Talk,
    every: Duration,
    json: bool,
    last: Mutex<Instant>,
}

impl Observer for Lines {
    fn on_event(&self, event: &Event<'_>) {
        match event {
            Event::Progress(progress) => {
                let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
                if last.elapsed() < self.every {
                    return;
                }
                *last = Instant::now();
                render::say(&if self.json { json_line(progress) } else { plain_line(progress) });
            }
            _ if self.json => match event {
                Event::Warning(text) if self.talk.warnings => {
                    render::say(&json!({ "type": "warning", "message": text }).to_string());
                }
                Event::Info(text) if self.talk.infos => {
                    render::say(&json!({ "type": "info", "message": text }).to_string());
                }
                _ => {}
            },
            _ => {
                if let Some(line) = self.talk.line(event) {
                    render::say(&line);
                }
            }
        }
    }
}

struct Bar {
    talk: Talk,
    bar: ProgressBar,
}

impl Bar {
    fn new(talk: Talk) -> Self {
        let bar = ProgressBar::no_length();
        bar.set_style(
            ProgressStyle::with_template("{spinner} {wide_msg}")
                .unwrap_or_else(|_| ProgressStyle::default_spinner()),
        );
        Self { talk, bar }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

impl Observer for Bar {
    fn on_event(&self, event: &Event<'_>) {
        match event {
            Event::Progress(progress) => {
                if let (None, Some(expected)) = (self.bar.length(), progress.expected) {
                    self.bar.set_length(expected);
                    if let Ok(style) = ProgressStyle::with_template("{spinner} [{bar:20}] {wide_msg}") {
                        self.bar.set_style(style.progress_chars("=> "));
                    }
                }
                let read = figures(progress).read;
                self.bar.set_position(progress.expected.map_or(read, |expected| read.min(expected)));
                self.bar.set_message(plain_line(progress));
                self.bar.tick();
            }
            _ => {
                if let Some(line) = self.talk.line(event) {
                    self.bar.suspend(|| render::say(&line));
                }
            }
        }
    }
}

struct Figures {
    read: u64,
    written: u64,
    eta: Option<f64>,
}

fn figures(progress: &Progress) -> Figures {
    let read = progress.stages.first().map_or(0, |stage| stage.bytes_out);
    let written = progress.stages.last().map_or(0, |stage| stage.bytes_out);
    let elapsed = progress.elapsed.as_secs_f64();
    // Below 1 % or a second the rate says nothing; above 100 % the estimate was wrong.
    let eta = progress.expected.filter(|&expected| read < expected && read > expected / 100 && elapsed > 1.0);
    let eta = eta.map(|expected| elapsed * (expected - read) as f64 / read as f64);
    Figures { read, written, eta }
}

fn plain_line(progress: &Progress) -> String {
    let Figures { read, written, eta } = figures(progress);
    let elapsed = progress.elapsed.as_secs_f64();
    let about =
        progress.expected.map_or_else(String::new, |bytes| format!(" of about {}", size::show(bytes)));
    let mut words =
        vec![format!("{} read{about}", size::show(read)), format!("{} written", size::show(written))];
    if written > 0 && read > written {
        words.push(format!("ratio {:.2}", read as f64 / written as f64));
    }
    words.push(size::show_rate(read, elapsed));
    words.push(size::show_seconds(elapsed));
    words.extend(eta.map(|seconds| format!("about {} left", size::show_seconds(seconds))));
    let busy = |stage: &Reading| format!("{} {:.0}%", stage.stage, stage.utilisation() * 100.0);
    let stages: Vec<String> = progress.stages.iter().map(busy).collect();
    format!("{} ({})", words.join(", "), stages.join(", "))
}

fn json_line(progress: &Progress) -> String {
    let Figures { read, written, eta } = figures(progress);
    json!({
        "type": "progress",
        "elapsed_seconds": progress.elapsed.as_secs_f64(),
        "read_bytes": read,
        "written_bytes": written,
        "expected_bytes": progress.expected,
        "eta_seconds": eta,
        "stages": progress.stages,
    })
    .to_string()
}
