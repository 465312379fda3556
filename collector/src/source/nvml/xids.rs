//! Errors that the driver reports as events (XID), counted on a thread of their own: a device that throws them is the
//! one whose readings break.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nvml_wrapper::bitmasks::event::EventTypes;
use nvml_wrapper::enums::event::XidError;
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::{Device, EventSet, Nvml};
use orrery_telemetry::Absence;

use super::fault::absence;
use super::library::Library;
use super::memory::Memory;
use crate::board::wall_clock;

/// How long one wait for an event lasts; a wish to end is heard between two.
const WAIT_MILLIS: u32 = 250;
/// After so many events in a row there is a pause: a storm must not take a processor.
const BURST: u32 = 1_000;
const PAUSE: Duration = Duration::from_millis(10);
/// How long a fault of the waiting itself is left alone, such as of a set that holds a lost device.
const AFTER_FAULT: Duration = Duration::from_millis(500);
/// How long the thread is waited for at its start and its end; one that hangs in the driver is left alone.
const FAREWELL: Duration = Duration::from_secs(1);

/// The thread that hears of errors; it ends when this is dropped.
pub(super) struct XidListener {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl XidListener {
    /// Listens for errors of devices `0..num_devices`, and counts them in `memory`. Returns when it does listen, or
    /// after a second.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(super) fn start(
        library: Arc<Library>,
        num_devices: u32,
        memory: Arc<Memory>,
    ) -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let wished = stop.clone();
        let (heard, ready) = sync_channel::<()>(1);
        let thread = thread::Builder::new()
            .name("xid-events".to_owned())
            .spawn(move || {
                // SAFETY: the set and the devices are gone when `listen` ends, and the library is held until then.
                let nvml = unsafe { library.get() };
                listen(nvml, num_devices, &memory, (&wished, heard));
                drop(library);
            })?;
        // A driver that takes longer is listened to all the same, from when it answers.
        let _ready = ready.recv_timeout(FAREWELL);
        Ok(Self {
            stop,
            thread: Some(thread),
        })
    }
}

impl Drop for XidListener {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let deadline = Instant::now() + FAREWELL;
        let Some(thread) = self.thread.take() else { return };
        while !thread.is_finished() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(5));
        }
        if thread.is_finished() {
            // A panic there was told by the thread itself.
            let _ended = thread.join();
        }
    }
}

/// A set of events, and whose they are.
struct Ears {
    set: EventSet<'static>,
    /// By handle: a device that is lost is found by nothing else.
    devices: BTreeMap<usize, u32>,
}

fn listen(
    nvml: &'static Nvml,
    num_devices: u32,
    memory: &Memory,
    (stop, ready): (&AtomicBool, SyncSender<()>),
) {
    let ears = Ears::open(nvml, num_devices, memory);
    // Whoever waits hears of it by that.
    drop(ready);
    // Where nothing can be heard of any device, every device says so; the next opening tries again.
    let Some(ears) = ears else { return };
    let mut num_in_a_row = 0;
    while !stop.load(Ordering::Relaxed) {
        match ears.set.wait(WAIT_MILLIS) {
            Ok(event) => {
                let index = ears.devices.get(&handle_of(&event.device));
                if let Some((&index, code)) = index.zip(code_of(event.event_data)) {
                    memory.count_xid(index, code, wall_clock());
                }
                num_in_a_row += 1;
                if num_in_a_row % BURST == 0 {
                    thread::sleep(PAUSE);
                }
            }
            Err(NvmlError::Timeout) => num_in_a_row = 0,
            // The driver was unloaded: the source finds that out and is opened again.
            Err(NvmlError::Uninitialized) => return,
            Err(_fault) => thread::sleep(AFTER_FAULT),
        }
    }
}

impl Ears {
    /// The events of all devices that have such; nothing when there is none.
    fn open(nvml: &'static Nvml, num_devices: u32, memory: &Memory) -> Option<Self> {
        let mut deaf: BTreeMap<u32, Absence> = BTreeMap::new();
        let found: Vec<_> = (0..num_devices)
            .map(|index| nvml.device_by_index(index))
            .collect();
        let ears = loop {
            match Self::register(nvml, &found, &deaf) {
                Ok(ears) => break ears.filter(|ears| !ears.devices.is_empty()),
                // The wrapper gives the set up with a device that it does not take: all but that one, again.
                Err((Some(index), fault)) => deaf.insert(index, fault),
                Err((None, fault)) => {
                    deaf.extend((0..num_devices).map(|index| (index, fault.clone())));
                    break None;
                }
            };
        };
        for (index, device) in (0..).zip(&found) {
            let uuid = device
                .as_ref()
                .map_or_else(|_lost| String::new(), |device| device.uuid().unwrap_or_default());
            let lost = device.as_ref().err().map(absence);
            memory.listen(
                index,
                &uuid,
                lost.or_else(|| deaf.get(&index).cloned()),
                wall_clock(),
            );
        }
        ears
    }

    /// One set for all devices that were found, without those that are `deaf`; nothing when no device is left. An
    /// error says of which device it is, if of one.
    fn register(
        nvml: &'static Nvml,
        found: &[Result<Device<'static>, NvmlError>],
        deaf: &BTreeMap<u32, Absence>,
    ) -> Result<Option<Self>, (Option<u32>, Absence)> {
        let devices = (0..)
            .zip(found)
            .filter_map(|(index, device)| Some((index, device.as_ref().ok()?)));
        let devices: Vec<(u32, &Device<'static>)> =
            devices.filter(|(index, _)| !deaf.contains_key(index)).collect();
        if devices.is_empty() {
            return Ok(None);
        }
        let mut set = nvml.create_event_set().map_err(|fault| (None, absence(&fault)))?;
        let mut handles = BTreeMap::new();
        for (index, device) in devices {
            set = device
                .register_events(EventTypes::CRITICAL_XID_ERROR, set)
                .map_err(|fault| (Some(index), absence(&fault.error)))?;
            handles.insert(handle_of(device), index);
        }
        Ok(Some(Self {
            set,
            devices: handles,
        }))
    }
}

fn handle_of(device: &Device<'_>) -> usize {
    // SAFETY: the handle is compared and never used.
    unsafe { device.handle() }.addr()
}

fn code_of(error: Option<XidError>) -> Option<u64> {
    match error? {
        XidError::Value(code) => Some(code),
        XidError::Unknown => Some(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_without_a_code_counts_too() {
        assert_eq!(code_of(Some(XidError::Value(79))), Some(79));
        assert_eq!(code_of(Some(XidError::Unknown)), Some(0));
        assert_eq!(code_of(None), None);
    }
}
