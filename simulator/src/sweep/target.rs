//! What is asked of a cluster, held against the sizes that were looked at.

use super::{Best, Sizing};

/// What is asked: a deadline for so many tokens, a number of devices, an amount of money, or several of them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Target {
    /// Trillions of tokens to be trained on.
    pub trillions: f64,
    /// The most days that they may take.
    pub days: Option<f64>,
    /// The most devices.
    pub devices: Option<u32>,
    /// The most money, in the currency of the scenario.
    pub budget: Option<f64>,
}

/// What the tokens take on a size.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Takes {
    /// The size, by its place.
    pub at: usize,
    /// Days.
    pub days: f64,
    /// Money, if the scenario has a price.
    pub cost: Option<f64>,
    /// Ends of the 80 % interval of both, as shares of them.
    pub uncertainty: Option<(f64, f64)>,
}

/// Which size meets a target.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The smallest that meets all that is asked, if one does.
    pub smallest: Option<Takes>,
    /// The cheapest of those that do, where that is another one.
    pub cheapest: Option<Takes>,
    /// Whole nodes, with their devices, between the smallest that meets the deadline and the legal size just below it
    /// which would meet it, by interpolation; not a size that was looked at.
    pub between: Option<(u32, u32)>,
    /// Why none meets it, in order of size; empty where one does.
    pub unmet: Vec<String>,
}

impl Default for Target {
    fn default() -> Self {
        Self {
            trillions: 1.0,
            days: None,
            devices: None,
            budget: None,
        }
    }
}

impl Target {
    /// Whether anything is asked.
    #[must_use]
    pub const fn is_asked(&self) -> bool {
        self.days.is_some() || self.devices.is_some() || self.budget.is_some()
    }

    /// What the tokens take on size `at` of `sizes`; none of a size that has no layout.
    fn takes(&self, at: usize, best: &Best) -> Takes {
        let days = best.days_per_trillion() * self.trillions;
        Takes {
            at,
            days,
            cost: best.cost.map(|(per_day, _)| per_day * days),
            uncertainty: best.uncertainty(),
        }
    }

    /// Which of `sizes`, in order of devices, meets this.
    #[must_use]
    pub fn answer(&self, sizes: &[Sizing]) -> Answer {
        let (mut meeting, mut unmet) = (Vec::new(), Vec::new());
        for (at, size) in sizes.iter().enumerate() {
            match size.best.as_ref().map(|best| self.takes(at, best)) {
                Err(why) => unmet.push(format!("{} GPUs: {why}", size.devices)),
                Ok(takes) => match self.missed(size, &takes) {
                    None => meeting.push(takes),
                    Some(why) => unmet.push(format!("{} GPUs: {why}", size.devices)),
                },
            }
        }
        let smallest = meeting.first().copied();
        let priced = meeting.iter().filter(|takes| takes.cost.is_some());
        let cheapest = priced.min_by(|a, b| a.cost.unwrap_or(0.0).total_cmp(&b.cost.unwrap_or(0.0)));
        Answer {
            cheapest: cheapest.copied().filter(|cheapest| Some(*cheapest) != smallest),
            between: smallest.and_then(|smallest| self.between(sizes, smallest)),
            smallest,
            unmet: if meeting.is_empty() { unmet } else { Vec::new() },
        }
    }

    /// What of this `size` misses, if anything.
    fn missed(&self, size: &Sizing, takes: &Takes) -> Option<String> {
        let shown = |value: f64| orrery_units::significant(value, 3);
        if let Some(most) = self.devices.filter(|most| size.devices > *most) {
            return Some(format!("more than {most}"));
        }
        if let Some(most) = self.days.filter(|most| takes.days > *most) {
            return Some(format!("{} days, not {}", shown(takes.days), shown(most)));
        }
        let most = self.budget?;
        match takes.cost {
            None => Some("no price is known".to_owned()),
            Some(cost) if cost > most => Some(format!("costs {}, not {}", shown(cost), shown(most))),
            Some(_) => None,
        }
    }

    /// Whether it also meets this at the worse end of its 80 % interval.
    #[must_use]
    pub fn is_sure_of(&self, takes: &Takes) -> bool {
        let worse = takes.uncertainty.map_or(1.0, |(_, high)| high);
        let days = self.days.is_none_or(|most| takes.days * worse <= most);
        let money = self.budget.zip(takes.cost);
        days && money.is_none_or(|(most, cost)| cost * worse <= most)
    }

    /// Whole nodes, with their devices, at which the deadline would just be met, between `smallest` and the size before it,
    /// if both are legal and that one misses the deadline: days over devices as a power law through both, rounded up to a
    /// node; none where that is `smallest` itself.
    ///
    /// Worked: 10 days on 64 devices, 5 on 128, 8 a node: 7 days on `64 (10 / 7)` = 91.4, so 12 nodes with 96.
    fn between(&self, sizes: &[Sizing], smallest: Takes) -> Option<(u32, u32)> {
        let wanted = self.days?;
        let before = smallest.at.checked_sub(1)?;
        let (less, best) = sizes[before].known()?;
        let slow = self.takes(before, best).days;
        if slow <= wanted || smallest.days >= wanted {
            return None;
        }
        let (from, to) = (f64::from(less.devices), f64::from(sizes[smallest.at].devices));
        let share = (slow / wanted).ln() / (slow / smallest.days).ln();
        let devices = from * (to / from).powf(share);
        let per_node = less.devices / less.nodes.max(1);
        let nodes =
            (less.nodes..=sizes[smallest.at].nodes).find(|&nodes| f64::from(nodes * per_node) >= devices)?;
        (nodes < sizes[smallest.at].nodes).then_some((nodes, nodes * per_node))
    }
}

#[cfg(test)]
mod tests {
    use orrery_scenario::LayoutChoice;
    use orrery_scenario::plan::{Recompute, ZeroStage};

    use super::*;
    use crate::sweep::least_device_days;

    /// A size that takes `days` for a trillion tokens, at a unit of money per device and day; none where these are `None`.
    fn size(devices: u32, days: Option<f64>) -> Sizing {
        let choice = LayoutChoice {
            tp: 1,
            pp: 1,
            cp: 1,
            ep: 1,
            expert_tp: 1,
            schedule: "1f1b",
            chunks: None,
            micro_batch: 1,
            zero: ZeroStage::Optimizer,
            recompute: Recompute::None,
        };
        let best = days.map(|days| Best {
            choice,
            step: 1.0,
            interval: Some((0.9, 1.2)),
            simulated: true,
            mfu: 0.4,
            tokens: 1e12 / days / 86_400.0,
            peak: 1.0,
            cost: Some((f64::from(devices), 1.0)),
        });
        Sizing {
            nodes: devices / 8,
            devices,
            best: best.ok_or_else(|| "experts do not divide".to_owned()),
        }
    }

    fn sizes() -> Vec<Sizing> {
        vec![
            size(32, None),
            size(64, Some(10.0)),
            size(128, Some(5.0)),
            size(256, Some(4.0)),
        ]
    }

    fn within(days: Option<f64>, devices: Option<u32>, budget: Option<f64>) -> Target {
        Target {
            days,
            devices,
            budget,
            ..Target::default()
        }
    }

    #[test]
    fn the_smallest_size_that_meets_a_deadline_and_what_lies_between() {
        let answer = within(Some(7.0), None, None).answer(&sizes());
        let smallest = answer.smallest.unwrap();
        assert_eq!(smallest.at, 2);
        assert!((smallest.days - 5.0).abs() < 1e-9 && (smallest.cost.unwrap() - 640.0).abs() < 1e-6);
        assert_eq!(answer.between, Some((12, 96)), "91.4 devices are 12 whole nodes");
        let nearly = within(Some(5.05), None, None).answer(&sizes());
        assert_eq!(nearly.between, None, "no whole node lies between");
        assert!(answer.unmet.is_empty());
    }

    #[test]
    fn what_holds_in_the_middle_may_not_hold_at_the_worse_end() {
        let takes = within(Some(6.5), None, None).answer(&sizes()).smallest.unwrap();
        assert_eq!(takes.uncertainty, Some((0.9, 1.2)));
        let is_sure = |days, budget| within(Some(days), None, budget).is_sure_of(&takes);
        assert!(is_sure(6.5, None), "6 days at worst");
        assert!(!is_sure(5.5, None));
        assert!(is_sure(6.5, Some(768.1)) && !is_sure(6.5, Some(700.0)));
    }

    #[test]
    fn nothing_is_read_between_a_size_and_one_that_has_no_layout() {
        let answer = within(Some(12.0), None, None).answer(&sizes());
        assert_eq!((answer.smallest.unwrap().at, answer.between), (1, None));
    }

    #[test]
    fn where_none_meets_it_each_says_why() {
        let answer = within(Some(4.5), Some(128), None).answer(&sizes());
        assert_eq!(answer.smallest, None);
        assert_eq!(
            answer.unmet,
            [
                "32 GPUs: experts do not divide",
                "64 GPUs: 10 days, not 4.5",
                "128 GPUs: 5 days, not 4.5",
                "256 GPUs: more than 128",
            ]
        );
        assert!(
            within(None, None, Some(600.0))
                .answer(&sizes())
                .smallest
                .is_none()
        );
        let cheap = within(None, None, Some(645.0)).answer(&sizes());
        assert_eq!(cheap.smallest.unwrap().at, 1);
    }

    /// 640 device-days on 64 and on 128, 1,024 on 256; the smallest size alone does not decide.
    #[test]
    fn nothing_lost_is_measured_from_the_size_that_loses_least() {
        assert!((least_device_days(&sizes()).unwrap() - 640.0).abs() < 1e-6);
        let wasteful = [size(64, Some(12.0)), size(128, Some(5.0))];
        assert!((least_device_days(&wasteful).unwrap() - 640.0).abs() < 1e-6);
        assert_eq!(least_device_days(&[size(32, None)]), None);
    }
}
