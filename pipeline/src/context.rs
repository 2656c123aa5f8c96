//! What every stage of a run shares: cancellation, meters, and a place to say things to the user.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::meter::{Board, Reading};

/// Something that happened during a run.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// The user should know, and the run goes on. Kept for the summary and the manifest as well.
    Warning(&'a str),
    /// Worth a line for those who asked for more.
    Info(&'a str),
    /// A regular look at the meters, about ten times a second.
    Progress(&'a Progress),
}

/// How far a run is.
#[derive(Debug, Clone)]
pub struct Progress {
    /// Time since the run began.
    pub elapsed: Duration,
    /// One row per stage.
    pub stages: Vec<Reading>,
    /// Bytes that the source is expected to deliver in all, where that is known or estimated.
    pub expected: Option<u64>,
}

/// Receives events; a progress bar, a log, or a test. Called from any thread; must not block for long.
pub trait Observer: Send + Sync {
    /// Takes one event.
    fn on_event(&self, event: &Event<'_>);
}

/// An observer that takes no notice.
#[derive(Debug, Clone, Copy)]
pub struct Silent;

impl Observer for Silent {
    fn on_event(&self, _: &Event<'_>) {}
}

/// Handed to every stage; cheap to clone.
#[derive(Clone)]
pub struct Context {
    cancel: CancellationToken,
    board: Board,
    observer: Arc<dyn Observer>,
    warnings: Arc<Mutex<Vec<String>>>,
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context").field("cancelled", &self.cancel.is_cancelled()).finish_non_exhaustive()
    }
}

impl Context {
    /// A context that ends when `cancel` is cancelled.
    pub fn new(cancel: CancellationToken, observer: Arc<dyn Observer>) -> Self {
        Self { cancel, board: Board::default(), observer, warnings: Arc::default() }
    }

    /// A context that nobody watches or cancels, for tests and small look-ups.
    pub fn silent() -> Self {
        Self::new(CancellationToken::new(), Arc::new(Silent))
    }

    /// Cancelled when the run must end: a signal, or another stage's failure. A stage that owns something outside the
    /// process (a child, an upload) watches this and lets go of it in an orderly way.
    pub fn cancellation(&self) -> &CancellationToken {
        &self.cancel
    }

    /// The meters of the run.
    pub fn board(&self) -> &Board {
        &self.board
    }

    /// Tells the user something that does not end the run. Never a secret.
    pub fn warn(&self, text: impl Into<String>) {
        let text = text.into();
        self.observer.on_event(&Event::Warning(&text));
        self.warnings.lock().unwrap_or_else(PoisonError::into_inner).push(text);
    }

    /// Tells those who asked for more. Never a secret.
    pub fn info(&self, text: impl AsRef<str>) {
        self.observer.on_event(&Event::Info(text.as_ref()));
    }

    /// The warnings so far, in order.
    pub fn warnings(&self) -> Vec<String> {
        self.warnings.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn observe(&self, event: &Event<'_>) {
        self.observer.on_event(event);
    }

    /// The same board and observer under a cancellation of its own, which the outer one includes.
    #[must_use]
    pub(crate) fn child(&self) -> Self {
        Self { cancel: self.cancel.child_token(), ..self.clone() }
    }
}
