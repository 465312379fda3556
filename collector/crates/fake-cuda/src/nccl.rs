//! Collectives of bfloats among the devices of one process: everybody's calls of a group, carried out at its end.

use std::ffi::{c_int, c_void};
use std::sync::{Mutex, PoisonError};

use crate::numbers::{from_bf16, to_bf16};
use crate::{SUCCESS, put};

/// `ncclInvalidUsage`.
const INVALID_USAGE: c_int = 5;
/// `ncclBfloat16`.
const BF16: c_int = 9;

/// What a rank is of how many.
#[derive(Clone, Copy)]
struct Communicator {
    rank: usize,
    ranks: usize,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    AllReduce,
    AllGather,
    ReduceScatter,
    Send(usize),
    Receive(usize),
}

/// A call that waits for the end of its group; addresses as numbers, since threads may hand it over.
#[derive(Clone, Copy)]
struct Call {
    kind: Kind,
    rank: usize,
    ranks: usize,
    from: usize,
    to: usize,
    count: usize,
}

static GROUP: Mutex<Vec<Call>> = Mutex::new(Vec::new());

fn calls() -> std::sync::MutexGuard<'static, Vec<Call>> {
    GROUP.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The numbers at an address.
///
/// # Safety
/// There must be so many.
unsafe fn numbers(address: usize, count: usize) -> Vec<u16> {
    // SAFETY: as the caller says.
    unsafe { std::slice::from_raw_parts(address as *const u16, count) }.to_vec()
}

/// Writes numbers at an address.
///
/// # Safety
/// There must be room for them.
unsafe fn write(address: usize, values: &[u16]) {
    // SAFETY: as the caller says, and they are no part of what is written.
    unsafe { std::ptr::copy_nonoverlapping(values.as_ptr(), address as *mut u16, values.len()) };
}

/// The version.
///
/// # Safety
/// `version` must be valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ncclGetVersion(version: *mut c_int) -> c_int {
    // SAFETY: as the caller says.
    unsafe { put(version, 22_809) }
}

/// A communicator for each of `count` devices.
///
/// # Safety
/// `communicators` must be valid for so many writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ncclCommInitAll(
    communicators: *mut *mut c_void,
    count: c_int,
    _devices: *const c_int,
) -> c_int {
    let ranks = usize::try_from(count).unwrap_or(0);
    for rank in 0..ranks {
        let made = Box::new(Communicator { rank, ranks });
        // SAFETY: as the caller says.
        unsafe { communicators.add(rank).write(Box::into_raw(made).cast()) };
    }
    SUCCESS
}

/// Ends a communicator.
///
/// # Safety
/// It must be one of these, and not ended.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ncclCommDestroy(communicator: *mut c_void) -> c_int {
    // SAFETY: as the caller says.
    drop(unsafe { Box::from_raw(communicator.cast::<Communicator>()) });
    SUCCESS
}

/// Begins a group.
#[unsafe(no_mangle)]
pub extern "C" fn ncclGroupStart() -> c_int {
    calls().clear();
    SUCCESS
}

/// Carries a group out.
#[unsafe(no_mangle)]
pub extern "C" fn ncclGroupEnd() -> c_int {
    let calls = std::mem::take(&mut *calls());
    let is_message = |call: &Call| matches!(call.kind, Kind::Send(_) | Kind::Receive(_));
    let (messages, together): (Vec<Call>, Vec<Call>) = calls.into_iter().partition(is_message);
    if !deliver(&messages) || !meet(&together) {
        return INVALID_USAGE;
    }
    SUCCESS
}

/// Hands every message to who expects it, in order; whether each had its other end.
fn deliver(messages: &[Call]) -> bool {
    let mut expected: Vec<&Call> = Vec::new();
    expected.extend(
        messages
            .iter()
            .filter(|call| matches!(call.kind, Kind::Receive(_))),
    );
    for send in messages {
        let Kind::Send(peer) = send.kind else { continue };
        let fits = |call: &&Call| {
            call.rank == peer && call.kind == Kind::Receive(send.rank) && call.count == send.count
        };
        let Some(at) = expected.iter().position(fits) else {
            return false;
        };
        // SAFETY: both callers said that there are so many numbers.
        unsafe { write(expected.remove(at).to, &numbers(send.from, send.count)) };
    }
    expected.is_empty()
}

/// Carries a collective out; whether every rank came to the same one.
fn meet(calls: &[Call]) -> bool {
    let Some(first) = calls.first() else { return true };
    let agree = |call: &Call| call.kind == first.kind && call.count == first.count;
    if calls.len() != first.ranks || !calls.iter().all(agree) {
        return false;
    }
    let read = if first.kind == Kind::ReduceScatter {
        first.ranks * first.count
    } else {
        first.count
    };
    // SAFETY: every caller said that there are so many numbers.
    let given: Vec<Vec<u16>> = calls
        .iter()
        .map(|call| unsafe { numbers(call.from, read) })
        .collect();
    let sum: Vec<u16> = (0..read)
        .map(|at| to_bf16(given.iter().map(|of_rank| from_bf16(of_rank[at])).sum()))
        .collect();
    for call in calls {
        let result = match call.kind {
            Kind::AllReduce => sum.clone(),
            Kind::AllGather => given.concat(),
            _ => sum[call.rank * call.count..(call.rank + 1) * call.count].to_vec(),
        };
        // SAFETY: the caller said that there is room for it.
        unsafe { write(call.to, &result) };
    }
    true
}

/// Puts a call into its group.
///
/// # Safety
/// The communicator must be one of these.
unsafe fn enqueue(
    kind: Kind,
    (from, to): (*const c_void, *mut c_void),
    count: usize,
    format: c_int,
    communicator: *mut c_void,
) -> c_int {
    if format != BF16 {
        return INVALID_USAGE;
    }
    // SAFETY: as the caller says.
    let Communicator { rank, ranks } = unsafe { *communicator.cast::<Communicator>() };
    calls().push(Call {
        kind,
        rank,
        ranks,
        from: from as usize,
        to: to as usize,
        count,
    });
    SUCCESS
}

/// All-reduce of sums.
///
/// # Safety
/// Both buffers must hold `count` numbers until the group ends.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ncclAllReduce(
    from: *const c_void,
    to: *mut c_void,
    count: usize,
    format: c_int,
    _operation: c_int,
    communicator: *mut c_void,
    _stream: *mut c_void,
) -> c_int {
    // SAFETY: as the caller says.
    unsafe { enqueue(Kind::AllReduce, (from, to), count, format, communicator) }
}

/// All-gather.
///
/// # Safety
/// `from` must hold `count` numbers and `to` as many for each rank until the group ends.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ncclAllGather(
    from: *const c_void,
    to: *mut c_void,
    count: usize,
    format: c_int,
    communicator: *mut c_void,
    _stream: *mut c_void,
) -> c_int {
    // SAFETY: as the caller says.
    unsafe { enqueue(Kind::AllGather, (from, to), count, format, communicator) }
}

/// Reduce-scatter of sums.
///
/// # Safety
/// `to` must hold `count` numbers and `from` as many for each rank until the group ends.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ncclReduceScatter(
    from: *const c_void,
    to: *mut c_void,
    count: usize,
    format: c_int,
    _operation: c_int,
    communicator: *mut c_void,
    _stream: *mut c_void,
) -> c_int {
    // SAFETY: as the caller says.
    unsafe { enqueue(Kind::ReduceScatter, (from, to), count, format, communicator) }
}

/// A message.
///
/// # Safety
/// `from` must hold `count` numbers until the group ends.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ncclSend(
    from: *const c_void,
    count: usize,
    format: c_int,
    peer: c_int,
    communicator: *mut c_void,
    _stream: *mut c_void,
) -> c_int {
    let kind = Kind::Send(usize::try_from(peer).unwrap_or(usize::MAX));
    // SAFETY: as the caller says.
    unsafe { enqueue(kind, (from, std::ptr::null_mut()), count, format, communicator) }
}

/// The other end of a message.
///
/// # Safety
/// `to` must hold `count` numbers until the group ends.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ncclRecv(
    to: *mut c_void,
    count: usize,
    format: c_int,
    peer: c_int,
    communicator: *mut c_void,
    _stream: *mut c_void,
) -> c_int {
    let kind = Kind::Receive(usize::try_from(peer).unwrap_or(usize::MAX));
    // SAFETY: as the caller says.
    unsafe { enqueue(kind, (std::ptr::null(), to), count, format, communicator) }
}
