//! Words and money of comparisons.

use serde_json::json;

use super::*;

/// A run whose step takes so many picoseconds, at this cost of a million tokens.
fn run(step: u64, cost: f64, currency: &str) -> Value {
    json!({
        "schema": "result/1", "scenario": "one", "seed": step, "origin": "simulated", "currency": currency,
        "metrics": {"cost.per_mtok.mean": cost},
        "waterfall": {"step_ps": step, "causes_ps": {"products": step}},
    })
}

#[test]
fn the_verdict_says_how_much_shorter_and_how_much_faster() {
    let verdict = |a: u64, b: u64| {
        let compared = Comparison::of(&run(a, 1.0, "USD"), &run(b, 1.0, "USD"));
        compared.unwrap().verdict()
    };
    for (a, b, words) in [
        (1000, 301, "B's step is 69.9 % shorter, 3.32 times as fast ("),
        (1000, 950, "B's step is 5 % shorter ("),
        (1000, 1062, "B's step is 6.2 % longer ("),
        (1000, 12_000, "B's step takes 12 times as long ("),
    ] {
        assert!(verdict(a, b).starts_with(words), "{}", verdict(a, b));
    }
}

#[test]
fn money_has_its_currency_on_either_side() {
    let compared = Comparison::of(&run(10, 0.5, "USD"), &run(20, 0.75, "EUR")).unwrap();
    let cost = compared
        .figures
        .iter()
        .find(|figure| figure.key == "cost.per_mtok.mean");
    let cost = cost.expect("the cost is compared");
    assert_eq!([cost.shown(0), cost.shown(1)], ["0.5 USD", "0.75 EUR"]);
}
