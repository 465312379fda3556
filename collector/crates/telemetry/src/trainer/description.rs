//! What a job trains, on what, and what a token of it costs.

use orrery_operation::{Attention, Gemm, Mask, Precision};
use orrery_units::{Dimension, Flops, FlopsPerSec, Ratio, SimDuration, parse_quantity};
use serde::{Deserialize, Serialize};

/// What a job trains, and on what.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Description {
    /// Devices of the job.
    pub gpus: Option<u32>,
    /// Dense BF16 rate of one of them, such as `989 TFLOP/s`.
    #[serde(with = "rate", skip_serializing_if = "Option::is_none")]
    pub peak: Option<FlopsPerSec>,
    /// Tokens of a sequence.
    pub sequence_length: Option<u64>,
    /// Sequences of a step, over all ranks; a trainer that prints it is believed first.
    pub global_batch: Option<u64>,
    /// MFU that a scenario of it predicts.
    pub predicted_mfu: Option<Ratio>,
    /// The job's number in Slurm, by which its devices are found where `ranks` is not given.
    pub slurm_job: Option<u64>,
    /// Node and device of every rank, such as `node-0:3`.
    pub ranks: Vec<Place>,
    /// The model.
    pub model: Option<Model>,
}

/// A transformer, as far as its products go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// Layers, those of multi-token prediction not among them.
    pub layers: u64,
    /// Width of the residual stream.
    pub hidden: u64,
    /// Query heads.
    pub heads: u64,
    /// Key-value heads; as many as query heads unless told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kv_heads: Option<u64>,
    /// Width of a head; `hidden / heads` unless told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head_dim: Option<u64>,
    /// Multi-head latent attention, if it is that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latent: Option<Latent>,
    /// Tokens that attention looks back, if it is windowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<u64>,
    /// Width of a dense MLP.
    pub feed_forward: u64,
    /// Whether MLPs are gated: three matrices instead of two.
    #[serde(default = "yes")]
    pub gated: bool,
    /// Entries of the vocabulary.
    pub vocabulary: u64,
    /// Experts, if it has any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub experts: Option<Experts>,
    /// Modules of multi-token prediction that are trained.
    #[serde(default)]
    pub predicted_tokens: u64,
}

/// The ranks of multi-head latent attention (DeepSeek-V2, section 2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Latent {
    /// Rank of the queries; none where they are not compressed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query_rank: Option<u64>,
    /// Rank of keys and values.
    pub kv_rank: u64,
    /// Width of a query and a key without position.
    pub nope_dim: u64,
    /// Width of a query and a key with position.
    pub rope_dim: u64,
    /// Width of a value.
    pub v_dim: u64,
}

/// Experts of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Experts {
    /// How many.
    pub number: u64,
    /// How many a token goes to.
    pub top_k: u64,
    /// Width of one.
    pub width: u64,
    /// Width of those that every token goes to, all together.
    #[serde(default)]
    pub shared_width: u64,
    /// Leading layers that have a dense MLP instead.
    #[serde(default)]
    pub dense_layers: u64,
}

/// A device of a node, as `NODE:NUMBER`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Place {
    /// The node.
    pub node: String,
    /// The device's number there.
    pub gpu: u32,
}

const fn yes() -> bool {
    true
}

impl TryFrom<String> for Place {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let parts = text.rsplit_once(':');
        let place = parts.and_then(|(node, gpu)| Some((node, gpu.parse().ok()?)));
        let (node, gpu) = place
            .ok_or_else(|| format!("`{text}` is no rank's place: use `NODE:NUMBER`, such as `node-0:3`"))?;
        Ok(Self {
            node: node.to_owned(),
            gpu,
        })
    }
}

impl From<Place> for String {
    fn from(place: Place) -> Self {
        format!("{}:{}", place.node, place.gpu)
    }
}

impl Model {
    /// Operations forward for one token of a sequence of `sequence_length`: the products of every layer, attention
    /// counted causally (half), logits, and modules of multi-token prediction. The input embedding is a lookup.
    ///
    /// Ignores norms, biases, activations and the softmax. Worked: Llama 3 8B at 8,192 tokens: 17,156,800,512; see
    /// the test for the way there.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "dimensions are far below 2^53")]
    pub fn forward_flops_per_token(&self, sequence_length: u64) -> Flops {
        let attention = self.attention_products() + self.core(sequence_length);
        let dense_layers = self
            .experts
            .map_or(self.layers, |experts| experts.dense_layers.min(self.layers));
        let expert_layers = self.layers - dense_layers;
        let expert = self.experts.map_or(0.0, |experts| self.expert_products(experts));
        let mlps = dense_layers as f64 * self.mlp(self.feed_forward) + expert_layers as f64 * expert;
        let logits = product(self.hidden, self.vocabulary);
        // A module is a layer like the last, and a product that joins two streams (DeepSeek-V3, section 2.2).
        let last = if expert_layers > 0 {
            expert
        } else {
            self.mlp(self.feed_forward)
        };
        let module = attention + last + product(2 * self.hidden, self.hidden) + logits;
        let modules = self.predicted_tokens as f64 * module;
        Flops::new(self.layers as f64 * attention + mlps + logits + modules)
    }

    /// Model FLOPs of training on one token: three times forward, since backward has two products where forward has
    /// one. Recomputation does not count.
    #[must_use]
    pub fn training_flops_per_token(&self, sequence_length: u64) -> Flops {
        Flops::new(3.0 * self.forward_flops_per_token(sequence_length).get())
    }

    fn head_dim(&self) -> u64 {
        self.head_dim.unwrap_or(self.hidden / self.heads.max(1))
    }

    fn attention_products(&self) -> f64 {
        let (hidden, heads) = (self.hidden, self.heads);
        if let Some(latent) = self.latent {
            let queries = heads * (latent.nope_dim + latent.rope_dim);
            let query = match latent.query_rank {
                Some(rank) => product(hidden, rank) + product(rank, queries),
                None => product(hidden, queries),
            };
            return query
                + product(hidden, latent.kv_rank + latent.rope_dim)
                + product(latent.kv_rank, heads * (latent.nope_dim + latent.v_dim))
                + product(heads * latent.v_dim, hidden);
        }
        let kv_heads = self.kv_heads.unwrap_or(heads);
        product(hidden, (heads + 2 * kv_heads) * self.head_dim()) + product(heads * self.head_dim(), hidden)
    }

    #[expect(clippy::cast_precision_loss, reason = "dimensions are far below 2^53")]
    fn core(&self, sequence_length: u64) -> f64 {
        let (qk_dim, v_dim) = match self.latent {
            Some(latent) => (latent.nope_dim + latent.rope_dim, latent.v_dim),
            None => (self.head_dim(), self.head_dim()),
        };
        let core = Attention {
            sequences: 1,
            query_tokens: sequence_length,
            key_tokens: sequence_length,
            heads: self.heads,
            kv_heads: self.kv_heads.unwrap_or(self.heads),
            qk_dim,
            v_dim,
            mask: self.window.map_or(Mask::Causal, Mask::Sliding),
            precision: Precision::Bf16,
        };
        core.forward_flops().get() / sequence_length.max(1) as f64
    }

    fn mlp(&self, width: u64) -> f64 {
        let into = if self.gated { 2 * width } else { width };
        product(self.hidden, into) + product(width, self.hidden)
    }

    #[expect(clippy::cast_precision_loss, reason = "dimensions are far below 2^53")]
    fn expert_products(&self, experts: Experts) -> f64 {
        let router = product(self.hidden, experts.number);
        router + experts.top_k as f64 * self.mlp(experts.width) + self.mlp(experts.shared_width)
    }
}

/// Operations of one token through a matrix `[from, to]`.
fn product(from: u64, to: u64) -> f64 {
    let product = Gemm {
        m: 1,
        n: to,
        k: from,
        precision: Precision::Bf16,
        output: Precision::Bf16,
    };
    product.flops().get()
}

impl Description {
    /// Tokens of a step, of `batch` sequences where the trainer prints how many.
    #[must_use]
    pub fn tokens_per_step(&self, batch: Option<u64>) -> Option<u64> {
        self.sequence_length?.checked_mul(batch.or(self.global_batch)?)
    }

    /// MFU of a job that trains on `tokens` tokens in `time`: `F / (t · devices · peak)`, with model FLOPs as
    /// [`Model::training_flops_per_token`] counts them and the dense BF16 peak. `None` where something is not known.
    /// One above 1 says that the description is wrong, and is none.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "tokens of a step are far below 2^53")]
    pub fn mfu(&self, tokens: u64, time: SimDuration) -> Option<Ratio> {
        let flops = self
            .model
            .as_ref()?
            .training_flops_per_token(self.sequence_length?)
            .get();
        let possible = time.as_secs() * f64::from(self.gpus?) * self.peak?.get();
        (possible > 0.0).then(|| Ratio::new(flops * tokens as f64 / possible))?
    }
}

/// A rate as text, such as `989 TFLOP/s`.
mod rate {
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};

    use super::{Dimension, FlopsPerSec, parse_quantity};

    #[expect(clippy::ref_option, reason = "serde hands a field over by reference")]
    pub(super) fn serialize<S: Serializer>(rate: &Option<FlopsPerSec>, out: S) -> Result<S::Ok, S::Error> {
        match rate {
            Some(rate) => out.serialize_str(&format!("{} FLOP/s", rate.get())),
            None => out.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<FlopsPerSec>, D::Error> {
        let text = String::deserialize(from)?;
        let rate = parse_quantity(&text, Dimension::FlopRate).map_err(D::Error::custom)?;
        Ok(Some(FlopsPerSec::new(rate.value)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(in crate::trainer) fn llama_3_8b() -> Model {
        Model {
            layers: 32,
            hidden: 4096,
            heads: 32,
            kv_heads: Some(8),
            head_dim: None,
            latent: None,
            window: None,
            feed_forward: 14_336,
            gated: true,
            vocabulary: 128_256,
            experts: None,
            predicted_tokens: 0,
        }
    }

    #[test]
    fn llama_by_hand() {
        // One layer: queries 4096 x 4096, keys and values 2 x 4096 x 1024, output 4096 x 4096, MLP 3 x 4096 x 14336.
        let layer = 16_777_216 + 8_388_608 + 16_777_216 + 176_160_768;
        assert_eq!(layer, 218_103_808);
        // 32 layers and logits of 4096 x 128256, two operations each.
        let products = 2 * (32 * 218_103_808_u64 + 525_336_576);
        assert_eq!(products, 15_009_316_864);
        // Half of 8192 keys, 2 x (128 + 128) operations, 32 heads, 32 layers.
        let attention = 32 * 32 * 512 * 4096_u64;
        assert_eq!(products + attention, 17_156_800_512);
        let flops = llama_3_8b().forward_flops_per_token(8192).get();
        assert!((flops - 17_156_800_512.0).abs() < 1.0, "{flops}");
    }

    #[test]
    fn deepseek_v3_by_hand() {
        let model = Model {
            layers: 61,
            hidden: 7168,
            heads: 128,
            kv_heads: None,
            head_dim: None,
            latent: Some(Latent {
                query_rank: Some(1536),
                kv_rank: 512,
                nope_dim: 128,
                rope_dim: 64,
                v_dim: 128,
            }),
            window: None,
            feed_forward: 18_432,
            gated: true,
            vocabulary: 129_280,
            experts: Some(Experts {
                number: 256,
                top_k: 8,
                width: 2048,
                shared_width: 2048,
                dense_layers: 3,
            }),
            predicted_tokens: 1,
        };
        let attention = 7168 * 1536 + 1536 * 128 * 192 + 7168 * 576 + 512 * 128 * 256 + 128 * 128 * 7168_u64;
        assert_eq!(attention, 187_105_280);
        let (dense, expert) = (3 * 7168 * 18_432_u64, 7168 * 256 + 9 * 3 * 7168 * 2048_u64);
        let logits = 7168 * 129_280_u64;
        // 61 layers, three of them dense; the module adds an expert layer, 2 x 7168 x 7168 and logits.
        let products = 62 * attention + 3 * dense + 59 * expert + 2 * 7168 * 7168 + 2 * logits;
        // Half of 4096 keys, 2 x (192 + 128) operations, 128 heads, 62 layers.
        let core = 62 * 128 * 640 * 2048_u64;
        let wanted = 2 * products + core;
        let flops = model.forward_flops_per_token(4096).get();
        #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
        let wanted = wanted as f64;
        assert!((flops / wanted - 1.0).abs() < 1e-12, "{flops} {wanted}");
    }

    #[test]
    fn a_place_is_a_node_and_a_number() {
        let place = Place::try_from("rack:7:3".to_owned()).unwrap();
        assert_eq!((place.node.as_str(), place.gpu), ("rack:7", 3));
        assert!(
            Place::try_from("node".to_owned())
                .unwrap_err()
                .contains("`NODE:NUMBER`")
        );
    }

    #[test]
    fn a_description_survives_its_text_and_an_unknown_key_does_not() {
        let text = r#"{"gpus":16,"peak":"989 TFLOP/s","sequence_length":8192,"ranks":["a:0","a:1"]}"#;
        let description: Description = serde_json::from_str(text).unwrap();
        assert!((description.peak.unwrap().get() - 989e12).abs() < 1.0);
        let again = serde_json::to_string(&description).unwrap();
        assert_eq!(serde_json::from_str::<Description>(&again).unwrap(), description);
        assert!(serde_json::from_str::<Description>(r#"{"gpu":16}"#).is_err());
    }
}
