//! A platform of one's own: what the others tell of it, moved by a few measured steps.
//!
//! A stack or a device that no step was measured of has parameters of its own that nothing was fitted to. Before any
//! measurement each is expected where the same parameter of the others lies, and may be as far off as they scatter. A
//! measured step moves all that it bears on, each by what is unknown of it and by what the step says of it.

use std::collections::BTreeSet;

use orrery_profile::fit::{Prior, least_squares, rounded};
use orrery_profile::{Term, TuningParameter, TuningSet};
use orrery_scenario::catalog;

use super::{FACTOR, SCATTER, Space, Step};

/// What unknown parameters of a platform scatter at least by, as logarithms (assumption).
const LEAST: f64 = 0.05;

/// What a parameter is shared by. Parameters of one term that are shared by the same kind of thing tell of each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Everything.
    All,
    /// One device.
    Device,
    /// An architecture, alone or with a format, a dispatcher or a family of stacks.
    Architecture,
    /// A stack or a family of them.
    Software,
}

impl Kind {
    fn of(scope: &str) -> Self {
        let first = scope.split(' ').next().unwrap_or_default();
        let architectures = ["Volta", "Ampere", "Ada", "Hopper", "Blackwell"];
        if scope.is_empty() {
            Self::All
        } else if architectures.contains(&first) {
            Self::Architecture
        } else if catalog::hardware(scope).is_ok() {
            Self::Device
        } else {
            Self::Software
        }
    }
}

/// `set` with the parameters of the platform that `platform` and `anchors` ran on: those that it lacks from their like,
/// and all of them moved as little as brings the steps of `anchors` to what was measured.
///
/// `traffic` is what was measured of collectives alone: for a term of traffic, measured time over that which the profile
/// gives.
#[must_use]
pub fn anchored(
    set: &TuningSet,
    platform: &[&Step],
    anchors: &[&Step],
    traffic: &[(Term, f64)],
) -> TuningSet {
    let steps: Vec<&Step> = anchors.iter().chain(platform).copied().collect();
    let space = of_platform(set, &steps, traffic);
    let residuals = |point: &[f64]| -> Vec<f64> {
        let residual =
            |(at, step): (usize, &&Step)| step.residual(&space.tuning(at, point)) / scatter(set, step);
        anchors.iter().enumerate().map(residual).collect()
    };
    let point = if anchors.is_empty() {
        space.priors.iter().map(|prior| prior.centre).collect()
    } else {
        least_squares(&space.priors, residuals)
    };
    let mut own = set.clone();
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let models: BTreeSet<&str> = anchors.iter().map(|step| step.fact("model")).collect();
    for ((term, scope), log) in space.names.iter().zip(&point) {
        let is_same = |known: &&mut TuningParameter| known.term == *term && known.scope == *scope;
        let value = rounded(log.exp());
        match own.parameters.iter_mut().find(is_same) {
            Some(known) => known.value = value,
            None => own.parameters.push(TuningParameter {
                term: *term,
                scope: scope.clone(),
                value,
                rows: count(anchors.len()),
                models: count(models.len()),
            }),
        }
    }
    own.parameters
        .sort_by(|a, b| (a.term as usize, &a.scope).cmp(&(b.term as usize, &b.scope)));
    let stacks: BTreeSet<String> = own
        .stacks
        .into_iter()
        .chain(steps.iter().map(|step| step.stack.clone()))
        .collect();
    own.stacks = stacks.into_iter().collect();
    own
}

/// How far one step lies off a law that nothing of its platform was fitted to: as far as steps that were held out.
fn scatter(set: &TuningSet, step: &Step) -> f64 {
    let of = |set: &TuningSet| set.spread(TuningSet::UNSEEN, step.has_experts());
    of(set).or_else(|| of(catalog::tuning())).unwrap_or(SCATTER)
}

/// Every parameter of the platform that `steps` ran on, with what is known of it.
fn of_platform(set: &TuningSet, steps: &[&Step], traffic: &[(Term, f64)]) -> Space {
    let mut space = Space {
        names: Vec::new(),
        priors: Vec::new(),
        members: Vec::new(),
    };
    for step in steps {
        let members = Term::ALL.map(|term| {
            let scopes = step.scopes[term as usize].iter().enumerate();
            scopes
                .map(|(at, scope)| {
                    let name = (term, scope.clone());
                    let known = space.names.iter().position(|known| *known == name);
                    known.unwrap_or_else(|| {
                        let mut prior = prior(set, term, scope, at == 0);
                        let factors = traffic.iter().filter(|(of, _)| at == 0 && *of == term);
                        prior.centre += factors.map(|(_, factor)| factor.ln()).sum::<f64>();
                        space.names.push(name);
                        space.priors.push(prior);
                        space.names.len() - 1
                    })
                })
                .collect()
        });
        space.members.push(members.to_vec());
    }
    space
}

/// What is known of a parameter: its own value, off which this platform may lie by as much as a factor of its own on that
/// term may be; else the mean of its like and how they scatter; else what is expected of its term.
fn prior(set: &TuningSet, term: Term, scope: &str, is_base: bool) -> Prior {
    let mine = set.parameters.iter().filter(|known| known.term == term);
    let (expected, spread) = term.expected();
    if let Some(known) = mine.clone().find(|known| known.scope == scope) {
        return Prior {
            centre: known.value.ln(),
            spread: spread * FACTOR,
        };
    }
    let (expected, spread) = if is_base {
        (expected.ln(), spread)
    } else {
        (0.0, spread * FACTOR)
    };
    let alike = mine.filter(|known| Kind::of(&known.scope) == Kind::of(scope));
    let logs: Vec<f64> = alike.map(|known| known.value.ln()).collect();
    if logs.len() < 2 {
        return Prior {
            centre: logs.first().copied().unwrap_or(expected),
            spread,
        };
    }
    let count = f64::from(u32::try_from(logs.len()).unwrap_or(u32::MAX));
    let mean = logs.iter().sum::<f64>() / count;
    let variance = logs.iter().map(|log| (log - mean).powi(2)).sum::<f64>() / (count - 1.0);
    Prior {
        centre: mean,
        spread: variance.sqrt().max(LEAST),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(values: &[(Term, &str, f64)]) -> TuningSet {
        let parameters = values.iter().map(|&(term, scope, value)| TuningParameter {
            term,
            scope: scope.to_owned(),
            value,
            rows: 10,
            models: 2,
        });
        TuningSet {
            schema: TuningSet::SCHEMA.to_owned(),
            parameters: parameters.collect(),
            ..TuningSet::default()
        }
    }

    #[test]
    fn scopes_are_told_apart() {
        for (scope, kind) in [
            ("", Kind::All),
            ("H100-SXM5-80GB", Kind::Device),
            ("Hopper bf16", Kind::Architecture),
            ("Ampere", Kind::Architecture),
            ("llm-foundry", Kind::Software),
        ] {
            assert_eq!(Kind::of(scope), kind, "{scope}");
        }
    }

    /// Of two stacks with steps of 10 and 40 ms beside their microbatches a third is expected at their geometric mean,
    /// 20 ms, and may be off by as much as they are apart: ln 4 / √2. What was fitted may be off by a factor of its own.
    #[test]
    fn what_is_unknown_is_expected_where_its_like_are() {
        let set = set(&[(Term::Step, "nemo", 0.01), (Term::Step, "megatron-lm", 0.04)]);
        let unknown = prior(&set, Term::Step, "own", true);
        assert!((unknown.centre.exp() - 0.02).abs() < 1e-12);
        assert!((unknown.spread - 4.0_f64.ln() / 2.0_f64.sqrt()).abs() < 1e-12);
        let known = prior(&set, Term::Step, "nemo", true);
        assert!((known.centre.exp() - 0.01).abs() < 1e-12);
        let factor = Term::Step.expected().1 * FACTOR;
        assert!((known.spread - factor).abs() < 1e-12);
        let (expected, _) = Term::Products.expected();
        let alone = prior(&set, Term::Products, "Hopper bf16", true);
        assert!((alone.centre - expected.ln()).abs() < 1e-12, "nothing else tells");
    }
}
