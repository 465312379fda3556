//! Products beside a kernel that moves memory, into the law of contention that the simulator reads.

use orrery_kernels::device::{DeviceFacts, Measurement};
use orrery_kernels::measure::Subject;
use orrery_profile::fit::{ContentionRow, contention};
use orrery_profile::{ContentionCurve, Points, Provenance, Range};

use super::launching::told;

/// The law of what was measured of `facts`; none where no product was measured beside two different kernels.
pub(super) fn contention_curve(
    rows: &[(&Subject, &Measurement)],
    facts: &DeviceFacts,
    provenance: &dyn Fn(Option<&str>, &str) -> Provenance,
) -> Option<ContentionCurve> {
    let mut beside = Vec::new();
    let mut measured = Vec::new();
    for (subject, time) in rows {
        let Subject::Contention { side, blocks } = **subject else {
            continue;
        };
        beside.push(blocks);
        let blocks = u32::try_from(blocks).expect("there are fewer than units");
        measured.push(ContentionRow {
            shape: [side; 3],
            held: f64::from(blocks) / f64::from(facts.num_units.max(1)),
            time: time.median(),
        });
    }
    let (law, fitted) = contention(&measured)?;
    let shapes = measured.iter().map(|row| row.shape).collect();
    let times = rows
        .iter()
        .filter(|(subject, _)| matches!(subject, Subject::Contention { .. }));
    let told = told(times.map(|(_, measured)| *measured));
    let note = format!(
        "square products of bfloats by the library, sustained, beside blocks of `probe_mover` that copy device \
                memory without end, each on a unit of its own{told}"
    );
    Some(ContentionCurve {
        law,
        kernel_source: "cublaslt".to_owned(),
        num_units: facts.num_units,
        blocks: Range {
            min: beside.iter().copied().filter(|&blocks| blocks > 0).min()?,
            max: beside.iter().copied().max()?,
        },
        points: Points::new(shapes, 3),
        fitted,
        provenance: provenance(None, &note),
    })
}
