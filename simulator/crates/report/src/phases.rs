//! The step of every pipeline rank by phases of its schedule, as frameworks time their own loops.

use orrery_units::SimDuration;

/// What a pipeline rank is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// A forward pass alone.
    Forward,
    /// A backward pass alone, with or without the gradients of weights.
    Backward,
    /// Gradients of weights alone, put off from an earlier backward pass.
    Weight,
    /// A forward and a backward pass interleaved.
    Overlapped,
    /// Gradients on their way, norm, agreement, optimiser, and parameters that the first pass waits for.
    Optimizer,
    /// Nothing: waiting for another stage, or for the last of the ranks to end the step.
    Bubble,
}

impl Phase {
    /// Every phase, in the order of tables.
    pub const ALL: [Self; 6] = [
        Self::Forward,
        Self::Bubble,
        Self::Backward,
        Self::Weight,
        Self::Overlapped,
        Self::Optimizer,
    ];

    /// The name in files, as the published timeline has it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Forward => "1F",
            Self::Backward => "1B",
            Self::Weight => "1W",
            Self::Overlapped => "1F1B",
            Self::Optimizer => "optimizer",
            Self::Bubble => "bubble",
        }
    }

    /// The name for people.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Forward => "forward alone (1F)",
            Self::Backward => "backward alone (1B)",
            Self::Weight => "weight gradients alone (1W)",
            Self::Overlapped => "forward with backward (1F1B)",
            Self::Optimizer => "optimizer",
            Self::Bubble => "bubble",
        }
    }
}

/// The last step of one rank by phases; they sum to the step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RankPhases {
    /// The rank, an index into [`RunFacts::ranks`](crate::RunFacts::ranks).
    pub rank: u32,
    /// Its pipeline rank.
    pub stage: u32,
    /// Picoseconds by phase, indexed by [`Phase`].
    pub picos: [u64; 6],
    /// Passes by phase.
    pub passes: [u32; 6],
}

impl RankPhases {
    /// Time in `phase`.
    #[must_use]
    pub const fn time(&self, phase: Phase) -> SimDuration {
        SimDuration::from_picos(self.picos[phase as usize])
    }

    /// The mean over `ranks`, in seconds by phase in the order of [`Phase::ALL`]; zero without ranks.
    #[must_use]
    pub fn mean<'a>(ranks: impl IntoIterator<Item = &'a Self>) -> [f64; 6] {
        let mut sums = [0.0; 6];
        let mut count = 0.0;
        for rank in ranks {
            count += 1.0;
            for (sum, phase) in sums.iter_mut().zip(Phase::ALL) {
                *sum += rank.time(phase).as_secs();
            }
        }
        sums.map(|sum| if count > 0.0 { sum / count } else { 0.0 })
    }
}
