//! What tasks use: lanes on devices, links, rendezvous groups.

use orrery_units::{BytesPerSec, DeviceId, GroupId, IndexVec, LaneId, LinkId, PathId, ProgramId, SimTime};

/// A lane: runs the tasks put on it one at a time, in order of emission.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lane {
    /// Whose tasks it runs.
    pub program: ProgramId,
    /// The device it is a stream of.
    pub device: DeviceId,
    /// What people call it, such as `compute`; the same for the like lane of every program.
    pub name: &'static str,
}

/// A link that flows share.
#[derive(Clone, Debug, PartialEq)]
pub struct Link {
    /// What people call it.
    pub name: String,
    /// How much it carries.
    pub capacity: BytesPerSec,
}

/// A link that carries more or less from some instant on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CapacityChange {
    /// When.
    pub at: SimTime,
    /// Which link.
    pub link: LinkId,
    /// What it carries from then on; none, which is `BytesPerSec::default()`, is down.
    pub capacity: BytesPerSec,
}

/// A link of a path and the weight with which a flow on that path loads it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PathUse {
    /// The link.
    pub link: LinkId,
    /// Bytes on the link per byte of the flow.
    pub weight: f64,
}

/// Everything that tasks of a run may use; fixed before the run starts.
#[derive(Clone, Debug)]
pub struct Resources {
    /// Number of tasks the host may be ahead of the last completed one, per program.
    pub run_ahead: u32,
    /// Programs, by name (such as `rank 17`).
    pub programs: IndexVec<ProgramId, String>,
    /// Number of devices.
    pub num_devices: u32,
    /// Lanes.
    pub lanes: IndexVec<LaneId, Lane>,
    /// Links.
    pub links: IndexVec<LinkId, Link>,
    /// How links change over time, in order of time.
    pub changes: Vec<CapacityChange>,
    /// Paths over links; entry 0 is the empty path.
    pub paths: IndexVec<PathId, Vec<PathUse>>,
    /// Number of parties of each rendezvous group.
    pub groups: IndexVec<GroupId, u32>,
    /// Names of memory causes, at most 16.
    pub causes: Vec<&'static str>,
}

impl Resources {
    /// The path of a flow that shares no link with anybody.
    pub const PRIVATE: PathId = PathId::new(0);

    /// No resources yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            run_ahead: 1024,
            programs: IndexVec::new(),
            num_devices: 0,
            lanes: IndexVec::new(),
            links: IndexVec::new(),
            changes: Vec::new(),
            paths: IndexVec::from(vec![Vec::new()]),
            groups: IndexVec::new(),
            causes: Vec::new(),
        }
    }

    /// Adds a program.
    pub fn add_program(&mut self, name: impl Into<String>) -> ProgramId {
        self.programs.push(name.into())
    }

    /// Adds a device.
    pub fn add_device(&mut self) -> DeviceId {
        let id = DeviceId::new(self.num_devices);
        self.num_devices += 1;
        id
    }

    /// Adds a lane of `program` on `device`.
    pub fn add_lane(&mut self, program: ProgramId, device: DeviceId, name: &'static str) -> LaneId {
        self.lanes.push(Lane {
            program,
            device,
            name,
        })
    }

    /// Adds a rendezvous group of `parties`.
    ///
    /// # Panics
    /// When there is no party.
    pub fn add_group(&mut self, parties: u32) -> GroupId {
        assert!(parties > 0, "a rendezvous has at least one party");
        self.groups.push(parties)
    }

    /// Adds a shared link.
    pub fn add_link(&mut self, name: impl Into<String>, capacity: BytesPerSec) -> LinkId {
        self.links.push(Link {
            name: name.into(),
            capacity,
        })
    }

    /// Interns a path.
    pub fn add_path(&mut self, uses: Vec<PathUse>) -> PathId {
        self.paths.push(uses)
    }
}

impl Default for Resources {
    fn default() -> Self {
        Self::new()
    }
}
