//! What links carried, integrated when activities end or when it is asked for: no event pays for it.

use orrery_units::{Bytes, SimDuration, SimTime};

use super::solver::{BOUND, Fluid, GONE, UNPLACED};

/// What one link carried so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkTotals {
    /// Bytes that crossed it, to the nearest byte.
    pub bytes: Bytes,
    /// Time during which at least one activity crossed it.
    pub busy: SimDuration,
}

/// The account of one link.
#[derive(Clone, Debug, Default)]
pub(super) struct Account {
    /// Bytes of the activities that have gone.
    pub(super) bytes: f64,
    /// Busy time up to when it was last idle.
    pub(super) busy: SimDuration,
    /// Since when it is not idle, if it is not.
    pub(super) since: SimTime,
}

impl Fluid {
    /// What every link carried until `now`, in their order.
    ///
    /// Differences of two such tables are the bytes of the time in between.
    ///
    /// # Panics
    /// When `now` is before the last change or past the next completion.
    #[must_use]
    pub fn link_totals(&self, now: SimTime) -> Vec<LinkTotals> {
        assert!(now >= self.now, "time does not run backwards");
        let mut bytes: Vec<f64> = self.accounts.iter().map(|account| account.bytes).collect();
        for (flow, state) in self.flows.iter().enumerate() {
            if state.held == GONE {
                continue;
            }
            let moved = state.work - self.remaining_at(flow, now);
            for crossing in self.arena.of(state.span) {
                bytes[crossing.link as usize] += crossing.weight * moved;
            }
        }
        let accounts = self.accounts.iter().zip(&self.members).zip(bytes);
        let totals = accounts.map(|((account, members), bytes)| LinkTotals {
            bytes: to_bytes(bytes),
            busy: if members.all.is_empty() {
                account.busy
            } else {
                account.busy + now.saturating_since(account.since)
            },
        });
        totals.collect()
    }

    /// Work that an activity has left at `now`, per share.
    fn remaining_at(&self, flow: usize, now: SimTime) -> f64 {
        let state = &self.flows[flow];
        let left = match state.held {
            UNPLACED | GONE => state.remaining,
            BOUND => state.remaining - state.bound * now.saturating_since(state.since).as_secs(),
            link => {
                let mut crossings = self.arena.of(state.span).iter();
                let crossing = crossings.find(|crossing| crossing.link == link);
                let crossing = crossing.expect("what holds it back is a link it crosses");
                let clock = &self.clocks[link as usize];
                let level = self.links[link as usize].level;
                let passed = now.saturating_since(clock.since).as_secs();
                let end = self.members[link as usize].held()[crossing.position as usize].end;
                end - clock.moved - level * passed
            }
        };
        left.max(0.0)
    }
}

/// A sum of loads as bytes.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "what links carry is positive and far below 2^64 bytes"
)]
fn to_bytes(sum: f64) -> Bytes {
    Bytes::new(sum.round() as u64)
}
