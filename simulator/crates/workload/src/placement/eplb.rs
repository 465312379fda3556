//! DeepSeek's expert-parallelism load balancer (github.com/deepseek-ai/EPLB), written anew from its definition.
//!
//! Groups of experts are packed onto nodes, experts are replicated within each node where their replicas are
//! most loaded, and replicas are packed onto the node's devices. When groups do not divide evenly among nodes,
//! all of it happens as if there were one node and one group. All sums are single-precision and sequential;
//! sorting is stable and ties go to the lower number.

use super::{BalanceError, Placement};

/// Where an item goes: its pack, and its place within the pack.
#[derive(Clone, Copy, Default)]
struct Place {
    pack: usize,
    rank: usize,
}

/// The experts of one node after replication.
struct Replicas {
    /// The expert of each replica: first every expert once, then the added ones.
    expert: Vec<usize>,
    /// Which replica of its expert each is.
    rank: Vec<usize>,
    /// Replicas of each expert.
    count: Vec<usize>,
}

/// The sizes of a question that has an answer.
#[derive(Clone, Copy)]
struct Sizes {
    experts: usize,
    replicas: usize,
    groups: usize,
    nodes: usize,
    devices: usize,
}

/// Places `replicas` replicas of the experts whose loads are `weights[layer][expert]` on `devices` devices in
/// `nodes` nodes, experts lying in `groups` groups.
///
/// Worked: the example of the reference's README (12 experts, 16 replicas, 4 groups, 2 nodes, 8 devices).
///
/// # Errors
/// When the counts do not divide each other as needed or loads are no loads; see [`BalanceError`].
pub fn rebalance(
    weights: &[Vec<f64>],
    replicas: usize,
    groups: usize,
    nodes: usize,
    devices: usize,
) -> Result<Placement, BalanceError> {
    let sizes = check(weights, replicas, groups, nodes, devices)?;
    let layers: Vec<(Vec<usize>, Vec<usize>, Vec<usize>)> = weights
        .iter()
        .map(|weights| {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "the reference works in single precision"
            )]
            let weights: Vec<f32> = weights.iter().map(|&weight| weight as f32).collect();
            place_layer(&weights, sizes)
        })
        .collect();
    let most = layers
        .iter()
        .flat_map(|(_, _, count)| count)
        .copied()
        .max()
        .unwrap_or(1);
    let mut placement = Placement {
        phy2log: Vec::new(),
        log2phy: Vec::new(),
        logcnt: Vec::new(),
    };
    for (experts, ranks, count) in layers {
        let mut replicas_of = vec![vec![-1; most]; count.len()];
        for (replica, (&expert, &rank)) in experts.iter().zip(&ranks).enumerate() {
            replicas_of[expert][rank] = i64::try_from(replica).expect("replicas are few");
        }
        placement.phy2log.push(experts);
        placement.log2phy.push(replicas_of);
        placement.logcnt.push(count);
    }
    Ok(placement)
}

/// Refuses what has no answer; settles whether nodes and groups count at all.
fn check(
    weights: &[Vec<f64>],
    replicas: usize,
    groups: usize,
    nodes: usize,
    devices: usize,
) -> Result<Sizes, BalanceError> {
    let experts = weights.first().map_or(0, Vec::len);
    let counts = [
        ("weights", experts),
        ("num_replicas", replicas),
        ("num_groups", groups),
        ("num_nodes", nodes),
        ("num_gpus", devices),
    ];
    if let Some(&(name, _)) = counts.iter().find(|&&(_, count)| count == 0) {
        return Err(BalanceError::Zero { name });
    }
    for (layer, weights) in weights.iter().enumerate() {
        if weights.len() != experts {
            return Err(BalanceError::Ragged {
                layer,
                found: weights.len(),
                expected: experts,
            });
        }
        if let Some(expert) = weights
            .iter()
            .position(|&load| !(load.is_finite() && load >= 0.0))
        {
            return Err(BalanceError::NoLoad { layer, expert });
        }
    }
    let (groups, nodes) = if groups.is_multiple_of(nodes) {
        (groups, nodes)
    } else {
        (1, 1)
    };
    divides(("experts", experts), ("num_groups", groups))?;
    divides(("num_gpus", devices), ("num_nodes", nodes))?;
    divides(("num_replicas", replicas), ("num_gpus", devices))?;
    if replicas < experts {
        return Err(BalanceError::TooFew { replicas, experts });
    }
    Ok(Sizes {
        experts,
        replicas,
        groups,
        nodes,
        devices,
    })
}

fn divides(of: (&'static str, usize), by: (&'static str, usize)) -> Result<(), BalanceError> {
    if of.1.is_multiple_of(by.1) {
        return Ok(());
    }
    let below = of.1 / by.1 * by.1;
    Err(BalanceError::Indivisible {
        of: of.0,
        value: of.1,
        by: by.0,
        divisor: by.1,
        below: below.max(by.1),
        above: below + by.1,
    })
}

/// The expert and the replica number of every place, and the replicas of every expert, for one layer.
fn place_layer(weights: &[f32], sizes: Sizes) -> (Vec<usize>, Vec<usize>, Vec<usize>) {
    let order = experts_by_node(weights, sizes);
    let per_node = sizes.experts / sizes.nodes;
    let replicas_per_node = sizes.replicas / sizes.nodes;
    let per_device = sizes.replicas / sizes.devices;
    let (mut experts, mut ranks) = (vec![0; sizes.replicas], vec![0; sizes.replicas]);
    let mut counts = vec![0; sizes.experts];
    for (node, on_node) in order.chunks(per_node).enumerate() {
        let loads: Vec<f32> = on_node.iter().map(|&expert| weights[expert]).collect();
        let replicas = replicate(&loads, replicas_per_node);
        let shared: Vec<f32> = replicas
            .expert
            .iter()
            .map(|&at| loads[at] / in_single(replicas.count[at]))
            .collect();
        let places = pack(&shared, sizes.devices / sizes.nodes);
        for (replica, place) in places.into_iter().enumerate() {
            let at = node * replicas_per_node + place.pack * per_device + place.rank;
            experts[at] = on_node[replicas.expert[replica]];
            ranks[at] = replicas.rank[replica];
        }
        for (&expert, &count) in on_node.iter().zip(&replicas.count) {
            counts[expert] = count;
        }
    }
    (experts, ranks, counts)
}

/// Experts in the order in which nodes hold them: groups packed onto nodes by their sums.
fn experts_by_node(weights: &[f32], sizes: Sizes) -> Vec<usize> {
    let size = sizes.experts / sizes.groups;
    let sums: Vec<f32> = weights.chunks(size).map(|group| group.iter().sum()).collect();
    let groups_per_node = sizes.groups / sizes.nodes;
    let mut order = vec![0; sizes.experts];
    for (group, place) in pack(&sums, sizes.nodes).into_iter().enumerate() {
        let start = (place.pack * groups_per_node + place.rank) * size;
        for within in 0..size {
            order[start + within] = group * size + within;
        }
    }
    order
}

/// Packs items into `packs` packs of equally many: heaviest first, each into the lightest pack with room.
fn pack(weights: &[f32], packs: usize) -> Vec<Place> {
    let room = weights.len() / packs;
    if room == 1 {
        return (0..packs).map(|pack| Place { pack, rank: 0 }).collect();
    }
    let mut order: Vec<usize> = (0..weights.len()).collect();
    // Loads are finite, and the sort is stable: among equals the lower number comes first.
    order.sort_by(|&a, &b| weights[b].total_cmp(&weights[a]));
    let mut held = vec![(0.0_f32, 0_usize); packs];
    let mut places = vec![Place::default(); weights.len()];
    for item in order {
        let with_room = (0..packs).filter(|&pack| held[pack].1 < room);
        // `min_by` keeps the first of equals.
        let lightest = with_room.min_by(|&a, &b| held[a].0.total_cmp(&held[b].0));
        let pack = lightest.expect("there is room for as many items as there are");
        let (weight, items) = &mut held[pack];
        places[item] = Place { pack, rank: *items };
        *weight += weights[item];
        *items += 1;
    }
    places
}

/// Adds replicas one by one, each of the expert whose replicas carry the most.
fn replicate(weights: &[f32], replicas: usize) -> Replicas {
    let mut expert: Vec<usize> = (0..weights.len()).collect();
    let mut rank = vec![0; weights.len()];
    let mut count = vec![1; weights.len()];
    let mut shared: Vec<f32> = weights.to_vec();
    for _ in weights.len()..replicas {
        let heaviest =
            (1..shared.len()).fold(0, |most, at| if shared[at] > shared[most] { at } else { most });
        expert.push(heaviest);
        rank.push(count[heaviest]);
        count[heaviest] += 1;
        shared[heaviest] = weights[heaviest] / in_single(count[heaviest]);
    }
    Replicas { expert, rank, count }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "an expert has fewer than 2^24 replicas"
)]
const fn in_single(count: usize) -> f32 {
    count as f32
}
