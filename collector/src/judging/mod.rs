//! What the daemon makes of its samples: it follows trainers, hears the judge, and puts what it says on the board.
//!
//! Trainers are read on a thread of their own, since a log may lie on a file system that hangs; the clerk judges at
//! the pace of samples, at most once a second. Nothing is done about an alert but to tell it.

mod clerk;
mod files;
mod follow;
mod socket;
mod trainers;
mod waits;

use std::path::PathBuf;

use orrery_profile::{Profile, ProfileError};
use orrery_telemetry::judge::{Alert, Rules};
use orrery_telemetry::trainer::Description;
use orrery_units::{Ratio, SimDuration};
use thiserror::Error;

pub(crate) use self::clerk::{Clerk, Shared};
pub use self::files::FileFault;
pub(crate) use self::trainers::Trainers;

/// What the daemon is told about judging.
#[derive(Clone, Debug, Default)]
pub struct Judging {
    /// Rules (TOML): thresholds, presets, what is off. The defaults, if none.
    pub rules: Option<PathBuf>,
    /// Jobs (TOML): where their logs are, and what they train.
    pub jobs: Option<PathBuf>,
    /// Where trainers write JSON lines to: a Unix socket.
    pub trainer_socket: Option<PathBuf>,
    /// The profile (JSON) that collectives are held against.
    pub profile: Option<PathBuf>,
}

/// What the files of [`Judging`] hold.
#[derive(Debug, Default)]
pub(crate) struct Prepared {
    pub(crate) rules: Rules,
    pub(crate) jobs: Vec<Followed>,
    pub(crate) trainer_socket: Option<PathBuf>,
    pub(crate) profile: Option<Profile>,
}

/// A job whose log is followed.
#[derive(Clone, Debug)]
pub(crate) struct Followed {
    pub(crate) name: String,
    pub(crate) log: Option<PathBuf>,
    pub(crate) from_start: bool,
    pub(crate) description: Description,
}

/// Why a daemon cannot judge as it was told.
#[derive(Debug, Error)]
pub enum JudgingError {
    /// A file cannot be read.
    #[error("{fault}: `{}`", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        fault: std::io::Error,
    },
    /// A file of rules or jobs is wrong.
    #[error(transparent)]
    File(#[from] FileFault),
    /// A profile is wrong.
    #[error("{}:{fault}", .path.display())]
    Profile {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        fault: ProfileError,
    },
    /// The socket cannot be listened on.
    #[error("cannot listen for trainers: {fault}: `{}`\nname a path in a folder of your own with `--trainer-socket`", .path.display())]
    Socket {
        /// Where.
        path: PathBuf,
        /// What the system said.
        fault: std::io::Error,
    },
}

/// What the judge says now, and how jobs go.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Verdict {
    /// The alerts that stand, in the order of rules and subjects.
    pub alerts: Vec<Alert>,
    /// How jobs go, by name.
    pub jobs: Vec<JobFigures>,
}

/// How a job goes, by its last step.
#[derive(Clone, Debug, PartialEq)]
pub struct JobFigures {
    /// The job.
    pub job: String,
    /// The last step's number.
    pub step: u64,
    /// Time of a step.
    pub step_time: SimDuration,
    /// Tokens of a step, over all ranks.
    pub tokens: Option<u64>,
    /// MFU, where the model is described.
    pub mfu: Option<Ratio>,
    /// MFU that was predicted.
    pub predicted_mfu: Option<Ratio>,
    /// Load of the fullest expert over the mean one's.
    pub imbalance: Option<f64>,
}

impl Judging {
    /// Reads the files.
    ///
    /// # Errors
    /// When one cannot be read, or holds what cannot be used.
    pub(crate) fn prepare(&self) -> Result<Prepared, JudgingError> {
        let rules = match &self.rules {
            Some(path) => files::rules(path, &read(path)?)?,
            None => Rules::default(),
        };
        let jobs = match &self.jobs {
            Some(path) => files::jobs(path, &read(path)?)?,
            None => Vec::new(),
        };
        let profile = self.profile.as_deref().map(read_profile).transpose()?;
        Ok(Prepared {
            rules,
            jobs,
            trainer_socket: self.trainer_socket.clone(),
            profile,
        })
    }
}

fn read(path: &std::path::Path) -> Result<String, JudgingError> {
    std::fs::read_to_string(path).map_err(|fault| JudgingError::Unreadable {
        path: path.to_owned(),
        fault,
    })
}

/// Reads the profile at `path`.
///
/// # Errors
/// When it cannot be read, or is none.
pub(crate) fn read_profile(path: &std::path::Path) -> Result<Profile, JudgingError> {
    Profile::from_json(&read(path)?).map_err(|fault| JudgingError::Profile {
        path: path.to_owned(),
        fault,
    })
}
