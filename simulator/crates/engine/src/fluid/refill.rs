//! All rates anew, by progressive filling: all levels rise together, and the next link to be full, or bound
//! to be reached, holds back those that still rise there.
//!
//! Shares of links only grow while others are held back, so a heap of lower estimates is enough: what comes
//! up first is looked at again, and put back if it has grown past the next. `O(crossings + links · log)`.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::link::SAME;
use super::number;
use super::solver::{BOUND, Fluid, GONE, UNPLACED, instant};

/// What filling works with; kept to be used again.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    shares: BinaryHeap<Reverse<(u64, u32)>>,
    /// Bounds, when their activities came, and whose they are, ascending.
    bounds: Vec<(u64, u64, u32)>,
    /// Members of each link that nothing holds back yet.
    num_rising: Vec<u32>,
    /// Activities that nothing holds back yet.
    num_left: usize,
}

impl Fluid {
    /// Finds all rates anew.
    pub(super) fn refill(&mut self) {
        self.effort.refills += 1;
        self.worklist.clear();
        self.unplaced.clear();
        let mut scratch = std::mem::take(&mut self.filling);
        self.stop_all(&mut scratch);
        self.empty_links(&mut scratch);
        let mut next_bound = 0;
        let mut level = 0.0f64;
        while let Some((reached, link)) = self.next_full(&mut scratch, level) {
            level = self.reach_bounds(&mut scratch, &mut next_bound, level, reached);
            if level < reached {
                // Bounds were reached below: the share of the link has grown.
                scratch
                    .shares
                    .push(Reverse((self.share_of(link).max(level).to_bits(), number(link))));
                continue;
            }
            self.fill(&mut scratch, link, reached);
        }
        self.reach_bounds(&mut scratch, &mut next_bound, level, f64::INFINITY);
        for link in 0..self.links.len() {
            if !self.slack[link].tight || self.members[link].all.is_empty() {
                continue;
            }
            if self.members[link].num_held() > 0 {
                self.members[link].restore(&mut self.arena.entries);
            } else {
                self.links[link].weight = 0.0;
            }
            self.mark_stale(link);
        }
        self.filling = scratch;
    }

    /// Integrates everybody up to now; nothing holds anybody back afterwards.
    fn stop_all(&mut self, scratch: &mut Scratch) {
        scratch.bounds.clear();
        scratch.num_left = 0;
        for id in 0..number(self.flows.len()) {
            let flow = &self.flows[id as usize];
            let remaining = match flow.held {
                GONE => continue,
                // At its bound, and nothing can change that.
                BOUND if self.num_tight[id as usize] == 0 => continue,
                // Integrated only if it leaves its bound: else its end stays, to the picosecond.
                UNPLACED | BOUND => None,
                link => {
                    let crossing = self.tight(id).iter().find(|crossing| crossing.link == link);
                    let crossing = crossing.expect("what holds it back is a link it crosses");
                    let end = self.members[link as usize].held()[crossing.position as usize].end;
                    self.read_clock(link as usize);
                    Some(end - self.clocks[link as usize].moved)
                }
            };
            scratch.num_left += 1;
            let flow = &mut self.flows[id as usize];
            if let Some(remaining) = remaining {
                flow.remaining = remaining.max(0.0);
                flow.since = self.now;
            }
            flow.held = UNPLACED;
            if flow.bound.is_finite() {
                scratch.bounds.push((flow.bound.to_bits(), flow.sequence, id));
            }
        }
        scratch.bounds.sort_unstable();
    }

    /// Empties the links; `weight` is that of the members that still rise, from here on.
    fn empty_links(&mut self, scratch: &mut Scratch) {
        let mut shares = std::mem::take(&mut scratch.shares).into_vec();
        shares.clear();
        scratch.num_rising.clear();
        for (link, state) in self.links.iter_mut().enumerate() {
            if !self.slack[link].tight {
                scratch.num_rising.push(0);
                state.queued = false;
                continue;
            }
            let members = &mut self.members[link];
            members.release_all();
            let weight = |member: &super::members::Member| self.arena.entries[member.crossing()].weight;
            scratch.num_rising.push(number(members.all.len()));
            state.weight = members.all.iter().map(weight).sum();
            state.fixed = 0.0;
            state.fastest = 0.0;
            state.level = f64::INFINITY;
            self.clocks[link].moved = 0.0;
            self.clocks[link].since = self.now;
            state.queued = false;
            state.take_drift();
            if !members.all.is_empty() {
                let share = state.capacity / state.weight;
                shares.push(Reverse((share.to_bits(), number(link))));
            }
        }
        scratch.shares = BinaryHeap::from(shares);
        self.looked_at += self.num_crossings;
    }

    /// What each of those that still rise at `link` can get of what is left.
    fn share_of(&self, link: usize) -> f64 {
        let state = &self.links[link];
        ((state.capacity - state.fixed) / state.weight).max(0.0)
    }

    /// The next link to be full, and the level at which it is.
    fn next_full(&self, scratch: &mut Scratch, level: f64) -> Option<(f64, usize)> {
        while scratch.num_left > 0
            && let Some(Reverse((_, link))) = scratch.shares.pop()
        {
            let at = link as usize;
            if scratch.num_rising[at] == 0 {
                continue;
            }
            // What float sums blur is the same level: symmetric cases stay symmetric.
            let share = self.share_of(at);
            let share = if share <= level * (1.0 + SAME) {
                level
            } else {
                share
            };
            match scratch.shares.peek() {
                Some(&Reverse((next, _))) if share.to_bits() > next => {
                    scratch.shares.push(Reverse((share.to_bits(), link)));
                }
                Some(_) | None => return Some((share, at)),
            }
        }
        None
    }

    /// Holds back at their bounds all that reach them below `limit`; returns the level reached.
    ///
    /// It stops after the first batch of equal bounds, because the links they cross now fill later.
    fn reach_bounds(&mut self, scratch: &mut Scratch, next: &mut usize, level: f64, limit: f64) -> f64 {
        let mut batch = None;
        while let Some(&(bits, _, id)) = scratch.bounds.get(*next) {
            let bound = f64::from_bits(bits);
            if bound > limit || (limit.is_finite() && batch.is_some_and(|first| first != bits)) {
                break;
            }
            *next += 1;
            if self.flows[id as usize].held == UNPLACED {
                batch = Some(bits);
                self.stop_at_bound(scratch, id, bound);
            }
        }
        match batch {
            Some(bits) if limit.is_finite() => f64::from_bits(bits).max(level),
            _ => limit,
        }
    }

    fn stop_at_bound(&mut self, scratch: &mut Scratch, id: u32, bound: f64) {
        scratch.num_left -= 1;
        let flow = &mut self.flows[id as usize];
        flow.held = BOUND;
        // Where it was at its bound before, this is the same instant again.
        let time = instant(flow.since, flow.remaining / bound);
        for at in self.tight_range(id) {
            let crossing = self.arena.entries[at];
            let other = &mut self.links[crossing.link as usize];
            scratch.num_rising[crossing.link as usize] -= 1;
            other.weight -= crossing.weight;
            other.shift(crossing.weight * bound, bound);
        }
        self.due.set(number(self.links.len()) + id, time);
    }

    /// Lets `link`, now full, hold back all that still rise there.
    fn fill(&mut self, scratch: &mut Scratch, link: usize, level: f64) {
        let mut held = 0.0;
        for position in 0..self.members[link].all.len() {
            let member = self.members[link].all[position];
            let flow = &mut self.flows[member.flow as usize];
            if flow.held != UNPLACED {
                continue;
            }
            scratch.num_left -= 1;
            flow.held = number(link);
            if flow.bound.is_finite() {
                let moved = flow.bound * self.now.saturating_since(flow.since).as_secs();
                flow.remaining = (flow.remaining - moved).max(0.0);
                flow.since = self.now;
                self.due.set(number(self.links.len()) + member.flow, None);
            }
            let remaining = flow.remaining;
            for at in self.tight_range(member.flow) {
                let crossing = self.arena.entries[at];
                let other = crossing.link as usize;
                scratch.num_rising[other] -= 1;
                if other == link {
                    held += crossing.weight;
                } else {
                    self.links[other].weight -= crossing.weight;
                    self.links[other].shift(crossing.weight * level, level);
                }
            }
            self.members[link].hold_unordered(position, remaining, &mut self.arena.entries);
        }
        self.links[link].weight = held;
        if held > 0.0 {
            self.links[link].level = level;
        }
    }
}
