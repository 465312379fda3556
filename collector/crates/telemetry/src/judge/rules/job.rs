//! A job against its own past, its prediction and its profile.

use std::collections::BTreeMap;

use orrery_units::{Bytes, Ratio, SimDuration, significant, with_si_prefix};

use super::super::history::{History, JobHistory, recent};
use super::super::hysteresis::{Findings, Symptom};
use super::super::statistics::median;
use super::super::{Evidence, JobState, Rule, Severity, Subject};
use super::{Context, percent, symptom, symptom_if};

pub(super) fn look(context: &Context<'_>, history: &History, findings: &mut Findings<'_>) {
    for job in &context.frame.jobs {
        let Some(history) = history.jobs.get(&job.name) else {
            continue;
        };
        let subject = || Subject::job(&job.name);
        // A job that told nothing since is neither slower nor faster.
        if !job.steps.is_empty() {
            if let Some(symptom) = slow(context, job, history) {
                findings.say(Rule::JobSlow, &subject(), symptom);
            }
            if let Some(symptom) = imbalance(context, history) {
                findings.say(Rule::ExpertImbalance, &subject(), symptom);
            }
        }
        if let Some(symptom) = collectives(context, job) {
            findings.say(Rule::CollectiveSlow, &subject(), symptom);
        }
    }
}

fn slow(context: &Context<'_>, job: &JobState, history: &JobHistory) -> Option<Option<Symptom>> {
    let now = recent(&history.recent_pace)?;
    let least = context.thresholds().job_slow.get();
    let measure = history.measure?;
    let is_mfu = measure == "MFU";
    let measures = [
        ("its own trailing median", history.pace.usual(context.frame.at)),
        (
            "what was predicted",
            job.predicted_mfu.filter(|_| is_mfu).map(Ratio::get),
        ),
    ];
    let known = measures
        .into_iter()
        .filter_map(|(whose, wanted)| Some((whose, wanted?)));
    let (whose, wanted) = known.min_by(|(_, a), (_, b)| (now / a).total_cmp(&(now / b)))?;
    Some(symptom_if(now < least * wanted, || {
        let shown = |value| {
            if is_mfu {
                percent(value)
            } else {
                significant(value, 3)
            }
        };
        let unit = if is_mfu { "1" } else { "1/s" };
        let mut evidence = vec![
            Evidence::new(measure, now, unit).against(least * wanted),
            Evidence::new(whose, wanted, unit),
        ];
        evidence.extend(recent(&history.recent_times).map(|secs| Evidence::new("step time", secs, "s")));
        symptom(
            Severity::Warning,
            format!(
                "{measure} is {}, {} of {whose} ({})",
                shown(now),
                percent(now / wanted),
                shown(wanted)
            ),
            evidence,
            "look at the alerts of its devices and ports; if there is none, compare a trace of now with one of before \
             (`orrery compare`)",
        )
    }))
}

fn imbalance(context: &Context<'_>, history: &JobHistory) -> Option<Option<Symptom>> {
    let now = recent(&history.recent_imbalance)?;
    let usual = history.imbalance.usual(context.frame.at)?;
    let most = context.thresholds().expert_imbalance.get() * usual;
    Some(symptom_if(now > most, || {
        symptom(
            Severity::Warning,
            format!(
                "the fullest expert has {} times the mean load, it was {}",
                significant(now, 3),
                significant(usual, 3)
            ),
            [Evidence::new("largest over mean load of experts", now, "1").against(most)],
            "see which layer and expert it is; balance anew (`orrery balance`), or raise the balancing term",
        )
    }))
}

/// The median of each operation, size and number of ranks against the profile; the worst counts.
fn collectives(context: &Context<'_>, job: &JobState) -> Option<Option<Symptom>> {
    let mut times: BTreeMap<(&str, Bytes, u32), (Vec<f64>, SimDuration)> = BTreeMap::new();
    for timing in &job.collectives {
        if let Some(profile) = timing.profile.filter(|profile| !profile.is_zero()) {
            let key = (timing.op.as_str(), timing.bytes, timing.ranks);
            let (times, _) = times.entry(key).or_insert((Vec::new(), profile));
            times.push(timing.time.as_secs());
        }
    }
    let ratios = times.into_iter().filter_map(|(key, (times, profile))| {
        let time = median(times)?;
        Some((key, time, profile.as_secs(), time / profile.as_secs()))
    });
    let (key, time, profile, ratio) = ratios.max_by(|(.., a), (.., b)| a.total_cmp(b))?;
    let (op, bytes, ranks) = key;
    let most = context.thresholds().collective_slow.get();
    Some(symptom_if(ratio > most, || {
        symptom(
            Severity::Warning,
            format!(
                "{op} of {} over {ranks} ranks takes {}, {} times the profile's {}",
                bytes_for_people(bytes),
                with_si_prefix(time, "s"),
                significant(ratio, 3),
                with_si_prefix(profile, "s")
            ),
            [Evidence::new("time of the collective", time, "s").against(most * profile)],
            "look at links and ports of its nodes; run nccl-tests on pairs of nodes to find which it is",
        )
    }))
}

fn bytes_for_people(bytes: Bytes) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes.as_f64();
    let mut unit = UNITS[0];
    for larger in &UNITS[1..] {
        if value >= 1024.0 {
            (value, unit) = (value / 1024.0, larger);
        }
    }
    format!("{} {unit}", significant(value, 3))
}
