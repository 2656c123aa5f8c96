//! Reads with blocking calls on a thread of their own, so that a slow disk or a dead network mount holds up nobody else.

use bytes::Bytes;
use pipeline::{Context, Error, FrameSender, Result};
use tokio::sync::{mpsc, oneshot};

/// Pieces on their way besides those in the channel: one made, one waiting, one being sent.
pub(crate) const PIECES: usize = 3;

/// Where the thread puts what it reads.
pub(crate) struct Outlet(mpsc::Sender<Bytes>);

impl Outlet {
    /// Waits until there is room. Fails when nobody wants more.
    pub(crate) fn send(&self, data: Bytes) -> Result<()> {
        self.0.blocking_send(data).map_err(|_| Error::closed())
    }
}

/// Runs `work` on a new thread and sends what it puts out. When the run is cancelled or this future is dropped, the thread ends at
/// its next send; one that hangs in a read is left behind, because nothing can end that.
pub(crate) async fn stream<T: Send + 'static>(
    name: &str,
    out: &mut FrameSender,
    cx: &Context,
    work: impl FnOnce(&Outlet) -> Result<T> + Send + 'static,
) -> Result<T> {
    let (tx, mut rx) = mpsc::channel(1);
    let (done, ended) = oneshot::channel();
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || {
            let outlet = Outlet(tx);
            // Refused when the reader was dropped meanwhile: nobody is there to be told.
            done.send(work(&outlet)).ok();
        })
        .map_err(|error| Error::source("no thread can be started").caused_by(error))?;
    let forward = async {
        while let Some(data) = rx.recv().await {
            out.send(data).await?;
        }
        ended.await.map_err(|_| Error::bug("a reading thread ended without a result"))?
    };
    tokio::select! {
        biased;
        () = cx.cancellation().cancelled() => Err(Error::cancelled()),
        result = forward => result,
    }
}
