//! Collectives by NCCL, size by size, into the curves that the simulator prices them with.

use std::collections::BTreeMap;

use orrery_kernels::device::Measurement;
use orrery_kernels::measure::Subject;
use orrery_operation::CollectiveOp;
use orrery_profile::fit::{TransferRow, transfer};
use orrery_profile::{CollectiveCurve, Provenance, Range};

/// A curve for each collective and number of devices of which enough sizes were measured.
pub(super) fn collective_curves(
    rows: &[(&Subject, &Measurement)],
    provenance: &dyn Fn(Option<&str>, &str) -> Provenance,
) -> Vec<CollectiveCurve> {
    let mut sweeps: BTreeMap<(CollectiveOp, u64), Vec<TransferRow>> = BTreeMap::new();
    for (subject, time) in rows {
        if let Subject::Collective { op, ranks, .. } = **subject {
            sweeps.entry((op, ranks)).or_default().push(TransferRow {
                bytes: subject.bytes(),
                time: time.median(),
            });
        }
    }
    let curves = sweeps.into_iter().filter_map(|((op, ranks), sweep)| {
        let (law, fitted) = transfer(&sweep)?;
        let bytes = |row: &TransferRow| row.bytes.get();
        let note = "NCCL within a node, bfloats, out of place, back to back, the last device to end; one process drives \
                    all devices, so that the smallest sizes hold its launches";
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
            provenance: provenance(None, note),
        })
    });
    curves.collect()
}
