//! Links that cannot be full: nothing looks at them.
//!
//! Every activity has a *limit*, the least of its bound and of what each of its links could carry of it alone.
//! A link that carries all of its activities at their limits, none of which it imposes itself, never holds
//! anybody back: it is *loose* (`network.md` §3.2, rule 6). Whatever imposes a limit is never loose, so no two
//! links are loose on each other's account. An activity keeps its crossings of tight links first, and repair
//! and filling see those only: a sender into a full port costs nothing when another one leaves, and a
//! collective that runs undisturbed at its bound has no crossing to look at.

use super::arena::Crossing;
use super::link::SAME;
use super::number;
use super::solver::{BOUND, Fluid, GONE};

/// Whether a link can be full.
#[derive(Clone, Debug, Default)]
pub(super) struct Slack {
    /// Its load if every member ran at its limit.
    most: f64,
    /// Members whose limit is this link.
    num_limited: u32,
    /// Whether it may be full.
    pub(super) tight: bool,
}

/// The highest level that an activity can ever have.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limit {
    level: f64,
    /// The link that imposes it, or [`BOUND`].
    by: u32,
}

impl Limit {
    /// Of an activity that has none yet.
    pub(super) const NONE: Self = Self { level: 0.0, by: GONE };
}

impl Fluid {
    /// The links among the crossings of an activity that may be full come first: these.
    #[inline]
    pub(super) fn tight(&self, flow: u32) -> &[Crossing] {
        let first = self.flows[flow as usize].span.first as usize;
        &self.arena.entries[first..first + self.num_tight[flow as usize] as usize]
    }

    /// Where they are in the table.
    #[inline]
    pub(super) fn tight_range(&self, flow: u32) -> std::ops::Range<usize> {
        let first = self.flows[flow as usize].span.first as usize;
        first..first + self.num_tight[flow as usize] as usize
    }

    /// The limit of an activity; of equal ones the bound, or else the link with most members.
    fn limit_of(&self, flow: u32) -> Limit {
        let state = &self.flows[flow as usize];
        let mut limit = Limit {
            level: state.bound,
            by: BOUND,
        };
        let mut most_members = 0;
        for crossing in self.arena.of(state.span) {
            let link = crossing.link as usize;
            let capacity = self.links[link].capacity;
            // Most often a bound decides: it takes no division to see that.
            if limit.by == BOUND && capacity >= limit.level * crossing.weight {
                continue;
            }
            let ceiling = capacity / crossing.weight;
            let num_members = self.members[link].all.len();
            let tie = ceiling <= limit.level && limit.by != BOUND && num_members >= most_members;
            if ceiling < limit.level || tie {
                limit = Limit {
                    level: ceiling,
                    by: crossing.link,
                };
                most_members = num_members;
            }
        }
        limit
    }

    /// Finds the limit of an activity, and tightens those of its links that may be full from now on.
    pub(super) fn relimit(&mut self, flow: u32) {
        let (before, limit) = (self.flows[flow as usize].limit, self.limit_of(flow));
        self.flows[flow as usize].limit = limit;
        let span = self.flows[flow as usize].span;
        for at in span.range() {
            // Tightening swaps a crossing with an earlier one, which has been looked at.
            let Crossing { link, weight, .. } = self.arena.entries[at];
            let slack = &mut self.slack[link as usize];
            slack.most += weight * (limit.level - before.level);
            slack.num_limited += u32::from(limit.by == link);
            slack.num_limited -= u32::from(before.by == link);
            if slack.tight {
                if at >= self.tight_range(flow).end {
                    self.tighten_crossing(flow, at);
                }
            } else if !self.may_be_loose(link as usize) {
                self.tighten(link as usize);
            }
        }
    }

    /// Takes an activity out of the account of a link.
    pub(super) fn unlimit(&mut self, flow: u32, link: usize, weight: f64) {
        let limit = self.flows[flow as usize].limit;
        let slack = &mut self.slack[link];
        slack.most -= weight * limit.level;
        slack.num_limited -= u32::from(limit.by as usize == link);
        if self.members[link].all.is_empty() {
            slack.most = 0.0;
        }
    }

    fn may_be_loose(&self, link: usize) -> bool {
        let slack = &self.slack[link];
        slack.num_limited == 0 && slack.most <= self.links[link].capacity * (1.0 + SAME)
    }

    /// A link may be full from now on.
    fn tighten(&mut self, link: usize) {
        self.slack[link].tight = true;
        let (mut fixed, mut fastest) = (0.0, 0.0f64);
        for position in 0..self.members[link].all.len() {
            let member = self.members[link].all[position];
            let level = self.level_of(member.flow);
            fixed += self.arena.entries[member.crossing()].weight * level;
            fastest = fastest.max(level);
            self.tighten_crossing(member.flow, member.crossing());
        }
        self.links[link].fixed = fixed;
        self.links[link].fastest = fastest;
        self.post(link, 0.0);
    }

    /// Lets go a link that nobody crosses any more, or that cannot be full any more.
    pub(super) fn loosen_if_slack(&mut self, link: usize) {
        if !self.slack[link].tight || self.members[link].num_held() > 0 || !self.may_be_loose(link) {
            return;
        }
        // What repeated sums may have lost.
        let load = |member: &super::members::Member| {
            self.arena.entries[member.crossing()].weight * self.flows[member.flow as usize].limit.level
        };
        self.slack[link].most = self.members[link].all.iter().map(load).sum();
        if self.may_be_loose(link) {
            self.loosen(link);
        }
    }

    fn loosen(&mut self, link: usize) {
        self.slack[link].tight = false;
        for position in 0..self.members[link].all.len() {
            let member = self.members[link].all[position];
            self.loosen_crossing(member.flow, member.crossing());
        }
        let state = &mut self.links[link];
        state.fixed = 0.0;
        state.weight = 0.0;
        state.fastest = 0.0;
        self.clocks[link].least_bound = f64::INFINITY;
    }

    /// Moves a crossing to those of tight links.
    fn tighten_crossing(&mut self, flow: u32, at: usize) {
        let range = self.tight_range(flow);
        self.swap_crossings(range.start, at, range.end);
        self.num_tight[flow as usize] += 1;
        self.num_crossings += 1;
        let link = self.arena.entries[range.end].link as usize;
        if range.len() == 1 {
            let other = self.arena.entries[range.start].link as usize;
            self.links[other].num_coupled += 1;
        }
        self.links[link].num_coupled += u32::from(!range.is_empty());
        let clock = &mut self.clocks[link];
        clock.least_bound = clock.least_bound.min(self.flows[flow as usize].bound);
    }

    /// Moves a crossing to those of loose links.
    fn loosen_crossing(&mut self, flow: u32, at: usize) {
        let range = self.tight_range(flow);
        let last = range.end - 1;
        self.swap_crossings(range.start, at, last);
        self.num_tight[flow as usize] -= 1;
        self.num_crossings -= 1;
        let link = self.arena.entries[last].link as usize;
        if range.len() == 2 {
            let other = self.arena.entries[range.start].link as usize;
            self.links[other].num_coupled -= 1;
        }
        self.links[link].num_coupled -= u32::from(range.len() > 1);
    }

    /// Swaps two crossings of the activity whose crossings begin at `first`.
    fn swap_crossings(&mut self, first: usize, one: usize, other: usize) {
        if one == other {
            return;
        }
        self.arena.entries.swap(one, other);
        for at in [one, other] {
            let Crossing { link, position, .. } = self.arena.entries[at];
            self.members[link as usize].all[position as usize].slot = number(at - first);
        }
    }
}
