//! `result/1`: one object per run, base SI units, shortest floats, the same bytes every time.

use orrery_units::{Bytes, Evidence};
use serde_json::{Map, Value, json};

use crate::{Assumption, Check, Metrics, Network, Report, StagePeak, State};

/// Links and pairs that are listed; tables of all are files of their own.
const LISTED: usize = 20;
/// Most cells along the side of the table of traffic.
const MOST_CELLS: u32 = 64;

/// The report as a `result/1` object.
#[must_use]
pub fn json(report: &Report) -> Value {
    let who = &report.facts.identity;
    let mut object = Map::new();
    let mut put = |key: &str, value: Value| object.insert(key.to_owned(), value);
    put("schema", json!("result/1"));
    put("scenario", json!(who.scenario));
    put("title", json!(who.title));
    put("origin", json!(who.origin.name()));
    put("file", json!(who.file));
    put("hash", json!(who.hash));
    let settings = who
        .settings
        .iter()
        .map(|(key, value)| (key.clone(), json!(value)));
    put("settings", Value::Object(settings.collect()));
    put("seed", json!((!who.is_recorded()).then_some(who.seed)));
    put("version", json!(who.version));
    put("profile", json!(who.profile));
    put("profile_sources", json!(who.profile_sources));
    put("model", json!(who.model));
    put("cluster", json!(who.cluster));
    put("layout", json!(who.layout));
    put("device", device(report));
    if let Some(price) = &report.facts.price {
        put("currency", json!(price.currency));
    }
    put("replications", json!(report.replications));
    put("steps", json!(report.steps));
    put("partial", json!(report.partial));
    put("verdict", json!(report.verdict));
    put("metrics", json!(report.metrics.values()));
    put("intervals", intervals(&report.metrics));
    put("checks", report.checks.iter().map(check).collect());
    put("provenance", provenance(report.provenance));
    put("breakdown", breakdown(report));
    put("waterfall", super::waterfall_json(&report.waterfall));
    put(
        "why",
        report
            .why
            .as_ref()
            .map_or(Value::Null, |why| super::why_json(why, &report.facts)),
    );
    put("memory", memory(report));
    put("ranks", ranks(report));
    put("network", report.network().map_or(Value::Null, network));
    put("assumptions", assumptions(&report.facts.assumptions));
    Value::Object(object)
}

/// The report as indented text with a closing newline.
#[must_use]
pub fn json_text(report: &Report) -> String {
    let mut text = serde_json::to_string_pretty(&json(report)).expect("a report has string keys only");
    text.push('\n');
    text
}

/// Headline figures in the custom format of github-action-benchmark: name, unit, value.
#[must_use]
pub fn benchmark(report: &Report) -> Value {
    super::headlines(report)
        .iter()
        .filter_map(|headline| {
            let name = headline.key.split('{').next()?;
            let metric = orrery_timeline::find_metric(name)
                .or_else(|| orrery_timeline::find_metric(name.rsplit_once('.')?.0))?;
            let value = report.metrics.get(headline.key)?;
            Some(json!({"name": headline.key, "unit": metric.unit, "value": value}))
        })
        .collect()
}

pub(super) fn intervals(metrics: &Metrics) -> Value {
    let pairs = metrics.intervals().iter();
    Value::Object(
        pairs
            .map(|(key, &(low, high))| (key.clone(), json!([low, high])))
            .collect(),
    )
}

pub(super) fn check(check: &Check) -> Value {
    json!({
        "id": check.id,
        "pass": !check.failed(),
        "verdict": check.verdict.name(),
        "level": check.level.name(),
        "check": check.text,
        "why": check.why,
        "value": check.value,
        "bound": bound(check),
        "unit": check.unit,
        "at": format!("{}:{}", check.file, check.line),
    })
}

/// One number, or the least and the most.
fn bound(check: &Check) -> Value {
    match check.bounds {
        (Some(low), Some(high)) => json!([low, high]),
        (low, high) => json!(low.or(high)),
    }
}

pub(super) fn provenance(shares: Option<[f64; 4]>) -> Value {
    let Some(shares) = shares else {
        return json!({});
    };
    let pairs = Evidence::ALL.into_iter().zip(shares);
    Value::Object(
        pairs
            .map(|(evidence, share)| (evidence.name().to_owned(), json!(share)))
            .collect(),
    )
}

fn breakdown(report: &Report) -> Value {
    let states = State::ALL.into_iter();
    Value::Object(
        states
            .map(|state| {
                let value = json!({
                    "seconds": report.breakdown.seconds(state),
                    "share": report.breakdown.share(state),
                });
                (state.name().to_owned(), value)
            })
            .collect(),
    )
}

/// What a rank runs on; nothing is said of what a recording does not know.
fn device(report: &Report) -> Value {
    let device = &report.facts.device;
    let recorded = report.facts.identity.is_recorded();
    let known = |value: f64| (!recorded && value > 0.0).then_some(value);
    json!({
        "name": device.name,
        "count": device.count,
        "peak_flops": known(device.peak.get()),
        "power_limit_w": known(device.power_limit.0),
    })
}

fn memory(report: &Report) -> Value {
    json!({
        "capacity": report.memory.capacity.get(),
        "fits": report.memory.fits(),
        "peak": report.memory.peak().map(|peak| stage(report, peak)),
        "stages": report.memory.stages.iter().map(|peak| stage(report, peak)).collect::<Value>(),
    })
}

fn stage(report: &Report, peak: &StagePeak) -> Value {
    let causes: Map<String, Value> = report
        .memory
        .causes
        .iter()
        .zip(&peak.by_cause)
        .map(|(cause, bytes)| (cause.clone(), json!(bytes.get())))
        .collect();
    json!({
        "stage": peak.stage,
        "rank": peak.rank,
        "bytes": peak.bytes.get(),
        "at": peak.at.as_secs(),
        "step": peak.step,
        "by_cause": causes,
    })
}

fn ranks(report: &Report) -> Value {
    let worst = report.ranks.worst();
    let blamed: Value = report
        .ranks
        .blamed(10)
        .iter()
        .map(|rank| json!({"rank": rank.name, "stage": rank.stage, "seconds": rank.caused_wait}))
        .collect();
    json!({
        "worst": worst.map(|rank| json!({
            "rank": rank.name, "stage": rank.stage, "compute": rank.compute,
        })),
        "wait_caused": report.ranks.caused_wait(),
        "blamed": blamed,
        "waited_for": report.ranks.waited_for().map(|waited| waited.json()),
    })
}

/// The first replication's: kinds of links, the busiest over time, and who sent to whom.
fn network(network: &Network) -> Value {
    let kinds = network.kinds().into_iter().map(|kind| {
        json!({
            "kind": kind.kind, "links": kind.count, "bytes": kind.bytes.get(),
            "utilization": {"mean": kind.mean, "max": kind.most, "peak": kind.peak},
        })
    });
    let busiest = network.links().iter().take(LISTED).map(|link| {
        json!({
            "link": link.name, "kind": link.kind, "capacity": link.capacity.get(), "bytes": link.bytes.get(),
            "busy": link.busy.as_secs(), "utilization": network.utilization(link), "peak": network.peak(link),
            "over_time": network.utilizations(link).collect::<Value>(),
        })
    });
    let pairs = network.pairs().iter().take(LISTED);
    let traffic = network.traffic(MOST_CELLS);
    let row = |row: &Vec<Bytes>| row.iter().map(|bytes| bytes.get()).collect::<Value>();
    json!({
        "span": network.span().as_secs(),
        "intervals": network.intervals().iter().map(|length| length.as_secs()).collect::<Value>(),
        "kinds": kinds.collect::<Value>(),
        "busiest": busiest.collect::<Value>(),
        "traffic": {
            "devices_per_cell": traffic.devices_per_cell,
            "bytes": traffic.bytes.iter().map(row).collect::<Value>(),
        },
        "pairs": pairs
            .map(|pair| json!({"from": pair.from, "to": pair.to, "bytes": pair.bytes.get()}))
            .collect::<Value>(),
    })
}

pub(super) fn assumptions(all: &[Assumption]) -> Value {
    let assumptions = all.iter();
    assumptions
        .map(|a| json!({"key": a.key, "value": a.value, "reason": a.reason}))
        .collect()
}
