//! Metrics of the registry, computed from totals: samples, statistics and 80 % intervals.

use std::collections::BTreeMap;

use orrery_timeline::{OPERATIONS, Statistic, StepTotals, Totals, find_metric};
use orrery_units::{Bytes, Dimension, Evidence, HALF_WIDTH_80};

use crate::{Breakdown, Network, Power, RunFacts, State, Waterfall};

/// What a metric's interval is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Error {
    /// Counts and facts: none.
    None,
    /// Spread of the samples alone.
    Spread,
    /// Spread of the samples and the time error of the model.
    Time,
    /// The time error of the model alone: samples differ by where they are taken.
    Place,
    /// Memory error of the model.
    Memory,
}

/// The samples of one metric.
#[derive(Clone, Debug)]
struct Series {
    samples: Vec<f64>,
    error: Error,
}

/// Values by key, such as `train.step_time.mean`, in base SI units.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metrics {
    values: BTreeMap<String, f64>,
    intervals: BTreeMap<String, (f64, f64)>,
}

impl Metrics {
    /// Computes every metric of `runs`, one [`Totals`] per replication.
    ///
    /// # Panics
    /// When the totals are not of the run that the facts describe.
    #[must_use]
    pub fn compute(runs: &[&Totals], facts: &RunFacts) -> Self {
        let mut samples = Samples::default();
        for totals in runs {
            for step in totals.steps.iter().skip(facts.warmup_steps) {
                samples.add_step(step, facts);
            }
            samples.add_run(totals, facts);
        }
        for &imbalance in &facts.expert_imbalance {
            samples.push("moe.imbalance", imbalance, Error::Spread);
        }
        for network in &facts.networks {
            samples.add_network(network);
        }
        samples.statistics(facts)
    }

    /// Every statistic of `samples`, over the samples of all replications together.
    ///
    /// The 80 % interval is that of the replications' own values: `v ± t s / √r` for `r` of them with standard deviation
    /// `s`, by Student's law; one replication has none. Worked: values 1 and 3: s = √2, t = 3.078, 2 ± 3.078.
    ///
    /// # Panics
    /// When a key names no metric of the registry.
    #[must_use]
    pub fn of_replications(samples: &crate::Samples) -> Self {
        let mut metrics = Self::default();
        for (path, replications) in samples {
            let name = path.split('{').next().unwrap_or(path);
            assert!(find_metric(name).is_some(), "`{name}` stands in the registry");
            let all = replications.concat();
            for statistic in Statistic::ALL {
                let Some(value) = statistic.of(&all) else {
                    continue;
                };
                let key = format!("{path}.{}", statistic.name());
                let own: Vec<f64> = replications.iter().filter_map(|one| statistic.of(one)).collect();
                if own.len() > 1 && statistic != Statistic::Sum {
                    #[expect(clippy::cast_precision_loss, reason = "there are few replications")]
                    let count = own.len() as f64;
                    let half = student_80(own.len() - 1) * standard_deviation(&own) / count.sqrt();
                    metrics
                        .intervals
                        .insert(key.clone(), (value - half, value + half));
                }
                metrics.values.insert(key, value);
            }
        }
        metrics
    }

    /// The value of `key`; none when the metric has no samples.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<f64> {
        self.values.get(key).copied()
    }

    /// The mean of `metric`, or zero when it has no samples; for sentences, not for checks.
    #[must_use]
    pub fn mean(&self, metric: &str) -> f64 {
        self.get(&format!("{metric}.mean")).unwrap_or(0.0)
    }

    /// The 80 % interval of `key`.
    #[must_use]
    pub fn interval(&self, key: &str) -> Option<(f64, f64)> {
        self.intervals.get(key).copied()
    }

    /// All values, sorted by key.
    #[must_use]
    pub const fn values(&self) -> &BTreeMap<String, f64> {
        &self.values
    }

    /// All intervals, sorted by key.
    #[must_use]
    pub const fn intervals(&self) -> &BTreeMap<String, (f64, f64)> {
        &self.intervals
    }
}

#[derive(Debug, Default)]
struct Samples(BTreeMap<String, Series>);

impl Samples {
    fn push(&mut self, path: &str, value: f64, error: Error) {
        let name = path.split('{').next().unwrap_or(path);
        assert!(find_metric(name).is_some(), "`{name}` stands in the registry");
        let series = self.0.entry(path.to_owned()).or_insert_with(|| Series {
            samples: Vec::new(),
            error,
        });
        series.samples.push(value);
    }

    fn add_step(&mut self, step: &StepTotals, facts: &RunFacts) {
        let seconds = step.duration().as_secs();
        if seconds <= 0.0 {
            return;
        }
        let mut time = |path: &str, value: f64| self.push(path, value, Error::Time);
        let devices = f64::from(facts.device.count);
        let work = &facts.work;
        time("train.step_time", seconds);
        // A recording does not say what it computed.
        if work.tokens > 0.0 {
            time("train.tokens_per_s", work.tokens / seconds);
            time(
                "train.tokens_per_gpu_s",
                work.tokens_per_device(&facts.device, seconds),
            );
            time("train.samples_per_s", work.samples / seconds);
        }
        if work.model_flops.get() > 0.0 {
            let rate = |flops: orrery_units::Flops| flops.get() / seconds / devices;
            let peak = facts.device.peak.get();
            time("train.tflops_per_gpu", rate(work.model_flops));
            time(
                "train.tflops_per_gpu_full_attention",
                rate(work.model_flops_full_attention),
            );
            time("train.mfu", work.mfu(&facts.device, seconds));
            time(
                "train.mfu_full_attention",
                rate(work.model_flops_full_attention) / peak,
            );
            time("train.hfu", rate(work.hardware_flops) / peak);
            time("train.mfu_weighted", work.weighted_ideal.as_secs() / seconds);
        }
        if let Some(price) = &facts.price {
            let cost = price.per_million_tokens(facts.device.count, work.tokens, seconds);
            time("cost.per_mtok", cost);
        }
        if let Some(power) = &facts.power {
            self.add_power(power, step, facts);
        }
        let mut time = |path: &str, value: f64| self.push(path, value, Error::Time);
        for (cause, part) in Waterfall::of_step(step, facts).bars() {
            time(
                &format!("train.cause_time{{cause='{}'}}", cause.name()),
                part.as_secs(),
            );
        }
        self.add_states(&Breakdown::of_step(step, facts));
        for program in step.programs.iter() {
            self.push("train.wait_caused", program.caused_wait.as_secs(), Error::Time);
        }
    }

    fn add_power(&mut self, power: &Power, step: &StepTotals, facts: &RunFacts) {
        let (mut all, mut devices) = (0.0, 0.0);
        for (watts, stands_for) in power.of_step(step, facts) {
            self.push("power.device", watts.0, Error::None);
            all += watts.0 * stands_for;
            devices += stands_for;
        }
        let mean = all / f64::max(devices, 1.0);
        let joules = mean * f64::from(facts.device.count) * step.duration().as_secs();
        self.push("power.clock", power.clock, Error::None);
        self.push(
            "power.node",
            mean * f64::from(power.devices_per_node),
            Error::None,
        );
        self.push("power.energy_per_token", joules / facts.work.tokens, Error::None);
    }

    fn add_states(&mut self, states: &Breakdown) {
        let mut time = |path: &str, value: f64| self.push(path, value, Error::Time);
        time("train.compute_ratio", states.share(State::Compute));
        time("train.contention_ratio", states.contention_share());
        time("train.bubble_ratio", states.share(State::Bubble));
        time("train.imbalance_wait_ratio", states.share(State::ImbalanceWait));
        time("train.host_wait_ratio", states.share(State::Host));
        time("train.optimizer_ratio", states.share(State::Optimizer));
        time("train.idle_ratio", states.share(State::Idle));
        let exposed = State::ALL.into_iter().filter(|s| s.is_exposed_communication());
        let (mut share, mut seconds) = (0.0, 0.0);
        for state in exposed {
            let operation = state.name();
            assert!(
                OPERATIONS.contains(&operation),
                "labels of exposed communication are registered"
            );
            share += states.share(state);
            seconds += states.seconds(state);
            let label = format!("{{op='{operation}'}}");
            time(&format!("train.exposed_comm_ratio{label}"), states.share(state));
            time(&format!("train.exposed_comm_time{label}"), states.seconds(state));
        }
        time("train.exposed_comm_ratio", share);
        time("train.exposed_comm_time", seconds);
    }

    #[expect(clippy::cast_precision_loss, reason = "fewer than 2^53 tasks and events")]
    fn add_run(&mut self, totals: &Totals, facts: &RunFacts) {
        if !facts.identity.is_recorded() {
            self.push("sim.tasks", totals.tasks as f64, Error::None);
            self.push("sim.events", totals.events as f64, Error::None);
        }
        if let Some(price) = &facts.price {
            let day = price.per_day(facts.device.count);
            self.push("cost.per_day", day, Error::None);
        }
        let capacity = facts.device.memory;
        // A run in which no task holds memory says nothing of it.
        let held = totals.memory.iter().any(|memory| memory.peak.bytes > Bytes::ZERO);
        for memory in totals.memory.iter().filter(|_| held) {
            let peak = memory.peak.bytes;
            let fits = if peak <= capacity { 1.0 } else { 0.0 };
            self.push("mem.hbm_peak", peak.as_f64(), Error::Memory);
            self.push("mem.hbm_ratio", peak.as_f64() / capacity.as_f64(), Error::Memory);
            self.push("mem.fits", fits, Error::None);
        }
        if let Some(shares) = evidence_shares(&[totals], facts.warmup_steps) {
            for (evidence, share) in Evidence::ALL.into_iter().zip(shares) {
                self.push(&format!("provenance.{}", evidence.name()), share, Error::None);
            }
        }
    }

    fn add_network(&mut self, network: &Network) {
        for link in network.links() {
            let label = format!("{{link='{}'}}", link.kind);
            for label in ["", label.as_str()] {
                let mut push = |name: &str, value: f64| {
                    self.push(&format!("{name}{label}"), value, Error::Place);
                };
                push("net.utilization", network.utilization(link));
                push("net.utilization_peak", network.peak(link));
            }
        }
    }

    fn statistics(self, facts: &RunFacts) -> Metrics {
        let mut metrics = Metrics::default();
        for (path, series) in self.0 {
            for statistic in Statistic::ALL {
                let Some(value) = statistic.of(&series.samples) else {
                    continue;
                };
                let key = format!("{path}.{}", statistic.name());
                if let Some(interval) = interval(&path, statistic, value, &series, facts) {
                    metrics.intervals.insert(key.clone(), interval);
                }
                metrics.values.insert(key, value);
            }
        }
        metrics
    }
}

/// The 80 % interval of `value`: the samples' spread and the model's own error, in quadrature.
///
/// `v ± sqrt((1.2816 s / √n)² + (e v)²)` for a mean or a median of `n` samples with standard deviation `s`,
/// without `√n` for a percentile or an extreme; `e` is the model's relative error. A share stays in 0 to 1.
/// Worked: steps of 1 s and 3 s (s = √2), e = 10 %: 2 ± sqrt(1.2816² + 0.2²) = 2 ± 1.2971.
fn interval(
    path: &str,
    statistic: Statistic,
    value: f64,
    series: &Series,
    facts: &RunFacts,
) -> Option<(f64, f64)> {
    let relative = match series.error {
        Error::None => return None,
        Error::Spread => 0.0,
        Error::Time | Error::Place => facts.model_error.time,
        Error::Memory => facts.model_error.memory?,
    };
    let deviation = match (series.error, statistic) {
        // Ranks differ by their stage and links by their place, which is no uncertainty; a sum or a last sample
        // has no law.
        (Error::Memory | Error::Place, _) | (_, Statistic::Sum | Statistic::Last) => 0.0,
        (_, Statistic::Mean | Statistic::P50) => {
            #[expect(clippy::cast_precision_loss, reason = "fewer than 2^53 samples")]
            let count = series.samples.len() as f64;
            standard_deviation(&series.samples) / count.sqrt()
        }
        _ => standard_deviation(&series.samples),
    };
    let half = (HALF_WIDTH_80 * deviation).hypot(relative * value);
    let name = path.split('{').next().unwrap_or(path);
    let is_share = find_metric(name).is_some_and(|metric| metric.dimension == Dimension::Number)
        && !matches!(name, "moe.imbalance" | "mem.hbm_ratio");
    let high = value + half;
    Some((
        (value - half).max(0.0),
        if is_share && value <= 1.0 {
            high.min(1.0)
        } else {
            high
        },
    ))
}

/// The quantile of Student's law with so many degrees of freedom that leaves 10 % on either side.
///
/// Beyond ten, `z + (z³ + z) / (4 n)` (Abramowitz and Stegun 26.7.5, first term); worked: 20 gives 1.325.
fn student_80(degrees: usize) -> f64 {
    const FEW: [f64; 10] = [
        3.078, 1.886, 1.638, 1.533, 1.476, 1.440, 1.415, 1.397, 1.383, 1.372,
    ];
    #[expect(clippy::cast_precision_loss, reason = "there are few replications")]
    let of_many = || HALF_WIDTH_80 + (HALF_WIDTH_80.powi(3) + HALF_WIDTH_80) / (4.0 * degrees as f64);
    FEW.get(degrees.saturating_sub(1))
        .copied()
        .unwrap_or_else(of_many)
}

#[expect(clippy::cast_precision_loss, reason = "fewer than 2^53 samples")]
fn standard_deviation(samples: &[f64]) -> f64 {
    if samples.len() < 2 {
        return 0.0;
    }
    let count = samples.len() as f64;
    let mean = samples.iter().sum::<f64>() / count;
    let squares: f64 = samples.iter().map(|x| (x - mean).powi(2)).sum();
    (squares / (count - 1.0)).sqrt()
}

/// Shares of busy time by evidence, in the order of [`Evidence::ALL`]; none when nothing was busy.
pub(crate) fn evidence_shares(runs: &[&Totals], warmup_steps: usize) -> Option<[f64; 4]> {
    let mut seconds = [0.0; 4];
    for step in runs.iter().flat_map(|run| run.steps.iter().skip(warmup_steps)) {
        for (sum, evidence) in seconds.iter_mut().zip(Evidence::ALL) {
            *sum += step.backed_by(evidence).as_secs();
        }
    }
    let all: f64 = seconds.iter().sum();
    (all > 0.0).then(|| seconds.map(|part| part / all))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replications_make_the_interval() {
        let key = "moe.total_time{policy='a'}".to_owned();
        let samples = [(key, vec![vec![1.0], vec![3.0]])].into_iter().collect();
        let metrics = Metrics::of_replications(&samples);
        let (low, high) = metrics.interval("moe.total_time{policy='a'}.mean").unwrap();
        assert!(
            (low + 1.078).abs() < 1e-9 && (high - 5.078).abs() < 1e-9,
            "{low} {high}"
        );
        assert!((student_80(20) - 1.325).abs() < 2e-3, "{}", student_80(20));
    }
}
