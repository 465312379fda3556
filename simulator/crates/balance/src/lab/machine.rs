//! What a layer of experts costs on a device and on the wires.

use orrery_profile::library::{LibraryExperts, LibraryKernel as _, LocalLoad};
use orrery_units::{Bytes, BytesPerSec, SimDuration};

use super::Exchange;
use super::exchange::larger;

/// Points of the table of the corner between arithmetic and traffic.
const POINTS: usize = 256;

/// Devices and wires, as a layer of experts needs them.
#[derive(Clone, Debug)]
pub struct Machine {
    /// Time of a device's experts.
    pub experts: ExpertTime,
    /// How tokens travel.
    pub exchange: Exchange,
    /// Bytes of a token on its way to an expert.
    pub dispatch_token: Bytes,
    /// Bytes of a token on its way back.
    pub combine_token: Bytes,
    /// Rate of a device's port to other nodes, one way.
    pub network: BytesPerSec,
    /// Rate of a device's port within its node, one way.
    pub node: BytesPerSec,
    /// What an exchange takes however little it carries.
    pub latency: SimDuration,
    /// The time in which the first dispatch of a step moves data, over that of one that repeats a known way.
    pub first_dispatch: f64,
    /// One expert as it moves to another device: its parameters, and in training what its optimizer keeps of them.
    pub expert_bytes: Bytes,
    /// What training adds; none in inference.
    pub training: Option<Update>,
    /// Passes of a layer in a step: 1 in inference; in training the products run three times and the exchanges twice.
    pub passes: Passes,
}

/// The update of parameters, before which replicas of an expert sum their gradients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Update {
    /// Steps to an update.
    pub steps: u64,
    /// Gradients of one expert.
    pub gradients: Bytes,
}

/// How often the parts of a layer run in a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Passes {
    /// Products of the experts.
    pub products: f64,
    /// Dispatch and combine.
    pub exchanges: f64,
}

impl Machine {
    /// Bytes that a slot of an expert holds: what moves with it, and in training its gradients.
    #[must_use]
    pub fn slot_bytes(&self) -> Bytes {
        let gradients = self.training.map_or(Bytes::ZERO, |training| training.gradients);
        self.expert_bytes + gradients
    }
}

/// [`LibraryExperts::seconds`] for one shape and one set of parameters, as a function of a device's load that is cheap
/// enough to be asked a hundred million times.
///
/// The corner `(1 + r^p)^(1/p)` is read from a table of 256 points; a test holds it within 0.01 % of the law.
#[derive(Clone, Debug)]
pub struct ExpertTime {
    constant: f64,
    /// Share of padding that is computed.
    padding: f64,
    /// Seconds per tile row of each product at a full machine, and the least number of tile rows that fill it.
    products: [(f64, f64); 2],
    /// Rows of other devices that are computed and thrown away.
    wasted: f64,
    chosen: f64,
    per_active: f64,
    per_row_memory: f64,
    per_row: f64,
    per_active_routing: f64,
    /// By point: the value, and what it rises by to the next.
    corner: Box<[[f64; 2]; POINTS]>,
}

impl ExpertTime {
    /// The law of `shape`, whose load counts for nothing, with `parameters` in the order of its priors; `tokens` are
    /// those of all devices.
    ///
    /// # Panics
    /// When there are not as many parameters as priors.
    #[must_use]
    pub fn new(shape: &LibraryExperts, parameters: &[f64]) -> Self {
        assert!(
            parameters.len() == LibraryExperts::priors().len(),
            "a value for every parameter of the law"
        );
        let parts = shape.terms(parameters);
        #[expect(clippy::cast_precision_loss, reason = "there are few points")]
        let corner = |at: usize| {
            let ratio = at as f64 / POINTS as f64;
            (1.0 + ratio.powf(parts.sharpness)).powf(parts.sharpness.recip())
        };
        Self {
            constant: parts.constant,
            padding: parts.padding,
            products: parts.products,
            wasted: parts.wasted,
            chosen: parts.chosen,
            per_active: parts.per_active,
            per_row_memory: parts.per_row_memory,
            per_row: parts.per_row,
            per_active_routing: parts.per_active_routing,
            corner: Box::new(std::array::from_fn(|at| {
                [corner(at), corner(at + 1) - corner(at)]
            })),
        }
    }

    /// Seconds for `rows` on `active` experts, `padded` with every expert's filled up to tiles.
    #[must_use]
    pub fn seconds(&self, rows: f64, active: f64, padded: f64) -> f64 {
        let [seconds] = self.side_by_side(&[rows], &[active], &[padded]);
        seconds
    }

    /// The same of `N` steps side by side.
    #[inline(always)]
    pub(super) fn side_by_side<const N: usize>(
        &self,
        rows: &[f64; N],
        active: &[f64; N],
        padded: &[f64; N],
    ) -> [f64; N] {
        let [(pace, least), (other_pace, other_least)] = self.products;
        let (mut large, mut point, mut rest) = ([0.0; N], [0.0; N], [0.0; N]);
        for at in 0..N {
            let (rows, active, padded) = (rows[at], active[at], padded[at]);
            let computed =
                rows + (padded - rows) * self.padding + self.wasted * larger(self.chosen - rows, 0.0);
            let compute = pace * larger(computed, least) + other_pace * larger(computed, other_least);
            let memory = self.per_active * active + self.per_row_memory * rows;
            large[at] = larger(compute, memory);
            // Where the smaller over the larger stands in the table of the corner.
            point[at] = (compute + memory - large[at]) / large[at] * POINTS as f64;
            rest[at] = self.constant + self.per_row * rows + self.per_active_routing * active;
        }
        let mut seconds = [0.0; N];
        for at in 0..N {
            seconds[at] = rest[at] + large[at] * self.corner(point[at]);
        }
        seconds
    }

    /// The corner between arithmetic and traffic, from its table.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the low half of a float of which a small whole number is all"
    )]
    #[inline(always)]
    fn corner(&self, point: f64) -> f64 {
        /// Added and taken away it leaves a whole number: three halves of 2^52. A cast would have to mind what does not
        /// fit.
        const ROUND: f64 = 6_755_399_441_055_744.0;
        // At a whole number either neighbour gives the same.
        let below = larger(point - 0.5, 0.0) + ROUND;
        let at = (below.to_bits() as u32).min(POINTS as u32 - 1);
        let [low, rise] = self.corner[at as usize];
        low + rise * (point - f64::from(at.cast_signed()))
    }

    /// The same for a load.
    #[must_use]
    pub fn of(&self, load: &LocalLoad) -> SimDuration {
        SimDuration::from_secs(self.seconds(load.rows, load.active, load.padded))
    }
}
