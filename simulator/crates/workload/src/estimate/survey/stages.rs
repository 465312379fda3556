//! Stages that are alike, counted.

use orrery_scenario::plan::{Schedule, ZeroStage};
use orrery_units::{Bytes, SimDuration};

use super::super::in_flight::{ChunkBytes, Moment};
use super::super::memory::statics;
use super::super::parts::{RankParts, position_or_push};
use super::cells::{Ends, Exchanged, LayerCell, MeshCell, add_times};
use super::{LayerKey, MeshKey, Surveyor};
use crate::block::Shapes;
use crate::lower::step_end::update;
use crate::memory::context_buffers;

/// What a stage consists of.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Sort {
    /// Layers of each shape.
    counts: Vec<u32>,
    /// Multi-token-prediction modules.
    mtp: u32,
    embedding: bool,
    /// Whether a first layer follows the embedding and runs it.
    embeds: bool,
    head: bool,
    /// The pipeline rank whose exchanges its layers have, where that matters.
    pipeline: u32,
}

/// A pipeline rank, which others may be alike.
#[derive(Clone, Debug)]
struct Member {
    /// The sort of stage of each chunk.
    chunks: Vec<usize>,
    /// Gradient norm and optimiser.
    update: SimDuration,
    /// What it holds all the time, but for buffers that grow with the microbatch.
    statics: u64,
}

/// The stages of a layout.
#[derive(Debug)]
pub(super) struct Stages {
    sorts: Vec<Sort>,
    members: Vec<Member>,
    /// The member of each pipeline rank.
    ranks: Vec<usize>,
    last_shape: usize,
}

impl Surveyor {
    pub(super) fn fill_stages(&mut self, mesh: MeshKey, layers: LayerKey) {
        let (schedule, zero) = (self.whole.layout.schedule, self.whole.layout.zero);
        let key: (MeshKey, Schedule, ZeroStage) = (mesh, schedule, zero);
        if self.stages.as_ref().is_some_and(|(known, _)| *known == key) {
            return;
        }
        let apart = layers.6 != (0, 0);
        let mut sorts = Vec::new();
        let sort_of_stage: Vec<usize> = (0..self.whole.layout.stages.len())
            .map(|stage| position_or_push(&mut sorts, self.sort(stage, apart)))
            .collect();
        let (mut seen, mut members): (Vec<Vec<usize>>, Vec<Member>) = (Vec::new(), Vec::new());
        let layout = &self.whole.layout;
        let ranks = (0..layout.pp)
            .map(|rank| {
                let stage = |chunk| sort_of_stage[layout.stage_index(rank, chunk) as usize];
                let chunks: Vec<usize> = (0..schedule.chunks).map(stage).collect();
                let at = position_or_push(&mut seen, chunks);
                if at == members.len() {
                    members.push(self.member(rank, seen[at].clone(), &sorts, layers, (mesh, zero)));
                }
                at
            })
            .collect();
        let stages = Stages {
            sorts,
            members,
            ranks,
            last_shape: self.shape_of_layer.last().copied().unwrap_or(0),
        };
        self.stages = Some((key, stages));
    }

    fn sort(&self, stage: usize, apart: bool) -> Sort {
        let layout = &self.whole.layout;
        let held = &layout.stages[stage];
        let mut counts = vec![0; self.skeleton.model.layers.len()];
        for &shape in &self.shape_of_layer[held.layers.clone()] {
            counts[shape] += 1;
        }
        let number = u32::try_from(stage).expect("a plan has fewer than 2^32 stages");
        Sort {
            counts,
            mtp: u32::try_from(held.mtp_layers).expect("few modules"),
            embedding: held.embedding,
            embeds: held.embedding && !held.layers.is_empty(),
            head: held.head,
            pipeline: if apart {
                layout.pipeline_of_stage(number)
            } else {
                0
            },
        }
    }

    fn member(
        &self,
        rank: u32,
        chunks: Vec<usize>,
        sorts: &[Sort],
        layers: LayerKey,
        mesh: (MeshKey, ZeroStage),
    ) -> Member {
        let (plan, cell) = (&self.whole, &self.layers[&layers]);
        let shapes = self.meshes[&mesh].data_shapes;
        let sharded = plan.layout.zero != ZeroStage::None;
        let bits = plan.training.formats.gradient_traffic.bits();
        let per_device = |[reduced, _]: [[Bytes; 2]; 2]| reduced.map(|bytes| bytes.get() * 8 / bits);
        let mut owned = 0;
        for sort in chunks.iter().map(|&at| &sorts[at]) {
            let ends = Ends {
                embedding: sort.embedding,
                head: sort.head,
            };
            let mut counts = [ends.count(plan), 0];
            let units = cell.parameters.iter().copied().zip(sort.counts.iter().copied());
            for (bytes, many) in units.chain([(cell.mtp_parameters, sort.mtp)]) {
                for (count, each) in counts.iter_mut().zip(per_device(bytes)) {
                    *count += each * u64::from(many);
                }
            }
            for (count, shape) in counts.into_iter().zip(shapes) {
                owned += if sharded {
                    count.div_ceil(u64::from(shape.ranks))
                } else {
                    count
                };
            }
        }
        let [norm, update] = update(&self.model, &Shapes::new(plan), owned);
        Member {
            chunks,
            update: norm.then(update).alone,
            statics: (statics(plan, rank).saturating_sub(context_buffers(plan))).get(),
        }
    }
}

impl Stages {
    /// The member of each pipeline rank.
    pub(super) fn ranks(&self) -> &[usize] {
        &self.ranks
    }

    /// The parts of every member.
    pub(super) fn parts(&self, layers: &LayerCell, exchanged: &Exchanged, mesh: &MeshCell) -> Vec<RankParts> {
        let sorts: Vec<RankParts> = self
            .sorts
            .iter()
            .map(|sort| self.sum(sort, layers, exchanged, mesh))
            .collect();
        self.members
            .iter()
            .map(|member| {
                let mut parts = RankParts::default();
                for &sort in &member.chunks {
                    add_times(&mut parts, &sorts[sort], 1);
                }
                parts.update.alone = member.update;
                parts
            })
            .collect()
    }

    fn sum(&self, sort: &Sort, layers: &LayerCell, exchanged: &Exchanged, mesh: &MeshCell) -> RankParts {
        let mut parts = RankParts::default();
        let mut exchange = SimDuration::ZERO;
        let last = self.last_shape;
        for (shape, &many) in sort.counts.iter().enumerate() {
            add_times(&mut parts, &layers.units[shape], many);
            add_times(&mut parts, &mesh.traffic[shape], many);
            exchange += exchanged.time(shape, sort.pipeline) * u64::from(many);
        }
        add_times(&mut parts, &layers.mtp, sort.mtp);
        add_times(&mut parts, &mesh.mtp, sort.mtp);
        exchange += exchanged.time(last, sort.pipeline) * u64::from(sort.mtp);
        parts.forward.exchange += exchange;
        parts.backward.exchange += exchange * layers.backward_exchanges;
        let heads = if sort.head { 1 + sort.mtp } else { 0 };
        add_times(&mut parts, &layers.head, heads);
        add_times(&mut parts, &layers.embedding, u32::from(sort.embeds));
        let ends = usize::from(sort.embedding) + 2 * usize::from(sort.head);
        add_times(&mut parts, &mesh.ends[ends], u32::from(ends > 0));
        parts
    }

    /// The most that a rank holds, what of it is there all the time, and the rank.
    pub(super) fn peak(&self, layers: &LayerCell, flights: &[Vec<Moment>]) -> [u64; 3] {
        let sorts: Vec<ChunkBytes> = self.sorts.iter().map(|sort| self.bytes(sort, layers)).collect();
        let members: Vec<Vec<ChunkBytes>> = self
            .members
            .iter()
            .map(|member| member.chunks.iter().map(|&sort| sorts[sort]).collect())
            .collect();
        let mut most = [0; 3];
        for (rank, (&member, moments)) in self.ranks.iter().zip(flights).enumerate() {
            let held = moments.iter().map(|moment| moment.bytes(&members[member])).max();
            let held = u64::try_from(held.unwrap_or(0)).unwrap_or(0);
            let statics = self.members[member].statics + layers.context_held;
            if statics + held > most[0] {
                most = [statics + held, statics, rank as u64];
            }
        }
        most
    }

    fn bytes(&self, sort: &Sort, layers: &LayerCell) -> ChunkBytes {
        let mut sum = ChunkBytes::default();
        let units = sort.counts.iter().copied().enumerate();
        for (shape, many) in units.chain([(self.last_shape, sort.mtp)]) {
            let [held, again] = layers.held[shape];
            for _ in 0..many {
                sum.add_layer(held, again);
            }
        }
        if sort.head {
            sum.add_head(layers.head_held);
        }
        sum
    }
}

impl Exchanged {
    /// Dispatch and combine of a layer of `shape` on a pipeline rank.
    fn time(&self, shape: usize, pipeline: u32) -> SimDuration {
        let times = &self.times[shape];
        times
            .get(pipeline as usize)
            .or(times.first())
            .copied()
            .unwrap_or_default()
    }
}
