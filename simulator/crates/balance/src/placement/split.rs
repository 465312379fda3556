//! Which replica of an expert a token goes to.

use microlp::{ComparisonOp, OptimizationDirection, Problem, SolveOutcome, Variable};

use super::LayerPlacement;

/// How tokens choose among the replicas of their expert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dispatch {
    /// In turn or at random: equal shares.
    RoundRobin,
    /// The replica on the token's own device, else on its node, else anywhere; sources spread over equals.
    Nearest,
    /// Shares that would have balanced the loads that the placement was planned with.
    Weighted,
    /// Shares that balance the batch itself: a linear program per batch (LPLB, SGLang).
    LinearProgram,
}

impl Dispatch {
    /// Names in scenarios.
    pub const NAMES: [&'static str; 4] = ["round-robin", "nearest", "weighted", "lp"];

    /// All of them, in the order of their names.
    pub const ALL: [Self; 4] = [
        Self::RoundRobin,
        Self::Nearest,
        Self::Weighted,
        Self::LinearProgram,
    ];
}

/// Where tokens come from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sources<'a> {
    /// Devices of a node.
    pub devices_per_node: usize,
    /// The share of the tokens that each device holds; empty where all hold equally many.
    pub shares: &'a [f64],
}

impl Sources<'_> {
    /// The share of the tokens that `device` of `devices` holds.
    #[expect(clippy::cast_precision_loss, reason = "there are few devices")]
    fn share(&self, device: usize, devices: usize) -> f64 {
        let even = (devices as f64).recip();
        self.shares.get(device).copied().unwrap_or(even)
    }
}

/// The share of its expert's tokens that each slot gets. `loads` are what the shares shall balance, of the batch or of
/// the plan.
///
/// Worked: experts 0 with 6 tokens on both of two devices and 1 with 2 tokens on the first alone: equal shares make
/// 5 and 3, the linear program gives expert 0 a third on the first device and makes 4 and 4.
#[must_use]
pub fn shares(
    placement: &LayerPlacement,
    dispatch: Dispatch,
    loads: &[f64],
    sources: Sources<'_>,
) -> Vec<f64> {
    match dispatch {
        Dispatch::RoundRobin => equal(placement),
        Dispatch::Nearest => nearest(placement, sources),
        Dispatch::Weighted | Dispatch::LinearProgram => balanced(placement, loads),
    }
}

#[expect(clippy::cast_precision_loss, reason = "an expert has few replicas")]
fn equal(placement: &LayerPlacement) -> Vec<f64> {
    let share = |&expert: &usize| (placement.counts()[expert] as f64).recip();
    placement.experts().iter().map(share).collect()
}

fn nearest(placement: &LayerPlacement, sources: Sources<'_>) -> Vec<f64> {
    let ways = ways(placement, sources);
    ways.iter().map(|way| way.iter().sum()).collect()
}

/// With the nearest replica chosen: the shares of its expert's tokens that reach each slot from other devices of its
/// node, and from other nodes.
#[must_use]
pub(crate) fn near_shares(placement: &LayerPlacement, sources: Sources<'_>) -> Vec<[f32; 2]> {
    #[expect(clippy::cast_possible_truncation, reason = "shares in single precision")]
    let narrow = |[_, node, network]: [f64; 3]| [node as f32, network as f32];
    ways(placement, sources).into_iter().map(narrow).collect()
}

/// The shares of its expert's tokens that reach each slot from its own device, from its node and from other nodes.
fn ways(placement: &LayerPlacement, sources: Sources<'_>) -> Vec<[f64; 3]> {
    let device_of = placement.device_of_slots();
    let devices = placement.num_devices();
    let mut ways = vec![[0.0; 3]; device_of.len()];
    for slots in slots_by_expert(placement) {
        for (source, slot) in nearest_slots(&slots, &device_of, devices, sources)
            .into_iter()
            .enumerate()
        {
            ways[slot][distance(device_of[slot], source, sources)] += sources.share(source, devices);
        }
    }
    ways
}

/// The slots of each expert.
pub(crate) fn slots_by_expert(placement: &LayerPlacement) -> Vec<Vec<usize>> {
    let mut slots = vec![Vec::new(); placement.counts().len()];
    for (slot, &expert) in placement.experts().iter().enumerate() {
        slots[expert].push(slot);
    }
    slots
}

/// 0 on the same device, 1 on the same node, 2 elsewhere.
const fn distance(device: usize, source: usize, sources: Sources<'_>) -> usize {
    if device == source {
        0
    } else if device / sources.devices_per_node == source / sources.devices_per_node {
        1
    } else {
        2
    }
}

/// The slot of an expert's `slots` that the tokens of each of `devices` devices go to when the nearest is chosen. Devices
/// that have the same choice take turns among equals.
///
/// Worked: a node of four devices with replicas on the first and the third: the second takes the first, the fourth the
/// third.
pub(crate) fn nearest_slots(
    slots: &[usize],
    device_of: &[usize],
    devices: usize,
    sources: Sources<'_>,
) -> Vec<usize> {
    let per_node = sources.devices_per_node;
    // How many devices had no replica of their own: by node, and on nodes without one.
    let mut turns = vec![0; devices.div_ceil(per_node)];
    let mut far_turns = 0;
    (0..devices)
        .map(|source| {
            let node = source / per_node;
            let on_node: Vec<usize> = slots
                .iter()
                .copied()
                .filter(|&slot| device_of[slot] / per_node == node)
                .collect();
            if let Some(&own) = on_node.iter().find(|&&slot| device_of[slot] == source) {
                return own;
            }
            let (among, turn) = if on_node.is_empty() {
                (slots, &mut far_turns)
            } else {
                (&on_node[..], &mut turns[node])
            };
            *turn += 1;
            among[(*turn - 1) % among.len()]
        })
        .collect()
}

/// The linear program of LPLB and SGLang: the least `t` such that every device carries at most `t`, where the tokens of
/// an expert are shared out among its replicas.
fn balanced(placement: &LayerPlacement, loads: &[f64]) -> Vec<f64> {
    let mut problem = Problem::new(OptimizationDirection::Minimize);
    let most = problem.add_var(1.0, (0.0, f64::INFINITY));
    let is_split = |expert: usize| placement.counts()[expert] > 1 && loads[expert] > 0.0;
    let given: Vec<Option<Variable>> = placement
        .experts()
        .iter()
        .map(|&expert| is_split(expert).then(|| problem.add_var(0.0, (0.0, loads[expert]))))
        .collect();
    for device in 0..placement.num_devices() {
        let slots = placement.slots_of(device);
        let fixed: f64 = slots
            .clone()
            .filter(|&slot| given[slot].is_none() && placement.counts()[placement.experts()[slot]] == 1)
            .map(|slot| loads[placement.experts()[slot]])
            .sum();
        let mut terms: Vec<(Variable, f64)> = slots.filter_map(|slot| Some((given[slot]?, 1.0))).collect();
        terms.push((most, -1.0));
        problem.add_constraint(terms.as_slice(), ComparisonOp::Le, -fixed);
    }
    for expert in (0..loads.len()).filter(|&expert| is_split(expert)) {
        let slots = placement.experts().iter().zip(&given);
        let terms: Vec<(Variable, f64)> = slots
            .filter(|&(&of, _)| of == expert)
            .filter_map(|(_, given)| Some(((*given)?, 1.0)))
            .collect();
        problem.add_constraint(terms.as_slice(), ComparisonOp::Eq, loads[expert]);
    }
    // It always has a solution, equal shares for one; a solver that stops short of it leaves those.
    let Ok(SolveOutcome::Solution(solution)) = problem.solve() else {
        return equal(placement);
    };
    let equal = equal(placement);
    let slots = placement.experts().iter().zip(&given).zip(equal);
    slots
        .map(|((&expert, given), equal)| {
            given.map_or(equal, |given| (solution[given] / loads[expert]).clamp(0.0, 1.0))
        })
        .collect()
}
