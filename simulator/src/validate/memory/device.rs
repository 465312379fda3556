//! Memory of a device as tables of training steps print it: what the driver says is used.

use std::collections::BTreeMap;

use orrery_scenario::Plan;
use orrery_units::Bytes;
use orrery_workload::memory::deep_speed_device_used;

use super::super::steps::{MeasuredStep, measured_step};
use super::super::table::{Table, field, number};
use super::super::{Compared, Row};
use super::beside;

/// Bytes of the unit that BigScience prints.
const GIGABYTE: f64 = 1e9;

/// Measured over predicted at one tenth and nine tenths of the rows that the constants were fitted to.
const INTERVAL: (f64, f64) = (0.931, 1.061);

/// Every row of `table` whose memory was measured.
pub(super) fn rows(table: &Table, name: &str) -> Vec<Row> {
    let measured = |row: &&BTreeMap<String, String>| number(row, "mem_gb").is_some();
    table
        .rows
        .iter()
        .filter(measured)
        .map(|row| Row {
            id: format!("{name}/{}", field(row, "id")),
            facts: vec![("metric", "memory_bytes".to_owned())],
            groups: vec![
                format!("memory, tier {}", field(row, "tier")),
                format!("memory, stack {}", field(row, "stack")),
            ],
            result: compare(row),
        })
        .collect()
}

fn compare(row: &BTreeMap<String, String>) -> Result<Compared, String> {
    let measured = number(row, "mem_gb").ok_or("mem_gb")? * GIGABYTE;
    let stack = field(row, "stack");
    if stack != "megatron-deepspeed" {
        return Err(format!(
            "what the allocator of {stack} keeps cached: no row to fit it to"
        ));
    }
    let MeasuredStep { mut plan, .. } = measured_step(row)?;
    // Sequence parallelism came with Megatron-LM of May 2022; these runs are older, and the column is empty or 0.
    plan.layout.sequence_parallel = field(row, "seq_parallel") == "1";
    share_layers(&mut plan, field(row, "notes").contains("count as one layer each"));
    let predicted: Bytes = deep_speed_device_used(&plan).iter().map(|part| part.bytes).sum();
    Ok(beside(measured, predicted, INTERVAL))
}

/// Shares out the layers as DeepSpeed does: where embedding and head count as a layer each, the first and the last
/// stage have one less. Otherwise the largest share is the smallest that can be (`partition_balanced`); that the first
/// stage has it is an assumption.
fn share_layers(plan: &mut Plan, ends_count: bool) {
    let stages = plan.layout.stages.len();
    let layers = plan.model.layers.len();
    let ends = if ends_count && stages > 1 { 2 } else { 0 };
    let each = (layers + ends).div_ceil(stages);
    let mut from = 0;
    for (at, stage) in plan.layout.stages.iter_mut().enumerate() {
        let is_end = at == 0 || at + 1 == stages;
        let here = each - usize::from(ends > 0 && is_end);
        let to = (from + here).min(layers);
        stage.layers = from..to;
        from = to;
    }
}
