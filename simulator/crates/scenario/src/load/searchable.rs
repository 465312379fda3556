//! A job whose layout is open: what a search begins from.
//!
//! A scenario of an illegal layout still says what is trained on what, and other layouts of it may be legal. Every rule
//! that holds whatever the layout is asked; then the job gets the first layout that is legal.

use super::{Laying, Loaded, load, only_runs, read};
use crate::Diagnostic;
use crate::plan::{Plan, ScheduleKind};
use crate::raw::SCHEDULES;
use crate::relayout::{LayoutChoice, Relayout};
use crate::source::LoadContext;

/// Most tensor parallelism that is tried for a layout to begin with.
const MOST_TENSOR: u32 = 64;

/// A job to search layouts of.
#[derive(Clone, Debug)]
pub struct Searchable {
    /// The job, in the layout that is written, or else in one that is legal.
    pub plan: Plan,
    /// The layout that is written; it need not be legal.
    pub written: LayoutChoice,
}

impl Searchable {
    /// The job that `plan` is.
    #[must_use]
    pub fn of(plan: Plan) -> Self {
        let written = LayoutChoice::of(&plan);
        Self { plan, written }
    }
}

/// The job of the scenario `text`, be its layout legal or not.
///
/// # Errors
/// The faults that no other layout mends; where every layout breaks a rule, those of the layout that is written.
pub fn load_searchable(
    file_name: &str,
    text: &str,
    context: &LoadContext<'_>,
) -> Result<Searchable, Vec<Diagnostic>> {
    let own = match load(file_name, text, context) {
        Ok(plan) => return Ok(Searchable::of(plan)),
        Err(faults) => faults,
    };
    let base = match read(file_name, text, context, Laying::NotYet)? {
        Loaded::Training(plan) => *plan,
        Loaded::Balancing(plan) => return Err(vec![only_runs(&plan, text)]),
    };
    let written = written(&base);
    let plan = first_legal(base, &written).ok_or(own)?;
    Ok(Searchable { plan, written })
}

/// The layout that the resolved scenario of `base` has, as far as it can be read; what is not there is as in `base`.
fn written(base: &Plan) -> LayoutChoice {
    let own = LayoutChoice::of(base);
    let parallel = &base.identity.resolved["parallel"];
    let degree = |key: &str, otherwise: u32| {
        let number = parallel[key].as_u64();
        number
            .and_then(|number| u32::try_from(number).ok())
            .unwrap_or(otherwise)
    };
    let schedule = &parallel["schedule"];
    let named = schedule["kind"].as_str();
    let kind = SCHEDULES.iter().copied().find(|name| named == Some(name));
    let chunks = schedule["chunks"]
        .as_u64()
        .and_then(|chunks| u32::try_from(chunks).ok());
    LayoutChoice {
        tp: degree("tp", own.tp),
        pp: degree("pp", own.pp),
        ep: degree("ep", own.ep),
        expert_tp: degree("expert_tp", own.expert_tp),
        schedule: kind.unwrap_or(own.schedule),
        chunks: chunks.filter(|_| kind == Some(LayoutChoice::schedule_name(ScheduleKind::Interleaved))),
        ..own
    }
}

/// `base` in the first layout that breaks no rule: pipelines from the shortest on, split in powers of two.
fn first_legal(base: Plan, written: &LayoutChoice) -> Option<Plan> {
    let devices = base.layout.world();
    let layers = u32::try_from(base.model.layers.len()).unwrap_or(u32::MAX);
    let mut relayout = Relayout::new(base);
    let pipelines = (1..=layers.min(devices)).filter(|pp| devices.is_multiple_of(*pp));
    let choices = pipelines.flat_map(|pp| {
        let tensors = (0..).map(|power| 1_u32 << power);
        let tensors = tensors.take_while(move |tp| *tp <= MOST_TENSOR.min(devices / pp));
        tensors.flat_map(move |tp| [written.micro_batch, 1].map(|micro_batch| (pp, tp, micro_batch)))
    });
    let choices = choices.map(|(pp, tp, micro_batch)| LayoutChoice {
        tp,
        pp,
        ep: 1,
        expert_tp: 1,
        schedule: LayoutChoice::schedule_name(ScheduleKind::OneFOneB),
        chunks: None,
        micro_batch,
        ..written.clone()
    });
    let choices: Vec<LayoutChoice> = choices.collect();
    choices.iter().find_map(|choice| relayout.plan(choice).ok())
}
