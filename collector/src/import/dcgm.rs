//! The text that dcgm-exporter serves: one line for each field and device.
//!
//! Fields, units and labels are those of dcgm-exporter's `etc/default-counters.csv` and
//! `etc/dcp-metrics-included.csv`. Lines of other exporters and of the parts of divided devices are passed over.
//! The times of violations are too: releases of DCGM do not agree on their unit.

use std::collections::BTreeMap;

use orrery_telemetry::{Absence, Celsius, DeviceIdentity, DeviceSample, Hertz, Reading};
use orrery_units::{Bytes, BytesPerSec, Joules, Ratio, Watts};
use thiserror::Error;

/// One device as dcgm-exporter tells it.
#[derive(Clone, Debug, PartialEq)]
pub struct DcgmDevice {
    /// Its readings; what dcgm-exporter was not asked to collect is not sent.
    pub sample: DeviceSample,
    /// The code of the error that came last, 0 for none. When, and how often, it does not tell.
    pub last_xid: Option<u64>,
}

/// Why a text is none of dcgm-exporter.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DcgmError {
    /// A line of a field of DCGM is not in the exposition format.
    #[error("line {line}: {fault}: `{text}`")]
    Line {
        /// Which, counted from 1.
        line: usize,
        /// What is wrong.
        fault: &'static str,
        /// Its beginning.
        text: String,
    },
    /// There is no field of DCGM for any device.
    #[error(
        "no field `DCGM_FI_…` of any device\nis this the address of a dcgm-exporter, such as `http://127.0.0.1:9400/metrics`?"
    )]
    NoDevice,
}

/// Characters of a line that an error repeats.
const EXCERPT: usize = 80;
/// Devices that are taken; a node has some tens at most.
const MOST_DEVICES: usize = 1_024;
const MEBIBYTE: u64 = 1 << 20;

/// The devices of `text`, by node and number.
///
/// # Errors
/// When a line of a field of DCGM is malformed, or there is none.
pub fn parse_dcgm(text: &str) -> Result<Vec<DcgmDevice>, DcgmError> {
    let mut devices: BTreeMap<(String, u32, String), DcgmDevice> = BTreeMap::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if !line.starts_with("DCGM_FI_") {
            continue;
        }
        let row = Row::read(line).map_err(|fault| DcgmError::Line {
            line: number,
            fault,
            text: line.chars().take(EXCERPT).collect(),
        })?;
        // A part of a divided device: its numbers are not those of the whole.
        if row.label("GPU_I_ID").is_some_and(|instance| !instance.is_empty()) {
            continue;
        }
        let (Some(uuid), Some(index)) = (
            row.label("UUID"),
            row.label("gpu").and_then(|index| index.parse().ok()),
        ) else {
            continue;
        };
        let node = row
            .label("Hostname")
            .or_else(|| row.label("hostname"))
            .unwrap_or("unknown");
        let key = (node.to_owned(), index, uuid.to_owned());
        if devices.len() >= MOST_DEVICES && !devices.contains_key(&key) {
            continue;
        }
        let device = devices
            .entry(key)
            .or_insert_with(|| new_device(node, index, uuid));
        row.tell(device);
    }
    if devices.is_empty() {
        return Err(DcgmError::NoDevice);
    }
    Ok(devices.into_values().map(finished).collect())
}

fn new_device(node: &str, index: u32, uuid: &str) -> DcgmDevice {
    let identity = DeviceIdentity {
        node: node.to_owned(),
        index,
        uuid: uuid.to_owned(),
        model: "unknown".to_owned(),
    };
    DcgmDevice {
        sample: DeviceSample::absent(identity, &Absence::not_sent()),
        last_xid: None,
    }
}

/// All of the memory is what is used, free and reserved.
fn finished(mut device: DcgmDevice) -> DcgmDevice {
    let sample = &mut device.sample;
    let parts = [&sample.memory_used, &sample.memory_free, &sample.memory_reserved];
    let parts: Option<Vec<u64>> = parts
        .into_iter()
        .map(|part| part.value().map(|bytes| bytes.get()))
        .collect();
    if let Some(parts) = parts {
        sample.memory_total = Reading::Value(Bytes::new(parts.iter().sum()));
    }
    device
}

/// A line in pieces.
struct Row<'a> {
    field: &'a str,
    labels: Vec<(&'a str, String)>,
    value: &'a str,
}

impl<'a> Row<'a> {
    /// `NAME{label="value",…} VALUE [TIMESTAMP]`, with blanks where the format lets them stand.
    fn read(line: &'a str) -> Result<Self, &'static str> {
        let Some((field, mut rest)) = line.split_once('{') else {
            return Err("there are no labels");
        };
        let mut labels = Vec::new();
        loop {
            rest = rest.trim_start_matches([' ', ',']);
            if let Some(end) = rest.strip_prefix('}') {
                let value = end.split_whitespace().next().ok_or("there is no value")?;
                return Ok(Self {
                    field: field.trim_end(),
                    labels,
                    value,
                });
            }
            let (name, quoted) = rest.split_once('=').ok_or("a label has no `=`")?;
            let quoted = quoted
                .trim_start()
                .strip_prefix('"')
                .ok_or("a label has no opening quote")?;
            let (value, after) = unquoted(quoted)?;
            labels.push((name.trim(), value));
            rest = after;
        }
    }

    fn label(&self, name: &str) -> Option<&str> {
        self.labels
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| value.as_str())
    }

    /// Sets what this line tells of `device`.
    fn tell(&self, device: &mut DcgmDevice) {
        let sample = &mut device.sample;
        if let Some(model) = self.label("modelName") {
            model.clone_into(&mut sample.identity.model);
        }
        for (label, fact) in [
            ("pci_bus_id", &mut sample.facts.pci_bus_id),
            ("DCGM_FI_DRIVER_VERSION", &mut sample.facts.driver),
        ] {
            if let Some(value) = self.label(label) {
                *fact = Reading::Value(value.to_owned());
            }
        }
        let activity = &mut sample.activity;
        match self.field {
            "DCGM_FI_DEV_SM_CLOCK" => sample.sm_clock = self.megahertz(),
            "DCGM_FI_DEV_MEM_CLOCK" => sample.memory_clock = self.megahertz(),
            "DCGM_FI_DEV_GPU_TEMP" => sample.temperature = self.number().map(Celsius),
            "DCGM_FI_DEV_MEMORY_TEMP" => sample.memory_temperature = self.number().map(Celsius),
            "DCGM_FI_DEV_POWER_USAGE" => sample.power = self.number().map(Watts),
            "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION" => {
                sample.energy = self.number().map(|millijoules| Joules(millijoules / 1e3));
            }
            "DCGM_FI_DEV_GPU_UTIL" => {
                sample.utilization = self.number().map(|percent| Ratio::clamped(percent / 100.0));
            }
            "DCGM_FI_DEV_FB_USED" => sample.memory_used = self.mebibytes(),
            "DCGM_FI_DEV_FB_FREE" => sample.memory_free = self.mebibytes(),
            "DCGM_FI_DEV_FB_RESERVED" => sample.memory_reserved = self.mebibytes(),
            "DCGM_FI_DEV_XID_ERRORS" => device.last_xid = self.whole().value().copied(),
            "DCGM_FI_DEV_PCIE_REPLAY_COUNTER" => sample.pcie.replays = self.whole(),
            "DCGM_FI_DEV_ECC_SBE_VOL_TOTAL" => sample.ecc.corrected_volatile = self.whole(),
            "DCGM_FI_DEV_ECC_DBE_VOL_TOTAL" => sample.ecc.uncorrected_volatile = self.whole(),
            "DCGM_FI_DEV_ECC_SBE_AGG_TOTAL" => sample.ecc.corrected_aggregate = self.whole(),
            "DCGM_FI_DEV_ECC_DBE_AGG_TOTAL" => sample.ecc.uncorrected_aggregate = self.whole(),
            "DCGM_FI_DEV_CORRECTABLE_REMAPPED_ROWS" => sample.remapped_rows.correctable = self.whole(),
            "DCGM_FI_DEV_UNCORRECTABLE_REMAPPED_ROWS" => sample.remapped_rows.uncorrectable = self.whole(),
            "DCGM_FI_DEV_ROW_REMAP_PENDING" => {
                sample.remapped_rows.pending = self.whole().map(|flag| flag != 0);
            }
            "DCGM_FI_DEV_ROW_REMAP_FAILURE" => {
                sample.remapped_rows.failure = self.whole().map(|flag| flag != 0);
            }
            "DCGM_FI_PROF_GR_ENGINE_ACTIVE" => activity.graphics = self.ratio(),
            "DCGM_FI_PROF_SM_ACTIVE" => activity.sm = self.ratio(),
            "DCGM_FI_PROF_SM_OCCUPANCY" => activity.occupancy = self.ratio(),
            "DCGM_FI_PROF_PIPE_TENSOR_ACTIVE" => activity.tensor = self.ratio(),
            "DCGM_FI_PROF_PIPE_TENSOR_HMMA_ACTIVE" => activity.tensor_hmma = self.ratio(),
            "DCGM_FI_PROF_PIPE_TENSOR_IMMA_ACTIVE" => activity.tensor_imma = self.ratio(),
            "DCGM_FI_PROF_PIPE_TENSOR_DFMA_ACTIVE" => activity.tensor_dfma = self.ratio(),
            "DCGM_FI_PROF_DRAM_ACTIVE" => activity.dram = self.ratio(),
            "DCGM_FI_PROF_PIPE_FP64_ACTIVE" => activity.fp64 = self.ratio(),
            "DCGM_FI_PROF_PIPE_FP32_ACTIVE" => activity.fp32 = self.ratio(),
            "DCGM_FI_PROF_PIPE_FP16_ACTIVE" => activity.fp16 = self.ratio(),
            "DCGM_FI_PROF_PCIE_RX_BYTES" => activity.pcie_receive = self.rate(),
            "DCGM_FI_PROF_PCIE_TX_BYTES" => activity.pcie_transmit = self.rate(),
            "DCGM_FI_PROF_NVLINK_RX_BYTES" => activity.nvlink_receive = self.rate(),
            "DCGM_FI_PROF_NVLINK_TX_BYTES" => activity.nvlink_transmit = self.rate(),
            _ => {}
        }
    }

    /// The value, unless it is one of those with which DCGM says that there is none (`dcgm_structs.h`: 32- and 64-bit
    /// numbers and floats, each *blank*, *not found*, *not supported* and *not permissioned*, one after the other).
    fn number(&self) -> Reading<f64> {
        const BLANKS: [u64; 3] = [0x7fff_fff0, 0x7fff_ffff_ffff_fff0, 140_737_488_355_328];
        // As a whole number: a float cannot tell the last from the next.
        let whole = self
            .value
            .strip_suffix(".0")
            .unwrap_or(self.value)
            .parse::<u64>()
            .ok();
        let kind_after = |blank: &u64| whole?.checked_sub(*blank).filter(|kind| *kind < 4);
        let blank = BLANKS.iter().find_map(kind_after);
        match blank.or_else(|| blank_of_float(self.value)) {
            Some(2) => Reading::absent(Absence::NotSupported),
            Some(3) => Reading::absent(Absence::NoPermission),
            Some(_) => Reading::absent(Absence::NotANumber),
            None => match self.value.parse::<f64>() {
                Ok(value) if value.is_finite() && value >= 0.0 => Reading::Value(value),
                _ => Reading::absent(Absence::NotANumber),
            },
        }
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a cast of a float saturates"
    )]
    fn whole(&self) -> Reading<u64> {
        self.number().map(|value| value.round() as u64)
    }

    fn mebibytes(&self) -> Reading<Bytes> {
        self.whole()
            .map(|mebibytes| Bytes::new(mebibytes.saturating_mul(MEBIBYTE)))
    }

    fn megahertz(&self) -> Reading<Hertz> {
        self.whole().and_then(|megahertz| {
            let megahertz = u32::try_from(megahertz).map_err(|_too_large| Absence::NotANumber);
            Reading::from(megahertz).map(Hertz::from_megahertz)
        })
    }

    fn ratio(&self) -> Reading<Ratio> {
        self.number().map(Ratio::clamped)
    }

    fn rate(&self) -> Reading<BytesPerSec> {
        self.number().map(|rate| {
            if rate > 0.0 {
                BytesPerSec::new(rate)
            } else {
                BytesPerSec::default()
            }
        })
    }
}

/// Which kind of none a float is that was printed with an exponent, as in `9.223372036854776e+18`: which of the four,
/// its digits do not tell.
fn blank_of_float(text: &str) -> Option<u64> {
    let value: f64 = text.parse().ok()?;
    let is_none = [2.0_f64.powi(63), 140_737_488_355_328.0].iter().any(|blank| {
        let off: f64 = value - blank;
        (0.0..4.0).contains(&off)
    });
    is_none.then_some(0)
}

/// A label's value up to its closing quote, and what follows it. `\\`, `\"` and `\n` are written with a backslash.
fn unquoted(text: &str) -> Result<(String, &str), &'static str> {
    let mut value = String::new();
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return Ok((value, &text[at + 1..])),
            '\\' => match letters.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, escaped)) => value.push(escaped),
                None => break,
            },
            plain => value.push(plain),
        }
    }
    Err("a label has no closing quote")
}

#[cfg(test)]
mod tests;
