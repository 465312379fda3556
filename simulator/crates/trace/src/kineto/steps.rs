//! Steps of a run: those that every rank marks.

use orrery_units::SimTime;

use crate::{NO_STEP, RecordedStep};

use super::rank::RankTrace;

/// Steps that every rank marks, by their number.
#[derive(Debug, Default)]
pub(super) struct Steps {
    numbers: Vec<u64>,
    /// Whether everything is one step, for want of marks.
    is_one: bool,
}

/// The marks of a rank: (start, end, place of the step), in order.
#[derive(Debug)]
pub(super) struct Marks<'s> {
    marks: Vec<(u64, u64, u16)>,
    steps: &'s Steps,
}

impl Steps {
    /// The steps of `ranks`, and what is to be said of those that are left out.
    pub(super) fn of(ranks: &[RankTrace]) -> (Self, Option<String>) {
        let of_rank = |rank: &RankTrace| {
            let mut numbers: Vec<u64> = rank.steps.iter().map(|step| step.0).collect();
            numbers.sort_unstable();
            numbers.dedup();
            numbers
        };
        let marked: Vec<Vec<u64>> = ranks.iter().map(of_rank).collect();
        let mut all = marked.concat();
        all.sort_unstable();
        all.dedup();
        let mut numbers = all.clone();
        numbers.retain(|number| marked.iter().all(|own| own.binary_search(number).is_ok()));
        numbers.truncate(usize::from(NO_STEP));
        let is_one = numbers.is_empty();
        let note = if all.is_empty() || numbers.len() == all.len() {
            None
        } else if let Some(without) = marked.iter().position(Vec::is_empty) {
            let rank = ranks[without].rank.unwrap_or(0);
            Some(format!(
                "rank {rank} marks no step, though others do: everything is one step"
            ))
        } else if is_one {
            Some("no step is marked by every rank: everything is one step".to_owned())
        } else {
            let left = all.iter().filter(|number| numbers.binary_search(number).is_err());
            let left: Vec<String> = left.take(8).map(ToString::to_string).collect();
            let more = if all.len() - numbers.len() > left.len() {
                ", ..."
            } else {
                ""
            };
            let left = left.join(", ");
            Some(format!(
                "steps that not every rank marks are left out: {left}{more}"
            ))
        };
        if is_one {
            numbers.push(0);
        }
        (Self { numbers, is_one }, note)
    }

    /// Steps without their bounds, which their operations give.
    pub(super) fn recorded(&self) -> Vec<RecordedStep> {
        let step = |&number: &u64| RecordedStep {
            number,
            start: SimTime::ZERO,
            end: SimTime::ZERO,
        };
        self.numbers.iter().map(step).collect()
    }

    /// What `rank` marks of them.
    pub(super) fn marks(&self, rank: &RankTrace) -> Marks<'_> {
        let mut marks: Vec<(u64, u64, u16)> = rank
            .steps
            .iter()
            .map(|&(number, start, duration)| (start, start + duration, self.place(number)))
            .collect();
        marks.sort_unstable();
        Marks { marks, steps: self }
    }

    /// The place of the step of that number.
    fn place(&self, number: u64) -> u16 {
        let place = self.numbers.binary_search(&number).ok();
        place
            .and_then(|place| u16::try_from(place).ok())
            .unwrap_or(NO_STEP)
    }
}

impl Marks<'_> {
    /// The step of that number, as an event says it.
    pub(super) fn of(&self, number: u64) -> u16 {
        if self.steps.is_one {
            0
        } else {
            self.steps.place(number)
        }
    }

    /// The step in which the rank is at `nanos`; none outside of its marks.
    pub(super) fn at(&self, nanos: u64) -> u16 {
        if self.steps.is_one {
            return 0;
        }
        let begun = self.marks.partition_point(|mark| mark.0 <= nanos);
        let mark = begun.checked_sub(1).map(|place| self.marks[place]);
        mark.filter(|mark| nanos <= mark.1).map_or(NO_STEP, |mark| mark.2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rank(number: u32, steps: &[(u64, u64, u64)]) -> RankTrace {
        RankTrace::of_parts(number, Vec::new(), steps.to_vec())
    }

    #[test]
    fn only_what_every_rank_marks_is_a_step() {
        let ranks = [
            rank(0, &[(7, 0, 10), (8, 10, 10), (9, 20, 10)]),
            rank(1, &[(8, 12, 10), (9, 22, 10)]),
        ];
        let (steps, note) = Steps::of(&ranks);
        let note = note.expect("step 7 is left out");
        assert_eq!(note, "steps that not every rank marks are left out: 7");
        assert_eq!(
            steps
                .recorded()
                .iter()
                .map(|step| step.number)
                .collect::<Vec<_>>(),
            [8, 9]
        );
        let marks = steps.marks(&ranks[0]);
        assert_eq!([5, 15, 25, 31].map(|at| marks.at(at)), [NO_STEP, 0, 1, NO_STEP]);
    }

    #[test]
    fn a_rank_without_marks_makes_everything_one_step() {
        let ranks = [rank(0, &[(7, 0, 10)]), rank(3, &[])];
        let (steps, note) = Steps::of(&ranks);
        assert!(
            note.expect("it is said").starts_with("rank 3 marks no step"),
            "who"
        );
        assert_eq!((steps.recorded().len(), steps.marks(&ranks[0]).at(99)), (1, 0));
        assert_eq!(Steps::of(&[rank(0, &[])]).1, None, "nobody marks any");
    }
}
