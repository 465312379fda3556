//! Topologies that a scenario names as files of other programs.

use super::Files;
use crate::cluster::import::{ImportFaults, ImportedDomain, Usual, device_matrix, nccl_xml, slurm_topology};
use crate::cluster::{Domain, SwitchTree};
use crate::diagnostics::{Fault, Faults};
use crate::plan::Cluster;
use crate::raw::Given;

fn usual(cluster: &Cluster) -> Usual {
    Usual {
        device: Some(cluster.device.name.clone()),
        nic: cluster.node.nic,
        nic_latency: cluster.node.nic_latency,
        scale_up_latency: cluster.node.scale_up_latency,
        oversubscription: cluster.fabric.oversubscription,
        switch_latency: cluster.fabric.switch_latency,
    }
}

fn read(path: &Given<String>, (source, from): Files<'_>, faults: &mut Faults) -> Option<String> {
    match source.read(from, &path.value) {
        Ok(text) => Some(text),
        Err(why) => {
            let message = format!("cannot read `{}`: {why}", path.value);
            faults.push(
                Fault::new("S010", &path.place, message).help("paths are relative to the scenario file"),
            );
            None
        }
    }
}

fn or_fault<T>(read: Result<T, ImportFaults>, path: &Given<String>, faults: &mut Faults) -> Option<T> {
    match read {
        Ok(read) => Some(read),
        Err(why) => {
            let message = format!("`{}` is no topology that can be read", path.value);
            let mut fault = Fault::new("S046", &path.place, message);
            for one in &why.0 {
                fault = fault
                    .note(format!("line {}: {}", one.line, one.message))
                    .help(one.help.clone());
            }
            faults.push(fault);
            None
        }
    }
}

/// The switches of a Slurm `topology.conf`.
pub(super) fn imported_tree(
    path: &Given<String>,
    cluster: &Cluster,
    files: Files<'_>,
    faults: &mut Faults,
) -> Option<SwitchTree> {
    let text = read(path, files, faults)?;
    let read = slurm_topology(&text, &usual(cluster));
    Some(or_fault(read, path, faults)?.tree)
}

/// The node of a file: XML is NCCL's dump, everything else the vendor's matrix.
pub(super) fn imported_domain(
    path: &Given<String>,
    cluster: &Cluster,
    files: Files<'_>,
    faults: &mut Faults,
) -> Option<Domain> {
    let text = read(path, files, faults)?;
    let usual = usual(cluster);
    let parsed = if text.trim_start().starts_with('<') {
        nccl_xml(&text, &usual)
    } else {
        device_matrix(&text, &usual)
    };
    let ImportedDomain { domain, .. } = or_fault(parsed, path, faults)?;
    let found = domain.devices_per_node();
    if found != cluster.node.num_devices {
        let message = format!(
            "`{}` has {found} devices, the node {}",
            path.value, cluster.node.num_devices
        );
        faults.push(Fault::new("S046", &path.place, message).help(format!("gpus = {found}")));
        return None;
    }
    Some(domain)
}
