//! Comma-separated tables: metrics, links, pairs.

use orrery_timeline::find_metric;

use crate::{Judged, Network};

/// `scenario,seed,metric,value,low,high,unit`, one line per metric and statistic of every report.
#[must_use]
pub fn csv<'a>(reports: impl IntoIterator<Item = impl Into<Judged<'a>>>) -> String {
    let mut writer = ::csv::Writer::from_writer(Vec::new());
    let header = ["scenario", "seed", "metric", "value", "low", "high", "unit"];
    put(&mut writer, header.map(str::to_owned));
    for report in reports {
        let report: Judged<'_> = report.into();
        let who = report.identity;
        for (key, value) in report.metrics.values() {
            let (low, high) = match report.metrics.interval(key) {
                Some((low, high)) => (low.to_string(), high.to_string()),
                None => (String::new(), String::new()),
            };
            let row = [
                who.scenario.clone(),
                if who.is_recorded() {
                    String::new()
                } else {
                    who.seed.to_string()
                },
                key.clone(),
                value.to_string(),
                low,
                high,
                unit_of(key).to_owned(),
            ];
            put(&mut writer, row);
        }
    }
    text(writer)
}

/// Every link: `link,kind,capacity_bytes_per_s,bytes,busy_s,utilization,peak_utilization`, the busiest first.
#[must_use]
pub fn links_csv(network: &Network) -> String {
    let mut writer = ::csv::Writer::from_writer(Vec::new());
    let header = [
        "link",
        "kind",
        "capacity_bytes_per_s",
        "bytes",
        "busy_s",
        "utilization",
        "peak_utilization",
    ];
    put(&mut writer, header.map(str::to_owned));
    for link in network.links() {
        let row = [
            link.name.clone(),
            link.kind.to_owned(),
            link.capacity.get().to_string(),
            link.bytes.get().to_string(),
            link.busy.as_secs().to_string(),
            network.utilization(link).to_string(),
            network.peak(link).to_string(),
        ];
        put(&mut writer, row);
    }
    text(writer)
}

/// Every pair of ranks between which bytes moved: `from,to,bytes`, the most first.
#[must_use]
pub fn traffic_csv(network: &Network) -> String {
    let mut writer = ::csv::Writer::from_writer(Vec::new());
    put(&mut writer, ["from", "to", "bytes"].map(str::to_owned));
    for pair in network.pairs() {
        put(
            &mut writer,
            [
                pair.from.to_string(),
                pair.to.to_string(),
                pair.bytes.get().to_string(),
            ],
        );
    }
    text(writer)
}

fn put<const N: usize>(writer: &mut ::csv::Writer<Vec<u8>>, row: [String; N]) {
    writer.write_record(row).expect("writing to memory cannot fail");
}

fn text(writer: ::csv::Writer<Vec<u8>>) -> String {
    let bytes = writer.into_inner().expect("writing to memory cannot fail");
    String::from_utf8(bytes).expect("the fields are text")
}

fn unit_of(key: &str) -> &'static str {
    let path = key.rsplit_once('.').map_or(key, |(path, _)| path);
    let name = path.split('{').next().unwrap_or(path);
    find_metric(name).map_or("", |metric| metric.unit)
}
