//! What joins the nodes, by the keys of `[cluster.fabric]`.

use orrery_units::{BytesPerSec, SimDuration};

use super::import::{imported_domain, imported_tree};
use super::{Files, narrow};
use crate::cluster::{
    Blueprint, ClosShape, DragonflyShape, FabricShape, FatTree, Site, TorusShape, WideAreaLink,
};
use crate::diagnostics::{Fault, Faults};
use crate::plan::Cluster;
use crate::raw::{Given, RawCluster, RawFabric};

/// The wires of the cluster.
pub(super) fn blueprint(
    raw: &RawCluster<'_>,
    cluster: &Cluster,
    files: Files<'_>,
    faults: &mut Faults,
) -> Option<Blueprint> {
    let fabric = &raw.fabric;
    let domain = match &raw.node_topology {
        Some(path) => Some(imported_domain(path, cluster, files, faults)?),
        None => None,
    };
    let tree = FatTree {
        rails: match &fabric.rails {
            Some(given) => Some(rails(given, cluster, faults)?),
            None => None,
        },
        nodes_per_block: fabric.nodes_per_block.as_ref().map(|given| narrow(given.value)),
        num_spines: fabric.spines.as_ref().map(|given| narrow(given.value)),
    };
    let mut blueprint = Blueprint::with(cluster, domain, &tree);
    if blueprint.fabric == FabricShape::None {
        return Some(blueprint);
    }
    if let Some(path) = &fabric.topology {
        blueprint.fabric = FabricShape::Tree(imported_tree(path, cluster, files, faults)?);
        return Some(blueprint);
    }
    if let (FabricShape::Clos(tree), Some(given)) = (&mut blueprint.fabric, &fabric.sites) {
        sites(tree, fabric, given, faults)?;
    }
    match fabric.kind.as_ref().map(|given| (given.value.as_str(), given)) {
        Some(("torus", given)) => {
            blueprint.fabric = FabricShape::Torus(torus(fabric, given, cluster, faults)?);
        }
        Some(("dragonfly", given)) => {
            blueprint.fabric = FabricShape::Dragonfly(dragonfly(fabric, given, cluster, faults)?);
        }
        _ => {}
    }
    Some(blueprint)
}

/// Whether NICs have leaves of their own: `rails` is all of them, or 0.
fn rails(given: &Given<u64>, cluster: &Cluster, faults: &mut Faults) -> Option<bool> {
    let nics = u64::from(cluster.node.num_nics);
    if given.value == 0 || given.value == nics {
        return Some(given.value > 0);
    }
    let message = format!("{} rails for nodes of {nics} NICs", given.value);
    faults.push(Fault::new("S046", &given.place, message).help(format!("rails = {nics}, or 0")));
    None
}

/// A key that the shape cannot do without.
fn required<'g, T>(
    given: Option<&'g Given<T>>,
    key: &str,
    example: &str,
    kind: &Given<String>,
    faults: &mut Faults,
) -> Option<&'g T> {
    if given.is_none() {
        let message = format!("a {} needs `{key}`", kind.value);
        faults.push(Fault::new("S046", &kind.place, message).help(format!("{key} = {example}")));
    }
    given.map(|given| &given.value)
}

fn torus(
    raw: &RawFabric,
    kind: &Given<String>,
    cluster: &Cluster,
    faults: &mut Faults,
) -> Option<TorusShape> {
    let sides = required(raw.dimensions.as_ref(), "dimensions", "[4, 4, 4]", kind, faults);
    let link = required(raw.link.as_ref(), "link", "\"400 Gbit/s\"", kind, faults);
    let (sides, link) = (sides?, link?);
    let mut dimensions = [1; 3];
    if sides.is_empty() || sides.len() > dimensions.len() {
        let message = format!("a torus has one to three dimensions, not {}", sides.len());
        faults.push(Fault::new("S046", &kind.place, message).help("dimensions = [4, 4, 4]"));
        return None;
    }
    for (dimension, &side) in dimensions.iter_mut().zip(sides) {
        *dimension = narrow(side);
    }
    Some(TorusShape {
        dimensions,
        link: BytesPerSec::new(*link),
        latency: cluster.fabric.switch_latency,
    })
}

fn dragonfly(
    raw: &RawFabric,
    kind: &Given<String>,
    cluster: &Cluster,
    faults: &mut Faults,
) -> Option<DragonflyShape> {
    let groups = required(raw.groups.as_ref(), "groups", "8", kind, faults);
    let routers = required(
        raw.routers_per_group.as_ref(),
        "routers_per_group",
        "8",
        kind,
        faults,
    );
    let nodes = required(
        raw.nodes_per_router.as_ref(),
        "nodes_per_router",
        "4",
        kind,
        faults,
    );
    let local = required(raw.link.as_ref(), "link", "\"400 Gbit/s\"", kind, faults);
    let global = required(
        raw.global_link.as_ref(),
        "global_link",
        "\"800 Gbit/s\"",
        kind,
        faults,
    );
    Some(DragonflyShape {
        num_groups: narrow(*groups?),
        routers_per_group: narrow(*routers?),
        nodes_per_router: narrow(*nodes?),
        local: BytesPerSec::new(*local?),
        global: BytesPerSec::new(*global?),
        local_latency: cluster.fabric.switch_latency,
        global_latency: cluster.fabric.switch_latency,
    })
}

/// Divides a fat tree between sites, each joined with every other.
fn sites(tree: &mut ClosShape, raw: &RawFabric, given: &Given<Vec<u64>>, faults: &mut Faults) -> Option<()> {
    let mut needs = |key: &str, example: &str| {
        let message = format!("sites need `{key}`: what joins two of them");
        faults.push(Fault::new("S046", &given.place, message).help(format!("{key} = {example}")));
    };
    let Some(capacity) = &raw.wide_area else {
        needs("wide_area", "\"800 Gbit/s\"");
        return None;
    };
    let Some(latency) = &raw.wide_area_latency else {
        needs("wide_area_latency", "\"5 ms\"");
        return None;
    };
    tree.sites = given
        .value
        .iter()
        .enumerate()
        .map(|(at, &nodes)| Site {
            name: format!("site {at}"),
            num_nodes: narrow(nodes),
        })
        .collect();
    let count = narrow(given.value.len() as u64);
    let pairs = (0..count).flat_map(|from| (from + 1..count).map(move |to| (from, to)));
    tree.wide_area = pairs
        .map(|(from, to)| WideAreaLink {
            from,
            to,
            capacity: BytesPerSec::new(capacity.value),
            latency: SimDuration::from_secs(latency.value),
        })
        .collect();
    Some(())
}
