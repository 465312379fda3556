//! Traces of PyTorch (Kineto) whose all-to-alls carry split sizes: how many rows a rank sent to each other, exchange by
//! exchange. Real imbalance out of an ordinary trace, by rank and not by expert.

use serde_json::Value;

use super::{Gathered, RecordError, Recording};

/// An all-to-all as a trace has it.
struct Exchange {
    start: f64,
    is_kernel: bool,
    /// Rows to each rank, and from each.
    sent: Vec<u64>,
    received: Vec<u64>,
}

/// Rows that a rank sent to each rank, a layer for every dispatch in the order of time.
///
/// A dispatch is followed by the combine that undoes it: what one sends the other receives. Backward does the same in the
/// opposite order; where the second half of a trace mirrors the first it is left out, for its tokens are the same.
pub(super) fn read(trace: &Value) -> Result<Recording, RecordError> {
    let events = trace.get("traceEvents").and_then(Value::as_array);
    let mut exchanges = Vec::new();
    for event in events.into_iter().flatten() {
        if let Some(exchange) = exchange(event)? {
            exchanges.push(exchange);
        }
    }
    // The host's record of a collective repeats what its kernel carries.
    if exchanges.iter().any(|exchange| exchange.is_kernel) {
        exchanges.retain(|exchange| exchange.is_kernel);
    }
    exchanges.sort_by(|a, b| a.start.total_cmp(&b.start));
    let mut dispatched = dispatched(&exchanges);
    if dispatched.is_empty() {
        return Err(RecordError::Malformed(
            "no all-to-all of the trace carries split sizes\n  = help: record with \
             TORCH_PROFILER_ENABLE_COLLECTIVE_PROFILING=1, on a model whose tokens travel by all_to_all_single"
                .to_owned(),
        ));
    }
    if is_mirrored(&dispatched) {
        dispatched.truncate(dispatched.len() / 2);
    }
    let ranks = dispatched[0].len();
    if dispatched.iter().any(|layer| layer.len() != ranks) {
        return Err(RecordError::Malformed(
            "all-to-alls of groups of different sizes\n  = help: record one expert group".to_owned(),
        ));
    }
    let mut gathered = Gathered::default();
    for (layer, sent) in (0..).zip(dispatched) {
        for (rank, &rows) in (0..).zip(sent) {
            gathered.count(layer, 0, rank, rows);
        }
    }
    Ok(Recording {
        parts: vec![gathered.part(String::new(), ranks)],
    })
}

/// The all-to-all that an event is, if it is one with split sizes.
fn exchange(event: &Value) -> Result<Option<Exchange>, RecordError> {
    let Some(arguments) = event.get("args") else {
        return Ok(None);
    };
    let name = arguments.get("Collective name").and_then(Value::as_str);
    if !name.is_some_and(|name| name.contains("all_to_all") || name.contains("alltoall")) {
        return Ok(None);
    }
    let (sent, received) = (
        splits(arguments, "In split size")?,
        splits(arguments, "Out split size")?,
    );
    if sent.is_empty() || received.is_empty() {
        return Ok(None);
    }
    Ok(Some(Exchange {
        start: event.get("ts").and_then(Value::as_f64).unwrap_or(0.0),
        is_kernel: event.get("cat").and_then(Value::as_str) == Some("kernel"),
        sent,
        received,
    }))
}

/// The numbers of `[12, 7, 30]`; a list that the profiler cut short is refused.
fn splits(arguments: &Value, key: &str) -> Result<Vec<u64>, RecordError> {
    let Some(text) = arguments.get(key).and_then(Value::as_str) else {
        return Ok(Vec::new());
    };
    if text.contains("...") {
        return Err(RecordError::Malformed(format!(
            "`{key}` is cut short: the profiler writes 30 numbers at most\n  = help: record a group of 30 ranks or fewer"
        )));
    }
    text.trim_matches(['[', ']'])
        .split(',')
        .map(str::trim)
        .filter(|number| !number.is_empty())
        .map(|number| {
            number
                .parse()
                .map_err(|_no| RecordError::Malformed(format!("`{number}` in `{key}` is no number of rows")))
        })
        .collect()
}

/// What dispatches sent: exchanges whose next one undoes them.
fn dispatched(exchanges: &[Exchange]) -> Vec<&[u64]> {
    let mut found = Vec::new();
    let mut at = 0;
    while at + 1 < exchanges.len() {
        let (one, next) = (&exchanges[at], &exchanges[at + 1]);
        if one.sent == next.received && one.received == next.sent {
            found.push(&one.sent[..]);
            at += 2;
        } else {
            at += 1;
        }
    }
    found
}

/// Whether the second half is the first one backwards.
fn is_mirrored(layers: &[&[u64]]) -> bool {
    layers.len() > 1 && layers.len().is_multiple_of(2) && layers.iter().eq(layers.iter().rev())
}
