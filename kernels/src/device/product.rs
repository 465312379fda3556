//! Dense products by cuBLASLt, alone or beside a kernel that moves memory: the contention law.

use std::sync::Arc;

use cudarc::cublaslt::{CudaBlasLT, Matmul as _, MatmulConfig};
use cudarc::driver::{CudaSlice, CudaStream, LaunchConfig, PinnedHostSlice, PushKernelArg as _};
use half::bf16;

use super::operands::{random, reserve, size, wrong};
use super::{Device, DeviceError, Libraries, driver};
use crate::catalog::Kernel;
use crate::measure::Subject;

/// Most relative error on sampled rows (issue of the kernels: 1e-2 in 16 bits, 4e-2 in 8).
pub(super) const ALLOWED: (f64, f64) = (1e-2, 4e-2);
/// Rows of which every column is computed again.
pub(super) const SAMPLED_ROWS: usize = 4;
/// Longest that a kernel moves memory when nobody stops it.
const MOVER_LIMIT_NANOS: u64 = 60_000_000_000;

/// `result [m, n] = left [m, k] · right [n, k]ᵀ`, over two copies of the operands.
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
    pub(super) fn new(device: &Device, subject: &Subject, blocks: u64) -> Result<Self, DeviceError> {
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
            (0..2)
                .map(|copy| random(device, &format!("{name} {copy}"), count))
                .collect()
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
        let read = |buffer: &CudaSlice<bf16>| {
            device
                .stream
                .clone_dtoh(buffer)
                .map_err(driver("reading the result"))
        };
        let (left, right, result) = (
            read(&self.left[0])?,
            read(&self.right[0])?,
            read(&self.result.borrow())?,
        );
        let [m, n, k] = self.shape;
        let number = |values: &[bf16], at: usize| f64::from(values[at].to_f32());
        let rows = (0..SAMPLED_ROWS).map(|sample| sample * (m - 1) / (SAMPLED_ROWS - 1));
        let pairs = rows.flat_map(|row| (0..n).map(move |column| (row, column)));
        let errors = pairs.map(|(row, column)| {
            let truth: f64 = (0..k)
                .map(|i| number(&left, row * k + i) * number(&right, column * k + i))
                .sum();
            (number(&result, row * n + column), truth)
        });
        within("dense product", errors, ALLOWED.0)
    }

    pub(super) fn finish(&self, device: &Device) -> Result<(), DeviceError> {
        device.settle()?;
        self.beside.as_ref().map_or(Ok(()), Mover::stop)
    }
}

/// Frobenius norm of the difference over that of the truth, if it is no more than allowed.
pub(super) fn within(
    subject: &str,
    pairs: impl Iterator<Item = (f64, f64)>,
    allowed: f64,
) -> Result<f64, DeviceError> {
    let (mut difference, mut norm) = (0.0, 0.0);
    for (got, truth) in pairs {
        difference += (got - truth) * (got - truth);
        norm += truth * truth;
    }
    let error = (difference / norm.max(f64::MIN_POSITIVE)).sqrt();
    if error <= allowed {
        Ok(error)
    } else {
        wrong(subject, error, allowed)
    }
}
