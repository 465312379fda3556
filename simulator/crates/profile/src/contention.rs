//! Contention on one device: what a kernel that holds execution units takes from a product beside it.

use serde::{Deserialize, Serialize};

use crate::{Fitted, Points, Profile, Provenance, Range};

/// How much of a device a kernel takes that holds a share of its units: `demand = weight · held`.
///
/// A product asks for all units, and a device is slower by the sum of what is asked, so that a product beside such a kernel
/// takes `1 + demand` times as long. A weight of one is that sum with whole units; more than one where the kernel also
/// takes cache and memory from its neighbours, or waves come out worse; less where blocks fit beside a product's.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContentionLaw {
    /// Units taken for each that is held; not negative.
    pub weight: f64,
}

/// The law as it was measured on a device: products beside a kernel of a few blocks that moves memory.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContentionCurve {
    /// The law with its fitted parameter.
    pub law: ContentionLaw,
    /// Whose products were measured, such as `cublaslt`.
    pub kernel_source: String,
    /// Execution units of the device.
    pub num_units: u32,
    /// Blocks beside, each of which holds a unit.
    pub blocks: Range,
    /// Products that were measured, as `[m, n, k]`.
    pub points: Points,
    /// How well the law agrees with what was measured.
    pub fitted: Fitted,
    /// Where it comes from.
    pub provenance: Provenance,
}

impl ContentionLaw {
    /// Where nothing was measured: a unit that is held is a unit that is taken.
    pub const WHOLE_UNITS: Self = Self { weight: 1.0 };

    /// The share of a device that is taken by a kernel that holds the share `held` of its units.
    #[must_use]
    pub fn demand(&self, held: f64) -> f64 {
        self.weight * held
    }

    /// Time of a product beside such a kernel, over its time alone: `1 + demand`.
    ///
    /// Worked: weight 1.25 and 20 of 132 units: 1.189.
    #[must_use]
    pub fn slow_down(&self, held: f64) -> f64 {
        1.0 + self.demand(held)
    }
}

impl Profile {
    /// The share of a device of `num_units` units that a kernel of `blocks` blocks takes, by what was measured of this
    /// device, else in whole units.
    #[must_use]
    pub fn units_taken(&self, blocks: f64, num_units: f64) -> f64 {
        let law = self
            .contention
            .as_ref()
            .map_or(ContentionLaw::WHOLE_UNITS, |curve| curve.law);
        law.demand(blocks / num_units.max(1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn worked_numbers() {
        let law = ContentionLaw { weight: 1.25 };
        assert!((law.slow_down(20.0 / 132.0) - 1.189_393_9).abs() < 1e-6);
        let mut profile = Profile::default();
        assert!((profile.units_taken(33.0, 132.0) - 0.25).abs() < 1e-12);
        profile.contention = Some(ContentionCurve {
            law,
            kernel_source: "cublaslt".to_owned(),
            num_units: 132,
            blocks: Range { min: 8, max: 32 },
            points: Points::default(),
            fitted: Fitted::default(),
            provenance: Provenance::default(),
        });
        assert!((profile.units_taken(33.0, 132.0) - 0.3125).abs() < 1e-12);
    }
}
