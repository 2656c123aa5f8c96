//! What travels between stages: pieces of a byte stream and its explicit end, over channels bounded in bytes.
//!
//! The end of a stream is a message that carries the byte count. A channel that closes without it is *truncated*,
//! never end of file: a stage that died cannot be mistaken for one that finished.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Instant;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::error::{Error, Result};
use crate::meter::Meter;

/// One message of a stream.
#[derive(Debug, Clone)]
pub enum Frame {
    /// The next piece; never empty.
    Data(Bytes),
    /// The stream is complete.
    End(StreamEnd),
}

/// The end of a stream, as its producer counted it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamEnd {
    /// Bytes in all pieces before the end.
    pub bytes: u64,
}

struct Item {
    frame: Frame,
    // Held until the receiver pops the item: this is the bound.
    permit: Option<OwnedSemaphorePermit>,
}

/// A channel that holds at most `capacity` bytes. The two meters belong to the stages at its ends.
pub fn channel(capacity: usize, producer: Arc<Meter>, consumer: Arc<Meter>) -> (FrameSender, FrameReceiver) {
    // A permit is one byte; a request is a u32, and a larger piece is clamped to the whole capacity.
    let capacity = u32::try_from(capacity.max(1)).unwrap_or(u32::MAX);
    let room = Arc::new(Semaphore::new(capacity as usize));
    let (tx, rx) = mpsc::unbounded_channel();
    (
        FrameSender { tx, room: Arc::clone(&room), capacity, sent: 0, meter: producer },
        FrameReceiver { rx, room, received: 0, ended: false, meter: consumer },
    )
}

/// The producing end. Dropping it without [`FrameSender::finish`] truncates the stream.
#[derive(Debug)]
pub struct FrameSender {
    tx: mpsc::UnboundedSender<Item>,
    room: Arc<Semaphore>,
    capacity: u32,
    sent: u64,
    meter: Arc<Meter>,
}

impl std::fmt::Debug for Item {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.frame.fmt(f)
    }
}

impl FrameSender {
    /// Waits for room and sends. A piece larger than the whole capacity waits until the channel is empty, so it cannot
    /// deadlock. Cancel safe: a dropped call has sent nothing. Fails with a `Closed` error when the receiver is gone.
    pub async fn send(&mut self, data: Bytes) -> Result<()> {
        if data.is_empty() {
            return Ok(());
        }
        let want = self.want(&data);
        let permit = if let Ok(permit) = Arc::clone(&self.room).try_acquire_many_owned(want) {
            permit
        } else {
            let since = Instant::now();
            let permit = Arc::clone(&self.room).acquire_many_owned(want).await;
            self.meter.waited_for_output(since);
            permit.map_err(|_| Error::closed())?
        };
        self.put(data, permit)
    }

    /// [`FrameSender::send`] for a plain thread.
    pub fn send_blocking(&mut self, data: Bytes) -> Result<()> {
        block_on(self.send(data))
    }

    /// Bytes sent so far.
    pub fn bytes(&self) -> u64 {
        self.sent
    }

    /// Says that the stream is complete. Only the engine calls this, after the stage has returned success.
    pub fn finish(self) -> Result<StreamEnd> {
        let end = StreamEnd { bytes: self.sent };
        self.tx.send(Item { frame: Frame::End(end), permit: None }).map_err(|_| Error::closed())?;
        Ok(end)
    }

    fn want(&self, data: &Bytes) -> u32 {
        u32::try_from(data.len()).unwrap_or(u32::MAX).min(self.capacity)
    }

    fn put(&mut self, data: Bytes, permit: OwnedSemaphorePermit) -> Result<()> {
        let len = data.len();
        self.tx.send(Item { frame: Frame::Data(data), permit: Some(permit) }).map_err(|_| Error::closed())?;
        self.sent += len as u64;
        self.meter.sent(len);
        Ok(())
    }
}

/// The consuming end.
#[derive(Debug)]
pub struct FrameReceiver {
    rx: mpsc::UnboundedReceiver<Item>,
    room: Arc<Semaphore>,
    received: u64,
    ended: bool,
    meter: Arc<Meter>,
}

impl FrameReceiver {
    /// The next message. Cancel safe. A channel that closed before its end is a `Closed` error: the producer's own
    /// error tells why. An end whose count differs from what arrived is a bug and says so.
    pub async fn recv(&mut self) -> Result<Frame> {
        let item = if let Ok(item) = self.rx.try_recv() {
            Some(item)
        } else {
            let since = Instant::now();
            let item = self.rx.recv().await;
            self.meter.waited_for_input(since);
            item
        };
        let Some(Item { frame, permit }) = item else { return Err(self.closed_early()) };
        drop(permit);
        match &frame {
            Frame::Data(data) => {
                self.received += data.len() as u64;
                self.meter.received(data.len());
            }
            Frame::End(end) if end.bytes != self.received => {
                return Err(Error::bug("bytes were lost between two stages")
                    .with("sent", end.bytes)
                    .with("received", self.received));
            }
            Frame::End(_) => self.ended = true,
        }
        Ok(frame)
    }

    /// [`FrameReceiver::recv`] for a plain thread.
    pub fn recv_blocking(&mut self) -> Result<Frame> {
        block_on(self.recv())
    }

    fn closed_early(&self) -> Error {
        if self.ended { Error::bug("read past the end of a stream") } else { Error::closed() }
    }
}

impl Drop for FrameReceiver {
    fn drop(&mut self) {
        // Wakes a producer that waits for room that nobody will make.
        self.room.close();
    }
}

/// Runs a future of tokio's runtime-independent primitives on a plain thread.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut cx = std::task::Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut cx) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    fn pair(capacity: usize) -> (FrameSender, FrameReceiver) {
        channel(capacity, Meter::new("a"), Meter::new("b"))
    }

    #[tokio::test]
    async fn end_carries_the_count() {
        let (mut tx, mut rx) = pair(16);
        tx.send(Bytes::from_static(b"hello")).await.unwrap();
        tx.finish().unwrap();
        assert!(matches!(rx.recv().await.unwrap(), Frame::Data(d) if d == "hello"));
        assert!(matches!(rx.recv().await.unwrap(), Frame::End(StreamEnd { bytes: 5 })));
        assert_eq!(rx.recv().await.unwrap_err().kind(), Kind::Bug);
    }

    #[tokio::test]
    async fn drop_without_finish_is_not_an_end() {
        let (mut tx, mut rx) = pair(16);
        tx.send(Bytes::from_static(b"hello")).await.unwrap();
        drop(tx);
        rx.recv().await.unwrap();
        assert_eq!(rx.recv().await.unwrap_err().kind(), Kind::Closed);
    }

    #[tokio::test]
    async fn capacity_is_counted_in_bytes() {
        let (mut tx, mut rx) = pair(10);
        tx.send(Bytes::from_static(b"123456")).await.unwrap();
        let mut blocked = Box::pin(tx.send(Bytes::from_static(b"78901")));
        let soon = std::time::Duration::from_millis(20);
        assert!(tokio::time::timeout(soon, &mut blocked).await.is_err(), "11 bytes do not fit in 10");
        rx.recv().await.unwrap();
        blocked.await.unwrap();
    }

    #[tokio::test]
    async fn an_oversize_piece_takes_the_whole_channel_and_does_not_deadlock() {
        let (mut tx, mut rx) = pair(4);
        tx.send(Bytes::from(vec![0; 100])).await.unwrap();
        let mut second = Box::pin(tx.send(Bytes::from_static(b"x")));
        let soon = std::time::Duration::from_millis(20);
        assert!(tokio::time::timeout(soon, &mut second).await.is_err());
        rx.recv().await.unwrap();
        second.await.unwrap();
    }

    #[tokio::test]
    async fn a_dropped_receiver_wakes_a_blocked_sender() {
        let (mut tx, rx) = pair(4);
        tx.send(Bytes::from_static(b"1234")).await.unwrap();
        let blocked = std::thread::spawn(move || tx.send_blocking(Bytes::from_static(b"5")));
        std::thread::sleep(std::time::Duration::from_millis(20));
        drop(rx);
        assert_eq!(blocked.join().unwrap().unwrap_err().kind(), Kind::Closed);
    }
}
