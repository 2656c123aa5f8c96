//! What is kept of the stream, so that a stage can be measured without the others.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use pipeline::{Format, Output, Result, Transform, TransformReport};
use transforms::interpret::sniff;
use transforms::mysql::MysqlInspect;
use transforms::postgres::PostgresInspect;

/// Blocks that are kept or left as a whole.
const BLOCK: usize = 1 << 20;

/// Blocks of a stream in bounded memory, spread evenly over all that has passed: a database begins with its schema and its first table, and neither
/// compresses like the rest.
#[derive(Debug)]
pub(super) struct Kept {
    blocks: Vec<Bytes>,
    most: usize,
    /// Every so manieth block is kept; doubled when there is no more room.
    stride: u64,
    current: Vec<u8>,
    seen: u64,
    rows: Option<u64>,
}

pub(super) type Shared = Arc<Mutex<Kept>>;

impl Kept {
    /// Room for `bytes`, at least one block.
    pub(super) fn within(bytes: usize) -> Shared {
        let most = (bytes / BLOCK).max(1);
        let (blocks, current) = (Vec::new(), Vec::new());
        Arc::new(Mutex::new(Self { blocks, most, stride: 1, current, seen: 0, rows: None }))
    }

    pub(super) fn push(&mut self, mut data: &[u8]) {
        while !data.is_empty() {
            let at = usize::try_from(self.seen % BLOCK as u64).unwrap_or(0);
            let now = data.len().min(BLOCK - at);
            let wanted = (self.seen / BLOCK as u64).is_multiple_of(self.stride);
            if wanted {
                self.current.extend_from_slice(&data[..now]);
            }
            self.seen += now as u64;
            data = &data[now..];
            if wanted && self.current.len() == BLOCK {
                self.close();
            }
        }
    }

    fn close(&mut self) {
        if self.current.is_empty() {
            return;
        }
        self.blocks.push(std::mem::take(&mut self.current).into());
        if self.blocks.len() >= 2 * self.most {
            let mut place = 0..;
            self.blocks.retain(|_| place.next().is_some_and(|place: u64| place.is_multiple_of(2)));
            self.stride *= 2;
        }
    }

    /// The blocks, at most as many as there is room for; whoever takes them is the last to want them.
    pub(super) fn take(&mut self) -> Vec<Bytes> {
        self.close();
        let blocks = std::mem::take(&mut self.blocks);
        let step = blocks.len().div_ceil(self.most).max(1);
        blocks.into_iter().step_by(step).collect()
    }

    /// Bytes that passed.
    pub(super) fn seen(&self) -> u64 {
        self.seen
    }

    /// Rows that passed, where they can be counted.
    pub(super) fn rows(&self) -> Option<u64> {
        self.rows
    }
}

/// Twice the room while it is filled, and the block in the making.
pub(super) fn memory(bytes: usize) -> usize {
    2 * (bytes / BLOCK).max(1) * BLOCK + BLOCK
}

pub(super) fn lock(kept: &Shared) -> std::sync::MutexGuard<'_, Kept> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The first bytes of a stream as its source gave it, for the steps that must begin at the beginning.
#[derive(Debug, Default)]
pub(super) struct Head {
    pub(super) pieces: Vec<Bytes>,
    bytes: usize,
}

impl Head {
    /// As much of the beginning is kept.
    pub(super) const MOST: usize = 8 << 20;

    pub(super) fn push(&mut self, data: &[u8]) {
        let room = Self::MOST.saturating_sub(self.bytes).min(data.len());
        if room > 0 {
            self.bytes += room;
            self.pieces.push(Bytes::copy_from_slice(&data[..room]));
        }
    }
}

/// The last step of the first run: keeps a sample of what compression will get, and counts rows.
pub(super) struct Keep {
    kept: Shared,
    rows: Option<Rows>,
    began: bool,
}

impl Keep {
    pub(super) fn new(kept: Shared) -> Self {
        Self { kept, rows: None, began: false }
    }
}

impl Transform for Keep {
    fn name(&self) -> &'static str {
        "sample"
    }

    fn memory(&self) -> usize {
        // The sample itself is no part of the run's plan: it outlives the run.
        2 << 20
    }

    fn push(&mut self, input: Bytes, out: &mut dyn Output) -> Result<()> {
        if !std::mem::replace(&mut self.began, true) {
            self.rows = Rows::of(sniff(&input));
        }
        lock(&self.kept).push(&input);
        if let Some(rows) = &mut self.rows {
            rows.step.push(input.clone(), &mut Nowhere)?;
        }
        out.emit(input)
    }

    fn finish(self: Box<Self>, _: &mut dyn Output) -> Result<TransformReport> {
        lock(&self.kept).rows = self.rows.and_then(Rows::finish);
        Ok(TransformReport::new("sample"))
    }
}

/// Counts the rows of a dump that may be cut.
struct Rows {
    step: Box<dyn Transform>,
    count: Box<dyn FnOnce() -> u64 + Send>,
    end: &'static [u8],
}

impl Rows {
    fn of(format: Format) -> Option<Self> {
        match format {
            Format::Mysql => {
                let (step, summary) = MysqlInspect::new(false);
                let count = move || {
                    let summary = summary.lock().unwrap_or_else(PoisonError::into_inner);
                    summary.tables.iter().map(|table| table.rows).sum()
                };
                Some(Self { step: Box::new(step), count: Box::new(count), end: b"" })
            }
            Format::Postgres => {
                let (step, summary) = PostgresInspect::new();
                let count = move || {
                    let summary = summary.lock().unwrap_or_else(PoisonError::into_inner);
                    summary.tables.values().filter_map(|table| table.rows).sum()
                };
                // Rows count when they have ended.
                Some(Self { step: Box::new(step), count: Box::new(count), end: b"\n\\.\n" })
            }
            _ => None,
        }
    }

    fn finish(mut self) -> Option<u64> {
        self.step.push(Bytes::from_static(self.end), &mut Nowhere).ok()?;
        self.step.finish(&mut Nowhere).ok()?;
        Some((self.count)()).filter(|rows| *rows > 0)
    }
}

/// Takes everything and keeps nothing.
pub(super) struct Nowhere;

impl Output for Nowhere {
    fn emit(&mut self, _: Bytes) -> Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_spread_over_all_that_passed_and_stay_within_their_room() {
        let kept = Kept::within(4 * BLOCK);
        let mut kept = lock(&kept);
        for block in 0..100_u8 {
            // Cut anywhere.
            kept.push(&vec![block; BLOCK - 7]);
            kept.push(&[block; 7]);
        }
        let firsts: Vec<u8> = kept.take().iter().map(|block| block[0]).collect();
        assert!(firsts.len() <= 4 && firsts.len() > 2, "{firsts:?}");
        assert_eq!(firsts[0], 0);
        assert!(firsts.windows(2).all(|two| two[1] - two[0] == firsts[1]), "evenly: {firsts:?}");
        assert!(*firsts.last().unwrap() >= 64, "over all of it: {firsts:?}");
        assert_eq!(kept.seen(), 100 * BLOCK as u64);
    }

    #[test]
    fn rows_of_a_cut_dump_are_counted() {
        for (text, rows) in [
            ("-- PostgreSQL database dump\nCOPY public.t (a) FROM stdin;\n1\n2\n3", 3),
            ("-- MySQL dump 10\nINSERT INTO `t` VALUES (1),\n(2),\n(3)", 3),
            ("-- MySQL dump 10\nINSERT INTO `t` VALUES (1),\n(2);\nINSERT INTO `t` VALUES (1);\n", 3),
        ] {
            let kept = Kept::within(BLOCK);
            let mut keep = Keep::new(Arc::clone(&kept));
            let mut out = Vec::new();
            keep.push(Bytes::from(text), &mut out).unwrap();
            Box::new(keep).finish(&mut out).unwrap();
            assert_eq!(out, text.as_bytes());
            assert_eq!(lock(&kept).rows(), Some(rows), "{text}");
        }
    }
}
