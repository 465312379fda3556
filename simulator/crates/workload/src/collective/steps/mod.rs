//! A collective in ever more detail: the levels that the fast ones are held against.
//!
//! | level | what it is | cost | where |
//! |---|---|---|---|
//! | 0 | a formula | one evaluation | [`super::closed_form`], [`tree::closed_form`] |
//! | 1 | one activity over a vector of ports, as training lowers it | one flow a rank | [`coupled`] |
//! | 1b | an exchange as flows per source and destination node | nodes flows a rank | [`exchange`] |
//! | 2 | every step of a ring, every chunk of a tree | 2 (n − 1) flows a rank, or 4 a chunk | [`ring`], [`tree`] |
//!
//! On an idle network level 1 equals level 0 by construction: its flows are bound by the formula's rate. Level 2
//! knows ports and dependencies only; where it agrees with the formula, the formula is right about them. None of
//! these is used to price training: they are oracles of tests, and views for those who want to see the steps.

pub mod coupled;
pub mod exchange;
mod feeder;
mod ports;
pub mod ring;
pub mod tree;

pub use feeder::Detailed;
pub use ports::Ports;
