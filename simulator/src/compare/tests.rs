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

/// Of a step of `seconds` with `tokens` on `devices`.
fn working(seconds: f64, tokens: f64, devices: f64) -> Value {
    let picos = SimDuration::from_secs(seconds).as_picos();
    let rate = tokens / seconds;
    json!({
        "schema": "result/1", "scenario": "one", "seed": picos, "origin": "simulated",
        "metrics": {
            "train.step_time.mean": seconds, "train.tokens_per_s.mean": rate,
            "train.tokens_per_gpu_s.mean": rate / devices,
        },
        "waterfall": {"step_ps": picos, "causes_ps": {"products": picos}},
    })
}

#[test]
fn a_step_of_other_work_is_no_better_for_being_shorter() {
    let verdict = |a: &Value, b: &Value, name: &str| Comparison::of(a, b).unwrap().verdict_of(name);
    let all = working(4.0, 4000.0, 10.0);
    let words = verdict(&all, &working(2.0, 1000.0, 10.0), "C");
    assert!(
        words.starts_with(
            "C does not do the same work: 0.25 x the tokens a step. Its throughput is 50 % lower (1000 tokens/s -> 500 \
             tokens/s). C's step is 50 % shorter, 2 times as fast ("
        ),
        "{words}"
    );
    let words = verdict(&all, &working(2.5, 4000.0, 20.0), "B");
    assert!(
        words.starts_with(
            "B does not do the same work: 2 x the devices. Its throughput is 60 % higher (1000 tokens/s -> 1600 \
             tokens/s), a device's 20 % lower (100 tokens/s -> 80 tokens/s). B's step"
        ),
        "{words}"
    );
    let words = verdict(&all, &working(2.0, 4000.0, 10.0), "B");
    assert!(words.starts_with("B's step is 50 % shorter"), "{words}");
}

/// Sums are rounded to picoseconds, which are no cause of anything.
#[test]
fn a_picosecond_is_not_named_among_the_causes() {
    let run = |experts: u64, products: u64| {
        json!({
            "schema": "result/1", "scenario": "one", "seed": experts, "metrics": {},
            "waterfall": {"step_ps": experts + products, "causes_ps": {"products": products, "experts": experts}},
        })
    };
    let compared = Comparison::of(&run(1_000_000_000, 500), &run(2_000_000_000, 501)).unwrap();
    assert!(!compared.verdict().contains("1 ps"), "{}", compared.verdict());
    assert_eq!(compared.bars().len(), 2, "the bars add up all the same");
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
