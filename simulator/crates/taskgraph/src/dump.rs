//! A stable text form of what a driver emits, for golden tests and for eyes.

use std::fmt::Write as _;

use crate::{Driver, Pulled, Sink, Task, Work};

/// Pulls every program of `driver` to its end and writes one line per task; no simulation takes place.
///
/// A program that idles stops there: its later tasks depend on completions.
#[must_use]
pub fn dump(driver: &mut impl Driver) -> String {
    let mut text = String::new();
    let programs: Vec<_> = driver.resources().programs.ids().collect();
    for program in programs {
        let name = driver.resources().programs[program].clone();
        let mut next = 0;
        let mut tasks = Vec::new();
        while driver.pull(program, &mut Sink::new(next, &mut tasks)) == Pulled::Tasks {
            for task in tasks.drain(..) {
                line(
                    &mut text,
                    &name,
                    next,
                    driver.resources().lanes[task.lane].name,
                    &task,
                );
                next += 1;
            }
        }
    }
    text
}

fn line(text: &mut String, program: &str, sequence: u32, lane: &str, task: &Task) {
    let work = match task.work {
        Work::Compute { alone, .. } => format!("compute {}", alone.as_picos()),
        Work::Flow { latency, bytes, .. } => format!("flow {} B after {}", bytes.get(), latency.as_picos()),
        Work::Delay(span) => format!("delay {}", span.as_picos()),
    };
    let written = write!(
        text,
        "{program} {sequence} {lane} kind {} tag {}.{} {work}",
        task.kind.get(),
        task.tag.major,
        task.tag.minor
    );
    written.expect("writing to a string cannot fail");
    if !task.after.is_empty() {
        write!(text, " after {:?}", task.after.as_slice()).expect("writing to a string cannot fail");
    }
    if let Some(meeting) = task.meeting {
        write!(text, " meets {}#{}", meeting.group.get(), meeting.number)
            .expect("writing to a string cannot fail");
    }
    text.push('\n');
}
