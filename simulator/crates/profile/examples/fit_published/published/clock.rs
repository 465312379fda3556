//! What of the arithmetic rate lasts through training steps, as the simulator itself was fitted to measured steps.

use std::path::Path;

use orrery_profile::{Fitted, Provenance, TrainingClock};

use super::{Fault, table};

/// Derived from measured steps by the example `fit_training_clock`, which simulates them.
const FILE: &str = "derived/training_clock.csv";

/// The clock of `device` under `stack`, if one was fitted.
pub(crate) fn of(truth: &Path, device: &str, stack: &str) -> Result<Option<TrainingClock>, Fault> {
    if !truth.join(FILE).exists() {
        return Ok(None);
    }
    let table = table::rows(truth, FILE)?;
    let mine = |row: &&table::Row| row.text("device") == device && row.text("stack") == stack;
    let Some(row) = table.iter().find(mine) else {
        return Ok(None);
    };
    let number = |column: &str| row.number(column).ok_or_else(|| format!("{FILE}: no {column}"));
    let rows = row.text("rows");
    Ok(Some(TrainingClock {
        clock: number("clock")?,
        fitted: Fitted {
            rows: u32::try_from(rows.split(' ').count())?,
            mape: number("mape")?,
            spread: number("spread")?,
        },
        provenance: Provenance {
            measured_by: row.text("measured_by").to_owned(),
            source: format!("tests/truth/training.csv.gz through tests/truth/{FILE}"),
            rows: rows.to_owned(),
            date: row.text("date").to_owned(),
            version: row.text("version").to_owned(),
            note: "The one factor on the arithmetic of matrix products and fused attention that brings the median \
                   log error of these simulated steps to zero. It holds whatever else the simulator leaves out of a \
                   step, too."
                .to_owned(),
        },
    }))
}
