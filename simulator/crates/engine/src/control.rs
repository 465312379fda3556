//! How a caller stops a run and sees how far it is; the engine itself prints nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use orrery_units::SimTime;

/// A handle on a run, to be cloned into whoever watches it.
#[derive(Clone, Debug, Default)]
pub struct RunControl {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    cancel: AtomicBool,
    over: AtomicBool,
    now: AtomicU64,
    step: AtomicU64,
    tasks: AtomicU64,
    events: AtomicU64,
}

/// How far a run is; published every few thousand events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Simulated time.
    pub now: SimTime,
    /// The latest step of which a task has completed.
    pub step: u16,
    /// Tasks completed.
    pub tasks_done: u64,
    /// Events handled.
    pub events: u64,
}

impl RunControl {
    /// Asks the run to stop at its next look, a few thousand events away.
    pub fn cancel(&self) {
        self.shared.cancel.store(true, Ordering::Relaxed);
    }

    /// Whether the run was asked to stop.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.shared.cancel.load(Ordering::Relaxed)
    }

    /// Whether the run goes on no more: it was stopped or is at its end, and what it gives is put together.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.shared.over.load(Ordering::Relaxed)
    }

    pub(crate) fn end(&self) {
        self.shared.over.store(true, Ordering::Relaxed);
    }

    /// The last progress published. Its fields may be one publication apart from each other.
    #[must_use]
    pub fn progress(&self) -> Progress {
        let step = self.shared.step.load(Ordering::Relaxed);
        Progress {
            now: SimTime::from_picos(self.shared.now.load(Ordering::Relaxed)),
            step: u16::try_from(step).unwrap_or(u16::MAX),
            tasks_done: self.shared.tasks.load(Ordering::Relaxed),
            events: self.shared.events.load(Ordering::Relaxed),
        }
    }

    pub(crate) fn publish(&self, progress: Progress) {
        self.shared.now.store(progress.now.as_picos(), Ordering::Relaxed);
        self.shared
            .step
            .store(u64::from(progress.step), Ordering::Relaxed);
        self.shared.tasks.store(progress.tasks_done, Ordering::Relaxed);
        self.shared.events.store(progress.events, Ordering::Relaxed);
    }
}
