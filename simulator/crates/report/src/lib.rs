//! Answers computed from totals, and their looks.
//!
//! A [`Report`] is made of [`Totals`] (one per replication) and [`RunFacts`], and nothing else: no engine,
//! no plan, no file, no clock. Headline figures never come from spans, which may have been dropped.
//! Renderers turn a report into text; none of them computes.

mod balancing;
mod breakdown;
mod check;
mod critical_path;
mod facts;
mod judged;
mod memory;
mod metrics;
mod network;
mod phases;
mod power;
mod rank;
pub mod render;
mod verdict;
mod waited_for;
mod waterfall;
mod worth;

use orrery_timeline::Totals;
use orrery_units::{Bytes, Evidence, significant, with_si_prefix};

pub use balancing::{
    BalancingReport, LoadFit, LoadFrame, PolicyReport, RebalanceReport, Samples, StepTerms, Stretch,
    SweepReport, SweepValue,
};
pub use breakdown::{Breakdown, State};
pub use check::{Check, Level, Verdict};
pub use critical_path::{CriticalPath, Hold, PathShare, Piece, Stroke};
pub use facts::{Assumption, DeviceFacts, Identity, ModelError, Origin, Price, Rank, RunFacts, StepWork};
pub use judged::Judged;
pub use memory::{Memory, StagePeak};
pub use metrics::Metrics;
pub use network::{KindLoad, LinkLoad, Network, NetworkFacts, PairLoad, TrafficMatrix};
pub use phases::{Phase, RankPhases};
pub use power::{Activity, Power};
pub use rank::{RankLoad, Ranks};
pub use waited_for::{RankPace, WaitedFor};
pub use waterfall::{Cause, Waterfall, WorkShares};
pub use worth::Worth;

/// Why the last step took as long as it did.
#[derive(Clone, Debug)]
pub struct Why {
    /// The chain of activities that ended with the step.
    pub critical_path: CriticalPath,
    /// Every rank by phases of its schedule.
    pub phases: Vec<RankPhases>,
}

/// Everything that is said about a run.
#[derive(Clone, Debug)]
pub struct Report {
    /// What the run was.
    pub facts: RunFacts,
    /// Replications that the figures rest on.
    pub replications: usize,
    /// Measured steps of each.
    pub steps: usize,
    /// Figures.
    pub metrics: Metrics,
    /// The mean step by state.
    pub breakdown: Breakdown,
    /// The same by cause, in whole picoseconds that sum to the step.
    pub waterfall: Waterfall,
    /// Memory.
    pub memory: Memory,
    /// Ranks.
    pub ranks: Ranks,
    /// Shares of busy time by evidence, in the order of [`Evidence::ALL`]; absent when nothing was busy.
    pub provenance: Option<[f64; 4]>,
    /// Critical path and phases of the last step, if they were asked for and the run came to its end.
    pub why: Option<Why>,
    /// What limits the step.
    pub verdict: String,
    /// Expectations, evaluated.
    pub checks: Vec<Check>,
    /// Why the run ended early, if it did; the figures then cover what was simulated.
    pub partial: Option<String>,
}

impl Report {
    /// The report of `runs`, one [`Totals`] per replication; expectations are added by whoever can
    /// evaluate them.
    ///
    /// # Panics
    /// When the totals are not of the run that the facts describe.
    #[must_use]
    pub fn new(runs: &[&Totals], facts: RunFacts) -> Self {
        for step in runs.iter().flat_map(|totals| &totals.steps) {
            assert!(
                step.programs.len() == facts.ranks.len(),
                "facts and totals are of one run"
            );
        }
        let metrics = Metrics::compute(runs, &facts);
        let breakdown = Breakdown::of_runs(runs, &facts);
        let memory = Memory::of_runs(runs, &facts);
        let verdict = verdict::verdict(&metrics, &breakdown, &memory);
        let measured = |totals: &&Totals| totals.steps.len().saturating_sub(facts.warmup_steps);
        Self {
            replications: runs.len(),
            steps: runs.iter().map(measured).max().unwrap_or(0),
            breakdown,
            waterfall: Waterfall::of_runs(runs, &facts),
            ranks: Ranks::of_runs(runs, &facts),
            provenance: metrics::evidence_shares(runs, facts.warmup_steps),
            verdict,
            checks: Vec::new(),
            why: None,
            partial: None,
            metrics,
            memory,
            facts,
        }
    }

    /// The same report with its expectations evaluated.
    #[must_use]
    pub fn with_checks(mut self, checks: Vec<Check>) -> Self {
        self.checks = checks;
        self
    }

    /// Whether any expectation fails the run.
    #[must_use]
    pub fn failed(&self) -> bool {
        self.checks.iter().any(Check::fails_run)
    }

    /// The network of the first replication, where transfers share links.
    #[must_use]
    pub fn network(&self) -> Option<&Network> {
        self.facts.networks.first()
    }

    /// Share of busy time that rests on `evidence`.
    #[must_use]
    pub fn backed_by(&self, evidence: Evidence) -> Option<f64> {
        self.provenance.map(|shares| shares[evidence as usize])
    }
}

/// `value` of base unit `unit` for people: `2.41 s`, `68.3 GiB`, `385 TFLOP/s`, `0.412`.
#[must_use]
pub fn quantity(value: f64, unit: &str) -> String {
    match unit {
        "" | "ratio" => significant(value, 3),
        "B" if value >= 0.0 => Bytes::from_f64(value).to_string(),
        "s" | "FLOP/s" | "B/s" | "W" | "J" => with_si_prefix(value, unit),
        _ => format!("{} {unit}", significant(value, 4)),
    }
}
