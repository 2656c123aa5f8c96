//! A plan of faults for the system calls of one destination.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};

use rustix::io::Errno;

/// What the chosen call does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Fails without having done anything.
    Fail(Errno),
    /// Does it and says that it failed: a lost answer.
    LostAnswer(Errno),
    /// This call and all after it fail: a dead disk.
    Dead(Errno),
    /// A write takes only half; other calls are as ever.
    Short,
}

/// Counts calls, and lets one of them fail.
#[derive(Debug)]
pub(crate) struct Faults {
    fault: Fault,
    nth: u64,
    calls: AtomicU64,
    fired: AtomicBool,
    name: Mutex<&'static str>,
    poor: bool,
}

impl Faults {
    pub(crate) fn new(nth: u64, fault: Fault) -> Self {
        let (calls, fired, name) = (AtomicU64::new(0), AtomicBool::new(false), Mutex::new("never reached"));
        Self { fault, nth, calls, fired, name, poor: false }
    }

    /// No fault, but a file system that knows only the oldest calls: no locks, no rename that refuses or exchanges.
    pub(crate) fn poor() -> Self {
        Self { poor: true, ..Self::new(u64::MAX, Fault::Short) }
    }

    pub(crate) fn fired(&self) -> bool {
        self.fired.load(SeqCst)
    }

    /// The call that was hit.
    pub(crate) fn named(&self) -> &'static str {
        *self.name.lock().expect("lock")
    }

    pub(crate) fn attempt<T>(
        &self,
        name: &'static str,
        call: &mut impl FnMut() -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        if self.poor && matches!(name, "flock" | "exchange" | "rename-new") {
            return Err(Errno::INVAL);
        }
        let number = self.calls.fetch_add(1, SeqCst);
        let dead = matches!(self.fault, Fault::Dead(_)) && number > self.nth;
        if number != self.nth && !dead {
            return call();
        }
        if !self.fired.swap(true, SeqCst) {
            *self.name.lock().expect("lock") = name;
        }
        match self.fault {
            Fault::Fail(errno) | Fault::Dead(errno) => Err(errno),
            Fault::LostAnswer(errno) => call().and(Err(errno)),
            Fault::Short => call(),
        }
    }

    pub(crate) fn shorten(&self, length: usize) -> usize {
        let now = self.fault == Fault::Short && self.calls.load(SeqCst) == self.nth;
        if now { length.div_ceil(2) } else { length }
    }
}
