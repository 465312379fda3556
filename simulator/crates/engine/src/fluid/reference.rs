//! Weighted max-min rates by progressive filling: the obvious way, and the oracle of any faster one.

use orrery_taskgraph::PathUse;
use orrery_units::{IndexVec, PathId};

/// What one activity asks of the links.
#[derive(Clone, Copy, Debug)]
pub(super) struct Claim {
    /// The weighted links it crosses.
    pub(super) path: PathId,
    /// Its highest level: its fastest rate, in bytes per second, over its share.
    pub(super) bound: f64,
    /// How much more than one activity of share 1 it loads its links.
    pub(super) multiplicity: f64,
}

/// A link within this share of its capacity is full: what repeated subtraction of rates may lose.
const FULL: f64 = 1e-12;

/// Raises all rates together; a flow stops at its bound or when one of its links is full, the others go on.
///
/// Bertsekas and Gallager, Data Networks, §6.5.2, with weights on links and bounds on flows. Worked number:
/// a link of 10 with flows bounded by 2, 9 and 9 gives 2, 4 and 4.
pub(super) fn solve(
    links: &[f64],
    paths: &IndexVec<PathId, Vec<PathUse>>,
    claims: &[Claim],
    rates: &mut Vec<f64>,
) {
    rates.clear();
    rates.resize(claims.len(), 0.0);
    let mut rising = vec![true; claims.len()];
    while rising.iter().any(|&rises| rises) {
        let (taken, weight) = load(links.len(), paths, claims, rates, &rising);
        let limit = |link: usize| ((links[link] - taken[link]).max(0.0)) / weight[link];
        let by_link = (0..links.len()).filter(|&link| weight[link] > 0.0).map(limit);
        let by_bound = claims.iter().zip(&rising).filter(|(_, rises)| **rises);
        let level = by_link
            .chain(by_bound.map(|(claim, _)| claim.bound))
            .fold(f64::INFINITY, f64::min);
        for (at, claim) in claims.iter().enumerate() {
            let full = |usage: &PathUse| limit(usage.link.index()) <= level * (1.0 + FULL);
            if rising[at] && (claim.bound <= level || paths[claim.path].iter().any(full)) {
                rising[at] = false;
                rates[at] = claim.bound.min(level);
            }
        }
    }
}

/// Per link: what the flows that stopped take, and the weight of those that still rise.
fn load(
    num_links: usize,
    paths: &IndexVec<PathId, Vec<PathUse>>,
    claims: &[Claim],
    rates: &[f64],
    rising: &[bool],
) -> (Vec<f64>, Vec<f64>) {
    let (mut taken, mut weight) = (vec![0.0; num_links], vec![0.0; num_links]);
    for ((claim, rate), rises) in claims.iter().zip(rates).zip(rising) {
        for usage in &paths[claim.path] {
            let each = usage.weight * claim.multiplicity;
            if *rises {
                weight[usage.link.index()] += each;
            } else {
                taken[usage.link.index()] += each * rate;
            }
        }
    }
    (taken, weight)
}

#[cfg(test)]
mod tests {
    use super::*;
    use orrery_units::LinkId;
    use proptest::prelude::*;

    fn paths_of(lists: &[Vec<(u32, f64)>]) -> IndexVec<PathId, Vec<PathUse>> {
        let usage = |&(link, weight): &(u32, f64)| PathUse {
            link: LinkId::new(link),
            weight,
        };
        lists
            .iter()
            .map(|list| list.iter().map(usage).collect())
            .collect()
    }

    fn claim(path: u32, bound: f64, multiplicity: f64) -> Claim {
        Claim {
            path: PathId::new(path),
            bound,
            multiplicity,
        }
    }

    #[test]
    fn the_bounded_flow_leaves_the_rest_to_the_others() {
        let paths = paths_of(&[vec![(0, 1.0)]]);
        let mut rates = Vec::new();
        let claims = [claim(0, 2.0, 1.0), claim(0, 9.0, 1.0), claim(0, 9.0, 1.0)];
        solve(&[10.0], &paths, &claims, &mut rates);
        assert_eq!(rates, [2.0, 4.0, 4.0]);
    }

    #[test]
    fn a_flow_that_stands_for_three_loads_a_link_threefold() {
        let paths = paths_of(&[vec![(0, 1.0)]]);
        let mut rates = Vec::new();
        solve(
            &[8.0],
            &paths,
            &[claim(0, 9.0, 3.0), claim(0, 9.0, 1.0)],
            &mut rates,
        );
        assert_eq!(rates, [2.0, 2.0]);
    }

    /// Capacities, paths as (link, weight), and flows as (bound, multiplicity).
    type Instance = (Vec<f64>, Vec<Vec<(u32, f64)>>, Vec<(f64, u32)>);

    fn instance() -> impl Strategy<Value = Instance> {
        (1usize..6).prop_flat_map(|num_links| {
            let links = prop::collection::vec(1.0f64..100.0, num_links);
            let most = u32::try_from(num_links).unwrap();
            let path = prop::collection::btree_map(0..most, 0.1f64..3.0, 1..=num_links)
                .prop_map(|map| map.into_iter().collect::<Vec<_>>());
            (1usize..9).prop_flat_map(move |num_flows| {
                let flows = prop::collection::vec((0.5f64..80.0, 1u32..5), num_flows);
                (
                    links.clone(),
                    prop::collection::vec(path.clone(), num_flows),
                    flows,
                )
            })
        })
    }

    proptest! {
        /// Claim: rates are max-min fair, that is, every flow is at its bound, or crosses a full link on
        /// which no flow is faster; and no link is overloaded.
        #[test]
        fn every_flow_has_a_bottleneck((links, lists, flows) in instance()) {
            let paths = paths_of(&lists);
            let claims: Vec<Claim> = (0u32..)
                .zip(&flows)
                .map(|(path, &(bound, m))| claim(path, bound, f64::from(m)))
                .collect();
            let mut rates = Vec::new();
            solve(&links, &paths, &claims, &mut rates);
            let (used, _) = load(links.len(), &paths, &claims, &rates, &vec![false; claims.len()]);
            for (link, &capacity) in links.iter().enumerate() {
                prop_assert!(used[link] <= capacity * (1.0 + 1e-9), "link {link} is overloaded");
            }
            for (at, claim) in claims.iter().enumerate() {
                let crosses = |other: usize, link: LinkId| {
                    paths[claims[other].path].iter().any(|usage| usage.link == link)
                };
                let bottleneck = paths[claim.path].iter().any(|usage| {
                    let link = usage.link;
                    used[link.index()] >= links[link.index()] * (1.0 - 1e-9)
                        && (0..claims.len()).all(|o| !crosses(o, link) || rates[o] <= rates[at] * (1.0 + 1e-9))
                });
                prop_assert!(rates[at] <= claim.bound, "a bound is broken");
                prop_assert!(rates[at] >= claim.bound || bottleneck, "flow {at} could be faster");
            }
        }
    }
}
