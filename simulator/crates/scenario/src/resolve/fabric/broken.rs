//! What is wrong with links, and whether what is left hangs together.

use orrery_units::{DeviceId, SimDuration, SimTime};

use super::narrow;
use crate::cluster::Fault as LinkFault;
use crate::cluster::{Place as Spot, Policy, Route, Router, Spreading, Topology, Window};
use crate::diagnostics::{Fault, Faults};
use crate::document::Place;
use crate::plan::Contention;
use crate::raw::{Given, RawCluster, RawFault};

/// A fault of the file on the links of the cluster.
pub(super) fn link_fault(raw: &RawFault, topology: &Topology, faults: &mut Faults) -> Option<LinkFault> {
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
pub(super) fn hangs_together(
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
