//! Tokens that pick different experts of a pool, all equally likely: counted exactly, and not token by token.

use rand::Rng;

use super::draw;

/// Adds to `counts` what `tokens` tokens leave that pick `top_k` different experts of `pool` each, every set of
/// experts equally likely.
///
/// Expert by expert: a token that has yet to pick `r` of `m` experts picks the next with the chance `r / m`. So
/// tokens are kept in classes by what they have yet to pick, and each class gives one binomial draw; the law is
/// exactly that of drawing each token's set without replacement, in `top_k` draws per expert.
///
/// Worked: 100 tokens that pick 2 of 2 give both experts 100; of 4, every count has the mean 50 and the variance
/// `100 · 1/2 · 1/2` = 25, where the multinomial law has 37.5.
///
/// # Panics
/// When the pool has fewer than `top_k` experts.
pub(super) fn add_distinct(
    tokens: u64,
    top_k: usize,
    pool: &[usize],
    rng: &mut impl Rng,
    counts: &mut [u32],
) {
    assert!(top_k <= pool.len(), "{top_k} different experts of {}", pool.len());
    let mut waiting = vec![0; top_k + 1];
    waiting[top_k] = tokens;
    for (position, &expert) in pool.iter().enumerate() {
        let unseen = (pool.len() - position) as f64;
        for class in 1..=top_k {
            let picked = draw::binomial(waiting[class], class as f64 / unseen, rng);
            waiting[class] -= picked;
            waiting[class - 1] += picked;
            counts[expert] += u32::try_from(picked).expect("an expert has fewer than 2^32 assignments");
        }
    }
    assert_eq!(waiting[0], tokens, "every token picked all of its experts");
}

#[cfg(test)]
mod tests {
    use orrery_units::{Key, Seed};
    use rand::RngExt as _;

    use super::*;

    /// The slow twin: token by token, without replacement.
    fn by_token(tokens: u64, top_k: usize, pool: &[usize], key: Key, counts: &mut [u32]) {
        let mut rng = key.rng();
        for _ in 0..tokens {
            let mut left = pool.to_vec();
            for _ in 0..top_k {
                let at = rng.random_range(0..left.len());
                counts[left.swap_remove(at)] += 1;
            }
        }
    }

    fn variance_of_first(draw: impl Fn(Key, &mut [u32])) -> (f64, f64) {
        let draws = 20_000;
        let values: Vec<f64> = (0..draws)
            .map(|number| {
                let mut counts = [0; 5];
                draw(Seed::new(7).at("pool", &[number]), &mut counts);
                assert_eq!(counts.iter().sum::<u32>(), 200);
                assert!(counts[4] == 0 && counts.iter().all(|&count| count <= 100));
                f64::from(counts[0])
            })
            .collect();
        let mean = values.iter().sum::<f64>() / draws as f64;
        let variance = values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / draws as f64;
        (mean, variance)
    }

    #[test]
    fn it_has_the_law_of_drawing_token_by_token() {
        let pool = [0, 1, 2, 3];
        let fast = variance_of_first(|key, counts| add_distinct(100, 2, &pool, &mut key.rng(), counts));
        let slow = variance_of_first(|key, counts| by_token(100, 2, &pool, key, counts));
        for (mean, variance) in [fast, slow] {
            assert!((mean - 50.0).abs() < 5.0 * (25.0_f64 / 20_000.0).sqrt(), "{mean}");
            assert!(
                (variance / 25.0 - 1.0).abs() < 5.0 * (2.0_f64 / 20_000.0).sqrt(),
                "{variance}"
            );
        }
    }

    #[test]
    fn a_pool_of_top_k_experts_leaves_no_choice() {
        let mut counts = [0; 5];
        add_distinct(
            100,
            2,
            &[1, 3],
            &mut Seed::new(1).at("pool", &[]).rng(),
            &mut counts,
        );
        assert_eq!(counts, [0, 100, 0, 100, 0]);
    }
}
