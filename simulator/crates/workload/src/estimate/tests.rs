//! Numbers by hand.

use orrery_profile::{Term, Tuning};
use orrery_scenario::plan::{GraphScope, ScheduleKind};
use orrery_units::SimDuration;

use super::{Order, Parts, Pass, RankParts};
use crate::cost::{Kernel, Labour};

/// A pass of `seconds` of `labour` in `launches` kernels.
fn pass(labour: Labour, seconds: f64, launches: u32) -> Pass {
    let mut kernel = Kernel {
        launches,
        ..Kernel::default()
    };
    kernel.spent[labour as usize] = SimDuration::from_secs(seconds);
    Pass {
        kernel,
        ..Pass::default()
    }
}

/// `ranks` pipeline ranks of 1 s forward and 2 s backward, eight microbatches.
fn parts(ranks: usize, chunks: u32) -> Parts {
    let rank = RankParts {
        forward: pass(Labour::Products, 1.0, 10),
        backward: pass(Labour::Products, 2.0, 20),
        ..RankParts::default()
    };
    Parts {
        sorts: vec![rank],
        ranks: vec![0; ranks],
        hop: SimDuration::ZERO,
        barrier: SimDuration::ZERO,
        tied: SimDuration::ZERO,
        order: Order {
            microbatches: 8,
            schedule: if chunks > 1 {
                ScheduleKind::Interleaved
            } else {
                ScheduleKind::OneFOneB
            },
            chunks,
            overlaps_gradients: true,
            overlaps_parameters: true,
            recomputes: false,
            graphs: GraphScope::None,
            launch: SimDuration::from_micros(5),
            exchange_units: 0.1,
            synchronises: false,
        },
    }
}

fn close(value: f64, expected: f64) {
    assert!(
        (value - expected).abs() < 1e-9 * expected.max(1.0),
        "{value}, not {expected}"
    );
}

/// 1F1B on even stages: `(m + p − 1)(t_f + t_b) = 11 · 3`; `v` chunks divide the bubble: `(8 + 3 / 3) · 3`.
#[test]
fn the_bubble_of_even_stages() {
    let tuning = Tuning::default();
    close(parts(4, 1).step(&tuning).step, 33.0);
    close(parts(4, 1).step(&tuning).bubble, 9.0);
    close(parts(4, 3).step(&tuning).step, 27.0);
}

/// Ranks of 3, 1.5, 1.5 and 1.5 s and eight microbatches: 28.5 s of pipeline, in which the mean rank works 15 s and the
/// slowest 24 s.
#[test]
fn ranks_with_less_to_do_wait_longer() {
    let mut uneven = parts(4, 1);
    let mut light = uneven.sorts[0];
    light.forward = pass(Labour::Products, 0.5, 10);
    light.backward = pass(Labour::Products, 1.0, 10);
    uneven.sorts.push(light);
    uneven.ranks = vec![0, 1, 1, 1];
    let estimate = uneven.step(&Tuning::default());
    close(estimate.bubble, 4.5);
    close(estimate.waits, 13.5);
    let even = parts(4, 1).step(&Tuning::default());
    close(even.waits, even.bubble);
}

/// Passes of 1 s forward, 1 s for inputs and 1 s for weights on four ranks, eight microbatches. ZB-H1: 3 (1 + 1 − 1); ZB-V
/// with chunks of half: 3 · 0.5; DualPipe `(4 / 2 − 1)(1.5 + 1 − 1.5)` over 8 · 1.5; DualPipeV `3 (1.5 + 1 − 1.5)` over 8 · 3.
#[test]
fn the_bubble_of_schedules_that_defer_weights() {
    let with = |schedule| {
        let mut deferred = parts(4, 2);
        deferred.order.schedule = schedule;
        for rank in &mut deferred.sorts {
            rank.weight = pass(Labour::Products, 1.0, 10);
        }
        let estimate = deferred.step(&Tuning::default());
        (estimate.busy, estimate.bubble)
    };
    for (schedule, busy, bubble) in [
        (ScheduleKind::ZeroBubbleH1, 24.0, 3.0),
        (ScheduleKind::ZeroBubbleV, 24.0, 1.5),
        (ScheduleKind::DualPipe, 12.0, 1.0),
        (ScheduleKind::DualPipeV, 24.0, 3.0),
    ] {
        let found = with(schedule);
        close(found.0, busy);
        close(found.1, bubble);
    }
}

/// Messages of 0.1 s on four ranks: one per microbatch and six to fill and drain; chunks hide those of microbatches.
#[test]
fn messages_show_where_nothing_else_can_run() {
    let with = |chunks| {
        let mut parts = parts(4, chunks);
        parts.hop = SimDuration::from_secs(0.1);
        parts.step(&Tuning::default()).bubble
    };
    close(with(1), 9.0 + 0.1 * 14.0);
    close(with(3), 3.0 + 0.1 * 6.0);
}

/// Products at half their rate take twice as long; a host that needs 0.2 s for each of 30 kernels takes 6 s for what the
/// device does in 3; replayed from graphs it takes nothing.
#[test]
fn the_slower_of_host_and_device_decides() {
    let one = parts(1, 1);
    close(one.step(&Tuning::default().with(Term::Products, 0.5)).step, 48.0);
    let slow = Tuning::default().with(Term::Launch, 0.2);
    close(one.step(&slow).step, 48.0);
    let mut graphed = one;
    graphed.order.graphs = GraphScope::Full;
    close(graphed.step(&slow).step, 24.0);
}

/// Ranks whose host takes 2 s to issue the 1 s of a forward pass and 4 s for the 8 s of a backward pass, eight microbatches.
fn late(ranks: usize) -> Parts {
    let mut late = parts(ranks, 1);
    late.sorts[0].backward = pass(Labour::Products, 8.0, 20);
    late
}

/// A host that runs ahead is the slower one in the first forward pass alone: `8 · 9 + 1`. One that is the slower one over
/// both passes, by launches of 0.5 s, is through after `8 · 15` and has nothing to wait for; by launches of 0.4 s it is
/// through after `8 · 12`, with its device at the last backward pass, issued in 8 s as it is run.
#[test]
fn the_device_waits_for_the_first_pass_of_a_step() {
    let with = |launch| late(1).step(&Tuning::default().with(Term::Launch, launch)).step;
    close(with(0.2), 73.0);
    close(with(0.5), 120.0);
    close(with(0.4), 96.0);
    let mut tail = late(1);
    tail.sorts[0].forward = pass(Labour::Products, 1.0, 60);
    // 12 s and 4 s to issue 9 s: the last backward pass runs on for 4 s more.
    close(
        tail.step(&Tuning::default().with(Term::Launch, 0.2)).step,
        8.0 * 16.0 + 4.0,
    );
}

/// Hosts that wait for what they receive begin anew with each pass: 2 s and 8 s. The last rank issues a backward pass beside
/// its forward pass and gains nothing, the first one issues a forward pass beside the backward pass before it and takes 9 s.
#[test]
fn hosts_that_wait_for_messages_begin_anew() {
    let tuning = Tuning::default().with(Term::Launch, 0.2);
    for (ranks, others) in [(2, 1.0), (4, 3.0)] {
        let mut late = late(ranks);
        close(late.step(&tuning).step, 8.0 * 9.0 + 1.0 + 9.0 * others);
        late.order.synchronises = true;
        close(late.step(&tuning).step, 8.0 * 10.0 + 10.0 * others);
    }
    let mut first = late(2);
    first.sorts.push(first.sorts[0]);
    first.ranks = vec![1, 0];
    first.sorts[0] = RankParts {
        heads: 0,
        ..RankParts::default()
    };
    first.order.synchronises = true;
    close(first.step(&tuning).step, 8.0 * 9.0);
}

/// Sharded parameters, 0.5 s forward and 4 s backward, that hold a tenth of the device: forward they hide and cost
/// 0.05 s, backward they last longer than 2 s of compute and are slowed while it runs: 4.2 s. However much they would hold,
/// nothing takes longer than one after the other: 6 s.
#[test]
fn sharded_parameters_hide_behind_compute_or_hold_it_up() {
    let mut sharded = parts(1, 1);
    let RankParts {
        forward, backward, ..
    } = &mut sharded.sorts[0];
    for (pass, seconds) in [(forward, 0.5), (backward, 4.0)] {
        pass.shards = SimDuration::from_secs(seconds);
        pass.shards_held = 0.1 * seconds;
    }
    close(sharded.step(&Tuning::default()).step, 8.0 * (1.05 + 4.2));
    let all = Tuning::default().with(Term::ShardUnits, 3.0);
    close(sharded.step(&all).step, 8.0 * (1.5 + 6.0));
}

/// Gradients of 1 s that hold a tenth of the device behind a backward of 2 s: 0.1 s shows; of 2 s, 0.4 s do not fit into
/// four fifths of it and 0.16 s are taken from what does; after backward all of it shows.
#[test]
fn gradients_show_where_backward_is_too_short() {
    let with = |seconds: f64, overlaps: bool| {
        let mut reduced = parts(1, 1);
        reduced.sorts[0].reduce = SimDuration::from_secs(seconds);
        reduced.sorts[0].held[0] = 0.1 * seconds;
        reduced.order.overlaps_gradients = overlaps;
        reduced.step(&Tuning::default()).data
    };
    close(with(1.0, true), 0.1);
    close(with(2.0, true), 0.4 + 0.16);
    close(with(2.0, false), 2.0);
}

/// 3 s of kernels whose 30 launches take 2 s: a fifth of the 2 s is waited for, forward and backward apart: 3.4 s. A host
/// that needs 6 s waits for a fifth of the 3 s: 6.6 s.
#[test]
fn host_and_device_wait_for_each_other() {
    let one = parts(1, 1);
    let waits = Tuning::default().with(Term::Waits, 0.2);
    close(one.step(&waits.with(Term::Launch, 2.0 / 30.0)).step, 8.0 * 3.4);
    close(one.step(&waits.with(Term::Launch, 0.2)).step, 8.0 * 6.6);
}

/// Two layers with 5 kernels of their own forward and 7.5 backward, two collectives each way of ten launches: with 0.1 s for
/// each launch the host takes (10 + 10 + 20 + 20 + 15 + 20) · 0.1 s.
#[test]
fn the_host_issues_what_layers_and_collectives_bring() {
    let mut one = parts(1, 1);
    let rank = &mut one.sorts[0];
    rank.layers = 2;
    for pass in [&mut rank.forward, &mut rank.backward] {
        pass.collectives = 2;
    }
    let tuning = Tuning::default()
        .with(Term::Launch, 0.1)
        .with(Term::LayerKernels, 5.0);
    close(one.step(&tuning).step, 8.0 * 9.5);
}

/// Half a second around each loss of the last of two ranks, which is the slower one by it: `8 · 3.5 + 3`; replayed from
/// graphs there is none.
#[test]
fn time_around_the_loss_is_that_of_the_rank_with_the_head() {
    let mut two = parts(2, 1);
    two.sorts.push(two.sorts[0]);
    two.ranks[1] = 1;
    two.sorts[1].heads = 1;
    let tuning = Tuning::default().with(Term::Microbatch, 0.5);
    close(two.step(&tuning).step, 8.0 * 3.5 + 3.0);
    two.order.graphs = GraphScope::Full;
    close(two.step(&tuning).step, 27.0);
}

/// Of 3 s of products 1 s has rows that are no whole vectors, at half the rate: 4 s.
#[test]
fn products_without_whole_vectors_are_slower() {
    let mut one = parts(1, 1);
    one.sorts[0].backward.kernel.unaligned = SimDuration::from_secs(1.0);
    close(
        one.step(&Tuning::default().with(Term::Unaligned, 0.5)).step,
        8.0 * 4.0,
    );
}

/// Sharded parameters of 0.5 s that take a fifth of the device slow 1 s of compute by 0.1 s.
#[test]
fn sharded_parameters_take_a_share_of_the_device() {
    let mut sharded = parts(1, 1);
    sharded.sorts[0].forward.shards = SimDuration::from_secs(0.5);
    close(
        sharded.step(&Tuning::default().with(Term::ShardUnits, 0.2)).step,
        8.0 * 3.1,
    );
}
