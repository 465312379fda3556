//! `[parallel]` into a layout.

use super::stages::{split, stages};
use super::{Assumptions, narrow};
use crate::cluster::devices_per_domain;
use crate::diagnostics::Faults;
use crate::document::Place;
use crate::plan::{Axis, Cluster, ContextExchange, Layout, Model, Schedule, ScheduleKind, ZeroStage};
use crate::raw::{Given, RawParallel};
use crate::validate;

/// The layout, unless its degrees do not fit the cluster.
pub(crate) fn layout(
    raw: &RawParallel,
    cluster: &Cluster,
    model: &Model,
    place: &Place,
    assumed: &mut Assumptions,
    faults: &mut Faults,
) -> Option<Layout> {
    let domain = devices_per_domain(cluster);
    layout_on(domain, raw, cluster, model, place, assumed, faults)
}

/// The same where the devices of a scale-up network are known.
pub(crate) fn layout_on(
    devices_per_domain: u32,
    raw: &RawParallel,
    cluster: &Cluster,
    model: &Model,
    place: &Place,
    assumed: &mut Assumptions,
    faults: &mut Faults,
) -> Option<Layout> {
    const ONE: &str = "not written: no parallelism of this kind";
    let mut degree = |given: &Option<Given<u64>>, key: &str| {
        narrow(assumed.or(given.as_ref(), &format!("parallel.{key}"), 1, ONE))
    };
    let (tp, pp) = (degree(&raw.tp, "tp"), degree(&raw.pp, "pp"));
    let (cp, ep) = (degree(&raw.cp, "cp"), degree(&raw.ep, "ep"));
    let expert_tp = degree(&raw.expert_tp, "expert_tp");
    let dp = validate::degrees_divide_the_cluster(raw, cluster, [tp, pp, cp], place, faults)?;
    if raw.dp.is_none() {
        assumed.note("parallel.dp", dp, "nodes x gpus / (tp x pp x cp)");
    }
    let schedule = schedule(raw, pp, assumed);
    validate::chunks_fit_the_schedule(raw, schedule, faults);
    let mut layout = Layout {
        tp,
        cp,
        cp_comm: ContextExchange::Ring,
        dp,
        pp,
        ep,
        expert_tp,
        zero: zero(raw, assumed),
        sequence_parallel: assumed.or(
            raw.sequence_parallel.as_ref(),
            "parallel.sequence_parallel",
            tp > 1,
            "on with tensor parallelism (Korthikanti 2022)",
        ),
        schedule,
        order: order(raw, assumed, faults),
        devices_per_domain,
        stages: Vec::new(),
    };
    let count = match schedule.kind {
        ScheduleKind::DualPipe => pp,
        _ => pp.saturating_mul(schedule.chunks),
    };
    let layers = layers_per_stage(raw, count as usize, model, place, assumed, faults)?;
    layout.stages = stages(&layers, model.mtp_layers);
    Some(layout)
}

fn schedule(raw: &RawParallel, pp: u32, assumed: &mut Assumptions) -> Schedule {
    let chunks = raw.chunks.as_ref().map(|given| narrow(given.value));
    let (name, reason) = if chunks.is_some_and(|chunks| chunks > 1) {
        ("interleaved", "several chunks per rank")
    } else {
        ("1f1b", "the usual schedule of a pipeline")
    };
    let name = assumed.or(
        raw.schedule.as_ref(),
        "parallel.schedule.kind",
        name.to_owned(),
        reason,
    );
    let kind = match name.as_str() {
        "gpipe" => ScheduleKind::GPipe,
        "dualpipe" => ScheduleKind::DualPipe,
        "dualpipe-v" => ScheduleKind::DualPipeV,
        "zb-h1" => ScheduleKind::ZeroBubbleH1,
        "zb-v" => ScheduleKind::ZeroBubbleV,
        "interleaved" if interleaves(chunks, pp) => ScheduleKind::Interleaved,
        _ => ScheduleKind::OneFOneB,
    };
    let chunks = match kind {
        ScheduleKind::DualPipe | ScheduleKind::DualPipeV | ScheduleKind::ZeroBubbleV => 2,
        ScheduleKind::Interleaved => chunks.unwrap_or_else(|| {
            assumed.note("parallel.schedule.chunks", 2, "the least that interleaves");
            2
        }),
        ScheduleKind::GPipe | ScheduleKind::OneFOneB | ScheduleKind::ZeroBubbleH1 => 1,
    };
    Schedule { kind, chunks }
}

/// Whether `chunks` on each of `pp` ranks interleave: one chunk per rank, or one stage, does not.
pub(crate) fn interleaves(chunks: Option<u32>, pp: u32) -> bool {
    chunks.unwrap_or(2) > 1 && pp > 1
}

/// How `cp` context-parallel ranks of `stack` exchange keys and values.
pub(crate) fn context_exchange(
    raw: &RawParallel,
    stack: &str,
    cp: u32,
    assumed: &mut Assumptions,
) -> ContextExchange {
    let (usual, reason) = match stack {
        "llama3" => (
            "allgather",
            "Llama 3 report, section 3.3.2: keys and values are gathered",
        ),
        _ => ("p2p", "Megatron-Core's default: a ring"),
    };
    if raw.cp_comm.is_none() && cp > 1 {
        assumed.note("parallel.cp_comm", usual, reason);
    }
    let name = raw.cp_comm.as_ref().map_or(usual, |given| given.value.as_str());
    match name {
        "allgather" => ContextExchange::AllGather,
        "a2a" => ContextExchange::AllToAll,
        _ => ContextExchange::Ring,
    }
}

fn zero(raw: &RawParallel, assumed: &mut Assumptions) -> ZeroStage {
    let reason = "optimiser states are shared out (Megatron's distributed optimiser, ZeRO-1)";
    match assumed.or(raw.zero_stage.as_ref(), "parallel.zero_stage", 1, reason) {
        0 => ZeroStage::None,
        1 => ZeroStage::Optimizer,
        2 => ZeroStage::Gradients,
        _ => ZeroStage::Parameters,
    }
}

/// The order of axes. `ep` may be written; it lies inside `dp` and has no place of its own.
fn order(raw: &RawParallel, assumed: &mut Assumptions, faults: &mut Faults) -> [Axis; 4] {
    let usual = [Axis::Tensor, Axis::Context, Axis::Data, Axis::Pipeline];
    let Some(given) = &raw.order else {
        assumed.note(
            "parallel.order",
            "tp, cp, dp, pp",
            "Megatron-Core's order: tensor inside a node",
        );
        return usual;
    };
    let axes: Vec<Axis> = given
        .value
        .iter()
        .filter_map(|name| match name.value.as_str() {
            "tp" => Some(Axis::Tensor),
            "cp" => Some(Axis::Context),
            "dp" => Some(Axis::Data),
            "pp" => Some(Axis::Pipeline),
            _ => None,
        })
        .collect();
    validate::order_names_every_axis_once(given, &axes, faults).unwrap_or(usual)
}

fn layers_per_stage(
    raw: &RawParallel,
    count: usize,
    model: &Model,
    place: &Place,
    assumed: &mut Assumptions,
    faults: &mut Faults,
) -> Option<Vec<usize>> {
    let total = model.layers.len();
    if let Some(given) = &raw.layers_per_stage {
        return validate::stage_list_holds_every_layer(given, count, total, faults);
    }
    if raw.first_stage_less.is_some() || raw.last_stage_less.is_some() {
        return validate::uneven_ends_divide(raw, count, total, faults);
    }
    if !validate::stages_have_layers(raw, count, total, place, faults) {
        return None;
    }
    let mtp = usize::try_from(model.mtp_layers).ok()?;
    let split = split(total, mtp, count);
    let shares: Vec<String> = split.layers.iter().map(ToString::to_string).collect();
    assumed.note("parallel.layers_per_stage", shares.join(", "), split.rule);
    Some(split.layers)
}
