//! Times of experts on a device, as fitted to measured tables of imbalanced layers.

use serde::{Deserialize, Serialize};

use super::hardware;
use crate::plan::{Device, ExpertShape};

/// The law of one library on one device.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExpertLaw {
    /// The stack that was measured, such as `deepepmoe-context`.
    pub stack: String,
    /// Catalogue name of the device that was measured.
    pub device: String,
    /// Format of the weights.
    pub format: String,
    /// Rows that its parameters were fitted to.
    pub rows: usize,
    /// Fewest and most tokens of all ranks in those rows.
    pub tokens: [u32; 2],
    /// Fewest and most ranks.
    pub ranks: [u32; 2],
    /// Least and largest width of the model.
    pub hidden: [u32; 2],
    /// Least and largest width of an expert.
    pub inner: [u32; 2],
    /// Median error over all rows with each EP degree left out, by the law alone.
    pub median_error: f64,
    /// Parameters of the law, in the order of its priors.
    pub parameters: Vec<f64>,
}

impl ExpertLaw {
    /// What of `tokens` tokens to `experts` on `ranks` ranks lies beyond what it was fitted to, in words.
    #[must_use]
    pub fn beyond(&self, tokens: u64, ranks: u64, experts: ExpertShape) -> Vec<String> {
        let asked = [
            ("tokens", tokens, self.tokens),
            ("ranks", ranks, self.ranks),
            ("wide", u64::from(experts.hidden), self.hidden),
            ("wide inside", u64::from(experts.inner), self.inner),
        ];
        let outside = asked
            .into_iter()
            .filter(|&(_, value, [least, most])| value < u64::from(least) || value > u64::from(most));
        outside
            .map(|(what, value, [least, most])| match least == most {
                true => format!("{value} {what}, not {least}"),
                false => format!("{value} {what}, not {least} to {most}"),
            })
            .collect()
    }
}

/// All laws that were fitted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ExpertLaws {
    /// Version of the file.
    pub schema: String,
    /// Tables that were read.
    pub sources: Vec<String>,
    /// The laws, by stack and device.
    pub laws: Vec<ExpertLaw>,
}

/// The laws that ship with the program.
///
/// # Panics
/// Never: a test reads the embedded file.
#[must_use]
pub fn expert_laws() -> ExpertLaws {
    let text = include_str!("../../../../../scenarios/experts/imbalanced.experts.json");
    serde_json::from_str(text).expect("the embedded laws are valid; a test reads them")
}

impl ExpertLaws {
    /// The law of `stack` on a device in a format: its own, else that of its twin in units.
    #[must_use]
    pub fn find(&self, stack: &str, device: &Device, format: &str) -> Option<&ExpertLaw> {
        self.fitting(device, format)
            .into_iter()
            .find(|law| law.stack == stack)
    }

    /// The laws that hold for a device in a format, those measured on it before those of its twins: devices of its
    /// architecture with as many units.
    #[must_use]
    pub fn fitting(&self, device: &Device, format: &str) -> Vec<&ExpertLaw> {
        let is_twin = |name: &str| {
            hardware(name).is_ok_and(|entry| {
                entry.device.architecture == device.architecture && entry.device.num_units == device.num_units
            })
        };
        let in_format = || self.laws.iter().filter(|law| law.format == format);
        let own = in_format().filter(|law| law.device == device.name);
        let twins = in_format().filter(|law| law.device != device.name && is_twin(&law.device));
        own.chain(twins).collect()
    }

    /// Every stack with the devices and formats that it was fitted on, in words.
    #[must_use]
    pub fn listed(&self) -> String {
        let law = |law: &ExpertLaw| format!("{} on {} in {}", law.stack, law.device, law.format);
        self.laws.iter().map(law).collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn laws_hold_for_their_device_their_twin_and_their_format_alone() {
        let laws = expert_laws();
        let device = |name: &str| hardware(name).expect("a device of the catalogue").device;
        let found = |name, format| {
            laws.find("deepepmoe-context", &device(name), format)
                .map(|law| law.device.as_str())
        };
        assert_eq!(found("H100-SXM5-80GB", "fp8_block"), Some("H100-SXM5-80GB"));
        assert_eq!(found("H800-SXM5-80GB", "fp8_block"), Some("H100-SXM5-80GB"));
        assert_eq!(found("H100-SXM5-80GB", "bfloat16"), None);
        assert_eq!(found("A100-SXM4-80GB", "fp8_block"), None);
        let law = &laws.laws[0];
        let experts = ExpertShape {
            layers: 58,
            experts: 256,
            top_k: 8,
            hidden: 7168,
            inner: 2048,
        };
        let [most, ranks] = [law.tokens[1], law.ranks[0]].map(u64::from);
        assert_eq!(law.beyond(most, ranks, experts), Vec::<String>::new());
        assert_eq!(
            law.beyond(most + 1, ranks, experts),
            ["524289 tokens, not 32 to 524288"]
        );
        let other = ExpertShape {
            hidden: 2048,
            ..experts
        };
        assert_eq!(law.beyond(most, ranks, other), ["2048 wide, not 7168"]);
    }
}
