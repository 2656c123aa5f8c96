//! `pg_dump` for what is no table: the schema in front of the rows, large objects, and what comes behind.
//!
//! All of them start at once, so that each has locked its tables before somebody else queues up to alter one, and then wait for their
//! turn in the stream: a full pipe stops them, and their session has no limit on its time.

use std::time::Duration;

use bytes::Bytes;
use pipeline::endpoint::DatabaseUrl;
use pipeline::{Context, Frame, FrameReceiver, FrameSender, Result, frame, meter::Meter};

use super::super::{client, explain, program};
use super::splice::Splice;
use crate::child;
use crate::window::Joiner;

/// What waits between a `pg_dump` and its turn.
const WAITING: usize = 256 << 10;

/// Processes at most.
const MOST: usize = 3;

/// Bytes that all of them hold.
pub(super) const MEMORY: usize = MOST * (child::MEMORY + WAITING);

/// Sessions that lock every table. The one for large objects locks none.
pub(super) const SESSIONS: usize = 2;

/// What every section is called with.
pub(super) struct Sections<'a> {
    pub(super) url: &'a DatabaseUrl,
    pub(super) client: &'a client::Client,
    pub(super) arguments: &'a [String],
    pub(super) snapshot: &'a str,
    pub(super) encoding: &'a str,
    pub(super) patience: Duration,
}

impl Sections<'_> {
    /// Runs `pg_dump` for one section; the section's end is sent only when it said that it succeeded.
    pub(super) async fn run(
        &self,
        only: &[&str],
        tables: &[String],
        mut out: FrameSender,
        cx: &Context,
    ) -> Result<()> {
        let mut arguments = self.arguments.to_vec();
        arguments.extend(only.iter().map(|argument| (*argument).to_owned()));
        arguments.extend(tables.iter().cloned());
        arguments.push(format!("--snapshot={}", self.snapshot));
        arguments.push(format!("--encoding={}", self.encoding));
        arguments.push(format!("--lock-wait-timeout={}", self.patience.as_millis().max(1)));
        let ended = child::stream(program(self.url, self.client, &arguments)?, &mut out, cx).await?;
        if !ended.status.success() {
            return Err(explain(&ended));
        }
        ended.check(cx)?;
        out.finish().map(|_| ())
    }
}

/// One section, as far as it was delivered.
pub(super) struct Section {
    frames: FrameReceiver,
    input: Bytes,
    splice: Splice,
    tail: Option<Vec<u8>>,
    /// How the text begins.
    head: Vec<u8>,
}

/// A section and where its text comes in; `first` is whether its head is the dump's.
pub(super) fn section(first: bool) -> (FrameSender, Section) {
    let (sender, frames) = frame::channel(WAITING, Meter::new("pg_dump"), Meter::new("sections"));
    (
        sender,
        Section { frames, input: Bytes::new(), splice: Splice::new(first), tail: None, head: Vec::new() },
    )
}

/// Enough for the lines in front of the first statement.
const HEAD: usize = 1024;

impl Section {
    /// The word with which `psql` is let out of its restriction in the end, when the section's head has put it under one.
    pub(super) fn key(&self) -> Option<&[u8]> {
        self.head.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(b"\\restrict "))
    }

    /// Delivers what belongs in front of privileges.
    pub(super) async fn early(&mut self, to: &mut Joiner<'_>) -> Result<()> {
        self.deliver(to).await
    }

    /// Delivers the rest. Answers what ends the dump when this is its last section.
    pub(super) async fn late(mut self, to: &mut Joiner<'_>) -> Result<Vec<u8>> {
        let mut held = Vec::new();
        if self.tail.is_none() {
            self.splice.go_on(&mut held);
            to.text(&held).await?;
            self.deliver(to).await?;
        }
        Ok(self.tail.unwrap_or_default())
    }

    /// Delivers until the first late statement, or the end.
    async fn deliver(&mut self, to: &mut Joiner<'_>) -> Result<()> {
        let mut out = Vec::new();
        while self.tail.is_none() {
            let mut input: &[u8] = &self.input;
            let reached = self.splice.push(&mut input, &mut out)?;
            let taken = self.input.len() - input.len();
            self.input = self.input.split_off(taken);
            if self.head.len() < HEAD {
                self.head.extend(out.iter().take(HEAD));
            }
            to.text(&out).await?;
            out.clear();
            if reached {
                return Ok(());
            }
            match self.frames.recv().await? {
                Frame::Data(data) => self.input = data,
                Frame::End(_) => {
                    self.tail = Some(self.splice.end(&mut out)?);
                    to.text(&out).await?;
                }
            }
        }
        Ok(())
    }
}
