//! Why a recorded step took longer than it had to.

use orrery_units::{KindId, ProgramId, SimDuration};

use crate::causes::Causes;
use crate::timing::mean;
use crate::{Cause, Graph, Timing};

/// A part of the job, and how much slower than ideal the step is when that part alone keeps its measured times.
#[derive(Clone, Debug, PartialEq)]
pub struct Slowdown {
    /// The part, such as `stage 3` or `rank 17`.
    pub part: String,
    /// Step with it as measured over the ideal step.
    pub factor: f64,
}

/// Where the time of recorded steps goes beside what they need. All times are means over the steps.
#[derive(Clone, Debug, PartialEq)]
pub struct Attribution {
    /// As recorded.
    pub measured: SimDuration,
    /// The same, replayed.
    pub replayed: SimDuration,
    /// Without the delays of hosts.
    pub without_delays: SimDuration,
    /// With every operation as long as its like mostly are.
    pub ideal: SimDuration,
    /// By kind of operation, most first.
    pub by_kind: Vec<Slowdown>,
    /// By pipeline stage, most first.
    pub by_stage: Vec<Slowdown>,
    /// By data-parallel rank, most first.
    pub by_replica: Vec<Slowdown>,
    /// By rank, most first.
    pub by_rank: Vec<Slowdown>,
    /// Causes, most first.
    pub causes: Vec<Cause>,
}

impl Attribution {
    /// How much longer the step takes than the ideal one, delays of hosts left out: `without_delays / ideal`.
    #[must_use]
    pub fn slowdown(&self) -> f64 {
        self.without_delays.as_secs() / self.ideal.as_secs()
    }

    /// How much longer it takes for the delays of hosts: `measured / without_delays`.
    #[must_use]
    pub fn delay_slowdown(&self) -> f64 {
        self.measured.as_secs() / self.without_delays.as_secs()
    }
}

/// Attributes the loss of the steps of `graph`.
#[must_use]
pub fn attribute(graph: &Graph<'_>) -> Attribution {
    let replayed = Timing::measured(graph);
    let measured = measured(graph);
    let timing = replayed.clone().without_delays(graph);
    let ideal = timing.ideal(graph).begun_together(graph);
    let time = |timing: &Timing| mean(&graph.step_times(&graph.evaluate(timing)));
    let ideal_time = time(&ideal);
    let recording = graph.recording();
    let operation = |at: u32| &recording.operations[at as usize];
    let only =
        |takes: &dyn Fn(u32) -> bool| time(&ideal.mixed(&timing, takes)).as_secs() / ideal_time.as_secs();
    let by = |count: u32, name: &dyn Fn(u32) -> String, takes: &dyn Fn(u32, u32) -> bool| {
        let mut parts: Vec<Slowdown> = (0..count)
            .map(|part| Slowdown {
                part: name(part),
                factor: only(&|at| takes(part, at)),
            })
            .collect();
        parts.sort_by(|a, b| b.factor.total_cmp(&a.factor));
        parts
    };
    let program = |at: u32| &recording.programs[recording.program_of(operation(at))];
    let most = |of: fn(&orrery_trace::Program) -> Option<u32>| {
        recording
            .programs
            .iter()
            .filter_map(of)
            .max()
            .map_or(0, |most| most + 1)
    };
    let number = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
    let kind_name = |kind: u32| recording.kinds.kind(KindId::new(kind)).name.clone();
    let rank_name = |rank: u32| recording.programs[ProgramId::new(rank)].name.clone();
    Attribution {
        measured,
        replayed: time(&replayed),
        without_delays: time(&timing),
        ideal: ideal_time,
        by_kind: by(number(recording.kinds.len()), &kind_name, &|kind, at| {
            operation(at).kind.get() == kind
        }),
        by_stage: by(
            most(|of| of.stage),
            &|stage| format!("stage {stage}"),
            &|stage, at| program(at).stage == Some(stage),
        ),
        by_replica: by(
            most(|of| of.replica),
            &|replica| format!("replica {replica}"),
            &|replica, at| program(at).replica == Some(replica),
        ),
        by_rank: by(number(recording.programs.len()), &rank_name, &|rank, at| {
            recording.program_of(operation(at)).get() == rank
        }),
        causes: Causes::new(graph, &timing).all(time(&timing), ideal_time),
    }
}

/// The mean step as recorded, from its first start to its last end.
fn measured(graph: &Graph<'_>) -> SimDuration {
    let recording = graph.recording();
    let ends = crate::Ends {
        starts: recording
            .operations
            .iter()
            .map(|operation| operation.start)
            .collect(),
        ends: recording
            .operations
            .iter()
            .map(orrery_trace::Operation::end)
            .collect(),
    };
    mean(&graph.step_times(&ends))
}
