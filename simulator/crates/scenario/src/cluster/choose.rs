//! Which of several equal next hops a flow takes.

use orrery_units::{Key, Seed};

/// The version of the hash of [`Spreading::Ecmp`]; a change of the rule is a new version, so that old results
/// can be repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum HashVersion {
    /// The key of the seed at `fabric.ecmp`, coordinates version, source port, destination port, flow, queue
    /// pair, stage; its uniform number times the number of next hops.
    #[default]
    V1,
}

/// How traffic spreads over equal paths.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Spreading {
    /// A flow keeps to the path that a hash gives it.
    Ecmp {
        /// The seed of the hash.
        seed: Seed,
        /// Its version.
        version: HashVersion,
        /// Queue pairs that each flow is split over; each is hashed on its own.
        queue_pairs: u32,
    },
    /// Every switch of a fat tree splits a flow equally over its live next hops: adaptive routing and packet
    /// spraying in the limit of many packets. A torus, a dragonfly and a tree have one way and keep it.
    Adaptive,
}

/// The choices of one queue pair of one flow.
#[derive(Clone, Copy, Debug)]
pub(super) enum Chooser {
    Hashed(Key),
    Even,
}

impl Spreading {
    /// Static hashing, one queue pair.
    #[must_use]
    pub const fn ecmp(seed: Seed) -> Self {
        Self::Ecmp {
            seed,
            version: HashVersion::V1,
            queue_pairs: 1,
        }
    }

    /// The key of all flows, made once.
    pub(super) fn key(&self) -> Option<Key> {
        match *self {
            Self::Ecmp {
                seed,
                version: HashVersion::V1,
                ..
            } => Some(seed.at("fabric.ecmp", &[1])),
            Self::Adaptive => None,
        }
    }

    /// Paths that a flow is split over by hand; adaptive splitting is done hop by hop.
    pub(super) const fn num_queue_pairs(&self) -> u32 {
        match *self {
            Self::Ecmp { queue_pairs: 0, .. } | Self::Adaptive => 1,
            Self::Ecmp { queue_pairs, .. } => queue_pairs,
        }
    }
}

impl Chooser {
    /// Where among `count` next hops of stage `stage` the search begins.
    #[inline]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of a 32-bit count, not negative"
    )]
    pub(super) fn pick(&self, stage: u64, count: u32) -> u32 {
        match self {
            Self::Hashed(key) if count > 1 => {
                let picked = key.with(stage).uniform() * f64::from(count);
                (picked as u32).min(count - 1)
            }
            Self::Hashed(_) | Self::Even => 0,
        }
    }

    pub(super) const fn is_even(&self) -> bool {
        matches!(self, Self::Even)
    }
}
