//! A `libnvidia-ml.so` that plays a script, for tests.
//!
//! It exports the C symbols of NVML that a collector uses, so that the unmodified wrapper crate is driven on
//! machines without a GPU. The script is a JSON file named by the environment variable
//! `ORRERY_FAKE_NVML_SCRIPT`. It refuses to look real: the driver version ends in `-orrery-fake`, and a
//! symbol that is not written here is missing, as with an old driver.

mod exports;
mod player;
mod script;
