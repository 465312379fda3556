//! Typed handles, and the vector that only its own handle can index.

use std::fmt;
use std::marker::PhantomData;
use std::ops::{Index, IndexMut};

/// What an index type must be able to do; made by `define_index!` only.
pub trait Idx: Copy {
    /// The handle of position `position`.
    fn from_position(position: usize) -> Self;
    /// The position this handle names.
    fn position(self) -> usize;
}

/// Defines a `u32` handle with its own type.
macro_rules! define_index {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        #[derive(serde::Serialize, serde::Deserialize)]
        #[serde(transparent)]
        pub struct $name(u32);

        impl $name {
            /// The handle of number `number`.
            #[must_use]
            #[inline]
            pub const fn new(number: u32) -> Self {
                Self(number)
            }

            /// The number of this handle.
            #[must_use]
            #[inline]
            pub const fn get(self) -> u32 {
                self.0
            }

            /// The position of this handle in a table.
            #[must_use]
            #[inline]
            pub const fn index(self) -> usize {
                self.0 as usize
            }
        }

        impl $crate::index::Idx for $name {
            #[expect(clippy::cast_possible_truncation, reason = "tables hold fewer than 2^32 entries, asserted")]
            #[inline]
            fn from_position(position: usize) -> Self {
                assert!(u32::try_from(position).is_ok(), "a table holds fewer than 2^32 entries");
                Self(position as u32)
            }

            #[inline]
            fn position(self) -> usize {
                self.0 as usize
            }
        }
    };
}
pub(crate) use define_index;

/// A vector indexed by one handle type only.
#[derive(Clone, PartialEq, Eq)]
pub struct IndexVec<I, T> {
    entries: Vec<T>,
    index: PhantomData<fn(I)>,
}

impl<I: Idx, T> IndexVec<I, T> {
    /// An empty table.
    #[must_use]
    #[inline]
    pub const fn new() -> Self {
        Self {
            entries: Vec::new(),
            index: PhantomData,
        }
    }

    /// A table of `len` copies of `entry`.
    #[must_use]
    pub fn filled(entry: T, len: usize) -> Self
    where
        T: Clone,
    {
        Self::from(vec![entry; len])
    }

    /// Adds an entry and returns its handle.
    pub fn push(&mut self, entry: T) -> I {
        let id = I::from_position(self.entries.len());
        self.entries.push(entry);
        id
    }

    /// The number of entries.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are no entries.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The entry of `id`, if there is one.
    #[must_use]
    #[inline]
    pub fn get(&self, id: I) -> Option<&T> {
        self.entries.get(id.position())
    }

    /// All entries in order.
    pub fn iter(&self) -> std::slice::Iter<'_, T> {
        self.entries.iter()
    }

    /// All entries in order, to change.
    pub fn iter_mut(&mut self) -> std::slice::IterMut<'_, T> {
        self.entries.iter_mut()
    }

    /// All handles with their entries, in order.
    pub fn iter_enumerated(&self) -> impl Iterator<Item = (I, &T)> {
        self.entries
            .iter()
            .enumerate()
            .map(|(position, entry)| (I::from_position(position), entry))
    }

    /// All handles in order.
    pub fn ids(&self) -> impl Iterator<Item = I> + use<I, T> {
        (0..self.entries.len()).map(I::from_position)
    }

    /// The entries as a slice.
    #[must_use]
    pub fn as_slice(&self) -> &[T] {
        &self.entries
    }
}

impl<I: Idx, T> Default for IndexVec<I, T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<I, T> From<Vec<T>> for IndexVec<I, T> {
    fn from(entries: Vec<T>) -> Self {
        Self {
            entries,
            index: PhantomData,
        }
    }
}

impl<I: Idx, T> FromIterator<T> for IndexVec<I, T> {
    fn from_iter<It: IntoIterator<Item = T>>(entries: It) -> Self {
        Self::from(entries.into_iter().collect::<Vec<_>>())
    }
}

impl<I: Idx, T> Index<I> for IndexVec<I, T> {
    type Output = T;
    #[inline]
    fn index(&self, id: I) -> &T {
        &self.entries[id.position()]
    }
}

impl<I: Idx, T> IndexMut<I> for IndexVec<I, T> {
    fn index_mut(&mut self, id: I) -> &mut T {
        &mut self.entries[id.position()]
    }
}

impl<I, T: fmt::Debug> fmt::Debug for IndexVec<I, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.entries.fmt(f)
    }
}
