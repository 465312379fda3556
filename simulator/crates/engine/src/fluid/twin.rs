//! The slow twin of the fast sharing: at every change all rates from scratch, and every flow integrated.
//!
//! It has the verbs of [`Fluid`](super::Fluid) and none of its ideas.

use orrery_taskgraph::PathUse;
use orrery_units::{BytesPerSec, IndexVec, LinkId, PathId, SimTime};

use super::activity::Activity;
use super::rate_or_none;
use super::reference::{self, Claim};
use super::solver::{FlowId, TOGETHER, instant};

#[derive(Clone, Debug)]
struct Flow {
    id: u32,
    owner: u32,
    claim: Claim,
    share: f64,
    /// Work left per share, at the last change.
    remaining: f64,
}

/// The activities under way and the rates they get, found the obvious way.
#[derive(Debug)]
pub struct Twin {
    links: Vec<f64>,
    paths: IndexVec<PathId, Vec<PathUse>>,
    flows: Vec<Flow>,
    levels: Vec<f64>,
    now: SimTime,
    dirty: bool,
    num_started: u32,
}

impl Twin {
    /// Idle links of these capacities.
    #[must_use]
    pub fn new(capacities: &[BytesPerSec]) -> Self {
        Self {
            links: capacities.iter().map(|rate| rate.get()).collect(),
            paths: IndexVec::new(),
            flows: Vec::new(),
            levels: Vec::new(),
            now: SimTime::ZERO,
            dirty: false,
            num_started: 0,
        }
    }

    /// Starts an activity.
    pub fn start(&mut self, activity: &Activity<'_>, now: SimTime) -> FlowId {
        activity.assert_sound();
        self.go_to(now);
        let path = self.paths.push(activity.crossings.to_vec());
        let id = self.num_started;
        self.num_started += 1;
        self.flows.push(Flow {
            id,
            owner: activity.owner,
            claim: Claim {
                path,
                bound: activity.highest_level(),
                multiplicity: activity.load(1.0),
            },
            share: activity.share.get(),
            remaining: activity.work.as_f64() / activity.share.get(),
        });
        self.dirty = true;
        FlowId(id)
    }

    /// Takes an activity away before its end.
    pub fn cancel(&mut self, flow: FlowId, now: SimTime) {
        self.go_to(now);
        self.flows.retain(|other| other.id != flow.0);
        self.dirty = true;
    }

    /// Changes what a link carries.
    pub fn set_capacity(&mut self, link: LinkId, capacity: BytesPerSec, now: SimTime) {
        self.go_to(now);
        self.links[link.index()] = capacity.get();
        self.dirty = true;
    }

    /// When the next activity ends, if any does.
    pub fn next_completion(&mut self) -> Option<SimTime> {
        self.settle();
        let ends = self.flows.iter().zip(&self.levels);
        ends.filter_map(|(flow, level)| instant(self.now, flow.remaining / level))
            .min()
    }

    /// Lets time pass until `now`, and adds the owners of the activities that end then, in order of start.
    pub fn advance(&mut self, now: SimTime, ended: &mut Vec<u32>) {
        self.settle();
        let ends = self.flows.iter().zip(&self.levels);
        let due = |(flow, level): (&Flow, &f64)| instant(self.now, flow.remaining / level) == Some(now);
        let mut gone: Vec<bool> = ends.map(due).collect();
        self.go_to(now);
        for ((flow, level), gone) in self.flows.iter().zip(&self.levels).zip(&mut gone) {
            *gone |= flow.remaining <= level * TOGETHER;
        }
        let mut at = gone.iter();
        self.flows.retain(|flow| {
            let goes = *at.next().expect("one mark per flow");
            if goes {
                ended.push(flow.owner);
            }
            !goes
        });
        self.dirty |= gone.contains(&true);
    }

    /// The rate of an activity under way.
    pub fn rate(&mut self, flow: FlowId) -> BytesPerSec {
        self.settle();
        let mut all = self.flows.iter().zip(&self.levels);
        let (flow, level) = all
            .find(|(other, _)| other.id == flow.0)
            .expect("it is under way");
        let rate = level * flow.share;
        rate_or_none(rate)
    }

    fn go_to(&mut self, now: SimTime) {
        if now == self.now {
            return;
        }
        self.settle();
        let elapsed = now.saturating_since(self.now).as_secs();
        for (flow, level) in self.flows.iter_mut().zip(&self.levels) {
            flow.remaining = (flow.remaining - level * elapsed).max(0.0);
        }
        self.now = now;
    }

    fn settle(&mut self) {
        if self.dirty {
            self.dirty = false;
            let claims: Vec<Claim> = self.flows.iter().map(|flow| flow.claim).collect();
            reference::solve(&self.links, &self.paths, &claims, &mut self.levels);
        }
    }
}
