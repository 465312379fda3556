//! Files of several ranks as one recording.

use std::collections::{BTreeMap, HashMap};

use orrery_timeline::OpClass;
use orrery_units::{Bytes, IndexVec, KindId, LaneId, ProgramId, SimDuration, SimTime};

use crate::{Alike, MeetingId, Operation, Program, RecordedLane, Recording};

use super::clocks::{self, align, skew};
use super::loads::{ExchangeLoad, Loads, Splits};
use super::meetings::{Meeting, incomplete, matched};
use super::names::{About, class, short};
use super::rank::{RankTrace, Role, Track};
use super::steps::Steps;
use super::waits::Drafts;

/// What joining found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct JoinReport {
    /// Why the files are not all that the job did, if they are not.
    pub incomplete: Option<String>,
    /// Collectives that were matched across ranks.
    pub collectives: usize,
    /// What could not be matched, and why.
    pub refusals: Vec<String>,
    /// What else was left out or laid elsewhere, and why.
    pub notes: Vec<String>,
    /// How far each rank's clock was ahead of that of the first one it is tied to, seconds, in the order of the ranks;
    /// zero where clocks were left alone.
    pub ahead: Vec<f64>,
    /// The largest difference between the ends of one collective after that.
    pub residual_skew: SimDuration,
}

impl JoinReport {
    /// Whether the ends of every collective lie as closely together as those of clocks that agree.
    #[must_use]
    pub fn clocks_agree(&self) -> bool {
        self.residual_skew <= SimDuration::from_nanos(clocks::CLOCKS_AGREE)
    }
}

/// A recording, and what was found on the way to it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Joined {
    /// What was recorded.
    pub recording: Recording,
    /// What was found.
    pub report: JoinReport,
    /// Loads of experts, where exchanges say their sizes.
    pub loads: Vec<ExchangeLoad>,
}

/// Joins the traces of several ranks; those that do not say their rank count in the order given.
#[must_use]
pub fn join(mut ranks: Vec<RankTrace>) -> Joined {
    for (place, rank) in (0_u32..).zip(&mut ranks) {
        rank.rank.get_or_insert(place);
    }
    ranks.sort_by_key(|rank| rank.rank);
    let incomplete = incomplete(&ranks);
    let mut notes = Vec::new();
    let far = clocks::to_one_base(&mut ranks);
    if far > 0 {
        notes.push(format!(
            "{far} events lie more than a day from the others of their rank and are left out"
        ));
    }
    let mut matched = matched(&ranks);
    let clocks = align(&mut ranks, &matched.meetings);
    for rank in &clocks.untied {
        notes.push(format!(
            "rank {rank} lies more than a day from the first one and meets none that is tied to it: the middles of their \
             events are laid over each other"
        ));
    }
    matched.drop_apart(&ranks);
    let (steps, note) = Steps::of(&ranks);
    notes.extend(note);
    let report = JoinReport {
        incomplete,
        collectives: matched.meetings.len(),
        refusals: matched.refusals.lines(),
        notes,
        ahead: clocks.ahead.iter().map(|&ahead| seconds(ahead)).collect(),
        residual_skew: SimDuration::from_nanos(skew(&ranks, &matched.meetings)),
    };
    let mut joiner = Joiner::new(&ranks, steps);
    let meetings = of_ranks(&matched.meetings, ranks.len());
    // Each rank is let go once it is in the recording: both at once would be twice the memory.
    for (rank, meetings) in ranks.into_iter().zip(meetings) {
        joiner.add(&rank, &meetings);
    }
    joiner.recording.bound_steps();
    let steps = &joiner.recording.steps;
    let number = |place: u16| steps.get(usize::from(place)).map(|step| step.number);
    Joined {
        loads: joiner.loads.finish(number),
        recording: joiner.recording,
        report,
    }
}

#[expect(clippy::cast_precision_loss, reason = "nanoseconds of a clock's error")]
fn seconds(nanos: i64) -> f64 {
    nanos as f64 * 1e-9
}

/// The meetings of each of `count` ranks, by event.
fn of_ranks(meetings: &[Meeting], count: usize) -> Vec<HashMap<u32, MeetingId>> {
    let mut all = vec![HashMap::new(); count];
    for (id, meeting) in (0..).zip(meetings) {
        for &(rank, event) in meeting {
            all[rank].insert(event, id);
        }
    }
    all
}

/// Puts ranks into a recording, one after the other.
struct Joiner {
    recording: Recording,
    steps: Steps,
    /// The first instant of any rank.
    zero: u64,
    kinds: HashMap<String, KindId>,
    loads: Loads,
}

impl Joiner {
    fn new(ranks: &[RankTrace], steps: Steps) -> Self {
        let starts = ranks.iter().flat_map(|rank| &rank.kept).map(|kept| kept.start);
        Self {
            zero: starts.min().unwrap_or(0),
            recording: Recording {
                steps: steps.recorded(),
                alike: Alike::Place,
                ..Recording::default()
            },
            steps,
            kinds: HashMap::new(),
            loads: Loads::default(),
        }
    }

    fn at(&self, nanos: u64) -> SimTime {
        SimTime::ZERO + SimDuration::from_nanos(nanos.saturating_sub(self.zero))
    }

    fn add(&mut self, rank: &RankTrace, meetings: &HashMap<u32, MeetingId>) {
        let program = self.recording.programs.push(Program {
            name: format!("rank {}", rank.rank.unwrap_or(0)),
            ..Program::default()
        });
        let drafts = Drafts::of(rank);
        let annotations = Annotations::of(rank);
        let steps = std::mem::take(&mut self.steps);
        let marks = steps.marks(rank);
        let mut lanes = Lanes::new(program, rank);
        let mut kinds: HashMap<KindKey<'_>, KindId> = HashMap::new();
        let mut exchanges: BTreeMap<(u32, u16), Vec<(KindId, &Splits)>> = BTreeMap::new();
        let base = u32::try_from(self.recording.operations.len()).unwrap_or(u32::MAX);
        for draft in &drafts.operations {
            let kept = &rank.kept[draft.event as usize];
            let about = match kept.role {
                Role::Kernel => rank.collective(draft.event),
                Role::Copy | Role::Runtime | Role::Annotation => None,
            };
            let annotation = match kept.role {
                Role::Kernel => annotations.around(kept.correlation),
                Role::Copy | Role::Runtime | Role::Annotation => None,
            };
            let said = rank.said(draft.event);
            let key = KindKey {
                name: kept.name,
                role: kept.role,
                about: about.map(|about| (about.name, about.group)),
                annotation,
                said: said.map(|said| said.class),
            };
            let kind = *kinds.entry(key).or_insert_with(|| self.kind(rank, key));
            // What a device runs belongs to the step that launched it.
            let launched = annotations.launched(kept.correlation).filter(|_| !draft.is_host);
            let step = match said.and_then(|said| said.step) {
                Some(number) => marks.of(number),
                None => marks.at(launched.unwrap_or(draft.start)),
            };
            if let (Some(about), Some(splits)) = (about, rank.splits(draft.event)) {
                let of_group = exchanges.entry((about.group, step)).or_default();
                of_group.push((kind, splits));
            }
            self.recording.operations.push(Operation {
                lane: lanes.lane(&mut self.recording.lanes, (draft.track, draft.lane)),
                kind,
                start: self.at(draft.start),
                duration: SimDuration::from_nanos(draft.end - draft.start),
                step,
                tag: said.map_or((0, 0), |said| said.tag),
                meeting: meetings.get(&draft.event).copied(),
                bytes: Bytes::new(about.and_then(|about| about.bytes).unwrap_or(kept.bytes)),
            });
        }
        let pairs = drafts
            .after
            .iter()
            .map(|&(one, other)| (base + one, base + other));
        self.recording.after.extend(pairs);
        self.steps = steps;
        self.load(rank, exchanges);
    }

    /// Adds what the exchanges of experts of a rank say of their load, by group and step.
    fn load(&mut self, rank: &RankTrace, exchanges: BTreeMap<(u32, u16), Vec<(KindId, &Splits)>>) {
        for ((group, step), exchanges) in exchanges {
            let group = &rank.groups.all[group as usize];
            let name = group.description.as_ref().or(group.name.as_ref());
            let of_experts = |kind: KindId| {
                matches!(
                    self.recording.kinds.kind(kind).class,
                    OpClass::Dispatch | OpClass::Combine
                )
            };
            let splits: Vec<&Splits> = exchanges
                .into_iter()
                .filter(|&(kind, _)| of_experts(kind))
                .map(|(_, splits)| splits)
                .collect();
            self.loads.add(name.map_or("", String::as_str), step, &splits);
        }
    }

    /// The kind of what has these in common.
    fn kind(&mut self, rank: &RankTrace, key: KindKey<'_>) -> KindId {
        let name = rank.names[key.name as usize].as_str();
        let about = key.about.map(|(name, group)| About {
            name: &rank.names[name as usize],
            group: rank.groups.all[group as usize]
                .description
                .as_deref()
                .unwrap_or(""),
        });
        let class = match (key.said, key.role) {
            (Some(class), _) => class,
            (None, Role::Kernel) => class(name, about, key.annotation),
            (None, Role::Copy) => OpClass::Other,
            (None, Role::Runtime | Role::Annotation) => OpClass::Host,
        };
        let shown = if key.said.is_some() {
            name.to_owned()
        } else if class.is_communication() {
            format!("{} ({})", short(name), class.name())
        } else {
            short(name)
        };
        if let Some(&known) = self.kinds.get(&shown) {
            return known;
        }
        let kind = self.recording.kinds.intern(&shown, class);
        self.kinds.insert(shown, kind);
        kind
    }
}

/// What decides the kind of an operation of a rank.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct KindKey<'t> {
    name: u32,
    role: Role,
    /// The name of its collective and its process group.
    about: Option<(u32, u32)>,
    /// The mark of the framework that it was launched in.
    annotation: Option<&'t str>,
    /// The class that it says itself.
    said: Option<OpClass>,
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

/// Lanes of a rank in the recording.
struct Lanes<'t> {
    program: ProgramId,
    rank: &'t RankTrace,
    /// By track and lane of the track.
    of: Vec<Vec<LaneId>>,
    many_devices: bool,
    many_processes: bool,
}

impl<'t> Lanes<'t> {
    fn new(program: ProgramId, rank: &'t RankTrace) -> Self {
        let many = |of: fn(&Track) -> Option<i64>| {
            let mut all: Vec<i64> = rank.tracks.iter().filter_map(of).collect();
            all.sort_unstable();
            all.dedup();
            all.len() > 1
        };
        Self {
            program,
            rank,
            of: vec![Vec::new(); rank.tracks.len()],
            many_devices: many(|track| match *track {
                Track::Stream { device, .. } => Some(device),
                Track::Thread { .. } => None,
            }),
            many_processes: many(|track| match *track {
                Track::Thread { process, .. } => Some(process),
                Track::Stream { .. } => None,
            }),
        }
    }

    fn lane(&mut self, lanes: &mut IndexVec<LaneId, RecordedLane>, (track, lane): (u32, u32)) -> LaneId {
        while self.of[track as usize].len() <= lane as usize {
            let added = RecordedLane {
                program: self.program,
                name: self.name(track),
                is_host: matches!(self.rank.tracks[track as usize], Track::Thread { .. }),
            };
            self.of[track as usize].push(lanes.push(added));
        }
        self.of[track as usize][lane as usize]
    }

    /// The name of the next lane of `track`.
    fn name(&self, track: u32) -> String {
        let label = |number: i64| self.rank.label(number);
        let track_of = self.rank.tracks[track as usize];
        let given = match track_of {
            Track::Stream { device, stream } => {
                let mut names = self.rank.lane_names.iter();
                names.find(|(place, _)| *place == (device, stream))
            }
            Track::Thread { .. } => None,
        };
        let name = match track_of {
            _ if let Some((_, name)) = given => name.clone(),
            Track::Stream { device, stream } if self.many_devices => {
                format!("device {} stream {}", label(device), label(stream))
            }
            Track::Stream { stream, .. } => format!("stream {}", label(stream)),
            Track::Thread { process, thread } if self.many_processes => {
                format!("process {} thread {}", label(process), label(thread))
            }
            Track::Thread { thread, .. } => format!("thread {}", label(thread)),
        };
        match self.of[track as usize].len() {
            0 => name,
            more => format!("{name} ({})", more + 1),
        }
    }
}
