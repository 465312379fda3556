//! What `doctor` says: each source, its devices, what is missing, why, and what to do about it.

use std::fmt::Write as _;
use std::net::{SocketAddr, TcpListener};

use orrery_telemetry::{Absence, DeviceSample, HostSample, Origin, Sample, SourceState, SourceStatus};

use crate::source::{LOST_REMEDY, node_name};

/// What was found, for a person to read.
pub(crate) struct Findings {
    pub(crate) statuses: Vec<SourceStatus>,
    pub(crate) samples: Vec<Sample>,
    /// Where a daemon would listen, and why it could not.
    pub(crate) listen: (SocketAddr, Option<String>),
}

impl Findings {
    /// Whether a source other than the demonstration has a device that is not lost.
    pub(crate) fn has_devices(&self) -> bool {
        let real = self.samples.iter().filter(|sample| sample.origin != Origin::Demo);
        let mut devices = real.flat_map(|sample| &sample.devices);
        devices.any(|device| !device.is_lost())
    }

    /// The text.
    pub(crate) fn text(&self) -> String {
        let mut text = format!(
            "orrery-collector {} on `{}`\n\n",
            env!("CARGO_PKG_VERSION"),
            node_name()
        );
        for status in &self.statuses {
            let devices = self.samples.iter().filter(|sample| sample.source == status.name);
            let devices: Vec<&DeviceSample> = devices.flat_map(|sample| &sample.devices).collect();
            let host = self.samples.iter().find(|sample| sample.source == status.name);
            match host.and_then(|sample| sample.host.as_deref()) {
                Some(host) => write_host(&mut text, status, host),
                None => write_source(&mut text, status, &devices),
            }
        }
        let (address, fault) = &self.listen;
        let found = match fault {
            None => "is free".to_owned(),
            Some(fault) => format!(
                "cannot be listened on: {fault}\n{INDENT}what to do: another collector may run there; choose \
                 another address with `serve --listen`"
            ),
        };
        push(&mut text, &format!("{:<NAME$}{address} {found}", "listen"));
        if !self.has_devices() {
            push(
                &mut text,
                "\nNo device can be read here. `orrery-collector serve --source demo` shows made-up ones.",
            );
        }
        text
    }
}

/// Width of the column of names.
pub(crate) const NAME: usize = 9;

/// Where the second line of an entry begins.
pub(crate) const INDENT: &str = "         ";

/// Whether `address` can be listened on now.
pub(crate) fn try_listen(address: SocketAddr) -> (SocketAddr, Option<String>) {
    let fault = TcpListener::bind(address).err();
    (address, fault.map(|fault| fault.to_string()))
}

fn write_source(text: &mut String, status: &SourceStatus, devices: &[&DeviceSample]) {
    let head = format!("{:<NAME$}", status.name);
    let num_devices = devices.len();
    let noun = if num_devices == 1 { "device" } else { "devices" };
    match status.state {
        SourceState::Absent => {
            push(text, &format!("{head}ABSENT: {}", status.reason));
            if !status.remedy.is_empty() {
                push(text, &format!("{INDENT}what to do: {}", status.remedy));
            }
        }
        SourceState::Demo => push(
            text,
            &format!("{head}{}: {num_devices} made-up {noun}", mark(Origin::Demo)),
        ),
        SourceState::Live => push(
            text,
            &format!("{head}{}: {num_devices} {noun}", mark(Origin::Live)),
        ),
        SourceState::Fake => push(
            text,
            &format!("{head}{}: {num_devices} {noun}", mark(Origin::Fake)),
        ),
    }
    // What a demonstration leaves out, it leaves out on purpose.
    if matches!(status.state, SourceState::Live | SourceState::Fake) {
        for device in devices {
            write_device(text, device);
        }
    }
}

/// A machine, and what it does not show; what a machine does not have is no lack.
fn write_host(text: &mut String, status: &SourceStatus, host: &HostSample) {
    let count = |num: Option<usize>, noun: &str| format!("{} {noun}", num.unwrap_or(0));
    let processors = host.cpu.num_online.value().copied().unwrap_or(0);
    let parts = [
        format!("{processors} processors"),
        count(host.disks.value().map(Vec::len), "disks"),
        count(host.interfaces.value().map(Vec::len), "network interfaces"),
        count(host.rdma.value().map(Vec::len), "RDMA ports"),
    ];
    push(
        text,
        &format!(
            "{:<NAME$}{}: {}",
            status.name,
            mark(Origin::Live),
            parts.join(", ")
        ),
    );
    let absences = host
        .absences()
        .into_iter()
        .filter(|(_, absence)| **absence != Absence::NotSupported);
    write_absences(text, absences.collect());
}

fn write_device(text: &mut String, device: &DeviceSample) {
    let identity = &device.identity;
    let head = format!(
        "{INDENT}device {}  {}  {}",
        identity.index, identity.model, identity.uuid
    );
    if device.is_lost() {
        push(text, &format!("{head}  LOST"));
        push(text, &format!("{INDENT}  what to do: {LOST_REMEDY}"));
        return;
    }
    push(text, &head);
    let throttles = device.throttles.value().into_iter().flatten();
    let ailments: Vec<&str> = throttles
        .filter(|throttle| throttle.is_ailment())
        .map(|throttle| throttle.name())
        .collect();
    if !ailments.is_empty() {
        let ailments = ailments.join(", ");
        push(text, &format!("{INDENT}  clocks are held down now: {ailments}"));
    }
    write_absences(text, device.absences());
}

/// What is absent, by reason.
fn write_absences(text: &mut String, absences: Vec<(&'static str, &Absence)>) {
    let mut by_reason: Vec<(&Absence, Vec<&str>)> = Vec::new();
    for (name, absence) in absences {
        match by_reason.iter_mut().find(|(known, _)| *known == absence) {
            Some((_, names)) => names.push(name),
            None => by_reason.push((absence, vec![name])),
        }
    }
    for (absence, names) in by_reason {
        push(text, &format!("{INDENT}  no {}: {absence}", names.join(", ")));
        if let Some(remedy) = remedy(absence) {
            push(text, &format!("{INDENT}    what to do: {remedy}"));
        }
    }
}

/// What to do about a reading that is absent, where something can be done.
fn remedy(absence: &Absence) -> Option<&'static str> {
    match absence {
        Absence::NoPermission => Some("run the collector as a user that may read it, such as root"),
        Absence::DriverTooOld => Some("update the driver"),
        Absence::DeviceLost => Some(LOST_REMEDY),
        Absence::Failed(_) => Some("see `dmesg` for `NVRM` and `Xid` lines"),
        Absence::NotSupported | Absence::NotYet | Absence::NotANumber => None,
    }
}

fn mark(origin: Origin) -> String {
    origin.name().to_uppercase()
}

fn push(text: &mut String, line: &str) {
    writeln!(text, "{line}").expect("a string takes every text");
}

#[cfg(test)]
mod tests {
    use orrery_telemetry::{DeviceIdentity, Reading, Throttle, UnixTime};
    use orrery_units::{Ratio, SimTime, Watts};

    use super::*;

    fn device(index: u32, absence: &Absence) -> DeviceSample {
        let identity = DeviceIdentity {
            node: "node-0".to_owned(),
            index,
            uuid: format!("GPU-{index}"),
            model: "MODEL".to_owned(),
        };
        DeviceSample::absent(identity, absence)
    }

    #[test]
    fn devices_are_listed_with_what_they_lack() {
        let mut half = device(0, &Absence::NotSupported);
        half.utilization = Reading::Value(Ratio::clamped(0.5));
        half.power = Reading::Value(Watts(300.0));
        half.energy = Reading::absent(Absence::NoPermission);
        half.throttles = Reading::Value(vec![Throttle::PowerCap, Throttle::ThermalHardware]);
        let sample = Sample {
            source: "nvml".to_owned(),
            origin: Origin::Live,
            sequence: 0,
            at: SimTime::ZERO,
            taken: UnixTime::from_millis(0),
            devices: vec![half, device(1, &Absence::DeviceLost)],
            host: None,
            collectives: Vec::new(),
        };
        let findings = Findings {
            statuses: vec![SourceStatus::up("nvml", Origin::Live)],
            samples: vec![sample],
            listen: ("127.0.0.1:9477".parse().unwrap(), None),
        };
        let text = findings.text();
        assert!(findings.has_devices());
        for part in [
            "nvml     LIVE: 2 devices\n",
            "device 0  MODEL  GPU-0\n",
            "  no memory used, memory free,",
            ": not supported by this device\n",
            "  no energy: no permission\n             what to do: run the collector as a user",
            "  clocks are held down now: thermal_hardware\n",
            "device 1  MODEL  GPU-1  LOST\n",
            "listen   127.0.0.1:9477 is free\n",
        ] {
            assert!(text.contains(part), "`{part}` is missing:\n{text}");
        }
        assert!(
            !text.contains("no utilization") && !text.contains(", power,"),
            "{text}"
        );
    }
}
