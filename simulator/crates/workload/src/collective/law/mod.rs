//! The time of a collective on a platform: every algorithm with every protocol, and the least of them.
//!
//! One law per platform ([`orrery_profile::PlatformLaw`]), shared by sizes, operations and numbers of nodes. Latency
//! is steps of a protocol inside and between nodes; bandwidth is what NCCL's search and tuner expect times a measured
//! share; chunks, channels and numbers of steps are those of NCCL (2.30.7, files named beside each formula). One
//! algorithm, one file.

mod nvls;
mod nvls_tree;
mod peer;
mod prior;
mod ring;
mod sharp;
mod tree;

use orrery_operation::CollectiveOp;
use orrery_profile::{Parameter, PlatformLaw};
use orrery_units::{Bytes, SimDuration};

use super::nccl::Architecture;

pub use peer::channels as peer_channels;
pub use prior::{Launcher, priors};

/// Microseconds, as the formulas have them.
type Micros = f64;

/// The machine of a platform.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Machine {
    /// Architecture of its devices.
    pub architecture: Architecture,
    /// Bus bandwidth that a ring inside a node is expected to have, GB/s.
    pub ring: f64,
    /// Line rate of all NICs of a node, GB/s.
    pub network: f64,
    /// Whether devices reach each other over NVLink.
    pub nvlink: bool,
}

/// What was asked for beyond the default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Forced {
    /// Nothing: the library chooses.
    #[default]
    None,
    /// Rings only.
    Ring,
    /// Rings with LL128.
    RingLowLatency128,
    /// Reduction in the network switches is offered.
    Sharp,
}

/// A collective as nccl-tests runs it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Call {
    /// Operation.
    pub op: CollectiveOp,
    /// Ranks.
    pub ranks: f64,
    /// Nodes; of machines with a larger NVLink domain, domains.
    pub nodes: f64,
    /// Size as nccl-tests counts it.
    pub bytes: Bytes,
    /// Whether the result has a buffer of its own.
    pub out_of_place: bool,
    /// What was forced.
    pub forced: Forced,
    /// Whether more channels or queue pairs were asked for than the default.
    pub tuned: bool,
}

/// One algorithm with one protocol, and its time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    /// Name: algorithm and protocol.
    pub name: &'static str,
    /// Time on the device, us.
    micros: Micros,
}

/// What every algorithm reads.
struct Asked<'a> {
    law: &'a PlatformLaw,
    machine: &'a Machine,
    call: &'a Call,
}

impl Call {
    /// Ranks on each node.
    #[must_use]
    pub fn ranks_per_node(&self) -> f64 {
        self.ranks / self.nodes
    }
}

impl Asked<'_> {
    fn get(&self, parameter: Parameter) -> f64 {
        self.law.get(parameter)
    }

    fn size(&self) -> f64 {
        self.call.bytes.as_f64()
    }

    fn across(&self) -> bool {
        self.call.nodes > 1.0
    }

    /// Bus bandwidth over algorithm bandwidth (`2 (n − 1) / n` for an all-reduce, nccl-tests' doc/PERFORMANCE.md).
    fn bus_factor(&self) -> f64 {
        let others = (self.call.ranks - 1.0) / self.call.ranks;
        match self.call.op {
            CollectiveOp::AllReduce => 2.0 * others,
            CollectiveOp::AllGather | CollectiveOp::ReduceScatter | CollectiveOp::AllToAll => others,
            CollectiveOp::Broadcast | CollectiveOp::Reduce | CollectiveOp::SendRecv => 1.0,
        }
    }

    fn tuned(&self) -> f64 {
        if self.call.tuned {
            self.get(Parameter::Tuned)
        } else {
            1.0
        }
    }

    /// What each doubling beyond two devices leaves of a box without NVLink, whose traffic then shares the host's
    /// bridges and memory: rings of 2, 4 and 8 L40S have 20, 5 and 1.6 GB/s (tests/truth/nccl/aic_l40s_nccl2.27.3.csv).
    fn far(&self) -> f64 {
        if self.machine.nvlink {
            return 1.0;
        }
        let doublings = (self.call.ranks_per_node() / 2.0).log2().max(0.0);
        self.get(Parameter::FarShare).powf(doublings)
    }

    /// Bus bandwidth of a plain ring: of NVLinks inside a node, else the smaller of those and the NICs, GB/s.
    fn ring_bandwidth(&self) -> f64 {
        let inside = self.machine.ring * self.get(Parameter::RingShare);
        let bus = if self.across() {
            inside.min(self.machine.network * self.get(Parameter::NetworkShare))
        } else {
            inside
        };
        bus * self.far() * self.tuned()
    }
}

/// Microseconds that `bytes` take at `rate` GB/s.
fn micros(bytes: f64, rate: f64) -> Micros {
    bytes / (rate * 1e3)
}

/// Every candidate for `call`, the least time first, with the time that the caller sees.
///
/// `t = (host⁶ + kernel⁶)^⅙`: launches run ahead of kernels, so a kernel that is shorter than the launch of the next
/// waits for it. The sixth power rounds the corner. Worked: host 40 us and kernel 40 us: 44.9 us.
#[must_use]
pub fn candidates(law: &PlatformLaw, machine: &Machine, call: &Call) -> Vec<(Candidate, SimDuration)> {
    let mut all: Vec<(Candidate, SimDuration)> = kernels(law, machine, call)
        .into_iter()
        .map(|candidate| {
            let seconds = seen(law, candidate.micros) * 1e-6;
            (candidate, SimDuration::from_secs(seconds))
        })
        .collect();
    all.sort_by(|a, b| a.0.micros.total_cmp(&b.0.micros));
    all
}

/// Seconds of the fastest candidate, for fits.
#[must_use]
pub fn seconds(law: &PlatformLaw, machine: &Machine, call: &Call) -> f64 {
    let least = kernels(law, machine, call)
        .into_iter()
        .map(|candidate| candidate.micros)
        .fold(f64::INFINITY, f64::min);
    seen(law, least) * 1e-6
}

fn seen(law: &PlatformLaw, kernel: Micros) -> Micros {
    (law.get(Parameter::Host).powi(6) + kernel.powi(6)).powf(1.0 / 6.0)
}

fn kernels(law: &PlatformLaw, machine: &Machine, call: &Call) -> Vec<Candidate> {
    let asked = Asked { law, machine, call };
    let mut all = Vec::with_capacity(8);
    match call.op {
        CollectiveOp::AllToAll => all.push(peer::all_to_all(&asked)),
        CollectiveOp::SendRecv => all.push(peer::message(&asked)),
        _ => {
            all.extend(ring::candidates(&asked));
            all.extend(tree::candidates(&asked));
            all.extend(nvls::candidate(&asked));
            all.extend(nvls_tree::candidate(&asked));
            all.extend(sharp::candidate(&asked));
        }
    }
    all
}

#[cfg(test)]
mod tests;
