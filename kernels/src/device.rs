//! A real device: its facts, its kernels, its timings. Only a worker process uses this: a wedged driver is killed with it.
//!
//! Nothing here is reached without the driver's library, which is asked for before any call: the bindings panic where a
//! library or a function is missing. Numbers come out only after a check of the result against the CPU.

#![expect(
    unsafe_code,
    reason = "launches hand pointers to the device; every block states why it is sound"
)]

mod all_reduce;
mod batch;
mod exchange;
mod grouped;
mod library;
mod lt;
mod operands;
mod pass;
mod peer;
mod product;
mod run;
mod seat;
mod stream;

use std::sync::Arc;

use cudarc::driver::sys::{self, CUdevice_attribute_enum as Attribute};
use cudarc::driver::{
    CudaContext, CudaFunction, CudaStream, DeviceRepr, DriverError, ValidAsZeroBits, result,
};
use cudarc::nvrtc::Ptx;
use serde::{Deserialize, Serialize};

use crate::Bf16;
use crate::catalog::Kernel;
use crate::compile::{Architecture, Cache, CompileError, Compiler};
use crate::verify::Wrong;

pub use all_reduce::MAX_RANKS;
pub use batch::Launching;
pub use run::{Measurement, Sampling, launches_for};
pub use seat::{Identity, Seat};

/// Why a device, or something on it, cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// No driver.
    #[error(
        "the CUDA driver `libcuda.so.1` was not found\n  = help: install the NVIDIA driver; in a container run with `--gpus all`"
    )]
    NoDriver,
    /// The driver refused.
    #[error(
        "{doing}: {source:?}\n  = help: see `dmesg` for `NVRM` and `Xid` lines, and `nvidia-smi` for what the driver says"
    )]
    Driver {
        /// What was tried.
        doing: String,
        /// What the driver said.
        source: DriverError,
    },
    /// A device for which there are no kernels.
    #[error(
        "no kernels for compute capability {major}.{minor}\n  = help: devices of 8.x, 9.0 and 10.0 are supported"
    )]
    Unsupported {
        /// Its major number.
        major: u32,
        /// Its minor number.
        minor: u32,
    },
    /// Kernels could not be compiled.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// A library that this measurement needs is missing.
    #[error("`{library}` was not found\n  = help: {remedy}")]
    Missing {
        /// The library.
        library: &'static str,
        /// What to do.
        remedy: &'static str,
    },
    /// A library refused.
    #[error(
        "`{library}` refuses {doing}: {code}\n  = help: its version must fit the driver's and know this device and format"
    )]
    Refused {
        /// The library.
        library: &'static str,
        /// What it was asked for.
        doing: &'static str,
        /// What it said.
        code: String,
    },
    /// A result is not what the CPU computes: it is not published.
    #[error(transparent)]
    Wrong(#[from] Wrong),
    /// A collective of more devices than there are, or of one.
    #[error(
        "a collective of {ranks} devices, and there are {count}\n  = help: name 2 to {count} with `--ranks`"
    )]
    TooFew {
        /// Devices that were asked for.
        ranks: usize,
        /// Devices that the driver sees.
        count: usize,
    },
    /// A collective that one process is to measure alone.
    #[error("a collective is measured by a process for each device, all at once")]
    Together,
    /// A rank that cannot be.
    #[error("there is no rank {rank} of {ranks}")]
    NoPlace {
        /// The rank.
        rank: usize,
        /// Of how many.
        ranks: usize,
    },
    /// A text that ranks cannot find each other by.
    #[error("an identity of ranks is 256 hexadecimal digits")]
    NoIdentity,
    /// A rank that is to measure and has no operands.
    #[error("no collective was begun")]
    NothingBegun,
    /// Two devices do not reach each other's memory.
    #[error(
        "device {peer} cannot be reached from this one\n  = help: `nvidia-smi topo -p2p r` says which pairs can"
    )]
    NoPeer {
        /// The other one.
        peer: usize,
    },
}

/// What a device is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceFacts {
    /// Its name, as the driver says it.
    pub name: String,
    /// Its identity.
    pub uuid: String,
    /// Compute capability.
    pub capability: (u32, u32),
    /// Execution units.
    pub num_units: u32,
    /// Memory, in bytes.
    pub memory_bytes: u64,
    /// Second-level cache, in bytes.
    pub cache_bytes: u64,
}

/// Which libraries are there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Libraries {
    /// The driver, `libcuda.so.1`.
    pub driver: bool,
    /// cuBLAS.
    pub cublas: bool,
    /// cuBLASLt.
    pub cublaslt: bool,
    /// NCCL under a name that the bindings look for.
    pub nccl: bool,
    /// NCCL under the name `libnccl.so.2`, which is all that wheels and runtime containers hold and which the bindings do
    /// not look for.
    pub nccl_by_version: bool,
}

/// A device with its compiler.
#[derive(Debug)]
pub struct Device {
    /// As the driver counts.
    index: usize,
    context: Arc<CudaContext>,
    stream: Arc<CudaStream>,
    compiler: Compiler,
    cache: Cache,
    architecture: Architecture,
    facts: DeviceFacts,
}

impl Libraries {
    /// Asks the system's loader for each; nothing is called.
    #[must_use]
    pub fn look() -> Self {
        // SAFETY: each loads a library, whose initialisers run, and looks no further.
        unsafe {
            Self {
                driver: cudarc::driver::sys::is_culib_present(),
                cublas: cudarc::cublas::sys::is_culib_present(),
                cublaslt: cudarc::cublaslt::sys::is_culib_present(),
                nccl: cudarc::nccl::sys::is_culib_present(),
                nccl_by_version: libloading::os::unix::Library::new("libnccl.so.2").is_ok(),
            }
        }
    }
}

// SAFETY: 16 bits, as kernels read them.
unsafe impl DeviceRepr for Bf16 {}
// SAFETY: no bits are zero.
unsafe impl ValidAsZeroBits for Bf16 {}

/// Names what was tried.
fn driver(doing: &str) -> impl FnOnce(DriverError) -> DeviceError {
    let doing = doing.to_owned();
    move |source| DeviceError::Driver { doing, source }
}

fn positive(value: i32) -> u32 {
    u32::try_from(value).unwrap_or(0)
}

impl Device {
    /// The facts of device `index`.
    ///
    /// # Errors
    /// Without a driver, without that device, or where the driver refuses.
    pub fn look(index: usize) -> Result<DeviceFacts, DeviceError> {
        Self::context(index).and_then(|context| facts(&context))
    }

    /// Identities of all devices, in the order in which the driver counts: no device is opened.
    ///
    /// # Errors
    /// Without a driver, or where it refuses.
    pub fn identities() -> Result<Vec<String>, DeviceError> {
        if !Libraries::look().driver {
            return Err(DeviceError::NoDriver);
        }
        result::init().map_err(driver("starting the driver"))?;
        let count = result::device::get_count().map_err(driver("counting devices"))?;
        (0..count)
            .map(|index| {
                let device = result::device::get(index).map_err(driver("finding a device"))?;
                let uuid = result::device::get_uuid(device).map_err(driver("asking for the identity"))?;
                Ok(identity(uuid))
            })
            .collect()
    }

    fn context(index: usize) -> Result<Arc<CudaContext>, DeviceError> {
        if !Libraries::look().driver {
            return Err(DeviceError::NoDriver);
        }
        CudaContext::new(index).map_err(driver(&format!("opening device {index}")))
    }

    /// Device `index`, ready to run kernels that `compiler` makes and `cache` keeps.
    ///
    /// # Errors
    /// As [`look`](Self::look), and for devices without kernels.
    pub fn open(index: usize, compiler: Compiler, cache: Cache) -> Result<Self, DeviceError> {
        let context = Self::context(index)?;
        let facts = facts(&context)?;
        let (major, minor) = facts.capability;
        let architecture = Architecture::of(major, minor).ok_or(DeviceError::Unsupported { major, minor })?;
        // SAFETY: one thread owns the device, and every buffer lives until the streams have been waited for.
        unsafe { context.disable_event_tracking() };
        let stream = context.new_stream().map_err(driver("making a stream"))?;
        Ok(Self {
            index,
            context,
            stream,
            compiler,
            cache,
            architecture,
            facts,
        })
    }

    /// What it is.
    #[must_use]
    pub const fn facts(&self) -> &DeviceFacts {
        &self.facts
    }

    /// What its kernels are compiled for.
    #[must_use]
    pub const fn architecture(&self) -> Architecture {
        self.architecture
    }

    /// Waits until everything is done.
    fn settle(&self) -> Result<(), DeviceError> {
        self.stream
            .synchronize()
            .map_err(driver("waiting for the device"))
    }

    /// Streams of so many devices, this one's first and the others' as the driver counts on from it.
    fn streams(&self, ranks: usize) -> Result<Vec<Arc<CudaStream>>, DeviceError> {
        let count = Self::identities()?.len();
        if !(2..=count).contains(&ranks) {
            return Err(DeviceError::TooFew { ranks, count });
        }
        let mut streams = vec![Arc::clone(&self.stream)];
        for rank in 1..ranks {
            let context = Self::context((self.index + rank) % count)?;
            // SAFETY: one thread owns all devices, and every buffer lives until the streams have been waited for.
            unsafe { context.disable_event_tracking() };
            streams.push(context.new_stream().map_err(driver("making a stream"))?);
        }
        Ok(streams)
    }

    /// `kernel`, allowed `dynamic_bytes` of shared memory.
    fn function(&self, kernel: Kernel, dynamic_bytes: u32) -> Result<CudaFunction, DeviceError> {
        self.function_in(&self.context, kernel, dynamic_bytes)
    }

    /// The same on another device of the same kind.
    fn function_in(
        &self,
        context: &Arc<CudaContext>,
        kernel: Kernel,
        dynamic_bytes: u32,
    ) -> Result<CudaFunction, DeviceError> {
        let cubin = self
            .cache
            .cubin(&self.compiler, &kernel.source(), self.architecture)?;
        let doing = format!("loading `{}`", kernel.name());
        let module = context
            .load_module(Ptx::from_binary(cubin))
            .map_err(driver(&doing))?;
        let function = module.load_function(kernel.name()).map_err(driver(&doing))?;
        if dynamic_bytes > 48 * 1024 {
            let attribute = cudarc::driver::sys::CUfunction_attribute_enum::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
            let bytes = i32::try_from(dynamic_bytes).expect("shared memory is small");
            function.set_attribute(attribute, bytes).map_err(driver(&doing))?;
        }
        Ok(function)
    }
}

/// 32 digits, without the `GPU-` and the dashes of NVML.
fn identity(uuid: sys::CUuuid) -> String {
    uuid.bytes
        .iter()
        .map(|byte| format!("{:02x}", byte.cast_unsigned()))
        .collect()
}

fn facts(context: &CudaContext) -> Result<DeviceFacts, DeviceError> {
    let attribute = |which: Attribute| {
        context
            .attribute(which)
            .map_err(driver("asking for an attribute"))
    };
    let name = context.name().map_err(driver("asking for the name"))?;
    let memory = context.total_mem().map_err(driver("asking for the memory"))?;
    let uuid = context.uuid().map_err(driver("asking for the identity"))?;
    Ok(DeviceFacts {
        name,
        uuid: identity(uuid),
        capability: (
            positive(attribute(
                Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR,
            )?),
            positive(attribute(
                Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR,
            )?),
        ),
        num_units: positive(attribute(Attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?),
        memory_bytes: memory as u64,
        cache_bytes: positive(attribute(Attribute::CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE)?).into(),
    })
}
