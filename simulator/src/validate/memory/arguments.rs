//! Arguments of Megatron-LM that bear on memory and are no part of a scenario.

use orrery_workload::memory::{CrossEntropy, KeptTensors, MegatronChoices};
use serde_json::{Map, Value};

/// Arguments as they stand in a table.
#[derive(Clone, Debug)]
pub(super) struct Arguments(Map<String, Value>);

/// Arguments on which memory depends, beside the sizes of the model.
const BEARING: [&str; 14] = [
    "attention-backend",
    "context-parallel-size",
    "cross-entropy-loss-fusion",
    "expert-model-parallel-size",
    "fp8-format",
    "num-distributed-optimizer-instances",
    "num-layers-per-virtual-pipeline-stage",
    "optimizer",
    "pipeline-model-parallel-size",
    "recompute-granularity",
    "swiglu",
    "tensor-model-parallel-size",
    "use-distributed-optimizer",
    "use-megatron-fsdp",
];

impl Arguments {
    /// Reads a JSON object of arguments.
    pub(super) fn parse(text: &str) -> Option<Self> {
        match serde_json::from_str(text).ok()? {
            Value::Object(object) => Some(Self(object)),
            _ => None,
        }
    }

    fn value(&self, name: &str) -> Option<&Value> {
        self.0.get(&format!("--{name}")).filter(|value| **value != Value::Bool(false))
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

    /// The arguments on which memory depends, as one text.
    pub(super) fn bearing(&self) -> String {
        BEARING.map(|name| self.value(name).map_or_else(String::new, Value::to_string)).join("|")
    }

    /// What they choose, on a device of this generation.
    pub(super) fn choices(&self, is_hopper: bool) -> MegatronChoices {
        let local = self.text("transformer-impl") == Some("local");
        let backend = self.text("attention-backend");
        // Megatron-LM's default of both probabilities is 0.1.
        let drops = |name| self.number(name).unwrap_or(0.1) > 0.0;
        // Fused kernels of cuDNN read `sbhd` as it is; Transformer Engine takes them on Hopper where nothing is said.
        let core_copy = backend == Some("flash") || !is_hopper;
        let gated = self.has("swiglu");
        MegatronChoices {
            kept: KeptTensors {
                scores: local || backend == Some("unfused"),
                score_dropout: drops("attention-dropout"),
                hidden_dropout: drops("hidden-dropout"),
                core_copy,
                head_norms: self.has("qk-layernorm"),
                weighted_activation: !gated && self.has("no-bias-gelu-fusion"),
            },
            transformer_engine: !local || self.has("num-experts"),
            deterministic: self.has("deterministic-mode"),
            cross_entropy: if self.has("cross-entropy-loss-fusion") {
                CrossEntropy::Fused
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
            tensor_overlap: self.has("tp-comm-overlap"),
            optimizer_instances: self.count("num-distributed-optimizer-instances").unwrap_or(1),
            microbatch_group: self.count("microbatch-group-size-per-virtual-pipeline-stage"),
        }
    }
}
