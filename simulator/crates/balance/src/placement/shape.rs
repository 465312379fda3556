//! How many of everything a placement is asked for, and why a question may have no answer.

/// The sizes of a question that has an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Experts of a layer.
    pub experts: usize,
    /// Slots for replicas on all devices, equally many on each.
    pub slots: usize,
    /// Groups of experts that a token's node limit counts in.
    pub groups: usize,
    /// Nodes.
    pub nodes: usize,
    /// Devices in all.
    pub devices: usize,
}

impl Shape {
    /// A shape, once its counts divide each other as placements need it.
    ///
    /// Groups that do not divide evenly among the nodes do not count, and then neither do nodes, as in the reference
    /// of EPLB.
    ///
    /// # Errors
    /// When a count is zero, devices do not divide slots, nodes do not divide devices, groups do not divide experts,
    /// or some expert would have no slot.
    pub fn new(
        experts: usize,
        slots: usize,
        groups: usize,
        nodes: usize,
        devices: usize,
    ) -> Result<Self, BalanceError> {
        let counts = [
            ("weights", experts),
            ("num_replicas", slots),
            ("num_groups", groups),
            ("num_nodes", nodes),
            ("num_gpus", devices),
        ];
        if let Some(&(name, _)) = counts.iter().find(|&&(_, count)| count == 0) {
            return Err(BalanceError::Zero { name });
        }
        let (groups, nodes) = if groups.is_multiple_of(nodes) {
            (groups, nodes)
        } else {
            (1, 1)
        };
        divides(("experts", experts), ("num_groups", groups))?;
        divides(("num_gpus", devices), ("num_nodes", nodes))?;
        divides(("num_replicas", slots), ("num_gpus", devices))?;
        if slots < experts {
            return Err(BalanceError::TooFew {
                replicas: slots,
                experts,
            });
        }
        Ok(Self {
            experts,
            slots,
            groups,
            nodes,
            devices,
        })
    }

    /// Slots of each device.
    #[must_use]
    pub const fn slots_per_device(&self) -> usize {
        self.slots / self.devices
    }

    /// The same as if there were one node and one group.
    #[must_use]
    pub const fn flat(self) -> Self {
        Self {
            groups: 1,
            nodes: 1,
            ..self
        }
    }
}

fn divides(of: (&'static str, usize), by: (&'static str, usize)) -> Result<(), BalanceError> {
    if of.1.is_multiple_of(by.1) {
        return Ok(());
    }
    let below = of.1 / by.1 * by.1;
    Err(BalanceError::Indivisible {
        of: of.0,
        value: of.1,
        by: by.0,
        divisor: by.1,
        below: below.max(by.1),
        above: below + by.1,
    })
}

/// Why a question has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BalanceError {
    /// A count is zero.
    #[error("`{name}` is 0\n  = help: give at least 1")]
    Zero {
        /// Which count.
        name: &'static str,
    },
    /// A layer has another number of experts than the first.
    #[error(
        "layer {layer} of `weights` has {found} experts, layer 0 has {expected}\n  = help: give every layer one load per expert"
    )]
    Ragged {
        /// Which layer.
        layer: usize,
        /// Its experts.
        found: usize,
        /// Experts of the first layer.
        expected: usize,
    },
    /// A load is negative, infinite or not a number.
    #[error(
        "the load of expert {expert} in layer {layer} is no load\n  = help: give a finite number of tokens, 0 or more"
    )]
    NoLoad {
        /// Which layer.
        layer: usize,
        /// Which expert.
        expert: usize,
    },
    /// One count does not divide another.
    #[error(
        "`{of}` = {value} is no multiple of `{by}` = {divisor}\n  = help: set `{of}` to {below} or {above}"
    )]
    Indivisible {
        /// What is to be divided.
        of: &'static str,
        /// Its value.
        value: usize,
        /// By what.
        by: &'static str,
        /// Its value.
        divisor: usize,
        /// The nearest multiple below, at least one divisor.
        below: usize,
        /// The nearest multiple above.
        above: usize,
    },
    /// Some expert would have no replica.
    #[error(
        "`num_replicas` = {replicas} is less than the {experts} experts\n  = help: set `num_replicas` to at least {experts}"
    )]
    TooFew {
        /// Replicas asked for.
        replicas: usize,
        /// Experts.
        experts: usize,
    },
}
