//! The fast sharing against its slow twin, the definition of fairness, and sums done by hand.

#[path = "fluid/batched.rs"]
mod batched;
#[path = "fluid/cases.rs"]
mod cases;
#[path = "fluid/golden.rs"]
mod golden;
#[path = "fluid/properties.rs"]
mod properties;
#[path = "fluid/stable.rs"]
mod stable;
#[path = "fluid/twin.rs"]
mod twin;
