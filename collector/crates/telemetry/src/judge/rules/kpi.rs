//! The preset `article-kpi`: three absolute figures of an article, off by default, each told with the share of
//! published runs that meet it. They say less about a cluster than its own past does.

use orrery_units::{Bytes, significant, with_si_prefix};

use super::super::history::{History, recent};
use super::super::hysteresis::Findings;
use super::super::statistics::median;
use super::super::{DeviceView, Evidence, JobState, Rule, Severity, Subject};
use super::{Context, percent, symptom, symptom_if};

/// MFU above this.
const MFU: f64 = 0.65;
/// Of device memory below this.
const MEMORY: f64 = 0.9;
/// Latency between nodes below this, in seconds.
const LATENCY: f64 = 2e-3;
/// Who meets the first: all rows of published runs with a printed MFU, and those on Hopper or newer.
const WHO_MEETS_MFU: &str =
    "of 721 published runs with a printed MFU two reach 65 %, of 930 on Hopper or newer none";
/// Who meets the second: rows of tests/truth/training.csv.gz that print what a device held; all of them A100-80GB.
const WHO_MEETS_MEMORY: &str = "of 55 published runs that print it 44 stay under 90 %";
/// Who meets the third: sweeps of tests/truth/nccl of more than one node that have that size.
const WHO_MEETS_LATENCY: &str =
    "of 14 published all-reduces between nodes of 64 MiB 12 take under 2 ms, and all 7 of 1 KiB or less";

pub(super) fn look(context: &Context<'_>, history: &History, findings: &mut Findings<'_>) {
    for job in &context.frame.jobs {
        let subject = || Subject::job(&job.name);
        let history = history
            .jobs
            .get(&job.name)
            .filter(|history| history.measure == Some("MFU"));
        if let Some(mfu) = history.and_then(|history| recent(&history.recent_pace)) {
            let symptom = symptom_if(mfu < MFU, || {
                symptom(
                    Severity::Info,
                    format!("MFU is {}, under 65 %; {WHO_MEETS_MFU}", percent(mfu)),
                    [Evidence::new("MFU", mfu, "1").against(MFU)],
                    "hold it against the job's own past (`job-slow`), or against a scenario of it",
                )
            });
            findings.say(Rule::KpiMfu, &subject(), symptom);
        }
        if let Some(secs) = latency(job) {
            let symptom = symptom_if(secs > LATENCY, || {
                symptom(
                    Severity::Info,
                    format!(
                        "collectives between nodes take {}, over 2 ms; {WHO_MEETS_LATENCY}",
                        with_si_prefix(secs, "s")
                    ),
                    [Evidence::new("median collective between nodes", secs, "s").against(LATENCY)],
                    "hold it against the profile at the same bytes and ranks (`collective-slow`)",
                )
            });
            findings.say(Rule::KpiLatency, &subject(), symptom);
        }
    }
    for device in &context.frame.devices {
        if let Some(share) = share_in_use(device) {
            let symptom = symptom_if(share > MEMORY, || {
                symptom(
                    Severity::Info,
                    format!(
                        "{} % of device memory is in use, over 90 %; {WHO_MEETS_MEMORY}",
                        significant(100.0 * share, 3)
                    ),
                    [Evidence::new("share of memory in use", share, "1").against(MEMORY)],
                    "hold what tensors use against device memory (`memory-near-full`): an allocator may keep the rest",
                )
            });
            findings.say(Rule::KpiMemory, &Subject::device(&device.identity), symptom);
        }
    }
}

fn latency(job: &JobState) -> Option<f64> {
    let between = job.collectives.iter().filter(|timing| timing.nodes > 1);
    median(between.map(|timing| timing.time.as_secs()))
}

fn share_in_use(device: &DeviceView) -> Option<f64> {
    let (used, total) = (device.memory_used?, device.memory_total?);
    (total > Bytes::ZERO).then(|| used.as_f64() / total.as_f64())
}
