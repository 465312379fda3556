//! A microbatch visits the layers of a model in their order, forward and back, whatever the schedule.

use std::collections::BTreeMap;

use orrery_units::{KindId, SimTime};
use orrery_workload::lower::{Folding, TrainingDriver};

use crate::support::{DENSE, balanced_experts, plan, run};

/// First start and last end of the tasks of some `kinds` at every layer, by step and microbatch.
type Visits = BTreeMap<(u16, u32), BTreeMap<u32, (SimTime, SimTime)>>;

fn visits(
    text: &str,
    schedule: &str,
    kinds: impl Fn(&TrainingDriver<'_>) -> [Vec<KindId>; 2],
) -> [Visits; 2] {
    let plan = plan(text, &[("parallel.schedule", schedule)]);
    let mut driver = TrainingDriver::new(&plan, plan.run.seed, Folding::Replicas);
    let outcome = run(&mut driver, &plan);
    let steps = plan.training.steps as usize;
    let microbatches = usize::try_from(plan.training.num_microbatches).expect("few");
    kinds(&driver).map(|kinds| {
        let mut visits = Visits::new();
        for span in outcome.timeline.spans().filter(|span| kinds.contains(&span.kind)) {
            let (layer, microbatch) = span.tag;
            let layers = visits.entry((span.step, microbatch)).or_default();
            let end = span.start + span.duration;
            let visit = layers.entry(layer).or_insert((span.start, end));
            *visit = (visit.0.min(span.start), visit.1.max(end));
        }
        assert_eq!(visits.len(), steps * microbatches, "{schedule}: all microbatches");
        assert!(
            visits
                .values()
                .all(|layers| layers.len() == plan.model.layers.len()),
            "{schedule}: all layers"
        );
        visits
    })
}

fn check(text: &str, schedule: &str) {
    let [forward, backward] = visits(text, schedule, |driver| {
        let kinds = driver.kinds();
        [
            vec![
                kinds.attention_forward,
                kinds.dispatch_forward,
                kinds.mlp_forward,
                kinds.experts_forward,
                kinds.combine_forward,
            ],
            vec![
                kinds.combine_backward,
                kinds.experts_backward,
                kinds.mlp_backward,
                kinds.dispatch_backward,
                kinds.attention_backward,
            ],
        ]
    });
    for (at, layers) in &forward {
        let times: Vec<_> = layers.values().collect();
        for (layer, pair) in times.windows(2).enumerate() {
            assert!(
                pair[0].1 <= pair[1].0,
                "{schedule}: forward {at:?} after layer {layer}"
            );
        }
        let back: Vec<_> = backward[at].values().rev().collect();
        for (number, pair) in back.windows(2).enumerate() {
            assert!(
                pair[0].1 <= pair[1].0,
                "{schedule}: backward {at:?}, layer {number} from the last"
            );
        }
        assert!(
            times[times.len() - 1].1 <= back[0].0,
            "{schedule}: {at:?} turns at the loss"
        );
    }
}

#[test]
fn microbatches_visit_layers_in_order() {
    for schedule in [
        "{ kind = \"gpipe\" }",
        "{ kind = \"1f1b\" }",
        "{ kind = \"interleaved\", chunks = 2 }",
        "{ kind = \"zb-h1\" }",
        "{ kind = \"zb-v\" }",
        "{ kind = \"dualpipe\" }",
        "{ kind = \"dualpipe-v\" }",
    ] {
        check(DENSE, schedule);
        check(&balanced_experts(), schedule);
    }
}
