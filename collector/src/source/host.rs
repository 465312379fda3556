//! The machine itself: processors, memory, disks and network ports, from procfs and sysfs.
//!
//! Nothing is run and nothing is written. What this kernel or this user does not show is absent, with the reason.

mod disks;
mod files;
mod memory;
mod ports;
mod processors;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use orrery_telemetry::{DeviceSample, HostSample, Origin, RdmaPort, Reading};

use self::files::Files;
use super::{Source, SourceError, Taken, node_name};

/// RDMA devices have dozens of counters beside their data, a file each; those are read this often at most.
const COUNTERS_PACE: Duration = Duration::from_millis(900);

/// This machine, or one laid out below a folder, for tests.
#[derive(Debug)]
pub(crate) struct HostSource {
    proc: Files,
    sys: Files,
    node: String,
    /// The ports as they were when all of their counters were read, and when that was.
    ports: Option<(Instant, Reading<Vec<RdmaPort>>)>,
}

impl HostSource {
    /// This machine.
    ///
    /// # Errors
    /// When procfs is not there: then this is no Linux, or a container that shows nothing.
    pub(crate) fn open() -> Result<Self, SourceError> {
        Self::below(Path::new("/"))
    }

    /// The machine whose `proc` and `sys` lie in `folder`.
    ///
    /// # Errors
    /// As [`HostSource::open`].
    pub(crate) fn below(folder: &Path) -> Result<Self, SourceError> {
        let place = |name: &str| -> PathBuf { folder.join(name) };
        let source = Self {
            proc: Files::below(place("proc")),
            sys: Files::below(place("sys")),
            node: node_name(),
            ports: None,
        };
        source.proc.text("stat").map_err(|fault| {
            SourceError::new(
                format!("`/proc/stat` cannot be read: {fault}"),
                "mount procfs; in a container, show it the machine's (`--pid host`, or `/proc` as a volume)",
            )
        })?;
        Ok(source)
    }

    fn sample(&mut self) -> HostSample {
        HostSample {
            node: self.node.clone(),
            cpu: processors::read(&self.proc),
            memory: memory::read(&self.proc),
            numa: memory::read_nodes(&self.sys),
            disks: disks::read(&self.proc, &self.sys),
            interfaces: ports::read_interfaces(&self.sys),
            rdma: self.ports(),
        }
    }

    fn ports(&mut self) -> Reading<Vec<RdmaPort>> {
        let now = Instant::now();
        let known = self
            .ports
            .as_ref()
            .filter(|(at, _)| now.duration_since(*at) < COUNTERS_PACE);
        let known = known.and_then(|(_, ports)| ports.value());
        match known {
            Some(known) => ports::read_rdma(&self.sys, Some(known)),
            None => {
                let ports = ports::read_rdma(&self.sys, None);
                self.ports = Some((now, ports.clone()));
                ports
            }
        }
    }
}

impl Source for HostSource {
    fn origin(&self) -> Origin {
        Origin::Live
    }

    fn read(&mut self, _sequence: u64) -> Result<Vec<DeviceSample>, SourceError> {
        Ok(Vec::new())
    }

    fn take(&mut self, _sequence: u64) -> Result<Taken, SourceError> {
        Ok(Taken {
            host: Some(Box::new(self.sample())),
            ..Taken::default()
        })
    }
}

#[cfg(test)]
mod tests;
