//! `[cluster.fabric]` and `[cluster.fault]` into links that transfers share.

use orrery_units::{BytesPerSec, DeviceId, SimDuration, SimTime};

use super::{Assumptions, narrow};
use crate::cluster::Fault as LinkFault;
use crate::cluster::import::{ImportFaults, ImportedDomain, Usual, device_matrix, nccl_xml, slurm_topology};
use crate::cluster::{
    Blueprint, CrossRail, Domain, DragonflyShape, FabricShape, FatTree, Faults as LinkFaults, Place as Spot,
    Policy, Route, Router, Spreading, Topology, TorusShape, Window,
};
use crate::diagnostics::{Fault, Faults};
use crate::document::Place;
use crate::plan::{Cluster, Contention};
use crate::raw::{Given, RawCluster, RawFabric, RawFault};
use crate::source::Source;

/// Where files are read from: the source, and the scenario's own name.
pub(crate) type Files<'s> = (&'s dyn Source, &'s str);

/// How transfers share links, unless each is to have its path to itself.
pub(crate) fn contention(
    raw: &RawCluster<'_>,
    cluster: &Cluster,
    files: Files<'_>,
    assumed: &mut Assumptions,
    faults: &mut Faults,
) -> Option<Contention> {
    if !is_wanted(raw, assumed, faults) {
        return None;
    }
    let fabric = &raw.fabric;
    let place = fabric
        .place
        .clone()
        .or_else(|| raw.nodes.as_ref().map(|nodes| nodes.place.clone()))
        .unwrap_or_default();
    let mut blueprint = blueprint(raw, cluster, files, faults)?;
    for assumption in std::mem::take(&mut blueprint.assumptions) {
        assumed.note(&assumption.key, assumption.value, &assumption.reason);
    }
    let topology = match Topology::build(blueprint.clone()) {
        Ok(topology) => topology,
        Err(why) => {
            faults.push(Fault::new("S046", &place, why.message).help(why.help));
            return None;
        }
    };
    let broken = LinkFaults {
        faults: raw
            .faults
            .iter()
            .filter_map(|fault| link_fault(fault, &topology, faults))
            .collect(),
    };
    let hashed = fabric.routing.as_ref().is_some_and(|given| given.value == "ecmp");
    if fabric.routing.is_none() {
        let reason = "assumed: switches spread every flow over all paths (adaptive routing, packet spraying)";
        assumed.note("cluster.fabric.routing", "adaptive", reason);
    }
    let queue_pairs = hashed.then(|| {
        let reason = "assumed: a flow keeps to one path";
        narrow(assumed.or(
            fabric.queue_pairs.as_ref(),
            "cluster.fabric.queue_pairs",
            1,
            reason,
        ))
    });
    let over_spines = fabric
        .cross_rail
        .as_ref()
        .is_some_and(|given| given.value == "spine");
    let contention = Contention {
        blueprint,
        queue_pairs,
        cross_rail: if over_spines {
            CrossRail::Spine
        } else {
            CrossRail::Pxn
        },
        faults: broken,
    };
    hangs_together(&contention, &topology, raw, &place, faults).then_some(contention)
}

/// Whether links are shared: as the file says, or because it says something that only links can show.
fn is_wanted(raw: &RawCluster<'_>, assumed: &mut Assumptions, faults: &mut Faults) -> bool {
    let needs = needs_links(raw);
    match (&raw.fabric.contention, needs) {
        (Some(given), Some((place, what))) if given.value == "none" => {
            let message = format!("{what} means nothing while transfers do not share links");
            faults.push(
                Fault::new("S047", place, message)
                    .note("`contention = \"none\"` gives every transfer its path to itself")
                    .help("contention = \"links\""),
            );
            false
        }
        (Some(given), _) => given.value == "links",
        (None, Some((_, what))) => {
            let reason = format!("{what} is felt on shared links only");
            assumed.note("cluster.fabric.contention", "links", &reason);
            true
        }
        (None, None) => {
            let reason = "every transfer has its path to itself; write \"links\" to let them share";
            assumed.note("cluster.fabric.contention", "none", reason);
            false
        }
    }
}

/// The first thing in the file that is felt on shared links only.
fn needs_links<'r>(raw: &'r RawCluster<'_>) -> Option<(&'r Place, &'static str)> {
    let fabric = &raw.fabric;
    let text = |given: &'r Option<Given<String>>, what| given.as_ref().map(|given| (&given.place, what));
    let whole = |given: &'r Option<Given<u64>>, what| given.as_ref().map(|given| (&given.place, what));
    let kind = fabric.kind.as_ref().filter(|given| given.value != "fat-tree");
    let narrow = fabric.oversubscription.as_ref().filter(|given| given.value > 1.0);
    raw.faults
        .first()
        .map(|fault| (&fault.place, "a fault"))
        .or_else(|| kind.map(|given| (&given.place, "a fabric that is no fat tree")))
        .or_else(|| text(&fabric.topology, "a topology"))
        .or_else(|| text(&raw.node_topology, "a topology"))
        .or_else(|| text(&fabric.routing, "routing"))
        .or_else(|| text(&fabric.cross_rail, "how messages change rail"))
        .or_else(|| whole(&fabric.nodes_per_block, "a size of blocks"))
        .or_else(|| whole(&fabric.spines, "a number of spines"))
        .or_else(|| narrow.map(|given| (&given.place, "oversubscription")))
}

fn blueprint(
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
        let usual = usual(cluster);
        let text = read(path, files, faults)?;
        let read = slurm_topology(&text, &usual);
        blueprint.fabric = FabricShape::Tree(or_fault(read, path, faults)?.tree);
        return Some(blueprint);
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

/// The node of a file: XML is NCCL's dump, everything else the vendor's matrix.
fn imported_domain(
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

/// A fault of the file on the links of the cluster.
fn link_fault(raw: &RawFault, topology: &Topology, faults: &mut Faults) -> Option<LinkFault> {
    let at = raw.at.as_ref()?;
    let Some(place) = spot(topology, &at.value) else {
        faults.push(
            Fault::new(
                "S048",
                &at.place,
                format!("nothing of this cluster is called `{}`", at.value),
            )
            .note(format!(
                "the links of this cluster are called like `{}`",
                examples(topology).join("`, `")
            ))
            .help("name a device, NIC or switch, or a cable as `<one end> -> <other end>`"),
        );
        return None;
    };
    let left = raw.left.as_ref().map_or(0.0, |given| given.value);
    let time = |given: &Option<Given<f64>>| given.as_ref().map(|given| SimDuration::from_secs(given.value));
    let (from, until, every) = (time(&raw.from), time(&raw.until), time(&raw.every));
    let times = raw.times.as_ref().map(|given| narrow(given.value));
    if left <= 0.0 && from.is_some() && until.is_none() {
        let message = "what goes down on the way has to come back: routes are laid once";
        faults.push(
            Fault::new("S048", &raw.place, message)
                .note("without `from` it is down from the start, and routes avoid it")
                .help("until = \"1.5 s\""),
        );
        return None;
    }
    let begin = SimTime::ZERO + from.unwrap_or(SimDuration::ZERO);
    let windows = match (from, until, every) {
        (None, None, None) => Vec::new(),
        (_, until, None) => vec![Window {
            from: begin,
            until: until.map_or(SimTime::MAX, |until| SimTime::ZERO + until),
        }],
        (_, Some(until), Some(every)) => {
            let down = until.saturating_sub(from.unwrap_or(SimDuration::ZERO));
            Window::periodic(begin, down, every, times.unwrap_or(1))
        }
        (_, None, Some(_)) => {
            let message = "something that flaps needs the end of its first time";
            faults.push(Fault::new("S048", &raw.place, message).help("until = \"1.5 s\""));
            return None;
        }
    };
    if windows.iter().any(|window| window.until <= window.from)
        || windows.windows(2).any(|pair| pair[1].from < pair[0].until)
    {
        let message = "a fault ends after it begins, and before it comes again";
        faults.push(
            Fault::new("S048", &raw.place, message)
                .help("from = \"1 s\", until = \"1.5 s\", every = \"2 s\""),
        );
        return None;
    }
    Some(LinkFault {
        place,
        left: orrery_units::Ratio::clamped(left),
        windows,
    })
}

/// What is called `name`: a cable by both of its ends, or a vertex.
fn spot(topology: &Topology, name: &str) -> Option<Spot> {
    if name.contains("->") {
        return topology.link_named(name).map(Spot::Cable);
    }
    topology.vertex_named(name).map(Spot::Vertex)
}

/// Names of a few links: the first, one in the middle, the last.
fn examples(topology: &Topology) -> Vec<String> {
    let last = topology.num_links().saturating_sub(1);
    let name = |link| topology.link_name(orrery_units::LinkId::new(link));
    vec![name(0), name(last / 2), name(last)]
}

/// Whether every device reaches every other over what is never lost: to and from the first is enough.
fn hangs_together(
    contention: &Contention,
    topology: &Topology,
    raw: &RawCluster<'_>,
    place: &Place,
    faults: &mut Faults,
) -> bool {
    let health = contention.faults.lasting(topology);
    let policy = Policy {
        spreading: Spreading::Adaptive,
        cross_rail: contention.cross_rail,
    };
    let mut router = Router::new(topology, &health, policy);
    let mut route = Route::default();
    let first = DeviceId::new(0);
    for device in (1..topology.num_devices()).map(DeviceId::new) {
        let there = router.route(first, device, 0, &mut route);
        if let Err(lost) = there.and_then(|()| router.route(device, first, 0, &mut route)) {
            let place = raw.faults.first().map_or(place, |fault| &fault.place);
            let message = format!("no route from {} to {}: {}", lost.from, lost.to, lost.reason);
            faults.push(Fault::new("S049", place, message).help(lost.help));
            return false;
        }
    }
    true
}
