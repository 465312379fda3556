//! One device of the cluster.

use std::collections::BTreeMap;

use orrery_units::{Bytes, Key, Ratio, Seed, SimDuration, Watts};

use super::schedule::{Phase, Slot};
use super::{FaultKind, as_u64, node_name};
use crate::judge::{DeviceView, Figure};
use crate::{Celsius, DeviceIdentity, Hertz, Throttle};

pub(super) const MEMORY: Bytes = Bytes::new(80 << 30);
const POWER_LIMIT: f64 = 700.0;
const POWER_IDLE: f64 = 78.0;
const CLOCK: f64 = 1_755.0;
const CLOCK_IDLE: f64 = 345.0;
const SLOWDOWN: f64 = 87.0;
const NVLINKS: u32 = 18;

/// A device: who it is, how it differs from its like, and what it counts.
#[derive(Clone, Debug)]
pub(super) struct Machine {
    pub(super) identity: DeviceIdentity,
    /// Its speed over that of the mean device.
    pub(super) pace: f64,
    warmth: f64,
    thirst: f64,
    seed: Seed,
    place: u64,
    /// How full its memory is, of the whole.
    memory: f64,
    leaked: f64,
    heat_time: SimDuration,
    brake_time: SimDuration,
    cap_time: SimDuration,
    ecc: u64,
    pcie_replays: u64,
    nvlink_errors: u64,
    xids: BTreeMap<u32, u64>,
}

/// What a phase asks of a device: utilization, share of its power beyond idling, memory.
struct Load {
    busy: f64,
    power: f64,
    memory: f64,
}

impl Load {
    fn of(phase: Option<Phase>) -> Self {
        let (busy, power, memory) = match phase {
            None => (0.0, 0.0, 0.01),
            Some(Phase::Loads) => (0.04, 0.06, 0.4),
            Some(Phase::Steps) => (0.97, 0.79, 0.955),
            Some(Phase::Writes) => (0.01, 0.04, 0.955),
            Some(Phase::Evaluates) => (0.95, 0.74, 0.958),
            Some(Phase::Serves(load)) => (load, 0.15 + 0.6 * load, 0.9),
        };
        Self { busy, power, memory }
    }
}

impl Machine {
    pub(super) fn new(seed: Seed, node: u32, index: u32) -> Self {
        let place = u64::from(node * super::DEVICES_PER_NODE + index);
        let own = |name: &str| seed.at(name, &[place]).normal().clamp(-2.2, 2.2);
        Self {
            identity: DeviceIdentity {
                node: node_name(node),
                index,
                uuid: format!("DEMO-{node}-{index}"),
                model: "DEMO device".to_owned(),
            },
            pace: 1.0 + 0.007 * own("pace"),
            warmth: 2.5 * own("warmth"),
            thirst: 1.0 + 0.02 * own("thirst"),
            seed,
            place,
            memory: 0.01,
            leaked: 0.0,
            heat_time: SimDuration::ZERO,
            brake_time: SimDuration::ZERO,
            cap_time: SimDuration::ZERO,
            ecc: 0,
            pcie_replays: 0,
            nvlink_errors: 0,
            xids: BTreeMap::new(),
        }
    }

    /// Its readings in frame `frame`, `elapsed` seconds after the start, `secs` after the frame before. Its job goes
    /// `slow` times slower than it could, and has it wait.
    pub(super) fn read(
        &mut self,
        slot: Option<&Slot>,
        slow: f64,
        faults: &[FaultKind],
        (frame, elapsed, secs): (u64, f64, f64),
    ) -> DeviceView {
        let (seed, place) = (self.seed, self.place);
        let key = |name: &str| seed.at(name, &[place, frame]);
        let has = |kind| faults.contains(&kind);
        let mut load = Load::of(slot.and_then(|slot| slot.phase));
        let is_large = slot.is_some_and(|slot| slot.places.start == 0);
        if has(FaultKind::Hang) && is_large {
            (load.busy, load.power) = (1.0, 0.3);
        }
        if has(FaultKind::RankDied) {
            load = Load::of(None);
        }
        let speed = faults.iter().map(|fault| fault.speed()).fold(1.0, f64::min);
        // Who waits for a slower one spins, which takes less power than work.
        let waits = 1.0 - 0.5 * (1.0 - 1.0 / (slow * speed)).max(0.0);
        let is_busy = load.busy > 0.3;
        let noise = |name: &str, spread: f64| 1.0 + spread * (2.0 * key(name).uniform() - 1.0);
        let most = if has(FaultKind::PowerCapLowered) {
            500.0
        } else {
            POWER_LIMIT
        };
        let wanted = POWER_IDLE + load.power * (POWER_LIMIT - POWER_IDLE) * waits * self.thirst;
        let power = (wanted * noise("power", 0.04)).min(most);
        let clock = if is_busy {
            self.clock(faults, &key)
        } else {
            CLOCK_IDLE
        };
        let temperature = self.temperature(power, elapsed, faults, &key);
        let throttles = throttles(is_busy, faults, &key);
        self.count(is_busy, faults, secs, &key);
        self.fill(&load, has(FaultKind::MemoryLeak), secs);
        let used = (self.memory + self.leaked) * noise("memory", 0.0015);
        self.hear_events(faults, frame, secs);
        let mut view = DeviceView {
            is_lost: has(FaultKind::DeviceLost),
            is_silent: has(FaultKind::DeviceSilent),
            slowdown_temperature: Some(Celsius(SLOWDOWN)),
            xids: Some(self.xids.clone()),
            ..DeviceView::unknown(self.identity.clone())
        };
        if view.is_lost || view.is_silent {
            return view;
        }
        view.utilization = Some(Ratio::clamped(load.busy * noise("busy", 0.03)));
        view.power = Some(Watts(power));
        view.power_limit = Some(Watts(most));
        view.sm_clock = Some(megahertz(clock));
        view.temperature = Some(Celsius(temperature));
        view.memory_used = Some(Bytes::from_f64(used.min(1.0) * MEMORY.as_f64()));
        view.memory_total = Some(MEMORY);
        view.throttles = Some(throttles);
        view.throttle_time = vec![
            (Throttle::PowerCap, self.cap_time),
            (Throttle::ThermalSoftware, SimDuration::ZERO),
            (Throttle::ThermalHardware, self.heat_time),
            (Throttle::PowerBrake, self.brake_time),
        ];
        view.ecc_uncorrected = Some(self.ecc);
        view.remap_pending = Some(has(FaultKind::RemapPending));
        view.remap_failure = Some(has(FaultKind::RemapFailure));
        view.pcie_replays = Some(self.pcie_replays);
        view.pcie_generation = Some(if is_busy { 5 } else { 1 });
        view.pcie_lanes = Some(if has(FaultKind::PcieWidth) { 8 } else { 16 });
        view.nvlinks_up = Some(NVLINKS - u32::from(has(FaultKind::NvlinkDown)));
        view.nvlink_errors = Some(self.nvlink_errors);
        view.figures = self.figures(faults);
        forget_some(&mut view, &key);
        view
    }

    fn clock(&self, faults: &[FaultKind], key: &impl Fn(&str) -> Key) -> f64 {
        // A clock that changes is read low once in a while.
        let dips = key("dip").uniform() < 0.0005;
        let held = faults.iter().map(|fault| match fault {
            FaultKind::Overheats => 0.6,
            FaultKind::PowerBrake => 0.5,
            FaultKind::ClockStuck => 0.7,
            FaultKind::PowerCapLowered => 0.93,
            _ => 1.0,
        });
        let held = held.fold(if dips { 0.6 } else { 1.0 }, f64::min);
        CLOCK * (1.0 + 0.8 * (self.pace - 1.0)) * held * (1.0 + 0.006 * key("clock").normal())
    }

    fn temperature(&self, power: f64, elapsed: f64, faults: &[FaultKind], key: &impl Fn(&str) -> Key) -> f64 {
        let day = (std::f64::consts::TAU * (elapsed / 86_400.0 - 0.4)).sin();
        // A sensor that jitters: one reading in a thousand is off by up to eight degrees.
        let jitters = key("jitter").uniform() < 0.001;
        let jitter = if jitters {
            16.0 * (key("jitter").with(1).uniform() - 0.5)
        } else {
            0.0
        };
        let calm = 29.0 + 33.0 * power / POWER_LIMIT + self.warmth + 1.5 * day + jitter;
        let more = faults.iter().map(|fault| match fault {
            FaultKind::Overheats => 27.0,
            FaultKind::Hot => 20.0,
            _ => 0.0,
        });
        let hot = calm + more.fold(0.0, f64::max) + 0.8 * key("temperature").normal();
        hot.round()
    }

    fn count(&mut self, is_busy: bool, faults: &[FaultKind], secs: f64, key: &impl Fn(&str) -> Key) {
        let has = |kind| faults.contains(&kind);
        let add = |time: &mut SimDuration, share: f64| *time += SimDuration::from_secs(share * secs);
        if is_busy {
            add(&mut self.cap_time, 0.3 * key("cap").uniform());
        }
        // A rack that is braked for an instant once in a few days.
        let brakes = key("brake").uniform() < secs / 400_000.0;
        add(&mut self.brake_time, if brakes { 0.02 } else { 0.0 });
        add(
            &mut self.brake_time,
            if has(FaultKind::PowerBrake) && is_busy {
                0.9
            } else {
                0.0
            },
        );
        add(
            &mut self.heat_time,
            if has(FaultKind::Overheats) && is_busy {
                0.8
            } else {
                0.0
            },
        );
        let now_and_then = |name: &str, every: f64| u64::from(key(name).uniform() < secs / every);
        self.ecc += if has(FaultKind::EccUncorrectable) {
            now_and_then("ecc", 120.0)
        } else {
            0
        };
        self.pcie_replays += now_and_then("replay", 14_400.0);
        if has(FaultKind::PcieReplays) {
            self.pcie_replays += as_u64(0.5 * secs + key("replays").uniform());
        }
        if has(FaultKind::NvlinkErrors) {
            self.nvlink_errors += as_u64(0.1 * secs + key("nvlink").uniform());
        }
    }

    /// An event every minute, or every frame if frames are further apart.
    fn hear_events(&mut self, faults: &[FaultKind], frame: u64, secs: f64) {
        if frame.is_multiple_of(as_u64(60.0 / secs).max(1)) {
            for fault in faults {
                if let FaultKind::Xid(code) = fault {
                    *self.xids.entry(*code).or_default() += 1;
                }
            }
        }
    }

    /// Memory goes to what the phase wants within a few minutes.
    fn fill(&mut self, load: &Load, leaks: bool, secs: f64) {
        let nearer = 1.0 - (-secs / 90.0).exp();
        self.memory += (load.memory - self.memory) * nearer;
        // Of what is left, so that it shows before it is full.
        self.leaked += if leaks { 0.012 * secs / 3600.0 } else { 0.0 };
        if load.memory < 0.1 {
            self.leaked = 0.0;
        }
    }

    /// What benches of last night measured.
    fn figures(&self, faults: &[FaultKind]) -> Vec<Figure> {
        let slow = if faults.contains(&FaultKind::SlowDevice) {
            0.87
        } else {
            1.0
        };
        let all = if faults.contains(&FaultKind::FleetBelowProfile) {
            0.88
        } else {
            1.0
        };
        [("gemm bf16", 794e12, "FLOP/s"), ("memory copy", 2.96e12, "B/s")]
            .map(|(name, rate, unit)| Figure {
                name: name.to_owned(),
                through: None,
                rate: rate * self.pace * all * if name == "gemm bf16" { slow } else { 1.0 },
                unit: unit.to_owned(),
                profile: Some(rate),
            })
            .into()
    }
}

fn throttles(is_busy: bool, faults: &[FaultKind], key: &impl Fn(&str) -> Key) -> Vec<Throttle> {
    let has = |kind| faults.contains(&kind);
    let mut throttles = Vec::new();
    if !is_busy {
        return throttles;
    }
    if key("capped").uniform() < 0.3 {
        throttles.push(Throttle::PowerCap);
    }
    // The flag of hardware may show while a clock changes.
    if key("changes").uniform() < 0.0007 {
        throttles.push(Throttle::Hardware);
    }
    if has(FaultKind::Overheats) {
        throttles.push(Throttle::ThermalHardware);
    }
    if has(FaultKind::PowerBrake) {
        throttles.push(Throttle::PowerBrake);
    }
    throttles
}

/// One reading in a thousand does not come.
fn forget_some(view: &mut DeviceView, key: &impl Fn(&str) -> Key) {
    let is_gone = |name: &str| key(name).uniform() < 0.001;
    if is_gone("no power") {
        view.power = None;
    }
    if is_gone("no clock") {
        view.sm_clock = None;
    }
    if is_gone("no temperature") {
        view.temperature = None;
    }
    if is_gone("no memory") {
        view.memory_used = None;
    }
}

fn megahertz(clock: f64) -> Hertz {
    Hertz::from_megahertz(u32::try_from(as_u64(clock.round())).unwrap_or(u32::MAX))
}
