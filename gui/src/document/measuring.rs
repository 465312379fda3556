//! A calibration of this machine: `orrery-collector calibrate` as a child, its plan, its progress and its end. What it
//! measured before it is stopped is kept, and the next one goes on there.

use std::env::consts::EXE_SUFFIX;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use super::Wake;
use super::job::{Event, Out, guarded, send};

/// The program that measures.
const PROGRAM: &str = "orrery-collector";

/// Calibrations of this window.
#[derive(Clone, Debug, Default)]
pub struct Measuring {
    /// What would be measured, how long and in how much memory, as the program prints it; nothing until it was asked for.
    pub plan: Option<Result<Arc<str>, String>>,
    /// The one under way.
    pub under_way: Option<UnderWay>,
    /// How the last one ended: what it printed, or why it measured nothing.
    pub ended: Option<Result<String, String>>,
}

/// A calibration under way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnderWay {
    /// Where the profile goes.
    pub profile: String,
    /// Measurements that are over, and how many there are; zero of zero until the first is.
    pub done: (usize, usize),
    /// What it said of each, the newest last.
    pub lines: Vec<String>,
    /// Whether it was asked to stop.
    pub stopping: bool,
}

/// What threads say of a calibration.
#[derive(Debug)]
pub(crate) enum News {
    /// The plan, or why there is none.
    Planned(Result<Arc<str>, String>),
    /// A line of the one under way.
    Said(String),
    /// It is over.
    Ended(Result<String, String>),
}

/// The way to stop a calibration.
#[derive(Clone, Debug, Default)]
pub(crate) struct MeasureWatch(Arc<Mutex<Held>>);

/// The child, once it is there.
#[derive(Debug, Default)]
struct Held {
    child: Option<Child>,
    is_stopped: bool,
}

impl MeasureWatch {
    /// Ends the child, now or as soon as it is there. Its own worker ends with it, and what is measured is on disk.
    pub(crate) fn cancel(&self) {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.is_stopped = true;
        if let Some(child) = &mut held.child {
            // One that is over already wants no end.
            let _over = child.kill();
        }
    }

    fn is_stopped(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_stopped
    }

    fn hold(&self, child: Child) {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.child = Some(child);
        if held.is_stopped {
            drop(held);
            self.cancel();
        }
    }

    /// Waits for the end of the child, whose output has ended.
    fn wait(&self) -> std::io::Result<ExitStatus> {
        let child = self.0.lock().unwrap_or_else(PoisonError::into_inner).child.take();
        child
            .ok_or_else(|| std::io::Error::other("it was never there"))?
            .wait()
    }
}

impl UnderWay {
    /// Takes in a line: those of measurements begin with `[number/total]`.
    pub(crate) fn hear(&mut self, line: &str) {
        let line = own_words(line);
        let counted = line.strip_prefix('[').and_then(|rest| rest.split_once(']'));
        let counted = counted.and_then(|(counted, _)| counted.split_once('/'));
        if let Some((number, total)) = counted
            && let (Ok(number), Ok(total)) = (number.parse(), total.parse())
        {
            self.done = (number, total);
        }
        self.lines.push(line.to_owned());
    }
}

/// The program that measures: beside this one, else where programs are.
pub(crate) fn calibrator() -> PathBuf {
    let own = std::env::current_exe().ok();
    let beside = own.and_then(|own| Some(own.parent()?.join(format!("{PROGRAM}{EXE_SUFFIX}"))));
    beside
        .filter(|path| path.is_file())
        .unwrap_or_else(|| PathBuf::from(PROGRAM))
}

/// Asks `program` what it would measure.
pub(crate) fn plan(program: PathBuf, out: Out, wake: Wake) {
    thread::spawn(move || {
        let planned = guarded(|| {
            let run = command(&program, &["calibrate", "--dry-run"]).output();
            let run = run.map_err(|fault| not_started(&program, &fault))?;
            match run.status.success() {
                true => Ok(String::from_utf8_lossy(&run.stdout).into()),
                false => Err(last_words(&String::from_utf8_lossy(&run.stderr))),
            }
        });
        let planned = planned.unwrap_or_else(Err);
        send(&out, &wake, Event::Measuring(News::Planned(planned)));
    });
}

/// Has `program` measure, and write the profile to `profile`.
pub(crate) fn measure(program: PathBuf, profile: String, out: Out, wake: Wake) -> MeasureWatch {
    let watch = MeasureWatch::default();
    let held = watch.clone();
    thread::spawn(move || {
        let ended = guarded(|| attended(&program, &profile, &held, (&out, &wake)));
        let ended = ended.unwrap_or_else(Err);
        send(&out, &wake, Event::Measuring(News::Ended(ended)));
    });
    watch
}

fn attended(
    program: &Path,
    profile: &str,
    watch: &MeasureWatch,
    (out, wake): (&Out, &Wake),
) -> Result<String, String> {
    let mut child = command(program, &["calibrate", "--out", profile])
        .spawn()
        .map_err(|fault| not_started(program, &fault))?;
    let (printed, said) = (child.stdout.take(), child.stderr.take());
    watch.hold(child);
    // Both at once: a pipe that nobody reads would stop it.
    let printed = thread::spawn(move || {
        let mut text = Vec::new();
        // What could be read of it is enough.
        let _cut = printed.map(|mut printed| printed.read_to_end(&mut text));
        String::from_utf8_lossy(&text).into_owned()
    });
    let mut all = String::new();
    for line in said.into_iter().flat_map(|said| BufReader::new(said).lines()) {
        let Ok(line) = line else { break };
        all.push_str(&line);
        all.push('\n');
        send(out, wake, Event::Measuring(News::Said(line)));
    }
    let printed = printed.join().unwrap_or_default();
    let status = watch.wait().map_err(|fault| fault.to_string())?;
    if watch.is_stopped() {
        return Ok("Stopped. What was measured is kept: the next one goes on there.".to_owned());
    }
    // The plan comes first, and a line of its end.
    let end = printed
        .split("goes on where it was")
        .last()
        .unwrap_or_default()
        .trim();
    match status.success() || !end.is_empty() {
        true => Ok(end.to_owned()),
        false => Err(last_words(&all)),
    }
}

fn command(program: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn not_started(program: &Path, fault: &std::io::Error) -> String {
    format!(
        "`{}` cannot be started: {fault}\n  = help: it is built and installed with this program; put it beside this one, \
         or where programs are found",
        program.display()
    )
}

/// `line` without the name of the program, which stands before each.
fn own_words(line: &str) -> &str {
    line.strip_prefix(PROGRAM)
        .and_then(|rest| rest.strip_prefix(": "))
        .unwrap_or(line)
}

/// The end of what a program said, which is why it ended.
fn last_words(said: &str) -> String {
    const LINES: usize = 6;
    let lines: Vec<&str> = said
        .lines()
        .map(own_words)
        .filter(|line| !line.trim().is_empty())
        .collect();
    match lines.len() {
        0 => "it ended without a word".to_owned(),
        many => lines[many.saturating_sub(LINES)..].join("\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_measurements_count() {
        let mut under_way = UnderWay::default();
        under_way.hear("orrery-collector: device 0: NVIDIA H100, 132 units");
        assert_eq!(under_way.done, (0, 0));
        under_way.hear("orrery-collector: [3/41] copy 64 MiB: 41.2 us");
        under_way.hear("[no count] nor this");
        assert_eq!((under_way.done, under_way.lines.len()), ((3, 41), 3));
        assert_eq!(under_way.lines[1], "[3/41] copy 64 MiB: 41.2 us");
    }

    #[test]
    fn a_program_that_is_not_there_is_named_with_what_to_do() {
        let path = Path::new("no/such/orrery-collector");
        let fault = command(path, &[]).spawn().expect_err("it is not there");
        let words = not_started(path, &fault);
        assert!(
            words.contains("no/such/orrery-collector") && words.contains("= help: "),
            "{words}"
        );
        assert_eq!(last_words("orrery-collector: a\n\nb\n"), "a\nb");
        assert_eq!(last_words(" \n"), "it ended without a word");
    }
}
