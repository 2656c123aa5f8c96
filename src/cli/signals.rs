//! The first SIGINT or SIGTERM ends the run in an orderly way; the second ends it at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Remembers which signal came.
#[derive(Debug, Clone, Default)]
pub(crate) struct Signals(Arc<AtomicI32>);

impl Signals {
    /// Starts to listen; `cancel` is cancelled by the first signal. Must be called within the runtime.
    pub(crate) fn listen(cancel: CancellationToken) -> std::io::Result<Self> {
        let this = Self::default();
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let seen = Arc::clone(&this.0);
        tokio::spawn(async move {
            loop {
                let number = tokio::select! {
                    _ = interrupt.recv() => 2,
                    _ = terminate.recv() => 15,
                };
                if seen.swap(number, Ordering::Relaxed) != 0 {
                    sources::kill_children();
                    // Staged files are hidden and recognisable, so nothing that is left can be taken for an archive.
                    #[allow(clippy::exit, reason = "the user asked twice: no clean-up any more")]
                    std::process::exit(128 + number);
                }
                cancel.cancel();
            }
        });
        Ok(this)
    }

    /// The signal that ended the run, if one did.
    pub(crate) fn seen(&self) -> Option<i32> {
        match self.0.load(Ordering::Relaxed) {
            0 => None,
            number => Some(number),
        }
    }
}
