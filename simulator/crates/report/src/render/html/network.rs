//! The network: kinds of links, the busiest over time, and who sends to whom.

use std::fmt::Write as _;

use orrery_units::Bytes;
use plotters::prelude::*;

use super::picture::{Area, Drawn, GREY, canvas, colour, label, number, pixel};
use super::{TABLE_END, escape, percent, put, table};
use crate::{Network, Report, TrafficMatrix};

/// Links and pairs that are listed.
const LISTED: usize = 20;
/// Most cells along the side of the picture of traffic.
const MOST_CELLS: u32 = 48;
/// Side of that picture, in pixels.
const SIDE: i32 = 480;

/// The section; nothing where no links are shared.
pub(super) fn section(page: &mut String, report: &Report) {
    let Some(network) = report.network() else {
        return;
    };
    put(page, "<section><h2>Links of the cluster</h2>\n");
    put(
        page,
        &format!(
            "<p>What crossed each link one way, over what it could have carried in the {} of the first \
             replication.</p>\n",
            network.span()
        ),
    );
    kinds(page, network);
    busiest(page, network);
    traffic(page, network);
    put(page, "</section>\n");
}

fn kinds(page: &mut String, network: &Network) {
    let header = ["kind", "links", "carried", "mean", "busiest", "busiest interval"];
    table(page, "numbers", &header);
    for kind in network.kinds() {
        super::row(
            page,
            &[
                kind.title,
                &kind.count.to_string(),
                &kind.bytes.to_string(),
                &percent(kind.mean),
                &percent(kind.most),
                &percent(kind.peak),
            ],
        );
    }
    put(page, TABLE_END);
}

fn busiest(page: &mut String, network: &Network) {
    put(page, "<h3>The busiest</h3>\n");
    let header = ["link", "capacity", "carried", "utilization", "peak", "over time"];
    table(page, "numbers", &header);
    for link in network.links().iter().take(LISTED) {
        let cells = [
            escape(&link.name),
            link.capacity.to_string(),
            link.bytes.to_string(),
            percent(network.utilization(link)),
            percent(network.peak(link)),
            sparkline(network, network.utilizations(link)),
        ];
        put(page, "<tr>");
        for cell in cells {
            put(page, &format!("<td>{cell}</td>"));
        }
        put(page, "</tr>\n");
    }
    put(page, TABLE_END);
}

/// Shares over time as steps on a strip whose height is a share of 1.
fn sparkline(network: &Network, shares: impl Iterator<Item = f64>) -> String {
    const WIDTH: f64 = 160.0;
    const HEIGHT: f64 = 22.0;
    let span = network.span().as_secs().max(f64::MIN_POSITIVE);
    let mut points = format!("0,{HEIGHT}");
    let mut passed = 0.0;
    for (share, length) in shares.zip(network.intervals()) {
        let y = HEIGHT * (1.0 - share.clamp(0.0, 1.0));
        let begin = passed / span * WIDTH;
        passed += length.as_secs();
        let end = passed / span * WIDTH;
        write!(points, " {begin:.1},{y:.1} {end:.1},{y:.1}").expect("writing to a string cannot fail");
    }
    write!(points, " {WIDTH},{HEIGHT}").expect("writing to a string cannot fail");
    format!(
        "<svg class=\"spark\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"utilization over \
         time\"><polygon points=\"{points}\"/></svg>"
    )
}

fn traffic(page: &mut String, network: &Network) {
    let matrix = network.traffic(MOST_CELLS);
    if matrix.most() == Bytes::ZERO {
        return;
    }
    let side = matrix.devices_per_cell;
    let cell = if side == 1 {
        "rank".to_owned()
    } else {
        format!("block of {side} ranks")
    };
    put(page, "<h3>Who sends to whom</h3>\n");
    put(
        page,
        &format!(
            "<p>Senders from top to bottom, receivers from left to right, a cell per {cell}; the darkest holds \
             {}.</p>\n",
            matrix.most()
        ),
    );
    put(page, &heat_map(&matrix));
    table(page, "numbers", &["from", "to", "bytes"]);
    for pair in network.pairs().iter().take(LISTED) {
        let [from, to] = [pair.from, pair.to].map(|rank| format!("rank {rank}"));
        super::row(page, &[&from, &to, &pair.bytes.to_string()]);
    }
    put(page, TABLE_END);
}

/// A square of cells, darker with the square root of their bytes, so that small ones show.
fn heat_map(matrix: &TrafficMatrix) -> String {
    let most = matrix.most().as_f64().max(1.0);
    let step = f64::from(SIDE) / number(matrix.bytes.len());
    let height = SIDE.unsigned_abs() + 16;
    canvas(height, |area: &Area<'_>| -> Drawn {
        let place = |at: usize| pixel(8.0 + number(at) * step);
        for (from, row) in matrix.bytes.iter().enumerate() {
            for (to, &bytes) in row.iter().enumerate() {
                if bytes > Bytes::ZERO {
                    let strength = 0.08 + 0.92 * (bytes.as_f64() / most).sqrt();
                    let corners = [(place(to), place(from)), (place(to + 1), place(from + 1))];
                    area.draw(&Rectangle::new(corners, colour(0).mix(strength).filled()))?;
                }
            }
        }
        let frame = [(8, 8), (8 + SIDE, 8 + SIDE)];
        area.draw(&Rectangle::new(frame, GREY))?;
        area.draw(&Text::new("0", (SIDE + 16, 8), label(14)))?;
        let last = format!("{} cells a side", matrix.bytes.len());
        area.draw(&Text::new(last, (SIDE + 16, SIDE - 8), label(14)))?;
        Ok(())
    })
}
