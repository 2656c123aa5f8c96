//! One ordered stream out of pieces that several connections fetch at once.
//!
//! Every piece has its place in the stream before anybody fetches it, and a bounded queue of its own: a connection that is ahead of its
//! turn fills that queue and then waits. So memory is bounded by the number of places, however large a piece turns out to be.

use bytes::Bytes;
use pipeline::{Error, FrameSender, Kind, Result};
use tokio::sync::mpsc;

/// How long the buffers are in which connections hand rows on.
pub(crate) const PIECE: usize = 512 << 10;

/// Buffers that are held of a piece while an earlier one is still being delivered.
const AHEAD: usize = 8;

/// Small buffers are joined up to this length before they are handed on.
const JOINED: usize = 256 << 10;

/// Text that a piece of a table should give. It fits into the piece's queue, so that no connection waits for its turn.
pub(crate) const TARGET: u64 = 3 << 20;

/// What one connection fetched of a piece.
pub(crate) enum Fetched {
    Data(Bytes),
    /// The server said that this was all.
    End,
    Failed(Error),
}

/// Where the rows of a range go.
pub(crate) enum Outlet<'a> {
    /// The queue of a piece of one stream.
    Piece(&'a mpsc::Sender<Fetched>),
    /// A part of their own.
    Part(&'a mut FrameSender),
}

impl Outlet<'_> {
    /// Waits until there is room. False when nobody takes the rows any more.
    pub(crate) async fn send(&mut self, data: Bytes) -> Result<bool> {
        match self {
            Self::Piece(to) => Ok(to.send(Fetched::Data(data)).await.is_ok()),
            Self::Part(out) => out.send(data).await.map(|()| true),
        }
    }
}

/// The queue of one piece. Closed without [`Fetched::End`] when the connection is gone.
pub(crate) fn piece() -> (mpsc::Sender<Fetched>, mpsc::Receiver<Fetched>) {
    mpsc::channel(AHEAD)
}

/// Pieces that are fetched or wait to be delivered.
pub(crate) fn places(readers: usize) -> usize {
    readers * 2
}

/// Bytes that the reader of a part of its own holds, beside its connection's: a buffer that is filled, and one on its way.
pub(crate) const PART: usize = 3 * PIECE;

/// Bytes that pieces hold which wait, and what delivers them.
pub(crate) fn memory(readers: usize) -> usize {
    places(readers) * AHEAD * PIECE + readers * PIECE + 2 * JOINED
}

/// Puts a stream together.
pub(crate) struct Joiner<'a> {
    out: &'a mut FrameSender,
    small: Vec<u8>,
}

impl<'a> Joiner<'a> {
    pub(crate) fn new(out: &'a mut FrameSender) -> Self {
        Self { out, small: Vec::new() }
    }

    /// Text of any length.
    pub(crate) async fn text(&mut self, text: &[u8]) -> Result<()> {
        self.small.extend_from_slice(text);
        if self.small.len() >= JOINED {
            self.flush().await?;
        }
        Ok(())
    }

    /// A whole piece; `place` is the server, for the message when its connection is gone.
    pub(crate) async fn rows(&mut self, mut piece: mpsc::Receiver<Fetched>, place: &str) -> Result<()> {
        loop {
            match piece.recv().await {
                Some(Fetched::Data(data)) if data.len() >= JOINED => {
                    self.flush().await?;
                    self.out.send(data).await?;
                }
                Some(Fetched::Data(data)) => self.text(&data).await?,
                Some(Fetched::End) => return Ok(()),
                Some(Fetched::Failed(error)) => return Err(error),
                None => {
                    return Err(Error::source(format!("a connection to {place} ended without a word"))
                        .of_kind(Kind::Temporary));
                }
            }
        }
    }

    /// Hands on what is held; nothing is lost only if this is called in the end.
    pub(crate) async fn flush(&mut self) -> Result<()> {
        if self.small.is_empty() {
            return Ok(());
        }
        self.out.send(std::mem::take(&mut self.small).into()).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pipeline::{Frame, frame, meter::Meter};

    #[tokio::test]
    async fn pieces_come_whole_and_in_order() {
        let (mut out, mut frames) = frame::channel(64 << 20, Meter::new("a"), Meter::new("b"));
        let mut joiner = Joiner::new(&mut out);
        let mut expected = Vec::new();
        let mut places = Vec::new();
        for index in 0..20_u8 {
            let (to, rows) = piece();
            places.push(rows);
            let data = vec![index; usize::from(index) * 40_000];
            expected.extend_from_slice(&data);
            // The last begins first.
            tokio::spawn(async move {
                for _ in index..20 {
                    tokio::task::yield_now().await;
                }
                to.send(Fetched::Data(data.into())).await.ok();
                to.send(Fetched::End).await.ok();
            });
        }
        for rows in places {
            joiner.rows(rows, "here").await.unwrap();
            joiner.text(b"|").await.unwrap();
        }
        joiner.flush().await.unwrap();
        out.finish().unwrap();
        let mut all = Vec::new();
        while let Frame::Data(data) = frames.recv().await.unwrap() {
            all.extend_from_slice(&data);
        }
        all.retain(|byte| *byte != b'|');
        assert!(all == expected);
    }

    #[tokio::test]
    async fn a_connection_that_is_gone_is_no_end() {
        let (mut out, _frames) = frame::channel(1 << 20, Meter::new("a"), Meter::new("b"));
        let mut joiner = Joiner::new(&mut out);
        let (to, rows) = piece();
        to.send(Fetched::Data(Bytes::from_static(b"half"))).await.unwrap();
        drop(to);
        assert_eq!(joiner.rows(rows, "here").await.unwrap_err().exit_code(), 75);
        let (to, rows) = piece();
        to.send(Fetched::Failed(Error::source("broken"))).await.ok();
        assert_eq!(joiner.rows(rows, "here").await.unwrap_err().exit_code(), 3);
    }
}
