//! Collectives by NCCL, size by size, into the curves that the simulator prices them with.

use std::collections::BTreeMap;

use orrery_kernels::device::Measurement;
use orrery_kernels::measure::Subject;
use orrery_operation::CollectiveOp;
use orrery_profile::fit::{TransferRow, transfer};
use orrery_profile::{CollectiveCurve, Provenance, Range};

use super::launching::told;

/// Sizes with their times, and how those were measured.
type Sweep<'a> = (Vec<TransferRow>, Vec<&'a Measurement>);

/// A curve for each collective and number of devices of which enough sizes were measured.
pub(super) fn collective_curves(
    rows: &[(&Subject, &Measurement)],
    provenance: &dyn Fn(Option<&str>, &str) -> Provenance,
) -> Vec<CollectiveCurve> {
    let mut sweeps: BTreeMap<(CollectiveOp, u64), Sweep<'_>> = BTreeMap::new();
    for (subject, time) in rows {
        if let Subject::Collective { op, ranks, .. } = **subject {
            let (sweep, times) = sweeps.entry((op, ranks)).or_default();
            sweep.push(TransferRow {
                bytes: subject.bytes(),
                time: time.median(),
            });
            times.push(*time);
        }
    }
    let curves = sweeps.into_iter().filter_map(|((op, ranks), (sweep, times))| {
        let (law, fitted) = transfer(&sweep)?;
        let bytes = |row: &TransferRow| row.bytes.get();
        let note = format!(
            "NCCL within a node, a process for each device, bfloats, out of place, back to back, the last rank to end{}",
            told(times)
        );
        Some(CollectiveCurve {
            op,
            nodes: 1,
            ranks_per_node: u32::try_from(ranks).ok()?,
            law,
            bytes: Range {
                min: sweep.iter().map(bytes).min()?,
                max: sweep.iter().map(bytes).max()?,
            },
            fitted,
            provenance: provenance(None, &note),
        })
    });
    curves.collect()
}
