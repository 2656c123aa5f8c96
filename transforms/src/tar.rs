//! Watches a tar stream pass and refuses one that is not whole.

use bytes::Bytes;
use formats::tar::{TarError, TarScanner};
use pipeline::{Error, Format, Output, Result, Transform, TransformReport};

/// Passes a tar stream on unchanged, following it from header to header.
#[derive(Debug, Default)]
pub struct TarCheck(TarScanner);

impl Transform for TarCheck {
    fn name(&self) -> &'static str {
        "tar-check"
    }

    fn memory(&self) -> usize {
        // The most that the scanner holds: one pax header.
        1 << 20
    }

    fn push(&mut self, input: Bytes, out: &mut dyn Output) -> Result<()> {
        self.0.push(&input).map_err(|error| refuse(&error))?;
        out.emit(input)
    }

    fn finish(self: Box<Self>, _: &mut dyn Output) -> Result<TransformReport> {
        let counts = self.0.finish().map_err(|error| refuse(&error))?;
        let mut report = TransformReport::new("tar-check");
        report.format = Some(Format::Tar);
        for (kind, count) in [
            ("files", counts.files),
            ("directories", counts.directories),
            ("others", counts.others),
            ("content-bytes", counts.content_bytes),
        ] {
            report.counts.insert(kind.to_owned(), count);
        }
        Ok(report)
    }
}

fn refuse(error: &TarError) -> Error {
    match error {
        TarError::Truncated { offset, within } => {
            Error::truncated(format!("the tar stream is cut short {within}")).with("offset", offset)
        }
        TarError::Damaged { offset, what } => {
            Error::source(format!("the tar stream is damaged: {what}")).with("offset", offset)
        }
    }
}
