//! Nelder and Mead's simplex: minimises a function of few variables without derivatives.

/// The point near `start` where `loss` is least, after at most `rounds` rounds and three restarts.
///
/// Deterministic: same start, same function, same answer. Coordinates should be logarithms of positive
/// parameters, so that one step size suits all.
#[must_use]
pub fn minimise(start: &[f64], rounds: usize, loss: impl Fn(&[f64]) -> f64) -> Vec<f64> {
    let mut best = start.to_vec();
    for step in [0.4, 0.2, 0.1] {
        best = descend(&best, step, rounds, &loss);
    }
    best
}

fn descend(start: &[f64], step: f64, rounds: usize, loss: &impl Fn(&[f64]) -> f64) -> Vec<f64> {
    let mut simplex: Vec<(f64, Vec<f64>)> = vec![(loss(start), start.to_vec())];
    for axis in 0..start.len() {
        let mut corner = start.to_vec();
        corner[axis] += step;
        simplex.push((loss(&corner), corner));
    }
    for _ in 0..rounds {
        simplex.sort_by(|a, b| a.0.total_cmp(&b.0));
        let last = simplex.len() - 1;
        if (simplex[last].0 - simplex[0].0).abs() <= 1e-12 * simplex[0].0.abs() {
            break;
        }
        let centre = centroid(&simplex[..last]);
        let worst = simplex[last].clone();
        let along = |factor: f64| {
            let point: Vec<f64> = centre
                .iter()
                .zip(&worst.1)
                .map(|(c, w)| (c - w).mul_add(factor, *c))
                .collect();
            (loss(&point), point)
        };
        let reflected = along(1.0);
        if reflected.0 < simplex[0].0 {
            let expanded = along(2.0);
            simplex[last] = if expanded.0 < reflected.0 {
                expanded
            } else {
                reflected
            };
        } else if reflected.0 < simplex[last - 1].0 {
            simplex[last] = reflected;
        } else {
            let contracted = along(if reflected.0 < worst.0 { 0.5 } else { -0.5 });
            if contracted.0 < worst.0.min(reflected.0) {
                simplex[last] = contracted;
            } else {
                shrink(&mut simplex, loss);
            }
        }
    }
    simplex.sort_by(|a, b| a.0.total_cmp(&b.0));
    simplex.swap_remove(0).1
}

#[expect(clippy::cast_precision_loss, reason = "a simplex has few corners")]
fn centroid(corners: &[(f64, Vec<f64>)]) -> Vec<f64> {
    let mut centre = vec![0.0; corners[0].1.len()];
    for (_, corner) in corners {
        for (sum, value) in centre.iter_mut().zip(corner) {
            *sum += value / corners.len() as f64;
        }
    }
    centre
}

fn shrink(simplex: &mut [(f64, Vec<f64>)], loss: &impl Fn(&[f64]) -> f64) {
    let best = simplex[0].1.clone();
    for corner in &mut simplex[1..] {
        for (value, anchor) in corner.1.iter_mut().zip(&best) {
            *value = f64::midpoint(*value, *anchor);
        }
        corner.0 = loss(&corner.1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_bottom_of_a_bent_valley() {
        let valley = |p: &[f64]| (1.0 - p[0]).powi(2) + 100.0 * (p[1] - p[0] * p[0]).powi(2);
        let found = minimise(&[-1.2, 1.0], 2000, valley);
        assert!(
            (found[0] - 1.0).abs() < 1e-3 && (found[1] - 1.0).abs() < 1e-3,
            "{found:?}"
        );
    }
}
