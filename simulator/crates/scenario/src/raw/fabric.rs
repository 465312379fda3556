//! `[cluster.fabric]` and `[cluster.fault]`: what joins the nodes, who shares it, and what is wrong with it.

use orrery_units::Dimension;

use super::key::{Key, Kind};
use super::view::{Given, View};
use crate::document::{Place, Table};

pub(crate) const FABRIC: &[Key] = &[
    Key::new(
        "kind",
        Kind::Choice(&["fat-tree", "torus", "dragonfly"]),
        "What joins the nodes.",
    ),
    Key::new(
        "contention",
        Kind::Choice(&["links", "none"]),
        "Whether transfers share the links of the cluster, or each has its path to itself.",
    ),
    Key::new(
        "routing",
        Kind::Choice(&["adaptive", "ecmp"]),
        "How flows spread over equal paths: split by every switch, or hashed once.",
    ),
    Key::new(
        "queue_pairs",
        Kind::Integer(1),
        "Queue pairs that each flow is split over where hashing decides.",
    ),
    Key::new(
        "cross_rail",
        Kind::Choice(&["pxn", "spine"]),
        "How a message changes rail: over scale-up links first, or in the spines.",
    ),
    Key::new(
        "topology",
        Kind::Text,
        "A Slurm `topology.conf` whose switches join the nodes, relative to this file.",
    ),
    Key::new(
        "rails",
        Kind::Integer(0),
        "NICs of a node that have leaves of their own: all of them, or 0 to put a node on one leaf.",
    ),
    Key::new(
        "nodes_per_block",
        Kind::Integer(1),
        "Nodes that share their leaves.",
    ),
    Key::new("spines", Kind::Integer(1), "Spines above a leaf."),
    Key::new(
        "oversubscription",
        Kind::Number(1.0),
        "Capacity into a leaf over capacity out of it.",
    ),
    Key::new(
        "switch_latency",
        Kind::Quantity(Dimension::Time),
        "Latency of one switch.",
    ),
    Key::new(
        "dimensions",
        Kind::List(&Kind::Integer(1)),
        "Nodes along each of the two or three dimensions of a torus.",
    ),
    Key::new(
        "link",
        Kind::Quantity(Dimension::DataRate),
        "A link of a torus, or inside a group of a dragonfly, one way.",
    ),
    Key::new(
        "global_link",
        Kind::Quantity(Dimension::DataRate),
        "A link between two groups of a dragonfly, one way.",
    ),
    Key::new("groups", Kind::Integer(1), "Groups of a dragonfly."),
    Key::new(
        "routers_per_group",
        Kind::Integer(1),
        "Routers in a group of a dragonfly.",
    ),
    Key::new(
        "nodes_per_router",
        Kind::Integer(1),
        "Nodes on a router of a dragonfly.",
    ),
    Key::new(
        "sites",
        Kind::List(&Kind::Integer(1)),
        "Nodes at each site, of a cluster that lies at several; every site is joined with every other.",
    ),
    Key::new(
        "wide_area",
        Kind::Quantity(Dimension::DataRate),
        "What joins two sites, one way.",
    ),
    Key::new(
        "wide_area_latency",
        Kind::Quantity(Dimension::Time),
        "Time that a message takes from site to site.",
    ),
];

pub(crate) const FAULT: &[Key] = &[
    Key::new(
        "at",
        Kind::Text,
        "What it befalls, as reports name it: `node 3 NIC 1`, `leaf 2`, or a cable `leaf 2 -> spine 0`.",
    )
    .required(),
    Key::new(
        "left",
        Kind::Share,
        "Share of the capacity that is left; 0, the default, is down.",
    ),
    Key::new(
        "from",
        Kind::Quantity(Dimension::Time),
        "When it begins, in simulated time; from the start unless it says.",
    ),
    Key::new(
        "until",
        Kind::Quantity(Dimension::Time),
        "When it ends; never unless it says.",
    ),
    Key::new(
        "every",
        Kind::Quantity(Dimension::Time),
        "Time from one beginning to the next, of something that flaps.",
    ),
    Key::new("times", Kind::Integer(1), "How often it flaps."),
];

/// `[cluster.fabric]`.
#[derive(Debug)]
pub(crate) struct RawFabric {
    pub(crate) place: Option<Place>,
    pub(crate) kind: Option<Given<String>>,
    pub(crate) contention: Option<Given<String>>,
    pub(crate) routing: Option<Given<String>>,
    pub(crate) queue_pairs: Option<Given<u64>>,
    pub(crate) cross_rail: Option<Given<String>>,
    pub(crate) topology: Option<Given<String>>,
    pub(crate) rails: Option<Given<u64>>,
    pub(crate) nodes_per_block: Option<Given<u64>>,
    pub(crate) spines: Option<Given<u64>>,
    pub(crate) oversubscription: Option<Given<f64>>,
    pub(crate) switch_latency: Option<Given<f64>>,
    pub(crate) dimensions: Option<Given<Vec<u64>>>,
    pub(crate) link: Option<Given<f64>>,
    pub(crate) global_link: Option<Given<f64>>,
    pub(crate) groups: Option<Given<u64>>,
    pub(crate) routers_per_group: Option<Given<u64>>,
    pub(crate) nodes_per_router: Option<Given<u64>>,
    pub(crate) sites: Option<Given<Vec<u64>>>,
    pub(crate) wide_area: Option<Given<f64>>,
    pub(crate) wide_area_latency: Option<Given<f64>>,
}

/// `[cluster.fault.<id>]`.
#[derive(Debug)]
pub(crate) struct RawFault {
    pub(crate) place: Place,
    pub(crate) at: Option<Given<String>>,
    pub(crate) left: Option<Given<f64>>,
    pub(crate) from: Option<Given<f64>>,
    pub(crate) until: Option<Given<f64>>,
    pub(crate) every: Option<Given<f64>>,
    pub(crate) times: Option<Given<u64>>,
}

impl RawFabric {
    pub(crate) fn read(cluster: View<'_>) -> Self {
        let view = cluster.table("fabric");
        Self {
            place: cluster.key_place("fabric").cloned(),
            kind: view.text("kind"),
            contention: view.text("contention"),
            routing: view.text("routing"),
            queue_pairs: view.integer("queue_pairs"),
            cross_rail: view.text("cross_rail"),
            topology: view.text("topology"),
            rails: view.integer("rails"),
            nodes_per_block: view.integer("nodes_per_block"),
            spines: view.integer("spines"),
            oversubscription: view.number("oversubscription"),
            switch_latency: view.quantity("switch_latency", Dimension::Time),
            dimensions: view.integers("dimensions"),
            link: view.quantity("link", Dimension::DataRate),
            global_link: view.quantity("global_link", Dimension::DataRate),
            groups: view.integer("groups"),
            routers_per_group: view.integer("routers_per_group"),
            nodes_per_router: view.integer("nodes_per_router"),
            sites: view.integers("sites"),
            wide_area: view.quantity("wide_area", Dimension::DataRate),
            wide_area_latency: view.quantity("wide_area_latency", Dimension::Time),
        }
    }
}

impl RawFault {
    /// Every fault, in the order of the file.
    pub(crate) fn read(cluster: View<'_>) -> Vec<Self> {
        let Some(table) = cluster.table("fault").0 else {
            return Vec::new();
        };
        table
            .0
            .iter()
            .map(|(name, item)| Self::one(table, name, item.key.clone()))
            .collect()
    }

    fn one(table: &Table, name: &str, place: Place) -> Self {
        let view = View(Some(table)).table(name);
        Self {
            place,
            at: view.text("at"),
            left: view.number("left"),
            from: view.quantity("from", Dimension::Time),
            until: view.quantity("until", Dimension::Time),
            every: view.quantity("every", Dimension::Time),
            times: view.integer("times"),
        }
    }
}
