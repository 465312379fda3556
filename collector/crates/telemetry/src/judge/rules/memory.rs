//! Memory of devices: nearly full, growing, or held by nobody.
//!
//! Three numbers are kept apart: what tensors use (*allocated*), what the framework's allocator asked of the device
//! (*reserved*), and what is in use by whomever (*device-used*: other processes, NCCL, CUDA contexts and graphs too).
//! A caching allocator that reserves nearly everything is healthy; what tensors use at their peak is not its to give.

use orrery_units::{Bytes, Ratio, SimDuration, significant};

use super::super::history::{History, JobHistory};
use super::super::hysteresis::{Findings, Symptom};
use super::super::{Allocator, DeviceView, Evidence, JobState, Rule, Severity, Subject};
use super::{Context, percent, symptom, symptom_if};

/// A leak is looked for over this time, in quarters.
const LEAKS_OVER: SimDuration = SimDuration::from_millis(7_200_000);

pub(super) fn look(context: &Context<'_>, history: &mut History, findings: &mut Findings<'_>) {
    let at = context.frame.at;
    for device in &context.frame.devices {
        let Some(history) = history.devices.get_mut(&device.identity.uuid) else {
            continue;
        };
        let (Some(used), Some(total)) = (device.memory_used, device.memory_total) else {
            continue;
        };
        if total == Bytes::ZERO {
            continue;
        }
        let place = context.place_of(device);
        let job = place.map(|(job, _)| job.name.as_str());
        // Another job is another use.
        if history.job.as_deref() != job {
            history.job = job.map(str::to_owned);
            history.memory.forget();
        }
        history.memory.note(at, used.as_f64() / total.as_f64());
        let subject = Subject::device(&device.identity);
        let allocator =
            place.and_then(|(job, rank)| job.allocator.filter(|allocator| allocator.rank == rank));
        let full = near_full(context, device, allocator, [used, total]);
        findings.say(Rule::MemoryNearFull, &subject, full);
        if let Some(quarters) = history.memory.quarters(at, LEAKS_OVER) {
            let least = context.thresholds().memory_leak;
            findings.say(Rule::MemoryLeak, &subject, leak(quarters, least, total));
        } else {
            findings.say(Rule::MemoryLeak, &subject, None);
        }
    }
    for job in &context.frame.jobs {
        let fragmented = fragmented(context, history, job);
        if let Some(symptom) = fragmented {
            findings.say(Rule::MemoryFragmented, &Subject::job(&job.name), symptom);
        }
    }
}

fn near_full(
    context: &Context<'_>,
    device: &DeviceView,
    allocator: Option<Allocator>,
    [used, total]: [Bytes; 2],
) -> Option<Symptom> {
    let thresholds = context.thresholds();
    let share_of = |bytes: Bytes| bytes.as_f64() / total.as_f64();
    let (most_used, most_allocated) = (
        thresholds.memory_near_full.get(),
        thresholds.allocated_near_full.get(),
    );
    let allocated = allocator.map(|allocator| share_of(allocator.allocated));
    // Where the allocator tells what tensors use, that decides; what it keeps beyond that it can give back.
    let is_full = match allocated {
        Some(allocated) => allocated > most_allocated || used >= total,
        None => share_of(used) > most_used && device.is_busy(),
    };
    symptom_if(is_full, || {
        let mut evidence =
            vec![Evidence::new("device-used", used.as_f64(), "B").against(most_used * total.as_f64())];
        let mut words = format!("{} of its memory is in use", percent(share_of(used)));
        if let Some(Allocator {
            allocated, reserved, ..
        }) = allocator
        {
            evidence.push(Evidence::new("reserved, peak", reserved.as_f64(), "B"));
            evidence.push(
                Evidence::new("allocated, peak", allocated.as_f64(), "B")
                    .against(most_allocated * total.as_f64()),
            );
            words = format!(
                "{words}, {} reserved, {} used by tensors at their peak",
                percent(share_of(reserved)),
                percent(share_of(allocated))
            );
        }
        symptom(
            Severity::Warning,
            words,
            evidence,
            "recompute more, use a smaller microbatch, or shard more; one long sequence or one hot expert is out of \
             memory",
        )
    })
}

/// Use that grew by more than `least` of the whole from each quarter to the next.
fn leak(quarters: [f64; 4], least: Ratio, total: Bytes) -> Option<Symptom> {
    let grows = |pair: &[f64]| pair[1] - pair[0] > least.get();
    symptom_if(quarters.windows(2).all(grows), || {
        // From the middle of the first quarter to that of the last.
        let per_hour = (quarters[3] - quarters[0]) / (LEAKS_OVER.as_secs() * 0.75 / 3600.0);
        let hours = (1.0 - quarters[3]) / per_hour;
        symptom(
            Severity::Warning,
            format!(
                "memory in use grows by {} an hour and is full in {} h",
                percent(per_hour),
                significant(hours, 2)
            ),
            [
                Evidence::new("growth per second", per_hour * total.as_f64() / 3600.0, "B/s"),
                Evidence::new("share in use", quarters[3], "1"),
            ],
            "see which process grows (`nvidia-smi --query-compute-apps=pid,used_memory --format=csv`); restart it from a \
             checkpoint before it runs out",
        )
    })
}

/// Memory that the allocator holds and no tensor uses, while it had to give back and ask again.
fn fragmented(context: &Context<'_>, history: &mut History, job: &JobState) -> Option<Option<Symptom>> {
    let allocator = job.allocator?;
    let (node, index) = job.devices.get(usize::try_from(allocator.rank).ok()?)?;
    let devices = &context.frame.devices;
    let device = devices
        .iter()
        .find(|device| device.identity.node == *node && device.identity.index == *index)?;
    let total = device.memory_total?.as_f64();
    let history: &mut JobHistory = history.jobs.get_mut(&job.name)?;
    let first = *history.retries.get_or_insert(allocator.retries);
    let held = allocator.reserved.saturating_sub(allocator.allocated);
    let share = held.as_f64() / total;
    let most = context.thresholds().fragmented.get();
    let retries = allocator.retries.saturating_sub(first);
    Some(symptom_if(share > most && retries > 0, || {
        #[expect(clippy::cast_precision_loss, reason = "a count of retries")]
        let retries = retries as f64;
        symptom(
            Severity::Warning,
            format!(
                "the allocator of rank {} holds {} of the memory that no tensor uses, and asked again {retries} times",
                allocator.rank,
                percent(share)
            ),
            [
                Evidence::new("reserved and not allocated", held.as_f64(), "B").against(most * total),
                Evidence::new("allocation retries", retries, "1").against(0.0),
            ],
            "set `PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True`, or keep shapes alike from step to step",
        )
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_in_every_quarter_is_a_leak_and_a_plateau_is_none() {
        let total = Bytes::new(80 << 30);
        let least = Ratio::clamped(0.003);
        let found = leak([0.80, 0.81, 0.82, 0.83], least, total).unwrap();
        // 3 points in an hour and a half are 2 an hour; 17 are left.
        assert_eq!(
            found.what,
            "memory in use grows by 2 % an hour and is full in 8.5 h"
        );
        assert_eq!(leak([0.60, 0.80, 0.86, 0.861], least, total), None);
        assert_eq!(leak([0.80, 0.81, 0.80, 0.83], least, total), None);
    }
}
