//! The published measurements, table by table, and the profiles made of them.

mod a100;
mod attention;
mod exchange;
mod gemm;
mod h100;
mod h800;
mod layer_passes;
mod llama3;
mod sweeps;
mod table;
mod tabled;
mod weight;

use std::path::Path;

use orrery_profile::Profile;

/// What can go wrong with a table.
pub(crate) type Fault = Box<dyn std::error::Error>;

/// Every profile that ships, from the tables in `truth`.
pub(crate) fn profiles(truth: &Path) -> Result<Vec<Profile>, Fault> {
    let hopper = h100::profile(truth)?;
    let deepseek = h800::profile(truth, &hopper)?;
    let later = h800::later(truth, &deepseek)?;
    let ampere = a100::profile(truth, &hopper)?;
    let llama3 = llama3::profile(truth, &hopper)?;
    let mut profiles = tabled::profiles(truth, &hopper)?;
    profiles.extend([hopper, deepseek, later, ampere, llama3]);
    Ok(profiles)
}

/// Peaks and rates of the devices, from scenarios/hardware/hardware.csv.
pub(crate) mod device {
    /// H100 and H800: dense BF16 peak, FLOP/s.
    pub(crate) const HOPPER_BF16: f64 = 989e12;
    /// H100 and H800: dense FP8 peak.
    pub(crate) const HOPPER_FP8: f64 = 1979e12;
    /// H100 and H800: memory bandwidth.
    pub(crate) const HOPPER_MEMORY: f64 = 3350e9;
    /// H100 and H800: streaming multiprocessors.
    pub(crate) const HOPPER_UNITS: u32 = 132;
    /// A100: dense BF16 peak.
    pub(crate) const AMPERE_BF16: f64 = 312e12;
    /// A100 80 GB: memory bandwidth.
    pub(crate) const AMPERE_MEMORY: f64 = 2039e9;
    /// A100: streaming multiprocessors.
    pub(crate) const AMPERE_UNITS: u32 = 108;
}
