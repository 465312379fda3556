//! What a layer of experts costs on a device and on the wires.

use orrery_profile::library::{LibraryExperts, LibraryKernel as _, LocalLoad};
use orrery_units::{Bytes, BytesPerSec, SimDuration};

/// Points of the table of the corner between arithmetic and traffic.
const POINTS: usize = 256;

/// Devices and wires, as a layer of experts needs them.
#[derive(Clone, Debug)]
pub struct Machine {
    /// Devices of a node.
    pub devices_per_node: usize,
    /// Time of a device's experts.
    pub experts: ExpertTime,
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
    /// Parameters of one expert as they travel.
    pub expert_bytes: Bytes,
    /// Passes of a layer in a step: 1 in inference; in training the products run three times and the exchanges twice.
    pub passes: Passes,
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
    corner: Vec<f32>,
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
        let corner = (0..=POINTS).map(|at| {
            #[expect(clippy::cast_precision_loss, reason = "256 points")]
            let ratio = at as f64 / POINTS as f64;
            #[expect(clippy::cast_possible_truncation, reason = "a table of single precision")]
            let value = (1.0 + ratio.powf(parts.sharpness)).powf(parts.sharpness.recip()) as f32;
            value
        });
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
            corner: corner.collect(),
        }
    }

    /// Seconds for `rows` on `active` experts, `padded` with every expert's filled up to tiles.
    #[must_use]
    pub fn seconds(&self, rows: f64, active: f64, padded: f64) -> f64 {
        let computed = rows + (padded - rows) * self.padding + self.wasted * (self.chosen - rows).max(0.0);
        let compute: f64 = self
            .products
            .iter()
            .map(|&(pace, least)| pace * computed.max(least))
            .sum();
        let memory = self.per_active * active + self.per_row_memory * rows;
        let (large, small) = if compute > memory {
            (compute, memory)
        } else {
            (memory, compute)
        };
        self.constant
            + large * self.corner(small / large)
            + self.per_row * rows
            + self.per_active_routing * active
    }

    /// The same for a load.
    #[must_use]
    pub fn of(&self, load: &LocalLoad) -> SimDuration {
        SimDuration::from_secs(self.seconds(load.rows, load.active, load.padded))
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        clippy::cast_sign_loss,
        reason = "a ratio lies between 0 and 1"
    )]
    fn corner(&self, ratio: f64) -> f64 {
        let at = ratio * POINTS as f64;
        let below = (at as usize).min(POINTS - 1);
        let (low, high) = (f64::from(self.corner[below]), f64::from(self.corner[below + 1]));
        low + (high - low) * (at - below as f64)
    }
}
