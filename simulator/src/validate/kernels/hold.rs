//! What is left out, what is fitted, and how wide the interval of a prediction is.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use orrery_profile::fit::{LibraryFit, LibraryRow};
use orrery_profile::library::{LibraryContext, LibraryExperts, LibraryGemm, LibraryGeneration};
use orrery_units::SimDuration;

use super::{Class, Compared, FOLDS, Kind, Known, grouped, shapes};

/// A fit and the rows that it predicts.
#[derive(Clone, Debug, Default)]
struct Job {
    class: Option<Class>,
    train: Vec<usize>,
    test: Vec<usize>,
    /// Jobs whose errors tell how far this one may be off.
    family: usize,
}

/// A result per row, each shape left out, on all devices, of the fit of its library and formats.
pub(super) fn by_shape(
    known: &[&Known],
    progress: &mut (dyn FnMut(usize, usize) -> bool + Send),
) -> Vec<Result<Compared, String>> {
    let groups = grouped(known, |row| format!("{}\n{}", row.library, row.formats));
    let mut jobs = Vec::new();
    for (family, ((class, _), members)) in groups.iter().enumerate() {
        let names = shapes(known, members);
        if names.len() < 2 {
            continue;
        }
        let fold: BTreeMap<&str, usize> = names
            .iter()
            .zip(0..)
            .map(|(name, at)| (*name, at % FOLDS))
            .collect();
        for turn in 0..FOLDS.min(names.len()) {
            let (test, train) = members
                .iter()
                .partition(|&&at| fold[known[at].shape.as_str()] == turn);
            jobs.push(Job {
                class: Some(*class),
                train,
                test,
                family,
            });
        }
    }
    let reason = "no other shape of this kernel was measured";
    judged(known, &jobs, (reason, "interpolated"), progress)
}

/// A result per row, each device left out of the fit of its library and formats, together with devices whose table is a
/// copy of its own.
pub(super) fn by_device(
    known: &[&Known],
    progress: &mut (dyn FnMut(usize, usize) -> bool + Send),
) -> Vec<Result<Compared, String>> {
    let groups = grouped(known, |row| format!("{}\n{}", row.library, row.formats));
    let mut jobs = Vec::new();
    for (family, ((class, _), members)) in groups.iter().enumerate() {
        let mut devices: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for &at in members {
            devices.entry(&known[at].device).or_default().push(at);
        }
        for (name, test) in &devices {
            let train: Vec<usize> = devices
                .iter()
                .filter(|(other, rows)| *other != name && !copies(known, test, rows))
                .flat_map(|(_, rows)| rows.iter().copied())
                .collect();
            if shapes(known, &train).len() > 1 {
                jobs.push(Job {
                    class: Some(*class),
                    train,
                    test: test.clone(),
                    family,
                });
            }
        }
    }
    let reason = "no other device was measured with this kernel";
    judged(known, &jobs, (reason, "extrapolated"), progress)
}

/// Whether most of the questions that both answer have the same time to the last digit: one table was filled from the
/// other's.
fn copies(known: &[&Known], a: &[usize], b: &[usize]) -> bool {
    let times: BTreeMap<(&str, u64), ()> = a
        .iter()
        .map(|&at| ((known[at].question.as_str(), known[at].measured.to_bits()), ()))
        .collect();
    let questions: BTreeMap<&str, ()> = a.iter().map(|&at| (known[at].question.as_str(), ())).collect();
    let shared = b
        .iter()
        .filter(|&&at| questions.contains_key(known[at].question.as_str()));
    let (same, all) = shared.fold((0_usize, 0_usize), |(same, all), &at| {
        let key = (known[at].question.as_str(), known[at].measured.to_bits());
        (same + usize::from(times.contains_key(&key)), all + 1)
    });
    same * 2 > all
}

/// Predictions of the jobs beside the measurements, with intervals.
fn judged(
    known: &[&Known],
    jobs: &[Job],
    (missing, evidence): (&str, &'static str),
    progress: &mut (dyn FnMut(usize, usize) -> bool + Send),
) -> Vec<Result<Compared, String>> {
    let mut results = vec![Err(missing.to_owned()); known.len()];
    let Some(predicted) = all(known, jobs, progress) else {
        return results;
    };
    let log = |job: usize, at: usize, row: usize| (known[row].measured / predicted[job][at]).ln();
    for (number, job) in jobs.iter().enumerate() {
        // How far the fits of the other folds, or devices, are off on rows that they were not fitted to.
        let mut errors: Vec<f64> = jobs
            .iter()
            .enumerate()
            .filter(|(other, of)| *other != number && of.family == job.family)
            .flat_map(|(other, of)| of.test.iter().enumerate().map(move |(at, row)| (other, at, *row)))
            .map(|(other, at, row)| log(other, at, row))
            .collect();
        errors.sort_by(f64::total_cmp);
        let (low, high) = (tenth(&errors, 1), tenth(&errors, 9));
        for (at, &row) in job.test.iter().enumerate() {
            let seconds = predicted[number][at];
            results[row] = Ok(Compared {
                measured: known[row].measured,
                predicted: seconds,
                low: seconds * low.min(0.0).exp(),
                high: seconds * high.max(0.0).exp(),
                evidence,
            });
        }
    }
    results
}

/// So many tenths of `sorted` lie below; 0 of none.
fn tenth(sorted: &[f64], tenths: usize) -> f64 {
    sorted
        .get((sorted.len() * tenths / 10).min(sorted.len().saturating_sub(1)))
        .copied()
        .unwrap_or(0.0)
}

/// Seconds of the rows of every job, a thread per core; each job is independent, so that order changes nothing. Nothing
/// where `progress` said to stop.
fn all(
    known: &[&Known],
    jobs: &[Job],
    progress: &mut (dyn FnMut(usize, usize) -> bool + Send),
) -> Option<Vec<Vec<f64>>> {
    let next = AtomicUsize::new(0);
    let found: Mutex<Vec<Vec<f64>>> = Mutex::new(vec![Vec::new(); jobs.len()]);
    let told = Mutex::new((0_usize, progress));
    let is_stopped = AtomicBool::new(false);
    let workers = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..workers.min(jobs.len()) {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let job = jobs.get(number).filter(|_| !is_stopped.load(Ordering::Relaxed));
                    let Some(job) = job else { break };
                    let seconds = predict(known, job);
                    let mut found = found.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                    found[number] = seconds;
                    drop(found);
                    let mut told = told.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                    told.0 += 1;
                    let done = told.0;
                    if !(told.1)(done, jobs.len()) {
                        is_stopped.store(true, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let found = found
        .into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    (!is_stopped.into_inner()).then_some(found)
}

fn predict(known: &[&Known], job: &Job) -> Vec<f64> {
    match job.class {
        Some(Class::Gemm) => fitted::<LibraryGemm>(known, job),
        Some(Class::AttentionContext | Class::LatentContext) => fitted::<LibraryContext>(known, job),
        Some(Class::AttentionGeneration | Class::LatentGeneration) => fitted::<LibraryGeneration>(known, job),
        Some(Class::Experts) => fitted::<LibraryExperts>(known, job),
        None => Vec::new(),
    }
}

fn fitted<K: Kind>(known: &[&Known], job: &Job) -> Vec<f64> {
    let mut releases: BTreeMap<&str, u32> = BTreeMap::new();
    for &at in job.train.iter().chain(&job.test) {
        let next = u32::try_from(releases.len()).unwrap_or(u32::MAX);
        releases.entry(&known[at].release).or_insert(next);
    }
    let rows: Vec<LibraryRow<'_, K>> = job
        .train
        .iter()
        .filter_map(|&at| {
            Some(LibraryRow {
                call: K::of(&known[at].call)?,
                release: releases[known[at].release.as_str()],
                time: SimDuration::from_secs(known[at].measured),
            })
        })
        .collect();
    let fit = LibraryFit::new(&rows);
    job.test
        .iter()
        .filter_map(|&at| Some((K::of(&known[at].call)?, releases[known[at].release.as_str()])))
        .map(|(call, release)| fit.time(call, release).as_secs())
        .collect()
}
