//! How launches got to the device, as a curve says it.

use std::collections::BTreeSet;

use orrery_kernels::device::{Launching, Measurement};

/// What the note of a curve of `measurements` ends with: that they were replayed, or how many were not and why.
///
/// A kernel that is shorter than a call of the host (some 5 µs) shows the host's time where it was not replayed.
pub(super) fn told<'a>(measurements: impl IntoIterator<Item = &'a Measurement>) -> String {
    let mut reasons = BTreeSet::new();
    let (mut followed, mut all) = (0, 0);
    for measured in measurements {
        all += 1;
        if let Launching::Stream(why) = &measured.launching {
            followed += 1;
            reasons.insert(why.as_str());
        }
    }
    if followed == 0 {
        return "; batches replayed as CUDA graphs".to_owned();
    }
    let reasons: Vec<&str> = reasons.into_iter().collect();
    format!(
        "; {followed} of {all} not replayed as CUDA graphs, so that what is shorter than a call of the host holds its time: {}",
        reasons.join("; ")
    )
}
