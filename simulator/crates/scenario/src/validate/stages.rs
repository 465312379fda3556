//! Layers on pipeline stages.

use super::{at, values_that_work};
use crate::diagnostics::{Fault, Faults};
use crate::document::Place;
use crate::plan::{Layout, Schedule, ScheduleKind};
use crate::raw::{Given, Raw, RawParallel};

/// S035: there are not more virtual stages than layers, embedding and head.
pub(crate) fn stages_have_layers(
    raw: &RawParallel,
    stages: usize,
    layers: usize,
    place: &Place,
    faults: &mut Faults,
) -> bool {
    if stages <= layers + 2 {
        return true;
    }
    let place = at(raw.chunks.as_ref().or(raw.pp.as_ref()), place);
    let message = format!("{stages} virtual stages for {layers} layers");
    let fault = Fault::new("S035", place, message).note("virtual stages = pp x chunks");
    faults.push(fault.help(format!(
        "pp x chunks = one of {}",
        values_that_work(layers as u64, layers as u64)
    )));
    false
}

/// S038: the list has one entry per virtual stage and its sum is the number of layers.
pub(crate) fn stage_list_holds_every_layer(
    given: &Given<Vec<u64>>,
    stages: usize,
    layers: usize,
    faults: &mut Faults,
) -> Option<Vec<usize>> {
    let shares: Vec<usize> = given
        .value
        .iter()
        .filter_map(|&share| usize::try_from(share).ok())
        .collect();
    let sum: usize = shares.iter().sum();
    if shares.len() == stages && sum == layers {
        return Some(shares);
    }
    let message = format!(
        "`layers_per_stage` has {} entries that sum to {sum}; it needs {stages} that sum to {layers}",
        shares.len()
    );
    let example = crate::resolve::stages::split(layers, 0, stages.max(1));
    let example: Vec<String> = example.layers.iter().map(ToString::to_string).collect();
    let fault = Fault::new("S038", &given.place, message).note("virtual stages = pp x chunks");
    faults.push(fault.help(format!("layers_per_stage = [{}]", example.join(", "))));
    None
}

/// S035: with fewer layers at the ends, the layers divide evenly.
pub(crate) fn uneven_ends_divide(
    raw: &RawParallel,
    stages: usize,
    layers: usize,
    faults: &mut Faults,
) -> Option<Vec<usize>> {
    let less = |given: &Option<Given<u64>>| {
        given
            .as_ref()
            .map_or(0, |given| usize::try_from(given.value).unwrap_or(usize::MAX / 4))
    };
    let (first, last) = (less(&raw.first_stage_less), less(&raw.last_stage_less));
    let units = layers + first + last;
    let each = units / stages;
    if units.is_multiple_of(stages) && each >= first && each >= last && stages > 1 {
        let mut shares = vec![each; stages];
        shares[0] -= first;
        shares[stages - 1] -= last;
        return Some(shares);
    }
    let given = raw.first_stage_less.as_ref().or(raw.last_stage_less.as_ref())?;
    let message =
        format!("{layers} layers + {first} + {last} = {units} do not divide among {stages} virtual stages");
    let missing = units.next_multiple_of(stages.max(1)) - layers;
    let fault = Fault::new("S035", &given.place, message).note("virtual stages = pp x chunks");
    faults.push(fault.help(format!(
        "first_stage_less + last_stage_less = {missing}, or `layers_per_stage`"
    )));
    None
}

/// S035: several chunks per rank belong to an interleaved schedule; DualPipe and those along a V always have two.
pub(crate) fn chunks_fit_the_schedule(raw: &RawParallel, schedule: Schedule, faults: &mut Faults) {
    let Some(given) = &raw.chunks else { return };
    let (fits, help) = match schedule.kind {
        ScheduleKind::Interleaved => (true, ""),
        ScheduleKind::DualPipe | ScheduleKind::DualPipeV | ScheduleKind::ZeroBubbleV => {
            (given.value == 2, "chunks = 2")
        }
        ScheduleKind::ZeroBubbleH1 => (given.value == 1, "kind = \"zb-v\", which has two"),
        ScheduleKind::GPipe | ScheduleKind::OneFOneB => {
            let interleaves = raw
                .schedule
                .as_ref()
                .is_none_or(|kind| kind.value == "interleaved");
            (given.value == 1 || interleaves, "kind = \"interleaved\"")
        }
    };
    if !fits {
        let message = format!("this schedule cannot have {} chunks per rank", given.value);
        faults.push(Fault::new("S035", &given.place, message).help(help));
    }
}

/// S036: DualPipe runs from both ends, so it needs an even number of stages.
pub(crate) fn dual_pipe_has_even_stages(raw: &Raw<'_>, layout: &Layout, place: &Place, faults: &mut Faults) {
    if layout.schedule.kind == ScheduleKind::DualPipe && !layout.pp.is_multiple_of(2) {
        let message = format!("DualPipe needs an even number of stages, not pp = {}", layout.pp);
        let fault = Fault::new("S036", at(raw.parallel.pp.as_ref(), place), message);
        faults.push(fault.help(format!("pp = {}", layout.pp + 1)));
    }
}
