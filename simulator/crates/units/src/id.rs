//! The handles that tasks, engine and timeline share. What a handle stands for is the domain's secret.

use crate::index::define_index;

define_index!(
    /// A program: one ordered emitter of tasks, such as a rank of a training job.
    ProgramId
);
define_index!(
    /// A lane: what runs one thing at a time, in order, such as a stream of a device.
    LaneId
);
define_index!(
    /// A device: what compute tasks and occupants share.
    DeviceId
);
define_index!(
    /// A link: what flows share.
    LinkId
);
define_index!(
    /// An interned list of weighted links.
    PathId
);
define_index!(
    /// A rendezvous group: who must arrive before an activity starts.
    GroupId
);
define_index!(
    /// A kind of task, such as "attention forward"; totals are kept per kind.
    KindId
);
