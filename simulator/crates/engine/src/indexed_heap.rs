//! A 4-ary heap with at most one key per owner, the smallest first, in which a key moves in place.

/// Where the owner of an absent key stands.
const ABSENT: u32 = u32::MAX;

/// A key that says whose it is; comparison alone decides the order, and no two keys compare equal.
pub(crate) trait Owned: Copy + Ord {
    /// The owner, dense from 0.
    fn owner(self) -> u32;
}

/// The heap, with the position of each owner's key.
#[derive(Debug)]
pub(crate) struct IndexedHeap<K> {
    keys: Vec<K>,
    position: Vec<u32>,
}

impl<K> Default for IndexedHeap<K> {
    fn default() -> Self {
        Self {
            keys: Vec::new(),
            position: Vec::new(),
        }
    }
}

impl<K: Owned> IndexedHeap<K> {
    /// An empty heap with room for owners `0..owners`; others may come later.
    pub(crate) fn with_owners(owners: u32) -> Self {
        Self {
            keys: Vec::with_capacity(owners as usize),
            position: vec![ABSENT; owners as usize],
        }
    }

    /// The smallest key.
    #[inline]
    pub(crate) fn first(&self) -> Option<K> {
        self.keys.first().copied()
    }

    /// Puts `key` where its owner's key was, or adds it.
    #[inline]
    pub(crate) fn set(&mut self, key: K) {
        let owner = key.owner() as usize;
        if owner >= self.position.len() {
            self.position.resize(owner + 1, ABSENT);
        }
        let at = self.position[owner] as usize;
        if at == ABSENT as usize {
            self.keys.push(key);
            self.sift_up(self.keys.len() - 1, key);
        } else if key < self.keys[at] {
            self.sift_up(at, key);
        } else {
            self.sift_down(at, key);
        }
    }

    /// Takes the key of `owner` away, if there is one.
    pub(crate) fn remove(&mut self, owner: u32) {
        let at = self.position.get(owner as usize).copied().unwrap_or(ABSENT);
        if at == ABSENT {
            return;
        }
        let at = at as usize;
        self.position[owner as usize] = ABSENT;
        let last = self.keys.pop().expect("a key that has a position is there");
        if at == self.keys.len() {
            return;
        }
        if at > 0 && last < self.keys[(at - 1) / 4] {
            self.sift_up(at, last);
        } else {
            self.sift_down(at, last);
        }
    }

    /// Takes the smallest key.
    #[inline]
    pub(crate) fn pop(&mut self) -> Option<K> {
        let first = self.first()?;
        self.position[first.owner() as usize] = ABSENT;
        let last = self.keys.pop().expect("the heap has a first key");
        if !self.keys.is_empty() {
            self.sift_down(0, last);
        }
        Some(first)
    }

    #[inline]
    fn place(&mut self, at: usize, key: K) {
        self.keys[at] = key;
        #[expect(clippy::cast_possible_truncation, reason = "owners are numbered by 32 bits")]
        let position = at as u32;
        self.position[key.owner() as usize] = position;
    }

    fn sift_up(&mut self, mut at: usize, key: K) {
        while at > 0 {
            let parent = (at - 1) / 4;
            if self.keys[parent] <= key {
                break;
            }
            self.place(at, self.keys[parent]);
            at = parent;
        }
        self.place(at, key);
    }

    /// The least of the children of `at`, if it has any.
    #[inline]
    fn least_child(&self, at: usize) -> Option<usize> {
        let first = 4 * at + 1;
        let children = self.keys.get(first..)?;
        if let Some([a, b, c, d]) = children.first_chunk() {
            let (left, right) = (usize::from(b < a), 2 + usize::from(d < c));
            let least = if c.min(d) < a.min(b) { right } else { left };
            return Some(first + least);
        }
        (first..self.keys.len()).min_by_key(|&child| self.keys[child])
    }

    fn sift_down(&mut self, mut at: usize, key: K) {
        while let Some(least) = self.least_child(at) {
            if key <= self.keys[least] {
                break;
            }
            self.place(at, self.keys[least]);
            at = least;
        }
        self.place(at, key);
    }
}
