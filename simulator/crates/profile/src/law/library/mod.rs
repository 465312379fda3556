//! Laws of the kernels of published libraries, as their tables of times were collected: one call of one kernel, with the
//! passes that the library runs before and after it.
//!
//! They are apart from the laws that plans are priced with: a library picks its tile, splits, converts its operands and
//! launches several kernels, and a table of its times holds all of that. Each law has few parameters, shared by every
//! shape; what they leave is interpolated ([`crate::fit::Kriging`]).

mod attention;
mod experts;
mod gemm;

use orrery_units::{Bytes, BytesPerSec, FlopsPerSec};

pub use attention::{LibraryContext, LibraryGeneration};
pub use experts::{ExpertTerms, LibraryExperts, LocalLoad};
pub use gemm::LibraryGemm;

use crate::fit::{Component, Prior};

/// What a data sheet says of a device.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Peaks {
    /// Dense peak of the format.
    pub rate: FlopsPerSec,
    /// Bandwidth of the memory.
    pub bandwidth: BytesPerSec,
    /// Execution units.
    pub num_units: u32,
    /// Last level of cache.
    pub cache: Bytes,
}

/// Bytes of an element in memory, scales included.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Widths {
    /// Of weights.
    pub weight: f64,
    /// Of activations.
    pub activation: f64,
}

impl Widths {
    /// Bytes per element of a format by its name in the tables; none for others.
    ///
    /// `fp8_block` has a scale of four bytes per 128 activations and per 128 x 128 weights (DeepSeek-V3), `nvfp4` one
    /// of one byte per 16 values. Worked: 16 values of `nvfp4` are 8 bytes and a scale, 0.5625 bytes each.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let (weight, activation) = match name {
            "bfloat16" | "float16" => (2.0, 2.0),
            "fp8" => (1.0, 1.0),
            "fp8_block" => (1.0 + 4.0 / 16_384.0, 1.0 + 4.0 / 128.0),
            "nvfp4" => (0.5625, 0.5625),
            _ => return None,
        };
        Some(Self { weight, activation })
    }
}

/// A call of a library's kernel: how long it takes for given parameters, and where it lies among other calls.
pub trait LibraryKernel {
    /// What is known of the parameters before any time is read.
    fn priors() -> Vec<Prior>;
    /// How the logarithm of what the law leaves varies.
    fn components() -> Vec<Component>;
    /// Scatter of one time, as a share.
    const SCATTER: f64;
    /// Seconds, of parameters in the order of [`priors`](Self::priors).
    fn seconds(&self, parameters: &[f64]) -> f64;
    /// Physical coordinates, in the order that [`components`](Self::components) speaks of.
    fn coordinates(&self) -> Vec<f64>;
    /// Those of them that are a shape, for which a library picks a kernel.
    const SHAPE: &'static [usize];
    /// The data sheet of its device.
    fn peaks(&self) -> &Peaks;
}

/// A prior of a positive parameter: its value, and how far its logarithm may be off.
fn prior(value: f64, spread: f64) -> Prior {
    Prior {
        centre: value.ln(),
        spread,
    }
}

/// The time of arithmetic and traffic that overlap: `(compute^p + memory^p)^(1/p)`.
///
/// Worked: 3 and 4 with `p = 2`: 5; with a large `p`, the larger.
fn overlapped(compute: f64, memory: f64, sharpness: f64) -> f64 {
    let (large, small) = (compute.max(memory), compute.min(memory));
    if large <= 0.0 {
        return 0.0;
    }
    large * (1.0 + (small / large).powf(sharpness)).powf(sharpness.recip())
}

/// The share of the last wave that has work: 1.5 waves fill 1.5 of 2.
fn fill(waves: f64) -> f64 {
    (waves / waves.ceil().max(1.0)).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn corners_and_waves() {
        assert!((overlapped(3.0, 4.0, 2.0) - 5.0).abs() < 1e-12, "3, 4, 5");
        assert!((overlapped(1.0, 9.0, 60.0) - 9.0).abs() < 1e-9, "the larger");
        assert!((overlapped(0.0, 0.0, 3.0)).abs() < 1e-12, "nothing to do");
        assert!((fill(1.5) - 0.75).abs() < 1e-12, "1.5 of 2 waves");
    }

    #[test]
    fn scales_are_part_of_the_bytes() {
        let widths = Widths::named("nvfp4").expect("a format of the tables");
        assert!((16.0 * widths.weight - 9.0).abs() < 1e-12, "{widths:?}");
        assert!(Widths::named("int4").is_none(), "a format without a table");
    }
}
