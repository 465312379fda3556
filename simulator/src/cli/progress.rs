//! Progress of a run: a bar on a terminal, a line now and then otherwise; and the ear for Ctrl-C.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::exit::Exit;
use crate::pipeline::Watch;
use crate::traces::{self, Phase};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use orrery_units::Bytes;

use super::Console;

/// How often the run is looked at.
const LOOK: Duration = Duration::from_millis(100);
/// Time between two lines when there is no terminal.
const LINE: Duration = Duration::from_secs(10);

/// Which signal came, if any.
#[derive(Clone, Debug, Default)]
pub(crate) struct Signals(Arc<AtomicUsize>);

impl Signals {
    /// Listens for interruption and termination from now on.
    pub(crate) fn listen() -> anyhow::Result<Self> {
        use signal_hook::consts::{SIGINT, SIGTERM};
        let signals = Self::default();
        for (signal, exit) in [(SIGINT, Exit::Interrupted), (SIGTERM, Exit::Terminated)] {
            let flag = Arc::clone(&signals.0);
            signal_hook::flag::register_usize(signal, flag, usize::from(exit.code()))?;
        }
        Ok(signals)
    }

    /// The exit that the signal asks for.
    pub(crate) fn received(&self) -> Option<Exit> {
        let code = self.0.load(Ordering::Relaxed);
        Exit::ALL
            .into_iter()
            .find(|exit| code != 0 && usize::from(exit.code()) == code)
    }
}

/// Work on another thread that is looked at and can be stopped.
pub(crate) trait Watched: Sync {
    /// Asks it to stop soon.
    fn cancel(&self);
    /// Parts that are done, for the bar.
    fn done(&self) -> u64;
    /// Where it is, in words.
    fn told(&self) -> String;
}

impl Watched for Watch {
    fn cancel(&self) {
        Self::cancel(self);
    }

    fn done(&self) -> u64 {
        self.progress().iter().map(|progress| progress.tasks_done).sum()
    }

    fn told(&self) -> String {
        let progress = self.progress();
        let step = progress.iter().map(|p| p.step).max().unwrap_or(0);
        let now = progress.iter().map(|p| p.now).max().unwrap_or_default();
        format!("step {step}, {} tasks, {now} simulated", self.done())
    }
}

impl Watched for traces::Watch {
    fn cancel(&self) {
        Self::cancel(self);
    }

    fn done(&self) -> u64 {
        self.progress().1
    }

    fn told(&self) -> String {
        let (phase, done, all) = self.progress();
        match phase {
            Phase::Read => format!("read {} of {}", Bytes::new(done), Bytes::new(all)),
            Phase::Join => "joining what was read".to_owned(),
            Phase::Attribute => format!("timed {done} of {all} parts"),
            Phase::Engine => "running its tasks".to_owned(),
        }
    }
}

/// What is being run, for the bar.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Job<'a> {
    /// Name of the scenario.
    pub(crate) name: &'a str,
    /// Tasks of all replications, where the lowering can tell.
    pub(crate) expected_tasks: Option<u64>,
}

/// Runs `work` on another thread, shows how far it is, and cancels it when a signal comes.
pub(crate) fn watched<T: Send>(
    job: Job<'_>,
    watch: &impl Watched,
    signals: &Signals,
    console: &mut Console<'_>,
    work: impl FnOnce() -> T + Send,
) -> T {
    let bar = bar(job, console.terminal);
    let began = Instant::now();
    let mut last_line = began;
    let result = thread::scope(|scope| {
        let worker = scope.spawn(work);
        while !worker.is_finished() {
            if signals.received().is_some() {
                watch.cancel();
            }
            show(job, watch, &bar);
            if !console.terminal && last_line.elapsed() >= LINE {
                last_line = Instant::now();
                line(job, watch, began, console.err);
            }
            thread::park_timeout(LOOK);
        }
        worker.join()
    });
    bar.finish_and_clear();
    result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn bar(job: Job<'_>, terminal: bool) -> ProgressBar {
    let target = if terminal {
        ProgressDrawTarget::stderr()
    } else {
        ProgressDrawTarget::hidden()
    };
    let bar = ProgressBar::with_draw_target(job.expected_tasks, target);
    let template = if job.expected_tasks.is_some() {
        "{prefix} [{wide_bar}] {percent} % {msg} {elapsed}"
    } else {
        "{prefix} {spinner} {msg} {elapsed}"
    };
    let style = ProgressStyle::with_template(template).expect("the template is a valid one");
    bar.set_style(style.progress_chars("█▉▊▋▌▍▎▏ "));
    bar.set_prefix(job.name.to_owned());
    bar
}

fn show(job: Job<'_>, watch: &impl Watched, bar: &ProgressBar) {
    bar.set_message(watch.told());
    match job.expected_tasks {
        // An estimate may be short; a bar that is over says nothing.
        Some(expected) => bar.set_position(watch.done().min(expected.saturating_sub(1))),
        None => bar.tick(),
    }
}

fn line(job: Job<'_>, watch: &impl Watched, began: Instant, err: &mut dyn Write) {
    let seconds = began.elapsed().as_secs();
    // Progress that nobody can read is no reason to stop.
    let _shown = writeln!(err, "{}: {} after {seconds} s", job.name, watch.told());
}
