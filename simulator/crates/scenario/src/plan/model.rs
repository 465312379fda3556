//! What is trained: layers, their shapes, and how many parameters they have.

/// How queries, keys and values are made.
#[derive(Clone, Debug, PartialEq)]
pub enum AttentionShape {
    /// Multi-head, grouped-query or multi-query attention.
    Grouped {
        /// Query heads.
        heads: u64,
        /// Key-value heads.
        kv_heads: u64,
        /// Width of a head.
        head_dim: u64,
        /// Sliding window, in tokens.
        window: Option<u64>,
        /// Whether the projections have biases.
        bias: bool,
    },
    /// Multi-head latent attention (DeepSeek-V2).
    Latent {
        /// Heads.
        heads: u64,
        /// Rank of the query's compression; none when queries are projected directly.
        q_rank: Option<u64>,
        /// Rank of the joint key-value compression.
        kv_rank: u64,
        /// Width of a query and key head without position.
        nope_dim: u64,
        /// Width of the shared rotary part.
        rope_dim: u64,
        /// Width of a value head.
        v_dim: u64,
    },
}

/// How experts are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// Softmax over logits, then top-k.
    Softmax,
    /// Sigmoid scores with a balancing bias (DeepSeek-V3).
    SigmoidBias,
}

/// The feed-forward half of a layer.
#[derive(Clone, Debug, PartialEq)]
pub enum MlpShape {
    /// One network for every token.
    Dense {
        /// Inner width.
        width: u64,
        /// Whether it is gated (three matrices instead of two).
        gated: bool,
    },
    /// Experts.
    Moe {
        /// Routed experts.
        experts: u64,
        /// Experts per token.
        top_k: u64,
        /// Inner width of one expert.
        width: u64,
        /// Inner width of all shared experts together; 0 for none.
        shared_width: u64,
        /// Whether experts are gated.
        gated: bool,
        /// How experts are chosen.
        gate: Gate,
    },
}

/// One transformer layer.
#[derive(Clone, Debug, PartialEq)]
pub struct Layer {
    /// Attention.
    pub attention: AttentionShape,
    /// Feed-forward.
    pub mlp: MlpShape,
}

/// The model.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// Name for people.
    pub name: String,
    /// Width of the residual stream.
    pub hidden: u64,
    /// Vocabulary.
    pub vocab: u64,
    /// Whether input and output embeddings are one matrix.
    pub tied_embeddings: bool,
    /// Learned position embeddings, in positions; 0 for none.
    pub learned_positions: u64,
    /// The layers, first to last.
    pub layers: Vec<Layer>,
    /// Multi-token-prediction modules that are trained, each one more layer like the last.
    pub mtp_layers: u64,
}

/// Parameter counts of a piece of the model, split by who shares them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Parameters {
    /// Parameters that every data-parallel rank holds.
    pub dense: u64,
    /// Parameters of routed experts, spread over expert-parallel ranks.
    pub experts: u64,
}

impl Parameters {
    /// All of them.
    #[must_use]
    pub const fn total(self) -> u64 {
        self.dense + self.experts
    }

    /// Both pieces together.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self {
            dense: self.dense + other.dense,
            experts: self.experts + other.experts,
        }
    }
}

impl AttentionShape {
    /// Query heads.
    #[must_use]
    pub const fn heads(&self) -> u64 {
        match *self {
            Self::Grouped { heads, .. } | Self::Latent { heads, .. } => heads,
        }
    }

    /// Parameters of the projections and of the norms inside attention.
    ///
    /// Grouped: `h (q + 2 kv) d + q d h`. Latent (DeepSeek-V2, section 2.1): down- and up-projections of
    /// queries, joint down-projection and up-projection of keys and values, output.
    /// Worked: DeepSeek-V3 (7168; 128 heads; ranks 1536, 512; 128 + 64, 128): 187,107,328.
    #[must_use]
    pub const fn parameters(&self, hidden: u64) -> u64 {
        match *self {
            Self::Grouped {
                heads,
                kv_heads,
                head_dim,
                bias,
                ..
            } => {
                let qkv = (heads + 2 * kv_heads) * head_dim;
                let biases = if bias { qkv + hidden } else { 0 };
                hidden * qkv + heads * head_dim * hidden + biases
            }
            Self::Latent {
                heads,
                q_rank,
                kv_rank,
                nope_dim,
                rope_dim,
                v_dim,
            } => {
                let queries = heads * (nope_dim + rope_dim);
                let query = match q_rank {
                    Some(rank) => hidden * rank + rank + rank * queries,
                    None => hidden * queries,
                };
                let joint = hidden * (kv_rank + rope_dim) + kv_rank + kv_rank * heads * (nope_dim + v_dim);
                query + joint + heads * v_dim * hidden
            }
        }
    }
}

impl MlpShape {
    /// Matrices of one network: three when gated, else two.
    const fn matrices(gated: bool) -> u64 {
        if gated { 3 } else { 2 }
    }

    /// Parameters, the router's with the dense ones.
    #[must_use]
    pub const fn parameters(&self, hidden: u64) -> Parameters {
        match *self {
            Self::Dense { width, gated } => Parameters {
                dense: Self::matrices(gated) * hidden * width,
                experts: 0,
            },
            Self::Moe {
                experts,
                width,
                shared_width,
                gated,
                gate,
                ..
            } => {
                let bias = if matches!(gate, Gate::SigmoidBias) {
                    experts
                } else {
                    0
                };
                let shared = Self::matrices(gated) * hidden * shared_width;
                let routed = experts * Self::matrices(gated) * hidden * width;
                Parameters {
                    dense: shared + hidden * experts + bias,
                    experts: routed,
                }
            }
        }
    }

    /// Parameters that one token uses.
    #[must_use]
    pub const fn active_parameters(&self, hidden: u64) -> u64 {
        match *self {
            Self::Dense { .. } => self.parameters(hidden).dense,
            Self::Moe {
                top_k, width, gated, ..
            } => self.parameters(hidden).dense + top_k * Self::matrices(gated) * hidden * width,
        }
    }
}

impl Layer {
    /// Parameters of the layer, its two norms included.
    #[must_use]
    pub const fn parameters(&self, hidden: u64) -> Parameters {
        let attention = self.attention.parameters(hidden) + 2 * hidden;
        self.mlp.parameters(hidden).and(Parameters {
            dense: attention,
            experts: 0,
        })
    }
}

impl Model {
    /// Parameters of the input embedding, learned positions included.
    #[must_use]
    pub const fn embedding_parameters(&self) -> u64 {
        (self.vocab + self.learned_positions) * self.hidden
    }

    /// Parameters of the output head with its final norm; the matrix is none when it is tied.
    #[must_use]
    pub const fn head_parameters(&self) -> u64 {
        let matrix = if self.tied_embeddings {
            0
        } else {
            self.vocab * self.hidden
        };
        matrix + self.hidden
    }

    /// Parameters of one multi-token-prediction module: a layer like the last, a `2 h x h` projection and
    /// three norms; embedding and head are shared (DeepSeek-V3, section 2.2).
    #[must_use]
    pub fn mtp_parameters(&self) -> Parameters {
        let projection = Parameters {
            dense: 2 * self.hidden * self.hidden + 3 * self.hidden,
            experts: 0,
        };
        self.layers
            .last()
            .map_or(projection, |layer| layer.parameters(self.hidden).and(projection))
    }

    /// Parameters of the whole model, multi-token-prediction modules not counted (as models are named).
    #[must_use]
    pub fn parameters(&self) -> Parameters {
        let ends = self.embedding_parameters() + self.head_parameters();
        let ends = Parameters {
            dense: ends,
            experts: 0,
        };
        self.layers
            .iter()
            .fold(ends, |sum, layer| sum.and(layer.parameters(self.hidden)))
    }

    /// Parameters that one token uses, counted as [`Self::parameters`] counts them.
    #[must_use]
    pub fn active_parameters(&self) -> u64 {
        let ends = self.embedding_parameters() + self.head_parameters();
        let used = |layer: &Layer| {
            let attention = layer.attention.parameters(self.hidden) + 2 * self.hidden;
            attention + layer.mlp.active_parameters(self.hidden)
        };
        ends + self.layers.iter().map(used).sum::<u64>()
    }

    /// Whether any layer has experts.
    #[must_use]
    pub fn has_experts(&self) -> bool {
        self.layers
            .iter()
            .any(|layer| matches!(layer.mlp, MlpShape::Moe { .. }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deepseek_v3_has_671_billion_parameters() {
        let attention = AttentionShape::Latent {
            heads: 128,
            q_rank: Some(1536),
            kv_rank: 512,
            nope_dim: 128,
            rope_dim: 64,
            v_dim: 128,
        };
        assert_eq!(attention.parameters(7168), 187_107_328);
        let dense = MlpShape::Dense {
            width: 18432,
            gated: true,
        };
        let moe = MlpShape::Moe {
            experts: 256,
            top_k: 8,
            width: 2048,
            shared_width: 2048,
            gated: true,
            gate: Gate::SigmoidBias,
        };
        let layer = |mlp: &MlpShape| Layer {
            attention: attention.clone(),
            mlp: mlp.clone(),
        };
        let model = Model {
            name: "dsv3".to_owned(),
            hidden: 7168,
            vocab: 129_280,
            tied_embeddings: false,
            learned_positions: 0,
            layers: (0..61)
                .map(|i| layer(if i < 3 { &dense } else { &moe }))
                .collect(),
            mtp_layers: 1,
        };
        // tests/truth/models.csv, row dsv3: 671.025 B.
        assert_eq!(model.parameters().total() / 1_000_000, 671_026);
        // 37 B, as its report says.
        assert_eq!(model.active_parameters() / 100_000_000, 375);
    }
}
