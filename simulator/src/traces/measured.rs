//! A recording as a report: the same figures that a simulated run has, as far as a recording tells them.

use orrery_replay::{Graph, Stretch, critical_path, totals};
use orrery_report::{
    CriticalPath, DeviceFacts, Hold, Identity, ModelError, Origin, Piece, Rank, Report, RunFacts, StepWork,
    Why, WorkShares,
};
use orrery_timeline::OpClass;
use orrery_trace::{Alike, KernelWork, Recording};
use orrery_units::{Bytes, Flops, FlopsPerSec, IndexVec, LaneId, ProgramId, SimDuration, Watts};

use super::Opened;

/// The report of a recording, under `name`.
///
/// What a recording does not hold is left out: tokens, model FLOPs and memory. The lane that is broken down is that on
/// which a rank computes most, or of a rank that computed nothing, the one that was busy longest. A recording that is not
/// whole makes a partial report.
///
/// # Errors
/// When its operations wait for each other in a circle, or a rank did nothing.
pub fn measured(opened: &Opened, name: &str) -> Result<Report, String> {
    let (recording, devices) = (&opened.recording, opened.devices.as_slice());
    let graph = Graph::new(recording).map_err(|fault| fault.to_string())?;
    let totals = totals(&graph);
    let facts = facts(recording, name, devices)?;
    let mut report = Report::new(&[&totals], facts);
    let joined = opened.report.as_ref();
    report.partial = joined.and_then(|joined| joined.incomplete.clone());
    let has_hosts = recording.lanes.iter().any(|lane| lane.is_host);
    report.why = critical_path(&graph).map(|(begin, stretches)| {
        let pieces = stretches
            .iter()
            .map(|stretch| piece(recording, stretch, has_hosts));
        Why {
            critical_path: CriticalPath::new(begin, pieces.collect()),
            // What a schedule was is not recorded.
            phases: Vec::new(),
        }
    });
    Ok(report)
}

fn facts(recording: &Recording, name: &str, devices: &[String]) -> Result<RunFacts, String> {
    let mut stages: Vec<u32> = recording
        .programs
        .iter()
        .filter_map(|program| program.stage)
        .collect();
    stages.sort_unstable();
    stages.dedup();
    let ranks = ranks(recording, &stages)?;
    let stages = match stages.is_empty() {
        true => vec!["stage 0".to_owned()],
        false => stages.iter().map(|stage| format!("stage {stage}")).collect(),
    };
    let count = u32::try_from(ranks.len()).unwrap_or(u32::MAX);
    let device = devices.first().cloned().unwrap_or_else(|| "device".to_owned());
    Ok(RunFacts {
        identity: Identity {
            origin: Origin::Recorded,
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
            power_limit: Watts::default(),
        },
        kinds: recording.kinds.clone(),
        shares: shares(recording),
        causes: Vec::new(),
        stages,
        ranks,
        warmup_steps: 0,
        expert_imbalance: Vec::new(),
        networks: Vec::new(),
        model_error: ModelError::default(),
        price: None,
        power: None,
        assumptions: Vec::new(),
    })
}

/// The ranks, each with its place among `stages` and the lane that is broken down.
fn ranks(recording: &Recording, stages: &[u32]) -> Result<Vec<Rank>, String> {
    let lanes = compute_lanes(recording);
    let ranks = recording.programs.iter_enumerated().map(|(id, program)| {
        let stage = stages
            .iter()
            .position(|&stage| Some(stage) == program.stage)
            .unwrap_or(0);
        Ok(Rank {
            name: program.name.clone(),
            stage,
            // A recording names ranks, not where they ran.
            node: None,
            compute_lane: lanes[id].ok_or_else(|| {
                format!(
                    "{} did nothing on a device\n  = help: leave its file out, or record its device as well",
                    program.name
                )
            })?,
            stands_for: 1,
        })
    });
    ranks.collect()
}

/// What each kind's compute is, where kernels were recorded: their names say it.
fn shares(recording: &Recording) -> Vec<WorkShares> {
    if recording.alike == Alike::Kind {
        return Vec::new();
    }
    let of_kind = |name: &str| {
        let mut spent = [0.0; 4];
        let place = match KernelWork::of(name) {
            KernelWork::Product => 0,
            KernelWork::GroupedProduct => 1,
            KernelWork::Attention => 2,
            KernelWork::Pass => 3,
        };
        spent[place] = 1.0;
        WorkShares {
            spent,
            recomputed: 0.0,
        }
    };
    recording
        .kinds
        .iter()
        .map(|(_, kind)| of_kind(&kind.name))
        .collect()
}

/// A stretch of the critical path in the words of reports. What nothing explains is the host's where hosts were recorded.
fn piece(recording: &Recording, stretch: &Stretch, has_hosts: bool) -> Piece {
    let operation = &recording.operations[stretch.operation as usize];
    Piece {
        start: stretch.start,
        length: stretch.length,
        slowed: SimDuration::ZERO,
        hold: match (stretch.ran, has_hosts) {
            (true, _) => Hold::Running(operation.kind),
            (false, true) => Hold::Host(operation.kind),
            (false, false) => Hold::Unknown,
        },
        rank: recording.program_of(operation).get(),
    }
}

/// For each rank the lane of a device on which it computes longest; where it computes nowhere, works longest.
fn compute_lanes(recording: &Recording) -> IndexVec<ProgramId, Option<LaneId>> {
    let mut busy: IndexVec<LaneId, (SimDuration, SimDuration)> =
        IndexVec::filled(<(SimDuration, SimDuration)>::default(), recording.lanes.len());
    for operation in &recording.operations {
        let lane = &mut busy[operation.lane];
        if recording.kinds.kind(operation.kind).class == OpClass::Compute {
            lane.0 = plus(lane.0, operation.duration);
        }
        lane.1 = plus(lane.1, operation.duration);
    }
    let mut lanes: IndexVec<ProgramId, Option<LaneId>> = IndexVec::filled(None, recording.programs.len());
    for (id, lane) in recording
        .lanes
        .iter_enumerated()
        .filter(|(_, lane)| !lane.is_host)
    {
        let best = &mut lanes[lane.program];
        if best.is_none_or(|best| busy[id] > busy[best]) {
            *best = Some(id);
        }
    }
    lanes
}

/// The sum, at most the longest span that there is: broken times add up to more.
fn plus(a: SimDuration, b: SimDuration) -> SimDuration {
    SimDuration::from_picos(a.as_picos().saturating_add(b.as_picos()))
}
