//! Questions and answers as users of EPLB write them: weights in; `phy2log`, `log2phy` and `logcnt` out.

use orrery_units::Seed;
use serde::{Deserialize, Serialize};

use super::{Algorithm, BalanceError, LayerPlacement, Observed, Policy as _, Setting, Shape};

/// A question to the balancer, as its users write it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BalanceCase {
    /// Load of each expert, by layer.
    pub weights: Vec<Vec<f64>>,
    /// Replicas in all.
    pub num_replicas: usize,
    /// Groups of experts that a token's node limit counts in.
    pub num_groups: usize,
    /// Nodes.
    pub num_nodes: usize,
    /// Devices in all.
    pub num_gpus: usize,
}

/// Where replicas lie; the names are those of the reference, and what SGLang and vLLM read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tables {
    /// The expert of each replica, by layer; replicas are numbered device by device.
    pub phy2log: Vec<Vec<usize>>,
    /// The replicas of each expert, by layer, filled with −1 to the length of the longest.
    pub log2phy: Vec<Vec<Vec<i64>>>,
    /// How many replicas each expert has, by layer.
    pub logcnt: Vec<Vec<usize>>,
}

impl BalanceCase {
    /// The shape of the question, if it has an answer.
    ///
    /// # Errors
    /// When the numbers do not fit together; see [`BalanceError`].
    pub fn shape(&self) -> Result<Shape, BalanceError> {
        let experts = self.weights.first().map_or(0, Vec::len);
        // What is no load is said before what does not divide, in the order of the file.
        if experts > 0 {
            check_weights(&self.weights, experts)?;
        }
        Shape::new(
            experts,
            self.num_replicas,
            self.num_groups,
            self.num_nodes,
            self.num_gpus,
        )
    }

    /// Answers the question by `algorithm`.
    ///
    /// Worked: the example of the reference's README (12 experts, 16 replicas, 4 groups, 2 nodes, 8 devices).
    ///
    /// # Errors
    /// When the numbers do not fit together; see [`BalanceError`].
    pub fn place(&self, algorithm: Algorithm) -> Result<Vec<LayerPlacement>, BalanceError> {
        let shape = self.shape()?;
        let seed = Seed::new(0);
        let layers = self.weights.iter().zip(0..).map(|(weights, layer)| {
            let setting = Setting {
                shape,
                now: None,
                key: seed.at("placement", &[layer]),
            };
            algorithm.place(Observed::of_mean(weights), setting)
        });
        Ok(layers.collect())
    }
}

impl Tables {
    /// The tables of these layers.
    #[must_use]
    pub fn of(layers: &[LayerPlacement]) -> Self {
        let most = layers
            .iter()
            .flat_map(LayerPlacement::counts)
            .copied()
            .max()
            .unwrap_or(1);
        let replicas_of = |layer: &LayerPlacement| {
            let mut replicas = vec![vec![-1; most]; layer.counts().len()];
            for (slot, (&expert, &rank)) in layer.experts().iter().zip(layer.ranks()).enumerate() {
                replicas[expert][rank] = i64::try_from(slot).expect("replicas are few");
            }
            replicas
        };
        Self {
            phy2log: layers.iter().map(|layer| layer.experts().to_vec()).collect(),
            log2phy: layers.iter().map(replicas_of).collect(),
            logcnt: layers.iter().map(|layer| layer.counts().to_vec()).collect(),
        }
    }
}

/// Refuses layers of different lengths and loads that are none.
fn check_weights(weights: &[Vec<f64>], experts: usize) -> Result<(), BalanceError> {
    for (layer, weights) in weights.iter().enumerate() {
        if weights.len() != experts {
            return Err(BalanceError::Ragged {
                layer,
                found: weights.len(),
                expected: experts,
            });
        }
        if let Some(expert) = weights
            .iter()
            .position(|&load| !(load.is_finite() && load >= 0.0))
        {
            return Err(BalanceError::NoLoad { layer, expert });
        }
    }
    Ok(())
}
