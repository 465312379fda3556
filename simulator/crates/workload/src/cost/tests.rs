//! Worked numbers, evidence, and that no answer is zero, infinite or shorter for more work.

use std::sync::Arc;

use orrery_operation::{Attention, Collective, CollectiveOp, Gemm, GroupedGemm, Mask, MemoryPass, Precision};
use orrery_profile::{
    ContentionCurve, ContentionLaw, Fitted, Points, Profile, Provenance, Range, Term, Tuning,
};
use orrery_scenario::plan::{
    Cluster, Device, Dispatcher, Fabric, GraphScope, GroupShape, Node, Stack, StackFamily,
};
use orrery_units::{Bytes, BytesPerSec, Evidence, FlopsPerSec, SimDuration, Watts};

use super::{CostModel, ExchangePorts};

fn cluster(
    name: &str,
    architecture: &str,
    peak: f64,
    memory: f64,
    units: u32,
    links: f64,
    nic: f64,
) -> Cluster {
    let formats = [Precision::Bf16, Precision::Fp16];
    let mut peaks: Vec<_> = formats.map(|f| (f, FlopsPerSec::new(peak))).to_vec();
    peaks.push((Precision::Fp8, FlopsPerSec::new(2.0 * peak)));
    Cluster {
        device: Device {
            name: name.to_owned(),
            architecture: architecture.to_owned(),
            peaks,
            memory: Bytes::new(80 << 30),
            memory_bandwidth: BytesPerSec::new(memory),
            num_units: units,
            power_limit: Watts(700.0),
            power_cap: None,
        },
        node: Node {
            num_devices: 8,
            scale_up: BytesPerSec::new(links),
            scale_up_latency: SimDuration::from_micros(1),
            num_nics: 8,
            nic: BytesPerSec::new(nic),
            nic_latency: SimDuration::from_micros(3),
        },
        num_nodes: 256,
        fabric: Fabric {
            oversubscription: 1.0,
            switch_latency: SimDuration::from_nanos(500),
            contention: None,
        },
    }
}

fn h100() -> Cluster {
    cluster("H100-SXM5-80GB", "Hopper", 989e12, 3350e9, 132, 450e9, 50e9)
}

fn h800() -> Cluster {
    cluster("H800-SXM5-80GB", "Hopper", 989e12, 3350e9, 132, 200e9, 50e9)
}

fn a100() -> Cluster {
    cluster("A100-SXM4-80GB", "Ampere", 312e12, 2039e9, 108, 300e9, 25e9)
}

fn stack(dispatcher: Dispatcher) -> Stack {
    Stack {
        name: "test".to_owned(),
        family: StackFamily::Other,
        dispatcher,
        overlap_all_to_all: true,
        units_for_all_to_all: 20,
        overlap_gradients: true,
        overlap_parameters: false,
        tensor_overlap: 0.0,
        launch: SimDuration::from_micros(4),
        graphs: GraphScope::None,
        expert_by_expert: false,
        synchronise_pipeline: false,
        split_weight_gradients: false,
    }
}

fn shipped(name: &str) -> Arc<Profile> {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../scenarios/profiles");
    let text = std::fs::read_to_string(format!("{root}/{name}.profile.json")).unwrap();
    Arc::new(Profile::from_json(&text).unwrap())
}

fn models() -> Vec<CostModel> {
    let nothing = Arc::new(Profile::default());
    vec![
        CostModel::of(
            &h800(),
            &shipped("h800-deepseek-2025-02"),
            &stack(Dispatcher::DeepEp),
        ),
        CostModel::of(
            &h100(),
            &shipped("h100-megatron-core-2025-09"),
            &stack(Dispatcher::AllToAll),
        ),
        CostModel::of(
            &a100(),
            &shipped("a100-megatron-2025-09"),
            &stack(Dispatcher::AllToAll),
        ),
        CostModel::of(&h100(), &nothing, &stack(Dispatcher::DeepEp)),
    ]
}

const fn gemm(m: u64, n: u64, k: u64, precision: Precision) -> Gemm {
    Gemm {
        m,
        n,
        k,
        precision,
        output: Precision::Bf16,
    }
}

const fn group(nodes: u32, ranks_per_node: u32) -> GroupShape {
    GroupShape {
        ranks: nodes * ranks_per_node,
        ranks_per_node,
        nodes,
    }
}

fn close(got: f64, expected: f64, tolerance: f64) {
    assert!(
        (got / expected - 1.0).abs() < tolerance,
        "{got} is not {expected}"
    );
}

/// Without a profile: 4096 tiles of 128 x 128 on 132 units are 31.03 waves and 0.25 of tail; 2 · 128² · (8192 + 150)
/// operations each at 0.70 of 989 TFLOP/s: 1.630 ms; memory 0.150 ms; ramp 3 us.
#[test]
fn a_product_without_a_profile_by_hand() {
    let model = &models()[3];
    let kernel = model.gemm(&gemm(8192, 8192, 8192, Precision::Bf16));
    close(kernel.alone.as_secs(), 1.633e-3, 2e-3);
    assert_eq!(kernel.evidence, Evidence::Analytic);
    assert!(
        kernel.demand.units > 0.99 && kernel.demand.bandwidth < 0.1,
        "{:?}",
        kernel.demand
    );
}

/// DeepGEMM's row 4096 x 7168 x 2048: 117 us in a short run, 0.921 of its speed in a long one, and 2.5 us to the next.
#[test]
fn a_measured_product_is_near_its_measurement() {
    let model = &models()[0];
    let kernel = model.gemm(&gemm(4096, 7168, 2048, Precision::Fp8));
    close(kernel.alone.as_secs(), 117.3e-6 / 0.921 + 2.5e-6, 0.06);
    assert_eq!(kernel.evidence, Evidence::Measured);
    let between = model.gemm(&gemm(3000, 7168, 2048, Precision::Fp8));
    assert_eq!(between.evidence, Evidence::Interpolated);
    let beyond = model.gemm(&gemm(1 << 20, 7168, 2048, Precision::Fp8));
    assert_eq!(beyond.evidence, Evidence::Extrapolated);
}

/// Weight gradients of the trace's attention: 2,388.5 us in place, beside communication on 20 of 132
/// multiprocessors for 74.7 % of the time: 2,145.7 us, and 2.5 us after each of the five kernels. The curve stands on
/// this phase and that of the experts, 11 % apart.
#[test]
fn weight_gradients_of_the_trace() {
    let weights = [
        (1536, 7168),
        (24_576, 1536),
        (576, 7168),
        (32_768, 512),
        (7168, 16_384),
    ];
    let model = &models()[0];
    let total: f64 = weights
        .into_iter()
        .map(|(m, n)| {
            let mut shape = gemm(m, n, 4096, Precision::Fp8);
            shape.output = Precision::Fp32;
            assert_eq!(model.gemm_weight(&shape).evidence, Evidence::Measured);
            model.gemm_weight(&shape).alone.as_secs()
        })
        .sum();
    close(total, 2145.7e-6 + 12.3e-6, 0.06);
}

/// A profile that has no curve of weight gradients answers with that of plain products, and reads the accumulator:
/// 8192 x 8192 in FP32 once more.
#[test]
fn weight_gradients_without_a_curve() {
    let model = &models()[1];
    let mut shape = gemm(8192, 8192, 1024, Precision::Bf16);
    shape.output = Precision::Fp32;
    let (plain, weight) = (model.gemm(&shape), model.gemm_weight(&shape));
    assert_eq!(weight.bytes, plain.bytes + Bytes::new(8192 * 8192 * 4));
    assert!(weight.alone > plain.alone, "{weight:?}");
}

/// At half the rate products take twice as long, and a pass over memory does not notice; a gap follows each kernel.
#[test]
fn tuning_slows_what_it_is_of() {
    let plain = CostModel::of(&h100(), &Arc::new(Profile::default()), &stack(Dispatcher::DeepEp));
    let tuned = plain.clone().tuned(Tuning::default().with(Term::Products, 0.5));
    let product = gemm(8192, 8192, 8192, Precision::Bf16);
    let ratio = tuned.gemm(&product).alone.as_secs() / plain.gemm(&product).alone.as_secs();
    close(ratio, 2.0, 1e-6);
    let pass = MemoryPass::new(Bytes::new(1 << 30), Bytes::ZERO, 3);
    assert_eq!(tuned.pass(&pass), plain.pass(&pass));
    let spaced = plain.clone().tuned(Tuning::default().with(Term::Gap, 1e-6));
    assert_eq!(
        spaced.pass(&pass).alone,
        plain.pass(&pass).alone + SimDuration::from_micros(3)
    );
}

/// Few rows per expert: the weights decide. 4 experts of 4096 x 7168 in FP8 are 117 MB; at 0.703 of 3,350 GB/s 50 us.
#[test]
fn small_groups_wait_for_their_weights() {
    let (padded_rows, active_groups) = GroupedGemm::padded([8, 8, 8, 8], 128);
    let shape = GroupedGemm {
        rows: 32,
        padded_rows,
        active_groups,
        n: 4096,
        k: 7168,
        precision: Precision::Fp8,
        output: Precision::Bf16,
    };
    let kernel = models()[0].grouped_gemm(&shape);
    assert!(kernel.demand.bandwidth > 0.85, "{:?}", kernel.demand);
    close(kernel.alone.as_secs(), 54e-6, 0.1);
}

/// The trace's own core: 1,234.5 us in place, beside communication on 20 of 132 multiprocessors: 1,072 us, and 2.5 us
/// to the next kernel.
#[test]
fn attention_of_the_trace() {
    let core = Attention {
        sequences: 1,
        query_tokens: 4096,
        key_tokens: 4096,
        heads: 128,
        kv_heads: 128,
        qk_dim: 192,
        v_dim: 128,
        mask: Mask::Causal,
        precision: Precision::Bf16,
    };
    let model = &models()[0];
    close(model.attention_forward(&core).alone.as_secs(), 1074.4e-6, 0.005);
    let backward = model.attention_backward(&core).alone.as_secs();
    close(backward, (3834.5 + 256.5 + 219.5) / 1.1515 * 1e-6 + 2.5e-6, 0.005);
}

/// Selective recomputation of a 22B layer adds 1.3 ms: 8 heads, 4 sequences of 2,048.
#[test]
fn unfused_attention_of_megatron() {
    let core = Attention {
        sequences: 4,
        query_tokens: 2048,
        key_tokens: 2048,
        heads: 8,
        kv_heads: 8,
        qk_dim: 96,
        v_dim: 96,
        mask: Mask::Causal,
        precision: Precision::Fp16,
    };
    close(models()[2].attention_forward(&core).alone.as_secs(), 1.3e-3, 0.01);
}

#[test]
fn peaks_of_collectives() {
    let bus = |model: &CostModel, op: CollectiveOp, shape: GroupShape, size: u64| {
        let ranks = u64::from(shape.ranks);
        let collective = Collective {
            op,
            ranks,
            bytes: Bytes::new(size),
        };
        let transfer = model.collective(collective, shape);
        let time = transfer.work(orrery_taskgraph::Resources::PRIVATE).alone();
        Bytes::new(size).as_f64() * op.bus_factor(ranks) / time.as_secs() / 1e9
    };
    let (all_reduce, all_gather) = (CollectiveOp::AllReduce, CollectiveOp::AllGather);
    let models = models();
    let large = 8 << 30;
    close(bus(&models[1], all_reduce, group(1, 8), large), 480.0, 0.02);
    close(bus(&models[1], all_gather, group(1, 8), large), 361.0, 0.02);
    close(bus(&models[1], all_reduce, group(2, 8), large), 468.0, 0.02);
    close(bus(&models[1], all_reduce, group(4, 8), large), 365.0, 0.02);
    close(bus(&models[2], all_reduce, group(1, 8), large), 232.0, 0.02);
    // Tables: 32 nodes, 1 GiB: 0.74 of 388 GB/s; 1,024 devices: 0.31.
    close(
        bus(&models[1], all_reduce, group(32, 8), 1 << 30),
        388.0 * 0.74,
        0.02,
    );
    close(
        bus(&models[1], all_reduce, group(128, 8), 1 << 30),
        388.0 * 0.3146,
        0.02,
    );
    // H800: 160 GB/s of NVLink, whoever asks; one rank per node: one NIC of 50 GB/s.
    close(bus(&models[0], all_gather, group(1, 8), large), 160.0, 0.02);
    close(bus(&models[0], all_gather, group(2, 1), large), 47.8, 0.02);
}

/// What crosses nodes passes their NICs: half of them take twice as long, measured curve or not, and no ring is faster
/// than they are.
#[test]
fn groups_on_two_nodes_are_as_fast_as_their_nics() {
    let with = |mut cluster: Cluster, profile: &str, num_nics: u32| {
        cluster.node.num_nics = num_nics;
        CostModel::of(&cluster, &shipped(profile), &stack(Dispatcher::AllToAll))
    };
    let bytes = Bytes::new(1 << 30);
    let seconds = |model: &CostModel, op: CollectiveOp| {
        let collective = Collective { op, ranks: 16, bytes };
        let transfer = model.collective(collective, group(2, 8));
        transfer
            .work(orrery_taskgraph::Resources::PRIVATE)
            .alone()
            .as_secs()
    };
    for (cluster, profile) in [
        (a100(), "a100-megatron-2025-09"),
        (h100(), "h100-megatron-core-2025-09"),
    ] {
        for op in [
            CollectiveOp::AllReduce,
            CollectiveOp::AllGather,
            CollectiveOp::ReduceScatter,
        ] {
            let [eight, four] = [8, 4].map(|nics| seconds(&with(cluster.clone(), profile, nics), op));
            assert!(
                (1.6..2.4).contains(&(four / eight)),
                "{profile} {op:?}: {eight} and {four} s"
            );
        }
        let line = 4.0 * cluster.node.nic.get();
        let gather = seconds(&with(cluster, profile, 4), CollectiveOp::AllGather);
        let wire = bytes.as_f64() * CollectiveOp::AllGather.bus_factor(16);
        assert!(wire / gather <= line, "{profile}: {} of {line}", wire / gather);
    }
}

#[test]
fn no_answer_is_zero_or_shorter_for_more() {
    for model in models() {
        for precision in [Precision::Bf16, Precision::Fp16, Precision::Fp8, Precision::Fp32] {
            let mut before = SimDuration::ZERO;
            for power in 0..20 {
                let kernel = model.gemm(&gemm(1 << power, 4096, 7168, precision));
                assert!(
                    kernel.alone >= before && !kernel.alone.is_zero(),
                    "{precision} {power}"
                );
                before = kernel.alone;
                let share = kernel.demand;
                assert!(
                    (0.0..=1.0).contains(&share.units) && (0.0..=1.0).contains(&share.bandwidth),
                    "{share:?}"
                );
            }
        }
        let pass = model.pass(&MemoryPass::new(Bytes::new(1), Bytes::ZERO, 1));
        assert!(!pass.alone.is_zero());
        transfers_grow(&model);
    }
}

fn transfers_grow(model: &CostModel) {
    let ops = [
        CollectiveOp::AllReduce,
        CollectiveOp::AllGather,
        CollectiveOp::ReduceScatter,
        CollectiveOp::AllToAll,
        CollectiveOp::Broadcast,
        CollectiveOp::SendRecv,
    ];
    let shapes = [
        group(1, 2),
        group(1, 8),
        group(2, 1),
        group(16, 1),
        group(2, 8),
        group(16, 8),
        group(128, 8),
    ];
    for (op, shape) in ops.iter().flat_map(|op| shapes.map(|shape| (*op, shape))) {
        let mut before = SimDuration::ZERO;
        for power in 0..36 {
            let collective = Collective {
                op,
                ranks: u64::from(shape.ranks),
                bytes: Bytes::new(1 << power),
            };
            let transfer = model.collective(collective, shape);
            let time = transfer.work(orrery_taskgraph::Resources::PRIVATE).alone();
            assert!(
                time >= before && !time.is_zero(),
                "{op:?} {shape:?} 2^{power}: {time} after {before}"
            );
            before = time;
        }
    }
}

/// 95.5 MB over a NIC of 50 GB/s at 0.737: 2.59 ms; inside the node 200 MB at 160 · 0.809: 1.55 ms.
#[test]
fn an_exchange_takes_as_long_as_its_busiest_port() {
    let ports = ExchangePorts {
        network_out: Bytes::new(95_500_000),
        network_in: Bytes::new(90_000_000),
        node_out: Bytes::new(200_000_000),
        node_in: Bytes::new(190_000_000),
    };
    let transfer = models()[0].exchange(&ports, group(8, 8));
    let moving = transfer.bytes.as_f64() / transfer.bound.get();
    close(moving, 2.592e-3, 0.002);
    assert!((f64::from(transfer.occupancy.units) - 20.0 / 132.0).abs() < 1e-6);
    let nothing = models()[0].exchange(&ExchangePorts::default(), group(8, 8));
    assert!(!nothing.latency.is_zero());
}

/// A profile that says what a kernel takes for each unit that it holds is believed: 1.5 times 20 of 132 units. Collectives
/// take the same, and no transfer takes longer for it.
#[test]
fn what_a_kernel_takes_from_its_neighbours_is_the_profiles() {
    let mut profile = Profile::clone(&shipped("h800-deepseek-2025-02"));
    let alone = CostModel::of(&h800(), &Arc::new(profile.clone()), &stack(Dispatcher::DeepEp));
    profile.contention = Some(ContentionCurve {
        law: ContentionLaw { weight: 1.5 },
        kernel_source: "cublaslt".to_owned(),
        num_units: 132,
        blocks: Range { min: 8, max: 32 },
        points: Points::default(),
        fitted: Fitted::default(),
        provenance: Provenance::default(),
    });
    let beside = CostModel::of(&h800(), &Arc::new(profile), &stack(Dispatcher::DeepEp));
    let ports = ExchangePorts {
        network_out: Bytes::new(95_500_000),
        ..ExchangePorts::default()
    };
    let (before, after) = (
        alone.exchange(&ports, group(8, 8)),
        beside.exchange(&ports, group(8, 8)),
    );
    assert!((f64::from(after.occupancy.units) - 1.5 * 20.0 / 132.0).abs() < 1e-6);
    assert_eq!((before.latency, before.bytes), (after.latency, after.bytes));
    let gathered = Collective {
        op: CollectiveOp::AllGather,
        ranks: 8,
        bytes: Bytes::new(1 << 28),
    };
    let (before, after) = (
        alone.collective(gathered, group(1, 8)),
        beside.collective(gathered, group(1, 8)),
    );
    assert!(before.occupancy.units > 0.0);
    assert!((after.occupancy.units / before.occupancy.units - 1.5).abs() < 1e-4);
}

/// A head of 50,257 columns runs at the share of unaligned rows, one of 50,264 does not notice; a host of 3 ms and a device
/// of 2 ms wait for a fifth of the shorter one.
#[test]
fn rows_that_are_no_whole_vectors_and_a_host_that_waits() {
    let plain = CostModel::of(&h100(), &Arc::new(Profile::default()), &stack(Dispatcher::DeepEp));
    let tuned = plain.clone().tuned(Tuning::default().with(Term::Unaligned, 0.5));
    let head = |columns| gemm(4096, columns, 2048, Precision::Bf16);
    let ratio =
        |columns| tuned.gemm(&head(columns)).alone.as_secs() / plain.gemm(&head(columns)).alone.as_secs();
    close(ratio(50_257), 2.0, 1e-6);
    close(ratio(50_264), 1.0, 1e-6);
    let mut kernel = super::Kernel::from(plain.gemm(&head(50_264)));
    (kernel.alone, kernel.launches) = (SimDuration::from_millis(2), 300);
    let tuning = Tuning::default().with(Term::Waits, 0.2);
    let mut issued = super::Issued::default();
    let (waiting, host) = issued.add(kernel, SimDuration::from_micros(10), &tuning);
    assert_eq!(waiting.alone, SimDuration::from_micros(2_400));
    assert_eq!(host, SimDuration::from_micros(3_400));
    // 4 ms more of the device: 3 ms of host are now the shorter, a fifth of the third that was longer before.
    (kernel.alone, kernel.launches) = (SimDuration::from_millis(4), 0);
    let (waiting, host) = issued.add(kernel, SimDuration::from_micros(10), &tuning);
    assert_eq!(waiting.alone, SimDuration::from_micros(4_200));
    assert_eq!(host, SimDuration::from_micros(200));
}

/// What a stack makes of passes between products, and the gaps there, are none of the optimiser's: half of its measured time.
#[test]
fn an_update_knows_its_own_rate_alone() {
    let plain = CostModel::of(&h100(), &Arc::new(Profile::default()), &stack(Dispatcher::DeepEp));
    let tuning = Tuning::default()
        .with(Term::Passes, 2.0)
        .with(Term::Gap, 1e-3)
        .with(Term::Update, 0.5);
    let pass = MemoryPass::new(Bytes::new(16 << 30), Bytes::new(14 << 30), 8);
    let seconds = |model: &CostModel| model.update(&pass).alone.as_secs();
    close(seconds(&plain.clone().tuned(tuning)), 0.5 * seconds(&plain), 1e-9);
    close(seconds(&plain), plain.pass(&pass).alone.as_secs(), 1e-9);
}
