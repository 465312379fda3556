//! Timings of a recording with something about it changed.

use orrery_timeline::OpClass;
use orrery_units::{KindId, SimDuration};

use crate::causes::Causes;
use crate::timing::communicating;
use crate::{Graph, Timing};

impl Timing {
    /// The same with every rank that computes longer than ranks of its stage mostly do brought to their median, kind by
    /// kind.
    #[must_use]
    pub fn with_slow_ranks_at_median(&self, graph: &Graph<'_>) -> Self {
        Causes::new(graph, self).with_slow_ranks_at_median()
    }

    /// The same with computation balanced perfectly: each operation takes the mean of those that do the same work.
    #[must_use]
    pub fn with_even_computation(&self, graph: &Graph<'_>) -> Self {
        let recording = graph.recording();
        let computes = |at: u32| {
            let operation = &recording.operations[at as usize];
            recording.kinds.kind(operation.kind).class == OpClass::Compute
        };
        self.mixed(&self.ideal(graph), computes)
    }

    /// The same with a network `factor` times as fast: what moves data takes that much less once all parties are there.
    #[must_use]
    pub fn with_network(&self, graph: &Graph<'_>, factor: f64) -> Self {
        let communicates = communicating(graph);
        self.with_times(graph, |kind| match communicates.binary_search(&kind) {
            Ok(_) => 1.0 / factor,
            Err(_) => 1.0,
        })
    }

    /// The same with the time of every operation scaled by the `factor` of its kind; delays stay.
    #[must_use]
    pub fn with_times(&self, graph: &Graph<'_>, factor: impl Fn(KindId) -> f64) -> Self {
        let recording = graph.recording();
        let factors: Vec<f64> = recording.kinds.iter().map(|(kind, _)| factor(kind)).collect();
        let scaled = |(operation, own): (&orrery_trace::Operation, &SimDuration)| {
            own.scaled(factors[operation.kind.index()])
        };
        Self {
            delays: self.delays.clone(),
            own: recording.operations.iter().zip(&self.own).map(scaled).collect(),
        }
    }
}
