//! What crossed the links of a cluster, and who sent to whom, where transfers share links.

use orrery_units::{Bytes, BytesPerSec, SimDuration};

/// The network of one replication, from its beginning to its end.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Network {
    span: SimDuration,
    intervals: Vec<SimDuration>,
    links: Vec<LinkLoad>,
    series: Vec<Vec<Bytes>>,
    pairs: Vec<PairLoad>,
    num_devices: u32,
    devices_per_node: u32,
}

/// What is known of a network before anything is computed.
#[derive(Clone, Debug, Default)]
pub struct NetworkFacts {
    /// Simulated time covered.
    pub span: SimDuration,
    /// Lengths of the intervals of the series; none where none was kept.
    pub intervals: Vec<SimDuration>,
    /// Every link that something may cross.
    pub links: Vec<LinkLoad>,
    /// Bytes by interval; [`LinkLoad::series`] are positions here.
    pub series: Vec<Vec<Bytes>>,
    /// Every pair of devices between which bytes moved.
    pub pairs: Vec<PairLoad>,
    /// Devices of the job.
    pub num_devices: u32,
    /// Devices of one node.
    pub devices_per_node: u32,
}

/// What crossed one link, one way.
#[derive(Clone, Debug, PartialEq)]
pub struct LinkLoad {
    /// What people call it, such as `node 3 NIC 1 -> block 0 rail 1 leaf`.
    pub name: String,
    /// Its kind, a value of the label `link` of the metric registry.
    pub kind: &'static str,
    /// What people call its kind.
    pub title: &'static str,
    /// What it carries, lasting faults taken off; that it carries less for a while is not.
    pub capacity: BytesPerSec,
    /// What crossed it.
    pub bytes: Bytes,
    /// Time during which something was crossing it.
    pub busy: SimDuration,
    /// Which of the series is its own; links that carry the same share one.
    pub series: usize,
}

/// Bytes from one device to another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PairLoad {
    /// The rank that sends.
    pub from: u32,
    /// The rank that receives.
    pub to: u32,
    /// How much.
    pub bytes: Bytes,
}

/// The links of one kind, together.
#[derive(Clone, Debug, PartialEq)]
pub struct KindLoad {
    /// As in [`LinkLoad::kind`].
    pub kind: &'static str,
    /// As in [`LinkLoad::title`].
    pub title: &'static str,
    /// How many links.
    pub count: usize,
    /// What crossed them.
    pub bytes: Bytes,
    /// Mean utilization.
    pub mean: f64,
    /// Utilization of the busiest.
    pub most: f64,
    /// Highest utilization of any of them in any interval.
    pub peak: f64,
}

/// Who sent how much to whom, in square cells of like numbers of devices.
#[derive(Clone, Debug, PartialEq)]
pub struct TrafficMatrix {
    /// Devices along the side of a cell.
    pub devices_per_cell: u32,
    /// Bytes by sender, then by receiver.
    pub bytes: Vec<Vec<Bytes>>,
}

impl Network {
    /// Links with the busiest first, pairs with the most bytes first; equals keep their order.
    ///
    /// # Panics
    /// When a link has no series, or a series another number of intervals.
    #[must_use]
    pub fn new(mut facts: NetworkFacts) -> Self {
        for link in &facts.links {
            let intervals = facts.series[link.series].len();
            assert!(
                intervals == facts.intervals.len(),
                "every interval of a link is known"
            );
        }
        let span = facts.span.as_secs();
        facts.links.sort_by(|a, b| {
            utilization(b.bytes, b.capacity, span).total_cmp(&utilization(a.bytes, a.capacity, span))
        });
        facts.pairs.sort_by_key(|pair| std::cmp::Reverse(pair.bytes));
        Self {
            span: facts.span,
            intervals: facts.intervals,
            links: facts.links,
            series: facts.series,
            pairs: facts.pairs,
            num_devices: facts.num_devices,
            devices_per_node: facts.devices_per_node.max(1),
        }
    }

    /// Simulated time covered.
    #[must_use]
    pub const fn span(&self) -> SimDuration {
        self.span
    }

    /// Every link, the busiest first.
    #[must_use]
    pub fn links(&self) -> &[LinkLoad] {
        &self.links
    }

    /// Every pair between which bytes moved, the most first.
    #[must_use]
    pub fn pairs(&self) -> &[PairLoad] {
        &self.pairs
    }

    /// Lengths of the intervals of every series.
    #[must_use]
    pub fn intervals(&self) -> &[SimDuration] {
        &self.intervals
    }

    /// Bytes that crossed `link` over what it could have carried; a link that carries nothing is full.
    #[must_use]
    pub fn utilization(&self, link: &LinkLoad) -> f64 {
        utilization(link.bytes, link.capacity, self.span.as_secs())
    }

    /// The same, interval by interval.
    pub fn utilizations<'a>(&'a self, link: &'a LinkLoad) -> impl Iterator<Item = f64> + 'a {
        self.series[link.series]
            .iter()
            .zip(&self.intervals)
            .map(|(&bytes, length)| utilization(bytes, link.capacity, length.as_secs()))
    }

    /// The same between two instants, in seconds since the beginning: what crossed in an interval of the series is spread
    /// over it evenly. Of a link that carries 100 B/s and carried 100 B in one second and none in the next, the
    /// utilization from 0.5 s to 1.5 s is 0.5.
    #[must_use]
    pub fn utilization_between(&self, link: &LinkLoad, from: f64, to: f64) -> f64 {
        let mut begin = 0.0;
        let mut crossed = 0.0;
        for (&bytes, length) in self.series[link.series].iter().zip(&self.intervals) {
            let length = length.as_secs();
            let inside = to.min(begin + length) - from.max(begin);
            if inside > 0.0 && length > 0.0 {
                crossed += bytes.as_f64() * inside / length;
            }
            begin += length;
        }
        utilization(Bytes::from_f64(crossed), link.capacity, to - from)
    }

    /// The highest of them.
    #[must_use]
    pub fn peak(&self, link: &LinkLoad) -> f64 {
        self.utilizations(link).fold(0.0, f64::max)
    }

    /// The links by kind, in order of utilization of their busiest.
    #[must_use]
    pub fn kinds(&self) -> Vec<KindLoad> {
        let mut kinds: Vec<KindLoad> = Vec::new();
        for link in &self.links {
            let share = self.utilization(link);
            let at = kinds.iter().position(|kind| kind.kind == link.kind);
            let at = at.unwrap_or_else(|| {
                kinds.push(KindLoad {
                    kind: link.kind,
                    title: link.title,
                    count: 0,
                    bytes: Bytes::ZERO,
                    mean: 0.0,
                    most: 0.0,
                    peak: 0.0,
                });
                kinds.len() - 1
            });
            let kind = &mut kinds[at];
            kind.count += 1;
            kind.bytes += link.bytes;
            kind.mean += share;
            kind.most = kind.most.max(share);
            kind.peak = kind.peak.max(self.peak(link));
        }
        for kind in &mut kinds {
            kind.mean /= float(kind.count);
        }
        kinds
    }

    /// Who sent how much to whom, in at most `most` cells a side: single devices if they fit, else whole nodes.
    #[must_use]
    pub fn traffic(&self, most: u32) -> TrafficMatrix {
        let mut side = 1;
        if self.num_devices > most {
            let nodes = self.num_devices.div_ceil(self.devices_per_node);
            side = self.devices_per_node * nodes.div_ceil(most.max(1));
        }
        let cells = self.num_devices.div_ceil(side) as usize;
        let mut bytes = vec![vec![Bytes::ZERO; cells]; cells];
        for pair in &self.pairs {
            bytes[(pair.from / side) as usize][(pair.to / side) as usize] += pair.bytes;
        }
        TrafficMatrix {
            devices_per_cell: side,
            bytes,
        }
    }
}

impl TrafficMatrix {
    /// The most bytes in a cell.
    #[must_use]
    pub fn most(&self) -> Bytes {
        self.bytes.iter().flatten().copied().max().unwrap_or(Bytes::ZERO)
    }
}

fn utilization(bytes: Bytes, capacity: BytesPerSec, seconds: f64) -> f64 {
    let could = capacity.get() * seconds;
    if could > 0.0 {
        bytes.as_f64() / could
    } else if bytes > Bytes::ZERO {
        1.0
    } else {
        0.0
    }
}

#[expect(clippy::cast_precision_loss, reason = "fewer than 2^53 links")]
fn float(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn utilization_between_two_instants_is_of_what_crossed_then() {
        let second = SimDuration::from_secs(1.0);
        let network = Network::new(NetworkFacts {
            span: second + second,
            intervals: vec![second, second],
            links: vec![LinkLoad {
                name: "a -> b".to_owned(),
                kind: "nic",
                title: "NIC",
                capacity: BytesPerSec::new(100.0),
                bytes: Bytes::new(100),
                busy: second,
                series: 0,
            }],
            series: vec![vec![Bytes::new(100), Bytes::ZERO]],
            ..NetworkFacts::default()
        });
        let link = &network.links()[0];
        for (from, to, wanted) in [
            (0.5, 1.5, 0.5),
            (0.0, 1.0, 1.0),
            (1.0, 2.0, 0.0),
            (0.0, 2.0, 0.5),
            (0.2, 0.3, 1.0),
        ] {
            let found = network.utilization_between(link, from, to);
            assert!((found - wanted).abs() < 1e-9, "{from} to {to}: {found}");
        }
        assert!((network.utilization(link) - network.utilization_between(link, 0.0, 2.0)).abs() < 1e-9);
    }
}
