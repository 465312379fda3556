//! The figures that people look for first, in the order of every look.

use orrery_timeline::find_metric;

use crate::{Report, quantity};

/// One figure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Headline {
    /// What it is.
    pub label: &'static str,
    /// Its key in the metrics.
    pub key: &'static str,
    /// Its value for people.
    pub value: String,
    /// Its 80 % interval for people; empty when it has none.
    pub interval: String,
}

const FIGURES: [(&str, &str); 21] = [
    ("step time", "train.step_time.mean"),
    ("step time, p95", "train.step_time.p95"),
    ("throughput per GPU", "train.tokens_per_gpu_s.mean"),
    ("throughput", "train.tokens_per_s.mean"),
    ("model FLOP/s/GPU, causal attention", "train.tflops_per_gpu.mean"),
    (
        "model FLOP/s/GPU, full attention",
        "train.tflops_per_gpu_full_attention.mean",
    ),
    ("MFU, causal attention, BF16 peak", "train.mfu.mean"),
    ("MFU, full attention, BF16 peak", "train.mfu_full_attention.mean"),
    ("MFU, each GEMM at its own peak", "train.mfu_weighted.mean"),
    ("HFU (with recompute)", "train.hfu.mean"),
    ("pipeline bubble", "train.bubble_ratio.mean"),
    (
        "exposed all-to-all",
        "train.exposed_comm_ratio{op='all_to_all'}.mean",
    ),
    ("exposed communication, all", "train.exposed_comm_ratio.mean"),
    ("imbalance wait", "train.imbalance_wait_ratio.mean"),
    ("host wait", "train.host_wait_ratio.mean"),
    ("slow-down by overlap", "train.contention_ratio.mean"),
    ("expert imbalance, max/mean", "moe.imbalance.mean"),
    ("peak memory, worst rank", "mem.hbm_peak.max"),
    ("peak memory, mean rank", "mem.hbm_peak.mean"),
    ("cost per million tokens", "cost.per_mtok.mean"),
    ("cost per day", "cost.per_day.mean"),
];

/// The headline figures that `report` has samples for.
#[must_use]
pub fn headlines(report: &Report) -> Vec<Headline> {
    FIGURES
        .iter()
        .filter_map(|&(label, key)| {
            let value = report.metrics.get(key)?;
            let show = |value| show(report, key, value).unwrap_or_default();
            let interval = report
                .metrics
                .interval(key)
                .filter(|(low, high)| low < high)
                .map(|(low, high)| format!("{} … {}", show(low), show(high)));
            Some(Headline {
                label,
                key,
                value: show(value),
                interval: interval.unwrap_or_default(),
            })
        })
        .collect()
}

fn show(report: &Report, key: &str, value: f64) -> Option<String> {
    let price = report.facts.price.as_ref();
    figure(key, value, price.map_or("", |price| price.currency.as_str()))
}

/// `value` of the metric `key` for people, money in `currency`; none if there is no such metric.
#[must_use]
pub fn figure(key: &str, value: f64, currency: &str) -> Option<String> {
    let name = key.split('{').next().unwrap_or(key);
    let metric = find_metric(name).or_else(|| find_metric(name.rsplit_once('.')?.0))?;
    Some(match metric.unit {
        "ratio" if name.starts_with("train.") => percent(value),
        "currency" => format!("{} {currency}", orrery_units::significant(value, 4)),
        unit => quantity(value, unit),
    })
}

/// `0.1234` as `12.3 %`.
#[must_use]
pub fn percent(share: f64) -> String {
    format!("{} %", orrery_units::significant(share * 100.0, 3))
}
