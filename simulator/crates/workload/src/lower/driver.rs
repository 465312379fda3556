//! The driver of a training job: one cursor per simulated rank.

use std::collections::BTreeMap;
use std::sync::Arc;

use orrery_operation::Collective;
use orrery_profile::Term;
use orrery_scenario::Plan;
use orrery_scenario::plan::{GraphScope, GroupShape, Law, Layout};
use orrery_taskgraph::{Driver, Pulled, Resources, Sequence, Sink};
use orrery_units::{ProgramId, Seed, SimDuration};

use super::costs::{Costs, Direction};
use super::groups::{self, Built, Member};
use super::holding::Holdings;
use super::kinds::Kinds;
use super::layer::Stage;
use super::network::NetworkMap;
use super::pace::Pace;
use super::step_end::StepEnd;
use crate::block::MoeRows;
use crate::cost::{CostModel, Issued, Kernel, Transfer};
use crate::routing::Router;
use crate::schedule::{Action, Slot, order};

/// Which ranks are simulated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Folding {
    /// Each of them.
    None,
    /// One per pipeline rank, standing for all that do the same: tensor-, context- and data-parallel ranks
    /// are exact copies when routing is balanced and there is no noise.
    Replicas,
}

/// What all ranks of a run share.
#[derive(Debug)]
pub(super) struct Shared<'p> {
    pub(super) plan: &'p Plan,
    pub(super) model: CostModel,
    pub(super) costs: Costs,
    pub(super) kinds: Kinds,
    pub(super) router: Router,
    pub(super) holdings: Holdings,
    pub(super) step_end: StepEnd,
    /// Collectives that were asked for, with their transfers.
    collectives: Vec<(Collective, GroupShape, Transfer)>,
    pub(super) stages: Vec<Stage>,
    pub(super) seed: Seed,
    pub(super) multiplicity: u32,
    /// Time of the kernels emitted so far, by kind of task and kind of work.
    pub(super) spent: Vec<[SimDuration; 4]>,
    /// Host time to issue one kernel.
    pub(super) issue: SimDuration,
}

/// Lengths of the documents of a microbatch of a step.
pub(super) type Packing = ((u16, u32), Arc<[u64]>);

/// Where a rank stands.
#[derive(Debug)]
pub(super) struct Cursor {
    pub(super) member: Member,
    order: Arc<[Action]>,
    /// For each chunk, the action after which its weight gradients are complete.
    pub(super) last_weight: Arc<[usize]>,
    pub(super) step: u16,
    pub(super) action: usize,
    /// How far this device is from its nominal speed in this step.
    pub(super) pace: Pace,
    /// What ended the step before.
    pub(super) updated: Option<Sequence>,
    /// Per chunk and layer of the chunk: the gather that its first forward of the step waits for.
    pub(super) gathers: Vec<Vec<Sequence>>,
    /// What the host has issued and the device computed of this step.
    pub(super) issued: Issued,
    /// Host time of kernels of the latest task that are issued while its first ones run.
    pub(super) behind: SimDuration,
    /// The last gradient reduction of this step that was emitted early.
    pub(super) last_data: Option<Sequence>,
    /// What a chunk of this rank hands to another of its chunks: what the next pass of that slot waits for.
    pub(super) handed: BTreeMap<(usize, Slot), Sequence>,
    /// Whether static memory has been taken.
    pub(super) placed: bool,
    /// The documents of the microbatch that was asked for last, in which step.
    pub(super) documents: Option<Packing>,
}

/// Hands over the tasks of a training job.
#[derive(Debug)]
pub struct TrainingDriver<'p> {
    resources: Resources,
    shared: Shared<'p>,
    cursors: Vec<Cursor>,
    network: Option<NetworkMap>,
}

impl Shared<'_> {
    /// A collective among a group that lies on nodes as `shape` says. Ranks of a stage ask for the same few.
    pub(super) fn collective(&mut self, collective: Collective, shape: GroupShape) -> Transfer {
        let same = |known: &&(Collective, GroupShape, Transfer)| (known.0, known.1) == (collective, shape);
        if let Some((_, _, transfer)) = self.collectives.iter().find(same) {
            return *transfer;
        }
        let transfer = self.model.collective(collective, shape);
        self.collectives.push((collective, shape, transfer));
        transfer
    }

    /// Routed experts at `rows` in one direction.
    pub(super) fn experts(&mut self, direction: Direction, shape: usize, rows: MoeRows) -> Kernel {
        self.costs.experts(self.plan, &self.model, direction, shape, rows)
    }
}

impl Folding {
    /// The strongest folding that is exact for `plan`.
    #[must_use]
    pub fn of(plan: &Plan) -> Self {
        let even = !plan.model.has_experts() || matches!(plan.routing.law, Law::Balanced);
        let alone = plan.cluster.fabric.contention.is_none() && plan.training.documents.is_none();
        if plan.noise.is_off() && even && alone {
            Self::Replicas
        } else {
            Self::None
        }
    }

    /// Whether `rank` is simulated.
    pub(super) fn keeps(self, layout: &Layout, rank: u32) -> bool {
        let place = layout.coordinates(rank);
        match self {
            Self::None => true,
            Self::Replicas => (place.tensor, place.context, place.data) == (0, 0, 0),
        }
    }

    const fn multiplicity(self, layout: &Layout) -> u32 {
        match self {
            Self::None => 1,
            Self::Replicas => layout.ranks_per_stage(),
        }
    }
}

impl<'p> TrainingDriver<'p> {
    /// The driver of `plan` with `seed`, simulating the ranks that `folding` keeps.
    #[must_use]
    pub fn new(plan: &'p Plan, seed: Seed, folding: Folding) -> Self {
        let model = CostModel::new(plan);
        let router = Router::new(plan, seed);
        let Built {
            resources,
            members,
            network,
        } = groups::build(plan, &model, &router, seed, folding);
        let layout = &plan.layout;
        let microbatches = u32::try_from(plan.training.num_microbatches).expect("validated");
        let orders: Vec<Orders> = (0..layout.pp)
            .map(|pipeline| Orders::new(layout, pipeline, microbatches))
            .collect();
        let cursors = members
            .into_iter()
            .map(|member| {
                let orders = &orders[member.pipeline_rank as usize];
                Cursor {
                    order: Arc::clone(&orders.actions),
                    last_weight: Arc::clone(&orders.last_weight),
                    step: 0,
                    action: 0,
                    pace: Pace::new(plan, seed, member.rank, 0),
                    updated: None,
                    gathers: vec![Vec::new(); layout.schedule.chunks as usize],
                    last_data: None,
                    handed: BTreeMap::new(),
                    placed: false,
                    issued: Issued::default(),
                    behind: SimDuration::ZERO,
                    documents: None,
                    member,
                }
            })
            .collect();
        let costs = Costs::new(plan, &model);
        let stages: Vec<Stage> = layout
            .stages
            .iter()
            .map(|stage| Stage::new(stage, &costs.shape_of_layer))
            .collect();
        let kinds = Kinds::new();
        let shared = Shared {
            spent: vec![[SimDuration::ZERO; 4]; kinds.table.len()],
            kinds,
            router,
            holdings: Holdings::new(plan, &costs.distinct(plan)),
            step_end: StepEnd::new(plan, &model, &stages, &costs),
            collectives: Vec::new(),
            stages,
            costs,
            seed,
            multiplicity: folding.multiplicity(layout),
            issue: issue(plan),
            plan,
            model,
        };
        Self {
            resources,
            shared,
            cursors,
            network,
        }
    }

    /// The kinds of tasks this driver emits.
    #[must_use]
    pub const fn kinds(&self) -> &Kinds {
        &self.shared.kinds
    }

    /// Time of the kernels emitted so far by kind of task, and within it by kind of work, in the order of
    /// [`Labour::ALL`](crate::cost::Labour::ALL).
    #[must_use]
    pub fn spent(&self) -> &[[SimDuration; 4]] {
        &self.shared.spent
    }

    /// The rank of each simulated program, and its pipeline rank.
    pub fn ranks(&self) -> impl Iterator<Item = (u32, u32)> + '_ {
        self.cursors
            .iter()
            .map(|cursor| (cursor.member.rank, cursor.member.pipeline_rank))
    }

    /// How many ranks each simulated one stands for.
    #[must_use]
    pub const fn multiplicity(&self) -> u32 {
        self.shared.multiplicity
    }

    /// What became of the links of the cluster, where they are shared; taken out, for it may be large.
    pub const fn take_network(&mut self) -> Option<NetworkMap> {
        self.network.take()
    }

    /// Who routes what to whom, with what it has drawn so far.
    #[must_use]
    pub const fn router(&self) -> &Router {
        &self.shared.router
    }
}

/// Host time to issue one kernel: by measured steps, else by the stack; nothing of what is replayed from graphs.
pub(crate) fn issue(plan: &Plan) -> SimDuration {
    let tuned = plan.tuning.get(Term::Launch);
    let launch = if tuned > 0.0 {
        SimDuration::from_secs(tuned)
    } else {
        plan.training.stack.launch
    };
    match plan.training.stack.graphs {
        GraphScope::None => launch,
        GraphScope::Router | GraphScope::Attention => launch.scaled(plan.tuning.get(Term::Ungraphed)),
        GraphScope::Full => SimDuration::ZERO,
    }
}

impl Driver for TrainingDriver<'_> {
    fn resources(&self) -> &Resources {
        &self.resources
    }

    fn pull(&mut self, program: ProgramId, sink: &mut Sink<'_>) -> Pulled {
        let cursor = &mut self.cursors[program.index()];
        let shared = &mut self.shared;
        if u32::from(cursor.step) >= shared.plan.training.steps {
            return Pulled::Ended;
        }
        let order = Arc::clone(&cursor.order);
        match order.get(cursor.action) {
            Some(&action) => {
                if cursor.action == 0 {
                    shared.emit_step_begin(cursor, sink);
                }
                shared.emit_action(cursor, action, sink);
                cursor.action += 1;
            }
            None => {
                shared.emit_step_end(cursor, sink);
                cursor.step += 1;
                cursor.action = 0;
                cursor.last_data = None;
                cursor.pace = Pace::new(shared.plan, shared.seed, cursor.member.rank, cursor.step);
                cursor.issued = Issued::default();
            }
        }
        Pulled::Tasks
    }
}

/// The order of work of a pipeline rank, shared by all ranks that have it.
#[derive(Debug)]
struct Orders {
    actions: Arc<[Action]>,
    /// For each chunk, the last action that adds to its weight gradients.
    last_weight: Arc<[usize]>,
}

impl Orders {
    fn new(layout: &Layout, pipeline: u32, microbatches: u32) -> Self {
        let actions = order(layout.schedule, layout.pp, pipeline, microbatches);
        let adds_to =
            |action: &Action, chunk| action.weight_gradient().is_some_and(|slot| slot.chunk == chunk);
        let last = |chunk| {
            actions
                .iter()
                .rposition(|action| adds_to(action, chunk))
                .unwrap_or(0)
        };
        let last_weight = (0..layout.schedule.chunks).map(last).collect();
        Self {
            actions: actions.into(),
            last_weight,
        }
    }
}
