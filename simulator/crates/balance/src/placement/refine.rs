//! EPLB's placement made better by local search: no two replicas of an expert on one device, and slots exchanged, or
//! given to another expert, while that lowers the load of the busiest device.

use super::search::{Search, busiest};
use super::{LayerPlacement, Shape, eplb};

/// Most moves: each relieves the busiest device, and few are ever found.
const MOST_MOVES: usize = 512;

/// EPLB over all devices, refined. Never worse than EPLB on the loads that it plans with.
pub(super) fn place(loads: &[f64], shape: Shape) -> LayerPlacement {
    let start = eplb::place::<f32>(loads, shape.flat());
    let mut search = Search::from(&start, loads);
    search.part_duplicates();
    for _ in 0..MOST_MOVES {
        if !search.relieve() {
            break;
        }
    }
    let refined = search.placement();
    // Parting duplicates can cost more than the search wins back; then they stay.
    let worst = |placement: &LayerPlacement| busiest(&placement.device_loads(loads)).1;
    if worst(&refined) <= worst(&start) {
        refined
    } else {
        start
    }
}
