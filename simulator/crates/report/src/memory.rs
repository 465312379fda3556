//! Memory: the highest peak, whose, when, and by what cause; and the peak of every stage.

use orrery_timeline::{MemoryPeak, Totals};
use orrery_units::{Bytes, SimTime};

use crate::RunFacts;

/// The highest peak of one stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StagePeak {
    /// The stage.
    pub stage: String,
    /// The rank that reached it.
    pub rank: String,
    /// How much.
    pub bytes: Bytes,
    /// When.
    pub at: SimTime,
    /// In which step, from 0.
    pub step: u16,
    /// Bytes by cause at that instant, in the order of the facts' causes.
    pub by_cause: Vec<Bytes>,
}

/// Memory of a run against the device's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Memory {
    /// What a device has.
    pub capacity: Bytes,
    /// Names of causes.
    pub causes: Vec<String>,
    /// The highest peak of each stage, first stage first; a stage without memory is left out.
    pub stages: Vec<StagePeak>,
}

impl Memory {
    /// Reads the peaks of all replications.
    #[must_use]
    pub fn of_runs(runs: &[&Totals], facts: &RunFacts) -> Self {
        let mut stages: Vec<Option<StagePeak>> = vec![None; facts.stages.len()];
        for totals in runs {
            for (memory, rank) in totals.memory.iter().zip(&facts.ranks) {
                if memory.peak.bytes == Bytes::ZERO {
                    continue;
                }
                let best = &mut stages[rank.stage];
                if best.as_ref().is_none_or(|known| memory.peak.bytes > known.bytes) {
                    *best = Some(stage_peak(
                        &memory.peak,
                        &rank.name,
                        &facts.stages[rank.stage],
                        facts.causes.len(),
                    ));
                }
            }
        }
        Self {
            capacity: facts.device.memory,
            causes: facts.causes.clone(),
            stages: stages.into_iter().flatten().collect(),
        }
    }

    /// The highest peak of all; none when nothing held memory.
    #[must_use]
    pub fn peak(&self) -> Option<&StagePeak> {
        // The first of equals, so that ties name the earliest stage.
        self.stages
            .iter()
            .reduce(|best, next| if next.bytes > best.bytes { next } else { best })
    }

    /// Whether every stage fits its device.
    #[must_use]
    pub fn fits(&self) -> bool {
        self.peak().is_none_or(|peak| peak.bytes <= self.capacity)
    }

    /// Causes of `peak` with their bytes, largest first, nothings left out.
    #[must_use]
    pub fn ranked<'a>(&'a self, peak: &StagePeak) -> Vec<(&'a str, Bytes)> {
        let mut causes: Vec<_> = self
            .causes
            .iter()
            .map(String::as_str)
            .zip(peak.by_cause.iter().copied())
            .filter(|&(_, bytes)| bytes > Bytes::ZERO)
            .collect();
        causes.sort_by_key(|&(_, bytes)| std::cmp::Reverse(bytes));
        causes
    }
}

fn stage_peak(peak: &MemoryPeak, rank: &str, stage: &str, num_causes: usize) -> StagePeak {
    let mut by_cause = peak.by_cause.clone();
    by_cause.resize(num_causes, Bytes::ZERO);
    StagePeak {
        stage: stage.to_owned(),
        rank: rank.to_owned(),
        bytes: peak.bytes,
        at: peak.at,
        step: peak.step,
        by_cause,
    }
}
