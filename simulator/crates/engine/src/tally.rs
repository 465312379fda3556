//! Totals while they grow.
//!
//! Counting a task is the commonest write of a run, so cells lie flat: of a step, those of each lane together, one
//! cache line each. Which slot a kind has is decided once for all lanes of one name, which have as many as they need: cells
//! that nothing is counted in would only hold those apart that something is. A run goes from rank to rank,
//! so that nearly every cell is far away when it is needed: what happened is written down in order and counted
//! later, many at a time, when the processor can fetch several cells at once.

use orrery_taskgraph::{Resources, Work};
use orrery_timeline::{Cell, ProgramTotals, StepTotals, Totals};
use orrery_units::{Bytes, Flops, IndexVec, KindId, LaneId, PathId, ProgramId, SimDuration, SimTime};

use crate::fetch::{send_for, take_each};
use crate::record::Slot;

/// Slots of a lane before anything is known of its kinds: as many as most lanes need.
const FEW_SLOTS: u32 = 4;

/// Entries that are written down before they are counted: as many as stay near the processor.
const WRITTEN: usize = 1024;

/// The counting recorder: complete whatever is recorded for eyes.
#[derive(Debug)]
pub(crate) struct Tally {
    steps: Vec<Step>,
    num_lanes: usize,
    num_programs: usize,
    /// Where in a step the cells of each lane begin, and where those of the last one end.
    first: Vec<u32>,
    /// The class of each lane: lanes of one name see the same kinds.
    class: IndexVec<LaneId, u8>,
    classes: Vec<Class>,
    pub(crate) tasks: u64,
    /// Bytes that flows over each path moved.
    paths: IndexVec<PathId, Bytes>,
    /// Completions that are not counted yet, in order.
    completions: Vec<Completion>,
    /// Gaps that are not counted yet, in order.
    gaps: Vec<Gap>,
}

/// The cells of a lane.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    pub(crate) lane: LaneId,
    /// The class of the lane.
    pub(crate) class: u8,
}

/// A cell of a step.
#[derive(Clone, Copy, Debug)]
struct Place {
    lane: LaneId,
    slot: u8,
}

/// A task that completed.
#[derive(Clone, Copy, Debug)]
struct Completion {
    step: u16,
    program: ProgramId,
    cell: Place,
    times: u32,
    busy: SimDuration,
    alone: SimDuration,
    waited: SimDuration,
    flops: Flops,
    bytes: Bytes,
    at: SimTime,
}

/// A lane that was idle.
#[derive(Clone, Copy, Debug)]
struct Gap {
    step: u16,
    cell: Place,
    /// Whether the task that released it was running.
    running: bool,
    span: SimDuration,
}

/// What lanes of one name have in common.
#[derive(Debug, Default)]
struct Class {
    name: &'static str,
    /// Slots that its lanes have.
    slots: u32,
    /// Kinds in order of first appearance: kind of each slot.
    kinds: Vec<KindId>,
    /// Slot of each kind, by number.
    slot_of: Vec<Option<u8>>,
}

/// A cell on a cache line of its own.
#[derive(Clone, Copy, Debug, Default)]
#[repr(align(64))]
struct Line(Cell);

#[derive(Debug)]
struct Step {
    end: SimTime,
    /// Cells by lane and slot.
    cells: Vec<Line>,
    idle_host: Vec<SimDuration>,
    programs: IndexVec<ProgramId, ProgramTotals>,
    evidence: [SimDuration; 4],
}

impl Step {
    fn count(&mut self, done: &Completion, place: usize) {
        let of_program = &mut self.programs[done.program];
        of_program.end = done.at;
        of_program.tasks += 1;
        let cell = &mut self.cells[place].0;
        let times = u64::from(done.times);
        cell.count += times;
        cell.busy += done.busy;
        cell.alone += done.alone;
        cell.waited += done.waited;
        cell.flops += done.flops * f64::from(done.times);
        cell.bytes += done.bytes * times;
    }
}

/// Why a lane was idle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Idle {
    /// The host had not issued, or nothing had been emitted.
    Host,
    /// A task of this kind had not all its parties.
    Waiting(KindId),
    /// A task of this kind was running.
    Running(KindId),
}

impl Tally {
    pub(crate) fn new(resources: &Resources) -> Self {
        let mut classes: Vec<Class> = Vec::new();
        let mut class_of = |name: &'static str| {
            classes
                .iter()
                .position(|class| class.name == name)
                .unwrap_or_else(|| {
                    classes.push(Class {
                        name,
                        slots: FEW_SLOTS,
                        ..Class::default()
                    });
                    classes.len() - 1
                })
        };
        let class_of = |name| u8::try_from(class_of(name)).expect("lanes have at most 256 names");
        let class: IndexVec<LaneId, u8> = resources
            .lanes
            .iter()
            .map(|lane| lane.name)
            .map(class_of)
            .collect();
        Self {
            steps: Vec::new(),
            num_lanes: resources.lanes.len(),
            num_programs: resources.programs.len(),
            first: first_cells(&class, &classes),
            class,
            classes,
            tasks: 0,
            paths: IndexVec::filled(Bytes::ZERO, resources.paths.len()),
            completions: Vec::with_capacity(WRITTEN),
            gaps: Vec::with_capacity(WRITTEN),
        }
    }

    #[inline]
    fn step(&mut self, step: u16) -> &mut Step {
        let step = usize::from(step);
        while self.steps.len() <= step {
            self.steps.push(Step {
                end: SimTime::ZERO,
                cells: vec![Line::default(); self.first[self.num_lanes] as usize],
                idle_host: vec![SimDuration::ZERO; self.num_lanes],
                programs: IndexVec::filled(ProgramTotals::default(), self.num_programs),
                evidence: [SimDuration::ZERO; 4],
            });
        }
        &mut self.steps[step]
    }

    /// The cell of `kind` on a lane.
    #[inline]
    fn place(&mut self, row: Row, kind: KindId) -> Place {
        let class = &self.classes[usize::from(row.class)];
        let slot = match class.slot_of.get(kind.index()) {
            Some(&Some(slot)) => slot,
            _ => self.add_slot(row, kind),
        };
        Place { lane: row.lane, slot }
    }

    /// Gives `kind` a slot on all lanes of the name of that of `row`.
    #[cold]
    fn add_slot(&mut self, row: Row, kind: KindId) -> u8 {
        let class = &mut self.classes[usize::from(row.class)];
        let slot = class.kinds.len();
        class.kinds.push(kind);
        if class.slot_of.len() <= kind.index() {
            class.slot_of.resize(kind.index() + 1, None);
        }
        let number = u8::try_from(slot).expect("a lane sees at most 256 kinds");
        class.slot_of[kind.index()] = Some(number);
        if slot == class.slots as usize {
            class.slots *= 2;
            self.spread();
        }
        number
    }

    /// Lays the cells of every step out for the slots that lanes have now.
    fn spread(&mut self) {
        let first = first_cells(&self.class, &self.classes);
        for step in &mut self.steps {
            let mut cells = vec![Line::default(); first[self.num_lanes] as usize];
            for (known, &to) in self.first.windows(2).zip(&first) {
                let (from, to) = (known[0] as usize..known[1] as usize, to as usize);
                cells[to..to + from.len()].copy_from_slice(&step.cells[from]);
            }
            step.cells = cells;
        }
        self.first = first;
    }

    /// The class of every lane, in order.
    pub(crate) fn classes(&self) -> &[u8] {
        self.class.as_slice()
    }

    /// The latest step of which a task completed.
    pub(crate) fn latest_step(&self) -> u16 {
        u16::try_from(self.steps.len().saturating_sub(1)).unwrap_or(u16::MAX)
    }

    /// Charges idle time of a lane before a task of `step`.
    pub(crate) fn idle(&mut self, step: u16, row: Row, reason: Idle, span: SimDuration) {
        match reason {
            Idle::Host => self.step(step).idle_host[row.lane.index()] += span,
            Idle::Waiting(kind) => self.gap(step, row, kind, false, span),
            Idle::Running(kind) => self.gap(step, row, kind, true, span),
        }
    }

    fn gap(&mut self, step: u16, row: Row, kind: KindId, running: bool, span: SimDuration) {
        let cell = self.place(row, kind);
        self.step(step);
        self.gaps.push(Gap {
            step,
            cell,
            running,
            span,
        });
        if self.gaps.len() == WRITTEN {
            self.count();
        }
    }

    /// Counts what was written down.
    fn count(&mut self) {
        let steps = self.steps.as_mut_slice();
        let at = |cell: Place| self.first[cell.lane.index()] as usize + usize::from(cell.slot);
        take_each(
            &self.gaps,
            steps,
            |steps, gap| send_for(&steps[usize::from(gap.step)].cells[at(gap.cell)]),
            |steps, gap| {
                let cell = &mut steps[usize::from(gap.step)].cells[at(gap.cell)].0;
                if gap.running {
                    cell.idle_running += gap.span;
                } else {
                    cell.idle_waiting += gap.span;
                }
            },
        );
        self.gaps.clear();
        take_each(
            &self.completions,
            steps,
            |steps, done| {
                let step = &steps[usize::from(done.step)];
                send_for(&step.programs[done.program]);
                send_for(&step.cells[at(done.cell)]);
            },
            |steps, done| steps[usize::from(done.step)].count(done, at(done.cell)),
        );
        self.completions.clear();
    }

    /// Charges `waited`, the sum of other parties' waits, to the program that came last.
    pub(crate) fn blame(&mut self, step: u16, program: ProgramId, waited: SimDuration) {
        self.step(step).programs[program].caused_wait += waited;
    }

    /// The program that caused the longest waits over the steps before `step`; the lowest of equals.
    pub(crate) fn slowest_before(&self, step: u16) -> Option<ProgramId> {
        let waits = |program: ProgramId| -> SimDuration {
            let earlier = self.steps.iter().take(usize::from(step));
            earlier.map(|totals| totals.programs[program].caused_wait).sum()
        };
        let programs = (0..self.num_programs).filter_map(|program| u32::try_from(program).ok());
        let programs = programs.map(ProgramId::new);
        programs.max_by_key(|&program| (waits(program), std::cmp::Reverse(program)))
    }

    /// Counts a completed task.
    pub(crate) fn complete(&mut self, program: ProgramId, row: Row, slot: &Slot, now: SimTime) {
        let Slot { record, mark } = slot;
        let busy = now - mark.start;
        let (flops, bytes) = amounts(&record.work);
        self.tasks += 1;
        if let Work::Flow { path, .. } = record.work {
            self.paths[path] += bytes * u64::from(record.multiplicity);
        }
        let cell = self.place(row, mark.kind);
        let step = self.step(record.step);
        // Tasks complete in order of time: the last one seen ends the step.
        step.end = now;
        step.evidence[record.evidence as usize] += busy;
        self.completions.push(Completion {
            step: record.step,
            program,
            cell,
            times: record.multiplicity,
            busy,
            alone: record.work.alone(),
            waited: mark.start - mark.ready,
            flops,
            bytes,
            at: now,
        });
        if self.completions.len() == WRITTEN {
            self.count();
        }
    }

    /// Bytes by path, which are taken out.
    pub(crate) fn take_paths(&mut self) -> IndexVec<PathId, Bytes> {
        std::mem::take(&mut self.paths)
    }

    /// The totals, with the beginnings of steps filled in.
    pub(crate) fn finish(mut self) -> Totals {
        self.count();
        let mut end = SimTime::ZERO;
        let mut totals = Totals {
            tasks: self.tasks,
            ..Totals::default()
        };
        for step in std::mem::take(&mut self.steps) {
            let mut of_step = StepTotals::new(end, self.num_lanes, 0);
            // A step of which nothing completed takes no time.
            of_step.end = step.end.max(end);
            end = of_step.end;
            of_step.programs = step.programs;
            of_step.evidence = step.evidence;
            for (place, lane) in of_step.lanes.iter_mut().enumerate() {
                lane.idle_host = step.idle_host[place];
                let class = &self.classes[usize::from(self.class.as_slice()[place])];
                let cells = &step.cells[self.first[place] as usize..];
                for (&kind, Line(cell)) in class.kinds.iter().zip(cells) {
                    if *cell != Cell::default() {
                        *lane.cell_mut(kind) = *cell;
                    }
                }
            }
            totals.steps.push(of_step);
        }
        totals
    }
}

/// Where in a step the cells of each lane begin, and where those of the last one end.
fn first_cells(class: &IndexVec<LaneId, u8>, classes: &[Class]) -> Vec<u32> {
    let mut first = Vec::with_capacity(class.len() + 1);
    let mut end = 0;
    for &class in class.iter() {
        first.push(end);
        end += classes[usize::from(class)].slots;
    }
    first.push(end);
    first
}

/// Operations and bytes of `work`, of one of its multiplicity.
pub(crate) fn amounts(work: &Work) -> (Flops, Bytes) {
    match *work {
        Work::Compute { flops, .. } => (flops, Bytes::ZERO),
        Work::Flow { bytes, .. } => (Flops::ZERO, bytes),
        Work::Delay(_) => (Flops::ZERO, Bytes::ZERO),
    }
}
