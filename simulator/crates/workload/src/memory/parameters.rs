//! Parameters that one rank holds.

use orrery_scenario::plan::Plan;
use orrery_scenario::plan::{AttentionShape, Layer, MlpShape, VirtualStage};

/// Parameters on one rank, split by which ranks hold copies of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RankParameters {
    /// Copied on every data- and context-parallel rank.
    pub dense: u64,
    /// Copied on every expert-data-parallel rank.
    pub experts: u64,
}

impl RankParameters {
    /// Both.
    #[must_use]
    pub const fn total(self) -> u64 {
        self.dense + self.experts
    }

    const fn and(self, other: Self) -> Self {
        Self {
            dense: self.dense + other.dense,
            experts: self.experts + other.experts,
        }
    }
}

/// Parameters of attention that every tensor-parallel rank holds whole: the down-projections and norms of latent
/// attention (Megatron-Core splits only its up- and output projections).
///
/// Worked: DeepSeek-V3: 7168 · (1536 + 576) + 1536 + 512 = 15,140,864.
const fn replicated(attention: &AttentionShape, hidden: u64) -> u64 {
    match *attention {
        AttentionShape::Grouped { .. } => 0,
        AttentionShape::Latent {
            q_rank,
            kv_rank,
            rope_dim,
            ..
        } => {
            let query = match q_rank {
                Some(rank) => hidden * rank + rank,
                None => 0,
            };
            query + hidden * (kv_rank + rope_dim) + kv_rank
        }
    }
}

/// Parameters of one layer on one rank: matrices split among tensor-parallel ranks, norms and router whole,
/// experts split among expert-parallel and expert-tensor-parallel ranks.
///
/// Worked: a GPT-3 175B layer with TP 8: (4 + 8) · 12288² / 8, biases of attention 4 · 12288 / 8, norms 2 · 12288
/// = 226,523,136.
#[must_use]
pub fn layer_parameters(plan: &Plan, layer: &Layer) -> RankParameters {
    let (hidden, tp) = (plan.model.hidden, u64::from(plan.layout.tp));
    let attention = layer.attention.parameters(hidden);
    let whole = replicated(&layer.attention, hidden);
    let mlp = layer.mlp.parameters(hidden);
    let (split_mlp, whole_mlp) = match layer.mlp {
        MlpShape::Dense { .. } => (mlp.dense, 0),
        MlpShape::Moe {
            shared_width, gated, ..
        } => {
            let shared = (if gated { 3 } else { 2 }) * hidden * shared_width;
            (shared, mlp.dense - shared)
        }
    };
    let expert_ranks = u64::from(plan.layout.ep) * u64::from(plan.layout.expert_tp);
    RankParameters {
        dense: (attention - whole + split_mlp).div_ceil(tp) + whole + whole_mlp + 2 * hidden,
        experts: mlp.experts.div_ceil(expert_ranks),
    }
}

/// Parameters that a multi-token-prediction module has on one rank beside its layer: a `2 h x h` projection and three norms
/// (DeepSeek-V3, section 2.2).
///
/// Worked: DeepSeek-V3: 2 · 7168² + 3 · 7168 = 102,781,952.
#[must_use]
pub fn mtp_parameters(plan: &Plan) -> u64 {
    let hidden = plan.model.hidden;
    (2 * hidden * hidden).div_ceil(u64::from(plan.layout.tp)) + 3 * hidden
}

/// Parameters of embedding and head of one virtual stage on one rank. A tied head on another stage than the embedding is a copy of it,
/// as Megatron-Core keeps one; multi-token-prediction modules use the embedding and head of their rank.
fn ends_parameters(plan: &Plan, stage: &VirtualStage) -> u64 {
    let (model, tp) = (&plan.model, u64::from(plan.layout.tp));
    let mut sum = 0;
    if stage.embedding {
        sum += model.embedding_parameters().div_ceil(tp);
    }
    if stage.head {
        // Along a V, both ends are on the first rank and share one matrix.
        let apart = !stage.embedding && !plan.layout.schedule.is_v_shaped();
        let copied = if model.tied_embeddings && apart {
            model.vocab * model.hidden
        } else {
            0
        };
        sum += (model.head_parameters() + copied).div_ceil(tp);
    }
    sum
}

/// Parameters of one virtual stage on one rank.
fn stage_parameters(plan: &Plan, stage: &VirtualStage) -> RankParameters {
    let model = &plan.model;
    let layers = &model.layers[stage.layers.clone()];
    let mut sum = layers.iter().fold(RankParameters::default(), |sum, layer| {
        sum.and(layer_parameters(plan, layer))
    });
    sum.dense += ends_parameters(plan, stage);
    if let Some(last) = model.layers.last() {
        for _ in 0..stage.mtp_layers {
            sum = sum.and(layer_parameters(plan, last)).and(RankParameters {
                dense: mtp_parameters(plan),
                experts: 0,
            });
        }
    }
    sum
}

/// Virtual stages of pipeline rank `pipeline`, one per chunk; for DualPipe both of its stages.
pub(super) fn stages_of(plan: &Plan, pipeline: u32) -> impl Iterator<Item = &VirtualStage> {
    (0..plan.layout.schedule.chunks)
        .map(move |chunk| &plan.layout.stages[plan.layout.stage_index(pipeline, chunk) as usize])
}

/// Parameters on a rank of pipeline rank `pipeline`: all its chunks; for DualPipe, both of its stages.
#[must_use]
pub fn rank_parameters(plan: &Plan, pipeline: u32) -> RankParameters {
    stages_of(plan, pipeline).fold(RankParameters::default(), |sum, stage| {
        sum.and(stage_parameters(plan, stage))
    })
}

/// Those of [`rank_parameters`] that are embedding and head: copied on every data- and context-parallel rank.
#[must_use]
pub(super) fn rank_ends(plan: &Plan, pipeline: u32) -> RankParameters {
    RankParameters {
        dense: stages_of(plan, pipeline)
            .map(|stage| ends_parameters(plan, stage))
            .sum(),
        experts: 0,
    }
}
