//! The history of a device, as its collector kept it: asked for over HTTP on a thread, read from `history/1`.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use orrery_units::with_si_prefix;
use serde_json::Value;

use super::job::{Event, Out, guarded, send};
use super::{Access, DeviceId, Wake, feed};

/// How long an answer may take: a day of a large node is read from disk.
const PATIENCE: Duration = Duration::from_secs(30);
/// The longest answer that is taken, in bytes.
const LONGEST: u64 = 64 << 20;
/// What all metrics of devices begin with.
const PREFIX: &str = "orrery_gpu_";
/// Ends of names that say the unit, the longest first, and the unit as people write it.
const UNITS: [(&str, &str); 8] = [
    ("_bytes_per_second", "B/s"),
    ("_celsius", "°C"),
    ("_seconds", "s"),
    ("_joules", "J"),
    ("_watts", "W"),
    ("_hertz", "Hz"),
    ("_bytes", "B"),
    ("_ratio", "%"),
];

/// How far back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reach {
    /// The last hour.
    #[default]
    Hour,
    /// The last day.
    Day,
}

impl Reach {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Hour, Self::Day];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hour => "last hour",
            Self::Day => "last day",
        }
    }

    /// As the collector is asked for it.
    const fn from(self) -> &'static str {
        match self {
            Self::Hour => "-1h",
            Self::Day => "-24h",
        }
    }
}

/// What is asked of the history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The device.
    pub device: DeviceId,
    /// The metric, as `/v1/series` calls it.
    pub metric: String,
    /// How far back.
    pub reach: Reach,
}

/// What is known of what was asked.
#[derive(Clone, Debug)]
pub struct Past {
    /// The question.
    pub asked: Asked,
    /// Tells the question from those before.
    pub(crate) number: u64,
    /// Metrics that the collector keeps of the device; empty until it said so.
    pub metrics: Arc<Vec<String>>,
    /// The answer, or why there is none; nothing while it is waited for.
    pub answer: Option<Result<Arc<Course>, String>>,
}

/// How a metric went.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Course {
    /// From when to when, in seconds since the Unix epoch.
    pub range: (f64, f64),
    /// Time between two points, in seconds; 0 where every value is there.
    pub step: f64,
    /// One line for each set of labels of the metric's own, such as those of a link.
    pub lines: Vec<CourseLine>,
}

/// A line of a course.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CourseLine {
    /// What tells it from the others; empty if it is alone.
    pub name: String,
    /// Instant in seconds since the Unix epoch, then the least, the mean and the largest value until the next.
    pub points: Vec<[f64; 4]>,
}

/// What a thread says of a question.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) number: u64,
    pub(crate) metrics: Vec<String>,
    pub(crate) answer: Result<Arc<Course>, String>,
}

impl Course {
    /// Whether no value was kept in the time.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lines.iter().all(|line| line.points.is_empty())
    }
}

/// What people call `metric`, and its unit.
pub(crate) fn in_words(metric: &str) -> (String, &'static str) {
    let name = metric.strip_prefix(PREFIX).unwrap_or(metric);
    let unit = UNITS.iter().find(|(end, _)| name.ends_with(end));
    let (end, unit) = unit.copied().unwrap_or(("", ""));
    let name = name.strip_suffix(end).unwrap_or(name);
    (name.replace('_', " "), unit)
}

/// `value` in `unit` for people.
pub(crate) fn shown(value: f64, unit: &str) -> String {
    match unit {
        "%" => format!("{:.0} %", value * 100.0),
        "°C" => format!("{value:.0} °C"),
        "" => orrery_units::significant(value, 4),
        unit => with_si_prefix(value, unit),
    }
}

/// Asks the collector at `url` what `asked` says, as question `number`, on a thread of its own.
pub(crate) fn ask(url: String, asked: Asked, number: u64, access: Access, (out, wake): (Out, Wake)) {
    thread::spawn(move || {
        let mut metrics = Vec::new();
        let answer = guarded(|| {
            let uuid = asked.device.uuid.as_str();
            let series = json(&access, &format!("{url}/v1/series"), &[])?;
            metrics = metrics_of(&series, uuid);
            if !metrics.contains(&asked.metric) {
                let (name, _) = in_words(&asked.metric);
                return Err(format!("the collector keeps no {name} of this device"));
            }
            let question = [
                ("metric", asked.metric.as_str()),
                ("uuid", uuid),
                ("from", asked.reach.from()),
            ];
            course(&json(&access, &format!("{url}/v1/history"), &question)?).map(Arc::new)
        });
        let answer = answer.unwrap_or_else(Err);
        let told = Told {
            number,
            metrics,
            answer,
        };
        send(&out, &wake, Event::Past(told));
    });
}

/// What the page at `url` answers to `question`.
///
/// # Errors
/// Why there is no answer, and what would help, for people.
fn json(access: &Access, url: &str, question: &[(&str, &str)]) -> Result<Value, String> {
    let agent = feed::agent(access, PATIENCE, false);
    let mut request = feed::request(&agent, url, access);
    for (name, value) in question {
        request = request.query(name, value);
    }
    let answer = request.call().map_err(|fault| feed::phrase(&fault))?;
    let status = answer.status();
    if matches!(status.as_u16(), 401 | 403) {
        return Err(feed::phrase(&ureq::Error::StatusCode(status.as_u16())));
    }
    let body = answer
        .into_body()
        .into_with_config()
        .limit(LONGEST)
        .read_to_string();
    let body = body.map_err(|fault| feed::phrase(&fault))?;
    let value: Option<Value> = serde_json::from_str(&body).ok();
    match (value, status.is_success()) {
        (Some(value), true) => Ok(value),
        (Some(value), false) => {
            let part = |name: &str| value[name].as_str().map(str::to_owned);
            let why = part("error").unwrap_or_else(|| format!("HTTP status {status}"));
            Err(match part("fix") {
                Some(fix) => format!("{why}: {fix}"),
                None => why,
            })
        }
        (None, _) => {
            Err("the collector has no page of its history; it may be of an older version".to_owned())
        }
    }
}

/// The metrics in the list `series` that the device `uuid` has and that have a course: what only grows has none.
fn metrics_of(series: &Value, uuid: &str) -> Vec<String> {
    let all = series["series"].as_array().into_iter().flatten();
    let mut metrics: Vec<String> = all
        .filter(|series| series["labels"]["uuid"] == uuid)
        .filter_map(|series| series["metric"].as_str())
        .filter(|metric| metric.starts_with(PREFIX))
        .filter(|metric| !metric.ends_with("_total") && !metric.ends_with("_timestamp_seconds"))
        .map(str::to_owned)
        .collect();
    metrics.sort_unstable();
    metrics.dedup();
    metrics
}

/// The course in an answer.
fn course(answer: &Value) -> Result<Course, String> {
    let number = |value: &Value| value.as_f64();
    let fault = || "the answer of the collector is no `history/1`".to_owned();
    if answer["schema"] != "history/1" {
        return Err(fault());
    }
    let (from, to) = number(&answer["from"])
        .zip(number(&answer["to"]))
        .ok_or_else(fault)?;
    let series = answer["series"].as_array().ok_or_else(fault)?;
    let point = |point: &Value| {
        let numbers: Option<Vec<f64>> = point.as_array()?.iter().map(number).collect();
        match *numbers?.as_slice() {
            [at, value] => Some([at, value, value, value]),
            [at, least, mean, most] => Some([at, least, mean, most]),
            _ => None,
        }
    };
    let lines = series.iter().map(|one| {
        let points = one["points"].as_array().into_iter().flatten();
        let points: Option<Vec<[f64; 4]>> = points.map(point).collect();
        Some(CourseLine {
            name: own_labels(&one["labels"]),
            points: points?,
        })
    });
    Ok(Course {
        range: (from, to),
        step: number(&answer["step"]).unwrap_or(0.0),
        lines: lines.collect::<Option<_>>().ok_or_else(fault)?,
    })
}

/// Labels that do not say which device it is, such as `link 3`.
fn own_labels(labels: &Value) -> String {
    const OF_DEVICES: [&str; 6] = ["node", "gpu", "uuid", "source", "demo", "replayed"];
    let labels = labels.as_object().into_iter().flatten();
    let own = labels.filter(|(name, _)| !OF_DEVICES.contains(&name.as_str()));
    let words: Vec<String> = own
        .map(|(name, value)| format!("{name} {}", value.as_str().unwrap_or_default()))
        .collect();
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn metrics_are_called_by_words_and_have_units() {
        let words = |metric| in_words(metric);
        assert_eq!(words("orrery_gpu_power_watts"), ("power".to_owned(), "W"));
        assert_eq!(
            words("orrery_gpu_tensor_active_ratio"),
            ("tensor active".to_owned(), "%")
        );
        assert_eq!(words("orrery_gpu_nvlink_receive_bytes_per_second").1, "B/s");
        assert_eq!(words("orrery_gpu_up"), ("up".to_owned(), ""));
        assert_eq!(shown(0.425, "%"), "42 %");
        assert_eq!(shown(1.75e9, "Hz"), "1.75 GHz");
    }

    #[test]
    fn values_and_buckets_of_an_answer_are_read_and_nonsense_is_said() {
        let answer = json!({
            "schema": "history/1", "metric": "m", "from": 10.0, "to": 70.0, "step": 10.0, "damaged_rows": 0,
            "series": [
                {"labels": {"node": "n", "gpu": "0", "uuid": "u", "link": "3"}, "points": [[10.0, 1.0, 2.0, 4.0], [20.0, 5.0]]},
            ],
        });
        let found = course(&answer).unwrap();
        assert_eq!((found.range, found.step), ((10.0, 70.0), 10.0));
        assert_eq!(found.lines[0].name, "link 3");
        assert_eq!(
            found.lines[0].points,
            [[10.0, 1.0, 2.0, 4.0], [20.0, 5.0, 5.0, 5.0]]
        );
        assert!(!found.is_empty());
        for nonsense in [
            json!({}),
            json!({"schema": "history/2"}),
            json!({"schema": "history/1", "from": 1, "to": 2}),
        ] {
            let fault = course(&nonsense).unwrap_err();
            assert!(fault.contains("history/1"), "{fault}");
        }
    }

    #[test]
    fn only_what_has_a_course_can_be_chosen() {
        let of = |metric: &str, uuid: &str| json!({"metric": metric, "labels": {"uuid": uuid}});
        let list = json!({"series": [
            of("orrery_gpu_power_watts", "a"), of("orrery_gpu_power_watts", "b"), of("orrery_gpu_energy_joules_total", "a"),
            of("orrery_gpu_state_since_timestamp_seconds", "a"), of("orrery_host_load", "a"),
        ]});
        assert_eq!(metrics_of(&list, "a"), ["orrery_gpu_power_watts"]);
        assert!(metrics_of(&list, "c").is_empty());
    }
}
