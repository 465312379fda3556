//! What the judge says and how jobs go, as metrics.

use std::fmt;

use orrery_telemetry::judge::{Alert, Subject};
use orrery_units::Ratio;
use prometheus_client::encoding::DescriptorEncoder;

use super::{Labels, Number, gauge, origin_label};
use crate::{JobFigures, Verdict};

/// A metric of jobs: its name, its unit, its help, and how a job gives its value.
type JobMetric = (
    &'static str,
    Option<&'static str>,
    &'static str,
    fn(&JobFigures) -> Option<f64>,
);

#[expect(clippy::cast_precision_loss, reason = "counts of a step are far below 2^53")]
const JOBS: [JobMetric; 7] = [
    (
        "orrery_job_mfu",
        Some("ratio"),
        "Model FLOPs over what its devices could do",
        |job| job.mfu.map(Ratio::get),
    ),
    (
        "orrery_job_predicted_mfu",
        Some("ratio"),
        "MFU that was predicted for it",
        |job| job.predicted_mfu.map(Ratio::get),
    ),
    (
        "orrery_job_step_time",
        Some("seconds"),
        "Time of its last step",
        |job| Some(job.step_time.as_secs()),
    ),
    ("orrery_job_step", None, "Number of its last step", |job| {
        Some(job.step as f64)
    }),
    (
        "orrery_job_step_tokens",
        None,
        "Tokens of its last step, over all ranks",
        |job| job.tokens.map(|tokens| tokens as f64),
    ),
    (
        "orrery_job",
        Some("tokens_per_second"),
        "Tokens a second, over all ranks",
        |job| job.tokens.map(|tokens| tokens as f64 / job.step_time.as_secs()),
    ),
    (
        "orrery_job_expert_imbalance",
        Some("ratio"),
        "Load of the fullest expert over the mean one's",
        |job| job.imbalance,
    ),
];

pub(super) fn encode(encoder: &mut DescriptorEncoder<'_>, verdict: &Verdict) -> fmt::Result {
    let alerts: Vec<(Labels, Number)> = verdict.alerts.iter().map(row).collect();
    let help = "An alert stands; /v1/alerts says by which numbers, and what to do";
    gauge(encoder, "orrery_alert", None, help, &alerts)?;
    for (name, unit, help, value) in JOBS {
        let rows = verdict.jobs.iter().filter_map(|job| {
            let labels = vec![("job_name", job.job.clone().into())];
            Some((labels, Number::Real(value(job)?)))
        });
        let rows: Vec<(Labels, Number)> = rows.collect();
        gauge(encoder, name, unit, help, &rows)?;
    }
    Ok(())
}

/// An alert as a row: its rule, its severity and what it is about, whose labels are the same for every alert, and
/// empty where they say nothing: one metric has one set of labels.
fn row(alert: &Alert) -> (Labels, Number) {
    let (mut node, mut gpu, mut port, mut job, mut rank, mut source) = Default::default();
    match alert.subject.clone() {
        Subject::Device {
            node: its_node,
            gpu: number,
            ..
        } => (node, gpu) = (its_node, number.to_string()),
        Subject::Nic {
            node: its_node,
            port: name,
        } => (node, port) = (its_node, name),
        Subject::Job { job: name } => job = name,
        Subject::Rank {
            job: name,
            rank: number,
        } => (job, rank) = (name, number.to_string()),
        Subject::Source { source: name } => source = name,
    }
    let mut labels = vec![
        ("rule", alert.rule.name().into()),
        ("severity", alert.severity.name().into()),
        ("node", node.into()),
        ("gpu", gpu.into()),
        ("port", port.into()),
        ("job_name", job.into()),
        ("rank", rank.into()),
        ("source", source.into()),
    ];
    labels.extend(origin_label(alert.origin));
    (labels, Number::from(true))
}
