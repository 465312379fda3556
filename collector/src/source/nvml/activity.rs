//! Unit activity through GPM, from two samples that the driver takes; Hopper and newer.

use nvml_wrapper::enums::gpm::GpmMetricId;
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::gpm::{GpmSample, gpm_metrics_get};
use nvml_wrapper::{Device, Nvml};
use orrery_telemetry::{Absence, Activity, Reading};
use orrery_units::{BytesPerSec, Ratio};

use super::asked::Asked;
use super::fault::absence;

const MEBIBYTE: f64 = 1_048_576.0;
/// In the order in which [`Gpm::take`] reads them.
const METRICS: [GpmMetricId; 15] = [
    GpmMetricId::GraphicsUtil,
    GpmMetricId::SmUtil,
    GpmMetricId::SmOccupancy,
    GpmMetricId::AnyTensorUtil,
    GpmMetricId::DramBwUtil,
    GpmMetricId::Fp32Util,
    GpmMetricId::NvlinkTotalRxPerSec,
    GpmMetricId::NvlinkTotalTxPerSec,
    GpmMetricId::HmmaTensorUtil,
    GpmMetricId::ImmaTensorUtil,
    GpmMetricId::DfmaTensorUtil,
    GpmMetricId::Fp64Util,
    GpmMetricId::Fp16Util,
    GpmMetricId::PcieRxPerSec,
    GpmMetricId::PcieTxPerSec,
];

/// The activity of one device, at its own pace: in at most one of `pace` readings, since GPM is for at most five
/// samples a second.
pub(super) struct Gpm {
    pace: u32,
    /// Readings since the last sample.
    since: u32,
    previous: Option<GpmSample<'static>>,
    activity: Activity,
}

impl Gpm {
    pub(super) fn new(pace: u32) -> Self {
        Self {
            pace,
            since: 0,
            previous: None,
            activity: Activity::absent(&Absence::NotYet),
        }
    }

    /// Takes the sample that the next activity counts from.
    pub(super) fn prepare(&mut self, device: &Device<'static>) {
        // What cannot be read now is told by the next reading.
        self.previous = sample(device).ok();
        self.since = self.pace;
    }

    /// Forgets what the next activity would count from: the device was lost.
    pub(super) fn forget(&mut self) {
        self.previous = None;
    }

    /// The activity since the last that was taken, when another is due; else that last one again.
    pub(super) fn read(
        &mut self,
        nvml: &'static Nvml,
        device: &Device<'static>,
        asked: &mut Asked,
    ) -> Activity {
        self.since += 1;
        let is_due = self.previous.is_none() || self.since >= self.pace;
        if is_due {
            self.since = 0;
            self.activity = match asked.ask("activity", || sample(device)) {
                Reading::Value(sample) => self.count(nvml, sample),
                Reading::Absent { absent } => {
                    self.previous = None;
                    Activity::absent(&absent)
                }
            };
        }
        self.activity.clone()
    }

    /// What `sample` says since the one before, in whose place it comes.
    fn count(&mut self, nvml: &'static Nvml, sample: GpmSample<'static>) -> Activity {
        let Some(previous) = self.previous.replace(sample) else {
            // The first two samples may follow each other faster: nvml.h asks for 100 ms between them.
            self.since = self.pace;
            return Activity::absent(&Absence::NotYet);
        };
        let Some(sample) = &self.previous else {
            return Activity::absent(&Absence::NotYet);
        };
        match gpm_metrics_get(nvml, &previous, sample, &METRICS) {
            Ok(metrics) => {
                let values = metrics.into_iter().map(|metric| match metric {
                    Ok(metric) if metric.value.is_finite() && metric.value >= 0.0 => {
                        Reading::Value(metric.value)
                    }
                    Ok(_) => Reading::absent(Absence::NotANumber),
                    Err(fault) => Reading::absent(absence(&fault)),
                });
                of_values(values)
            }
            Err(fault) => Activity::absent(&absence(&fault)),
        }
    }
}

/// The activity whose `values` come in the order of [`METRICS`].
fn of_values(mut values: impl Iterator<Item = Reading<f64>>) -> Activity {
    let mut next = || values.next().expect("one result for each metric asked");
    Activity {
        graphics: next().map(ratio_of_percent),
        sm: next().map(ratio_of_percent),
        occupancy: next().map(ratio_of_percent),
        tensor: next().map(ratio_of_percent),
        dram: next().map(ratio_of_percent),
        fp32: next().map(ratio_of_percent),
        nvlink_receive: next().map(rate_of_mebibytes),
        nvlink_transmit: next().map(rate_of_mebibytes),
        tensor_hmma: next().map(ratio_of_percent),
        tensor_imma: next().map(ratio_of_percent),
        tensor_dfma: next().map(ratio_of_percent),
        fp64: next().map(ratio_of_percent),
        fp16: next().map(ratio_of_percent),
        pcie_receive: next().map(rate_of_mebibytes),
        pcie_transmit: next().map(rate_of_mebibytes),
    }
}

/// A sample of a device that has such.
fn sample(device: &Device<'static>) -> Result<GpmSample<'static>, NvmlError> {
    if device.gpm_support()? {
        device.gpm_sample()
    } else {
        Err(NvmlError::NotSupported)
    }
}

fn ratio_of_percent(percent: f64) -> Ratio {
    Ratio::clamped(percent / 100.0)
}

/// nvml.h gives these rates in MiB/s.
fn rate_of_mebibytes(rate: f64) -> BytesPerSec {
    if rate > 0.0 {
        BytesPerSec::new(rate * MEBIBYTE)
    } else {
        BytesPerSec::default()
    }
}
