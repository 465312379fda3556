//! What a platform makes of NCCL: one law per (device, NIC class, launcher), shared by every size, operation and
//! number of nodes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A parameter of a platform's law. Each is something that a person could measure by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Parameter {
    /// Time that the host needs to launch one collective on every device that it drives, us: kernels faster than it
    /// wait for it.
    Host,
    /// Launch and flags of the kernel itself, us.
    Launch,
    /// A step of the low-latency protocol inside a node, us.
    LowLatencyStep,
    /// A step of the low-latency protocol between nodes, us.
    LowLatencyHop,
    /// A step of LL128 inside a node, us.
    LowLatency128Step,
    /// A step of LL128 between nodes, us.
    LowLatency128Hop,
    /// A step of the plain protocol inside a node, us.
    SimpleStep,
    /// A step of the plain protocol between nodes, us.
    SimpleHop,
    /// How far steps of the plain protocol hide behind its bytes: 1 not at all, large wholly.
    SimpleOverlap,
    /// Share of a ring's bandwidth that the low-latency protocol leaves.
    LowLatencyShare,
    /// Share of a ring's bandwidth that LL128 leaves.
    LowLatency128Share,
    /// What the machine makes of the cap that the tuner sets on the low-latency protocol.
    LowLatencyCap,
    /// Share of the links inside a node that a ring reaches.
    RingShare,
    /// Share of the NICs' line rate that a ring between nodes reaches.
    NetworkShare,
    /// Latency of reduction in the switch, us.
    NvlsLatency,
    /// Time to fill the pipeline of NVLS, us for each KiB of its chunks.
    NvlsFill,
    /// Cost of a chunk of NVLS, in KiB of data that could have moved.
    NvlsChunk,
    /// Measured over expected bandwidth of NVLS.
    NvlsShare,
    /// A level of the NVLS tree between nodes, us.
    NvlsTreeHop,
    /// Cost of a chunk of the NVLS tree, in KiB.
    NvlsTreeChunk,
    /// Measured over expected bandwidth of the NVLS tree.
    NvlsTreeShare,
    /// What each doubling beyond four nodes leaves of an NVLS tree's bandwidth.
    DepthShare,
    /// Share of the bandwidth that double binary trees reach.
    TreeShare,
    /// Latency of a message or an exchange inside a node, us.
    PeerLatency,
    /// Latency of an exchange between nodes, us.
    PeerNetworkLatency,
    /// Latency of one message between nodes, us.
    MessageNetworkLatency,
    /// Share of a ring's bandwidth that grouped sends reach inside a node.
    PeerShare,
    /// Share of a NIC that grouped sends reach.
    PeerNetworkShare,
    /// Time to fill the pipeline of a message, us.
    PeerFill,
    /// Message size around which it is filled, bytes.
    PeerFillBytes,
    /// What one channel of a message moves, GB/s.
    ChannelRate,
    /// Bandwidth with more channels and queue pairs over the default.
    Tuned,
    /// Rate of the copy of a rank's own part when the result has its own buffer, over the ring's rate.
    OwnCopy,
    /// The same for an all-reduce.
    OwnCopyReduced,
    /// Time to fill the pipeline of a plain ring, us.
    RingFill,
    /// Size around which it is filled, bytes.
    RingFillBytes,
    /// Share of the bandwidth of two devices that four have in a box without NVLink.
    FarShare,
    /// Share of the bandwidth of four devices that eight have there, and so on.
    FartherShare,
    /// Share of the NICs' line rate that reduction in the network switches reaches.
    SharpShare,
}

impl Parameter {
    /// Every parameter.
    pub const ALL: [Self; 39] = [
        Self::Host,
        Self::Launch,
        Self::LowLatencyStep,
        Self::LowLatencyHop,
        Self::LowLatency128Step,
        Self::LowLatency128Hop,
        Self::SimpleStep,
        Self::SimpleHop,
        Self::SimpleOverlap,
        Self::LowLatencyShare,
        Self::LowLatency128Share,
        Self::LowLatencyCap,
        Self::RingShare,
        Self::NetworkShare,
        Self::NvlsLatency,
        Self::NvlsFill,
        Self::NvlsChunk,
        Self::NvlsShare,
        Self::NvlsTreeHop,
        Self::NvlsTreeChunk,
        Self::NvlsTreeShare,
        Self::DepthShare,
        Self::TreeShare,
        Self::PeerLatency,
        Self::PeerNetworkLatency,
        Self::MessageNetworkLatency,
        Self::PeerShare,
        Self::PeerNetworkShare,
        Self::PeerFill,
        Self::PeerFillBytes,
        Self::ChannelRate,
        Self::Tuned,
        Self::OwnCopy,
        Self::OwnCopyReduced,
        Self::RingFill,
        Self::RingFillBytes,
        Self::FarShare,
        Self::FartherShare,
        Self::SharpShare,
    ];
}

/// The parameters of one platform; times in us, rates in GB/s, sizes in KiB or bytes, as [`Parameter`] says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "BTreeMap<Parameter, f64>", into = "BTreeMap<Parameter, f64>")]
pub struct PlatformLaw([f64; Parameter::ALL.len()]);

impl PlatformLaw {
    /// The law whose parameters are `value` of each.
    #[must_use]
    pub fn from_fn(value: impl Fn(Parameter) -> f64) -> Self {
        Self(Parameter::ALL.map(value))
    }

    /// One parameter.
    #[must_use]
    pub const fn get(&self, parameter: Parameter) -> f64 {
        self.0[parameter as usize]
    }
}

impl From<PlatformLaw> for BTreeMap<Parameter, f64> {
    fn from(law: PlatformLaw) -> Self {
        Parameter::ALL.into_iter().map(|p| (p, law.get(p))).collect()
    }
}

impl TryFrom<BTreeMap<Parameter, f64>> for PlatformLaw {
    type Error = String;

    fn try_from(map: BTreeMap<Parameter, f64>) -> Result<Self, String> {
        let missing = Parameter::ALL.into_iter().find(|p| !map.contains_key(p));
        match missing {
            Some(parameter) => Err(format!("the law lacks `{parameter:?}`")),
            None => Ok(Self::from_fn(|parameter| map[&parameter])),
        }
    }
}

/// A platform with its law and how well it agrees with what was measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Platform {
    /// `device|nic class|launcher`, such as `h100|ib|mpi`.
    pub name: String,
    /// Sweeps that the law was fitted to.
    pub sweeps: Vec<String>,
    /// Rows of them.
    pub rows: u32,
    /// Spread of `ln(predicted / measured)` below 1 MiB.
    pub spread_small: f64,
    /// Spread from 1 MiB.
    pub spread_large: f64,
    /// The law.
    pub law: PlatformLaw,
}

/// Every platform that was fitted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlatformSet {
    /// Version of this format: `platforms/1`.
    pub schema: String,
    /// What people should know before they trust it.
    pub note: String,
    /// The platforms, by name.
    pub platforms: Vec<Platform>,
}

impl PlatformSet {
    /// The version that this program reads and writes.
    pub const SCHEMA: &'static str = "platforms/1";

    /// The platform called `name`; else the one that shares the most of its parts with `name` or with `like`, the same
    /// place with a device that is like it. The device counts 4, one that is like it 3, the launcher 2, the class of NICs 1;
    /// without a device in common there is none. Whether it is the platform itself is the second answer.
    #[must_use]
    pub fn nearest(&self, name: &str, like: Option<&str>) -> Option<(&Platform, bool)> {
        let part = |name: &str, at: usize| name.split('|').nth(at).map(str::to_owned);
        let score = |platform: &Platform| -> Option<u8> {
            let same = |other: &str, at: usize| part(other, at) == part(&platform.name, at);
            let device = if same(name, 0) {
                4
            } else if like.is_some_and(|like| same(like, 0)) {
                3
            } else {
                return None;
            };
            Some(device + u8::from(same(name, 2)) * 2 + u8::from(same(name, 1)))
        };
        let scored = self
            .platforms
            .iter()
            .filter_map(|platform| Some((platform, score(platform)?)));
        let (best, _) = scored.max_by_key(|(platform, score)| (*score, platform.rows))?;
        Some((best, best.name == name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_parameters_is_that_of_the_table() {
        for (at, parameter) in Parameter::ALL.into_iter().enumerate() {
            assert_eq!(parameter as usize, at, "{parameter:?}");
        }
    }

    #[test]
    fn the_nearest_platform_shares_the_most() {
        let law = PlatformLaw::from_fn(|_| 1.0);
        let platform = |name: &str| Platform {
            name: name.to_owned(),
            sweeps: Vec::new(),
            rows: 1,
            spread_small: 0.1,
            spread_large: 0.1,
            law: law.clone(),
        };
        let set = PlatformSet {
            platforms: ["h100|ib|mpi", "h100|none|threads", "h200|roce|mpi"]
                .map(platform)
                .to_vec(),
            ..PlatformSet::default()
        };
        let nearest = |name: &str, like: Option<&str>| {
            let found = set.nearest(name, like);
            found.map(|(platform, exact)| (platform.name.clone(), exact))
        };
        assert_eq!(
            nearest("h100|ib|mpi", None),
            Some(("h100|ib|mpi".to_owned(), true))
        );
        let threads = nearest("h200|none|threads", Some("h100|none|threads"));
        assert_eq!(threads, Some(("h100|none|threads".to_owned(), false)));
        assert_eq!(nearest("tpu|ib|mpi", None), None);
        assert_eq!(
            nearest("h800|ib|mpi", Some("h100|ib|mpi")),
            Some(("h100|ib|mpi".to_owned(), false))
        );
    }

    #[test]
    fn a_law_survives_its_file_and_a_gap_is_named() {
        let law = PlatformLaw::from_fn(|parameter| f64::from(parameter as u8) + 0.5);
        let text = serde_json::to_string(&law).unwrap();
        assert_eq!(serde_json::from_str::<PlatformLaw>(&text).unwrap(), law);
        let fault = serde_json::from_str::<PlatformLaw>("{\"host\": 1.0}").unwrap_err();
        assert!(fault.to_string().contains("Launch"), "{fault}");
    }
}
