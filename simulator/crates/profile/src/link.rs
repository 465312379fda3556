//! What one link of a node was measured to carry: what a gate holds the next measurement of it against.

use orrery_units::{Bytes, BytesPerSec, SimDuration};
use serde::{Deserialize, Serialize};

use crate::{Profile, Provenance};

/// Which link.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Link {
    /// From a device's memory to that of another device of the node, by a copy of the driver.
    Peer,
    /// Out of an RDMA port of this line rate, such as `400 Gbit/s`, by writes from the node's own memory.
    Port(String),
}

/// A link as it was measured, alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinkReference {
    /// Which.
    pub link: Link,
    /// What crosses it, one way, in bytes per second.
    pub bandwidth: BytesPerSec,
    /// Size of what was sent at once.
    pub bytes: Bytes,
    /// Where it comes from.
    pub provenance: Provenance,
}

impl LinkReference {
    /// Bandwidth of a copy of `bytes` that takes `time`: `S / t`, its latency held to be none of it, so that copies are to be
    /// long or to follow each other.
    ///
    /// Worked: 256 MiB in 0.7 ms: 383 GB/s.
    #[must_use]
    pub fn rate(bytes: Bytes, time: SimDuration) -> BytesPerSec {
        BytesPerSec::new(bytes.as_f64() / time.as_secs())
    }
}

impl Profile {
    /// What `link` was measured to carry, if it was.
    #[must_use]
    pub fn link(&self, link: &Link) -> Option<BytesPerSec> {
        let mut found = self.links.iter().filter(|reference| reference.link == *link);
        found.next().map(|reference| reference.bandwidth)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn worked_numbers() {
        let rate = LinkReference::rate(Bytes::new(256 << 20), SimDuration::from_micros(700));
        assert!((rate.get() / 383.479e9 - 1.0).abs() < 1e-5, "{rate:?}");
        let reference = |link, rate| LinkReference {
            link,
            bandwidth: BytesPerSec::new(rate),
            bytes: Bytes::new(1 << 20),
            provenance: Provenance::default(),
        };
        let profile = Profile {
            links: vec![
                reference(Link::Port("200 Gbit/s".to_owned()), 24e9),
                reference(Link::Peer, 380e9),
                reference(Link::Port("400 Gbit/s".to_owned()), 48e9),
            ],
            ..Profile::default()
        };
        let port = |line: &str| profile.link(&Link::Port(line.to_owned())).map(BytesPerSec::get);
        assert_eq!(profile.link(&Link::Peer).map(BytesPerSec::get), Some(380e9));
        assert_eq!((port("400 Gbit/s"), port("100 Gbit/s")), (Some(48e9), None));
    }
}
