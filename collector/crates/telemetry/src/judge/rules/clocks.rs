//! What slows a device down: heat, the power supply, a lower limit, or nothing that the driver names.

use std::collections::BTreeMap;

use orrery_units::{Ratio, Watts, significant};

use super::super::history::{DeviceHistory, History};
use super::super::hysteresis::{Findings, Symptom, elapsed};
use super::super::statistics::{Fleet, median};
use super::super::{DeviceView, Evidence, Rule, Severity, Subject};
use super::{Context, megahertz, percent, symptom, symptom_if};
use crate::{Celsius, Hertz, Throttle, UnixTime};

/// Devices that can be compared with one another: of one model and in one job.
type Group<'a> = (&'a str, Option<&'a str>);

pub(super) fn look(context: &Context<'_>, history: &mut History, findings: &mut Findings<'_>) {
    let fleets = Fleets::of(context);
    for device in &context.frame.devices {
        let Some(history) = history.devices.get_mut(&device.identity.uuid) else {
            continue;
        };
        let subject = Subject::device(&device.identity);
        let heat = [Throttle::ThermalSoftware, Throttle::ThermalHardware];
        let power = [Throttle::PowerBrake, Throttle::Hardware];
        let shares = shares(device, history, context.frame.at);
        let share_of = |reasons: [Throttle; 2]| {
            let shares = reasons.iter().filter_map(|reason| shares.get(reason));
            shares.copied().max_by(f64::total_cmp)
        };
        let most = context.thresholds().throttled_share.get();
        if let Some(share) = share_of(heat) {
            let symptom = symptom_if(share > most, || hot_symptom(device, share, most));
            findings.say(Rule::ThrottleThermal, &subject, symptom);
        }
        if let Some(share) = share_of(power) {
            let symptom = symptom_if(share > most, || brake_symptom(share, most));
            findings.say(Rule::ThrottlePowerBrake, &subject, symptom);
        }
        if let Some(symptom) = fleets.heat(context, device) {
            findings.say(Rule::DeviceHot, &subject, symptom);
        }
        let is_explained = shares
            .iter()
            .any(|(reason, share)| reason.is_ailment() && *share > most);
        if let Some(symptom) = fleets.clock(context, device, is_explained) {
            findings.say(Rule::ClockLow, &subject, symptom);
        }
        if let Some(symptom) = fleets.limit(context, device) {
            findings.say(Rule::PowerCap, &subject, symptom);
        }
    }
}

/// The share of time for which each reason held the clocks down since the frame before: as the driver counts it, and
/// all of it where its flag stands now.
fn shares(device: &DeviceView, history: &mut DeviceHistory, at: UnixTime) -> BTreeMap<Throttle, f64> {
    let mut shares = BTreeMap::new();
    if let Some(now) = &device.throttles {
        shares.extend(Throttle::ALL.map(|reason| (reason, f64::from(u8::from(now.contains(&reason))))));
    }
    for &(reason, time) in &device.throttle_time {
        let Some((then, before)) = history.throttled.insert(reason, (at, time)) else {
            continue;
        };
        let over = elapsed(then, at);
        // A counter that went back was reset; what it counted since is not known.
        if time >= before && !over.is_zero() {
            let share = time.saturating_sub(before).as_secs() / over.as_secs();
            // A flag that stands is one frame of those that it takes; some drivers count no time.
            let flagged = shares.get(&reason).copied().unwrap_or(0.0);
            shares.insert(reason, share.max(flagged));
        }
    }
    shares
}

fn hot_symptom(device: &DeviceView, share: f64, most: f64) -> Symptom {
    let mut evidence = vec![Evidence::new("share of time slowed by heat", share, "1").against(most)];
    let mut degrees = String::new();
    if let Some(Celsius(now)) = device.temperature {
        evidence.push(Evidence::new("temperature", now, "°C"));
        degrees = format!(" at {} °C", significant(now, 3));
    }
    symptom(
        Severity::Warning,
        format!(
            "heat holds the clocks down {} of the time{degrees}",
            percent(share)
        ),
        evidence,
        "look at fans, coolant flow, inlet temperature and the seat of the heat sink; move the job until then",
    )
}

fn brake_symptom(share: f64, most: f64) -> Symptom {
    symptom(
        Severity::Warning,
        format!(
            "the power supply holds the clocks down {} of the time",
            percent(share)
        ),
        [Evidence::new("share of time braked", share, "1").against(most)],
        "look at the node's power supplies and the rack's power budget; one that failed leaves the others too small",
    )
}

/// Clocks, temperatures and limits of all devices, by whom they can be compared with.
struct Fleets<'a> {
    clocks: BTreeMap<Group<'a>, Option<Fleet>>,
    temperatures: BTreeMap<Group<'a>, Option<f64>>,
    limits: BTreeMap<&'a str, Option<f64>>,
}

impl<'a> Fleets<'a> {
    fn of(context: &Context<'a>) -> Self {
        let mut clocks: BTreeMap<Group<'a>, Vec<f64>> = BTreeMap::new();
        let mut temperatures: BTreeMap<Group<'a>, Vec<f64>> = BTreeMap::new();
        let mut limits: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
        for device in &context.frame.devices {
            let model = device.identity.model.as_str();
            if let Some(Watts(limit)) = device.power_limit {
                limits.entry(model).or_default().push(limit);
            }
            if !device.is_busy() {
                continue;
            }
            let group = group_of(context, device);
            if let Some(Celsius(degrees)) = device.temperature {
                temperatures.entry(group).or_default().push(degrees);
            }
            if let Some(clock) = device.sm_clock {
                clocks.entry(group).or_default().push(clock.as_f64());
            }
        }
        let floor = context.thresholds().clock_low.get();
        let fleet = |values: Vec<f64>| Fleet::of(&values, floor);
        let middle = |values: Vec<f64>| (values.len() >= 4).then(|| median(values))?;
        Self {
            clocks: clocks
                .into_iter()
                .map(|(group, values)| (group, fleet(values)))
                .collect(),
            temperatures: temperatures
                .into_iter()
                .map(|(model, values)| (model, middle(values)))
                .collect(),
            limits: limits
                .into_iter()
                .map(|(model, values)| (model, middle(values)))
                .collect(),
        }
    }

    /// Whether the device is much hotter than its like, or about to slow down. `None`: nobody can say.
    fn heat(&self, context: &Context<'_>, device: &DeviceView) -> Option<Option<Symptom>> {
        let Celsius(now) = device.temperature?;
        let (apart, near) = (
            context.thresholds().hotter_by.get(),
            context.thresholds().near_slowdown.get(),
        );
        let like = self
            .temperatures
            .get(&group_of(context, device))
            .copied()
            .flatten();
        let limits = [
            like.filter(|_| device.is_busy()).map(|like| like + apart),
            device.slowdown_temperature.map(|Celsius(slows)| slows - near),
        ];
        let limit = limits.into_iter().flatten().min_by(f64::total_cmp)?;
        Some(symptom_if(now > limit, || {
            let mut evidence = vec![Evidence::new("temperature", now, "°C").against(limit)];
            evidence.extend(like.map(|like| Evidence::new("temperature of its like", like, "°C")));
            symptom(
                Severity::Warning,
                like.map_or_else(
                    || {
                        format!(
                            "{} °C is near the temperature at which it slows down",
                            significant(now, 3)
                        )
                    },
                    |like| {
                        format!(
                            "{} °C, where its like have {} °C",
                            significant(now, 3),
                            significant(like, 3)
                        )
                    },
                ),
                evidence,
                "look at fans, coolant flow and the seat of the heat sink before it slows down",
            )
        }))
    }

    /// Whether a busy device runs slower than its like, for no reason that its driver gives.
    fn clock(
        &self,
        context: &Context<'_>,
        device: &DeviceView,
        is_explained: bool,
    ) -> Option<Option<Symptom>> {
        let clock = device.sm_clock.map(Hertz::as_f64).filter(|_| device.is_busy())?;
        let fleet = (*self.clocks.get(&group_of(context, device))?)?;
        let has_power_cap = device
            .throttles
            .iter()
            .flatten()
            .any(|&reason| reason == Throttle::PowerCap);
        // Outside of a job devices do different things, and one that draws all its power has its clock from that.
        let is_alone = context.place_of(device).is_none() && has_power_cap;
        let is_low = fleet.is_below(clock) && !is_explained && !is_alone;
        Some(symptom_if(is_low, || {
            let evidence = [
                Evidence::new("SM clock", clock, "Hz").against(fleet.median - fleet.apart),
                Evidence::new("SM clock of its like", fleet.median, "Hz"),
                Evidence::new(
                    "utilization",
                    device.utilization.map_or(f64::NAN, Ratio::get),
                    "1",
                ),
            ];
            symptom(
                Severity::Warning,
                format!(
                    "runs at {} where its like run at {}, and the driver gives no reason",
                    megahertz(clock),
                    megahertz(fleet.median)
                ),
                evidence,
                "see whether somebody locked its clocks (`nvidia-smi -q -d CLOCK`; `nvidia-smi -rgc` undoes it); else \
                 drain the node and reset the device",
            )
        }))
    }

    /// Whether the device may draw less than its like.
    fn limit(&self, context: &Context<'_>, device: &DeviceView) -> Option<Option<Symptom>> {
        let Watts(limit) = device.power_limit?;
        let like = (*self.limits.get(device.identity.model.as_str())?)?;
        let least = context.thresholds().power_cap.get() * like;
        Some(symptom_if(limit < least, || {
            symptom(
                Severity::Warning,
                format!(
                    "may draw {} W where its like may draw {} W",
                    significant(limit, 3),
                    significant(like, 3)
                ),
                [Evidence::new("power limit", limit, "W").against(least)],
                "set the limit of its like (`nvidia-smi -pl WATTS`), or find out who lowered it",
            )
        }))
    }
}

fn group_of<'a>(context: &Context<'a>, device: &'a DeviceView) -> Group<'a> {
    let job = context.place_of(device).map(|(job, _)| job.name.as_str());
    (device.identity.model.as_str(), job)
}
