//! How many rows the experts of the most loaded rank are given.
//!
//! The tables draw expert loads from a power law and time the rank that has most (ai-dynamo/aiconfigurator,
//! collector/helper.py; [`power_law`]) between 1 and 0.8 of the tokens, scaled to `tokens · topk` rows. Their draws are not known; loads here are the quantiles of the law, dealt to ranks in sixteen keyed orders, and
//! the mean over the orders of the loads of the fullest rank.

use orrery_experts::load::{cap, power_law};
use orrery_profile::library::LocalLoad;
use orrery_units::Seed;

/// Rows that a tile of the grouped product has.
const TILE: f64 = 128.0;
/// Orders in which experts are dealt to ranks.
const ORDERS: u64 = 16;

/// What is asked: tokens of all ranks, experts of each token, experts, ranks, and the exponent; 0 for equal loads.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Routing {
    pub(super) tokens: u32,
    pub(super) chosen: u32,
    pub(super) experts: u32,
    pub(super) ranks: u32,
    pub(super) skew: f64,
    pub(super) dealing: Dealing,
}

/// What becomes of the choices that the tables make for their tokens before a rank computes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dealing {
    /// The rank computes those of its own experts and skips the others.
    Own,
    /// The gate runs in the call and takes four of eight groups of experts first (DeepSeek-V3, section 2.1.2).
    Limited,
    /// A token with a choice on the rank brings all of its choices, and those of other ranks fall on the first expert: the
    /// rank's part is cut out before the call, whose kernel knows no expert that is absent (aiconfigurator,
    /// collector/sglang/collect_moe.py at 095f58a).
    Clamped,
}

/// Groups of experts of a gate that is limited to some, and how many it takes.
pub(super) const GROUPS: (u32, u32) = (8, 4);

/// The load of the fullest rank.
pub(super) fn fullest(routing: &Routing) -> LocalLoad {
    let loads = match (routing.skew > 0.0, routing.dealing) {
        (true, _) => uneven(routing),
        (false, Dealing::Limited) => limited(routing),
        (false, Dealing::Clamped) => clamped(routing),
        (false, Dealing::Own) => equal(routing),
    };
    let mut load = LocalLoad {
        rows: 0.0,
        active: 0.0,
        padded: 0.0,
        largest: 1.0,
    };
    for rows in loads {
        // An expert with an expected load below one has a row in some draws only.
        let active = match (routing.skew > 0.0, rows >= 1.0) {
            (_, true) => 1.0,
            (true, false) => -(-rows).exp_m1(),
            (false, false) => rows,
        };
        load.rows += rows;
        load.active += active;
        load.padded += active * TILE * (rows / TILE).ceil().max(1.0);
        load.largest = load.largest.max(rows);
    }
    // A rank that is given nothing in the mean still runs its kernels.
    load.rows = load.rows.max(0.01);
    load.active = load.active.max(0.01);
    load
}

/// Equal loads: with fewer rows than experts one row each, on as many experts as a rank's share of the rows.
fn equal(routing: &Routing) -> Vec<f64> {
    let rows = f64::from(routing.tokens) * f64::from(routing.chosen);
    let local = routing.experts / routing.ranks.max(1);
    let experts = f64::from(routing.experts);
    if rows >= experts {
        return vec![rows / experts; local as usize];
    }
    let used = (routing.tokens * routing.chosen).div_ceil(routing.ranks.max(1));
    vec![1.0; used.min(local) as usize]
}

/// What becomes of equal loads behind a gate that is limited to groups.
///
/// The tables give each token one expert of every group, all with the same score. The gate takes the first half of the
/// groups, for they tie; of each token's choices, those in them are kept, and the others fall on the first experts, which
/// tie again. So the first rank is the fullest. Worked: 1024 tokens of 8 of 256 experts: experts 0 to 127 have 1024 / 32 =
/// 32 rows each, experts 0 to 3 another 1024; the first of 32 ranks has 8 · 32 + 4 · 1024 = 4352 of 8192 rows.
fn limited(routing: &Routing) -> Vec<f64> {
    let (groups, taken) = GROUPS;
    let tokens = f64::from(routing.tokens);
    let local = local_experts(routing);
    let kept = routing.chosen * taken / groups;
    let reached = routing.experts * taken / groups;
    (0..local)
        .map(|expert| {
            let scored = if expert < reached {
                tokens * f64::from(kept) / f64::from(reached)
            } else {
                0.0
            };
            let tied = if expert < routing.chosen - kept {
                tokens
            } else {
                0.0
            };
            scored + tied
        })
        .filter(|rows| *rows > 0.0)
        .collect()
}

/// Equal loads whose tokens bring their choices of other ranks too.
///
/// A token takes one expert of every `experts / topk`, the next token the experts beside them. Worked: 1024 tokens of 8 of
/// 256 experts on 32 ranks: one token in four has a choice among the first 8 experts; of the 2048 rows that these bring,
/// 256 are local, and the other 1792 fall on the first expert.
fn clamped(routing: &Routing) -> Vec<f64> {
    let &Routing {
        tokens,
        chosen,
        experts,
        ..
    } = routing;
    let local = local_experts(routing);
    let stride = experts.div_ceil(chosen.max(1));
    let mut loads = vec![0.0; local as usize];
    for token in 0..tokens {
        // Few tokens are spread over the stride.
        let first = if tokens >= stride {
            token
        } else {
            token * stride / tokens
        };
        let own: Vec<u32> = (0..chosen)
            .map(|choice| (first + choice * stride) % experts)
            .filter(|expert| *expert < local)
            .collect();
        for &expert in &own {
            loads[expert as usize] += 1.0;
        }
        if !own.is_empty() {
            loads[0] += f64::from(chosen) - own.len() as f64;
        }
    }
    loads.retain(|rows| *rows > 0.0);
    loads
}

/// Experts of a rank.
fn local_experts(routing: &Routing) -> u32 {
    (routing.experts / routing.ranks.max(1)).max(1)
}

/// How many tokens have a choice among the experts that are `(load, local)`, given largest first: loads are laid end to
/// end and cut at every `tokens`, so that token `t` takes what stands at `t` of each part (aiconfigurator,
/// collector/helper.py).
///
/// Worked: loads 4, 3, 2 and 1 over 5 tokens stand at 0 to 4, 4 to 7, 7 to 9 and 9 to 10. The second covers token 4 and,
/// wrapped, 0 and 1; the last covers token 4: together three tokens.
fn reached(loads: &[(f64, bool)], tokens: f64) -> f64 {
    let mut parts: Vec<(f64, f64)> = Vec::new();
    let mut at = 0.0;
    for &(load, local) in loads {
        let (from, to) = (at, at + load);
        at = to;
        if !local {
            continue;
        }
        if load >= tokens {
            return tokens;
        }
        let from = from % tokens;
        parts.push((from, (from + load).min(tokens)));
        parts.push((0.0, (from + load - tokens).max(0.0)));
    }
    parts.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut covered, mut end) = (0.0, 0.0_f64);
    for (from, to) in parts {
        covered += (to - from.max(end)).max(0.0);
        end = end.max(to);
    }
    covered
}

/// Quantiles of the power law, none above the number of tokens: a token takes an expert once.
fn quantiles(routing: &Routing) -> Vec<f64> {
    let tokens = f64::from(routing.tokens);
    let rows = tokens * f64::from(routing.chosen);
    let experts = f64::from(routing.experts);
    let most = (0.8 * tokens).max(1.0001);
    let mut loads: Vec<f64> = (0..routing.experts)
        .map(|at| power_law(routing.skew, most, (f64::from(at) + 0.5) / experts))
        .collect();
    let sum: f64 = loads.iter().sum();
    for load in &mut loads {
        *load *= rows / sum;
    }
    cap(&mut loads, tokens);
    loads.iter().map(|load| load.min(tokens)).collect()
}

/// Mean, over the orders, of the sorted loads of the fullest rank.
fn uneven(routing: &Routing) -> Vec<f64> {
    let loads = quantiles(routing);
    let local = local_experts(routing) as usize;
    let mut mean = vec![0.0; local];
    for order in 0..ORDERS {
        let seed = Seed::new(0);
        let mut keyed: Vec<(f64, f64)> = (0..)
            .zip(&loads)
            .map(|(at, load)| (seed.at("expert order", &[order, at]).uniform(), *load))
            .collect();
        keyed.sort_by(|a, b| a.0.total_cmp(&b.0));
        let sum = |part: &[(f64, f64)]| part.iter().map(|(_, load)| load).sum::<f64>();
        let fullest = keyed
            .chunks_exact(local)
            .max_by(|a, b| sum(a).total_cmp(&sum(b)))
            .unwrap_or_default();
        let mut sorted: Vec<f64> = fullest.iter().map(|(_, load)| *load).collect();
        if routing.dealing == Dealing::Clamped {
            let is_local = |part: &(f64, f64)| fullest.iter().any(|own| own.0.to_bits() == part.0.to_bits());
            let mut all: Vec<(f64, bool)> = keyed.iter().map(|part| (part.1, is_local(part))).collect();
            all.sort_by(|a, b| b.0.total_cmp(&a.0));
            let rows = reached(&all, f64::from(routing.tokens)) * f64::from(routing.chosen);
            sorted[0] += (rows - sum(fullest)).max(0.0);
        }
        sorted.sort_by(|a, b| b.total_cmp(a));
        for (mean, load) in mean.iter_mut().zip(sorted) {
            *mean += load / f64::from(u32::try_from(ORDERS).unwrap_or(u32::MAX));
        }
    }
    mean
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 1024 tokens of 8 experts over 256 experts on 8 ranks: 32 rows for each of 32 experts of a rank.
    #[test]
    fn equal_loads() {
        let routing = Routing {
            tokens: 1024,
            chosen: 8,
            experts: 256,
            ranks: 8,
            skew: 0.0,
            dealing: Dealing::Own,
        };
        let load = fullest(&routing);
        assert!((load.rows - 1024.0).abs() < 1e-9, "{load:?}");
        assert!((load.padded - 32.0 * 128.0).abs() < 1e-9, "{load:?}");
        // Two tokens are 16 rows, two on each rank, each on an expert of its own.
        let few = fullest(&Routing { tokens: 2, ..routing });
        assert!(
            (few.rows - 2.0).abs() < 1e-9 && (few.active - 2.0).abs() < 1e-9,
            "{few:?}"
        );
    }

    /// Half of the choices fall on four experts of the first rank, however many ranks there are up to 64.
    #[test]
    fn a_limited_gate_fills_the_first_rank() {
        let rows = |ranks| {
            fullest(&Routing {
                tokens: 1024,
                chosen: 8,
                experts: 256,
                ranks,
                skew: 0.0,
                dealing: Dealing::Limited,
            })
        };
        let (all, half, few) = (rows(1), rows(2), rows(32));
        assert!(
            (all.rows - 8192.0).abs() < 1e-9 && (all.active - 128.0).abs() < 1e-9,
            "{all:?}"
        );
        assert!(
            (half.rows - 8192.0).abs() < 1e-9,
            "all of it lies in the first half: {half:?}"
        );
        assert!(
            (few.rows - 4352.0).abs() < 1e-9 && (few.largest - 1056.0).abs() < 1e-9,
            "{few:?}"
        );
    }

    /// The worked example of [`clamped`], and 8 ranks, each of which has a choice of every token: all 8192 rows, of which
    /// 1024 are the rank's own, 32 for each of 32 experts, and 7168 fall on the first. Two of 8 experts: rank 0 of 8 has one
    /// expert and one choice of every fourth token, which bring another row each.
    #[test]
    fn tokens_bring_their_choices_of_other_ranks() {
        let load = |chosen, experts, ranks| {
            fullest(&Routing {
                tokens: 1024,
                chosen,
                experts,
                ranks,
                skew: 0.0,
                dealing: Dealing::Clamped,
            })
        };
        let found = [(8, 256, 32), (8, 256, 8), (2, 8, 8)].map(|(chosen, experts, ranks)| {
            let load = load(chosen, experts, ranks);
            (load.rows, load.active, load.largest)
        });
        let expected = [
            (2048.0, 8.0, 32.0 + 1792.0),
            (8192.0, 32.0, 32.0 + 7168.0),
            (512.0, 1.0, 512.0),
        ];
        assert_eq!(found, expected, "rows, experts with one and rows of the first");
    }

    /// The worked example of [`reached`] with the second and the last expert on the rank, and what fills every token.
    #[test]
    fn tokens_are_counted_once() {
        let loads = |local: [bool; 4]| {
            let found = [4.0, 3.0, 2.0, 1.0].into_iter().zip(local);
            reached(&found.collect::<Vec<_>>(), 5.0)
        };
        assert!(
            (loads([false, true, false, true]) - 3.0).abs() < 1e-12,
            "4, 0 and 1"
        );
        assert!(
            (loads([true, true, false, false]) - 5.0).abs() < 1e-12,
            "all five"
        );
        assert!(
            (loads([false, false, true, false]) - 2.0).abs() < 1e-12,
            "2 and 3"
        );
        assert!(
            (reached(&[(6.0, true)], 5.0) - 5.0).abs() < 1e-12,
            "no more than there are"
        );
    }

    /// With one rank nothing can be uneven between ranks; with 32 the fullest has more than its share, and no expert
    /// has more rows than there are tokens.
    #[test]
    fn a_power_law_fills_one_rank_more() {
        let routing = |ranks| Routing {
            tokens: 4096,
            chosen: 8,
            experts: 256,
            ranks,
            skew: 1.2,
            dealing: Dealing::Own,
        };
        let all = fullest(&routing(1));
        assert!((all.rows - 32_768.0).abs() < 1e-6, "{all:?}");
        let one = fullest(&routing(32));
        assert!(one.rows > 1.5 * 1024.0 && one.largest <= 4096.0, "{one:?}");
    }
}
