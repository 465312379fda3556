//! The time of a collective on a platform: every algorithm with every protocol, and the one that NCCL's tuner takes.
//!
//! One law per platform ([`orrery_profile::PlatformLaw`]), shared by sizes, operations and numbers of nodes. Latency
//! is steps of a protocol inside and between nodes; bandwidth is what NCCL's search and tuner expect times a measured
//! share; chunks, channels and numbers of steps are those of NCCL (2.30.7, files named beside each formula). One
//! algorithm, one file.

mod machine;
mod nvls;
mod nvls_tree;
mod peer;
mod ring;
mod sharp;
mod tree;

use orrery_operation::CollectiveOp;
use orrery_profile::{Parameter, PlatformLaw};
use orrery_units::{Bytes, SimDuration};

use super::nccl::{self, Architecture, NcclPreset, Protocol};

pub use machine::Machine;
pub use peer::channels as peer_channels;

/// Microseconds, as the formulas have them.
type Micros = f64;

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

/// A call on a machine with all that no law changes: fits ask it many times.
#[derive(Clone, Debug, PartialEq)]
pub struct Prepared {
    machine: Machine,
    call: Call,
    /// Bus bandwidth of a ring in a node, GB/s.
    ring: f64,
    /// Bus bandwidth that the tuner expects of NVLS, GB/s.
    nvls: Option<f64>,
    /// The same of an NVLS tree.
    nvls_tree: Option<f64>,
    /// Cap of the tuner on low-latency rings, GB/s.
    low_latency_cap: f64,
    /// What the tuner takes; none where it has no say.
    choice: Option<&'static str>,
}

/// What every algorithm reads.
struct Asked<'a> {
    law: &'a PlatformLaw,
    machine: &'a Machine,
    call: &'a Call,
    known: &'a Prepared,
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

    /// Bus bandwidth over algorithm bandwidth.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "ranks are a whole number below 2^53"
    )]
    fn bus_factor(&self) -> f64 {
        self.call.op.bus_factor(self.call.ranks as u64)
    }

    fn tuned(&self) -> f64 {
        if self.call.tuned {
            self.get(Parameter::Tuned)
        } else {
            1.0
        }
    }

    /// What is left of the bandwidth of two devices among more of a box without NVLink, whose traffic then shares the
    /// host's bridges and memory: a share from two to four, another from four to eight. Rings of 2, 4 and 8 L40S have 20,
    /// 5 and 1.6 GB/s (tests/truth/nccl/aic_l40s_nccl2.27.3.csv), those of RTX PRO 6000 32, 23 and 23.
    fn far(&self) -> f64 {
        if self.machine.nvlink {
            return 1.0;
        }
        let doublings = (self.call.ranks_per_node() / 2.0).log2().max(0.0);
        let four = self.get(Parameter::FarShare).powf(doublings.min(1.0));
        four * self.get(Parameter::FartherShare).powf((doublings - 1.0).max(0.0))
    }

    /// Bus bandwidth of a plain ring: of NVLinks inside a node, else the smaller of those and the NICs, GB/s.
    fn ring_bandwidth(&self) -> f64 {
        let inside = self.known.ring * self.get(Parameter::RingShare);
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

impl Prepared {
    /// `call` on `machine`.
    #[must_use]
    pub fn new(machine: &Machine, call: &Call) -> Self {
        let mut prepared = Self {
            machine: *machine,
            call: *call,
            ring: machine.ring(),
            nvls: machine.nvls(call),
            nvls_tree: machine.nvls_tree(call),
            low_latency_cap: machine.low_latency_cap(call),
            choice: None,
        };
        // Which candidates there are depends on no parameter.
        let any = PlatformLaw::from_fn(|_| 1.0);
        let kernels = kernels(&prepared.asked(&any));
        prepared.choice = choice(machine, call, &kernels);
        prepared
    }

    fn asked<'a>(&'a self, law: &'a PlatformLaw) -> Asked<'a> {
        Asked {
            law,
            machine: &self.machine,
            call: &self.call,
            known: self,
        }
    }

    /// Seconds of the candidate that NCCL takes.
    #[must_use]
    pub fn seconds(&self, law: &PlatformLaw) -> f64 {
        let kernels = kernels(&self.asked(law));
        seen(law, kernels[self.chosen(&kernels)].micros) * 1e-6
    }

    /// Every candidate, the one that NCCL takes first, the others by their time, with the time that the caller sees.
    ///
    /// `t = (host⁶ + kernel⁶)^⅙`: launches run ahead of kernels, so a kernel that is shorter than the launch of the
    /// next waits for it. The sixth power rounds the corner. Worked: host 40 us and kernel 40 us: 44.9 us.
    #[must_use]
    pub fn candidates(&self, law: &PlatformLaw) -> Vec<(Candidate, SimDuration)> {
        let mut kernels = kernels(&self.asked(law));
        let chosen = self.chosen(&kernels);
        kernels[..=chosen].rotate_right(1);
        kernels[1..].sort_by(|a, b| a.micros.total_cmp(&b.micros));
        kernels
            .into_iter()
            .map(|candidate| {
                let seconds = seen(law, candidate.micros) * 1e-6;
                (candidate, SimDuration::from_secs(seconds))
            })
            .collect()
    }

    /// Which of `kernels` NCCL takes: the tuner's choice. Where the network reduces, the least time counts: what the tuner
    /// thinks of SHARP is not modelled.
    fn chosen(&self, kernels: &[Candidate]) -> usize {
        let position = |name: &str| kernels.iter().position(|kernel| kernel.name == name);
        let choice = self.choice.and_then(position).unwrap_or(0);
        match position(sharp::NAME) {
            Some(sharp) if kernels[sharp].micros < kernels[choice].micros => sharp,
            _ => choice,
        }
    }
}

/// Every candidate for `call`, the one that NCCL takes first: [`Prepared::candidates`].
#[must_use]
pub fn candidates(law: &PlatformLaw, machine: &Machine, call: &Call) -> Vec<(Candidate, SimDuration)> {
    Prepared::new(machine, call).candidates(law)
}

/// Which of `kernels` the tuner thinks fastest, which need not be the fastest.
///
/// An all-gather of 8 B200 takes 44 us at 8 MiB and 104 at 16 MiB (aic_b200_sxm_nccl2.29.2.csv): there the tuner leaves LL for
/// a protocol with steps of 13 us, which it takes for 2 to 3.
fn choice(machine: &Machine, call: &Call, kernels: &[Candidate]) -> Option<&'static str> {
    nccl::candidates(&NcclPreset::V2_30_7, &machine.graph_of(call), call.op, call.bytes)
        .iter()
        .filter(|choice| offered(machine, choice))
        .map(|choice| (nccl::name(choice.algorithm, choice.protocol), choice.time))
        .filter(|(name, _)| kernels.iter().any(|kernel| kernel.name == *name))
        .min_by_key(|&(_, time)| time)
        .map(|(name, _)| name)
}

fn seen(law: &PlatformLaw, kernel: Micros) -> Micros {
    (law.get(Parameter::Host).powi(6) + kernel.powi(6)).powf(1.0 / 6.0)
}

/// Whether NCCL considers LL128 on this machine.
///
/// It needs NVLink inside the node (`tuning.cc` 498-545). On Blackwell sweeps go from LL to the plain protocol at once, where
/// the tuner's table has LL128 ahead by 4 % (8 B200, all-gather, 16 MiB), so that it is left out there.
fn offered(machine: &Machine, choice: &nccl::Choice) -> bool {
    choice.protocol != Protocol::LowLatency128
        || (machine.nvlink && machine.architecture != Architecture::Blackwell)
}

fn kernels(asked: &Asked<'_>) -> Vec<Candidate> {
    let mut all = Vec::with_capacity(8);
    match asked.call.op {
        CollectiveOp::AllToAll => all.push(peer::all_to_all(asked)),
        CollectiveOp::SendRecv => all.push(peer::message(asked)),
        _ => {
            all.extend(ring::candidates(asked));
            all.extend(tree::candidates(asked));
            all.extend(nvls::candidate(asked));
            all.extend(nvls_tree::candidate(asked));
            all.extend(sharp::candidate(asked));
        }
    }
    all
}

#[cfg(test)]
mod tests;
