//! Levenberg and Marquardt's method with priors: many rows, some tens of parameters, a residual each.

/// What is known of a parameter before any row is read: its value and how far it may be off, both as logarithms.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Prior {
    /// Logarithm of the expected value.
    pub centre: f64,
    /// How far the logarithm may be off.
    pub spread: f64,
}

/// The parameters, as logarithms, that make `Σ ρ(residual) + Σ ((p − centre) / spread)²` least.
///
/// `ρ(e) = 4 (√(1 + e²/2) − 1)` is a square for small residuals and an absolute value for large ones, so that a few
/// bad rows do not bend the law. Residuals are `ln(predicted / measured)` over the scatter that is expected of a row.
/// Deterministic. Derivatives are differences of one thousandth.
#[must_use]
pub fn least_squares(priors: &[Prior], residuals: impl Fn(&[f64]) -> Vec<f64>) -> Vec<f64> {
    let mut point: Vec<f64> = priors.iter().map(|prior| prior.centre).collect();
    let mut cost = objective(priors, &point, &residuals);
    let mut damping = 1e-2;
    for _ in 0..60 {
        let (matrix, gradient) = normal_equations(priors, &point, &residuals);
        let mut progress = false;
        for _ in 0..8 {
            let mut damped = matrix.clone();
            for (at, row) in damped.iter_mut().enumerate() {
                row[at] *= 1.0 + damping;
            }
            let step = solve(damped, gradient.clone());
            let trial: Vec<f64> = point
                .iter()
                .zip(&step)
                .map(|(p, s)| p - s.clamp(-0.5, 0.5))
                .collect();
            let trial_cost = objective(priors, &trial, &residuals);
            if trial_cost < cost {
                progress = cost - trial_cost > 1e-5 * trial_cost;
                (point, cost) = (trial, trial_cost);
                damping = (damping * 0.3_f64).max(1e-6);
                break;
            }
            damping *= 4.0;
        }
        if !progress {
            break;
        }
    }
    point
}

fn objective(priors: &[Prior], point: &[f64], residuals: &impl Fn(&[f64]) -> Vec<f64>) -> f64 {
    let rows: f64 = residuals(point)
        .iter()
        .map(|e| 4.0 * ((1.0 + e * e / 2.0).sqrt() - 1.0))
        .sum();
    let known: f64 = priors
        .iter()
        .zip(point)
        .map(|(prior, p)| ((p - prior.centre) / prior.spread).powi(2))
        .sum();
    rows + known
}

/// Gauss and Newton's matrix and half the gradient at `point`.
fn normal_equations(
    priors: &[Prior],
    point: &[f64],
    residuals: &impl Fn(&[f64]) -> Vec<f64>,
) -> (Vec<Vec<f64>>, Vec<f64>) {
    const STEP: f64 = 1e-3;
    let size = point.len();
    let base = residuals(point);
    let columns: Vec<Vec<f64>> = (0..size)
        .map(|at| {
            let mut moved = point.to_vec();
            moved[at] += STEP;
            let there = residuals(&moved);
            there.iter().zip(&base).map(|(t, b)| (t - b) / STEP).collect()
        })
        .collect();
    let weights: Vec<f64> = base.iter().map(|e| 1.0 / (1.0 + e * e / 2.0).sqrt()).collect();
    let product =
        |a: &[f64], b: &[f64]| -> f64 { a.iter().zip(b).zip(&weights).map(|((a, b), w)| a * b * w).sum() };
    let mut matrix = vec![vec![0.0; size]; size];
    let mut gradient = vec![0.0; size];
    for (at, prior) in priors.iter().enumerate() {
        for other in at..size {
            let value = product(&columns[at], &columns[other]);
            matrix[at][other] = value;
            matrix[other][at] = value;
        }
        let certainty = 1.0 / (prior.spread * prior.spread);
        matrix[at][at] += certainty;
        gradient[at] = product(&columns[at], &base) + (point[at] - prior.centre) * certainty;
    }
    (matrix, gradient)
}

/// Gauss's elimination with pivots.
fn solve(mut matrix: Vec<Vec<f64>>, mut right: Vec<f64>) -> Vec<f64> {
    let size = right.len();
    for at in 0..size {
        let pivot = (at..size)
            .max_by(|&a, &b| matrix[a][at].abs().total_cmp(&matrix[b][at].abs()))
            .unwrap_or(at);
        matrix.swap(at, pivot);
        right.swap(at, pivot);
        let (upper, lower) = matrix.split_at_mut(at + 1);
        let head = &upper[at];
        for (offset, row) in lower.iter_mut().enumerate() {
            let factor = row[at] / head[at];
            for (value, above) in row.iter_mut().zip(head).skip(at) {
                *value -= factor * above;
            }
            right[at + 1 + offset] -= factor * right[at];
        }
    }
    for at in (0..size).rev() {
        let known: f64 = (at + 1..size).map(|other| matrix[at][other] * right[other]).sum();
        right[at] = (right[at] - known) / matrix[at][at];
    }
    right
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_two_parameters_and_leaves_the_unseen_one_at_its_prior() {
        let prior = |value: f64| Prior {
            centre: value.ln(),
            spread: 1.0,
        };
        // Times of 3 us and 2 us per MB, with one row of ten that is a factor of two off.
        let row = |size: f64| 3.0 + 2.0 * size;
        let sizes = [0.1, 0.3, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0];
        let found = least_squares(&[prior(1.0), prior(1.0), prior(7.0)], |logs| {
            let (a, b) = (logs[0].exp(), logs[1].exp());
            let measured = |at: usize, size: f64| row(size) * if at == 5 { 2.0 } else { 1.0 };
            let residual = |(at, &size): (usize, &f64)| ((a + b * size) / measured(at, size)).ln() / 0.01;
            sizes.iter().enumerate().map(residual).collect()
        });
        assert!((found[0].exp() - 3.0).abs() < 0.02, "{found:?}");
        assert!((found[1].exp() - 2.0).abs() < 0.02, "{found:?}");
        assert!((found[2].exp() - 7.0).abs() < 1e-9, "{found:?}");
    }
}
