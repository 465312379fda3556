//! The processes that hold memory of a device, with the jobs that they belong to.

use std::collections::BTreeMap;

use nvml_wrapper::Device;
use nvml_wrapper::enums::device::UsedGpuMemory;
use nvml_wrapper::struct_wrappers::device::ProcessInfo;
use orrery_telemetry::{Absence, Process, Reading};
use orrery_units::Bytes;

use super::asked::Asked;
use crate::source::job::{Program, Programs};

/// What was found of each process once, for as long as it runs.
#[derive(Debug, Default)]
pub(super) struct Known(BTreeMap<u32, Program>);

impl Known {
    /// The processes of `device`, by number.
    pub(super) fn read(&mut self, device: &Device<'_>, asked: &mut Asked) -> Reading<Vec<Process>> {
        let compute = asked.ask("processes", || device.running_compute_processes());
        let mps = asked.ask("MPS processes", || device.mps_running_compute_processes());
        let mut infos = match compute {
            Reading::Value(infos) => infos,
            Reading::Absent { absent } => return Reading::absent(absent),
        };
        infos.extend(mps.value().into_iter().flatten().cloned());
        infos.sort_by_key(|info| info.pid);
        infos.dedup_by_key(|info| (info.pid, info.gpu_instance_id));
        infos.truncate(Process::MOST);
        self.0.retain(|pid, _| infos.iter().any(|info| info.pid == *pid));
        let programs = Programs::of_this_machine();
        Reading::Value(infos.iter().map(|info| self.process(info, &programs)).collect())
    }

    fn process(&mut self, info: &ProcessInfo, programs: &Programs) -> Process {
        // A number may be given to another program between two readings; then it began at another time.
        let began = programs.began(info.pid);
        let known = self.0.get(&info.pid).filter(|known| known.began == began);
        let program = match known {
            Some(known) => known.clone(),
            None => programs.look_up(info.pid),
        };
        self.0.insert(info.pid, program.clone());
        Process {
            pid: info.pid,
            name: program.name,
            memory: match info.used_gpu_memory {
                UsedGpuMemory::Used(bytes) => Reading::Value(Bytes::new(bytes)),
                UsedGpuMemory::Unavailable => Reading::absent(Absence::NotSupported),
            },
            gpu_instance: info.gpu_instance_id,
            job: program.job,
        }
    }
}
