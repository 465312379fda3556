//! The devices of this machine, through NVML. The driver's library is found at run time, or it is not there.
//!
//! A thread for each device reads it, and one more hears of errors: a call that hangs makes one device silent, with an
//! age, and the others go on.
#![expect(
    unsafe_code,
    reason = "a library that its devices and samples borrow is closed after them, which no lifetime can say, and some \
              of its calls have no wrapper"
)]

mod activity;
mod asked;
mod crew;
mod device;
mod fault;
mod fields;
mod library;
mod links;
mod memory;
mod partitions;
mod processes;
mod values;
mod xids;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use nvml_wrapper::Nvml;
use orrery_telemetry::{Absence, DeviceIdentity, DeviceSample, DeviceState, Origin, UnixTime};

use self::crew::Crew;
use self::device::{Answer, Order, Reader};
use self::fault::source_error;
use self::library::Library;
pub(crate) use self::memory::Memory;
use self::xids::XidListener;
use super::{Source, SourceError, node_name};
use crate::board::wall_clock;

/// What the fake driver adds to its version, so that it is never taken for a real one.
const FAKE_MARK: &str = "-orrery-fake";
/// How long the first reading of a device may take: a driver that initialises it takes seconds.
const FIRST_PATIENCE: Duration = Duration::from_secs(8);
/// What a reading may take beyond its two intervals. The board gives a whole source up only after three and more.
const ALLOWANCE: Duration = Duration::from_millis(500);

/// The devices of this machine.
pub(crate) struct NvmlSource {
    origin: Origin,
    interval: Duration,
    // Before the library: fields are dropped in this order, and whoever calls into the library ends first.
    _xids: XidListener,
    crew: Crew<Order, Answer>,
    devices: Vec<Known>,
    memory: Arc<Memory>,
    library: Arc<Library>,
    is_first: bool,
}

/// A device that was there when the source was opened.
struct Known {
    identity: DeviceIdentity,
    /// Whether the device itself told its UUID, and its model.
    told: [bool; 2],
}

impl NvmlSource {
    /// Opens the library at `library`, or the system's, to be read every `interval`. What outlives this source is in
    /// `memory`.
    pub(crate) fn open(
        library: Option<&Path>,
        interval: Duration,
        memory: Arc<Memory>,
    ) -> Result<Self, SourceError> {
        let nvml = match library {
            Some(path) => Nvml::builder().lib_path(OsStr::new(path)).init(),
            None => Nvml::init(),
        };
        let nvml = nvml.map_err(|fault| source_error(&fault))?;
        let driver = nvml.sys_driver_version().map_err(|fault| source_error(&fault))?;
        let origin = if driver.ends_with(FAKE_MARK) {
            Origin::Fake
        } else {
            Origin::Live
        };
        let num_devices = nvml.device_count().map_err(|fault| source_error(&fault))?;
        if num_devices == 0 {
            return Err(SourceError::new(
                "the NVIDIA driver reports no device",
                "see whether `lspci -d 10de:` lists one and what `dmesg` says about it; a container may have been \
                 started without devices",
            ));
        }
        let node = node_name();
        let library = Arc::new(Library::new(nvml));
        let no_thread = |fault| SourceError::from(format!("the system gave no thread: {fault}"));
        let mut source = Self {
            origin,
            interval,
            _xids: XidListener::start(library.clone(), num_devices, memory.clone()).map_err(no_thread)?,
            crew: Crew::new(),
            devices: (0..num_devices)
                .map(|index| Known::unknown(&node, index))
                .collect(),
            memory,
            library,
            is_first: true,
        };
        source.hire().map_err(no_thread)?;
        Ok(source)
    }

    /// Starts a thread for every device that has none, save those that an earlier thread is still in a call about.
    fn hire(&mut self) -> std::io::Result<()> {
        for known in &self.devices {
            let index = known.identity.index;
            if self.crew.has(index) || !self.memory.take(index) {
                continue;
            }
            let at_end = GiveBack(self.memory.clone(), index);
            let mut bench = Bench {
                reader: Reader::new(index, self.interval, self.memory.clone()),
                library: self.library.clone(),
            };
            let work = move |order| bench.work(order);
            self.crew.hire(index, work, at_end)?;
        }
        Ok(())
    }

    /// What `known` gave in a reading that began at `began`.
    fn sample(&self, known: &Known, answer: Option<Box<DeviceSample>>, began: UnixTime) -> DeviceSample {
        let index = known.identity.index;
        let state = match &answer {
            None => DeviceState::Silent,
            Some(sample) if sample.is_lost() => DeviceState::Lost,
            Some(_) => DeviceState::Answering,
        };
        let silent = || DeviceSample {
            xids: self.memory.xids(index),
            ..DeviceSample::absent(known.identity.clone(), &Absence::no_answer())
        };
        DeviceSample {
            identity: known.identity.clone(),
            presence: Some(self.memory.note(index, state, began)),
            ..answer.map_or_else(silent, |answer| *answer)
        }
    }
}

/// What the thread of a device works with.
struct Bench {
    // Before the library: it holds activity samples, which are given back to the library.
    reader: Reader,
    library: Arc<Library>,
}

impl Bench {
    fn work(&mut self, order: Order) -> Answer {
        // SAFETY: what is left after this call are the activity samples in `reader`, a field that is dropped before
        // the library.
        let nvml = unsafe { self.library.get() };
        self.reader.work(nvml, order)
    }
}

/// Gives the place of a device back when its thread ends.
struct GiveBack(Arc<Memory>, u32);

impl Drop for GiveBack {
    fn drop(&mut self) {
        self.0.give_back(self.1);
    }
}

impl Source for NvmlSource {
    fn origin(&self) -> Origin {
        self.origin
    }

    fn read(&mut self, _sequence: u64) -> Result<Vec<DeviceSample>, SourceError> {
        // A device whose thread is gone stays silent until there is one again.
        if let Err(fault) = self.hire() {
            tracing::warn!("nvml: the system gave no thread: {fault}");
        }
        let patience = if std::mem::take(&mut self.is_first) {
            FIRST_PATIENCE
        } else {
            2 * self.interval + ALLOWANCE
        };
        let began = wall_clock();
        let mut answers = self.crew.ask(Order::Read, patience);
        let mut readings: BTreeMap<u32, Box<DeviceSample>> = BTreeMap::new();
        for known in &mut self.devices {
            let Some(answer) = answers.remove(&known.identity.index) else {
                continue;
            };
            known.take_names(&answer);
            readings.insert(known.identity.index, answer.sample?);
        }
        let sample = |known: &Known| self.sample(known, readings.remove(&known.identity.index), began);
        Ok(self.devices.iter().map(sample).collect())
    }

    fn recall(&mut self, devices: &[DeviceIdentity]) {
        let uuids = self.devices.iter().filter(|known| known.told[0]);
        let taken: Vec<String> = uuids.map(|known| known.identity.uuid.clone()).collect();
        for known in &mut self.devices {
            known.recall(devices, &taken);
        }
    }

    fn prepare(&mut self) {
        for (index, answer) in self.crew.ask(Order::Prepare, 2 * self.interval + ALLOWANCE) {
            if let Some(known) = self
                .devices
                .iter_mut()
                .find(|known| known.identity.index == index)
            {
                known.take_names(&answer);
            }
        }
    }

    fn is_stuck(&self) -> bool {
        self.crew.has_stuck()
            || self
                .devices
                .iter()
                .any(|known| !self.crew.has(known.identity.index))
    }
}

impl Known {
    /// A device that is lost from the start, or slow to tell, has no name of its own; its place must do.
    fn unknown(node: &str, index: u32) -> Self {
        let identity = DeviceIdentity {
            node: node.to_owned(),
            index,
            uuid: format!("unknown-{node}-{index}"),
            model: "unknown".to_owned(),
        };
        Self {
            identity,
            told: [false; 2],
        }
    }

    /// Takes the names that the device told.
    fn take_names(&mut self, answer: &Answer) {
        let Self { identity, told } = self;
        let names = [
            (&answer.uuid, &mut identity.uuid),
            (&answer.model, &mut identity.model),
        ];
        for ((name, known), told) in names.into_iter().zip(told) {
            if let Some(name) = name {
                name.as_ref().clone_into(known);
                *told = true;
            }
        }
    }

    /// Takes the names of the device that was in this place among `devices` for those that this one does not
    /// tell; none that another device has `taken`, since they may be numbered anew.
    fn recall(&mut self, devices: &[DeviceIdentity], taken: &[String]) {
        let place = (&self.identity.node, self.identity.index);
        let mut here = devices.iter().filter(|old| (&old.node, old.index) == place);
        let Some(old) = here.find(|old| !taken.contains(&old.uuid)) else {
            return;
        };
        let [told_uuid, told_model] = self.told;
        if !told_uuid {
            self.identity.uuid.clone_from(&old.uuid);
        }
        if !told_model {
            self.identity.model.clone_from(&old.model);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(index: u32, uuid: &str, model: &str) -> DeviceIdentity {
        DeviceIdentity {
            node: "node-0".to_owned(),
            index,
            uuid: uuid.to_owned(),
            model: model.to_owned(),
        }
    }

    #[test]
    fn a_device_that_tells_no_name_has_the_one_of_its_place_unless_another_tells_it() {
        let before = [identity(0, "GPU-a", "H100"), identity(1, "GPU-b", "H200")];
        let recalled = |told: [bool; 2], taken: &[&str]| {
            let taken: Vec<String> = taken.iter().map(|&uuid| uuid.to_owned()).collect();
            let mut known = Known {
                identity: identity(1, "unknown-node-0-1", "unknown"),
                told,
            };
            known.recall(&before, &taken);
            known.identity
        };
        assert_eq!(recalled([false; 2], &["GPU-a"]), before[1]);
        assert_eq!(
            recalled([true, false], &[]).uuid,
            "unknown-node-0-1",
            "it told this"
        );
        assert_eq!(recalled([true, false], &[]).model, "H200");
        // One device left, and what was number 1 is number 0 now.
        let numbered_anew = recalled([false; 2], &["GPU-b"]);
        assert_eq!(
            (&*numbered_anew.uuid, &*numbered_anew.model),
            ("unknown-node-0-1", "unknown")
        );
    }
}
