//! What kernels do, by their names and by what they say of their collective.

use orrery_timeline::OpClass;

/// What a kernel says of its collective, in words.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct About<'t> {
    /// Its name in the framework.
    pub(super) name: &'t str,
    /// What the trainer calls its group.
    pub(super) group: &'t str,
}

/// Whether a kernel of this name moves data between devices.
pub(super) fn is_communication(name: &str) -> bool {
    name.contains("nccl") || exchange(name).is_some()
}

/// Dispatch or combine of a library of expert exchanges (DeepEP, hybrid-ep).
pub(super) fn exchange(name: &str) -> Option<OpClass> {
    let name = name.to_ascii_lowercase();
    let library = ["deep_ep", "deepep", "internode::", "intranode::", "hybrid_ep"];
    if !library.iter().any(|part| name.contains(part)) {
        return None;
    }
    if name.contains("dispatch") {
        Some(OpClass::Dispatch)
    } else if name.contains("combine") {
        Some(OpClass::Combine)
    } else {
        Some(OpClass::Dispatch)
    }
}

/// The class of a kernel: by the group of its collective where it names one, else by what such a collective mostly is.
pub(super) fn class(name: &str, collective: Option<About<'_>>, annotation: Option<&str>) -> OpClass {
    if let Some(class) = exchange(name) {
        return class;
    }
    if !name.contains("nccl") {
        let lower = name.to_ascii_lowercase();
        let updates = ["adam", "multi_tensor_apply", "sgd"];
        return if updates.iter().any(|part| lower.contains(part)) {
            OpClass::Optimizer
        } else {
            OpClass::Compute
        };
    }
    let group = collective.map_or("", |about| about.group).to_ascii_uppercase();
    // Megatron-Core's and torchtitan's names of process groups.
    let by_group: [(&str, OpClass); 10] = [
        ("EXPERT_DATA", OpClass::Data),
        ("EXPERT_TENSOR_PARALLEL", OpClass::Tensor),
        ("EXPERT", OpClass::Dispatch),
        ("MESH_EP", OpClass::Dispatch),
        ("CONTEXT_PARALLEL", OpClass::Context),
        ("TENSOR", OpClass::Tensor),
        ("MESH_TP", OpClass::Tensor),
        ("PIPELINE", OpClass::Pipeline),
        ("MESH_PP", OpClass::Pipeline),
        ("DATA", OpClass::Data),
    ];
    if let Some((_, class)) = by_group.iter().find(|(part, _)| group.contains(part)) {
        return *class;
    }
    let what = collective
        .map(|about| about.name)
        .or(annotation)
        .unwrap_or(name)
        .to_ascii_lowercase();
    if what.contains("all_to_all") || what.contains("alltoall") {
        OpClass::Dispatch
    } else if what.contains("send") || what.contains("recv") {
        OpClass::Pipeline
    } else {
        OpClass::Data
    }
}

/// A name for people: no arguments, no return type, no template parameters.
///
/// Worked: `void at::native::f<float, 4>(int, float*)` is `at::native::f`.
pub(super) fn short(name: &str) -> String {
    if name.starts_with("Mem") {
        return name.to_owned();
    }
    let plain = name.replace("(anonymous namespace)::", "");
    let plain = plain.trim().trim_start_matches("void ");
    let mut depth = 0_u32;
    let mut kept = String::new();
    for letter in plain.chars() {
        match letter {
            '<' => depth += 1,
            '>' => depth = depth.saturating_sub(1),
            '(' if depth == 0 => break,
            letter if depth == 0 => kept.push(letter),
            _ => {}
        }
    }
    let kept = kept.trim();
    if kept.is_empty() {
        name.to_owned()
    } else {
        kept.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_for_people() {
        for (long, plain) in [
            ("void at::native::f<float, 4>(int, float*)", "at::native::f"),
            (
                "ncclDevKernel_SendRecv(ncclDevComm*, unsigned long)",
                "ncclDevKernel_SendRecv",
            ),
            ("Memcpy HtoD (Pinned -> Device)", "Memcpy HtoD (Pinned -> Device)"),
            ("void (anonymous namespace)::softmax<4>(float*)", "softmax"),
            ("sm90_xmma_gemm_bf16", "sm90_xmma_gemm_bf16"),
            ("<lambda>", "<lambda>"),
        ] {
            assert_eq!(short(long), plain);
        }
    }

    #[test]
    fn classes() {
        let of = |name: &str, description: &str| {
            let about = About {
                name: "allreduce",
                group: description,
            };
            class(name, Some(about), None)
        };
        assert_eq!(
            of("ncclDevKernel_AllReduce", "TENSOR_MODEL_PARALLEL_GROUP"),
            OpClass::Tensor
        );
        assert_eq!(
            of("ncclDevKernel_AllReduce", "EXPERT_DATA_PARALLEL_GROUP"),
            OpClass::Data
        );
        assert_eq!(
            of("ncclDevKernel_SendRecv", "EXPERT_MODEL_PARALLEL_GROUP"),
            OpClass::Dispatch
        );
        assert_eq!(
            of("ncclDevKernel_AllReduce", "EXPERT_TENSOR_PARALLEL_GROUP"),
            OpClass::Tensor
        );
        assert_eq!(
            class("ncclKernel_SendRecv_RING", None, Some("nccl:all_to_all")),
            OpClass::Dispatch
        );
        assert_eq!(class("ncclKernel_SendRecv_RING", None, None), OpClass::Pipeline);
        assert_eq!(
            class("deep_ep::internode::combine<8>", None, None),
            OpClass::Combine
        );
        assert_eq!(class("ampere_sgemm_128x64", None, None), OpClass::Compute);
    }
}
