//! A mirror of the file: one module per table, each with the keys it may hold.
//!
//! The tables of keys drive three things at once: the check of a file, the JSON Schema, and the lists in
//! messages. Values keep their place in the file.

mod balancing;
mod check;
mod cluster;
mod expect;
mod fabric;
mod gate;
mod key;
mod load;
mod model;
mod parallel;
mod routing;
mod run;
mod scenario;
mod stack;
mod training;
mod view;

pub(crate) use balancing::{RawBalancing, RawGolden, RawPolicy, RawSizes, RawSweep};
pub(crate) use check::{check_table, nearest};
pub(crate) use cluster::RawCluster;
pub(crate) use expect::RawExpect;
pub(crate) use fabric::{RawFabric, RawFault};
pub(crate) use gate::{RawCapacity, RawGate};
pub(crate) use key::{Key, Kind, MOST};
#[cfg(test)]
pub(crate) use load::SKEWS;
pub(crate) use load::{RawLoad, RawPhase, RawSkew};
pub(crate) use model::RawModel;
pub(crate) use parallel::{RawParallel, SCHEDULES};
#[cfg(test)]
pub(crate) use routing::LAWS;
pub(crate) use routing::{RawNoise, RawRouting};
pub(crate) use run::RawRun;
pub(crate) use scenario::RawScenario;
pub(crate) use stack::RawStack;
pub(crate) use training::RawTraining;
pub(crate) use view::{Given, View};

use crate::document::Table;

/// The version of the format that this crate reads.
pub const SCHEMA: &str = "scenario/1";

/// The keys of a scenario.
pub(crate) const ROOT: &[Key] = &[
    Key::new("schema", Kind::Choice(&[SCHEMA]), "Version of the format.").required(),
    Key::new(
        "extends",
        Kind::Text,
        "A scenario that this one is laid over, relative to this file.",
    ),
    Key::new("scenario", Kind::Table(scenario::KEYS), "Who the scenario is.").required(),
    Key::new("model", Kind::Table(model::KEYS), "What is trained.").required(),
    Key::new("cluster", Kind::Table(cluster::KEYS), "What it runs on.").required(),
    Key::new("parallel", Kind::Table(parallel::KEYS), "How it is laid out."),
    Key::new("training", Kind::Table(training::KEYS), "How it is trained.").required(),
    Key::new(
        "stack",
        Kind::Either(&[Kind::Choice(stack::NAMES), Kind::Table(stack::KEYS)]),
        "What the framework does: a preset, or a table that starts from one.",
    ),
    Key::new(
        "routing",
        Kind::Table(routing::ROUTING),
        "How tokens find experts.",
    ),
    Key::new(
        "noise",
        Kind::Table(routing::NOISE),
        "What varies from step to step.",
    ),
    Key::new(
        "calibration",
        Kind::Table(run::CALIBRATION),
        "Where measured numbers come from.",
    ),
    Key::new("cost", Kind::Table(run::COST), "What it costs."),
    Key::new("run", Kind::Table(run::RUN), "How to run."),
    Key::new("expect", Kind::Named(expect::KEYS), "What must hold."),
];

/// The keys of a scenario of kind `balancing`.
pub(crate) const BALANCING: &[Key] = &[
    Key::new("schema", Kind::Choice(&[SCHEMA]), "Version of the format.").required(),
    Key::new(
        "extends",
        Kind::Text,
        "A scenario that this one is laid over, relative to this file.",
    ),
    Key::new("scenario", Kind::Table(scenario::KEYS), "Who the scenario is.").required(),
    Key::new("model", Kind::Table(model::KEYS), "Whose experts they are."),
    Key::new("cluster", Kind::Table(cluster::KEYS), "What they lie on."),
    Key::new(
        "placement",
        Kind::Table(balancing::PLACEMENT),
        "Over how many devices experts are spread, in how many slots.",
    ),
    Key::new("experts", Kind::Table(balancing::EXPERTS), "What experts cost."),
    Key::new(
        "load",
        Kind::Table(load::LOAD),
        "How many tokens experts get, step by step.",
    ),
    Key::new(
        "policy",
        Kind::List(&Kind::Table(balancing::POLICY)),
        "Policies that are compared on the same random numbers.",
    ),
    Key::new(
        "sweep",
        Kind::List(&Kind::Table(balancing::SWEEP)),
        "Policies beside the first, one setting moved from value to value.",
    ),
    Key::new(
        "golden",
        Kind::List(&Kind::Table(balancing::GOLDEN)),
        "Published placements that a balancer must give exactly.",
    ),
    Key::new(
        "recorded",
        Kind::List(&Kind::Table(balancing::RECORDED)),
        "Plans made from one part of a recording and held against another.",
    ),
    Key::new(
        "calibration",
        Kind::Table(run::CALIBRATION.split_at(1).0),
        "Where measured numbers of exchanges come from: the profile alone.",
    ),
    Key::new("run", Kind::Table(run::RUN), "How to run."),
    Key::new("expect", Kind::Named(expect::KEYS), "What must hold."),
];

/// The whole file.
#[derive(Debug)]
pub(crate) struct Raw<'a> {
    pub(crate) scenario: RawScenario,
    pub(crate) model: RawModel<'a>,
    pub(crate) cluster: RawCluster<'a>,
    pub(crate) parallel: RawParallel,
    pub(crate) training: RawTraining<'a>,
    pub(crate) stack: RawStack<'a>,
    pub(crate) routing: RawRouting<'a>,
    pub(crate) noise: RawNoise,
    pub(crate) run: RawRun,
    pub(crate) expect: Vec<RawExpect>,
}

impl<'a> Raw<'a> {
    /// Reads a tree that was held against [`ROOT`].
    pub(crate) fn read(root: &'a Table) -> Self {
        let view = View(Some(root));
        Self {
            scenario: RawScenario::read(view.table("scenario")),
            model: RawModel::read(view.table("model")),
            cluster: RawCluster::read(view.table("cluster")),
            parallel: RawParallel::read(view.table("parallel")),
            training: RawTraining::read(view.table("training")),
            stack: RawStack::read(root),
            routing: RawRouting::read(view.table("routing")),
            noise: RawNoise::read(view.table("noise")),
            run: RawRun::read(view),
            expect: RawExpect::read(view.table("expect")),
        }
    }
}
