//! A dump as many parts, which a task plans while others are read.

use async_trait::async_trait;
use bytes::Bytes;
use pipeline::{Context, Error, FrameSender, Part, Reader, Result};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// Parts that are planned before a lane is free for them.
const AHEAD: usize = 4;

/// A large table is cut into about this many parts, of between so many bytes.
const SHARE: u64 = 32;
const SMALLEST: u64 = 8 << 20;
const LARGEST: u64 = 64 << 20;

/// Bytes of text that each part of a table of this size should give.
pub(crate) fn target(table: u64) -> u64 {
    (table / SHARE).clamp(SMALLEST, LARGEST)
}

/// Where a planning task puts its parts.
pub(crate) struct Planner(mpsc::Sender<Result<Option<Part>>>);

impl Planner {
    /// Waits until there is room.
    pub(crate) async fn send(&self, part: Part) -> Result<()> {
        self.0.send(Ok(Some(part))).await.map_err(|_| Error::closed())
    }
}

/// The parts of a dump that is under way.
#[derive(Debug)]
pub(crate) struct Planned {
    parts: mpsc::Receiver<Result<Option<Part>>>,
    /// Ends with this.
    _task: JoinSet<()>,
}

impl Planned {
    /// Starts the task.
    pub(crate) fn start<F>(plan: impl FnOnce(Planner) -> F) -> Self
    where
        F: Future<Output = Result<()>> + Send + 'static,
    {
        let (to, parts) = mpsc::channel(AHEAD);
        let plan = plan(Planner(to.clone()));
        let mut task = JoinSet::new();
        task.spawn(async move {
            let last = plan.await.map(|()| None);
            // Whoever wants no more parts has an error of its own.
            to.send(last).await.ok();
        });
        Self { parts, _task: task }
    }

    /// The next part, `None` after the last. Cancel safe.
    pub(crate) async fn next(&mut self) -> Result<Option<Part>> {
        self.parts
            .recv()
            .await
            .unwrap_or_else(|| Err(Error::bug("the planning of a dump ended without a word")))
    }
}

/// A part that is made already: definitions, which are small.
pub(crate) struct Text(pub(crate) Bytes);

#[async_trait]
impl Reader for Text {
    fn memory(&self) -> usize {
        0
    }

    async fn read(self: Box<Self>, out: &mut FrameSender, _: &Context) -> Result<()> {
        out.send(self.0).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pipeline::Format;

    #[tokio::test]
    async fn parts_come_until_the_planner_says_that_they_were_all() {
        let part = || Part::new(Some("a".to_owned()), Some(Format::Opaque), Box::new(Text(Bytes::new())));
        let mut whole = Planned::start(move |to| async move {
            to.send(part()).await?;
            to.send(part()).await
        });
        assert!(whole.next().await.unwrap().is_some() && whole.next().await.unwrap().is_some());
        assert!(whole.next().await.unwrap().is_none());
        let mut broken = Planned::start(move |to| async move {
            to.send(part()).await?;
            Err(Error::source("lost"))
        });
        assert!(broken.next().await.unwrap().is_some());
        assert_eq!(broken.next().await.unwrap_err().exit_code(), 3);
        let mut panicked = Planned::start(|_| async { panic!("as the test wants") });
        assert_eq!(panicked.next().await.unwrap_err().exit_code(), 1);
    }
}
