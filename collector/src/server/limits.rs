//! What clients may take: how many, how much, how fast, how long.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What clients may take. The values of [`Limits::default`] are assumptions: above what windows and scrapers of a
/// cluster do, and low enough that the daemon stays small whatever comes in.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections at one time. When there are more, those that wait longest for a request are let go.
    pub connections: usize,
    /// Connections of one address at one time, likewise.
    pub connections_per_client: usize,
    /// Streams of one address at one time.
    pub streams_per_client: usize,
    /// Requests of one address in a second; twice as many may come at once.
    pub requests_per_second: u32,
    /// How long a client may take for its TLS handshake, for the head of a request, and for the next request.
    pub patience: Duration,
    /// How long a client may take nothing of an answer.
    pub stall: Duration,
    /// How long an answer may take to begin.
    pub answer: Duration,
    /// The longest head of a request, in bytes.
    pub head_bytes: usize,
    /// The longest body of a request, in bytes. No page reads one.
    pub body_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 256,
            connections_per_client: 128,
            streams_per_client: 16,
            requests_per_second: 2000,
            patience: Duration::from_secs(20),
            stall: Duration::from_secs(30),
            answer: Duration::from_secs(30),
            head_bytes: 8 << 10,
            body_bytes: 8 << 10,
        }
    }
}

/// Addresses whose pace is remembered; all others share one pace.
const PACES: usize = 1024;

/// Counts requests by address.
#[derive(Debug)]
pub(crate) struct Pace {
    per_second: f64,
    buckets: Mutex<BTreeMap<IpAddr, Bucket>>,
}

/// Requests that an address has left.
#[derive(Debug)]
struct Bucket {
    left: f64,
    at: Instant,
}

impl Pace {
    pub(crate) fn new(per_second: u32) -> Self {
        Self {
            per_second: f64::from(per_second),
            buckets: Mutex::default(),
        }
    }

    fn most(&self) -> f64 {
        2.0 * self.per_second
    }

    /// Takes one request of `client`; whether it has one left.
    pub(crate) fn take(&self, client: IpAddr, now: Instant) -> bool {
        let most = self.most();
        let left = |bucket: &Bucket| {
            let since = now.saturating_duration_since(bucket.at).as_secs_f64();
            (bucket.left + since * self.per_second).min(most)
        };
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let mut key = network_of(client);
        if buckets.len() >= PACES && !buckets.contains_key(&key) {
            // Who has asked for nothing in a while need not be remembered.
            buckets.retain(|_, bucket| left(bucket) < most);
            if buckets.len() >= PACES {
                key = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
            }
        }
        let bucket = buckets.entry(key).or_insert(Bucket { left: most, at: now });
        bucket.left = left(bucket);
        bucket.at = now;
        if bucket.left < 1.0 {
            return false;
        }
        bucket.left -= 1.0;
        true
    }
}

/// Whose address it is: of IPv6 the first 64 bits, since one host has all addresses that begin with them.
pub(crate) fn network_of(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V6(address) => {
            let network = address.to_bits() & !u128::from(u64::MAX);
            if address.is_loopback() {
                client
            } else {
                Ipv6Addr::from_bits(network).into()
            }
        }
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(number: u32) -> IpAddr {
        std::net::Ipv4Addr::from_bits(0x0a00_0000 + number).into()
    }

    #[test]
    fn who_asks_too_often_waits_and_nobody_else_does() {
        let pace = Pace::new(10);
        let start = Instant::now();
        let taken = (0..30).filter(|_| pace.take(address(1), start)).count();
        assert_eq!(taken, 20);
        assert!(pace.take(address(2), start));
        let later = start + Duration::from_millis(500);
        let taken = (0..30).filter(|_| pace.take(address(1), later)).count();
        assert_eq!(taken, 5);
    }

    #[test]
    fn the_memory_of_addresses_is_bounded() {
        let pace = Pace::new(1);
        let start = Instant::now();
        for number in 0..5000 {
            let _taken = pace.take(address(number), start);
        }
        let num_kept = || pace.buckets.lock().unwrap().len();
        assert_eq!(num_kept(), PACES + 1, "and one for all others");
        // The others share a pace that is used up.
        assert!(!pace.take(address(9000), start));
        // Who is quiet is forgotten.
        assert!(pace.take(address(9000), start + Duration::from_secs(3)));
        assert_eq!(num_kept(), 1);
    }

    #[test]
    fn a_network_is_one_client() {
        let one: IpAddr = "2001:db8:0:1::1".parse().unwrap();
        let same: IpAddr = "2001:db8:0:1:ffff::2".parse().unwrap();
        let other: IpAddr = "2001:db8:0:2::1".parse().unwrap();
        assert_eq!(network_of(one), network_of(same));
        assert_ne!(network_of(one), network_of(other));
        let mapped: IpAddr = "::ffff:10.0.0.1".parse().unwrap();
        assert_eq!(network_of(mapped), address(1));
    }
}
