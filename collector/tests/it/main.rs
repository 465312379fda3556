//! The collector from outside: over HTTP, as a process, and driven by a driver that plays a script.

mod absent;
mod access;
mod alerts;
mod calibrate;
mod calibrate_ranks;
mod collective;
mod collective_nccl;
mod deploy;
mod dialects;
mod disk;
mod doctor;
#[path = "../../crates/fake-cuda/for_tests.rs"]
mod fake_cuda;
mod fake_nvml;
mod fleet;
mod gate;
mod gate_measures;
mod history;
mod hostile;
mod http;
mod judging;
mod metrics;
mod moods;
mod moods_driver;
mod moods_health;
mod openmetrics;
#[cfg(feature = "otlp")]
mod otlp;
mod parsers;
mod probe;
mod process;
mod prometheus;
mod recording;
mod serve;
mod skips;
mod stream;
mod third_party;
mod tls;
mod window;
