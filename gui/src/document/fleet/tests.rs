//! The fleet from events to standings, without a connection.

use std::time::Duration;

use orrery_telemetry::{Absence, DeviceIdentity, Heartbeat, Reading, UnixTime};
use orrery_units::{Ratio, SimDuration, SimTime};

use super::*;

fn device(node: &str, index: u32, share: f64) -> DeviceSample {
    let identity = DeviceIdentity {
        node: node.to_owned(),
        index,
        uuid: format!("GPU-{node}-{index}"),
        model: "model".to_owned(),
    };
    let mut device = DeviceSample::absent(identity, &Absence::NotSupported);
    device.utilization = Reading::Value(Ratio::clamped(share));
    device
}

/// The `sequence`-th sample of a source that is read every second.
fn sample(sequence: u64, devices: Vec<DeviceSample>) -> News {
    News::Heard(Event::Sample(Sample {
        source: "nvml".to_owned(),
        origin: Origin::Live,
        sequence,
        at: SimTime::ZERO + SimDuration::from_millis(1000) * sequence,
        taken: UnixTime::from_millis(0),
        devices,
        host: None,
        collectives: Vec::new(),
    }))
}

fn fleet() -> Fleet {
    Fleet {
        collectors: vec![
            Collector::new(0, "http://a:9477"),
            Collector::new(1, "http://b:9477"),
        ],
        ..Fleet::default()
    }
}

fn hear(fleet: &mut Fleet, now: f64, collector: usize, news: News) {
    fleet.hear(FleetEvent { collector, news }, now);
}

#[test]
fn a_lost_collector_keeps_its_last_values_and_says_why_until_it_is_back() {
    let mut fleet = fleet();
    hear(&mut fleet, 10.0, 0, News::Connected);
    hear(&mut fleet, 10.0, 0, sample(3, vec![device("n", 0, 0.5)]));
    assert_eq!(fleet.standing(&fleet.nodes[0], 10.5), Standing::Live);
    let lost = News::Lost {
        why: "gone".to_owned(),
        retry_in: Duration::from_secs(2),
    };
    hear(&mut fleet, 11.0, 0, lost);
    assert_eq!(
        fleet.standing(&fleet.nodes[0], 11.0),
        Standing::Gone("collector lost: gone".to_owned())
    );
    let link = |retry_at| Link::Lost {
        why: "gone".to_owned(),
        retry_at,
    };
    assert_eq!(fleet.collectors[0].link, link(Some(13.0)));
    hear(&mut fleet, 13.0, 0, News::Connecting);
    assert_eq!(
        fleet.collectors[0].link,
        link(None),
        "the reason stays while it is tried"
    );
    assert_eq!(fleet.num_devices(), 1, "and so do the values");
    hear(&mut fleet, 13.1, 0, News::Connected);
    hear(&mut fleet, 13.1, 0, sample(4, vec![device("n", 0, 0.6)]));
    assert_eq!(fleet.standing(&fleet.nodes[0], 13.2), Standing::Live);
    let values: Vec<Option<f64>> = fleet.nodes[0].devices[0]
        .history
        .values(FleetMetric::Utilization)
        .map(|(_, value)| value)
        .collect();
    assert_eq!(values.len(), 2, "its history went on");
}

#[test]
fn silence_is_told_apart_from_a_source_that_says_it_has_nothing() {
    let mut fleet = fleet();
    hear(&mut fleet, 0.0, 0, News::Connected);
    hear(&mut fleet, 0.0, 0, sample(1, vec![device("n", 0, 0.5)]));
    assert_eq!(fleet.standing(&fleet.nodes[0], 3.9), Standing::Live);
    assert_eq!(fleet.standing(&fleet.nodes[0], 4.1), Standing::Stale);
    let absent = SourceStatus::absent("nvml", "the driver hangs");
    hear(&mut fleet, 5.0, 0, News::Heard(Event::Source(absent)));
    let why = "source nvml is silent: the driver hangs".to_owned();
    assert_eq!(fleet.standing(&fleet.nodes[0], 5.0), Standing::Gone(why));
    let beat = Heartbeat {
        sent: UnixTime::from_millis(0),
        next_within: SimDuration::from_millis(1500),
    };
    hear(&mut fleet, 6.0, 0, News::Heard(Event::Heartbeat(beat)));
    assert!(
        !fleet.collectors[0].is_stale(8.9),
        "within twice what was promised"
    );
    assert!(fleet.collectors[0].is_stale(9.1), "beyond");
}

#[test]
fn nodes_are_in_order_and_one_that_its_source_left_out_is_gone() {
    let mut fleet = fleet();
    hear(&mut fleet, 0.0, 1, sample(0, vec![device("b", 0, 0.1)]));
    hear(
        &mut fleet,
        0.0,
        0,
        sample(
            0,
            vec![device("z", 0, 0.2), device("c", 0, 0.3), device("z", 1, 0.4)],
        ),
    );
    let names = |fleet: &Fleet| -> Vec<(String, usize)> {
        let nodes = fleet.nodes.iter();
        nodes
            .map(|node| (node.name.clone(), node.devices.len()))
            .collect()
    };
    let named = |list: &[(&str, usize)]| -> Vec<(String, usize)> {
        list.iter()
            .map(|(name, count)| ((*name).to_owned(), *count))
            .collect()
    };
    assert_eq!(names(&fleet), named(&[("c", 1), ("z", 2), ("b", 1)]));
    fleet.settle(0.0);
    assert_eq!(fleet.spread(FleetMetric::Utilization), Some([0.1, 0.3, 0.4]));
    assert_eq!(fleet.spread(FleetMetric::Power), None);
    hear(&mut fleet, 1.0, 0, sample(1, vec![device("c", 0, 0.3)]));
    assert_eq!(names(&fleet), named(&[("c", 1), ("b", 1)]));
}

#[test]
fn the_history_is_thinned_and_forgets_what_is_old() {
    let mut history = History::default();
    for tick in 0..2000 {
        history.add(f64::from(tick) * 0.25, &device("n", 0, 0.5));
    }
    let times: Vec<f64> = history
        .values(FleetMetric::Utilization)
        .map(|(at, _)| at)
        .collect();
    assert_eq!(times.len(), 601, "two a second for five minutes");
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= 0.5), "{times:?}");
    assert_eq!(
        history.values(FleetMetric::Power).next().map(|(_, value)| value),
        Some(None)
    );
}

/// A fleet of one crowd on two collectors, with a hot device on each.
fn crowd() -> Fleet {
    let mut fleet = fleet();
    for collector in 0..2 {
        hear(&mut fleet, 0.0, collector, News::Connected);
        let devices = (0..6).map(|index| {
            let mut device = device(&format!("n{collector}"), index, 0.5);
            let hot = if index == 3 { 80.0 } else { 60.0 };
            device.temperature = Reading::Value(orrery_telemetry::Celsius(hot));
            device
        });
        hear(&mut fleet, 0.0, collector, sample(1, devices.collect()));
    }
    fleet
}

#[test]
fn figures_are_settled_once_for_all_that_was_heard() {
    let mut fleet = crowd();
    assert!(fleet.apart.is_empty(), "nothing is worked out for one sample");
    fleet.settle(0.0);
    let places: Vec<(usize, usize)> = fleet.apart.iter().map(|one| (one.node, one.device)).collect();
    assert_eq!(places, [(0, 3), (1, 3)]);
    let before = fleet.clone();
    fleet.settle(0.5);
    assert_eq!(fleet, before, "and not again while nothing comes");
}

#[test]
fn who_is_apart_is_found_as_by_looking_at_all() {
    let mut fleet = crowd();
    fleet.settle(0.0);
    for node in 0..3 {
        for device in 0..7 {
            let slow = fleet
                .apart
                .iter()
                .filter(|one| (one.node, one.device) == (node, device));
            let slow: Vec<&Apart> = slow.collect();
            let fast: Vec<&Apart> = fleet.apart_of(node, device).iter().collect();
            assert_eq!(fast, slow, "{node} {device}");
        }
    }
}

#[test]
fn what_is_not_live_counts_in_no_figure() {
    let mut fleet = crowd();
    hear(
        &mut fleet,
        0.0,
        1,
        sample(2, vec![device("n1", 0, 0.9), device("n1", 1, 0.9)]),
    );
    fleet.settle(0.0);
    assert_eq!((fleet.num_live(), fleet.num_devices()), (8, 8));
    assert_eq!(fleet.spread(FleetMetric::Utilization), Some([0.5, 0.5, 0.9]));
    let lost = News::Lost {
        why: "gone".to_owned(),
        retry_in: Duration::from_secs(2),
    };
    hear(&mut fleet, 0.5, 1, lost.clone());
    fleet.settle(0.5);
    assert_eq!((fleet.num_live(), fleet.num_devices()), (6, 8));
    assert_eq!(fleet.spread(FleetMetric::Utilization), Some([0.5, 0.5, 0.5]));
    hear(&mut fleet, 0.5, 0, lost);
    fleet.settle(0.5);
    assert_eq!((fleet.num_live(), fleet.apart.len()), (0, 0));
    assert_eq!(fleet.spread(FleetMetric::Utilization), None);
    let scale = fleet.scale(FleetMetric::Utilization);
    assert!(scale.0 < scale.1, "the last values keep their colours: {scale:?}");
}

#[test]
fn a_node_that_falls_silent_stops_counting_without_a_word() {
    let mut fleet = crowd();
    fleet.settle(3.9);
    assert_eq!(fleet.num_live(), 12, "three samples may be late");
    fleet.settle(4.1);
    assert_eq!(fleet.num_live(), 0);
}

#[test]
fn the_pause_that_is_no_news_follows_the_interval() {
    let mut fleet = fleet();
    let every = |seconds: u64| {
        News::Heard(Event::Sample(Sample {
            source: format!("every {seconds} s"),
            origin: Origin::Live,
            sequence: 4,
            at: SimTime::ZERO + SimDuration::from_millis(1000) * (4 * seconds),
            taken: UnixTime::from_millis(0),
            devices: vec![device(&format!("n{seconds}"), 0, 0.5)],
            host: None,
            collectives: Vec::new(),
        }))
    };
    hear(&mut fleet, 0.0, 0, every(1));
    hear(&mut fleet, 0.0, 0, every(60));
    let pauses: Vec<f64> = fleet.nodes.iter().map(Node::pause).collect();
    assert_eq!(pauses, [4.0, 181.0]);
}

#[test]
fn alerts_stand_until_they_are_cleared_the_most_urgent_first() {
    use orrery_telemetry::judge::{Rule, Severity, Subject};

    let alert = |rule, severity, at: u64, cleared: bool| {
        let job = "job".to_owned();
        News::Heard(Event::Alert(Alert {
            rule,
            severity,
            subject: Subject::Job { job },
            origin: Origin::Live,
            what: format!("{severity:?}"),
            evidence: Vec::new(),
            action: "look".to_owned(),
            since: UnixTime::from_millis(at),
            raised: UnixTime::from_millis(at),
            cleared: cleared.then(|| UnixTime::from_millis(at + 5)),
        }))
    };
    let mut fleet = fleet();
    hear(&mut fleet, 1.0, 0, News::Connected);
    hear(
        &mut fleet,
        1.0,
        0,
        alert(Rule::JobSlow, Severity::Warning, 1, false),
    );
    hear(
        &mut fleet,
        2.0,
        0,
        alert(Rule::Hang, Severity::Critical, 2, false),
    );
    hear(
        &mut fleet,
        3.0,
        1,
        alert(Rule::JobSlow, Severity::Warning, 3, false),
    );
    let rules = |fleet: &Fleet| -> Vec<(usize, Rule)> {
        fleet.alerts.iter().map(|(of, alert)| (*of, alert.rule)).collect()
    };
    assert_eq!(
        rules(&fleet),
        [(0, Rule::Hang), (0, Rule::JobSlow), (1, Rule::JobSlow)]
    );
    // It grew worse: the same alert, once.
    hear(
        &mut fleet,
        4.0,
        0,
        alert(Rule::JobSlow, Severity::Critical, 1, false),
    );
    assert_eq!(
        rules(&fleet),
        [(0, Rule::JobSlow), (0, Rule::Hang), (1, Rule::JobSlow)]
    );
    hear(
        &mut fleet,
        5.0,
        0,
        alert(Rule::JobSlow, Severity::Critical, 1, true),
    );
    assert_eq!(rules(&fleet), [(0, Rule::Hang), (1, Rule::JobSlow)]);
    hear(&mut fleet, 6.0, 0, News::Connected);
    assert_eq!(
        rules(&fleet),
        [(1, Rule::JobSlow)],
        "a new stream tells all that stand"
    );
}
