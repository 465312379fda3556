//! What a balancer is worth: what it gains, what it costs, and from when on it pays.

use orrery_units::{Bytes, significant, with_si_prefix};

use crate::{BalancingReport, PolicyReport};

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
                    pays_from: pays_from(base, policy, f64::from(self.layers)),
                }
            })
            .collect()
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
        format!("{} {} {}", self.gains(), self.costs(), self.balance())
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
            "{} {verb} the imbalance, busiest device over mean: {} under {}, {} under it; the layers of experts of a step \
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

    fn balance(&self) -> String {
        let steps = self.steps;
        if self.pays() {
            return format!("It pays: it saves {} of {steps} steps.", self.saves());
        }
        if self.saved < 0.0 {
            return format!("It does not pay: it loses {} of {steps} steps.", self.amount());
        }
        "It neither gains nor loses.".to_owned()
    }

    /// What it saves and from when on, such as `58 s, 12.1 %, from step 106 on,`.
    pub(crate) fn saves(&self) -> String {
        let from = match self.pays_from {
            Some(1) => ", from the first step on,".to_owned(),
            Some(from) => format!(", from step {from} on,"),
            // Of other replications than the first.
            None => ", in the mean of replications,".to_owned(),
        };
        format!("{}{from}", self.amount())
    }

    /// What it saves or loses, with its share.
    fn amount(&self) -> String {
        let all = self.layers[0] * self.steps_f64();
        let share = significant(self.saved.abs() / all * 100.0, 3);
        format!("{}, {share} %", with_si_prefix(self.saved.abs(), "s"))
    }

    #[expect(clippy::cast_precision_loss, reason = "fewer than 2^53 steps")]
    const fn steps_f64(&self) -> f64 {
        self.steps as f64
    }
}

/// A change in words, such as `11.4 % less`.
fn change(share: f64) -> String {
    let word = if share > 0.0 { "more" } else { "less" };
    format!("{} % {word}", significant(share.abs() * 100.0, 3))
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
            pays_from: Some(106),
        };
        assert_eq!(
            worth.sentence(),
            "eplb lowers the imbalance, busiest device over mean: 1.757 under static, 1.286 under it; the layers of \
             experts of a step take 700 ms instead of 800 ms, 12.5 % less. Moving replicas (2 GiB) costs 2 s of 600 steps: 5 \
             plans of 400 ms, which 4 steps earn back. It pays: it saves 58 s, 12.1 %, from step 106 on, of 600 steps."
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
                .ends_with("It does not pay: it loses 8 s, 1.67 % of 600 steps."),
            "{}",
            loses.sentence()
        );
        assert!(!loses.sentence().contains("earn back"), "nothing earns it back");
    }
}
