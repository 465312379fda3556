//! Activations that a rank holds at its fullest are as many as its schedule's authors say: here of whole runs, where
//! lowering takes and gives back memory, on uniform stages.

use orrery_units::Bytes;
use orrery_workload::lower::{Folding, TrainingDriver};
use orrery_workload::memory::{ActivationMemory, Cause};

use crate::support::{DENSE, plan, run};

/// Schedules, and chunks in flight on rank `r` of `p` with `m` microbatches; sources stand beside the same counts in
/// the tests of `orrery-workload`'s schedules. Those that overlap passes give back one chunk while they take another.
type Published = (&'static str, fn(u64, u64, u64) -> u64);
const PUBLISHED: [Published; 5] = [
    ("{ kind = \"gpipe\" }", |_, _, m| m),
    ("{ kind = \"1f1b\" }", |p, r, _| p - r),
    ("{ kind = \"interleaved\", chunks = 2 }", |p, r, _| {
        3 * p - 1 - 2 * r
    }),
    ("{ kind = \"zb-h1\" }", |p, _, _| p),
    ("{ kind = \"zb-v\" }", |p, _, _| 2 * p),
];

#[test]
fn activations_at_the_peak_are_those_of_the_published_microbatches() {
    for (schedule, chunks) in PUBLISHED {
        let plan = plan(DENSE, &[("parallel.schedule", schedule)]);
        let mut driver = TrainingDriver::new(&plan, plan.run.seed, Folding::Replicas);
        let outcome = run(&mut driver, &plan);
        let memory = ActivationMemory::new(&plan);
        let chunk: Bytes = plan.model.layers[plan.layout.stages[0].layers.clone()]
            .iter()
            .map(|layer| memory.layer(layer, 0))
            .sum();
        let (p, m) = (u64::from(plan.layout.pp), plan.training.num_microbatches);
        for ((_, rank), memory) in driver.ranks().zip(outcome.totals.memory.iter()) {
            let of = |cause: Cause| memory.peak.by_cause[cause as usize];
            let held = of(Cause::LayerInputs) + of(Cause::Attention) + of(Cause::Mlp);
            let expected = chunks(p, rank.into(), m);
            assert_eq!(
                held,
                chunk * expected,
                "{schedule}, rank {rank}: {expected} chunks of {chunk:?}"
            );
        }
    }
}
