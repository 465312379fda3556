//! Devices: what is asked of each, and which compute tasks it slows.

use smallvec::SmallVec;

use crate::contention::{Load, Share, SlowDown, slow_down};

/// One device, on one cache line.
#[derive(Debug)]
#[repr(align(64))]
pub(crate) struct Device {
    load: Load,
    slow: SlowDown,
    /// Lanes whose compute tasks run here.
    pub(crate) running: SmallVec<[u32; 4]>,
}

impl Device {
    pub(crate) fn new() -> Self {
        Self {
            load: Load::NOTHING,
            slow: SlowDown::NONE,
            running: SmallVec::new(),
        }
    }

    /// The slow-down at which its compute tasks run at present.
    #[inline]
    pub(crate) const fn slow(&self) -> SlowDown {
        self.slow
    }

    /// The slow-down under what is asked of it now, applied to compute tasks only by [`Device::settle`].
    #[inline]
    pub(crate) fn demanded(&self) -> SlowDown {
        slow_down(self.load)
    }

    /// Adds what starts; the caller re-rates afterwards.
    #[inline]
    pub(crate) fn add(&mut self, share: Share) {
        self.load.add(share);
    }

    /// Takes away what ends; the caller re-rates afterwards.
    #[inline]
    pub(crate) fn remove(&mut self, share: Share) {
        self.load.remove(share);
    }

    /// Takes over the demanded slow-down; gives the one before if it changed.
    #[inline]
    pub(crate) fn settle(&mut self) -> Option<SlowDown> {
        let demanded = self.demanded();
        if demanded == self.slow {
            return None;
        }
        Some(std::mem::replace(&mut self.slow, demanded))
    }
}
