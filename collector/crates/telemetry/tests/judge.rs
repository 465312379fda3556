//! The judge on the made-up cluster: silent in health, and it names every fault.

use orrery_telemetry::demo::{Course, FaultKind, catalogue};
use orrery_telemetry::judge::{Alert, Preset, Rule, Rules};
use orrery_units::{Seed, SimDuration};

fn hours(hours: f64) -> SimDuration {
    SimDuration::from_secs(3600.0 * hours)
}

fn told(alerts: &[Alert]) -> String {
    let lines = alerts.iter().map(|alert| {
        let (rule, subject, what) = (alert.rule, &alert.subject, &alert.what);
        format!("\n  {} {rule} {subject}: {what}", alert.raised.as_millis())
    });
    lines.collect()
}

/// Frames every minute but for one week in more detail.
#[test]
fn a_healthy_week_raises_no_alert() {
    for (seed, interval) in [(1, 60.0), (2, 60.0), (3, 30.0)] {
        let week = hours(7.0 * 24.0);
        let course = Course::new(
            Seed::new(seed),
            SimDuration::from_secs(interval),
            week,
            Rules::default(),
        );
        let alerts = &course.false_alarms;
        assert!(alerts.is_empty(), "seed {seed}:{}", told(alerts));
    }
}

/// At the pace of a live collector, for as long as that takes no time.
#[test]
fn a_healthy_hour_at_two_seconds_raises_no_alert() {
    let course = Course::new(
        Seed::new(4),
        SimDuration::from_secs(2.0),
        hours(2.0),
        Rules::default(),
    );
    assert!(course.false_alarms.is_empty(), "{}", told(&course.false_alarms));
}

#[test]
fn every_fault_is_found_and_named_and_nothing_else_is() {
    let mut faults = Vec::new();
    for (seed, interval) in [(11, 30.0), (12, 60.0), (13, 30.0)] {
        let interval = SimDuration::from_secs(interval);
        let course = Course::new(Seed::new(seed), interval, hours(2.5), Rules::default());
        assert!(course.false_alarms.is_empty(), "{}", told(&course.false_alarms));
        for case in catalogue() {
            let outcome = course.clone().judge(&case, hours(4.0));
            let what = format!("seed {seed}, {:?}, {}", case.fault.kind, case.rule);
            if outcome.alert.is_none() {
                faults.push(format!("{what}: not found"));
            } else if !outcome.is_cleared {
                faults.push(format!("{what}: not cleared"));
            }
            if !outcome.false_alarms.is_empty() {
                faults.push(format!("{what}: false alarms{}", told(&outcome.false_alarms)));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn every_rule_that_is_on_has_a_fault_that_it_finds() {
    let cases = catalogue();
    let rules = Rules::default();
    for rule in Rule::ALL.into_iter().filter(|&rule| rules.is_on(rule)) {
        assert!(cases.iter().any(|case| case.rule == rule), "{rule} finds nothing");
    }
}

#[test]
fn a_straggler_is_told_with_its_cause_in_one_sentence() {
    let course = Course::new(
        Seed::new(11),
        SimDuration::from_secs(30.0),
        hours(2.5),
        Rules::default(),
    );
    let what = |kind: FaultKind, rule: Rule| {
        let mut cases = catalogue().into_iter();
        let case = cases.find(|case| case.fault.kind == kind).unwrap();
        let case = orrery_telemetry::demo::Case {
            rule,
            subject: orrery_telemetry::judge::Subject::Rank {
                job: "pretrain-0".to_owned(),
                rank: case.fault.node * 8 + case.fault.gpu,
            },
            ..case
        };
        course.clone().judge(&case, hours(1.0)).alert.unwrap().what
    };
    let stuck = what(FaultKind::ClockStuck, Rule::Straggler);
    assert!(
        stuck.starts_with("rank 21 (demo-node-2 GPU 5) makes the others wait"),
        "{stuck}"
    );
    assert!(
        stuck.contains("its clock is 12") && stuck.contains("MHz against 17"),
        "{stuck}"
    );
    let retransmits = what(FaultKind::NicRetransmits, Rule::Straggler);
    assert!(retransmits.contains("mlx5_2/1 sends 6"), "{retransmits}");
    let hot = what(FaultKind::Overheats, Rule::Straggler);
    assert!(hot.contains("throttled by thermal_hardware"), "{hot}");
    let host = what(FaultKind::SlowHost, Rule::Straggler);
    assert!(host.contains("look like the others'"), "{host}");
}

#[test]
fn a_hang_names_the_collective_and_who_is_missing() {
    let course = Course::new(
        Seed::new(11),
        SimDuration::from_secs(30.0),
        hours(2.5),
        Rules::default(),
    );
    let case = catalogue()
        .into_iter()
        .find(|case| case.rule == Rule::Hang)
        .unwrap();
    let what = course.judge(&case, hours(1.0)).alert.unwrap().what;
    assert!(what.contains("24 of 24 devices spin at"), "{what}");
    assert!(what.contains("all_reduce number 812"), "{what}");
    assert!(
        what.ends_with("which rank 13 (demo-node-1 GPU 5) did not begin"),
        "{what}"
    );
}

#[test]
fn the_article_s_figures_are_told_with_who_meets_them_and_only_when_asked_for() {
    let rules = Rules {
        presets: [Preset::ArticleKpi].into(),
        ..Rules::default()
    };
    let course = Course::new(Seed::new(1), SimDuration::from_secs(60.0), hours(2.0), rules);
    let of = |rule| course.false_alarms.iter().filter(move |alert| alert.rule == rule);
    let mfu = &of(Rule::KpiMfu).next().unwrap().what;
    assert!(
        mfu.contains("of 721 published runs with a printed MFU two reach 65 %"),
        "{mfu}"
    );
    assert!(of(Rule::KpiMemory).count() > 20, "{}", told(&course.false_alarms));
    let others = course.false_alarms.iter().filter(|alert| !alert.rule.is_kpi());
    assert_eq!(others.count(), 0, "{}", told(&course.false_alarms));
}
