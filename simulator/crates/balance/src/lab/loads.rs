//! What the devices of a layer have to do, device by device.

use orrery_profile::library::LibraryExperts;

use super::TokenSources;
use super::exchange::Chances;

/// Rows of a tile of the grouped product.
#[expect(clippy::cast_possible_truncation, reason = "a power of two")]
const TILE: f32 = LibraryExperts::TILE as f32;

/// What one device has to do in a layer.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct DeviceLoad {
    /// Rows of its experts.
    pub rows: f64,
    /// Experts with a row.
    pub active: f64,
    /// Rows with every expert's filled up to tiles.
    pub padded: f64,
    /// Rows that it sends or receives within its node in dispatch, whichever is more; combine is the same backwards.
    pub node: f64,
    /// The same over the network.
    pub network: f64,
}

/// What the devices of a layer have to do in `N` steps side by side, in columns: they are filled and read by loops of
/// vectors, a hundred million times in a long run. Its room is used again from layer to layer.
#[derive(Clone, Debug)]
pub struct Loads<const N: usize> {
    pub(super) rows: Vec<[f64; N]>,
    pub(super) active: Vec<[f64; N]>,
    pub(super) padded: Vec<[f64; N]>,
    /// Rows that come from other devices of the node, and from other nodes.
    pub(super) from_node: Vec<[f64; N]>,
    pub(super) from_network: Vec<[f64; N]>,
    /// Whether every device gets the same part of everybody's tokens.
    pub(super) is_alike: bool,
    /// Rows on the busier direction of each port.
    pub(super) node: Vec<[f64; N]>,
    pub(super) network: Vec<[f64; N]>,
    pub(super) chances: Chances<N>,
    parts: Vec<Part<N>>,
    /// The least rows of a part in any of the steps.
    least: f32,
}

/// What a replica adds to its device.
#[derive(Clone, Copy, Debug)]
struct Part<const N: usize> {
    rows: [f32; N],
    tiles: [f32; N],
}

impl<const N: usize> Part<N> {
    const NOTHING: Self = Self {
        rows: [0.0; N],
        tiles: [0.0; N],
    };
}

impl<const N: usize> Default for Loads<N> {
    fn default() -> Self {
        Self {
            rows: Vec::new(),
            active: Vec::new(),
            padded: Vec::new(),
            from_node: Vec::new(),
            from_network: Vec::new(),
            is_alike: false,
            node: Vec::new(),
            network: Vec::new(),
            chances: Chances::default(),
            parts: Vec::new(),
            least: 0.0,
        }
    }
}

impl<const N: usize> Loads<N> {
    /// Every device by itself in one of the steps.
    pub fn devices(&self, step: usize) -> impl Iterator<Item = DeviceLoad> {
        (0..self.rows.len()).map(move |at| DeviceLoad {
            rows: self.rows[at][step],
            active: self.active[at][step],
            padded: self.padded[at][step],
            node: self.node[at][step],
            network: self.network[at][step],
        })
    }

    /// What the devices have to do whose slots begin at `starts`, each with `experts[slot]`, where every replica of an
    /// expert takes the share `alike` of its tokens.
    #[inline(always)]
    pub(super) fn of_experts(&mut self, starts: &[u32], experts: &[u32], counts: &[[f32; N]], alike: &[f32]) {
        self.parts.resize(counts.len(), Part::NOTHING);
        self.fill(counts.iter().zip(alike));
        self.sum(starts, |slot| experts[slot] as usize);
    }

    /// The same where every slot takes a share of its own.
    #[inline(always)]
    pub(super) fn of_slots(&mut self, starts: &[u32], experts: &[u32], counts: &[[f32; N]], shares: &[f32]) {
        self.parts.resize(experts.len(), Part::NOTHING);
        self.fill(experts.iter().map(|&expert| &counts[expert as usize]).zip(shares));
        self.sum(starts, |slot| slot);
    }

    /// What replicas add that take these shares of these counts.
    #[inline(always)]
    fn fill<'a>(&mut self, replicas: impl Iterator<Item = (&'a [f32; N], &'a f32)>) {
        let mut least = [f32::INFINITY; N];
        for (part, (counts, &share)) in self.parts.iter_mut().zip(replicas) {
            let rows = counts.map(|count| count * share);
            for (least, &rows) in least.iter_mut().zip(&rows) {
                *least = if rows < *least { rows } else { *least };
            }
            *part = Part {
                rows,
                tiles: rows.map(tiles_of),
            };
        }
        self.least = least.into_iter().fold(f32::INFINITY, f32::min);
    }

    /// Adds up the parts of every device; `which` is that of a slot.
    #[inline(always)]
    fn sum(&mut self, starts: &[u32], which: impl Fn(usize) -> usize) {
        let devices = starts.len() - 1;
        for column in [&mut self.rows, &mut self.active, &mut self.padded] {
            column.resize(devices, [0.0; N]);
        }
        let parts = &self.parts[..];
        let slots_of = |ends: &[u32]| ends[0] as usize..ends[1] as usize;
        let columns = self.rows.iter_mut().zip(&mut self.padded);
        for (ends, (rows, padded)) in starts.windows(2).zip(columns) {
            let (mut sum, mut tiles) = ([0.0_f32; N], [0.0_f32; N]);
            for slot in slots_of(ends) {
                let part = &parts[which(slot)];
                for at in 0..N {
                    sum[at] += part.rows[at];
                    tiles[at] += part.tiles[at];
                }
            }
            *rows = sum.map(f64::from);
            *padded = tiles.map(|tiles| f64::from(tiles * TILE));
        }
        for (ends, active) in starts.windows(2).zip(&mut self.active) {
            if self.least >= 1.0 {
                // Every replica has a row.
                *active = [f64::from(ends[1] - ends[0]); N];
                continue;
            }
            *active = [0.0; N];
            for slot in slots_of(ends) {
                let rows = &parts[which(slot)].rows;
                for (active, &rows) in active.iter_mut().zip(rows) {
                    *active += f64::from(active_of(rows));
                }
            }
        }
    }

    /// Every device gets the same part of everybody's tokens; where its rows come from follows when it is asked for.
    pub(super) const fn all_alike(&mut self) {
        self.is_alike = true;
    }

    /// Where rows come from when every device gets the same part of everybody's tokens.
    pub(super) fn fill_ways(&mut self, sources: &TokenSources) {
        if !self.is_alike {
            return;
        }
        self.from_node.clear();
        self.from_network.clear();
        for (rows, [node, network]) in self.rows.iter().zip(sources.ways()) {
            self.from_node.push(rows.map(|rows| rows * node));
            self.from_network.push(rows.map(|rows| rows * network));
        }
    }

    /// These rows of the devices come from their nodes and from other nodes.
    pub(super) fn from(&mut self, ways: impl Iterator<Item = [[f64; N]; 2]>) {
        self.is_alike = false;
        self.from_node.clear();
        self.from_network.clear();
        for [node, network] in ways {
            self.from_node.push(node);
            self.from_network.push(network);
        }
    }

    /// Devices with these rows in every step, for tests.
    #[cfg(test)]
    pub(super) fn of_rows(rows: &[f64]) -> Self {
        Self {
            rows: rows.iter().map(|&rows| [rows; N]).collect(),
            ..Self::default()
        }
    }
}

/// Active experts of a replica with so many rows.
///
/// Rows are shares of whole counts: a replica with `n + f` of them has `n + 1` in `f` of its steps and `n` in the others.
/// Not `min`, which has to mind what is no number: this stands in the innermost loop.
#[inline(always)]
const fn active_of(rows: f32) -> f32 {
    if rows < 1.0 { rows } else { 1.0 }
}

/// Tiles that a replica with so many rows fills, in the mean of its steps: `k + min(rows − 128 k, 1)`, `k` the whole ones.
///
/// Worked: half a row is half a tile; 128 rows are one, 128.5 one and a half, 129 two.
#[inline(always)]
const fn tiles_of(rows: f32) -> f32 {
    /// Added and taken away it leaves a whole number: three halves of 2^23. A cast would have to mind what does not fit.
    const ROUND: f32 = 12_582_912.0;
    // At a whole number of tiles either neighbour gives the same sum.
    let whole = (rows * (1.0 / TILE) - 0.5 + ROUND) - ROUND;
    whole + active_of(rows - whole * TILE)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The worked numbers, and whole rows against the division of whole numbers.
    #[test]
    fn tiles_are_those_that_rows_fill() {
        let near = |found: f32, expected: f32| assert!((found - expected).abs() < 1e-4, "{found} {expected}");
        near(tiles_of(0.5), 0.5);
        near(tiles_of(128.5), 1.5);
        for rows in (0_u16..2_000).chain([8_191, 8_192, 8_193, 65_535]) {
            near(tiles_of(f32::from(rows)), f32::from(rows.div_ceil(128)));
        }
        near(active_of(0.25), 0.25);
        near(active_of(7.0), 1.0);
    }
}
