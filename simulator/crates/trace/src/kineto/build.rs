//! Ranks put together by readers of other formats.

use super::collective::Collective;
use super::rank::{Kept, NO_CORRELATION, RankTrace, Role, Said, Track};
use orrery_timeline::OpClass;

/// The longest event that is believed, nanoseconds: an hour.
const LONGEST: u64 = 3_600_000_000_000;

/// What a device did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DeviceWork {
    Kernel,
    Copy,
}

/// A rank that grows event by event; times are nanoseconds.
#[derive(Debug)]
pub(crate) struct RankBuilder(RankTrace);

impl RankBuilder {
    /// A rank of a job of `world_size`, whose times count from `base`.
    pub(crate) fn new(world_size: Option<u32>, base: u64) -> Self {
        let mut trace = RankTrace::default();
        (trace.world_size, trace.base) = (world_size, base);
        Self(trace)
    }

    /// Adds work of a stream of a device.
    pub(crate) fn device(
        &mut self,
        (what, name): (DeviceWork, &str),
        (device, stream): (i64, i64),
        times: (u64, u64),
        (correlation, bytes): (Option<u32>, u64),
    ) {
        let role = match what {
            DeviceWork::Kernel => Role::Kernel,
            DeviceWork::Copy => Role::Copy,
        };
        self.add(
            (role, name),
            Track::Stream { device, stream },
            times,
            (correlation, bytes),
        );
    }

    /// Adds a call of a thread of the host.
    pub(crate) fn call(
        &mut self,
        name: &str,
        (process, thread): (i64, i64),
        times: (u64, u64),
        correlation: Option<u32>,
    ) {
        let track = Track::Thread { process, thread };
        self.add((Role::Runtime, name), track, times, (correlation, 0));
    }

    fn add(
        &mut self,
        (role, name): (Role, &str),
        track: Track,
        (start, end): (u64, u64),
        (correlation, bytes): (Option<u32>, u64),
    ) {
        self.0.events += 1;
        let duration = end.checked_sub(start).filter(|&duration| duration <= LONGEST);
        let start = Some(start).filter(|start| start.checked_add(LONGEST).is_some());
        let (Some(start), Some(duration)) = (start, duration) else {
            self.0.unreadable.0 += 1;
            return;
        };
        let kept = Kept {
            track: self.0.track(track),
            name: self.0.name(name),
            start,
            duration,
            bytes,
            correlation: correlation.unwrap_or(NO_CORRELATION),
            role,
        };
        self.0.kept.push(kept);
    }

    /// Says that what was added last is part of a collective of the group `group` of `size` ranks.
    pub(crate) fn collective(&mut self, name: &str, (group, size): (&str, u64), sequence: u64, bytes: u64) {
        let Some(last) = self.0.kept.len().checked_sub(1) else {
            return;
        };
        let collective = Collective {
            name: self.0.name(name),
            group: self.0.groups.named(group, size),
            sequence: Some(sequence),
            bytes: Some(bytes),
            source: None,
            destination: None,
        };
        self.0
            .collectives
            .push((u32::try_from(last).unwrap_or(u32::MAX), collective));
    }

    /// Says how what was added last counts, and that nobody knows whom it met.
    pub(crate) fn counts_as(&mut self, class: OpClass) {
        let Some(last) = self.0.kept.len().checked_sub(1) else {
            return;
        };
        let said = Said {
            class,
            step: None,
            tag: (0, 0),
        };
        self.0.said.push((u32::try_from(last).unwrap_or(u32::MAX), said));
    }

    /// Notes a mark of a step.
    pub(crate) fn step(&mut self, number: u64, (start, end): (u64, u64)) {
        if let Some(duration) = end.checked_sub(start).filter(|&duration| duration <= LONGEST) {
            self.0.steps.push((number, start, duration));
        }
    }

    /// Names a stream.
    pub(crate) fn name_stream(&mut self, place: (i64, i64), name: String) {
        self.0.lane_names.push((place, name));
    }

    /// Notes what lies apart from any event: names of devices, what the rank may be.
    pub(crate) fn about(&mut self, devices: Vec<String>, guess: Option<u32>) {
        self.0.devices = devices;
        self.0.guess = guess;
    }

    /// The rank.
    pub(crate) fn finish(mut self) -> RankTrace {
        self.0.close(&[]);
        self.0
    }
}
