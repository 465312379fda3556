//! `/metrics` in both of its formats, and `/metrics/dcgm`.

use std::collections::BTreeSet;

use orrery_collector::{Daemon, HostnameLabel, SourceKind};

use crate::http::{get_with, metrics_until, settings};
use crate::openmetrics::check;

const PROMETHEUS: &str = "Accept: application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=\
                          0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1\r\n";

/// The rows of `text` without their values, which go on.
fn rows(text: &str) -> BTreeSet<&str> {
    let rows = text.lines().filter(|line| !line.starts_with('#'));
    rows.map(|row| row.rsplit_once(' ').map_or(row, |(name, _)| name))
        .collect()
}

#[test]
fn a_scraper_gets_the_format_that_it_asks_for() {
    let daemon = Daemon::start(&settings(vec![SourceKind::Demo])).unwrap();
    metrics_until(daemon.address(), "readings", |text| text.contains("orrery_gpu_"));
    let (head, open) = get_with(daemon.address(), "/metrics", PROMETHEUS);
    assert!(
        head.contains("content-type: application/openmetrics-text; version=1.0.0; charset=utf-8"),
        "{head}"
    );
    assert!(head.contains("vary: accept"), "{head}");
    check(&open).unwrap();
    for accept in ["", "Accept: */*\r\n", "Accept: text/plain;version=0.0.4\r\n"] {
        let (head, plain) = get_with(daemon.address(), "/metrics", accept);
        assert!(
            head.contains("content-type: text/plain; version=0.0.4; charset=utf-8"),
            "{head}"
        );
        assert_eq!(rows(&plain), rows(&open), "the same rows in both");
        assert!(!plain.contains("# UNIT") && !plain.contains("# EOF"), "{plain}");
        let counter = "# TYPE orrery_gpu_energy_joules_total counter\norrery_gpu_energy_joules_total{";
        assert!(plain.contains(counter), "{plain}");
        assert!(
            plain.contains("# TYPE orrery_build_info gauge\norrery_build_info{"),
            "{plain}"
        );
    }
}

#[test]
fn dcgm_has_a_page_of_its_own() {
    let mut settings = settings(vec![SourceKind::Demo]);
    settings.serving.dcgm_hostname = HostnameLabel::Lower;
    let daemon = Daemon::start(&settings).unwrap();
    metrics_until(daemon.address(), "readings", |text| text.contains("orrery_gpu_"));
    // It is no OpenMetrics, whoever asks.
    let (head, text) = get_with(daemon.address(), "/metrics/dcgm", PROMETHEUS);
    assert!(
        head.contains("content-type: text/plain; version=0.0.4; charset=utf-8"),
        "{head}"
    );
    let row = text
        .lines()
        .find(|line| line.starts_with("DCGM_FI_DEV_SM_CLOCK{gpu=\"5\",UUID=\"DEMO-2-5\""))
        .unwrap();
    let labels = ",pci_bus_id=\"\",device=\"nvidia5\",modelName=\"DEMO device\",hostname=\"demo-node-2\",demo=\"true\"} ";
    assert!(row.contains(labels), "{row}");
    let clocks = text
        .lines()
        .filter(|line| line.starts_with("DCGM_FI_DEV_SM_CLOCK{"));
    assert_eq!(clocks.count(), 32);
    // One device lacks a reading of its tensor pipes: no row, and no zero.
    let tensor = text
        .lines()
        .filter(|line| line.starts_with("DCGM_FI_PROF_PIPE_TENSOR_ACTIVE{"));
    assert_eq!(tensor.count(), 31);
}
