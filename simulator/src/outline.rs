//! What is known of a plan before it is run: counts, memory and the step in closed form.

use orrery_report::{DeviceFacts, Price, StepWork};
use orrery_scenario::Plan;
use orrery_scenario::plan::Assumption;
use orrery_units::{Bytes, Watts};
use orrery_workload::estimate::{Parts, memory_parts};

use crate::facts;

/// Microbatches of a pipeline rank below which a run may wait longer than the closed form says.
const FEW: u64 = 4;
/// By how much of the step, at most: Mixtral 8x22B on H100 in seven interleaved chunks, one microbatch per rank, was found 7.1
/// points longer, two per rank 3.8; a test holds runs to it.
const FEW_MORE: f64 = 0.08;

/// Figures of a plan that take no run; milliseconds for any plan.
#[derive(Clone, Debug)]
pub struct Outline {
    /// The device, and how many there are.
    pub device: DeviceFacts,
    /// Nodes.
    pub nodes: u32,
    /// Data-parallel degree.
    pub dp: u32,
    /// Microbatches of a step on each rank.
    pub microbatches: u64,
    /// Parameters of the model.
    pub parameters: u64,
    /// Parameters that a token uses.
    pub active_parameters: u64,
    /// What a step does.
    pub work: StepWork,
    /// The step in closed form, seconds: experts balanced, nothing contends.
    pub step: f64,
    /// Share of that step in which a pipeline rank of the mean waits for others, as `train.bubble_ratio` counts it.
    pub bubble: f64,
    /// By how much more of the step the bubble of a run may be, where microbatches are few: the closed form fills and drains
    /// the pipeline, and does not see the holes between passes of a pipeline that is hardly ever full.
    pub bubble_more: Option<f64>,
    /// The most that a device of each pipeline rank holds, by cause; the largest cause of all first.
    pub memory: Vec<Vec<(&'static str, Bytes)>>,
    /// What it costs, if the scenario says.
    pub price: Option<Price>,
    /// The power limit of all devices together.
    pub power_limit: Watts,
    /// What was filled in.
    pub assumptions: Vec<Assumption>,
}

impl Outline {
    /// The outline of `plan`.
    #[must_use]
    pub fn of(plan: &Plan) -> Self {
        let device = facts::device(plan);
        let estimate = Parts::of(plan).step(&plan.tuning);
        let memory = memory_parts(plan);
        let pp = u64::from(plan.layout.pp);
        let has_few = pp > 1 && plan.training.num_microbatches < FEW * pp;
        let named = memory.into_iter().map(|parts| {
            let named = parts.into_iter().map(|(cause, bytes)| (cause.name(), bytes));
            named.filter(|(_, bytes)| *bytes > Bytes::ZERO).collect()
        });
        Self {
            power_limit: Watts(plan.cluster.device.power_limit.0 * f64::from(device.count)),
            device,
            nodes: plan.cluster.num_nodes,
            dp: plan.layout.dp,
            microbatches: plan.training.num_microbatches,
            parameters: plan.model.parameters().total(),
            active_parameters: plan.model.active_parameters(),
            work: facts::work(plan),
            step: estimate.step,
            bubble: estimate.waits / estimate.step,
            bubble_more: has_few.then_some(FEW_MORE),
            memory: named.collect(),
            price: facts::price(plan),
            assumptions: plan.assumptions.clone(),
        }
    }

    /// Share of the dense BF16 peak.
    #[must_use]
    pub fn mfu(&self) -> f64 {
        self.work.mfu(&self.device, self.step)
    }

    /// Tokens of a device in a second.
    #[must_use]
    pub fn tokens_per_device(&self) -> f64 {
        self.work.tokens_per_device(&self.device, self.step)
    }

    /// The pipeline rank that holds most, and what.
    #[must_use]
    pub fn peak(&self) -> (usize, Bytes) {
        let sum = |parts: &Vec<(&str, Bytes)>| parts.iter().map(|(_, bytes)| *bytes).sum::<Bytes>();
        let ranks = self.memory.iter().map(sum).enumerate();
        ranks
            .max_by_key(|(rank, bytes)| (*bytes, std::cmp::Reverse(*rank)))
            .unwrap_or((0, Bytes::ZERO))
    }

    /// Whether every device holds what it must.
    #[must_use]
    pub fn fits(&self) -> bool {
        self.peak().1 <= self.device.memory
    }

    /// What a day costs, and a million tokens at the estimated step.
    #[must_use]
    pub fn cost(&self) -> Option<(f64, f64)> {
        let price = self.price.as_ref()?;
        let tokens = price.per_million_tokens(self.device.count, self.work.tokens, self.step);
        Some((price.per_day(self.device.count), tokens))
    }
}

#[cfg(test)]
mod tests {
    use crate::files::read_scenario;
    use crate::pipeline::{Watch, load, simulate};

    use super::*;

    /// Claim: the bubble before a run is that of the run, by the same definition: within three points of the step, but for
    /// few microbatches, where the caution says how much more it may be.
    #[test]
    fn the_bubble_is_that_of_the_run() {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../scenarios/training/mixtral-8x22b-h100.scenario.toml"
        );
        let text = read_scenario(path).unwrap();
        let interleaved = "{ kind = \"interleaved\", chunks = 7 }";
        let plain = "{ kind = \"1f1b\" }";
        for (nodes, pp, schedule) in [
            ("16", "8", interleaved),
            ("16", "8", plain),
            ("16", "4", "{ kind = \"interleaved\", chunks = 5 }"),
            ("16", "16", plain),
            ("32", "8", interleaved),
            ("32", "8", plain),
            ("64", "8", interleaved),
            ("64", "8", plain),
            ("64", "4", plain),
        ] {
            let settings = [
                ("cluster.nodes", nodes),
                ("parallel.pp", pp),
                ("parallel.schedule", schedule),
            ];
            let settings = settings.map(|(key, value)| (key.to_owned(), value.to_owned()));
            let plan = load(path, &text, &settings).unwrap();
            let simulation = simulate(&plan, &Watch::new(1)).unwrap();
            let run = simulation.report.metrics.get("train.bubble_ratio.mean").unwrap();
            let outline = Outline::of(&plan);
            let most = outline.bubble_more.unwrap_or(0.03);
            let more = run - outline.bubble;
            assert!(
                (-0.03..most).contains(&more),
                "{nodes} nodes, pp {pp}, {schedule}: {:.3}, in the run {run:.3}",
                outline.bubble
            );
        }
    }
}
