//! FlexMoE (Nie et al. 2023): experts expand, shrink and migrate where they lie, a few moves at a time.

use super::search::Search;
use super::{LayerPlacement, Setting, simple};

/// Moves from the present placement while the busiest device carries more than `threshold` times the mean.
///
/// A move gives a slot of an expert that has several to the heaviest expert of the busiest device (expand and shrink),
/// or exchanges two slots (migrate), whichever is open and relieves that device most. Without a present placement the
/// experts lie in order.
pub(super) fn place(loads: &[f64], setting: Setting<'_>, threshold: f64) -> LayerPlacement {
    let shape = setting.shape;
    let start = setting.now.cloned().unwrap_or_else(|| simple::contiguous(shape));
    let mut search = Search::from(&start, loads);
    for _ in 0..shape.slots {
        if search.imbalance() <= threshold || !search.relieve() {
            break;
        }
    }
    search.placement()
}
