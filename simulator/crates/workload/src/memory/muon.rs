//! States of an optimiser that treats matrices and vectors apart, whole or shared out tensor by tensor.
//!
//! Muon keeps one momentum for each matrix of a layer, and Adam's two moments for what else there is: embeddings, head,
//! norms and biases (Megatron-Core, `emerging_optimizers.py`). Its layer-wise distributed optimiser gives whole tensors to
//! data-parallel ranks (`layer_wise_optimizer.py`). Norms of single heads are not among the tensors.

use orrery_scenario::plan::{AttentionShape, Layer, MlpShape, Plan, VirtualStage};
use orrery_units::Bytes;

use super::parameters::stages_of;

/// How Muon's states lie on data-parallel ranks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Muon {
    /// Each tensor's states are on one rank; otherwise every rank has all.
    pub by_tensor: bool,
    /// Norms have biases.
    pub norm_biases: bool,
}

/// A parameter of one rank.
#[derive(Clone, Copy, Debug)]
struct Tensor {
    numbers: u64,
    /// A matrix of a layer, which has one momentum.
    is_matrix: bool,
}

/// Tensors by which ranks hold copies of them.
#[derive(Debug, Default)]
struct Tensors {
    dense: Vec<Tensor>,
    experts: Vec<Tensor>,
}

/// Master parameters and momenta on the last data-parallel rank of pipeline rank `pipeline`.
///
/// Worked: 12 layers of 512 with an expert of 1,024 on each of eight ranks, 50,304 tied embeddings: the last of them has 8
/// bytes for each number of its experts, and by tensor 12 for each of the embedding, which is the 88th by size.
pub(super) fn muon_states(plan: &Plan, pipeline: u32, muon: Muon) -> Bytes {
    let formats = plan.training.formats;
    let state = |tensor: &Tensor| {
        let moments = formats.moments.bytes_of(tensor.numbers);
        let twice = if tensor.is_matrix { 1 } else { 2 };
        formats.master.bytes_of(tensor.numbers) + moments * twice
    };
    let mut all = Tensors::default();
    for stage in stages_of(plan, pipeline) {
        all.push_stage(plan, muon, stage);
    }
    let layout = &plan.layout;
    let (dense, experts) = if muon.by_tensor {
        (
            u64::from(layout.dp) * u64::from(layout.cp),
            u64::from(layout.expert_dp()),
        )
    } else {
        (1, 1)
    };
    let held = |tensors, ranks| last_share(tensors, ranks).iter().map(state).sum::<Bytes>();
    held(all.dense, dense) + held(all.experts, experts)
}

/// What the last of `ranks` is given of `tensors`: from the smallest to the largest they are dealt to the first rank, and so
/// on to the last, and back to the first.
fn last_share(mut tensors: Vec<Tensor>, ranks: u64) -> Vec<Tensor> {
    tensors.sort_by_key(|tensor| tensor.numbers);
    let turns = (0..2 * ranks).cycle();
    let is_last = |turn: u64| turn + 1 == ranks || turn == ranks;
    tensors
        .into_iter()
        .zip(turns)
        .filter(|&(_, turn)| is_last(turn))
        .map(|(tensor, _)| tensor)
        .collect()
}

impl Tensors {
    fn push_stage(&mut self, plan: &Plan, muon: Muon, stage: &VirtualStage) {
        let (model, tp) = (&plan.model, u64::from(plan.layout.tp));
        let hidden = model.hidden;
        for layer in &model.layers[stage.layers.clone()] {
            self.push_layer(plan, muon, layer);
        }
        for _ in 0..stage.mtp_layers {
            if let Some(last) = model.layers.last() {
                self.push_layer(plan, muon, last);
            }
            self.matrix((2 * hidden * hidden).div_ceil(tp));
            (0..3).for_each(|_| self.norm(hidden, muon));
        }
        let matrix = (model.vocab * hidden).div_ceil(tp);
        if stage.embedding {
            self.vector(matrix);
            if model.learned_positions > 0 {
                self.vector(model.learned_positions * hidden);
            }
        }
        if stage.head {
            if !(model.tied_embeddings && stage.embedding) {
                self.vector(matrix);
            }
            self.norm(hidden, muon);
        }
    }

    fn push_layer(&mut self, plan: &Plan, muon: Muon, layer: &Layer) {
        let (hidden, tp) = (plan.model.hidden, u64::from(plan.layout.tp));
        self.norm(hidden, muon);
        self.norm(hidden, muon);
        self.push_attention(&layer.attention, hidden, tp);
        match layer.mlp {
            MlpShape::Dense { width, gated } => {
                self.matrix((hidden * width * up(gated)).div_ceil(tp));
                self.matrix((hidden * width).div_ceil(tp));
            }
            MlpShape::Moe {
                experts,
                width,
                shared_width,
                gated,
                ..
            } => {
                self.matrix(hidden * experts);
                if shared_width > 0 {
                    self.matrix((hidden * shared_width * up(gated)).div_ceil(tp));
                    self.matrix((hidden * shared_width).div_ceil(tp));
                }
                let parts = u64::from(plan.layout.expert_tp);
                for _ in 0..experts / u64::from(plan.layout.ep) {
                    for numbers in [hidden * width * up(gated), hidden * width] {
                        let numbers = numbers.div_ceil(parts);
                        self.experts.push(Tensor {
                            numbers,
                            is_matrix: true,
                        });
                    }
                }
            }
        }
    }

    fn push_attention(&mut self, attention: &AttentionShape, hidden: u64, tp: u64) {
        match *attention {
            AttentionShape::Grouped {
                heads,
                kv_heads,
                head_dim,
                bias,
                ..
            } => {
                let width = ((heads + 2 * kv_heads) * head_dim).div_ceil(tp);
                self.matrix(hidden * width);
                self.matrix((hidden * heads * head_dim).div_ceil(tp));
                if bias {
                    self.vector(width);
                    self.vector(hidden);
                }
            }
            AttentionShape::Latent {
                heads,
                q_rank,
                kv_rank,
                nope_dim,
                rope_dim,
                v_dim,
            } => {
                let query = heads * (nope_dim + rope_dim);
                if let Some(rank) = q_rank {
                    self.matrix(hidden * rank);
                    self.vector(rank);
                }
                self.matrix((q_rank.unwrap_or(hidden) * query).div_ceil(tp));
                self.matrix(hidden * (kv_rank + rope_dim));
                self.vector(kv_rank);
                self.matrix((kv_rank * heads * (nope_dim + v_dim)).div_ceil(tp));
                self.matrix((hidden * heads * v_dim).div_ceil(tp));
            }
        }
    }

    fn matrix(&mut self, numbers: u64) {
        self.dense.push(Tensor {
            numbers,
            is_matrix: true,
        });
    }

    fn vector(&mut self, numbers: u64) {
        self.dense.push(Tensor {
            numbers,
            is_matrix: false,
        });
    }

    fn norm(&mut self, width: u64, muon: Muon) {
        for _ in 0..=u64::from(muon.norm_biases) {
            self.vector(width);
        }
    }
}

/// Matrices up for each one down.
const fn up(gated: bool) -> u64 {
    if gated { 2 } else { 1 }
}

#[cfg(test)]
mod tests {
    use orrery_scenario::plan::{Gate, Law, Recompute};

    use super::super::fixture::{Gpt, deep_seek_v3};
    use super::super::parameters::rank_parameters;
    use super::*;

    /// Ten tensors on four ranks: the example of Megatron-Core.
    /// Tensor by tensor there are as many numbers as the rank has parameters, without the biases of gates, which no
    /// optimiser moves.
    #[test]
    fn tensors_are_all_parameters() {
        let muon = Muon {
            by_tensor: false,
            norm_biases: false,
        };
        let gpt = Gpt {
            layers: 12,
            hidden: 512,
            heads: 8,
            vocab: 50_304,
            sequence: 1024,
            tp: 1,
            pp: 2,
            dp: 4,
            chunks: 1,
            micro_batch: 4,
            num_microbatches: 8,
            sequence_parallel: false,
            recompute: Recompute::None,
        };
        for plan in [deep_seek_v3(Law::Balanced), gpt.plan()] {
            for pipeline in 0..plan.layout.pp {
                let (mut all, mut biases) = (Tensors::default(), 0);
                for stage in stages_of(&plan, pipeline) {
                    all.push_stage(&plan, muon, stage);
                    let layers = plan.model.layers[stage.layers.clone()].iter();
                    let predicting = plan.model.layers.last().into_iter().cycle();
                    let predicting = predicting.take(stage.mtp_layers as usize);
                    biases += layers.chain(predicting).map(gate_biases).sum::<u64>();
                }
                let count = |tensors: &[Tensor]| tensors.iter().map(|tensor| tensor.numbers).sum::<u64>();
                let parameters = rank_parameters(&plan, pipeline);
                assert_eq!(
                    (count(&all.dense) + biases, count(&all.experts)),
                    (parameters.dense, parameters.experts),
                    "{}, pipeline rank {pipeline}",
                    plan.model.name
                );
            }
        }
    }

    fn gate_biases(layer: &Layer) -> u64 {
        match layer.mlp {
            MlpShape::Moe {
                experts,
                gate: Gate::SigmoidBias,
                ..
            } => experts,
            _ => 0,
        }
    }

    #[test]
    fn tensors_are_dealt_forth_and_back() {
        let tensors = |numbers: std::ops::Range<u64>| -> Vec<Tensor> {
            let tensor = |numbers| Tensor {
                numbers,
                is_matrix: true,
            };
            numbers.rev().map(tensor).collect()
        };
        let share = |ranks| -> Vec<u64> {
            let share = last_share(tensors(0..10), ranks);
            share.iter().map(|tensor| tensor.numbers).collect()
        };
        assert_eq!(share(4), [3, 4]);
        assert_eq!(share(2), [1, 2, 5, 6, 9]);
        assert_eq!(share(1), (0..10).collect::<Vec<_>>());
    }
}
