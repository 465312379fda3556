//! Figures that more than one panel draws; each has its sentence for those who do not see it.

mod memory;
mod money;
mod tornado;
mod waiting;

pub(crate) use memory::memory;
pub(crate) use money::{money, written as money_in_files};
pub(crate) use tornado::tornado;
pub(crate) use waiting::waiting;
