//! Tests of the whole house: one binary, one file per way of failing.

mod layering;
mod tidy;
