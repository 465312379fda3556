//! What frameworks keep of a layer beside what every one of them keeps.

/// What the attention core and the residual path save.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scores {
    /// A fused core saves one logarithm per row, and there is no dropout: what current stacks do.
    Fused,
    /// Scores are saved, and so are the masks of dropout: what Korthikanti et al. 2022 describe.
    HeldWithDropout,
}

/// Choices of a framework that decide what a layer leaves behind; the default is a fused core without dropout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeptTensors {
    /// Scores are saved, as by an attention core of separate kernels, instead of a logarithm per row.
    pub scores: bool,
    /// With `scores`, the output of the softmax is saved in FP32: separate kernels that compute it there, whose result is
    /// only then rounded (`forward_torch_softmax` of Megatron-Core).
    pub softmax_fp32: bool,
    /// Scores are dropped at random: with `scores`, their mask and the dropped scores are saved too.
    pub score_dropout: bool,
    /// Outputs of blocks are dropped at random, and the masks saved, a byte an element.
    pub hidden_dropout: bool,
    /// A fused core saves its output in its own order of axes, and the projection saves it again in the other:
    /// `FlashAttention` of Transformer Engine, which transposes `sbhd` to `bshd` and back.
    pub core_copy: bool,
    /// Queries and keys are normed, and the inputs of the norms saved.
    pub head_norms: bool,
    /// The output of the activation function of experts is saved before and after its weight: what Megatron-Core's
    /// `mlp.py` does where the two are not one kernel.
    pub weighted_activation: bool,
}

impl From<Scores> for KeptTensors {
    fn from(scores: Scores) -> Self {
        let all = scores == Scores::HeldWithDropout;
        Self {
            scores: all,
            score_dropout: all,
            hidden_dropout: all,
            ..Self::default()
        }
    }
}
