//! A recording replayed: reproduced, and what made it slow.

use orrery_engine::{Error as EngineError, Options, run};
use orrery_replay::{Attribution, Graph, Timing, Waits, attribute, waits};
use orrery_trace::Recording;
use orrery_units::{IndexVec, ProgramId, SimDuration, SimTime};

use super::{Cancelled, Phase, TraceFault, Watch};

/// A recording, replayed and explained.
#[derive(Clone, Debug)]
pub struct Replayed {
    /// Where its time goes, and why.
    pub attribution: Attribution,
    /// Who waited for whom.
    pub waits: IndexVec<ProgramId, Waits>,
    /// The first step as the engine runs it, beside the closed form that the attribution uses.
    pub engine: EngineCheck,
}

/// One step through the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EngineCheck {
    /// Tasks that it took.
    pub tasks: u64,
    /// The instant of its end as the engine runs it.
    pub engine: SimTime,
    /// The same in closed form.
    pub closed_form: SimTime,
}

/// Replays `recording`.
///
/// # Errors
/// When somebody asked to stop, or its operations wait for each other in a circle.
pub fn replay(recording: &Recording, watch: &Watch) -> Result<Replayed, TraceFault> {
    watch.begin(Phase::Join, 0)?;
    let graph = Graph::new(recording).map_err(|fault| fault.to_string())?;
    watch.begin(Phase::Attribute, 0)?;
    let attribution = attribute(&graph, &mut |done, all| watch.at(done, all)).ok_or(Cancelled)?;
    watch.begin(Phase::Engine, 0)?;
    Ok(Replayed {
        attribution,
        waits: waits(&graph),
        engine: through_engine(&graph, watch)?,
    })
}

/// The recorded times through the engine: of the first step where steps are apart, else of everything.
fn through_engine(graph: &Graph<'_>, watch: &Watch) -> Result<EngineCheck, TraceFault> {
    let recording = graph.recording();
    let timing = Timing::measured(graph);
    let step = recording.steps_apart.then_some(0);
    let mut driver = graph.driver(&timing, step);
    let options = Options {
        lookahead: graph.most_tasks(),
        ..Options::default()
    };
    let outcome = run(&mut driver, &options, watch.engine()).map_err(|fault| match fault {
        EngineError::Cancelled { .. } => TraceFault::Cancelled(Cancelled),
        fault => TraceFault::Files(fault.to_string()),
    })?;
    let ends = graph.evaluate(&timing);
    let mine = recording.operations.iter().zip(&ends.ends);
    let closed_form = mine
        .filter(|(operation, _)| step.is_none_or(|step| operation.step == step))
        .map(|(_, &end)| end)
        .max();
    let engine = outcome.totals.steps.iter().map(|step| step.end).max();
    Ok(EngineCheck {
        tasks: outcome.totals.tasks,
        engine: engine.unwrap_or(SimTime::ZERO),
        closed_form: closed_form.unwrap_or(SimTime::ZERO),
    })
}

impl Replayed {
    /// The rank that others waited for most, if anybody waited.
    #[must_use]
    pub fn straggler(&self) -> Option<ProgramId> {
        let worst = self.waits.iter_enumerated().max_by_key(|(_, waits)| waits.caused);
        worst
            .filter(|(_, waits)| waits.caused > SimDuration::ZERO)
            .map(|(program, _)| program)
    }
}
