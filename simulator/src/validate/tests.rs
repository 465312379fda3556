//! Tests of comparison, import and the shipped platforms.

use super::*;

#[test]
fn the_shipped_platforms_are_read() {
    let set = shipped_platforms();
    assert_eq!(set.schema, PlatformSet::SCHEMA);
    assert!(set.nearest("h100|ib|mpi").is_some_and(|(_, exact)| exact));
    assert!(set.nearest("tpu|ib|mpi").is_none());
}

#[test]
fn errors_are_summed_up() {
    let rows: Vec<Row> = [0.9, 1.0, 1.2]
        .into_iter()
        .map(|predicted| Row {
            id: String::new(),
            facts: Vec::new(),
            groups: Vec::new(),
            result: Ok(Compared {
                measured: 1.0,
                predicted,
                low: predicted * 0.9,
                high: predicted * 1.1,
                evidence: "interpolated",
            }),
        })
        .collect();
    let summary = summary(rows.iter());
    assert!((summary.mape - 0.1).abs() < 1e-12, "{summary:?}");
    assert!((summary.median - 0.1).abs() < 1e-12, "{summary:?}");
    assert!((summary.bias - 0.1 / 3.0).abs() < 1e-12, "{summary:?}");
}

const TEXT: &str = "\
# nThread 1 nGpus 1 minBytes 8 maxBytes 16\n\
# Collective test starting: all_reduce_perf\n\
#  Rank  0 Group  0 Pid    7 on     node1 device  0 [0x1b] NVIDIA H100 80GB HBM3\n\
#  Rank  1 Group  0 Pid    8 on     node2 device  0 [0x1b] NVIDIA H100 80GB HBM3\n\
#       size         count      type   redop    root     time   algbw   busbw #wrong     time   algbw   busbw #wrong\n\
     1048576        262144     float     sum      -1    71.93   14.58   27.33      0    71.47   14.67   27.51      0\n";

#[test]
fn the_text_of_nccl_tests_is_a_sweep() {
    let table = import::nccl_tests(TEXT, "x").expect("it is the output of nccl-tests");
    let sweeps = sweep::sweeps(&table, "x").expect("it is a sweep");
    assert_eq!(sweeps[0].place.name, "h100|ib|mpi");
    let point = sweeps[0].points[0];
    assert_eq!(
        (point.call.bytes.get(), point.call.ranks.to_string()),
        (1 << 20, "2".to_owned())
    );
    assert!((point.seconds - 71.47e-6).abs() < 1e-12, "{point:?}");
}

#[test]
fn the_json_of_nccl_tests_is_a_sweep() {
    let text = r#"{"version":2,"args":["./build/all_gather_perf","-J","x"],"config":{"devices":[
        {"rank":0,"hostname":"a","device_info":"NVIDIA B200"},{"rank":1,"hostname":"a","device_info":"NVIDIA B200"}]},
        "results":[{"size":1024,"out_of_place":{"time":9.5},"in_place":{"time":9.25}}]}"#;
    let table = import::nccl_tests(text, "x").expect("it is the report of nccl-tests");
    let sweeps = sweep::sweeps(&table, "x").expect("it is a sweep");
    let point = sweeps[0].points[0];
    assert_eq!(point.call.op.name(), "all_gather");
    assert!((point.seconds - 9.25e-6).abs() < 1e-12, "{point:?}");
}
