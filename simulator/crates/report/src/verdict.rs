//! One sentence: what limits the step, and by how much.

use orrery_units::{Bytes, SimDuration};

use crate::{Memory, Metrics, State, breakdown::Breakdown};

/// What limits the step, in words with the share.
///
/// The largest state is named first. Arithmetic is the best of limits, so when it is largest the largest
/// loss follows. A plan that does not fit says so before anything else: its time is hypothetical.
#[must_use]
pub(crate) fn verdict(metrics: &Metrics, breakdown: &Breakdown, memory: &Memory) -> String {
    let step = metrics.mean("train.step_time");
    let limit = limit_sentence(metrics, breakdown, step);
    if memory.fits() {
        return limit;
    }
    let Some(peak) = memory.peak() else {
        return limit;
    };
    let cause = memory
        .ranked(peak)
        .first()
        .map(|(cause, bytes)| format!(", most of it {cause} ({bytes})"))
        .unwrap_or_default();
    format!(
        "Does not fit: {} of {} holds {} where a device has {}, {} too much{cause}. Were there room: {limit}",
        peak.rank,
        peak.stage,
        peak.bytes,
        memory.capacity,
        Bytes::saturating_sub(peak.bytes, memory.capacity),
    )
}

fn limit_sentence(metrics: &Metrics, breakdown: &Breakdown, step: f64) -> String {
    let mut states: Vec<State> = State::ALL.to_vec();
    // A stable sort keeps the order of legends among equals.
    states.sort_by_key(|&state| std::cmp::Reverse(breakdown.picos(state)));
    let (Some(&first), Some(&loss)) = (
        states.first(),
        states.iter().find(|&&state| state != State::Compute),
    ) else {
        return "Nothing was measured.".to_owned();
    };
    if breakdown.total_picos() == 0 {
        return "Nothing was measured: no step lies beyond the warm-up.".to_owned();
    }
    let of = |state: State| {
        format!(
            "{} % of the step ({})",
            orrery_units::significant(breakdown.share(state) * 100.0, 3),
            SimDuration::from_secs(breakdown.seconds(state)),
        )
    };
    let step = SimDuration::from_secs(step);
    if first == State::Compute {
        let mfu = metrics.get("train.mfu.mean").map_or_else(String::new, |mfu| {
            format!(" at {} % MFU", orrery_units::significant(mfu * 100.0, 3))
        });
        format!(
            "Compute limits the step of {step}: {}{mfu}; the largest loss is the {}, {}.",
            of(first),
            loss.title(),
            of(loss)
        )
    } else {
        format!(
            "The {} limits the step of {step}: {}; compute takes {}.",
            first.title(),
            of(first),
            of(State::Compute)
        )
    }
}
