//! Another layout of a validated job: the rules of the loader, without a file.
//!
//! A search asks for tens of thousands of layouts of one scenario. [`Relayout`] answers each from the plan, by the
//! functions that [`load`](crate::load) resolves and validates with. What the scenario says of how layers lie on stages
//! belongs to its own layout and is left out: layers are shared out anew.

mod choice;
mod written;

use orrery_profile::Tuning;

use crate::diagnostics::Faults;
use crate::document::{Files, Place, Table};
use crate::plan::{Layout, Plan, Recompute, Training};
use crate::raw::{Given, Raw};
use crate::resolve::{Assumptions, layout, tuning};
use crate::validate;
use choice::zero_number;
pub use choice::{LayoutChoice, recompute_text};
pub use written::Written;

/// A scenario says nothing.
static EMPTY: Table = Table(Vec::new());

/// Why a layout is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The code of the rule; [`explain`](crate::explain) has a paragraph on each.
    pub code: &'static str,
    /// What is wrong, with its numbers.
    pub message: String,
    /// A value that works, if one can be named.
    pub help: Option<String>,
}

/// A plan that can be laid out anew.
#[derive(Debug)]
pub struct Relayout {
    base: Plan,
    raw: Raw<'static>,
    place: Place,
}

fn given<T>(value: T) -> Given<T> {
    Given {
        value,
        place: Place::default(),
    }
}

impl Relayout {
    /// Layouts of `base`.
    #[must_use]
    pub fn new(base: Plan) -> Self {
        let mut raw = Raw::read(&EMPTY);
        let training = &base.training;
        raw.training.seq_len = Some(given(training.sequence_length));
        raw.training.global_batch = Some(given(training.global_batch));
        // What was filled in follows the layout; what was written stays.
        let derived = |key: &str| base.assumptions.iter().any(|known| known.key == key);
        if !derived("parallel.sequence_parallel") {
            raw.parallel.sequence_parallel = Some(given(base.layout.sequence_parallel));
        }
        Self {
            base,
            raw,
            place: Place::default(),
        }
    }

    /// The plan as it was loaded.
    #[must_use]
    pub const fn base(&self) -> &Plan {
        &self.base
    }

    /// The layout of `choice`, and microbatches per step and data-parallel rank.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn layout(&mut self, choice: &LayoutChoice) -> Result<(Layout, u64), Refusal> {
        self.write(choice);
        let (mut faults, mut assumed) = (Faults::default(), Assumptions::default());
        let Self { base, raw, place } = self;
        let (cluster, model) = (&base.cluster, &base.model);
        let domain = base.layout.devices_per_domain;
        let laid = layout::layout_on(
            domain,
            &raw.parallel,
            cluster,
            model,
            place,
            &mut assumed,
            &mut faults,
        );
        let Some(mut layout) = laid else {
            return Err(refusal(faults));
        };
        layout.order = base.layout.order;
        layout.cp_comm = base.layout.cp_comm;
        validate::check_layout(raw, cluster, model, &layout, place, &mut faults);
        validate::recompute_names_apply(raw, model, &mut faults);
        let microbatches = microbatches(raw, &layout, &base.training, &mut faults);
        match microbatches {
            Some(microbatches) if faults.is_empty() => Ok((layout, microbatches)),
            _ => Err(refusal(faults)),
        }
    }

    /// The plan of `choice`.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn plan(&mut self, choice: &LayoutChoice) -> Result<Plan, Refusal> {
        let (layout, microbatches) = self.layout(choice)?;
        let mut plan = self.base.clone();
        plan.layout = layout;
        plan.training.micro_batch = choice.micro_batch;
        plan.training.recompute = choice.recompute.clone();
        plan.training.num_microbatches = microbatches;
        plan.tuning = self.tuning(&choice.recompute);
        let settings = choice.settings();
        plan.assumptions
            .retain(|known| !settings.iter().any(|(key, _)| *key == known.key));
        Ok(plan)
    }

    /// What the stack makes of the device over whole steps, where `recompute` is computed again.
    #[must_use]
    pub fn tuning(&self, recompute: &Recompute) -> Tuning {
        let base = &self.base;
        // Steps without measured kernels, and stacks that nobody measured, have none.
        if base.tuning == Tuning::default() {
            return base.tuning;
        }
        let mut training = base.training.clone();
        training.recompute = recompute.clone();
        let routing = base.model.has_experts().then_some(&base.routing);
        tuning::resolved(&base.tunings, &base.cluster, &training, routing)
    }

    /// Writes `choice` where the rules read.
    fn write(&mut self, choice: &LayoutChoice) {
        let parallel = &mut self.raw.parallel;
        let degree = |value: u32| Some(given(u64::from(value)));
        parallel.tp = degree(choice.tp);
        parallel.pp = degree(choice.pp);
        parallel.cp = degree(choice.cp);
        parallel.ep = degree(choice.ep);
        parallel.expert_tp = degree(choice.expert_tp);
        parallel.zero_stage = Some(given(zero_number(choice.zero)));
        parallel.schedule = Some(given(choice.schedule.to_owned()));
        parallel.chunks = choice.chunks.and_then(degree);
        self.raw.training.micro_batch = Some(given(choice.micro_batch));
        self.base_recompute(&choice.recompute);
    }

    fn base_recompute(&mut self, recompute: &Recompute) {
        self.raw.training.recompute_modules = match recompute {
            Recompute::Selective(modules) => {
                let names = modules.iter().map(|&module| given(module.name().to_owned()));
                Some(given(names.collect()))
            }
            Recompute::None | Recompute::Full => None,
        };
    }
}

/// Microbatches of a layout, by the rules on training; the job's own settings are sound already.
fn microbatches(raw: &Raw<'_>, layout: &Layout, base: &Training, faults: &mut Faults) -> Option<u64> {
    let mut training = base.clone();
    let written = raw.training.micro_batch.as_ref();
    training.micro_batch = written.map_or(base.micro_batch, |given| given.value);
    let count = validate::batch_divides(raw, layout, &training, faults)?;
    training.num_microbatches = count;
    validate::schedule_has_enough_microbatches(raw, layout, &training, faults);
    Some(count)
}

fn refusal(faults: Faults) -> Refusal {
    let mut files = Files::default();
    files.add("layout", "");
    let first = faults.into_diagnostics(&files).into_iter().next();
    first.map_or_else(
        || Refusal {
            code: "S035",
            message: "layers do not divide among stages".to_owned(),
            help: None,
        },
        |fault| Refusal {
            code: fault.code,
            message: fault.message,
            help: fault.help,
        },
    )
}
