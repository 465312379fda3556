//! Flows that share links: weighted max-min fair rates, and the instants at which flows end.
//!
//! [`Fluid`] is the fast sharing, [`Twin`] the slow and obvious one with the same verbs, [`check_fair`] says
//! of any rates whether they are fair. None of them knows what a link is. Flows on private paths never come
//! here.

mod activity;
mod arena;
mod due;
mod fairness;
mod link;
mod members;
mod reference;
mod refill;
mod relax;
mod solver;
mod twin;

pub use activity::Activity;
pub use fairness::{Rated, Unfair, check_fair};
pub use solver::{Effort, FlowId, Fluid};
pub use twin::Twin;

use orrery_taskgraph::{PathUse, Resources};
use orrery_units::{IndexVec, PathId, SimDuration, SimTime};

/// The number of a position in a table.
#[inline]
#[expect(
    clippy::cast_possible_truncation,
    reason = "tables hold fewer than 2^32 entries"
)]
fn number(position: usize) -> u32 {
    debug_assert!(
        u32::try_from(position).is_ok(),
        "tables hold fewer than 2^32 entries"
    );
    position as u32
}

/// What one flow asks of the links.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Claim {
    /// The weighted links it crosses.
    pub(crate) path: PathId,
    /// Its fastest rate, in bytes per second.
    pub(crate) bound: f64,
    /// How many like flows it stands for: it loads its links so much more.
    pub(crate) multiplicity: f64,
}

/// The solver's side of the interface: rates of `claims`, in their order, into `rates`.
///
/// Weighted max-min fairness: no flow can be faster without a link overloaded, a bound broken, or a flow
/// slowed that is not faster.
type Solver =
    fn(links: &[f64], paths: &IndexVec<PathId, Vec<PathUse>>, claims: &[Claim], rates: &mut Vec<f64>);

#[derive(Clone, Copy, Debug)]
struct Flow {
    owner: u32,
    claim: Claim,
    /// Bytes left at `since`.
    remaining: f64,
    since: SimTime,
    rate: f64,
}

/// The flows under way.
#[derive(Debug)]
pub(crate) struct Network {
    links: Vec<f64>,
    paths: IndexVec<PathId, Vec<PathUse>>,
    flows: Vec<Flow>,
    claims: Vec<Claim>,
    rates: Vec<f64>,
    dirty: bool,
    solver: Solver,
}

impl Network {
    pub(crate) fn new(resources: &Resources) -> Self {
        Self {
            links: resources.links.iter().map(|link| link.capacity.get()).collect(),
            paths: resources.paths.clone(),
            flows: Vec::new(),
            claims: Vec::new(),
            rates: Vec::new(),
            dirty: false,
            solver: reference::solve,
        }
    }

    /// Whether a flow on `path` shares nothing with anybody.
    #[inline]
    pub(crate) fn is_private(&self, path: PathId) -> bool {
        path == Resources::PRIVATE || self.paths[path].is_empty()
    }

    /// Whether flows came or went since the rates were last found.
    #[inline]
    pub(crate) const fn is_dirty(&self) -> bool {
        self.dirty
    }

    /// Adds a flow of `bytes` from `now` on; its rate is found by the next [`Network::settle`].
    pub(crate) fn join(&mut self, owner: u32, claim: Claim, bytes: f64, now: SimTime) {
        self.flows.push(Flow {
            owner,
            claim,
            remaining: bytes,
            since: now,
            rate: 0.0,
        });
        self.dirty = true;
    }

    /// Takes away the flow of `owner`, which has moved its bytes.
    pub(crate) fn leave(&mut self, owner: u32) {
        let at = self.flows.iter().position(|flow| flow.owner == owner);
        self.flows.remove(at.expect("a flow leaves once"));
        self.dirty = true;
    }

    /// Finds the rates and calls `ends(owner, instant)` for every flow that now ends at another instant.
    ///
    /// A flow whose rate stays is not touched: on an idle network it ends to the picosecond where the closed
    /// form says.
    pub(crate) fn settle(&mut self, now: SimTime, mut ends: impl FnMut(u32, SimTime)) {
        self.dirty = false;
        self.claims.clear();
        self.claims.extend(self.flows.iter().map(|flow| flow.claim));
        (self.solver)(&self.links, &self.paths, &self.claims, &mut self.rates);
        for (flow, &rate) in self.flows.iter_mut().zip(&self.rates) {
            if rate.to_bits() == flow.rate.to_bits() {
                continue;
            }
            let moved = flow.rate * now.saturating_since(flow.since).as_secs();
            flow.remaining = (flow.remaining - moved).max(0.0);
            flow.since = now;
            flow.rate = rate;
            ends(flow.owner, now + SimDuration::from_secs(flow.remaining / rate));
        }
    }
}
