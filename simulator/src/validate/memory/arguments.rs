//! Arguments of Megatron-LM that bear on memory and are no part of a scenario.

use orrery_workload::memory::{CrossEntropy, KeptTensors, MegatronChoices, Muon};
use serde_json::{Map, Value};

use super::recorded::Software;

/// Arguments as they stand in a table.
#[derive(Clone, Debug)]
pub(super) struct Arguments(Map<String, Value>);

/// Arguments on which memory depends, beside the sizes of the model and the choices that are read here.
const BEARING: [&str; 11] = [
    "context-parallel-size",
    "expert-model-parallel-size",
    "fp8-format",
    "num-layers-per-virtual-pipeline-stage",
    "optimizer",
    "pipeline-model-parallel-size",
    "recompute-granularity",
    "swiglu",
    "tensor-model-parallel-size",
    "use-distributed-optimizer",
    "use-megatron-fsdp",
];

/// What the framework takes where an argument is not there; saying it changes nothing.
const DEFAULTS: [&str; 2] = ["1", "\"adam\""];

impl Arguments {
    /// Reads a JSON object of arguments.
    pub(super) fn parse(text: &str) -> Option<Self> {
        match serde_json::from_str(text).ok()? {
            Value::Object(object) => Some(Self(object)),
            _ => None,
        }
    }

    /// With what a JSON object says instead: null takes an argument away. None of a text that is no JSON object.
    pub(super) fn changed(mut self, changes: &str) -> Option<Self> {
        let Ok(Value::Object(changes)) = serde_json::from_str(changes) else {
            return None;
        };
        self.0.extend(changes);
        self.0.retain(|_, value| !value.is_null());
        Some(self)
    }

    /// All of them as a JSON object.
    pub(super) fn text_of_all(self) -> String {
        Value::Object(self.0).to_string()
    }

    fn value(&self, name: &str) -> Option<&Value> {
        self.0
            .get(&format!("--{name}"))
            .filter(|value| **value != Value::Bool(false))
    }

    /// Whether `name` is there.
    pub(super) fn has(&self, name: &str) -> bool {
        self.value(name).is_some()
    }

    /// The text of `name`.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.value(name)?.as_str()
    }

    /// The number of `name`.
    fn number(&self, name: &str) -> Option<f64> {
        let value = self.value(name)?;
        value.as_f64().or_else(|| value.as_str()?.parse().ok())
    }

    /// The whole number of `name`.
    pub(super) fn count(&self, name: &str) -> Option<u64> {
        let value = self.value(name)?;
        value.as_u64().or_else(|| value.as_str()?.parse().ok())
    }

    /// What memory depends on, as one text.
    pub(super) fn bearing(&self, is_hopper: bool) -> String {
        let said = |name: &str| {
            let value = self.value(name).map(Value::to_string);
            value
                .filter(|value| !DEFAULTS.contains(&value.as_str()))
                .unwrap_or_default()
        };
        let choices = self.choices(is_hopper, &Software::default());
        let chosen = (
            choices.kept,
            choices.cross_entropy,
            choices.deferred_heads,
            choices.grouped_experts,
            choices.optimizer_instances,
        );
        format!("{chosen:?}|{}", BEARING.map(said).join("|"))
    }

    /// Whether ranks load a checkpoint in parts and exchange them as they are: the format of the optimiser that any layout
    /// can read is cut once more after the exchange.
    pub(super) fn exchanges_shards(&self) -> bool {
        self.text("ckpt-format") == Some("torch_dist")
            && self.has("ckpt-fully-parallel-load")
            && !self.has("dist-ckpt-optim-fully-reshardable")
    }

    /// What they choose, on a device of this generation and with this software.
    pub(super) fn choices(&self, is_hopper: bool, software: &Software) -> MegatronChoices {
        let local = self.text("transformer-impl") == Some("local");
        let backend = self.text("attention-backend");
        // Megatron-LM's default of both probabilities is 0.1.
        let drops = |name| self.number(name).unwrap_or(0.1) > 0.0;
        // Fused kernels of cuDNN read `sbhd` as it is; Transformer Engine takes them on Hopper where nothing is said.
        let deterministic = self.has("deterministic-mode");
        let none_else = backend.is_none() && deterministic && !software.repeatable_cores();
        let scores = local || backend == Some("unfused") || none_else;
        let in_fp32 = self.has("attention-softmax-in-fp32") || self.has("apply-query-key-layer-scaling");
        let core_copy = !scores && (backend == Some("flash") || !is_hopper);
        let gated = self.has("swiglu");
        MegatronChoices {
            kept: KeptTensors {
                scores,
                softmax_fp32: local && self.has("no-masked-softmax-fusion") && in_fp32,
                score_dropout: drops("attention-dropout"),
                hidden_dropout: drops("hidden-dropout"),
                core_copy,
                head_norms: self.has("qk-layernorm"),
                weighted_activation: !gated && self.has("no-bias-gelu-fusion"),
            },
            // Assumption: experts are Transformer Engine's even beside local layers. All three such cases of the table
            // hold 28 MiB more from Hopper on, which is the difference of its workspaces.
            transformer_engine: !local || self.has("num-experts"),
            deterministic,
            large_on_blackwell: software.large_on_blackwell(),
            cross_entropy: if self.has("cross-entropy-loss-fusion") {
                CrossEntropy::Fused {
                    copies: software.fused_copies(),
                }
            } else {
                CrossEntropy::Plain
            },
            deferred_heads: if self.has("defer-embedding-wgrad-compute") {
                self.count("wgrad-deferral-limit").unwrap_or(0)
            } else {
                0
            },
            mask: !self.has("no-create-attention-mask-in-dataloader"),
            grouped_experts: self.has("moe-grouped-gemm"),
            core_buffer: local,
            tensor_overlap: self.has("tp-comm-overlap"),
            optimizer_instances: self.count("num-distributed-optimizer-instances").unwrap_or(1),
            parallel_load: false,
            muon: (self.text("optimizer") == Some("muon")).then(|| Muon {
                by_tensor: self.has("use-distributed-optimizer"),
                norm_biases: self.text("normalization").is_none_or(|norm| norm == "LayerNorm"),
            }),
            microbatch_group: self.count("microbatch-group-size-per-virtual-pipeline-stage"),
        }
    }
}
