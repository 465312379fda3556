//! What kernels compute, by the names that libraries give them.

/// The work of a kernel that computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KernelWork {
    /// A matrix product.
    Product,
    /// Products grouped by expert.
    GroupedProduct,
    /// An attention core.
    Attention,
    /// A pass over memory: norms, activations, copies, updates.
    Pass,
}

impl KernelWork {
    /// The work of a kernel of that name: attention and grouped products by what they are called, products by their
    /// libraries and instructions, everything else is a pass.
    ///
    /// Worked: `flash_fwd_kernel` is attention, though it multiplies; `sm90_xmma_gemm_bf16` a product.
    #[must_use]
    pub fn of(name: &str) -> Self {
        const ATTENTION: [&str; 5] = ["flash", "fmha", "attention", "attn", "mha_"];
        const PRODUCTS: [&str; 10] = [
            "gemm", "gemv", "cutlass", "cublas", "xmma", "wgmma", "nvjet", "matmul", "convolve", "conv2d",
        ];
        const GROUPED: [&str; 5] = ["grouped", "group_gemm", "groupgemm", "moe_", "_moe"];
        let name = name.to_ascii_lowercase();
        let has = |parts: &[&str]| parts.iter().any(|part| name.contains(part));
        if has(&ATTENTION) {
            Self::Attention
        } else if !has(&PRODUCTS) {
            Self::Pass
        } else if has(&GROUPED) {
            Self::GroupedProduct
        } else {
            Self::Product
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn works_of_names() {
        for (name, work) in [
            ("flash::flash_fwd_kernel", KernelWork::Attention),
            (
                "cudnn_generated_fort_native_sdpa_sm90_flash_fprop_wgmma",
                KernelWork::Attention,
            ),
            ("fmha_cutlassF_bf16_aligned", KernelWork::Attention),
            ("sm90_xmma_gemm_bf16bf16_bf16f32", KernelWork::Product),
            ("nvjet_hsh_128x256_64x4", KernelWork::Product),
            ("volta_sgemm_128x32_tn", KernelWork::Product),
            ("deep_gemm::m_grouped_gemm_fp8", KernelWork::GroupedProduct),
            ("cutlass::GemmGrouped", KernelWork::GroupedProduct),
            (
                "cutlass_cudnn_train::ImplicitGemmConvolution_GroupModeE0",
                KernelWork::Product,
            ),
            ("at::native::vectorized_elementwise_kernel", KernelWork::Pass),
            ("at::native::convert_kernel", KernelWork::Pass),
            ("rmsnorm_fwd", KernelWork::Pass),
        ] {
            assert_eq!(KernelWork::of(name), work, "{name}");
        }
    }
}
