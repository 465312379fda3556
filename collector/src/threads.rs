//! Threads that may hang in a driver: started under a name, asked to stop, waited for within a bound.

use std::collections::BTreeSet;
use std::io;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// A wish to stop, which wakes whoever waits.
#[derive(Debug, Default)]
pub(crate) struct Stop {
    wished: Mutex<bool>,
    wake: Condvar,
}

/// The threads that still run, by name.
#[derive(Debug, Default)]
pub(crate) struct Threads {
    running: Mutex<BTreeSet<String>>,
    ended: Condvar,
}

/// Takes its thread off the list when the thread ends, in whatever way.
struct Running(Arc<Threads>, String);

impl Stop {
    /// Asks everybody to stop.
    pub(crate) fn wish(&self) {
        *self.wished.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.wake.notify_all();
    }

    /// Waits for `time` or until somebody wishes to stop; whether somebody does.
    pub(crate) fn wait(&self, time: Duration) -> bool {
        let wished = self.wished.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.wake.wait_timeout_while(wished, time, |wished| !*wished);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

impl Threads {
    /// Starts a thread under `name`, which no other may have.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(crate) fn start(
        self: &Arc<Self>,
        name: String,
        run: impl FnOnce() + Send + 'static,
    ) -> io::Result<()> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = running.insert(name.clone());
        assert!(is_new, "two threads are called `{name}`");
        drop(running);
        let guard = Running(self.clone(), name.clone());
        // A thread that could not be started drops what it was given, and with it the guard.
        let started = thread::Builder::new().name(name).spawn(move || {
            run();
            drop(guard);
        });
        started.map(drop)
    }

    /// Waits until every thread ended, or for `bound`; the names of those that still run.
    pub(crate) fn wait(&self, bound: Duration) -> Vec<String> {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self
            .ended
            .wait_timeout_while(running, bound, |running| !running.is_empty());
        let running = waited.unwrap_or_else(PoisonError::into_inner).0;
        running.iter().cloned().collect()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let Self(threads, name) = self;
        let mut running = threads.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.remove(name);
        threads.ended.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn a_thread_that_hangs_is_named_and_one_that_ends_is_not() {
        let threads = Arc::new(Threads::default());
        let (let_go, held) = channel::<()>();
        let hang = move || {
            let _let_go = held.recv();
        };
        threads.start("hangs".to_owned(), hang).unwrap();
        threads.start("ends".to_owned(), || {}).unwrap();
        while threads.running.lock().unwrap().contains("ends") {
            thread::yield_now();
        }
        assert_eq!(threads.wait(Duration::from_millis(20)), ["hangs"]);
        drop(let_go);
        assert_eq!(threads.wait(Duration::from_secs(20)), [""; 0]);
    }
}
