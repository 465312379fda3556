//! Dense products by cuBLASLt, alone or beside a kernel that moves memory: the contention law.

use std::sync::Arc;

use cudarc::driver::{
    CudaSlice, CudaStream, DevicePtr as _, LaunchConfig, PinnedHostSlice, PushKernelArg as _,
};
use orrery_operation::Precision;

use super::lt::Plan;
use super::operands::{draw, draw_eight, fetch, forget, reserve, size, upload};
use super::{Device, DeviceError, driver};
use crate::catalog::Kernel;
use crate::measure::Subject;
use crate::verify;
use crate::{Bf16, E4m3};

/// Longest that a kernel moves memory when nobody stops it.
const MOVER_LIMIT_NANOS: u64 = 60_000_000_000;

/// `result [m, n] = left [m, k] · right [n, k]ᵀ`, over copies of the operands.
pub(super) struct Dense {
    plan: Plan,
    left: Vec<Matrix>,
    right: Vec<Matrix>,
    result: CudaSlice<Bf16>,
    shape: [usize; 3],
    allowed: f64,
    beside: Option<Mover>,
}

/// An operand.
enum Matrix {
    Sixteen(CudaSlice<Bf16>),
    Eight(CudaSlice<u8>),
}

impl Matrix {
    fn address(&self, device: &Device) -> u64 {
        match self {
            Self::Sixteen(numbers) => numbers.device_ptr(&device.stream).0,
            Self::Eight(numbers) => numbers.device_ptr(&device.stream).0,
        }
    }

    /// Its numbers, as the library multiplies them.
    fn numbers(&self, device: &Device) -> Result<Vec<f32>, DeviceError> {
        Ok(match self {
            Self::Sixteen(numbers) => fetch(device, numbers)?.into_iter().map(Bf16::to_f32).collect(),
            Self::Eight(numbers) => {
                let of: Vec<f32> = (0..=u8::MAX).map(|bits| E4m3::from_bits(bits).to_f32()).collect();
                let bits = fetch(device, numbers)?.into_iter();
                bits.map(|bits| of[usize::from(bits)]).collect()
            }
        })
    }
}

/// So many copies of `count` numbers, drawn by name.
fn copies(
    device: &Device,
    name: &str,
    count: usize,
    precision: Precision,
    num_copies: u64,
) -> Result<Vec<Matrix>, DeviceError> {
    match precision {
        Precision::Fp8 => {
            let drawn = draw_eight(name, count);
            (0..num_copies)
                .map(|_| upload(device, &drawn).map(Matrix::Eight))
                .collect()
        }
        _ => {
            let drawn = draw(name, count);
            (0..num_copies)
                .map(|_| upload(device, &drawn).map(Matrix::Sixteen))
                .collect()
        }
    }
}

/// A kernel that moves memory on its own stream until it is stopped.
struct Mover {
    stream: Arc<CudaStream>,
    stopped: std::cell::RefCell<PinnedHostSlice<i32>>,
    _buffers: (CudaSlice<u32>, CudaSlice<u64>),
}

impl Mover {
    fn start(device: &Device, blocks: u64) -> Result<Self, DeviceError> {
        let pieces = 2 * (256_u64 << 20) / 16;
        let function = device.function(Kernel::Mover, 0)?;
        let stream = device.context.new_stream().map_err(driver("making a stream"))?;
        let mut buffer: CudaSlice<u32> = reserve(device, size(4 * pieces))?;
        let mut moved: CudaSlice<u64> = reserve(device, size(blocks))?;
        // SAFETY: a word that the host writes and the device reads, both through this pointer.
        let stopped = unsafe { device.context.alloc_pinned::<i32>(1) };
        let mut stopped = stopped.map_err(driver("reserving host memory"))?;
        let flag = stopped.as_mut_ptr().map_err(driver("reading host memory"))?;
        // SAFETY: no kernel reads it yet.
        unsafe { flag.write_volatile(0) };
        device.settle()?;
        let (address, count) = (flag as u64, i64::try_from(pieces).expect("below 2^63"));
        let mut launch = stream.launch_builder(&function);
        launch
            .arg(&mut buffer)
            .arg(&count)
            .arg(&address)
            .arg(&MOVER_LIMIT_NANOS)
            .arg(&mut moved);
        let shape = LaunchConfig {
            grid_dim: (u32::try_from(blocks).expect("few blocks"), 1, 1),
            block_dim: (512, 1, 1),
            shared_mem_bytes: 0,
        };
        // SAFETY: the buffer holds `count` pieces, `moved` a word for each block, and pinned memory has one address for
        // host and device.
        unsafe { launch.launch(shape) }.map_err(driver("launching"))?;
        Ok(Self {
            stream,
            stopped: std::cell::RefCell::new(stopped),
            _buffers: (buffer, moved),
        })
    }

    fn stop(&self) -> Result<(), DeviceError> {
        let mut stopped = self.stopped.borrow_mut();
        let flag = stopped.as_mut_ptr().map_err(driver("reading host memory"))?;
        // SAFETY: the kernel reads it as volatile and does nothing else with it.
        unsafe { flag.write_volatile(1) };
        self.stream
            .synchronize()
            .map_err(driver("waiting for the device"))
    }
}

impl Dense {
    pub(super) fn new(
        device: &Device,
        subject: &Subject,
        num_copies: u64,
        blocks: u64,
    ) -> Result<Self, DeviceError> {
        let shape = subject.dense().expect("the caller gives dense products alone");
        let plan = Plan::new(device, [shape.m, shape.n, shape.k], shape.precision)?;
        let sizes = [shape.m, shape.n, shape.k].map(size);
        let [m, n, k] = sizes;
        let of = |name: &str, count: usize| copies(device, name, count, shape.precision, num_copies);
        Ok(Self {
            plan,
            left: of("left", m * k)?,
            right: of("right", n * k)?,
            result: reserve(device, m * n)?,
            shape: sizes,
            allowed: match shape.precision {
                Precision::Fp8 => verify::ALLOWED.1,
                _ => verify::ALLOWED.0,
            },
            beside: (blocks > 0).then(|| Mover::start(device, blocks)).transpose()?,
        })
    }

    pub(super) fn launch(&self, device: &Device, index: usize) -> Result<(), DeviceError> {
        let copy = index % self.left.len();
        let (left, right) = (self.left[copy].address(device), self.right[copy].address(device));
        let (result, _record) = self.result.device_ptr(&device.stream);
        self.plan.launch(device, left, right, result)
    }

    /// Forgets the result that is checked.
    pub(super) fn forget(&self, device: &Device) -> Result<(), DeviceError> {
        forget(&device.stream, &self.result)
    }

    pub(super) fn check(&self, device: &Device) -> Result<f64, DeviceError> {
        let (left, right) = (self.left[0].numbers(device)?, self.right[0].numbers(device)?);
        let result = fetch(device, &self.result)?;
        let [m, n, k] = self.shape;
        let pairs = verify::sampled(m).flat_map(|row| (0..n).map(move |column| (row, column)));
        let errors = pairs.map(|(row, column)| {
            let products = left[row * k..(row + 1) * k]
                .iter()
                .zip(&right[column * k..(column + 1) * k]);
            let truth: f64 = products.map(|(&a, &b)| f64::from(a) * f64::from(b)).sum();
            (f64::from(result[row * n + column].to_f32()), truth)
        });
        Ok(verify::within("dense product", errors, self.allowed)?)
    }

    pub(super) fn finish(&self, device: &Device) -> Result<(), DeviceError> {
        device.settle()?;
        self.beside.as_ref().map_or(Ok(()), Mover::stop)
    }
}
