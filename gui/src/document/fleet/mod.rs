//! The fleet as last heard of: collectors, their nodes and devices, and who is apart from the others.
//!
//! Nothing here is drawn, and nothing is forgotten when a collector is lost: what was heard last stays, and
//! says how old it is. It counts in no figure of the fleet, though: [`Fleet::settle`] works those out, once for
//! all that was heard since the frame before.

mod apart;
mod followed;
mod history;
mod metric;
mod readings;
mod summary;
#[cfg(test)]
mod tests;

pub use apart::Apart;
pub use history::{History, KEPT};
pub use metric::FleetMetric;
pub(crate) use readings::readings;

use orrery_telemetry::judge::Alert;
use orrery_telemetry::{DeviceSample, Event, Origin, Sample, SourceStatus};

use self::summary::Summary;
use super::feed::{FleetEvent, News};

/// The pause between two signs of life that is allowed before a collector says its own, in seconds: the longest
/// that the stream promises, twice.
const QUIET: f64 = 10.0;
/// However soon a collector promises its next sign of life, this much silence is no news, in seconds.
const NO_NEWS: f64 = 2.0;
/// The interval of a source that has given one sample, in seconds: that of a collector which is told none.
const INTERVAL: f64 = 1.0;

/// The fleet as the window knows it; times are seconds of the window's clock.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fleet {
    /// The collectors that are followed.
    pub collectors: Vec<Collector>,
    /// The nodes, by collector, source and name.
    pub nodes: Vec<Node>,
    /// Devices that want a look, in the order of nodes and devices; as of the last [`settle`](Self::settle).
    pub apart: Vec<Apart>,
    /// Alerts that stand, by the place of the collector that raised them; the most urgent first, then the oldest.
    pub alerts: Vec<(usize, Alert)>,
    summary: Summary,
    /// Whether samples came since the last [`settle`](Self::settle).
    unsettled: bool,
    /// The id that was given last.
    newest_id: usize,
}

/// A collector.
#[derive(Clone, Debug, PartialEq)]
pub struct Collector {
    /// Tells it from every other collector that was followed in this window.
    pub id: usize,
    /// Its address.
    pub url: String,
    /// How the connection does.
    pub link: Link,
    /// How its sources do.
    pub sources: Vec<SourceStatus>,
    /// When it was last heard of.
    pub heard_at: Option<f64>,
    /// Lines that it left out because this window was slow.
    pub missed: u64,
    /// The next sign of life comes within this time.
    next_within: Option<f64>,
}

/// How the connection to a collector does.
#[derive(Clone, Debug, PartialEq)]
pub enum Link {
    /// It was never reached, and is being tried.
    Connecting,
    /// It is there.
    Connected,
    /// It is lost.
    Lost {
        /// Why, for people.
        why: String,
        /// When it is tried again; `None` while it is being tried.
        retry_at: Option<f64>,
    },
}

/// A node as last heard of.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// The place of its collector in [`Fleet::collectors`].
    pub collector: usize,
    /// The source that read it.
    pub source: String,
    /// Its name.
    pub name: String,
    /// What its numbers are.
    pub origin: Origin,
    /// When it was last heard of.
    pub heard_at: f64,
    /// Its devices, in their own order.
    pub devices: Vec<Device>,
    /// Time between two samples, in seconds.
    interval: f64,
}

/// A device as last heard of.
#[derive(Clone, Debug, PartialEq)]
pub struct Device {
    /// Its last readings.
    pub sample: DeviceSample,
    /// Its last minutes.
    pub history: History,
}

/// Whether what is known of a node is still so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is.
    Live,
    /// Nothing was heard for several intervals, and nobody said why.
    Stale,
    /// It is not, and this is why.
    Gone(String),
}

impl Collector {
    /// A collector at `url` that is being tried.
    #[must_use]
    pub fn new(id: usize, url: &str) -> Self {
        Self {
            id,
            url: url.to_owned(),
            link: Link::Connecting,
            sources: Vec::new(),
            heard_at: None,
            missed: 0,
            next_within: None,
        }
    }

    /// Whether it ever answered.
    #[must_use]
    pub fn was_reached(&self) -> bool {
        self.heard_at.is_some()
    }

    /// Whether it is connected and was silent for longer than it promised.
    #[must_use]
    pub fn is_stale(&self, now: f64) -> bool {
        let allowed = self
            .next_within
            .map_or(QUIET, |promised| (2.0 * promised).max(NO_NEWS));
        self.link == Link::Connected && self.heard_at.is_some_and(|at| now - at > allowed)
    }
}

impl Node {
    /// Whether its numbers are made up for a demonstration.
    #[must_use]
    pub fn is_demo(&self) -> bool {
        self.origin == Origin::Demo
    }

    /// The longest silence that is no news, in seconds: three samples may be late, and a second is nothing. It
    /// is the collector's own rule for a source that fell silent.
    #[must_use]
    pub fn pause(&self) -> f64 {
        3.0 * self.interval + 1.0
    }

    /// Seconds since it was last heard of.
    #[must_use]
    pub fn age(&self, now: f64) -> f64 {
        (now - self.heard_at).max(0.0)
    }
}

impl Fleet {
    /// Takes in what a feed says at `now`.
    pub fn hear(&mut self, event: FleetEvent, now: f64) {
        let Some(place) = self.place_of(event.collector) else {
            return;
        };
        let collector = &mut self.collectors[place];
        match event.news {
            News::Connecting => match &mut collector.link {
                Link::Lost { retry_at, .. } => *retry_at = None,
                link => *link = Link::Connecting,
            },
            News::Lost { why, retry_in } => {
                collector.link = Link::Lost {
                    why,
                    retry_at: Some(now + retry_in.as_secs_f64()),
                };
            }
            News::Connected => {
                collector.link = Link::Connected;
                collector.sources.clear();
                collector.heard_at = Some(now);
                // Those that stand are told again.
                self.alerts.retain(|(of, _)| *of != place);
            }
            News::Heard(heard) => {
                collector.heard_at = Some(now);
                match heard {
                    Event::Source(status) => collector.take_status(status),
                    Event::Sample(sample) => self.take_sample(place, sample, now),
                    Event::Missed(lines) => collector.missed += lines,
                    Event::Heartbeat(beat) => collector.next_within = Some(beat.next_within.as_secs()),
                    Event::Alert(alert) => self.take_alert(place, alert),
                    Event::Unknown(_) => {}
                }
            }
        }
    }

    /// Takes in `alert`, which replaces what was said of the same before, or ends it.
    fn take_alert(&mut self, collector: usize, alert: Alert) {
        let is_same = |(of, known): &(usize, Alert)| {
            *of == collector && known.rule == alert.rule && known.subject == alert.subject
        };
        self.alerts.retain(|known| !is_same(known));
        if alert.cleared.is_none() {
            self.alerts.push((collector, alert));
            self.alerts
                .sort_by_key(|(_, alert)| (std::cmp::Reverse(alert.severity), alert.since));
        }
    }

    /// Whether what is known of `node` is still so at `now`.
    #[must_use]
    pub fn standing(&self, node: &Node, now: f64) -> Standing {
        let collector = &self.collectors[node.collector];
        if let Link::Lost { why, .. } = &collector.link {
            return Standing::Gone(format!("collector lost: {why}"));
        }
        let source = collector.sources.iter().find(|source| source.name == node.source);
        match source {
            Some(source) if !source.is_up() => {
                Standing::Gone(format!("source {} is silent: {}", node.source, source.reason))
            }
            _ if node.age(now) > node.pause() => Standing::Stale,
            _ => Standing::Live,
        }
    }

    /// The number of devices that are known, be they live or not.
    #[must_use]
    pub fn num_devices(&self) -> usize {
        self.nodes.iter().map(|node| node.devices.len()).sum()
    }

    /// The number of devices that are live, as of the last [`settle`](Self::settle).
    #[must_use]
    pub fn num_live(&self) -> usize {
        self.summary.num_live
    }

    /// Works out what the fleet adds up to at `now`, if anything was heard or fell silent since the last time.
    pub fn settle(&mut self, now: f64) {
        let is_live = |node: &Node| self.standing(node, now) == Standing::Live;
        let live: Vec<bool> = self.nodes.iter().map(is_live).collect();
        if !self.unsettled && live == self.summary.live {
            return;
        }
        self.unsettled = false;
        (self.summary, self.apart) = Summary::of(&self.nodes, live);
    }

    /// What there is to say of a device, told by the places of its node and in its node.
    #[must_use]
    pub fn apart_of(&self, node: usize, device: usize) -> &[Apart] {
        let place = |apart: &Apart| (apart.node, apart.device);
        let from = self.apart.partition_point(|apart| place(apart) < (node, device));
        let many = self.apart[from..].partition_point(|apart| place(apart) == (node, device));
        &self.apart[from..from + many]
    }

    /// Whether any number is made up for a demonstration.
    #[must_use]
    pub fn has_demo(&self) -> bool {
        self.nodes.iter().any(Node::is_demo)
    }

    /// The ends of the colour scale of `metric`.
    #[must_use]
    pub fn scale(&self, metric: FleetMetric) -> (f64, f64) {
        self.summary.scale(metric)
    }

    /// The least, middle and greatest value of `metric` among live devices that report it.
    #[must_use]
    pub fn spread(&self, metric: FleetMetric) -> Option<[f64; 3]> {
        self.summary.spread(metric)
    }

    fn take_sample(&mut self, collector: usize, sample: Sample, now: f64) {
        let Sample {
            source,
            origin,
            sequence,
            at,
            taken: _,
            devices,
            host: _,
            collectives: _,
        } = sample;
        let interval = if sequence > 0 {
            at.as_secs() / sequence as f64
        } else {
            INTERVAL
        };
        let ours = |node: &Node| node.collector == collector && node.source == source;
        let (mut before, others): (Vec<Node>, Vec<Node>) =
            std::mem::take(&mut self.nodes).into_iter().partition(ours);
        self.nodes = others;
        let mut heard: Vec<Node> = Vec::new();
        for sample in devices {
            let history = history_of(&mut before, &sample.identity.uuid);
            let mut device = Device { sample, history };
            device.history.add(now, &device.sample);
            let name = &device.sample.identity.node;
            match heard.iter_mut().find(|node| node.name == *name) {
                Some(node) => node.devices.push(device),
                None => heard.push(Node {
                    collector,
                    source: source.clone(),
                    name: name.clone(),
                    origin,
                    heard_at: now,
                    devices: vec![device],
                    interval,
                }),
            }
        }
        self.nodes.extend(heard);
        self.nodes
            .sort_by(|a, b| (a.collector, &a.source, &a.name).cmp(&(b.collector, &b.source, &b.name)));
        // Places of nodes may have moved; who is apart is worked out when all that came was heard.
        self.unsettled = true;
    }
}

impl Collector {
    fn take_status(&mut self, status: SourceStatus) {
        match self.sources.iter_mut().find(|source| source.name == status.name) {
            Some(source) => *source = status,
            None => self.sources.push(status),
        }
    }
}

/// What is remembered of the device `uuid`, taken out of `nodes`.
fn history_of(nodes: &mut [Node], uuid: &str) -> History {
    let mut devices = nodes.iter_mut().flat_map(|node| &mut node.devices);
    let found = devices.find(|device| device.sample.identity.uuid == uuid);
    found
        .map(|device| std::mem::take(&mut device.history))
        .unwrap_or_default()
}
