//! All rates at once, in a layout made for it: what [`Batched`](super::Batched) asks many times in a row.
//!
//! Rows are the activities under way, in order of start; every link lists the rows that cross it. Progressive
//! filling as in `refill`, with one short cut: a row's cap is looked at when one of its links comes up. Every
//! link's share is at least the one that came up, so a row with a cap below that share stops at its cap.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::link::SAME;
use super::number;

/// A row that nothing holds back yet.
const RISING: f64 = -1.0;

/// What filling changes on a link.
#[derive(Clone, Copy, Debug)]
struct Link {
    /// What the rows that stopped leave.
    left: f64,
    /// Load per level of those that rise.
    weight: f64,
    num_rising: u32,
}

impl Link {
    /// What each of those that rise can get.
    #[inline]
    fn share(&self) -> f64 {
        (self.left / self.weight).max(0.0)
    }
}

/// Who crosses what.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) capacities: Vec<f64>,
    /// The crossings of all rows, row by row.
    crossed: Vec<u32>,
    /// Beside them, bytes per second on the link for a level of one byte per second.
    weights: Vec<f64>,
    /// Where those of each row begin; one more entry ends the last.
    firsts: Vec<u32>,
    /// The weight of each row if it is the same on all of its links, which most are: a third of the memory
    /// to look at. No number otherwise.
    even: Vec<f64>,
    /// The rows that cross each link, link by link, and where those of each begin.
    members: Vec<u32>,
    member_firsts: Vec<u32>,
    /// Load per level and number of the rows that cross each link.
    whole: Vec<Link>,
    links: Vec<Link>,
    /// The level at which each link was full; infinite where it was not.
    pub(super) full_at: Vec<f64>,
    shares: BinaryHeap<Reverse<(u64, u32)>>,
    rising: Vec<u32>,
}

impl Table {
    pub(super) fn new(capacities: Vec<f64>) -> Self {
        let num = capacities.len();
        let idle = Link {
            left: 0.0,
            weight: 0.0,
            num_rising: 0,
        };
        Self {
            capacities,
            crossed: Vec::new(),
            weights: Vec::new(),
            firsts: vec![0],
            even: Vec::new(),
            members: Vec::new(),
            member_firsts: vec![0; num + 1],
            whole: vec![idle; num],
            links: vec![idle; num],
            full_at: vec![f64::INFINITY; num],
            shares: BinaryHeap::new(),
            rising: Vec::new(),
        }
    }

    /// Adds a row; [`Table::list`] comes before the next filling.
    pub(super) fn push(&mut self, crossings: impl Iterator<Item = (u32, f64)>) {
        let first = self.crossed.len();
        for (link, weight) in crossings {
            self.crossed.push(link);
            self.weights.push(weight);
        }
        self.firsts.push(number(self.crossed.len()));
        let weights = &self.weights[first..];
        let least = weights.iter().copied().fold(f64::INFINITY, f64::min);
        let most = weights.iter().copied().fold(0.0, f64::max);
        self.even.push(if least < most { f64::NAN } else { least });
    }

    /// Moves a row to an earlier place, where the rows before end; the last one moved is the last row.
    pub(super) fn shift(&mut self, row: usize, to: usize) {
        let range = self.range(row);
        let first = self.firsts[to];
        self.firsts[to + 1] = first + number(range.len());
        self.crossed.copy_within(range.clone(), first as usize);
        self.weights.copy_within(range, first as usize);
        self.even[to] = self.even[row];
    }

    /// Forgets all rows but the first `num`.
    pub(super) fn truncate(&mut self, num: usize) {
        self.firsts.truncate(num + 1);
        self.even.truncate(num);
        self.crossed.truncate(self.firsts[num] as usize);
        self.weights.truncate(self.firsts[num] as usize);
    }

    /// Where the crossings of a row are.
    #[inline]
    fn range(&self, row: usize) -> std::ops::Range<usize> {
        self.firsts[row] as usize..self.firsts[row + 1] as usize
    }

    /// The links that a row crosses.
    #[inline]
    pub(super) fn of(&self, row: usize) -> &[u32] {
        &self.crossed[self.range(row)]
    }

    /// Takes a row out of the sums of its links.
    pub(super) fn leave(&mut self, row: usize) {
        for at in self.range(row) {
            let link = &mut self.whole[self.crossed[at] as usize];
            link.weight -= self.weights[at];
            link.num_rising -= 1;
        }
    }

    /// Lists anew who crosses each link.
    pub(super) fn list(&mut self) {
        let num_rows = self.firsts.len() - 1;
        for link in &mut self.whole {
            link.weight = 0.0;
            link.num_rising = 0;
        }
        for (&link, weight) in self.crossed.iter().zip(&self.weights) {
            let link = &mut self.whole[link as usize];
            link.weight += weight;
            link.num_rising += 1;
        }
        let mut sum = 0;
        for (first, link) in self.member_firsts.iter_mut().zip(&self.whole) {
            *first = sum;
            sum += link.num_rising;
        }
        // Each first is where the next member goes; afterwards it is the end, one place on.
        let most = self.whole.iter().map(|link| link.num_rising).max();
        self.rising.resize(most.map_or(1, |most| most as usize + 1), 0);
        self.members.clear();
        self.members.resize(self.crossed.len(), 0);
        for row in 0..num_rows {
            for at in self.range(row) {
                let next = &mut self.member_firsts[self.crossed[at] as usize];
                self.members[*next as usize] = number(row);
                *next += 1;
            }
        }
        self.member_firsts.rotate_right(1);
        self.member_firsts[0] = 0;
    }

    /// Finds all levels, none above its cap; adds the rows that stop at their caps to `capped`.
    ///
    /// Rows without crossings get their caps. A negative cap is that of a row that has gone.
    pub(super) fn fill(&mut self, caps: &[f64], levels: &mut [f64], capped: &mut Vec<u32>) {
        for ((level, &cap), row) in levels.iter_mut().zip(caps).zip(0..) {
            *level = if cap < 0.0 { 0.0 } else { RISING };
            if self.firsts[row] == self.firsts[row + 1] && cap >= 0.0 {
                *level = cap;
                capped.push(number(row));
            }
        }
        let mut shares = std::mem::take(&mut self.shares).into_vec();
        for (at, ((link, whole), &capacity)) in self
            .links
            .iter_mut()
            .zip(&self.whole)
            .zip(&self.capacities)
            .enumerate()
        {
            *link = *whole;
            link.left = capacity;
            if link.num_rising > 0 {
                shares.push(Reverse((link.share().to_bits(), number(at))));
            }
        }
        self.shares = BinaryHeap::from(shares);
        self.full_at.fill(f64::INFINITY);
        while let Some(Reverse((_, link))) = self.shares.pop() {
            let state = &self.links[link as usize];
            if state.num_rising == 0 {
                continue;
            }
            let share = state.share();
            if self
                .shares
                .peek()
                .is_some_and(|&Reverse((next, _))| share.to_bits() > next)
            {
                self.shares.push(Reverse((share.to_bits(), link)));
                continue;
            }
            self.come_up(link as usize, share, caps, levels, capped);
        }
    }

    /// The share of `link` is the least: its rows with lower caps stop there; if there are none, all stop.
    fn come_up(&mut self, link: usize, share: f64, caps: &[f64], levels: &mut [f64], capped: &mut Vec<u32>) {
        let mut rising = std::mem::take(&mut self.rising);
        let members = self.member_firsts[link] as usize..self.member_firsts[link + 1] as usize;
        // Whether a member rises is anybody's guess: no branch on it.
        let mut num_rising = 0;
        for &row in &self.members[members] {
            rising[num_rising] = row;
            num_rising += usize::from(levels[row as usize] < 0.0);
        }
        let before = capped.len();
        let limit = share * (1.0 + SAME);
        let stops = |row: &&u32| caps[**row as usize] <= limit;
        capped.extend(rising[..num_rising].iter().filter(stops));
        for &row in &capped[before..] {
            self.stop::<false>(row as usize, caps[row as usize], levels, 0);
        }
        if capped.len() == before {
            self.full_at[link] = share;
            for &row in &rising[..num_rising] {
                self.stop::<true>(row as usize, share, levels, number(link));
            }
            self.links[link].num_rising = 0;
        } else if self.links[link].num_rising > 0 {
            let share = self.links[link].share();
            self.shares.push(Reverse((share.to_bits(), number(link))));
        }
        self.rising = rising;
    }

    /// A row stops at `level`; if `FULL`, the sums of `full` are of no use any more.
    #[inline]
    fn stop<const FULL: bool>(&mut self, row: usize, level: f64, levels: &mut [f64], full: u32) {
        levels[row] = level;
        let range = self.range(row);
        let even = self.even[row];
        let load = even * level;
        for at in range {
            let crossed = self.crossed[at];
            if FULL && crossed == full {
                continue;
            }
            let link = &mut self.links[crossed as usize];
            if even.is_nan() {
                link.left -= self.weights[at] * level;
                link.weight -= self.weights[at];
            } else {
                link.left -= load;
                link.weight -= even;
            }
            link.num_rising -= 1;
        }
    }
}
