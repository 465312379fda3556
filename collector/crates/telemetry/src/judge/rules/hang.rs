//! A job that makes no step while its devices spin: busy, and at the power of waiting.
//!
//! A kernel that waits for a peer keeps a device "100 % utilised" at a fraction of its power. A job that reads data or
//! writes a checkpoint makes no step either, but leaves its devices idle; one that evaluates keeps its power.

use orrery_units::{Watts, significant, with_si_prefix};

use super::super::history::{History, recent};
use super::super::hysteresis::{Findings, Symptom, elapsed};
use super::super::{DeviceView, Evidence, JobState, Rule, Severity, Subject};
use super::{Context, percent, symptom, symptom_if};

/// The share of a job's devices that must spin: the one that everybody waits for may do something else.
const SPINNING: f64 = 0.8;
/// Missing ranks that are named.
const NAMED: usize = 8;

pub(super) fn look(context: &Context<'_>, history: &mut History, findings: &mut Findings<'_>) {
    let at = context.frame.at;
    for job in &context.frame.jobs {
        let devices = context.frame.devices.iter().filter(|device| {
            let place = context.place_of(device);
            place.is_some_and(|(their_job, _)| their_job.name == job.name)
        });
        let devices: Vec<&DeviceView> = devices.collect();
        if !job.steps.is_empty() {
            for device in devices {
                let history = history.devices.get_mut(&device.identity.uuid);
                if let (Some(history), Some(Watts(power))) = (history, device.power)
                    && device.is_busy()
                {
                    history.power.note(at, power);
                }
            }
            findings.say(Rule::Hang, &Subject::job(&job.name), None);
            continue;
        }
        if let Some(symptom) = hang(context, history, job, &devices) {
            findings.say(Rule::Hang, &Subject::job(&job.name), symptom);
        }
    }
}

fn hang(
    context: &Context<'_>,
    history: &History,
    job: &JobState,
    devices: &[&DeviceView],
) -> Option<Option<Symptom>> {
    let of_job = history.jobs.get(&job.name)?;
    let (number, told) = of_job.last_step?;
    let step = recent(&of_job.recent_times)?;
    let thresholds = context.thresholds();
    let silent = elapsed(told, context.frame.at);
    let most = (thresholds.hang_steps.get() * step).max(thresholds.hang_after.as_secs());
    let is_silent = silent.as_secs() > most;
    let shares: Vec<f64> = devices
        .iter()
        .filter_map(|device| power_share(history, device))
        .collect();
    if shares.is_empty() {
        return None;
    }
    let spins = |share: f64| share < thresholds.hang_power.get();
    let num_spinning = devices
        .iter()
        .filter(|device| device.is_busy() && power_share(history, device).is_some_and(spins))
        .count();
    #[expect(clippy::cast_precision_loss, reason = "counts of devices")]
    let is_spinning = num_spinning as f64 >= SPINNING * shares.len() as f64;
    Some(symptom_if(is_silent && is_spinning, || {
        let mean = |values: &[f64]| {
            #[expect(clippy::cast_precision_loss, reason = "a count of devices")]
            let number = values.len() as f64;
            values.iter().sum::<f64>() / number
        };
        let share = mean(&shares);
        let evidence = [
            Evidence::new("time since the last step", silent.as_secs(), "s").against(most),
            Evidence::new("power over that at work", share, "1").against(thresholds.hang_power.get()),
        ];
        symptom(
            Severity::Critical,
            format!(
                "no step for {} (steps take {}, the last was {number}), and {num_spinning} of {} devices spin at {} of \
                 their power: {}",
                with_si_prefix(silent.as_secs(), "s"),
                with_si_prefix(step, "s"),
                devices.len(),
                percent(share),
                last_collective(job)
            ),
            evidence,
            "take stacks of the missing ranks (`py-spy dump`), or of all if none is named; then end the job and start it \
             from its last checkpoint without their nodes",
        )
    }))
}

/// Power now over the power while the job made steps.
fn power_share(history: &History, device: &DeviceView) -> Option<f64> {
    let history = history.devices.get(&device.identity.uuid)?;
    let Watts(power) = device.power?;
    history.power.latest_median().map(|usual| power / usual)
}

fn last_collective(job: &JobState) -> String {
    let Some(last) = &job.last_collective else {
        return "which collective is not known".to_owned();
    };
    let what = format!("the last collective is {} number {}", last.op, last.sequence);
    if last.missing.is_empty() {
        return format!("{what}, and every rank began it");
    }
    let mut names: Vec<String> = last
        .missing
        .iter()
        .take(NAMED)
        .map(|&rank| {
            let place = usize::try_from(rank).ok().and_then(|rank| job.devices.get(rank));
            place.map_or_else(
                || format!("rank {rank}"),
                |(node, index)| format!("rank {rank} ({node} GPU {index})"),
            )
        })
        .collect();
    if last.missing.len() > NAMED {
        #[expect(clippy::cast_precision_loss, reason = "a count of ranks")]
        let more = (last.missing.len() - NAMED) as f64;
        names.push(format!("{} more", significant(more, 6)));
    }
    format!("{what}, which {} did not begin", names.join(", "))
}
