//! Validates a custom-format archive while it flows by.

use bytes::Bytes;
use formats::postgres::custom::{Event, FormatError, Parser};
use pipeline::{Error, Output, Result, Transform, TransformReport};

/// Fails unless the stream is one whole archive of `pg_dump -Fc`; hands every byte on unchanged.
#[derive(Debug, Default)]
pub struct PostgresCustomCheck {
    parser: Parser,
    report: TransformReport,
}

impl PostgresCustomCheck {
    /// Name of the transform.
    pub const NAME: &'static str = "pg-custom-check";

    /// A check at the beginning of an archive.
    pub fn new() -> Self {
        Self { parser: Parser::new(), report: TransformReport::new(Self::NAME) }
    }
}

/// Adds one event to the counts.
fn count(report: &mut TransformReport, event: &Event) {
    let mut add = |what: &str, by: u64| *report.counts.entry(what.to_owned()).or_default() += by;
    match event {
        Event::Header(header) => {
            add("entries", u64::from(header.entries));
            let (major, minor, _) = header.version;
            report.settings.insert("archive-version".to_owned(), format!("{major}.{minor}"));
            report.settings.insert("archive-compression".to_owned(), header.compression.name().to_owned());
        }
        Event::Entry(entry) if entry.kind == b"TABLE" => add("tables", 1),
        Event::Entry(_) => {}
        Event::Block { bytes, objects, .. } => {
            add("data-blocks", 1);
            add("data-bytes", *bytes);
            if *objects > 0 {
                add("large-objects", *objects);
            }
        }
    }
}

pub(super) fn format_error(error: &FormatError) -> Error {
    if error.truncated {
        Error::truncated(error.what.clone())
            .with("offset", error.offset)
            .hint("pg_dump or the connection was cut off: make the archive again and look at its exit status")
    } else {
        Error::source(format!("not a whole custom-format archive: {}", error.what))
            .with("offset", error.offset)
            .hint(
                "the archive is damaged, or newer than this program knows: try pg_restore -f /dev/null on it",
            )
    }
}

impl Transform for PostgresCustomCheck {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn memory(&self) -> usize {
        // The ids of entries with data, which the parser limits.
        28 << 20
    }

    fn push(&mut self, input: Bytes, out: &mut dyn Output) -> Result<()> {
        let report = &mut self.report;
        self.parser.push(&input, &mut |event| count(report, &event)).map_err(|e| format_error(&e))?;
        out.emit(input)
    }

    fn finish(self: Box<Self>, _out: &mut dyn Output) -> Result<TransformReport> {
        self.parser.finish().map_err(|e| format_error(&e))?;
        Ok(self.report)
    }
}
