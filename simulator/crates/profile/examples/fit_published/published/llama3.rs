//! H100 as Llama 3 was trained on it: FlashAttention-2, since its report came out with FlashAttention-3, in July 2024.

use std::path::Path;

use orrery_operation::Mask;
use orrery_profile::{KernelCurve, MaskClass, OpClass, Profile, Provenance};

use super::{Fault, attention};

/// The profile: `hopper` with other attention.
pub(crate) fn profile(truth: &Path, hopper: &Profile) -> Result<Profile, Fault> {
    let mut kernels: Vec<KernelCurve> = hopper
        .kernels
        .iter()
        .filter(|curve| !matches!(curve.op, OpClass::AttentionForward | OpClass::AttentionBackward))
        .cloned()
        .collect();
    kernels.extend(cores(truth)?);
    let mut notes = hopper.notes.clone();
    notes.truncate(1);
    notes.push(
        "Attention is FlashAttention-2: Llama 3 was trained before FlashAttention-3 was published."
            .to_owned(),
    );
    notes.push("Memory passes stand on the H800 training trace: same silicon.".to_owned());
    Ok(Profile {
        name: "h100-llama3-2024-07".to_owned(),
        stacks: ["llama3", "llm-foundry", "torchtitan", "nemo-automodel"]
            .map(str::to_owned)
            .to_vec(),
        date: "2024-07".to_owned(),
        notes,
        kernels,
        ..hopper.clone()
    })
}

/// FlashAttention-2 in both directions. Both directions together were measured for heads of 64 and 128; 128 comes
/// first, since Llama 3 has it.
fn cores(truth: &Path) -> Result<Vec<KernelCurve>, Fault> {
    let mut curves = Vec::new();
    for (mask, class) in [(Mask::Causal, MaskClass::Causal), (Mask::Full, MaskClass::Full)] {
        for head_dim in [128_u64, 64, 256] {
            let start = attention::hopper(head_dim);
            let forward = attention::forward(truth, "FA2", head_dim, mask)?;
            curves.push(attention::curve(
                &start,
                &forward,
                class,
                "flash-attn-2",
                provenance(head_dim, class, "fwd", "FP16; BF16 runs at the same rate."),
            ));
        }
        for head_dim in [128_u64, 64] {
            let start = attention::hopper(head_dim);
            let backward = attention::backward(truth, "FA2", head_dim, mask)?;
            curves.push(attention::curve(
                &start,
                &backward,
                class,
                "flash-attn-2",
                provenance(
                    head_dim,
                    class,
                    "fwd+bwd less fwd",
                    "Two figures of different days: forward's times are of the FlashAttention-3 paper's figure.",
                ),
            ));
        }
    }
    Ok(curves)
}

fn provenance(head_dim: u64, class: MaskClass, direction: &str, note: &str) -> Provenance {
    Provenance {
        measured_by: "FlashAttention authors".to_owned(),
        source: "tests/truth/kernels_published.csv".to_owned(),
        rows: format!("H100, FA2, head dimension {head_dim}, {class:?}, {direction}"),
        date: "2024-07".to_owned(),
        version: "FlashAttention-2, figures".to_owned(),
        note: note.to_owned(),
    }
}
