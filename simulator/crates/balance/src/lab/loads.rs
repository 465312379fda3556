//! What the devices of a layer have to do, device by device.

use super::TokenSources;
use super::exchange::Chances;

/// Rows of a tile of the grouped product.
const TILE: f32 = 128.0;

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

/// What the devices of a layer have to do, in columns: they are filled and read by loops of vectors, a hundred million
/// times in a long run. Its room is used again from layer to layer.
#[derive(Clone, Debug, Default)]
pub struct Loads {
    pub(super) rows: Vec<f64>,
    pub(super) active: Vec<f64>,
    pub(super) padded: Vec<f64>,
    /// Rows that come from other devices of the node, and from other nodes.
    pub(super) from_node: Vec<f64>,
    pub(super) from_network: Vec<f64>,
    /// Whether every device gets the same part of everybody's tokens.
    pub(super) is_alike: bool,
    /// Rows on the busier direction of each port.
    pub(super) node: Vec<f64>,
    pub(super) network: Vec<f64>,
    pub(super) chances: Chances,
    parts: Parts,
}

/// Parts that a loop of vectors takes at once.
const AT_ONCE: usize = 8;

/// Which parts lie in the slots of devices, eight devices beside each other, so that their sums are loops of vectors.
#[derive(Clone, Debug)]
pub(super) struct Rounds {
    /// By device: its slots.
    sizes: Vec<f64>,
    /// Eight devices after eight devices: their first parts, their second ones, and so on.
    parts: Vec<[u32; AT_ONCE]>,
    /// Slots of the device that has most: whoever has fewer gets nothing in the last rounds.
    longest: usize,
}

impl Rounds {
    /// The rounds of devices whose slots begin at `starts`, where `parts` lie, of so many in all.
    pub(super) fn new(starts: &[u32], parts: &[u32], num_parts: usize) -> Self {
        let nothing = u32::try_from(num_parts).expect("a layer has fewer than 2^32 parts");
        let slots: Vec<&[u32]> = starts
            .windows(2)
            .map(|ends| &parts[ends[0] as usize..ends[1] as usize])
            .collect();
        let longest = slots.iter().map(|slots| slots.len()).max().unwrap_or(0);
        let of_eight = |devices: &[&[u32]]| {
            let mut rounds = vec![[nothing; AT_ONCE]; longest];
            for (at, slots) in devices.iter().enumerate() {
                for (round, &part) in rounds.iter_mut().zip(*slots) {
                    round[at] = part;
                }
            }
            rounds
        };
        Self {
            #[expect(clippy::cast_precision_loss, reason = "a device has few slots")]
            sizes: slots.iter().map(|slots| slots.len() as f64).collect(),
            parts: slots.chunks(AT_ONCE).flat_map(of_eight).collect(),
            longest,
        }
    }

    /// The rounds of each eight devices.
    #[inline(always)]
    fn of_eights(&self) -> impl Iterator<Item = &[[u32; AT_ONCE]]> {
        self.parts.chunks_exact(self.longest.max(1))
    }
}

/// What replicas add to their devices.
#[derive(Clone, Debug, Default)]
struct Parts {
    /// Tokens of the expert of each slot, where slots differ.
    counts: Vec<f32>,
    /// Rows and tiles side by side, for one load and one addition take both; the last is nothing.
    pairs: Vec<[f32; 2]>,
    /// The least rows.
    least: f32,
}

impl Loads {
    /// Every device by itself.
    pub fn devices(&self) -> impl Iterator<Item = DeviceLoad> {
        (0..self.rows.len()).map(|at| DeviceLoad {
            rows: self.rows[at],
            active: self.active[at],
            padded: self.padded[at],
            node: self.node[at],
            network: self.network[at],
        })
    }

    /// Rows of every device.
    #[must_use]
    pub fn rows(&self) -> &[f64] {
        &self.rows
    }

    /// What the devices have to do in whose slots lie the parts of `rounds`: those of the experts, of which every replica
    /// takes the share `alike` of the tokens.
    #[inline(always)]
    pub(super) fn of_experts(&mut self, rounds: &Rounds, counts: &[f32], alike: &[f32]) {
        self.parts.fill(counts, alike);
        self.sum(rounds);
    }

    /// The same where every slot takes a share of its own: the parts are those of the slots, which hold `experts`.
    #[inline(always)]
    pub(super) fn of_slots(&mut self, rounds: &Rounds, experts: &[u32], counts: &[f32], shares: &[f32]) {
        let mut of_slots = std::mem::take(&mut self.parts.counts);
        of_slots.clear();
        of_slots.extend(experts.iter().map(|&expert| counts[expert as usize]));
        self.parts.fill(&of_slots, shares);
        self.parts.counts = of_slots;
        self.sum(rounds);
    }

    /// Adds up the parts of every device, eight devices beside each other.
    #[inline(always)]
    fn sum(&mut self, rounds: &Rounds) {
        let Self {
            rows,
            active,
            padded,
            parts,
            ..
        } = self;
        let devices = rounds.sizes.len();
        for column in [&mut *rows, &mut *active, &mut *padded] {
            column.resize(devices, 0.0);
        }
        // Slices: a loop would look into the vectors again and again.
        let pairs = &parts.pairs[..];
        let columns = rows.chunks_mut(AT_ONCE).zip(padded.chunks_mut(AT_ONCE));
        for ((rows, padded), rounds) in columns.zip(rounds.of_eights()) {
            let mut sums = [[0.0_f32; 2]; AT_ONCE];
            for round in rounds {
                for (sum, &part) in sums.iter_mut().zip(round) {
                    let pair = pairs[part as usize];
                    sum[0] += pair[0];
                    sum[1] += pair[1];
                }
            }
            for ((rows, padded), sum) in rows.iter_mut().zip(padded).zip(&sums) {
                *rows = f64::from(sum[0]);
                *padded = f64::from(sum[1] * TILE);
            }
        }
        if parts.least >= 1.0 {
            // Every replica has a row.
            active.copy_from_slice(&rounds.sizes);
            return;
        }
        for (active, rounds) in active.chunks_mut(AT_ONCE).zip(rounds.of_eights()) {
            active.fill(0.0);
            for round in rounds {
                for (active, &part) in active.iter_mut().zip(round) {
                    *active += f64::from(active_of(pairs[part as usize][0]));
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
            self.from_node.push(rows * node);
            self.from_network.push(rows * network);
        }
    }

    /// These rows of the devices come from their nodes and from other nodes.
    pub(super) fn from(&mut self, ways: impl Iterator<Item = [f64; 2]>) {
        self.is_alike = false;
        self.from_node.clear();
        self.from_network.clear();
        for [node, network] in ways {
            self.from_node.push(node);
            self.from_network.push(network);
        }
    }

    /// Devices with these rows, for tests.
    #[cfg(test)]
    pub(super) fn of_rows(rows: &[f64]) -> Self {
        Self {
            rows: rows.to_vec(),
            ..Self::default()
        }
    }
}

impl Parts {
    /// What replicas add that take these shares of these counts.
    #[inline(always)]
    fn fill(&mut self, counts: &[f32], shares: &[f32]) {
        // What is there already is written over: nothing is cleared where lengths stay.
        let (parts, nothing) = (counts.len(), [0.0; 2]);
        self.pairs.resize(parts + 1, nothing);
        self.pairs[parts] = nothing;
        let (counts, rest_counts) = counts.as_chunks::<AT_ONCE>();
        let (shares, rest_shares) = shares.as_chunks::<AT_ONCE>();
        let (pairs, rest_pairs) = self.pairs[..parts].as_chunks_mut::<AT_ONCE>();
        let mut least = [f32::INFINITY; AT_ONCE];
        for (pairs, (counts, shares)) in pairs.iter_mut().zip(counts.iter().zip(shares)) {
            let mut rows = [0.0; AT_ONCE];
            let mut tiles = [0.0; AT_ONCE];
            for at in 0..AT_ONCE {
                rows[at] = counts[at] * shares[at];
                tiles[at] = tiles_of(rows[at]);
                least[at] = if rows[at] < least[at] { rows[at] } else { least[at] };
            }
            for at in 0..AT_ONCE {
                pairs[at] = [rows[at], tiles[at]];
            }
        }
        for (pair, (count, share)) in rest_pairs.iter_mut().zip(rest_counts.iter().zip(rest_shares)) {
            let rows = count * share;
            *pair = [rows, tiles_of(rows)];
        }
        let of_rest = rest_pairs.iter().map(|pair| pair[0]);
        self.least = least.into_iter().chain(of_rest).fold(f32::INFINITY, f32::min);
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
