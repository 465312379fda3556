//! How far the collectives are from the published sweeps: mean error per sweep, by size.
//!
//! `cargo run -p orrery-workload --example nccl_accuracy [ROOT]`. Each sweep is predicted twice: with the shipped
//! profile of its device, and without any profile, by NCCL's tuner and its calibration alone.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use orrery_operation::{Collective, CollectiveOp};
use orrery_profile::Profile;
use orrery_scenario::plan::{Cluster, Device, Fabric, GroupShape, Node};
use orrery_units::{Bytes, BytesPerSec, SimDuration, Watts};
use orrery_workload::collective::Network;

/// (file, operation, nodes, ranks on each).
const SWEEPS: [(&str, CollectiveOp, u32, u32); 16] = [
    ("a100_1n8g_all_reduce", CollectiveOp::AllReduce, 1, 8),
    ("a100_1n8g_all_gather", CollectiveOp::AllGather, 1, 8),
    ("a100_1n8g_reduce_scatter", CollectiveOp::ReduceScatter, 1, 8),
    ("a100_oci_2n16g_slurm_all_reduce", CollectiveOp::AllReduce, 2, 8),
    ("h100_dgx_1n8g_all_reduce", CollectiveOp::AllReduce, 1, 8),
    ("h100_1n8g_bf16_all_reduce", CollectiveOp::AllReduce, 1, 8),
    ("h100_1n8g_bf16_all_gather", CollectiveOp::AllGather, 1, 8),
    ("h100_1n8g_bf16_reduce_scatter", CollectiveOp::ReduceScatter, 1, 8),
    ("h100_ib_2n16g_all_reduce", CollectiveOp::AllReduce, 2, 8),
    ("h100_ibB_2n16g_all_reduce", CollectiveOp::AllReduce, 2, 8),
    ("h100_oci_2n16g_all_reduce", CollectiveOp::AllReduce, 2, 8),
    ("h200_gcp_a3ultra_2n16g_all_gather", CollectiveOp::AllGather, 2, 8),
    ("h100_ib_4n32g_all_reduce", CollectiveOp::AllReduce, 4, 8),
    ("h100_ibB_4n32g_all_reduce", CollectiveOp::AllReduce, 4, 8),
    ("h100_ibB_8n64g_all_reduce", CollectiveOp::AllReduce, 8, 8),
    (
        "h100_ib_128n1024g_all_reduce_ring_ll128",
        CollectiveOp::AllReduce,
        128,
        8,
    ),
];

fn cluster(hopper: bool) -> Cluster {
    let (architecture, links, nic, units, memory) = if hopper {
        ("Hopper", 450e9, 50e9, 132, 3350e9)
    } else {
        ("Ampere", 300e9, 25e9, 108, 2039e9)
    };
    Cluster {
        device: Device {
            name: architecture.to_owned(),
            architecture: architecture.to_owned(),
            peaks: Vec::new(),
            memory: Bytes::new(80 << 30),
            memory_bandwidth: BytesPerSec::new(memory),
            num_units: units,
            power_limit: Watts(400.0),
            power_cap: None,
        },
        node: Node {
            num_devices: 8,
            scale_up: BytesPerSec::new(links),
            scale_up_latency: SimDuration::from_micros(1),
            num_nics: 8,
            nic: BytesPerSec::new(nic),
            nic_latency: SimDuration::from_micros(3),
        },
        num_nodes: 128,
        fabric: Fabric {
            oversubscription: 1.0,
            switch_latency: SimDuration::from_nanos(500),
            contention: None,
        },
    }
}

/// (size, seconds) of a sweep, in place where it has that.
fn sweep(root: &Path, file: &str) -> std::io::Result<Vec<(u64, f64)>> {
    let text = fs::read_to_string(root.join(format!("tests/truth/nccl/{file}.csv")))?;
    let mut lines = text.lines().filter(|line| !line.starts_with('#'));
    let header: Vec<&str> = lines.next().unwrap_or_default().split(',').collect();
    let column = |name: &str| header.iter().position(|cell| *cell == name);
    let size = column("size_bytes");
    let times = [column("ip_time_us"), column("oop_time_us")];
    let rows = lines.filter_map(|line| {
        let cells: Vec<&str> = line.split(',').collect();
        let at = |index: Option<usize>| cells.get(index?)?.parse::<f64>().ok();
        let micros = at(times[0]).or_else(|| at(times[1]))?;
        let bytes = cells.get(size?)?.parse().ok()?;
        Some((bytes, micros * 1e-6))
    });
    Ok(rows.collect())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../../..");
    let root = std::env::args().nth(1).unwrap_or_else(|| default.to_owned());
    let root = Path::new(&root);
    let mut out = std::io::stdout().lock();
    let bands = [(0, 1 << 20), (1 << 20, 256 << 20), (256 << 20, u64::MAX)];
    writeln!(
        out,
        "{:<42} mean |error| %, profile / tuner: < 1 MiB, < 256 MiB, larger",
        "sweep"
    )?;
    for (file, op, nodes, ranks_per_node) in SWEEPS {
        let hopper = !file.starts_with('a');
        let name = if hopper {
            "h100-megatron-core-2025-09"
        } else {
            "a100-megatron-2025-09"
        };
        let text = fs::read_to_string(root.join(format!("scenarios/profiles/{name}.profile.json")))?;
        let machine = cluster(hopper);
        let known = Network::new(&machine, &Arc::new(Profile::from_json(&text)?));
        let bare = Network::new(&machine, &Arc::new(Profile::default()));
        let shape = GroupShape {
            ranks: nodes * ranks_per_node,
            ranks_per_node,
            nodes,
        };
        let rows = sweep(root, file)?;
        write!(out, "{file:<42}")?;
        for (low, high) in bands {
            let mean = |network: &Network| {
                let errors: Vec<f64> = rows
                    .iter()
                    .filter(|(size, seconds)| (low..high).contains(size) && *size >= 1024 && *seconds > 0.0)
                    .map(|&(size, seconds)| {
                        let collective = Collective {
                            op,
                            ranks: u64::from(shape.ranks),
                            bytes: Bytes::new(size),
                        };
                        let time = network.collective(collective, shape).time().as_secs();
                        (time / seconds - 1.0).abs() * 100.0
                    })
                    .collect();
                let count = u32::try_from(errors.len()).ok().filter(|&count| count > 0)?;
                Some(errors.iter().sum::<f64>() / f64::from(count))
            };
            match (mean(&known), mean(&bare)) {
                (Some(known), Some(bare)) => write!(out, "  {known:>5.1} / {bare:>5.1}")?,
                _ => write!(out, "      - /     -")?,
            }
        }
        writeln!(out)?;
    }
    Ok(())
}
