//! Tests of comparison, import and the shipped platforms.

use super::*;

#[test]
fn the_shipped_platforms_are_read() {
    let set = shipped_platforms();
    assert_eq!(set.schema, PlatformSet::SCHEMA);
    assert!(set.nearest("h100|ib|mpi", None).is_some_and(|(_, exact)| exact));
    assert!(set.nearest("tpu|ib|mpi", None).is_none());
}

/// A device without a platform of its own is predicted by a platform that stands in for it, and never passes for measured.
#[test]
fn a_device_without_sweeps_is_not_exact() {
    let set = shipped_platforms();
    for (name, like) in [
        ("RTX-4090", Some("l40s")),
        ("H100-PCIe-80GB", Some("h100")),
        ("H800-SXM5-80GB", Some("h100")),
        ("MI300X-192GB", None),
    ] {
        let device = Device::find(name).expect("it is in the catalogue");
        let own = format!("{}|ib|mpi", device.family);
        assert!(set.nearest(&own, None).is_none(), "{name}");
        assert_eq!(device.like.as_deref(), like, "{name}");
    }
}

const TABLE: &str = "# collective: all_reduce\n# gpu: TPU v5\n# nodes: 1\n# ranks: 8\nsize_bytes,ip_time_us\n\
                     1024,9.5\n2048,9.6\n";

/// Rows of a device that is not known are listed with that reason.
#[test]
fn rows_of_an_unknown_device_are_listed() {
    let table = table::parse(TABLE).expect("it is a table");
    let found = sweep::sweeps(&table, "x").expect("it is a sweep");
    assert!(found.sweeps.is_empty());
    assert_eq!(found.lost.len(), 2);
    assert_eq!(found.lost[0].0, "x/1024");
    assert!(found.lost[0].1.starts_with("gpu: `TPU v5`"), "{:?}", found.lost);
}

/// All-gathers of 8 H100 with 20 us and 380 GB/s, and the same machine in 1.6 times the time.
fn two_sweeps() -> Vec<sweep::Sweep> {
    let text = |scale: f64| {
        let time = |power: i32| scale * (20.0 + f64::from(power).exp2() / 380e3);
        let rows: Vec<String> = (10..30)
            .map(|power| format!("{},{}", 1_u64 << power, time(power)))
            .collect();
        format!(
            "# collective: all_gather\n# gpu: H100 SXM5\n# nodes: 1\n# ranks: 8\nsize_bytes,ip_time_us\n{}\n",
            rows.join("\n")
        )
    };
    let read = |scale: f64, name: &str| {
        let table = table::parse(&text(scale)).expect("it is a table");
        sweep::sweeps(&table, name).expect("it is a sweep").sweeps
    };
    [read(1.6, "slow"), read(1.0, "fast")].concat()
}

/// The interval of a sweep that was left out rests on the errors of others that were left out, not on those of the
/// fit that saw it; and the label says so.
#[test]
fn a_sweep_left_out_has_the_spread_and_the_label_of_one() {
    let sweeps = two_sweeps();
    let options = |leave_out| Options {
        leave_out,
        refit: true,
        ..Options::default()
    };
    let platforms = fitting::platforms(&sweeps, &mut |_| true);
    let row = |leave_out| -> Compared {
        let rows = compare::rows(&sweeps, &platforms, options(leave_out), &mut |_| true);
        let large = rows
            .iter()
            .find(|row| row.id == "slow/268435456")
            .expect("it is a row");
        large.result.clone().expect("it is compared")
    };
    let (seen, unseen, anchored) = (row(None), row(Some(0)), row(Some(3)));
    assert_eq!(
        [seen.evidence, unseen.evidence, anchored.evidence],
        ["interpolated", "extrapolated", "interpolated"]
    );
    // The other sweep was missed by about a factor of 1.6 when it was left out.
    let width = unseen.high / unseen.predicted;
    assert!((1.4..2.0).contains(&width), "{unseen:?}");
    let platform = &platforms.platforms[0];
    assert!(
        width > (1.28 * platform.spread_large).exp(),
        "{unseen:?} {platform:?}"
    );
}

#[test]
fn an_empty_folder_is_refused_with_help() {
    let folder = std::env::temp_dir().join(format!("orrery-empty-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a temporary folder can be made");
    let fault = validate(std::slice::from_ref(&folder), Options::default(), &mut |_, _| {
        true
    });
    std::fs::remove_dir(&folder).expect("it is empty");
    assert!(fault.is_err_and(|text| text.contains("help")), "no help");
}

#[test]
fn anchors_and_skipped_rows_are_told_apart() {
    let row = |result| Row {
        id: String::new(),
        facts: Vec::new(),
        groups: Vec::new(),
        result,
    };
    let outcome = Outcome {
        rows: vec![row(Err(ANCHOR.to_owned())), row(Err("time_us".to_owned()))],
        ..Outcome::default()
    };
    let text = human(&outcome);
    assert!(text.contains("1 rows anchored their sweep"), "{text}");
    assert!(text.contains("1 rows skipped: time_us"), "{text}");
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

/// 200 GB/s measured and 160 predicted, at different sizes.
#[test]
fn the_peak_of_a_sweep_is_its_largest_bandwidth() {
    let row = |bytes: &str, measured: f64, predicted: f64| Row {
        id: format!("x/{bytes}"),
        facts: vec![("bytes", bytes.to_owned())],
        groups: Vec::new(),
        result: Ok(Compared {
            measured,
            predicted,
            low: predicted,
            high: predicted,
            evidence: "interpolated",
        }),
    };
    let rows = [row("1000000", 10e-6, 8e-6), row("4000000", 20e-6, 25e-6)];
    let found = peaks(rows.iter());
    assert_eq!(found.n, 1);
    assert!((found.mape - 0.25).abs() < 1e-9, "{found:?}");
    assert_eq!(peaks([row("", 1.0, 1.0)].iter()).n, 0);
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
    assert_eq!(sweeps.sweeps[0].place.name, "h100|ib|mpi");
    let point = sweeps.sweeps[0].points[0];
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
    let point = sweeps.sweeps[0].points[0];
    assert_eq!(point.call.op.name(), "all_gather");
    assert!((point.seconds - 9.25e-6).abs() < 1e-12, "{point:?}");
}

#[test]
fn a_comparison_that_is_told_to_stop_leaves_the_rest_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a.csv", "b.csv", "c.csv"] {
        std::fs::write(folder.path().join(name), "nonsense\n").unwrap();
    }
    let mut asked = 0;
    let outcome = validate(&[folder.path().to_owned()], Options::default(), &mut |_, _| {
        asked += 1;
        asked < 2
    });
    assert_eq!(outcome.err().as_deref(), Some(STOPPED));
    assert_eq!(asked, 2, "it is not asked again");
}
