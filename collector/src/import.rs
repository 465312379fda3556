//! What others wrote down of devices and collectives, read as what this house measures: one format a file.

mod dcgm;
mod nccl_inspector;

pub use dcgm::{DcgmDevice, DcgmError, parse_dcgm};
pub use nccl_inspector::{InspectorError, parse_inspector, parse_inspector_line};
