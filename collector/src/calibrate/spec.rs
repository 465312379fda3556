//! Data sheets of devices: where the fit of a profile begins, and what its shares are of.

use orrery_units::{BytesPerSec, FlopsPerSec};

/// What a device's data sheet says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DeviceSpec {
    /// The name that profiles and scenarios use.
    pub name: &'static str,
    /// Dense rate of bfloats.
    pub bf16: FlopsPerSec,
    /// Dense rate of 8-bit floats, if it has them.
    pub fp8: Option<FlopsPerSec>,
    /// Memory bandwidth.
    pub bandwidth: BytesPerSec,
    /// Memory in GB, which tells variants of one name apart.
    pub memory_gigabytes: u32,
    /// What the driver's name of it holds, in lower case.
    pub words: &'static [&'static str],
}

/// Dense rates in TFLOP/s and bandwidth in GB/s. Source: NVIDIA's data sheets, as tabled by stas00/ml-engineering,
/// compute/accelerator/README.md.
fn sheet(
    name: &'static str,
    bf16: f64,
    fp8: Option<f64>,
    bandwidth: f64,
    memory_gigabytes: u32,
    words: &'static [&'static str],
) -> DeviceSpec {
    DeviceSpec {
        name,
        bf16: FlopsPerSec::new(bf16 * 1e12),
        fp8: fp8.map(|rate| FlopsPerSec::new(rate * 1e12)),
        bandwidth: BytesPerSec::new(bandwidth * 1e9),
        memory_gigabytes,
        words,
    }
}

/// Devices that kernels run on; the more exact name first.
fn sheets() -> [DeviceSpec; 9] {
    [
        sheet(
            "H100-PCIe-80GB",
            756.0,
            Some(1513.0),
            2000.0,
            80,
            &["h100", "pcie"],
        ),
        sheet("H100-SXM5-80GB", 989.0, Some(1979.0), 3350.0, 80, &["h100"]),
        sheet("H800-SXM5-80GB", 989.0, Some(1979.0), 3350.0, 80, &["h800"]),
        sheet("H200-SXM-141GB", 989.0, Some(1979.0), 4800.0, 141, &["h200"]),
        sheet("H20-96GB", 148.0, Some(296.0), 4000.0, 96, &["h20"]),
        sheet("B200-SXM-180GB", 2250.0, Some(4500.0), 7700.0, 180, &["b200"]),
        sheet("A100-SXM4-40GB", 312.0, None, 1555.0, 40, &["a100", "40gb"]),
        sheet("A100-SXM4-80GB", 312.0, None, 2039.0, 80, &["a100"]),
        sheet("L40S-48GB", 362.0, Some(733.0), 864.0, 48, &["l40s"]),
    ]
}

/// The sheet of the device that the driver calls `name`, if it is known.
///
/// Worked: `NVIDIA H100 80GB HBM3` is `H100-SXM5-80GB`, `NVIDIA H100 PCIe` is `H100-PCIe-80GB`.
#[must_use]
pub fn spec_of(name: &str) -> Option<DeviceSpec> {
    let lower = name.to_lowercase();
    let mut words: Vec<&str> = lower
        .split(|letter: char| !letter.is_ascii_alphanumeric())
        .collect();
    words.retain(|word| !word.is_empty());
    sheets()
        .into_iter()
        .find(|sheet| sheet.words.iter().all(|wanted| words.contains(wanted)))
}
