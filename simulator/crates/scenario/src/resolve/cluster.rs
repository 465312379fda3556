//! `[cluster]` into a cluster: the catalogue's device and node, with what the file overrides.

use orrery_operation::Precision;
use orrery_units::{Bytes, BytesPerSec, Dimension, FlopsPerSec, SimDuration, Watts};

use super::fabric::{Files, contention};
use super::{Assumptions, narrow};
use crate::catalog::{HardwareEntry, hardware};
use crate::diagnostics::{Fault, Faults};
use crate::plan::{Cluster, Device, Fabric, Node};
use crate::raw::{RawCluster, nearest};

/// The cluster, unless the device is unknown.
pub(crate) fn cluster(
    raw: &RawCluster<'_>,
    files: Files<'_>,
    assumed: &mut Assumptions,
    faults: &mut Faults,
) -> Option<Cluster> {
    let gpu = raw.gpu.as_ref()?;
    let entry = match hardware(&gpu.value) {
        Ok(entry) => entry,
        Err(names) => {
            faults.push(unknown_device(gpu, &names));
            return None;
        }
    };
    let nodes = raw.nodes.as_ref()?;
    let node = node(raw, &entry, assumed, faults)?;
    if !crate::validate::devices_can_be_numbered(nodes, &node, faults) {
        return None;
    }
    let mut cluster = Cluster {
        device: device(raw, &entry, assumed),
        node,
        num_nodes: narrow(nodes.value),
        fabric: fabric(raw, assumed),
    };
    cluster.fabric.contention = contention(raw, &cluster, files, assumed, faults);
    Some(cluster)
}

fn unknown_device(gpu: &crate::raw::Given<String>, names: &[String]) -> Fault {
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let near = nearest(&gpu.value, &names);
    let fault = Fault::new(
        "S013",
        &gpu.place,
        format!("no device `{}` in the hardware catalogue", gpu.value),
    );
    let fault = match near {
        Some(near) => fault.label(format!("did you mean `{near}`?")),
        None => fault,
    };
    fault
        .note(format!("known devices: {}", names.join(", ")))
        .help(format!("gpu = \"{}\"", near.unwrap_or("H100-SXM5-80GB")))
}

fn device(raw: &RawCluster<'_>, entry: &HardwareEntry, assumed: &mut Assumptions) -> Device {
    const CATALOG: &str = "hardware catalogue (scenarios/hardware/hardware.csv)";
    let mut device = entry.device.clone();
    match &raw.hbm {
        Some(given) => device.memory = Bytes::from_f64(given.value),
        None => assumed.note(
            "cluster.node.hbm",
            format!("{:.0} GiB", device.memory.as_gib()),
            CATALOG,
        ),
    }
    match &raw.hbm_bw {
        Some(given) => device.memory_bandwidth = BytesPerSec::new(given.value),
        None => {
            let terabytes = device.memory_bandwidth.get() / 1e12;
            assumed.note("cluster.node.hbm_bw", format!("{terabytes} TB/s"), CATALOG);
        }
    }
    device.power_cap = raw.power_limit.as_ref().map(|given| Watts(given.value));
    for precision in Precision::ALL {
        let Some(given) = raw.peak.quantity(precision.name(), Dimension::FlopRate) else {
            continue;
        };
        device.peaks.retain(|&(known, _)| known != precision);
        device.peaks.push((precision, FlopsPerSec::new(given.value)));
    }
    device.peaks.sort_by_key(|&(precision, _)| precision);
    device
}

fn node(
    raw: &RawCluster<'_>,
    entry: &HardwareEntry,
    assumed: &mut Assumptions,
    faults: &mut Faults,
) -> Option<Node> {
    const CATALOG: &str = "usual node of this device (scenarios/hardware/hardware.csv)";
    let both_ways = match (&raw.scale_up, &raw.direction) {
        (Some(rate), None) => {
            faults.push(missing_direction(rate));
            false
        }
        (_, direction) => direction.as_ref().is_some_and(|given| given.value == "both-ways"),
    };
    let scale_up = match &raw.scale_up {
        Some(rate) => BytesPerSec::new(if both_ways { rate.value / 2.0 } else { rate.value }),
        None => {
            let rate = entry.scale_up;
            let text = format!("{} GB/s each way", rate.get() / 1e9);
            assumed.note("cluster.node.scale_up.per_gpu", text, CATALOG);
            rate
        }
    };
    let num_devices = assumed.or(
        raw.gpus.as_ref(),
        "cluster.node.gpus",
        entry.num_devices.into(),
        CATALOG,
    );
    let num_nics = assumed.or(
        raw.nics.as_ref(),
        "cluster.node.nics.count",
        entry.num_nics.into(),
        CATALOG,
    );
    let nic = match &raw.nic_rate {
        Some(rate) => BytesPerSec::new(rate.value),
        None => {
            let text = format!("{} Gbit/s", entry.nic.get() * 8.0 / 1e9);
            assumed.note("cluster.node.nics.rate", text, CATALOG);
            entry.nic
        }
    };
    Some(Node {
        num_devices: narrow(num_devices),
        scale_up,
        scale_up_latency: seconds(
            raw.scale_up_latency.as_ref(),
            "cluster.node.scale_up.latency",
            0.6,
            "NVLink hop of a ring with the LL protocol, as NCCL's own table has it",
            assumed,
        ),
        num_nics: narrow(num_nics),
        nic,
        nic_latency: seconds(
            raw.nic_latency.as_ref(),
            "cluster.node.nics.latency",
            2.7,
            "network hop of a ring with the LL protocol, as NCCL's own table has it",
            assumed,
        ),
    })
}

fn missing_direction(rate: &crate::raw::Given<f64>) -> Fault {
    Fault::new("S045", &rate.place, "`per_gpu` needs a `direction`")
        .label("one way, or both ways together?")
        .note("data sheets print both ways together (H100: 900 GB/s), tools often one way (450 GB/s)")
        .help("direction = \"each-way\"")
}

fn fabric(raw: &RawCluster<'_>, assumed: &mut Assumptions) -> Fabric {
    let raw = &raw.fabric;
    Fabric {
        oversubscription: assumed.or(
            raw.oversubscription.as_ref(),
            "cluster.fabric.oversubscription",
            1.0,
            "a non-blocking fabric",
        ),
        switch_latency: seconds(
            raw.switch_latency.as_ref(),
            "cluster.fabric.switch_latency",
            0.3,
            "assumed: one cut-through switch",
            assumed,
        ),
        contention: None,
    }
}

fn seconds(
    given: Option<&crate::raw::Given<f64>>,
    key: &str,
    default_micros: f64,
    reason: &str,
    assumed: &mut Assumptions,
) -> SimDuration {
    let seconds = given.map_or_else(
        || {
            assumed.note(key, format!("{default_micros} us"), reason);
            default_micros * 1e-6
        },
        |given| given.value,
    );
    SimDuration::from_secs(seconds)
}
