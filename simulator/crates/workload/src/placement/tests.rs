//! Equality with the reference on tests/truth/eplb.json.gz: outputs of DeepSeek's own file (its source line stands
//! in the file's `meta`).

use std::io::Read as _;

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
        let placement = question.rebalance().unwrap();
        let loads = placement.max_load(&question.weights, question.num_gpus);
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
        let error = question(&case, weights).rebalance().unwrap_err();
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
    let fault = |case: BalanceCase| case.rebalance().unwrap_err().to_string();
    assert_eq!(
        fault(case(vec![vec![1.0; 4]], 5)),
        "`num_replicas` = 5 is no multiple of `num_gpus` = 2\n  = help: set `num_replicas` to 4 or 6"
    );
    assert!(fault(case(vec![], 4)).contains("`weights` is 0"));
    assert!(fault(case(vec![vec![1.0; 4], vec![1.0; 3]], 4)).contains("layer 1"));
    assert!(fault(case(vec![vec![1.0, f64::NAN]], 4)).contains("expert 1"));
}
