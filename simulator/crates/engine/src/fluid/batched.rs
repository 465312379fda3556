//! Sharing within a stated tolerance: all that ends within a short window is found by one filling.
//!
//! The fast sharing finds rates after every end, and in a skewed all-to-all every end moves most rates a
//! little. Here rates are found once per *window*, a stated part of the age of the youngest activity, as
//! averages over the window: an activity that ends in it is asked for no more than it has left, spread over
//! the window, and what it leaves goes to the others at once, at its average. Where nobody's bottleneck
//! changes within a window, averages of fair rates are fair rates of averages, and those who go on have moved
//! what they should at its end: errors do not add up. Those who end in the window do so when the average
//! level of their bottleneck says, never outside it.
//!
//! A start, a cancel or a change of a link ends the window at once. Nothing is local here: each window costs
//! a look at everything under way, so this is for bursts of many flows that couple each other; streams of
//! flows over many links are the business of [`Fluid`](super::Fluid).
//!
//! The tolerance is measured, not proven. On the skewed all-to-all of 1 GiB per host, at a tolerance of 1e-3,
//! no end is off by more than 2.7e-4 on 64 hosts, 3.0e-4 on 128, 5.0e-4 on 256 and 7.7e-4 on 512. What one
//! link is off by falls on those that it holds back: where they are a small part of its load, they may be off
//! by more. Of 12,000 random cases one exceeds its tolerance, by a factor of 1.7.

use orrery_taskgraph::PathUse;
use orrery_units::{BytesPerSec, LinkId, Ratio, SimDuration, SimTime};

use super::activity::Activity;
use super::filling::Table;
use super::solver::{Effort, FlowId, instant};
use super::{number, rate_or_none};

/// A window is so much of the tolerance times the age of the youngest: an end is off by a window, where it
/// falls in it, and by what its links are off, which the rest is for.
const PART: f64 = 0.6;
/// The row of an activity that has gone.
const GONE: u32 = u32::MAX;

/// What filling does not look at.
#[derive(Clone, Copy, Debug)]
struct Row {
    owner: u32,
    id: u32,
    sequence: u64,
    share: f64,
    /// Highest level.
    bound: f64,
}

/// The activities under way and their rates, with ends that are true within a tolerance.
#[derive(Debug)]
pub struct Batched {
    tolerance: f64,
    table: Table,
    rows: Vec<Row>,
    /// Work left per share, at `from`, in order of rows like all that follows.
    remaining: Vec<f64>,
    levels: Vec<f64>,
    /// Levels in the window before, which ended at `from`.
    earlier: Vec<f64>,
    caps: Vec<f64>,
    num_gone: usize,
    /// Whether links list all rows.
    listed: bool,
    /// The row of each activity, and which numbers are free.
    places: Vec<u32>,
    free: Vec<u32>,
    now: SimTime,
    /// The window that was looked at last; `now` may be before it.
    from: SimTime,
    until: SimTime,
    /// Who ends in it, last first.
    ending: Vec<(SimTime, u64, u32)>,
    capped: Vec<u32>,
    /// Whether rates are to be found at `now`.
    dirty: bool,
    youngest: SimTime,
    sequence: u64,
    effort: Effort,
}

impl Batched {
    /// Idle links of these capacities; ends may be off by `tolerance` of the duration of their activity.
    #[must_use]
    pub fn new(capacities: &[BytesPerSec], tolerance: Ratio) -> Self {
        Self {
            tolerance: tolerance.get(),
            table: Table::new(capacities.iter().map(|rate| rate.get()).collect()),
            rows: Vec::new(),
            remaining: Vec::new(),
            levels: Vec::new(),
            earlier: Vec::new(),
            caps: Vec::new(),
            num_gone: 0,
            listed: true,
            places: Vec::new(),
            free: Vec::new(),
            now: SimTime::ZERO,
            from: SimTime::ZERO,
            until: SimTime::ZERO,
            ending: Vec::new(),
            capped: Vec::new(),
            dirty: false,
            youngest: SimTime::ZERO,
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
        self.interrupt(now);
        let id = self.free.pop().unwrap_or_else(|| {
            self.places.push(GONE);
            number(self.places.len() - 1)
        });
        self.places[id as usize] = number(self.rows.len());
        self.rows.push(Row {
            owner: activity.owner,
            id,
            sequence: self.sequence,
            share: activity.share.get(),
            bound: activity.highest_level(),
        });
        self.sequence += 1;
        self.remaining.push(activity.work.as_f64() / activity.share.get());
        self.levels.push(0.0);
        let crossing = |usage: &PathUse| (usage.link.get(), activity.load(usage.weight));
        self.table.push(activity.crossings.iter().map(crossing));
        self.listed = false;
        self.youngest = now;
        FlowId(id)
    }

    /// Takes an activity away before its end.
    ///
    /// # Panics
    /// When it is not under way, or time runs backwards or past a completion.
    pub fn cancel(&mut self, flow: FlowId, now: SimTime) {
        self.interrupt(now);
        let row = self.places[flow.0 as usize];
        assert!(row != GONE, "an activity that has ended is not cancelled");
        self.take_away(row as usize);
    }

    /// Changes what a link carries; `BytesPerSec::default()`, which is none, takes it down.
    ///
    /// # Panics
    /// When time runs backwards or past a completion.
    pub fn set_capacity(&mut self, link: LinkId, capacity: BytesPerSec, now: SimTime) {
        self.interrupt(now);
        self.table.capacities[link.index()] = capacity.get();
    }

    /// When the next activity ends, if any does.
    pub fn next_completion(&mut self) -> Option<SimTime> {
        if self.dirty {
            self.dirty = false;
            self.look(self.now);
        }
        while self.ending.is_empty() && !self.is_empty() && self.until < SimTime::MAX {
            self.pass(self.until);
            self.look(self.until);
        }
        self.ending.last().map(|&(time, ..)| time)
    }

    /// Lets time pass until `now`, and adds the owners of the activities that end then, in order of start.
    ///
    /// # Panics
    /// When time runs backwards or past a completion.
    pub fn advance(&mut self, now: SimTime, ended: &mut Vec<u32>) {
        self.go_to(now);
        while let Some((_, _, row)) = self.ending.pop_if(|&mut (time, ..)| time == now) {
            ended.push(self.rows[row as usize].owner);
            self.take_away(row as usize);
        }
    }

    fn take_away(&mut self, row: usize) {
        let id = self.rows[row].id;
        self.places[id as usize] = GONE;
        self.free.push(id);
        self.rows[row].id = GONE;
        self.levels[row] = 0.0;
        self.num_gone += 1;
        if self.listed {
            self.table.leave(row);
        }
    }

    fn go_to(&mut self, now: SimTime) {
        if now == self.now {
            return;
        }
        assert!(now > self.now, "time does not run backwards");
        let passed = self.next_completion().is_some_and(|time| time < now);
        assert!(!passed, "completions are taken before time goes on");
        self.now = now;
    }

    /// Lets time pass until `now`, where the window ends.
    fn interrupt(&mut self, now: SimTime) {
        self.go_to(now);
        if self.dirty {
            return;
        }
        self.dirty = true;
        if now < self.from {
            // The next window has been looked at: back to where the one before is now.
            let back = self.from.saturating_since(now).as_secs();
            for (remaining, level) in self.remaining.iter_mut().zip(&self.earlier) {
                *remaining += level * back;
            }
            self.from = now;
        } else {
            for &(time, _, row) in &self.ending {
                // At the pace at which it would have ended then.
                let whole = time.saturating_since(self.from).as_secs();
                let row = row as usize;
                if whole > 0.0 {
                    self.levels[row] = self.remaining[row] / whole;
                }
            }
            self.pass(now);
        }
        self.ending.clear();
    }

    /// Everybody moves on at its level.
    fn pass(&mut self, until: SimTime) {
        let elapsed = until.saturating_since(self.from).as_secs();
        for (remaining, level) in self.remaining.iter_mut().zip(&self.levels) {
            *remaining = (*remaining - level * elapsed).max(0.0);
        }
        self.from = until;
    }

    /// Finds rates from `from` on, and who ends until when.
    fn look(&mut self, at: SimTime) {
        self.from = at;
        self.effort.solves += 1;
        if !self.listed || 4 * self.num_gone > self.rows.len() {
            self.compact();
        }
        let age = at.saturating_since(self.youngest).as_secs();
        let window = SimDuration::from_secs(PART * self.tolerance * age);
        let pace = 1.0 / window.as_secs();
        self.caps.clear();
        let cap = |(row, &remaining): (&Row, &f64)| {
            if row.id == GONE {
                -1.0
            } else if window.is_zero() {
                row.bound
            } else {
                row.bound.min(remaining * pace)
            }
        };
        self.caps.extend(self.rows.iter().zip(&self.remaining).map(cap));
        std::mem::swap(&mut self.levels, &mut self.earlier);
        self.levels.resize(self.rows.len(), 0.0);
        self.capped.clear();
        self.table.fill(&self.caps, &mut self.levels, &mut self.capped);
        self.until = at + window;
        let mut capped = std::mem::take(&mut self.capped);
        for row in capped.drain(..) {
            if self.caps[row as usize] < self.rows[row as usize].bound {
                self.end_within(row);
            }
        }
        self.capped = capped;
        if self.ending.is_empty() {
            self.wait_for_the_first();
        }
        self.ending.sort_unstable_by(|one, other| other.cmp(one));
    }

    /// An activity ends in this window: when its bottleneck says.
    fn end_within(&mut self, row: u32) {
        let at = row as usize;
        let links = self.table.of(at).iter();
        let full_at = links.map(|&link| self.table.full_at[link as usize]);
        let mut level = full_at.fold(self.rows[at].bound, f64::min);
        if !level.is_finite() {
            level = self.earlier[at];
        }
        let level = (0.5 * (level + self.earlier[at])).max(self.caps[at]);
        let left = if level > 0.0 {
            self.remaining[at] / level
        } else {
            0.0
        };
        let time = instant(self.from, left).map_or(self.until, |time| time.min(self.until));
        self.ending.push((time, self.rows[at].sequence, row));
    }

    /// Nobody ends within the window: rates stay until somebody does.
    fn wait_for_the_first(&mut self) {
        self.until = SimTime::MAX;
        for (row, (remaining, level)) in (0..).zip(self.remaining.iter().zip(&self.levels)) {
            let sequence = self.rows[row as usize].sequence;
            if self.rows[row as usize].id == GONE {
                continue;
            }
            if let Some(time) = instant(self.from, remaining / level)
                && time <= self.until
            {
                if time < self.until {
                    self.ending.clear();
                    self.until = time;
                }
                self.ending.push((time, sequence, row));
            }
        }
    }

    /// Forgets the rows of those that have gone, and lists who crosses which link.
    fn compact(&mut self) {
        let mut kept = 0;
        for row in 0..self.rows.len() {
            if self.rows[row].id == GONE {
                continue;
            }
            self.table.shift(row, kept);
            self.rows[kept] = self.rows[row];
            self.remaining[kept] = self.remaining[row];
            self.levels[kept] = self.levels[row];
            self.places[self.rows[row].id as usize] = number(kept);
            kept += 1;
        }
        self.table.truncate(kept);
        self.rows.truncate(kept);
        self.remaining.truncate(kept);
        self.levels.truncate(kept);
        self.num_gone = 0;
        self.table.list();
        self.listed = true;
    }

    /// The rate of an activity under way: its average over the window.
    pub fn rate(&mut self, flow: FlowId) -> BytesPerSec {
        self.next_completion();
        let row = self.places[flow.0 as usize] as usize;
        let levels = if self.now < self.from {
            &self.earlier
        } else {
            &self.levels
        };
        let rate = levels[row] * self.rows[row].share;
        rate_or_none(rate)
    }

    /// How many activities are under way.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.rows.len() - self.num_gone
    }

    /// Whether nothing is under way.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How often it has found rates.
    #[must_use]
    pub const fn effort(&self) -> Effort {
        self.effort
    }
}
