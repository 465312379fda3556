//! What an engine says of links, put into the words of the cluster.

use std::collections::BTreeMap;

use orrery_engine::Outcome;
use orrery_report::{LinkLoad, Network, NetworkFacts, PairLoad};
use orrery_units::{Bytes, LinkId, SimDuration};
use orrery_workload::lower::NetworkMap;

/// The network of a run of `num_devices` devices that ended as `outcome`, whose resources `map` explains.
pub(crate) fn of_outcome(map: &NetworkMap, outcome: &Outcome, num_devices: u32) -> Network {
    let links = map.links().map(|link| {
        let totals = &outcome.links[link.stands_in.index()];
        LinkLoad {
            name: link.name,
            kind: link.kind.key(),
            title: link.kind.name(),
            capacity: link.capacity,
            bytes: totals.bytes,
            busy: totals.busy,
            series: link.stands_in.index(),
        }
    });
    let intervals: Vec<SimDuration> = outcome.series.lengths().collect();
    let numbers = (0..outcome.links.len()).filter_map(|at| u32::try_from(at).ok());
    Network::new(NetworkFacts {
        span: intervals.iter().copied().sum(),
        links: links.collect(),
        series: numbers
            .map(|number| outcome.series.bytes_of(LinkId::new(number)).collect())
            .collect(),
        intervals,
        pairs: pairs(map, outcome),
        num_devices,
        devices_per_node: map.devices_per_node(),
    })
}

/// Who sent how much to whom.
fn pairs(map: &NetworkMap, outcome: &Outcome) -> Vec<PairLoad> {
    let mut sums: BTreeMap<(u32, u32), f64> = BTreeMap::new();
    for (path, pairs) in map.wired().pairs() {
        let moved = outcome.paths[path].as_f64();
        for pair in pairs {
            *sums.entry((pair.from.get(), pair.to.get())).or_default() += moved * pair.weight;
        }
    }
    sums.into_iter()
        .map(|((from, to), bytes)| PairLoad {
            from,
            to,
            bytes: Bytes::from_f64(bytes),
        })
        .filter(|pair| pair.bytes > Bytes::ZERO)
        .collect()
}
