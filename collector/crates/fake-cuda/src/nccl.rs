//! Collectives of bfloats among processes: everybody's calls of a group, carried out by the hub of their communicator.
//!
//! `ORRERY_FAKE_CUDA_NCCL` says what goes wrong, and at which rank: `die-1`, `hang-1` and `wrong-1` at the first collective
//! of rank 1; with `stay-away-1` that rank never joins.

mod hub;

use std::ffi::{c_char, c_int, c_void};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::stream::{enqueue, forbidden};
use crate::{SUCCESS, put};
use hub::{Call, Kind};

/// `ncclSystemError`.
const SYSTEM_ERROR: c_int = 2;
/// `ncclInvalidUsage`.
const INVALID_USAGE: c_int = 5;
/// `ncclRemoteError`.
const REMOTE_ERROR: c_int = 6;
/// `ncclBfloat16`.
const BF16: c_int = 9;

/// What ranks find each other by.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct UniqueId([c_char; 128]);

/// A rank among others.
#[derive(Clone)]
struct Communicator {
    rank: usize,
    ranks: usize,
    hub: Arc<Mutex<UnixStream>>,
}

/// A call that waits for the end of its group; addresses as numbers, since threads may hand it over.
#[derive(Clone, Copy)]
struct Wanted {
    kind: Kind,
    from: usize,
    to: usize,
    count: usize,
}

/// What a process has called since its group began: whose, on which stream, and what.
#[derive(Default)]
struct Group {
    is_open: bool,
    of: Option<(Communicator, usize)>,
    wanted: Vec<Wanted>,
}

static GROUP: Mutex<Group> = Mutex::new(Group {
    is_open: false,
    of: None,
    wanted: Vec::new(),
});

fn group() -> MutexGuard<'static, Group> {
    GROUP.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether this is what goes wrong at this rank.
fn is_mood(what: &str, rank: usize) -> bool {
    std::env::var("ORRERY_FAKE_CUDA_NCCL").is_ok_and(|mood| mood == format!("{what}-{rank}"))
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

/// A new name, under which this process has a hub from now on.
///
/// # Safety
/// `id` must be valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ncclGetUniqueId(id: *mut UniqueId) -> c_int {
    let Ok(name) = hub::open() else {
        return SYSTEM_ERROR;
    };
    let mut told = [0; 128];
    for (to, from) in told.iter_mut().zip(name.bytes()) {
        *to = c_char::from_ne_bytes([from]);
    }
    // SAFETY: as the caller says.
    unsafe { put(id, UniqueId(told)) }
}

/// Joins the others of the hub of this name, and returns when all are there.
///
/// # Safety
/// `communicator` must be valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ncclCommInitRank(
    communicator: *mut *mut c_void,
    ranks: c_int,
    id: UniqueId,
    rank: c_int,
) -> c_int {
    let (Ok(ranks), Ok(rank)) = (usize::try_from(ranks), usize::try_from(rank)) else {
        return INVALID_USAGE;
    };
    if is_mood("stay-away", rank) {
        std::thread::sleep(Duration::from_secs(3600));
    }
    let name = id.0.iter().map(|letter| letter.to_ne_bytes()[0]);
    let name: Vec<u8> = name.take_while(|&letter| letter != 0).collect();
    match hub::join(&name, rank, ranks) {
        Ok(hub) => {
            let hub = Arc::new(Mutex::new(hub));
            let made = Box::new(Communicator { rank, ranks, hub });
            // SAFETY: as the caller says.
            unsafe { put(communicator, Box::into_raw(made).cast()) }
        }
        Err(_) => REMOTE_ERROR,
    }
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

/// Ends a communicator, whatever the others do.
///
/// # Safety
/// It must be one of these, and not ended.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ncclCommAbort(communicator: *mut c_void) -> c_int {
    // SAFETY: as the caller says.
    unsafe { ncclCommDestroy(communicator) }
}

/// Begins a group.
#[unsafe(no_mangle)]
pub extern "C" fn ncclGroupStart() -> c_int {
    *group() = Group {
        is_open: true,
        ..Group::default()
    };
    SUCCESS
}

/// Gives a group to its stream.
#[unsafe(no_mangle)]
pub extern "C" fn ncclGroupEnd() -> c_int {
    let Group { of, wanted, .. } = std::mem::take(&mut *group());
    of.map_or(SUCCESS, |(communicator, stream)| {
        give(communicator, stream, wanted)
    })
}

/// Gives calls to the stream.
fn give(communicator: Communicator, stream: usize, wanted: Vec<Wanted>) -> c_int {
    let stream = stream as *mut c_void;
    let is_forbidden = std::env::var("ORRERY_FAKE_CUDA_GRAPHS").is_ok_and(|graphs| graphs == "library");
    // SAFETY: the caller of the library gives a stream that lives.
    if is_forbidden && unsafe { forbidden(stream) } {
        return INVALID_USAGE;
    }
    // SAFETY: as before; buffers live until the stream, or the graph, is over.
    unsafe { enqueue(stream, move || communicator.carry_out(&wanted)) }
}

impl Communicator {
    /// Has the hub do it with the others.
    fn carry_out(&self, wanted: &[Wanted]) -> c_int {
        match () {
            () if is_mood("die", self.rank) => std::process::abort(),
            () if is_mood("hang", self.rank) => std::thread::sleep(Duration::from_secs(3600)),
            () => {}
        }
        let calls = wanted.iter().map(|call| Call {
            kind: call.kind,
            count: call.count,
            // SAFETY: the caller said that there are so many numbers.
            given: unsafe { numbers(call.from, call.kind.given(call.count, self.ranks)) },
        });
        let calls: Vec<Call> = calls.collect();
        let hub = self.hub.lock().unwrap_or_else(PoisonError::into_inner);
        match hub::ask(&hub, &calls) {
            Ok(Some(results)) => {
                for (call, mut result) in wanted.iter().zip(results) {
                    if is_mood("wrong", self.rank)
                        && let Some(first) = result.first_mut()
                    {
                        *first ^= 0x4000;
                    }
                    // SAFETY: the caller said that there is room for them.
                    unsafe { write(call.to, &result) };
                }
                SUCCESS
            }
            Ok(None) => INVALID_USAGE,
            Err(_) => REMOTE_ERROR,
        }
    }
}

/// The numbers at an address.
///
/// # Safety
/// There must be so many.
unsafe fn numbers(address: usize, count: usize) -> Vec<u16> {
    if count == 0 {
        return Vec::new();
    }
    // SAFETY: as the caller says.
    unsafe { std::slice::from_raw_parts(address as *const u16, count) }.to_vec()
}

/// Writes numbers at an address.
///
/// # Safety
/// There must be room for them.
unsafe fn write(address: usize, values: &[u16]) {
    if !values.is_empty() {
        // SAFETY: as the caller says, and they are no part of what is written.
        unsafe { std::ptr::copy_nonoverlapping(values.as_ptr(), address as *mut u16, values.len()) };
    }
}

/// Puts a call into its group, which it is alone where none is open.
///
/// # Safety
/// The communicator must be one of these.
unsafe fn want(
    kind: Kind,
    (from, to): (*const c_void, *mut c_void),
    count: usize,
    format: c_int,
    (communicator, stream): (*mut c_void, *mut c_void),
) -> c_int {
    if format != BF16 {
        return INVALID_USAGE;
    }
    let wanted = Wanted {
        kind,
        from: from as usize,
        to: to as usize,
        count,
    };
    // SAFETY: as the caller says.
    let communicator = unsafe { &*communicator.cast::<Communicator>() }.clone();
    let mut group = group();
    if !group.is_open {
        drop(group);
        return give(communicator, stream as usize, vec![wanted]);
    }
    group.of = Some((communicator, stream as usize));
    group.wanted.push(wanted);
    SUCCESS
}

/// All-reduce of sums.
///
/// # Safety
/// Both buffers must hold `count` numbers until the stream is over.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ncclAllReduce(
    from: *const c_void,
    to: *mut c_void,
    count: usize,
    format: c_int,
    _operation: c_int,
    communicator: *mut c_void,
    stream: *mut c_void,
) -> c_int {
    // SAFETY: as the caller says.
    unsafe { want(Kind::AllReduce, (from, to), count, format, (communicator, stream)) }
}

/// All-gather.
///
/// # Safety
/// `from` must hold `count` numbers and `to` as many for each rank until the stream is over.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ncclAllGather(
    from: *const c_void,
    to: *mut c_void,
    count: usize,
    format: c_int,
    communicator: *mut c_void,
    stream: *mut c_void,
) -> c_int {
    // SAFETY: as the caller says.
    unsafe { want(Kind::AllGather, (from, to), count, format, (communicator, stream)) }
}

/// Reduce-scatter of sums.
///
/// # Safety
/// `to` must hold `count` numbers and `from` as many for each rank until the stream is over.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ncclReduceScatter(
    from: *const c_void,
    to: *mut c_void,
    count: usize,
    format: c_int,
    _operation: c_int,
    communicator: *mut c_void,
    stream: *mut c_void,
) -> c_int {
    // SAFETY: as the caller says.
    unsafe {
        want(
            Kind::ReduceScatter,
            (from, to),
            count,
            format,
            (communicator, stream),
        )
    }
}

/// A message.
///
/// # Safety
/// `from` must hold `count` numbers until the stream is over.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ncclSend(
    from: *const c_void,
    count: usize,
    format: c_int,
    peer: c_int,
    communicator: *mut c_void,
    stream: *mut c_void,
) -> c_int {
    let kind = Kind::Send(usize::try_from(peer).unwrap_or(usize::MAX));
    // SAFETY: as the caller says.
    unsafe {
        want(
            kind,
            (from, std::ptr::null_mut()),
            count,
            format,
            (communicator, stream),
        )
    }
}

/// The other end of a message.
///
/// # Safety
/// `to` must hold `count` numbers until the stream is over.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ncclRecv(
    to: *mut c_void,
    count: usize,
    format: c_int,
    peer: c_int,
    communicator: *mut c_void,
    stream: *mut c_void,
) -> c_int {
    let kind = Kind::Receive(usize::try_from(peer).unwrap_or(usize::MAX));
    // SAFETY: as the caller says.
    unsafe {
        want(
            kind,
            (std::ptr::null(), to),
            count,
            format,
            (communicator, stream),
        )
    }
}
