//! One policy at work: what it plans, what is on its way, and what each step costs it.

use std::ops::Range;

use orrery_units::{Bytes, SimDuration};

use super::estimate::Estimate;
use super::migration::traffic;
use super::run::{HEAT_STEPS, SIDE_BY_SIDE, add};
use super::upkeep::Upkeep;
use super::{
    Compiled, Contender, Control, Estimator, HeatMap, LayerTime, Loads, Migration, Question, Rebalance,
    TokenSources, Track,
};
use crate::placement::{
    Algorithm, Dispatch, LayerPlacement, Observed, Policy as _, Setting, Sources, max_over_mean,
};

/// One policy at work.
pub(super) struct Player<'a> {
    contender: &'a Contender,
    estimate: Estimate,
    layers: Vec<Compiled>,
    /// By layer: what replicas take besides.
    upkeep: Vec<Upkeep>,
    /// Chunks of layers on their way, in their order.
    chunks: Vec<Chunk>,
    track: Track,
    heat: Vec<Vec<f64>>,
    rows: Vec<f64>,
    /// Seconds of the latest step.
    latest: f64,
    /// Of the steps side by side.
    sums: [Sums; SIDE_BY_SIDE],
}

/// Layers whose replicas travel together.
struct Chunk {
    /// The step before which they begin to travel; blocking ones have arrived then.
    begin: u64,
    /// The step from which on they hold.
    due: u64,
    layers: Vec<(usize, Compiled)>,
    moved: usize,
    bytes: Bytes,
    transfer: SimDuration,
}

/// Sums over the layers of a step.
#[derive(Default)]
struct Sums {
    terms: LayerTime,
    total: f64,
}

impl Sums {
    /// Adds a layer's terms.
    fn take(&mut self, time: LayerTime) {
        self.terms += time;
        self.total += time.total();
    }
}

impl<'a> Player<'a> {
    /// The policy before the first step.
    pub(super) fn new(question: &Question<'_>, contender: &'a Contender, sources: &TokenSources) -> Self {
        let (layers, experts) = (question.process.layers() as usize, question.process.experts());
        let control = contender.control;
        let follows = contender.algorithm.follows_loads();
        let foresees = matches!(control.estimator, Estimator::Oracle) || control.interval == 0;
        // Before anything was seen all experts count alike, and replicas lie in order.
        let (algorithm, loads): (_, Vec<Vec<f64>>) = if follows && foresees {
            let ahead = |layer| question.ahead((0, control.interval), layer);
            (contender.algorithm, (0..layers).map(ahead).collect())
        } else {
            let start = if follows {
                Algorithm::Contiguous
            } else {
                contender.algorithm
            };
            (start, vec![vec![1.0; experts]; layers])
        };
        let place = |(layer, loads): (usize, &Vec<f64>)| {
            let setting = setting(question, contender, (0, layer), None);
            let placement = algorithm.place(Observed::of_mean(loads), setting);
            compile(question, contender, placement, loads, sources)
        };
        let compiled: Vec<Compiled> = loads.iter().enumerate().map(place).collect();
        let cells = layers * contender.shape.devices;
        Self {
            upkeep: compiled
                .iter()
                .map(|one| Upkeep::of(one.placement(), contender, question.machine))
                .collect(),
            layers: compiled,
            estimate: Estimate::new(
                control,
                layers,
                experts,
                matches!(contender.algorithm, Algorithm::FlashLb),
            ),
            chunks: Vec::new(),
            track: Track::default(),
            heat: vec![vec![0.0; cells]; question.frames().count()],
            rows: vec![0.0; cells],
            latest: 0.0,
            sums: Default::default(),
            contender,
        }
    }

    /// Steps before which something changes for this policy, those among them that come after `step` and are known by now.
    pub(super) fn events(&self, step: u64) -> impl Iterator<Item = u64> {
        let Control { interval, window, .. } = self.contender.control;
        // The next plan, and where the window that it sees begins.
        let planned = (interval > 0).then(|| {
            let last = step / interval * interval;
            [last + interval, last + interval.saturating_sub(window)]
        });
        // Batches that are balanced one by one do not lie side by side.
        let next = (self.contender.dispatch == Dispatch::LinearProgram).then_some(step + 1);
        let travels = self.chunks.iter().flat_map(|chunk| [chunk.begin, chunk.due]);
        planned.into_iter().flatten().chain(next).chain(travels)
    }

    /// What happens before a step: the balancer is asked when it is time, and replicas arrive.
    pub(super) fn begin(&mut self, question: &Question<'_>, step: u64, sources: &TokenSources) {
        self.track.stall.push(0.0);
        // What was due before is there before a new plan is made.
        self.arrive(question, step);
        let interval = self.contender.control.interval;
        let is_time = interval > 0 && step > 0 && step.is_multiple_of(interval);
        if is_time && self.contender.algorithm.follows_loads() {
            self.rebalance(question, step, sources);
            self.arrive(question, step);
        }
    }

    /// Takes in the chunks that are due; whoever blocks stands still for each of them.
    fn arrive(&mut self, question: &Question<'_>, step: u64) {
        let (there, under_way) = std::mem::take(&mut self.chunks)
            .into_iter()
            .partition(|chunk: &Chunk| chunk.due <= step);
        self.chunks = under_way;
        for chunk in there {
            if matches!(self.contender.control.migration, Migration::Blocking) {
                self.stand_still(chunk.transfer);
            }
            for (layer, compiled) in chunk.layers {
                self.upkeep[layer] = Upkeep::of(compiled.placement(), self.contender, question.machine);
                self.layers[layer] = compiled;
            }
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "a stall in single precision")]
    fn stand_still(&mut self, time: SimDuration) {
        *self.track.stall.last_mut().expect("the step has begun") += time.as_secs() as f32;
    }

    /// Plans every layer anew, and sets replicas on their way where that is worth it.
    fn rebalance(&mut self, question: &Question<'_>, step: u64, sources: &TokenSources) {
        let control = self.contender.control;
        let loads: Vec<Vec<f64>> = (0..self.layers.len())
            .map(|layer| match control.estimator {
                Estimator::Oracle => question.ahead((step, control.interval), layer),
                Estimator::Mean | Estimator::Ewma { .. } => self.estimate.mean(layer),
            })
            .collect();
        let estimated = self.layers.iter().zip(&loads);
        let worst = estimated
            .map(|(compiled, loads)| max_over_mean(&compiled.placement().device_loads(loads)))
            .fold(0.0, f64::max);
        if worst >= control.trigger {
            let place = |(layer, loads): (usize, &Vec<f64>)| {
                let now = self.layers[layer].placement();
                let observed = Observed {
                    mean: loads,
                    samples: self.estimate.samples(layer),
                };
                let setting = setting(question, self.contender, (step, layer), Some(now));
                let placement = self.contender.algorithm.place(observed, setting);
                compile(question, self.contender, placement, loads, sources)
            };
            let plans: Vec<Compiled> = loads.iter().enumerate().map(place).collect();
            self.overtake();
            self.migrate(question, step, plans);
        }
        self.estimate.forget();
    }

    /// Chunks that have not arrived are overtaken by a new plan: they never were.
    fn overtake(&mut self) {
        for chunk in self.chunks.drain(..) {
            if let Some(plan) = self.track.rebalances.last_mut() {
                plan.moved -= chunk.moved;
                plan.bytes = Bytes::new(plan.bytes.get() - chunk.bytes.get());
                plan.transfer = plan.transfer.saturating_sub(chunk.transfer);
                if matches!(self.contender.control.migration, Migration::Blocking) {
                    plan.stall = plan.stall.saturating_sub(chunk.transfer);
                }
            }
        }
        self.track.rebalances.pop_if(|plan| plan.moved == 0);
    }

    /// Sends the replicas of `plans`, chunk by chunk.
    fn migrate(&mut self, question: &Question<'_>, step: u64, plans: Vec<Compiled>) {
        let control = self.contender.control;
        let layers = plans.len();
        let each = control.layers_per_chunk.clamp(1, layers.max(1));
        let mut plans = plans.into_iter().enumerate();
        let mut total = Rebalance {
            step,
            moved: 0,
            bytes: Bytes::ZERO,
            stall: SimDuration::ZERO,
            transfer: SimDuration::ZERO,
        };
        for number in 0..layers.div_ceil(each) {
            let of_chunk: Vec<(usize, Compiled)> = plans.by_ref().take(each).collect();
            let (moved, bytes, transfer) = self.sent(question, &of_chunk);
            let sent_before = total.transfer;
            total.moved += moved;
            total.bytes += bytes;
            total.transfer += transfer;
            let (begin, due) = match control.migration {
                // A chunk is sent before each of the steps that follow.
                Migration::Blocking => (step + number as u64, step + number as u64),
                Migration::Overlapped { share } => {
                    let after = |sent: SimDuration| {
                        let seconds = control.plan_time.as_secs() + sent.as_secs() / share;
                        step + steps_of(seconds, self.latest)
                    };
                    (after(sent_before), after(total.transfer))
                }
            };
            self.chunks.push(Chunk {
                begin,
                due,
                layers: of_chunk,
                moved,
                bytes,
                transfer,
            });
        }
        if matches!(control.migration, Migration::Blocking) {
            self.stand_still(control.plan_time);
            total.stall = control.plan_time + total.transfer;
        }
        if total.moved > 0 {
            self.track.rebalances.push(total);
        }
    }

    /// What a chunk sends: replicas, bytes and the time of the busiest port. Shadows are sent anew in every step, which
    /// is their upkeep.
    fn sent(&self, question: &Question<'_>, chunk: &[(usize, Compiled)]) -> (usize, Bytes, SimDuration) {
        if matches!(self.contender.algorithm, Algorithm::Shadow(_)) {
            return (0, Bytes::ZERO, SimDuration::ZERO);
        }
        let pairs = chunk
            .iter()
            .map(|(layer, plan)| (self.layers[*layer].placement(), plan.placement()));
        let traffic = traffic(pairs, question.machine);
        (traffic.moves.len(), traffic.bytes, traffic.time)
    }

    /// The share of the links that exchanges have in a step.
    fn links(&self, step: u64) -> f64 {
        let is_sent = |chunk: &Chunk| chunk.begin <= step && chunk.bytes > Bytes::ZERO;
        match self.contender.control.migration {
            Migration::Overlapped { share } if self.chunks.iter().any(is_sent) => 1.0 - share,
            _ => 1.0,
        }
    }

    /// One layer of steps side by side.
    pub(super) fn play<const N: usize>(
        &mut self,
        question: &Question<'_>,
        (steps, layer): (&Range<u64>, usize),
        counts: &[[f32; N]],
        sources: &TokenSources,
        scratch: &mut Loads<N>,
    ) {
        self.estimate.add(steps, layer, counts);
        if self.contender.dispatch == Dispatch::LinearProgram {
            let loads: Vec<f64> = counts.iter().map(|counts| f64::from(counts[0])).collect();
            let placement = self.layers[layer].placement().clone();
            self.layers[layer] = compile(question, self.contender, placement, &loads, sources);
        }
        let machine = (question.machine, self.links(steps.start));
        let times = self.layers[layer].time(counts, sources, machine, scratch);
        for ((at, step), sums) in steps.clone().enumerate().zip(&mut self.sums) {
            let mut time = times.of(at);
            time.upkeep = self.upkeep[layer].at(step, question.machine);
            sums.take(time);
        }
        let devices = self.contender.shape.devices;
        let cells = layer * devices..(layer + 1) * devices;
        add(&mut self.rows[cells.clone()], &scratch.rows, steps);
        for at in question.heat_of(steps.start) {
            add(&mut self.heat[at][cells.clone()], &scratch.rows, steps);
        }
    }

    /// Ends steps.
    #[expect(clippy::cast_possible_truncation, reason = "series in single precision")]
    pub(super) fn close(&mut self, layers: u32, steps: &Range<u64>) {
        let layers = f64::from(layers.max(1));
        for (_, sums) in steps.clone().zip(std::mem::take(&mut self.sums)) {
            self.track.imbalance.push((sums.terms.imbalance / layers) as f32);
            self.track.layer_time.push((sums.total / layers) as f32);
            self.track.wait.push((sums.terms.wait / layers) as f32);
            self.track.terms += sums.terms;
            self.latest = sums.total;
        }
        // Nobody stood still but before the first.
        self.track.stall.resize(self.track.layer_time.len(), 0.0);
    }

    /// What came of it; `experts` are the loads of experts over the last steps.
    pub(super) fn finish(self, question: &Question<'_>, experts: &[f64], sources: &TokenSources) -> Track {
        let layers = self.layers.len();
        let of_layers = self.rows.chunks(self.contender.shape.devices);
        Track {
            devices: self
                .heat
                .iter()
                .map(|sums| HeatMap::of_sums(sums, layers))
                .collect(),
            pairs: pairs(&self.layers, experts, question, sources),
            imbalance_of_layers: of_layers.map(max_over_mean).collect(),
            placements: self
                .layers
                .into_iter()
                .map(|compiled| compiled.placement().clone())
                .collect(),
            ..self.track
        }
    }
}

fn setting<'a>(
    question: &Question<'_>,
    contender: &Contender,
    (step, layer): (u64, usize),
    now: Option<&'a LayerPlacement>,
) -> Setting<'a> {
    Setting {
        shape: contender.shape,
        now,
        key: question.seed.at("placement", &[step, layer as u64]),
    }
}

fn compile(
    question: &Question<'_>,
    contender: &Contender,
    placement: LayerPlacement,
    loads: &[f64],
    sources: &TokenSources,
) -> Compiled {
    let sources = Sources {
        devices_per_node: question.machine.exchange.devices_per_node(),
        shares: sources.shares(),
    };
    Compiled::new(placement, contender.dispatch, loads, sources)
}

/// Steps that begin while so many seconds pass, one at least where any passes.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a number of steps; casting cuts what is too large"
)]
fn steps_of(seconds: f64, step: f64) -> u64 {
    if seconds <= 0.0 {
        0
    } else if step > 0.0 {
        (seconds / step).ceil().max(1.0) as u64
    } else {
        1
    }
}

/// Bytes of a step's dispatch from the device that holds a token to each that has one of its experts, all layers, in the
/// mean of the last steps; whatever way they take.
#[expect(clippy::cast_precision_loss, reason = "there are few steps")]
fn pairs(
    layers: &[Compiled],
    experts: &[f64],
    question: &Question<'_>,
    sources: &TokenSources,
) -> Vec<Vec<f64>> {
    let devices = sources.shares().len();
    let steps = HEAT_STEPS.min(question.steps).max(1) as f64;
    let token = question.machine.dispatch_token.as_f64();
    let held = Sources {
        devices_per_node: question.machine.exchange.devices_per_node(),
        shares: sources.shares(),
    };
    let mut bytes = vec![vec![0.0; devices]; devices];
    for (compiled, loads) in layers.iter().zip(experts.chunks(question.process.experts())) {
        compiled.ways(held, |from, expert, device, share| {
            if device != from {
                bytes[from][device] += loads[expert] / steps * sources.shares()[from] * share * token;
            }
        });
    }
    bytes
}
