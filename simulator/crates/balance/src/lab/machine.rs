//! What a layer of experts costs on a device and on the wires.

use orrery_profile::library::{LibraryExperts, LibraryKernel as _, LocalLoad};
use orrery_units::{Bytes, BytesPerSec, SimDuration};

use super::Exchange;

/// Points of the table of the corner between arithmetic and traffic.
const POINTS: u16 = 256;

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
    corner: Vec<[f64; 2]>,
}

/// What bounds a device's products, as far as a loop of vectors can tell.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// The larger of arithmetic and traffic.
    large: f64,
    /// Where the smaller over it stands in the table of the corner.
    point: f64,
    /// What is added to both.
    rest: f64,
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
        let corner = |at: u16| {
            let ratio = f64::from(at) / f64::from(POINTS);
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
            corner: (0..POINTS)
                .map(|at| [corner(at), corner(at + 1) - corner(at)])
                .collect(),
        }
    }

    /// Seconds for `rows` on `active` experts, `padded` with every expert's filled up to tiles.
    #[must_use]
    pub fn seconds(&self, rows: f64, active: f64, padded: f64) -> f64 {
        self.after(&self.bounds(rows, active, padded))
    }

    /// The same of many devices, whose columns are of one length.
    pub(super) fn of_all(
        &self,
        rows: &[f64],
        active: &[f64],
        padded: &[f64],
        scratch: &mut Vec<Bounds>,
    ) -> impl Iterator<Item = f64> {
        scratch.clear();
        let columns = rows.iter().zip(active).zip(padded);
        scratch.extend(columns.map(|((&rows, &active), &padded)| self.bounds(rows, active, padded)));
        scratch.iter().map(|bounds| self.after(bounds))
    }

    /// What bounds a device's products.
    #[inline]
    fn bounds(&self, rows: f64, active: f64, padded: f64) -> Bounds {
        // Not `max`, which has to mind what is no number: this runs for every device of every layer of every step.
        let larger = |a: f64, b: f64| if a > b { a } else { b };
        let computed = rows + (padded - rows) * self.padding + self.wasted * larger(self.chosen - rows, 0.0);
        let [(pace, least), (other_pace, other_least)] = self.products;
        let compute = pace * larger(computed, least) + other_pace * larger(computed, other_least);
        let memory = self.per_active * active + self.per_row_memory * rows;
        let large = larger(compute, memory);
        Bounds {
            large,
            point: (compute + memory - large) / large * f64::from(POINTS),
            rest: self.constant + self.per_row * rows + self.per_active_routing * active,
        }
    }

    /// The time that bounds leave: the corner is read from its table.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a ratio lies between 0 and 1"
    )]
    #[inline]
    fn after(&self, bounds: &Bounds) -> f64 {
        // By 32 bits signed: that cast is one instruction.
        let below = (bounds.point as i32).clamp(0, i32::from(POINTS) - 1);
        let [low, rise] = self.corner[below as usize];
        bounds.rest + bounds.large * (low + rise * (bounds.point - f64::from(below)))
    }

    /// The same for a load.
    #[must_use]
    pub fn of(&self, load: &LocalLoad) -> SimDuration {
        SimDuration::from_secs(self.seconds(load.rows, load.active, load.padded))
    }
}
