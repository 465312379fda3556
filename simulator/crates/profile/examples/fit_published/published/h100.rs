//! H100 with Megatron-Core: cuBLAS, cuDNN attention, grouped GEMMs, NCCL.

use std::path::Path;

use orrery_operation::{CollectiveOp, Mask, Precision};
use orrery_profile::{
    CollectiveCurve, ExchangeCurve, KernelCurve, Law, MaskClass, OpClass, Profile, Provenance, RatioTable,
    TiledLaw,
};

use super::{Fault, attention, device, exchange, gemm, h800, sweeps};

/// The profile.
pub(crate) fn profile(truth: &Path) -> Result<Profile, Fault> {
    let pass = h800::passes(truth)?;
    let mut kernels = gemms(truth)?;
    let experts = grouped(truth, &pass, &kernels)?;
    kernels.extend(experts);
    kernels.extend(attentions(truth)?);
    kernels.push(pass);
    let ratios = sweeps::ratios(truth)?;
    let collectives = collectives(truth)?;
    Ok(Profile {
        schema: Profile::SCHEMA.to_owned(),
        name: "h100-megatron-core-2025-09".to_owned(),
        device: "H100-SXM5-80GB".to_owned(),
        stacks: ["megatron-core", "megatron-bridge", "nemo"]
            .map(str::to_owned)
            .to_vec(),
        date: "2025-09".to_owned(),
        notes: vec![
            "Built from published tables; nobody measured one machine for all of it.".to_owned(),
            "Attention backward and memory passes stand on the H800 training trace: same silicon.".to_owned(),
        ],
        exchanges: exchanges(truth, &collectives, &ratios)?,
        kernels,
        collectives,
        ratios,
        contention: None,
        links: Vec::new(),
    })
}

/// cuBLAS through PyTorch.
pub(crate) fn gemms(truth: &Path) -> Result<Vec<KernelCurve>, Fault> {
    let provenance = |rows: &str| {
        Provenance {
        measured_by: "NVIDIA (aiconfigurator)".to_owned(),
        source: "tests/truth/aic_gemm.csv.gz".to_owned(),
        rows: rows.to_owned(),
        date: "2025".to_owned(),
        version: "ai-dynamo/aiconfigurator@095f58a; TensorRT-LLM 1.3.0rc20, vLLM 0.24.0".to_owned(),
        note: "64 rows of tokens and more; residuals are those of the fit before `sustained`, which is the median of \
               products of 1e12 operations and more: shorter ones ran at clocks that a training job does not keep."
            .to_owned(),
    }
    };
    let wide = gemm::aiconfigurator(
        truth,
        "h100_sxm",
        &["torch_flow", "torch.nn.functional.linear"],
        "bfloat16",
        Precision::Bf16,
    )?;
    let narrow = gemm::aiconfigurator(truth, "h100_sxm", &["torch_flow"], "fp8", Precision::Fp8)?;
    Ok(vec![
        gemm::curve(
            &gemm::hopper(device::HOPPER_BF16),
            &wide,
            Precision::Bf16,
            "cublaslt",
            provenance("h100_sxm, bfloat16, torch_flow and torch.nn.functional.linear"),
        ),
        gemm::curve(
            &gemm::hopper(device::HOPPER_FP8),
            &narrow,
            Precision::Fp8,
            "cublaslt",
            provenance("h100_sxm, fp8 (per tensor), torch_flow"),
        ),
    ])
}

fn grouped(truth: &Path, pass: &KernelCurve, dense: &[KernelCurve]) -> Result<Vec<KernelCurve>, Fault> {
    let pass = h800::pass_law(pass)?;
    let curve = |dtype: &str, precision| -> Result<KernelCurve, Fault> {
        let rows = gemm::expert_layers(truth, "h100_sxm", "moe_torch_flow_cutlass", dtype, precision)?;
        let provenance = Provenance {
            measured_by: "NVIDIA (aiconfigurator)".to_owned(),
            source: "tests/truth/aic_moe_kernels.csv.gz".to_owned(),
            rows: format!("h100_sxm, moe_torch_flow_cutlass, {dtype}, balanced, 2,048 copies of tokens and more"),
            date: "2025".to_owned(),
            version: "ai-dynamo/aiconfigurator@095f58a; TensorRT-LLM 1.3.0rc20".to_owned(),
            note: "Times are of whole expert layers: both products, and the activation and permutations between \
                   them, whose passes over memory are predicted by this profile's memory pass. CUTLASS stands for \
                   the grouped kernels of Transformer Engine (assumption)."
                .to_owned(),
        };
        let start = dense_law(dense, precision)?;
        Ok(gemm::grouped_curve(
            &start, &pass, &rows, precision, "cutlass", provenance,
        ))
    };
    Ok(vec![
        curve("bfloat16", Precision::Bf16)?,
        curve("fp8_block", Precision::Fp8)?,
    ])
}

/// The law of dense products in `precision`.
pub(crate) fn dense_law(curves: &[KernelCurve], precision: Precision) -> Result<TiledLaw, Fault> {
    let law = curves.iter().find_map(|curve| match curve.law {
        Law::Tiled(law) if curve.op == OpClass::Gemm && curve.precision == Some(precision) => Some(law),
        _ => None,
    });
    law.ok_or_else(|| format!("no curve of dense {precision} products").into())
}

fn attentions(truth: &Path) -> Result<Vec<KernelCurve>, Fault> {
    let ratio = h800::backward_ratio(truth)?;
    let mut curves = Vec::new();
    for (implementation, source) in [("cuDNN", "cudnn"), ("FA3", "flash-attn-3")] {
        for head_dim in [128_u64, 64, 256] {
            for (mask, class) in [(Mask::Causal, MaskClass::Causal), (Mask::Full, MaskClass::Full)] {
                let rows = attention::forward(truth, implementation, head_dim, mask)?;
                let provenance = Provenance {
                    measured_by: "FlashAttention-3 authors".to_owned(),
                    source: "tests/truth/kernels_published.csv".to_owned(),
                    rows: format!("H100, {implementation}, head dimension {head_dim}, {class:?}, fwd"),
                    date: "2024-07".to_owned(),
                    version: "FlashAttention-3 paper, figures".to_owned(),
                    note: "FP16; BF16 runs at the same rate.".to_owned(),
                };
                let start = attention::hopper(head_dim);
                curves.push(attention::curve(&start, &rows, class, source, provenance));
            }
        }
    }
    let note = format!(
        "No backward alone is published for this kernel. Assumption: backward reaches {ratio:.3} of forward's \
         efficiency, as the Hopper kernels of the H800 training trace do (preprocessing and postprocessing included)."
    );
    let backward: Vec<KernelCurve> = curves
        .iter()
        .map(|forward| attention::backward_of(forward, ratio, &note))
        .collect();
    curves.extend(backward);
    Ok(curves)
}

fn collectives(truth: &Path) -> Result<Vec<CollectiveCurve>, Fault> {
    let mut curves = sweeps::one_node(truth, "aic_h100_sxm_nccl2.29.2", |op| match op {
        CollectiveOp::AllReduce => Some("h100_dgx_1n8g_all_reduce"),
        CollectiveOp::AllGather => Some("h100_1n8g_bf16_all_gather"),
        CollectiveOp::ReduceScatter => Some("h100_1n8g_bf16_reduce_scatter"),
        CollectiveOp::AllToAll | CollectiveOp::Broadcast | CollectiveOp::Reduce | CollectiveOp::SendRecv => {
            None
        }
    })?;
    let sweeps = [
        (
            CollectiveOp::AllReduce,
            2,
            "h100_ib_2n16g_all_reduce",
            "H100, 8 x 400 Gbit/s InfiniBand",
        ),
        (
            CollectiveOp::AllReduce,
            4,
            "h100_ib_4n32g_all_reduce",
            "H100, 8 x 400 Gbit/s InfiniBand",
        ),
        (
            CollectiveOp::AllReduce,
            8,
            "h100_ibB_8n64g_all_reduce",
            "H100, 8 x 400 Gbit/s InfiniBand",
        ),
        (
            CollectiveOp::AllGather,
            2,
            "h200_gcp_a3ultra_2n16g_all_gather",
            "H200, 8 x 400 Gbit/s RoCE: same NVLinks and NICs as H100",
        ),
    ];
    for (op, nodes, file, note) in sweeps {
        let provenance = Provenance {
            measured_by: "see the head of the file".to_owned(),
            source: format!("tests/truth/nccl/{file}.csv"),
            rows: "in-place times, 1 KiB and more".to_owned(),
            date: "2025".to_owned(),
            version: "see the head of the file".to_owned(),
            note: note.to_owned(),
        };
        curves.extend(sweeps::curve(
            op,
            nodes,
            8,
            &sweeps::sweep(truth, file, 1024)?,
            provenance,
        ));
    }
    let scatter = curves
        .iter()
        .find(|curve| curve.op == CollectiveOp::AllGather && curve.nodes == 2)
        .cloned();
    curves.extend(scatter.map(|mut curve| {
        curve.op = CollectiveOp::ReduceScatter;
        curve.provenance.note =
            "Taken as all-gather's (assumption): on two nodes of B200 both were measured and one \
                                 law fits both."
                .to_owned();
        curve
    }));
    Ok(curves)
}

pub(crate) fn exchanges(
    truth: &Path,
    collectives: &[CollectiveCurve],
    ratios: &[RatioTable],
) -> Result<Vec<ExchangeCurve>, Fault> {
    let mut deepep = exchange::deepep(truth, exchange::LATER)?;
    deepep
        .provenance
        .note
        .push_str(" H800's efficiencies are taken for H100's links (assumption).");
    // Trays of four devices have no all-to-all of eight: NCCL's exchanges are then analytic.
    let nccl = exchange::nccl(collectives, ratios).ok();
    Ok(std::iter::once(deepep).chain(nccl).collect())
}
