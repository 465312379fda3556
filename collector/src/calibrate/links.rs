//! Links, as a gate holds the next measurement of them: copies to another device, and the port beside this one.

use std::time::Duration;

use orrery_kernels::device::Measurement;
use orrery_kernels::measure::Subject;
use orrery_profile::{Link, LinkReference, Provenance};
use orrery_telemetry::DeviceSample;
use orrery_units::{Bytes, BytesPerSec};

use super::launching::told;
use crate::gate::{Loopback, MESSAGE, Rate, line_rate};

/// Longest that a port is written to, beginning and end included.
const WRITING: Duration = Duration::from_secs(30);

/// What the longest copy to another device of `rows` carried; none where nothing was copied.
pub(super) fn peer_link(
    rows: &[(&Subject, &Measurement)],
    provenance: &dyn Fn(Option<&str>, &str) -> Provenance,
) -> Option<LinkReference> {
    let copies = rows
        .iter()
        .filter(|(subject, _)| matches!(subject, Subject::PeerCopy { .. }));
    let (subject, measured) = copies.max_by_key(|(subject, _)| subject.bytes())?;
    let note = format!(
        "copies by the driver to the next device, one way and alone, back to back{}",
        told([*measured])
    );
    Some(LinkReference {
        link: Link::Peer,
        bandwidth: LinkReference::rate(subject.bytes(), measured.median()),
        bytes: subject.bytes(),
        provenance: provenance(None, &note),
    })
}

/// What the port beside `device` carried; or why it was not written to.
pub(super) fn port_link(
    ports: &Loopback,
    device: Option<&DeviceSample>,
    provenance: &dyn Fn(Option<&str>, &str) -> Provenance,
) -> Result<LinkReference, String> {
    let device = device.ok_or("the driver's management library does not say where this device sits")?;
    let rate = ports
        .measure(&[device], WRITING)
        .pop()
        .ok_or("no port was written to")?;
    of_port(&rate.map_err(|fault| fault.to_string())?, provenance)
}

fn of_port(
    rate: &Rate,
    provenance: &dyn Fn(Option<&str>, &str) -> Provenance,
) -> Result<LinkReference, String> {
    let through = rate.through.as_deref().unwrap_or_default();
    let line = line_rate(through).ok_or("the port does not tell its line rate")?;
    let note = format!(
        "`ib_write_bw` of perftest from this node to itself through {through}, the node's own memory"
    );
    Ok(LinkReference {
        link: Link::Port(line.to_owned()),
        bandwidth: BytesPerSec::new(rate.value),
        bytes: Bytes::new(MESSAGE.into()),
        provenance: provenance(None, &note),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(_hash: Option<&str>, note: &str) -> Provenance {
        Provenance {
            note: note.to_owned(),
            ..Provenance::default()
        }
    }

    #[test]
    fn a_port_is_known_by_its_line_rate() {
        let rate = Rate {
            value: 48.3e9,
            through: Some("mlx5_3/1, 400 Gbit/s".to_owned()),
        };
        let link = of_port(&rate, &place).unwrap();
        assert_eq!(link.link, Link::Port("400 Gbit/s".to_owned()));
        assert!((link.bandwidth.get() - 48.3e9).abs() < 1.0, "{link:?}");
        assert!(
            link.provenance.note.contains("through mlx5_3/1, 400 Gbit/s"),
            "{link:?}"
        );
        let fault = of_port(&Rate::from(1e9), &place).unwrap_err();
        assert_eq!(fault, "the port does not tell its line rate");
        let ports = Loopback::new("/nonexistent".into(), "ib_write_bw".into());
        let fault = port_link(&ports, None, &place).unwrap_err();
        assert!(fault.contains("where this device sits"), "{fault}");
    }
}
