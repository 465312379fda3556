//! One job on clusters of several sizes: the best layout of each, what it takes and what it costs.

use orrery_scenario::{LayoutChoice, Searchable};

use super::{Axes, Confirmed, Confirming, Degree, Found, Progress, confirm, estimate};
use crate::{facts, pipeline};

/// Best estimates of a size that are simulated.
const CONFIRMED: usize = 3;
/// A job on so many nodes, in its best layout.
#[derive(Clone, Debug, PartialEq)]
pub struct Sizing {
    /// Nodes.
    pub nodes: u32,
    /// Devices.
    pub devices: u32,
    /// The best layout and what it takes, or why there is none.
    pub best: Result<Best, String>,
}

/// The best layout of a size.
#[derive(Clone, Debug, PartialEq)]
pub struct Best {
    /// The layout.
    pub choice: LayoutChoice,
    /// Seconds of a step.
    pub step: f64,
    /// Their 80 % interval; none where nobody knows how far predictions are off.
    pub interval: Option<(f64, f64)>,
    /// Whether that was simulated rather than estimated.
    pub simulated: bool,
    /// Share of the dense BF16 peak.
    pub mfu: f64,
    /// Tokens in a second, of all devices.
    pub tokens: f64,
    /// The most bytes that a device holds.
    pub peak: f64,
    /// Cost of a day and of a million tokens, if the scenario has a price.
    pub cost: Option<(f64, f64)>,
}

impl Best {
    /// Days for a trillion tokens.
    #[must_use]
    pub fn days_per_trillion(&self) -> f64 {
        1e12 / self.tokens / 86_400.0
    }

    /// The 80 % interval of the step as shares of it: days and the cost of tokens are as uncertain as the step, for both
    /// follow from it and from counts.
    ///
    /// Worked: 4 s within 3.8 s to 4.4 s: 0.95 to 1.1; 10 days are then 9.5 to 11.
    #[must_use]
    pub fn uncertainty(&self) -> Option<(f64, f64)> {
        let (low, high) = self.interval?;
        (self.step > 0.0).then(|| (low / self.step, high / self.step))
    }
}

impl Sizing {
    /// The size with its best layout, if it has one.
    pub(super) fn known(&self) -> Option<(&Self, &Best)> {
        Some((self, self.best.as_ref().ok()?))
    }
}

/// Device-days for a trillion tokens of the size that spends the fewest: what more or fewer devices would share out if
/// nothing were lost between sizes.
///
/// `min d · days(d)` over the sizes that have a layout; the line `min / d` touches the curve of the best layouts at that
/// size and lies below it elsewhere. Worked: 10 days on 64 devices and 6 on 128: 640 device-days, not 768.
#[must_use]
pub fn least_device_days(sizes: &[Sizing]) -> Option<f64> {
    let spent = sizes.iter().filter_map(Sizing::known);
    let spent = spent.map(|(size, best)| f64::from(size.devices) * best.days_per_trillion());
    spent.reduce(f64::min)
}

/// Powers of two of `nodes`: two below, itself, and two above.
#[must_use]
pub fn sizes_around(nodes: u32) -> Vec<u32> {
    let below = [4, 2].into_iter().filter(|by| nodes.is_multiple_of(*by));
    let below = below.map(|by| nodes / by);
    let above = [1, 2, 4].into_iter().filter_map(|by| nodes.checked_mul(by));
    below.chain(above).collect()
}

/// The job of the scenario `text` in `file` on `nodes` nodes, with `degrees` varied.
///
/// # Errors
/// When tasks deadlock: a bug in the lowering.
pub fn size(
    (file, text): (&str, &str),
    nodes: u32,
    degrees: &[Degree],
    (progress, confirming): (&Progress, &Confirming),
) -> Result<Sizing, String> {
    let refused = |devices: u32, why: String| Sizing {
        nodes,
        devices,
        best: Err(why),
    };
    let Searchable { plan: base, written } = match base(file, text, nodes) {
        Ok(job) => job,
        Err(why) => return Ok(refused(0, why)),
    };
    let devices = base.layout.world();
    let axes = Axes::of(&base).varying(degrees, &written);
    let estimated = estimate(&base, &axes, (0, 1), progress);
    let first = &estimated.fitting[..CONFIRMED.min(estimated.fitting.len())];
    let confirmed = confirm(&base, first, confirming)?;
    let why = estimated
        .infeasible
        .first()
        .map_or_else(|| "no layout".to_owned(), |reason| reason.message.clone());
    let found = Found::new(base, estimated, confirmed);
    let Some(at) = found.best() else {
        return Ok(refused(devices, why));
    };
    Ok(Sizing {
        nodes,
        devices,
        best: Ok(best(&found, at, found.confirmed(at))),
    })
}

fn best(found: &Found, at: usize, confirmed: Option<Confirmed>) -> Best {
    let candidate = &found.estimated.fitting[at];
    let (estimate, peak) = candidate.place();
    let step = confirmed.map_or(estimate, |known| known.step);
    let (work, device) = (facts::work(&found.base), facts::device(&found.base));
    let price = facts::price(&found.base);
    // An estimate has the interval of predictions of its stack alone.
    let off = facts::model_error(&found.base).time;
    let estimated = (off > 0.0).then_some((step * (1.0 - off), step * (1.0 + off)));
    Best {
        choice: candidate.choice.clone(),
        step,
        interval: confirmed.map_or(estimated, |known| known.interval),
        simulated: confirmed.is_some(),
        mfu: found.mfu(step),
        tokens: work.tokens / step,
        peak: confirmed.map_or(peak, |known| known.peak),
        cost: price.map(|price| {
            let tokens = price.per_million_tokens(device.count, work.tokens, step);
            (price.per_day(device.count), tokens)
        }),
    }
}

/// The job on `nodes` nodes, whatever its own layout makes of them.
fn base(file: &str, text: &str, nodes: u32) -> Result<Searchable, String> {
    let nodes = ("cluster.nodes".to_owned(), nodes.to_string());
    pipeline::load_searchable(file, text, &[nodes]).map_err(|faults| {
        faults
            .first()
            .map_or_else(String::new, |fault| fault.message.clone())
    })
}
