//! The OpenMetrics text of what is on the board, in one order, whatever came first.

mod accept;
mod dcgm;
mod exporter;
mod host;
#[cfg(feature = "otlp")]
mod otlp;
mod plain;
mod points;
mod store;
mod table;
mod verdict;

use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::sync::Arc;

use orrery_telemetry::{Absence, DeviceIdentity, DeviceSample, Origin, Sample, SourceStatus};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeLabelSet, LabelSetEncoder, MetricEncoder, NoLabelSet,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};

pub(crate) use self::accept::{Coding, Format};
pub use self::dcgm::HostnameLabel;
pub(crate) use self::exporter::{Exporter, Page};
#[cfg(feature = "otlp")]
pub(crate) use self::otlp::request as otlp_request;
pub(crate) use self::points::{Point, points};
use crate::{Board, Snapshot};

/// Names and values; most values are words of ours, which cost nothing.
pub(crate) type Labels = Vec<Label>;
/// The name and the value of a label.
pub(crate) type Label = (&'static str, Cow<'static, str>);

/// A value as it is printed.
#[derive(Clone, Copy, Debug)]
enum Number {
    /// Without a point.
    Whole(u64),
    Real(f64),
}

impl From<bool> for Number {
    fn from(holds: bool) -> Self {
        Self::Whole(u64::from(holds))
    }
}

impl Number {
    fn encode(self, metric: &mut MetricEncoder<'_>, kind: MetricType) -> fmt::Result {
        match (self, kind) {
            (Self::Whole(number), MetricType::Counter) => {
                metric.encode_counter::<NoLabelSet, _, f64>(&number, None)
            }
            (Self::Real(number), MetricType::Counter) => {
                metric.encode_counter::<NoLabelSet, _, f64>(&number, None)
            }
            (Self::Whole(number), _) => metric.encode_gauge(&number),
            (Self::Real(number), _) => metric.encode_gauge(&number),
        }
    }
}

/// The text of everything on `board`, which may take `bytes`.
fn render(board: &Arc<Board>, bytes: usize) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(BoardCollector(board.clone())));
    let mut text = String::with_capacity(bytes);
    encode(&mut text, &registry)?;
    Ok(text)
}

#[derive(Debug)]
struct BoardCollector(Arc<Board>);

impl Collector for BoardCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let Snapshot {
            statuses,
            samples,
            num_readers,
            store,
            verdict,
        } = self.0.snapshot();
        encode_self(&mut encoder, &statuses, num_readers)?;
        self::store::encode_store(&mut encoder, store.as_ref())?;
        encode_sources(&mut encoder, &samples)?;
        let absent = encode_readings(&mut encoder, &samples)?;
        host::encode(&mut encoder, &samples)?;
        encode_absent(&mut encoder, absent, &samples)?;
        verdict::encode(&mut encoder, &verdict)
    }
}

/// The collector about itself and how its sources do.
fn encode_self(
    encoder: &mut DescriptorEncoder<'_>,
    statuses: &[SourceStatus],
    num_readers: usize,
) -> fmt::Result {
    let up = [(Vec::new(), Number::from(true))];
    gauge(encoder, "orrery_up", None, "The collector answers", &up)?;
    let readers = [(Vec::new(), Number::Whole(num_readers as u64))];
    let help = "Readers of the live stream now";
    gauge(encoder, "orrery_stream_readers", None, help, &readers)?;
    let version = vec![("version", env!("CARGO_PKG_VERSION").into())];
    info(encoder, "orrery_build", "What was built", &[version])?;
    let sources = statuses.iter().map(|status| {
        let labels = vec![
            ("source", status.name.clone().into()),
            ("reason", status.reason.clone().into()),
        ];
        (labels, Number::from(status.is_up()))
    });
    let sources: Vec<(Labels, Number)> = sources.collect();
    let help = "The source gives samples, or the reason why not";
    gauge(encoder, "orrery_source_up", None, help, &sources)?;
    let of_source = |status: &SourceStatus, number| (vec![("source", status.name.clone().into())], number);
    let tries = statuses.iter().filter_map(|status| {
        let next_try = Number::Real(status.next_try?.as_secs());
        Some(of_source(status, next_try))
    });
    let tries: Vec<(Labels, Number)> = tries.collect();
    let name = "orrery_source_next_try_timestamp";
    let help = "When the source is opened again";
    gauge(encoder, name, Some("seconds"), help, &tries)?;
    let dropped = statuses.iter();
    let dropped = dropped.map(|status| of_source(status, Number::Whole(status.dropped)));
    let dropped: Vec<(Labels, Number)> = dropped.collect();
    let help = "Samples that nobody could receive";
    let what = ("orrery_source_dropped", None, help);
    family(encoder, what, MetricType::Counter, &dropped)
}

/// What is known of every source that gives samples, and of its devices, beside their readings.
fn encode_sources(encoder: &mut DescriptorEncoder<'_>, samples: &[Arc<Sample>]) -> fmt::Result {
    let collected: Vec<(Labels, Number)> = samples
        .iter()
        .map(|sample| (source_labels(sample), Number::Real(sample.taken.as_secs())))
        .collect();
    let name = "orrery_last_collect_timestamp";
    let help = "When the source was last read";
    gauge(encoder, name, Some("seconds"), help, &collected)?;
    let devices = rows(samples, |device| {
        let facts = &device.facts;
        let mut labels = vec![("model", device.identity.model.clone().into())];
        for (label, fact) in [
            ("driver", &facts.driver),
            ("vbios", &facts.vbios),
            ("serial", &facts.serial),
            ("arch", &facts.architecture),
            ("pci_bus_id", &facts.pci_bus_id),
        ] {
            labels.extend(fact.value().map(|fact| (label, fact.clone().into())));
        }
        vec![(labels, Number::from(true))]
    });
    let devices: Vec<Labels> = devices.into_iter().map(|(labels, _)| labels).collect();
    info(encoder, "orrery_gpu", "Which device it is", &devices)
}

/// A device, with the labels that tell which it is.
type Placed<'a> = (Place, &'a DeviceSample);

/// Labels that go before the own labels of many rows, escaped and put together once: what they cost otherwise is most of
/// a page. The library writes the name of a label as it comes, so that all of them go as one label, whose name is
/// everything up to the value of the last.
#[derive(Clone, Debug)]
struct Place {
    labels: Labels,
    before_last: String,
}

impl Place {
    fn new(labels: Labels) -> Self {
        let mut before_last = String::new();
        if let [most @ .., (last, _)] = labels.as_slice() {
            for (name, value) in most {
                let value = value
                    .replace('\\', "\\\\")
                    .replace('"', "\\\"")
                    .replace('\n', "\\n");
                before_last.extend([name, "=\"", &value, "\","]);
            }
            before_last.push_str(last);
        }
        Self { labels, before_last }
    }
}

/// One row of a device: where it is, and its own labels.
#[derive(Clone, Copy, Debug)]
struct RowLabels<'a> {
    place: &'a Place,
    own: &'a [Label],
}

impl EncodeLabelSet for RowLabels<'_> {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        if let Some((_, last)) = self.place.labels.last() {
            let mut label = encoder.encode_label();
            let mut name = label.encode_label_key()?;
            name.write_str(&self.place.before_last)?;
            let mut value = name.encode_label_value()?;
            value.write_str(last)?;
            value.finish()?;
        }
        self.own.encode(encoder)
    }
}

/// The readings of every device, with what was not read, which comes last. Most of a page is this: labels of a device
/// are written out once for all its rows, and its rows once for both.
fn encode_readings(
    encoder: &mut DescriptorEncoder<'_>,
    samples: &[Arc<Sample>],
) -> Result<Vec<(Labels, Number)>, fmt::Error> {
    let devices = samples
        .iter()
        .flat_map(|sample| sample.devices.iter().map(move |device| (sample, device)));
    let devices: Vec<Placed<'_>> = devices
        .map(|(sample, device)| (Place::new(place_labels(sample, &device.identity)), device))
        .collect();
    let mut absent = Vec::new();
    for metric in table::all() {
        let rows: Vec<(&Place, table::Rows)> = devices
            .iter()
            .map(|(place, device)| (place, (metric.rows)(device)))
            .collect();
        for (place, rows) in &rows {
            let reasons = rows.iter().map(|(own, number)| (own, number.absence()));
            let lacks = lacks(|| metric.full_name(), reasons).into_iter();
            absent.extend(lacks.map(|(own, number)| ([&place.labels, own.as_slice()].concat(), number)));
        }
        let numbers = rows.iter().flat_map(|(place, rows)| {
            rows.iter()
                .filter_map(move |(own, number)| Some((*place, own, *number.value()?)))
        });
        let mut numbers = numbers.peekable();
        if numbers.peek().is_none() {
            continue;
        }
        let unit = metric.unit.map(unit_of);
        let mut family = encoder.encode_descriptor(metric.name, metric.help, unit.as_ref(), metric.kind)?;
        for (place, own, number) in numbers {
            let labels = RowLabels { place, own };
            number.encode(&mut family.encode_family(&labels)?, metric.kind)?;
        }
    }
    Ok(absent)
}

/// What was not read, with the reason: an absent reading is never a number.
fn encode_absent(
    encoder: &mut DescriptorEncoder<'_>,
    mut absent: Vec<(Labels, Number)>,
    samples: &[Arc<Sample>],
) -> fmt::Result {
    absent.extend(host::absent(samples));
    let help = "0 with the reason where a metric is absent";
    gauge(encoder, "orrery_metric_supported", None, help, &absent)
}

/// What a metric lacks, from the labels and the reason of each of its rows: one row when all lack it for one reason.
/// What a source gives none of is no lack.
fn lacks<'a>(
    metric: impl Fn() -> String,
    rows: impl Iterator<Item = (&'a Labels, Option<&'a Absence>)> + Clone,
) -> Vec<(Labels, Number)> {
    let row = |part: Option<String>, reason: &Absence| {
        let mut labels: Labels = vec![("metric", metric().into()), ("reason", reason.to_string().into())];
        labels.extend(part.map(|part| ("part", part.into())));
        (labels, Number::from(false))
    };
    let mut rows = rows.map(|(own, reason)| (own, reason.filter(|reason| !reason.is_not_sent())));
    match rows.clone().next() {
        Some((_, Some(first))) if rows.all(|(_, reason)| reason == Some(first)) => vec![row(None, first)],
        _ => {
            let parts = rows.filter_map(|(own, reason)| Some((own, reason?)));
            parts
                .map(|(own, reason)| row(Some(part_of(own)), reason))
                .collect()
        }
    }
}

/// The name of a metric as it is printed: with its unit, and the end that a counter has.
fn full_name(name: &str, unit: Option<&str>, kind: MetricType) -> String {
    let unit = unit.map(|unit| format!("_{unit}")).unwrap_or_default();
    let end = if matches!(kind, MetricType::Counter) {
        "_total"
    } else {
        ""
    };
    format!("{name}{unit}{end}")
}

/// Which part of a metric a row is, in the words of its own labels.
fn part_of(own: &Labels) -> String {
    let words: Vec<&str> = own.iter().map(|(_, value)| value.as_ref()).collect();
    words.join("/")
}

/// The rows that `of` gives for each device, with the labels of the device before their own.
fn rows(
    samples: &[Arc<Sample>],
    of: impl Fn(&DeviceSample) -> Vec<(Labels, Number)>,
) -> Vec<(Labels, Number)> {
    let mut rows = Vec::new();
    for sample in samples {
        for device in &sample.devices {
            let place = place_labels(sample, &device.identity);
            let of_device = of(device).into_iter();
            rows.extend(of_device.map(|(more, number)| ([&place[..], &more].concat(), number)));
        }
    }
    rows
}

/// Which device a number is of.
fn place_labels(sample: &Sample, device: &DeviceIdentity) -> Labels {
    let mut labels = source_labels(sample);
    labels.push(("node", device.node.clone().into()));
    labels.push(("gpu", device.index.to_string().into()));
    labels.push(("uuid", device.uuid.clone().into()));
    labels
}

/// Where a number is from; a made-up one says so itself.
fn source_labels(sample: &Sample) -> Labels {
    let mut labels = vec![("source", sample.source.clone().into())];
    labels.extend(origin_label(sample.origin));
    labels
}

/// The label of what is not measured.
fn origin_label(origin: Origin) -> Option<Label> {
    (origin != Origin::Live).then_some((origin.name(), Cow::Borrowed("true")))
}

/// The unit `name`, spelled as it is: the crate's own `Ratios` would end the name in a plural.
fn unit_of(name: &str) -> Unit {
    Unit::Other(name.to_owned())
}

/// A gauge with its rows, as [`family`].
fn gauge(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    unit: Option<&str>,
    help: &str,
    rows: &[(Labels, Number)],
) -> fmt::Result {
    family(encoder, (name, unit, help), MetricType::Gauge, rows)
}

/// The rows of the metric that is called (name, unit, help); nothing at all when there are none. The unit becomes
/// the end of the name.
fn family(
    encoder: &mut DescriptorEncoder<'_>,
    (name, unit, help): (&str, Option<&str>, &str),
    kind: MetricType,
    rows: &[(Labels, Number)],
) -> fmt::Result {
    if rows.is_empty() {
        return Ok(());
    }
    let unit = unit.map(unit_of);
    let mut family = encoder.encode_descriptor(name, help, unit.as_ref(), kind)?;
    for (labels, number) in rows {
        if labels.is_empty() {
            number.encode(&mut family, kind)?;
        } else {
            number.encode(&mut family.encode_family(labels)?, kind)?;
        }
    }
    Ok(())
}

/// Facts that do not change, as labels; nothing at all when there are none.
fn info(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, rows: &[Labels]) -> fmt::Result {
    if rows.is_empty() {
        return Ok(());
    }
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Info)?;
    for labels in rows {
        family.encode_info(labels)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use prometheus_client::metrics::family::Family;
    use prometheus_client::metrics::gauge::Gauge;

    use super::*;

    /// One gauge with `labels`, as the library prints it.
    fn page<L: Clone + fmt::Debug + Eq + std::hash::Hash + EncodeLabelSet + Send + Sync + 'static>(
        labels: &L,
    ) -> String {
        let family = Family::<L, Gauge>::default();
        family.get_or_create(labels).set(1);
        let mut registry = Registry::default();
        registry.register("name", "Help", family);
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        text
    }

    #[derive(Clone, Debug)]
    struct Owned(Place, Labels);
    impl PartialEq for Owned {
        fn eq(&self, other: &Self) -> bool {
            self.1 == other.1
        }
    }
    impl Eq for Owned {}
    impl std::hash::Hash for Owned {
        fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
            self.1.hash(state);
        }
    }
    impl EncodeLabelSet for Owned {
        fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
            let (place, own) = (&self.0, self.1.as_slice());
            RowLabels { place, own }.encode(encoder)
        }
    }

    #[test]
    fn labels_put_together_once_are_those_that_the_library_writes_one_by_one() {
        let nasty = [
            "plain",
            "",
            "a \"quoted\" \\ one",
            "two\nlines\\n",
            "\\",
            "\"",
            "Grüße",
        ];
        for first in nasty {
            for last in nasty {
                let label = |name, value: &str| (name, Cow::Owned(value.to_owned()));
                let place = vec![label("source", first), label("node", last), label("uuid", first)];
                for own in [Vec::new(), vec![label("link", last), label("kind", first)]] {
                    let all = [place.as_slice(), &own].concat();
                    for num in 0..=place.len() {
                        let (place, rest) = all.split_at(num);
                        let written = page(&Owned(Place::new(place.to_vec()), rest.to_vec()));
                        assert_eq!(written, page(&all), "{num} of {all:?}");
                    }
                }
            }
        }
    }
}
