//! From what was laid to the resources of a run: links that carry the same become one.

use std::collections::BTreeMap;

use orrery_taskgraph::{CapacityChange, PathUse, Resources};
use orrery_units::{BytesPerSec, LinkId, PathId, SimDuration, SimTime};

use super::{Laid, Loads, Pair, Wires};

/// What was laid, as part of the resources of a run: enough to say what became of every link and pair.
#[derive(Clone, Debug, Default)]
pub struct Wired {
    /// The path of each [`Laid`], in order.
    paths: Vec<PathId>,
    /// Who sends to whom over each of them, in the same order.
    pairs: Vec<Vec<Pair>>,
    /// Time on wide-area links of each of them, in the same order.
    detours: Vec<SimDuration>,
    /// Every link of the topology that something may cross, in order.
    cables: Vec<Cable>,
}

/// A link of the topology, and the link of the resources that stands for it and those that carry the same.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cable {
    /// In the topology.
    pub link: LinkId,
    /// What it carries, lasting faults taken off.
    pub capacity: BytesPerSec,
    /// In the resources.
    pub stands_in: LinkId,
}

impl Wired {
    /// The path of what was laid.
    ///
    /// # Panics
    /// When it was laid on other wires.
    #[must_use]
    pub fn path(&self, laid: Laid) -> PathId {
        self.paths[laid.0]
    }

    /// Time that what was laid spends between sites, beyond what any measurement of a cluster holds.
    ///
    /// # Panics
    /// When it was laid on other wires.
    #[must_use]
    pub fn detour(&self, laid: Laid) -> SimDuration {
        self.detours[laid.0]
    }

    /// Every link that something may cross, in the order of the topology.
    #[must_use]
    pub fn cables(&self) -> &[Cable] {
        &self.cables
    }

    /// Every path, and who sends to whom over it.
    pub fn pairs(&self) -> impl Iterator<Item = (PathId, &[Pair])> {
        self.paths
            .iter()
            .copied()
            .zip(self.pairs.iter().map(Vec::as_slice))
    }
}

impl Wires<'_> {
    /// Puts what was laid into `resources`: links, how they change, and a path for each [`Laid`].
    #[must_use]
    pub fn install(self, resources: &mut Resources) -> Wired {
        let mut wired = Wired::default();
        let classes = self.classes();
        let mut class_of: BTreeMap<LinkId, LinkId> = BTreeMap::new();
        for links in &classes {
            let capacity = |link: &LinkId| self.health.capacity(self.topology, *link).unwrap_or_default();
            let narrowest = links
                .iter()
                .copied()
                .min_by(|a, b| capacity(a).get().total_cmp(&capacity(b).get()));
            let Some(narrowest) = narrowest else { continue };
            let name = self.topology.link_name(narrowest);
            let name = match links.len() {
                1 => name,
                more => format!("{name} (and {} that carry the same)", more - 1),
            };
            let id = resources.add_link(name, capacity(&narrowest));
            class_of.extend(links.iter().map(|&link| (link, id)));
            wired.cables.extend(links.iter().map(|&link| Cable {
                link,
                capacity: capacity(&link),
                stands_in: id,
            }));
        }
        for change in self.faults.changes(self.topology) {
            if let Some(&link) = class_of.get(&change.link)
                && change.at > SimTime::ZERO
            {
                let whole = self.topology.wire(change.link).capacity;
                let left = change.left.get();
                let capacity = if left > 0.0 {
                    whole.scaled(left)
                } else {
                    BytesPerSec::default()
                };
                let at = change.at;
                resources.changes.push(CapacityChange { at, link, capacity });
            }
        }
        let path = |loads: &Loads| {
            let mut uses: Vec<PathUse> = Vec::with_capacity(loads.len());
            for (link, &weight) in loads {
                let link = class_of[link];
                if !uses.iter().any(|known| known.link == link) {
                    uses.push(PathUse { link, weight });
                }
            }
            uses
        };
        wired.cables.sort_by_key(|cable| cable.link);
        for way in self.paths {
            wired.paths.push(resources.add_path(path(&way.loads)));
            wired.pairs.push(way.pairs);
            wired.detours.push(way.detour);
        }
        wired
    }

    /// Links that every path loads alike and that never change, together; all others alone.
    fn classes(&self) -> Vec<Vec<LinkId>> {
        let changing: Vec<LinkId> = self
            .faults
            .changes(self.topology)
            .iter()
            .filter(|change| change.at > SimTime::ZERO)
            .map(|change| change.link)
            .collect();
        let mut columns: BTreeMap<LinkId, Vec<(usize, u64)>> = BTreeMap::new();
        for (path, way) in self.paths.iter().enumerate() {
            for (&link, weight) in &way.loads {
                columns.entry(link).or_default().push((path, weight.to_bits()));
            }
        }
        let mut alike: BTreeMap<Vec<(usize, u64)>, Vec<LinkId>> = BTreeMap::new();
        let mut alone = Vec::new();
        for (link, column) in columns {
            if changing.contains(&link) {
                alone.push(vec![link]);
            } else {
                alike.entry(column).or_default().push(link);
            }
        }
        let mut classes: Vec<Vec<LinkId>> = alike.into_values().chain(alone).collect();
        classes.sort_unstable_by_key(|links| links[0]);
        classes
    }
}
