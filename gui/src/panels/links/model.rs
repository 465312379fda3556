//! What the panel reads of a network, computed once after a run.

use orrery_report::render::percent;
use orrery_report::{KindLoad, LinkLoad, Network, TrafficMatrix};
use orrery_units::SimDuration;

use crate::document::{Facts, Footing};

/// Most cells along the side of the picture of traffic: as many as can be told apart.
const MOST_CELLS: u32 = 64;

/// The network of a run, with what every frame needs of it.
#[derive(Debug)]
pub struct LinksModel {
    pub(super) network: Network,
    pub(super) kinds: Vec<KindLoad>,
    pub(super) traffic: TrafficMatrix,
    /// Utilization of each link, and the highest in an interval.
    pub(super) shares: Vec<[f64; 2]>,
}

impl LinksModel {
    /// The model of `network`.
    #[must_use]
    pub fn new(network: Network) -> Self {
        let share = |link: &LinkLoad| [network.utilization(link), network.peak(link)];
        Self {
            kinds: network.kinds(),
            traffic: network.traffic(MOST_CELLS),
            shares: network.links().iter().map(share).collect(),
            network,
        }
    }

    /// Places of the links of `kind`, or of any, whose names hold `words`, be they great or small.
    pub(super) fn matching(&self, kind: Option<&str>, words: &str) -> Vec<usize> {
        let words = words.to_lowercase();
        let matches = |link: &LinkLoad| {
            kind.is_none_or(|kind| link.kind == kind) && link.name.to_lowercase().contains(&words)
        };
        let links = self.network.links().iter().enumerate();
        links
            .filter(|(_, link)| matches(link))
            .map(|(place, _)| place)
            .collect()
    }

    /// Utilization of each link from one instant to another, in picoseconds since the run began.
    pub(super) fn shares_between(&self, (from, to): (u64, u64)) -> Vec<f64> {
        let [from, to] = [from, to].map(|picos| SimDuration::from_picos(picos).as_secs());
        let links = self.network.links().iter();
        links
            .map(|link| self.network.utilization_between(link, from, to))
            .collect()
    }

    /// What is known of the link at `place`, and of what it did in `interval`.
    #[must_use]
    pub fn facts(&self, place: usize, interval: Option<(u64, u64)>) -> Facts {
        let link = &self.network.links()[place];
        let [share, peak] = self.shares[place];
        let mut facts = Facts::new("link", link.name.clone(), Footing::Simulated);
        facts.put("kind", link.title);
        facts.put("capacity", link.capacity.to_string());
        facts.put("carried", link.bytes.to_string());
        facts.put("in use for", link.busy.to_string());
        facts.put("utilization over the run", percent(share));
        facts.put("utilization, busiest interval", percent(peak));
        if let Some((from, to)) = interval {
            let [from, to] = [from, to].map(SimDuration::from_picos);
            let share = self
                .network
                .utilization_between(link, from.as_secs(), to.as_secs());
            let length = SimDuration::from_picos(to.as_picos().saturating_sub(from.as_picos()));
            facts.put(
                format!("utilization in the {length} that are measured"),
                percent(share),
            );
        }
        facts.basis.push(format!(
            "the event simulation of {}, in which transfers share links",
            self.network.span()
        ));
        facts
            .basis
            .push("utilization is what crossed over what could have crossed in the time".to_owned());
        facts
    }

    /// The row and the column of `rank` in the picture of traffic.
    pub(super) fn cell_of(&self, rank: usize) -> usize {
        rank / self.traffic.devices_per_cell.max(1) as usize
    }

    /// What people call the cell at `place` of the side of the picture of traffic.
    pub(super) fn cell_name(&self, place: usize) -> String {
        let side = self.traffic.devices_per_cell as usize;
        match side {
            1 => format!("rank {place}"),
            _ => format!("ranks {} to {}", place * side, (place + 1) * side - 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use orrery_report::NetworkFacts;
    use orrery_units::{Bytes, BytesPerSec, SimDuration};

    use super::*;

    #[test]
    fn links_are_found_by_kind_and_by_words() {
        let link = |name: &str, kind| LinkLoad {
            name: name.to_owned(),
            kind,
            title: kind,
            capacity: BytesPerSec::new(1e9),
            bytes: Bytes::ZERO,
            busy: SimDuration::ZERO,
            series: 0,
        };
        let model = LinksModel::new(Network::new(NetworkFacts {
            span: SimDuration::from_micros(1),
            links: vec![
                link("node 1 NIC 0 -> leaf", "nic"),
                link("leaf -> spine", "leaf_spine"),
            ],
            series: vec![Vec::new()],
            num_devices: 256,
            devices_per_node: 4,
            ..NetworkFacts::default()
        }));
        assert_eq!(model.matching(None, ""), [0, 1]);
        assert_eq!(model.matching(None, "nic"), [0]);
        assert_eq!(model.matching(Some("leaf_spine"), "LEAF"), [1]);
        assert!(model.matching(Some("nic"), "spine").is_empty(), "both must hold");
        assert_eq!(model.cell_name(1), "ranks 4 to 7");
        assert_eq!(model.cell_of(7), 1, "a rank is in the cell that is named for it");
        let facts = model.facts(0, None);
        assert!(
            facts
                .text()
                .starts_with("link: node 1 NIC 0 -> leaf (SIMULATED)\nkind: nic"),
            "{}",
            facts.text()
        );
    }
}
