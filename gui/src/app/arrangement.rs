//! Where the panels are: a few arrangements to begin with, and any that the user makes of them.

use eframe::egui;
use egui_tiles::{Container, Linear, LinearDir, Tile, TileId, Tiles, Tree};
use serde::{Deserialize, Serialize};

/// The panels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Pane {
    /// The scenario.
    Plan,
    /// What the last run did.
    Timeline,
    /// What crossed the links of the cluster.
    Links,
    /// Runs held against each other.
    Compare,
    /// Loads of experts and what balances them.
    Experts,
    /// Layouts and cluster sizes.
    Explore,
    /// The decision sheet of a run.
    Report,
    /// Rates of matrix products.
    Kernels,
    /// Collectives by size.
    Comms,
    /// Predictions beside measurements.
    Calibrate,
    /// The devices.
    Fleet,
}

impl Pane {
    /// Every panel.
    pub(super) const ALL: [Self; 11] = [
        Self::Plan,
        Self::Timeline,
        Self::Links,
        Self::Compare,
        Self::Experts,
        Self::Explore,
        Self::Report,
        Self::Kernels,
        Self::Comms,
        Self::Calibrate,
        Self::Fleet,
    ];

    /// Its name.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Plan => "Plan",
            Self::Timeline => "Timeline",
            Self::Links => "Links",
            Self::Compare => "Compare",
            Self::Experts => "Experts",
            Self::Explore => "Explore",
            Self::Report => "Report",
            Self::Kernels => "Kernels",
            Self::Comms => "Comms",
            Self::Calibrate => "Calibrate",
            Self::Fleet => "Fleet",
        }
    }
}

/// Where the panels are to begin with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Arrangement {
    /// Plan at the left; timeline, links and comparison as tabs above the fleet at the right.
    #[default]
    Overview,
    /// The fleet above timeline, links and plan as tabs.
    Observe,
    /// Plan at the left; timeline, links and fleet as tabs at the right.
    Plan,
    /// The timeline; the others as tabs.
    Timeline,
    /// The comparison of runs; the others as tabs.
    Compare,
    /// Loads of experts; the scenario beside them, the others as tabs.
    Experts,
    /// Layouts and cluster sizes; the others as tabs.
    Explore,
    /// The decision sheet; the others as tabs.
    Report,
    /// Predictions beside measurements, kernels and collectives; the others as tabs.
    Calibrate,
}

impl Arrangement {
    /// Every arrangement.
    pub const ALL: [Self; 9] = [
        Self::Overview,
        Self::Observe,
        Self::Plan,
        Self::Timeline,
        Self::Compare,
        Self::Experts,
        Self::Explore,
        Self::Report,
        Self::Calibrate,
    ];

    /// Its name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Overview => "overview",
            Self::Observe => "observe",
            Self::Plan => "plan",
            Self::Timeline => "timeline",
            Self::Compare => "compare",
            Self::Experts => "experts",
            Self::Explore => "explore",
            Self::Report => "report",
            Self::Calibrate => "calibrate",
        }
    }

    /// The panels in this order.
    pub(super) fn tree(self) -> Tree<Pane> {
        let mut tiles = Tiles::default();
        let mut left: Vec<(Pane, TileId)> = Pane::ALL
            .into_iter()
            .map(|pane| (pane, tiles.insert_pane(pane)))
            .collect();
        let mut take = |pane: Pane| {
            let at = left.iter().position(|(other, _)| *other == pane);
            left.remove(at.expect("a panel is placed once")).1
        };
        let root = match self {
            Self::Overview => {
                let (plan, fleet) = (take(Pane::Plan), take(Pane::Fleet));
                let above = tiles.insert_tab_tile(left.into_iter().map(|(_, tile)| tile).collect());
                let right = split(&mut tiles, LinearDir::Vertical, [above, fleet], 0.6);
                split(&mut tiles, LinearDir::Horizontal, [plan, right], 0.36)
            }
            Self::Observe => {
                let fleet = take(Pane::Fleet);
                // The plan last: it is looked at least here.
                let plan = take(Pane::Plan);
                let others = left.into_iter().map(|(_, tile)| tile).chain([plan]);
                let below = tiles.insert_tab_tile(others.collect());
                split(&mut tiles, LinearDir::Vertical, [fleet, below], 0.6)
            }
            Self::Plan => {
                let plan = take(Pane::Plan);
                let right = tiles.insert_tab_tile(left.into_iter().map(|(_, tile)| tile).collect());
                split(&mut tiles, LinearDir::Horizontal, [plan, right], 0.55)
            }
            Self::Experts => {
                let (plan, experts) = (take(Pane::Plan), take(Pane::Experts));
                let others = left.into_iter().map(|(_, tile)| tile);
                let right = tiles.insert_tab_tile([experts].into_iter().chain(others).collect());
                split(&mut tiles, LinearDir::Horizontal, [plan, right], 0.3)
            }
            Self::Calibrate => {
                let [calibrate, kernels, comms] =
                    [Pane::Calibrate, Pane::Kernels, Pane::Comms].map(&mut take);
                let others = left.into_iter().map(|(_, tile)| tile);
                tiles.insert_tab_tile([calibrate, kernels, comms].into_iter().chain(others).collect())
            }
            Self::Timeline | Self::Compare | Self::Explore | Self::Report => {
                let front = take(match self {
                    Self::Timeline => Pane::Timeline,
                    Self::Compare => Pane::Compare,
                    Self::Explore => Pane::Explore,
                    _ => Pane::Report,
                });
                let others = left.into_iter().map(|(_, tile)| tile);
                tiles.insert_tab_tile([front].into_iter().chain(others).collect())
            }
        };
        Tree::new(egui::Id::unique("panels"), root, tiles)
    }
}

impl std::str::FromStr for Arrangement {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL
            .into_iter()
            .find(|arrangement| arrangement.name() == text);
        found.ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            format!("there is no arrangement `{text}`; use one of {names}")
        })
    }
}

fn split(tiles: &mut Tiles<Pane>, dir: LinearDir, children: [TileId; 2], share: f32) -> TileId {
    let linear = Linear::new_binary(dir, children, share);
    tiles.insert_new(Tile::Container(Container::Linear(linear)))
}

/// Whether every panel is in `tree` once: one that was stored by another version may lack some.
pub(super) fn is_whole(tree: &Tree<Pane>) -> bool {
    let Some(root) = tree.root() else { return false };
    let mut found = Vec::new();
    let mut open = vec![root];
    while let Some(tile) = open.pop() {
        match tree.tiles.get(tile) {
            Some(Tile::Pane(pane)) => found.push(*pane),
            Some(Tile::Container(container)) => open.extend(container.children().copied()),
            None => return false,
        }
        // A tree that was made up may go in circles.
        if found.len() + open.len() > 64 {
            return false;
        }
    }
    found.len() == Pane::ALL.len() && Pane::ALL.iter().all(|pane| found.contains(pane))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_arrangement_has_every_panel_and_a_name() {
        for arrangement in Arrangement::ALL {
            assert!(is_whole(&arrangement.tree()), "{arrangement:?}");
            assert_eq!(arrangement.name().parse(), Ok(arrangement));
        }
        let fault = "nonsense".parse::<Arrangement>().unwrap_err();
        assert!(
            fault.contains("overview, observe, plan, timeline, compare, experts, explore, report, calibrate"),
            "{fault}"
        );
    }

    #[test]
    fn a_tree_without_a_panel_is_not_whole() {
        let mut tree = Arrangement::Plan.tree();
        let plan = tree.tiles.find_pane(&Pane::Plan).unwrap();
        tree.remove_recursively(plan);
        assert!(!is_whole(&tree));
        assert!(!is_whole(&Tree::empty(egui::Id::unique("none"))));
    }
}
