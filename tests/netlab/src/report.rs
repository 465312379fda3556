//! What the command prints: a table, or one JSON object.

use std::fmt::Write as _;

use orrery_units::BytesPerSec;
use serde_json::{Value, json};

use crate::measure::{BURST, MTU, Plan, Row, Setting};

/// The largest mean error with which the command succeeds.
pub(crate) const MAX_MEAN_ERROR: f64 = 0.15;

/// Mean of `|predicted / measured − 1|`; not a number without rows.
pub(crate) fn mean_error(rows: &[Row]) -> f64 {
    rows.iter().map(|row| row.error().abs()).sum::<f64>() / rows.len() as f64
}

/// What stands above the rows.
pub(crate) fn head(plan: &Plan, setting: &Setting) -> String {
    let place = if setting.loopback {
        "over loopback, without namespaces"
    } else {
        "each in a network namespace, veth links to a bridge"
    };
    let priority = if setting.real_time {
        "SCHED_FIFO 50"
    } else {
        "as any other process (no `chrt`, or no right to it)"
    };
    let framing = setting.framing;
    let mut text = String::new();
    let lines = [
        format!("TCP ring all-reduce of f32, {} processes {place}", plan.ranks),
        format!(
            "shaper      {}, burst {BURST}, on the way out of every rank",
            setting.shaper.name()
        ),
        format!("priority    {priority}"),
        format!(
            "framing     {:.4} + {:.4} bytes on the link per byte of payload: data + acknowledgements{}",
            framing.data,
            framing.acknowledgement,
            if framing.data > 1.0 {
                format!(
                    ", (MTU + 14) / (MTU - 52) + 66 / (2 (MTU - 52)) with MTU {}",
                    MTU.get()
                )
            } else {
                String::new()
            }
        ),
        format!(
            "time        of the slowest rank, median of {} after a warm-up; latency measured beforehand",
            plan.repeats
        ),
        String::new(),
        format!(
            "{:>10} {:>11} {:>9} {:>12} {:>23} {:>12} {:>8} {:>8}",
            "size", "link", "latency", "measured", "least..most", "predicted", "error", "CPU busy"
        ),
    ];
    for line in lines {
        writeln!(text, "{line}").expect("a text takes what is written");
    }
    text
}

/// One row.
pub(crate) fn line(row: &Row) -> String {
    let millis = |span: orrery_units::SimDuration| format!("{:.2} ms", span.as_secs() * 1e3);
    format!(
        "{:>10} {:>11} {:>9} {:>12} {:>23} {:>12} {:>8} {:>8}\n",
        row.size.to_string(),
        bits(row.rate),
        format!("{:.0} us", row.latency.as_secs() * 1e6),
        millis(row.measured),
        format!("{}..{}", millis(row.fastest), millis(row.slowest)),
        millis(row.predicted),
        format!("{:+.1} %", row.error() * 100.0),
        row.busy
            .map_or_else(|| "?".to_owned(), |busy| format!("{:.0} %", busy * 100.0)),
    )
}

/// What stands below the rows.
pub(crate) fn foot(rows: &[Row]) -> String {
    let mean = mean_error(rows);
    let verdict = if mean <= MAX_MEAN_ERROR { "within" } else { "ABOVE" };
    format!(
        "\nmean |error| {:.1} %, {verdict} the {:.0} % that are allowed\n",
        mean * 100.0,
        MAX_MEAN_ERROR * 100.0
    )
}

fn bits(rate: BytesPerSec) -> String {
    orrery_units::with_si_prefix(rate.get() * 8.0, "bit/s")
}

/// All of it for machines, in bytes and seconds.
pub(crate) fn json(plan: &Plan, setting: &Setting, rows: &[Row]) -> Value {
    let mean = mean_error(rows);
    let rows: Vec<Value> = rows
        .iter()
        .map(|row| {
            json!({
                "size_bytes": row.size.get(),
                "link_bytes_per_second": row.rate.get(),
                "latency_seconds": row.latency.as_secs(),
                "measured_seconds": row.measured.as_secs(),
                "least_seconds": row.fastest.as_secs(),
                "most_seconds": row.slowest.as_secs(),
                "predicted_seconds": row.predicted.as_secs(),
                "error": row.error(),
                "processor_busy": row.busy,
            })
        })
        .collect();
    json!({
        "schema": "netlab/1",
        "ranks": plan.ranks,
        "loopback": setting.loopback,
        "shaper": setting.shaper.name(),
        "burst_bytes": BURST.get(),
        "real_time": setting.real_time,
        "framing": { "data": setting.framing.data, "acknowledgement": setting.framing.acknowledgement },
        "repeats": plan.repeats,
        "rows": rows,
        "mean_error": mean,
        "max_mean_error": MAX_MEAN_ERROR,
    })
}

#[cfg(test)]
mod tests {
    use orrery_units::{Bytes, SimDuration};

    use super::*;

    fn row(predicted_micros: u64) -> Row {
        Row {
            size: Bytes::new(1 << 20),
            rate: BytesPerSec::new(12.5e6),
            latency: SimDuration::from_micros(93),
            measured: SimDuration::from_micros(100_000),
            fastest: SimDuration::from_micros(99_500),
            slowest: SimDuration::from_micros(101_000),
            predicted: SimDuration::from_micros(predicted_micros),
            busy: Some(0.25),
        }
    }

    #[test]
    fn errors_of_both_signs_do_not_cancel() {
        let rows = [row(110_000), row(90_000)];
        assert!((mean_error(&rows) - 0.1).abs() < 1e-12, "{}", mean_error(&rows));
        assert!(foot(&rows).contains("10.0 %, within the 15 %"), "{}", foot(&rows));
        let rows = [row(120_000)];
        assert!(foot(&rows).contains("20.0 %, ABOVE the 15 %"), "{}", foot(&rows));
    }

    #[test]
    fn a_row_reads_like_one() {
        let text = line(&row(110_000));
        let words: Vec<&str> = text.split_whitespace().collect();
        let expected = "1 MiB 100 Mbit/s 93 us 100.00 ms 99.50 ms..101.00 ms 110.00 ms +10.0 % 25 %";
        assert_eq!(words, expected.split(' ').collect::<Vec<_>>());
    }
}
