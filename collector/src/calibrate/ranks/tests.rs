//! Ranks with workers of a shell's making.

use orrery_kernels::device::Launching;
use orrery_kernels::statistics::StopRule;
use orrery_operation::CollectiveOp;
use orrery_units::SimDuration;

use super::*;

/// Workers that know three devices and are ranks: each launch takes 50 us times one more than the rank. `$rank` is theirs once
/// they have joined; `extra` comes before what they would say.
fn ranks(extra: &str, patience: Duration) -> Ranks {
    let identity = "0".repeat(256);
    let script = format!(
        r#"rank=-1
        while read -r order; do
            {extra}
            case "$order" in
            *devices*) echo '{{"devices":["a","b","c"]}}';;
            *join*) rank=${{order#*\"rank\":}}; rank=${{rank%%,*}}; echo '"joined"';;
            *identity*) echo '{{"identity":"{identity}"}}';;
            *begin*) echo '{{"checked":0.001}}';;
            *'"replayed":true'*) echo '{{"prepared":{{"launching":"graph","error":0.002}}}}';;
            *prepare*) echo '{{"prepared":{{"launching":{{"stream":"so"}},"error":null}}}}';;
            *time*) n=${{order#*batches\":}}; n=${{n%%\}}*}}; times=; while [ "$n" -gt 0 ]; do
                times="$times,$((50000000 * (rank + 1)))"; n=$((n - 1)); done
                echo "{{\"times\":[${{times#,}}]}}";;
            esac
        done"#
    );
    Ranks::new(["sh", "-c", &script].map(str::to_owned).to_vec(), patience, 1)
}

fn among(ranks: &mut Ranks, count: usize) -> Result<Measurement, String> {
    let sampling = Sampling {
        rule: StopRule {
            min_samples: 30,
            ..StopRule::default()
        },
        warm_up: SimDuration::from_millis(1),
    };
    ranks.measure((CollectiveOp::AllReduce, 1024), count, &sampling, Duration::ZERO)
}

#[test]
fn a_time_is_that_of_the_last_rank_to_end() {
    let mut ranks = ranks("", Duration::from_secs(10));
    let measured = among(&mut ranks, 3).unwrap();
    assert_eq!(measured.median(), SimDuration::from_micros(150));
    // 10 ms of what was seen before.
    assert_eq!((measured.launches, measured.samples), (66, 30));
    assert_eq!(
        (measured.launching, measured.error),
        (Launching::Graph, Some(0.002))
    );
    let devices: Vec<usize> = ranks.met.iter().map(|(_, device)| *device).collect();
    assert_eq!(devices, [1, 2, 0], "round the last device");
    // They are kept for the next one, and others are started where another number is asked for.
    assert!(among(&mut ranks, 3).is_ok());
    assert_eq!(
        among(&mut ranks, 2).unwrap().median(),
        SimDuration::from_micros(100)
    );
    let fault = among(&mut ranks, 4).unwrap_err();
    assert!(
        fault.contains("a collective of 4 devices, and there are 3"),
        "{fault}"
    );
}

/// One rank that may not replay a graph has all of them launch, and is named.
#[test]
fn ranks_launch_alike() {
    let extra = r#"case "$rank$order" in 1*'"replayed":true'*)
        echo '{"prepared":{"launching":{"stream":"ending a capture: no"},"error":null}}'; continue;; esac"#;
    let measured = among(&mut ranks(extra, Duration::from_secs(10)), 2).unwrap();
    assert_eq!(
        measured.launching,
        Launching::Stream("rank 1: ending a capture: no".to_owned())
    );
}

/// Whatever becomes of one rank ends all of them, and the reason names it and those that were stopped with it.
#[test]
fn a_rank_that_dies_hangs_or_complains_is_named_with_those_it_stops() {
    let at = |doing: &str, what: &str| format!(r#"case "$rank$order" in 1*{doing}*) {what};; esac"#);
    for (extra, expected) in [
        (
            at("time", "echo 'no symbol' >&2; kill -9 $$"),
            "rank 1 (device 2): the worker ended (signal 9): no symbol; stopped with it: rank 0 (device 1)",
        ),
        (
            // The others complain of it first.
            format!(
                "{}\n{}",
                at("begin", "sleep 0.2; exit 3"),
                r#"case "$rank$order" in 0*begin*) echo '{"fault":"a remote error"}'; continue;; esac"#
            ),
            "rank 1 (device 2): the worker ended (code 3); stopped with it: rank 0 (device 1)",
        ),
        (
            at("begin", "exec sleep 100"),
            "rank 1 (device 2): the worker was silent for 1.5s and was killed",
        ),
        (
            at(
                "begin",
                r#"printf '%s\n' '{"wrong":"it is wrong\n  = help: so"}'; continue"#,
            ),
            "rank 1 (device 2): it is wrong; stopped with it: rank 0 (device 1)\n  = help: so",
        ),
        (
            at("join", "exit 5").replace("1*join", "*'\"rank\":1'*"),
            "rank 1 (device 2): the worker ended (code 5)",
        ),
        (
            at("time", "echo what; continue"),
            "rank 1 (device 2): the worker answered `what`",
        ),
        (at("time", r#"echo '{"times":[]}'; continue"#), OTHER),
    ] {
        let mut ranks = ranks(&extra, Duration::from_millis(1500));
        let begin = Instant::now();
        let fault = among(&mut ranks, 2).unwrap_err();
        assert!(fault.contains(expected), "{extra}:\n{fault}\nnot {expected}");
        assert!(ranks.met.is_empty(), "nobody is left");
        assert!(
            begin.elapsed() < Duration::from_secs(8),
            "{extra}: {:?}",
            begin.elapsed()
        );
    }
}
