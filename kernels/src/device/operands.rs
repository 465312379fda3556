//! What a subject's launches read and write: copies of its operands in device memory, more of them than a cache holds.

use std::sync::Arc;

use cudarc::driver::{
    CudaFunction, CudaSlice, CudaStream, DevicePtr, DeviceRepr, LaunchConfig, PushKernelArg as _, result,
};
use orrery_units::{Bytes, Seed};
use rand::RngExt as _;

use super::all_reduce::AllReduce;
use super::grouped::Grouped;
use super::library::LibraryGrouped;
use super::pass::Pass;
use super::peer::Peer;
use super::product::Dense;
use super::stream::Stream;
use super::{Device, DeviceError, driver};
use crate::catalog::Kernel;
use crate::compile::source_hash;
use crate::measure::Subject;
use crate::{Bf16, E4m3};

/// A subject on the device.
pub(super) enum Operands {
    Empty(CudaFunction),
    Stream(Stream),
    Pass(Box<Pass>),
    Peer(Peer),
    Dense(Box<Dense>),
    Grouped(Box<Grouped>),
    LibraryGrouped(Box<LibraryGrouped>),
    AllReduce(Box<AllReduce>),
}

/// Draws that are made; more are repeats. A megabyte: the device sees no pattern in it, and the host is done in time. A
/// prime number of them, so that repeats lie differently in pieces, rows and pages.
pub(super) const DRAWN: usize = (1 << 19) - 1;

/// So many bfloats from -1 to 1, drawn by name: never zeros, which run faster than data does.
pub(super) fn draw(name: &str, count: usize) -> Vec<Bf16> {
    let mut rng = Seed::new(3).at(name, &[]).rng();
    let drawn = (0..count.clamp(1, DRAWN)).map(|_| Bf16::from_f32(rng.random_range(-1.0..1.0)));
    repeated(&drawn.collect::<Vec<_>>(), count)
}

/// So many words of two such bfloats each.
pub(super) fn draw_words(name: &str, count: usize) -> Vec<u32> {
    let halves = draw(name, DRAWN.min(2 * count.max(1)));
    let second = halves.iter().cycle().skip(1);
    let words = halves.iter().zip(second);
    let words: Vec<u32> = words
        .map(|(low, high)| u32::from(low.to_bits()) | u32::from(high.to_bits()) << 16)
        .collect();
    repeated(&words, count)
}

/// So many numbers, of `drawn` over and over.
pub(super) fn repeated<T: Copy>(drawn: &[T], count: usize) -> Vec<T> {
    let mut values = drawn.repeat(count.max(1).div_ceil(drawn.len()));
    values.truncate(count.max(1));
    values
}

/// The same as 8-bit numbers.
pub(super) fn draw_eight(name: &str, count: usize) -> Vec<u8> {
    let drawn = draw(name, count.clamp(1, DRAWN)).into_iter();
    let drawn: Vec<u8> = drawn
        .map(|value| E4m3::from_f32(value.to_f32()).to_bits())
        .collect();
    repeated(&drawn, count)
}

pub(super) fn size(value: u64) -> usize {
    usize::try_from(value).expect("64-bit hosts hold what devices hold")
}

pub(super) fn int(value: u64) -> i32 {
    i32::try_from(value).expect("a plan keeps extents below 2^31")
}

pub(super) fn upload<T: DeviceRepr>(device: &Device, values: &[T]) -> Result<CudaSlice<T>, DeviceError> {
    device
        .stream
        .clone_htod(values)
        .map_err(driver("copying to the device"))
}

/// What `buffer` holds, once everything before is done.
pub(super) fn fetch<T: DeviceRepr>(
    device: &Device,
    buffer: &impl DevicePtr<T>,
) -> Result<Vec<T>, DeviceError> {
    let values = device.stream.clone_dtoh(buffer);
    let values = values.map_err(driver("reading the result"))?;
    device.settle()?;
    Ok(values)
}

pub(super) fn reserve<T>(device: &Device, count: usize) -> Result<CudaSlice<T>, DeviceError>
where
    T: DeviceRepr + cudarc::driver::ValidAsZeroBits,
{
    device
        .stream
        .alloc_zeros(count.max(1))
        .map_err(driver("reserving memory"))
}

/// Fills `buffer` with zeros, which is no result of random data.
pub(super) fn forget<T>(stream: &CudaStream, buffer: &CudaSlice<T>) -> Result<(), DeviceError> {
    let forgetting = "filling memory";
    stream.context().bind_to_thread().map_err(driver(forgetting))?;
    let (address, _written) = buffer.device_ptr(stream);
    // SAFETY: so many bytes are the buffer's, and every type of number here has a zero whose bits are zero.
    unsafe { result::memset_d8_async(address, 0, buffer.num_bytes(), stream.cu_stream()) }
        .map_err(driver(forgetting))
}

impl Operands {
    pub(super) fn of(device: &Device, subject: &Subject) -> Result<Self, DeviceError> {
        let copies = subject.copies(Bytes::new(device.facts.cache_bytes));
        match *subject {
            Subject::LaunchFloor => Ok(Self::Empty(device.function(Kernel::Empty, 0)?)),
            Subject::Copy { bytes } => Stream::new(device, Kernel::Copy, bytes, copies).map(Self::Stream),
            Subject::Read { bytes } => Stream::new(device, Kernel::Read, bytes, copies).map(Self::Stream),
            Subject::PeerCopy { bytes, peer } => Peer::new(device, bytes, peer, copies).map(Self::Peer),
            Subject::Dense { .. } | Subject::DenseFp8 { .. } => {
                Ok(Self::Dense(Box::new(Dense::new(device, subject, copies, 0)?)))
            }
            Subject::Contention { blocks, .. } => Ok(Self::Dense(Box::new(Dense::new(
                device, subject, copies, blocks,
            )?))),
            Subject::Grouped { .. } => Ok(Self::Grouped(Box::new(Grouped::new(device, subject, copies)?))),
            Subject::LibraryGrouped { .. } => Ok(Self::LibraryGrouped(Box::new(LibraryGrouped::new(
                device, subject, copies,
            )?))),
            Subject::AllReduce {
                bytes,
                ranks,
                is_ring,
            } => {
                let kernel = if is_ring {
                    Kernel::AllReduceRing
                } else {
                    Kernel::AllReduceOneShot
                };
                Ok(Self::AllReduce(Box::new(AllReduce::new(
                    device,
                    kernel,
                    bytes,
                    size(ranks),
                )?)))
            }
            Subject::Collective { .. } => Err(DeviceError::Together),
            Subject::Swiglu { .. } | Subject::Gather { .. } | Subject::Combine { .. } => {
                Ok(Self::Pass(Box::new(Pass::new(device, subject, copies)?)))
            }
        }
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
            Self::Stream(stream) => stream.launch(device, index),
            Self::Pass(pass) => pass.launch(device, index),
            Self::Peer(peer) => peer.launch(device, index),
            Self::Dense(dense) => dense.launch(device, index),
            Self::Grouped(grouped) => grouped.launch(device, index),
            Self::LibraryGrouped(grouped) => grouped.launch(device, index),
            Self::AllReduce(all) => all.launch(),
        }
    }

    /// Relative error of the first launch, which has just been done, on sampled rows; none where there is nothing to
    /// compute.
    pub(super) fn check(&self, device: &Device) -> Result<Option<f64>, DeviceError> {
        match self {
            Self::Empty(_) => return Ok(None),
            Self::Stream(stream) => stream.check(device),
            Self::Pass(pass) => pass.check(device),
            Self::Peer(peer) => peer.check(device),
            Self::Dense(dense) => dense.check(device),
            Self::Grouped(grouped) => grouped.check(device),
            Self::LibraryGrouped(grouped) => grouped.check(device),
            Self::AllReduce(all) => all.check(),
        }
        .map(Some)
    }

    /// Fills what the check looks at with what no launch leaves there.
    pub(super) fn forget(&self, device: &Device) -> Result<(), DeviceError> {
        match self {
            Self::Empty(_) => Ok(()),
            Self::Stream(stream) => stream.forget(device),
            Self::Pass(pass) => pass.forget(device),
            Self::Peer(peer) => peer.forget(),
            Self::Dense(dense) => dense.forget(device),
            Self::Grouped(grouped) => grouped.forget(device),
            Self::LibraryGrouped(grouped) => grouped.forget(device),
            // Never replayed.
            Self::AllReduce(_) => Ok(()),
        }
    }

    /// The stream of which launches may be captured and replayed, or why they may not.
    pub(super) fn replayed(&self, device: &Device) -> Result<Arc<CudaStream>, &'static str> {
        match self {
            Self::AllReduce(_) => {
                Err("every launch has a number of its own, by which ranks wait for each other")
            }
            _ => Ok(Arc::clone(&device.stream)),
        }
    }

    /// The streams on which launches run: a launch is over when the last of them is.
    pub(super) fn streams(&self, device: &Device) -> Vec<Arc<CudaStream>> {
        match self {
            Self::AllReduce(all) => all.streams(),
            _ => vec![Arc::clone(&device.stream)],
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
            Self::Stream(stream) => stream.kernel(),
            Self::Pass(pass) => pass.kernel(),
            Self::Dense(_) | Self::LibraryGrouped(_) | Self::Peer(_) => return None,
            Self::Grouped(grouped) => grouped.kernel(),
            Self::AllReduce(all) => all.kernel(),
        };
        Some(source_hash(&kernel.source()))
    }
}
