//! The metrics of the local history.

use std::fmt;

use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;

use super::{Number, family, gauge};
use crate::store::{StoreState, StoreStatus};

/// How the history does; nothing where none is kept.
pub(super) fn encode_store(encoder: &mut DescriptorEncoder<'_>, status: Option<&StoreStatus>) -> fmt::Result {
    let Some(status) = status else { return Ok(()) };
    let is_up = status.state == StoreState::Up;
    let up = [(
        vec![("reason", status.reason.clone().into())],
        Number::from(is_up),
    )];
    gauge(
        encoder,
        "orrery_store_up",
        None,
        "The history is written, or the reason why not",
        &up,
    )?;
    let gauges = [
        (
            "orrery_store_series",
            None,
            "Series that the history has",
            status.series as u64,
        ),
        (
            "orrery_store_rows",
            Some("bytes"),
            "What the rows of the history take",
            status.stored_bytes,
        ),
        (
            "orrery_store_file",
            Some("bytes"),
            "Size of the file of the history",
            status.file_bytes,
        ),
    ];
    for (name, unit, help, value) in gauges {
        gauge(encoder, name, unit, help, &[(Vec::new(), Number::Whole(value))])?;
    }
    let flushed = status.flushed.map(|at| (Vec::new(), Number::Real(at.as_secs())));
    let flushed: Vec<_> = flushed.into_iter().collect();
    let help = "When the last sample was taken that is on the disk";
    gauge(
        encoder,
        "orrery_store_flushed_timestamp",
        Some("seconds"),
        help,
        &flushed,
    )?;
    let counters = [
        (
            "orrery_store_dropped",
            "Samples that the history could not take",
            status.dropped,
        ),
        (
            "orrery_store_damaged_rows",
            "Rows that were not as they were written",
            status.damaged_rows,
        ),
    ];
    for (name, help, value) in counters {
        let rows = [(Vec::new(), Number::Whole(value))];
        family(encoder, (name, None, help), MetricType::Counter, &rows)?;
    }
    Ok(())
}
