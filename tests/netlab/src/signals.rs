//! The ear for Ctrl-C and its kin: the command ends by itself and puts everything back.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::exit::{Exit, Failure};

/// Which signal came, if any.
#[derive(Clone, Debug, Default)]
pub(crate) struct Signals(Arc<AtomicUsize>);

impl Signals {
    /// Listens from now on.
    ///
    /// # Errors
    /// When the system refuses.
    pub(crate) fn listen() -> anyhow::Result<Self> {
        let signals = Self::default();
        for (signal, exit) in [
            (SIGINT, Exit::Interrupted),
            (SIGTERM, Exit::Terminated),
            (SIGHUP, Exit::Terminated),
        ] {
            signal_hook::flag::register_usize(signal, Arc::clone(&signals.0), usize::from(exit.code()))?;
        }
        Ok(signals)
    }

    /// Goes on unless a signal came.
    ///
    /// # Errors
    /// When one did: what the command ends with.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        let code = self.0.load(Ordering::Relaxed);
        let asked = |exit: &Exit| usize::from(exit.code()) == code;
        match [Exit::Interrupted, Exit::Terminated].into_iter().find(asked) {
            Some(exit) => Err(Failure::with(exit, "stopped by a signal")),
            None => Ok(()),
        }
    }
}
