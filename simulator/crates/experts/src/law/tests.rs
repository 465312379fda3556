//! Laws give their own parameters back, and recorded loads follow those that they are known to follow.

use flate2::read::GzDecoder;
use orrery_units::Seed;

use super::fit::r_squared;
use super::*;
use crate::load::{Law, shares};
use crate::record;

fn recorded(file: &str) -> Vec<record::Part> {
    let path = format!("{}/../../../tests/truth/{file}", env!("CARGO_MANIFEST_DIR"));
    let mut text = String::new();
    let mut reader = GzDecoder::new(std::fs::File::open(path).unwrap());
    std::io::Read::read_to_string(&mut reader, &mut text).unwrap();
    record::read(&text).unwrap().parts
}

/// What data/routing is known to follow: log-normal or Dirichlet (over Zipf), R² 0.93 and more.
#[test]
fn recorded_loads_follow_the_laws_they_are_known_to_follow() {
    let lite = recorded("routing_counts_deepseek_v2_lite_esft.csv.gz");
    let others = recorded("routing_counts_olmoe_mixtral.csv.gz");
    let olmoe = others.into_iter().filter(|part| part.name.starts_with("olmoe"));
    for (model, layers) in [
        (
            "DeepSeek-V2-Lite",
            lite.into_iter()
                .filter(|part| part.name == "law")
                .flat_map(|part| part.layers())
                .collect::<Vec<_>>(),
        ),
        ("OLMoE", olmoe.flat_map(|part| part.layers()).collect()),
    ] {
        let fitted = fit(&layers).unwrap();
        let medians: Vec<_> = Family::ALL
            .iter()
            .map(|&family| (family.name(), fitted.r_squared(family)))
            .collect();
        assert!(
            matches!(fitted.family, Family::LogNormal | Family::DirichletZipf),
            "{model}: {medians:?}"
        );
        assert!(fitted.r_squared(fitted.family) >= 0.93, "{model}: {medians:?}");
    }
}

/// Drawn with known parameters, many experts: they come back, within what a sample of that size allows.
#[test]
fn laws_give_their_parameters_back() {
    let drawn = |law| -> Vec<u64> {
        let shares = shares(law, 512, 1, Seed::new(1).at("law", &[]));
        shares.iter().map(|share| (share * 1e9) as u64).collect()
    };
    for (law, family, within) in [
        (Law::LogNormal { sigma: 0.8 }, Family::LogNormal, 0.08),
        (Law::Dirichlet { concentration: 2.0 }, Family::Dirichlet, 0.4),
        (Law::Zipf { exponent: 0.7 }, Family::Zipf, 1e-3),
    ] {
        let fits = fit_layer(&drawn(law)).unwrap();
        let fitted = fits.of(family);
        let expected = match law {
            Law::LogNormal { sigma: value }
            | Law::Zipf { exponent: value }
            | Law::Dirichlet { concentration: value } => value,
            _ => unreachable!("the three above"),
        };
        assert!((fitted.values()[0] - expected).abs() < within, "{fitted:?}");
        assert!(fitted.r_squared > 0.97, "{fitted:?}");
    }
}

/// The expected shares of a law against the sorted means of many draws of it.
#[test]
fn sorted_shares_are_those_of_draws() {
    for law in [
        Law::LogNormal { sigma: 0.7 },
        Law::Dirichlet { concentration: 0.5 },
        Law::DirichletZipf {
            exponent: 0.8,
            concentration: 3.0,
        },
        Law::PowerLaw {
            alpha: 1.2,
            span: 50.0,
        },
    ] {
        let draws = 400;
        let mut means = vec![0.0; 64];
        for draw in 0..draws {
            let mut drawn = shares(law, 64, 1, Seed::new(2).at("draw", &[draw]));
            drawn.sort_by(|a, b| b.total_cmp(a));
            means
                .iter_mut()
                .zip(drawn)
                .for_each(|(mean, share)| *mean += share / draws as f64);
        }
        let expected = sorted_shares(law, 64);
        assert!((expected.iter().sum::<f64>() - 1.0).abs() < 1e-9, "{law:?}");
        assert!(
            r_squared(&means, &expected) > 0.98,
            "{law:?}: {means:?} {expected:?}"
        );
    }
}

#[test]
fn formulas_have_their_worked_numbers() {
    let zipf = sorted_shares(Law::Zipf { exponent: 1.0 }, 3);
    for (share, worked) in zipf.iter().zip([6.0, 3.0, 2.0]) {
        assert!((share - worked / 11.0).abs() < 1e-12);
    }
    assert!((r_squared(&[1.0, 2.0, 3.0], &[1.0, 2.0, 2.0]) - 0.5).abs() < 1e-12);
    assert_eq!(fit_layer(&[1, 2, 3]), None);
    assert_eq!(fit_layer(&[0; 8]), None);
}
