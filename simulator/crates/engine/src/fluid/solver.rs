//! The fast sharing: exact weighted max-min rates, kept up to date while activities come and go.
//!
//! Every activity is held back by one thing: a link that is full, or its own bound. All that one link holds
//! back run at one *level* (rate over share), so a link carries one virtual clock for them, one heap by the
//! clock reading at which each ends, and one entry in the completion queue: a changed share costs one update
//! there, and activities of which nothing changed are not touched. After `network.md` §3.2, with two changes:
//! the invariant is kept on links, not flows, and repair goes in the order of levels (see `relax`).
//!
//! State of a link: `capacity = fixed + weight · level` when it holds anybody back, where `fixed` is the load
//! of those held back elsewhere and `weight` the summed load per level of those held back here. An activity's
//! level is always the least of its links' levels and its bound; so only that one equation can be off.

use std::collections::BinaryHeap;

use orrery_units::{BytesPerSec, LinkId, SimDuration, SimTime};

use super::activity::Activity;
use super::arena::{Arena, Crossing, Span};
use super::due::Due;
use super::link::{Clock, Link, Worklist, post};
use super::members::{Member, Members};
use super::slack::{Limit, Slack};
use super::totals::Account;
use super::{number, rate_or_none};

/// Activities due within this time (a tenth of a picosecond) end together.
pub(super) const TOGETHER: f64 = 1e-13;
/// Longer than simulated time lasts: an activity so slow stands still.
pub(super) const NEVER: f64 = 1.8e7;

/// What holds an activity back, where it is no link.
pub(super) const BOUND: u32 = u32::MAX;
/// It has come, and has no rate yet.
pub(super) const UNPLACED: u32 = u32::MAX - 1;
/// It has gone.
pub(super) const GONE: u32 = u32::MAX - 2;

/// An activity under way; only the solver that made it knows what it means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FlowId(pub(super) u32);

/// How much work the solver has done, to judge it by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Effort {
    /// Instants at which rates were found.
    pub solves: u64,
    /// How many of them found all rates anew.
    pub refills: u64,
    /// Links given another level by local repair.
    pub relaxed: u64,
    /// Activities given another level by local repair.
    pub rerated: u64,
    /// Crossings whose load local repair wrote anew.
    pub updates: u64,
}

#[derive(Clone, Debug)]
pub(super) struct Flow {
    pub(super) owner: u32,
    /// The link that holds it back, or one of the marks above.
    pub(super) held: u32,
    pub(super) span: Span,
    /// Highest level.
    pub(super) bound: f64,
    /// Work left per share, at `since`; only while no link holds it back.
    pub(super) remaining: f64,
    /// Work at its start, per share.
    pub(super) work: f64,
    pub(super) since: SimTime,
    pub(super) limit: Limit,
    share: f64,
    /// Counts starts.
    pub(super) sequence: u64,
}

/// The activities under way and the rates they get.
///
/// Changes are collected and take effect together: rates are found once per instant, when the next
/// completion is asked for or time goes on.
///
/// ```
/// use orrery_engine::fluid::{Activity, Fluid};
/// use orrery_taskgraph::PathUse;
/// use orrery_units::{Bytes, BytesPerSec, LinkId, SimTime};
/// let mut fluid = Fluid::new(&[BytesPerSec::new(100.0)]);
/// let crossings = [PathUse { link: LinkId::new(0), weight: 1.0 }];
/// fluid.start(&Activity::new(7, Bytes::new(50), &crossings), SimTime::ZERO);
/// fluid.start(&Activity::new(8, Bytes::new(100), &crossings), SimTime::ZERO);
/// let first = fluid.next_completion().expect("two activities are under way");
/// assert_eq!(first.as_secs(), 1.0);
/// let mut ended = Vec::new();
/// fluid.advance(first, &mut ended);
/// assert_eq!(ended, [7]);
/// assert_eq!(fluid.next_completion().map(|time| time.as_secs()), Some(1.5));
/// ```
#[derive(Debug)]
pub struct Fluid {
    pub(super) links: Vec<Link>,
    pub(super) clocks: Vec<Clock>,
    pub(super) accounts: Vec<Account>,
    pub(super) slack: Vec<Slack>,
    pub(super) members: Vec<Members>,
    pub(super) flows: Vec<Flow>,
    /// Of each activity, how many of its links are tight.
    pub(super) num_tight: Vec<u32>,
    free: Vec<u32>,
    pub(super) arena: Arena,
    pub(super) due: Due,
    pub(super) now: SimTime,
    pub(super) worklist: Worklist,
    /// Activities that have come and have no rate yet.
    pub(super) unplaced: Vec<u32>,
    /// Links whose entry in the completion queue is out of date.
    stale: Vec<u32>,
    ended: Vec<(u64, u32)>,
    pub(super) scratch: Vec<super::relax::Candidate>,
    pub(super) filling: super::refill::Scratch,
    /// Crossings of tight links by activities under way.
    pub(super) num_crossings: usize,
    /// Crossings looked at in this solve.
    pub(super) looked_at: usize,
    sequence: u64,
    pub(super) effort: Effort,
}

impl Fluid {
    /// Idle links of these capacities.
    #[must_use]
    pub fn new(capacities: &[BytesPerSec]) -> Self {
        Self {
            links: capacities.iter().map(|rate| Link::new(rate.get())).collect(),
            clocks: vec![Clock::NEW; capacities.len()],
            accounts: vec![Account::default(); capacities.len()],
            slack: vec![Slack::default(); capacities.len()],
            members: capacities.iter().map(|_| Members::default()).collect(),
            flows: Vec::new(),
            num_tight: Vec::new(),
            free: Vec::new(),
            arena: Arena::default(),
            due: Due::default(),
            now: SimTime::ZERO,
            worklist: BinaryHeap::new(),
            unplaced: Vec::new(),
            stale: Vec::new(),
            ended: Vec::new(),
            scratch: Vec::new(),
            filling: super::refill::Scratch::default(),
            num_crossings: 0,
            looked_at: 0,
            sequence: 0,
            effort: Effort::default(),
        }
    }

    /// Starts an activity.
    ///
    /// # Panics
    /// When time runs backwards or past a completion, or nothing limits the activity.
    pub fn start(&mut self, activity: &Activity<'_>, now: SimTime) -> FlowId {
        activity.assert_sound();
        self.go_to(now);
        let span = self.arena.take(activity.crossings.len());
        let flow = Flow {
            owner: activity.owner,
            held: UNPLACED,
            span,
            bound: activity.highest_level(),
            remaining: activity.work.as_f64() / activity.share.get(),
            work: activity.work.as_f64() / activity.share.get(),
            since: now,
            limit: Limit::NONE,
            share: activity.share.get(),
            sequence: self.sequence,
        };
        self.sequence += 1;
        let id = if let Some(id) = self.free.pop() {
            self.flows[id as usize] = flow;
            id
        } else {
            self.flows.push(flow);
            self.num_tight.push(0);
            number(self.flows.len() - 1)
        };
        self.join(id, span, activity);
        self.relimit(id);
        self.unplaced.push(id);
        FlowId(id)
    }

    fn join(&mut self, id: u32, span: Span, activity: &Activity<'_>) {
        for (slot, usage) in (0..span.len).zip(activity.crossings) {
            let link = usage.link.index();
            self.arena.entries[(span.first + slot) as usize] = Crossing {
                link: usage.link.get(),
                position: 0,
                weight: activity.load(usage.weight),
            };
            let member = Member {
                end: 0.0,
                flow: id,
                span,
                slot,
            };
            if self.members[link].all.is_empty() {
                self.accounts[link].since = self.now;
            }
            self.members[link].join(member, &mut self.arena.entries);
        }
    }

    /// Takes an activity away before its end.
    ///
    /// # Panics
    /// When it is not under way, or time runs backwards or past a completion.
    pub fn cancel(&mut self, flow: FlowId, now: SimTime) {
        self.go_to(now);
        assert!(
            self.flows[flow.0 as usize].held != GONE,
            "an activity that has ended is not cancelled"
        );
        self.unplaced.retain(|&id| id != flow.0);
        self.take_away(flow.0);
    }

    /// Changes what a link carries; `BytesPerSec::default()`, which is none, takes it down.
    ///
    /// # Panics
    /// When time runs backwards or past a completion.
    pub fn set_capacity(&mut self, link: LinkId, capacity: BytesPerSec, now: SimTime) {
        self.go_to(now);
        let link = link.index();
        self.links[link].capacity = capacity.get();
        for position in 0..self.members[link].all.len() {
            self.relimit(self.members[link].all[position].flow);
        }
        if self.slack[link].tight {
            self.post(link, 0.0);
            self.mark_stale(link);
        }
    }

    /// When the next activity ends, if any does.
    pub fn next_completion(&mut self) -> Option<SimTime> {
        self.settle();
        self.due.first().map(|(time, _)| time)
    }

    /// Lets time pass until `now`, and adds the owners of the activities that end then, in order of start.
    ///
    /// # Panics
    /// When time runs backwards or past a completion.
    pub fn advance(&mut self, now: SimTime, ended: &mut Vec<u32>) {
        self.go_to(now);
        let mut found = std::mem::take(&mut self.ended);
        while let Some((time, clock)) = self.due.first()
            && time == now
        {
            if clock as usize >= self.links.len() {
                let flow = clock - number(self.links.len());
                found.push((self.flows[flow as usize].sequence, flow));
                self.due.set(clock, None);
            } else {
                self.end_held(clock as usize, &mut found);
            }
        }
        found.sort_unstable();
        for &(_, flow) in &found {
            ended.push(self.flows[flow as usize].owner);
            self.take_away(flow);
        }
        found.clear();
        self.ended = found;
    }

    /// Collects those whose end the clock of `link` has reached: the first of its heap at least.
    fn end_held(&mut self, link: usize, found: &mut Vec<(u64, u32)>) {
        self.read_clock(link);
        let reached = self.clocks[link].moved + self.links[link].level * TOGETHER;
        // The children of a member end no earlier than it: the search stops where the clock does.
        let held = self.members[link].held();
        let from = found.len();
        found.push((0, 0));
        let mut next = from;
        while next < found.len() {
            let (_, at) = found[next];
            found[next] = (
                self.flows[held[at as usize].flow as usize].sequence,
                held[at as usize].flow,
            );
            let first = 4 * at as usize + 1;
            let children = (first..).zip(held.iter().skip(first).take(4));
            let due = children.filter(|(_, child)| child.end <= reached);
            found.extend(due.map(|(child, _)| (0, number(child))));
            next += 1;
        }
        self.due.set(number(link), None);
        self.mark_stale(link);
    }

    fn take_away(&mut self, flow: u32) {
        let span = self.flows[flow as usize].span;
        self.retarget(flow, 0.0, GONE);
        let moved = self.flows[flow as usize].work - self.flows[flow as usize].remaining;
        let tight = self.tight_range(flow);
        for at in span.range() {
            let Crossing {
                link,
                position,
                weight,
            } = self.arena.entries[at];
            let link = link as usize;
            self.accounts[link].bytes += weight * moved;
            self.members[link].leave(position as usize, &mut self.arena.entries);
            self.unlimit(flow, link, weight);
            if at < tight.end {
                self.links[link].num_coupled -= u32::from(tight.len() > 1);
                if self.members[link].others().is_empty() {
                    self.links[link].fixed = 0.0;
                    self.links[link].fastest = 0.0;
                }
                self.mark_stale(link);
            }
            if self.members[link].all.is_empty() {
                let account = &mut self.accounts[link];
                account.busy += self.now.saturating_since(account.since);
            }
        }
        self.num_crossings -= tight.len();
        self.num_tight[flow as usize] = 0;
        self.arena.give(span);
        self.free.push(flow);
    }

    /// Moves to `now`; rates are found first, if anything changed at an earlier instant.
    fn go_to(&mut self, now: SimTime) {
        if now == self.now {
            return;
        }
        assert!(now > self.now, "time does not run backwards");
        self.settle();
        let passed = self.due.first().is_some_and(|(time, _)| time < now);
        assert!(!passed, "completions are taken before time goes on");
        self.now = now;
    }

    /// Finds the rates, if anything changed.
    fn settle(&mut self) {
        if !self.unplaced.is_empty() || !self.worklist.is_empty() {
            self.effort.solves += 1;
            self.solve();
        }
        while let Some(link) = self.stale.pop() {
            self.publish(link as usize);
        }
    }

    /// Sets when the first of those that `link` holds back ends.
    fn publish(&mut self, link: usize) {
        self.read_clock(link);
        let clock = &mut self.clocks[link];
        clock.stale = false;
        let first = self.members[link].held().first();
        let left = first.map(|first| (first.end - clock.moved).max(0.0) / self.links[link].level);
        self.due
            .set(number(link), left.and_then(|left| instant(self.now, left)));
        self.loosen_if_slack(link);
    }

    /// Brings the clock of a link to now.
    #[inline]
    pub(super) fn read_clock(&mut self, link: usize) {
        let clock = &mut self.clocks[link];
        if clock.since != self.now {
            let level = self.links[link].level;
            if level.is_finite() {
                clock.moved += level * self.now.saturating_since(clock.since).as_secs();
            }
            clock.since = self.now;
        }
    }

    #[inline]
    pub(super) fn mark_stale(&mut self, link: usize) {
        if !self.clocks[link].stale {
            self.clocks[link].stale = true;
            self.stale.push(number(link));
        }
    }

    /// Puts a link in the worklist if it is off; `level` ranks it when it holds nobody back.
    pub(super) fn post(&mut self, link: usize, level: f64) {
        post(&mut self.links[link], &mut self.worklist, number(link), level);
    }

    /// The level of an activity.
    #[inline]
    pub(super) fn level_of(&self, flow: u32) -> f64 {
        let flow = &self.flows[flow as usize];
        match flow.held {
            BOUND => flow.bound,
            UNPLACED | GONE => 0.0,
            link => self.links[link as usize].level,
        }
    }

    /// The rate of an activity under way, as of the last time that rates were found.
    #[must_use]
    pub fn rate(&self, flow: FlowId) -> BytesPerSec {
        let rate = self.level_of(flow.0) * self.flows[flow.0 as usize].share;
        rate_or_none(rate)
    }

    /// How many activities are under way.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.flows.len() - self.free.len()
    }

    /// Whether nothing is under way.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How much work it has done.
    #[must_use]
    pub const fn effort(&self) -> Effort {
        self.effort
    }
}

/// `left` seconds after `now`, rounded up to a picosecond; nothing when that is beyond simulated time.
pub(super) fn instant(now: SimTime, left: f64) -> Option<SimTime> {
    (left < NEVER).then(|| now + SimDuration::from_secs(left))
}
