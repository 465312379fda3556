//! A recording as a report: the same figures that a simulated run has, as far as a recording tells them.

use orrery_replay::{Graph, totals};
use orrery_report::{DeviceFacts, Identity, ModelError, Rank, Report, RunFacts, StepWork};
use orrery_timeline::OpClass;
use orrery_trace::Recording;
use orrery_units::{Bytes, Flops, FlopsPerSec, IndexVec, LaneId, ProgramId, SimDuration};

/// The report of a recording, under `name`.
///
/// What a recording does not hold is left out: tokens, model FLOPs and memory. The lane that is broken down is that on
/// which a rank computes most.
///
/// # Errors
/// When its operations wait for each other in a circle, or nothing was computed.
pub fn measured(recording: &Recording, name: &str, devices: &[String]) -> Result<Report, String> {
    let graph = Graph::new(recording).map_err(|fault| fault.to_string())?;
    let totals = totals(&graph);
    let facts = facts(recording, name, devices)?;
    Ok(Report::new(&[&totals], facts))
}

fn facts(recording: &Recording, name: &str, devices: &[String]) -> Result<RunFacts, String> {
    let lanes = compute_lanes(recording);
    let mut stages: Vec<u32> = recording
        .programs
        .iter()
        .filter_map(|program| program.stage)
        .collect();
    stages.sort_unstable();
    stages.dedup();
    let ranks = recording.programs.iter_enumerated().map(|(id, program)| {
        let stage = stages
            .iter()
            .position(|&stage| Some(stage) == program.stage)
            .unwrap_or(0);
        Ok(Rank {
            name: program.name.clone(),
            stage,
            compute_lane: lanes[id].ok_or_else(|| format!("{} computed nothing", program.name))?,
            stands_for: 1,
        })
    });
    let ranks: Vec<Rank> = ranks.collect::<Result<_, String>>()?;
    let stages = match stages.is_empty() {
        true => vec!["stage 0".to_owned()],
        false => stages.iter().map(|stage| format!("stage {stage}")).collect(),
    };
    let count = u32::try_from(ranks.len()).unwrap_or(u32::MAX);
    let device = devices.first().cloned().unwrap_or_else(|| "device".to_owned());
    Ok(RunFacts {
        identity: Identity {
            scenario: name.to_owned(),
            title: format!("{name}, as recorded"),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            profile: "recorded".to_owned(),
            cluster: format!("{count} x {device}"),
            ..Identity::default()
        },
        work: StepWork {
            tokens: 0.0,
            samples: 0.0,
            model_flops: Flops::new(0.0),
            model_flops_full_attention: Flops::new(0.0),
            hardware_flops: Flops::new(0.0),
            weighted_ideal: SimDuration::ZERO,
        },
        device: DeviceFacts {
            name: device,
            count,
            peak: FlopsPerSec::new(1.0),
            memory: Bytes::ZERO,
        },
        kinds: recording.kinds.clone(),
        shares: Vec::new(),
        causes: Vec::new(),
        stages,
        ranks,
        warmup_steps: 0,
        expert_imbalance: Vec::new(),
        networks: Vec::new(),
        model_error: ModelError::default(),
        price: None,
        assumptions: Vec::new(),
    })
}

/// For each rank the lane on which it computes longest.
fn compute_lanes(recording: &Recording) -> IndexVec<ProgramId, Option<LaneId>> {
    let mut busy: IndexVec<LaneId, SimDuration> = IndexVec::filled(SimDuration::ZERO, recording.lanes.len());
    for operation in &recording.operations {
        if recording.kinds.kind(operation.kind).class == OpClass::Compute {
            busy[operation.lane] += operation.duration;
        }
    }
    let mut lanes: IndexVec<ProgramId, Option<LaneId>> = IndexVec::filled(None, recording.programs.len());
    for (id, lane) in recording.lanes.iter_enumerated() {
        let best = &mut lanes[lane.program];
        if busy[id] > best.map_or(SimDuration::ZERO, |best| busy[best]) {
            *best = Some(id);
        }
    }
    lanes
}
