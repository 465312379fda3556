//! Constants of the tuner, by version (`src/graph/tuning.cc` 139-209 of NCCL 2.30.7).

use super::{Algorithm, Protocol};

/// What the tuner tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Architecture {
    /// V100.
    Volta,
    /// A100, A800; L40S and RTX 4090 are tuned as such.
    Ampere,
    /// H100, H200, H800.
    Hopper,
    /// B200, B300, GB200.
    Blackwell,
}

/// The constants of one version. Bandwidths in GB/s, latencies in us; columns are 1, 2 and more nodes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NcclPreset {
    /// NCCL's version.
    pub version: &'static str,
    /// Base latency of (tree, ring) by protocol.
    base: [[f64; 3]; 2],
    /// Latency of a step over NVLink of (tree, ring) by protocol.
    nvlink: [[f64; 3]; 2],
    /// Latency of a step over the network of (tree, ring) by protocol.
    network: [[f64; 3]; 2],
    /// Latency of NVLS inside the node, over the network, and of NVLS tree over the network.
    pub(super) nvls: [f64; 3],
    /// Cap of the low-latency protocol by architecture.
    low_latency_cap: [[f64; 3]; 4],
    /// Cap per channel of ring LL128 by architecture.
    ring_128_cap: [[f64; 3]; 4],
    /// Cap per channel of tree LL128 by architecture.
    tree_128_cap: [[f64; 3]; 4],
    /// Cap per channel of tree Simple by architecture.
    tree_cap: [[f64; 3]; 4],
    /// Cap per channel of NVLS tree by architecture.
    nvls_tree_cap: [[f64; 3]; 4],
    /// NVLS efficiency by architecture.
    nvls_efficiency: [f64; 4],
    /// Correction of tree all-reduce by protocol and by the logarithm of size, from 64 bytes.
    correction: [[f64; 24]; 3],
}

impl NcclPreset {
    /// NCCL 2.30.7.
    pub const V2_30_7: Self = Self {
        version: "2.30.7",
        base: [[6.8, 14.0, 8.4], [6.6, 14.0, 8.4]],
        nvlink: [[0.6, 1.25, 4.0], [0.6, 1.9, 3.4]],
        network: [[5.0, 8.5, 14.0], [2.7, 4.0, 14.0]],
        nvls: [25.0, 18.0, 20.9],
        low_latency_cap: [
            [39.0, 39.0, 20.4],
            [87.7, 22.5, 19.0],
            [141.0, 45.0, 35.0],
            [282.0, 90.0, 70.0],
        ],
        ring_128_cap: [
            [20.0, 20.0, 20.0],
            [20.0, 20.0, 20.0],
            [36.7, 36.7, 36.7],
            [40.0, 40.0, 40.0],
        ],
        tree_128_cap: [
            [20.0, 20.0, 20.0],
            [20.0, 20.0, 20.0],
            [36.7, 36.7, 29.0],
            [55.6, 31.67, 20.0],
        ],
        tree_cap: [
            [26.5, 18.5, 10.0],
            [24.0, 23.6, 17.8],
            [38.7, 41.4, 36.0],
            [70.0, 42.8, 24.0],
        ],
        nvls_tree_cap: [
            [26.5, 18.5, 10.0],
            [24.0, 23.6, 17.8],
            [0.0, 57.7, 45.5],
            [0.0, 96.0, 80.0],
        ],
        nvls_efficiency: [0.0, 0.0, 0.85, 0.74],
        correction: [
            [
                1.0, 1.0, 1.0, 1.0, 0.9, 0.8, 0.7, 0.7, 0.7, 0.7, 0.6, 0.5, 0.4, 0.4, 0.5, 0.6, 0.7, 0.8,
                0.9, 1.0, 1.0, 1.0, 1.0, 1.0,
            ],
            [
                1.0, 1.0, 1.0, 1.0, 1.0, 0.9, 0.8, 0.8, 0.8, 0.7, 0.6, 0.6, 0.6, 0.6, 0.6, 0.6, 0.8, 0.9,
                0.9, 0.9, 0.9, 1.0, 1.0, 1.0,
            ],
            [
                0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 0.8, 0.7, 0.6, 0.6, 0.5, 0.5, 0.5, 0.5, 0.6, 0.7, 0.8,
                0.7, 0.7, 0.8, 0.9, 0.9, 0.9,
            ],
        ],
    };

    const fn column(nodes: u32) -> usize {
        match nodes {
            0 | 1 => 0,
            2 => 1,
            _ => 2,
        }
    }

    const fn row(algorithm: Algorithm) -> usize {
        match algorithm {
            Algorithm::Tree => 0,
            Algorithm::Ring | Algorithm::Nvls | Algorithm::NvlsTree => 1,
        }
    }

    pub(super) const fn base(&self, algorithm: Algorithm, protocol: Protocol) -> f64 {
        self.base[Self::row(algorithm)][protocol as usize]
    }

    pub(super) const fn nvlink(&self, algorithm: Algorithm, protocol: Protocol) -> f64 {
        self.nvlink[Self::row(algorithm)][protocol as usize]
    }

    pub(super) const fn network(&self, algorithm: Algorithm, protocol: Protocol) -> f64 {
        self.network[Self::row(algorithm)][protocol as usize]
    }

    /// On one node the device's own row; between nodes that of the host's processor, of which Intel's is the
    /// Volta row (tuning.cc 272-276).
    pub(in crate::collective) const fn low_latency_cap(&self, architecture: Architecture, nodes: u32) -> f64 {
        let row = if nodes > 1 { 0 } else { architecture as usize };
        self.low_latency_cap[row][Self::column(nodes)]
    }

    pub(super) const fn ring_128_cap(&self, architecture: Architecture, nodes: u32) -> f64 {
        self.ring_128_cap[architecture as usize][Self::column(nodes)]
    }

    pub(super) const fn tree_128_cap(&self, architecture: Architecture, nodes: u32) -> f64 {
        self.tree_128_cap[architecture as usize][Self::column(nodes)]
    }

    pub(super) const fn tree_cap(&self, architecture: Architecture, nodes: u32) -> f64 {
        self.tree_cap[architecture as usize][Self::column(nodes)]
    }

    pub(super) const fn nvls_tree_cap(&self, architecture: Architecture, nodes: u32) -> f64 {
        self.nvls_tree_cap[architecture as usize][Self::column(nodes)]
    }

    pub(super) const fn nvls_efficiency(&self, architecture: Architecture) -> f64 {
        self.nvls_efficiency[architecture as usize]
    }

    /// The correction of tree all-reduce at `bytes`.
    pub(super) fn correction(&self, protocol: Protocol, bytes: u64) -> f64 {
        let step = (bytes >> 6).checked_ilog2().map_or(0, |log| log as usize);
        self.correction[protocol as usize]
            .get(step)
            .copied()
            .unwrap_or(1.0)
    }
}

impl Architecture {
    /// The architecture that the hardware catalogue calls `name`; what is unknown counts as Hopper.
    ///
    /// The tuner goes by compute capability: from 10.0 Blackwell, 9.0 Hopper, 8.0 Ampere (`tuning.cc` 262-270). Ada is 8.9.
    #[must_use]
    pub fn named(name: &str) -> Self {
        let name = name.to_ascii_lowercase();
        if name.contains("volta") {
            Self::Volta
        } else if name.contains("ampere") || name.contains("ada") {
            Self::Ampere
        } else if name.contains("blackwell") {
            Self::Blackwell
        } else {
            Self::Hopper
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn architectures_of_the_catalogue() {
        for (name, architecture) in [
            ("Volta", Architecture::Volta),
            ("Ampere", Architecture::Ampere),
            ("Ada", Architecture::Ampere),
            ("Hopper", Architecture::Hopper),
            ("Blackwell Ultra", Architecture::Blackwell),
        ] {
            assert_eq!(Architecture::named(name), architecture, "{name}");
        }
    }
}
