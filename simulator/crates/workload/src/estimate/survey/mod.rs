//! Steps and memory of tens of thousands of layouts of one job a second.
//!
//! A layout shares most of what it is made of with others: kernels with all of the same degrees and microbatch,
//! data-parallel traffic with all of the same groups, stages with their neighbours. [`Surveyor`] computes each of these
//! once, by the functions that [`Parts::of`] calls, and adds. [`Parts::of`] and [`memory_peaks`](super::memory_peaks) of
//! the layout's plan are its slow twins; a test feeds them the same layouts.
//!
//! Layouts are compared with balanced experts and without noise: what varies between ranks is not theirs to decide.

mod cells;
mod stages;

use std::collections::BTreeMap;

use orrery_profile::Tuning;
use orrery_scenario::plan::{Axis, Law, Layout, Noise, Plan, Recompute, Schedule, ScheduleKind, ZeroStage};
use orrery_scenario::{LayoutChoice, Refusal, Relayout};
use orrery_units::{Bytes, SimDuration};

use super::in_flight::{Moment, enough, moments};
use super::{Estimate, Order, Parts};
use crate::cost::CostModel;
use cells::{Exchanged, LayerCell, MeshCell};
use stages::Stages;

/// What the closed form says of a layout.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Survey {
    /// The step.
    pub estimate: Estimate,
    /// The most that a device holds.
    pub peak: Bytes,
    /// The pipeline rank that holds it.
    pub peak_rank: u32,
    /// What of it is there all the time.
    pub statics: Bytes,
    /// Data-parallel degree.
    pub dp: u32,
    /// Microbatches of a step and data-parallel rank.
    pub microbatches: u64,
    /// Whether a tensor-parallel group reaches beyond the scale-up network.
    pub tensor_beyond_domain: bool,
}

/// The degrees that decide who is in which group: TP, PP, CP, EP, expert-TP, and whether stages lie twice (`DualPipe`).
type MeshKey = (u32, u32, u32, u32, u32, bool);
/// The degrees that decide the kernels of a layer: TP, CP, EP, expert-TP, sequences, recompute, and DP and PP where the
/// order of axes makes them matter.
type LayerKey = (u32, u32, u32, u32, u64, usize, (u32, u32));
/// The same for exchanges, whatever is recomputed.
type ExchangeKey = (u32, u32, u32, u32, u64, (u32, u32));

/// Answers for layouts of one job.
#[derive(Debug)]
pub struct Surveyor {
    relayout: Relayout,
    model: CostModel,
    /// One layer of each shape; its layout and microbatch are those of the cell that is being filled.
    skeleton: Plan,
    /// All layers, with the layout that was asked for last.
    whole: Plan,
    /// Shape of each layer.
    shape_of_layer: Vec<usize>,
    /// What is recomputed, and what the stack then makes of the device.
    recomputes: Vec<(Recompute, Tuning)>,
    barrier: SimDuration,
    latest: Option<(LayoutChoice, Result<u64, Refusal>)>,
    layers: BTreeMap<LayerKey, LayerCell>,
    exchanges: BTreeMap<ExchangeKey, Exchanged>,
    meshes: BTreeMap<(MeshKey, ZeroStage), MeshCell>,
    stages: Option<((MeshKey, Schedule, ZeroStage), Stages)>,
    flights: BTreeMap<(u32, u32, u32, u32), Vec<Vec<Moment>>>,
}

impl Surveyor {
    /// A surveyor of layouts of the job that `base` is, with balanced experts and no noise.
    #[must_use]
    pub fn new(mut base: Plan) -> Self {
        base.routing.law = Law::Balanced;
        base.noise = Noise::default();
        base.run.timeline = false;
        base.run.replications = 1;
        let model = CostModel::alone(&base);
        let mut skeleton = base.clone();
        skeleton.assumptions.clear();
        skeleton.expectations.clear();
        let mut shape_of_layer = Vec::new();
        let mut distinct = Vec::new();
        for layer in &base.model.layers {
            let known = distinct.iter().position(|shape| shape == layer);
            shape_of_layer.push(known.unwrap_or(distinct.len()));
            if known.is_none() {
                distinct.push(layer.clone());
            }
        }
        let mut whole = skeleton.clone();
        whole.layout.stages.clear();
        skeleton.model.layers = distinct;
        skeleton.model.mtp_layers = 0;
        Self {
            barrier: cells::barrier(&base, &model),
            relayout: Relayout::new(base),
            model,
            skeleton,
            whole,
            shape_of_layer,
            recomputes: Vec::new(),
            latest: None,
            layers: BTreeMap::new(),
            exchanges: BTreeMap::new(),
            meshes: BTreeMap::new(),
            stages: None,
            flights: BTreeMap::new(),
        }
    }

    /// The job as it is laid out by its scenario.
    #[must_use]
    pub const fn base(&self) -> &Plan {
        self.relayout.base()
    }

    /// The plan of `choice`, for the event simulation.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub fn plan(&mut self, choice: &LayoutChoice) -> Result<Plan, Refusal> {
        self.relayout.plan(choice)
    }

    /// Step and memory of `choice`. Whether it fits is the caller's to judge.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub fn survey(&mut self, choice: &LayoutChoice) -> Result<Survey, Refusal> {
        let microbatches = self.laid(choice)?;
        let recompute = self.recompute(&choice.recompute);
        let layout = &self.whole.layout;
        let mirrored = layout.schedule.kind == ScheduleKind::DualPipe;
        let mesh_key = (
            layout.tp,
            layout.pp,
            layout.cp,
            layout.ep,
            layout.expert_tp,
            mirrored,
        );
        let far = far(layout);
        let key = (layout.tp, layout.cp, layout.ep, layout.expert_tp);
        let exchange_key = (key.0, key.1, key.2, key.3, choice.micro_batch, far);
        let layer_key = (key.0, key.1, key.2, key.3, choice.micro_batch, recompute, far);
        self.fill_exchange(exchange_key);
        self.fill_layers(layer_key, exchange_key);
        self.fill_mesh((mesh_key, choice.zero), layer_key);
        self.fill_stages(mesh_key, layer_key);
        let flight = self.fill_flights(microbatches);
        let (exchanged, layers) = (&self.exchanges[&exchange_key], &self.layers[&layer_key]);
        let mesh = &self.meshes[&(mesh_key, choice.zero)];
        let stages = &self.stages.as_ref().expect("it was filled above").1;
        let layout = &self.whole.layout;
        let hop = if layout.pp > 1 {
            layers.hops[usize::from(mesh.crosses)]
        } else {
            SimDuration::ZERO
        };
        self.whole.training.num_microbatches = microbatches;
        let parts = Parts {
            sorts: stages.parts(layers, exchanged, mesh),
            ranks: stages.ranks().to_vec(),
            hop,
            barrier: self.barrier,
            // Along a V, embedding and head are on one rank.
            tied: if layout.schedule.is_v_shaped() {
                SimDuration::ZERO
            } else {
                mesh.tied
            },
            order: Order::of(&self.whole),
        };
        let [peak, statics, peak_rank] = stages.peak(layers, &self.flights[&flight]);
        Ok(Survey {
            estimate: parts.step(&self.recomputes[recompute].1),
            peak: Bytes::new(peak),
            peak_rank: u32::try_from(peak_rank).unwrap_or(u32::MAX),
            statics: Bytes::new(statics),
            dp: layout.dp,
            microbatches,
            tensor_beyond_domain: mesh.tensor_beyond_domain,
        })
    }

    /// Lays `whole` out as `choice` says; its microbatches.
    fn laid(&mut self, choice: &LayoutChoice) -> Result<u64, Refusal> {
        let same = |(known, laid): &&(LayoutChoice, Result<u64, Refusal>)| {
            let but = |choice: &LayoutChoice| {
                (
                    [choice.tp, choice.pp, choice.cp, choice.ep, choice.expert_tp],
                    (choice.schedule, choice.chunks, choice.micro_batch, choice.zero),
                )
            };
            // What is recomputed does not move a rank, but its names must apply to the model.
            let apply = choice.recompute == known.recompute
                || !matches!(choice.recompute, Recompute::Selective(_)) && laid.is_ok();
            but(known) == but(choice) && apply
        };
        self.whole.training.micro_batch = choice.micro_batch;
        self.whole.training.recompute.clone_from(&choice.recompute);
        if let Some((_, microbatches)) = self.latest.as_ref().filter(same) {
            return microbatches.clone();
        }
        let laid = self.relayout.layout(choice).map(|(layout, microbatches)| {
            self.whole.layout = layout;
            microbatches
        });
        self.latest = Some((choice.clone(), laid.clone()));
        laid
    }

    /// The number of `recompute` among those that were asked for.
    fn recompute(&mut self, recompute: &Recompute) -> usize {
        let known = self.recomputes.iter().position(|(known, _)| known == recompute);
        known.unwrap_or_else(|| {
            let tuning = self.relayout.tuning(recompute);
            self.recomputes.push((recompute.clone(), tuning));
            self.recomputes.len() - 1
        })
    }

    /// What the ranks hold at once under the schedule of `whole`.
    fn fill_flights(&mut self, microbatches: u64) -> (u32, u32, u32, u32) {
        let (schedule, pp) = (self.whole.layout.schedule, self.whole.layout.pp);
        let count = enough(schedule, pp, u32::try_from(microbatches).unwrap_or(u32::MAX));
        let key = (schedule.kind as u32, schedule.chunks, pp, count);
        self.flights
            .entry(key)
            .or_insert_with(|| (0..pp).map(|rank| moments(schedule, pp, rank, count)).collect());
        key
    }
}

/// DP and PP, where they decide how tensor- and expert-parallel groups lie; zeros where tensor-parallel ranks are
/// neighbours, then context-, then data-parallel ones, and stages begin at nodes or lie within them.
fn far(layout: &Layout) -> (u32, u32) {
    let usual = [Axis::Tensor, Axis::Context, Axis::Data, Axis::Pipeline];
    let (stage, domain) = (layout.ranks_per_stage(), layout.devices_per_domain);
    if layout.order == usual && (stage.is_multiple_of(domain) || domain.is_multiple_of(stage)) {
        (0, 0)
    } else {
        (layout.dp, layout.pp)
    }
}
