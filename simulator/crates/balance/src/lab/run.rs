//! Policies over the steps of a load process.

use orrery_experts::load::{LoadProcess, StepLayer};
use orrery_units::{Seed, SimDuration};

use super::estimate::Estimate;
use super::migration::traffic;
use super::{
    Compiled, Contender, DeviceLoad, Estimator, HeatMap, LayerTime, Loads, Machine, Migration, Outcome,
    Rebalance, Track,
};
use crate::placement::{Algorithm, Dispatch, LayerPlacement, Observed, Policy as _, Setting, max_over_mean};

/// Steps that the heat maps of the beginning and of the end sum over, at most.
const HEAT_STEPS: u64 = 200;

/// Policies to compare over the steps of a load process.
#[derive(Debug)]
pub struct Question<'a> {
    /// The loads.
    pub process: &'a dyn LoadProcess,
    /// Steps.
    pub steps: u64,
    /// The policies, all with the same number of devices.
    pub contenders: &'a [Contender],
    /// Devices and wires.
    pub machine: &'a Machine,
    /// Every random number.
    pub seed: Seed,
}

/// Counts of a layer at a step, as they are multiplied with shares.
struct Drawn {
    whole: Vec<u32>,
    counts: Vec<f32>,
}

impl Drawn {
    fn new(experts: usize) -> Self {
        Self {
            whole: vec![0; experts],
            counts: vec![0.0; experts],
        }
    }

    /// # Panics
    /// When a step has 2^31 assignments or more.
    #[expect(
        clippy::cast_precision_loss,
        reason = "counts to seven digits are exact enough for shares"
    )]
    fn at(&mut self, process: &dyn LoadProcess, at: StepLayer) -> &[f32] {
        assert!(
            process.assignments(at.step) < 1 << 31,
            "assignments of a step are counted in 31 bits"
        );
        process.counts(at, &mut self.whole);
        for (count, &whole) in self.counts.iter_mut().zip(&self.whole) {
            // Signed: the conversion of signed words is one instruction.
            *count = whole.cast_signed() as f32;
        }
        &self.counts
    }
}

/// Somebody asked to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stop;

/// One policy at work.
struct Player<'a> {
    contender: &'a Contender,
    estimate: Estimate,
    layers: Vec<Compiled>,
    /// Chunks of layers on their way: the step at which they arrive, and what then holds.
    arriving: Vec<(u64, usize, Compiled)>,
    /// Steps until which the links are shared with replicas.
    links_shared_until: u64,
    track: Track,
    heat: [Vec<f64>; 2],
    rows: Vec<f64>,
    /// Seconds of the latest step.
    latest: f64,
    sums: Sums,
}

/// Sums over the layers of a step.
#[derive(Default)]
struct Sums {
    imbalance: f64,
    total: f64,
    wait: f64,
}

impl Question<'_> {
    /// Runs every step; `progress` is told how many are done and may ask to stop.
    ///
    /// # Errors
    /// When `progress` asked to stop.
    pub fn run(&self, mut progress: impl FnMut(u64) -> Result<(), Stop>) -> Result<Outcome, Stop> {
        let layers = self.process.layers();
        let experts = self.process.experts();
        let mut drawn = Drawn::new(experts);
        let mut players: Vec<Player<'_>> = self.contenders.iter().map(|one| self.player(one)).collect();
        let mut heat = [
            vec![0.0; layers as usize * experts],
            vec![0.0; layers as usize * experts],
        ];
        let mut scratch = Loads::default();
        for step in 0..self.steps {
            if step % 64 == 0 {
                progress(step)?;
            }
            for player in &mut players {
                self.before(step, player);
            }
            for layer in 0..layers {
                let drawn = drawn.at(self.process, StepLayer::new(step, layer));
                let layer = layer as usize;
                for at in self.heat_of(step) {
                    add(&mut heat[at][layer * experts..][..experts], drawn);
                }
                for player in &mut players {
                    self.play(step, layer, player, drawn, &mut scratch);
                }
            }
            for player in &mut players {
                player.close(layers);
            }
        }
        let [before, after] = heat;
        Ok(Outcome {
            experts_before: HeatMap::of_sums(&before, layers as usize),
            experts_after: HeatMap::of_sums(&after, layers as usize),
            tracks: players
                .into_iter()
                .map(|player| player.finish(self, after.as_slice()))
                .collect(),
            steps: self.steps,
        })
    }

    /// Which heat maps `step` belongs to: that of the beginning, that of the end.
    fn heat_of(&self, step: u64) -> impl Iterator<Item = usize> {
        let steps = HEAT_STEPS.min(self.steps);
        [step < steps, step + steps >= self.steps]
            .into_iter()
            .zip(0..)
            .filter_map(|(belongs, at)| belongs.then_some(at))
    }

    fn player<'a>(&self, contender: &'a Contender) -> Player<'a> {
        let (layers, experts) = (self.process.layers() as usize, self.process.experts());
        let keeps = matches!(contender.algorithm, Algorithm::FlashLb);
        // Before anything was seen all experts count alike, and replicas lie in order.
        let even = vec![1.0; experts];
        let start = Algorithm::Contiguous;
        let compiled = (0..layers).map(|layer| {
            let algorithm = if contender.algorithm.follows_loads() && contender.control.interval > 0 {
                start
            } else {
                contender.algorithm
            };
            let loads = if contender.control.interval == 0 && algorithm.follows_loads() {
                self.ahead(0, layer)
            } else {
                even.clone()
            };
            let placement = algorithm.place(
                Observed::of_mean(&loads),
                self.setting(contender, (0, layer), None),
            );
            Compiled::new(
                placement,
                contender.dispatch,
                &loads,
                self.machine.devices_per_node,
            )
        });
        Player {
            contender,
            estimate: Estimate::new(contender.control, layers, experts, keeps),
            layers: compiled.collect(),
            arriving: Vec::new(),
            links_shared_until: 0,
            track: Track::default(),
            heat: [
                vec![0.0; layers * contender.shape.devices],
                vec![0.0; layers * contender.shape.devices],
            ],
            rows: vec![0.0; layers * contender.shape.devices],
            latest: 0.0,
            sums: Sums::default(),
        }
    }

    fn setting<'a>(
        &self,
        contender: &Contender,
        (step, layer): (u64, usize),
        now: Option<&'a LayerPlacement>,
    ) -> Setting<'a> {
        Setting {
            shape: contender.shape,
            now,
            key: self.seed.at("placement", &[step, layer as u64]),
        }
    }

    /// Expected loads of a layer at a step, as a balancer with foresight knows them.
    #[expect(clippy::cast_precision_loss, reason = "token counts are far below 2^53")]
    fn ahead(&self, step: u64, layer: usize) -> Vec<f64> {
        let mut shares = vec![0.0; self.process.experts()];
        let layer = u32::try_from(layer).expect("a model has fewer than 2^32 layers");
        self.process.popularity(StepLayer::new(step, layer), &mut shares);
        let assignments = self.process.assignments(step) as f64;
        shares.iter().map(|share| share * assignments).collect()
    }

    /// What happens before a step: replicas arrive, and the balancer is asked when it is time.
    fn before(&self, step: u64, player: &mut Player<'_>) {
        player.track.stall.push(0.0);
        let mut waiting = Vec::new();
        for (due, layer, compiled) in std::mem::take(&mut player.arriving) {
            if due <= step {
                player.layers[layer] = compiled;
            } else {
                waiting.push((due, layer, compiled));
            }
        }
        player.arriving = waiting;
        let control = player.contender.control;
        let is_time = control.interval > 0 && step > 0 && step.is_multiple_of(control.interval);
        if is_time && player.contender.algorithm.follows_loads() {
            self.rebalance(step, player);
        }
    }

    /// Plans every layer anew and sets replicas on their way.
    fn rebalance(&self, step: u64, player: &mut Player<'_>) {
        let control = player.contender.control;
        // Chunks that have not arrived are overtaken by the new plan.
        player.arriving.clear();
        let loads: Vec<Vec<f64>> = (0..player.layers.len())
            .map(|layer| match control.estimator {
                Estimator::Oracle => self.ahead(step, layer),
                Estimator::Mean | Estimator::Ewma { .. } => player.estimate.mean(layer),
            })
            .collect();
        let estimated = player.layers.iter().zip(&loads);
        let worst = estimated
            .map(|(compiled, loads)| max_over_mean(&compiled.placement().device_loads(loads)))
            .fold(0.0, f64::max);
        if worst >= control.trigger {
            let plans: Vec<Compiled> = (0..player.layers.len())
                .map(|layer| {
                    let now = player.layers[layer].placement();
                    let observed = Observed {
                        mean: &loads[layer],
                        samples: player.estimate.samples(layer),
                    };
                    let setting = self.setting(player.contender, (step, layer), Some(now));
                    let placement = player.contender.algorithm.place(observed, setting);
                    let dispatch = player.contender.dispatch;
                    Compiled::new(placement, dispatch, &loads[layer], self.machine.devices_per_node)
                })
                .collect();
            self.migrate(step, player, plans);
        }
        player.estimate.forget();
    }

    /// Sends the replicas of `plans`, chunk by chunk.
    fn migrate(&self, step: u64, player: &mut Player<'_>, plans: Vec<Compiled>) {
        let control = player.contender.control;
        let layers = plans.len();
        let chunk = control.layers_per_chunk.clamp(1, layers.max(1));
        let (mut moved, mut bytes) = (0, orrery_units::Bytes::ZERO);
        let (mut under_way, mut plans) = (SimDuration::ZERO, plans.into_iter().enumerate());
        for start in (0..layers).step_by(chunk) {
            let of_chunk: Vec<(usize, Compiled)> = plans.by_ref().take(chunk).collect();
            let pairs = of_chunk
                .iter()
                .map(|(layer, plan)| (player.layers[*layer].placement(), plan.placement()));
            let traffic = traffic(pairs, self.machine);
            moved += traffic.moves.len();
            bytes += traffic.bytes;
            under_way += traffic.time;
            match control.migration {
                // A chunk is sent before each of the steps that follow.
                Migration::Blocking => {
                    let due = step + (start / chunk) as u64;
                    player
                        .arriving
                        .extend(of_chunk.into_iter().map(|(layer, plan)| (due, layer, plan)));
                }
                Migration::Overlapped { share } => {
                    let seconds = control.plan_time.as_secs() + under_way.as_secs() / share;
                    let due = step + steps_of(seconds, player.latest);
                    player.links_shared_until = due;
                    player
                        .arriving
                        .extend(of_chunk.into_iter().map(|(layer, plan)| (due, layer, plan)));
                }
            }
        }
        let stall = match control.migration {
            Migration::Blocking => control.plan_time + under_way,
            Migration::Overlapped { .. } => SimDuration::ZERO,
        };
        #[expect(clippy::cast_possible_truncation, reason = "a stall in single precision")]
        let stalled = stall.as_secs() as f32;
        *player.track.stall.last_mut().expect("the step has begun") += stalled;
        // What is due at once holds from this step on.
        for (due, layer, compiled) in std::mem::take(&mut player.arriving) {
            if due <= step {
                player.layers[layer] = compiled;
            } else {
                player.arriving.push((due, layer, compiled));
            }
        }
        if moved > 0 {
            player.track.rebalances.push(Rebalance {
                step,
                moved,
                bytes,
                stall,
                transfer: under_way,
            });
        }
    }

    /// One layer of one policy.
    fn play(&self, step: u64, layer: usize, player: &mut Player<'_>, counts: &[f32], scratch: &mut Loads) {
        player.estimate.add(step, layer, counts);
        if player.contender.dispatch == Dispatch::LinearProgram {
            let loads: Vec<f64> = counts.iter().map(|&count| f64::from(count)).collect();
            let placement = player.layers[layer].placement().clone();
            player.layers[layer] = Compiled::new(
                placement,
                Dispatch::LinearProgram,
                &loads,
                self.machine.devices_per_node,
            );
        }
        let links = match player.contender.control.migration {
            Migration::Overlapped { share } if step < player.links_shared_until => 1.0 - share,
            _ => 1.0,
        };
        let time = player.layers[layer].time(counts, self.machine, links, scratch);
        player.take(time);
        let devices = player.contender.shape.devices;
        let rows = &mut player.rows[layer * devices..][..devices];
        for (sum, rows) in rows.iter_mut().zip(scratch.rows()) {
            *sum += rows;
        }
        for at in self.heat_of(step) {
            let heat = &mut player.heat[at][layer * devices..][..devices];
            for (sum, rows) in heat.iter_mut().zip(scratch.rows()) {
                *sum += rows;
            }
        }
    }

    /// The terms of one layer at one step under a given placement, and what each device has to do: what the engine is
    /// asked too.
    #[must_use]
    pub fn layer(&self, at: StepLayer, compiled: &Compiled) -> (LayerTime, Vec<DeviceLoad>) {
        let mut drawn = Drawn::new(self.process.experts());
        let mut loads = Loads::default();
        let time = compiled.time(drawn.at(self.process, at), self.machine, 1.0, &mut loads);
        (time, loads.devices().collect())
    }
}

/// Steps that begin while so many seconds pass, one at least.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a number of steps; casting cuts what is too large"
)]
fn steps_of(seconds: f64, step: f64) -> u64 {
    if step > 0.0 {
        (seconds / step).ceil().max(1.0) as u64
    } else {
        1
    }
}

fn add(sums: &mut [f64], counts: &[f32]) {
    for (sum, &count) in sums.iter_mut().zip(counts) {
        *sum += f64::from(count);
    }
}

impl Player<'_> {
    /// Adds a layer's terms to the step.
    fn take(&mut self, time: LayerTime) {
        self.sums.imbalance += time.imbalance;
        self.sums.total += time.total();
        self.sums.wait += time.wait;
    }

    /// Ends a step.
    #[expect(clippy::cast_possible_truncation, reason = "series in single precision")]
    fn close(&mut self, layers: u32) {
        let sums = std::mem::take(&mut self.sums);
        let layers = f64::from(layers.max(1));
        self.track.imbalance.push((sums.imbalance / layers) as f32);
        self.track.layer_time.push((sums.total / layers) as f32);
        self.track.wait.push((sums.wait / layers) as f32);
        self.latest = sums.total;
    }

    fn finish(self, question: &Question<'_>, experts: &[f64]) -> Track {
        let layers = self.layers.len();
        let [before, after] = self.heat;
        let imbalance = |rows: &[f64]| max_over_mean(rows);
        Track {
            devices_before: HeatMap::of_sums(&before, layers),
            devices_after: HeatMap::of_sums(&after, layers),
            pairs: pairs(&self.layers, experts, question),
            imbalance_of_layers: self
                .rows
                .chunks(self.contender.shape.devices)
                .map(imbalance)
                .collect(),
            placements: self
                .layers
                .into_iter()
                .map(|compiled| compiled.placement().clone())
                .collect(),
            ..self.track
        }
    }
}

/// Bytes of a step's dispatch from each device to each other, all layers, in the mean of the last steps.
#[expect(clippy::cast_precision_loss, reason = "there are few steps and devices")]
fn pairs(layers: &[Compiled], experts: &[f64], question: &Question<'_>) -> Vec<Vec<f64>> {
    let devices = layers
        .first()
        .map_or(0, |compiled| compiled.placement().num_devices());
    let steps = HEAT_STEPS.min(question.steps).max(1) as f64;
    let token = question.machine.dispatch_token.as_f64();
    let mut bytes = vec![vec![0.0; devices]; devices];
    for (compiled, loads) in layers.iter().zip(experts.chunks(question.process.experts())) {
        for (from, row) in bytes.iter_mut().enumerate() {
            for (expert, device, share) in compiled.reached_from(from, question.machine.devices_per_node) {
                if device != from {
                    row[device] += loads[expert] / steps / devices as f64 * share * token;
                }
            }
        }
    }
    bytes
}
