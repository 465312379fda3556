//! The one registry of metrics: names, units, labels and definitions.
//!
//! Checks, reports, axes and docs all read this table; a metric that is not here does not exist.

use orrery_units::Dimension;

/// A statistic over the samples of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Statistic {
    /// Arithmetic mean.
    Mean,
    /// Median.
    P50,
    /// 90th percentile.
    P90,
    /// 95th percentile.
    P95,
    /// 99th percentile.
    P99,
    /// Smallest.
    Min,
    /// Largest.
    Max,
    /// Sum.
    Sum,
    /// The last sample.
    Last,
}

/// One metric.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Path, such as `train.step_time`.
    pub name: &'static str,
    /// What it measures, in base SI units.
    pub dimension: Dimension,
    /// Unit for people.
    pub unit: &'static str,
    /// Labels it can carry, such as `op`.
    pub labels: &'static [Label],
    /// One-line definition.
    pub definition: &'static str,
    /// Scenario kinds it exists for.
    pub kinds: &'static [&'static str],
}

/// A label of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Label {
    /// Its name, such as `op`.
    pub name: &'static str,
    /// The values it takes.
    pub values: &'static [&'static str],
}

/// Values that the label `op` takes: communication by who talks to whom.
pub const OPERATIONS: [&str; 5] = ["all_to_all", "tensor", "context", "pipeline", "data"];

/// Values that the label `cause` takes: what a device spends a step on, or waits for.
pub const CAUSES: [&str; 17] = [
    "products",
    "experts",
    "attention",
    "passes",
    "compute",
    "recompute",
    "contention",
    "all_to_all",
    "tensor",
    "context",
    "pipeline",
    "data",
    "bubble",
    "imbalance_wait",
    "host",
    "optimizer",
    "idle",
];

/// Values that the label `link` takes: what a link is.
pub const LINKS: [&str; 14] = [
    "scale_up",
    "chip_to_chip",
    "pcie",
    "host_bridge",
    "socket",
    "nic",
    "leaf_spine",
    "spine_core",
    "border",
    "wide_area",
    "torus",
    "group_local",
    "group_global",
    "tree",
];

const TRAINING: &[&str] = &["training"];
const MOE: &[&str] = &["training", "balancing"];
const BALANCING: &[&str] = &["balancing"];
const NONE: &[Label] = &[];
const BY_OPERATION: &[Label] = &[Label {
    name: "op",
    values: &OPERATIONS,
}];

const BY_CAUSE: &[Label] = &[Label {
    name: "cause",
    values: &CAUSES,
}];

const BY_LINK: &[Label] = &[Label {
    name: "link",
    values: &LINKS,
}];

/// Labels without values of their own take names of the scenario.
const BY_POLICY: &[Label] = &[Label {
    name: "policy",
    values: &[],
}];
const BY_PHASE_AND_POLICY: &[Label] = &[
    Label {
        name: "phase",
        values: &[],
    },
    Label {
        name: "policy",
        values: &[],
    },
];
const BY_POINT: &[Label] = &[Label {
    name: "point",
    values: &[],
}];
const BY_PLAN: &[Label] = &[Label {
    name: "plan",
    values: &[],
}];
const BY_ID: &[Label] = &[Label {
    name: "id",
    values: &[],
}];

const BY_END: &[Label] = &[Label {
    name: "at",
    values: &["start", "end"],
}];

/// A metric of balancing scenarios, by these labels.
const fn balancing(labels: &'static [Label], of: Metric) -> Metric {
    Metric {
        labels,
        kinds: BALANCING,
        ..of
    }
}

const fn metric(
    name: &'static str,
    dimension: Dimension,
    unit: &'static str,
    definition: &'static str,
) -> Metric {
    Metric {
        name,
        dimension,
        unit,
        labels: NONE,
        definition,
        kinds: TRAINING,
    }
}

const fn share(name: &'static str, definition: &'static str) -> Metric {
    metric(name, Dimension::Number, "ratio", definition)
}

static REGISTRY: [Metric; 58] = [
    metric(
        "cost.per_day",
        Dimension::Money,
        "currency",
        "Price of every device of the cluster for 24 hours.",
    ),
    metric(
        "cost.per_mtok",
        Dimension::Money,
        "currency",
        "Device-hours of a step times the price of a device-hour, over the million tokens of that step.",
    ),
    balancing(
        BY_POLICY,
        metric(
            "eplb.migrated_bytes",
            Dimension::Data,
            "B",
            "Bytes of replicas that travelled; one sample a replication.",
        ),
    ),
    balancing(
        BY_POLICY,
        share(
            "eplb.migration_ratio",
            "Time in which every device stood still for replicas or plans, over all time; one sample a replication.",
        ),
    ),
    balancing(
        BY_PLAN,
        share(
            "eplb.plan_imbalance",
            "Largest over mean tokens per device of a plan made from one part of a recording, on another part; one sample a layer.",
        ),
    ),
    balancing(
        BY_POLICY,
        metric(
            "eplb.stall_time",
            Dimension::Time,
            "s",
            "Time in which every device stood still for replicas or plans; one sample a replication.",
        ),
    ),
    balancing(
        BY_POINT,
        metric(
            "eplb.sweep_cost",
            Dimension::Time,
            "s",
            "Time of a step in which every device stands still for replicas or plans, at a point of a sweep; one sample a replication.",
        ),
    ),
    balancing(
        BY_POINT,
        metric(
            "eplb.sweep_gain",
            Dimension::Time,
            "s",
            "Time of a step's layers of experts that a policy saves beside the first one, standing still not counted, at a point of a sweep; one sample a replication.",
        ),
    ),
    balancing(
        BY_POLICY,
        metric(
            "eplb.wasted_replicas",
            Dimension::Number,
            "replicas",
            "Replicas in the end that share their device with another of their expert, over all layers; one sample a replication.",
        ),
    ),
    balancing(
        BY_END,
        share(
            "gate.affinity_kept",
            "Affinity of the experts that tokens go to over that of the best they could; one sample a layer and step of the first or last tenth.",
        ),
    ),
    balancing(
        BY_END,
        share(
            "gate.drop_rate",
            "Assignments beyond the capacity of their expert, of all; samples as above.",
        ),
    ),
    balancing(
        BY_END,
        share(
            "gate.entropy",
            "Entropy of the experts' tokens over that of balance among those that take part; samples as above.",
        ),
    ),
    balancing(
        BY_END,
        share(
            "gate.imbalance",
            "Largest over mean tokens of the experts that take part, before any is dropped; samples as above.",
        ),
    ),
    balancing(
        BY_END,
        share(
            "gate.padding",
            "Rows of experts that hold padding, of all; samples as above.",
        ),
    ),
    balancing(
        BY_END,
        share(
            "gate.unserved",
            "Tokens that no expert sees, of all; samples as above.",
        ),
    ),
    balancing(
        BY_ID,
        share(
            "golden.matches",
            "1 where the balancer gave the published placement exactly, else 0; one sample a layer.",
        ),
    ),
    share(
        "mem.fits",
        "1 for a rank whose peak is at most the memory of its device, else 0; one sample a rank.",
    ),
    metric(
        "mem.hbm_peak",
        Dimension::Data,
        "B",
        "Most device memory a rank holds at any instant of the run; one sample a rank.",
    ),
    share(
        "mem.hbm_ratio",
        "mem.hbm_peak over the memory of the device; one sample a rank.",
    ),
    balancing(
        BY_POLICY,
        metric(
            "moe.combine_wait",
            Dimension::Time,
            "s",
            "Time that a device waits at combine for the slowest, in the mean of devices and layers; one sample a step.",
        ),
    ),
    Metric {
        name: "moe.imbalance",
        dimension: Dimension::Number,
        unit: "ratio",
        labels: BY_POLICY,
        definition: "Largest over mean tokens per expert rank within a layer, averaged over the layers of a step.",
        kinds: MOE,
    },
    balancing(
        BY_POLICY,
        metric(
            "moe.layer_time",
            Dimension::Time,
            "s",
            "Dispatch, experts of the slowest device and combine of a layer, in the mean of the layers; one sample a step.",
        ),
    ),
    balancing(
        BY_PHASE_AND_POLICY,
        metric(
            "moe.recovery_steps",
            Dimension::Number,
            "steps",
            "Steps from the start of a phase until moe.imbalance, over 100 steps, stays at or below 1.2; the length of the phase where it never does; one sample a replication.",
        ),
    ),
    balancing(
        BY_POLICY,
        metric(
            "moe.step_time",
            Dimension::Time,
            "s",
            "All layers of experts of a step, and the time that it stood still before it; one sample a step.",
        ),
    ),
    balancing(
        BY_POLICY,
        metric(
            "moe.total_time",
            Dimension::Time,
            "s",
            "All layers of experts of all steps, and all time of standing still; one sample a replication.",
        ),
    ),
    Metric {
        labels: BY_LINK,
        ..share(
            "net.utilization",
            "Bytes that crossed a link one way over what it could have carried in the run, where transfers share links; one sample a link.",
        )
    },
    Metric {
        labels: BY_LINK,
        ..share(
            "net.utilization_peak",
            "The highest net.utilization of the link in any of 64 to 128 even intervals of the run; one sample a link.",
        )
    },
    share(
        "power.clock",
        "Clock of the devices over that at which their kernels were measured, where power is held down; one sample a step.",
    ),
    metric(
        "power.device",
        Dimension::Power,
        "W",
        "Mean power of a device over a step by the power model, where the scenario names a cap; one sample a rank and step.",
    ),
    metric(
        "power.energy_per_token",
        Dimension::Energy,
        "J",
        "Energy of all devices in a step by the power model, over its tokens.",
    ),
    metric(
        "power.node",
        Dimension::Power,
        "W",
        "Mean power of the devices of a node over a step by the power model; hosts, switches and cooling are not in it.",
    ),
    share(
        "provenance.analytic",
        "Share of busy time that rests on a formula with no measurement behind it.",
    ),
    share(
        "provenance.extrapolated",
        "Share of busy time that rests on a curve beyond its measured range.",
    ),
    share(
        "provenance.interpolated",
        "Share of busy time that lies between measured points of one curve.",
    ),
    share(
        "provenance.measured",
        "Share of busy time whose very shape was measured.",
    ),
    metric(
        "sim.events",
        Dimension::Number,
        "events",
        "Events the engine handled; one sample a replication.",
    ),
    metric(
        "sim.tasks",
        Dimension::Number,
        "tasks",
        "Tasks completed; one sample a replication.",
    ),
    share(
        "train.bubble_ratio",
        "Idle time of the compute lane for pipeline reasons over the step: waiting for another stage to reach a transfer or the end of the step; mean over ranks.",
    ),
    Metric {
        labels: BY_CAUSE,
        ..metric(
            "train.cause_time",
            Dimension::Time,
            "s",
            "Time in a step that a device spends on a cause, or waits for it: compute by kind of work, recompute, slow-down by overlap, exposed traffic, waiting, host, optimiser; the causes sum to the step; mean over ranks.",
        )
    },
    share(
        "train.compute_ratio",
        "Time the compute lane spends on forward, backward and recompute over the step; mean over ranks.",
    ),
    share(
        "train.contention_ratio",
        "Part of train.compute_ratio that is the slow-down by what ran beside it on the device.",
    ),
    Metric {
        labels: BY_OPERATION,
        ..share(
            "train.exposed_comm_ratio",
            "train.exposed_comm_time over the step; with op one kind of communication, without it all of them.",
        )
    },
    Metric {
        labels: BY_OPERATION,
        ..metric(
            "train.exposed_comm_time",
            Dimension::Time,
            "s",
            "Time in a step that the compute lane stands idle, or is held, while a transfer it needs is running; waiting for the other parties is not in it; mean over ranks.",
        )
    },
    share(
        "train.hfu",
        "Model FLOPs causally counted plus recompute, over step time x devices x dense BF16 peak.",
    ),
    share(
        "train.host_wait_ratio",
        "Idle time of the compute lane because the host issued late, over the step; mean over ranks.",
    ),
    share(
        "train.idle_ratio",
        "Time after a rank's last compute task of a step until the last rank of all ended that step; mean over ranks.",
    ),
    share(
        "train.imbalance_wait_ratio",
        "Idle time of the compute lane until all parties of an exchange had arrived (dispatch, combine, tensor, context, gradients), over the step; mean over ranks.",
    ),
    share(
        "train.mfu",
        "Model FLOPs (3 x forward GEMMs, attention counted causally, logits, MTP when trained, no recompute) over step time x devices x dense BF16 peak.",
    ),
    share(
        "train.mfu_full_attention",
        "train.mfu with attention counted over the full square.",
    ),
    share(
        "train.mfu_weighted",
        "Time the model FLOPs would take with each GEMM at the dense peak of its own format, over the step.",
    ),
    share(
        "train.optimizer_ratio",
        "Optimiser and what belongs to the end of a step on the compute lane, over the step; mean over ranks.",
    ),
    metric(
        "train.samples_per_s",
        Dimension::Rate,
        "/s",
        "Sequences of a step over its time.",
    ),
    metric(
        "train.step_time",
        Dimension::Time,
        "s",
        "From the end of the step before to the completion of the step's last task on any rank.",
    ),
    metric(
        "train.tflops_per_gpu",
        Dimension::FlopRate,
        "FLOP/s",
        "Model FLOPs as in train.mfu over step time x devices; attention counted causally.",
    ),
    metric(
        "train.tflops_per_gpu_full_attention",
        Dimension::FlopRate,
        "FLOP/s",
        "The same with attention counted over the full square.",
    ),
    metric(
        "train.tokens_per_gpu_s",
        Dimension::Rate,
        "tokens/s",
        "Tokens of a step over its time and the devices.",
    ),
    metric(
        "train.tokens_per_s",
        Dimension::Rate,
        "tokens/s",
        "Tokens of a step over its time.",
    ),
    metric(
        "train.wait_caused",
        Dimension::Time,
        "s",
        "Waiting of other ranks in a step that a rank caused by arriving last; one sample a rank and step.",
    ),
];

/// Every metric, sorted by name.
#[must_use]
pub fn registry() -> &'static [Metric] {
    &REGISTRY
}

/// The metric of that name, labels and statistic left out.
#[must_use]
pub fn find_metric(name: &str) -> Option<&'static Metric> {
    let at = REGISTRY.binary_search_by(|metric| metric.name.cmp(name)).ok()?;
    REGISTRY.get(at)
}

impl Statistic {
    /// Every statistic, in the order of tables.
    pub const ALL: [Self; 9] = [
        Self::Mean,
        Self::P50,
        Self::P90,
        Self::P95,
        Self::P99,
        Self::Min,
        Self::Max,
        Self::Sum,
        Self::Last,
    ];

    /// The name in checks and files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mean => "mean",
            Self::P50 => "p50",
            Self::P90 => "p90",
            Self::P95 => "p95",
            Self::P99 => "p99",
            Self::Min => "min",
            Self::Max => "max",
            Self::Sum => "sum",
            Self::Last => "last",
        }
    }

    /// The statistic of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|statistic| statistic.name() == name)
    }

    /// The statistic of `samples`; none when there is no sample.
    ///
    /// Percentiles interpolate between the two nearest order statistics: position `q (n − 1)` of the sorted
    /// samples. Worked: the 90th percentile of 1, 2, 3, 4 lies at position 2.7 and is 3.7.
    #[must_use]
    pub fn of(self, samples: &[f64]) -> Option<f64> {
        let last = *samples.last()?;
        let sum: f64 = samples.iter().sum();
        #[expect(clippy::cast_precision_loss, reason = "fewer than 2^53 samples")]
        let count = samples.len() as f64;
        Some(match self {
            Self::Mean => sum / count,
            Self::Sum => sum,
            Self::Last => last,
            Self::Min => samples.iter().copied().fold(f64::INFINITY, f64::min),
            Self::Max => samples.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            Self::P50 => percentile(samples, 0.50),
            Self::P90 => percentile(samples, 0.90),
            Self::P95 => percentile(samples, 0.95),
            Self::P99 => percentile(samples, 0.99),
        })
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a position lies between 0 and the number of samples"
)]
fn percentile(samples: &[f64], share: f64) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let position = share * (sorted.len() - 1) as f64;
    let (below, above) = (position.floor() as usize, position.ceil() as usize);
    let weight = position - below as f64;
    sorted[below] + (sorted[above] - sorted[below]) * weight
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_registry_is_sorted_and_findable() {
        let names: Vec<&str> = registry().iter().map(|metric| metric.name).collect();
        assert!(names.is_sorted(), "binary search needs sorted names");
        assert!(
            names
                .iter()
                .all(|name| find_metric(name).is_some_and(|m| m.name == *name)),
            "every metric is found by its name"
        );
        assert!(find_metric("train.step_tim").is_none(), "a near name is no name");
    }

    #[test]
    fn statistics_of_four_samples() {
        let samples = [4.0, 1.0, 3.0, 2.0];
        let check = |statistic: Statistic, expected: f64| {
            let got = statistic.of(&samples).unwrap();
            assert!((got - expected).abs() < 1e-12, "{}: {got}", statistic.name());
        };
        check(Statistic::Mean, 2.5);
        check(Statistic::P50, 2.5);
        check(Statistic::P90, 3.7);
        check(Statistic::Min, 1.0);
        check(Statistic::Max, 4.0);
        check(Statistic::Sum, 10.0);
        check(Statistic::Last, 2.0);
        assert_eq!(Statistic::Mean.of(&[]), None);
    }
}
