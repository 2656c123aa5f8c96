//! How long a request is tried again.
//!
//! The SDK's own retries are off: they share a bucket of tokens, so that an outage under several parts in flight empties it and the run gives up within
//! seconds. Here the patience is a span of time, which is what a user can reason about.

use std::time::{Duration, Instant};

use super::failure::{Class, Failure};

const FIRST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// Attempts that are made however long each takes.
const ATTEMPTS_AT_LEAST: u32 = 3;
/// Attempts against a store that says that another request got in between.
const CONFLICTS: u32 = 6;
/// Slowest rate that is no stall, bytes per second.
const SLOWEST: u64 = 64 << 10;
/// What a request may take besides moving its bytes.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);

/// How patient requests are.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// From the first failure of a request to its last attempt.
    pub window: Duration,
    /// What one attempt may take besides moving its bytes.
    pub answer: Duration,
    /// Attempts that are made however long each takes.
    attempts: u32,
}

impl Patience {
    /// Tries again for this long.
    pub fn new(window: Duration) -> Self {
        Self { window, answer: ANSWER_WITHIN, attempts: ATTEMPTS_AT_LEAST }
    }

    /// One attempt, that may take `times` as long as another.
    pub(crate) fn once(self, times: u32) -> Self {
        Self { window: Duration::ZERO, answer: self.answer * times, attempts: 1 }
    }

    /// What one attempt that moves `bytes` may take.
    pub(crate) fn attempt(self, bytes: u64) -> Duration {
        self.answer + Duration::from_secs(bytes / SLOWEST)
    }

    /// Makes a request until it succeeds, fails in a way that a repetition cannot change, or the window is over.
    pub(crate) async fn persist<T, F>(self, bytes: u64, mut request: impl FnMut() -> F) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let begun = Instant::now();
        let mut wait = FIRST_WAIT;
        let mut attempts = 0;
        loop {
            attempts += 1;
            let outcome = tokio::time::timeout(self.attempt(bytes), request()).await;
            let failure = match outcome {
                Ok(Ok(value)) => return Ok(value),
                Ok(Err(failure)) => failure,
                Err(_) => Failure::stalled(),
            };
            let again = match failure.class {
                Class::Passing => true,
                // Another request got in between; the next time it has gone, or the answer is another.
                Class::Conflict => attempts < CONFLICTS,
                // A clock that was just corrected is worth a few attempts and not minutes.
                Class::Skewed => attempts < ATTEMPTS_AT_LEAST,
                _ => false,
            };
            if !again || (begun.elapsed() + wait > self.window && attempts >= self.attempts) {
                return Err(failure.after(attempts));
            }
            tokio::time::sleep(jittered(wait)).await;
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }
}

/// Between half of `wait` and all of it, so that parts that failed together do not come back together.
fn jittered(wait: Duration) -> Duration {
    use std::hash::{BuildHasher, RandomState};
    // A fresh RandomState is keyed by the operating system's randomness.
    let random = RandomState::new().hash_one(0) % 1024;
    wait / 2 + wait / 2 * u32::try_from(random).unwrap_or(0) / 1024
}
