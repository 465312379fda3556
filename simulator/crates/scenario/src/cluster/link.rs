//! Vertices and directed links: what a topology is made of.

use orrery_units::{BytesPerSec, SimDuration};

/// What a vertex is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum VertexKind {
    /// A device: where routes begin and end.
    Device,
    /// The switch of a scale-up domain (NVSwitch); a domain counts as one, since it does not block.
    ScaleUpSwitch,
    /// A PCIe switch.
    PcieSwitch,
    /// A PCIe host bridge, or the socket (NUMA domain) that it belongs to.
    HostBridge,
    /// A NIC; the NICs that serve one device alone count as one, of their summed rate.
    Nic,
    /// A switch that NICs plug into.
    Leaf,
    /// A switch above leaves.
    Spine,
    /// A switch above spines.
    Core,
    /// Where a site meets the wide area.
    Border,
    /// The router of one node of a torus, or of a dragonfly.
    Router,
}

/// What a link is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LinkKind {
    /// Device to scale-up switch or to device: NVLink, XGMI.
    ScaleUp,
    /// Device to its host processor over a link of its own (Grace).
    ChipToChip,
    /// PCIe.
    Pcie,
    /// Between host bridges of one socket (`NODE` in the vendor's matrix).
    HostBridge,
    /// Between sockets (`SYS`).
    Socket,
    /// NIC to the switch it plugs into.
    Nic,
    /// Leaf to spine.
    LeafSpine,
    /// Spine to core.
    SpineCore,
    /// Top switch of a site to its border.
    Border,
    /// Between sites.
    WideArea,
    /// Between neighbours of a torus.
    Torus,
    /// Between routers of a dragonfly group.
    GroupLocal,
    /// Between groups of a dragonfly.
    GroupGlobal,
    /// Between switches of an imported tree.
    Tree,
}

/// What a link carries, one way.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Wire {
    /// What it is.
    pub kind: LinkKind,
    /// How much it carries, one way.
    pub capacity: BytesPerSec,
    /// Time that it adds to a message.
    pub latency: SimDuration,
}

/// The handle of a vertex.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VertexId(u32);

impl VertexKind {
    /// What people call it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Device => "device",
            Self::ScaleUpSwitch => "scale-up switch",
            Self::PcieSwitch => "PCIe switch",
            Self::HostBridge => "host bridge",
            Self::Nic => "NIC",
            Self::Leaf => "leaf",
            Self::Spine => "spine",
            Self::Core => "core",
            Self::Border => "border",
            Self::Router => "router",
        }
    }
}

impl LinkKind {
    /// Every kind.
    pub const ALL: [Self; 14] = [
        Self::ScaleUp,
        Self::ChipToChip,
        Self::Pcie,
        Self::HostBridge,
        Self::Socket,
        Self::Nic,
        Self::LeafSpine,
        Self::SpineCore,
        Self::Border,
        Self::WideArea,
        Self::Torus,
        Self::GroupLocal,
        Self::GroupGlobal,
        Self::Tree,
    ];

    /// What people call it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ScaleUp => "scale-up",
            Self::ChipToChip => "chip-to-chip",
            Self::Pcie => "PCIe",
            Self::HostBridge => "between host bridges",
            Self::Socket => "between sockets",
            Self::Nic => "NIC port",
            Self::LeafSpine => "leaf-spine",
            Self::SpineCore => "spine-core",
            Self::Border => "border",
            Self::WideArea => "wide area",
            Self::Torus => "torus",
            Self::GroupLocal => "group",
            Self::GroupGlobal => "between groups",
            Self::Tree => "switch tree",
        }
    }

    /// The name in files: the label `link` of metrics.
    #[must_use]
    pub const fn key(self) -> &'static str {
        match self {
            Self::ScaleUp => "scale_up",
            Self::ChipToChip => "chip_to_chip",
            Self::Pcie => "pcie",
            Self::HostBridge => "host_bridge",
            Self::Socket => "socket",
            Self::Nic => "nic",
            Self::LeafSpine => "leaf_spine",
            Self::SpineCore => "spine_core",
            Self::Border => "border",
            Self::WideArea => "wide_area",
            Self::Torus => "torus",
            Self::GroupLocal => "group_local",
            Self::GroupGlobal => "group_global",
            Self::Tree => "tree",
        }
    }
}

impl Wire {
    /// A wire.
    #[must_use]
    pub const fn new(kind: LinkKind, capacity: BytesPerSec, latency: SimDuration) -> Self {
        Self {
            kind,
            capacity,
            latency,
        }
    }
}

impl VertexId {
    /// The vertex of number `number`.
    #[must_use]
    pub const fn new(number: u32) -> Self {
        Self(number)
    }

    /// The number of this vertex.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

/// The position of number `number`.
#[inline]
pub(super) const fn at(number: u32) -> usize {
    number as usize
}

/// The number of a position.
#[inline]
pub(super) fn number(position: usize) -> u32 {
    u32::try_from(position).expect("vertices and links are fewer than 2^32; the blueprint was checked")
}

/// Directed edges sorted by (from, to), with the first edge of every vertex.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Edges {
    first: Vec<u32>,
    edges: Vec<Edge>,
    classes: Vec<Wire>,
}

/// A directed edge; 12 bytes, since a large fabric has hundreds of thousands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Edge {
    pub(super) from: u32,
    pub(super) to: u32,
    class: u16,
}

impl Edges {
    /// Edges of the cables `cables`, each both ways, over vertices numbered below `num_vertices`.
    pub(super) fn of(num_vertices: usize, cables: &[(u32, u32, Wire)]) -> Self {
        let mut classes: Vec<Wire> = Vec::new();
        let mut edges = Vec::with_capacity(cables.len() * 2);
        for &(a, b, wire) in cables {
            let class = class_of(&mut classes, wire);
            edges.push(Edge {
                from: a,
                to: b,
                class,
            });
            edges.push(Edge {
                from: b,
                to: a,
                class,
            });
        }
        edges.sort_by_key(|edge| (edge.from, edge.to));
        let mut first = vec![0; num_vertices + 1];
        for edge in &edges {
            first[at(edge.from) + 1] += 1;
        }
        for vertex in 0..num_vertices {
            first[vertex + 1] += first[vertex];
        }
        edges.shrink_to_fit();
        Self {
            first,
            edges,
            classes,
        }
    }

    pub(super) const fn len(&self) -> usize {
        self.edges.len()
    }

    #[inline]
    pub(super) fn edge(&self, edge: u32) -> Edge {
        self.edges[at(edge)]
    }

    #[inline]
    pub(super) fn wire(&self, edge: u32) -> &Wire {
        &self.classes[usize::from(self.edges[at(edge)].class)]
    }

    /// The edges that leave `vertex`.
    #[inline]
    pub(super) fn out(&self, vertex: u32) -> std::ops::Range<u32> {
        self.first[at(vertex)]..self.first[at(vertex) + 1]
    }

    /// The first edge from `from` to `to`.
    #[inline]
    pub(super) fn find(&self, from: u32, to: u32) -> Option<u32> {
        let range = self.out(from);
        let slice = &self.edges[at(range.start)..at(range.end)];
        let position = slice.partition_point(|edge| edge.to < to);
        (slice.get(position)?.to == to).then(|| range.start + number(position))
    }

    /// Bytes that the tables take.
    pub(super) const fn heap_bytes(&self) -> usize {
        self.first.capacity() * size_of::<u32>()
            + self.edges.capacity() * size_of::<Edge>()
            + self.classes.capacity() * size_of::<Wire>()
    }
}

/// The class of `wire`, added if it is new; the latest are looked at first, since cables come in runs.
fn class_of(classes: &mut Vec<Wire>, wire: Wire) -> u16 {
    let position = classes
        .iter()
        .rposition(|class| *class == wire)
        .unwrap_or_else(|| {
            classes.push(wire);
            classes.len() - 1
        });
    u16::try_from(position).expect("a topology has fewer than 65,536 kinds of wire")
}
