//! Local repair: links that are off are put right, lowest level first, until none is.
//!
//! A link solves for its own level alone, given everybody else's: the root of
//! `Σ weight · min(level of the member elsewhere, level) = capacity`, by Newton's method on a concave
//! function of straight pieces, so in a few steps and exactly. Its members then load their other links more
//! or less, which puts some of those off. A change spreads to higher levels only (whoever is slower is not
//! held back here), hence the order: a link is seldom visited twice. When nothing is off, every activity has
//! a full link on which nobody is faster, or its bound: that is max-min fairness.
//!
//! A repair that looks at more than the whole network's crossings is not local: all is found anew.

use super::link::{SAME, post};
use super::number;
use super::solver::{BOUND, Fluid, GONE, UNPLACED, instant};

/// Looking at a crossing in repair costs about this part of finding it anew.
const LOCAL: usize = 4;

/// A member that may be held back by another from now on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    level: f64,
    weight: f64,
    flow: u32,
    /// Index of the crossing of the link that holds it back then, or [`BOUND`].
    target: u32,
    chosen: bool,
}

impl Fluid {
    /// Finds the rates: by local repair where that is enough.
    pub(super) fn solve(&mut self) {
        self.looked_at = 0;
        let coming = self.unplaced.iter();
        let coming: usize = coming.map(|&id| self.num_tight[id as usize] as usize).sum();
        // Placing a newcomer disturbs what shares its links, as filling does with everybody.
        let whole = self.num_crossings + self.links.len();
        if 4 * coming > whole {
            self.refill();
            return;
        }
        while let Some(flow) = self.unplaced.pop() {
            self.place(flow);
        }
        let budget = LOCAL * whole;
        while let Some(std::cmp::Reverse((_, link))) = self.worklist.pop() {
            self.links[link as usize].queued = false;
            if !self.slack[link as usize].tight {
                continue;
            }
            self.relax(link as usize);
            if self.looked_at > budget {
                self.refill();
                return;
            }
        }
    }

    /// Gives a newcomer a first level, from which repair goes on.
    fn place(&mut self, id: u32) {
        let (mut level, mut target) = (self.flows[id as usize].bound, BOUND);
        for at in self.tight_range(id) {
            let crossing = self.arena.entries[at];
            let link = &self.links[crossing.link as usize];
            let reached = if link.level.is_finite() {
                link.level
            } else {
                // What is left over, and at least an equal part: it may have to take from others.
                let members = self.members[crossing.link as usize].all.len();
                #[expect(clippy::cast_precision_loss, reason = "a first guess")]
                let part = link.capacity / (crossing.weight * members as f64);
                part.max((link.capacity - link.fixed) / crossing.weight)
            };
            if reached < level {
                (level, target) = (reached, number(at));
            }
        }
        let newly = target != BOUND && {
            let link = self.arena.entries[target as usize].link as usize;
            self.members[link].num_held() == 0
        };
        self.retarget(id, level, target);
        if newly {
            // Whoever is faster on this link shares it from now on.
            let link = self.arena.entries[target as usize].link as usize;
            let state = &self.links[link];
            self.lower(link, state.own_level().min(state.level));
        }
    }

    /// Puts the equation of one link right.
    fn relax(&mut self, link: usize) {
        let state = &mut self.links[link];
        // Next to nothing, what is left of greater sums is noise.
        if state.take_drift() || !state.level.is_finite() {
            self.sum_anew(link);
        }
        let state = &self.links[link];
        if !state.is_off() {
            return;
        }
        self.effort.relaxed += 1;
        let (held, now) = (state.level.is_finite(), state.level);
        let level = state.own_level();
        // It is off until the repair is over: no need to queue it meanwhile.
        self.links[link].queued = true;
        if !held {
            self.lower(link, 0.0);
        } else if level > now {
            self.raise(link, level);
        } else {
            self.lower(link, level);
        }
        self.links[link].queued = false;
        self.post(link, level);
    }

    /// Forms the sums of a link from its members.
    fn sum_anew(&mut self, link: usize) {
        let members = &self.members[link];
        let weight = |member: &super::members::Member| self.arena.entries[member.crossing()].weight;
        let held = members.held().iter().map(weight).sum();
        let fixed = members.others().iter();
        let fixed = fixed
            .map(|member| weight(member) * self.level_of(member.flow))
            .sum();
        self.looked_at += members.all.len();
        self.links[link].weight = held;
        self.links[link].fixed = fixed;
    }

    /// Gives those held back at `link` a higher level, and lets go whoever is held back elsewhere by then.
    fn raise(&mut self, link: usize, level: f64) {
        let mut least = self.rerate_held::<true>(link, level);
        if self.clocks[link].least_bound < level {
            let bound = |member: &super::members::Member| self.flows[member.flow as usize].bound;
            least = self.members[link].held().iter().map(bound).fold(least, f64::min);
        }
        if least >= level * (1.0 - SAME) {
            return;
        }
        self.collect_elsewhere(link);
        let level = self.root_without(link, level);
        let candidates = std::mem::take(&mut self.scratch);
        for candidate in candidates.iter().filter(|candidate| candidate.chosen) {
            self.retarget(candidate.flow, candidate.level, candidate.target);
        }
        self.scratch = candidates;
        if self.members[link].num_held() > 0 {
            self.rerate_held::<false>(link, level);
        }
    }

    /// Lists the members held back at `link` with what would hold them back otherwise.
    fn collect_elsewhere(&mut self, link: usize) {
        self.scratch.clear();
        for member in self.members[link].held() {
            let (mut level, mut target) = (self.flows[member.flow as usize].bound, BOUND);
            for at in self.tight_range(member.flow) {
                let other = &self.links[self.arena.entries[at].link as usize];
                if at != member.crossing() && other.level < level {
                    (level, target) = (other.level, number(at));
                }
            }
            self.scratch.push(Candidate {
                level,
                weight: self.arena.entries[member.crossing()].weight,
                flow: member.flow,
                target,
                chosen: false,
            });
        }
    }

    /// Chooses who leaves as the level rises from `level`; returns the level of those who stay.
    ///
    /// Whoever is held back elsewhere below the level leaves room, so that the level only rises.
    fn root_without(&mut self, link: usize, mut level: f64) -> f64 {
        let (mut fixed, mut weight) = (self.links[link].fixed, self.links[link].weight);
        let mut left = self.scratch.len();
        loop {
            let before = left;
            for candidate in self.scratch.iter_mut().filter(|candidate| !candidate.chosen) {
                if candidate.level < level * (1.0 - SAME) {
                    candidate.chosen = true;
                    left -= 1;
                    fixed += candidate.weight * candidate.level;
                    weight -= candidate.weight;
                }
            }
            if left == before || left == 0 {
                return level;
            }
            level = level.max((self.links[link].capacity - fixed) / weight);
        }
    }

    /// Gives those held back at `link` a lower level, and takes over whoever is faster.
    ///
    /// `level` is too low if anybody is taken over: Newton's method climbs from there.
    fn lower(&mut self, link: usize, level: f64) {
        if self.links[link].fastest <= level * (1.0 + SAME) {
            self.rerate_held::<false>(link, level);
            return;
        }
        self.collect_faster(link, level);
        let level = self.root_with(link, level);
        if self.members[link].num_held() > 0 {
            self.rerate_held::<false>(link, level);
        }
        let candidates = std::mem::take(&mut self.scratch);
        for candidate in candidates.iter().filter(|candidate| candidate.chosen) {
            self.retarget(candidate.flow, level, candidate.target);
        }
        self.scratch = candidates;
    }

    /// Lists the members of `link` that are held back elsewhere at more than `level`.
    fn collect_faster(&mut self, link: usize, level: f64) {
        self.scratch.clear();
        let mut fastest = 0.0f64;
        for member in self.members[link].others() {
            let reached = self.level_of(member.flow);
            if reached > level * (1.0 + SAME) {
                self.scratch.push(Candidate {
                    level: reached,
                    weight: self.arena.entries[member.crossing()].weight,
                    flow: member.flow,
                    target: number(member.crossing()),
                    chosen: true,
                });
            } else {
                fastest = fastest.max(reached);
            }
        }
        self.looked_at += self.members[link].others().len();
        // Whoever is not taken over in the end is no faster than the level that is found: `root_with` adds it.
        self.links[link].fastest = fastest;
    }

    /// Leaves the chosen that are to be taken over; returns the level of the link with them.
    fn root_with(&mut self, link: usize, mut level: f64) -> f64 {
        let state = &mut self.links[link];
        if state.capacity <= 0.0 {
            return 0.0;
        }
        loop {
            let mut room = state.capacity - state.fixed;
            let mut weight = state.weight;
            for candidate in self.scratch.iter().filter(|candidate| candidate.chosen) {
                room += candidate.weight * candidate.level;
                weight += candidate.weight;
            }
            if weight > 0.0 {
                // A newcomer alone may be held too low: raising comes next, which minds its other limits.
                level = level.max((room / weight).min(state.level));
            }
            let mut dropped = false;
            for candidate in self.scratch.iter_mut().filter(|candidate| candidate.chosen) {
                if candidate.level <= level * (1.0 + SAME) {
                    candidate.chosen = false;
                    dropped = true;
                    state.fastest = state.fastest.max(candidate.level);
                }
            }
            if !dropped {
                return level;
            }
        }
    }

    /// Gives all that `link` holds back another level, which changes what they put on their other links.
    ///
    /// If `LOOK`, returns the least level of those other links.
    fn rerate_held<const LOOK: bool>(&mut self, link: usize, level: f64) -> f64 {
        self.read_clock(link);
        let delta = level - self.links[link].level;
        self.links[link].level = level;
        self.mark_stale(link);
        self.effort.rerated += self.members[link].num_held() as u64;
        if self.links[link].num_coupled == 0 {
            return f64::INFINITY;
        }
        let Self {
            links,
            members,
            num_tight,
            arena,
            worklist,
            ..
        } = self;
        let (mut looked_at, mut least) = (0, f64::INFINITY);
        for member in members[link].held() {
            let (first, num_tight) = (
                member.span.first as usize,
                num_tight[member.flow as usize] as usize,
            );
            for crossing in &arena.entries[first..first + num_tight] {
                if crossing.link as usize == link {
                    continue;
                }
                let other = &mut links[crossing.link as usize];
                if LOOK {
                    least = least.min(other.level);
                }
                other.shift(crossing.weight * delta, level);
                post(other, worklist, crossing.link, level);
            }
            looked_at += num_tight;
        }
        self.looked_at += looked_at;
        self.effort.updates += looked_at as u64;
        least
    }

    /// Moves an activity to another level, held back by another: a crossing, its bound, or nothing any more.
    pub(super) fn retarget(&mut self, id: u32, level: f64, target: u32) {
        let before = self.level_of(id);
        let from = self.flows[id as usize].held;
        let remaining = self.release(id);
        let tight = self.tight_range(id);
        for at in tight.clone() {
            let crossing = self.arena.entries[at];
            let old = if crossing.link == from { 0.0 } else { before };
            let new = if number(at) == target { 0.0 } else { level };
            self.links[crossing.link as usize].shift(crossing.weight * (new - old), new);
        }
        self.hold(id, level, target, remaining);
        for at in tight.clone() {
            self.post(self.arena.entries[at].link as usize, level);
        }
        self.looked_at += tight.len();
        self.effort.updates += tight.len() as u64;
        self.effort.rerated += 1;
    }

    /// Lets go an activity from what holds it back; returns the work it has left.
    fn release(&mut self, id: u32) -> f64 {
        let flow = &self.flows[id as usize];
        let held = flow.held;
        if held == UNPLACED || held == GONE {
            return flow.remaining;
        }
        if held == BOUND {
            let moved = flow.bound * self.now.saturating_since(flow.since).as_secs();
            let remaining = (flow.remaining - moved).max(0.0);
            self.due.set(number(self.links.len()) + id, None);
            return remaining;
        }
        let link = held as usize;
        let at = self
            .tight_range(id)
            .find(|&at| self.arena.entries[at].link == held);
        self.read_clock(link);
        let crossing = self.arena.entries[at.expect("what holds it back is a link it crosses")];
        let end = self.members[link].release(crossing.position as usize, &mut self.arena.entries);
        let state = &mut self.links[link];
        let remaining = (end - self.clocks[link].moved).max(0.0);
        state.weight -= crossing.weight;
        if self.members[link].num_held() == 0 {
            state.weight = 0.0;
            state.level = f64::INFINITY;
            self.clocks[link].moved = 0.0;
        }
        self.mark_stale(link);
        remaining
    }

    /// Lets something hold back an activity that nothing does.
    fn hold(&mut self, id: u32, level: f64, target: u32, remaining: f64) {
        let now = self.now;
        let flow = &mut self.flows[id as usize];
        if target == GONE {
            flow.held = GONE;
            flow.remaining = remaining;
            return;
        }
        flow.since = now;
        flow.remaining = remaining;
        if target == BOUND {
            flow.held = BOUND;
            let time = instant(now, remaining / flow.bound);
            self.due.set(number(self.links.len()) + id, time);
            return;
        }
        let crossing = self.arena.entries[target as usize];
        flow.held = crossing.link;
        let link = crossing.link as usize;
        self.read_clock(link);
        let state = &mut self.links[link];
        state.weight += crossing.weight;
        if !state.level.is_finite() {
            state.level = level;
        }
        let end = self.clocks[link].moved + remaining;
        self.members[link].hold(crossing.position as usize, end, &mut self.arena.entries);
        self.mark_stale(link);
    }
}
