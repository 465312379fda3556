//! Where activities keep the links they cross: slices of one table, reused by size.
//!
//! A slice holds a power of two of entries, so that the place of an activity that left fits the next one of
//! its size class and nothing is allocated once a run has reached its breadth.

use super::number;

/// One link crossed by one activity.
#[derive(Clone, Copy, Debug)]
pub(super) struct Crossing {
    pub(super) link: u32,
    /// Position of the activity among the members of the link.
    pub(super) position: u32,
    /// Bytes per second on the link for a level of one byte per second.
    pub(super) weight: f64,
}

/// The slice of the table that belongs to one activity.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub(super) first: u32,
    pub(super) len: u32,
}

impl Span {
    #[inline]
    pub(super) const fn range(self) -> std::ops::Range<usize> {
        self.first as usize..self.first as usize + self.len as usize
    }
}

/// The table.
#[derive(Debug, Default)]
pub(super) struct Arena {
    pub(super) entries: Vec<Crossing>,
    /// Free places, per size class.
    free: Vec<Vec<u32>>,
}

impl Arena {
    /// A place for `len` crossings.
    pub(super) fn take(&mut self, len: usize) -> Span {
        let class = size_class(len);
        if self.free.len() <= class {
            self.free.resize_with(class + 1, Vec::new);
        }
        let first = self.free[class].pop().unwrap_or_else(|| {
            let first = number(self.entries.len());
            let nothing = Crossing {
                link: 0,
                position: 0,
                weight: 0.0,
            };
            self.entries.resize(self.entries.len() + (1 << class), nothing);
            first
        });
        Span {
            first,
            len: number(len),
        }
    }

    /// Gives a place back.
    pub(super) fn give(&mut self, span: Span) {
        self.free[size_class(span.len as usize)].push(span.first);
    }

    /// The crossings of one activity.
    #[inline]
    pub(super) fn of(&self, span: Span) -> &[Crossing] {
        &self.entries[span.range()]
    }
}

/// The exponent of the power of two that holds `len` entries.
const fn size_class(len: usize) -> usize {
    len.next_power_of_two().trailing_zeros() as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_given_back_is_taken_again_by_its_size_class() {
        let mut arena = Arena::default();
        let three = arena.take(3);
        let one = arena.take(1);
        assert_eq!((three.first, one.first), (0, 4));
        arena.give(three);
        assert_eq!(arena.take(4).first, 0);
        assert_eq!(arena.take(3).first, 5);
    }
}
