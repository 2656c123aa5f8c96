//! Walks a value's bytes by its layout, resumable at any byte, with a few hundred bytes of state.
//!
//! What the pieces mean is told to a [`Sink`]. The skipper's sink is empty and vanishes when compiled.

use std::collections::HashMap;

use super::error::{Error, Problem};
use super::grammar::{Blob, DEPTH, Part, Step};
use super::token::{Cursor, Read, Stop, StrHead, quick_len, quick_string};

/// Hears about the pieces of a value in order.
pub(crate) trait Sink {
    /// True when it hears nothing, so that pieces need not be told apart.
    const DEAF: bool = false;
    /// The sink's own error.
    type Error: From<Error>;
    /// A number.
    fn number(&mut self, part: Part, value: u64) -> Result<(), Self::Error>;
    /// A piece of fixed size.
    fn fixed(&mut self, part: Part, bytes: &[u8]) -> Result<(), Self::Error>;
    /// A score written as text.
    fn text_double(&mut self, text: TextDouble<'_>) -> Result<(), Self::Error>;
    /// So many elements of this kind follow.
    fn count(&mut self, part: Part, count: u64) -> Result<(), Self::Error>;
    /// A string begins.
    fn string(&mut self, part: Part, head: StrHead) -> Result<(), Self::Error>;
    /// More stored bytes of the string; `last` with the final ones. Not called for integers.
    fn bytes(&mut self, data: &[u8], last: bool) -> Result<(), Self::Error>;
    /// The values of this template follow.
    fn template(&mut self, id: u64) -> Result<(), Self::Error>;
}

/// A score of the first sorted sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TextDouble<'a> {
    Nan,
    Infinity,
    NegativeInfinity,
    Text(&'a [u8]),
}

/// How many fields each hash template has, by its number in the file.
pub(crate) type TemplateSizes = HashMap<u64, u64>;

#[derive(Debug, Clone, Copy)]
struct Frame {
    steps: &'static [Step],
    at: usize,
    left: u64,
}

/// The walker.
#[derive(Debug, Clone)]
pub(crate) struct Walker {
    frames: [Frame; DEPTH + 1],
    depth: usize,
    /// Bytes of the current string that are still to come.
    string_left: u64,
    in_string: bool,
    count: u64,
    /// The start of a token whose end was not there yet. The longest is a fixed piece of 255 bytes of text.
    token: [u8; 256],
    token_len: usize,
}

/// Where a walk stands after a piece of input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Walked {
    /// Bytes taken.
    pub(crate) used: usize,
    /// True when the value ended with them.
    pub(crate) done: bool,
}

impl Walker {
    pub(crate) fn new() -> Self {
        Self {
            frames: [Frame { steps: &[], at: 0, left: 0 }; DEPTH + 1],
            depth: 0,
            string_left: 0,
            in_string: false,
            count: 0,
            token: [0; 256],
            token_len: 0,
        }
    }

    /// Begins a value.
    #[inline]
    pub(crate) fn begin(&mut self, steps: &'static [Step]) {
        self.frames[0] = Frame { steps, at: 0, left: 1 };
        self.depth = 1;
        self.in_string = false;
        self.token_len = 0;
    }

    #[inline]
    fn enter(&mut self, steps: &'static [Step], left: u64) {
        if left > 0 {
            self.frames[self.depth] = Frame { steps, at: 0, left };
            self.depth += 1;
        }
    }

    /// Takes what it can of `input`. An error's offset counts from the start of `input`.
    #[inline]
    pub(crate) fn walk<S: Sink>(
        &mut self,
        input: &[u8],
        templates: &TemplateSizes,
        sink: &mut S,
    ) -> Result<Walked, S::Error> {
        let mut pos = 0;
        loop {
            if self.in_string {
                let left = input.len() - pos;
                let (len, whole) = match usize::try_from(self.string_left) {
                    Ok(len) if len <= left => (len, true),
                    _ => (left, false),
                };
                sink.bytes(&input[pos..pos + len], whole)?;
                pos += len;
                self.string_left -= len as u64;
                if !whole {
                    return Ok(Walked { used: pos, done: false });
                }
                self.in_string = false;
            }
            if S::DEAF && self.token_len == 0 {
                pos = self.quick(input, pos);
            }
            if self.depth == 0 {
                return Ok(Walked { used: pos, done: true });
            }
            let frame = &mut self.frames[self.depth - 1];
            let Some(step) = frame.steps.get(frame.at) else {
                frame.left -= 1;
                if frame.left == 0 {
                    self.depth -= 1;
                } else {
                    frame.at = 0;
                }
                continue;
            };
            frame.at += 1;
            if !self.step(*step, input, &mut pos, templates, sink)? {
                self.frames[self.depth - 1].at -= 1;
                return Ok(Walked { used: pos, done: false });
            }
        }
    }

    /// Steps over as much as is whole in `input` and of the common forms. It is what makes skipping fast: the
    /// position stays in a register and there is nobody to tell. Answers the position where care is needed.
    #[inline]
    fn quick(&mut self, input: &[u8], mut pos: usize) -> usize {
        while self.depth > 0 {
            let Frame { steps, mut at, mut left } = self.frames[self.depth - 1];
            let mut inner = None;
            'frame: while left > 0 {
                while let Some(step) = steps.get(at) {
                    let next = match step {
                        Step::Str(_) => quick_string(input, pos),
                        Step::Fixed(_, len) => {
                            Some(pos + usize::from(*len)).filter(|next| *next <= input.len())
                        }
                        Step::Num(_) => quick_len(input, pos).map(|(_, next)| next),
                        Step::Container => {
                            input.get(pos).filter(|byte| matches!(byte, 1 | 2)).map(|_| pos + 1)
                        }
                        Step::Repeat(_, steps) => quick_len(input, pos).map(|(count, next)| {
                            inner = Some((*steps, count as u64));
                            next
                        }),
                        _ => None,
                    };
                    let Some(next) = next else {
                        self.frames[self.depth - 1] = Frame { steps, at, left };
                        return pos;
                    };
                    pos = next;
                    at += 1;
                    if inner.is_some() {
                        break 'frame;
                    }
                }
                left -= 1;
                at = 0;
            }
            match inner {
                Some((inner, count)) => {
                    self.frames[self.depth - 1] = Frame { steps, at, left };
                    self.enter(inner, count);
                }
                None => self.depth -= 1,
            }
        }
        pos
    }

    /// One step; false when the input ended inside its token.
    #[inline]
    fn step<S: Sink>(
        &mut self,
        step: Step,
        input: &[u8],
        pos: &mut usize,
        templates: &TemplateSizes,
        sink: &mut S,
    ) -> Result<bool, S::Error> {
        match step {
            Step::Str(part) => {
                let Some(head) = self.token(input, pos, read_str_head)? else { return Ok(false) };
                self.string(part, head, sink)?;
            }
            Step::Num(part) => {
                let Some(value) = self.token(input, pos, read_len)? else { return Ok(false) };
                sink.number(part, value)?;
            }
            Step::Container => {
                let Some(value) =
                    self.token(input, pos, |c| one_of(c, 1, 2, "container of a quicklist node"))?
                else {
                    return Ok(false);
                };
                sink.number(Part::Container, value)?;
            }
            Step::Fixed(part, len) => return self.fixed(part, usize::from(len), input, pos, sink),
            Step::TextDouble => return self.text_double(input, pos, sink),
            Step::Repeat(part, steps) => {
                let Some(count) = self.token(input, pos, read_len)? else { return Ok(false) };
                sink.count(part, count)?;
                self.enter(steps, count);
            }
            Step::Count(part) => {
                let Some(count) = self.token(input, pos, read_len)? else { return Ok(false) };
                sink.count(part, count)?;
                self.count = count;
            }
            Step::Counted(steps) => self.enter(steps, self.count),
            Step::Flag => {
                let Some(flag) = self.token(input, pos, |c| one_of(c, 0, 1, "flag of an array"))? else {
                    return Ok(false);
                };
                if flag == 0 {
                    self.frames[self.depth - 1].at += 1;
                }
            }
            Step::ModuleItems => return Ok(self.module_item(input, pos)?),
            Step::ArrayElement => {
                let tag = self.token(input, pos, |c| one_of(c, 0, 3, "tag of an array's element"))?;
                match tag {
                    None => return Ok(false),
                    Some(1) => self.enter(&[Step::Fixed(Part::ArrayInt, 8)], 1),
                    Some(2) => self.enter(&[Step::Fixed(Part::ArrayFloat, 8)], 1),
                    Some(_) => self.enter(&[Step::Str(Part::Element)], 1),
                }
            }
            Step::Template(steps) => {
                let known = |c: &mut Cursor<'_>| {
                    let start = c.pos();
                    let id = c.len()?;
                    match templates.get(&id) {
                        Some(size) => Ok((id, *size)),
                        None => Err(Stop::bad(Problem::Corrupt("hash template that was not defined"), start)),
                    }
                };
                let Some((id, size)) = self.token(input, pos, known)? else { return Ok(false) };
                sink.template(id)?;
                self.enter(steps, size);
            }
            Step::TemplateFields { counted } => {
                let written = |c: &mut Cursor<'_>| {
                    let start = c.pos();
                    match c.len()? {
                        0 if counted => Err(Stop::bad(
                            Problem::Unsupported {
                                byte: 31,
                                what: "a template hash whose values' number is inside a listpack (a form of DUMP alone)",
                            },
                            start,
                        )),
                        0 => Ok(None),
                        1 => Ok(Some(c.len()?)),
                        _ => Err(Stop::bad(Problem::Corrupt("form of a template's fields"), start)),
                    }
                };
                match self.token(input, pos, written)? {
                    None => return Ok(false),
                    Some(None) => self.enter(&[Step::Str(Part::Blob(Blob::TemplateFields))], 1),
                    Some(Some(count)) => {
                        self.count = count;
                        sink.count(Part::Length, count)?;
                        self.enter(&[Step::Str(Part::Field)], count);
                    }
                }
            }
        }
        Ok(true)
    }

    #[inline]
    fn string<S: Sink>(&mut self, part: Part, head: StrHead, sink: &mut S) -> Result<(), S::Error> {
        match head {
            StrHead::Raw(len) | StrHead::Lzf { stored: len, .. } => {
                self.in_string = true;
                self.string_left = len;
            }
            StrHead::Int(_) => {}
        }
        sink.string(part, head)
    }

    fn fixed<S: Sink>(
        &mut self,
        part: Part,
        len: usize,
        input: &[u8],
        pos: &mut usize,
        sink: &mut S,
    ) -> Result<bool, S::Error> {
        if self.token_len == 0
            && let Some(bytes) = input.get(*pos..*pos + len)
        {
            *pos += len;
            sink.fixed(part, bytes)?;
            return Ok(true);
        }
        if !self.fill(len, input, pos) {
            return Ok(false);
        }
        self.token_len = 0;
        sink.fixed(part, &self.token[..len])?;
        Ok(true)
    }

    fn text_double<S: Sink>(
        &mut self,
        input: &[u8],
        pos: &mut usize,
        sink: &mut S,
    ) -> Result<bool, S::Error> {
        if !self.fill(1, input, pos) {
            return Ok(false);
        }
        let len = match self.token[0] {
            text @ 0..=252 => 1 + usize::from(text),
            _ => 1,
        };
        if !self.fill(len, input, pos) {
            return Ok(false);
        }
        self.token_len = 0;
        sink.text_double(match self.token[0] {
            253 => TextDouble::Nan,
            254 => TextDouble::Infinity,
            255 => TextDouble::NegativeInfinity,
            _ => TextDouble::Text(&self.token[1..len]),
        })?;
        Ok(true)
    }

    fn module_item(&mut self, input: &[u8], pos: &mut usize) -> Result<bool, Error> {
        let Some(opcode) = self.token(input, pos, |c| one_of(c, 0, 5, "opcode in a module's data"))? else {
            return Ok(false);
        };
        let item: &'static [Step] = match opcode {
            0 => return Ok(true),
            1 | 2 => &[Step::Num(Part::ModuleNumber)],
            3 => &[Step::Fixed(Part::ModuleFloat, 4)],
            4 => &[Step::Fixed(Part::ModuleDouble, 8)],
            _ => &[Step::Str(Part::ModuleString)],
        };
        // Come back to this step after the item.
        self.frames[self.depth - 1].at -= 1;
        self.enter(item, 1);
        Ok(true)
    }

    /// Makes the kept token at least `len` bytes long; false when the input does not have them.
    fn fill(&mut self, len: usize, input: &[u8], pos: &mut usize) -> bool {
        if len > self.token_len {
            let more = (len - self.token_len).min(input.len() - *pos);
            self.token[self.token_len..self.token_len + more].copy_from_slice(&input[*pos..*pos + more]);
            self.token_len += more;
            *pos += more;
        }
        self.token_len >= len
    }

    /// Reads a token in place, or through the kept one when it is cut.
    #[inline]
    fn token<T>(
        &mut self,
        input: &[u8],
        pos: &mut usize,
        read: impl Fn(&mut Cursor<'_>) -> Read<T>,
    ) -> Result<Option<T>, Error> {
        if self.token_len == 0 {
            let mut cursor = Cursor::new(input, *pos);
            match read(&mut cursor) {
                Ok(token) => {
                    *pos = cursor.pos();
                    return Ok(Some(token));
                }
                Err(Stop::Bad(bad)) => return Err(Error::new(bad.0, bad.1 as u64)),
                Err(Stop::Need(_)) => {}
            }
        }
        self.cut_token(input, pos, read)
    }

    #[cold]
    fn cut_token<T>(
        &mut self,
        input: &[u8],
        pos: &mut usize,
        read: impl Fn(&mut Cursor<'_>) -> Read<T>,
    ) -> Result<Option<T>, Error> {
        loop {
            match read(&mut Cursor::new(&self.token[..self.token_len], 0)) {
                Ok(token) => {
                    self.token_len = 0;
                    return Ok(Some(token));
                }
                Err(Stop::Bad(bad)) => {
                    let (problem, at) = *bad;
                    // The token began before this input did when it was cut.
                    let back = self.token_len - at;
                    return Err(Error::new(problem, (*pos as u64).wrapping_sub(back as u64)));
                }
                Err(Stop::Need(len)) => {
                    if !self.fill(len, input, pos) {
                        return Ok(None);
                    }
                }
            }
        }
    }
}

fn read_len(cursor: &mut Cursor<'_>) -> Read<u64> {
    cursor.len()
}

fn read_str_head(cursor: &mut Cursor<'_>) -> Read<StrHead> {
    cursor.str_head()
}

fn one_of(cursor: &mut Cursor<'_>, from: u64, to: u64, what: &'static str) -> Read<u64> {
    let start = cursor.pos();
    let value = cursor.len()?;
    if (from..=to).contains(&value) { Ok(value) } else { Err(Stop::bad(Problem::Corrupt(what), start)) }
}

/// Hears nothing.
pub(crate) struct Skip;

impl Sink for Skip {
    const DEAF: bool = true;
    type Error = Error;

    #[inline]
    fn number(&mut self, _: Part, _: u64) -> Result<(), Error> {
        Ok(())
    }
    #[inline]
    fn fixed(&mut self, _: Part, _: &[u8]) -> Result<(), Error> {
        Ok(())
    }
    #[inline]
    fn text_double(&mut self, _: TextDouble<'_>) -> Result<(), Error> {
        Ok(())
    }
    #[inline]
    fn count(&mut self, _: Part, _: u64) -> Result<(), Error> {
        Ok(())
    }
    #[inline]
    fn string(&mut self, _: Part, _: StrHead) -> Result<(), Error> {
        Ok(())
    }
    #[inline]
    fn bytes(&mut self, _: &[u8], _: bool) -> Result<(), Error> {
        Ok(())
    }
    #[inline]
    fn template(&mut self, _: u64) -> Result<(), Error> {
        Ok(())
    }
}
