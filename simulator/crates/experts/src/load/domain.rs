//! What a stream of tokens of one kind does to the experts: popularity by layer.

use orrery_units::Seed;

use super::popularity::{Law, shares};

/// The sizes of what is routed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Layers with experts.
    pub layers: u32,
    /// Experts of each.
    pub experts: usize,
    /// Experts that each token goes to.
    pub top_k: u64,
}

/// Whether layers have the same popular experts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Layers {
    /// Every layer is drawn by itself, as in trained models.
    #[default]
    Apart,
    /// Every layer is a copy of the first: what a benchmark with one routing table does.
    Alike,
}

/// Shares of popularity of every expert of every layer; those of a layer add up to one.
#[derive(Clone, Debug, PartialEq)]
pub struct Domain {
    layers: Vec<Vec<f32>>,
}

impl Domain {
    /// The domain `name` of `law`, drawn by `seed`.
    ///
    /// Another name gives another draw of the same law: other experts are popular.
    #[must_use]
    pub fn drawn(name: &str, law: Law, layers: Layers, shape: Shape, seed: Seed) -> Self {
        let seed = Seed::new(name.bytes().fold(seed.get(), |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        }));
        let layer = |layer: u32| {
            let layer = match layers {
                Layers::Apart => u64::from(layer),
                Layers::Alike => 0,
            };
            let drawn = shares(law, shape.experts, shape.top_k, seed.at("popularity", &[layer]));
            drawn.into_iter().map(|share| share as f32).collect()
        };
        Self {
            layers: (0..shape.layers).map(layer).collect(),
        }
    }

    /// The domain of recorded `counts` by layer. A layer that nothing was recorded of is taken as uniform.
    ///
    /// # Panics
    /// When there is no layer, or one of another number of experts than the first.
    #[must_use]
    pub fn recorded(counts: &[Vec<u64>]) -> Self {
        let experts = counts.first().map_or(0, Vec::len);
        assert!(
            experts > 0 && counts.iter().all(|layer| layer.len() == experts),
            "every layer has the same number of experts, and there is one at least"
        );
        let layer = |layer: &Vec<u64>| {
            let sum: u64 = layer.iter().sum();
            let share = |&count: &u64| match sum {
                0 => 1.0 / experts as f32,
                _ => (count as f64 / sum as f64) as f32,
            };
            layer.iter().map(share).collect()
        };
        Self {
            layers: counts.iter().map(layer).collect(),
        }
    }

    /// Shares of the experts of `layer`.
    #[must_use]
    pub fn layer(&self, layer: u32) -> &[f32] {
        &self.layers[layer as usize]
    }

    /// Layers with experts.
    #[must_use]
    pub fn num_layers(&self) -> u32 {
        u32::try_from(self.layers.len()).expect("a model has fewer than 2^32 layers")
    }

    /// Experts of a layer.
    #[must_use]
    pub fn num_experts(&self) -> usize {
        self.layers.first().map_or(0, Vec::len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: Shape = Shape {
        layers: 3,
        experts: 16,
        top_k: 2,
    };

    #[test]
    fn names_and_layers_draw_apart_unless_told_otherwise() {
        let law = Law::LogNormal { sigma: 1.0 };
        let domain = |name, layers| Domain::drawn(name, law, layers, SHAPE, Seed::new(1));
        let chat = domain("chat", Layers::Apart);
        assert_eq!(chat, domain("chat", Layers::Apart));
        assert_ne!(chat.layer(0), domain("code", Layers::Apart).layer(0));
        assert_ne!(chat.layer(0), chat.layer(1));
        let alike = domain("chat", Layers::Alike);
        assert_eq!(alike.layer(0), alike.layer(2));
    }

    #[test]
    fn recorded_counts_are_shares() {
        let domain = Domain::recorded(&[vec![1, 3], vec![0, 0]]);
        assert_eq!(domain.layer(0), [0.25, 0.75]);
        assert_eq!(domain.layer(1), [0.5, 0.5]);
    }
}
