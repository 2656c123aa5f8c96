//! A snapshot's content for other programs: commands for a server, or lines of JSON.
//!
//! Elements are written as they are decoded, so a key's size does not matter. What must be held (a packed collection, a sorted set's member until
//! its score is known) is bounded, and larger ones are refused.

mod json;
mod resp;

use std::io::Write as _;
use std::mem;

use formats::rdb::{Decoder, Event, Key, Record};
use pipeline::{Format, Output, Result};

use super::step::Fail;

/// Largest packed collection, and largest string that must be held whole.
const HELD: usize = 8 << 20;

/// What a text form holds at most: a packed collection, what it decompresses to, held strings, output of one piece.
pub(super) const MEMORY: usize = 4 * HELD;

/// Which form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextForm {
    /// Commands in RESP, as `redis-cli --pipe` takes them.
    Resp,
    /// An object for each key, a line for each object.
    Json,
}

impl TextForm {
    /// Its word on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Resp => "resp",
            Self::Json => "json",
        }
    }

    /// The format of what is written.
    pub fn format(self) -> Format {
        match self {
            Self::Resp => Format::Resp,
            Self::Json => Format::JsonLines,
        }
    }
}

/// Writes text.
#[derive(Debug)]
pub(super) struct Text {
    decoder: Decoder,
    in_key: bool,
    out: Vec<u8>,
    writer: Writer,
}

#[derive(Debug)]
enum Writer {
    Resp(resp::Resp),
    Json(json::Json),
}

impl Text {
    pub(super) fn new(form: TextForm) -> Self {
        Self {
            decoder: Decoder::with_packed_limit(HELD),
            in_key: false,
            out: Vec::new(),
            writer: match form {
                TextForm::Resp => Writer::Resp(resp::Resp::default()),
                TextForm::Json => Writer::Json(json::Json::default()),
            },
        }
    }

    pub(super) fn select(&mut self, db: u64) {
        match &mut self.writer {
            Writer::Resp(_) => resp::select(db, &mut self.out),
            Writer::Json(json) => json.select(db),
        }
    }

    pub(super) fn record(&mut self, record: &Record<'_>) -> Result<(), Fail> {
        let Self { decoder, in_key, out, writer } = self;
        match &record.event {
            Event::Key(key) => {
                *in_key = true;
                decoder.begin(key.kind);
                begin(writer, key, record.offset, out)
            }
            Event::Chunk(chunk) if *in_key => {
                match writer {
                    Writer::Resp(resp) => {
                        decoder.push::<Fail, _>(record.raw, &mut |item| resp.item(&item, out))?;
                    }
                    Writer::Json(json) => {
                        decoder.push::<Fail, _>(record.raw, &mut |item| {
                            json.item(&item, out);
                            Ok(())
                        })?;
                    }
                }
                if chunk.last {
                    *in_key = false;
                    match writer {
                        Writer::Resp(resp) => resp.end(out)?,
                        Writer::Json(json) => json.end(out),
                    }
                }
                Ok(())
            }
            Event::Function { library } => {
                if let Writer::Resp(_) = writer {
                    resp::command(out, &[b"FUNCTION", b"LOAD", b"REPLACE", library]);
                }
                Ok(())
            }
            Event::HashTemplate { id, count, fields } => Ok(decoder.template(*id, *count, fields)?),
            _ => Ok(()),
        }
    }

    /// Hands on what was written.
    pub(super) fn emit(&mut self, out: &mut dyn Output) -> Result<()> {
        if self.out.is_empty() {
            return Ok(());
        }
        let room = Vec::with_capacity(self.out.len());
        out.emit(mem::replace(&mut self.out, room).into())
    }
}

fn begin(writer: &mut Writer, key: &Key<'_>, offset: u64, out: &mut Vec<u8>) -> Result<(), Fail> {
    match writer {
        Writer::Resp(resp) => resp.begin(key, offset, out),
        Writer::Json(json) => {
            json.begin(key, out);
            Ok(())
        }
    }
}

/// Appends a decimal number.
#[inline]
fn push_number(out: &mut Vec<u8>, number: i64) {
    if number < 0 {
        out.push(b'-');
    }
    push_unsigned(out, number.unsigned_abs());
}

/// The same without a sign.
#[inline]
fn push_unsigned(out: &mut Vec<u8>, number: u64) {
    let mut room = [0_u8; 20];
    let mut at = room.len();
    let mut rest = number;
    loop {
        at -= 1;
        room[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&room[at..]);
}

/// Appends a finite score as text that reads as the same number. Nearly all have three decimals or fewer, and those are found by a division,
/// which rounds as the reader of the text does; the general way costs four times as much.
#[inline]
fn push_score(out: &mut Vec<u8>, score: f64) {
    let thousands = score * 1000.0;
    #[allow(clippy::cast_possible_truncation, reason = "it is below 2^53")]
    let whole = thousands as i64;
    #[allow(clippy::float_cmp, reason = "the same number is meant")]
    let exact = thousands.abs() < 9e15 && whole as f64 == thousands && whole as f64 / 1000.0 == score;
    if !exact || (whole == 0 && score.is_sign_negative()) {
        // Writing to a vector cannot fail.
        drop(write!(out, "{score}"));
        return;
    }
    if whole < 0 {
        out.push(b'-');
    }
    let (whole, thousandths) = (whole.unsigned_abs() / 1000, whole.unsigned_abs() % 1000);
    push_unsigned(out, whole);
    let digits = [b'.', digit(thousandths / 100), digit(thousandths / 10), digit(thousandths)];
    let kept = match thousandths {
        0 => 0,
        _ if thousandths.is_multiple_of(100) => 2,
        _ if thousandths.is_multiple_of(10) => 3,
        _ => 4,
    };
    out.extend_from_slice(&digits[..kept]);
}

fn digit(number: u64) -> u8 {
    b'0' + (number % 10) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_read_as_the_same_number() {
        let mut seed = 7_u64;
        let random = std::iter::repeat_with(|| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            f64::from_bits(seed)
        });
        let decimals = (-3000..3000).map(|n| f64::from(n) / 1000.0);
        let some = [
            0.0,
            -0.0,
            1.5,
            0.1,
            1e15,
            1e16,
            -1e22,
            9_007_199_254_740_993.0,
            8.9e12 + 0.001,
            f64::MIN_POSITIVE,
        ];
        for score in random.take(20_000).filter(|score| score.is_finite()).chain(decimals).chain(some) {
            let mut text = Vec::new();
            push_score(&mut text, score);
            let text = String::from_utf8(text).unwrap();
            assert_eq!(text.parse::<f64>().unwrap().to_bits(), score.to_bits(), "{text}");
            assert_eq!(text, score.to_string());
        }
        for number in [0, 9, 10, -1, i64::MAX, i64::MIN] {
            let mut text = Vec::new();
            push_number(&mut text, number);
            assert_eq!(text, number.to_string().as_bytes());
        }
    }
}
