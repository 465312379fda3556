//! Why memory is held.

/// A cause of memory; its number is its place in [`CAUSES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Cause {
    /// Parameters as held for compute.
    Weights,
    /// Accumulated gradients.
    Gradients,
    /// Master parameters and moments.
    Optimizer,
    /// Inputs of layers or blocks: all that full recompute keeps.
    LayerInputs,
    /// Saved by attention.
    Attention,
    /// Saved by dense MLPs and shared experts.
    Mlp,
    /// Saved by routed experts: grows with the tokens that a rank receives.
    Experts,
    /// Computed again in backward, held while the layer runs backward.
    Recomputed,
    /// Saved by the output head and the loss.
    Head,
    /// Buffers of collectives.
    Communication,
    /// Context of the device driver and libraries.
    Context,
}

/// Names of the causes, by number.
pub const CAUSES: [&str; 11] = [
    "weights",
    "gradients",
    "optimizer states",
    "layer inputs",
    "attention activations",
    "MLP activations",
    "expert activations",
    "recomputed activations",
    "logits and loss",
    "communication buffers",
    "framework context",
];

impl Cause {
    /// Every cause, by number.
    pub const ALL: [Self; 11] = [
        Self::Weights,
        Self::Gradients,
        Self::Optimizer,
        Self::LayerInputs,
        Self::Attention,
        Self::Mlp,
        Self::Experts,
        Self::Recomputed,
        Self::Head,
        Self::Communication,
        Self::Context,
    ];

    /// Its number, for `MemoryChange::cause`.
    #[must_use]
    pub const fn index(self) -> u8 {
        self as u8
    }

    /// Its name for people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        CAUSES[self as usize]
    }
}
