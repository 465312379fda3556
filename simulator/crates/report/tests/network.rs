//! Links and pairs small enough to add up by hand.

mod support;

use orrery_report::{LinkLoad, Network, NetworkFacts, PairLoad};
use orrery_units::{Bytes, BytesPerSec, SimDuration};
use support::link;

/// Two intervals of 1 and 0.5 µs; links of 1 GB/s, which carry 1,000 and 500 bytes at most in them.
fn network(num_devices: u32) -> Network {
    Network::new(NetworkFacts {
        span: SimDuration::from_nanos(1500),
        intervals: vec![SimDuration::from_nanos(1000), SimDuration::from_nanos(500)],
        links: vec![
            link("a", "nic", 600, 0),
            link("b", "scale_up", 1500, 1),
            link("c", "nic", 900, 2),
        ],
        series: [[600, 0], [1000, 500], [400, 500]]
            .map(|bytes| bytes.map(Bytes::new).to_vec())
            .to_vec(),
        pairs: vec![
            PairLoad {
                from: 0,
                to: 1,
                bytes: Bytes::new(5),
            },
            PairLoad {
                from: 5,
                to: 0,
                bytes: Bytes::new(7),
            },
            PairLoad {
                from: 4,
                to: 2,
                bytes: Bytes::new(1),
            },
        ],
        num_devices,
        devices_per_node: 2,
    })
}

#[test]
fn the_busiest_link_is_first_and_kinds_add_up() {
    let network = network(6);
    let names: Vec<&str> = network.links().iter().map(|link| link.name.as_str()).collect();
    assert_eq!(names, ["b", "c", "a"]);
    let kinds = network.kinds();
    assert_eq!(
        (kinds[1].kind, kinds[1].count, kinds[1].bytes.get()),
        ("nic", 2, 1500)
    );
    for (got, expected) in [
        (network.utilization(&network.links()[2]), 0.4),
        (network.peak(&network.links()[2]), 0.6),
        (kinds[1].mean, 0.5),
        (kinds[1].most, 0.6),
        (kinds[1].peak, 1.0),
    ] {
        assert!((got - expected).abs() < 1e-12, "{got} is not {expected}");
    }
}

#[test]
fn a_matrix_is_of_devices_or_of_nodes() {
    let network = network(6);
    let cells = |most| {
        let matrix = network.traffic(most);
        let bytes: Vec<Vec<u64>> = matrix
            .bytes
            .iter()
            .map(|row| row.iter().map(|bytes| bytes.get()).collect())
            .collect();
        (matrix.devices_per_cell, bytes)
    };
    let (side, devices) = cells(6);
    assert_eq!((side, devices[5][0], devices[4][2]), (1, 7, 1));
    assert_eq!(cells(5), (2, vec![vec![5, 0, 0], vec![0, 0, 0], vec![7, 1, 0]]));
    assert_eq!(cells(2), (4, vec![vec![5, 0], vec![8, 0]]));
    assert_eq!(network.pairs()[0].bytes, Bytes::new(7));
}

#[test]
fn a_link_that_is_down_is_full_if_anything_waits() {
    let down = |bytes| LinkLoad {
        capacity: BytesPerSec::default(),
        ..link("down", "nic", bytes, 0)
    };
    let network = network(2);
    for (bytes, expected) in [(1, 1.0), (0, 0.0)] {
        let utilization = network.utilization(&down(bytes));
        assert!(
            (utilization - expected).abs() < 1e-12,
            "{bytes} bytes: {utilization}"
        );
    }
}
