//! Driving the lexer over pieces of input: what it cannot judge yet waits, everything else goes on without a copy.

use std::ops::Range;

use bytes::Bytes;
use formats::mysql::{Lexer, Mode, Step};
use pipeline::{Error, Output, Result};

/// One step of the lexer and where it is.
pub(super) struct Piece<'a> {
    /// The text on offer; the step is one range of it.
    pub(super) text: &'a Bytes,
    pub(super) range: Range<usize>,
    pub(super) step: Step,
    /// How strings were written when the step began.
    pub(super) mode: Mode,
    /// Where the step begins in the whole input.
    pub(super) offset: u64,
}

impl Piece<'_> {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.text[self.range.clone()]
    }
}

/// What looks at the steps.
pub(super) trait Visitor {
    /// Takes one step.
    fn step(&mut self, piece: &Piece<'_>, out: &mut dyn Output) -> Result<()>;

    /// The text on offer is used up to `end`; a new one follows, in which positions begin at 0 again.
    fn pause(&mut self, text: &Bytes, end: usize, out: &mut dyn Output) -> Result<()>;
}

/// A lexer and the input that waits for more.
#[derive(Debug, Default)]
pub(super) struct Feed {
    lexer: Lexer,
    /// A statement that is held back, or a few bytes that could begin something.
    waiting: Vec<u8>,
    offset: u64,
}

impl Feed {
    /// Whether the input so far ends between statements.
    pub(super) fn is_between(&self) -> bool {
        self.lexer.is_between()
    }

    /// Bytes of input used up.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// Takes in more bytes, or the end of the input.
    pub(super) fn push(
        &mut self,
        input: Bytes,
        last: bool,
        visitor: &mut dyn Visitor,
        out: &mut dyn Output,
    ) -> Result<()> {
        let mut mode = self.lexer.mode();
        let (text, mut ready) = if self.waiting.is_empty() {
            (input, None)
        } else {
            self.waiting.extend_from_slice(&input);
            // Asking first keeps a statement that arrives in many pieces in one growing buffer.
            let step = self.lexer.next(&self.waiting, last);
            if step == Step::More && !last {
                return Ok(());
            }
            (Bytes::from(std::mem::take(&mut self.waiting)), Some(step))
        };
        let mut at = 0;
        loop {
            let step = ready.take().unwrap_or_else(|| self.lexer.next(&text[at..], last));
            let len = match step {
                Step::More => break,
                Step::Between { len }
                | Step::Delimiter { len }
                | Step::Sandbox { len }
                | Step::Statement { len, .. }
                | Step::Data { len, .. } => len,
            };
            let piece =
                Piece { text: &text, range: at..at + len, step, mode, offset: self.offset + at as u64 };
            visitor.step(&piece, out)?;
            at += len;
            mode = self.lexer.mode();
        }
        visitor.pause(&text, at, out)?;
        self.offset += at as u64;
        if last && at < text.len() {
            return Err(
                Error::bug("bytes were kept back at the end of a dump").with("bytes", text.len() - at)
            );
        }
        self.waiting = if at == 0 { text.into() } else { text[at..].to_vec() };
        Ok(())
    }
}
