//! Predictions held against a table of measurements, on a thread of its own.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use orrery::validate::{Mode, Options, Outcome, validate};

use super::Wake;
use super::job::{Event, Out, guarded, send};

/// A comparison under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judging {
    /// The table.
    pub path: String,
    /// What is done, and of how much.
    pub done: (usize, usize),
    /// Whether it was asked to stop.
    pub stopping: bool,
}

/// Comparisons of the window.
#[derive(Clone, Debug, Default)]
pub struct Calibrate {
    /// The one under way.
    pub judging: Option<Judging>,
    /// The last one: the table, and what came of it.
    pub judged: Option<(String, Arc<Outcome>)>,
    /// Why the last one came to nothing.
    pub fault: Option<String>,
}

/// How far a comparison is, and the way to stop it.
#[derive(Clone, Debug, Default)]
pub(crate) struct JudgeWatch {
    done: Arc<AtomicUsize>,
    of: Arc<AtomicUsize>,
    is_stopped: Arc<AtomicBool>,
}

impl JudgeWatch {
    /// Asks the comparison to stop soon.
    pub(crate) fn cancel(&self) {
        self.is_stopped.store(true, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> (usize, usize) {
        (self.done.load(Ordering::Relaxed), self.of.load(Ordering::Relaxed))
    }
}

/// What a comparison came to.
#[derive(Debug)]
pub(crate) struct Judged {
    pub(crate) path: String,
    pub(crate) outcome: Result<Arc<Outcome>, String>,
}

/// Compares every row of the table at `path`; steps in closed form unless they are to be `simulated`.
pub(crate) fn judge(path: String, simulated: bool, out: Out, wake: Wake) -> JudgeWatch {
    let watch = JudgeWatch::default();
    let control = watch.clone();
    thread::spawn(move || {
        let options = Options {
            mode: if simulated {
                Mode::Simulated
            } else {
                Mode::Estimated
            },
            ..Options::default()
        };
        let outcome = guarded(|| {
            let tell = &mut |done, of| {
                control.done.store(done, Ordering::Relaxed);
                control.of.store(of, Ordering::Relaxed);
                !control.is_stopped.load(Ordering::Relaxed)
            };
            let outcome = validate(&[PathBuf::from(&path)], options, tell)?;
            if outcome.rows.iter().all(|row| row.result.is_err()) {
                let reasons = outcome.refused.join("\n");
                return Err(format!("no row could be compared\n{reasons}"));
            }
            Ok(Arc::new(outcome))
        });
        let outcome = outcome.unwrap_or_else(Err);
        send(&out, &wake, Event::Judged(Judged { path, outcome }));
    });
    watch
}
