//! A small star network of namespaces: one per rank, each with a link to a bridge in one of its own.
//!
//! Its names hold the number of this process, so that two labs do not meet. It is taken down when it is dropped;
//! only a kill that no program can hear (`SIGKILL`) leaves namespaces, as `orrery-<process>-…` in `ip netns`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::Command;

use orrery_units::{Bytes, BytesPerSec};

use crate::tool::{self, Refusal, ip};

/// Most ranks of a lab: addresses are of one small network.
pub(crate) const MOST_RANKS: usize = 32;
/// Bytes that may wait at a shaped link; as the kernel's own shapers are used at such speeds.
const QUEUE: u64 = 512 * 1024;
/// A link of a rank, as its namespace calls it.
const LINK: &str = "eth0";

/// What shapes the way out of every rank.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Shaper {
    /// The kernel's token bucket (`tc … tbf`).
    Tbf,
    /// The kernel's hierarchical token bucket (`tc … htb`).
    Htb,
    /// A token bucket in the sending process, which counts payload.
    Sender,
}

impl Shaper {
    /// What it is, for people.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Tbf => "tc tbf in the kernel",
            Self::Htb => "tc htb in the kernel",
            Self::Sender => "token bucket in the sender (counts payload, no headers)",
        }
    }
}

/// Namespaces that exist as long as this value.
#[derive(Debug)]
pub(crate) struct Lab {
    hub: String,
    ranks: Vec<String>,
}

impl Lab {
    /// Builds the network for `ranks` ranks, with frames of `mtu`.
    ///
    /// # Errors
    /// When the kernel or its tools refuse; what was built so far is taken down.
    pub(crate) fn build(ranks: usize, mtu: Bytes) -> anyhow::Result<Self> {
        let process = std::process::id();
        let mut lab = Self {
            hub: format!("orrery-{process}-hub"),
            ranks: Vec::new(),
        };
        ip(&["netns", "add", &lab.hub])?;
        ip(&["-n", &lab.hub, "link", "add", "bridge", "type", "bridge"])?;
        ip(&["-n", &lab.hub, "link", "set", "bridge", "up"])?;
        for rank in 0..ranks {
            lab.ranks.push(format!("orrery-{process}-{rank}"));
            lab.join(rank, mtu)?;
        }
        Ok(lab)
    }

    /// The namespace of `rank`, tied to the bridge.
    fn join(&self, rank: usize, mtu: Bytes) -> anyhow::Result<()> {
        let (name, port) = (self.ranks[rank].as_str(), format!("port{rank}"));
        let (port, hub) = (port.as_str(), self.hub.as_str());
        let (address, mtu) = (format!("{}/24", Self::address(rank).ip()), mtu.get().to_string());
        ip(&["netns", "add", name])?;
        ip(&[
            "link", "add", LINK, "netns", name, "mtu", &mtu, "type", "veth", "peer", "name", port, "netns",
            hub,
        ])?;
        ip(&["-n", name, "link", "set", "lo", "up"])?;
        ip(&["-n", name, "address", "add", &address, "dev", LINK])?;
        ip(&[
            "-n", hub, "link", "set", port, "mtu", &mtu, "master", "bridge", "up",
        ])?;
        ip(&["-n", name, "link", "set", LINK, "up"])
    }

    /// Where `rank` listens: any port of its own address.
    pub(crate) fn address(rank: usize) -> SocketAddr {
        let host = u8::try_from(rank + 1).expect("a lab has few ranks");
        SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 77, 0, host)), 0)
    }

    /// A command that runs what is added to it in the namespace of `rank`.
    pub(crate) fn enter(&self, rank: usize) -> Command {
        let mut command = tool::command("ip");
        command.args(["netns", "exec", &self.ranks[rank]]);
        command
    }

    /// The first shaper that the kernel has; the sender's own where it has none.
    ///
    /// # Errors
    /// When there is no tool to ask the kernel with.
    pub(crate) fn offered(&self) -> Result<Shaper, Refusal> {
        let (rate, burst) = (BytesPerSec::new(12.5e6), Bytes::new(32 * 1024));
        for shaper in [Shaper::Tbf, Shaper::Htb] {
            match self.shape_one(&self.ranks[0], shaper, rate, burst) {
                Ok(()) => return Ok(shaper),
                Err(Refusal::Absent) => return Err(Refusal::Absent),
                Err(Refusal::Refused(_)) => {}
            }
        }
        Ok(Shaper::Sender)
    }

    /// Shapes the way out of every rank.
    ///
    /// # Errors
    /// When the kernel does not have the shaper.
    pub(crate) fn shape(&self, shaper: Shaper, rate: BytesPerSec, burst: Bytes) -> Result<(), Refusal> {
        self.ranks
            .iter()
            .try_for_each(|name| self.shape_one(name, shaper, rate, burst))
    }

    fn shape_one(&self, name: &str, shaper: Shaper, rate: BytesPerSec, burst: Bytes) -> Result<(), Refusal> {
        // What was there before, of another kind perhaps; on a fresh link there is nothing to remove.
        let _fresh = tool::run("tc", &["-n", name, "qdisc", "del", "dev", LINK, "root"]);
        let rate = format!("{:.0}bit", rate.get() * 8.0);
        let (burst, limit) = (burst.get().to_string(), QUEUE.to_string());
        let root = ["-n", name, "qdisc", "add", "dev", LINK, "root"];
        match shaper {
            Shaper::Tbf => {
                let bucket = ["tbf", "rate", &rate, "burst", &burst, "limit", &limit];
                tool::run("tc", &[&root[..], &bucket[..]].concat())
            }
            Shaper::Htb => {
                tool::run(
                    "tc",
                    &[&root[..], &["handle", "1:", "htb", "default", "1"]].concat(),
                )?;
                let class = [
                    "-n", name, "class", "add", "dev", LINK, "parent", "1:", "classid", "1:1",
                ];
                let bucket = [
                    "htb", "rate", &rate, "ceil", &rate, "burst", &burst, "cburst", &burst,
                ];
                tool::run("tc", &[&class[..], &bucket[..]].concat())
            }
            Shaper::Sender => Ok(()),
        }
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for name in self.ranks.iter().chain([&self.hub]) {
            // One that was never made cannot be removed; the others are to go all the same.
            let _absent = tool::run("ip", &["netns", "delete", name]);
        }
    }
}
