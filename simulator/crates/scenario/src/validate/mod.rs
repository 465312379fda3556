//! One function per rule, named for the rule. Each says its arithmetic and values that work.

mod batch;
mod degrees;
mod experts;
mod format;
mod stages;

pub(crate) use batch::{batch_divides, schedule_has_enough_microbatches, warmup_leaves_a_step};
pub(crate) use degrees::{context_divides_the_heads, context_divides_the_sequence};
pub(crate) use degrees::{degrees_divide_the_cluster, heads_divide, order_names_every_axis_once};
pub(crate) use degrees::{devices_can_be_numbered, zero_stage_exists};
pub(crate) use experts::{expert_degree_divides, experts_divide, routing_parameters_fit_the_law};
pub(crate) use format::{device_has_the_format, parameter_count_is_as_published, recompute_names_apply};
pub(crate) use stages::{
    chunks_fit_the_schedule, dual_pipe_has_even_stages, stage_list_holds_every_layer, stages_have_layers,
    uneven_ends_divide,
};

use crate::diagnostics::Faults;
use crate::document::Place;
use crate::plan::{Cluster, Layout, MlpShape, Model, Training};
use crate::raw::{Given, Raw};

/// The rules that need the layout: everything that joins two tables.
pub(crate) fn check_layout(
    raw: &Raw<'_>,
    cluster: &Cluster,
    model: &Model,
    layout: &Layout,
    place: &Place,
    faults: &mut Faults,
) {
    heads_divide(raw, model, layout, place, faults);
    if expert_degree_divides(raw, cluster, model, layout, place, faults) {
        experts_divide(raw, model, layout, place, faults);
    }
    dual_pipe_has_even_stages(raw, layout, place, faults);
    zero_stage_exists(raw, faults);
    context_divides_the_sequence(raw, layout, place, faults);
    context_divides_the_heads(raw, model, layout, place, faults);
}

/// The rules on the training settings that hold in any layout.
pub(crate) fn check_training(
    raw: &Raw<'_>,
    cluster: &Cluster,
    model: &Model,
    training: &Training,
    faults: &mut Faults,
) {
    warmup_leaves_a_step(raw, training, faults);
    device_has_the_format(raw, cluster, training, faults);
    recompute_names_apply(raw, model, faults);
}

/// The rules that join batch and layout; fills in the number of microbatches.
pub(crate) fn check_batch(raw: &Raw<'_>, layout: &Layout, training: &mut Training, faults: &mut Faults) {
    if let Some(microbatches) = batch_divides(raw, layout, training, faults) {
        training.num_microbatches = microbatches;
        schedule_has_enough_microbatches(raw, layout, training, faults);
    }
}

/// Where `given` stands, or else `fallback`.
pub(super) fn at<'a, T>(given: Option<&'a Given<T>>, fallback: &'a Place) -> &'a Place {
    given.map_or(fallback, |given| &given.place)
}

/// Routed experts of the model's expert layers, if it has any.
pub(crate) fn num_experts(model: &Model) -> Option<u64> {
    model.layers.iter().find_map(|layer| match layer.mlp {
        MlpShape::Moe { experts, .. } => Some(experts),
        MlpShape::Dense { .. } => None,
    })
}

/// The divisors of `number` up to `most`, as text; the powers of two alone where there are many.
pub(super) fn values_that_work(number: u64, most: u64) -> String {
    let divisors: Vec<u64> = (1..=number.min(most))
        .filter(|&d| number.is_multiple_of(d))
        .collect();
    let shown: Vec<String> = if divisors.len() > 16 {
        divisors
            .iter()
            .filter(|d| d.is_power_of_two())
            .map(ToString::to_string)
            .collect()
    } else {
        divisors.iter().map(ToString::to_string).collect()
    };
    shown.join(" ")
}
