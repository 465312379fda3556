//! Messages between two ranks, and the all-to-all that is made of them.

use orrery_profile::Parameter;

use super::{Asked, Candidate, micros};

const MIB: f64 = 1024.0 * 1024.0;
/// Chunk of a message over NVLink (`init.cc` 818-838).
const CHUNK: f64 = 0.5 * MIB;
/// The same between nodes.
const NETWORK_CHUNK: f64 = 0.125 * MIB;

/// Channels of one message of `bytes` among `ranks` ranks of a node (`enqueue.cc`, `addP2pToPlan`).
///
/// Of 32 channels each peer gets the largest power of two with which all peers fit; parts larger than 16 MiB (32 steps
/// of 512 KiB) double the channels. This is why `sendrecv` on B200 stands still from 64 to 512 MiB: 4 channels at
/// 64 MiB, 32 at 512. Worked: 8 ranks, 1 MiB: 4; 8 ranks, 256 MiB: 16.
#[must_use]
pub fn channels(ranks: f64, bytes: f64) -> f64 {
    let mut count = 32.0;
    while count * ranks > 32.0 && count > 1.0 {
        count /= 2.0;
    }
    while bytes / count > 16.0 * MIB && count <= 16.0 {
        count *= 2.0;
    }
    count
}

/// An all-to-all: each rank sends `S / n` to every rank, itself included.
///
/// `t = launch + latency + max(own copy, m / min(B / (g − 1), channels · b), S (n − g) / n / NIC) + fill`,
/// with messages of `m = S / n`; the copy of the own part runs on channels of its own.
pub(super) fn all_to_all(asked: &Asked<'_>) -> Candidate {
    let call = asked.call;
    let per_node = call.ranks_per_node();
    let message = asked.size() / call.ranks;
    let local = (per_node - 1.0).max(0.0);
    let inside = if local > 0.0 {
        micros(message, link(asked, local).min(lanes(asked, message)))
    } else {
        0.0
    };
    let across = if asked.across() {
        micros(message * (call.ranks - per_node), nic(asked))
    } else {
        0.0
    };
    let latency = asked.get(if asked.across() {
        Parameter::PeerNetworkLatency
    } else {
        Parameter::PeerLatency
    });
    let own = micros(message, asked.known.ring * asked.get(Parameter::OwnCopy));
    Candidate {
        name: "p2p",
        micros: asked.get(Parameter::Launch) + latency + own.max(inside).max(across) + fill(asked, message),
    }
}

/// A message to the next rank, as `sendrecv` of nccl-tests: over the network where any rank's neighbour is on
/// another node.
pub(super) fn message(asked: &Asked<'_>) -> Candidate {
    let size = asked.size();
    let (latency, rate) = if asked.across() {
        (asked.get(Parameter::MessageNetworkLatency), nic(asked))
    } else {
        let rate = link(asked, 1.0).min(lanes(asked, size));
        (asked.get(Parameter::PeerLatency), rate)
    };
    Candidate {
        name: "p2p",
        micros: asked.get(Parameter::Launch) + latency + micros(size, rate) + fill(asked, size),
    }
}

/// A peer's part of a device's links, GB/s.
fn link(asked: &Asked<'_>, peers: f64) -> f64 {
    asked.known.ring * asked.get(Parameter::RingShare) * asked.get(Parameter::PeerShare) * asked.far() / peers
}

fn lanes(asked: &Asked<'_>, message: f64) -> f64 {
    channels(asked.call.ranks, message) * asked.get(Parameter::ChannelRate)
}

fn nic(asked: &Asked<'_>) -> f64 {
    asked.machine.network / asked.call.ranks_per_node()
        * asked.get(Parameter::PeerNetworkShare)
        * asked.tuned()
}

/// What comes before a message moves at full rate: the change from LL to plain steps, around `m₀`, and the first chunk
/// of each channel, which is passed on only once it is whole: `chunk / b · p² / (p² + chunk²)` with parts of `p` bytes a
/// channel.
fn fill(asked: &Asked<'_>, message: f64) -> f64 {
    let plain = asked.get(Parameter::PeerFill) * message / (message + asked.get(Parameter::PeerFillBytes));
    let chunk = if asked.across() { NETWORK_CHUNK } else { CHUNK };
    let part = message / channels(asked.call.ranks, message);
    let whole = part * part / (part * part + chunk * chunk);
    plain + micros(chunk, asked.get(Parameter::ChannelRate)) * whole
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_double_with_the_size_of_parts() {
        for (mib, count) in [
            (1.0, 4.0),
            (64.0, 4.0),
            (128.0, 8.0),
            (256.0, 16.0),
            (1024.0, 32.0),
        ] {
            let got = channels(8.0, mib * MIB);
            assert!((got - count).abs() < 1e-9, "{mib} MiB: {got}");
        }
    }
}
