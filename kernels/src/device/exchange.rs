//! A rank's part of a collective of NCCL: its operands, its calls, and what it must end with.

use std::ffi::c_void;
use std::sync::Arc;

use cudarc::driver::{CudaSlice, CudaStream, DevicePtr as _};
use cudarc::nccl::{result, sys};
use orrery_operation::CollectiveOp;

use super::operands::{DRAWN, draw, forget, repeated, size};
use super::seat::{Place, refused};
use super::{DeviceError, driver};
use crate::{Bf16, verify};

/// Numbers of a rank's result that are checked, at each end of it.
const SAMPLED: usize = 2048;

/// A rank's part of a collective of bfloats.
pub(super) struct Exchange {
    op: CollectiveOp,
    /// Numbers that the call counts: those of the buffer, or of a rank's part of it.
    count: usize,
    place: Place,
    communicator: sys::ncclComm_t,
    stream: Arc<CudaStream>,
    input: CudaSlice<Bf16>,
    output: CudaSlice<Bf16>,
    /// What every rank's input repeats.
    drawn: Vec<Vec<Bf16>>,
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
    /// Operands of the rank at `place`, whose communicator must live as long as this does.
    pub(super) fn new(
        stream: &Arc<CudaStream>,
        communicator: sys::ncclComm_t,
        op: CollectiveOp,
        bytes: u64,
        place: Place,
    ) -> Result<Self, DeviceError> {
        let (given, kept, count) = extents(op, size(bytes / 2), place.ranks);
        let drawn = (0..place.ranks).map(|rank| draw(&format!("rank {rank}"), given.clamp(1, DRAWN)));
        let drawn: Vec<Vec<Bf16>> = drawn.collect();
        let input = stream
            .clone_htod(&repeated(&drawn[place.rank], given))
            .map_err(driver("copying to the device"))?;
        let output = stream
            .alloc_zeros(kept.max(1))
            .map_err(driver("reserving memory"))?;
        Ok(Self {
            op,
            count,
            place,
            communicator,
            stream: Arc::clone(stream),
            input,
            output,
            drawn,
        })
    }

    /// Forgets the result that is checked.
    pub(super) fn forget(&self) -> Result<(), DeviceError> {
        forget(&self.stream, &self.output)
    }

    /// Enqueues this rank's calls: it is over when every rank's are.
    pub(super) fn launch(&self) -> Result<(), DeviceError> {
        result::group_start()
            .map(|_status| ())
            .map_err(refused("a group"))?;
        let called = self.call();
        // Even where a call was refused: a group that is left open takes every later call.
        let ended = result::group_end();
        called.map_err(refused("this collective"))?;
        ended.map(|_status| ()).map_err(refused("this group"))
    }

    fn call(&self) -> Result<(), result::NcclError> {
        let (from, _read) = self.input.device_ptr(&self.stream);
        let (to, _written) = self.output.device_ptr(&self.stream);
        let (from, to) = (from as *const c_void, to as *mut c_void);
        let (count, communicator) = (self.count, self.communicator);
        let format = sys::ncclDataType_t::ncclBfloat16;
        let sum = sys::ncclRedOp_t::ncclSum;
        let stream = self.stream.cu_stream().cast();
        let number = |peer: usize| i32::try_from(peer).expect("there are few ranks");
        let Place { rank, ranks } = self.place;
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
                    for peer in 0..ranks {
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
                    let (next, before) = ((rank + 1) % ranks, (rank + ranks - 1) % ranks);
                    result::send(from, count, format, number(next), communicator, stream)?;
                    result::recv(to, count, format, number(before), communicator, stream)?;
                }
            }
        }
        Ok(())
    }

    /// Relative error at both ends of this rank's result. Sums are rounded at every step; all else is the same bits.
    pub(super) fn check(&self) -> Result<f64, DeviceError> {
        let allowed = match self.op {
            CollectiveOp::AllReduce | CollectiveOp::ReduceScatter | CollectiveOp::Reduce => verify::ALLOWED.0,
            CollectiveOp::AllGather
            | CollectiveOp::AllToAll
            | CollectiveOp::Broadcast
            | CollectiveOp::SendRecv => 0.0,
        };
        let input = |rank: usize, at: usize| {
            let drawn = &self.drawn[rank];
            f64::from(drawn[at % drawn.len()].to_f32())
        };
        let place = (self.place.rank, self.place.ranks);
        let truth = |at| verify::exchanged(self.op, place, self.count, at, &input);
        let pairs = ends(&self.stream, &self.output, truth)?;
        Ok(verify::within("collective", pairs.into_iter(), allowed)?)
    }
}
