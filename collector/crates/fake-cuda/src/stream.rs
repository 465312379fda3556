//! Streams, what goes into them, and graphs of what was captured there.
//!
//! Everything is done when its call returns, but for a stream that captures: what it is given is kept, and done at every
//! launch of the graph. `ORRERY_FAKE_CUDA_GRAPHS` says what fails: `refuse` the beginning of a capture, `invalidate` its end,
//! `uninstantiated` the making of what runs, `unlaunched` its launch; with `empty` graphs hold nothing.

use std::ffi::{c_int, c_uint, c_ulonglong, c_void};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::journal::note;
use crate::{OUT_OF_MEMORY, SUCCESS, mood, put};

/// `CUDA_ERROR_LAUNCH_FAILED`.
const LAUNCH_FAILED: c_int = 719;
/// `CUDA_ERROR_NOT_SUPPORTED`.
const NOT_SUPPORTED: c_int = 801;
/// `CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED`.
const CAPTURE_UNSUPPORTED: c_int = 900;
/// `CUDA_ERROR_STREAM_CAPTURE_INVALIDATED`.
const CAPTURE_INVALIDATED: c_int = 901;

/// Something that a stream does, as often as it is asked to.
pub(crate) type Work = Box<dyn Fn() -> c_int + Send>;

/// What a stream has been given since its capture began; none where something was not permitted meanwhile.
type Captured = Option<Vec<Work>>;

#[derive(Default)]
struct Stream(Mutex<Option<Captured>>);

/// Streams that capture, by address.
static CAPTURING: Mutex<Vec<usize>> = Mutex::new(Vec::new());

fn capturing() -> MutexGuard<'static, Vec<usize>> {
    CAPTURING.lock().unwrap_or_else(PoisonError::into_inner)
}

fn graphs() -> String {
    std::env::var("ORRERY_FAKE_CUDA_GRAPHS").unwrap_or_default()
}

/// The capture of a stream, if it has one now. The default stream has none.
///
/// # Safety
/// The stream must be null or one of these, and not ended.
unsafe fn capture<'a>(stream: *mut c_void) -> Option<MutexGuard<'a, Option<Captured>>> {
    // SAFETY: as the caller says.
    let stream = unsafe { stream.cast::<Stream>().as_ref() }?;
    Some(stream.0.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Does `work` now, or keeps it where the stream captures.
///
/// # Safety
/// The stream must be null or one of these, and not ended; the work must be sound whenever it is done.
pub(crate) unsafe fn enqueue(stream: *mut c_void, work: impl Fn() -> c_int + Send + 'static) -> c_int {
    // SAFETY: as the caller says.
    if let Some(mut kept) = unsafe { capture(stream) } {
        match kept.as_mut() {
            Some(Some(captured)) => {
                captured.push(Box::new(work));
                return SUCCESS;
            }
            Some(None) => return CAPTURE_INVALIDATED,
            None => {}
        }
    }
    work()
}

/// Whether the stream captures, of whom that was asked which no capture permits: it is not valid any more. A library that was
/// loaded beside the driver, and has lists of its own, asks of its own stream.
///
/// # Safety
/// The stream must be null or one of these, and not ended.
pub(crate) unsafe fn forbidden(stream: *mut c_void) -> bool {
    // SAFETY: as the caller says.
    let kept = unsafe { capture(stream) };
    kept.is_some_and(|mut kept| {
        let captures = kept.is_some();
        if captures {
            *kept = Some(None);
        }
        captures
    })
}

/// What a call says that no capture permits: any that goes on is not valid any more.
pub(crate) fn not_in_capture() -> c_int {
    let capturing = capturing();
    for &stream in capturing.iter() {
        // SAFETY: it is on the list, so it has not ended.
        unsafe { forbidden(stream as *mut c_void) };
    }
    if capturing.is_empty() {
        SUCCESS
    } else {
        CAPTURE_UNSUPPORTED
    }
}

/// A stream, or what the mood makes of it.
///
/// # Safety
/// `stream` must be valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuStreamCreate(stream: *mut *mut c_void, _flags: c_uint) -> c_int {
    match mood().as_str() {
        "refuse" => return OUT_OF_MEMORY,
        "crash" => std::process::abort(),
        // Far longer than anybody waits.
        "wedge" => std::thread::sleep(Duration::from_secs(3600)),
        _ => {}
    }
    let made: Box<Stream> = Box::default();
    // SAFETY: as the caller says.
    unsafe { put(stream, Box::into_raw(made).cast()) }
}

/// Everything has been done; of a stream that captures nobody may ask it.
///
/// # Safety
/// The stream must be null or one of these, and not ended.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuStreamSynchronize(stream: *mut c_void) -> c_int {
    // SAFETY: as the caller says.
    let captures = unsafe { capture(stream) }.is_some_and(|kept| kept.is_some());
    if captures { not_in_capture() } else { SUCCESS }
}

/// Ends a stream.
///
/// # Safety
/// It must be one of these, and not ended.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuStreamDestroy_v2(stream: *mut c_void) -> c_int {
    capturing().retain(|&each| each != stream as usize);
    // SAFETY: as the caller says.
    drop(unsafe { Box::from_raw(stream.cast::<Stream>()) });
    SUCCESS
}

/// Begins to capture.
///
/// # Safety
/// The stream must be one of these, and not ended.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuStreamBeginCapture_v2(stream: *mut c_void, _mode: c_int) -> c_int {
    if graphs() == "refuse" {
        return CAPTURE_UNSUPPORTED;
    }
    capturing().push(stream as usize);
    // SAFETY: as the caller says.
    if let Some(mut kept) = unsafe { capture(stream) } {
        *kept = Some(Some(Vec::new()));
    }
    SUCCESS
}

/// Ends a capture: its graph, or none where something was not permitted. Either way the stream works as before.
///
/// # Safety
/// The stream must be one of these, and not ended, and `graph` valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuStreamEndCapture(stream: *mut c_void, graph: *mut *mut c_void) -> c_int {
    capturing().retain(|&each| each != stream as usize);
    // SAFETY: as the caller says.
    let captured = unsafe { capture(stream) }.and_then(|mut kept| kept.take());
    let captured = captured.flatten().filter(|_| graphs() != "invalidate");
    let Some(mut captured) = captured else {
        // SAFETY: as the caller says.
        unsafe { put(graph, std::ptr::null_mut()) };
        return CAPTURE_INVALIDATED;
    };
    if graphs() == "empty" {
        captured.clear();
    }
    // SAFETY: as the caller says.
    unsafe { put(graph, Box::into_raw(Box::new(captured)).cast()) }
}

/// What runs of a graph: the graph itself.
///
/// # Safety
/// `made` must be valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuGraphInstantiateWithFlags(
    made: *mut *mut c_void,
    graph: *mut c_void,
    _flags: c_ulonglong,
) -> c_int {
    if graphs() == "uninstantiated" {
        return NOT_SUPPORTED;
    }
    // SAFETY: as the caller says.
    unsafe { put(made, graph) }
}

/// It is where it runs.
#[unsafe(no_mangle)]
pub extern "C" fn cuGraphUpload(_made: *mut c_void, _stream: *mut c_void) -> c_int {
    SUCCESS
}

/// Does everything that was captured, in order.
///
/// # Safety
/// The graph must be one of these, and not ended, and what it works on live.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuGraphLaunch(made: *mut c_void, _stream: *mut c_void) -> c_int {
    if graphs() == "unlaunched" {
        return LAUNCH_FAILED;
    }
    note("graph");
    // SAFETY: as the caller says.
    let works = unsafe { &*made.cast::<Vec<Work>>() };
    let outcomes = works.iter().map(|work| work());
    outcomes
        .into_iter()
        .find(|&outcome| outcome != SUCCESS)
        .unwrap_or(SUCCESS)
}

/// Ends what runs of a graph, which is the graph's.
#[unsafe(no_mangle)]
pub extern "C" fn cuGraphExecDestroy(_made: *mut c_void) -> c_int {
    SUCCESS
}

/// Ends a graph.
///
/// # Safety
/// It must be one of these, and not ended.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuGraphDestroy(graph: *mut c_void) -> c_int {
    // SAFETY: as the caller says.
    drop(unsafe { Box::from_raw(graph.cast::<Vec<Work>>()) });
    SUCCESS
}
