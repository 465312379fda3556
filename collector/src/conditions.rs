//! What a device's own readings say of a measurement: whether it may begin, and what spoiled it.

use orrery_kernels::statistics::Taint;
use orrery_telemetry::{DeviceSample, Reading};
use orrery_units::Bytes;

/// A device that is busy for a larger share of the time is in use, whoever it is that cannot be seen.
const BUSY: f64 = 0.05;
/// So is one of whose memory a larger share is taken: drivers keep less for themselves.
const TAKEN: f64 = 0.05;
/// Belongs to the driver: it holds every device of a node that shares them, and runs nothing of its own.
const DRIVERS_OWN: &str = "nvidia-cuda-mps-server";

/// The identity that the driver of CUDA gives the device of this name: NVML writes `GPU-`, then the same digits in groups.
pub(crate) fn driver_identity(uuid: &str) -> String {
    let digits = uuid.trim_start_matches("GPU-").chars();
    digits.filter(char::is_ascii_hexdigit).collect()
}

/// Who uses `device`, if anybody does: whoever measures beside others disturbs them and measures their work.
pub(crate) fn in_use(device: &DeviceSample) -> Option<String> {
    let index = device.identity.index;
    let mut processes = device.processes.value().into_iter().flatten();
    if let Some(process) = processes.find(|process| process.name != DRIVERS_OWN) {
        let name = if process.name.is_empty() {
            String::new()
        } else {
            format!(" ({})", process.name)
        };
        return Some(format!("GPU {index} is in use by process {}{name}", process.pid));
    }
    if let Some(busy) = device.utilization.value().map(|&share| share.get())
        && busy > BUSY
    {
        return Some(format!(
            "GPU {index} is in use: busy {:.0} % of the time",
            100.0 * busy
        ));
    }
    let total = device.memory_total.value().map(|&bytes| Bytes::as_f64(bytes));
    let used = device.memory_used.value().map(|&bytes| Bytes::as_f64(bytes));
    let taken = used.zip(total).map(|(used, total)| used / total.max(1.0))?;
    (taken > TAKEN).then(|| {
        format!(
            "GPU {index} is in use: {:.0} % of its memory is taken",
            100.0 * taken
        )
    })
}

/// What went on between two readings of a device that makes what was measured meanwhile unlike other measurements.
///
/// One process may be there, the worker's own: it has another number where the driver is, in a container.
pub(crate) fn taints(before: &DeviceSample, after: &DeviceSample) -> Vec<Taint> {
    let grew = |of: fn(&DeviceSample) -> &Reading<orrery_telemetry::Nanoseconds>| {
        let (before, after) = (of(before).value(), of(after).value());
        before.zip(after).is_some_and(|(before, after)| after > before)
    };
    let xids = |device: &DeviceSample| {
        let counts = device.xids.value().map(|xids| &xids.counts);
        counts.map_or(0, |counts| counts.iter().map(|each| each.count).sum::<u64>())
    };
    let errors = |device: &DeviceSample| device.ecc.uncorrected_volatile.value().copied().unwrap_or(0);
    let processes = after.processes.value().into_iter().flatten();
    let foreign = processes.filter(|process| process.name != DRIVERS_OWN).count() > 1;
    let held = [
        grew(|device| &device.throttle_times.thermal_hardware),
        grew(|device| &device.throttle_times.thermal_software),
        grew(|device| &device.throttle_times.power_brake),
    ];
    let found = [
        (held.contains(&true), Taint::HardwareThrottle),
        (grew(|device| &device.throttle_times.power_cap), Taint::PowerCap),
        (xids(after) > xids(before), Taint::DeviceError),
        (errors(after) > errors(before), Taint::MemoryError),
        (foreign, Taint::ForeignProcess),
    ];
    let found = found.into_iter().filter(|(is_so, _)| *is_so);
    found.map(|(_, taint)| taint).collect()
}

#[cfg(test)]
mod tests {
    use orrery_telemetry::{Absence, DeviceIdentity, Nanoseconds, Process, UnixTime, XidCount, Xids};
    use orrery_units::Ratio;

    use super::*;

    fn idle() -> DeviceSample {
        let identity = DeviceIdentity {
            node: "node-7".to_owned(),
            index: 3,
            uuid: "GPU-3".to_owned(),
            model: "H100".to_owned(),
        };
        let mut device = DeviceSample::absent(identity, &Absence::NotSupported);
        device.utilization = Reading::Value(Ratio::new(0.0).unwrap());
        device.memory_total = Reading::Value(Bytes::new(80 << 30));
        device.memory_used = Reading::Value(Bytes::new(1 << 30));
        device.processes = Reading::Value(Vec::new());
        device.throttle_times.thermal_hardware = Reading::Value(Nanoseconds::new(5));
        device.throttle_times.power_cap = Reading::Value(Nanoseconds::new(5));
        device.ecc.uncorrected_volatile = Reading::Value(1);
        device
    }

    fn process(pid: u32, name: &str) -> Process {
        Process {
            pid,
            name: name.to_owned(),
            memory: Reading::absent(Absence::NotSupported),
            gpu_instance: None,
            job: orrery_telemetry::JobContext::default(),
        }
    }

    #[test]
    fn whoever_uses_a_device_is_named() {
        assert_eq!(in_use(&idle()), None);
        let with = |change: fn(&mut DeviceSample)| {
            let mut device = idle();
            change(&mut device);
            in_use(&device).unwrap_or_default()
        };
        let found = with(|device| device.processes = Reading::Value(vec![process(812, "python3")]));
        assert_eq!(found, "GPU 3 is in use by process 812 (python3)");
        let found = with(|device| device.utilization = Reading::Value(Ratio::new(0.4).unwrap()));
        assert_eq!(found, "GPU 3 is in use: busy 40 % of the time");
        let found = with(|device| device.memory_used = Reading::Value(Bytes::new(40 << 30)));
        assert_eq!(found, "GPU 3 is in use: 50 % of its memory is taken");
        let found = with(|device| device.processes = Reading::Value(vec![process(1, DRIVERS_OWN)]));
        assert_eq!(found, "", "it belongs to the driver");
        // What cannot be read says nothing.
        let unread = DeviceSample::absent(idle().identity, &Absence::NotSupported);
        assert_eq!(in_use(&unread), None);
    }

    #[test]
    fn what_grew_meanwhile_taints() {
        let after = |change: fn(&mut DeviceSample)| {
            let mut device = idle();
            change(&mut device);
            taints(&idle(), &device)
        };
        assert_eq!(
            after(|device| device.processes = Reading::Value(vec![process(9, "")])),
            []
        );
        let two = after(|device| device.processes = Reading::Value(vec![process(9, ""), process(10, "")]));
        assert_eq!(two, [Taint::ForeignProcess]);
        let hot =
            after(|device| device.throttle_times.thermal_hardware = Reading::Value(Nanoseconds::new(6)));
        assert_eq!(hot, [Taint::HardwareThrottle]);
        let capped = after(|device| device.throttle_times.power_cap = Reading::Value(Nanoseconds::new(6)));
        assert_eq!(capped, [Taint::PowerCap]);
        let ill = after(|device| {
            device.ecc.uncorrected_volatile = Reading::Value(2);
            let counts = vec![XidCount {
                code: 48,
                count: 1,
                last: UnixTime::default(),
            }];
            device.xids = Reading::Value(Xids {
                counts,
                ..Xids::default()
            });
        });
        assert_eq!(ill, [Taint::DeviceError, Taint::MemoryError]);
        // A counter that was not read before is no change.
        let mut unread = idle();
        unread.throttle_times.thermal_hardware = Reading::absent(Absence::NotSupported);
        assert_eq!(taints(&unread, &idle()), []);
    }
}
