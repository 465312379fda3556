//! `[[sweep]]` into groups to compare: one policy beside the first of the scenario, one key of it moved.

use orrery_balance::placement::Shape;

use super::balancing::{Context, whole_nodes};
use crate::plan::{BalancingSweep, ExpertGroup, SweepKey, SweepPoint};
use crate::raw::{Given, RawBalancing, RawSweep};

/// Every sweep of the file over settings of `group`.
pub(super) fn sweeps(
    raw: &RawBalancing,
    group: &ExpertGroup,
    context: &mut Context<'_, '_>,
) -> Vec<BalancingSweep> {
    let one = |raw: &RawSweep| sweep(raw, group, context);
    raw.sweeps.iter().filter_map(one).collect()
}

fn sweep(raw: &RawSweep, group: &ExpertGroup, context: &mut Context<'_, '_>) -> Option<BalancingSweep> {
    let (policy, key, values) = (raw.policy.as_ref()?, raw.key.as_ref()?, raw.values.as_ref()?);
    let ids = || group.contenders.iter().map(|contender| contender.id.as_str());
    let Some(at) = ids().position(|id| id == policy.value) else {
        let message = format!("no policy is called `{}`", policy.value);
        let known: Vec<&str> = ids().collect();
        context.fault(
            "S069",
            &policy.place,
            message,
            format!("one of {}", known.join(", ")),
        );
        return None;
    };
    let key = SweepKey::ALL
        .into_iter()
        .find(|known| known.name() == key.value)?;
    if key == SweepKey::Interval && !group.contenders[at].algorithm.follows_loads() {
        let message = format!("`{}` follows no loads: it has no interval", policy.value);
        context.fault(
            "S069",
            &policy.place,
            message,
            "a policy that plans again, or another key",
        );
        return None;
    }
    let mut points = Vec::new();
    for &value in &values.value {
        let given = Given {
            value,
            place: values.place.clone(),
        };
        points.push(SweepPoint {
            value,
            group: moved(group, at, (key, &given), context)?,
        });
    }
    Some(BalancingSweep {
        policy: policy.value.clone(),
        key,
        points,
    })
}

/// The first policy and that at `at`, with `key` at the value.
fn moved(
    group: &ExpertGroup,
    at: usize,
    (key, given): (SweepKey, &Given<u64>),
    context: &mut Context<'_, '_>,
) -> Option<ExpertGroup> {
    let mut contenders = vec![group.contenders[0].clone(), group.contenders[at].clone()];
    let mut moved = group.clone();
    let value = usize::try_from(given.value).unwrap_or(usize::MAX / 2);
    match key {
        SweepKey::Interval => {
            let control = &mut contenders[1].control;
            control.interval = given.value;
            control.window = control.window.min(given.value);
        }
        SweepKey::Redundant => {
            let shape = contenders[1].shape;
            let wanted = Shape::new(
                shape.experts,
                shape.experts + value,
                shape.groups,
                shape.nodes,
                shape.devices,
            );
            contenders[1].shape = context.shaped(given, wanted)?;
        }
        SweepKey::Ep => {
            let domain = group.exchange.devices_per_domain;
            let all = u64::from(group.cluster.num_devices());
            if given.value == 0 || given.value > all {
                let message = format!(
                    "{} devices are none or more than the cluster's {all}",
                    given.value
                );
                context.fault("S069", &given.place, message, format!("values up to {all}"));
                return None;
            }
            whole_nodes(given, u64::from(domain), all, context)?;
            let nodes = value.div_ceil(domain as usize);
            for shape in contenders
                .iter_mut()
                .map(|contender| &mut contender.shape)
                .chain([&mut moved.shape])
            {
                let wanted = Shape::new(shape.experts, shape.slots, group.shape.groups, nodes, value);
                *shape = context.shaped(given, wanted)?;
            }
        }
    }
    moved.contenders = contenders;
    Some(moved)
}

impl Context<'_, '_> {
    /// The shape of a point, or the fault of its value.
    fn shaped(
        &mut self,
        given: &Given<u64>,
        shape: Result<Shape, orrery_balance::placement::BalanceError>,
    ) -> Option<Shape> {
        shape
            .map_err(|fault| self.placement_fault(&given.place, &fault.to_string()))
            .ok()
    }
}
