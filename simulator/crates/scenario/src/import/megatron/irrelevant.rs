//! Arguments that are not read, and why that is right.

/// Names, by reason. A name that ends with `*` is a prefix.
const REASONS: &[(&str, &[&str])] = &[
    (
        "optimisation schedule: changes numbers, not work",
        &[
            "lr", "lr-*", "min-lr", "weight-decay*", "clip-grad", "adam-*", "decoupled-lr", "decoupled-min-lr",
            "start-weight-decay", "end-weight-decay", "weight-decay-incr-style", "loss-scale", "init-method-*",
            "override-opt*", "use-checkpoint-opt*", "sgd-momentum", "attention-dropout", "hidden-dropout",
            "seed", "decoder-seq-length-*", "step-batch-size-*", "rampup-batch-size", "mtp-loss-scaling-factor",
        ],
    ),
    (
        "length of the run: the scenario sets its own steps",
        &["train-iters", "train-samples", "exit-*", "eval-*", "skip-train", "full-validation"],
    ),
    (
        "data and tokenizer: the simulator makes its own batches",
        &[
            "data-*", "split", "tokenizer-*", "vocab-file", "merge-file", "mock-data", "num-workers",
            "no-mmap-bin-files", "reset-*", "eod-mask-loss", "fim-*", "tiktoken-*", "no-create-attention-mask*",
            "dataloader-type", "train-data*", "valid-data*", "test-data*", "use-packed-sequence",
            "packing-buffer-size", "dataset-provider", "short-seq-prob", "mask-prob", "per-split-data*",
            "legacy-tokenizer", "vocab-extra-ids",
        ],
    ),
    (
        "checkpoints are not part of a step",
        &[
            "save*", "load", "load-*", "ckpt-*", "dist-ckpt-*", "use-dist-ckpt", "async-*", "finetune",
            "no-load-*", "no-save-*", "use-checkpoint-args", "use-persistent-ckpt-worker", "exit-on-*",
            "auto-detect-ckpt-format", "non-persistent-*", "verify-integrity", "check-weight-hash-*",
            "use-mp-args-*", "use-tokenizer-model-*", "pretrained-checkpoint", "language-model-checkpoint",
            "no-use-tokenizer-*", "fully-parallel-*", "replication*",
        ],
    ),
    (
        "logging and test harness",
        &[
            "log-*", "logging-*", "tensorboard-*", "wandb-*", "timing-*", "test-mode", "straggler-*",
            "record-memory-*", "memory-snapshot-*", "profile*", "use-pytorch-profiler", "no-log-*",
            "disable-straggler-*", "distributed-timeout-*", "distributed-backend", "enable-ft-*", "manual-gc*",
            "check-for-*", "no-check-for-*", "run-workload-*", "rerun-*", "error-injection-*", "rank*",
            "local-rank", "disable-gloo-*", "use-cpu-initialization", "enable-experimental", "high-priority-*",
            "empty-unused-memory-level", "te-rng-tracker", "inference-rng-tracker", "perform-initialization",
            "ft-*", "max-tokens-to-oom",
        ],
    ),
    (
        "inference and reinforcement learning only",
        &["inference-*", "rl-*", "grpo-*", "langrl-*", "refit-*", "moe-pad-experts-for-cuda-graph-inference"],
    ),
    (
        "how tokens are weighed, not how many flow",
        &[
            "moe-aux-loss-coeff", "moe-z-loss-coeff", "moe-router-dtype", "moe-router-load-balancing-type",
            "moe-router-pre-softmax", "moe-router-topk-scaling-factor", "moe-router-bias-update-rate",
            "moe-input-jitter-eps", "moe-per-layer-logging", "moe-router-force-*", "moe-router-fusion",
            "calculate-per-token-loss", "moe-use-legacy-*", "moe-token-drop-policy",
        ],
    ),
    (
        "rotary and normal numbers cost nothing that is modelled",
        &[
            "rotary-*", "rope-*", "no-rope-fusion", "mscale*", "norm-epsilon", "normalization", "qk-layernorm",
            "apply-layernorm-1p", "apply-query-key-layer-scaling", "attention-softmax-in-fp32", "use-rope-*",
            "no-position-embedding", "beta-fast", "beta-slow", "original-max-position-embeddings", "qk-clip*",
            "apply-rope-*", "no-persist-layer-norm", "layernorm-*", "mup-*", "yarn-*",
        ],
    ),
    (
        "kernel choice: the profile of the stack stands for it",
        &[
            "transformer-impl", "attention-backend", "use-flash-attn", "use-mcore-models", "deterministic-mode",
            "no-gradient-accumulation-fusion", "no-bias-*", "bias-*", "cross-entropy-*", "moe-grouped-gemm",
            "moe-permute-fusion", "no-masked-softmax-fusion", "use-fused-*", "use-transformer-engine-*",
            "fp8-recipe", "fp8-amax-*", "fp8-margin", "fp8-interval", "fp8-param-gather", "fp8-wgrad",
            "fp8-dot-product-attention", "fp8-multi-head-attention", "first-last-layers-bf16",
            "num-layers-at-start-in-bf16", "num-layers-at-end-in-bf16", "moe-router-padding-for-*",
            "moe-use-*", "keep-fp8-*", "apply-residual-*", "fp4-*", "spec", "memory-efficient-*",
            "export-te-mcore-model", "legacy", "use-legacy-*", "use-te-*", "te-precision-config-file",
        ],
    ),
    (
        "buckets and buffers of data-parallel traffic: one curve stands for them",
        &[
            "ddp-*", "num-distributed-optimizer-instances", "reuse-grad-buf-*", "overlap-p2p-*",
            "no-overlap-p2p-*", "microbatch-group-size-*", "overlap-param-gather-with-*", "outer-dp-*",
            "megatron-fsdp-*", "use-nccl-ub", "nccl-*", "fsdp-*", "use-sharp", "sharp-*", "init-model-with-*",
            "suggested-communication-unit-size", "no-use-layer-wise-param-layout", "align-*", "defer-*",
            "wgrad-deferral-limit", "main-*", "exp-avg-*", "use-precision-aware-optimizer", "keep-*",
        ],
    ),
    (
        "the scenario sets the order of axes itself; the two orders agree where pp or dp is 1",
        &["use-tp-pp-dp-mapping"],
    ),
    (
        "hides part of the tensor-parallel traffic, by an amount that no argument says: set stack.tensor_overlap",
        &["tp-comm-overlap*"],
    ),
    (
        "the optimiser is simulated as Adam",
        &["optimizer", "muon-*", "optimizer-*", "cpu-offload*", "overlap-cpu-*"],
    ),
    (
        "positions are learned only where `--position-embedding-type` leaves them so",
        &["use-rotary-position-embeddings", "use-rotary-*"],
    ),
    ("BERT's second head is not modelled", &["bert-*"]),
    ("module lists of graphs: graphs cover a whole layer here", &["cuda-graph-*", "external-cuda-graph"]),
    ("shared experts are not overlapped here", &["moe-shared-expert-overlap"]),
];

/// Why `name` has no effect on the scenario, if that is known.
pub(super) fn reason(name: &str) -> Option<&'static str> {
    let covers = |pattern: &str| match pattern.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => name == pattern,
    };
    REASONS
        .iter()
        .find(|(_, names)| names.iter().any(|pattern| covers(pattern)))
        .map(|(why, _)| *why)
}
