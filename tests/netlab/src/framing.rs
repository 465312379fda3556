//! What a link carries for each byte that a socket is given.

use orrery_units::Bytes;

/// Header of an Ethernet frame. The check sequence, preamble and gap of a real wire are not counted by the
/// kernel's shapers, and so not here.
const ETHERNET: u64 = 14;
/// Header of an IPv4 packet without options.
const IPV4: u64 = 20;
/// Header of a TCP segment with the time stamps (RFC 7323) that Linux sends by default: 20 + 12.
const TCP: u64 = 32;
/// Full segments to one acknowledgement: the most that RFC 5681, section 4.2, lets a receiver wait.
const SEGMENTS_PER_ACKNOWLEDGEMENT: u64 = 2;

/// Bytes on the link per byte of payload.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Framing {
    /// In the direction of the data.
    pub(crate) data: f64,
    /// In the other direction.
    pub(crate) acknowledgement: f64,
}

impl Framing {
    /// Payload alone: what a shaper in the sender counts.
    pub(crate) const NONE: Self = Self {
        data: 1.0,
        acknowledgement: 0.0,
    };

    /// TCP over IPv4 over Ethernet, all segments full.
    ///
    /// A segment has `MTU − 20 − 32` bytes of payload. The data's direction carries
    /// `(MTU + 14) / (MTU − 52)` bytes for each of them, the other `66 / (2 (MTU − 52))`: one
    /// acknowledgement of `14 + 20 + 32` bytes for two segments (RFC 5681, section 4.2). An MTU of 1500 gives
    /// 1514 / 1448 = 1.0456 and 66 / 2896 = 0.0228. It holds for segments that the kernel hands on as one, too:
    /// its shapers count the headers of each. Ignores the last segment of a message, which is shorter, losses,
    /// and that a receiver of many segments at once acknowledges them at once.
    ///
    /// # Panics
    /// When `mtu` leaves no room for payload.
    pub(crate) fn tcp(mtu: Bytes) -> Self {
        assert!(mtu.get() > IPV4 + TCP, "an MTU of {mtu:?} holds no payload");
        let payload = (mtu - Bytes::new(IPV4 + TCP)).as_f64();
        let acknowledgement = Bytes::new(ETHERNET + IPV4 + TCP).as_f64();
        Self {
            data: (mtu + Bytes::new(ETHERNET)).as_f64() / payload,
            acknowledgement: acknowledgement / (Bytes::new(SEGMENTS_PER_ACKNOWLEDGEMENT).as_f64() * payload),
        }
    }

    /// Both directions together: what a link carries on which every rank sends data to one neighbour and
    /// acknowledges what comes from the other.
    pub(crate) fn both(self) -> f64 {
        self.data + self.acknowledgement
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_mtu_of_1500_costs_what_the_formula_says() {
        let framing = Framing::tcp(Bytes::new(1500));
        assert!((framing.data - 1514.0 / 1448.0).abs() < 1e-12, "{framing:?}");
        assert!((framing.data - 1.0456).abs() < 5e-5, "{framing:?}");
        assert!(
            (framing.acknowledgement - 66.0 / 2896.0).abs() < 1e-12,
            "{framing:?}"
        );
        assert!((framing.both() - 1.0684).abs() < 5e-5, "{framing:?}");
    }

    #[test]
    fn larger_frames_cost_less() {
        let (small, large) = (Framing::tcp(Bytes::new(1500)), Framing::tcp(Bytes::new(9000)));
        assert!(large.both() < small.both(), "{large:?} against {small:?}");
        assert!(large.both() > Framing::NONE.both(), "headers are never free");
    }
}
