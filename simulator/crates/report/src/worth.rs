//! What a balancer is worth: what it gains, what it costs, and from when on it pays.

use orrery_units::{Bytes, significant, with_si_prefix};

use crate::render::{percent, rests_on};
use crate::{BalancingReport, LoadFit, PolicyReport};

/// A policy beside the first one of its scenario.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Worth {
    /// The policy.
    pub policy: String,
    /// The policy that it is compared with.
    pub base: String,
    /// Steps that both were run for.
    pub steps: u64,
    /// Largest over mean rows of a device under either, in the mean of steps, layers and replications.
    pub imbalance: [f64; 2],
    /// Seconds that the layers of experts of a step take under either, standing still left out.
    pub layers: [f64; 2],
    /// Seconds that everybody stands still for plans and replicas, all steps together.
    pub migration: f64,
    /// Bytes of replicas that travelled, all steps together.
    pub bytes: f64,
    /// Plans that were carried out, in the first replication.
    pub plans: usize,
    /// Seconds of all steps that it saves, what it costs taken off.
    pub saved: f64,
    /// Slots of a layer beyond one for each expert.
    pub redundant: usize,
    /// Bytes of every device that its redundant slots hold beyond those of the other policy.
    pub held: f64,
    /// Memory of a device in bytes; zero where nobody knows.
    pub device_memory: f64,
    /// Steps after which it has saved more than it cost, and has so after every later one; none where it never has. In
    /// the first replication.
    pub pays_from: Option<usize>,
}

impl BalancingReport {
    /// What every policy but the first is worth beside the first.
    #[must_use]
    pub fn worth(&self) -> Vec<Worth> {
        let Some(base) = self.policies.first() else {
            return Vec::new();
        };
        let totals = self.totals();
        let others = self.policies.iter().zip(&totals).skip(1);
        others
            .map(|(policy, &(_, total, saved))| {
                let [mean_base, mean] = [base, policy].map(|one| {
                    let of = |metric: &str| self.metrics.mean(&format!("{metric}{{policy='{}'}}", one.id));
                    (
                        of("moe.imbalance"),
                        of("eplb.stall_time"),
                        of("eplb.migrated_bytes"),
                    )
                });
                #[expect(clippy::cast_precision_loss, reason = "fewer than 2^53 steps")]
                let steps = self.steps.max(1) as f64;
                Worth {
                    policy: policy.id.clone(),
                    base: base.id.clone(),
                    steps: self.steps,
                    imbalance: [mean_base.0, mean.0],
                    layers: [(total + saved - mean_base.1) / steps, (total - mean.1) / steps],
                    migration: mean.1,
                    bytes: mean.2,
                    plans: policy.rebalances.len(),
                    saved,
                    redundant: policy.redundant,
                    held: policy.redundant_bytes - base.redundant_bytes,
                    device_memory: self.device_memory,
                    pays_from: pays_from(base, policy, f64::from(self.layers)),
                }
            })
            .collect()
    }

    /// What the worth of balancers rests on, a sentence each: where loads and times come from, and how well the laws
    /// behind them fit.
    #[must_use]
    pub fn grounds(&self) -> Vec<String> {
        if self.policies.is_empty() {
            return Vec::new();
        }
        let times = self.provenance.map_or_else(String::new, |shares| {
            format!("; of the simulated time {}", rests_on(shares))
        });
        let law = match self.law_error {
            Some(error) => format!(
                "; the law of experts' times misses the layers that it was fitted to by {} in the median",
                percent(error)
            ),
            None => String::new(),
        };
        let loads = match self.loads.as_str() {
            "" => String::new(),
            loads => format!("; loads are {loads}"),
        };
        let evidence =
            format!("Evidence: no balancer was timed, all of this is simulated{times}{law}{loads}.");
        let fits = self.load_fits.iter().map(LoadFit::sentence);
        std::iter::once(evidence).chain(fits).collect()
    }
}

impl LoadFit {
    /// Which law fits and how well, in a sentence.
    #[must_use]
    pub fn sentence(&self) -> String {
        let [median, worst] = self.r_squared.map(|value| significant(value, 3));
        let layers = match self.layers {
            1 => "its layer".to_owned(),
            many => format!("its {many} layers"),
        };
        format!(
            "Recorded load {}: of the laws of popularity, {} fits {layers} best: R² of the sorted shares of experts {median} in \
             the median layer and {worst} in the worst, {} on a scale of logarithms, where rare experts count; the run \
             plays the recording itself.",
            self.phase,
            self.law,
            significant(self.log_r_squared, 3)
        )
    }
}

/// Steps after which what `policy` saved beside `base` is more than what it cost, and stays so.
///
/// After step `n` it has saved `Σ layers · (base − own) − stalls`, over the steps up to `n`. Worked: 2 s of standing still
/// before the first of steps that are 0.3 s shorter are earned back after seven of them.
fn pays_from(base: &PolicyReport, policy: &PolicyReport, layers: f64) -> Option<usize> {
    let mut saved = 0.0;
    let mut last_behind = 0;
    let steps = base.layer_time.len().min(policy.layer_time.len());
    for at in 0..steps {
        let stalls = |one: &PolicyReport| -> f64 {
            let here = one.rebalances.iter().filter(|plan| plan.step == at as u64);
            here.map(|plan| plan.stall).sum()
        };
        let shorter = f64::from(base.layer_time[at]) - f64::from(policy.layer_time[at]);
        saved += layers * shorter + stalls(base) - stalls(policy);
        if saved <= 0.0 {
            last_behind = at + 1;
        }
    }
    (last_behind < steps).then_some(last_behind + 1)
}

impl Worth {
    /// Whether it saves more than it costs in the steps that were run.
    #[must_use]
    pub fn pays(&self) -> bool {
        self.saved > 0.0
    }

    /// What it gains, what it costs and whether it pays, in a few sentences.
    #[must_use]
    pub fn sentence(&self) -> String {
        let parts = [self.gains(), self.costs(), self.memory(), self.balance()];
        parts.join(" ")
    }

    fn gains(&self) -> String {
        let [before, after] = self.imbalance;
        let verb = if after < before {
            "lowers"
        } else {
            "does not lower"
        };
        let [long, short] = self.layers;
        format!(
            "{} {verb} the imbalance, busiest device over mean: {} under {}, {} under it; the MoE layers of a step \
             take {} instead of {}, {}.",
            self.policy,
            significant(before, 4),
            self.base,
            significant(after, 4),
            with_si_prefix(short, "s"),
            with_si_prefix(long, "s"),
            change(short / long - 1.0)
        )
    }

    fn costs(&self) -> String {
        let moved = Bytes::from_f64(self.bytes);
        if self.bytes <= 0.0 {
            return "It moves no replica.".to_owned();
        }
        if self.migration <= 0.0 {
            return format!(
                "Replicas ({moved}) travel beside the exchanges, and nobody stands still for them."
            );
        }
        #[expect(clippy::cast_precision_loss, reason = "there are few plans")]
        let (each, gain) = (
            self.migration / self.plans.max(1) as f64,
            self.layers[0] - self.layers[1],
        );
        let back = match gain > 0.0 {
            true if each <= gain => ", which the next step earns back".to_owned(),
            true => format!(", which {} steps earn back", significant((each / gain).ceil(), 6)),
            false => String::new(),
        };
        format!(
            "Moving replicas ({moved}) costs {} of {} steps: {} plans of {}{back}.",
            with_si_prefix(self.migration, "s"),
            self.steps,
            self.plans,
            with_si_prefix(each, "s")
        )
    }

    /// What its redundant slots hold of a device.
    fn memory(&self) -> String {
        let slots = match self.redundant {
            0 => "Without redundant slots it".to_owned(),
            1 => "Its redundant slot of a layer".to_owned(),
            many => format!("Its {many} redundant slots of a layer"),
        };
        let verb = if self.redundant > 1 { "hold" } else { "holds" };
        let held = Bytes::from_f64(self.held.abs());
        let word = if self.held < 0.0 { "less" } else { "more" };
        if self.held.abs() <= 0.0 {
            return format!("{slots} {verb} no more of a device's memory than {}.", self.base);
        }
        let share = self.share_of_memory();
        let share = share.map_or_else(String::new, |share| {
            format!(", {} of its memory", percent(share.abs()))
        });
        format!(
            "{slots} {verb} {held} {word} of every device than {}{share}.",
            self.base
        )
    }

    /// What its redundant slots hold beyond those of the other policy, as a share of a device's memory.
    #[must_use]
    pub fn share_of_memory(&self) -> Option<f64> {
        (self.device_memory > 0.0).then(|| self.held / self.device_memory)
    }

    /// What it saves as a share of the time that MoE layers take under the other policy: dispatch, experts and combine of
    /// all steps, standing still left out. The rest of a step is not simulated.
    #[must_use]
    pub fn share(&self) -> f64 {
        self.saved / (self.layers[0] * self.steps_f64())
    }

    fn balance(&self) -> String {
        let steps = self.steps;
        let amount = with_si_prefix(self.saved.abs(), "s");
        let share = percent(self.share().abs());
        let of = format!(
            "{share} of what their MoE layers take under {} (dispatch, experts and combine); attention and whatever else a \
             step has are not part of it",
            self.base
        );
        if self.pays() {
            return format!(
                "It pays: it saves {amount}{} of {steps} steps, {of}.",
                self.from()
            );
        }
        if self.saved < 0.0 {
            return format!("It does not pay: it loses {amount} of {steps} steps, {of}.");
        }
        "It neither gains nor loses.".to_owned()
    }

    /// What it saves and from when on, such as `58 s, from step 106 on,`.
    pub(crate) fn saves(&self) -> String {
        let amount = with_si_prefix(self.saved.abs(), "s");
        format!("{amount}{}", self.from())
    }

    /// From when on it saves.
    fn from(&self) -> String {
        match self.pays_from {
            Some(1) => ", from the first step on,".to_owned(),
            Some(from) => format!(", from step {from} on,"),
            // Of other replications than the first.
            None => ", in the mean of replications,".to_owned(),
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "fewer than 2^53 steps")]
    const fn steps_f64(&self) -> f64 {
        self.steps as f64
    }
}

/// A change in words, such as `11.4 % less`.
fn change(share: f64) -> String {
    let word = if share > 0.0 { "more" } else { "less" };
    format!("{} {word}", percent(share.abs()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RebalanceReport;

    fn policy(id: &str, layer_time: Vec<f32>, stalls: &[(u64, f64)]) -> PolicyReport {
        let plan = |&(step, stall): &(u64, f64)| RebalanceReport {
            step,
            stall,
            moved: 4,
            bytes: 1e9,
            transfer: stall,
        };
        PolicyReport {
            id: id.to_owned(),
            layer_time,
            rebalances: stalls.iter().map(plan).collect(),
            ..PolicyReport::default()
        }
    }

    #[test]
    fn a_plan_pays_once_its_steps_have_earned_it_back_for_good() {
        let base = policy("static", vec![0.5; 20], &[]);
        // Three layers: 0.3 s a step.
        let once = policy("once", vec![0.4; 20], &[(0, 2.0)]);
        assert_eq!(pays_from(&base, &once, 3.0), Some(7), "2 s in steps of 0.3 s");
        let twice = policy("twice", vec![0.4; 20], &[(0, 2.0), (10, 2.0)]);
        assert_eq!(
            pays_from(&base, &twice, 3.0),
            Some(14),
            "in between it was behind again"
        );
        let dear = policy("dear", vec![0.4; 20], &[(0, 20.0)]);
        assert_eq!(pays_from(&base, &dear, 3.0), None);
        let free = policy("free", vec![0.4; 20], &[]);
        assert_eq!(pays_from(&base, &free, 3.0), Some(1));
    }

    #[test]
    fn the_verdict_says_what_is_gained_what_it_costs_and_from_when_on_it_pays() {
        let worth = Worth {
            policy: "eplb".to_owned(),
            base: "static".to_owned(),
            steps: 600,
            imbalance: [1.757, 1.286],
            layers: [0.8, 0.7],
            migration: 2.0,
            bytes: 2.0 * f64::from(1_u32 << 30),
            plans: 5,
            saved: 58.0,
            redundant: 32,
            held: 1.5 * f64::from(1_u32 << 30),
            device_memory: 80.0 * f64::from(1_u32 << 30),
            pays_from: Some(106),
        };
        assert_eq!(
            worth.sentence(),
            "eplb lowers the imbalance, busiest device over mean: 1.757 under static, 1.286 under it; the MoE layers of a \
             step take 700 ms instead of 800 ms, 12.5 % less. Moving replicas (2 GiB) costs 2 s of 600 steps: 5 plans of \
             400 ms, which 4 steps earn back. Its 32 redundant slots of a layer hold 1.5 GiB more of every device than \
             static, 1.88 % of its memory. It pays: it saves 58 s, from step 106 on, of 600 steps, 12.1 % of what their MoE \
             layers take under static (dispatch, experts and combine); attention and whatever else a step has are not part \
             of it."
        );
        let loses = Worth {
            layers: [0.8, 0.81],
            saved: -8.0,
            pays_from: None,
            ..worth
        };
        assert!(
            loses
                .sentence()
                .contains("It does not pay: it loses 8 s of 600 steps, 1.67 % of what their MoE layers take under static"),
            "{}",
            loses.sentence()
        );
        assert!(!loses.sentence().contains("earn back"), "nothing earns it back");
        let lean = Worth {
            redundant: 0,
            held: 0.0,
            ..loses
        };
        assert!(
            lean.sentence()
                .contains("Without redundant slots it holds no more of a device's memory than static."),
            "{}",
            lean.sentence()
        );
    }

    #[test]
    fn what_the_worth_rests_on_says_how_well_laws_fit() {
        let report = BalancingReport {
            policies: vec![PolicyReport::default()],
            provenance: Some([0.0, 0.9, 0.1, 0.0]),
            law_error: Some(0.052),
            loads: "recorded".to_owned(),
            load_fits: vec![LoadFit {
                phase: "chat".to_owned(),
                law: "log-normal (sigma 0.61)".to_owned(),
                layers: 58,
                r_squared: [0.962, 0.81],
                log_r_squared: 0.7,
            }],
            ..BalancingReport::default()
        };
        assert_eq!(
            report.grounds(),
            [
                "Evidence: no balancer was timed, all of this is simulated; of the simulated time 0 % measured, 90 % \
                 interpolated, 10 % analytic, 0 % extrapolated; the law of experts' times misses the layers that it was \
                 fitted to by 5.2 % in the median; loads are recorded.",
                "Recorded load chat: of the laws of popularity, log-normal (sigma 0.61) fits its 58 layers best: R² of the \
                 sorted shares of experts 0.962 in the median layer and 0.81 in the worst, 0.7 on a scale of logarithms, \
                 where rare experts count; the run plays the recording itself."
            ]
        );
        assert!(
            BalancingReport::default().grounds().is_empty(),
            "no policy, no worth"
        );
    }
}
