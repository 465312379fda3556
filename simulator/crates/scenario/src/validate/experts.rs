//! Expert parallelism and routing.

use super::{at, num_experts, values_that_work};
use crate::diagnostics::{Fault, Faults};
use crate::document::Place;
use crate::plan::{Cluster, Layout, Model};
use crate::raw::{Raw, RawRouting};

/// S031: `ep x expert_tp` divides the ranks of a stage. Whether it does.
pub(crate) fn expert_degree_divides(
    raw: &Raw<'_>,
    cluster: &Cluster,
    model: &Model,
    layout: &Layout,
    place: &Place,
    faults: &mut Faults,
) -> bool {
    let ranks = u64::from(layout.ranks_per_stage());
    let (ep, expert_tp) = (u64::from(layout.ep), u64::from(layout.expert_tp));
    if ranks.is_multiple_of(ep * expert_tp) {
        return true;
    }
    let (what, whole) = if layout.tp * layout.cp == 1 {
        ("dp", format!("dp = {ranks}"))
    } else {
        ("tp x cp x dp", format!("tp x cp x dp = {ranks}"))
    };
    let message = if expert_tp == 1 {
        format!("ep = {ep} cannot divide {whole}")
    } else {
        format!("ep {ep} x expert_tp {expert_tp} cannot divide {whole}")
    };
    // A value that works divides the experts as well.
    let groups = ranks / gcd(ranks, expert_tp);
    let values = values_that_work(gcd(groups, num_experts(model).unwrap_or(1)), ranks);
    let fault = Fault::new("S031", at(raw.parallel.ep.as_ref(), place), message)
        .label(format!(
            "each expert group must be a whole part of the {what} group"
        ))
        .note(format!(
            "dp = {} nodes x {} GPUs / (tp {} x pp {} x cp {}) = {}",
            cluster.num_nodes, cluster.node.num_devices, layout.tp, layout.pp, layout.cp, layout.dp
        ))
        .note(format!("values that work here: {values}"));
    let nearest = values
        .split(' ')
        .filter_map(|value| value.parse::<u64>().ok())
        .min_by_key(|value| value.abs_diff(ep))
        .unwrap_or(1);
    faults.push(fault.help(format!("ep = {nearest}")));
    false
}

const fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// S032: experts divide among expert-parallel ranks; a dense model has none.
pub(crate) fn experts_divide(
    raw: &Raw<'_>,
    model: &Model,
    layout: &Layout,
    place: &Place,
    faults: &mut Faults,
) {
    let ep = u64::from(layout.ep);
    let place = at(raw.parallel.ep.as_ref(), place);
    match num_experts(model) {
        None if ep > 1 => {
            let fault = Fault::new("S032", place, format!("ep = {ep}, but the model has no experts"));
            faults.push(fault.help("ep = 1"));
        }
        Some(experts) if !experts.is_multiple_of(ep) => {
            let message = format!("{experts} experts do not divide among ep = {ep} ranks");
            let values = values_that_work(experts, u64::from(layout.ranks_per_stage()));
            let fault = Fault::new("S032", place, message).note(format!("divisors of {experts}: {values}"));
            let near = values
                .split(' ')
                .filter_map(|value| value.parse::<u64>().ok())
                .min_by_key(|value| value.abs_diff(ep));
            faults.push(fault.help(format!("ep = {}", near.unwrap_or(1))));
        }
        _ => {}
    }
}

/// S042: a parameter of routing belongs to the law that is named, and is positive.
pub(crate) fn routing_parameters_fit_the_law(raw: &RawRouting<'_>, faults: &mut Faults) {
    let law = raw
        .kind
        .as_ref()
        .map_or("lognormal", |given| given.value.as_str());
    for (key, of, given) in [
        ("sigma", &["lognormal"][..], &raw.sigma),
        (
            "exponent",
            &["zipf", "power-law", "dirichlet-zipf"],
            &raw.exponent,
        ),
        ("span", &["power-law"], &raw.span),
        (
            "concentration",
            &["dirichlet", "dirichlet-zipf"],
            &raw.concentration,
        ),
    ] {
        let Some(given) = given else { continue };
        let of_law = of[0];
        if !of.contains(&law) {
            let place = raw.view.key_place(key).unwrap_or(&given.place);
            let fault = Fault::new(
                "S042",
                place,
                format!("`{key}` belongs to `kind = \"{of_law}\"`, not \"{law}\""),
            );
            faults.push(fault.help(format!("kind = \"{of_law}\", or remove `{key}`")));
        } else if key == "concentration" && given.value <= 0.0 {
            let fault = Fault::new("S042", &given.place, "`concentration` is positive");
            faults.push(fault.help("concentration = 1.0"));
        }
    }
    if let Some(given) = raw.capacity_factor.as_ref().filter(|given| given.value <= 0.0) {
        let fault = Fault::new("S042", &given.place, "`capacity_factor` is positive");
        faults.push(fault.help("capacity_factor = 1.0"));
    }
    if let (None, Some(given)) = (&raw.capacity_factor, &raw.pad_to_capacity)
        && given.value
    {
        let fault = Fault::new(
            "S042",
            &given.place,
            "`pad_to_capacity` needs a `capacity_factor`",
        );
        faults.push(fault.help("capacity_factor = 1.0"));
    }
}
