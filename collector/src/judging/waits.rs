//! How long the ranks of jobs waited in collectives, from the samples of NCCL's inspector, for the steps that trainers
//! tell.

use std::collections::BTreeMap;
use std::sync::Arc;

use orrery_telemetry::judge::{Arrivals, JobState, RankProcess};
use orrery_telemetry::{Sample, UnixTime};
use orrery_units::SimDuration;

/// What was heard of collectives, until a step comes that it belongs to.
#[derive(Debug, Default)]
pub(super) struct Waits {
    arrivals: Arrivals,
    /// The last sample of each source that was heard.
    heard: BTreeMap<String, u64>,
    /// The last step of each job that was given its waits.
    given: BTreeMap<String, u64>,
}

impl Waits {
    /// Takes in what `samples` tell that was not heard before.
    pub(super) fn hear(&mut self, samples: &[Arc<Sample>], now: UnixTime) {
        let mut news = Vec::new();
        for sample in samples.iter().filter(|sample| !sample.collectives.is_empty()) {
            let heard = self.heard.insert(sample.source.clone(), sample.sequence);
            if heard != Some(sample.sequence) {
                news.extend(&sample.collectives);
            }
        }
        self.arrivals.hear(news, now);
    }

    /// Gives the steps of `jobs` the waits since the steps before, where their trainers told none. `slurm` holds the
    /// numbers of the jobs; a single job needs none, since all collectives are its own.
    pub(super) fn give(
        &mut self,
        jobs: &mut [JobState],
        slurm: &BTreeMap<String, u64>,
        samples: &[Arc<Sample>],
    ) {
        let is_single = jobs.len() == 1;
        self.given
            .retain(|name, _| jobs.iter().any(|job| job.name == *name));
        for job in jobs {
            let Some(last) = job.steps.last().map(|step| step.number) else {
                continue;
            };
            let before = self.given.insert(job.name.clone(), last);
            if job.steps.iter().any(|step| !step.waits.is_empty()) {
                continue;
            }
            let placed = slurm.get(&job.name).map(|&number| ranks_of(number, samples));
            let placed = placed.filter(|placed| !placed.is_empty());
            let is_own = |process: &RankProcess| match &placed {
                Some(placed) => placed.contains_key(process),
                None => is_single,
            };
            let ranks = placed.clone().unwrap_or_else(|| self.arrivals.ranks(is_own));
            let waits = self.arrivals.take(is_own);
            // Waits of who knows how many steps are those of none.
            let num_steps = before
                .and_then(|before| last.checked_sub(before))
                .filter(|&num| num > 0);
            let Some(num_steps) = num_steps else { continue };
            let of_step: BTreeMap<u32, SimDuration> = waits
                .into_iter()
                .filter_map(|(process, wait)| Some((*ranks.get(&process)?, wait / num_steps)))
                .collect();
            for step in &mut job.steps {
                step.waits.clone_from(&of_step);
            }
        }
    }
}

/// The ranks of the processes of Slurm's job `number` on the devices of `samples`.
fn ranks_of(number: u64, samples: &[Arc<Sample>]) -> BTreeMap<RankProcess, u32> {
    let devices = samples.iter().flat_map(|sample| &sample.devices);
    let processes = devices.flat_map(|device| {
        let processes = device.processes.value().into_iter().flatten();
        processes.map(|process| (&device.identity.node, process))
    });
    let own = processes.filter(|(_, process)| process.job.slurm_job == Some(number));
    own.filter_map(|(node, process)| {
        let (node, pid) = (node.clone(), process.pid);
        Some((RankProcess { node, pid }, process.job.rank?))
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use orrery_telemetry::judge::{Frame, Judge, Rule, Rules, Step, Subject};
    use orrery_telemetry::{
        Absence, Collective, DeviceIdentity, DeviceSample, JobContext, Origin, Process, Reading,
    };
    use orrery_units::{Bytes, BytesPerSec, SimTime};

    use super::*;

    const NUM_RANKS: u32 = 8;
    const SLOW: u32 = 5;
    /// Collectives of a step.
    const PER_STEP: u64 = 4;

    fn sample(source: &str, sequence: u64) -> Sample {
        Sample {
            source: source.to_owned(),
            origin: Origin::Fake,
            sequence,
            at: SimTime::ZERO,
            taken: UnixTime::from_millis(0),
            devices: Vec::new(),
            host: None,
            collectives: Vec::new(),
        }
    }

    /// The collectives of step `number`, which takes a second: the slow rank comes 20 ms late to each.
    fn collectives(number: u64) -> Vec<Collective> {
        let of_rank = |sequence: u64| {
            (0..NUM_RANKS).map(move |rank| Collective {
                communicator: "0x7f".to_owned(),
                rank,
                num_ranks: NUM_RANKS,
                num_nodes: 1,
                node: "node-0".to_owned(),
                pid: 1000 + rank,
                sequence,
                operation: "AllReduce".to_owned(),
                bytes: Bytes::new(1 << 20),
                duration: SimDuration::from_micros(if rank == SLOW {
                    500
                } else {
                    20_500 + u64::from(rank)
                }),
                algorithm_bandwidth: BytesPerSec::default(),
                bus_bandwidth: BytesPerSec::default(),
                at: UnixTime::from_millis(0),
            })
        };
        (PER_STEP * number..PER_STEP * (number + 1))
            .flat_map(of_rank)
            .collect()
    }

    /// Eight devices, whose processes have the ranks of Slurm's job 7, the last one first.
    fn devices() -> Sample {
        let device = |index: u32| {
            let identity = DeviceIdentity {
                node: "node-0".to_owned(),
                index,
                uuid: format!("GPU-{index}"),
                model: "model".to_owned(),
            };
            let process = Process {
                pid: 1000 + index,
                name: "python".to_owned(),
                memory: Reading::Value(Bytes::new(1)),
                gpu_instance: None,
                job: JobContext {
                    slurm_job: Some(7),
                    rank: Some(NUM_RANKS - 1 - index),
                    ..JobContext::default()
                },
            };
            let mut device = DeviceSample::absent(identity, &Absence::NotSupported);
            device.processes = Reading::Value(vec![process]);
            device
        };
        Sample {
            devices: (0..NUM_RANKS).map(device).collect(),
            ..sample("nvml", 0)
        }
    }

    /// The alerts after 400 steps of a second, with what the inspector wrote before each.
    fn alerts(slurm: Option<u64>, names: &[&str]) -> Vec<(Rule, Subject, String)> {
        let mut waits = Waits::default();
        let mut judge = Judge::new(Rules::default());
        let slurm: BTreeMap<String, u64> = slurm
            .map(|number| (names[0].to_owned(), number))
            .into_iter()
            .collect();
        for number in 0..400 {
            let at = UnixTime::from_millis(1_000 * number);
            let written = Sample {
                collectives: collectives(number),
                ..sample("nccl", number)
            };
            let samples = [Arc::new(devices()), Arc::new(written)];
            // A sample that is still there is heard once.
            waits.hear(&samples, at);
            waits.hear(&samples, at);
            let mut frame = Frame::of(at, &samples, &[]);
            let step = Step {
                number,
                at,
                time: SimDuration::from_secs(1.0),
                ..Step::default()
            };
            let job = |name: &&str| JobState {
                name: (*name).to_owned(),
                steps: vec![step.clone()],
                ..JobState::default()
            };
            frame.jobs = names.iter().map(job).collect();
            waits.give(&mut frame.jobs, &slurm, &samples);
            judge.hear(&frame);
        }
        let standing = judge.standing();
        standing
            .map(|alert| (alert.rule, alert.subject.clone(), alert.what.clone()))
            .collect()
    }

    #[test]
    fn the_rank_that_waits_least_in_the_inspectors_collectives_is_the_straggler() {
        // A single job, of whose processes nothing is known: ranks are those of its communicator.
        let [(Rule::Straggler, Subject::Rank { job, rank }, what)] = &alerts(None, &["pretrain"])[..] else {
            panic!("{:?}", alerts(None, &["pretrain"]))
        };
        assert_eq!((job.as_str(), *rank), ("pretrain", SLOW));
        // Four times 20 ms of a second.
        assert!(
            what.starts_with("rank 5 makes the others wait 80 ms of every 1 s step"),
            "{what}"
        );
    }

    #[test]
    fn ranks_are_those_of_slurm_where_it_says_them_and_collectives_of_nobody_are_given_to_none_of_two() {
        let named = alerts(Some(7), &["pretrain", "other"]);
        let ranks: Vec<&Subject> = named.iter().map(|(_, subject, _)| subject).collect();
        let wanted = Subject::Rank {
            job: "pretrain".to_owned(),
            rank: NUM_RANKS - 1 - SLOW,
        };
        assert_eq!(ranks, [&wanted]);
        assert_eq!(alerts(None, &["pretrain", "other"]), []);
    }
}
