//! The job that a process belongs to.

use serde::{Deserialize, Serialize};

/// The job that a process belongs to, as far as its environment and its control group tell.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct JobContext {
    /// Slurm's job (`SLURM_JOB_ID`, or `job_N` in the control group).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slurm_job: Option<u64>,
    /// The step of the job (`SLURM_STEP_ID`, or `step_…`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slurm_step: Option<String>,
    /// The name that its user gave the job (`SLURM_JOB_NAME`), of at most [`JobContext::LONGEST_NAME`] characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slurm_name: Option<String>,
    /// The process's rank in the job (`SLURM_PROCID`, else `RANK`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rank: Option<u32>,
    /// Processes of the job (`SLURM_NTASKS`, else `WORLD_SIZE`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub num_ranks: Option<u32>,
    /// The Kubernetes pod (its UID, from the control group).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod_uid: Option<String>,
    /// The container (its first twelve digits, from the control group).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
}

impl JobContext {
    /// Characters of a name that are kept: names become labels.
    pub const LONGEST_NAME: usize = 64;

    /// Whether nothing is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
