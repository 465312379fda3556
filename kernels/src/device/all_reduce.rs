//! All-reduces of this package over memory of peers, among devices of this node: every rank's kernel waits for the others'.

use std::cell::Cell;
use std::sync::Arc;

use cudarc::driver::{
    CudaFunction, CudaSlice, CudaStream, DevicePtr as _, DeviceRepr, LaunchConfig, PushKernelArg as _,
};

use super::exchange::ends;
use super::operands::{DRAWN, draw, repeated, size};
use super::peer::enable;
use super::{Device, DeviceError, driver};
use crate::catalog::Kernel;
use crate::{Bf16, verify};

/// Most ranks of an all-reduce over peers, `MAX_RANKS` in its source.
pub const MAX_RANKS: usize = 8;
/// Most blocks of every rank, one for a unit: all of them run at once on any device.
const BLOCKS: u32 = 32;
const THREADS: u32 = 512;

/// Where every rank's data and flags are; the layout of `Peers` in the source.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Peers {
    data: [u64; MAX_RANKS],
    flags: [u64; MAX_RANKS],
}

// SAFETY: plain addresses, as the kernel reads them.
unsafe impl DeviceRepr for Peers {}

/// An all-reduce over so many devices, this one first.
pub(super) struct AllReduce {
    kernel: Kernel,
    peers: Peers,
    pieces: i64,
    blocks: u32,
    ranks: Vec<Rank>,
    /// Launches so far: flags only grow. The ring works in place, so that what it sums grows as well; only its first result
    /// is one to check.
    epoch: Cell<u32>,
}

struct Rank {
    stream: Arc<CudaStream>,
    function: CudaFunction,
    data: CudaSlice<Bf16>,
    result: CudaSlice<Bf16>,
    _flags: CudaSlice<u32>,
    /// What the data repeated before anything was summed.
    drawn: Vec<Bf16>,
}

impl AllReduce {
    /// `kernel` is one of both.
    pub(super) fn new(
        device: &Device,
        kernel: Kernel,
        bytes: u64,
        ranks: usize,
    ) -> Result<Self, DeviceError> {
        let streams = device.streams(ranks.min(MAX_RANKS + 1))?;
        if ranks > MAX_RANKS {
            return Err(DeviceError::TooFew {
                ranks,
                count: MAX_RANKS,
            });
        }
        for (stream, (index, peer)) in streams
            .iter()
            .flat_map(|stream| streams.iter().enumerate().map(move |peer| (stream, peer)))
        {
            if !Arc::ptr_eq(stream, peer) {
                enable(stream.context(), peer.context(), index)?;
            }
        }
        let pieces = size(bytes / 16).max(1);
        let blocks = BLOCKS.min(device.facts.num_units.max(1));
        let mut peers = Peers::default();
        let mut made = Vec::new();
        for (rank, stream) in streams.into_iter().enumerate() {
            let drawn = draw(&format!("rank {rank}"), DRAWN.min(8 * pieces));
            let reserving = "reserving memory";
            let data = stream
                .clone_htod(&repeated(&drawn, 8 * pieces))
                .map_err(driver("copying to the device"))?;
            let result: CudaSlice<Bf16> = stream.alloc_zeros(8 * pieces).map_err(driver(reserving))?;
            let flags: CudaSlice<u32> = stream
                .alloc_zeros(ranks * blocks as usize)
                .map_err(driver(reserving))?;
            peers.data[rank] = data.device_ptr(&stream).0;
            peers.flags[rank] = flags.device_ptr(&stream).0;
            stream.synchronize().map_err(driver("waiting for a device"))?;
            made.push(Rank {
                function: device.function_in(stream.context(), kernel, 0)?,
                stream,
                data,
                result,
                _flags: flags,
                drawn,
            });
        }
        Ok(Self {
            kernel,
            peers,
            pieces: i64::try_from(pieces).expect("below 2^63"),
            blocks,
            ranks: made,
            epoch: Cell::new(0),
        })
    }

    pub(super) const fn kernel(&self) -> Kernel {
        self.kernel
    }

    pub(super) fn streams(&self) -> Vec<Arc<CudaStream>> {
        self.ranks.iter().map(|rank| Arc::clone(&rank.stream)).collect()
    }

    pub(super) fn launch(&self) -> Result<(), DeviceError> {
        let epoch = self.epoch.get() + 1;
        self.epoch.set(epoch);
        let count = i32::try_from(self.ranks.len()).expect("there are few ranks");
        for (index, rank) in (0_i32..).zip(&self.ranks) {
            let mut launch = rank.stream.launch_builder(&rank.function);
            launch.arg(&self.peers);
            if self.kernel == Kernel::AllReduceOneShot {
                launch.arg(&rank.result);
            }
            launch.arg(&self.pieces).arg(&index).arg(&count).arg(&epoch);
            let shape = LaunchConfig {
                grid_dim: (self.blocks, 1, 1),
                block_dim: (THREADS, 1, 1),
                shared_mem_bytes: 0,
            };
            // SAFETY: every rank's data holds `pieces` pieces and its flags a word for each block of each rank; the blocks
            // of all ranks run at once, each rank on a device of its own.
            unsafe { launch.launch(shape) }.map_err(driver("launching"))?;
        }
        Ok(())
    }

    /// Relative error at both ends of every rank's sums.
    pub(super) fn check(&self) -> Result<f64, DeviceError> {
        let mut pairs = Vec::new();
        for rank in &self.ranks {
            let sums = match self.kernel {
                Kernel::AllReduceOneShot => &rank.result,
                _ => &rank.data,
            };
            let truth = |at: usize| {
                let given = self.ranks.iter().map(|rank| rank.drawn[at % rank.drawn.len()]);
                given.map(|number| f64::from(number.to_f32())).sum()
            };
            pairs.extend(ends(&rank.stream, sums, truth)?);
        }
        Ok(verify::within(
            "all-reduce",
            pairs.into_iter(),
            verify::ALLOWED.0,
        )?)
    }
}
