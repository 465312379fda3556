//! What operations of one rank waited for, as far as times and launches tell.
//!
//! A device runs what was launched, after what lies ahead of it in its stream; a host that synchronises waits for the
//! device; the threads of a Python program hand over to each other, for one of them runs at a time. Waits of one stream
//! for another are not recorded: they are taken where an operation begins within [`HANDS_OVER`] of the end of one in
//! another stream and nothing else held it (assumption).

use std::collections::HashMap;

use super::lanes::Tracks;
use super::rank::{Kept, NO_CORRELATION, RankTrace, Role};

/// The longest that a stream takes to go on after another one's event, nanoseconds.
const HANDS_OVER: u64 = 20_000;
/// How far back a search for the last operation that ended looks.
const LOOK_BACK: usize = 64;

/// An operation of one rank on its way into a recording.
#[derive(Clone, Copy, Debug)]
pub(super) struct Draft {
    /// Its event in the file.
    pub(super) event: u32,
    pub(super) track: u32,
    /// Which lane of the track, for operations of one track may overlap.
    pub(super) lane: u32,
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) is_host: bool,
    is_copy: bool,
    correlation: u32,
    /// Whether the host waits in it for a device.
    synchronises: bool,
    /// When the call returned, wherever its own work ended.
    returned: u64,
}

/// Operations of a rank in order, and pairs of them (one, what it waits for).
#[derive(Clone, Debug, Default)]
pub(super) struct Drafts {
    pub(super) operations: Vec<Draft>,
    pub(super) after: Vec<(u32, u32)>,
}

impl Drafts {
    pub(super) fn of(rank: &RankTrace) -> Self {
        let mut operations: Vec<Draft> = (0_u32..)
            .zip(&rank.kept)
            .filter(|(_, kept)| kept.role != Role::Annotation)
            .map(|(event, kept)| draft(event, kept, &rank.names[kept.name as usize]))
            .collect();
        sort(&mut operations);
        return_early(&mut operations);
        wait_for_devices(&mut operations);
        sort(&mut operations);
        let mut drafts = Self {
            operations,
            after: Vec::new(),
        };
        drafts.find_waits(rank.tracks.len());
        drafts
    }

    fn find_waits(&mut self, tracks: usize) {
        let mut tracks = Tracks::new(tracks);
        let mut last_of_lane: HashMap<(u32, u32), u32> = HashMap::new();
        let launches = launches(&self.operations);
        let devices = ByEnd::of(&self.operations, |draft| !draft.is_host);
        let hosts = ByEnd::of(&self.operations, |draft| draft.is_host);
        let mut last: HashMap<u32, u32> = HashMap::new();
        for at in 0..count(self.operations.len()) {
            let draft = &mut self.operations[at as usize];
            draft.lane = tracks.lane(draft.track, (draft.start, draft.end));
            let draft = *draft;
            let before = last.insert(draft.track, at);
            let before_in_lane = last_of_lane.insert((draft.track, draft.lane), at);
            // A stream keeps the order of its program where kernels overlap as well, and take other lanes.
            let before_in_track = tracks.ended_by(draft.track, draft.start);
            tracks.note(draft.track, at, draft.end);
            self.add(at, before_in_track.filter(|_| before_in_track != before_in_lane));
            let end = |before: Option<u32>| before.map_or(0, |before| self.operations[before as usize].end);
            let free = end(before_in_lane).max(end(before_in_track));
            if draft.is_host {
                let wait = hosts.latest(&self.operations, (free, draft.start), |other, _| {
                    other < at && self.operations[other as usize].track != draft.track
                });
                self.add(at, wait);
                if draft.synchronises {
                    let wait = devices.latest(&self.operations, (free, draft.start), |other, _| other < at);
                    self.add(at, wait);
                } else if let Some(copy) =
                    before.and_then(|before| blocking(&self.operations, before, &launches))
                {
                    self.add(at, Some(copy).filter(|&copy| copy < at));
                }
                continue;
            }
            let launch = launches
                .host
                .get(&draft.correlation)
                .copied()
                .filter(|&launch| launch < at);
            self.add(at, launch);
            let launched = launch.map_or(0, |launch| self.operations[launch as usize].end);
            let ready = free.max(launched);
            let wait = devices.latest(&self.operations, (ready, draft.start), |other, end| {
                other < at
                    && self.operations[other as usize].track != draft.track
                    && draft.start - end <= HANDS_OVER
            });
            self.add(at, wait);
        }
    }

    fn add(&mut self, operation: u32, wait: Option<u32>) {
        if let Some(wait) = wait {
            self.after.push((operation, wait));
        }
    }
}

fn draft(event: u32, kept: &Kept, name: &str) -> Draft {
    Draft {
        event,
        track: kept.track,
        lane: 0,
        start: kept.start,
        end: kept.start + kept.duration,
        is_host: kept.role == Role::Runtime,
        is_copy: kept.role == Role::Copy,
        correlation: kept.correlation,
        synchronises: kept.role == Role::Runtime && name.contains("Synchronize"),
        returned: kept.start + kept.duration,
    }
}

fn sort(operations: &mut [Draft]) {
    operations.sort_by_key(|draft| (draft.start, draft.end, draft.event));
}

fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

/// Host and device operations by the number that joins a launch to what it launched.
struct Launches {
    host: HashMap<u32, u32>,
    device: HashMap<u32, u32>,
}

fn launches(operations: &[Draft]) -> Launches {
    let mut launches = Launches {
        host: HashMap::new(),
        device: HashMap::new(),
    };
    for (at, draft) in (0_u32..).zip(operations) {
        if draft.correlation != NO_CORRELATION {
            let side = if draft.is_host {
                &mut launches.host
            } else {
                &mut launches.device
            };
            side.entry(draft.correlation).or_insert(at);
        }
    }
    launches
}

/// What was launched may begin before the call that launched it returns: the launch ends there, the rest is host time.
fn return_early(operations: &mut [Draft]) {
    let launches = launches(operations);
    for at in 0..operations.len() {
        let draft = operations[at];
        let launch = launches.host.get(&draft.correlation);
        if let Some(&launch) = launch.filter(|_| !draft.is_host && draft.correlation != NO_CORRELATION) {
            let host = &mut operations[launch as usize];
            host.end = host.end.min(draft.start.max(host.start));
        }
    }
}

/// A host that synchronises waits until the last operation has ended that ended meanwhile; only the rest is its own time.
fn wait_for_devices(operations: &mut [Draft]) {
    let devices = ByEnd::of(operations, |draft| !draft.is_host);
    for at in 0..operations.len() {
        let draft = operations[at];
        if !draft.synchronises {
            continue;
        }
        let launched = |other: u32, _: u64| operations[other as usize].start < draft.end;
        if let Some(last) = devices.latest(operations, (draft.start, draft.end), launched) {
            operations[at].start = operations[last as usize].end;
        }
    }
}

/// The copy that the call at `host` launched and waited for, if it did: a copy from pageable memory ends before the call.
fn blocking(operations: &[Draft], host: u32, launches: &Launches) -> Option<u32> {
    let call = operations[host as usize];
    let copy = *launches
        .device
        .get(&call.correlation)
        .filter(|_| call.correlation != NO_CORRELATION)?;
    let mine = &operations[copy as usize];
    (mine.is_copy && call.returned >= mine.end).then_some(copy)
}

/// Operations in order of their end.
struct ByEnd(Vec<(u64, u32)>);

impl ByEnd {
    fn of(operations: &[Draft], of: impl Fn(&Draft) -> bool) -> Self {
        let mut ends: Vec<(u64, u32)> = (0_u32..)
            .zip(operations)
            .filter(|(_, draft)| of(draft))
            .map(|(at, draft)| (draft.end, at))
            .collect();
        ends.sort_unstable();
        Self(ends)
    }

    /// The last operation to end after `after` and no later than `until` that `fits`.
    fn latest(
        &self,
        operations: &[Draft],
        (after, until): (u64, u64),
        fits: impl Fn(u32, u64) -> bool,
    ) -> Option<u32> {
        let to = self.0.partition_point(|&(end, _)| end <= until);
        self.0[..to]
            .iter()
            .rev()
            .take(LOOK_BACK)
            .take_while(|&&(end, _)| end > after)
            .find(|&&(end, at)| fits(at, end) && operations[at as usize].end == end)
            .map(|&(_, at)| at)
    }
}

#[cfg(test)]
mod tests {
    use super::super::rank::read;
    use super::*;

    fn event(cat: &str, name: &str, (track, start, duration): (u32, u32, u32), correlation: u32) -> String {
        format!(
            r#"{{"ph": "X", "cat": "{cat}", "name": "{name}", "pid": 1, "tid": {track}, "ts": {start}, "dur": {duration},
            "args": {{"device": 0, "stream": {track}, "correlation": {correlation}}}}}"#
        )
    }

    fn drafts(events: &[String]) -> Drafts {
        let text = format!("{{\"traceEvents\": [{}]}}", events.join(","));
        Drafts::of(&read(text.as_bytes()).expect("a trace"))
    }

    /// A launch of 10 us whose kernel begins after 6; a second stream takes over 5 us after the kernel's end; the host
    /// synchronises from 20 us on until 40 and returns at 42.
    #[test]
    fn a_host_and_two_streams() {
        let drafts = drafts(&[
            event("cuda_runtime", "cudaLaunchKernel", (100, 0, 10), 1),
            event("cuda_runtime", "cudaLaunchKernel", (100, 10, 4), 2),
            event("cuda_runtime", "cudaDeviceSynchronize", (100, 20, 22), 3),
            event("kernel", "gemm", (7, 6, 14), 1),
            event("kernel", "nccl", (9, 25, 15), 2),
        ]);
        let shape: Vec<(u64, u64)> = drafts
            .operations
            .iter()
            .map(|draft| (draft.start, draft.end))
            .collect();
        let micros = |pairs: &[(u64, u64)]| -> Vec<(u64, u64)> {
            pairs.iter().map(|&(from, to)| (from * 1000, to * 1000)).collect()
        };
        assert_eq!(shape, micros(&[(0, 6), (6, 20), (10, 14), (25, 40), (40, 42)]));
        // The kernel waits for its launch, the second one for its launch and the first stream, the host for the device.
        assert_eq!(drafts.after, [(1, 0), (3, 2), (3, 1), (4, 3)]);
    }

    /// A kernel that is over before the call that launched it returns is no copy that the host waited for.
    #[test]
    fn a_short_kernel_holds_no_host() {
        let events = |cat: &str| {
            drafts(&[
                event("cuda_runtime", "cudaLaunchKernel", (100, 0, 10), 1),
                event("cuda_runtime", "cudaLaunchKernel", (100, 12, 4), 2),
                event(cat, "short", (7, 6, 2), 1),
            ])
            .after
        };
        assert_eq!(
            events("kernel"),
            [(1, 0)],
            "it waits for its launch, and nobody for it"
        );
        assert_eq!(events("gpu_memcpy"), [(1, 0), (2, 1)], "a copy is waited for");
    }

    /// Kernel b overlaps a and has a lane of its own; c, also there, still follows d, which ended last.
    #[test]
    fn a_stream_keeps_its_order_across_lanes() {
        let drafts = drafts(&[
            event("kernel", "a", (7, 0, 10), 1),
            event("kernel", "b", (7, 5, 10), 2),
            event("kernel", "d", (7, 20, 10), 3),
            event("kernel", "e", (7, 25, 10), 4),
            event("kernel", "c", (7, 34, 2), 5),
        ]);
        let lanes: Vec<u32> = drafts.operations.iter().map(|draft| draft.lane).collect();
        assert_eq!(lanes, [0, 1, 0, 1, 0]);
        // d follows b of the other lane, e does too in its own, and c follows d in its own.
        assert_eq!(drafts.after, [(2, 1)]);
    }

    /// Thread 200 runs while thread 100 does not, and hands back to it.
    #[test]
    fn threads_hand_over_to_each_other() {
        let drafts = drafts(&[
            event("cuda_runtime", "a", (100, 0, 10), 1),
            event("cuda_runtime", "b", (200, 12, 10), 2),
            event("cuda_runtime", "c", (100, 30, 10), 3),
        ]);
        assert_eq!(drafts.after, [(1, 0), (2, 1)]);
    }
}
