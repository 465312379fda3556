//! Collectives of NCCL among devices of this node, all of them driven by this process.

use std::ffi::c_void;
use std::sync::Arc;

use cudarc::driver::{CudaSlice, CudaStream, DevicePtr as _};
use cudarc::nccl::{result, sys};
use orrery_operation::CollectiveOp;

use super::operands::{DRAWN, draw, repeated, size};
use super::{Device, DeviceError, Libraries, driver};
use crate::{Bf16, verify};

/// Numbers of a rank's result that are checked, at each end of it.
const SAMPLED: usize = 2048;

/// Names what the library refused.
fn refused(doing: &'static str) -> impl FnOnce(result::NcclError) -> DeviceError {
    move |code| DeviceError::Refused {
        library: "libnccl.so",
        doing,
        code: format!("{:?}", code.0),
    }
}

/// A collective of bfloats over so many devices, this one first.
pub(super) struct Exchange {
    op: CollectiveOp,
    /// Numbers that the call counts: those of the buffer, or of a rank's part of it.
    count: usize,
    ranks: Vec<Rank>,
}

struct Rank {
    communicator: sys::ncclComm_t,
    stream: Arc<CudaStream>,
    input: CudaSlice<Bf16>,
    output: CudaSlice<Bf16>,
    /// What the input repeats.
    drawn: Vec<Bf16>,
}

impl Drop for Rank {
    fn drop(&mut self) {
        // SAFETY: made by the library, and used no more; what it says to that changes nothing.
        let _given_back = unsafe { result::comm_destroy(self.communicator) };
    }
}

/// Numbers that a rank gives, that it ends with, and that the call counts, of `total` numbers as nccl-tests counts them.
fn extents(op: CollectiveOp, total: usize, ranks: usize) -> (usize, usize, usize) {
    let part = total / ranks;
    match op {
        CollectiveOp::AllGather => (part, part * ranks, part),
        CollectiveOp::ReduceScatter => (part * ranks, part, part),
        CollectiveOp::AllToAll => (part * ranks, part * ranks, part),
        CollectiveOp::AllReduce | CollectiveOp::SendRecv | CollectiveOp::Broadcast | CollectiveOp::Reduce => {
            (total, total, total)
        }
    }
}

/// Both ends of what a rank ended with, each number beside what it should be.
pub(super) fn ends(
    stream: &Arc<CudaStream>,
    result: &CudaSlice<Bf16>,
    truth: impl Fn(usize) -> f64,
) -> Result<Vec<(f64, f64)>, DeviceError> {
    let length = result.len();
    let mut pairs = Vec::new();
    for range in [0..length.min(SAMPLED), length.saturating_sub(SAMPLED)..length] {
        let got = stream.clone_dtoh(&result.slice(range.clone()));
        let got: Vec<Bf16> = got.map_err(driver("reading the result"))?;
        stream.synchronize().map_err(driver("waiting for a device"))?;
        pairs.extend(
            range
                .zip(got)
                .map(|(at, got)| (f64::from(got.to_f32()), truth(at))),
        );
    }
    Ok(pairs)
}

impl Exchange {
    pub(super) fn new(
        device: &Device,
        op: CollectiveOp,
        bytes: u64,
        ranks: usize,
    ) -> Result<Self, DeviceError> {
        if !Libraries::look().nccl {
            return Err(DeviceError::Missing {
                library: "libnccl.so",
                remedy: "pip install nvidia-nccl-cu12, link its `libnccl.so.2` as `libnccl.so`, and put that folder on \
                         LD_LIBRARY_PATH",
            });
        }
        let streams = device.streams(ranks)?;
        let numbers: Result<Vec<i32>, _> = streams
            .iter()
            .map(|stream| i32::try_from(stream.context().ordinal()))
            .collect();
        let numbers = numbers.expect("there are few devices");
        let mut communicators: Vec<sys::ncclComm_t> = vec![std::ptr::null_mut(); ranks];
        // SAFETY: both lists have an entry for each rank.
        unsafe {
            result::comm_init_all(
                communicators.as_mut_ptr(),
                i32::try_from(ranks).expect("there are few ranks"),
                numbers.as_ptr(),
            )
        }
        .map_err(refused("to start"))?;
        let (given, kept, count) = extents(op, size(bytes / 2), ranks);
        let ranks = communicators.into_iter().zip(streams).zip(0..);
        let ranks = ranks.map(|((communicator, stream), rank)| {
            let drawn = draw(&format!("rank {rank}"), given.clamp(1, DRAWN));
            let input = repeated(&drawn, given);
            let input = stream
                .clone_htod(&input)
                .map_err(driver("copying to the device"))?;
            let output = stream
                .alloc_zeros(kept.max(1))
                .map_err(driver("reserving memory"))?;
            Ok(Rank {
                communicator,
                stream,
                input,
                output,
                drawn,
            })
        });
        Ok(Self {
            op,
            count,
            ranks: ranks.collect::<Result<_, DeviceError>>()?,
        })
    }

    /// Every rank's stream.
    pub(super) fn streams(&self) -> Vec<Arc<CudaStream>> {
        self.ranks.iter().map(|rank| Arc::clone(&rank.stream)).collect()
    }

    pub(super) fn launch(&self) -> Result<(), DeviceError> {
        result::group_start()
            .map(|_status| ())
            .map_err(refused("a group"))?;
        for index in 0..self.ranks.len() {
            self.enqueue(index).map_err(refused("this collective"))?;
        }
        result::group_end()
            .map(|_status| ())
            .map_err(refused("this group"))
    }

    /// The calls of one rank.
    fn enqueue(&self, index: usize) -> Result<(), result::NcclError> {
        let rank = &self.ranks[index];
        let (from, _read) = rank.input.device_ptr(&rank.stream);
        let (to, _written) = rank.output.device_ptr(&rank.stream);
        let (from, to) = (from as *const c_void, to as *mut c_void);
        let (count, communicator) = (self.count, rank.communicator);
        let format = sys::ncclDataType_t::ncclBfloat16;
        let sum = sys::ncclRedOp_t::ncclSum;
        let stream = rank.stream.cu_stream().cast();
        let number = |peer: usize| i32::try_from(peer).expect("there are few ranks");
        // SAFETY: the buffers hold as many numbers as `extents` says for this call, and live until the streams have been
        // waited for.
        unsafe {
            match self.op {
                CollectiveOp::AllReduce => {
                    result::all_reduce(from, to, count, format, sum, communicator, stream)?;
                }
                CollectiveOp::AllGather => {
                    result::all_gather(from, to, count, format, communicator, stream)?;
                }
                CollectiveOp::ReduceScatter => {
                    result::reduce_scatter(from, to, count, format, sum, communicator, stream)?;
                }
                CollectiveOp::AllToAll => {
                    for peer in 0..self.ranks.len() {
                        let part = 2 * peer * count;
                        result::send(
                            from.byte_add(part),
                            count,
                            format,
                            number(peer),
                            communicator,
                            stream,
                        )?;
                        result::recv(
                            to.byte_add(part),
                            count,
                            format,
                            number(peer),
                            communicator,
                            stream,
                        )?;
                    }
                }
                // Of one root: plans hold none of them.
                CollectiveOp::Broadcast | CollectiveOp::Reduce => {
                    return Err(result::NcclError(sys::ncclResult_t::ncclInvalidUsage));
                }
                CollectiveOp::SendRecv => {
                    let ranks = self.ranks.len();
                    let (next, before) = ((index + 1) % ranks, (index + ranks - 1) % ranks);
                    result::send(from, count, format, number(next), communicator, stream)?;
                    result::recv(to, count, format, number(before), communicator, stream)?;
                }
            }
        }
        Ok(())
    }

    /// Relative error at both ends of every rank's result. Sums are rounded at every step; all else is the same bits.
    pub(super) fn check(&self) -> Result<f64, DeviceError> {
        let allowed = match self.op {
            CollectiveOp::AllReduce | CollectiveOp::ReduceScatter | CollectiveOp::Reduce => verify::ALLOWED.0,
            CollectiveOp::AllGather
            | CollectiveOp::AllToAll
            | CollectiveOp::Broadcast
            | CollectiveOp::SendRecv => 0.0,
        };
        let input = |rank: usize, at: usize| {
            let drawn = &self.ranks[rank].drawn;
            f64::from(drawn[at % drawn.len()].to_f32())
        };
        let mut pairs = Vec::new();
        for (index, rank) in self.ranks.iter().enumerate() {
            let place = (index, self.ranks.len());
            let truth = |at| verify::exchanged(self.op, place, self.count, at, &input);
            pairs.extend(ends(&rank.stream, &rank.output, truth)?);
        }
        Ok(verify::within("collective", pairs.into_iter(), allowed)?)
    }
}
