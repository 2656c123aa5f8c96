//! Blocking writes off the async threads, one piece ahead.
//!
//! A write to a file or a pipe blocks, and a stalled disk blocks for minutes. So what arrives is gathered until it is worth a trip to a
//! blocking thread, and the next pieces are gathered while that one is written.

use bytes::Bytes;
use pipeline::{Error, Result};
use tokio::task::JoinHandle;

/// Bytes per trip: a trip costs about 10 µs, a MiB at 4 GB/s 250 µs.
pub(crate) const BATCH: usize = 1 << 20;

/// Pieces shorter than this are copied together: a piece of one byte would cost a call and 32 bytes of bookkeeping.
const SMALL: usize = 64 << 10;

/// Where the bytes end; called on a blocking thread.
pub(crate) trait Drain: Send + 'static {
    /// Writes all of it.
    fn drain(&mut self, data: &[u8]) -> Result<()>;
}

/// Gathers and writes.
pub(crate) struct Writer<D> {
    pieces: Vec<Bytes>,
    tail: Vec<u8>,
    gathered: usize,
    state: State<D>,
}

enum State<D> {
    Idle(D),
    Busy(JoinHandle<(D, Result<()>)>),
    Broken,
}

impl<D: Drain> Writer<D> {
    /// Bytes that a writer holds at most, with pieces up to [`BATCH`]: one batch being written, one being gathered, and their last pieces.
    pub(crate) const MEMORY: usize = 4 * BATCH;

    pub(crate) fn new(drain: D) -> Self {
        Self { pieces: Vec::new(), tail: Vec::new(), gathered: 0, state: State::Idle(drain) }
    }

    /// Takes a piece; an error may be that of an earlier one.
    pub(crate) async fn write(&mut self, data: Bytes) -> Result<()> {
        self.gathered += data.len();
        if data.len() < SMALL {
            self.tail.extend_from_slice(&data);
        } else {
            self.close_tail();
            self.pieces.push(data);
        }
        if self.gathered >= BATCH { self.send().await } else { Ok(()) }
    }

    /// Writes what is left and gives the drain back.
    pub(crate) async fn finish(mut self) -> Result<D> {
        self.send().await?;
        self.idle().await
    }

    fn close_tail(&mut self) {
        if !self.tail.is_empty() {
            self.pieces.push(std::mem::take(&mut self.tail).into());
        }
    }

    async fn send(&mut self) -> Result<()> {
        let mut drain = self.idle().await?;
        self.close_tail();
        let pieces = std::mem::take(&mut self.pieces);
        self.gathered = 0;
        self.state = State::Busy(tokio::task::spawn_blocking(move || {
            let written = pieces.iter().try_for_each(|piece| drain.drain(piece));
            (drain, written)
        }));
        Ok(())
    }

    // Leaves the writer broken; the caller puts a state back.
    async fn idle(&mut self) -> Result<D> {
        if let State::Busy(busy) = &mut self.state {
            // Awaited in place: a call that is dropped here has lost nothing.
            let done = busy.await;
            self.state = State::Broken;
            let (drain, written) = done.map_err(|error| Error::bug("a write panicked").caused_by(error))?;
            written?;
            return Ok(drain);
        }
        match std::mem::replace(&mut self.state, State::Broken) {
            State::Idle(drain) => Ok(drain),
            _ => Err(Error::bug("a write after a write that failed")),
        }
    }
}

/// Runs a short blocking call off the async threads. When the caller goes away the call still runs to its end, and its result is dropped there.
pub(crate) async fn blocking<T: Send + 'static>(
    call: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(call).await {
        Ok(result) => result,
        Err(error) if error.is_cancelled() => Err(Error::cancelled()),
        Err(error) => Err(Error::bug("a call to the file system panicked").caused_by(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    struct Gate {
        opened: mpsc::Receiver<()>,
        written: Vec<u8>,
        calls: usize,
    }

    impl Drain for Gate {
        fn drain(&mut self, data: &[u8]) -> Result<()> {
            self.opened.recv().map_err(|_| Error::sink("gate shut"))?;
            self.written.extend_from_slice(data);
            self.calls += 1;
            Ok(())
        }
    }

    #[tokio::test]
    async fn small_pieces_are_joined_and_large_ones_kept() {
        let (open, opened) = mpsc::channel();
        for _ in 0..100 {
            open.send(()).expect("open");
        }
        let mut writer = Writer::new(Gate { opened, written: Vec::new(), calls: 0 });
        let mut expected = Vec::new();
        for index in 0..2_000_u32 {
            let piece = vec![
                index.to_le_bytes()[0];
                if index % 1000 == 7 { SMALL } else { 1 + (index % 3) as usize }
            ];
            expected.extend_from_slice(&piece);
            writer.write(piece.into()).await.expect("write");
        }
        let gate = writer.finish().await.expect("finish");
        assert_eq!(gate.written, expected);
        assert_eq!(gate.calls, 5, "small, large, small, large, small");
    }

    #[tokio::test]
    async fn gathers_one_batch_ahead_and_then_waits() {
        let (open, opened) = mpsc::channel();
        let mut writer = Writer::new(Gate { opened, written: Vec::new(), calls: 0 });
        let piece = Bytes::from(vec![1; BATCH / 4]);
        // Four pieces go to the stuck thread, three more are gathered, and the eighth has to wait.
        for _ in 0..7 {
            writer.write(piece.clone()).await.expect("room");
        }
        let mut late = Box::pin(writer.write(piece.clone()));
        let soon = std::time::Duration::from_millis(20);
        assert!(tokio::time::timeout(soon, &mut late).await.is_err());
        for _ in 0..8 {
            open.send(()).expect("open");
        }
        late.await.expect("room again");
        assert_eq!(writer.finish().await.expect("finish").written.len(), 2 * BATCH);
    }

    #[tokio::test]
    async fn an_error_comes_once_and_then_the_writer_is_broken() {
        let (open, opened) = mpsc::channel();
        drop(open);
        let mut writer = Writer::new(Gate { opened, written: Vec::new(), calls: 0 });
        writer.write(vec![1; BATCH].into()).await.expect("gathered");
        let error = writer.write(vec![1; BATCH].into()).await.expect_err("the first batch failed");
        assert!(error.to_string().contains("gate shut"));
        assert!(writer.finish().await.is_err());
    }
}
