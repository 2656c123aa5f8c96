//! Several connections of one load: whichever is free takes the next unit. Such a load is no transaction, so it is written down what it has done.

use std::ops::AddAssign;
use std::time::Duration;

use pipeline::{Error, Kind, Result};
use tokio::sync::Mutex;
use tokio::task::JoinSet;

/// One connection, and what it does with a unit. It is made when there is work for it, and kept.
pub(crate) trait Worker: Send + 'static {
    type Unit: Send + Sync + 'static;
    /// What a unit came to.
    type Done: AddAssign + Default + Send + 'static;

    /// Bytes that a unit holds on its way.
    fn size(unit: &Self::Unit) -> usize;

    /// Brings a unit to its place, over failures that pass.
    fn run(&mut self, unit: &Self::Unit) -> impl Future<Output = Result<Self::Done>> + Send;
}

/// Workers, and the units on their way.
pub(crate) struct Crew<W: Worker> {
    /// How many work at once.
    jobs: usize,
    /// Bytes that may be on the way, all units together. A larger one goes alone.
    room: usize,
    idle: Vec<W>,
    running: JoinSet<(W, usize, Result<W::Done>)>,
    on_the_way: usize,
    done: W::Done,
}

impl<W: Worker> Crew<W> {
    pub(crate) fn new(jobs: usize, room: usize) -> Self {
        Self {
            jobs: jobs.max(1),
            room,
            idle: Vec::new(),
            running: JoinSet::new(),
            on_the_way: 0,
            done: W::Done::default(),
        }
    }

    /// What the units that have ended came to.
    pub(crate) fn done(&self) -> &W::Done {
        &self.done
    }

    /// Those that have nothing to do: everybody, once all is done.
    pub(crate) fn idle(&self) -> &[W] {
        &self.idle
    }

    /// Hands a unit to a worker that is free, or to one that `make` makes. A unit that has failed meanwhile is told here.
    pub(crate) async fn dispatch(&mut self, unit: W::Unit, make: impl FnOnce() -> W) -> Result<()> {
        let size = W::size(&unit);
        while self.running.len() >= self.jobs
            || (self.on_the_way + size > self.room && !self.running.is_empty())
        {
            self.reap().await?;
        }
        while let Some(ended) = self.running.try_join_next() {
            self.ended(ended)?;
        }
        let mut worker = self.idle.pop().unwrap_or_else(make);
        self.on_the_way += size;
        self.running.spawn(async move {
            let result = worker.run(&unit).await;
            (worker, size, result)
        });
        Ok(())
    }

    /// Waits until every unit is there.
    pub(crate) async fn all_done(&mut self) -> Result<()> {
        while !self.running.is_empty() {
            self.reap().await?;
        }
        Ok(())
    }

    /// Lets go of everything.
    pub(crate) async fn stop(&mut self) {
        self.running.shutdown().await;
    }

    async fn reap(&mut self) -> Result<()> {
        match self.running.join_next().await {
            Some(ended) => self.ended(ended),
            None => Ok(()),
        }
    }

    fn ended(
        &mut self,
        ended: std::result::Result<(W, usize, Result<W::Done>), tokio::task::JoinError>,
    ) -> Result<()> {
        let (worker, size, result) =
            ended.map_err(|panic| Error::bug("a loading task panicked").caused_by(panic))?;
        self.on_the_way -= size;
        self.idle.push(worker);
        self.done += result?;
        Ok(())
    }
}

/// What a load has done to its target.
#[derive(Debug, Default)]
pub(crate) struct Begun {
    /// It was touched, and is not whole yet.
    pub(crate) touched: bool,
    /// It failed in passing: what is there is kept, to go on with.
    pub(crate) keep: bool,
}

/// A target that fails in passing keeps what it has.
pub(crate) async fn noted<T>(begun: &Mutex<Begun>, result: Result<T>) -> Result<T> {
    if let Err(error) = &result
        && error.kind() == Kind::Temporary
    {
        begun.lock().await.keep = true;
    }
    result
}

/// A load ends, and leaves a target that is not whole.
pub(crate) fn incomplete(why: &str, mark: &str) -> Error {
    // It may be told beside another error, where only the text is left of it.
    Error::sink(format!(
        "{why}: the target is incomplete, and {mark} marks it; `--resume` goes on, from an archive, and `--overwrite` starts over"
    ))
}

/// Tries until it is done, for as long as a failover takes: about a minute. For what is done when it is done twice, so that a lost answer is no question.
pub(crate) async fn through_a_failover<F: Future<Output = Result<()>>>(
    mut attempt: impl FnMut() -> F,
) -> Result<()> {
    let mut result = attempt().await;
    for wait in [1, 2, 4, 8, 15, 30] {
        if result.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_secs(wait)).await;
        result = attempt().await;
    }
    result
}
