//! A snapshot's content for other programs: commands for a server, or lines of JSON.
//!
//! Elements are written as they are decoded, so a key's size does not matter. What must be held (a packed collection, a sorted set's member until
//! its score is known) is bounded, and larger ones are refused.

mod json;

use std::mem;

use formats::rdb::commands::{self, Commands, Refused};
use formats::rdb::{Decoder, Event, Key, Record};
use pipeline::{Error, Format, Output, Result};

use super::step::Fail;

/// Largest packed collection, and largest string that must be held whole.
const HELD: usize = commands::HELD;

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

impl From<Refused> for Fail {
    fn from(refused: Refused) -> Self {
        Self::Ours(
            Error::transform(refused.what)
                .with("offset", refused.offset)
                .with("key", refused.key.escape_ascii())
                .hint("leave such keys out: --redis-drop modules, --types, --drop-keys"),
        )
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
    Resp(Box<Commands>),
    Json(json::Json),
}

impl Text {
    pub(super) fn new(form: TextForm) -> Self {
        Self {
            decoder: Decoder::with_packed_limit(HELD),
            in_key: false,
            out: Vec::new(),
            writer: match form {
                TextForm::Resp => Writer::Resp(Box::default()),
                TextForm::Json => Writer::Json(json::Json::default()),
            },
        }
    }

    pub(super) fn select(&mut self, db: u64) {
        match &mut self.writer {
            Writer::Resp(_) => commands::select(db, &mut self.out),
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
                        decoder.push::<Fail, _>(record.raw, &mut |item| Ok(resp.item(&item, out)?))?;
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
                    commands::command(out, &[b"FUNCTION", b"LOAD", b"REPLACE", library]);
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
        Writer::Resp(resp) => Ok(resp.begin(key, offset, out)?),
        Writer::Json(json) => {
            json.begin(key, out);
            Ok(())
        }
    }
}
