//! Batches, microbatches and steps.

use super::at;
use crate::diagnostics::{Fault, Faults};
use crate::plan::{Layout, ScheduleKind, Training};
use crate::raw::Raw;

/// S034: the global batch divides into microbatches on every data-parallel rank. Microbatches per rank.
pub(crate) fn batch_divides(
    raw: &Raw<'_>,
    layout: &Layout,
    training: &Training,
    faults: &mut Faults,
) -> Option<u64> {
    let given = raw.training.global_batch.as_ref()?;
    let at_once = u64::from(layout.dp).saturating_mul(training.micro_batch);
    if given.value.is_multiple_of(at_once) && given.value > 0 {
        return Some(given.value / at_once);
    }
    let (dp, micro_batch) = (layout.dp, training.micro_batch);
    let below = given.value / at_once * at_once;
    let works = if below > 0 {
        format!("{below} or {}", below + at_once)
    } else {
        at_once.to_string()
    };
    let message = format!(
        "global_batch = {} does not divide by dp x micro_batch = {at_once}",
        given.value
    );
    let fault = Fault::new("S034", &given.place, message).note(format!(
        "dp {dp} x micro_batch {micro_batch} = {at_once} sequences at once"
    ));
    faults.push(fault.help(format!("global_batch = {works}")));
    None
}

/// S036, S037: DualPipe needs an even number of at least `2 pp`, DualPipeV at least `2 pp`, ZB-V at least `2 pp − 1`;
/// interleaving needs a multiple of `pp`.
pub(crate) fn schedule_has_enough_microbatches(
    raw: &Raw<'_>,
    layout: &Layout,
    training: &Training,
    faults: &mut Faults,
) {
    let Some(given) = &raw.training.global_batch else {
        return;
    };
    let (count, pp) = (training.num_microbatches, u64::from(layout.pp));
    let per_microbatch = u64::from(layout.dp).saturating_mul(training.micro_batch);
    let arithmetic = format!(
        "microbatches = global_batch {} / (dp {} x micro_batch {}) = {count}",
        training.global_batch, layout.dp, training.micro_batch
    );
    let (code, message, works) = match layout.schedule.kind {
        ScheduleKind::DualPipe if !count.is_multiple_of(2) || count < 2 * pp => (
            "S036",
            format!(
                "DualPipe needs an even number of at least 2 x pp = {} microbatches",
                2 * pp
            ),
            count.next_multiple_of(2).max(2 * pp),
        ),
        ScheduleKind::DualPipeV if count < 2 * pp => (
            "S036",
            format!("DualPipeV needs at least 2 x pp = {} microbatches", 2 * pp),
            2 * pp,
        ),
        ScheduleKind::ZeroBubbleV if count + 1 < 2 * pp => (
            "S036",
            format!("ZB-V needs at least 2 x pp - 1 = {} microbatches", 2 * pp - 1),
            2 * pp - 1,
        ),
        ScheduleKind::Interleaved if !count.is_multiple_of(pp) => (
            "S037",
            format!("an interleaved schedule needs a multiple of pp = {pp} microbatches"),
            count.next_multiple_of(pp),
        ),
        _ => return,
    };
    let fault = Fault::new(code, at(Some(given), &given.place), message).note(arithmetic);
    faults.push(fault.help(format!("global_batch = {}", works.saturating_mul(per_microbatch))));
}

/// S044: at least one step is counted.
pub(crate) fn warmup_leaves_a_step(raw: &Raw<'_>, training: &Training, faults: &mut Faults) {
    if training.warmup_steps < training.steps {
        return;
    }
    let given = raw.training.warmup_steps.as_ref().or(raw.training.steps.as_ref());
    let Some(given) = given else { return };
    let (steps, warmup) = (training.steps, training.warmup_steps);
    let message = format!("{warmup} warm-up steps of {steps} leave none to count");
    let fault = Fault::new("S044", &given.place, message);
    faults.push(fault.help(format!("steps = {}", warmup + 1)));
}
