//! Passes over memory: norms, activations, casts, copies, optimiser updates.

use orrery_units::{Bytes, Flops};
use serde::{Deserialize, Serialize};

/// A kernel that reads and writes memory and computes next to nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MemoryPass {
    /// Bytes read.
    pub read: Bytes,
    /// Bytes written.
    pub written: Bytes,
    /// Kernels launched for it.
    pub kernels: u32,
    /// Whether every row is reduced on the way, as norms do: a row is read before any of it is written.
    #[serde(default)]
    pub reduces: bool,
}

impl MemoryPass {
    /// A pass of `kernels` kernels that reads `read` and writes `written`.
    #[must_use]
    pub const fn new(read: Bytes, written: Bytes, kernels: u32) -> Self {
        Self {
            read,
            written,
            kernels,
            reduces: false,
        }
    }

    /// The same pass, with every row reduced on the way.
    #[must_use]
    pub const fn reducing(self) -> Self {
        Self {
            reduces: true,
            ..self
        }
    }

    /// All memory traffic.
    #[must_use]
    pub fn bytes(&self) -> Bytes {
        self.read + self.written
    }

    /// Operations: none that count.
    #[must_use]
    pub const fn flops(&self) -> Flops {
        Flops::ZERO
    }

    /// Both passes, one after the other.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            read: self.read + other.read,
            written: self.written + other.written,
            kernels: self.kernels + other.kernels,
            reduces: self.reduces && other.reduces,
        }
    }
}
