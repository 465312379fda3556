//! Files of several ranks as one recording.

use std::collections::{BTreeMap, HashMap};

use orrery_timeline::OpClass;
use orrery_units::{Bytes, KindId, LaneId, ProgramId, SimDuration, SimTime};

use crate::{MeetingId, Operation, Program, RecordedLane, RecordedStep, Recording};

use super::meetings::{Matched, Meeting, incomplete, matched};
use super::names::{class, short};
use super::rank::{Collective, RankTrace, Role, Track, bytes_of_element};
use super::waits::Drafts;

/// Clocks that agree this closely are left alone: they are those of one host, or well kept.
const CLOCKS_AGREE: u64 = 100_000;

/// The longest that a recording is, nanoseconds: a day. What lies further from its first event has a broken clock.
const LONGEST_RUN: u64 = 86_400_000_000_000;

/// What joining found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct JoinReport {
    /// Why the files are not all that the job did, if they are not.
    pub incomplete: Option<String>,
    /// Collectives that were matched across ranks.
    pub collectives: usize,
    /// What could not be matched, and why.
    pub refusals: Vec<String>,
    /// How much each rank's clock was turned back, in the order of the ranks; zero where clocks agree.
    pub turned_back: Vec<f64>,
    /// The largest difference between the ends of one collective after that.
    pub residual_skew: SimDuration,
}

/// A recording, and what was found on the way to it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Joined {
    /// What was recorded.
    pub recording: Recording,
    /// What was found.
    pub report: JoinReport,
}

/// Joins the traces of several ranks; those that do not say their rank count in the order given.
#[must_use]
pub fn join(mut ranks: Vec<RankTrace>) -> Joined {
    for (place, rank) in (0_u32..).zip(&mut ranks) {
        rank.rank.get_or_insert(place);
    }
    ranks.sort_by_key(|rank| rank.rank);
    let Matched { meetings, refusals } = matched(&ranks);
    let shifts = shifts(&ranks, &meetings);
    for (rank, &shift) in ranks.iter_mut().zip(&shifts) {
        turn(rank, shift);
    }
    let report = JoinReport {
        incomplete: incomplete(&ranks),
        collectives: meetings.len(),
        refusals,
        turned_back: shifts.iter().map(|&shift| seconds(shift)).collect(),
        residual_skew: SimDuration::from_nanos(skew(&ranks, &meetings).min(LONGEST_RUN)),
    };
    let mut joiner = Joiner::new(&ranks);
    for (place, rank) in ranks.iter().enumerate() {
        joiner.add(rank, &mine(&meetings, place));
    }
    Joined {
        recording: joiner.recording,
        report,
    }
}

#[expect(clippy::cast_precision_loss, reason = "nanoseconds of a clock's error")]
fn seconds(nanos: i64) -> f64 {
    nanos as f64 * 1e-9
}

/// The meeting of each event of the rank at `place`.
fn mine(meetings: &[Meeting], place: usize) -> HashMap<u32, MeetingId> {
    (0..)
        .zip(meetings)
        .flat_map(|(id, meeting)| meeting.iter().map(move |&(rank, event)| (id, rank, event)))
        .filter(|&(_, rank, _)| rank == place)
        .map(|(id, _, event)| (event, id))
        .collect()
}

fn end(ranks: &[RankTrace], (rank, event): (usize, u32)) -> u64 {
    let kept = &ranks[rank].kept[event as usize];
    kept.start + kept.duration
}

/// How far each rank's clock is ahead, nanoseconds: parties of a collective end together.
fn shifts(ranks: &[RankTrace], meetings: &[Meeting]) -> Vec<i64> {
    let mut ahead: Vec<Vec<i64>> = vec![Vec::new(); ranks.len()];
    for meeting in meetings {
        let mut ends: Vec<u64> = meeting.iter().map(|&party| end(ranks, party)).collect();
        ends.sort_unstable();
        let middle = ends[ends.len() / 2];
        for &party in meeting {
            let by = i128::from(end(ranks, party)) - i128::from(middle);
            ahead[party.0].push(i64::try_from(by).unwrap_or(0));
        }
    }
    let median = |mut all: Vec<i64>| {
        all.sort_unstable();
        all.get(all.len() / 2).copied().unwrap_or(0)
    };
    let shifts: Vec<i64> = ahead.into_iter().map(median).collect();
    if shifts.iter().all(|shift| shift.unsigned_abs() <= CLOCKS_AGREE) {
        return vec![0; ranks.len()];
    }
    shifts
}

fn turn(rank: &mut RankTrace, shift: i64) {
    for kept in &mut rank.kept {
        kept.start = kept.start.saturating_add_signed(-shift);
    }
    for (_, start, _) in &mut rank.steps {
        *start = start.saturating_add_signed(-shift);
    }
}

fn skew(ranks: &[RankTrace], meetings: &[Meeting]) -> u64 {
    let spread = |meeting: &Meeting| {
        let ends = || meeting.iter().map(|&party| end(ranks, party));
        ends().max().unwrap_or(0) - ends().min().unwrap_or(0)
    };
    meetings.iter().map(spread).max().unwrap_or(0)
}

/// Puts ranks into a recording, one after the other.
struct Joiner {
    recording: Recording,
    /// The first instant of any rank.
    zero: u64,
    kinds: HashMap<String, KindId>,
}

impl Joiner {
    fn new(ranks: &[RankTrace]) -> Self {
        let of_rank = |rank: &RankTrace| {
            let kept = rank.kept.iter().map(|kept| kept.start);
            kept.chain(rank.steps.iter().map(|step| step.1)).min()
        };
        let zero = ranks.iter().filter_map(of_rank).min().unwrap_or(0);
        let mut joiner = Self {
            recording: Recording::default(),
            zero,
            kinds: HashMap::new(),
        };
        joiner.recording.steps = joiner.steps(ranks);
        joiner
    }

    fn at(&self, nanos: u64) -> SimTime {
        SimTime::ZERO + SimDuration::from_nanos(nanos.saturating_sub(self.zero).min(LONGEST_RUN))
    }

    /// Steps that any rank marks, over all ranks; one over everything where none does.
    fn steps(&self, ranks: &[RankTrace]) -> Vec<RecordedStep> {
        let mut numbers: Vec<u64> = ranks
            .iter()
            .flat_map(|rank| &rank.steps)
            .map(|step| step.0)
            .collect();
        numbers.sort_unstable();
        numbers.dedup();
        numbers.truncate(usize::from(u16::MAX));
        let span = |number: u64, intervals: &mut dyn Iterator<Item = (u64, u64)>| {
            let (start, end) = intervals.fold((u64::MAX, 0), |(start, end), (from, to)| {
                (start.min(from), end.max(to))
            });
            RecordedStep {
                number,
                start: self.at(start),
                end: self.at(end),
            }
        };
        if numbers.is_empty() {
            let mut all = ranks
                .iter()
                .flat_map(|rank| &rank.kept)
                .map(|kept| (kept.start, kept.start + kept.duration));
            return vec![span(0, &mut all)];
        }
        let of = |&number: &u64| {
            let marks = ranks.iter().flat_map(|rank| &rank.steps);
            let mut mine = marks
                .filter(|step| step.0 == number)
                .map(|&(_, start, duration)| (start, start + duration));
            span(number, &mut mine)
        };
        numbers.iter().map(of).collect()
    }

    fn add(&mut self, rank: &RankTrace, meetings: &HashMap<u32, MeetingId>) {
        let program = self.recording.programs.push(Program {
            name: format!("rank {}", rank.rank.unwrap_or(0)),
            ..Program::default()
        });
        let drafts = Drafts::of(rank);
        let about: HashMap<u32, &Collective> = rank
            .collectives
            .iter()
            .map(|(event, about)| (*event, about))
            .collect();
        let annotations = Annotations::of(rank);
        let mut lanes = Lanes::new(program, rank.tracks.len());
        let base = u32::try_from(self.recording.operations.len()).unwrap_or(u32::MAX);
        for draft in &drafts.operations {
            let kept = &rank.kept[draft.event as usize];
            let collective = about.get(&draft.event).copied();
            let name = &rank.names[kept.name as usize];
            let kind = self.kind(name, kept.role, collective, annotations.around(kept.correlation));
            // What a device runs belongs to the step that launched it.
            let launched = annotations.launched(kept.correlation).unwrap_or(draft.start);
            let track = (draft.track, rank.tracks[draft.track as usize]);
            let lane = lanes.lane(&mut self.recording, track, (draft.start, draft.end));
            self.recording.operations.push(Operation {
                lane,
                kind,
                start: self.at(draft.start),
                duration: SimDuration::from_nanos(draft.end - draft.start),
                step: self.step(rank, if draft.is_host { draft.start } else { launched }),
                tag: (0, 0),
                meeting: meetings.get(&draft.event).copied(),
                bytes: Bytes::new(collective.and_then(moved).unwrap_or(kept.bytes)),
            });
        }
        let pairs = drafts
            .after
            .iter()
            .map(|&(one, other)| (base + one, base + other));
        self.recording.after.extend(pairs);
    }

    /// The step in which the rank is at `nanos`; before its first and after its last mark, that one.
    fn step(&self, rank: &RankTrace, nanos: u64) -> u16 {
        let begun = rank
            .steps
            .iter()
            .filter(|step| step.1 <= nanos)
            .max_by_key(|step| step.1);
        let Some(begun) = begun.or_else(|| rank.steps.iter().min_by_key(|step| step.1)) else {
            return 0;
        };
        let place = self
            .recording
            .steps
            .iter()
            .position(|step| step.number == begun.0);
        place.and_then(|place| u16::try_from(place).ok()).unwrap_or(0)
    }

    fn kind(
        &mut self,
        name: &str,
        role: Role,
        collective: Option<&Collective>,
        annotation: Option<&str>,
    ) -> KindId {
        let class = match role {
            Role::Kernel => class(name, collective, annotation),
            Role::Copy => OpClass::Other,
            Role::Runtime | Role::Annotation => OpClass::Host,
        };
        let plain = short(name);
        let shown = if class.is_communication() {
            format!("{plain} ({})", class.name())
        } else {
            plain
        };
        if let Some(&known) = self.kinds.get(&shown) {
            return known;
        }
        let kind = self.recording.kinds.intern(&shown, class);
        self.kinds.insert(shown, kind);
        kind
    }
}

/// Bytes that a rank gave to a collective or got of it, whichever is more.
fn moved(collective: &Collective) -> Option<u64> {
    let element = bytes_of_element(collective.dtype.as_deref()?)?;
    let elements = collective.elements_in.max(collective.elements_out)?;
    elements.checked_mul(element)
}

/// When each launch began, and which mark of the framework's communication it lies in.
struct Annotations<'t> {
    launches: HashMap<u32, (u32, u64)>,
    /// By thread: (start, end, name), in order.
    marks: BTreeMap<u32, Vec<(u64, u64, &'t str)>>,
}

impl<'t> Annotations<'t> {
    fn of(rank: &'t RankTrace) -> Self {
        let mut launches = HashMap::new();
        let mut marks: BTreeMap<u32, Vec<(u64, u64, &str)>> = BTreeMap::new();
        for kept in &rank.kept {
            match kept.role {
                Role::Runtime => {
                    launches
                        .entry(kept.correlation)
                        .or_insert((kept.track, kept.start));
                }
                Role::Annotation => marks.entry(kept.track).or_default().push((
                    kept.start,
                    kept.start + kept.duration,
                    rank.names[kept.name as usize].as_str(),
                )),
                Role::Kernel | Role::Copy => {}
            }
        }
        for marks in marks.values_mut() {
            marks.sort_unstable();
        }
        launches.remove(&super::rank::NO_CORRELATION);
        Self { launches, marks }
    }

    fn launched(&self, correlation: u32) -> Option<u64> {
        self.launches.get(&correlation).map(|launch| launch.1)
    }

    fn around(&self, correlation: u32) -> Option<&'t str> {
        let (track, start) = self.launches.get(&correlation)?;
        let marks = self.marks.get(track)?;
        let before = marks[..marks.partition_point(|mark| mark.0 <= *start)].last()?;
        (before.1 >= *start).then_some(before.2)
    }
}

/// Lanes of a rank: one a track, and more where operations of a track overlap.
struct Lanes {
    program: ProgramId,
    /// By track: (lane, end of its last operation).
    of: Vec<Vec<(LaneId, u64)>>,
}

impl Lanes {
    fn new(program: ProgramId, tracks: usize) -> Self {
        Self {
            program,
            of: vec![Vec::new(); tracks],
        }
    }

    fn lane(
        &mut self,
        recording: &mut Recording,
        (place, track): (u32, Track),
        (start, end): (u64, u64),
    ) -> LaneId {
        let lanes = &mut self.of[place as usize];
        if let Some((lane, last)) = lanes.iter_mut().find(|(_, last)| *last <= start) {
            *last = end;
            return *lane;
        }
        let name = match track {
            Track::Stream { stream, .. } => format!("stream {stream}"),
            Track::Thread(thread) => format!("thread {thread}"),
        };
        let name = if lanes.is_empty() {
            name
        } else {
            format!("{name} ({})", lanes.len() + 1)
        };
        let lane = recording.lanes.push(RecordedLane {
            program: self.program,
            name,
            is_host: matches!(track, Track::Thread(_)),
        });
        lanes.push((lane, end));
        lane
    }
}
