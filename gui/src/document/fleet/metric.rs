//! Figures by which the fleet is coloured and compared.

use orrery_telemetry::{Absence, DeviceSample, Reading};
use orrery_units::{Bytes, Ratio};

/// A figure that every device may report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum FleetMetric {
    /// Share of time in which at least one kernel ran.
    #[default]
    Utilization,
    /// Share of cycles in which the tensor pipe worked.
    TensorActivity,
    /// Memory in use, as a share of all.
    Memory,
    /// Power drawn, in watts.
    Power,
    /// Temperature of the chip, in degrees Celsius.
    Temperature,
    /// Clock of the multiprocessors, in hertz.
    SmClock,
}

impl FleetMetric {
    /// Every metric, in the order of the picker.
    pub const ALL: [Self; 6] = [
        Self::Utilization,
        Self::TensorActivity,
        Self::Memory,
        Self::Power,
        Self::Temperature,
        Self::SmClock,
    ];

    /// The name in the picker.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Utilization => "utilization",
            Self::TensorActivity => "tensor activity",
            Self::Memory => "memory used",
            Self::Power => "power",
            Self::Temperature => "temperature",
            Self::SmClock => "SM clock",
        }
    }

    /// The metric of collectors that is nearest to it: memory as bytes, not as a share.
    #[must_use]
    pub const fn series(self) -> &'static str {
        match self {
            Self::Utilization => "orrery_gpu_utilization_ratio",
            Self::TensorActivity => "orrery_gpu_tensor_active_ratio",
            Self::Memory => "orrery_gpu_memory_used_bytes",
            Self::Power => "orrery_gpu_power_watts",
            Self::Temperature => "orrery_gpu_temperature_celsius",
            Self::SmClock => "orrery_gpu_sm_clock_hertz",
        }
    }

    /// What the figure means, in a sentence.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Utilization => {
                "Share of time in which at least one kernel ran; not how much of the device worked."
            }
            Self::TensorActivity => {
                "Share of cycles in which the tensor pipe worked, since the sample before."
            }
            Self::Memory => "Memory in use, as a share of all.",
            Self::Power => "Power drawn by the board.",
            Self::Temperature => "Temperature of the chip.",
            Self::SmClock => "Clock of the multiprocessors.",
        }
    }

    /// The value of `device`, in the unit of the metric.
    ///
    /// # Errors
    /// Why it has none.
    pub fn of(self, device: &DeviceSample) -> Result<f64, Absence> {
        match self {
            Self::Utilization => value(&device.utilization, |share: Ratio| share.get()),
            Self::TensorActivity => value(&device.activity.tensor, |share: Ratio| share.get()),
            Self::Memory => {
                let used = value(&device.memory_used, Bytes::as_f64)?;
                let total = value(&device.memory_total, Bytes::as_f64)?;
                let some = total > 0.0;
                some.then(|| used / total).ok_or(Absence::NotANumber)
            }
            Self::Power => value(&device.power, |watts| watts.0),
            Self::Temperature => value(&device.temperature, |degrees| degrees.0),
            Self::SmClock => value(&device.sm_clock, |clock| clock.as_f64()),
        }
    }

    /// `value` for people.
    #[must_use]
    pub fn show(self, value: f64) -> String {
        match self {
            Self::Utilization | Self::TensorActivity | Self::Memory => format!("{:.0} %", value * 100.0),
            Self::Power => format!("{value:.0} W"),
            Self::Temperature => format!("{value:.0} °C"),
            Self::SmClock => format!("{:.0} MHz", value / 1e6),
        }
    }

    /// Whether a value below that of the others is worth saying, and whether one above is.
    pub(super) const fn matters(self) -> (bool, bool) {
        match self {
            Self::Utilization | Self::TensorActivity | Self::SmClock => (true, false),
            Self::Memory | Self::Temperature => (false, true),
            Self::Power => (true, true),
        }
    }

    /// The ends of the colour scale when the highest value heard, and the highest limit of power, are these.
    /// They choose colours and judge nothing: shares from 0 to 1, temperature from 20 °C to the 90 °C near
    /// which boards of this class slow down, power to the limit, the clock to the highest one heard.
    pub(super) fn scale(self, highest: Option<f64>, power_limit: Option<f64>) -> (f64, f64) {
        let to = |high: Option<f64>| (0.0, high.filter(|&high| high > 0.0).unwrap_or(1.0));
        match self {
            Self::Utilization | Self::TensorActivity | Self::Memory => (0.0, 1.0),
            Self::Temperature => (20.0, 90.0),
            Self::Power => to(power_limit.or(highest)),
            Self::SmClock => to(highest),
        }
    }
}

fn value<T: Copy>(reading: &Reading<T>, turn: impl FnOnce(T) -> f64) -> Result<f64, Absence> {
    match reading {
        Reading::Value(value) => Ok(turn(*value)),
        Reading::Absent { absent } => Err(absent.clone()),
    }
}
