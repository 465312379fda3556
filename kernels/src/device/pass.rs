//! Passes of the forward path: SwiGLU, permutation and combination.

use cudarc::driver::{CudaFunction, CudaSlice, LaunchConfig, PushKernelArg as _};

use super::operands::{draw, fetch, forget, int, reserve, size, upload};
use super::{Device, DeviceError, driver};
use crate::Bf16;
use crate::catalog::Kernel;
use crate::measure::Subject;
use crate::verify;

/// A pass over rows of bfloats, with what it looks up.
pub(super) struct Pass {
    function: CudaFunction,
    kernel: Kernel,
    /// What is read, and what is written.
    copies: Vec<(CudaSlice<Bf16>, CudaSlice<Bf16>)>,
    indices: CudaSlice<i32>,
    starts: CudaSlice<i32>,
    weights: CudaSlice<f32>,
    /// Blocks, experts chosen per token, width.
    sizes: (u32, i32, i32),
}

/// What a pass is made of, in numbers.
struct Extents {
    kernel: Kernel,
    read: u64,
    written: u64,
    rows: u64,
    sizes: (u64, u64, u64),
}

impl Extents {
    fn of(subject: &Subject) -> Self {
        match *subject {
            Subject::Swiglu { rows, inner } => Self {
                kernel: Kernel::Swiglu,
                read: 2 * rows * inner,
                written: rows * inner,
                rows,
                sizes: (rows, 1, inner),
            },
            Subject::Gather {
                tokens,
                top_k,
                hidden,
            } => Self {
                kernel: Kernel::Gather,
                read: tokens * hidden,
                written: tokens * top_k * hidden,
                rows: tokens * top_k,
                sizes: (tokens * top_k, top_k, hidden),
            },
            Subject::Combine {
                tokens,
                top_k,
                hidden,
            } => Self {
                kernel: Kernel::Combine,
                read: tokens * top_k * hidden,
                written: tokens * hidden,
                rows: tokens * top_k,
                sizes: (tokens, top_k, hidden),
            },
            _ => unreachable!("the caller gives passes alone"),
        }
    }
}

/// The weight of every slot: none is one, and neighbours differ, so that a sum over the wrong slots is seen.
fn slot_weights(rows: usize) -> Vec<f32> {
    [0.5, 0.25, 0.125, 0.375].into_iter().cycle().take(rows).collect()
}

/// Rows go to experts as slots with a stride: neighbours in one are strangers in the other.
fn strided(rows: u64) -> Vec<i32> {
    (0..rows).map(|row| int(row * 769 % rows.max(1))).collect()
}

impl Pass {
    pub(super) fn new(device: &Device, subject: &Subject, num_copies: u64) -> Result<Self, DeviceError> {
        let extents = Extents::of(subject);
        let input = draw("pass", size(extents.read));
        let written = size(extents.written);
        let copies = (0..num_copies).map(|_| Ok((upload(device, &input)?, reserve(device, written)?)));
        let (blocks, top_k, width) = extents.sizes;
        Ok(Self {
            function: device.function(extents.kernel, 0)?,
            kernel: extents.kernel,
            copies: copies.collect::<Result<_, DeviceError>>()?,
            indices: upload(device, &strided(extents.rows))?,
            starts: upload(device, &[0, int(extents.rows)])?,
            weights: upload(device, &slot_weights(size(extents.rows)))?,
            sizes: (int(blocks).cast_unsigned(), int(top_k), int(width)),
        })
    }

    pub(super) const fn kernel(&self) -> Kernel {
        self.kernel
    }

    pub(super) fn launch(&self, device: &Device, index: usize) -> Result<(), DeviceError> {
        let (blocks, top_k, width) = &self.sizes;
        let (input, output) = &self.copies[index % self.copies.len()];
        let mut launch = device.stream.launch_builder(&self.function);
        match self.kernel {
            Kernel::Swiglu => {
                launch.arg(input).arg(&self.starts).arg(output);
                launch.arg(&1_i32).arg(width);
            }
            Kernel::Gather => {
                launch.arg(input).arg(&self.indices).arg(&self.starts).arg(output);
                launch.arg(&1_i32).arg(top_k).arg(width);
            }
            _ => {
                launch
                    .arg(input)
                    .arg(&self.indices)
                    .arg(&self.weights)
                    .arg(output);
                launch.arg(top_k).arg(width);
            }
        }
        let shape = LaunchConfig {
            grid_dim: (*blocks, 1, 1),
            block_dim: (256, 1, 1),
            shared_mem_bytes: 0,
        };
        // SAFETY: a block for each row or token, and buffers of as many; indices are below the number of rows.
        unsafe { launch.launch(shape) }
            .map(|_| ())
            .map_err(driver("launching"))
    }

    /// Forgets the result that is checked.
    pub(super) fn forget(&self, device: &Device) -> Result<(), DeviceError> {
        forget(&device.stream, &self.copies[0].1)
    }

    pub(super) fn check(&self, device: &Device) -> Result<f64, DeviceError> {
        let (input, output) = &self.copies[0];
        let (input, output) = (fetch(device, input)?, fetch(device, output)?);
        let indices = fetch(device, &self.indices)?;
        let (_, top_k, width) = self.sizes;
        let extent = |value: i32| size(value.unsigned_abs().into());
        let sizes = (extent(top_k), extent(width));
        let checked = match self.kernel {
            Kernel::Swiglu => verify::swiglu(&input, &output, sizes.1),
            Kernel::Gather => verify::gather(&input, &indices, &output, sizes),
            _ => {
                let weights = fetch(device, &self.weights)?;
                verify::combine(&input, &indices, &weights, &output, sizes)
            }
        };
        Ok(checked?)
    }
}
