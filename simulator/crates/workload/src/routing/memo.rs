//! Loads already drawn, in a bounded ring per (layer, expert group).
//!
//! A load costs a few microseconds to draw again and always comes out the same, so forgetting is harmless; the
//! ring only has to bridge the time from a microbatch's forward on the first rank to its backward on the last.

use super::LayerLoad;

/// A ring of loads of one layer and expert group.
#[derive(Clone, Debug, Default)]
pub(super) struct Ring {
    /// (step, microbatch) of each entry.
    keys: Vec<(u32, u32)>,
    loads: Vec<LayerLoad>,
    /// The entry to overwrite next once the ring is full.
    oldest: usize,
}

/// Where a load is, or where to put it.
pub(super) enum Place {
    /// It is at this entry.
    Found(usize),
    /// It is to be drawn into this entry.
    Empty(usize),
}

impl Ring {
    /// Finds the load of `key`, or the entry to draw it into; at most `capacity` entries are kept.
    pub(super) fn place(&mut self, key: (u32, u32), capacity: usize) -> Place {
        if let Some(at) = self.keys.iter().position(|&other| other == key) {
            return Place::Found(at);
        }
        if self.keys.len() < capacity {
            self.keys.push(key);
            self.loads.push(LayerLoad::default());
            return Place::Empty(self.keys.len() - 1);
        }
        let at = self.oldest;
        self.oldest = (at + 1) % capacity;
        self.keys[at] = key;
        Place::Empty(at)
    }

    pub(super) fn load(&self, at: usize) -> &LayerLoad {
        &self.loads[at]
    }

    pub(super) fn load_mut(&mut self, at: usize) -> &mut LayerLoad {
        &mut self.loads[at]
    }
}
