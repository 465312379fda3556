//! Every layout estimated: what each takes and holds, or why it cannot be.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use orrery_scenario::{LayoutChoice, Plan, Refusal};
use orrery_units::Bytes;
use orrery_workload::estimate::{Survey, Surveyor};

use super::Axes;
use crate::pipeline::in_parallel;

/// A layout that the rules allow.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// Its number among all.
    pub number: usize,
    /// What it is.
    pub choice: LayoutChoice,
    /// What the closed form says of it.
    pub survey: Survey,
}

/// Layouts that cannot be, for one reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Infeasible {
    /// The code of the rule, or `memory`.
    pub code: &'static str,
    /// How many.
    pub count: usize,
    /// The first of them.
    pub example: LayoutChoice,
    /// Why it is none, with its numbers.
    pub message: String,
}

/// Every layout of a search.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Estimated {
    /// Those that fit, in order of their estimated steps.
    pub fitting: Vec<Candidate>,
    /// Those that do not, by reason.
    pub infeasible: Vec<Infeasible>,
    /// Layouts that were looked at, each counted once.
    pub looked_at: usize,
    /// Whether that is all that there are: nobody asked to stop.
    pub is_whole: bool,
    /// Layouts that the rules allow and that would hold more than a device has.
    pub too_large: Vec<Candidate>,
}

/// How far a search is, and whether it is to go on.
#[derive(Debug, Default)]
pub struct Progress {
    /// Layouts that were looked at.
    pub done: AtomicUsize,
    /// Somebody asked to stop.
    pub cancelled: AtomicBool,
}

impl Infeasible {
    fn of(number: usize, choice: LayoutChoice, refusal: Refusal) -> (usize, Self) {
        let infeasible = Self {
            code: refusal.code,
            count: 1,
            example: choice,
            message: refusal.message,
        };
        (number, infeasible)
    }
}

/// One share of a search, and the first example of each reason with its number.
#[derive(Default)]
struct Share {
    legal: Vec<Candidate>,
    refused: BTreeMap<&'static str, (usize, Infeasible)>,
    looked_at: usize,
}

/// Estimates every layout of `axes` of the job that `base` is, each once; of several shards, only those of shard `shard.0` of
/// `shard.1`.
///
/// Each core takes whole combinations of degrees, which share what they are made of.
#[must_use]
pub fn estimate(base: &Plan, axes: &Axes, shard: (usize, usize), progress: &Progress) -> Estimated {
    let axes = &axes.clone().each_once();
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let threads = u32::try_from(cores).unwrap_or(1);
    let next = AtomicUsize::new(0);
    let shares = in_parallel(threads, |_| share(base, axes, shard, &next, progress));
    let memory = base.cluster.device.memory;
    let mut refused: BTreeMap<&'static str, (usize, Infeasible)> = BTreeMap::new();
    let mut estimated = Estimated {
        is_whole: !progress.cancelled.load(Ordering::Relaxed),
        ..Estimated::default()
    };
    for share in shares {
        estimated.looked_at += share.looked_at;
        for (_, (number, reason)) in share.refused {
            note(&mut refused, number, reason);
        }
        let (fitting, too_large): (Vec<Candidate>, Vec<Candidate>) = share
            .legal
            .into_iter()
            .partition(|candidate| candidate.survey.peak <= memory);
        estimated.fitting.extend(fitting);
        estimated.too_large.extend(too_large);
    }
    estimated.too_large.sort_by_key(|candidate| candidate.number);
    if let Some(first) = estimated.too_large.first() {
        let reason = Infeasible {
            code: "memory",
            count: estimated.too_large.len(),
            example: first.choice.clone(),
            message: too_large(first, memory),
        };
        note(&mut refused, first.number, reason);
    }
    estimated.infeasible = refused.into_values().map(|(_, reason)| reason).collect();
    estimated
        .infeasible
        .sort_by_key(|reason| std::cmp::Reverse(reason.count));
    let time = |candidate: &Candidate| candidate.survey.estimate.step;
    estimated
        .fitting
        .sort_by(|a, b| time(a).total_cmp(&time(b)).then(a.number.cmp(&b.number)));
    estimated
}

/// Counts `reason`, whose example is layout `number`; the first example is kept, whoever found it.
fn note(refused: &mut BTreeMap<&'static str, (usize, Infeasible)>, number: usize, reason: Infeasible) {
    match refused.get_mut(reason.code) {
        None => {
            refused.insert(reason.code, (number, reason));
        }
        Some((first, known)) => {
            known.count += reason.count;
            if number < *first {
                *first = number;
                let count = known.count;
                *known = Infeasible { count, ..reason };
            }
        }
    }
}

fn share(
    base: &Plan,
    axes: &Axes,
    (shard, shards): (usize, usize),
    next: &AtomicUsize,
    progress: &Progress,
) -> Share {
    let mut surveyor = Surveyor::new(base.clone());
    let mut share = Share::default();
    let (outer, inner) = (axes.outer(), axes.inner());
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed) * shards + shard;
        if number >= outer || progress.cancelled.load(Ordering::Relaxed) {
            return share;
        }
        // Degrees differ from one unit to the next: what is the same layout as another is so within one.
        let mut known: Vec<LayoutChoice> = Vec::with_capacity(inner);
        for number in number * inner..(number + 1) * inner {
            let choice = axes.choice(number).resolved();
            if known.contains(&choice) {
                continue;
            }
            known.push(choice.clone());
            match surveyor.survey(&choice) {
                Ok(survey) => share.legal.push(Candidate {
                    number,
                    choice,
                    survey,
                }),
                Err(refusal) => {
                    let (number, reason) = Infeasible::of(number, choice, refusal);
                    note(&mut share.refused, number, reason);
                }
            }
        }
        share.looked_at += known.len();
        progress.done.fetch_add(inner, Ordering::Relaxed);
    }
}

/// Why a layout does not fit.
#[must_use]
pub fn too_large(candidate: &Candidate, memory: Bytes) -> String {
    let Survey {
        peak,
        peak_rank,
        statics,
        ..
    } = candidate.survey;
    let over = Bytes::new(peak.get().saturating_sub(memory.get()));
    let activations = Bytes::new(peak.get().saturating_sub(statics.get()));
    let most = if statics > activations {
        format!("parameters, optimiser and buffers are {statics}")
    } else {
        format!("activations are {activations}")
    };
    format!("{peak} of {memory}: {over} over on pipeline rank {peak_rank}, where {most}")
}

#[cfg(test)]
mod tests {
    use orrery_scenario::Relayout;

    use super::*;
    use crate::pipeline;

    /// Sixteen devices and a model without experts.
    fn base() -> Plan {
        let text = "schema = \"scenario/1\"\n[scenario]\nname = \"small\"\ntitle = \"Llama 3 8B\"\nkind = \"training\"\n\
                    [model]\nfrom = \"catalog\"\nname = \"llama3-8b\"\n[cluster]\nnodes = 2\n[cluster.node]\n\
                    gpu = \"H100-SXM5-80GB\"\ngpus = 8\n[parallel]\ntp = 2\npp = 2\n[training]\nseq_len = 4096\n\
                    global_batch = 32\nmicro_batch = 1\nsteps = 2\nwarmup_steps = 1\n[run]\nseed = 3\n";
        pipeline::load("small.scenario.toml", text, &[]).unwrap()
    }

    #[test]
    fn a_choice_is_what_its_layout_resolves_to() {
        let base = base();
        let axes = Axes::of(&base);
        let mut relayout = Relayout::new(base);
        let (mut legal, mut differ) = (0, 0);
        for number in 0..axes.len() {
            let choice = axes.choice(number);
            let Ok(plan) = relayout.plan(&choice) else {
                continue;
            };
            legal += 1;
            let resolved = choice.clone().resolved();
            assert_eq!(LayoutChoice::of(&plan), resolved, "{choice}");
            differ += usize::from(resolved != choice);
        }
        assert!(legal > 20 && differ > 0, "{differ} of {legal}");
    }

    /// The slow twin: every layout that the rules allow, as the loader resolves it, compared with every other.
    #[test]
    fn every_layout_is_looked_at_once() {
        let base = base();
        let mut axes = Axes::of(&base);
        let mut relayout = Relayout::new(base.clone());
        let mut distinct: Vec<LayoutChoice> = Vec::new();
        for number in 0..axes.len() {
            if let Ok(plan) = relayout.plan(&axes.choice(number)) {
                let choice = LayoutChoice::of(&plan);
                if !distinct.contains(&choice) {
                    distinct.push(choice);
                }
            }
        }
        axes.tp.extend(axes.tp.clone());
        axes.recompute.extend(axes.recompute.clone());
        let found = estimate(&base, &axes, (0, 1), &Progress::default());
        let legal = found.fitting.iter().chain(&found.too_large);
        let legal: Vec<&LayoutChoice> = legal.map(|candidate| &candidate.choice).collect();
        for (at, choice) in legal.iter().enumerate() {
            assert!(!legal[..at].contains(choice), "twice: {choice}");
        }
        assert_eq!(legal.len(), distinct.len());
        assert!(distinct.iter().all(|choice| legal.contains(&choice)));
        assert!(
            found.is_whole && found.looked_at < axes.len() / 4,
            "{}",
            found.looked_at
        );
    }
}
