//! The window and the axis.

use crate::timeline::axis::{Axis, exact};
use crate::timeline::window::Window;

const SECOND: u64 = 1_000_000_000_000;

fn window(from: u64, length: u64) -> Window {
    Window { from, length }
}

#[test]
fn zooming_keeps_the_instant_under_the_pointer_and_stays_within_the_run() {
    let all = Window::all(1_000_000);
    let closer = all.zoomed(4.0, 0.25, 1_000_000);
    assert_eq!(closer, window(187_500, 250_000));
    assert!(
        (closer.position(250_000, 100.0) - 25.0).abs() < 1e-9,
        "where it was"
    );
    assert_eq!(closer.zoomed(0.01, 0.9, 1_000_000), all);
    assert_eq!(closer.panned(-9.0, 1_000_000).from, 0);
    assert_eq!(closer.panned(9.0, 1_000_000).from, 750_000);
    let closest = all.zoomed(1e30, 0.5, 1_000_000);
    assert_eq!(closest.length, 1_000, "no closer than a nanosecond");
}

#[test]
fn the_instant_under_the_pointer_stays_through_a_deep_zoom() {
    let end = 20 * SECOND;
    let mut now = Window::all(end);
    let held = now.instant(350.0, 1000.0);
    while now.length > 1_000 {
        now = now.zoomed(1.07, 0.35, end);
    }
    let drift = now.instant(350.0, 1000.0).abs_diff(held);
    // Each turn rounds to a picosecond; the window is a thousand of them.
    assert!(drift <= 40, "{drift} ps");
    let (one, other) = (now.position(held, 1000.0), now.position(held + 1, 1000.0));
    assert!(
        (other - one - 1.0).abs() < 1e-6,
        "a picosecond is a point: {one} {other}"
    );
}

#[test]
fn what_is_around_a_span_fits() {
    assert_eq!(
        Window::around(1_000_000, 2_000_000, 10_000_000),
        window(900_000, 1_200_000)
    );
    let least = Window::around(5_000, 5_000, 10_000_000);
    assert!(
        least.from <= 5_000 && least.until() > 5_000 && least.length == 1_000,
        "{least:?}"
    );
    assert_eq!(
        Window::around(0, 500, 500),
        window(0, 1_000),
        "never shorter than a nanosecond"
    );
}

#[test]
fn a_window_moves_only_as_needed() {
    let now = window(1_000, 1_000);
    assert_eq!(now.showing(1_200, 1_500, 9_000), now);
    assert_eq!(now.showing(4_000, 4_200, 9_000), window(3_600, 1_000));
    assert_eq!(now.showing(4_000, 8_000, 9_000).from, 4_000, "its start at least");
}

fn labels(window: Window, wanted: f64) -> Vec<String> {
    let axis = Axis::new(window, wanted);
    axis.marks.iter().map(|&mark| axis.label(mark)).collect()
}

#[test]
fn marks_are_round_and_labels_short() {
    let seconds = labels(window(0, 18 * SECOND), 8.0);
    assert_eq!(seconds, ["0", "5 s", "10 s", "15 s"]);
    let millis = labels(window(2 * SECOND, SECOND / 10), 5.0);
    assert_eq!(
        millis,
        ["2.00 s", "2.02 s", "2.04 s", "2.06 s", "2.08 s", "2.10 s"]
    );
    let micros = labels(window(0, 4_000_000), 4.0);
    assert_eq!(micros, ["0", "1 µs", "2 µs", "3 µs", "4 µs"]);
}

#[test]
fn deep_in_a_run_labels_count_from_a_base() {
    let deep = window(12 * SECOND + 345_678_901_234, 10_000);
    let axis = Axis::new(deep, 5.0);
    assert_eq!(axis.base_label().as_deref(), Some("12.345678 s"));
    assert_eq!(
        labels(deep, 5.0),
        ["+902 ns", "+904 ns", "+906 ns", "+908 ns", "+910 ns"]
    );
    assert!(
        axis.marks.iter().all(|mark| mark % 2_000 == 0),
        "round: {:?}",
        axis.marks
    );
    assert_eq!(Axis::new(window(0, SECOND), 5.0).base_label(), None);
}

#[test]
fn instants_are_written_in_full() {
    let written = [0, 999, 1_500, SECOND / 1_000 + 1, 18 * SECOND].map(exact);
    assert_eq!(written, ["0 ps", "999 ps", "1.5 ns", "1.000000001 ms", "18 s"]);
}
