//! Lanes of a rank: one a track, and more where operations of a track overlap; and what came before in a track.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Operations of one track that overlap by no more than this share a lane, nanoseconds: older profilers write whole
/// microseconds.
const ROUNDING: u64 = 1_000;

/// The tracks of a rank, filled in order of the starts of operations.
#[derive(Debug)]
pub(super) struct Tracks(Vec<Track>);

#[derive(Clone, Debug, Default)]
struct Track {
    /// When its first lane is free, which is taken whenever it is.
    first_free: Option<u64>,
    /// When its other lanes are free.
    others_free: BinaryHeap<Reverse<(u64, u32)>>,
    /// Operations that have begun, by their end.
    running: BinaryHeap<Reverse<(u64, u32)>>,
    /// The operation that ended last.
    ended: Option<u32>,
}

impl Tracks {
    pub(super) fn new(count: usize) -> Self {
        Self(vec![Track::default(); count])
    }

    /// The lane of the track on which an operation from `start` to `end` runs: 0 for the first.
    pub(super) fn lane(&mut self, track: u32, (start, end): (u64, u64)) -> u32 {
        let track = &mut self.0[track as usize];
        let is_free = |free: u64| free <= start + ROUNDING;
        if track.first_free.is_none_or(is_free) {
            track.first_free = Some(track.first_free.unwrap_or(0).max(end));
            return 0;
        }
        let next = u32::try_from(track.others_free.len() + 1).unwrap_or(u32::MAX);
        let lane = match track.others_free.peek() {
            Some(&Reverse((free, lane))) if is_free(free) => {
                track.others_free.pop();
                track.others_free.push(Reverse((free.max(end), lane)));
                return lane;
            }
            _ => next,
        };
        track.others_free.push(Reverse((end, lane)));
        lane
    }

    /// The last operation of the track to end by `start`, of those that were noted.
    pub(super) fn ended_by(&mut self, track: u32, start: u64) -> Option<u32> {
        let track = &mut self.0[track as usize];
        while let Some(&Reverse((end, operation))) = track.running.peek()
            && end <= start
        {
            track.running.pop();
            track.ended = Some(operation);
        }
        track.ended
    }

    /// Notes that `operation` runs on `track` until `end`.
    pub(super) fn note(&mut self, track: u32, operation: u32, end: u64) {
        self.0[track as usize].running.push(Reverse((end, operation)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// [0, 10 us), [4, 8), [9.5, 12) a rounding error before the end of the first, [20, 21), [20.5, 30).
    #[test]
    fn overlaps_go_to_lanes_of_their_own() {
        let mut tracks = Tracks::new(1);
        let intervals = [
            (0, 10_000),
            (4_000, 8_000),
            (9_500, 12_000),
            (20_000, 22_000),
            (20_500, 30_000),
        ];
        let lanes = intervals.map(|interval| tracks.lane(0, interval));
        assert_eq!(lanes, [0, 1, 0, 0, 1]);
    }

    #[test]
    fn what_ended_last_comes_before() {
        let mut tracks = Tracks::new(1);
        assert_eq!(tracks.ended_by(0, 0), None);
        tracks.note(0, 0, 10);
        tracks.note(0, 1, 3);
        assert_eq!(tracks.ended_by(0, 4), Some(1), "the first one still runs");
        assert_eq!(tracks.ended_by(0, 11), Some(0));
    }
}
