//! Memory of a program over a run: the peak, when, in which step, and by what cause.

use orrery_units::{Bytes, SimTime};

/// The most memory a program held.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemoryPeak {
    /// How much.
    pub bytes: Bytes,
    /// When it was first reached.
    pub at: SimTime,
    /// In which step.
    pub step: u16,
    /// Bytes by cause at that instant, indexed like the table of causes.
    pub by_cause: Vec<Bytes>,
}

/// What is kept of a program's memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemoryTotals {
    /// Bytes held now (at the end of the run, what was never given back).
    pub held: Vec<i64>,
    /// The peak.
    pub peak: MemoryPeak,
}
