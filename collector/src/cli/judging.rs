//! Arguments of `serve` that say what alerts are raised by, and where jobs tell how they go.

use std::path::PathBuf;

use clap::Args;

use crate::Judging;

/// What alerts are raised by, and where jobs tell how they go.
#[derive(Debug, Args)]
#[command(next_help_heading = "Alerts")]
pub(super) struct JudgingArguments {
    /// Thresholds, presets (`article-kpi`) and what is off, as TOML; collector/deploy/rules.toml has every key with
    /// its default. Silent on a healthy cluster without any.
    #[arg(long, value_name = "FILE")]
    rules: Option<PathBuf>,
    /// Jobs, as TOML: where each one's log is (Megatron-LM or torchtitan), and what it trains, from which its MFU
    /// comes; collector/deploy/jobs.toml is an example.
    #[arg(long, value_name = "FILE")]
    jobs: Option<PathBuf>,
    /// A Unix socket to make, to which trainers write JSON lines (`trainer/1`).
    #[arg(long, value_name = "PATH")]
    trainer_socket: Option<PathBuf>,
    /// The profile that collectives of jobs are held against.
    #[arg(long, value_name = "FILE")]
    profile: Option<PathBuf>,
}

impl JudgingArguments {
    pub(super) fn judging(self) -> Judging {
        Judging {
            rules: self.rules,
            jobs: self.jobs,
            trainer_socket: self.trainer_socket,
            profile: self.profile,
        }
    }
}
