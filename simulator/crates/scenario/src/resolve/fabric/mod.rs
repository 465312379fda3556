//! `[cluster.fabric]` and `[cluster.fault]` into links that transfers share.

mod broken;
mod import;
mod shape;

use super::{Assumptions, narrow};
use crate::cluster::{CrossRail, Faults as LinkFaults, Topology};
use crate::diagnostics::{Fault, Faults};
use crate::document::Place;
use crate::plan::{Cluster, Contention};
use crate::raw::{Given, RawCluster};
use crate::source::Source;
use broken::{hangs_together, link_fault};
use shape::blueprint;

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
        .or_else(|| fabric.sites.as_ref().map(|given| (&given.place, "sites")))
        .or_else(|| narrow.map(|given| (&given.place, "oversubscription")))
}
