//! Whether a profile is of a device: times of one say nothing of another.

use crate::Profile;

/// A profile of another device.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "profile `{profile}` was measured on `{measured_on}`, and this device is `{device}`: its times say nothing of it\n  = help: choose a profile of `{device}`, or make one with `orrery-collector calibrate`"
)]
pub struct DeviceMismatch {
    /// The profile's name.
    pub profile: String,
    /// The device it is of.
    pub measured_on: String,
    /// The device it was to be used for.
    pub device: String,
}

impl Profile {
    /// Whether this profile is of `device`, named as the hardware catalogue does; case and separators do not matter.
    ///
    /// # Errors
    /// When it is of another: [`DeviceMismatch`] names both.
    pub fn check_device(&self, device: &str) -> Result<(), DeviceMismatch> {
        if plain(&self.device) == plain(device) {
            return Ok(());
        }
        Err(DeviceMismatch {
            profile: self.name.clone(),
            measured_on: self.device.clone(),
            device: device.to_owned(),
        })
    }
}

fn plain(name: &str) -> String {
    let letters = name.chars().filter(|letter| letter.is_alphanumeric());
    letters.flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_of_another_device_is_refused_with_both_names() {
        let profile = Profile {
            name: "h100-megatron".to_owned(),
            device: "H100-SXM5-80GB".to_owned(),
            ..Profile::default()
        };
        for same in ["H100-SXM5-80GB", "h100_sxm5_80gb", "H100 SXM5 80GB"] {
            assert_eq!(profile.check_device(same), Ok(()));
        }
        for other in ["H100-PCIe-80GB", "H200-SXM-141GB", ""] {
            let fault = profile.check_device(other).unwrap_err().to_string();
            assert!(
                fault.contains("`h100-megatron` was measured on `H100-SXM5-80GB`"),
                "{fault}"
            );
            assert!(
                fault.contains(&format!("this device is `{other}`")) && fault.contains("= help:"),
                "{fault}"
            );
        }
    }
}
