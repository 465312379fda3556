//! Which series there are: each has a number, under which its values lie in the file.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use orrery_telemetry::{DeviceIdentity, Origin, Sample};
use serde::{Deserialize, Serialize};

use super::column::rounded;
use crate::metrics::{Labels, Point, points};

/// What a series is of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct SeriesKey {
    /// The number of its source, whose samples its values lie beside.
    pub(crate) source: u32,
    /// The metric, by its whole name on `/metrics`.
    pub(crate) metric: String,
    /// The labels by which `/metrics` tells its rows apart, by name.
    pub(crate) labels: BTreeMap<String, String>,
}

/// The series of the file and the sources that they are from.
#[derive(Debug, Default)]
pub(crate) struct Catalog {
    numbers: BTreeMap<SeriesKey, u32>,
    sources: BTreeMap<String, u32>,
    /// Series that a sample had before, by a hash of what they are of: found again without a text.
    known: HashMap<u64, Vec<(Known, u32)>>,
}

/// What tells a series apart while it is written.
#[derive(Debug, PartialEq)]
struct Known {
    source: String,
    origin: Origin,
    /// With its unit.
    metric: (&'static str, Option<&'static str>),
    device: DeviceIdentity,
    own_labels: Labels,
}

/// One sample as the file keeps it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    /// The number of its source.
    pub(crate) source: u32,
    /// When it was taken, in milliseconds since the Unix epoch.
    pub(crate) at: u64,
    /// Its values, each with the number of its series.
    pub(crate) values: Vec<(u32, f64)>,
}

/// What a catalogue got that the file does not have yet.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct News {
    pub(crate) series: Vec<(u32, SeriesKey)>,
    pub(crate) sources: Vec<(u32, String)>,
}

impl Catalog {
    /// A catalogue of these series and sources.
    pub(crate) fn new(numbers: BTreeMap<SeriesKey, u32>, sources: BTreeMap<String, u32>) -> Self {
        Self {
            numbers,
            sources,
            known: HashMap::new(),
        }
    }

    /// How many series there are.
    pub(crate) fn num_series(&self) -> usize {
        self.numbers.len()
    }

    /// The series of `source`.
    pub(crate) fn series_of(&self, source: u32) -> Vec<u32> {
        let of_source = self.numbers.iter().filter(|(key, _)| key.source == source);
        of_source.map(|(_, &number)| number).collect()
    }

    /// Every series.
    pub(crate) fn series(&self) -> Vec<u32> {
        self.numbers.values().copied().collect()
    }

    /// Every source.
    pub(crate) fn sources(&self) -> Vec<u32> {
        self.sources.values().copied().collect()
    }

    /// Takes a series out of which the file has nothing any more.
    pub(crate) fn forget(&mut self, series: u32) {
        self.numbers.retain(|_, number| *number != series);
        self.known.clear();
    }

    /// `sample` as an entry; a series or a source that is new gets a number, which `news` tells.
    pub(crate) fn entry(&mut self, sample: &Sample, news: &mut News) -> Entry {
        let source = self.source(&sample.source, news);
        let mut values = Vec::new();
        for point in points(sample) {
            let value = point.value();
            let value = if point.is_exact() { value } else { rounded(value) };
            if value.is_finite() {
                values.push((self.number(source, sample, &point, news), value));
            }
        }
        Entry {
            source,
            at: sample.taken.as_millis(),
            values,
        }
    }

    fn source(&mut self, name: &str, news: &mut News) -> u32 {
        if let Some(&number) = self.sources.get(name) {
            return number;
        }
        let number = self.sources.values().max().map_or(0, |last| last + 1);
        self.sources.insert(name.to_owned(), number);
        news.sources.push((number, name.to_owned()));
        number
    }

    fn number(&mut self, source: u32, sample: &Sample, point: &Point<'_>, news: &mut News) -> u32 {
        let hash = hash_of(sample, point);
        let mut same = self.known.get(&hash).into_iter().flatten();
        if let Some((_, number)) = same.find(|(known, _)| known.is_of(sample, point)) {
            return *number;
        }
        let key = SeriesKey {
            source,
            metric: point.full_name(),
            labels: point
                .labels()
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value.into_owned()))
                .collect(),
        };
        let number = self.numbers.get(&key).copied().unwrap_or_else(|| {
            let number = self.numbers.values().max().map_or(0, |last| last + 1);
            self.numbers.insert(key.clone(), number);
            news.series.push((number, key));
            number
        });
        let known = Known {
            source: sample.source.clone(),
            origin: sample.origin,
            metric: point.short_name(),
            device: point.device.clone(),
            own_labels: point.own_labels.clone(),
        };
        self.known.entry(hash).or_default().push((known, number));
        number
    }
}

impl Known {
    fn is_of(&self, sample: &Sample, point: &Point<'_>) -> bool {
        self.metric == point.short_name()
            && self.device == *point.device
            && self.own_labels == point.own_labels
            && self.source == sample.source
            && self.origin == sample.origin
    }
}

fn hash_of(sample: &Sample, point: &Point<'_>) -> u64 {
    let mut hasher = DefaultHasher::new();
    let device = point.device;
    (&sample.source, sample.origin.name(), point.short_name()).hash(&mut hasher);
    (&device.node, device.index, &device.uuid, &point.own_labels).hash(&mut hasher);
    hasher.finish()
}
