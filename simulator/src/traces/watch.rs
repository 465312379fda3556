//! How far reading and replaying is, and how it is stopped.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

use orrery_engine::RunControl;

/// What is being done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    /// Files are read; counted in their bytes.
    #[default]
    Read,
    /// Ranks are joined, and the recording is counted.
    Join,
    /// Parts are timed one at a time; counted in timings.
    Attribute,
    /// Its tasks go through the engine.
    Engine,
}

impl Phase {
    const ALL: [Self; 4] = [Self::Read, Self::Join, Self::Attribute, Self::Engine];
}

/// A handle on a recording that is read or replayed, for whoever watches it.
#[derive(Clone, Debug, Default)]
pub struct Watch {
    shared: Arc<Shared>,
    engine: RunControl,
}

#[derive(Debug, Default)]
struct Shared {
    cancel: AtomicBool,
    phase: AtomicU8,
    done: AtomicU64,
    all: AtomicU64,
}

/// Somebody asked to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it was stopped")]
pub struct Cancelled;

impl Watch {
    /// Asks it to stop soon.
    pub fn cancel(&self) {
        self.shared.cancel.store(true, Ordering::Relaxed);
        self.engine.cancel();
    }

    /// Whether somebody asked to stop.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.shared.cancel.load(Ordering::Relaxed)
    }

    /// What is being done, how much of it is done, and of how much; zero of zero where that is not counted.
    #[must_use]
    pub fn progress(&self) -> (Phase, u64, u64) {
        let phase = usize::from(self.shared.phase.load(Ordering::Relaxed));
        (
            Phase::ALL.get(phase).copied().unwrap_or_default(),
            self.shared.done.load(Ordering::Relaxed),
            self.shared.all.load(Ordering::Relaxed),
        )
    }

    /// The engine's part of it.
    pub(super) const fn engine(&self) -> &RunControl {
        &self.engine
    }

    /// Begins a phase of `all` parts.
    ///
    /// # Errors
    /// When somebody asked to stop.
    pub(super) fn begin(&self, phase: Phase, all: u64) -> Result<(), Cancelled> {
        self.shared.phase.store(phase as u8, Ordering::Relaxed);
        self.shared.done.store(0, Ordering::Relaxed);
        self.shared.all.store(all, Ordering::Relaxed);
        if self.is_cancelled() {
            Err(Cancelled)
        } else {
            Ok(())
        }
    }

    /// Notes that `done` of `all` parts are done; whether to go on.
    pub(super) fn at(&self, done: usize, all: usize) -> bool {
        self.shared.done.store(done as u64, Ordering::Relaxed);
        self.shared.all.store(all as u64, Ordering::Relaxed);
        !self.is_cancelled()
    }

    /// `source`, whose bytes count as done when they are read, and which fails once somebody asked to stop.
    pub(super) const fn reading<R: Read>(&self, source: R) -> Counted<'_, R> {
        Counted { watch: self, source }
    }
}

/// A source whose bytes are counted.
#[derive(Debug)]
pub(super) struct Counted<'w, R> {
    watch: &'w Watch,
    source: R,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.watch.is_cancelled() {
            return Err(io::Error::other(Cancelled));
        }
        let read = self.source.read(into)?;
        self.watch.shared.done.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}
