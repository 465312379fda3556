//! The links that flows share, as the loop sees them: flows join, and the next end is one event.
//!
//! Flows on private paths never come here; their end is known when they start. Flows that meet are one activity
//! over the links of all of them: a collective moves as its slowest party does.

use orrery_taskgraph::{CapacityChange, PathUse, Resources};
use orrery_units::{Bytes, BytesPerSec, Factor, SimTime};

use crate::fluid::{Activity, Fluid, LinkTotals};
use crate::series::{LinkSeries, Sampler};

/// The flows under way over shared links.
#[derive(Debug)]
pub(crate) struct Network {
    fluid: Fluid,
    /// Whether flows came or went since the next end was last found.
    dirty: bool,
    /// Lanes whose flows have ended; kept to be used again.
    ended: Vec<u32>,
    /// Weight on each link of the activity that is about to join; zero between two.
    weights: Vec<f64>,
    /// What it crosses: first its links, then with their weights.
    crossings: Vec<PathUse>,
    /// What links carry as they were given, by which the busiest port of an activity is found.
    capacities: Vec<BytesPerSec>,
    /// Changes to come, the last of which comes first.
    changes: Vec<CapacityChange>,
    sampler: Sampler,
}

impl Network {
    /// The links of `resources`, read `samples` times at most.
    pub(crate) fn new(resources: &Resources, samples: u32) -> Self {
        let capacities: Vec<BytesPerSec> = resources.links.iter().map(|link| link.capacity).collect();
        let mut changes = resources.changes.clone();
        changes.sort_by_key(|change| std::cmp::Reverse(change.at));
        Self {
            weights: vec![0.0; capacities.len()],
            crossings: Vec::new(),
            capacities: capacities.clone(),
            changes,
            sampler: Sampler::new(if capacities.is_empty() { 0 } else { samples }),
            fluid: Fluid::new(&capacities),
            dirty: false,
            ended: Vec::new(),
        }
    }

    /// Whether the next end may have moved.
    #[inline]
    pub(crate) const fn is_dirty(&self) -> bool {
        self.dirty
    }

    /// Adds a path to what is about to join, `share` times: bytes of its flow per byte of the whole.
    pub(crate) fn load(&mut self, path: &[PathUse], share: f64) {
        for usage in path {
            let weight = &mut self.weights[usage.link.index()];
            if *weight == 0.0 {
                self.crossings.push(*usage);
            }
            *weight += usage.weight * share;
        }
    }

    /// Lets what was loaded join at `now`, as one activity of lane `owner` that stands for `copies` like it.
    ///
    /// Its fair share counts at its busiest port: there it gets as many bytes per second as everybody else.
    pub(crate) fn join(&mut self, owner: u32, work: Bytes, bound: BytesPerSec, copies: u32, now: SimTime) {
        self.change_until(now);
        let (mut busiest, mut time) = (1.0, 0.0);
        for crossing in &mut self.crossings {
            crossing.weight = std::mem::take(&mut self.weights[crossing.link.index()]);
            let takes = crossing.weight / self.capacities[crossing.link.index()].get();
            if takes > time {
                (busiest, time) = (crossing.weight, takes);
            }
        }
        let activity = Activity {
            owner,
            work,
            bound: Some(bound),
            share: Factor::new(1.0 / busiest).unwrap_or(Factor::ONE),
            multiplicity: copies,
            crossings: &self.crossings,
        };
        self.fluid.start(&activity, now);
        self.crossings.clear();
        self.dirty = true;
    }

    /// When the next flow ends or a link changes under one, as of all that came and went so far.
    pub(crate) fn next_event(&mut self) -> Option<SimTime> {
        self.dirty = false;
        let end = self.fluid.next_completion();
        let change = self.changes.last().filter(|_| !self.fluid.is_empty());
        match (end, change) {
            (Some(end), Some(change)) => Some(end.min(change.at)),
            (end, change) => end.or_else(|| change.map(|change| change.at)),
        }
    }

    /// The lanes whose flows end at `now`, in the order in which these joined; [`Network::give_back`] the list.
    pub(crate) fn take_ended(&mut self, now: SimTime) -> Vec<u32> {
        let mut ended = std::mem::take(&mut self.ended);
        self.fluid.advance(now, &mut ended);
        self.change_until(now);
        self.dirty = true;
        ended
    }

    /// Applies the changes that are due at `now`; while nothing moves they are let lie.
    fn change_until(&mut self, now: SimTime) {
        while let Some(change) = self.changes.pop_if(|change| change.at <= now) {
            self.fluid.set_capacity(change.link, change.capacity, now);
        }
    }

    /// Takes the list back.
    pub(crate) fn give_back(&mut self, mut ended: Vec<u32>) {
        ended.clear();
        self.ended = ended;
    }

    /// Takes the readings that are due by `now`, which no end and no change comes before.
    pub(crate) fn sample_until(&mut self, now: SimTime) {
        while let Some(at) = self.sampler.due(now) {
            self.sampler.keep(&self.fluid.link_totals(at));
        }
    }

    /// What every link carried until `now`, in all and over time.
    pub(crate) fn finish(self, now: SimTime) -> (Vec<LinkTotals>, LinkSeries) {
        let totals = self.fluid.link_totals(now);
        let series = self.sampler.finish(now, &totals);
        (totals, series)
    }
}

/// Whether a flow over `crossings` shares nothing with anybody.
#[inline]
pub(crate) const fn is_private(crossings: &[PathUse]) -> bool {
    crossings.is_empty()
}
