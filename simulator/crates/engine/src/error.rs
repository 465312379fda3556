//! Ways in which a run ends early, and what each leaves behind.

use std::fmt;

use orrery_units::{GroupId, SimTime};

use crate::Outcome;

/// A run that did not reach its end.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Somebody asked the run to stop. The partial outcome is valid up to the instant named: it counts the
    /// tasks that had completed; steps that were under way are incomplete.
    #[error("cancelled at {at} of simulated time")]
    Cancelled {
        /// When.
        at: SimTime,
        /// What was counted until then.
        partial: Box<Outcome>,
    },
    /// The event limit was reached. The partial outcome is valid as for [`Error::Cancelled`].
    #[error("the limit of {limit} events was reached at {at} of simulated time")]
    EventLimit {
        /// The limit.
        limit: u64,
        /// When.
        at: SimTime,
        /// What was counted until then.
        partial: Box<Outcome>,
    },
    /// Nothing can happen any more and tasks are left: the driver's tasks wait for each other. The partial
    /// outcome counts what completed before, and is of use only to find the fault.
    #[error("deadlock at {at}: {}", describe(.blocked, *.more, *.full_windows))]
    Deadlock {
        /// When the last event happened.
        at: SimTime,
        /// Heads of lanes that cannot start, at most 20.
        blocked: Vec<Blocked>,
        /// Blocked heads that are not listed.
        more: usize,
        /// Programs with as many live tasks as the lookahead allows: a larger one might unblock them.
        full_windows: usize,
        /// What was counted until then.
        partial: Box<Outcome>,
    },
}

/// The head of a lane that cannot start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocked {
    /// Name of the program.
    pub program: String,
    /// Name of the lane.
    pub lane: &'static str,
    /// Number of the task in its program.
    pub sequence: u32,
    /// What it waits for.
    pub waits_for: WaitsFor,
}

/// What a blocked task waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WaitsFor {
    /// An earlier task of its program.
    Task(u32),
    /// The host, which itself waits for an earlier task.
    Host {
        /// The task whose completion the host waits for, if it waits for one.
        behind: Option<u32>,
    },
    /// The other parties of a meeting.
    Meeting {
        /// The group.
        group: GroupId,
        /// The number of the meeting.
        number: u32,
        /// Parties that have arrived.
        arrived: u32,
        /// Parties of the group.
        parties: u32,
        /// Programs that have emitted their task of this meeting but did not arrive; parties that are in
        /// neither list have not emitted theirs.
        missing: Vec<String>,
    },
}

impl Error {
    /// What was counted before the run ended early; each variant says what it is worth.
    #[must_use]
    pub fn into_partial(self) -> Outcome {
        match self {
            Self::Cancelled { partial, .. }
            | Self::EventLimit { partial, .. }
            | Self::Deadlock { partial, .. } => *partial,
        }
    }
}

fn describe(blocked: &[Blocked], more: usize, full_windows: usize) -> String {
    let mut lines: Vec<String> = blocked.iter().map(ToString::to_string).collect();
    if more > 0 {
        lines.push(format!("and {more} more"));
    }
    if full_windows > 0 {
        lines.push(format!(
            "{full_windows} programs had all the live tasks that the lookahead allows; try a larger one"
        ));
    }
    lines.join("\n  ")
}

impl fmt::Display for Blocked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "task {} of `{}` on `{}` waits for {}",
            self.sequence, self.program, self.lane, self.waits_for
        )
    }
}

impl fmt::Display for WaitsFor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Task(sequence) => write!(f, "task {sequence}"),
            Self::Host { behind: Some(task) } => write!(f, "the host, which waits for task {task}"),
            Self::Host { behind: None } => f.write_str("the host"),
            Self::Meeting {
                group,
                number,
                arrived,
                parties,
                missing,
            } => {
                write!(
                    f,
                    "meeting {number} of group {}: {arrived} of {parties} arrived",
                    group.get()
                )?;
                if !missing.is_empty() {
                    write!(f, ", not yet `{}`", missing.join("`, `"))?;
                }
                Ok(())
            }
        }
    }
}
