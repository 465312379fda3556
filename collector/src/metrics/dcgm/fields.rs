//! The fields of DCGM that are read here, each once: name, type and help text as in dcgm-exporter 4.5
//! (`etc/default-counters.csv`, `etc/dcp-metrics-included.csv`), and the unit that it gives them.

use orrery_telemetry::{Celsius, DeviceSample, Hertz, Nanoseconds, Reading};
use orrery_units::{Bytes, BytesPerSec, Joules, Ratio, Watts};

/// A field of DCGM.
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) kind: &'static str,
    pub(super) help: &'static str,
    pub(super) value: fn(&DeviceSample) -> Option<f64>,
}

const fn gauge(name: &'static str, help: &'static str, value: fn(&DeviceSample) -> Option<f64>) -> Field {
    Field {
        name,
        kind: "gauge",
        help,
        value,
    }
}

const fn counter(name: &'static str, help: &'static str, value: fn(&DeviceSample) -> Option<f64>) -> Field {
    Field {
        kind: "counter",
        ..gauge(name, help, value)
    }
}

/// All of them, in the order in which they are printed.
pub(super) static FIELDS: [Field; 35] = [
    gauge("DCGM_FI_DEV_SM_CLOCK", "SM clock frequency (in MHz).", |d| {
        megahertz(&d.sm_clock)
    }),
    gauge("DCGM_FI_DEV_MEM_CLOCK", "Memory clock frequency (in MHz).", |d| {
        megahertz(&d.memory_clock)
    }),
    gauge("DCGM_FI_DEV_MEMORY_TEMP", "Memory temperature (in C).", |d| {
        celsius(&d.memory_temperature)
    }),
    gauge("DCGM_FI_DEV_GPU_TEMP", "GPU temperature (in C).", |d| {
        celsius(&d.temperature)
    }),
    gauge("DCGM_FI_DEV_POWER_USAGE", "Power draw (in W).", |d| {
        value(&d.power, |&Watts(watts)| watts)
    }),
    counter(
        "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION",
        "Total energy consumption since boot (in mJ).",
        |d| value(&d.energy, |&Joules(joules)| (joules * 1e3).round()),
    ),
    counter(
        "DCGM_FI_DEV_PCIE_REPLAY_COUNTER",
        "Total number of PCIe retries.",
        |d| whole(&d.pcie.replays),
    ),
    gauge("DCGM_FI_DEV_GPU_UTIL", "GPU utilization (in %).", |d| {
        value(&d.utilization, |ratio| (ratio.get() * 100.0).round())
    }),
    // The last error since the collector listens; 0 while there was none.
    gauge(
        "DCGM_FI_DEV_XID_ERRORS",
        "Value of the last XID error encountered.",
        |d| value(&d.xids, |xids| float(xids.last().map_or(0, |last| last.code))),
    ),
    counter(
        "DCGM_FI_DEV_POWER_VIOLATION",
        "Throttling duration due to power constraints (in ns).",
        |d| nanoseconds(&d.throttle_times.power_cap),
    ),
    counter(
        "DCGM_FI_DEV_THERMAL_VIOLATION",
        "Throttling duration due to thermal constraints (in ns).",
        |d| {
            let times = &d.throttle_times;
            Some(nanoseconds(&times.thermal_software)? + nanoseconds(&times.thermal_hardware)?)
        },
    ),
    gauge("DCGM_FI_DEV_FB_FREE", "Framebuffer memory free (in MiB).", |d| {
        mebibytes(&d.memory_free)
    }),
    gauge("DCGM_FI_DEV_FB_USED", "Framebuffer memory used (in MiB).", |d| {
        mebibytes(&d.memory_used)
    }),
    gauge(
        "DCGM_FI_DEV_FB_RESERVED",
        "Framebuffer memory reserved (in MiB).",
        |d| mebibytes(&d.memory_reserved),
    ),
    counter(
        "DCGM_FI_DEV_ECC_SBE_VOL_TOTAL",
        "Total number of single-bit volatile ECC errors.",
        |d| whole(&d.ecc.corrected_volatile),
    ),
    counter(
        "DCGM_FI_DEV_ECC_DBE_VOL_TOTAL",
        "Total number of double-bit volatile ECC errors.",
        |d| whole(&d.ecc.uncorrected_volatile),
    ),
    counter(
        "DCGM_FI_DEV_ECC_SBE_AGG_TOTAL",
        "Total number of single-bit persistent ECC errors.",
        |d| whole(&d.ecc.corrected_aggregate),
    ),
    counter(
        "DCGM_FI_DEV_ECC_DBE_AGG_TOTAL",
        "Total number of double-bit persistent ECC errors.",
        |d| whole(&d.ecc.uncorrected_aggregate),
    ),
    counter(
        "DCGM_FI_DEV_UNCORRECTABLE_REMAPPED_ROWS",
        "Number of remapped rows for uncorrectable errors",
        |d| whole(&d.remapped_rows.uncorrectable),
    ),
    counter(
        "DCGM_FI_DEV_CORRECTABLE_REMAPPED_ROWS",
        "Number of remapped rows for correctable errors",
        |d| whole(&d.remapped_rows.correctable),
    ),
    gauge(
        "DCGM_FI_DEV_ROW_REMAP_FAILURE",
        "Whether remapping of rows has failed",
        |d| value(&d.remapped_rows.failure, |&failed| f64::from(u8::from(failed))),
    ),
    gauge(
        "DCGM_FI_PROF_GR_ENGINE_ACTIVE",
        "Ratio of time the graphics engine is active.",
        |d| ratio(&d.activity.graphics),
    ),
    gauge(
        "DCGM_FI_PROF_SM_ACTIVE",
        "The ratio of cycles an SM has at least 1 warp assigned.",
        |d| ratio(&d.activity.sm),
    ),
    gauge(
        "DCGM_FI_PROF_SM_OCCUPANCY",
        "The ratio of number of warps resident on an SM.",
        |d| ratio(&d.activity.occupancy),
    ),
    gauge(
        "DCGM_FI_PROF_PIPE_TENSOR_ACTIVE",
        "Ratio of cycles the tensor (HMMA) pipe is active.",
        |d| ratio(&d.activity.tensor),
    ),
    gauge(
        "DCGM_FI_PROF_DRAM_ACTIVE",
        "Ratio of cycles the device memory interface is active sending or receiving data.",
        |d| ratio(&d.activity.dram),
    ),
    gauge(
        "DCGM_FI_PROF_PIPE_FP64_ACTIVE",
        "Ratio of cycles the fp64 pipes are active.",
        |d| ratio(&d.activity.fp64),
    ),
    gauge(
        "DCGM_FI_PROF_PIPE_FP32_ACTIVE",
        "Ratio of cycles the fp32 pipes are active.",
        |d| ratio(&d.activity.fp32),
    ),
    gauge(
        "DCGM_FI_PROF_PIPE_FP16_ACTIVE",
        "Ratio of cycles the fp16 pipes are active.",
        |d| ratio(&d.activity.fp16),
    ),
    gauge(
        "DCGM_FI_PROF_PIPE_TENSOR_HMMA_ACTIVE",
        "Ratio of cycles the tensor (HMMA) pipe is active.",
        |d| ratio(&d.activity.tensor_hmma),
    ),
    gauge(
        "DCGM_FI_PROF_PIPE_TENSOR_IMMA_ACTIVE",
        "Ratio of cycles the tensor (IMMA) pipe is active.",
        |d| ratio(&d.activity.tensor_imma),
    ),
    gauge(
        "DCGM_FI_PROF_PCIE_TX_BYTES",
        "The rate of data transmitted over the PCIe bus - including both protocol headers and data payloads - in \
         bytes per second.",
        |d| rate(&d.activity.pcie_transmit),
    ),
    gauge(
        "DCGM_FI_PROF_PCIE_RX_BYTES",
        "The rate of data received over the PCIe bus - including both protocol headers and data payloads - in bytes \
         per second.",
        |d| rate(&d.activity.pcie_receive),
    ),
    gauge(
        "DCGM_FI_PROF_NVLINK_TX_BYTES",
        "The rate of data transmitted over NVLink, not including protocol headers, in bytes per second.",
        |d| rate(&d.activity.nvlink_transmit),
    ),
    gauge(
        "DCGM_FI_PROF_NVLINK_RX_BYTES",
        "The rate of data received over NVLink, not including protocol headers, in bytes per second.",
        |d| rate(&d.activity.nvlink_receive),
    ),
];

fn value<T>(reading: &Reading<T>, number: impl Fn(&T) -> f64) -> Option<f64> {
    reading.value().map(number)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "Prometheus keeps every number as a float"
)]
fn float(number: u64) -> f64 {
    number as f64
}

fn whole(reading: &Reading<u64>) -> Option<f64> {
    value(reading, |&number| float(number))
}

fn nanoseconds(reading: &Reading<Nanoseconds>) -> Option<f64> {
    value(reading, |time| float(time.get()))
}

fn megahertz(reading: &Reading<Hertz>) -> Option<f64> {
    value(reading, |clock| float(clock.get()) / 1e6)
}

fn celsius(reading: &Reading<Celsius>) -> Option<f64> {
    value(reading, |degrees| degrees.0)
}

/// Whole mebibytes, as DCGM gives them.
fn mebibytes(reading: &Reading<Bytes>) -> Option<f64> {
    value(reading, |bytes| (bytes.as_f64() / f64::from(1 << 20)).floor())
}

fn ratio(reading: &Reading<Ratio>) -> Option<f64> {
    value(reading, |ratio| ratio.get())
}

fn rate(reading: &Reading<BytesPerSec>) -> Option<f64> {
    value(reading, |rate| rate.get())
}
