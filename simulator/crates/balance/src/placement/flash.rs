//! Mean and variance of loads: flash-lb of vLLM-Ascend and SGLang.
//!
//! A device whose experts rise and fall together is often the slowest even when its mean is fair. Replicas go to the
//! experts whose likely peak is highest, and each is put where the likely peak of the device stays lowest.

use super::assignment::least_cost;
use super::greedy::replicas;
use super::{LayerPlacement, Observed, Shape};

/// The quantile of the peak: three quarters of a normal law lie below `mean + z · deviation`.
const Z: f64 = 0.674;

/// Means and covariances of the loads of experts.
struct Moments {
    mean: Vec<f64>,
    covariance: Vec<Vec<f64>>,
}

impl Moments {
    /// Without two steps to compare, the mean alone.
    #[expect(clippy::cast_precision_loss, reason = "there are few steps")]
    fn of(observed: Observed<'_>) -> Self {
        let experts = observed.mean.len();
        let steps = observed.samples.len();
        let mut covariance = vec![vec![0.0; experts]; experts];
        let mean: Vec<f64> = if steps < 2 {
            observed.mean.to_vec()
        } else {
            let sum = |expert: usize| observed.samples.iter().map(|step| step[expert]).sum::<f64>();
            (0..experts).map(|expert| sum(expert) / steps as f64).collect()
        };
        if steps >= 2 {
            for step in observed.samples {
                for (a, row) in covariance.iter_mut().enumerate() {
                    let off = (step[a] - mean[a]) / (steps - 1) as f64;
                    for (b, cell) in row.iter_mut().enumerate() {
                        *cell += off * (step[b] - mean[b]);
                    }
                }
            }
        }
        Self { mean, covariance }
    }

    /// `mean + z · deviation` of an expert.
    fn peak(&self, expert: usize) -> f64 {
        self.mean[expert] + Z * self.covariance[expert][expert].max(0.0).sqrt()
    }
}

/// A device that is being filled.
#[derive(Clone, Default)]
struct Filling {
    experts: Vec<usize>,
    mean: f64,
    variance: f64,
}

/// Replicas one by one to the expert with the highest `(mean + z · deviation) / replicas`; then heaviest first, each to
/// the device whose `mean + z · deviation` it leaves lowest; then devices renumbered so that least moves.
pub(super) fn place(observed: Observed<'_>, shape: Shape, now: Option<&LayerPlacement>) -> LayerPlacement {
    let moments = Moments::of(observed);
    let peaks: Vec<f64> = (0..shape.experts).map(|expert| moments.peak(expert)).collect();
    let counts = replicas(&peaks, shape.slots);
    let share = |expert: usize| in_float(counts[expert]).recip();
    let mut order: Vec<usize> = (0..shape.experts)
        .flat_map(|expert| std::iter::repeat_n(expert, counts[expert]))
        .collect();
    order.sort_by(|&a, &b| (peaks[b] * share(b)).total_cmp(&(peaks[a] * share(a))));
    let mut devices = vec![Filling::default(); shape.devices];
    for expert in order {
        let with = |device: &Filling| {
            let own = moments.covariance[expert][expert] * share(expert) * share(expert);
            let shared = device
                .experts
                .iter()
                .map(|&other| moments.covariance[expert][other] * share(expert) * share(other))
                .sum::<f64>();
            let mean = moments.mean[expert].mul_add(share(expert), device.mean);
            (mean, device.variance + own + 2.0 * shared)
        };
        let peak = |device: &Filling| {
            let (mean, variance) = with(device);
            // A second replica on a device would balance nothing.
            (
                device.experts.contains(&expert),
                mean + Z * variance.max(0.0).sqrt(),
            )
        };
        let chosen = (0..shape.devices)
            .filter(|&device| devices[device].experts.len() < shape.slots_per_device())
            .min_by(|&a, &b| {
                let (a, b) = (peak(&devices[a]), peak(&devices[b]));
                a.0.cmp(&b.0).then(a.1.total_cmp(&b.1))
            })
            .expect("there are as many slots as replicas");
        let (mean, variance) = with(&devices[chosen]);
        let device = &mut devices[chosen];
        (device.mean, device.variance) = (mean, variance);
        device.experts.push(expert);
    }
    let devices: Vec<Vec<usize>> = devices.into_iter().map(|device| device.experts).collect();
    LayerPlacement::of_devices(&with_least_moves(devices, now), shape.experts)
}

/// The same devices numbered so that as many experts as possible stay where they are.
fn with_least_moves(devices: Vec<Vec<usize>>, now: Option<&LayerPlacement>) -> Vec<Vec<usize>> {
    let Some(now) = now.filter(|now| now.num_devices() == devices.len()) else {
        return devices;
    };
    let missing = |device: &Vec<usize>, at: usize| {
        let held = now.on(at);
        in_float(device.iter().filter(|expert| !held.contains(expert)).count())
    };
    let costs: Vec<Vec<f64>> = devices
        .iter()
        .map(|device| (0..devices.len()).map(|at| missing(device, at)).collect())
        .collect();
    let mut numbered = vec![Vec::new(); devices.len()];
    for (device, at) in devices.into_iter().zip(least_cost(&costs)) {
        numbered[at] = device;
    }
    numbered
}

#[expect(
    clippy::cast_precision_loss,
    reason = "an expert has few replicas, a device few experts"
)]
const fn in_float(count: usize) -> f64 {
    count as f64
}
