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

#[cfg(test)]
mod tests {
    use orrery_units::{Bytes, BytesPerSec, Flops, KindId, SimDuration};

    use super::*;
    use crate::{Demand, Resources, StaticDriver, Tag};

    #[test]
    fn one_line_per_task_program_by_program() {
        let mut resources = Resources::new();
        let device = resources.add_device();
        let programs = ["rank 0", "rank 1"].map(|name| resources.add_program(name));
        let lanes = programs.map(|program| resources.add_lane(program, device, "compute"));
        let group = resources.add_group(2);
        let mut driver = StaticDriver::new(resources);
        let flow = Work::Flow {
            latency: SimDuration::from_nanos(2),
            bytes: Bytes::new(7),
            bound: BytesPerSec::new(1e9),
            path: Resources::PRIVATE,
            occupancy: Demand::default(),
        };
        assert_eq!(flow.alone(), SimDuration::from_nanos(9));
        // Numbers count per program, whoever is pushed in between.
        assert_eq!(
            driver.push(Task::new(lanes[1], KindId::new(3), flow).meeting(group, 0)),
            0
        );
        let compute = Work::Compute {
            alone: SimDuration::from_nanos(5),
            demand: Demand::default(),
            flops: Flops::ZERO,
        };
        let mut first = Task::new(lanes[0], KindId::new(1), compute);
        first.tag = Tag { major: 4, minor: 2 };
        assert_eq!(driver.push(first), 0);
        let second = Task::new(lanes[0], KindId::new(3), flow)
            .after(0)
            .meeting(group, 0);
        assert_eq!(driver.push(second), 1);
        let expected = "\
rank 0 0 compute kind 1 tag 4.2 compute 5000
rank 0 1 compute kind 3 tag 0.0 flow 7 B after 2000 after [0] meets 0#0
rank 1 0 compute kind 3 tag 0.0 flow 7 B after 2000 meets 0#0
";
        assert_eq!(dump(&mut driver), expected);
    }

    /// A task that waits for itself is refused where it is made, not found by an engine that stands still.
    #[test]
    fn a_task_waits_only_for_earlier_ones() {
        let refused = std::panic::catch_unwind(|| {
            let mut tasks = Vec::new();
            let mut sink = Sink::new(3, &mut tasks);
            let task = Task::new(
                orrery_units::LaneId::new(0),
                KindId::new(0),
                Work::Delay(SimDuration::ZERO),
            );
            assert_eq!(sink.push(task.clone().after(2)), 3);
            sink.push(task.after(4))
        });
        assert!(refused.is_err());
    }
}
