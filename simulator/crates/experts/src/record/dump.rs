//! Dumps of serving stacks as JSON.
//!
//! * SGLang's expert distribution (`/dump_expert_distribution_record` in mode `stat`, its `.pt` as JSON; also what
//!   `--init-expert-location` takes): `logical_count[layer][expert]`, or `[step][layer][expert]`.
//! * vLLM's load window of its expert-parallel load balancer: `expert_load` or `expert_load_window`, the same shapes.
//! * vLLM's routed experts (`--enable-return-routed-experts`): `routed_experts[token][layer][k]` and
//!   `prompt_routed_experts`, of a response or of each of its `choices`.
//! * A case of `orrery balance`: `weights[layer][expert]`.
//! * A bare array of any of the shapes of counts.

use serde_json::Value;

use super::{Gathered, RecordError, Recording};

/// Names of counts.
const COUNTS: [&str; 5] = [
    "logical_count",
    "expert_load",
    "expert_load_window",
    "global_expert_load_window",
    "weights",
];

/// Names of routes, in the order in which their tokens came.
const ROUTES: [&str; 2] = ["prompt_routed_experts", "routed_experts"];

pub(super) fn read(text: &str) -> Result<Recording, RecordError> {
    let value: Value =
        serde_json::from_str(text).map_err(|fault| RecordError::Malformed(format!("not JSON: {fault}")))?;
    if value.get("traceEvents").is_some() {
        return Err(RecordError::Trace);
    }
    let mut gathered = Gathered::default();
    if let Some(counts) = COUNTS
        .iter()
        .find_map(|name| value.get(name))
        .or_else(|| value.as_array().map(|_| &value))
    {
        add_counts(counts, &mut gathered)?;
    } else {
        let choices = value
            .get("choices")
            .and_then(Value::as_array)
            .into_iter()
            .flatten();
        for holder in std::iter::once(&value).chain(choices) {
            for routes in ROUTES
                .iter()
                .filter_map(|name| holder.get(name))
                .filter(|routes| !routes.is_null())
            {
                add_routes(routes, &mut gathered)?;
            }
        }
        if gathered.counts.is_empty() {
            return Err(RecordError::Malformed(format!(
                "none of the keys that hold counts or routes\n  = help: {}",
                [&COUNTS[..], &ROUTES[..]].concat().join(", ")
            )));
        }
    }
    let experts = gathered.num_experts();
    Ok(Recording {
        parts: vec![gathered.part(String::new(), experts)],
    })
}

/// Whether the JSON that begins with `start` is such a dump: one of the keys is there, or it is an array of arrays.
pub(super) fn begins(start: &str) -> bool {
    let bare: String = start
        .chars()
        .filter(|letter| !letter.is_whitespace())
        .take(2)
        .collect();
    let names = |name: &str| start.contains(&format!("\"{name}\""));
    bare == "[[" || (COUNTS.iter().chain(&ROUTES).any(|name| names(name)) && !names("traceEvents"))
}

/// How many arrays are nested.
fn depth(value: &Value) -> usize {
    value
        .as_array()
        .map_or(0, |inner| 1 + inner.first().map_or(0, depth))
}

fn array(value: &Value) -> Result<&Vec<Value>, RecordError> {
    value
        .as_array()
        .ok_or_else(|| RecordError::Malformed(format!("`{value}` is no array, but its neighbours are")))
}

fn number(value: &Value) -> Result<u64, RecordError> {
    // Tensors of floats hold whole numbers too.
    let whole = value
        .as_f64()
        .filter(|x| *x >= 0.0 && *x < 9e15)
        .map(|x| x.round() as u64);
    whole.ok_or_else(|| RecordError::Malformed(format!("`{value}` is no count")))
}

fn expert(number: usize) -> Result<u32, RecordError> {
    let small = u32::try_from(number).ok().filter(|&expert| expert < 1 << 16);
    small.ok_or_else(|| RecordError::Malformed(format!("`{number}` is no number of an expert")))
}

fn add_counts(value: &Value, gathered: &mut Gathered) -> Result<(), RecordError> {
    let steps = match depth(value) {
        2 => vec![value],
        3 => array(value)?.iter().collect(),
        other => {
            return Err(RecordError::Malformed(format!(
                "counts are nested {other} deep\n  = help: [layer][expert], or [step][layer][expert]"
            )));
        }
    };
    for (step, layers) in (0..).zip(steps) {
        for (layer, experts) in (0..).zip(array(layers)?) {
            for (at, count) in array(experts)?.iter().enumerate() {
                gathered.count(layer, step, expert(at)?, number(count)?);
            }
        }
    }
    Ok(())
}

fn add_routes(value: &Value, gathered: &mut Gathered) -> Result<(), RecordError> {
    if depth(value) != 3 {
        return Err(RecordError::Malformed(
            "routes are nested otherwise\n  = help: [token][layer][expert of the token]".to_owned(),
        ));
    }
    let first = gathered.num_tokens;
    for (token, layers) in array(value)?.iter().enumerate() {
        for (layer, experts) in (0..).zip(array(layers)?) {
            let chosen: Result<Vec<u32>, _> = array(experts)?
                .iter()
                .map(|value| expert(usize::try_from(number(value)?).unwrap_or(usize::MAX)))
                .collect();
            gathered.route(layer, first + token, chosen?);
        }
    }
    Ok(())
}
