//! Which layers each virtual stage holds.

use crate::plan::VirtualStage;

/// How layers were shared out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Split {
    /// Layers of each virtual stage.
    pub(crate) layers: Vec<usize>,
    /// The rule, in words.
    pub(crate) rule: &'static str,
}

/// Shares `layers` layers and `mtp` further prediction modules out over `stages` virtual stages.
///
/// Evenly, when that works and there is nothing beside the layers. Else the embedding, the head and each
/// prediction module count as one layer each (as Megatron-LM's `account_for_embedding_in_pipeline_split`
/// and `account_for_loss_in_pipeline_split` do), and what remains goes to the stages after the first.
/// Worked: 61 layers and one module over 16: 61 + 3 = 64, so 3, then 14 times 4, then 2.
/// 126 layers over 128: 126 + 2 = 128, so 0, then 126 times 1, then 0.
pub(crate) fn split(layers: usize, mtp: usize, stages: usize) -> Split {
    if layers.is_multiple_of(stages) && mtp == 0 {
        return Split {
            layers: vec![layers / stages; stages],
            rule: "evenly",
        };
    }
    let units = layers + mtp + 2;
    let (each, extra) = (units / stages, units % stages);
    let mut shares: Vec<usize> = (0..stages)
        // The first stage keeps most activations in flight, so it is the last to get one more.
        .map(|stage| each + usize::from((1..=extra).contains(&stage)))
        .collect();
    take(&mut shares, 0, 1);
    take(&mut shares, stages - 1, 1 + mtp);
    Split {
        layers: shares,
        rule: "embedding, head and each prediction module count as one layer each",
    }
}

/// Takes `amount` from `shares[at]`, and from its neighbours where it holds less than that.
fn take(shares: &mut [usize], at: usize, amount: usize) {
    let mut left = amount;
    let towards_middle: Vec<usize> = if at == 0 {
        (0..shares.len()).collect()
    } else {
        (0..shares.len()).rev().collect()
    };
    for stage in towards_middle {
        let taken = left.min(shares[stage]);
        shares[stage] -= taken;
        left -= taken;
    }
}

/// The virtual stages with `layers` layers each; embedding first, head and prediction modules last.
pub(crate) fn stages(layers: &[usize], mtp: u64) -> Vec<VirtualStage> {
    let mut from = 0;
    let last = layers.len().saturating_sub(1);
    layers
        .iter()
        .enumerate()
        .map(|(at, &count)| {
            let stage = VirtualStage {
                layers: from..from + count,
                embedding: at == 0,
                head: at == last,
                mtp_layers: if at == last { mtp } else { 0 },
            };
            from += count;
            stage
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn worked_numbers() {
        let deepseek = split(61, 1, 16);
        assert_eq!(deepseek.layers[0], 3);
        assert!(
            deepseek.layers[1..15].iter().all(|&layers| layers == 4),
            "{deepseek:?}"
        );
        assert_eq!(deepseek.layers[15], 2);
        let llama = split(126, 0, 128);
        assert_eq!((llama.layers[0], llama.layers[1], llama.layers[127]), (0, 1, 0));
        assert_eq!(split(96, 0, 24).layers, vec![4; 24]);
    }

    #[test]
    fn every_layer_is_held_once() {
        for layers in 1..70 {
            for stages in 1..=layers {
                for mtp in 0..3 {
                    let split = split(layers, mtp, stages);
                    assert_eq!(
                        split.layers.iter().sum::<usize>(),
                        layers,
                        "{layers} {mtp} {stages}"
                    );
                }
            }
        }
    }
}
