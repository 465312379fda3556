//! The rank that makes the others wait: the one that itself waits least in collectives.
//!
//! A collective ends when its last rank arrives, so every other rank waits and the last one does not. Why it is last
//! is looked for among its clock, what throttles it, its PCIe link and the retransmits of its ports.

use std::collections::BTreeMap;

use orrery_units::{significant, with_si_prefix};

use super::super::history::{History, JobHistory, recent};
use super::super::hysteresis::{Findings, Symptom};
use super::super::statistics::{Fleet, median};
use super::super::{DeviceView, Evidence, JobState, Rule, Severity, Subject};
use super::{Context, megahertz, symptom};
use crate::Hertz;

/// Clocks and retransmits that differ less than this from the others' explain nothing.
const SLOWER_CLOCK: f64 = 0.95;

pub(super) fn look(context: &Context<'_>, history: &History, findings: &mut Findings<'_>) {
    for job in &context.frame.jobs {
        let Some(of_job) = history.jobs.get(&job.name).filter(|_| !job.steps.is_empty()) else {
            continue;
        };
        let Some(waits) = waits(of_job) else { continue };
        let straggler = straggler(context, of_job, &waits);
        for &rank in waits.keys() {
            let found = straggler.filter(|found| found.rank == rank);
            let symptom = found.map(|found| found.symptom(context, history, job));
            let subject = Subject::Rank {
                job: job.name.clone(),
                rank,
            };
            findings.say(Rule::Straggler, &subject, symptom);
        }
    }
}

/// The wait of each rank of which the last step told, as the median over the last steps.
fn waits(history: &JobHistory) -> Option<BTreeMap<u32, f64>> {
    let last = history.recent_waits.back()?;
    let same: Vec<&BTreeMap<u32, f64>> = history
        .recent_waits
        .iter()
        .filter(|waits| waits.keys().eq(last.keys()))
        .collect();
    if same.len() < 5 {
        return None;
    }
    last.keys()
        .map(|rank| Some((*rank, median(same.iter().map(|waits| waits[rank]))?)))
        .collect()
}

/// A rank that waits less than the others.
#[derive(Clone, Copy)]
struct Found {
    rank: u32,
    wait: f64,
    others: f64,
    step: f64,
}

fn straggler(context: &Context<'_>, history: &JobHistory, waits: &BTreeMap<u32, f64>) -> Option<Found> {
    let step = recent(&history.recent_times)?;
    let (&rank, &wait) = waits.iter().min_by(|(_, a), (_, b)| a.total_cmp(b))?;
    let waits: Vec<f64> = waits.values().copied().collect();
    // The floor is a share of the step, not of the wait: who waits for next to nothing waits for nobody.
    let fleet = Fleet::of(&waits, 0.0)?;
    let least = context.thresholds().straggler.get() * step;
    let is_apart = fleet.median - wait > fleet.apart.max(least);
    is_apart.then_some(Found {
        rank,
        wait,
        others: fleet.median,
        step,
    })
}

impl Found {
    fn symptom(self, context: &Context<'_>, history: &History, job: &JobState) -> Symptom {
        let lost = self.others - self.wait;
        let place = usize::try_from(self.rank)
            .ok()
            .and_then(|rank| job.devices.get(rank));
        let device = place.and_then(|(node, index)| {
            let mut devices = context.frame.devices.iter();
            devices.find(|device| device.identity.node == *node && device.identity.index == *index)
        });
        let mut evidence = vec![
            Evidence::new("wait of this rank", self.wait, "s").against(self.others),
            Evidence::new("step time", self.step, "s"),
        ];
        let causes = device.map_or_else(Vec::new, |device| {
            causes(context, history, job, device, &mut evidence)
        });
        let name = place.map_or_else(String::new, |(node, index)| format!(" ({node} GPU {index})"));
        let because = if causes.is_empty() {
            "its clocks, links and ports look like the others': look at its host, its data loader and its experts".to_owned()
        } else {
            causes.join(", ")
        };
        symptom(
            Severity::Warning,
            format!(
                "rank {}{name} makes the others wait {} of every {} step: {because}",
                self.rank,
                with_si_prefix(lost, "s"),
                with_si_prefix(self.step, "s")
            ),
            evidence,
            "mend the named cause, or give the job another node from its next checkpoint; `orrery-collector check` says \
             whether the device is slow by itself",
        )
    }
}

/// What is different about the device, in words, the likeliest first.
fn causes(
    context: &Context<'_>,
    history: &History,
    job: &JobState,
    device: &DeviceView,
    evidence: &mut Vec<Evidence>,
) -> Vec<String> {
    let mut causes = Vec::new();
    let theirs = context.frame.devices.iter().filter(|other| {
        let place = context.place_of(other);
        place.is_some_and(|(their_job, _)| their_job.name == job.name)
    });
    let clocks = median(theirs.filter_map(|other| other.sm_clock.map(Hertz::as_f64)));
    if let (Some(clock), Some(clocks)) = (device.sm_clock.map(Hertz::as_f64), clocks)
        && clock < SLOWER_CLOCK * clocks
    {
        evidence.push(Evidence::new("SM clock", clock, "Hz").against(clocks));
        causes.push(format!(
            "its clock is {} against {}",
            megahertz(clock),
            megahertz(clocks)
        ));
    }
    let ailments = device
        .throttles
        .iter()
        .flatten()
        .filter(|reason| reason.is_ailment());
    let ailments: Vec<&str> = ailments.map(|reason| reason.name()).collect();
    if !ailments.is_empty() {
        causes.push(format!("throttled by {}", ailments.join(" and ")));
    }
    let most = context.like(device).filter_map(|other| other.pcie_lanes).max();
    if let (Some(lanes), Some(most)) = (device.pcie_lanes, most)
        && lanes < most
    {
        evidence.push(Evidence::new("PCIe lanes", f64::from(lanes), "1").against(f64::from(most)));
        causes.push(format!("its PCIe link has {lanes} of {most} lanes"));
    }
    let usual = median(history.nics.values().filter_map(|nic| nic.retransmits_now)).unwrap_or(0.0);
    for nic in &context.frame.nics {
        let is_beside = nic.node == device.identity.node
            && (nic.devices.is_empty() || nic.devices.contains(&device.identity.index));
        let rate = history
            .nics
            .get(&(nic.node.clone(), nic.port.clone()))
            .and_then(|history| history.retransmits_now)
            .filter(|&rate| is_beside && rate > (5.0 * usual).max(1.0));
        if let Some(rate) = rate {
            evidence.push(Evidence::new("retransmits per second", rate, "1/s").against(usual));
            causes.push(format!(
                "{} sends {} packets a second again",
                nic.port,
                significant(rate, 3)
            ));
        }
    }
    causes
}
