//! How the job is laid out: degrees, the order of ranks, stages, and who talks to whom.

use std::ops::Range;

/// A parallel axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Axis {
    /// Tensor.
    Tensor,
    /// Context.
    Context,
    /// Data (expert parallelism lives inside it).
    Data,
    /// Pipeline.
    Pipeline,
}

/// What data-parallel ranks share out among themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ZeroStage {
    /// Nothing.
    None,
    /// Optimiser states (Megatron's distributed optimiser).
    Optimizer,
    /// Optimiser states and gradients.
    Gradients,
    /// Optimiser states, gradients and parameters.
    Parameters,
}

/// The order of work in a pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ScheduleKind {
    /// All forwards, then all backwards.
    GPipe,
    /// One forward, one backward (Narayanan 2021).
    OneFOneB,
    /// The same with several chunks per rank.
    Interleaved,
    /// One forward, one backward, with weight gradients moved into the bubble (Qi et al. 2023, ZB-H1).
    ZeroBubbleH1,
    /// Two chunks per rank along a V, with weight gradients moved into the bubble (Qi et al. 2023, section 6, ZB-V).
    ZeroBubbleV,
    /// Bidirectional, forward of one microbatch overlapped with backward of another (DeepSeek-V3).
    DualPipe,
    /// DualPipe cut in half: one copy of the model along a V (Qi et al. 2025; DeepSeek).
    DualPipeV,
}

/// How context-parallel ranks see the keys and values of each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ContextExchange {
    /// Blocks of keys and values go round a ring, each beside the attention to the block before it (ring attention;
    /// Megatron's `p2p`).
    Ring,
    /// Keys and values are gathered before the core (Llama 3 report, section 3.3.2; Megatron's `allgather`).
    AllGather,
    /// Sequences are exchanged for heads before the core and back behind it (Ulysses; Megatron's `a2a`).
    AllToAll,
}

/// A pipeline schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Schedule {
    /// The order of work.
    pub kind: ScheduleKind,
    /// Model chunks on each rank: 1 for GPipe, 1F1B and ZB-H1, `v` for interleaved, 2 for the others.
    pub chunks: u32,
}

impl Schedule {
    /// Whether the model goes down the ranks with chunk 0 and back up with chunk 1, so that rank 0 holds both ends.
    #[must_use]
    pub const fn is_v_shaped(self) -> bool {
        matches!(self.kind, ScheduleKind::ZeroBubbleV | ScheduleKind::DualPipeV)
    }
}

/// A contiguous run of layers that one rank works on at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VirtualStage {
    /// Layers of the model.
    pub layers: Range<usize>,
    /// Whether the input embedding is here.
    pub embedding: bool,
    /// Whether the output head and the loss are here.
    pub head: bool,
    /// Multi-token-prediction modules here.
    pub mtp_layers: u64,
}

/// A rank by its place along each axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Coordinates {
    /// Along the tensor axis.
    pub tensor: u32,
    /// Along the context axis.
    pub context: u32,
    /// Along the data axis.
    pub data: u32,
    /// Along the pipeline axis.
    pub pipeline: u32,
}

/// How a group of ranks lies on nodes; of racks that one scale-up network joins, a rack counts as a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupShape {
    /// Ranks in the group.
    pub ranks: u32,
    /// Most of its ranks on one node.
    pub ranks_per_node: u32,
    /// Nodes it touches.
    pub nodes: u32,
}

/// The layout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Tensor-parallel degree of attention and dense layers.
    pub tp: u32,
    /// Context-parallel degree.
    pub cp: u32,
    /// How context-parallel ranks exchange keys and values.
    pub cp_comm: ContextExchange,
    /// Data-parallel degree.
    pub dp: u32,
    /// Pipeline degree.
    pub pp: u32,
    /// Expert-parallel degree; inside `tp x cp x dp` of one stage.
    pub ep: u32,
    /// Tensor-parallel degree inside an expert.
    pub expert_tp: u32,
    /// What data-parallel ranks share out.
    pub zero: ZeroStage,
    /// Whether norms and residuals are split along the sequence among tensor-parallel ranks.
    pub sequence_parallel: bool,
    /// The pipeline schedule.
    pub schedule: Schedule,
    /// Axes, fastest-varying first.
    pub order: [Axis; 4],
    /// Devices that one scale-up network joins, for [`GroupShape`]: those of a node, or of a rack (NVL72).
    pub devices_per_domain: u32,
    /// Virtual stages, first to last: `pp x chunks` of them, except for DualPipe, which has `pp` (each held
    /// by two ranks).
    pub stages: Vec<VirtualStage>,
}

impl Layout {
    /// Ranks in all.
    #[must_use]
    pub const fn world(&self) -> u32 {
        self.tp * self.cp * self.dp * self.pp
    }

    /// Ranks of one pipeline stage.
    #[must_use]
    pub const fn ranks_per_stage(&self) -> u32 {
        self.tp * self.cp * self.dp
    }

    /// How often each expert's parameters are replicated within a stage.
    #[must_use]
    pub const fn expert_dp(&self) -> u32 {
        self.ranks_per_stage() / (self.ep * self.expert_tp)
    }

    const fn degree(&self, axis: Axis) -> u32 {
        match axis {
            Axis::Tensor => self.tp,
            Axis::Context => self.cp,
            Axis::Data => self.dp,
            Axis::Pipeline => self.pp,
        }
    }

    /// The place of `rank` along each axis.
    #[must_use]
    pub fn coordinates(&self, rank: u32) -> Coordinates {
        let mut rest = rank;
        let mut place = Coordinates {
            tensor: 0,
            context: 0,
            data: 0,
            pipeline: 0,
        };
        for axis in self.order {
            let degree = self.degree(axis);
            let at = rest % degree;
            rest /= degree;
            match axis {
                Axis::Tensor => place.tensor = at,
                Axis::Context => place.context = at,
                Axis::Data => place.data = at,
                Axis::Pipeline => place.pipeline = at,
            }
        }
        place
    }

    /// The rank at `place`.
    #[must_use]
    pub fn rank(&self, place: Coordinates) -> u32 {
        let mut rank = 0;
        for axis in self.order.into_iter().rev() {
            let at = match axis {
                Axis::Tensor => place.tensor,
                Axis::Context => place.context,
                Axis::Data => place.data,
                Axis::Pipeline => place.pipeline,
            };
            rank = rank * self.degree(axis) + at;
        }
        rank
    }

    /// The ranks that differ from `rank` only along `axis`, in order along it; `rank` included.
    #[must_use]
    pub fn group(&self, rank: u32, axis: Axis) -> Vec<u32> {
        let (degree, stride) = (self.degree(axis), self.stride(axis));
        let first = rank - rank / stride % degree * stride;
        (0..degree).map(|at| first + at * stride).collect()
    }

    /// From a rank to the next along `axis`: the ranks that differ only along faster axes.
    fn stride(&self, axis: Axis) -> u32 {
        let faster = self.order.into_iter().take_while(|&faster| faster != axis);
        faster.map(|faster| self.degree(faster)).product()
    }

    /// The ranks of pipeline stage `pipeline`, in order.
    #[must_use]
    pub fn stage_ranks(&self, pipeline: u32) -> Vec<u32> {
        // Axes faster than the pipeline's run through neighbours, the others from one such run to the next.
        let stride = self.stride(Axis::Pipeline);
        let first = |run| (run * self.pp + pipeline) * stride;
        (0..self.ranks_per_stage() / stride)
            .flat_map(|run| first(run)..first(run) + stride)
            .collect()
    }

    /// Where `rank` stands among the ranks of its stage on the expert side: (expert-TP, EP, expert-DP).
    ///
    /// Expert ranks are mapped apart from attention ranks (MoE Parallel Folding, arXiv 2504.14960): the
    /// ranks of a stage in order are cut into `expert_tp`, then `ep`, then replicas.
    #[must_use]
    pub fn expert_place(&self, rank: u32) -> (u32, u32, u32) {
        let stride = self.stride(Axis::Pipeline);
        let local = rank / (stride * self.pp) * stride + rank % stride;
        let in_experts = local / self.expert_tp;
        (local % self.expert_tp, in_experts % self.ep, in_experts / self.ep)
    }

    /// How a group of ranks lies on nodes; of racks that one scale-up network joins, a rack counts as a node.
    #[must_use]
    pub fn shape_of(&self, ranks: &[u32]) -> GroupShape {
        let mut nodes: Vec<u32> = ranks.iter().map(|rank| rank / self.devices_per_domain).collect();
        nodes.sort_unstable();
        let most = nodes.chunk_by(|a, b| a == b).map(<[u32]>::len).max().unwrap_or(0);
        nodes.dedup();
        let count = |n: usize| u32::try_from(n).expect("a cluster has fewer than 2^32 ranks");
        GroupShape {
            ranks: count(ranks.len()),
            ranks_per_node: count(most),
            nodes: count(nodes.len()),
        }
    }

    /// The virtual stage of chunk `chunk` on pipeline rank `pipeline`.
    ///
    /// Interleaved: chunk `c` of rank `p` is stage `c pp + p`. Along a V (ZB-V, DualPipeV): chunk 0 of rank `p` is
    /// stage `p`, chunk 1 is stage `2 pp − 1 − p`. DualPipe: chunk 0 of rank `p` is stage `p`, chunk 1 is stage
    /// `pp − 1 − p`, run in the other direction.
    #[must_use]
    pub const fn stage_index(&self, pipeline: u32, chunk: u32) -> u32 {
        match self.schedule.kind {
            ScheduleKind::DualPipe if chunk == 1 => self.pp - 1 - pipeline,
            _ if chunk == 1 && self.schedule.is_v_shaped() => 2 * self.pp - 1 - pipeline,
            _ => chunk * self.pp + pipeline,
        }
    }

    /// The pipeline rank that holds virtual stage `stage`, for DualPipe in direction 0: the inverse of
    /// [`stage_index`](Self::stage_index).
    #[must_use]
    pub const fn pipeline_of_stage(&self, stage: u32) -> u32 {
        if self.schedule.is_v_shaped() && stage >= self.pp {
            2 * self.pp - 1 - stage
        } else {
            stage % self.pp
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Layouts of 2 x 3 x 4 x 5 ranks in every order of their axes.
    fn layouts() -> Vec<Layout> {
        let axes = [Axis::Tensor, Axis::Context, Axis::Data, Axis::Pipeline];
        let mut orders = Vec::new();
        for number in 0..256_usize {
            let order = [number / 64, number / 16 % 4, number / 4 % 4, number % 4].map(|at| axes[at]);
            if axes.iter().all(|axis| order.contains(axis)) {
                orders.push(order);
            }
        }
        assert_eq!(orders.len(), 24);
        let laid = |order| Layout {
            tp: 2,
            cp: 3,
            cp_comm: ContextExchange::Ring,
            dp: 4,
            pp: 5,
            ep: 4,
            expert_tp: 3,
            zero: ZeroStage::None,
            sequence_parallel: false,
            schedule: Schedule {
                kind: ScheduleKind::OneFOneB,
                chunks: 1,
            },
            order,
            devices_per_domain: 8,
            stages: Vec::new(),
        };
        orders.into_iter().map(laid).collect()
    }

    /// Claim: groups, stages and places of experts are what coordinates say of every rank.
    #[test]
    fn groups_and_places_are_those_of_coordinates() {
        for layout in layouts() {
            for pipeline in 0..layout.pp {
                let all = 0..layout.world();
                let here: Vec<u32> = all
                    .filter(|&rank| layout.coordinates(rank).pipeline == pipeline)
                    .collect();
                assert_eq!(layout.stage_ranks(pipeline), here, "{:?}", layout.order);
                for (local, &rank) in (0..).zip(&here) {
                    let (expert_tp, ep) = (layout.expert_tp, layout.ep);
                    let place = (local % expert_tp, local / expert_tp % ep, local / expert_tp / ep);
                    assert_eq!(layout.expert_place(rank), place, "{:?}", layout.order);
                }
            }
            for rank in 0..layout.world() {
                let place = layout.coordinates(rank);
                assert_eq!(layout.rank(place), rank);
                let along = |data| layout.rank(Coordinates { data, ..place });
                let data: Vec<u32> = (0..layout.dp).map(along).collect();
                assert_eq!(layout.group(rank, Axis::Data), data, "{:?}", layout.order);
                let along = |context| layout.rank(Coordinates { context, ..place });
                let context: Vec<u32> = (0..layout.cp).map(along).collect();
                assert_eq!(layout.group(rank, Axis::Context), context, "{:?}", layout.order);
            }
        }
    }
}
