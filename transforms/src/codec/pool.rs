//! A fixed pool of named threads whose results come back in the order in which the jobs went in.
//!
//! Plain OS threads and not a task pool: compression holds a core for as long as there is input, and under these names
//! `top -H` and `perf` show where the time goes.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{self, Receiver, Sender, SyncSender, TryRecvError},
    },
    thread::{self, JoinHandle},
};

use pipeline::{Error, Result};

/// One job with the place where its result goes: each job has its own, which is what keeps the order.
type Ticket<Job, Done> = (Job, SyncSender<Done>);

/// The pool. Dropping it waits for the jobs that are queued, at most as many as the caller lets be pending, then for the threads.
pub(super) struct Pool<Job, Done> {
    name: &'static str,
    jobs: Option<Sender<Ticket<Job, Done>>>,
    pending: VecDeque<Receiver<Done>>,
    workers: Vec<JoinHandle<()>>,
}

impl<Job: Send + 'static, Done: Send + 'static> Pool<Job, Done> {
    /// Starts `threads` threads called `dbferry-NAME-1` and so on; each works with a closure of its own, made by `worker`.
    pub(super) fn new<W>(name: &'static str, threads: usize, worker: impl Fn() -> W) -> Result<Self>
    where
        W: FnMut(Job) -> Done + Send + 'static,
    {
        let (jobs, queue) = mpsc::channel::<Ticket<Job, Done>>();
        let queue = Arc::new(Mutex::new(queue));
        let mut pool =
            Self { name, jobs: Some(jobs), pending: VecDeque::new(), workers: Vec::with_capacity(threads) };
        for number in 1..=threads {
            let (queue, mut work) = (Arc::clone(&queue), worker());
            let thread = thread::Builder::new().name(format!("dbferry-{name}-{number}")).spawn(move || {
                loop {
                    // The lock is held while this thread waits, so the others wait for the lock instead: the same, as one of them is woken per job.
                    let ticket = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    let Ok((job, done)) = ticket else { break };
                    if done.send(work(job)).is_err() {
                        // The pool is being dropped; the queue will say so too.
                    }
                }
            });
            // An early return drops the pool, which ends the threads that did start.
            pool.workers.push(thread.map_err(|cause| {
                Error::transform(format!("cannot start a {name} worker thread")).caused_by(cause)
            })?);
        }
        Ok(pool)
    }

    /// Queues a job. Never blocks: the caller bounds the number of pending jobs.
    pub(super) fn submit(&mut self, job: Job) -> Result<()> {
        let (done, result) = mpsc::sync_channel(1);
        let jobs = self.jobs.as_ref().ok_or_else(|| self.lost())?;
        jobs.send((job, done)).map_err(|_| self.lost())?;
        self.pending.push_back(result);
        Ok(())
    }

    /// Jobs whose results have not been taken.
    pub(super) fn pending(&self) -> usize {
        self.pending.len()
    }

    /// Waits for the oldest result; `None` when nothing is pending.
    pub(super) fn wait(&mut self) -> Result<Option<Done>> {
        match self.pending.pop_front() {
            None => Ok(None),
            Some(result) => result.recv().map(Some).map_err(|_| self.lost()),
        }
    }

    /// The oldest result if it is there already.
    pub(super) fn poll(&mut self) -> Result<Option<Done>> {
        let Some(oldest) = self.pending.front() else { return Ok(None) };
        match oldest.try_recv() {
            Ok(done) => {
                self.pending.pop_front();
                Ok(Some(done))
            }
            Err(TryRecvError::Empty) => Ok(None),
            Err(TryRecvError::Disconnected) => Err(self.lost()),
        }
    }

    /// A job that vanished without a result has taken its thread with it.
    fn lost(&self) -> Error {
        Error::bug(format!("a {} worker thread panicked", self.name))
    }
}

impl<Job, Done> Drop for Pool<Job, Done> {
    fn drop(&mut self) {
        self.jobs = None;
        self.pending.clear();
        for worker in self.workers.drain(..) {
            if worker.join().is_err() {
                // Its job's result never came, which `wait` and `poll` report. A pool that is dropped early has nobody left to tell.
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use pipeline::Kind;

    use super::*;

    #[test]
    fn results_come_in_order_however_long_each_takes() {
        let mut pool = Pool::new("test", 3, || {
            |job: u64| {
                thread::sleep(Duration::from_millis(job % 3 * 4));
                job
            }
        })
        .unwrap();
        for job in 0..20 {
            pool.submit(job).unwrap();
        }
        let mut results = Vec::new();
        while let Some(done) = pool.wait().unwrap() {
            results.push(done);
        }
        assert_eq!(results, (0..20).collect::<Vec<_>>());
    }

    #[test]
    fn a_panic_in_a_worker_is_an_error_and_not_a_hang() {
        let mut pool =
            Pool::new("test", 1, || |job: u64| if job == 1 { panic!("as the test wants") } else { job })
                .unwrap();
        for job in 0..3 {
            pool.submit(job).unwrap();
        }
        assert_eq!(pool.wait().unwrap(), Some(0));
        assert_eq!(pool.wait().unwrap_err().kind(), Kind::Bug);
        assert_eq!(
            pool.wait().unwrap_err().kind(),
            Kind::Bug,
            "with its only thread gone, nobody takes what is queued"
        );
    }

    #[test]
    fn dropping_with_jobs_queued_ends_the_threads() {
        let alive = Arc::new(());
        let mut pool = Pool::new("test", 2, || {
            let alive = Arc::clone(&alive);
            move |job: u64| {
                thread::sleep(Duration::from_millis(1));
                job + Arc::strong_count(&alive) as u64
            }
        })
        .unwrap();
        for job in 0..6 {
            pool.submit(job).unwrap();
        }
        drop(pool);
        assert_eq!(Arc::strong_count(&alive), 1, "every thread's closure is gone, so every thread is");
    }
}
