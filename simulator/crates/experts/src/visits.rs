//! How many places a token visits that picks several experts, where places hold many.

/// How likely it is that the gate admits each node at all: one each without a limit; with a limit of `M`
/// nodes, in proportion to the node's share of assignments, at most one, adding up to `M`.
#[must_use]
pub fn admitted(share: &[f64], max_nodes: Option<u32>) -> Vec<f64> {
    let Some(most) = max_nodes.filter(|&most| (most as usize) < share.len()) else {
        return vec![1.0; share.len()];
    };
    let most = f64::from(most);
    let mut chosen: Vec<f64> = share.iter().map(|q| q * most).collect();
    // What is above one goes to the nodes below, in proportion; each pass fills at least one node.
    for _ in 0..share.len() {
        let full = chosen.iter().filter(|&&s| s >= 1.0).count() as f64;
        let free: f64 = chosen.iter().filter(|&&s| s < 1.0).sum();
        if chosen.iter().all(|&s| s <= 1.0) || free <= 0.0 {
            break;
        }
        let factor = (most - full) / free;
        for s in &mut chosen {
            *s = if *s >= 1.0 { 1.0 } else { *s * factor };
        }
    }
    chosen.iter_mut().for_each(|s| *s = s.min(1.0));
    chosen
}

/// How likely it is that a token has at least one of its `top_k` different experts in a place that attracts
/// `share` of all assignments and is admitted with probability `chosen`; `experts` are those of the admitted
/// places.
///
/// `chosen (1 − Π_{i < k} (1 − (share / chosen) E / (E − i)))`: exact when experts are equally popular (it is
/// then the hypergeometric law), and right at the ends (no share, all shares) otherwise.
/// Worked: 8 of 256 experts, a node with 32 of them, no limit: 0.6618.
#[must_use]
pub fn visit(share: f64, chosen: f64, top_k: u32, experts: f64) -> f64 {
    if chosen <= 0.0 {
        return 0.0;
    }
    let within = share / chosen;
    let missed: f64 = (0..top_k)
        .map(|drawn| (1.0 - within * experts / (experts - f64::from(drawn)).max(1.0)).max(0.0))
        .product();
    chosen * (1.0 - missed)
}

/// [`visit`] of many places, admitted for certain, with its factors taken once.
#[derive(Clone, Debug)]
pub struct Visits {
    factors: Vec<f64>,
}

impl Visits {
    /// Visits of tokens that pick `top_k` of `experts` experts.
    #[must_use]
    pub fn new(top_k: u32, experts: f64) -> Self {
        let factor = |drawn: u32| experts / (experts - f64::from(drawn)).max(1.0);
        Self {
            factors: (0..top_k).map(factor).collect(),
        }
    }

    /// How likely a token visits places that attract these shares, side by side: a loop of vectors.
    #[inline(always)]
    #[must_use]
    pub fn side_by_side<const N: usize>(&self, shares: &[f64; N]) -> [f64; N] {
        let mut missed = [1.0; N];
        for factor in &self.factors {
            for (missed, share) in missed.iter_mut().zip(shares) {
                let left = 1.0 - share * factor;
                *missed *= if left > 0.0 { left } else { 0.0 };
            }
        }
        missed.map(|missed| 1.0 - missed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_with_an_eighth_of_the_experts_sees_two_thirds_of_the_tokens() {
        assert!((visit(0.125, 1.0, 8, 256.0) - 0.6618).abs() < 1e-4);
        let shares = [0.0, 0.01, 0.125, 0.7, 1.0];
        let all = Visits::new(8, 256.0).side_by_side(&shares);
        for (&share, found) in shares.iter().zip(all) {
            assert!((visit(share, 1.0, 8, 256.0) - found).abs() < 1e-12, "{share}");
        }
    }

    #[test]
    fn a_limit_admits_as_many_nodes() {
        let admitted = admitted(&[0.7, 0.1, 0.1, 0.1], Some(2));
        assert!(
            (admitted.iter().sum::<f64>() - 2.0).abs() < 1e-12 && admitted[0] <= 1.0,
            "{admitted:?}"
        );
    }
}
