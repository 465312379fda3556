//! Comma-separated metrics: one line per key.

use orrery_timeline::find_metric;

use crate::Report;

/// `scenario,seed,metric,value,low,high,unit`, one line per metric and statistic of every report.
#[must_use]
pub fn csv(reports: &[&Report]) -> String {
    let mut writer = ::csv::Writer::from_writer(Vec::new());
    writer
        .write_record(["scenario", "seed", "metric", "value", "low", "high", "unit"])
        .expect("writing to memory cannot fail");
    for report in reports {
        let who = &report.facts.identity;
        for (key, value) in report.metrics.values() {
            let (low, high) = match report.metrics.interval(key) {
                Some((low, high)) => (low.to_string(), high.to_string()),
                None => (String::new(), String::new()),
            };
            let row = [
                who.scenario.clone(),
                who.seed.to_string(),
                key.clone(),
                value.to_string(),
                low,
                high,
                unit_of(key).to_owned(),
            ];
            writer.write_record(row).expect("writing to memory cannot fail");
        }
    }
    let bytes = writer.into_inner().expect("writing to memory cannot fail");
    String::from_utf8(bytes).expect("the fields are text")
}

fn unit_of(key: &str) -> &'static str {
    let path = key.rsplit_once('.').map_or(key, |(path, _)| path);
    let name = path.split('{').next().unwrap_or(path);
    find_metric(name).map_or("", |metric| metric.unit)
}
