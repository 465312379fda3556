//! What the report needs to know of a plan: names, counts and FLOPs, in its own plain words.

use orrery_profile::{Profile, TuningSet};
use orrery_report::{Assumption, DeviceFacts, Identity, ModelError, Origin, Price, Rank, RunFacts, StepWork};
use orrery_scenario::plan::{ScheduleKind, ZeroStage};
use orrery_scenario::{Plan, catalog};
use orrery_taskgraph::Driver as _;
use orrery_units::{FlopsPerSec, HALF_WIDTH_80, LaneId, ProgramId, Seed, significant};
use orrery_workload::lower::{TrainingDriver, model_flops};
use orrery_workload::routing::Router;

use crate::pipeline::seed_of;

/// Microbatches of a step whose loads are looked at for `moe.imbalance`.
const IMBALANCE_MICROBATCHES: u64 = 4;

/// The facts of `plan` as `driver` lowers it.
pub(crate) fn of_plan(plan: &Plan, driver: &TrainingDriver<'_>) -> RunFacts {
    let model_error = model_error(plan);
    let mut assumptions: Vec<Assumption> = plan
        .assumptions
        .iter()
        .map(|assumption| Assumption {
            key: assumption.key.clone(),
            value: assumption.value.clone(),
            reason: assumption.reason.clone(),
        })
        .collect();
    assumptions.push(Assumption {
        key: "report.interval".to_owned(),
        value: format!("± {} % of times", significant(model_error.time * 100.0, 3)),
        reason: if plan.tuning.spread.is_some() {
            "80 % interval: measured steps of this stack about their predictions"
        } else {
            "80 % interval: measured steps about predictions that were fitted without their model, device and stack"
        }
        .to_owned(),
    });
    RunFacts {
        identity: identity(plan),
        work: work(plan),
        device: device(plan),
        kinds: driver.kinds().table.clone(),
        shares: crate::why::work_shares(plan),
        causes: driver
            .resources()
            .causes
            .iter()
            .map(|&cause| cause.to_owned())
            .collect(),
        stages: (0..plan.layout.pp).map(|rank| format!("stage {rank}")).collect(),
        ranks: ranks(driver, plan.cluster.node.num_devices),
        warmup_steps: plan.training.warmup_steps as usize,
        expert_imbalance: expert_imbalance(plan),
        networks: Vec::new(),
        model_error,
        power: crate::power::of_plan(plan),
        price: price(plan),
        assumptions,
    }
}

/// The device of `plan`.
pub(crate) fn device(plan: &Plan) -> DeviceFacts {
    DeviceFacts {
        name: plan.cluster.device.name.clone(),
        count: plan.layout.world(),
        peak: peak(plan, orrery_operation::Precision::Bf16),
        memory: plan.cluster.device.memory,
        power_limit: plan.cluster.device.power_limit,
    }
}

/// What a device-hour of `plan` costs.
pub(crate) fn price(plan: &Plan) -> Option<Price> {
    plan.price.as_ref().map(|price| Price {
        currency: price.currency.clone(),
        device_hour: price.device_hour,
        priced_on: price.priced_on.clone(),
    })
}

fn identity(plan: &Plan) -> Identity {
    let who = &plan.identity;
    let parameters = plan.model.parameters().total();
    #[expect(clippy::cast_precision_loss, reason = "three digits are printed")]
    let billions = significant(parameters as f64 / 1e9, 3);
    Identity {
        origin: Origin::Simulated,
        scenario: who.name.clone(),
        title: who.title.clone(),
        notes: who.notes.clone(),
        file: who.file.clone(),
        hash: who.hash.clone(),
        settings: settings(&who.resolved),
        seed: plan.run.seed.get(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        profile: match plan.profile.name.as_str() {
            "" => "none".to_owned(),
            name => name.to_owned(),
        },
        profile_sources: profile_sources(&plan.profile),
        model: format!(
            "{}, {billions} B parameters, {} layers",
            plan.model.name,
            plan.model.layers.len()
        ),
        cluster: format!(
            "{} x {} in {} nodes",
            plan.cluster.num_devices(),
            plan.cluster.device.name,
            plan.cluster.num_nodes
        ),
        layout: layout(plan),
    }
}

/// The keys of a resolved scenario with dots between their parts; texts for people and expectations left out.
pub(crate) fn settings(resolved: &serde_json::Value) -> Vec<(String, String)> {
    fn walk(path: &str, value: &serde_json::Value, into: &mut Vec<(String, String)>) {
        match value {
            serde_json::Value::Object(table) => {
                for (key, value) in table {
                    let dot = if path.is_empty() { "" } else { "." };
                    walk(&format!("{path}{dot}{key}"), value, into);
                }
            }
            serde_json::Value::String(text) => into.push((path.to_owned(), text.clone())),
            other => into.push((path.to_owned(), other.to_string())),
        }
    }
    let mut settings = Vec::new();
    walk("", resolved, &mut settings);
    settings.retain(|(key, _)| {
        !["scenario.", "expect.", "x-"]
            .iter()
            .any(|prefix| key.starts_with(prefix))
            && key != "schema"
    });
    settings.sort();
    settings
}

fn layout(plan: &Plan) -> String {
    let layout = &plan.layout;
    let schedule = match layout.schedule.kind {
        ScheduleKind::GPipe => "GPipe".to_owned(),
        ScheduleKind::OneFOneB => "1F1B".to_owned(),
        ScheduleKind::Interleaved => format!("interleaved 1F1B, {} chunks", layout.schedule.chunks),
        ScheduleKind::ZeroBubbleH1 => "ZB-H1".to_owned(),
        ScheduleKind::ZeroBubbleV => "ZB-V".to_owned(),
        ScheduleKind::DualPipe => "DualPipe".to_owned(),
        ScheduleKind::DualPipeV => "DualPipeV".to_owned(),
    };
    let zero = match layout.zero {
        ZeroStage::None => "no ZeRO",
        ZeroStage::Optimizer => "ZeRO-1",
        ZeroStage::Gradients => "ZeRO-2",
        ZeroStage::Parameters => "ZeRO-3",
    };
    format!(
        "TP{} PP{} EP{} CP{} DP{}, {schedule}, {zero}, {} sequences of {} tokens in microbatches of {}, {} GEMMs",
        layout.tp,
        layout.pp,
        layout.ep,
        layout.cp,
        layout.dp,
        plan.training.global_batch,
        plan.training.sequence_length,
        plan.training.micro_batch,
        plan.training.formats.gemm.name()
    )
}

/// Dense peak of the device in `precision`, or in BF16 or FP16 when it has no such unit.
fn peak(plan: &Plan, precision: orrery_operation::Precision) -> FlopsPerSec {
    use orrery_operation::Precision::{Bf16, Fp16};
    let device = &plan.cluster.device;
    [precision, Bf16, Fp16]
        .into_iter()
        .find_map(|precision| device.peak(precision))
        .or_else(|| device.peaks.first().map(|&(_, rate)| rate))
        .expect("a device of the catalogue has a peak")
}

/// FLOPs of a step, and its ideal time with every product at the peak of its own format.
///
/// The output head stays in the activations' format, as it is simulated. What causal and full counting differ
/// by is the causal half of attention; sliding windows count with the products.
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
pub(crate) fn work(plan: &Plan) -> StepWork {
    let flops = model_flops(plan);
    let (training, formats) = (&plan.training, &plan.training.formats);
    let samples = training.global_batch as f64;
    let tokens = samples * training.sequence_length as f64;
    let heads = 1.0 + plan.model.mtp_layers as f64;
    let attention = flops.full_attention.get() - flops.causal.get();
    let logits = 3.0 * tokens * 2.0 * (plan.model.vocab * plan.model.hidden) as f64 * heads;
    let products = flops.causal.get() - attention - logits;
    let devices = f64::from(plan.layout.world());
    let seconds = [
        (products, formats.gemm),
        (attention, formats.attention),
        (logits, formats.activations),
    ]
    .into_iter()
    .map(|(flops, precision)| flops / devices / peak(plan, precision).get())
    .sum::<f64>();
    StepWork {
        tokens,
        samples,
        model_flops: flops.causal,
        model_flops_full_attention: flops.full_attention,
        // Counted from what was simulated once it was.
        hardware_flops: flops.causal,
        weighted_ideal: orrery_units::SimDuration::from_secs(seconds),
    }
}

fn ranks(driver: &TrainingDriver<'_>, devices_per_node: u32) -> Vec<Rank> {
    let resources = driver.resources();
    let mut compute: Vec<Option<LaneId>> = vec![None; resources.programs.len()];
    for (lane, of) in resources.lanes.iter_enumerated() {
        if of.name == "compute" {
            compute[of.program.index()] = Some(lane);
        }
    }
    let name = |program: ProgramId| resources.programs[program].clone();
    driver
        .ranks()
        .zip(resources.programs.ids())
        .map(|((rank, pipeline_rank), program)| Rank {
            name: name(program),
            stage: pipeline_rank as usize,
            // Ranks lie on devices in their order; one that stands for several lies on many nodes.
            node: (driver.multiplicity() == 1).then_some(u64::from(rank / devices_per_node)),
            compute_lane: compute[program.index()].expect("every rank has a lane named compute"),
            stands_for: driver.multiplicity(),
        })
        .collect()
}

/// Imbalance averaged over layers: one sample for each of some microbatches of each measured step and
/// replication. Loads are drawn by key, so these are the ones that are simulated.
fn expert_imbalance(plan: &Plan) -> Vec<f64> {
    if !plan.model.has_experts() {
        return Vec::new();
    }
    let seeds = (0..plan.run.replications).map(|replication| seed_of(plan.run.seed, replication));
    seeds.flat_map(|seed| imbalance_of(plan, seed)).collect()
}

fn imbalance_of(plan: &Plan, seed: Seed) -> Vec<f64> {
    let mut router = Router::new(plan, seed);
    let num_layers = u32::try_from(plan.model.layers.len()).expect("a model has fewer than 2^32 layers");
    let layers: Vec<u32> = (0..num_layers)
        .filter(|&layer| router.has_experts(layer))
        .collect();
    let count = plan.training.num_microbatches.min(IMBALANCE_MICROBATCHES);
    let microbatches = u32::try_from(count).expect("a handful");
    let steps = plan.training.warmup_steps..plan.training.steps;
    let mut samples = Vec::new();
    for step in steps {
        for microbatch in 0..microbatches {
            let sum: f64 = layers
                .iter()
                .map(|&layer| router.load(0, layer, step, microbatch).imbalance())
                .sum();
            samples.push(sum / f64::from(u32::try_from(layers.len()).expect("counted above")));
        }
    }
    samples
}

/// One line per curve: what, whose kernels, measured by whom, where it is written.
pub(crate) fn profile_sources(profile: &Profile) -> Vec<String> {
    let mut sources = profile.notes.clone();
    for curve in &profile.kernels {
        let format = curve.precision.map_or("", |precision| precision.name());
        sources.push(format!(
            "{} {format}: {}, {} ({})",
            curve.op.name(),
            curve.kernel_source,
            curve.provenance.measured_by,
            curve.provenance.source
        ));
    }
    sources.dedup();
    sources
}

/// The spread of measured steps of this stack; of a stack that none was measured of, that of what was held out.
pub(crate) fn model_error(plan: &Plan) -> ModelError {
    let unseen = || catalog::tuning().spread(TuningSet::UNSEEN, plan.model.has_experts());
    let spread = plan.tuning.spread.or_else(unseen).unwrap_or(0.0);
    ModelError {
        time: HALF_WIDTH_80 * spread,
        memory: None,
    }
}
