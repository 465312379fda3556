//! Memory that tasks take and give back, worked out once per layer shape.

use orrery_scenario::Plan;
use orrery_scenario::plan::Layer;
use orrery_taskgraph::MemoryChange;
pub(super) use orrery_taskgraph::MemoryChanges as Changes;
use orrery_units::Bytes;

use crate::block::MoeRows;
use crate::memory::{ActivationMemory, Cause, StaticMemory};

/// Routed tokens at which the slope of expert memory is taken: memory is linear in them.
const PROBE: u64 = 1 << 20;

/// What one layer shape holds per microbatch.
#[derive(Clone, Debug)]
struct LayerHolding {
    attention: Vec<(Cause, i64)>,
    /// Of the feed-forward block without routed tokens.
    mlp: Vec<(Cause, i64)>,
    /// Bytes per routed token.
    per_routed: f64,
    recomputed: i64,
    recomputed_per_routed: f64,
}

/// What the layers and the head of a plan hold.
#[derive(Debug)]
pub(super) struct Holdings {
    layers: Vec<LayerHolding>,
    /// By number of heads run: with and without prediction modules.
    head: Vec<i64>,
    statics: Vec<Vec<(Cause, i64)>>,
}

impl Holdings {
    pub(super) fn new(plan: &Plan, shapes: &[&Layer]) -> Self {
        let memory = ActivationMemory::new(plan);
        let modules = 0..=plan.model.mtp_layers;
        Self {
            layers: shapes
                .iter()
                .map(|layer| LayerHolding::new(&memory, layer))
                .collect(),
            head: modules.map(|modules| signed(memory.head(modules))).collect(),
            statics: (0..plan.layout.pp)
                .map(|pipeline| causes(StaticMemory::of(plan, pipeline)))
                .collect(),
        }
    }

    /// Taken when the attention of a layer runs forward.
    pub(super) fn attention_taken(&self, shape: usize) -> Changes {
        changes(&self.layers[shape].attention, 1, false)
    }

    /// Taken when the feed-forward block of a layer runs forward.
    pub(super) fn mlp_taken(&self, shape: usize, rows: MoeRows) -> Changes {
        let layer = &self.layers[shape];
        let mut taken = Changes::new();
        add_all(&mut taken, &layer.mlp, 1, false);
        add(&mut taken, Cause::Experts, routed(layer.per_routed, rows), false);
        taken
    }

    /// Given back when the layer is done with a microbatch.
    pub(super) fn given_back(&self, shape: usize, rows: MoeRows) -> Changes {
        let layer = &self.layers[shape];
        let mut given = Changes::new();
        add_all(&mut given, &layer.attention, -1, true);
        add_all(&mut given, &layer.mlp, -1, true);
        add(&mut given, Cause::Experts, -routed(layer.per_routed, rows), true);
        add(&mut given, Cause::Recomputed, -layer.recomputed(rows), true);
        given
    }

    /// What recompute brings back when a layer begins to run backward, until [`given_back`](Self::given_back).
    pub(super) fn recomputed(&self, shape: usize, rows: MoeRows) -> Changes {
        let mut taken = Changes::new();
        add(
            &mut taken,
            Cause::Recomputed,
            self.layers[shape].recomputed(rows),
            false,
        );
        taken
    }

    /// Logits and loss: taken forward, given back backward.
    pub(super) fn head(&self, heads: u32, at_end: bool) -> Changes {
        let modules = heads.saturating_sub(1) as usize;
        let sign = if at_end { -1 } else { 1 };
        changes(&[(Cause::Head, self.head[modules])], sign, at_end)
    }

    /// What a rank holds from the beginning.
    pub(super) fn statics(&self, pipeline: u32) -> Changes {
        changes(&self.statics[pipeline as usize], 1, false)
    }
}

impl LayerHolding {
    #[expect(clippy::cast_precision_loss, reason = "bytes of a layer are far below 2^53")]
    fn new(memory: &ActivationMemory<'_>, layer: &Layer) -> Self {
        let total = |parts: &[(Cause, i64)]| parts.iter().map(|part| part.1).sum::<i64>();
        let mlp = causes(memory.mlp(layer, 0));
        let probed = causes(memory.mlp(layer, PROBE));
        let recomputed = |tokens| signed(memory.recomputed(layer, tokens));
        let slope = |from: i64, to: i64| (to - from) as f64 / PROBE as f64;
        Self {
            attention: causes(memory.attention(layer)),
            per_routed: slope(total(&mlp), total(&probed)),
            mlp,
            recomputed: recomputed(0),
            recomputed_per_routed: slope(recomputed(0), recomputed(PROBE)),
        }
    }

    /// What recompute brings back of this layer.
    fn recomputed(&self, rows: MoeRows) -> i64 {
        self.recomputed + routed(self.recomputed_per_routed, rows)
    }
}

fn signed(bytes: Bytes) -> i64 {
    i64::try_from(bytes.get()).expect("memory of a device stays below 8 EiB")
}

fn causes(parts: Vec<(Cause, Bytes)>) -> Vec<(Cause, i64)> {
    parts
        .into_iter()
        .map(|(cause, bytes)| (cause, signed(bytes)))
        .collect()
}

fn changes(parts: &[(Cause, i64)], sign: i64, at_end: bool) -> Changes {
    let mut changes = Changes::new();
    add_all(&mut changes, parts, sign, at_end);
    changes
}

fn add_all(changes: &mut Changes, parts: &[(Cause, i64)], sign: i64, at_end: bool) {
    for &(cause, bytes) in parts {
        add(changes, cause, sign * bytes, at_end);
    }
}

/// Adds a change of `bytes` to `changes` of one task and of one end of it: one entry per cause.
fn add(changes: &mut Changes, cause: Cause, bytes: i64, at_end: bool) {
    let cause = cause.index();
    if let Some(known) = changes.iter_mut().find(|change| change.cause() == cause) {
        *known = MemoryChange::new(cause, known.bytes() + bytes, known.at_end());
    } else if bytes != 0 {
        changes.push(MemoryChange::new(cause, bytes, at_end));
    }
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "bytes of a layer are far below 2^53"
)]
fn routed(per_token: f64, rows: MoeRows) -> i64 {
    (per_token * rows.rows as f64).round() as i64
}
