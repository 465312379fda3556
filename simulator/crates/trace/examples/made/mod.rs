//! Traces of PyTorch's profiler, made up as they are read.

use std::fmt::Write as _;
use std::io::{self, Read};

/// Ranks of the job.
pub(crate) const RANKS: u64 = 8;

/// The text of a trace, made as it is read: a launch, its operator and its kernel, and a collective now and then.
pub(crate) struct Made {
    ready: String,
    at: usize,
    number: u64,
    left: u64,
    rank: u64,
    state: State,
}

#[derive(PartialEq)]
enum State {
    Head,
    Events,
    Done,
}

impl Made {
    /// About `bytes` of rank `rank`.
    pub(crate) fn new(rank: u64, bytes: u64) -> Self {
        Self {
            ready: String::new(),
            at: 0,
            number: 0,
            left: bytes,
            rank,
            state: State::Head,
        }
    }

    fn make(&mut self) {
        self.ready.clear();
        self.at = 0;
        let text = &mut self.ready;
        // Writing to a text cannot fail.
        let _written = match self.state {
            State::Head => {
                self.state = State::Events;
                write!(
                    text,
                    "{{\"schemaVersion\": 1, \"distributedInfo\": {{\"rank\": {}, \"world_size\": {RANKS}}}, \
                     \"traceEvents\": [{{\"ph\": \"M\", \"name\": \"process_name\", \"pid\": 1, \"tid\": 0, \"ts\": 0}}",
                    self.rank
                )
            }
            State::Events if self.left == 0 => {
                self.state = State::Done;
                write!(text, "]}}")
            }
            State::Events => {
                self.number += 1;
                let result = event_group(text, self.number);
                self.left = self.left.saturating_sub(text.len() as u64);
                result
            }
            State::Done => Ok(()),
        };
    }
}

fn event_group(text: &mut String, number: u64) -> std::fmt::Result {
    let at = 1_694_128_201_000_000 + number * 20;
    write!(
        text,
        ", {{\"ph\": \"X\", \"cat\": \"cpu_op\", \"name\": \"aten::linear\", \"pid\": 59818, \"tid\": 59818, \"ts\": {at}, \
         \"dur\": 17, \"args\": {{\"External id\": {number}, \"Ev Idx\": {number}, \"Input Dims\": [[4096, 7168], [2048, \
         7168], []], \"Input type\": [\"c10::BFloat16\", \"c10::BFloat16\", \"\"], \"Sequence number\": {number}, \"Fwd \
         thread id\": 0}}}}, {{\"ph\": \"X\", \"cat\": \"cuda_runtime\", \"name\": \"cudaLaunchKernel\", \"pid\": 59818, \
         \"tid\": 59818, \"ts\": {}.250, \"dur\": 5, \"args\": {{\"External id\": {number}, \"cbid\": 211, \
         \"correlation\": {number}}}}}, {{\"ph\": \"s\", \"id\": {number}, \"pid\": 59818, \"tid\": 59818, \"ts\": {at}, \
         \"cat\": \"ac2g\", \"name\": \"ac2g\"}}, {{\"ph\": \"f\", \"id\": {number}, \"pid\": 0, \"tid\": 7, \"ts\": {at}, \
         \"cat\": \"ac2g\", \"name\": \"ac2g\", \"bp\": \"e\"}}",
        at + 3
    )?;
    let start = at + 10;
    if number.is_multiple_of(50) {
        write!(
            text,
            ", {{\"ph\": \"X\", \"cat\": \"kernel\", \"name\": \"ncclDevKernel_AllReduce_Sum_bf16_RING_LL(ncclDevComm*, \
             unsigned long)\", \"pid\": 0, \"tid\": 40, \"ts\": {start}, \"dur\": 15, \"args\": {{\"External id\": {number}, \
             \"queued\": 0, \"device\": 0, \"context\": 1, \"stream\": 40, \"correlation\": {number}, \"Collective name\": \
             \"allreduce\", \"In msg nelems\": 4096, \"Out msg nelems\": 4096, \"Group size\": 8, \"dtype\": \"BFloat16\", \
             \"In split size\": \"[]\", \"Out split size\": \"[]\", \"Process Group Name\": \"0\", \"Seq\": {number}}}}}"
        )
    } else {
        write!(
            text,
            ", {{\"ph\": \"X\", \"cat\": \"kernel\", \"name\": \"void cutlass::Kernel2<cutlass_80_tensorop_bf16_s16816gemm_\
             relu_bf16_256x128_64x3_tn_align8>(cutlass_80_tensorop_bf16_s16816gemm::Params)\", \"pid\": 0, \"tid\": 7, \
             \"ts\": {start}, \"dur\": 9.5, \"args\": {{\"External id\": {number}, \"queued\": 0, \"device\": 0, \"context\": \
             1, \"stream\": 7, \"correlation\": {number}, \"registers per thread\": 234, \"shared memory\": 147456, \
             \"blocks per SM\": 2.0, \"warps per SM\": 16.0, \"grid\": [16, 16, 1], \"block\": [256, 1, 1], \"est. achieved \
             occupancy %\": 12}}}}"
        )
    }
}

impl Read for Made {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < into.len() {
            if self.at == self.ready.len() {
                if self.state == State::Done {
                    break;
                }
                self.make();
            }
            let rest = &self.ready.as_bytes()[self.at..];
            let count = rest.len().min(into.len() - filled);
            into[filled..filled + count].copy_from_slice(&rest[..count]);
            self.at += count;
            filled += count;
        }
        Ok(filled)
    }
}
