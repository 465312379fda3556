//! Whose a process is: its command, and the job that its environment and control group name.
//!
//! Read from procfs as far as this user may. Only the variables that name a job are looked at; nothing else of a
//! program's environment leaves this file.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use orrery_telemetry::{JobContext, Process};

/// The most that is read of one file: an environment may be megabytes, and the jobs' names stand near its start.
const MOST_BYTES: u64 = 256 * 1024;
/// Digits of a container's name that are kept, as its tools show it.
const CONTAINER_DIGITS: usize = 12;

/// What is known of one process.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Program {
    /// When it began, in the clock of the kernel.
    pub(crate) began: Option<u64>,
    /// Its command.
    pub(crate) name: String,
    pub(crate) job: JobContext,
}

/// The processes below a folder like `/proc`.
#[derive(Debug)]
pub(crate) struct Programs {
    folder: PathBuf,
}

impl Programs {
    pub(crate) fn of_this_machine() -> Self {
        Self::below(Path::new("/proc"))
    }

    pub(crate) fn below(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
        }
    }

    /// When process `pid` began, if it can be seen.
    pub(crate) fn began(&self, pid: u32) -> Option<u64> {
        let stat = self.text(pid, "stat")?;
        // The command stands in parentheses and may hold spaces and parentheses; the start is the 20th after it.
        let (_, rest) = stat.rsplit_once(')')?;
        rest.split_whitespace().nth(19)?.parse().ok()
    }

    /// What can be seen of process `pid`.
    pub(crate) fn look_up(&self, pid: u32) -> Program {
        let name = self.text(pid, "comm").unwrap_or_default();
        let group = self.text(pid, "cgroup").unwrap_or_default();
        let environment = self.text(pid, "environ").unwrap_or_default();
        Program {
            began: self.began(pid),
            name: shortened(name.trim(), Process::LONGEST_NAME),
            job: job_of(&environment, &group),
        }
    }

    fn text(&self, pid: u32, file: &str) -> Option<String> {
        let path = self.folder.join(pid.to_string()).join(file);
        let mut bytes = Vec::new();
        fs::File::open(path)
            .ok()?
            .take(MOST_BYTES)
            .read_to_end(&mut bytes)
            .ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }
}

fn shortened(text: &str, most: usize) -> String {
    text.chars()
        .filter(|letter| !letter.is_control())
        .take(most)
        .collect()
}

/// The job that an environment (`NAME=value`, separated by zeros) and the lines of a control group name. The
/// environment knows more; where it cannot be read, the group says at least which job.
fn job_of(environment: &str, group: &str) -> JobContext {
    let variable = |name: &str| {
        let mut pairs = environment.split('\0').filter_map(|pair| pair.split_once('='));
        pairs.find(|(known, _)| *known == name).map(|(_, value)| value)
    };
    let number = |names: [&str; 2]| names.into_iter().find_map(|name| variable(name)?.parse().ok());
    let part = |prefix: &str| {
        let mut parts = group.split(['/', '\n']);
        parts.find_map(|part| part.strip_prefix(prefix))
    };
    JobContext {
        slurm_job: variable("SLURM_JOB_ID")
            .or_else(|| part("job_"))
            .and_then(|text| text.parse().ok()),
        slurm_step: variable("SLURM_STEP_ID")
            .or_else(|| part("step_"))
            .map(|text| shortened(text, JobContext::LONGEST_NAME)),
        slurm_name: variable("SLURM_JOB_NAME").map(|text| shortened(text, JobContext::LONGEST_NAME)),
        rank: number(["SLURM_PROCID", "RANK"]),
        num_ranks: number(["SLURM_NTASKS", "WORLD_SIZE"]),
        pod_uid: pod_uid(group),
        container: container(group),
    }
}

/// The UID of a Kubernetes pod: `…/pod8dbc5577_…/…` below systemd (with `_` for `-`), `…/pod8dbc5577-…/…` else.
fn pod_uid(group: &str) -> Option<String> {
    group.split(['/', '\n']).find_map(|part| {
        let name = part.strip_suffix(".slice").unwrap_or(part);
        let (_, uid) = name.rsplit_once("pod")?;
        let uid = uid.replace('_', "-");
        let is_uid = uid.len() == 36
            && uid
                .chars()
                .all(|letter| letter.is_ascii_hexdigit() || letter == '-');
        is_uid.then_some(uid)
    })
}

/// The container: the last part of 64 hexadecimal digits, whatever stands around it (`cri-containerd-….scope`,
/// `docker-….scope`, bare).
fn container(group: &str) -> Option<String> {
    let mut parts = group.split(['/', '\n', '-', '.', ':']);
    let is_name = |part: &&str| part.len() == 64 && part.bytes().all(|letter| letter.is_ascii_hexdigit());
    Some(parts.rfind(is_name)?[..CONTAINER_DIGITS].to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTAINER: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn slurm_is_found_in_the_environment_and_in_the_control_group() {
        let environment = "PATH=/bin\0SLURM_JOB_ID=4711\0SECRET=x\0SLURM_STEP_ID=0\0SLURM_JOB_NAME=ds3\0\
                           SLURM_PROCID=5\0SLURM_NTASKS=64\0RANK=9";
        let job = job_of(environment, "");
        assert_eq!(
            (job.slurm_job, job.rank, job.num_ranks),
            (Some(4711), Some(5), Some(64))
        );
        assert_eq!(
            (job.slurm_step.as_deref(), job.slurm_name.as_deref()),
            (Some("0"), Some("ds3"))
        );
        // As Slurm's two plugins for control groups make them.
        for group in [
            "0::/system.slice/slurmstepd.scope/job_4711/step_0/user/task_0\n",
            "11:memory:/slurm/uid_1000/job_4711/step_batch/task_0\n",
        ] {
            let job = job_of("", group);
            assert_eq!(job.slurm_job, Some(4711), "{group}");
            assert!(job.slurm_step.is_some() && job.rank.is_none() && job.pod_uid.is_none());
        }
        let torchrun = job_of("RANK=3\0WORLD_SIZE=8", "0::/user.slice");
        assert_eq!(
            (torchrun.rank, torchrun.num_ranks, torchrun.slurm_job),
            (Some(3), Some(8), None)
        );
    }

    #[test]
    fn pods_are_found_whichever_driver_made_the_control_group() {
        let uid = "8dbc5577-d0e2-4706-8787-57d52c03ddf2";
        for group in [
            format!(
                "0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{}.slice/\
                 cri-containerd-{CONTAINER}.scope",
                uid.replace('-', "_")
            ),
            format!("0::/kubepods/burstable/pod{uid}/{CONTAINER}"),
        ] {
            let job = job_of("", &group);
            assert_eq!(job.pod_uid.as_deref(), Some(uid), "{group}");
            assert_eq!(job.container.as_deref(), Some("0123456789ab"), "{group}");
        }
        let docker = job_of("", &format!("0::/system.slice/docker-{CONTAINER}.scope"));
        assert_eq!(
            (docker.pod_uid, docker.container.as_deref()),
            (None, Some("0123456789ab"))
        );
        assert!(job_of("", "0::/\n").is_empty());
    }

    #[test]
    fn a_process_is_looked_up_and_one_that_is_gone_is_empty() {
        let folder = tempfile::tempdir().unwrap();
        let process = folder.path().join("42");
        fs::create_dir(&process).unwrap();
        let fields: Vec<String> = (3..=52).map(|number| number.to_string()).collect();
        fs::write(process.join("stat"), format!("42 (a (b) c) {}", fields.join(" "))).unwrap();
        fs::write(process.join("comm"), format!("{}\n", "p".repeat(100))).unwrap();
        fs::write(process.join("environ"), b"SLURM_JOB_ID=7\0\xff\xfe=\0").unwrap();
        let programs = Programs::below(folder.path());
        let program = programs.look_up(42);
        // Field 22 of proc_pid_stat(5).
        assert_eq!(
            (program.began, program.name.len(), program.job.slurm_job),
            (Some(22), 64, Some(7))
        );
        assert_eq!(programs.look_up(43), Program::default());
    }
}
