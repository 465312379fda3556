//! Kernels over pieces of 16 bytes: what every other rate is held against.

use cudarc::driver::{CudaFunction, CudaSlice, PushKernelArg as _};

use super::operands::{draw_words, fetch, forget, reserve, size, upload};
use super::run::wide;
use super::{Device, DeviceError, driver};
use crate::catalog::Kernel;
use crate::verify;

/// A copy or a read, over copies of its operands.
pub(super) struct Stream {
    function: CudaFunction,
    kernel: Kernel,
    /// What is read, and what is written.
    copies: Vec<(CudaSlice<u32>, CudaSlice<u32>)>,
    pieces: i64,
}

impl Stream {
    pub(super) fn new(
        device: &Device,
        kernel: Kernel,
        bytes: u64,
        num_copies: u64,
    ) -> Result<Self, DeviceError> {
        let pieces = bytes / 16;
        let words = draw_words("stream", size(pieces * 4));
        let written = match kernel {
            Kernel::Copy => size(pieces * 4),
            // A word for each block.
            _ => wide(device.facts.num_units).grid_dim.0 as usize,
        };
        let copies = (0..num_copies).map(|_| Ok((upload(device, &words)?, reserve(device, written)?)));
        Ok(Self {
            function: device.function(kernel, 0)?,
            kernel,
            copies: copies.collect::<Result<_, DeviceError>>()?,
            pieces: i64::try_from(pieces).expect("below 2^63"),
        })
    }

    pub(super) const fn kernel(&self) -> Kernel {
        self.kernel
    }

    pub(super) fn launch(&self, device: &Device, index: usize) -> Result<(), DeviceError> {
        let (from, to) = &self.copies[index % self.copies.len()];
        let mut launch = device.stream.launch_builder(&self.function);
        launch.arg(from).arg(to).arg(&self.pieces);
        // SAFETY: both buffers are as long as `pieces` says, and a reading kernel has a word for each block.
        unsafe { launch.launch(wide(device.facts.num_units)) }
            .map(|_| ())
            .map_err(driver("launching"))
    }

    /// Forgets the result that is checked.
    pub(super) fn forget(&self, device: &Device) -> Result<(), DeviceError> {
        forget(&device.stream, &self.copies[0].1)
    }

    pub(super) fn check(&self, device: &Device) -> Result<f64, DeviceError> {
        let (from, to) = &self.copies[0];
        let (from, to) = (fetch(device, from)?, fetch(device, to)?);
        let checked = match self.kernel {
            Kernel::Copy => verify::same("copy", &to, &from),
            _ => verify::read(&from, &to, wide(device.facts.num_units).block_dim.0 as usize),
        };
        Ok(checked?)
    }
}
