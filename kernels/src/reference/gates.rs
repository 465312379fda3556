//! Gates beyond plain top-k: group-limited, and with Gumbel noise; and counts of what they chose.

use super::{GateRule, Routing, keys_and_scores};

/// Experts are chosen among those of the best groups alone (DeepSeek-V3, section 2.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupLimit {
    /// Groups of equal size; they divide the experts.
    pub groups: usize,
    /// Groups whose experts may be chosen.
    pub kept: usize,
}

/// `moe_gate_groups`: a group's key is the sum of its two best; the experts of the `kept` best groups compete.
///
/// # Panics
/// When groups do not divide the experts or hold fewer than two, or the kept ones hold fewer than `top_k`.
#[must_use]
pub fn gate_groups(logits: &[f32], experts: usize, rule: &GateRule, limit: GroupLimit) -> Routing {
    let size = experts / limit.groups;
    assert!(
        size * limit.groups == experts && size >= 2,
        "{experts} experts are not {} groups of two and more",
        limit.groups
    );
    assert!(
        limit.kept * size >= rule.top_k,
        "{} groups hold too few",
        limit.kept
    );
    let mut routing = Routing {
        experts: Vec::new(),
        weights: Vec::new(),
    };
    for logits in logits.chunks_exact(experts) {
        let (keys, scores) = keys_and_scores(logits, &rule.scoring);
        let mut groups: Vec<(usize, f32)> = (keys.chunks_exact(size).map(best_two)).enumerate().collect();
        // Stable: of equal groups the lower one.
        groups.sort_by(|a, b| b.1.total_cmp(&a.1));
        groups.truncate(limit.kept);
        let mut order: Vec<usize> = (0..experts)
            .filter(|expert| groups.iter().any(|&(group, _)| group == expert / size))
            .collect();
        order.sort_by(|&a, &b| keys[b].total_cmp(&keys[a]));
        order.truncate(rule.top_k);
        let total: f32 = order.iter().map(|&expert| scores[expert]).sum();
        let factor = if rule.normalize {
            rule.scale / total
        } else {
            rule.scale
        };
        routing
            .weights
            .extend(order.iter().map(|&expert| scores[expert] * factor));
        routing.experts.extend(order);
    }
    routing
}

fn best_two(keys: &[f32]) -> f32 {
    let mut sorted = keys.to_vec();
    sorted.sort_by(|a, b| b.total_cmp(a));
    sorted[0] + sorted[1]
}

/// `moe_gumbel`: logits over a temperature, with noise that seed, token and expert alone decide.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "24 bits are exact")]
pub fn gumbel(logits: &[f32], experts: usize, temperature: f32, seed: u64) -> Vec<f32> {
    let noisy = logits.iter().enumerate().map(|(index, logit)| {
        let bits = mixed(seed, (index / experts) as u64, (index % experts) as u64);
        let uniform = ((bits >> 8) as f32 + 0.5) * 2_f32.powi(-24);
        logit / temperature - (-uniform.ln()).ln()
    });
    noisy.collect()
}

/// The upper half of a mixed 64-bit word.
fn mixed(seed: u64, token: u64, expert: u64) -> u32 {
    let key = (token << 32 | expert).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut word = seed.wrapping_add(key);
    word = (word ^ word >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
    word = (word ^ word >> 33).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    ((word ^ word >> 33) >> 32) as u32
}

/// `moe_histogram`: how many slots chose each expert.
#[must_use]
pub fn histogram(chosen: &[usize], experts: usize) -> Vec<usize> {
    let mut counts = vec![0; experts];
    for &expert in chosen {
        counts[expert] += 1;
    }
    counts
}

/// `moe_scan`: where each expert's rows begin when its count is rounded up to `alignment`, and where the last one's end.
#[must_use]
pub fn scan(counts: &[usize], alignment: usize) -> Vec<usize> {
    let mut starts = vec![0];
    for count in counts {
        let before = starts[starts.len() - 1];
        starts.push(before + count.next_multiple_of(alignment));
    }
    starts
}

#[cfg(test)]
mod tests {
    use super::super::Scoring;
    use super::*;

    #[test]
    fn groups_are_chosen_by_their_best_two() {
        // Group 0 has the best expert, groups 1 and 2 the best pairs.
        let logits = [9.0, -9.0, 2.0, 2.0, 1.5, 2.5];
        let rule = GateRule {
            scoring: Scoring::Sigmoid { bias: vec![0.0; 6] },
            top_k: 2,
            normalize: true,
            scale: 1.0,
        };
        let limit = GroupLimit { groups: 3, kept: 2 };
        let routing = gate_groups(&logits, 6, &rule, limit);
        assert_eq!(routing.experts, [5, 2]);
        let all = GroupLimit { groups: 3, kept: 3 };
        let free = gate_groups(&logits, 6, &rule, all);
        assert_eq!(
            free,
            super::super::gate(&logits, 6, &rule),
            "with every group it is the plain gate"
        );
    }

    /// The largest of noisy logits is drawn from their softmax: 20,000 draws, within four deviations.
    #[test]
    fn noise_draws_from_the_softmax() {
        let (logits, draws) = ([0.0_f32, 1.0, 2.0], 20_000);
        let noisy = gumbel(&logits.repeat(draws), 3, 2.0, 7);
        let mut counts = [0_u32; 3];
        for row in noisy.chunks_exact(3) {
            let best = (0..3).max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap();
            counts[best] += 1;
        }
        let total: f64 = logits.iter().map(|l| f64::from(l / 2.0).exp()).sum();
        for (logit, count) in logits.iter().zip(counts) {
            let share = f64::from(logit / 2.0).exp() / total;
            let off = f64::from(count) - share * draws as f64;
            assert!(
                off.abs() < 4.0 * (draws as f64 * share * (1.0 - share)).sqrt(),
                "{counts:?}"
            );
        }
    }

    #[test]
    fn counts_and_starts() {
        let counts = histogram(&[2, 0, 2, 2], 4);
        assert_eq!(counts, [1, 0, 3, 0]);
        assert_eq!(scan(&counts, 1), [0, 1, 1, 4, 4]);
        assert_eq!(scan(&counts, 128), [0, 128, 128, 256, 256]);
    }
}
