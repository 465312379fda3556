//! Attention of context-parallel ranks as tasks: its core in stretches, each beside what moves meanwhile.

use orrery_operation::{Collective, CollectiveOp};
use orrery_scenario::Plan;
use orrery_scenario::plan::{Axis, Layer, RecomputeModule};
use orrery_taskgraph::{Sequence, Tag};
use orrery_units::{Flops, KindId};

use super::costs::kernel;
use super::emit::{Emit, Waits};
use super::holding::Changes;
use crate::block::{ContextTraffic, Shapes, Stretch};
use crate::cost::{CostModel, Kernel, Transfer};
use crate::documents;

/// A stretch of a core: what moves, and what is computed meanwhile.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StretchCost {
    pub(crate) transfer: Option<Transfer>,
    pub(crate) kernel: Kernel,
}

/// The attention of a layer in pieces, forward and backward.
#[derive(Clone, Debug)]
pub(crate) struct ContextCost {
    /// Before the core.
    pub(crate) ahead: [Kernel; 2],
    pub(crate) core: [Vec<StretchCost>; 2],
    /// Behind the core.
    pub(crate) behind: [Kernel; 2],
}

/// What documents leave of a core.
#[derive(Clone, Copy, Debug, Default)]
struct Packed {
    /// Share of its pairs; none where each sequence is a document.
    share: Option<f64>,
    /// Operations of the whole core.
    flops: Flops,
}

impl Packed {
    /// What is left of a kernel that does `core` of the core's operations.
    fn of(self, kernel: Kernel, core: Flops) -> Kernel {
        self.share
            .map_or(kernel, |share| kernel.with_attention(share, core))
    }
}

/// A pass through an attention block.
pub(super) struct Through {
    /// Forward (0) or backward (1).
    pub(super) pass: usize,
    pub(super) kind: KindId,
    /// What runs ahead of the block in the same task, and behind it.
    pub(super) around: [Kernel; 2],
    /// Factor on the time of its kernels.
    pub(super) slowness: f64,
    /// Memory taken at its first task, and given back at its last.
    pub(super) memory: [Changes; 2],
}

impl ContextCost {
    pub(super) fn new(plan: &Plan, model: &CostModel, shapes: &Shapes<'_>, layer: &Layer) -> Self {
        let cut = shapes.cut_attention(&layer.attention);
        let stretch = |stretch: &Stretch| StretchCost {
            transfer: stretch.traffic.map(|traffic| transfer(plan, model, traffic)),
            kernel: kernel(model, &stretch.ops),
        };
        Self {
            ahead: cut.ahead.map(|ops| kernel(model, &ops)),
            core: cut.core.map(|stretches| stretches.iter().map(stretch).collect()),
            behind: cut.behind.map(|ops| kernel(model, &ops)),
        }
    }
}

fn transfer(plan: &Plan, model: &CostModel, traffic: ContextTraffic) -> Transfer {
    let layout = &plan.layout;
    let shape = layout.shape_of(&layout.group(0, Axis::Context));
    let once = match traffic.op {
        // The ring goes as its slowest link does.
        CollectiveOp::SendRecv => model.send_recv(traffic.bytes, shape.nodes > 1),
        op => model.collective(
            Collective {
                op,
                ranks: u64::from(layout.cp),
                bytes: traffic.bytes,
            },
            shape,
        ),
    };
    once.repeated(traffic.times)
}

impl Emit<'_, '_, '_> {
    /// The attention block of a layer of `shape`, once what `waits` names is done: one task, or pieces of it where
    /// context-parallel ranks exchange keys and values.
    pub(super) fn through_attention(
        &mut self,
        shape: usize,
        through: Through,
        waits: Waits<'_>,
        tag: Tag,
    ) -> Sequence {
        let packed = self.packed(shape, through.pass, tag.minor);
        let Some(context) = self.shared.costs.layers[shape].context.clone() else {
            return self.whole_attention(shape, through, packed, waits, tag);
        };
        let Through {
            pass,
            kind,
            around: [before, after],
            slowness,
            memory: [taken, given],
        } = through;
        let paced = |kernel: Kernel| paced(kernel, slowness);
        let ahead = paced(before.then(context.ahead[pass]));
        let mut last = self.compute_holding(kind, ahead, waits, tag, taken);
        let mut tail = Kernel::default();
        let mut moving = None;
        let exchange = [
            self.shared.kinds.context_forward,
            self.shared.kinds.context_backward,
        ][pass];
        for stretch in &context.core[pass] {
            let Some(transfer) = stretch.transfer else {
                // What nothing moves beside runs with what follows.
                tail = tail.then(packed.of(stretch.kernel, stretch.kernel.flops));
                continue;
            };
            if tail.launches > 0 {
                last = self.compute(kind, paced(tail), &[Some(last), moving], tag);
            }
            tail = packed.of(stretch.kernel, stretch.kernel.flops);
            let meeting = self.cursor.member.context.next();
            let lane = self.cursor.member.lanes.context;
            let start = [Some(last), moving];
            moving = Some(self.transfer(lane, exchange, &transfer, meeting, &start, tag));
            if tail.launches > 0 {
                last = self.compute(kind, paced(tail), &start, tag);
                tail = Kernel::default();
            }
        }
        let behind = paced(tail.then(context.behind[pass]).then(after));
        self.compute_holding(kind, behind, &[Some(last), moving], tag, given)
    }

    /// What the documents of a microbatch leave of the core of a layer of `shape`.
    fn packed(&mut self, shape: usize, pass: usize, microbatch: u32) -> Packed {
        let (shared, cursor) = (&*self.shared, &mut *self.cursor);
        if shared.plan.training.documents.is_none() {
            return Packed::default();
        }
        let at = (cursor.step, microbatch);
        let known = cursor.documents.take().filter(|(known, _)| *known == at);
        let (_, lengths) = cursor.documents.insert(known.unwrap_or_else(|| {
            let data = shared.plan.layout.coordinates(cursor.member.rank).data;
            let place = [u64::from(data), u64::from(at.0), u64::from(microbatch)];
            let drawn = documents::of_microbatch(shared.plan, shared.seed, place);
            (at, drawn.unwrap_or_default().into())
        }));
        let (core, training) = (&shared.costs.layers[shape].core, &shared.plan.training);
        let share = documents::share(lengths, core.mask, training.micro_batch, training.sequence_length);
        Packed {
            share: Some(share),
            flops: match (pass, &training.recompute) {
                (0, _) => core.forward_flops(),
                (_, again) if again.covers(RecomputeModule::CoreAttention) => {
                    core.forward_flops() + core.backward_flops()
                }
                _ => core.backward_flops(),
            },
        }
    }

    fn whole_attention(
        &mut self,
        shape: usize,
        through: Through,
        packed: Packed,
        waits: Waits<'_>,
        tag: Tag,
    ) -> Sequence {
        let block = &self.shared.costs.layers[shape].attention;
        let kernel = packed.of([block.forward, block.backward][through.pass], packed.flops);
        let [before, after] = through.around;
        let [mut memory, given] = through.memory;
        memory.extend(given);
        let kernel = paced(before.then(kernel).then(after), through.slowness);
        self.compute_holding(through.kind, kernel, waits, tag, memory)
    }
}

/// `kernel` at `slowness` of its time; at one it keeps it to the picosecond.
fn paced(kernel: Kernel, slowness: f64) -> Kernel {
    if slowness.to_bits() == 1.0_f64.to_bits() {
        kernel
    } else {
        kernel.slowed(slowness)
    }
}
