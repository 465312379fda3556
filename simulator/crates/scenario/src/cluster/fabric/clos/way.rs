//! Ways through a fat tree: up to where the two leaves meet, and down.

use super::Clos;
use crate::cluster::fabric::{Step, Way};
use crate::cluster::link::{at, number};

/// A leaf, and what stands above it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Under {
    pub(super) leaf: u32,
    pod: u32,
    site: u32,
}

/// Up to five vertices: leaf, spine, core, spine, leaf.
type Leg = ([u32; 5], usize);

impl Clos {
    /// Leaves of a block.
    pub(crate) fn leaves_per_block(&self) -> u32 {
        self.leaves_per_block
    }

    pub(in crate::cluster::fabric) fn route(
        &self,
        way: &Way<'_>,
        from: u32,
        to: u32,
        steps: &mut Vec<Step>,
    ) -> bool {
        let (a, b) = (
            self.under(from, self.site_of(from)),
            self.under(to, self.site_of(to)),
        );
        if !way.walk(&[from, a.leaf], 1.0, steps) {
            return false;
        }
        let inside = if a.leaf == b.leaf {
            true
        } else if a.site == b.site {
            self.within_site(way, a, b, steps)
        } else {
            self.between_sites(way, a, b, steps)
        };
        inside && way.walk(&[b.leaf, to], 1.0, steps)
    }

    fn within_site(&self, way: &Way<'_>, a: Under, b: Under, steps: &mut Vec<Step>) -> bool {
        let grounds = self.sites[at(a.site)];
        let spine = |pod: u32, spine: u32| grounds.first_spine + pod * self.num_spines + spine;
        if a.pod == b.pod {
            let leg = |i, _| ([a.leaf, spine(a.pod, i), b.leaf, 0, 0], 3);
            return self.spread(way, (0, 1), (a.leaf, b.leaf), leg, steps);
        }
        let leg = |i, c| {
            let core = grounds.first_core + i * self.num_cores + c;
            ([a.leaf, spine(a.pod, i), core, spine(b.pod, i), b.leaf], 5)
        };
        self.spread(way, (0, self.num_cores), (a.leaf, b.leaf), leg, steps)
    }

    fn between_sites(&self, way: &Way<'_>, a: Under, b: Under, steps: &mut Vec<Step>) -> bool {
        if !self.to_border(way, a, true, steps) {
            return false;
        }
        let mut site = a.site;
        while site != b.site {
            let Some(next) = self.next_site[at(site) * self.sites.len() + at(b.site)] else {
                return false;
            };
            let cable = [self.sites[at(site)].border, self.sites[at(next)].border];
            if !way.walk(&cable, 1.0, steps) {
                return false;
            }
            site = next;
        }
        self.to_border(way, b, false, steps)
    }

    fn to_border(&self, way: &Way<'_>, under: Under, up: bool, steps: &mut Vec<Step>) -> bool {
        let grounds = self.sites[at(under.site)];
        let cored = self.num_cores > 0;
        let leg = |i, c| {
            let spine = grounds.first_spine + under.pod * self.num_spines + i;
            let core = grounds.first_core + i * self.num_cores + c;
            match (cored, up) {
                (true, true) => ([under.leaf, spine, core, grounds.border, 0], 4),
                (true, false) => ([grounds.border, core, spine, under.leaf, 0], 4),
                (false, true) => ([under.leaf, spine, grounds.border, 0, 0], 3),
                (false, false) => ([grounds.border, spine, under.leaf, 0, 0], 3),
            }
        };
        let stage = if up { 0 } else { 2 };
        self.spread(
            way,
            (stage, self.num_cores.max(1)),
            (under.leaf, under.leaf),
            leg,
            steps,
        )
    }

    /// Spreads over spines and, above each, over `num_cores` cores: one leg when hashed, else all live ones, an
    /// equal share to each next hop.
    fn spread(
        &self,
        way: &Way<'_>,
        (stage, num_cores): (u64, u32),
        ends: (u32, u32),
        leg: impl Fn(u32, u32) -> Leg,
        steps: &mut Vec<Step>,
    ) -> bool {
        if !way.chooser.is_even() {
            let (spine, core) = (
                way.chooser.pick(stage, self.num_spines),
                way.chooser.pick(stage + 1, num_cores),
            );
            return (0..self.num_spines).any(|i| {
                (0..num_cores).any(|c| {
                    let (vertices, len) = leg((spine + i) % self.num_spines, (core + c) % num_cores);
                    way.walk(&vertices[..len], 1.0, steps)
                })
            });
        }
        let live = |i: u32, c: u32| {
            let (vertices, len) = leg(i, c);
            vertices[..len]
                .windows(2)
                .all(|pair| way.step(pair[0], pair[1]).is_some())
        };
        let num_live = (0..self.num_spines)
            .filter(|&i| (0..num_cores).any(|c| live(i, c)))
            .count();
        let share = 1.0 / f64::from(number(num_live.max(1)));
        for i in 0..self.num_spines {
            let cores = number((0..num_cores).filter(|&c| live(i, c)).count());
            let mut is_first = true;
            for c in (0..num_cores).filter(|&c| live(i, c)) {
                let (vertices, len) = leg(i, c);
                for pair in vertices[..len].windows(2) {
                    let at_leaf =
                        pair[0] == ends.0 || pair[1] == ends.1 || pair[1] == ends.0 || pair[0] == ends.1;
                    let edge = way.step(pair[0], pair[1]);
                    match (edge, at_leaf) {
                        (Some(edge), false) => steps.push((edge, share / f64::from(cores))),
                        // The link of a spine to a leaf serves all cores above that spine.
                        (Some(edge), true) if is_first => steps.push((edge, share)),
                        (_, _) => {}
                    }
                }
                is_first = false;
            }
        }
        num_live > 0
    }

    pub(super) fn under(&self, port: u32, site: u32) -> Under {
        let nics_per_node = number(self.leaf_of_nic.len());
        let grounds = self.sites[at(site)];
        let block = (port / nics_per_node - grounds.first_node) / self.nodes_per_block;
        let leaf = block * self.leaves_per_block + self.leaf_of_nic[at(port % nics_per_node)];
        Under {
            leaf: grounds.first_leaf + leaf,
            pod: leaf / self.leaves_per_pod,
            site,
        }
    }

    fn site_of(&self, port: u32) -> u32 {
        let node = port / number(self.leaf_of_nic.len());
        number(
            self.sites
                .partition_point(|site| site.first_node + site.num_nodes <= node),
        )
    }
}
