//! What a subject's launches read and write: copies of its operands in device memory, more of them than a cache holds.

use cudarc::driver::{CudaFunction, CudaSlice, LaunchConfig, PushKernelArg as _};
use half::bf16;
use orrery_units::Seed;
use rand::RngExt as _;

use super::grouped::Grouped;
use super::product::Dense;
use super::run::wide;
use super::{Device, DeviceError, driver};
use crate::Bf16;
use crate::catalog::Kernel;
use crate::compile::source_hash;
use crate::measure::Subject;

/// A subject on the device.
pub(super) enum Operands {
    Empty(CudaFunction),
    /// A kernel over pieces of 16 bytes.
    Stream {
        function: CudaFunction,
        kernel: Kernel,
        from: CudaSlice<u32>,
        to: CudaSlice<u32>,
        pieces: i64,
    },
    /// A kernel of the forward path.
    Pass(Box<Pass>),
    Dense(Box<Dense>),
    Grouped(Box<Grouped>),
}

/// A pass over rows of bfloats, with what it looks up.
pub(super) struct Pass {
    function: CudaFunction,
    kernel: Kernel,
    input: CudaSlice<bf16>,
    output: CudaSlice<bf16>,
    indices: CudaSlice<i32>,
    starts: CudaSlice<i32>,
    weights: CudaSlice<f32>,
    /// Rows, experts chosen per token, width.
    sizes: (u32, i32, i32),
}

/// So many bfloats from -1 to 1, drawn by name: never zeros, which run faster than data does.
pub(super) fn random(device: &Device, name: &str, count: usize) -> Result<CudaSlice<bf16>, DeviceError> {
    // A megabyte of draws, repeated: the device sees no pattern in it, and the host is done in time.
    const DRAWN: usize = 1 << 19;
    let mut rng = Seed::new(3).at(name, &[]).rng();
    let drawn: Vec<bf16> = (0..count.clamp(1, DRAWN))
        .map(|_| bf16::from_bits(Bf16::from_f32(rng.random_range(-1.0..1.0)).to_bits()))
        .collect();
    let mut values = drawn.repeat(count.max(1).div_ceil(drawn.len()));
    values.truncate(count.max(1));
    device
        .stream
        .clone_htod(&values)
        .map_err(driver("copying operands to the device"))
}

pub(super) fn size(value: u64) -> usize {
    usize::try_from(value).expect("64-bit hosts hold what devices hold")
}

pub(super) fn int(value: u64) -> i32 {
    i32::try_from(value).expect("a plan keeps extents below 2^31")
}

pub(super) fn upload<T: cudarc::driver::DeviceRepr>(
    device: &Device,
    values: &[T],
) -> Result<CudaSlice<T>, DeviceError> {
    device
        .stream
        .clone_htod(values)
        .map_err(driver("copying to the device"))
}

pub(super) fn reserve<T>(device: &Device, count: usize) -> Result<CudaSlice<T>, DeviceError>
where
    T: cudarc::driver::DeviceRepr + cudarc::driver::ValidAsZeroBits,
{
    device
        .stream
        .alloc_zeros(count.max(1))
        .map_err(driver("reserving memory"))
}

impl Operands {
    pub(super) fn of(device: &Device, subject: &Subject) -> Result<Self, DeviceError> {
        match *subject {
            Subject::LaunchFloor => Ok(Self::Empty(device.function(Kernel::Empty, 0)?)),
            Subject::Copy { bytes } => Self::stream(device, Kernel::Copy, bytes),
            Subject::Read { bytes } => Self::stream(device, Kernel::Read, bytes),
            Subject::Dense { .. } => Ok(Self::Dense(Box::new(Dense::new(device, subject, 0)?))),
            Subject::Contention { blocks, .. } => {
                Ok(Self::Dense(Box::new(Dense::new(device, subject, blocks)?)))
            }
            Subject::Grouped { .. } => Ok(Self::Grouped(Box::new(Grouped::new(device, subject)?))),
            Subject::Swiglu { .. } | Subject::Gather { .. } | Subject::Combine { .. } => {
                Ok(Self::Pass(Box::new(Pass::new(device, subject)?)))
            }
        }
    }

    fn stream(device: &Device, kernel: Kernel, bytes: u64) -> Result<Self, DeviceError> {
        let function = device.function(kernel, 0)?;
        let pieces = bytes / 16;
        let from = random(device, "stream", size(pieces * 8))?;
        let words: Vec<u32> = {
            let numbers = device
                .stream
                .clone_dtoh(&from)
                .map_err(driver("copying operands"))?;
            numbers
                .chunks_exact(2)
                .map(|two| u32::from(two[0].to_bits()) | u32::from(two[1].to_bits()) << 16)
                .collect()
        };
        let to = match kernel {
            Kernel::Copy => size(pieces * 4),
            _ => size(u64::from(device.facts.num_units) * 4),
        };
        Ok(Self::Stream {
            function,
            kernel,
            from: upload(device, &words)?,
            to: reserve(device, to)?,
            pieces: i64::try_from(pieces).expect("below 2^63"),
        })
    }

    /// Enqueues launch number `index`: each takes the next copy of its operands.
    pub(super) fn launch(&self, device: &Device, index: usize) -> Result<(), DeviceError> {
        match self {
            Self::Empty(function) => {
                let mut launch = device.stream.launch_builder(function);
                launch.arg(&0_i32);
                let shape = LaunchConfig {
                    grid_dim: (1, 1, 1),
                    block_dim: (32, 1, 1),
                    shared_mem_bytes: 0,
                };
                // SAFETY: the kernel touches nothing.
                unsafe { launch.launch(shape) }
                    .map(|_| ())
                    .map_err(driver("launching"))
            }
            Self::Stream {
                function,
                from,
                to,
                pieces,
                ..
            } => {
                let mut launch = device.stream.launch_builder(function);
                launch.arg(from).arg(to).arg(pieces);
                // SAFETY: both buffers are as long as `pieces` says, and a reading kernel has a word for each block.
                unsafe { launch.launch(wide(device.facts.num_units)) }
                    .map(|_| ())
                    .map_err(driver("launching"))
            }
            Self::Pass(pass) => pass.launch(device),
            Self::Dense(dense) => dense.launch(device, index),
            Self::Grouped(grouped) => grouped.launch(device, index),
        }
    }

    /// Relative error of the launch just done, on sampled rows; none where there is nothing to compute.
    pub(super) fn check(&self, device: &Device) -> Result<Option<f64>, DeviceError> {
        match self {
            Self::Empty(_) => Ok(None),
            Self::Stream { kernel, from, to, .. } if *kernel == Kernel::Copy => {
                let read = |buffer| {
                    device
                        .stream
                        .clone_dtoh(buffer)
                        .map_err(driver("reading the result"))
                };
                let (from, to) = (read(from)?, read(to)?);
                if from == to {
                    Ok(Some(0.0))
                } else {
                    wrong("copy", 1.0, 0.0)
                }
            }
            Self::Stream { .. } | Self::Pass(_) => Ok(None),
            Self::Dense(dense) => dense.check(device).map(Some),
            Self::Grouped(grouped) => grouped.check(device).map(Some),
        }
    }

    /// Ends what runs beside.
    pub(super) fn finish(&self, device: &Device) -> Result<(), DeviceError> {
        match self {
            Self::Dense(dense) => dense.finish(device),
            _ => Ok(()),
        }
    }

    /// Hash of the kernel's source, for kernels of this package.
    pub(super) fn source_hash(&self) -> Option<String> {
        let kernel = match self {
            Self::Empty(_) => Kernel::Empty,
            Self::Stream { kernel, .. } => *kernel,
            Self::Pass(pass) => pass.kernel,
            Self::Dense(_) => return None,
            Self::Grouped(grouped) => grouped.kernel(),
        };
        Some(source_hash(&kernel.source()))
    }
}

pub(super) fn wrong<T>(subject: &str, error: f64, allowed: f64) -> Result<T, DeviceError> {
    Err(DeviceError::Wrong {
        subject: subject.to_owned(),
        error,
        allowed,
    })
}

impl Pass {
    fn new(device: &Device, subject: &Subject) -> Result<Self, DeviceError> {
        let (kernel, input, output, rows, sizes) = match *subject {
            Subject::Swiglu { rows, inner } => (
                Kernel::Swiglu,
                2 * rows * inner,
                rows * inner,
                rows,
                (rows, 1, inner),
            ),
            Subject::Gather {
                tokens,
                top_k,
                hidden,
            } => {
                let rows = tokens * top_k;
                (
                    Kernel::Gather,
                    tokens * hidden,
                    rows * hidden,
                    rows,
                    (rows, top_k, hidden),
                )
            }
            Subject::Combine {
                tokens,
                top_k,
                hidden,
            } => {
                let rows = tokens * top_k;
                (
                    Kernel::Combine,
                    rows * hidden,
                    tokens * hidden,
                    rows,
                    (tokens, top_k, hidden),
                )
            }
            _ => unreachable!("the caller gives passes alone"),
        };
        // Rows go to experts as slots with a stride: neighbours in one are strangers in the other.
        let indices: Vec<i32> = (0..rows).map(|row| int(row * 769 % rows.max(1))).collect();
        Ok(Self {
            function: device.function(kernel, 0)?,
            kernel,
            input: random(device, "pass", size(input))?,
            output: reserve(device, size(output))?,
            indices: upload(device, &indices)?,
            starts: upload(device, &[0, int(rows)])?,
            weights: upload(device, &vec![0.25_f32; size(rows)])?,
            sizes: (int(sizes.0).cast_unsigned(), int(sizes.1), int(sizes.2)),
        })
    }

    fn launch(&self, device: &Device) -> Result<(), DeviceError> {
        let (rows, top_k, width) = &self.sizes;
        let mut launch = device.stream.launch_builder(&self.function);
        match self.kernel {
            Kernel::Swiglu => {
                launch
                    .arg(&self.input)
                    .arg(&self.starts)
                    .arg(&self.output)
                    .arg(&1_i32)
                    .arg(width);
            }
            Kernel::Gather => {
                launch
                    .arg(&self.input)
                    .arg(&self.indices)
                    .arg(&self.starts)
                    .arg(&self.output);
                launch.arg(&1_i32).arg(top_k).arg(width);
            }
            _ => {
                launch
                    .arg(&self.input)
                    .arg(&self.indices)
                    .arg(&self.weights)
                    .arg(&self.output);
                launch.arg(top_k).arg(width);
            }
        }
        let shape = LaunchConfig {
            grid_dim: (*rows, 1, 1),
            block_dim: (256, 1, 1),
            shared_mem_bytes: 0,
        };
        // SAFETY: a block for each row or token, and buffers of as many; indices are below the number of rows.
        unsafe { launch.launch(shape) }
            .map(|_| ())
            .map_err(driver("launching"))
    }
}
