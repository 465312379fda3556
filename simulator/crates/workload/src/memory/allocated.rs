//! The most bytes that PyTorch's allocator hands out on the last rank of a run of Megatron-Core.
//!
//! The last rank holds the last stage. The most is reached in the loss, when the activations of the last chunk and
//! the logits are there together. Buffers of NCCL and the context of the device are outside the allocator, and
//! fragments of its blocks are not counted.

use orrery_operation::Precision;
use orrery_scenario::plan::{Law, Layer, MlpShape, Plan, VirtualStage, ZeroStage};
use orrery_units::Bytes;

use super::muon::muon_states;
use super::parameters::{RankParameters, rank_parameters, stages_of};
use super::statics::{StaticMemory, share};
use super::{ActivationMemory, Cause, KeptTensors, Muon};

/// One mebibyte.
const MEBIBYTE: u64 = 1 << 20;

/// Threads that multiply with cuBLAS: that of forward and autograd's. PyTorch keeps a handle, and with it a workspace,
/// for each (`CUDABlas.cpp`, `getCUDABlasWorkspace`).
const CUBLAS_THREADS: u64 = 2;

/// Workspace of a handle under `CUBLAS_WORKSPACE_CONFIG=:4096:8`, which `--deterministic-mode` asks for, and PyTorch's
/// default from Hopper on: 8 buffers of 4,096 KiB.
const CUBLAS_LARGE: u64 = 32 * MEBIBYTE;

/// PyTorch's default on other devices: `:4096:2:16:8`.
const CUBLAS_SMALL: u64 = (2 * 4096 + 8 * 16) << 10;

/// Workspace of Transformer Engine's products (`get_cublas_workspace_size_bytes`): before Hopper, and from it on.
const ENGINE_WORKSPACE: (u64, u64) = (4 * MEBIBYTE, 32 * MEBIBYTE);

/// Streams of a grouped product in Transformer Engine, with a workspace each (`get_multi_stream_cublas_workspace`).
const GROUPED_STREAMS: u64 = 4;

/// Copies of the workspace for products that overlap with tensor-parallel traffic (`_NUM_MAX_UB_STREAMS`); one of them
/// is the one that all others use.
const OVERLAP_STREAMS: u64 = 3;

/// Assignments that reach the experts of the last rank when they are most, over an even share, in per cent, where
/// routing is not even by force: the one constant here that is fitted, to the rows of test cases with experts (69 rows
/// of tests/truth/megatron_ci_memory.csv.gz; from 100 to 130 the mean error of all rows moves by 0.2 of a point).
const NATURAL_LOAD: u64 = 115;

/// How the loss is computed from the logits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrossEntropy {
    /// Logits as they came, and one copy in FP32 that becomes the softmax in place (`cross_entropy.py`).
    Plain,
    /// The fused version, whose functions return new tensors instead of working in place (`fused_cross_entropy.py`).
    Fused {
        /// Copies in FP32 that the compiled functions hold at their fullest: two since PyTorch materialises nothing
        /// between them, more before.
        copies: u64,
    },
}

/// What Megatron-Core was told that bears on memory, beside the plan.
#[derive(Clone, Copy, Debug)]
pub struct MegatronChoices {
    /// What a layer leaves behind.
    pub kept: KeptTensors,
    /// Whether linear layers are those of Transformer Engine.
    pub transformer_engine: bool,
    /// Whether cuBLAS is held to large workspaces so that results repeat.
    pub deterministic: bool,
    /// Whether PyTorch gives Blackwell the workspaces of Hopper where nothing asks for them, as it does since pull
    /// request 175344 of February 2026.
    pub large_on_blackwell: bool,
    /// How the loss is computed.
    pub cross_entropy: CrossEntropy,
    /// Microbatches whose weight gradient of the head is put off, with their logits' gradients.
    pub deferred_heads: u64,
    /// Whether the data loader makes an attention mask, a byte an element.
    pub mask: bool,
    /// Whether products of experts are grouped.
    pub grouped_experts: bool,
    /// Whether the attention core has a buffer of its scores that stays, one for all layers: Megatron-Core's own, which
    /// multiplies into it (`dot_product_attention.py`, `get_global_memory_buffer`).
    pub core_buffer: bool,
    /// Whether tensor-parallel traffic overlaps with products.
    pub tensor_overlap: bool,
    /// Groups of data-parallel ranks that each hold the whole optimiser.
    pub optimizer_instances: u64,
    /// Whether the run went on from a checkpoint that ranks loaded in parts and exchanged (`exchange_utils.py`).
    pub parallel_load: bool,
    /// Where matrices have one momentum: how their states lie. Otherwise the optimiser is Adam.
    pub muon: Option<Muon>,
    /// Microbatches that a chunk runs in a row when interleaved; none for one per stage.
    pub microbatch_group: Option<u64>,
}

/// A part of what is allocated at the peak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AllocatedPart {
    /// Name for people.
    pub name: &'static str,
    /// How much it is.
    pub bytes: Bytes,
}

/// What the allocator holds at its fullest on the last rank, part by part.
#[must_use]
pub fn megatron_allocated(plan: &Plan, choices: &MegatronChoices) -> Vec<AllocatedPart> {
    let last = plan.layout.pp - 1;
    let chunks: Vec<Chunk> = stages_of(plan, last)
        .map(|stage| Chunk::new(plan, choices, stage))
        .collect();
    let part = |name, bytes| AllocatedPart { name, bytes };
    let head = head(plan, choices) + chunks.iter().map(|chunk| chunk.prediction).sum::<Bytes>();
    let again = chunks
        .iter()
        .map(|chunk| chunk.recomputed)
        .max()
        .unwrap_or(Bytes::ZERO);
    vec![
        part("parameters and gradients", held(plan, last)),
        part(
            "optimizer states",
            match choices.muon {
                Some(muon) => muon_states(plan, last, muon),
                None => optimizer(plan, last, choices.optimizer_instances),
            },
        ),
        part(
            "embedding of prediction modules",
            prediction_embedding(plan, last, choices),
        ),
        part("shards exchanged while loading", exchanged(plan, last, choices)),
        part("activations in flight", in_flight(plan, choices, &chunks)),
        part("logits and loss, or a layer recomputed", head.max(again)),
        part("workspaces", workspaces(plan, choices)),
        part("masks and buffers", small(plan, choices)),
    ]
}

/// Moments of the last rank that a resumed run may hold twice: those into which a checkpoint was loaded, beside those to
/// which the optimiser copied them.
///
/// Worked: 8 bytes a parameter of the rank, divided among data-parallel ranks where the optimiser is.
#[must_use]
pub fn megatron_loaded_moments(plan: &Plan, choices: &MegatronChoices) -> Bytes {
    let last = plan.layout.pp - 1;
    let format = plan.training.formats.moments;
    optimizer_share(plan, last, choices.optimizer_instances, format) * 2
}

fn held(plan: &Plan, last: u32) -> Bytes {
    StaticMemory::of(plan, last)
        .into_iter()
        .filter(|&(cause, _)| matches!(cause, Cause::Weights | Cause::Gradients))
        .map(|(_, bytes)| bytes)
        .sum()
}

/// What passes through the rank while a checkpoint is loaded in parts and is still there in the first step.
///
/// Each shard that several ranks of a data-parallel group need is loaded by one and broadcast to all. Who does not need it
/// takes part with a tensor that it drops without waiting, which PyTorch keeps until it has seen the broadcast done. That
/// none is seen done before the first step is the most that can be; how many are depends on the machine. Such shards are
/// those of other ranks' experts: their parameters where they have copies, and their states where the optimiser does, with
/// the states of the other ranks of a group of the optimiser.
///
/// Worked: 19.8 M parameters and 50.3 M of experts, two groups of the optimiser on four ranks of which two share experts:
/// 50.3 · (2 + 12) + 19.8 · 12 / 2 = 823 MB.
fn exchanged(plan: &Plan, last: u32, choices: &MegatronChoices) -> Bytes {
    let (layout, formats) = (&plan.layout, plan.training.formats);
    let parameters = rank_parameters(plan, last);
    let ranks = u64::from(layout.dp) * u64::from(layout.cp);
    let copies = u64::from(layout.expert_dp()).max(1);
    if !choices.parallel_load {
        return Bytes::ZERO;
    }
    let others = (ranks / copies).max(1) - 1;
    let states = |numbers| formats.master.bytes_of(numbers) + formats.moments.bytes_of(numbers) * 2;
    let of_others = |bytes: Bytes| if copies > 1 { bytes * others } else { Bytes::ZERO };
    let weights = of_others(formats.weights.bytes_of(parameters.experts));
    if layout.zero < ZeroStage::Optimizer {
        return weights + of_others(states(parameters.experts));
    }
    let groups = choices.optimizer_instances;
    if groups < 2 {
        return weights;
    }
    let rest = |numbers, parts: u64| states(numbers) * (parts.max(1) - 1) / parts.max(1);
    weights
        + rest(parameters.dense, ranks / groups)
        + rest(parameters.experts, copies / groups)
        + of_others(states(parameters.experts))
}

/// A copy of the embedding for prediction modules on a rank that has neither it nor a head that is tied to it
/// (`gpt_model.py`), with its gradients and states.
///
/// Worked: 50,304 by 512 with 6 bytes of parameters and gradients and 12 of states: 442 MiB.
fn prediction_embedding(plan: &Plan, last: u32, choices: &MegatronChoices) -> Bytes {
    let has = |of: fn(&VirtualStage) -> bool| stages_of(plan, last).any(of);
    let model = &plan.model;
    if !has(|stage| stage.mtp_layers > 0) || has(|stage| stage.embedding) || model.tied_embeddings {
        return Bytes::ZERO;
    }
    let copy = RankParameters {
        dense: (model.vocab * model.hidden).div_ceil(u64::from(plan.layout.tp)),
        experts: 0,
    };
    let (formats, zero) = (plan.training.formats, plan.layout.zero);
    let instances = choices.optimizer_instances.max(1);
    let states = |format| {
        share(
            plan,
            copy,
            format,
            (zero >= ZeroStage::Optimizer).then_some(instances),
        )
    };
    share(
        plan,
        copy,
        formats.weights,
        (zero >= ZeroStage::Parameters).then_some(1),
    ) + share(
        plan,
        copy,
        formats.gradients,
        (zero >= ZeroStage::Gradients).then_some(1),
    ) + states(formats.master)
        + states(formats.moments) * 2
}

/// Master parameters and moments, divided within each of `instances` groups of data-parallel ranks.
fn optimizer(plan: &Plan, last: u32, instances: u64) -> Bytes {
    let formats = plan.training.formats;
    let held = |format| optimizer_share(plan, last, instances, format);
    held(formats.master) + held(formats.moments) * 2
}

/// One number of `format` for each parameter of the rank, or for its share of them.
fn optimizer_share(plan: &Plan, last: u32, instances: u64, format: Precision) -> Bytes {
    let divided = plan.layout.zero >= ZeroStage::Optimizer;
    let parameters = rank_parameters(plan, last);
    share(plan, parameters, format, divided.then_some(instances.max(1)))
}

/// What one microbatch leaves behind in a chunk of the last rank.
struct Chunk {
    /// In its layers.
    layers: Bytes,
    /// In its prediction modules: a layer each, the inputs of norms and of the projection of two states to one, and
    /// the logits of its own loss, which come before those of the main one and stay until backward.
    prediction: Bytes,
    /// What the largest layer holds while it is computed again.
    recomputed: Bytes,
}

impl Chunk {
    fn new(plan: &Plan, choices: &MegatronChoices, stage: &VirtualStage) -> Self {
        let memory = ActivationMemory::with_kept(plan, choices.kept);
        let layers = &plan.model.layers[stage.layers.clone()];
        let one = |layer: &Layer| memory.layer(layer, routed(plan, layer));
        let module = plan.model.layers.last().map_or(Bytes::ZERO, one);
        let inputs = plan
            .training
            .formats
            .activations
            .bytes_of(6 * rows(plan).1 * plan.model.hidden);
        let own = module + inputs + logits(plan, Precision::Fp32) + logits(plan, Precision::Bf16);
        let again = layers
            .iter()
            .map(|layer| memory.recomputed(layer, routed(plan, layer)));
        Self {
            layers: layers.iter().map(one).sum(),
            prediction: own * stage.mtp_layers,
            recomputed: again.max().unwrap_or(Bytes::ZERO),
        }
    }
}

/// Activations when the last chunk reaches the loss: its own once, and those of the chunks before it for every
/// microbatch of a group (Narayanan et al. 2021, section 2.2: the last rank warms up with `(chunks − 1) · group`).
fn in_flight(plan: &Plan, choices: &MegatronChoices, chunks: &[Chunk]) -> Bytes {
    let group = choices
        .microbatch_group
        .unwrap_or_else(|| u64::from(plan.layout.pp));
    let group = group.min(plan.training.num_microbatches);
    let Some((last, before)) = chunks.split_last() else {
        return Bytes::ZERO;
    };
    before.iter().map(|chunk| chunk.layers).sum::<Bytes>() * group + last.layers
}

/// The input of the final norm and of the head, and the logits with what the loss makes of them.
///
/// Worked: 4,096 tokens and a vocabulary of 50,304: 393 MiB in BF16 and 786 MiB in FP32.
fn head(plan: &Plan, choices: &MegatronChoices) -> Bytes {
    let formats = plan.training.formats;
    let (tokens, held) = rows(plan);
    let inputs = formats.activations.bytes_of(2 * held * plan.model.hidden);
    let (half, full) = (logits(plan, Precision::Bf16), logits(plan, Precision::Fp32));
    let loss = match choices.cross_entropy {
        CrossEntropy::Plain => half + full,
        CrossEntropy::Fused { copies } => half + full * copies,
    };
    let deferred = half + formats.activations.bytes_of(tokens * plan.model.hidden);
    inputs + loss + deferred * choices.deferred_heads
}

fn logits(plan: &Plan, format: Precision) -> Bytes {
    format.bytes_of((rows(plan).0 * plan.model.vocab).div_ceil(u64::from(plan.layout.tp)))
}

/// Tokens of a microbatch on a rank: in products, and between blocks.
fn rows(plan: &Plan) -> (u64, u64) {
    let (layout, training) = (&plan.layout, &plan.training);
    let tokens = training.micro_batch * training.sequence_length / u64::from(layout.cp);
    let held = if layout.sequence_parallel {
        tokens.div_ceil(u64::from(layout.tp))
    } else {
        tokens
    };
    (tokens, held)
}

/// Assignments that reach a rank's experts: each rank brings `held · top_k`, and every part
/// of an expert sees the tokens of the ranks that share it.
fn routed(plan: &Plan, layer: &Layer) -> u64 {
    match layer.mlp {
        MlpShape::Moe { top_k, .. } => {
            let even = rows(plan).1 * top_k * u64::from(plan.layout.expert_tp);
            // One rank holds every expert, and with them every assignment.
            let alone = plan.layout.ep == 1 || plan.routing.law == Law::Balanced;
            even * if alone { 100 } else { NATURAL_LOAD } / 100
        }
        MlpShape::Dense { .. } => 0,
    }
}

/// Workspaces of cuBLAS and of Transformer Engine.
///
/// Worked: a deterministic run on A100: 2 · 32 + 4 = 68 MiB; on H100 2 · 32 + 32 = 96 MiB. On Blackwell 2 · 8.125 + 32
/// = 48.25 MiB where neither the run nor PyTorch asks for large ones.
fn workspaces(plan: &Plan, choices: &MegatronChoices) -> Bytes {
    let before_hopper = matches!(
        plan.cluster.device.architecture.as_str(),
        "Ampere" | "Volta" | "Ada"
    );
    let is_small = before_hopper
        || plan.cluster.device.architecture.starts_with("Blackwell") && !choices.large_on_blackwell;
    let cublas = if choices.deterministic || !is_small {
        CUBLAS_LARGE
    } else {
        CUBLAS_SMALL
    };
    let mut bytes = cublas * CUBLAS_THREADS;
    if choices.transformer_engine {
        let one = if before_hopper {
            ENGINE_WORKSPACE.0
        } else {
            ENGINE_WORKSPACE.1
        };
        let mut copies = 1;
        if choices.grouped_experts && plan.model.has_experts() {
            copies += GROUPED_STREAMS;
        }
        if choices.tensor_overlap {
            copies += OVERLAP_STREAMS - 1;
        }
        bytes += one * copies;
    }
    Bytes::new(bytes)
}

/// A buffer of the scores of a microbatch.
///
/// Worked: 4 sequences of 1,024 tokens and 8 heads in BF16: 64 MiB.
fn core_buffer(plan: &Plan) -> Bytes {
    let (layout, training) = (&plan.layout, &plan.training);
    let heads = plan.model.layers.iter().map(|layer| layer.attention.heads());
    let heads = heads.max().unwrap_or(0).div_ceil(u64::from(layout.tp));
    let rows = training.micro_batch * training.sequence_length / u64::from(layout.cp) * heads;
    training
        .formats
        .attention
        .bytes_of(rows * training.sequence_length)
}

/// The attention mask of a microbatch, the mask of the embedding's dropout, the core's buffer, and what is received from
/// and sent to the neighbouring stages: two tensors, and two more when chunks are interleaved.
fn small(plan: &Plan, choices: &MegatronChoices) -> Bytes {
    let (tokens, held) = rows(plan);
    let (hidden, sequence) = (plan.model.hidden, plan.training.sequence_length);
    let mask = if choices.mask {
        plan.training.micro_batch * sequence * sequence
    } else {
        0
    };
    let embedding = if choices.kept.hidden_dropout && plan.layout.pp == 1 {
        tokens * hidden
    } else {
        0
    };
    let tensors = match (plan.layout.pp, plan.layout.schedule.chunks) {
        (1, _) => 0,
        (_, 1) => 2,
        _ => 4,
    };
    let buffer = if choices.core_buffer {
        core_buffer(plan)
    } else {
        Bytes::ZERO
    };
    Bytes::new(mask + embedding)
        + buffer
        + plan
            .training
            .formats
            .activations
            .bytes_of(tensors * held * hidden)
}
