//! What the hardware catalogue says of the wires of a device.
//!
//! Rates are line rates, one way; what of them software reaches belongs to profiles.

use orrery_units::BytesPerSec;

use crate::catalog::hardware_rows;

/// How a device is wired, by scenarios/hardware/hardware.csv.
#[derive(Clone, Debug, PartialEq)]
pub struct DeviceWiring {
    /// Catalogue name.
    pub name: String,
    /// Compute capability, such as 90; absent for devices that are numbered otherwise.
    pub compute_capability: Option<u32>,
    /// Scale-up links of one device; 0 when it has none.
    pub num_links: u32,
    /// All scale-up links together, one way; absent when it has none.
    pub scale_up: Option<BytesPerSec>,
    /// Devices that one scale-up domain joins; 1 when there is no scale-up network.
    pub domain: u32,
    /// Whether every pair of devices has a link of its own (XGMI) rather than a switch between.
    pub is_mesh: bool,
    /// PCIe, one way; absent where the host is reached otherwise.
    pub pcie: Option<BytesPerSec>,
    /// Devices of the usual node.
    pub devices_per_node: u32,
}

impl DeviceWiring {
    /// One scale-up link, one way: all of them over their number. H100: 450 / 18 = 25 GB/s.
    #[must_use]
    pub fn per_link(&self) -> Option<BytesPerSec> {
        let all = self.scale_up?;
        (self.num_links > 0).then(|| all.scaled(1.0 / f64::from(self.num_links)))
    }
}

/// The wiring of the device that the catalogue calls `name`.
#[must_use]
pub fn device_wiring(name: &str) -> Option<DeviceWiring> {
    all().into_iter().find(|wiring| wiring.name == name)
}

/// The wiring of the first device of the catalogue with compute capability `capability` and a scale-up
/// network: links of one generation are alike (A100 25 GB/s, H100 25, B200 50).
#[must_use]
pub fn wiring_of_capability(capability: u32) -> Option<DeviceWiring> {
    all()
        .into_iter()
        .find(|wiring| wiring.compute_capability == Some(capability) && wiring.num_links > 0)
}

/// The most scale-up links that any device of the catalogue has: 18.
pub(super) fn most_links() -> u32 {
    all().iter().map(|wiring| wiring.num_links).max().unwrap_or(0)
}

fn all() -> Vec<DeviceWiring> {
    hardware_rows(|row| {
        let count = |column: &str| row.get(column)?.parse::<u32>().ok();
        let rate = |column: &str| {
            let gigabytes = row.get(column)?.parse::<f64>().ok().filter(|&rate| rate > 0.0)?;
            Some(BytesPerSec::new(gigabytes * 1e9))
        };
        Some(DeviceWiring {
            name: row.get("gpu")?.to_owned(),
            compute_capability: count("compute_cap"),
            num_links: count("nvlink_links").unwrap_or(0),
            scale_up: rate("nvlink_GBps_per_dir"),
            domain: count("scaleup_gpus").unwrap_or(1),
            is_mesh: row.get("nvlink_gen") == Some("XGMI"),
            pcie: rate("pcie_GBps_per_dir"),
            devices_per_node: count("default_gpus_per_node")?,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_of_one_generation_are_alike() {
        let gigabytes = |name: &str| {
            let wiring = device_wiring(name).expect("the catalogue has it");
            format!("{:.1}", wiring.per_link().expect("it has links").get() / 1e9)
        };
        let devices = [
            "A100-SXM4-80GB",
            "H100-SXM5-80GB",
            "H800-SXM5-80GB",
            "B200-SXM-180GB",
        ];
        assert_eq!(devices.map(gigabytes), ["25.0", "25.0", "25.0", "50.0"]);
        assert_eq!(most_links(), 18);
    }

    #[test]
    fn a_rack_is_one_domain_and_a_card_is_none() {
        let domain = |name: &str| device_wiring(name).expect("the catalogue has it").domain;
        assert_eq!(
            [
                domain("GB200-186GB"),
                domain("H100-SXM5-80GB"),
                domain("RTX-4090")
            ],
            [72, 8, 1]
        );
        assert!(device_wiring("MI300X-192GB").is_some_and(|wiring| wiring.is_mesh));
    }
}
