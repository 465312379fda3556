//! Plans for the tests of this crate: a GPT and DeepSeek-V3, with every choice visible.

use std::sync::Arc;

use orrery_operation::Precision;
use orrery_profile::{Profile, Tuning};
use orrery_scenario::plan::{
    AttentionShape, Axis, Cluster, ContextExchange, Device, Dispatcher, Fabric, Formats, Gate, GraphScope,
    Identity, Law, Layer, Layout, MlpShape, Model, Noise, Plan, Recompute, Routing, RunSettings, Schedule,
    ScheduleKind, Stack, StackFamily, Training, VirtualStage, ZeroStage,
};
use orrery_units::{Bytes, BytesPerSec, FlopsPerSec, Seed, SimDuration, Watts};

/// A GPT as Narayanan et al. and Korthikanti et al. train it: FP16, plain MLP of four times the width, biases,
/// learned positions; nothing sharded over data-parallel ranks.
pub(crate) struct Gpt {
    pub layers: usize,
    pub hidden: u64,
    pub heads: u64,
    pub vocab: u64,
    pub sequence: u64,
    pub tp: u32,
    pub pp: u32,
    pub dp: u32,
    pub chunks: u32,
    pub micro_batch: u64,
    pub num_microbatches: u64,
    pub sequence_parallel: bool,
    pub recompute: Recompute,
}

impl Gpt {
    pub(crate) fn plan(self) -> Plan {
        let layer = Layer {
            attention: AttentionShape::Grouped {
                heads: self.heads,
                kv_heads: self.heads,
                head_dim: self.hidden / self.heads,
                window: None,
                bias: true,
            },
            mlp: MlpShape::Dense {
                width: 4 * self.hidden,
                gated: false,
            },
        };
        let model = Model {
            name: "gpt".to_owned(),
            hidden: self.hidden,
            vocab: self.vocab,
            tied_embeddings: true,
            learned_positions: self.sequence,
            layers: vec![layer; self.layers],
            mtp_layers: 0,
        };
        let kind = match (self.pp, self.chunks) {
            (_, 1) => ScheduleKind::OneFOneB,
            _ => ScheduleKind::Interleaved,
        };
        let schedule = Schedule {
            kind,
            chunks: self.chunks,
        };
        let layout = Layout {
            tp: self.tp,
            cp: 1,
            cp_comm: ContextExchange::Ring,
            dp: self.dp,
            pp: self.pp,
            ep: 1,
            expert_tp: 1,
            zero: ZeroStage::None,
            sequence_parallel: self.sequence_parallel,
            schedule,
            order: [Axis::Tensor, Axis::Context, Axis::Data, Axis::Pipeline],
            devices_per_domain: 8,
            stages: stages(self.layers, (self.pp * self.chunks) as usize, 0),
        };
        let mut plan = assemble(
            model,
            layout,
            self.sequence,
            self.micro_batch,
            self.num_microbatches,
        );
        plan.training.recompute = self.recompute;
        plan.training.formats = Formats {
            gemm: Precision::Fp16,
            attention: Precision::Fp16,
            activations: Precision::Fp16,
            weights: Precision::Fp16,
            gradients: Precision::Fp32,
            gradient_traffic: Precision::Fp32,
            parameter_traffic: Precision::Fp16,
            master: Precision::Fp32,
            moments: Precision::Fp32,
            dispatch: Precision::Fp16,
            combine: Precision::Fp16,
            kept: Precision::Fp16,
        };
        plan
    }
}

/// DeepSeek-V3 on 2,048 H800: PP16, EP64, ZeRO-1, DualPipe, FP8 (arXiv 2412.19437, section 3).
pub(crate) fn deep_seek_v3(law: Law) -> Plan {
    let attention = AttentionShape::Latent {
        heads: 128,
        q_rank: Some(1536),
        kv_rank: 512,
        nope_dim: 128,
        rope_dim: 64,
        v_dim: 128,
    };
    let mlp = |layer: usize| match layer {
        0..3 => MlpShape::Dense {
            width: 18_432,
            gated: true,
        },
        _ => MlpShape::Moe {
            experts: 256,
            top_k: 8,
            width: 2048,
            shared_width: 2048,
            gated: true,
            gate: Gate::SigmoidBias,
        },
    };
    let layers = (0..61)
        .map(|layer| Layer {
            attention: attention.clone(),
            mlp: mlp(layer),
        })
        .collect();
    let model = Model {
        name: "deepseek-v3".to_owned(),
        hidden: 7168,
        vocab: 129_280,
        tied_embeddings: false,
        learned_positions: 0,
        layers,
        mtp_layers: 1,
    };
    let layout = Layout {
        tp: 1,
        cp: 1,
        cp_comm: ContextExchange::Ring,
        dp: 128,
        pp: 16,
        ep: 64,
        expert_tp: 1,
        zero: ZeroStage::Optimizer,
        sequence_parallel: false,
        schedule: Schedule {
            kind: ScheduleKind::DualPipe,
            chunks: 2,
        },
        order: [Axis::Tensor, Axis::Context, Axis::Data, Axis::Pipeline],
        devices_per_domain: 8,
        stages: stages(61, 16, 1),
    };
    let mut plan = assemble(model, layout, 4096, 1, 120);
    plan.routing.law = law;
    plan.routing.max_nodes = Some(4);
    plan
}

/// Layers cut as evenly as they go, the first stages holding one more.
fn stages(layers: usize, num_stages: usize, mtp_layers: u64) -> Vec<VirtualStage> {
    let start = |stage: usize| layers / num_stages * stage + stage.min(layers % num_stages);
    (0..num_stages)
        .map(|stage| VirtualStage {
            layers: start(stage)..start(stage + 1),
            embedding: stage == 0,
            head: stage + 1 == num_stages,
            mtp_layers: if stage + 1 == num_stages { mtp_layers } else { 0 },
        })
        .collect()
}

fn assemble(
    model: Model,
    layout: Layout,
    sequence_length: u64,
    micro_batch: u64,
    num_microbatches: u64,
) -> Plan {
    let num_nodes = layout.world().div_ceil(layout.devices_per_domain);
    let global_batch = micro_batch * num_microbatches * u64::from(layout.dp);
    Plan {
        identity: Identity {
            name: "test".to_owned(),
            title: String::new(),
            notes: String::new(),
            file: String::new(),
            hash: String::new(),
            resolved: serde_json::Value::Null,
        },
        model,
        cluster: cluster(num_nodes),
        layout,
        training: Training {
            sequence_length,
            global_batch,
            micro_batch,
            num_microbatches,
            steps: 1,
            warmup_steps: 0,
            recompute: Recompute::None,
            memory_budget: None,
            documents: None,
            formats: Formats {
                gemm: Precision::Fp8,
                attention: Precision::Bf16,
                activations: Precision::Bf16,
                weights: Precision::Bf16,
                gradients: Precision::Fp32,
                gradient_traffic: Precision::Bf16,
                parameter_traffic: Precision::Bf16,
                master: Precision::Fp32,
                moments: Precision::Bf16,
                dispatch: Precision::Fp8,
                combine: Precision::Bf16,
                kept: Precision::Bf16,
            },
            stack: stack(),
        },
        routing: Routing {
            law: Law::Balanced,
            max_nodes: None,
            capacity_factor: None,
            pad_to_capacity: false,
        },
        noise: Noise::default(),
        profile: Arc::new(Profile::default()),
        tunings: std::sync::Arc::default(),
        tuning: Tuning::default(),
        clock: 1.0,
        price: None,
        run: RunSettings {
            seed: Seed::new(1),
            replications: 1,
            event_limit: None,
            timeline: false,
        },
        expectations: Vec::new(),
        assumptions: Vec::new(),
    }
}

fn stack() -> Stack {
    Stack {
        name: "test".to_owned(),
        family: StackFamily::Other,
        dispatcher: Dispatcher::DeepEp,
        overlap_all_to_all: true,
        units_for_all_to_all: 20,
        overlap_gradients: true,
        overlap_parameters: true,
        tensor_overlap: 0.0,
        launch: SimDuration::ZERO,
        graphs: GraphScope::None,
        expert_by_expert: false,
        synchronise_pipeline: false,
        split_weight_gradients: true,
    }
}

fn cluster(num_nodes: u32) -> Cluster {
    Cluster {
        device: Device {
            name: "H800-SXM5-80GB".to_owned(),
            architecture: "Hopper".to_owned(),
            peaks: vec![(Precision::Bf16, FlopsPerSec::new(989.4e12))],
            memory: Bytes::new(80 << 30),
            memory_bandwidth: BytesPerSec::new(3.35e12),
            num_units: 132,
            power_limit: Watts(700.0),
            power_cap: None,
        },
        node: orrery_scenario::plan::Node {
            num_devices: 8,
            scale_up: BytesPerSec::new(200e9),
            scale_up_latency: SimDuration::ZERO,
            num_nics: 8,
            nic: BytesPerSec::new(50e9),
            nic_latency: SimDuration::ZERO,
        },
        num_nodes,
        fabric: Fabric {
            oversubscription: 1.0,
            switch_latency: SimDuration::ZERO,
            contention: None,
        },
    }
}
