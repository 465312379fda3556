//! DeepSeek's expert-parallelism load balancer (github.com/deepseek-ai/EPLB), written anew from its definition.
//!
//! Groups of experts are packed onto nodes, experts are replicated within each node where their replicas are
//! most loaded, and replicas are packed onto the node's devices. When groups do not divide evenly among nodes,
//! all of it happens as if there were one node and one group. Sums are sequential, single-precision in the reference
//! and double-precision in vLLM's port; sorting is stable and ties go to the lower number.

use super::{LayerPlacement, Shape};

/// The precision of all sums.
pub(super) trait Precision:
    Copy + PartialOrd + std::ops::AddAssign + std::iter::Sum + 'static
{
    /// No load.
    const ZERO: Self;
    /// A load in this precision.
    fn of(load: f64) -> Self;
    /// A share of a load among `count` replicas.
    fn shared(self, count: usize) -> Self;
    /// A load with a number: ordered by load, then by number. Loads are finite and not negative.
    type Key: Ord + Copy;
    /// The key that sorts light loads first.
    fn ascending(self, number: u32) -> Self::Key;
    /// The key that sorts heavy loads first.
    fn descending(self, number: u32) -> Self::Key;
    /// The number of a key.
    fn number(key: Self::Key) -> usize;
}

impl Precision for f32 {
    const ZERO: Self = 0.0;

    #[expect(
        clippy::cast_possible_truncation,
        reason = "the reference works in single precision"
    )]
    fn of(load: f64) -> Self {
        // A negative zero would sort as the largest of all.
        load as Self + 0.0
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "an expert has fewer than 2^24 replicas"
    )]
    fn shared(self, count: usize) -> Self {
        self / count as Self
    }

    type Key = u64;

    fn ascending(self, number: u32) -> u64 {
        u64::from(self.to_bits()) << 32 | u64::from(number)
    }

    fn descending(self, number: u32) -> u64 {
        u64::from(!self.to_bits()) << 32 | u64::from(number)
    }

    #[expect(clippy::cast_possible_truncation, reason = "the number is the lower half")]
    fn number(key: u64) -> usize {
        key as u32 as usize
    }
}

impl Precision for f64 {
    const ZERO: Self = 0.0;

    fn of(load: f64) -> Self {
        load + 0.0
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "an expert has fewer than 2^53 replicas"
    )]
    fn shared(self, count: usize) -> Self {
        self / count as Self
    }

    type Key = u128;

    fn ascending(self, number: u32) -> u128 {
        u128::from(self.to_bits()) << 32 | u128::from(number)
    }

    fn descending(self, number: u32) -> u128 {
        u128::from(!self.to_bits()) << 32 | u128::from(number)
    }

    #[expect(clippy::cast_possible_truncation, reason = "the number is the lower half")]
    fn number(key: u128) -> usize {
        key as u32 as usize
    }
}

/// Where an item goes: its pack, and its place within the pack.
#[derive(Clone, Copy, Default)]
struct Place {
    pack: usize,
    rank: usize,
}

/// The experts of one node after replication.
struct Replicas<T> {
    /// The expert of each replica: first every expert once, then the added ones.
    expert: Vec<usize>,
    /// Which replica of its expert each is.
    rank: Vec<usize>,
    /// Replicas of each expert.
    count: Vec<usize>,
    /// What one replica of each expert carries.
    shared: Vec<T>,
}

/// Places the replicas of one layer, in single precision as the reference does or in double as vLLM does.
pub(super) fn place<T: Precision>(loads: &[f64], shape: Shape) -> LayerPlacement {
    let loads: Vec<T> = loads.iter().map(|&load| T::of(load)).collect();
    let order = experts_by_node(&loads, shape);
    let per_node = shape.experts / shape.nodes;
    let slots_per_node = shape.slots / shape.nodes;
    let per_device = shape.slots_per_device();
    let (mut experts, mut ranks) = (vec![0; shape.slots], vec![0; shape.slots]);
    let mut counts = vec![0; shape.experts];
    for (node, on_node) in order.chunks(per_node).enumerate() {
        let loads: Vec<T> = on_node.iter().map(|&expert| loads[expert]).collect();
        let replicas = replicate(&loads, slots_per_node);
        for (&expert, &count) in on_node.iter().zip(&replicas.count) {
            counts[expert] = count;
        }
        let shared: Vec<T> = replicas.expert.iter().map(|&at| replicas.shared[at]).collect();
        let places = pack(&shared, shape.devices / shape.nodes);
        for (replica, place) in places.into_iter().enumerate() {
            let at = node * slots_per_node + place.pack * per_device + place.rank;
            experts[at] = on_node[replicas.expert[replica]];
            ranks[at] = replicas.rank[replica];
        }
    }
    LayerPlacement::numbered(experts, ranks, counts, shape.devices)
}

/// Experts in the order in which nodes hold them: groups packed onto nodes by their sums.
fn experts_by_node<T: Precision>(loads: &[T], shape: Shape) -> Vec<usize> {
    let size = shape.experts / shape.groups;
    let sums: Vec<T> = loads
        .chunks(size)
        .map(|group| group.iter().copied().sum())
        .collect();
    let groups_per_node = shape.groups / shape.nodes;
    let mut order = vec![0; shape.experts];
    for (group, place) in pack(&sums, shape.nodes).into_iter().enumerate() {
        let start = (place.pack * groups_per_node + place.rank) * size;
        for within in 0..size {
            order[start + within] = group * size + within;
        }
    }
    order
}

/// Packs with room, lightest first; among equals the lower number.
struct Lightest<T: Precision>(Vec<T::Key>);

impl<T: Precision> Lightest<T> {
    /// So many empty packs.
    fn new(packs: usize) -> Self {
        let packs = u32::try_from(packs).expect("a machine has fewer than 2^32 devices");
        Self((0..packs).map(|pack| T::ZERO.ascending(pack)).collect())
    }

    /// The lightest.
    fn pack(&self) -> usize {
        T::number(
            *self
                .0
                .first()
                .expect("there is room for as many items as there are"),
        )
    }

    /// The lightest has this load now.
    fn update(&mut self, key: T::Key) {
        let at = self.0[1..].partition_point(|other| *other < key);
        self.0.copy_within(1..=at, 0);
        self.0[at] = key;
    }

    /// The lightest has no room left.
    fn close(&mut self) {
        self.0.remove(0);
    }
}

/// Packs items into `packs` packs of equally many: heaviest first, each into the lightest pack with room.
fn pack<T: Precision>(loads: &[T], packs: usize) -> Vec<Place> {
    let room = loads.len() / packs;
    if room == 1 {
        return (0..packs).map(|pack| Place { pack, rank: 0 }).collect();
    }
    let mut order: Vec<T::Key> = loads
        .iter()
        .zip(0..)
        .map(|(load, item)| load.descending(item))
        .collect();
    order.sort_unstable();
    let mut held = vec![(T::ZERO, 0_usize); packs];
    let mut lightest = Lightest::<T>::new(packs);
    let mut places = vec![Place::default(); loads.len()];
    for item in order.into_iter().map(T::number) {
        let pack = lightest.pack();
        let (load, items) = &mut held[pack];
        places[item] = Place { pack, rank: *items };
        *load += loads[item];
        *items += 1;
        if *items == room {
            lightest.close();
        } else {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "a machine has fewer than 2^32 devices"
            )]
            lightest.update(load.ascending(pack as u32));
        }
    }
    places
}

/// Adds replicas one by one, each of the expert whose replicas carry the most.
fn replicate<T: Precision>(loads: &[T], slots: usize) -> Replicas<T> {
    let mut expert: Vec<usize> = (0..loads.len()).collect();
    let mut rank = vec![0; loads.len()];
    let mut count = vec![1; loads.len()];
    let mut shared = loads.to_vec();
    for _ in loads.len()..slots {
        let heaviest = heaviest(&shared);
        expert.push(heaviest);
        rank.push(count[heaviest]);
        count[heaviest] += 1;
        shared[heaviest] = loads[heaviest].shared(count[heaviest]);
    }
    Replicas {
        expert,
        rank,
        count,
        shared,
    }
}

/// The item with the most, the first of equals.
fn heaviest<T: Precision>(loads: &[T]) -> usize {
    let mut items = loads.iter().copied().zip(0..);
    let first = items.next().expect("there is an item");
    items
        .fold(first, |most, item| if item.0 > most.0 { item } else { most })
        .1
}

/// vLLM's last step (`preserve_intragpu_slots`): an expert that stays on its device keeps its slot, newcomers take what
/// is left in order.
pub(super) fn keep_slots(new: &LayerPlacement, old: &LayerPlacement) -> LayerPlacement {
    let mut slots = Vec::with_capacity(new.experts().len());
    for device in 0..new.num_devices() {
        let mut incoming: Vec<usize> = new.on(device).to_vec();
        let mut kept: Vec<Option<usize>> = vec![None; incoming.len()];
        for (slot, expert) in kept.iter_mut().zip(old.on(device)) {
            if let Some(at) = incoming.iter().position(|other| other == expert) {
                *slot = Some(incoming.remove(at));
            }
        }
        let mut incoming = incoming.into_iter();
        slots.extend(kept.into_iter().map(|slot| {
            slot.or_else(|| incoming.next())
                .expect("as many experts as slots")
        }));
    }
    LayerPlacement::even(slots, new.counts().len(), new.num_devices())
}
