//! Equality with the reference on tests/truth/eplb.json.gz: outputs of DeepSeek's own file (its source line stands
//! in the file's `meta`).

use std::io::Read as _;

use orrery_units::{Seed, SimDuration};
use serde::Deserialize;
use serde_json::Value;

use super::*;

#[derive(Deserialize)]
struct Truth {
    cases: Vec<Value>,
    error_cases: Vec<Value>,
}

fn truth() -> Truth {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../tests/truth/eplb.json.gz");
    let mut text = String::new();
    let file = std::fs::File::open(path).unwrap();
    flate2::read::GzDecoder::new(file)
        .read_to_string(&mut text)
        .unwrap();
    serde_json::from_str(&text).unwrap()
}

fn field<T: for<'a> Deserialize<'a>>(case: &Value, name: &str) -> T {
    T::deserialize(&case[name]).unwrap()
}

fn question(case: &Value, weights: Vec<Vec<f64>>) -> BalanceCase {
    BalanceCase {
        weights,
        num_replicas: field(case, "num_replicas"),
        num_groups: field(case, "num_groups"),
        num_nodes: field(case, "num_nodes"),
        num_gpus: field(case, "num_gpus"),
    }
}

#[test]
fn every_case_equals_the_reference() {
    let cases = truth().cases;
    assert_eq!(cases.len(), 30);
    for case in cases {
        let name: String = field(&case, "name");
        let question = question(&case, field(&case, "weights"));
        let layers = question.place(Algorithm::EplbHierarchical).unwrap();
        let busiest = |(layer, weights): (&LayerPlacement, &Vec<f64>)| {
            layer.device_loads(weights).into_iter().fold(0.0, f64::max)
        };
        let loads: Vec<f64> = layers.iter().zip(&question.weights).map(busiest).collect();
        let placement = Tables::of(&layers);
        // The file rounds to four decimals; the rest is double-precision noise of the sums.
        for (load, expected) in loads.iter().zip(field::<Vec<f64>>(&case, "gpu_load_max")) {
            assert!((load - expected).abs() <= 5.001e-5, "{name}: {load} {expected}");
        }
        assert_eq!(
            placement.phy2log,
            field::<Vec<Vec<usize>>>(&case, "phy2log"),
            "{name}"
        );
        assert_eq!(
            placement.log2phy,
            field::<Vec<Vec<Vec<i64>>>>(&case, "log2phy"),
            "{name}"
        );
        assert_eq!(
            placement.logcnt,
            field::<Vec<Vec<usize>>>(&case, "logcnt"),
            "{name}"
        );
    }
}

#[test]
fn every_error_case_is_an_error() {
    let cases = truth().error_cases;
    assert_eq!(cases.len(), 4);
    for case in cases {
        let weights = vec![vec![1.0; field(&case, "experts")]; field(&case, "layers")];
        let error = question(&case, weights)
            .place(Algorithm::EplbHierarchical)
            .unwrap_err();
        assert!(error.to_string().contains("= help:"), "{error}");
    }
}

#[test]
fn faults_name_the_remedy() {
    let case = |weights: Vec<Vec<f64>>, num_replicas| BalanceCase {
        weights,
        num_replicas,
        num_groups: 1,
        num_nodes: 1,
        num_gpus: 2,
    };
    let fault = |case: BalanceCase| case.place(Algorithm::EplbHierarchical).unwrap_err().to_string();
    assert_eq!(
        fault(case(vec![vec![1.0; 4]], 5)),
        "`num_replicas` = 5 is no multiple of `num_gpus` = 2\n  = help: set `num_replicas` to 4 or 6"
    );
    assert!(fault(case(vec![], 4)).contains("`weights` is 0"));
    assert!(fault(case(vec![vec![1.0; 4], vec![1.0; 3]], 4)).contains("layer 1"));
    assert!(fault(case(vec![vec![1.0, f64::NAN]], 4)).contains("expert 1"));
}

/// Loads of 58 layers of 64 experts, log-normal, and steps drawn around them.
fn loads(layer: u64) -> Vec<f64> {
    let draw = |expert: u64| (0.9 * Seed::new(3).at("load", &[layer, expert]).normal()).exp() * 1e3;
    (0..64).map(draw).collect()
}

fn setting(shape: Shape, now: Option<&LayerPlacement>) -> Setting<'_> {
    Setting {
        shape,
        now,
        key: Seed::new(1).at("placement", &[]),
    }
}

fn all() -> [Algorithm; 11] {
    let cost = ExpertCost {
        compute: SimDuration::from_secs(1e-6),
        exchange: SimDuration::from_secs(1e-6),
        broadcast: SimDuration::from_secs(1e-3),
    };
    Algorithm::all(cost, 1.1)
}

#[test]
fn every_balancer_stands_at_its_name() {
    assert_eq!(all().map(|algorithm| algorithm.name()), Algorithm::NAMES);
}

/// Every expert lies somewhere, no device exceeds its slots but for shadows, and loads add up.
#[test]
fn every_balancer_places_every_expert() {
    let shape = Shape::new(64, 72, 8, 2, 8).unwrap();
    for (algorithm, name) in all().into_iter().zip(Algorithm::NAMES) {
        assert_eq!(algorithm.name(), name);
        let loads = loads(0);
        let placement = algorithm.place(Observed::of_mean(&loads), setting(shape, None));
        let sum: f64 = placement.device_loads(&loads).iter().sum();
        assert!((sum / loads.iter().sum::<f64>() - 1.0).abs() < 1e-9, "{name}");
        assert!(placement.counts().iter().all(|&count| count > 0), "{name}");
        if !matches!(algorithm, Algorithm::Shadow(_)) {
            assert_eq!(placement.experts().len(), 72, "{name}");
        }
    }
}

/// Whatever looks at loads beats what does not, and the search never loses to where it began.
#[test]
fn balancers_balance_and_the_search_never_loses() {
    let shape = Shape::new(64, 72, 8, 2, 8).unwrap();
    for layer in 0..20 {
        let loads = loads(layer);
        let imbalance = |algorithm: Algorithm| {
            let placement = algorithm.place(Observed::of_mean(&loads), setting(shape, None));
            (placement.imbalance(&loads), placement.num_wasted())
        };
        let static_one = imbalance(Algorithm::Contiguous).0;
        for algorithm in [
            Algorithm::Greedy,
            Algorithm::EplbHierarchical,
            Algorithm::EplbGlobal,
            Algorithm::EplbVllm,
            Algorithm::FlashLb,
            Algorithm::Flex { threshold: 1.1 },
        ] {
            let found = imbalance(algorithm).0;
            assert!(found < static_one, "{} {found} {static_one}", algorithm.name());
        }
        let (swap, wasted) = imbalance(Algorithm::EplbSwap);
        assert!(swap <= imbalance(Algorithm::EplbGlobal).0, "layer {layer}");
        assert_eq!(
            wasted, 0,
            "no replica shares its device with another of its expert"
        );
    }
}

/// What stays on its device keeps its slot; nothing moves when the loads did not.
#[test]
fn vllm_keeps_slots() {
    let shape = Shape::new(64, 72, 8, 2, 8).unwrap();
    let (first, second) = (loads(0), loads(1));
    let old = Algorithm::EplbVllm.place(Observed::of_mean(&first), setting(shape, None));
    let same = Algorithm::EplbVllm.place(Observed::of_mean(&first), setting(shape, Some(&old)));
    assert_eq!(same.experts(), old.experts());
    let new = Algorithm::EplbVllm.place(Observed::of_mean(&second), setting(shape, Some(&old)));
    for device in 0..8 {
        for (slot, &expert) in old.on(device).iter().enumerate() {
            let stays = new.on(device).iter().filter(|&&other| other == expert).count();
            let had = old.on(device).iter().filter(|&&other| other == expert).count();
            assert!(
                stays == 0 || had > stays || new.on(device)[slot] == expert,
                "device {device} slot {slot}"
            );
        }
    }
    assert_eq!(new.num_moved(&new), 0);
    assert!(new.num_moved(&old) > 0, "other loads move experts");
}

/// 10, 2, 2, 2 tokens on four devices, a second a token and three a shadow: one shadow.
#[test]
fn shadows_are_made_while_they_pay() {
    let shape = Shape::new(4, 4, 1, 1, 4).unwrap();
    let cost = ExpertCost {
        compute: SimDuration::from_secs(0.5),
        exchange: SimDuration::from_secs(0.5),
        broadcast: SimDuration::from_secs(3.0),
    };
    let loads = [10.0, 2.0, 2.0, 2.0];
    let placement = Algorithm::Shadow(cost).place(Observed::of_mean(&loads), setting(shape, None));
    assert_eq!(placement.counts(), [4, 1, 1, 1]);
}

/// Two experts that rise together are parted, though their means alone would let them share a device.
#[test]
fn variance_parts_experts_that_rise_together() {
    let shape = Shape::new(4, 4, 1, 1, 2).unwrap();
    let samples = [vec![9.0, 9.0, 5.0, 5.0], vec![1.0, 1.0, 5.0, 5.0]];
    let mean = [5.0; 4];
    let observed = Observed {
        mean: &mean,
        samples: &samples,
    };
    let placement = Algorithm::FlashLb.place(observed, setting(shape, None));
    for device in placement.devices() {
        assert!(device.contains(&0) != device.contains(&1), "{device:?}");
    }
}

/// Expert 0 with 6 tokens on both devices, expert 1 with 2 on the first alone.
#[test]
fn tokens_are_shared_out_among_replicas() {
    let placement = LayerPlacement::of_devices(&[vec![0, 1], vec![0]], 2);
    let loads = [6.0, 2.0];
    let sources = Sources {
        devices_per_node: 1,
        shares: &[],
    };
    let of = |dispatch| shares(&placement, dispatch, &loads, sources);
    assert_eq!(of(Dispatch::RoundRobin), [0.5, 1.0, 0.5]);
    assert_eq!(of(Dispatch::Nearest), [0.5, 1.0, 0.5]);
    let linear = of(Dispatch::LinearProgram);
    assert!(
        (linear[0] - 1.0 / 3.0).abs() < 1e-9 && (linear[2] - 2.0 / 3.0).abs() < 1e-9,
        "{linear:?}"
    );
}

/// No split is better than the linear program's, which is never worse than equal shares.
#[test]
fn the_linear_program_never_loses_to_equal_shares() {
    let shape = Shape::new(64, 72, 8, 2, 8).unwrap();
    let sources = Sources {
        devices_per_node: 4,
        shares: &[],
    };
    for layer in 0..5 {
        let (planned, now) = (loads(layer), loads(layer + 100));
        let placement = Algorithm::EplbGlobal.place(Observed::of_mean(&planned), setting(shape, None));
        let busiest = |dispatch| {
            let shares = shares(&placement, dispatch, &now, sources);
            let mut held = vec![0.0; 8];
            for ((slot, device), share) in placement
                .experts()
                .iter()
                .zip(placement.device_of_slots())
                .zip(shares)
            {
                held[device] += now[*slot] * share;
            }
            held.into_iter().fold(0.0, f64::max)
        };
        let (equal, linear) = (busiest(Dispatch::RoundRobin), busiest(Dispatch::LinearProgram));
        let mean = now.iter().sum::<f64>() / 8.0;
        assert!(
            linear <= equal * (1.0 + 1e-9) && linear >= mean * (1.0 - 1e-9),
            "{linear} {equal} {mean}"
        );
    }
}

/// Every assignment of small problems tried.
#[test]
fn assignments_are_the_cheapest() {
    assert_eq!(assignment::least_cost(&[vec![4.0, 1.0], vec![2.0, 3.0]]), [1, 0]);
    for case in 0..50_u64 {
        let cost = |row: u64, column: u64| Seed::new(case).at("cost", &[row, column]).uniform();
        let costs: Vec<Vec<f64>> = (0..4)
            .map(|row| (0..4).map(|column| cost(row, column)).collect())
            .collect();
        let sum = |columns: &[usize]| columns.iter().zip(&costs).map(|(&at, row)| row[at]).sum::<f64>();
        let mut least = f64::INFINITY;
        for code in 0..256_usize {
            let columns = [code % 4, code / 4 % 4, code / 16 % 4, code / 64];
            let mut sorted = columns;
            sorted.sort_unstable();
            if sorted == [0, 1, 2, 3] {
                least = least.min(sum(&columns));
            }
        }
        assert!(
            (sum(&assignment::least_cost(&costs)) - least).abs() < 1e-12,
            "case {case}"
        );
    }
}

/// A node of four devices, one expert on the first and the third and another on all others: devices without a replica
/// take turns, whatever their numbers.
#[test]
fn the_nearest_replicas_share_those_that_have_none() {
    let placement = LayerPlacement::even(vec![0, 1, 0, 1], 2, 4);
    let sources = Sources {
        devices_per_node: 4,
        shares: &[],
    };
    let shares = shares(&placement, Dispatch::Nearest, &[1.0, 1.0], sources);
    assert_eq!(shares, [0.5; 4]);
    // Tokens that come from the first device alone go to its own replica, and to the first of the others.
    let ragged = Sources {
        devices_per_node: 4,
        shares: &[1.0, 0.0, 0.0, 0.0],
    };
    assert_eq!(
        super::shares(&placement, Dispatch::Nearest, &[1.0, 1.0], ragged),
        [1.0, 1.0, 0.0, 0.0]
    );
}
