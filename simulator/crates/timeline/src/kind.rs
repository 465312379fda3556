//! Kinds of spans and the classes people read them by.

use orrery_units::{IndexVec, KindId};
use serde::{Deserialize, Serialize};

/// What a span is, in the words in which a training step is broken down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OpClass {
    /// Arithmetic on the device.
    Compute,
    /// Expert dispatch: tokens to their experts.
    Dispatch,
    /// Expert combine: results back to their tokens.
    Combine,
    /// Tensor-parallel (and sequence-parallel) collectives.
    Tensor,
    /// Context-parallel exchange.
    Context,
    /// Pipeline transfers between stages.
    Pipeline,
    /// Data-parallel gradient and parameter traffic.
    Data,
    /// Optimiser and what belongs to the end of a step.
    Optimizer,
    /// Host work and host waits.
    Host,
    /// Anything else.
    Other,
}

impl OpClass {
    /// Every class, in the order of legends.
    pub const ALL: [Self; 10] = [
        Self::Compute,
        Self::Dispatch,
        Self::Combine,
        Self::Tensor,
        Self::Context,
        Self::Pipeline,
        Self::Data,
        Self::Optimizer,
        Self::Host,
        Self::Other,
    ];

    /// The name in files, labels and legends.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Compute => "compute",
            Self::Dispatch => "dispatch",
            Self::Combine => "combine",
            Self::Tensor => "tensor",
            Self::Context => "context",
            Self::Pipeline => "pipeline",
            Self::Data => "data",
            Self::Optimizer => "optimizer",
            Self::Host => "host",
            Self::Other => "other",
        }
    }

    /// Whether spans of this class move data between devices.
    #[must_use]
    pub const fn is_communication(self) -> bool {
        matches!(
            self,
            Self::Dispatch | Self::Combine | Self::Tensor | Self::Context | Self::Pipeline | Self::Data
        )
    }
}

/// One kind of span.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kind {
    /// Name, such as `attention forward`.
    pub name: String,
    /// How it counts in breakdowns.
    pub class: OpClass,
}

/// The kinds of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KindTable {
    kinds: IndexVec<KindId, Kind>,
}

impl KindTable {
    /// No kinds yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a kind, or finds the one of that name.
    pub fn intern(&mut self, name: &str, class: OpClass) -> KindId {
        let known = self
            .kinds
            .iter_enumerated()
            .find(|(_, kind)| kind.name == name)
            .map(|(id, _)| id);
        known.unwrap_or_else(|| {
            self.kinds.push(Kind {
                name: name.to_owned(),
                class,
            })
        })
    }

    /// The kind of `id`.
    ///
    /// # Panics
    /// When `id` is not of this table.
    #[must_use]
    pub fn kind(&self, id: KindId) -> &Kind {
        &self.kinds[id]
    }

    /// All kinds in order.
    pub fn iter(&self) -> impl Iterator<Item = (KindId, &Kind)> {
        self.kinds.iter_enumerated()
    }

    /// The number of kinds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.kinds.len()
    }

    /// Whether there are no kinds.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.kinds.is_empty()
    }
}
