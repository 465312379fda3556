//! Degrees of parallelism against the cluster and the model.

use super::{at, values_that_work};
use crate::diagnostics::{Fault, Faults};
use crate::document::Place;
use crate::plan::{AttentionShape, Axis, Cluster, ContextExchange, Layout, Model, Node};
use crate::raw::{Given, Raw, RawParallel};
use crate::resolve::narrow;

/// Most devices of a cluster: far more than any that was built, far fewer than overflow a rank.
const MOST_DEVICES: u64 = 1 << 20;

/// S006: the devices of the cluster can be numbered.
pub(crate) fn devices_can_be_numbered(nodes: &Given<u64>, node: &Node, faults: &mut Faults) -> bool {
    let devices = nodes.value.saturating_mul(u64::from(node.num_devices));
    if devices <= MOST_DEVICES {
        return true;
    }
    let message = format!("{devices} devices are more than the {MOST_DEVICES} that can be simulated");
    let most = MOST_DEVICES / u64::from(node.num_devices).max(1);
    faults.push(Fault::new("S006", &nodes.place, message).help(format!("nodes = {most} or fewer")));
    false
}

/// S030: `tp x pp x cp` divides the devices, and a written `dp` is what is left. The data-parallel degree.
pub(crate) fn degrees_divide_the_cluster(
    raw: &RawParallel,
    cluster: &Cluster,
    [tp, pp, cp]: [u32; 3],
    place: &Place,
    faults: &mut Faults,
) -> Option<u32> {
    let devices = u64::from(cluster.num_nodes) * u64::from(cluster.node.num_devices);
    let fixed = u64::from(tp)
        .saturating_mul(u64::from(pp))
        .saturating_mul(u64::from(cp));
    let arithmetic = format!(
        "{} nodes x {} GPUs = {devices}; tp {tp} x pp {pp} x cp {cp} = {fixed}",
        cluster.num_nodes, cluster.node.num_devices
    );
    if !devices.is_multiple_of(fixed) {
        let place = at(raw.pp.as_ref().or(raw.tp.as_ref()), place);
        let rest = u64::from(tp) * u64::from(cp);
        let help = if devices.is_multiple_of(rest) {
            format!("pp = one of {}", values_that_work(devices / rest, 64))
        } else {
            format!("tp = one of {}", values_that_work(devices, 64))
        };
        let message = format!("tp x pp x cp = {fixed} does not divide {devices} GPUs");
        faults.push(Fault::new("S030", place, message).note(arithmetic).help(help));
        return None;
    }
    let dp = devices / fixed;
    if let Some(given) = raw.dp.as_ref().filter(|given| given.value != dp) {
        let message = format!("dp = {} does not fill the cluster", given.value);
        let fault = Fault::new("S030", &given.place, message)
            .note(arithmetic)
            .note(format!("dp = {devices} / {fixed} = {dp}"));
        faults.push(fault.help(format!("dp = {dp}, or dp = \"auto\"")));
        return None;
    }
    Some(narrow(dp))
}

/// S033: heads (and key-value heads) divide among tensor-parallel ranks.
///
/// Fewer key-value heads than ranks are copied, as Megatron-Core does, when they divide the ranks.
pub(crate) fn heads_divide(
    raw: &Raw<'_>,
    model: &Model,
    layout: &Layout,
    place: &Place,
    faults: &mut Faults,
) {
    let tp = u64::from(layout.tp);
    let Some(layer) = model.layers.first() else {
        return;
    };
    let heads = layer.attention.heads();
    let place = at(raw.parallel.tp.as_ref(), place);
    if !heads.is_multiple_of(tp) {
        let message = format!("{heads} attention heads do not divide among tp = {tp} ranks");
        let fault = Fault::new("S033", place, message);
        faults.push(fault.help(format!("tp = one of {}", values_that_work(heads, 64))));
        return;
    }
    if let AttentionShape::Grouped { kv_heads, .. } = layer.attention
        && !kv_heads.is_multiple_of(tp)
        && !tp.is_multiple_of(kv_heads)
    {
        let message =
            format!("{kv_heads} key-value heads neither divide among tp = {tp} ranks nor are copied evenly");
        let fault = Fault::new("S033", place, message);
        faults.push(fault.help(format!("tp = one of {}", values_that_work(kv_heads, 64))));
    }
}

/// S039: the order names `tp`, `cp`, `dp` and `pp` once each.
pub(crate) fn order_names_every_axis_once(
    given: &Given<Vec<Given<String>>>,
    axes: &[Axis],
    faults: &mut Faults,
) -> Option<[Axis; 4]> {
    let all = [Axis::Tensor, Axis::Context, Axis::Data, Axis::Pipeline];
    let order: Option<[Axis; 4]> = axes.try_into().ok();
    let order = order.filter(|order| all.iter().all(|axis| order.contains(axis)));
    if order.is_none() {
        let fault = Fault::new("S039", &given.place, "`order` names every axis once");
        faults.push(
            fault
                .note("`ep` may stand before `dp`; it lies inside it")
                .help("order = [\"tp\", \"cp\", \"ep\", \"dp\", \"pp\"]"),
        );
    }
    order
}

/// S006: there are four ZeRO stages.
pub(crate) fn zero_stage_exists(raw: &Raw<'_>, faults: &mut Faults) {
    if let Some(given) = raw.parallel.zero_stage.as_ref().filter(|given| given.value > 3) {
        let fault = Fault::new(
            "S006",
            &given.place,
            format!("there is no ZeRO stage {}", given.value),
        );
        faults.push(
            fault
                .note("0 nothing, 1 optimiser states, 2 and gradients, 3 and parameters")
                .help("zero_stage = 1"),
        );
    }
}

/// S043: a sequence divides into two pieces per context-parallel rank, and among tensor-parallel ranks.
///
/// Ring attention gives each rank an early and a late piece, so that causal work is even.
pub(crate) fn context_divides_the_sequence(
    raw: &Raw<'_>,
    layout: &Layout,
    place: &Place,
    faults: &mut Faults,
) {
    let Some(seq_len) = &raw.training.seq_len else {
        return;
    };
    let pieces = if layout.cp > 1 {
        2 * u64::from(layout.cp)
    } else {
        1
    };
    if !seq_len.value.is_multiple_of(pieces) {
        let message = format!(
            "seq_len = {} does not divide into 2 x cp = {pieces} pieces",
            seq_len.value
        );
        let fault = Fault::new("S043", at(raw.parallel.cp.as_ref(), place), message);
        faults.push(fault.help(format!("seq_len = {}", seq_len.value.next_multiple_of(pieces))));
    }
}

/// S043: sequences are exchanged for heads only where heads, those of keys and values too, divide among the ranks.
pub(crate) fn context_divides_the_heads(
    raw: &Raw<'_>,
    model: &Model,
    layout: &Layout,
    place: &Place,
    faults: &mut Faults,
) {
    if layout.cp_comm != ContextExchange::AllToAll || layout.cp == 1 {
        return;
    }
    let ranks = u64::from(layout.tp) * u64::from(layout.cp);
    let fewest = model.layers.iter().map(|layer| match layer.attention {
        AttentionShape::Grouped { kv_heads, .. } => kv_heads,
        AttentionShape::Latent { heads, .. } => heads,
    });
    let uneven = fewest.filter(|heads| !heads.is_multiple_of(ranks)).min();
    if let Some(heads) = uneven {
        let message = format!("{heads} key-value heads do not divide among tp x cp = {ranks} ranks");
        let fault = Fault::new("S043", at(raw.parallel.cp_comm.as_ref(), place), message);
        faults.push(fault.help("cp_comm = \"p2p\""));
    }
}
