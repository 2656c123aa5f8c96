//! The outcome as a table for a terminal.

use std::fmt::{Result, Write as _};

use super::super::size;
use super::document::{Basis, Document, Size};
use super::measure::{Ended, Kind, Measurement};

/// Everything, for standard output.
pub(super) fn table(document: &Document) -> std::result::Result<String, std::fmt::Error> {
    let mut text = String::new();
    head(&mut text, document)?;
    rows(&mut text, document)?;
    stages(&mut text, document)?;
    verdict(&mut text, document)?;
    Ok(text)
}

/// `about 1.2 GiB`.
pub(super) fn size_of(size: Size) -> String {
    match size.basis {
        Basis::Counted => size::show(size.bytes),
        Basis::Statistics => format!("about {}", size::show(size.bytes)),
        Basis::Memory => format!("at most about {}", size::show(size.bytes)),
    }
}

fn head(text: &mut String, document: &Document) -> Result {
    let source = &document.source;
    let server = source.server.as_ref().map_or_else(String::new, |server| format!(" ({server})"));
    let size = document.size.map_or_else(String::new, |size| format!(", {}", size_of(size)));
    writeln!(text, "source: {}{server}{size}", source.endpoint)?;
    writeln!(text, "destination: {}", document.destination.as_deref().unwrap_or("none"))?;
    let machine = &document.machine;
    writeln!(
        text,
        "machine: {} cores of {}, {}",
        machine.cores,
        machine.processor,
        size::show(machine.memory_bytes)
    )
}

fn rows(text: &mut String, document: &Document) -> Result {
    let widest = document.measurements.iter().map(|m| m.name.chars().count()).max().unwrap_or(10).max(10);
    writeln!(
        text,
        "\n{:widest$}  {:>9}  {:>11}  {:>6}  {:>9}  {:>8}  {:>11}  {:>7}  {:>6}",
        "measured", "raw MB/s", "stored MB/s", "ratio", "rows/s", "CPU s/GB", "server s/GB", "RSS MiB", "s"
    )?;
    for m in &document.measurements {
        if let Some(why) = &m.error {
            writeln!(text, "{:widest$}  failed: {why}", m.name)?;
            continue;
        }
        let [stored, ratio] = if shows_size(m) {
            [mb(m.stored_bytes_per_second), format!("{:.2}", m.ratio())]
        } else {
            ["–".to_owned(), "–".to_owned()]
        };
        let or_dash = |value: Option<String>| value.unwrap_or_else(|| "–".to_owned());
        let server = m.server_cpu_seconds.map(|s| format!("{:.2}", super::measure::per_gb(s, m.raw_bytes)));
        let stopped = if m.ended == Ended::Stopped { "  stopped before its end" } else { "" };
        writeln!(
            text,
            "{:widest$}  {:>9}  {stored:>11}  {ratio:>6}  {:>9}  {:>8.2}  {:>11}  {:>7}  {:>6.1}{stopped}",
            m.name,
            mb(m.raw_bytes_per_second),
            or_dash(m.rows_per_second.map(|rows| format!("{rows:.0}"))),
            m.cpu_per_gb(),
            or_dash(server),
            or_dash(m.peak_memory_bytes.map(|bytes| (bytes >> 20).to_string())),
            m.seconds,
        )?;
    }
    Ok(())
}

/// Whether what a run stored says anything.
pub(super) fn shows_size(m: &Measurement) -> bool {
    matches!(m.kind, Kind::Compress | Kind::Together | Kind::Chosen)
}

/// Decimal megabytes, as networks and disks are sold.
pub(super) fn mb(bytes: f64) -> String {
    let mb = bytes / 1e6;
    if mb >= 100.0 { format!("{mb:.0}") } else { format!("{mb:.1}") }
}

fn stages(text: &mut String, document: &Document) -> Result {
    writeln!(text, "\n{:10}  {:>14}  {:>8}  {:>11}", "stage", "alone raw MB/s", "CPU s/GB", "server s/GB")?;
    for stage in &document.stages {
        let number = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |value| format!("{value:.2}"));
        writeln!(
            text,
            "{:10}  {:>14}  {:>8}  {:>11}",
            stage.name,
            stage.alone_bytes_per_second.map_or_else(|| "–".to_owned(), mb),
            number(stage.cpu_seconds_per_gb),
            number(stage.server_cpu_seconds_per_gb),
        )?;
    }
    Ok(())
}

/// What the whole takes, in a sentence's words.
pub(super) fn estimate(document: &Document) -> Option<String> {
    let (estimate, size) = (document.choice.estimate?, document.size?);
    Some(format!(
        "about {} for {}, {} stored",
        size::show_seconds(estimate.seconds),
        size_of(size),
        size::show(estimate.stored_bytes)
    ))
}

fn verdict(text: &mut String, document: &Document) -> Result {
    let choice = &document.choice;
    writeln!(text, "\nbottleneck: {}: {}", document.bottleneck.what, document.bottleneck.says)?;
    if let Some(locked) = choice.locked_ms {
        writeln!(text, "locked: {locked} ms")?;
    }
    writeln!(
        text,
        "choice: {} MB/s raw, {} MB/s stored{}",
        mb(choice.raw_bytes_per_second),
        mb(choice.stored_bytes_per_second),
        estimate(document).map_or_else(String::new, |estimate| format!("; {estimate}"))
    )?;
    writeln!(text, "command: {}", choice.command)?;
    for pays in &document.break_even {
        writeln!(
            text,
            "note: {} is faster than no compression where DEST takes less than {} MB/s",
            pays.compress,
            mb(pays.below_bytes_per_second)
        )?;
    }
    for note in &document.notes {
        writeln!(text, "note: {note}")?;
    }
    for warning in &document.warnings {
        writeln!(text, "warning: {warning}")?;
    }
    Ok(())
}
