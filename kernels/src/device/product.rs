//! Dense products by cuBLASLt, alone or beside a kernel that moves memory: the contention law.

use std::sync::Arc;

use cudarc::cublaslt::{CudaBlasLT, Matmul as _, MatmulConfig};
use cudarc::driver::{CudaSlice, CudaStream, LaunchConfig, PinnedHostSlice, PushKernelArg as _};
use half::bf16;

use super::operands::{fetch, random, reserve, size};
use super::{Device, DeviceError, Libraries, driver};
use crate::catalog::Kernel;
use crate::measure::Subject;
use crate::verify;

/// Longest that a kernel moves memory when nobody stops it.
const MOVER_LIMIT_NANOS: u64 = 60_000_000_000;

/// `result [m, n] = left [m, k] · right [n, k]ᵀ`, over copies of the operands.
pub(super) struct Dense {
    library: CudaBlasLT,
    left: Vec<CudaSlice<bf16>>,
    right: Vec<CudaSlice<bf16>>,
    result: std::cell::RefCell<CudaSlice<bf16>>,
    shape: [usize; 3],
    beside: Option<Mover>,
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
        if !Libraries::look().cublaslt {
            return Err(DeviceError::Missing {
                library: "libcublasLt.so",
                remedy: "pip install nvidia-cublas-cu12, or the CUDA toolkit, and put its folder on LD_LIBRARY_PATH",
            });
        }
        let shape = subject.dense().expect("the caller gives dense products alone");
        let sizes = [shape.m, shape.n, shape.k].map(size);
        let [m, n, k] = sizes;
        let copies = |name: &str, count: usize| -> Result<Vec<CudaSlice<bf16>>, DeviceError> {
            (0..num_copies).map(|_| random(device, name, count)).collect()
        };
        let library = CudaBlasLT::new(Arc::clone(&device.stream));
        let library = library.map_err(|_fault| DeviceError::Missing {
            library: "libcublasLt.so",
            remedy: "it is there and does not start: its version must fit the driver's",
        })?;
        let (left, right) = (copies("left", m * k)?, copies("right", n * k)?);
        let result = std::cell::RefCell::new(reserve(device, m * n)?);
        Ok(Self {
            library,
            left,
            right,
            result,
            shape: sizes,
            beside: (blocks > 0).then(|| Mover::start(device, blocks)).transpose()?,
        })
    }

    pub(super) fn launch(&self, _device: &Device, index: usize) -> Result<(), DeviceError> {
        let [m, n, k] = self.shape;
        let wide = |value: usize| value as i64;
        // Column by column, as the library counts: the transpose of the result, n x m.
        let config = MatmulConfig {
            transa: true,
            transb: false,
            transc: false,
            m: n as u64,
            n: m as u64,
            k: k as u64,
            alpha: 1.0,
            lda: wide(k),
            ldb: wide(k),
            beta: 0.0,
            ldc: wide(n),
            stride_a: None,
            stride_b: None,
            stride_c: None,
            stride_bias: None,
            batch_size: None,
        };
        let copy = index % self.left.len();
        let (left, right) = (&self.left[copy], &self.right[copy]);
        // SAFETY: the buffers hold as many numbers as the configuration says.
        let done = unsafe {
            self.library
                .matmul(config, right, left, &mut *self.result.borrow_mut(), None, None)
        };
        done.map_err(|_fault| DeviceError::Missing {
            library: "libcublasLt.so",
            remedy: "it has no kernel for this product: its version must know this device",
        })
    }

    pub(super) fn check(&self, device: &Device) -> Result<f64, DeviceError> {
        let (left, right) = (fetch(device, &self.left[0])?, fetch(device, &self.right[0])?);
        let result = fetch(device, &*self.result.borrow())?;
        let [m, n, k] = self.shape;
        let number = |values: &[bf16], at: usize| f64::from(values[at].to_f32());
        let pairs = verify::sampled(m).flat_map(|row| (0..n).map(move |column| (row, column)));
        let errors = pairs.map(|(row, column)| {
            let truth: f64 = (0..k)
                .map(|i| number(&left, row * k + i) * number(&right, column * k + i))
                .sum();
            (number(&result, row * n + column), truth)
        });
        Ok(verify::within("dense product", errors, verify::ALLOWED.0)?)
    }

    pub(super) fn finish(&self, device: &Device) -> Result<(), DeviceError> {
        device.settle()?;
        self.beside.as_ref().map_or(Ok(()), Mover::stop)
    }
}
