//! What can be wrong with the cluster, by what it does to the readings.

use super::DEVICES_PER_NODE;

/// The rank of the large job that does not come to its collective when it hangs.
pub(super) const HUNG_RANK: u32 = 13;

/// A fault of one kind at one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What is wrong.
    pub kind: FaultKind,
    /// The node.
    pub node: u32,
    /// The device there, or the port beside it.
    pub gpu: u32,
}

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// The device falls off the bus.
    DeviceLost,
    /// A call into its driver does not return.
    DeviceSilent,
    /// The driver tells an event of that code, every minute.
    Xid(u32),
    /// Memory returns what cannot be corrected, every two minutes.
    EccUncorrectable,
    /// A row waits to be replaced.
    RemapPending,
    /// No row is left to replace one.
    RemapFailure,
    /// The device is too hot and slowed down.
    Overheats,
    /// The power supply pulls the brake.
    PowerBrake,
    /// The device is hot, and not yet slowed down.
    Hot,
    /// The clock stays low, and nobody says why.
    ClockStuck,
    /// Somebody lowered the power limit.
    PowerCapLowered,
    /// The device computes slowly, at its full clock.
    SlowDevice,
    /// All devices give less than they were calibrated at.
    FleetBelowProfile,
    /// The process of the device died.
    RankDied,
    /// The PCIe link has half of its lanes.
    PcieWidth,
    /// The PCIe link sends again and again.
    PcieReplays,
    /// An NVLink is down.
    NvlinkDown,
    /// The NVLinks have errors.
    NvlinkErrors,
    /// The port beside the device is down.
    NicDown,
    /// That port has errors.
    NicErrors,
    /// That port sends again and again.
    NicRetransmits,
    /// Memory in use grows.
    MemoryLeak,
    /// Tensors use nearly all memory.
    MemoryNearFull,
    /// The allocator holds what no tensor uses.
    MemoryFragmented,
    /// All ranks of all jobs got slower alike.
    JobSlow,
    /// The large job is slower than was predicted, and always was.
    BelowPrediction,
    /// The experts of the large job are loaded less evenly.
    ExpertImbalance,
    /// Collectives take longer.
    CollectiveSlow,
    /// The host of the device is slow.
    SlowHost,
    /// The large job waits in a collective for ever.
    Hang,
    /// The source gives no samples.
    SourceSilent,
    /// Samples are lost on the way.
    SourceDrops,
}

impl FaultKind {
    /// Whether it touches every device.
    pub(super) const fn is_everywhere(self) -> bool {
        matches!(self, Self::FleetBelowProfile | Self::Hang)
    }

    /// Speed of a device with it, of 1.
    pub(super) const fn speed(self) -> f64 {
        match self {
            Self::Overheats => 0.62,
            Self::PowerBrake => 0.55,
            Self::ClockStuck => 0.7,
            Self::PowerCapLowered => 0.97,
            Self::SlowDevice | Self::PcieWidth | Self::SlowHost => 0.87,
            Self::NicRetransmits => 0.9,
            _ => 1.0,
        }
    }
}

impl Fault {
    /// A fault of `kind` at device `gpu` of node `node`.
    #[must_use]
    pub const fn new(kind: FaultKind, node: u32, gpu: u32) -> Self {
        Self { kind, node, gpu }
    }

    /// The place of its device in the cluster.
    pub(super) const fn place(self) -> usize {
        (self.node * DEVICES_PER_NODE + self.gpu) as usize
    }
}
