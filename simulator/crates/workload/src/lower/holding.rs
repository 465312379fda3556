//! Memory that tasks take and give back, by cause.

use orrery_scenario::Plan;
use orrery_units::Bytes;

use crate::block::MoeRows;

pub(super) const CAUSES: [&str; 1] = ["activations"];

/// An amount of memory and its cause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) cause: u8,
    pub(super) bytes: Bytes,
}

/// Activations per layer shape.
#[derive(Debug)]
pub(super) struct Activations;

impl Activations {
    pub(super) fn new(_plan: &Plan) -> Self {
        Self
    }
    pub(super) fn attention(&self, _shape: usize) -> Held {
        Held::default()
    }
    pub(super) fn experts(&self, _shape: usize, _rows: MoeRows) -> Held {
        Held::default()
    }
}

pub(super) fn static_memory(_plan: &Plan, _pipeline: u32) -> Vec<Held> {
    Vec::new()
}
