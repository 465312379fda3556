//! Activity of a device's units between two samples.

use orrery_units::{BytesPerSec, Ratio};

use crate::readings::readings;

readings! {
    /// Activity of a device's units between two samples, at least 200 ms apart.
    pub struct Activity {
        /// Share of time in which the graphics or compute engine worked.
        graphics: Ratio = "engine activity",
        /// Share of time in which a multiprocessor had a warp, mean over multiprocessors.
        sm: Ratio = "SM activity",
        /// Warps resident over warps possible.
        occupancy: Ratio = "occupancy",
        /// Share of cycles in which any tensor pipe worked.
        tensor: Ratio = "tensor activity",
        /// Share of the memory bandwidth used.
        dram: Ratio = "memory bandwidth activity",
        /// Share of cycles in which the FP32 pipe worked.
        fp32: Ratio = "FP32 activity",
        /// Data received over NVLink.
        nvlink_receive: BytesPerSec = "NVLink received",
        /// Data sent over NVLink.
        nvlink_transmit: BytesPerSec = "NVLink sent",
        /// Share of cycles in which the tensor pipe worked on FP16, BF16 or FP8.
        tensor_hmma: Ratio = "HMMA activity",
        /// Share of cycles in which the tensor pipe worked on integers.
        tensor_imma: Ratio = "IMMA activity",
        /// Share of cycles in which the tensor pipe worked on FP64.
        tensor_dfma: Ratio = "DFMA activity",
        /// Share of cycles in which the FP64 pipe worked.
        fp64: Ratio = "FP64 activity",
        /// Share of cycles in which the FP16 pipe worked.
        fp16: Ratio = "FP16 activity",
        /// Data received over PCIe.
        pcie_receive: BytesPerSec = "PCIe received",
        /// Data sent over PCIe.
        pcie_transmit: BytesPerSec = "PCIe sent",
    }
}
